//! A world whose disk does things when it is told to, not before: what happens between a record's
//! making and its being on the disk is where faults hide.
//!
//! The disk is that of the tests outside. The rest of [`World`] is not: it goes turn by turn as the
//! host's loop does, where `tests/seam` takes one output after the other.

#[path = "../../../tests/seam/disk.rs"]
mod shared;

use super::*;
use crate::store::journal::record::Record;
pub use shared::Disk;

impl World {
    /// A broker that keeps what must survive, but no body in memory that the disk has.
    pub fn kept(settings: Settings) -> World {
        let settings = Settings {
            memory_cache: 0,
            ..settings
        };
        let mut world = World::new(settings);
        world.begin(None);
        world.rest();
        world
    }

    /// The broker dies and comes back with what was on the disk. Segments up to `cleaned` are
    /// cleaned then, whatever they hold.
    pub fn restart(&mut self, cleaned: Option<u32>) {
        for link in &mut self.links {
            link.is_closed = true;
        }
        self.now.mono_ms += 1000;
        self.now.wall_ms += 1000;
        self.reads.clear();
        self.disk.report = Disk::default().report;
        self.broker = Broker::new(self.settings.clone(), 1, self.now);
        self.begin(cleaned);
    }

    pub fn begin(&mut self, cleaned: Option<u32>) {
        let broker = &mut self.broker;
        let mut opened = self.disk.tell(|placed, record| {
            broker.restore(placed, record);
        });
        opened.damaged_through = cleaned;
        self.broker.start_journal(opened, self.now);
        self.settle();
    }

    /// Puts records on the disk as if a broker had.
    pub fn write_records(&mut self, records: &[Record<'_>]) {
        self.disk = Disk::default();
        self.disk.fill(records.iter().copied());
    }

    /// The journal does one batch, if there is one.
    pub fn write(&mut self) -> bool {
        let is_busy = self.disk.write(&mut self.broker);
        if is_busy {
            self.report();
        }
        is_busy
    }

    /// The journal says what it has to say.
    pub fn report(&mut self) {
        self.broker.durable(self.disk.report, self.now);
        self.settle();
    }

    /// One read is answered, if one was asked for.
    pub fn read(&mut self) -> bool {
        self.ask();
        let Some(read) = self.reads.pop_front() else {
            return false;
        };
        self.broker.fetched(read, self.disk.read(read), self.now);
        self.settle();
        true
    }

    /// How many reads are under way.
    pub fn ask(&mut self) -> usize {
        let asked = std::iter::from_fn(|| self.broker.poll_fetch());
        self.reads.extend(asked);
        self.reads.len()
    }

    /// The disk does everything there is to do.
    pub fn rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let has_read = self.read();
            if !self.write() && !has_read {
                return;
            }
        }
        panic!("the journal never comes to rest");
    }
}

/// It is presented twice, since what is held under its packet identifier has to be read.
#[test]
fn a_message_that_waits_for_another_to_be_compared_with_is_counted_once() {
    for new in ["new", "old"] {
        let mut world = World::kept(Settings::default());
        kept::sleeper(&mut world, "sub", "a");
        let client = kept::lasting(&mut world, "p");
        let say = |payload: &'static str| kept::message("a", payload.as_bytes(), QoS::ExactlyOnce);
        kept::say(&mut world, client, &say("old"));
        world.restart(None);
        let client = kept::lasting(&mut world, "p");
        while world.write() {}
        let counts = |world: &World| {
            let stats = &world.broker.stats;
            let messages = (stats.messages_received, stats.publish_received);
            (messages, stats.publish_bytes_received, stats.bytes_received)
        };
        let ((messages, publishes), payloads, bytes) = counts(&world);
        let packet = publish(Version::V311, &say(new));
        world.send(client, &packet);
        world.packets(client);
        assert_eq!(world.ask(), 1, "the old one is read");
        world.rest();
        assert_eq!(world.packets(client), ["PUBREC 7 0x00"]);
        let bytes = bytes + packet.len() as u64;
        let one_more = ((messages + 1, publishes + 1), payloads + 3, bytes);
        assert_eq!(counts(&world), one_more);
    }
}

/// Each batch is a sync: tens of thousands of messages that have expired would keep a client from
/// the fresh one behind them for a minute on a slow card, and wear it out.
#[test]
fn a_queue_of_expired_messages_does_not_wait_for_the_disk_again_and_again() {
    let mut world = World::kept(Settings {
        max_inflight_messages: 10,
        max_queued_messages: 0,
        ..Settings::default()
    });
    kept::sleeper(&mut world, "sub", "a");
    let publisher = world.connect(&hello(Version::V5, "p"));
    let expiry = properties(&[(PropertyId::MessageExpiryInterval, 1)]);
    let stale = Publish {
        properties: Properties::from_encoded(&expiry),
        ..kept::message("a", b"stale", QoS::ExactlyOnce)
    };
    for _ in 0..1000 {
        kept::say(&mut world, publisher, &stale);
        world.send(publisher, &ack(Version::V5, PacketType::PubRel, 7));
    }
    let fresh = kept::message("a", b"fresh", QoS::AtLeastOnce);
    kept::say(&mut world, publisher, &fresh);
    world.pass(2000);
    let client = kept::lasting(&mut world, "sub");
    let mut batches = 0;
    while world.read() || world.write() {
        batches += 1;
    }
    let got = world.packets(client);
    assert_eq!(got[1..], ["PUBLISH q1 'a' fresh"]);
    assert!(batches < 10, "{batches}");
    assert_eq!(world.broker.stats.publish_dropped, 1000);
}

/// As on a gateway without a battery clock that learns the date while nobody says anything: after
/// the next boot the months between the two dates must not count as time that it was away.
#[test]
fn a_calendar_that_was_put_right_is_recorded_by_itself() {
    let mut world = World::kept(Settings::default());
    world.now.wall_ms += 150 * 24 * 3600 * 1000;
    world.pass(1000);
    world.rest();
    let mut newest = None;
    world.disk.tell(|_, record| {
        if let Record::Clock(clock) = record {
            newest = Some((clock.wall_ms, clock.log_ms));
        }
    });
    assert_eq!(newest, Some((world.now.wall_ms, world.now.mono_ms)));
    world.pass(1000);
    assert!(!world.write(), "once is enough");
}
