//! One world from its first moment to the check of the books.

use fastrand::Rng;
use midge::broker::Settings;
use midge::wire::PacketType;

use crate::books::{Report, check};
use crate::common::packet::*;
use crate::fickle::Fickle;
use crate::host::Host;
use crate::mourner::Mourner;
use crate::note;
use crate::publisher::{Habits, Publisher};
use crate::reader::Reader;
use crate::subscriber::{Manner, Subscriber};

pub struct World {
    rng: Rng,
    pub host: Host,
    pub publishers: Vec<Publisher>,
    pub subscribers: Vec<Subscriber>,
    pub mourners: Vec<Mourner>,
    fickle: Fickle,
    reader: Reader,
    /// Counts everything that happens.
    moment: u64,
    /// The disk failed or was full: what got no answer may come later than what followed it, and
    /// what nobody waited for may be lost.
    pub had_trouble: bool,
    pub report: Report,
}

/// Runs the world of a seed; `ungated` is a packet whose gate is left out.
pub fn run(seed: u64, ungated: Option<PacketType>) -> Result<Report, String> {
    let mut rng = Rng::with_seed(seed);
    let settings = Settings {
        sys_interval: 0,
        max_queued_messages: 0,
        connect_timeout: u32::MAX / 2000,
        // The clock leaps while half a packet is on the line.
        min_packet_rate: 0,
        memory_cache: if rng.bool() { 0 } else { 8_000_000 },
        ungated,
        ..Settings::default()
    };
    let mut world = World::new(Host::new(settings, rng.u64(..)), rng);
    for _ in 0..world.rng.u32(1..6) {
        world.live()?;
        if world.rng.u8(0..4) == 0 {
            world.rest()?;
        }
    }
    world.rest()?;
    world.report.cleaned += u64::from(world.host.newest_segment() > world.host.segments() + 2);
    world.report.sessions += world.fickle.checked;
    Ok(world.report)
}

fn publishers() -> Vec<Publisher> {
    let lasting = Habits {
        window: 4,
        ..Habits::default()
    };
    let clean = Habits {
        is_clean: true,
        ..lasting
    };
    let forgetful = Habits {
        forgets: true,
        ..lasting
    };
    // One at a time: which of two is the last is known then.
    let retaining = Habits {
        retains: true,
        window: 1,
        ..lasting
    };
    vec![
        Publisher::new("one-a", Version::V311, 1, lasting),
        Publisher::new("one-b", Version::V5, 1, lasting),
        Publisher::new("two-a", Version::V311, 2, lasting),
        Publisher::new("two-b", Version::V5, 2, lasting),
        Publisher::new("clean", Version::V5, 1, clean),
        Publisher::new("forgetful", Version::V311, 2, forgetful),
        Publisher::new("kept-a", Version::V311, 1, retaining),
        Publisher::new("kept-b", Version::V5, 2, retaining),
    ]
}

fn subscribers() -> Vec<Subscriber> {
    use Manner::{Never, Prompt, Slow};
    use Version::{V5, V311};
    let all = ["t/#", "u/+", "w/1"];
    let shared = ["$share/g/t/#"];
    vec![
        Subscriber::new("prompt-1", V311, 1, Prompt, &all),
        Subscriber::new("prompt-2", V5, 2, Prompt, &all),
        Subscriber::new("slow-2", V311, 2, Slow, &all),
        Subscriber::new("slow-1", V5, 1, Slow, &all),
        Subscriber::new("never-2", V5, 2, Never, &all),
        Subscriber::new("share-a", V5, 2, Slow, &shared),
        Subscriber::new("share-b", V311, 2, Prompt, &shared),
    ]
}

impl World {
    fn new(host: Host, rng: Rng) -> World {
        World {
            host,
            publishers: publishers(),
            subscribers: subscribers(),
            mourners: vec![
                Mourner::new("will-a", Version::V311, 0, true),
                Mourner::new("will-b", Version::V5, 30, true),
                Mourner::new("will-c", Version::V311, 0, false),
            ],
            fickle: Fickle::new(),
            reader: Reader::default(),
            moment: 0,
            had_trouble: false,
            report: Report {
                worlds: 1,
                ..Report::default()
            },
            rng,
        }
    }

