//! The host's part: a broker, its sockets, and the journal's files on the disk that crashes, all
//! moved on by the dice.

use fastrand::Rng;
use midge::broker::{Broker, ConnId, Now, Peer, Settings};
use midge::conf::Sync;
use midge::host::journal::{Files, Patience, open};
use midge::store::journal::record::Clock;
use midge::store::journal::{Batch, Place, Read, Record, Report, State};

use crate::disk::SimDisk;
use crate::note;

/// One broker with its disk and its sockets; numbers stand for connections.
pub struct Host {
    pub disk: SimDisk,
    settings: Settings,
    broker: Broker,
    files: Files<SimDisk>,
    batch: Batch,
    /// The batch is not done yet.
    is_busy: bool,
    durable: Place,
    state: State,
    reads: Vec<Read>,
    rng: Rng,
    pub now: Now,
    /// At most so much time has passed, as far as anybody can know, in milliseconds.
    pub elapsed_ms: u64,
    /// What the calendar gained in this life of the broker, in milliseconds.
    gained_ms: u64,
    boot: u64,
    /// Counts the starts of the broker.
    pub life: u64,
    /// How much time had passed when the life before this one ended.
    pub ended_ms: u64,
    offset_ms: i64,
    sockets: Vec<Socket>,
}

struct Socket {
    id: ConnId,
    /// What the network has not brought yet.
    on_its_way: Vec<u8>,
    /// The network takes nothing more at the moment.
    is_stuffed: bool,
    unconsumed: Vec<u8>,
    output: Vec<u8>,
    is_closed: bool,
}

