//! One round: a broker under load that is killed and started again, some times over, and drained.

use crate::bell::{Bell, Moment, Sound};
use crate::broker::{Broker, Program};
use crate::churn::Churn;
use crate::client::Client;
use crate::common::packet::*;
use crate::ledger::{Ledger, Report, Rule};
use crate::link::Link;
use crate::publisher::Publisher;
use crate::subscriber::{Manner, Subscriber};
use mio::{Events, Poll};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a client of the load may use in its turn.
pub struct Scene<'a> {
    broker: &'a Broker,
    poll: &'a Poll,
    bell: &'a mut Bell,
    pub rng: &'a mut fastrand::Rng,
    /// Nothing new is published, and everybody takes what comes.
    pub is_draining: bool,
    /// Messages that each publisher may send in this turn.
    pub tokens: f64,
}

impl Scene<'_> {
    /// A new connection; none when the broker is dead.
    pub fn link(&mut self, version: Version) -> Option<Link> {
        if self.is_dead() {
            return None;
        }
        match self.broker.stream() {
            Ok(stream) => Some(Link::new(stream, version, self.poll.registry())),
            Err(_) if self.is_dead() => None,
            Err(e) => panic!("no connection to the broker: {e}\n{}", self.broker.log()),
        }
    }

    /// What the broker says about a client, for a report.
    pub fn log_of(&self, name: &str) -> String {
        let log = self.broker.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(name)).collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    pub fn is_dead(&self) -> bool {
        self.bell.is_dead()
    }

    pub fn hear(&mut self, sound: Sound) {
        self.bell.hear(sound);
    }
}

/// How a life of the broker ends, at the latest.
const LIFE_MAX: Duration = Duration::from_millis(1500);
/// Messages of all publishers in one life, about: they are drained for each subscriber.
const MESSAGES: f64 = 1200.0;
const PUBLISHERS: usize = 4;
/// What part of the limit something may be missing before it is lost.
const PATIENCE: u32 = 8;

struct World {
    broker: Broker,
    poll: Poll,
    rng: fastrand::Rng,
    ledger: Ledger,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    churn: Churn,
}

/// What a round is about.
pub struct Plan<'a> {
    pub seed: u64,
    pub program: Program,
    /// Lines of its configuration.
    pub conf: &'a str,
    /// How and when it is ended, once for each; none: at random.
    pub kills: Option<Vec<(Signal, Moment)>>,
    /// Load without a kill, before anything else.
    pub peace: Duration,
}

impl Plan<'_> {
    pub fn random(seed: u64) -> Plan<'static> {
        Plan {
            seed,
            program: Program::from_environment(),
            conf: "",
            kills: None,
            peace: Duration::ZERO,
        }
    }
}

/// Plays one round; everything random in it comes from the seed, but the clocks of the machine.
pub fn round(plan: Plan<'_>) -> Report {
    let mut rng = fastrand::Rng::with_seed(plan.seed);
    let kills = plan.kills.unwrap_or_else(|| {
        let lives = rng.u32(2..=4);
        (0..lives).map(|_| random_kill(&mut rng)).collect()
    });
    let mut conf = plan.conf.to_string();
    if plan.program.is_midge() {
        // With less than usual many messages have to be read back.
        let caches = ["", "memory_cache 0", "memory_cache 100000"];
        conf = format!("{conf}\n{}", caches[rng.usize(..3)]);
    }
    let mut world = World::new(rng, Broker::run(plan.program, &conf));
    world.subscribe();
    world.peace(plan.peace);
    for (at, kill) in kills.into_iter().enumerate() {
        // Now and then while queues are emptied.
        let is_draining = at > 0 && world.rng.u8(..3) == 0;
        let who = [Players::All, Players::Drain][usize::from(is_draining)];
        world.life(kill, who);
        world.start_again();
        world.check_retained();
        world.churn.check(&world.broker, &mut world.ledger);
    }
    world.drain();
    world.check_retained();
    for subscriber in &world.subscribers {
        subscriber.check_end(&mut world.ledger);
    }
    world.ledger.close()
}

