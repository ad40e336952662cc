//! The scenarios: what each sets up, runs and reports.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::broker::{Broker, Contestant};
use crate::flow::{self, Flow};
use crate::net::Net;
use crate::table::{Sink, Unit};
use crate::{client, proc};

mod backlog;
mod cleaning;
mod encrypted;
mod fairness;
mod held;
mod queue;
pub mod tables;
pub mod throughput;
mod turns;
mod wear;

/// What a run is given.
pub struct Context<'a> {
    /// A folder on the disk that is to be measured.
    pub dir: &'a Path,
    /// The whole sizes, not those for a quick look.
    pub full: bool,
}

/// A scenario: rows of the table that come from one broker process.
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    /// The brokers that it compares unless others are asked for.
    pub brokers: &'static [&'static str],
    /// Runs of each broker in a quick look, and with the whole sizes.
    pub runs: (u32, u32),
    pub run: fn(&Context<'_>, &Contestant, &mut Sink<'_>) -> Result<(), String>,
}

/// With persistence on, and without.
const LASTING: &[&str] = &["midge", "mosquitto", "mosquitto-save1"];
/// Where a save on each change would take hours.
const LASTING_LARGE: &[&str] = &["midge", "mosquitto"];
const MEMORY: &[&str] = &["midge-memory", "mosquitto-memory"];

/// All scenarios, in the order in which they run.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "queue",
        about: "QoS 1 of 100 bytes into an offline session, windows 1, 10, 100 and 20 x 20",
        brokers: LASTING,
        runs: (1, 3),
        run: queue::offline,
    },
    Scenario {
        name: "online",
        about: "QoS 1 of 100 bytes from 20 publishers, window 20, to a lasting session at hand",
        brokers: LASTING,
        runs: (1, 3),
        run: queue::online,
    },
    Scenario {
        name: "backlog",
        about: "1,000,000 messages of 300 bytes (100,000) for one session: memory, start, drain",
        brokers: LASTING_LARGE,
        runs: (1, 3),
        run: backlog::run,
    },
    Scenario {
        name: "wear",
        about: "write amplification: 50,000 retained topics at random, queues that fill and drain",
        brokers: &["midge"],
        runs: (1, 1),
        run: wear::run,
    },
    Scenario {
        name: "cleaning",
        about: "the longest turn while 1 GB (200 MB) of log is cleaned, seen by a QoS 0 pair",
        brokers: &["midge"],
        runs: (1, 3),
        run: cleaning::run,
    },
    Scenario {
        name: "fan-in",
        about: "10 publishers to 1 subscriber at QoS 0, 1, 2; at most 800 under way each",
        brokers: MEMORY,
        runs: (3, 7),
        run: throughput::fan_in,
    },
    Scenario {
        name: "fan-out",
        about: "1 publisher to 100 subscribers at QoS 0, 1, 2; at most 200 (50) under way",
        brokers: MEMORY,
        runs: (3, 7),
        run: throughput::fan_out,
    },
    Scenario {
        name: "pairs",
        about: "100 publishers, each to its subscriber, at QoS 0, 1, 2; at most 16 under way each",
        brokers: MEMORY,
        runs: (3, 7),
        run: throughput::pairs,
    },
    Scenario {
        name: "single",
        about: "the same pairs with one message under way each, at QoS 0, 1",
        brokers: MEMORY,
        runs: (3, 7),
        run: throughput::single,
    },
    Scenario {
        name: "large",
        about: "4 publishers of 16 KiB (64 under way each) and 1 MiB (4), one subscriber, QoS 0",
        brokers: MEMORY,
        runs: (3, 7),
        run: throughput::large,
    },
    Scenario {
        name: "tls",
        about: "50 publishers, each to its subscriber, all encrypted, at QoS 0, 1; 16 under way",
        brokers: MEMORY,
        runs: (3, 7),
        run: encrypted::run,
    },
    Scenario {
        name: "filters",
        about: "publishes among 10k, 100k, 1M (10k, 100k) wildcard filters, with and without match",
        brokers: MEMORY,
        runs: (1, 3),
        run: tables::filters,
    },
    Scenario {
        name: "retained",
        about: "100k and 1M (20k) retained topics: stored, updated, fetched by # and by a/+/b",
        brokers: MEMORY,
        runs: (1, 3),
        run: tables::retained,
    },
    Scenario {
        name: "in-and-out",
        about: "50k and 500k (50k) messages queued for a session that is away, then delivered",
        brokers: MEMORY,
        runs: (1, 3),
        run: backlog::in_and_out,
    },
    Scenario {
        name: "idle",
        about: "10k (2k) idle connections with a subscription: memory, wake-ups, cost to connect",
        brokers: MEMORY,
        runs: (1, 3),
        run: held::idle,
    },
    Scenario {
        name: "start",
        about: "an empty broker: until it answers, and the memory it takes",
        brokers: MEMORY,
        runs: (5, 11),
        run: held::start,
    },
    Scenario {
        name: "latency",
        about: "one message a millisecond at QoS 0 and nothing else: wait and CPU",
        brokers: MEMORY,
        runs: (1, 3),
        run: held::latency,
    },
    Scenario {
        name: "fairness",
        about: "p99 of a quiet pair at QoS 0, 1: alone, and beside a publisher that floods",
        brokers: MEMORY,
        runs: (1, 3),
        run: fairness::run,
    },
    Scenario {
        name: "turns",
        about: "how long turns of the loop take while Midge does long jobs, as $SYS tells",
        brokers: &["midge-memory", "midge"],
        runs: (1, 3),
        run: turns::run,
    },
];

