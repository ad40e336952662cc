//! A broker with its clock, sockets and disk, for targets that talk to it.
//!
//! It plays the host's part: all outputs are drained after each input, what was not consumed is
//! presented again, a closed connection is reported gone. What the broker says is decoded by the
//! naive codec. A good pair on a listener of its own exchanges messages whatever others do.

use super::common::decode::{From, decode};
use super::common::packet::{Packet, Version};
use super::disk::Disk;
use midge::auth::SignIn;
use midge::broker::{Broker, ConnId, ListenerSettings, Now, Peer, Settings};
use midge::store::mosquitto_db::Database;
use midge::wire::{Connect, FixedHeader};

/// What the broker may hold for clients.
const MEMORY_LIMIT: usize = 100_000;

/// A turn's input may pass the limit by as much as it can hold, and an eighth is left for
/// connections; what the good pair and `$SYS` have is small.
const MEMORY_MAX: usize = MEMORY_LIMIT + MEMORY_LIMIT / 8 + 128 * 1024;

/// The listener of the good pair; strangers come in by the first two.
const GOOD: u16 = 2;

/// The password that is right for everybody.
pub const PASSWORD: &[u8] = b"secret";

const SEED: u64 = 0x5eed;

/// Where the broker tells how much it holds.
const HELD: &str = "$SYS/broker/memory/held";

pub struct World {
    broker: Broker,
    settings: Settings,
    pub now: Now,
    sockets: Vec<Socket>,
    disk: Option<Disk>,
    pair: Option<Pair>,
    /// What is on the disk may fill the memory before anybody comes.
    may_be_full: bool,
}

struct Socket {
    id: ConnId,
    /// The version of its CONNECT, as far as one could be read.
    version: Option<Version>,
    has_begun: bool,
    unconsumed: Vec<u8>,
    unread: Vec<u8>,
    inbox: Vec<Packet>,
    /// Bytes that the socket takes at a time.
    room: usize,
    is_full: bool,
    is_closed: bool,
}

#[derive(Clone, Copy)]
struct Pair {
    publisher: usize,
    subscriber: usize,
    count: u16,
}

fn settings() -> Settings {
    let stranger = ListenerSettings {
        clientid_prefixes: Some("h".to_string()),
        auto_id_prefix: "h-auto-".to_string(),
        ..ListenerSettings::default()
    };
    let with_passwords = ListenerSettings {
        name: "1884".to_string(),
        allow_anonymous: false,
        has_passwords: true,
        mount_point: "m/".to_string(),
        max_qos: midge::wire::QoS::AtLeastOnce,
        ..stranger.clone()
    };
    let good = ListenerSettings {
        name: "1885".to_string(),
        ..ListenerSettings::default()
    };
    Settings {
        listeners: vec![stranger, with_passwords, good],
        sys_interval: 10,
        memory_limit: MEMORY_LIMIT,
        memory_cache: 0,
        max_packet_size: 20_000,
        max_queued_messages: 50,
        max_subscriptions_per_client: 20,
        slice: 20,
        ..Settings::default()
    }
}

