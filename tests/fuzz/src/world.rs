//! A broker with its clock, sockets and disk, for targets that talk to it.
//!
//! What the broker says is decoded by the naive codec. A good pair on a listener of its own
//! exchanges messages whatever others do.

use super::common::decode::{From, decode};
use super::common::packet::{Packet, Version};
use super::seam::Seam;
use super::seam::disk::Disk;
use midge::auth::SignIn;
use midge::broker::{AuthRequest, Broker, ListenerSettings, Now, Settings};
use midge::store::mosquitto_db::Database;
use midge::wire::{Connect, FixedHeader};

/// What the broker may hold for clients.
const MEMORY_LIMIT: usize = 100_000;

/// A turn's input may pass the limit by as much as it can hold, and an eighth is left for
/// connections; what the good pair and `$SYS` have is small.
const MEMORY_MAX: usize = MEMORY_LIMIT + MEMORY_LIMIT / 8 + 128 * 1024;

/// Bytes of a segment; small, so that segments come and go.
const SEGMENT_BYTES: u32 = 4 * 1024;

/// The listener of the good pair; strangers come in by the first two.
const GOOD: u16 = 2;

/// The password that is right for everybody.
pub const PASSWORD: &[u8] = b"secret";

/// Seconds between two updates of `$SYS`, once a check turned it on: it is most of the work where
/// nobody speaks, and here an hour passes quickly.
const SYS_INTERVAL: u32 = 600;

/// Where the broker tells how much it holds.
const HELD: &str = "$SYS/broker/memory/held";

pub struct World {
    seam: Seam,
    links: Vec<Link>,
    pair: Option<Pair>,
    /// What is on the disk may fill the memory before anybody comes.
    may_be_full: bool,
}

/// What is known of a connection.
#[derive(Default)]
struct Link {
    /// The version of its CONNECT, as far as one could be read.
    version: Option<Version>,
    has_begun: bool,
    unread: Vec<u8>,
    inbox: Vec<Packet>,
}

#[derive(Clone, Copy)]
struct Pair {
    publisher: usize,
    subscriber: usize,
    count: u16,
}

/// An empty disk.
pub fn disk() -> Disk {
    Disk::with_segments_of(SEGMENT_BYTES)
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
        sys_interval: 0,
        memory_limit: MEMORY_LIMIT,
        memory_cache: 0,
        max_packet_size: 20_000,
        max_queued_messages: 50,
        max_subscriptions_per_client: 20,
        slice: 20,
        ..Settings::default()
    }
}

/// Whoever knows the password may sign in.
fn sign_in(request: &AuthRequest) -> SignIn {
    match request.password.as_deref() {
        None => SignIn::NoPassword,
        Some(PASSWORD) => SignIn::Granted,
        Some(_) => SignIn::WrongPassword,
    }
}

impl World {
    /// A broker; with a disk it keeps what it promised over [`World::crash`].
    pub fn new(disk: Option<Disk>) -> World {
        let may_be_full = disk.as_ref().is_some_and(|disk| !disk.segments.is_empty());
        World {
            seam: Seam::new(settings(), disk, sign_in),
            links: Vec::new(),
            pair: None,
            may_be_full,
        }
    }

    pub fn disk(&self) -> Option<&Disk> {
        self.seam.disk.as_ref()
    }

    /// A connection, if the broker takes it; its number.
    pub fn accept(&mut self, listener: u16) -> Option<usize> {
        let at = self.seam.accept("192.0.2.7:4000", listener)?;
        self.links.push(Link::default());
        self.collect();
        Some(at)
    }

    /// Bytes come from a client.
    pub fn input(&mut self, at: usize, bytes: &[u8]) {
        if !self.links[at].has_begun {
            self.links[at].note_version(&[self.seam.unconsumed(at), bytes].concat());
        }
        self.seam(|seam| seam.input(at, bytes));
    }

    /// The client's end of the connection breaks.
    pub fn hang_up(&mut self, at: usize) {
        self.seam(|seam| seam.hang_up(at));
    }

    /// The socket takes so many bytes at a time from now on.
    pub fn set_room(&mut self, at: usize, room: usize) {
        self.seam(|seam| seam.set_room(at, room));
    }

    /// Time passes; timers ring at their own moments, a thousand of them at most.
    pub fn advance(&mut self, ms: u64) {
        self.seam(|seam| seam.advance(ms, 1000));
    }

    /// Lets everything happen that may happen at once.
    fn finish_jobs(&mut self) {
        for _ in 0..100_000 {
            let now = self.seam.now;
            if self.seam.broker.poll_timeout() != Some(now.mono_ms) {
                return;
            }
            self.broker(|broker, _| broker.timeout(now));
        }
        panic!("the broker's jobs never end");
    }

    /// The power goes and comes back: all that is left is on the disk. Without one nothing happens.
    pub fn crash(&mut self) {
        if self.disk().is_some() {
            self.pair = None;
            self.may_be_full = true;
            self.seam(|seam| seam.crash(0, |_| ()));
        }
    }

    /// Takes over what a file of Mosquitto's holds, as at a first start.
    pub fn import(&mut self, db: &Database<'_>) {
        let now = self.seam.now;
        let disk = self.seam.disk.as_mut().expect("a world with a disk");
        let Ok(imported) = self.seam.broker.import(db, now, &mut |broker| {
            while disk.step(broker, now) {}
        });
        self.may_be_full = true;
        assert!(imported.sessions <= db.clients.len());
        assert!(imported.deliveries <= db.client_messages.len());
        self.seam(Seam::drain);
    }

    /// Runs something on the broker itself.
    pub fn broker(&mut self, run: impl FnOnce(&mut Broker, Now)) {
        self.seam(|seam| seam.broker(run));
    }

    /// Something happens; what the broker has to say to it is read.
    fn seam(&mut self, run: impl FnOnce(&mut Seam)) {
        run(&mut self.seam);
        self.collect();
    }

    /// A message of QoS 1 gets from one good client to the other, and memory is in bounds: a reload
    /// tells how much is held.
    pub fn check(&mut self) {
        let settings = Settings {
            sys_interval: SYS_INTERVAL,
            ..settings()
        };
        self.broker(|broker, now| broker.reload(settings, now));
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
        let heard = std::mem::take(&mut self.links[pair.subscriber].inbox);
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
        std::mem::take(&mut self.links[at].inbox)
    }

    /// Reads what the broker wrote; every packet has to be well formed.
    fn collect(&mut self) {
        for (at, link) in self.links.iter_mut().enumerate() {
            link.read(&self.seam.take_output(at));
        }
    }
}

impl Link {
    /// Looks for the version in the first packet, once that is whole.
    fn note_version(&mut self, begin: &[u8]) {
        let Ok(Some(header)) = FixedHeader::read(begin) else {
            return;
        };
        let Some(body) = begin.get(usize::from(header.len)..header.total()) else {
            return;
        };
        self.has_begun = true;
        let version = match Connect::decode(header.first, body) {
            Ok(connect) => Some(connect.version),
            Err(error) => error.version,
        };
        self.version = version.map(super::decode::naive_version);
    }

    fn read(&mut self, bytes: &[u8]) {
        let Some(version) = self.version else { return };
        self.unread.extend_from_slice(bytes);
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
