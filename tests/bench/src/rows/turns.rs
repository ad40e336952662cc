//! How long single turns of Midge's loop take while it has long jobs to do: nobody else is served
//! meanwhile. The broker tells it itself, in `$SYS/broker/turns`: how many turns took how long, and
//! the longest since it began.
//!
//! Each scene has a fresh broker. What is counted begins when the scene is prepared; the longest
//! turn is also that of the preparation, which is told beside it. Turns are measured by the clock:
//! whoever else uses the broker's core makes them longer. So the broker comes before others here,
//! where the system lets us (as root), and how long its loop waited for the core in all is told:
//! only where that is next to nothing, and the host of a virtual machine took nothing either, long
//! turns are the broker's own. (The kernel gives others a twentieth of a core in any case, 50 ms of
//! a second; they take it where the broker is busy for long.)

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::throughput::UNTHROTTLED;
use super::{AWAY, Context, join, join_subscriber, tables};
use crate::broker::{Broker, Contestant};
use crate::flow::{self, Flow, Publishing};
use crate::net::Net;
use crate::packet::DIGITS;
use crate::table::{Sink, Unit};
use crate::{client, proc};

const LIMIT: Duration = Duration::from_secs(600);
/// What the broker does by itself, it does within this.
const PATIENCE: Duration = Duration::from_secs(180);
const EXPIRY_S: u32 = 1;
const SUBSCRIBERS: u16 = 5_000;
const FILTERS: usize = 100_000;
const FILTERS_AT_ONCE: usize = 50_000;
/// Has a program come before all that are not of its kind; a nice value would count only within
/// this session, where the kernel groups processes by session.
const FIRST: [&str; 3] = ["chrt", "-r", "1"];
/// The broker's bins, from the shortest turns to the longest.
const BINS: [&str; 6] = ["100us", "500us", "1ms", "2ms", "5ms", "longer"];
/// `$SYS` each second, and what has expired freed each minute.
const SETTINGS: &str = "retain_expiry_interval 1\n";

type Act = fn(&mut Scene<'_>) -> Result<(), String>;

const SCENES: &[(&str, Act)] = &[
    ("# on retained", subscribe_to_all),
    ("end of 100k filters", end_session),
    ("50k filters in one packet", subscribe_at_once),
    ("queue expires", expire_queue),
    ("# on expired retained", subscribe_to_expired),
    ("retained expire", expire_retained),
    ("5,000 subscribers", fan_out),
];

type Figures = BTreeMap<String, f64>;

struct Scene<'a> {
    broker: &'a Broker,
    full: bool,
    before: Figures,
    /// How long its loop had waited for its core by then, and what the host had taken of that.
    delay: Duration,
    stolen: Duration,
}

pub fn run(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    proc::raise_files()?;
    let b = first(b);
    for (name, act) in SCENES {
        let each_second = if b.tells { "" } else { "sys_interval 1\n" };
        let settings = format!("{UNTHROTTLED}{SETTINGS}{each_second}");
        let broker = Broker::start(&b, c.dir, &settings)?;
        let mut scene = Scene {
            broker: &broker,
            full: c.full,
            before: Figures::new(),
            delay: Duration::ZERO,
            stolen: Duration::ZERO,
        };
        act(&mut scene).map_err(|e| format!("{name}: {e}"))?;
        let after = client::sys_figures(broker.port)?;
        report(name, &scene.before, &after, sink)?;
        let delay = proc::delay(broker.pid())?.saturating_sub(scene.delay);
        let stolen = proc::stolen().saturating_sub(scene.stolen);
        let mut add = |figure: &str, time: Duration| {
            sink.part(name, figure, Unit::Millis, time.as_secs_f64() * 1e3);
        };
        add("waits for its core, in all", delay);
        add("taken by the host, in all", stolen);
    }
    Ok(())
}

/// The same broker, before others on its core where that is allowed.
fn first(b: &Contestant) -> Contestant {
    let mut probe = Command::new(FIRST[0]);
    let probe = probe.args(&FIRST[1..]).arg("true").stderr(Stdio::null());
    let probe = probe.status();
    match probe.is_ok_and(|status| status.success()) {
        true => b.under(&FIRST.map(String::from)),
        false => b.clone(),
    }
}

fn report(
    part: &str,
    before: &Figures,
    after: &Figures,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    let figure = |of: &Figures, name: &str| {
        let found = of.get(&format!("turns/{name}")).copied();
        found.ok_or_else(|| format!("the broker says nothing of turns/{name}"))
    };
    for bin in BINS {
        let turns = figure(after, bin)? - figure(before, bin)?;
        let name = match bin {
            "longer" => "turns longer than that".to_string(),
            _ => format!("turns up to {bin}"),
        };
        sink.part(part, &name, Unit::Each, turns);
    }
    let mut longest = |name: &str, of: &Figures| {
        figure(of, "longest").map(|us| sink.part(part, name, Unit::Millis, us / 1e3))
    };
    longest("longest before", before)?;
    longest("longest", after)
}