/// Mostly SIGKILL; what an end in good order leaves behind has to be right as well.
fn random_kill(rng: &mut fastrand::Rng) -> (Signal, Moment) {
    let signal = match rng.u8(..8) {
        0 => Signal::SIGTERM,
        _ => Signal::SIGKILL,
    };
    (signal, Moment::random(rng))
}

impl World {
    fn new(mut rng: fastrand::Rng, broker: Broker) -> World {
        let mut ledger = Ledger::new(PUBLISHERS);
        let versions = [Version::V311, Version::V5];
        let publishers = (0..PUBLISHERS)
            .map(|i| Publisher::new(i, versions[i % 2], 1 + i as u8 / 2, &mut rng))
            .collect();
        let mut subscribers = Vec::new();
        for manner in Manner::ALL {
            for qos in [1, 2] {
                let version = versions[rng.usize(..2)];
                subscribers.push(Subscriber::new(manner, version, qos, &mut ledger));
            }
        }
        World {
            broker,
            poll: Poll::new().unwrap(),
            churn: Churn::new(rng.fork()),
            rng,
            ledger,
            publishers,
            subscribers,
        }
    }

    /// One turn for everybody who plays.
    fn turn(&mut self, bell: &mut Bell, who: Players, tokens: f64) {
        let mut scene = Scene {
            broker: &self.broker,
            poll: &self.poll,
            bell,
            rng: &mut self.rng,
            is_draining: who == Players::Drain,
            tokens,
        };
        if who != Players::Subscribers {
            for publisher in &mut self.publishers {
                publisher.turn(&mut scene, &mut self.ledger);
            }
        }
        for subscriber in &mut self.subscribers {
            subscriber.turn(&mut scene, &mut self.ledger);
        }
        if who == Players::All {
            self.churn.turn(&mut scene, &mut self.ledger);
        }
        let mut events = Events::with_capacity(64);
        let _ = self.poll.poll(&mut events, Some(Duration::from_millis(1)));
    }

    /// Nothing is published before every subscription is promised.
    fn subscribe(&mut self) {
        let mut bell = Bell::silent(self.broker.pid());
        let start = Instant::now();
        while !self.subscribers.iter().all(Subscriber::is_ready) {
            self.turn(&mut bell, Players::Subscribers, 0.0);
            assert!(
                start.elapsed() < self.broker.limit(),
                "no SUBACK: {}",
                self.broker.log()
            );
        }
    }

    /// Load for some time.
    fn peace(&mut self, time: Duration) {
        let mut bell = Bell::silent(self.broker.pid());
        let start = Instant::now();
        while start.elapsed() < time {
            self.turn(&mut bell, Players::All, 1.0);
        }
    }

    /// Load, until the broker is dead and everybody has noticed.
    fn life(&mut self, (signal, moment): (Signal, Moment), who: Players) {
        let slower = self.broker.slower();
        let (moment, span) = match moment {
            Moment::After(time) => (Moment::After(time * slower), time * slower),
            Moment::Heard(..) => (moment, LIFE_MAX / 2 * slower),
        };
        let mut bell = Bell::set(self.broker.pid(), signal, moment, LIFE_MAX * slower);
        let rate = MESSAGES / PUBLISHERS as f64 / span.as_secs_f64();
        let mut last = Instant::now();
        while !bell.is_dead() {
            let now = Instant::now();
            let tokens = rate * (now - last).as_secs_f64();
            last = now;
            self.turn(&mut bell, who, tokens);
        }
        self.ledger.ended(signal.as_str());
        self.broker.gone();
        self.hang_up(&mut bell);
        for subscriber in &mut self.subscribers {
            subscriber.outlive(&self.ledger);
        }
    }