impl Host {
    pub fn new(settings: Settings, seed: u64) -> Host {
        let disk = SimDisk::new(seed);
        let now = Now {
            mono_ms: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let (broker, files, offset_ms) = start(&disk, &settings, now, 1);
        Host {
            disk,
            settings,
            broker,
            files,
            batch: Batch::default(),
            is_busy: false,
            durable: Place::START,
            state: State::Fine,
            reads: Vec::new(),
            rng: Rng::with_seed(seed ^ 0x5eed),
            now,
            elapsed_ms: 0,
            gained_ms: 0,
            boot: 1,
            life: 1,
            ended_ms: 0,
            offset_ms,
            sockets: Vec::new(),
        }
    }

    /// The power goes and comes back; the calendar may say anything afterwards.
    pub fn crash(&mut self, wall_ms: u64) {
        self.disk.crash();
        self.ended_ms = self.elapsed_ms;
        self.boot += 1;
        // What the broker may take for time that has passed while nobody looked.
        let away_ms = wall_ms.saturating_sub(self.now.wall_ms);
        self.elapsed_ms += std::mem::take(&mut self.gained_ms);
        self.elapsed_ms += if away_ms < ABSENCE_MAX_MS { away_ms } else { 0 };
        self.now.wall_ms = wall_ms;
        self.restart();
    }

    /// The broker is killed, and started again.
    pub fn kill(&mut self) {
        self.disk.outlive();
        self.ended_ms = self.elapsed_ms;
        self.restart();
    }

    fn restart(&mut self) {
        self.life += 1;
        note(|| format!("life {} of the broker", self.life));
        let (broker, files, offset_ms) = start(&self.disk, &self.settings, self.now, self.boot);
        (self.broker, self.files, self.offset_ms) = (broker, files, offset_ms);
        self.batch = Batch::default();
        self.is_busy = false;
        (self.durable, self.state) = (Place::START, State::Fine);
        self.reads.clear();
        for socket in &mut self.sockets {
            socket.is_closed = true;
        }
    }

    /// The time on the broker's clock.
    fn time(&self) -> Now {
        Now {
            mono_ms: self.now.mono_ms.saturating_add_signed(self.offset_ms),
            ..self.now
        }
    }

    pub fn advance(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.elapsed_ms += ms;
        self.now.wall_ms = self.now.wall_ms.saturating_add(ms);
        let now = self.time();
        self.broker.timeout(now);
    }

    /// Somebody sets the clock.
    pub fn set_calendar(&mut self, wall_ms: u64) {
        let gained_ms = wall_ms.saturating_sub(self.now.wall_ms);
        if gained_ms < ABSENCE_MAX_MS {
            self.gained_ms += gained_ms;
        }
        self.now.wall_ms = wall_ms;
    }

    pub fn connect(&mut self) -> usize {
        let peer = Peer {
            address: "192.0.2.1:1".into(),
            listener: 0,
        };
        let now = self.time();
        let id = self.broker.accept(peer, now).expect("there is no limit");
        self.sockets.push(Socket {
            id,
            on_its_way: Vec::new(),
            is_stuffed: false,
            unconsumed: Vec::new(),
            output: Vec::new(),
            is_closed: false,
        });
        self.sockets.len() - 1
    }

    pub fn send(&mut self, socket: usize, bytes: &[u8]) {
        self.sockets[socket].on_its_way.extend_from_slice(bytes);
        if self.rng.u8(..) < 220 {
            self.bring(socket, usize::MAX);
        }
    }

    /// The network brings some bytes.
    fn bring(&mut self, at: usize, most: usize) {
        let socket = &mut self.sockets[at];
        let len = most.min(socket.on_its_way.len());
        socket.unconsumed.extend(socket.on_its_way.drain(..len));
        self.present(at);
    }

    /// The network stops taking output of some connection, or takes it again.
    pub fn stuff(&mut self) {
        let open = (0..self.sockets.len()).filter(|&at| !self.sockets[at].is_closed);
        if let Some(at) = self.rng.choice(open.collect::<Vec<_>>()) {
            let is_stuffed = !self.sockets[at].is_stuffed;
            self.set_stuffed(at, is_stuffed);
        }
    }

    /// The network takes everything again.
    pub fn unstuff(&mut self) {
        for at in 0..self.sockets.len() {
            self.set_stuffed(at, false);
        }
    }

    fn set_stuffed(&mut self, at: usize, is_stuffed: bool) {
        let socket = &mut self.sockets[at];
        socket.is_stuffed = is_stuffed;
        if !is_stuffed && !socket.is_closed {
            self.broker.writable(socket.id);
        }
    }

    pub fn hang_up(&mut self, socket: usize) {
        if !std::mem::replace(&mut self.sockets[socket].is_closed, true) {
            let now = self.time();
            self.broker.gone(self.sockets[socket].id, None, now);
        }
    }

    pub fn output(&mut self, socket: usize) -> Vec<u8> {
        std::mem::take(&mut self.sockets[socket].output)
    }

    pub fn is_closed(&self, socket: usize) -> bool {
        self.sockets[socket].is_closed
    }

    fn present(&mut self, at: usize) {
        let now = self.time();
        let socket = &mut self.sockets[at];
        if !socket.is_closed {
            let consumed = self.broker.receive(socket.id, &socket.unconsumed, now);
            socket.unconsumed.drain(..consumed);
        }
    }

    fn socket_of(&self, id: ConnId) -> Option<usize> {
        let is_it = |socket: &Socket| socket.id == id && !socket.is_closed;
        self.sockets.iter().position(is_it)
    }

    /// Lets the broker say what it has to say.
    pub fn serve(&mut self) {
        for at in 0..self.sockets.len() {
            let socket = &self.sockets[at];
            if !socket.is_closed && !socket.on_its_way.is_empty() && self.rng.bool() {
                let most = self.rng.usize(1..=socket.on_its_way.len());
                self.bring(at, most);
            }
        }
        for _ in 0..10_000 {
            if !self.serve_one() {
                return;
            }
        }
        panic!("the broker never rests");
    }

    fn serve_one(&mut self) -> bool {
        let now = self.time();
        if let Some(id) = self.broker.poll_writable() {
            let Some(at) = self.socket_of(id) else {
                return true;
            };
            let mut buffer = [0; 2048];
            let room = match self.rng.u8(0..4) {
                0 => self.rng.usize(1..100),
                _ => buffer.len(),
            };
            let mut n = self.broker.transmit(id, &mut buffer[..room], now);
            if self.sockets[at].is_stuffed {
                n = self.rng.usize(0..=n / 2);
            }
            self.broker.sent(id, n, now);
            self.sockets[at].output.extend_from_slice(&buffer[..n]);
            return true;
        }
        if let Some(id) = self.broker.poll_resume() {
            if let Some(at) = self.socket_of(id) {
                self.present(at);
            }
            return true;
        }
        if let Some(id) = self.broker.poll_close() {
            if let Some(at) = self.socket_of(id) {
                self.sockets[at].is_closed = true;
            }
            self.broker.gone(id, None, now);
            return true;
        }
        false
    }

    /// The journal thread does what it has to do, if the disk lets it.
    pub fn write(&mut self) {
        if !self.is_busy {
            self.is_busy = self.broker.poll_journal(&mut self.batch);
        }
        if self.is_busy {
            match self.files.perform(&self.batch, Sync::Always) {
                Ok(()) => {
                    note(|| format!("durable {:?}", self.batch.end));
                    self.is_busy = false;
                    self.durable = self.batch.end;
                    self.state = State::Fine;
                }
                Err(error) => {
                    note(|| format!("the journal: {error}"));
                    self.state = midge::host::journal::files::state_of(&error);
                }
            }
        }
        while !self.disk.is_off() {
            match self.files.make_spare() {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    self.state = midge::host::journal::files::state_of(&error);
                    break;
                }
            }
        }
        if self.disk.is_off() {
            return;
        }
        let report = Report {
            durable: self.durable,
            written: self.durable,
            state: self.state,
            ..self.files.report()
        };
        let now = self.time();
        self.broker.durable(report, now);
    }

