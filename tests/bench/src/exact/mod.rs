//! Counts that do not move with the machine: `make bench-micro` and `make check-perf`.
//!
//! A count per message is the difference of two runs of different lengths, divided by how many
//! messages, in and out, the longer one had more: start, connects and end cancel out. Each run is a
//! fresh broker under a tool that counts (`tool`), and the usual load of `rows`, which verifies.
//! Memory and the like are read from the kernel, without a tool. `limits` is what is allowed.
//!
//! How many messages come in one turn of the broker's loop depends on who is quicker: under a tool
//! the broker never is, so that its turns are full and the counts repeat.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::broker::{Broker, Contestant};
use crate::flow::{self, Flow};
use crate::net::Net;
use crate::rows::throughput::{Shape, UNTHROTTLED, gather, paired};
use crate::rows::{join, join_subscriber, tables};
use crate::{client, proc};

pub use limits::Limits;
use tool::Tool;

mod limits;
mod parts;
mod tool;

/// The longest that a run may take.
const LIMIT: Duration = Duration::from_secs(300);
/// No refresh of `$SYS` in the middle of a count.
const QUIET: &str = "sys_interval 0\n";
/// Clients, filters and topics of which memory is measured.
const CLIENTS: usize = 10_000;
const HELD: usize = 100_000;
const FILTERS: usize = 10_000;
const IDLE: Duration = Duration::from_secs(20);

/// A load whose messages are counted.
struct Count {
    name: &'static str,
    tool: Tool,
    load: Load,
    qos: u8,
    /// Messages of each publisher in the short run, and in the long one.
    lengths: (u64, u64),
}

#[derive(Clone, Copy)]
enum Load {
    /// So many under way for each of 100 pairs.
    Pairs(u64),
    FanIn,
    FanOut,
    /// Among 10,000 wildcard filters: each publish matches one, or none.
    Match(bool),
}

use Load::{FanIn, FanOut, Match, Pairs};
use Tool::{Allocations, Calls, Instructions};

#[rustfmt::skip]
const COUNTS: &[Count] = &[
    count("instructions pairs q0", Instructions, Pairs(16), 0, (160, 960)),
    count("instructions pairs q1", Instructions, Pairs(16), 1, (160, 960)),
    count("instructions pairs q2", Instructions, Pairs(16), 2, (160, 960)),
    count("instructions fan-in q0", Instructions, FanIn, 0, (2400, 8000)),
    count("instructions fan-in q1", Instructions, FanIn, 1, (2400, 8000)),
    count("instructions fan-in q2", Instructions, FanIn, 2, (2400, 8000)),
    count("instructions fan-out q0", Instructions, FanOut, 0, (1000, 3000)),
    count("instructions fan-out q1", Instructions, FanOut, 1, (500, 2000)),
    count("instructions fan-out q2", Instructions, FanOut, 2, (500, 2000)),
    count("instructions single q0", Instructions, Pairs(1), 0, (50, 350)),
    count("instructions single q1", Instructions, Pairs(1), 1, (50, 350)),
    count("instructions match 10k", Instructions, Match(true), 0, (20_000, 60_000)),
    count("instructions no match 10k", Instructions, Match(false), 1, (20_000, 60_000)),
    count("system calls pairs q0", Calls, Pairs(16), 0, (160, 960)),
    count("system calls single q0", Calls, Pairs(1), 0, (50, 250)),
    count("allocations pairs q0", Allocations, Pairs(16), 0, (640, 1280)),
    count("allocations pairs q1", Allocations, Pairs(16), 1, (640, 1280)),
    count("allocations pairs q2", Allocations, Pairs(16), 2, (640, 1280)),
];

const fn count(name: &'static str, tool: Tool, load: Load, qos: u8, lengths: (u64, u64)) -> Count {
    Count {
        name,
        tool,
        load,
        qos,
        lengths,
    }
}