    /// Sometimes it is killed while it starts, too.
    fn start_again(&mut self) {
        while self.rng.u8(..4) == 0 {
            self.broker.spawn();
            let time = Duration::from_micros(self.rng.u64(..20_000));
            let bell = Bell::set(
                self.broker.pid(),
                Signal::SIGKILL,
                Moment::After(time),
                LIFE_MAX,
            );
            let status = self.broker.gone();
            assert!(bell.is_dead(), "{status}: {}", self.broker.log());
            self.ledger.ended(Signal::SIGKILL.as_str());
        }
        self.broker.start_again();
    }

    /// Turns until nobody has a link to the dead broker: what it said before it died is still in
    /// the sockets.
    fn hang_up(&mut self, bell: &mut Bell) {
        let start = Instant::now();
        let is_linked = |world: &World| {
            world.publishers.iter().any(Publisher::is_linked)
                || world.subscribers.iter().any(Subscriber::is_linked)
                || world.churn.is_linked()
        };
        while is_linked(self) {
            self.turn(bell, Players::All, 0.0);
            assert!(
                start.elapsed() < self.broker.limit(),
                "links to a dead broker"
            );
        }
    }

    /// Everybody finishes; the last message of each publisher tells the others that it is over.
    fn drain(&mut self) {
        let mut bell = Bell::silent(self.broker.pid());
        let start = Instant::now();
        let mut has_last = false;
        loop {
            self.turn(&mut bell, Players::Drain, 0.0);
            // Who has lost its subscription had to subscribe again.
            let is_idle = self.publishers.iter().all(Publisher::is_idle)
                && self.subscribers.iter().all(Subscriber::is_here);
            if is_idle && !has_last {
                has_last = true;
                for publisher in &mut self.publishers {
                    publisher.send_last(&mut self.ledger);
                }
            } else if is_idle && self.subscribers.iter().all(|s| s.has_last(PUBLISHERS)) {
                break;
            }
            if start.elapsed() > self.broker.limit() {
                self.report_stuck();
                return;
            }
        }
        self.settle(&mut bell);
    }

    /// What is unfinished finishes at once; what is missing has some more time, so that a broker
    /// that mixes topics is not called one that loses.
    fn settle(&mut self, bell: &mut Bell) {
        let start = Instant::now();
        let is_settled = |world: &World| {
            let mut subscribers = world.subscribers.iter();
            subscribers.all(|s| s.is_done() && !world.ledger.owes(s.reader()))
        };
        while start.elapsed() < self.broker.limit() / PATIENCE && !is_settled(self) {
            self.turn(bell, Players::Drain, 0.0);
        }
    }

    fn report_stuck(&mut self) {
        let publishers = self.publishers.iter().filter(|p| !p.is_idle());
        let subscribers = self.subscribers.iter().filter(|s| !s.has_last(PUBLISHERS));
        let states: Vec<String> = publishers
            .map(Publisher::state)
            .chain(subscribers.map(Subscriber::state))
            .collect();
        for state in states {
            self.ledger.fault(Rule::Stuck, state);
        }
    }

    /// Asks for every retained value: what comes first for a topic is the value, or the live
    /// message behind it, and then there is none.
    fn check_retained(&mut self) {
        let topics = self.ledger.retained_topics();
        if topics.is_empty() {
            return;
        }
        let mut probe = self.broker.client(Version::V311, "probe");
        let subscribe = topics.iter().fold(Subscribe::new(1), |s, t| s.filter(t, 0));
        probe.subscribe_by(subscribe);
        let mut found = BTreeMap::new();
        for topic in topics {
            probe.say(Publish::new(&topic, "live"));
            take_retained(&mut probe, &topic, &mut found);
        }
        probe.leave();
        self.ledger.check_retained(&found);
    }
}

/// Hears until the live message of this topic.
fn take_retained(probe: &mut Client, topic: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    loop {
        let publish = match probe.hear() {
            Packet::Publish(publish) => publish,
            other => panic!("not retained: {other:?}"),
        };
        if publish.retain {
            found.insert(publish.topic, publish.payload);
        } else if publish.topic == topic {
            return;
        }
    }
}

/// Who has turns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Players {
    Subscribers,
    All,
    Drain,
}