impl Scene<'_> {
    /// All that went before does not count.
    fn prepared(&mut self) -> Result<(), String> {
        self.before = client::sys_figures(self.broker.port)?;
        self.delay = proc::delay(self.broker.pid())?;
        self.stolen = proc::stolen();
        Ok(())
    }

    /// How many messages: so many thousands.
    fn many(&self, quick: usize, full: usize) -> usize {
        1000 * if self.full { full } else { quick }
    }

    /// Waits until one of the broker's figures is at most this.
    fn until_at_most(&self, name: &str, most: f64) -> Result<(), String> {
        let began = Instant::now();
        loop {
            match client::sys_figures(self.broker.port)?.get(name) {
                Some(value) if *value <= most => return Ok(()),
                Some(value) if began.elapsed() > PATIENCE => {
                    return Err(format!("{name} stays at {value}"));
                }
                Some(_) => {}
                None => return Err(format!("the broker says nothing of {name}")),
            }
        }
    }

    /// Waits until the latest message has expired.
    fn until_expired(&self) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(u64::from(EXPIRY_S) + 1);
        while Instant::now() < end {
            client::sys_figures(self.broker.port)?;
        }
        Ok(())
    }

    /// Nothing may come, now or while the broker does what it may still have to do.
    fn nothing_comes(&self, socket: &mut TcpStream) -> Result<(), String> {
        client::ping(socket)?;
        client::sys_figures(self.broker.port)?;
        client::ping(socket)
    }
}

/// 100k (1M) retained messages, all for one new subscriber.
fn subscribe_to_all(scene: &mut Scene<'_>) -> Result<(), String> {
    let count = scene.many(100, 1000);
    let (mut net, mut flow) = (Net::new()?, Flow::default());
    let peer = join(&mut net, scene.broker, "bench-pub")?;
    let plan = tables::publishing("bench/one/#/value", count, true, 1, false);
    flow.publisher(peer, &plan);
    flow.publishers[0].limit = count as u64;
    flow::run_for(&mut net, &mut flow, LIMIT)?;
    flow::settle(&mut net, &mut flow)?;
    scene.prepared()?;
    let mut missing = count;
    client::listen(scene.broker.port, "#", |_, _| {
        missing -= 1;
        Ok(missing > 0)
    })
}

/// A client with 100k filters leaves, and its session with it.
fn end_session(scene: &mut Scene<'_>) -> Result<(), String> {
    let mut socket = client::sign_in(scene.broker.port, "bench-sub", true)?.socket;
    tables::subscribe(&mut socket, FILTERS)?;
    scene.prepared()?;
    drop(socket);
    scene.until_at_most("subscriptions/count", 10.0)
}

/// A client subscribes with one packet to 50,000 filters.
fn subscribe_at_once(scene: &mut Scene<'_>) -> Result<(), String> {
    let mut socket = client::sign_in(scene.broker.port, "bench-sub", true)?.socket;
    let filters = (0..FILTERS_AT_ONCE).map(|i| format!("bench/+/{i:0DIGITS$}/value"));
    let filters: Vec<String> = filters.collect();
    scene.prepared()?;
    client::subscribe_all(&mut socket, &filters)
}

/// 100k (500k) messages expire while their subscriber is away; then it comes back, for nothing.
fn expire_queue(scene: &mut Scene<'_>) -> Result<(), String> {
    let (port, count) = (scene.broker.port, scene.many(100, 500));
    client::lasting_session(port, AWAY, "bench/away/+", 1)?;
    client::publish_expiring(port, "bench/away/#", false, count, EXPIRY_S)?;
    scene.prepared()?;
    scene.until_expired()?;
    let mut signed_in = client::sign_in(port, AWAY, false)?;
    if !signed_in.session_present {
        return Err("LOSS: the broker has forgotten the session".into());
    }
    scene.nothing_comes(&mut signed_in.socket)
}

/// 100k (1M) retained messages that have all expired, and a subscriber that would have had them.
fn subscribe_to_expired(scene: &mut Scene<'_>) -> Result<(), String> {
    let (port, count) = (scene.broker.port, scene.many(100, 1000));
    client::publish_expiring(port, "bench/one/#/value", true, count, EXPIRY_S)?;
    scene.until_expired()?;
    scene.prepared()?;
    let mut socket = client::subscriber(port, "bench-sub", "#", 0)?;
    scene.nothing_comes(&mut socket)
}

/// As many, and nobody asks for them: the broker frees them by itself.
fn expire_retained(scene: &mut Scene<'_>) -> Result<(), String> {
    let (port, count) = (scene.broker.port, scene.many(100, 1000));
    client::publish_expiring(port, "bench/one/#/value", true, count, EXPIRY_S)?;
    scene.prepared()?;
    // $SYS is retained, too.
    scene.until_at_most("retained messages/count", 1000.0)
}

/// One topic with 5,000 subscribers, and messages one after the other, then 16 at once.
fn fan_out(scene: &mut Scene<'_>) -> Result<(), String> {
    let (mut net, mut flow) = (Net::new()?, Flow::default());
    for i in 0..SUBSCRIBERS {
        let name = format!("bench-sub-{i}");
        let peer = join_subscriber(&mut net, scene.broker, &name, "bench/+/value", 1)?;
        flow.subscriber(peer, 1);
    }
    for (at, window) in [1, 16].into_iter().enumerate() {
        let peer = join(&mut net, scene.broker, &format!("bench-pub-{at}"))?;
        let plan = Publishing {
            topic: &format!("bench/{at}/value"),
            topics: 0,
            retain: false,
            qos: 1,
            payload_bytes: 64,
            window,
            copies: SUBSCRIBERS,
            closed_loop: true,
        };
        flow.publisher(peer, &plan);
        flow.publishers[at].limit = 0;
    }
    scene.prepared()?;
    for at in 0..2 {
        flow.publishers[at].limit = if scene.full { 200 } else { 50 };
        flow::run_for(&mut net, &mut flow, LIMIT)?;
        flow::finish(&mut net, &mut flow)?;
    }
    Ok(())
}