/// Measures what is asked for and prints it; false if a limit is broken or a run failed. Without
/// limits only the instructions are counted. `only` keeps figures whose name has all these words.
pub fn run(
    dir: &Path,
    contestant: &Contestant,
    only: &[String],
    limits: Option<&Limits>,
) -> Result<bool, String> {
    let wanted = |name: &str| only.iter().all(|word| name.contains(word.as_str()));
    println!("{}: {}", contestant.name, contestant.version());
    println!(
        "{:34}{:>12}{:>12}{:>10}{:>12}",
        "per message, in and out", "figure", "limit", "goal", "mosquitto"
    );
    let mut good = true;
    for count in COUNTS {
        let all = limits.is_some() || count.tool == Instructions;
        if !all || !wanted(count.name) {
            continue;
        }
        let value =
            per_message(dir, contestant, count).map_err(|e| format!("{}: {e}", count.name))?;
        good &= report(count.name, value, limits)?;
    }
    for (name, part, operations) in parts::PARTS {
        if wanted(name) {
            let value =
                parts::per_operation(dir, part, *operations).map_err(|e| format!("{name}: {e}"))?;
            good &= report(name, value, limits)?;
        }
    }
    for (name, retained) in parts::REPLAYS {
        if wanted(name) {
            let value = parts::per_record(dir, contestant, *retained)
                .map_err(|e| format!("{name}: {e}"))?;
            good &= report(name, value, limits)?;
        }
    }
    if limits.is_none() {
        return Ok(good);
    }
    for measure in [start, connections, filters, retained] {
        for (name, value) in measure(dir, contestant)? {
            if wanted(name) {
                good &= report(name, value, limits)?;
            }
        }
    }
    Ok(good)
}

/// Prints a figure; false if it is above its limit.
fn report(name: &str, value: f64, limits: Option<&Limits>) -> Result<bool, String> {
    let Some(limits) = limits else {
        println!("{name:34}{value:>12.1}");
        return Ok(true);
    };
    let limit = limits.of(name)?;
    let allowed = limit.most.map_or("-".to_string(), |most| most.to_string());
    let broken = limit.is_broken(value);
    println!(
        "{name:34}{value:>12.3}{allowed:>12}{:>10}{:>12}{}",
        limit.goal,
        limit.peer,
        if broken { "  ABOVE ITS LIMIT" } else { "" }
    );
    Ok(!broken)
}

fn per_message(dir: &Path, contestant: &Contestant, count: &Count) -> Result<f64, String> {
    let (short, fewer) = total(dir, contestant, count, count.lengths.0)?;
    let (long, more) = total(dir, contestant, count, count.lengths.1)?;
    Ok((long as f64 - short as f64) / (more - fewer) as f64)
}

