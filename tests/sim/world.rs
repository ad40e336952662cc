//! One world from its first moment to the check of the books.

use std::collections::BTreeMap;
use std::fmt;

use fastrand::Rng;
use midge::broker::Settings;
use midge::wire::PacketType;

use crate::client::{Line, Manner, Publisher, Subscriber};
use crate::common::packet::*;
use crate::host::Host;

/// What happened in some worlds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    pub worlds: u64,
    pub crashes: u64,
    pub acknowledged: u64,
    pub owed: u64,
    /// Segments that were cleaned.
    pub cleaned: u64,
    /// Operations of the disk that failed.
    pub failed: u64,
}

impl Report {
    pub fn add(&mut self, other: Report) {
        self.worlds += other.worlds;
        self.crashes += other.crashes;
        self.acknowledged += other.acknowledged;
        self.owed += other.owed;
        self.cleaned += other.cleaned;
        self.failed += other.failed;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            worlds,
            crashes,
            acknowledged,
            owed,
            cleaned,
            failed,
        } = self;
        write!(
            f,
            "{worlds} worlds, {crashes} crashes, {acknowledged} messages acknowledged, {owed} \
             deliveries owed, {cleaned} segments cleaned, {failed} lives with a failing disk"
        )
    }
}

struct World {
    rng: Rng,
    host: Host,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    /// A client that keeps its session and throws it away by turns.
    fickle: Fickle,
    /// Counts everything that happens.
    moment: u64,
    report: Report,
}

/// What a client knows that changes its mind about sessions.
struct Fickle {
    line: Line,
    /// What the CONNECT asks for that is not answered yet.
    is_clean: bool,
    /// Whether there is a session for sure; `None` while a CONNECT without an answer leaves it
    /// open.
    has_session: Option<bool>,
    /// What CONNACK has to say about it.
    expected: Option<bool>,
}

/// Runs the world of a seed; `ungated` is a packet whose gate is left out.
pub fn run(seed: u64, ungated: Option<PacketType>) -> Result<Report, String> {
    let mut rng = Rng::with_seed(seed);
    let settings = Settings {
        sys_interval: 0,
        max_queued_messages: 0,
        connect_timeout: u32::MAX / 2000,
        memory_cache: if rng.bool() { 0 } else { 8_000_000 },
        ungated,
        ..Settings::default()
    };
    let mut world = World {
        host: Host::new(settings, rng.u64(..)),
        publishers: vec![
            Publisher::new("one-a", Version::V311, 1),
            Publisher::new("one-b", Version::V5, 1),
            Publisher::new("two-a", Version::V311, 2),
            Publisher::new("two-b", Version::V5, 2),
        ],
        subscribers: vec![
            Subscriber::new("prompt-1", Version::V311, 1, Manner::Prompt),
            Subscriber::new("prompt-2", Version::V5, 2, Manner::Prompt),
            Subscriber::new("slow-2", Version::V311, 2, Manner::Slow),
            Subscriber::new("slow-1", Version::V5, 1, Manner::Slow),
        ],
        fickle: Fickle {
            line: Line::default(),
            is_clean: false,
            has_session: Some(false),
            expected: None,
        },
        moment: 0,
        report: Report {
            worlds: 1,
            ..Report::default()
        },
        rng,
    };
    for _ in 0..world.rng.u32(1..6) {
        world.live()?;
    }
    world.settle()?;
    world.check()?;
    Ok(world.report)
}

impl World {
    /// One life of the broker, until the power goes.
    fn live(&mut self) -> Result<(), String> {
        let steps = self.rng.u32(20..600);
        if self.rng.u8(..) < 60 {
            self.host.disk.set_failing(self.rng.u32(4..40));
            self.report.failed += 1;
            self.pardon_order();
        }
        let is_full = self.rng.u8(..) < 40;
        if is_full {
            self.pardon_order();
            self.host.disk.set_free(self.rng.u64(0..100_000));
        }
        // The last operations are counted: the power goes between any two.
        let fuse_at = self.rng.u32(0..steps);
        for step in 0..steps {
            if step == fuse_at {
                self.host.disk.set_fuse(self.rng.u64(0..30));
            }
            if step == steps / 2 && is_full {
                self.host.disk.set_free(u64::MAX);
            }
            self.step()?;
            if self.host.disk.is_off() && self.rng.u8(..) < 50 {
                break;
            }
        }
        self.report.crashes += 1;
        let wall_ms = match self.rng.u8(0..6) {
            0 => 0,
            1 => self
                .host
                .now
                .wall_ms
                .saturating_add(50 * 365 * 24 * 3_600_000),
            2 => self.host.now.wall_ms.saturating_sub(3_600_000),
            3 => self.host.now.wall_ms.saturating_add(3_600_000),
            _ => self.host.now.wall_ms,
        };
        self.host.crash(wall_ms);
        for publisher in &mut self.publishers {
            publisher.line.hang_up(&mut self.host);
        }
        for subscriber in &mut self.subscribers {
            subscriber.line.hang_up(&mut self.host);
        }
        self.fickle.line.hang_up(&mut self.host);
        Ok(())
    }

    fn pardon_order(&mut self) {
        for subscriber in &mut self.subscribers {
            subscriber.pardons_order = true;
        }
    }