    /// The reader reads something that was asked for.
    pub fn read(&mut self) {
        while let Some(read) = self.broker.poll_fetch() {
            self.reads.push(read);
        }
        if self.reads.is_empty() {
            return;
        }
        let read = self.reads.swap_remove(self.rng.usize(..self.reads.len()));
        let bytes = self
            .files
            .shelf()
            .read::<SimDisk>(read, &mut Patience::default());
        let now = self.time();
        self.broker.fetched(read, bytes.as_deref(), now);
    }

    /// The number of the segment that is written to.
    pub fn newest_segment(&self) -> u64 {
        self.durable.segment().into()
    }

    /// How many segments there are.
    pub fn segments(&self) -> u64 {
        self.disk.segments()
    }

    /// Whether nothing is under way any more.
    pub fn is_quiet(&mut self) -> bool {
        let mut sockets = self.sockets.iter();
        let is_still = sockets.all(|s| s.is_closed || s.on_its_way.is_empty());
        is_still && !self.is_busy && !self.broker.has_journal() && self.reads.is_empty()
    }
}

/// A calendar that is further ahead after a start is not believed.
const ABSENCE_MAX_MS: u64 = 367 * 24 * 3_600_000;

/// Small, so that segments come and go all the time.
const SEGMENT_BYTES: u32 = 8 * 1024;

fn start(
    disk: &SimDisk,
    settings: &Settings,
    now: Now,
    boot: u64,
) -> (Broker, Files<SimDisk>, i64) {
    let mut broker = Broker::new(settings.clone(), 1, now);
    let clock = Clock {
        boot,
        boot_ms: now.mono_ms,
        wall_ms: now.wall_ms,
        log_ms: 0,
    };
    let (mut files, mut opened) = open(disk.clone(), clock, 77, &mut |placed, record| {
        note(|| format!("found {placed:?} {}", in_short(&record)));
        broker.restore(placed, record);
    })
    .expect("the start never fails");
    files.set_segment_bytes(SEGMENT_BYTES);
    opened.segment_bytes = SEGMENT_BYTES;
    let offset_ms = opened.clock_offset_ms;
    let mono_ms = now.mono_ms.saturating_add_signed(offset_ms);
    broker.start_journal(opened, Now { mono_ms, ..now });
    broker.note_sync(true);
    (broker, files, offset_ms)
}

fn in_short(record: &Record<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
    match record {
        Record::Message(message) => format!(
            "Message slot {} held {:?} keeps {} body {} for {:?}: {} {}",
            message.slot,
            message.held,
            message.keeps.is_some(),
            message.is_body,
            message.recipients.iter().collect::<Vec<_>>(),
            text(message.topic),
            text(message.payload)
        ),
        Record::Release(release) => format!(
            "Release slot {} of {} {} body {:?} keeps {} for {:?}",
            release.slot,
            release.key,
            release.packet_id,
            release.body,
            release.keeps.is_some(),
            release.recipients.iter().collect::<Vec<_>>()
        ),
        other => format!("{other:?}"),
    }
}