    /// One life of the broker, until the power goes or somebody kills it.
    fn live(&mut self) -> Result<(), String> {
        let steps = self.rng.u32(20..600);
        if self.rng.u8(..) < 60 {
            self.host.disk.set_failing(self.rng.u32(4..40));
            self.report.failed += 1;
            self.had_trouble = true;
        }
        let is_full = self.rng.u8(..) < 40;
        if is_full {
            self.had_trouble = true;
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
        self.end();
        Ok(())
    }

    fn end(&mut self) {
        self.report.crashes += 1;
        self.fickle.part(&self.host);
        self.mourners.iter_mut().for_each(Mourner::part);
        if self.rng.u8(0..4) == 0 {
            note(|| "killed".to_owned());
            self.host.kill();
        } else {
            let wall_ms = self.calendar();
            note(|| format!("the power goes; the calendar says {wall_ms}"));
            self.host.crash(wall_ms);
        }
        for publisher in &mut self.publishers {
            publisher.line.hang_up(&mut self.host);
        }
        for subscriber in &mut self.subscribers {
            subscriber.line.hang_up(&mut self.host);
        }
        self.reader.hang_up(&mut self.host);
    }

    /// What the calendar may say when somebody looks again.
    fn calendar(&mut self) -> u64 {
        const HOUR_MS: u64 = 3_600_000;
        const FIFTY_YEARS_MS: u64 = 50 * 365 * 24 * HOUR_MS;
        let wall_ms = self.host.now.wall_ms;
        match self.rng.u8(0..8) {
            0 => 0,
            1 => wall_ms.saturating_add(FIFTY_YEARS_MS),
            2 => wall_ms.saturating_sub(FIFTY_YEARS_MS),
            3 => wall_ms.saturating_sub(HOUR_MS),
            4 => wall_ms.saturating_add(HOUR_MS),
            _ => wall_ms,
        }
    }

    /// One thing happens.
    fn step(&mut self) -> Result<(), String> {
        self.moment += 1;
        note(|| format!("-- {}", self.moment));
        match self.rng.u8(0..100) {
            0..45 => self.publish(),
            45..65 => self.subscribe(),
            65..67 => self.fickle.act(&mut self.host, &mut self.rng),
            67 => {
                let which = self.rng.usize(0..self.mourners.len());
                self.mourners[which].act(&mut self.host, self.moment);
            }
            68..86 => self.host.write(),
            86..94 => self.host.read(),
            94 => self.host.stuff(),
            95 => self.reader.connect(&mut self.host),
            96 if self.rng.u8(0..8) == 0 => {
                let wall_ms = self.calendar();
                self.host.set_calendar(wall_ms);
            }
            97 if self.rng.u8(0..8) == 0 => {
                let ms = self.rng.u64(1_000..4_000_000);
                self.host.advance(ms);
            }
            _ => self.host.advance(self.rng.u64(1..500)),
        }
        self.everybody_hears()
    }

    fn publish(&mut self) {
        let World { rng, host, .. } = self;
        let which = rng.usize(0..self.publishers.len());
        let publisher = &mut self.publishers[which];
        if !publisher.line.is_up(host) {
            return publisher.connect(host);
        }
        if rng.u8(..) < 4 {
            return publisher.line.hang_up(host);
        }
        let topics = match publisher.name {
            "kept-a" => ["r/1", "r/2", "r/2"],
            "kept-b" => ["r/3", "r/4", "r/4"],
            _ => ["t/1", "t/2", "u/1"],
        };
        let topic = topics[rng.usize(0..3)];
        let expiry_s = match rng.u8(0..8) {
            0 => 3600,
            1 => 60,
            _ => 0,
        };
        publisher.publish(host, topic, expiry_s, self.moment);
    }

    fn subscribe(&mut self) {
        let World { rng, host, .. } = self;
        let which = rng.usize(0..self.subscribers.len());
        let subscriber = &mut self.subscribers[which];
        if !subscriber.line.is_up(host) {
            return subscriber.connect(host);
        }
        let filters: Vec<&'static str> = subscriber.interests.keys().copied().collect();
        let filter = filters[rng.usize(0..filters.len())];
        match rng.u8(..) {
            0..20 => subscriber.line.hang_up(host),
            20..60 => subscriber.subscribe(host, filter, self.moment),
            60..66 if !filter.starts_with('$') => {
                subscriber.unsubscribe(host, filter, self.moment);
            }
            _ if subscriber.manner == Manner::Never => {}
            _ => subscriber.acknowledge(host),
        }
    }

    fn everybody_hears(&mut self) -> Result<(), String> {
        let host = &mut self.host;
        host.serve();
        for publisher in &mut self.publishers {
            publisher.hear(host, self.moment)?;
        }
        for subscriber in &mut self.subscribers {
            subscriber.hear(host, self.moment)?;
        }
        for mourner in &mut self.mourners {
            mourner.hear(host)?;
        }
        self.reader.hear(host, &self.publishers)?;
        self.fickle.hear(host)
    }

    /// Nothing new is said until everybody has got everything; then the books are checked.
    fn rest(&mut self) -> Result<(), String> {
        let manners: Vec<Manner> = self.subscribers.iter().map(|s| s.manner).collect();
        for subscriber in &mut self.subscribers {
            subscriber.manner = Manner::Prompt;
        }
        self.host.unstuff();
        self.settle()?;
        // Who has not come back by now is dead.
        self.host.advance(60_000);
        self.calm()?;
        self.read_retained()?;
        check(self)?;
        for (subscriber, manner) in self.subscribers.iter_mut().zip(manners) {
            subscriber.manner = manner;
        }
        self.mourners.iter_mut().for_each(Mourner::forgive);
        Ok(())
    }

    /// Until all publishers are done.
    fn settle(&mut self) -> Result<(), String> {
        for round in 0..20_000 {
            for publisher in &mut self.publishers {
                // What got no answer while the disk was full is said again on a new connection.
                let is_stuck = round % 200 == 199 && !publisher.is_idle();
                if !publisher.line.is_up(&self.host) || is_stuck {
                    publisher.line.hang_up(&mut self.host);
                    publisher.connect(&mut self.host);
                }
            }
            self.go_on()?;
            let is_done = self.publishers.iter().all(Publisher::is_idle) && self.host.is_quiet();
            if is_done && round > 50 {
                return Ok(());
            }
        }
        Err("it never comes to rest".to_owned())
    }

    /// Until nobody hears anything any more.
    fn calm(&mut self) -> Result<(), String> {
        let mut quiet = 0;
        for _ in 0..20_000 {
            let heard = self.heard();
            self.go_on()?;
            let is_still = self.heard() == heard && self.host.is_quiet();
            quiet = if is_still { quiet + 1 } else { 0 };
            if quiet == 50 {
                return Ok(());
            }
        }
        Err("there is always more to hear".to_owned())
    }

    fn go_on(&mut self) -> Result<(), String> {
        self.moment += 1;
        for subscriber in &mut self.subscribers {
            if !subscriber.line.is_up(&self.host) {
                subscriber.connect(&mut self.host);
            }
            subscriber.acknowledge(&mut self.host);
        }
        self.host.write();
        self.host.read();
        self.host.advance(1);
        self.everybody_hears()
    }

    fn read_retained(&mut self) -> Result<(), String> {
        self.reader.connect(&mut self.host);
        for _ in 0..20_000 {
            self.go_on()?;
            if !self.reader.is_up(&self.host) {
                self.reader.connect(&mut self.host);
            }
            if self.reader.is_answered() {
                self.calm()?;
                self.report.retained += self.reader.check(&self.publishers)?;
                return Ok(());
            }
        }
        Err("the reader gets no answer".to_owned())
    }

    fn heard(&self) -> usize {
        self.subscribers.iter().map(|s| s.heard.len()).sum()
    }
}