    /// One thing happens.
    fn step(&mut self) -> Result<(), String> {
        self.moment += 1;
        let World { rng, host, .. } = self;
        match rng.u8(0..100) {
            0..45 => {
                let publisher = &mut self.publishers[rng.usize(0..4)];
                if !publisher.line.is_up(host) {
                    publisher.connect(host);
                } else if rng.u8(..) < 4 {
                    publisher.line.hang_up(host);
                } else {
                    let topic = *rng.choice(&["t/1", "t/2", "u/1"]).expect("there are some");
                    let padding = if rng.u8(..) < 20 {
                        3000
                    } else {
                        rng.usize(0..100)
                    };
                    publisher.publish(host, topic, padding, self.moment);
                }
            }
            45..65 => {
                let subscriber = &mut self.subscribers[rng.usize(0..4)];
                if !subscriber.line.is_up(host) {
                    subscriber.connect(host);
                } else if rng.u8(..) < 20 {
                    subscriber.line.hang_up(host);
                } else if rng.u8(..) < 30 {
                    subscriber.subscribe(host, "t/#");
                } else if rng.u8(..) < 10 {
                    subscriber.subscribe(host, "u/+");
                } else {
                    subscriber.acknowledge(host);
                }
            }
            65..68 => self.fickle.act(host, rng),
            68..88 => host.write(),
            88..96 => host.read(rng),
            _ => host.advance(rng.u64(1..500)),
        }
        self.everybody_hears()
    }

    fn everybody_hears(&mut self) -> Result<(), String> {
        let host = &mut self.host;
        host.serve();
        for publisher in &mut self.publishers {
            publisher.hear(host)?;
        }
        for subscriber in &mut self.subscribers {
            subscriber.hear(host, self.moment)?;
        }
        self.fickle.hear(host)
    }

    /// A last life, without a crash, in which everybody gets everything.
    fn settle(&mut self) -> Result<(), String> {
        for round in 0..20_000 {
            self.moment += 1;
            let host = &mut self.host;
            for publisher in &mut self.publishers {
                // What got no answer while the disk was full is said again on a new connection.
                if !publisher.line.is_up(host) || round % 200 == 199 && !publisher.is_idle() {
                    publisher.line.hang_up(host);
                    publisher.connect(host);
                }
            }
            for subscriber in &mut self.subscribers {
                subscriber.manner = Manner::Prompt;
                if !subscriber.line.is_up(host) {
                    subscriber.connect(host);
                }
                subscriber.acknowledge(host);
            }
            host.write();
            host.read(&mut self.rng);
            host.advance(1);
            self.everybody_hears()?;
            let is_done = self.publishers.iter().all(Publisher::is_idle) && self.host.is_quiet();
            if is_done && round > 50 {
                // Once more around, for what was set free by the last acknowledgements.
                return self.finish();
            }
        }
        Err("it never comes to rest".to_owned())
    }

    fn finish(&mut self) -> Result<(), String> {
        let mut quiet = 0;
        while quiet < 50 {
            let heard: usize = self.heard();
            self.host.write();
            self.host.read(&mut self.rng);
            self.everybody_hears()?;
            let is_still = self.heard() == heard && self.host.is_quiet();
            quiet = if is_still { quiet + 1 } else { 0 };
        }
        self.report.cleaned += u64::from(self.host.newest_segment() > self.host.segments() + 2);
        Ok(())
    }

    fn heard(&self) -> usize {
        let heard = self.subscribers.iter().flat_map(|s| s.heard.values());
        heard.map(Vec::len).sum()
    }

    /// The books: who had SUBACK before a message was sent, has it if it was acknowledged.
    fn check(&mut self) -> Result<(), String> {
        for publisher in &self.publishers {
            self.report.acknowledged += publisher.acknowledged.len() as u64;
            for subscriber in &self.subscribers {
                let qos = publisher.qos.min(subscriber.qos);
                let empty = Vec::new();
                let name = format!("{}{qos}", publisher.name);
                let heard = subscriber.heard.get(&name).unwrap_or(&empty);
                let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
                for number in heard {
                    *counts.entry(*number).or_default() += 1;
                }
                for (number, topic) in &publisher.acknowledged {
                    let filter = if topic.starts_with('t') { "t/#" } else { "u/+" };
                    let granted = subscriber.granted.get(filter);
                    let is_owed = granted.is_some_and(|at| *at < publisher.sent_at[number]);
                    self.report.owed += u64::from(is_owed);
                    if is_owed && !counts.contains_key(number) {
                        return Err(format!(
                            "{} never got {}:{number} on {topic}, which was acknowledged",
                            subscriber.name, publisher.name
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Fickle {
    fn act(&mut self, host: &mut Host, rng: &mut Rng) {
        if self.line.is_up(host) && rng.bool() {
            return self.line.hang_up(host);
        }
        self.line.hang_up(host);
        self.is_clean = rng.bool();
        self.line.dial(host, Version::V5, "fickle", self.is_clean);
        self.expected = self.has_session.filter(|_| !self.is_clean);
        // Until the answer is there it may be as before or as asked for.
        let will_have = !self.is_clean;
        self.has_session = self.has_session.filter(|&has| has == will_have);
    }

    fn hear(&mut self, host: &mut Host) -> Result<(), String> {
        for packet in self.line.read(host, Version::V5)? {
            let Packet::ConnAck(connack) = packet else {
                return Err(format!("fickle got {}", packet.name()));
            };
            if connack.code != 0 {
                continue;
            }
            let present = connack.session_present;
            if self.expected.is_some_and(|expected| expected != present) {
                return Err(format!(
                    "fickle's session: {present}, although told otherwise"
                ));
            }
            self.has_session = Some(!self.is_clean);
        }
        Ok(())
    }
}