/// Where a tool is to write its total: nothing is there yet.
fn fresh(dir: &Path) -> Result<PathBuf, String> {
    let out = dir.with_file_name("count");
    if out.exists() {
        std::fs::remove_file(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    Ok(out)
}

/// The tool's total of one run, and how many messages there were.
fn total(
    dir: &Path,
    contestant: &Contestant,
    count: &Count,
    length: u64,
) -> Result<(u64, u64), String> {
    let out = fresh(dir)?;
    let watched = contestant.under(&count.tool.command(&out));
    let mut broker = Broker::start(&watched, dir, &format!("{UNTHROTTLED}{QUIET}"))?;
    let (mut net, mut flow) = sign_in(&broker, count)?;
    for publisher in &mut flow.publishers {
        publisher.limit = length;
    }
    flow::run_for(&mut net, &mut flow, LIMIT)?;
    flow::finish(&mut net, &mut flow)?;
    if !flow.exhausted() {
        return Err("the load did not end in time".into());
    }
    // Whoever comes last is answered when everything before it was read.
    let last = client::sign_in(broker.port, "bench-last", true)?;
    broker.stop()?;
    drop(last);
    Ok((count.tool.total(&out)?, flow.done + flow.delivered))
}

fn sign_in(broker: &Broker, count: &Count) -> Result<(Net, Flow), String> {
    let shape = match count.load {
        Pairs(window) => paired(window),
        FanIn => Shape {
            publishers: 10,
            subscribers: 1,
            paired: false,
            payload_bytes: 64,
            window: 800,
        },
        FanOut => Shape {
            publishers: 1,
            subscribers: 100,
            paired: false,
            payload_bytes: 64,
            window: if count.qos == 0 { 200 } else { 50 },
        },
        Match(matches) => return sign_in_among_filters(broker, matches),
    };
    gather(broker, count.qos, &shape)
}

fn sign_in_among_filters(broker: &Broker, matches: bool) -> Result<(Net, Flow), String> {
    let mut socket = client::sign_in(broker.port, "bench-sub", true)?.socket;
    tables::subscribe(&mut socket, FILTERS)?;
    let (mut net, mut flow) = (Net::new()?, Flow::default());
    let peer = net.join(socket)?;
    flow.subscriber(peer, 0);
    let peer = join(&mut net, broker, "bench-pub")?;
    // What matches nothing is paced by its acknowledgements.
    let (topic, qos) = match matches {
        true => ("bench/one/#/value", 0),
        false => ("bench/one/#/other", 1),
    };
    let plan = tables::publishing(topic, FILTERS, false, qos, matches);
    flow.publisher(peer, &plan);
    Ok((net, flow))
}

type Figures = Result<Vec<(&'static str, f64)>, String>;

/// An empty broker.
fn start(dir: &Path, contestant: &Contestant) -> Figures {
    let broker = Broker::start(contestant, dir, QUIET)?;
    let resident = proc::resident(broker.pid())? as f64;
    let own = proc::anonymous(broker.pid())? as f64;
    let virtual_memory = proc::virtual_bytes(broker.pid())? as f64;
    let millis = broker.start_wall.as_secs_f64() * 1e3;
    Ok(vec![
        ("MB resident when started", resident / 1e6),
        ("MB of its own when started", own / 1e6),
        ("MB virtual when started", virtual_memory / 1e6),
        ("ms from start to an answer", millis),
    ])
}

/// Connections that subscribed once and then say nothing.
fn connections(dir: &Path, contestant: &Contestant) -> Figures {
    let files = proc::raise_files()?;
    if files < CLIENTS as u64 + 100 {
        return Err(format!("only {files} open files are allowed"));
    }
    let broker = Broker::start(contestant, dir, "")?;
    let (mut net, mut flow) = (Net::new()?, Flow::default());
    let before = proc::resident(broker.pid())?;
    for i in 0..CLIENTS {
        let filter = format!("bench/{i}/value");
        let peer = join_subscriber(&mut net, &broker, &format!("bench-sub-{i}"), &filter, 1)?;
        flow.subscriber(peer, 1);
    }
    let each = grown(&broker, before, CLIENTS)?;
    let (waits, began) = (proc::waits(broker.pid())?, Instant::now());
    flow::run(&mut net, &mut flow, |_| Ok(began.elapsed() >= IDLE))?;
    let woken = (proc::waits(broker.pid())? - waits) as f64;
    let wakes = woken / began.elapsed().as_secs_f64();
    Ok(vec![
        ("bytes per idle connection", each),
        ("wake-ups per second, idle", wakes),
    ])
}

/// Wildcard filters of one session.
fn filters(dir: &Path, contestant: &Contestant) -> Figures {
    let broker = Broker::start(contestant, dir, QUIET)?;
    let mut socket = client::sign_in(broker.port, "bench-sub", true)?.socket;
    let before = proc::resident(broker.pid())?;
    tables::subscribe(&mut socket, HELD)?;
    let each = grown(&broker, before, HELD)?;
    Ok(vec![("bytes per wildcard filter", each)])
}

/// Retained topics, 64 bytes each.
fn retained(dir: &Path, contestant: &Contestant) -> Figures {
    let broker = Broker::start(contestant, dir, QUIET)?;
    let (mut net, mut flow) = (Net::new()?, Flow::default());
    let peer = join(&mut net, &broker, "bench-pub")?;
    let plan = tables::publishing("bench/one/#/value", HELD, true, 1, false);
    flow.publisher(peer, &plan);
    flow.publishers[0].limit = HELD as u64;
    let before = proc::resident(broker.pid())?;
    flow::run_for(&mut net, &mut flow, LIMIT)?;
    flow::settle(&mut net, &mut flow)?;
    let each = grown(&broker, before, HELD)?;
    Ok(vec![("bytes per retained topic", each)])
}

/// Resident memory for each of so many things that came since there were `before` bytes.
fn grown(broker: &Broker, before: u64, count: usize) -> Result<f64, String> {
    Ok((proc::resident(broker.pid())? as f64 - before as f64) / count as f64)
}