impl World {
    /// A broker; with a disk it keeps what it promised over [`World::crash`].
    pub fn new(disk: Option<Disk>) -> World {
        let now = Now {
            mono_ms: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let mut broker = Broker::new(settings(), SEED, now);
        if let Some(disk) = &disk {
            disk.begin(&mut broker, now);
        }
        let mut world = World {
            broker,
            settings: settings(),
            now,
            sockets: Vec::new(),
            may_be_full: disk.as_ref().is_some_and(|disk| !disk.segments.is_empty()),
            disk,
            pair: None,
        };
        world.drain();
        world
    }

    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// A connection, if the broker takes it; its number.
    pub fn accept(&mut self, listener: u16) -> Option<usize> {
        let peer = Peer {
            address: "192.0.2.7:4000".into(),
            listener,
        };
        let id = self.broker.accept(peer, self.now)?;
        self.sockets.push(Socket {
            id,
            version: None,
            has_begun: false,
            unconsumed: Vec::new(),
            unread: Vec::new(),
            inbox: Vec::new(),
            room: usize::MAX,
            is_full: false,
            is_closed: false,
        });
        self.drain();
        Some(self.sockets.len() - 1)
    }

    /// Bytes come from a client.
    pub fn input(&mut self, at: usize, bytes: &[u8]) {
        let socket = &mut self.sockets[at];
        if !socket.is_closed {
            socket.unconsumed.extend_from_slice(bytes);
            self.present(at);
        }
        self.drain();
    }

    /// The client's end of the connection breaks.
    pub fn hang_up(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        if !std::mem::replace(&mut socket.is_closed, true) {
            self.broker.gone(socket.id, None, self.now);
        }
        self.drain();
    }

    /// The socket takes so many bytes at a time from now on.
    pub fn set_room(&mut self, at: usize, room: usize) {
        let socket = &mut self.sockets[at];
        socket.room = room;
        if room > 0 && std::mem::take(&mut socket.is_full) && !socket.is_closed {
            self.broker.writable(self.sockets[at].id);
        }
        self.drain();
    }

    /// Time passes; timers ring at their own moments, a thousand of them at most.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        for _ in 0..1000 {
            let Some(due) = self.broker.poll_timeout().filter(|&due| due <= end) else {
                break;
            };
            self.step_to(due.max(self.now.mono_ms));
            self.broker.timeout(self.now);
            self.drain();
        }
        self.step_to(end.max(self.now.mono_ms));
        self.drain();
    }

    fn step_to(&mut self, mono_ms: u64) {
        self.now.wall_ms += mono_ms - self.now.mono_ms;
        self.now.mono_ms = mono_ms;
    }

    /// Lets everything happen that may happen at once.
    fn finish_jobs(&mut self) {
        for _ in 0..100_000 {
            if self.broker.poll_timeout() != Some(self.now.mono_ms) {
                return;
            }
            self.broker.timeout(self.now);
            self.drain();
        }
        panic!("the broker's jobs never end");
    }

    /// The power goes and comes back: all that is left is on the disk. Without one nothing happens.
    pub fn crash(&mut self) {
        let Some(disk) = &self.disk else { return };
        for socket in &mut self.sockets {
            socket.is_closed = true;
        }
        self.broker = Broker::new(self.settings.clone(), SEED, self.now);
        disk.begin(&mut self.broker, self.now);
        self.pair = None;
        self.may_be_full = true;
        self.drain();
    }

    /// Takes over what a file of Mosquitto's holds, as at a first start.
    pub fn import(&mut self, db: &Database<'_>) {
        let now = self.now;
        let disk = self.disk.as_mut().expect("a world with a disk");
        let imported = self.broker.import(db, now, &mut |broker| {
            while disk.step(broker, now) {}
        });
        self.may_be_full = true;
        assert!(imported.sessions <= db.clients.len());
        assert!(imported.deliveries <= db.client_messages.len());
        self.drain();
    }

    /// Runs something on the broker itself.
    pub fn broker(&mut self, run: impl FnOnce(&mut Broker, Now)) {
        run(&mut self.broker, self.now);
        self.drain();
    }

    /// A message of QoS 1 gets from one good client to the other, and memory is in bounds.
    pub fn check(&mut self) {
        self.finish_jobs();
        let Some(mut pair) = self.pair.take().or_else(|| self.good_pair()) else {
            assert!(self.may_be_full, "there is room for the good");
            return;
        };
        pair.count += 1;
        let [high, low] = pair.count.to_be_bytes();
        let publish = [&b"\x32\x0a\0\x04good"[..], &[high, low, high, low]].concat();
        let acked = self.ask(pair.publisher, &publish);
        let is_acked = |p: &Packet| matches!(p, Packet::PubAck(a) if a.packet_id == pair.count);
        assert!(acked.iter().any(is_acked), "{acked:?}");
        let heard = std::mem::take(&mut self.sockets[pair.subscriber].inbox);
        let mut is_heard = false;
        for packet in heard {
            let Packet::Publish(publish) = packet else {
                panic!("the subscriber got {packet:?}");
            };
            if publish.topic == HELD {
                let held: usize = publish.text().parse().expect("a number");
                let is_much = held > MEMORY_MAX && !self.may_be_full;
                assert!(!is_much, "{held} bytes are held for clients");
            }
            is_heard |= publish.topic == "good" && publish.payload == [high, low];
            if publish.qos == 1 {
                let [high, low] = publish.packet_id.to_be_bytes();
                self.input(pair.subscriber, &[0x40, 2, high, low]);
            }
        }
        assert!(is_heard, "the message did not arrive");
        self.pair = Some(pair);
    }

    /// The good pair, if the broker lets it in.
    fn good_pair(&mut self) -> Option<Pair> {
        let (publisher, subscriber) = (self.come(b'p')?, self.come(b's')?);
        let held = [&[0, HELD.len() as u8], HELD.as_bytes(), &[0]].concat();
        let body = [&b"\0\x01\0\x04good\x01"[..], &held].concat();
        let heard = self.ask(subscriber, &[&[0x82, body.len() as u8], &body[..]].concat());
        let is_granted = |p: &Packet| matches!(p, Packet::SubAck(ack) if ack.codes == [1, 0]);
        heard.iter().any(is_granted).then_some(Pair {
            publisher,
            subscriber,
            count: 0,
        })
    }

    /// One of the pair: 3.1.1, a clean session, no Keep Alive.
    fn come(&mut self, name: u8) -> Option<usize> {
        let at = self.accept(GOOD)?;
        let hello = b"\x10\x12\0\x04MQTT\x04\x02\0\0\0\x06good-";
        let heard = self.ask(at, &[&hello[..], &[name]].concat());
        let is_in = |p: &Packet| matches!(p, Packet::ConnAck(ack) if ack.code == 0);
        heard.iter().any(is_in).then_some(at)
    }

    /// Somebody on the good listener who resumes the session of this client, in 5.0, and hears
    /// everything at QoS 0 besides.
    pub fn resume(&mut self, client_id: &[u8]) {
        let Some(at) = self.accept(GOOD) else { return };
        let name = &client_id[..client_id.len().min(100)];
        let head = [0x10, 13 + name.len() as u8];
        let hello = [
            &head[..],
            b"\0\x04MQTT\x05\0\0\0\0\0",
            &[name.len() as u8],
            name,
        ]
        .concat();
        self.input(at, &hello);
        self.input(at, b"\x82\x07\0\x01\0\0\x01#\0");
        self.finish_jobs();
    }

    /// What one of the pair hears when it has said something.
    fn ask(&mut self, at: usize, bytes: &[u8]) -> Vec<Packet> {
        self.input(at, bytes);
        self.finish_jobs();
        std::mem::take(&mut self.sockets[at].inbox)
    }

    fn present(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        socket.note_version();
        let consumed = self.broker.receive(socket.id, &socket.unconsumed, self.now);
        assert!(consumed <= socket.unconsumed.len(), "more than there was");
        socket.unconsumed.drain(..consumed);
    }

    fn write(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        if socket.is_full {
            return; // as a host that waits for the socket to take more
        }
        let mut buffer = [0; 4096];
        loop {
            let len = self.broker.transmit(socket.id, &mut buffer, self.now);
            let taken = len.min(socket.room);
            self.broker.sent(socket.id, taken, self.now);
            socket.unread.extend_from_slice(&buffer[..taken]);
            if len == 0 {
                break;
            }
            if taken == 0 {
                socket.is_full = true;
                break;
            }
        }
        socket.collect();
    }

    fn socket_of(&self, id: ConnId) -> Option<usize> {
        (self.sockets.iter()).position(|socket| socket.id == id && !socket.is_closed)
    }

    fn drain(&mut self) {
        for _ in 0..1_000_000 {
            if !self.drain_one() {
                return;
            }
        }
        panic!("the broker's outputs never end");
    }

    fn drain_one(&mut self) -> bool {
        if let Some(id) = self.broker.poll_writable() {
            if let Some(at) = self.socket_of(id) {
                self.write(at);
            }
            return true;
        }
        if let Some(id) = self.broker.poll_resume() {
            if let Some(at) = self.socket_of(id) {
                self.present(at);
            }
            return true;
        }
        if let Some(request) = self.broker.poll_auth() {
            let sign_in = match request.password.as_deref() {
                None => SignIn::NoPassword,
                Some(PASSWORD) => SignIn::Granted,
                Some(_) => SignIn::WrongPassword,
            };
            self.broker.verdict(request.conn, sign_in, self.now);
            return true;
        }
        let disk = self.disk.as_mut();
        if disk.is_some_and(|disk| disk.step(&mut self.broker, self.now)) {
            return true;
        }
        let Some(id) = self.broker.poll_close() else {
            return false;
        };
        if let Some(at) = self.socket_of(id) {
            self.write(at);
            self.sockets[at].is_closed = true;
            self.broker.gone(id, None, self.now);
        }
        true
    }
}

impl Socket {
    /// Looks for the version in the first packet, once that is whole.
    fn note_version(&mut self) {
        if self.has_begun {
            return;
        }
        let Ok(Some(header)) = FixedHeader::read(&self.unconsumed) else {
            return;
        };
        let start = usize::from(header.len);
        let Some(body) = self.unconsumed.get(start..header.total()) else {
            return;
        };
        self.has_begun = true;
        let version = match Connect::decode(header.first, body) {
            Ok(connect) => Some(connect.version),
            Err(error) => error.version,
        };
        self.version = version.map(super::decode::naive_version);
    }

    /// Reads what the broker wrote; every packet has to be well formed.
    fn collect(&mut self) {
        let Some(version) = self.version else {
            self.unread.clear();
            return;
        };
        let mut at = 0;
        while at < self.unread.len() {
            match decode(version, From::Server, &self.unread[at..]) {
                Ok(None) => break,
                Ok(Some((packet, len))) => {
                    self.inbox.push(packet);
                    at += len;
                }
                Err(bad) => panic!("the broker wrote: {bad}: {:02x?}", &self.unread[at..]),
            }
        }
        self.unread.drain(..at);
    }
}