/// What happened between two moments.
pub struct Measured {
    wall: Duration,
    broker: Duration,
    generator: Duration,
    /// Messages into the broker, and out of it.
    incoming: u64,
    outgoing: u64,
    content_bytes: u64,
    device: u64,
}

/// A moment from which is measured.
struct Mark {
    at: Instant,
    usage: proc::Usage,
    own: Duration,
    done: u64,
    delivered: u64,
    content_bytes: u64,
}

impl Mark {
    fn new(broker: &Broker, flow: &Flow) -> Result<Self, String> {
        Ok(Self {
            usage: proc::usage(broker.pid())?,
            own: proc::own_cpu()?,
            done: flow.done,
            delivered: flow.delivered,
            content_bytes: flow.content_bytes,
            at: Instant::now(),
        })
    }

    fn until_now(&self, broker: &Broker, flow: &Flow) -> Result<Measured, String> {
        let wall = self.at.elapsed();
        let usage = proc::usage(broker.pid())?;
        Ok(Measured {
            wall,
            broker: usage.cpu.saturating_sub(self.usage.cpu),
            generator: proc::own_cpu()?.saturating_sub(self.own),
            incoming: flow.done - self.done,
            outgoing: flow.delivered - self.delivered,
            content_bytes: flow.content_bytes - self.content_bytes,
            device: usage.device - self.usage.device,
        })
    }
}

impl Measured {
    fn messages(&self) -> f64 {
        (self.incoming + self.outgoing) as f64
    }

    /// The figures that every row has.
    fn report(&self, part: &str, sink: &mut Sink<'_>) -> Result<(), String> {
        if self.messages() == 0.0 {
            return Err(format!("{part}: not one message"));
        }
        let wall = self.wall.as_secs_f64();
        let cpu = self.broker.as_secs_f64();
        let share = self.generator.as_secs_f64() / wall * 100.0;
        sink.part(
            part,
            "broker CPU per message",
            Unit::Micros,
            cpu * 1e6 / self.messages(),
        );
        sink.part(
            part,
            "messages, in and out",
            Unit::Rate,
            self.messages() / wall,
        );
        sink.part(
            part,
            "broker's share of its core",
            Unit::Percent,
            cpu / wall * 100.0,
        );
        sink.part(part, "generator's share of its core", Unit::Percent, share);
        Ok(())
    }
}

/// Signs in and joins the loop, as a session that ends with its connection.
pub fn join(net: &mut Net, broker: &Broker, client_id: &str) -> Result<usize, String> {
    net.join(client::sign_in(broker.port, client_id, true)?.socket)
}

/// The same with a subscription.
pub fn join_subscriber(
    net: &mut Net,
    broker: &Broker,
    client_id: &str,
    filter: &str,
    qos: u8,
) -> Result<usize, String> {
    net.join(client::subscriber(broker.port, client_id, filter, qos)?)
}

/// The lasting session that is filled while it is away.
pub const AWAY: &str = "bench-away";

/// The session that was away comes back, as the first subscriber; it must still be there.
fn come_back(net: &mut Net, flow: &mut Flow, broker: &Broker) -> Result<usize, String> {
    let signed_in = client::sign_in(broker.port, AWAY, false)?;
    if !signed_in.session_present {
        return Err("LOSS: the broker has forgotten the session".into());
    }
    let peer = net.join(signed_in.socket)?;
    flow.subscriber_returned(peer);
    Ok(peer)
}

/// The session comes back and must get everything, in order.
pub fn drain(net: &mut Net, flow: &mut Flow, broker: &Broker) -> Result<Measured, String> {
    let mark = Mark::new(broker, flow)?;
    let peer = come_back(net, flow, broker)?;
    flow::finish(net, flow)?;
    let measured = mark.until_now(broker, flow)?;
    flow.subscriber_left(peer);
    net.leave(peer)?;
    Ok(measured)
}

/// A client subscribes and must get so many retained messages, each topic once.
fn measure_fetch(
    broker: &Broker,
    filter: &str,
    count: usize,
    part: &str,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    let cpu = proc::cpu(broker.pid())?;
    let mut topics = std::collections::HashSet::with_capacity(count);
    let began = Instant::now();
    client::listen(broker.port, filter, |publish, retained| {
        if !retained || !topics.insert(publish.topic.to_vec()) {
            let topic = String::from_utf8_lossy(publish.topic);
            return Err(format!("DUPLICATE or not retained: {topic}"));
        }
        Ok(topics.len() < count)
    })?;
    let wall = began.elapsed().as_secs_f64();
    let cpu = proc::cpu(broker.pid())?.saturating_sub(cpu).as_secs_f64();
    sink.part(
        part,
        "broker CPU per message",
        Unit::Micros,
        cpu * 1e6 / count as f64,
    );
    sink.part(
        part,
        "messages, in and out",
        Unit::Rate,
        count as f64 / wall,
    );
    Ok(())
}
