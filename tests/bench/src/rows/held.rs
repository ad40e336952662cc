//! What a broker takes for being there: at its start, for idle connections, for a trickle.

use std::time::{Duration, Instant};

use super::{Context, join, join_subscriber};
use crate::broker::{Broker, Contestant};
use crate::flow::{self, Flow};
use crate::net::Net;
use crate::ping::{self, Ping};
use crate::proc;
use crate::table::{Sink, Unit};

/// An empty broker.
pub fn start(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    let broker = Broker::start(b, c.dir, "")?;
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let memory = proc::resident(broker.pid())? as f64;
    let virtual_memory = proc::virtual_bytes(broker.pid())? as f64;
    sink.add(
        "until CONNECT is answered",
        Unit::Millis,
        millis(broker.start_wall),
    );
    sink.add("CPU until then", Unit::Millis, millis(broker.start_cpu));
    sink.add("resident memory", Unit::Megabytes, memory / 1e6);
    sink.add("virtual memory", Unit::Megabytes, virtual_memory / 1e6);
    Ok(())
}

/// Connections that subscribed once and then say nothing.
pub fn idle(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    let count = if c.full { 10_000 } else { 2_000 };
    let files = proc::raise_files()?;
    if files < count + 100 {
        return Err(format!("only {files} open files are allowed"));
    }
    let broker = Broker::start(b, c.dir, "")?;
    let mut net = Net::new()?;
    let mut flow = Flow::default();
    let memory = proc::resident(broker.pid())? as f64;
    let cpu = proc::cpu(broker.pid())?;
    for i in 0..count {
        let filter = format!("bench/{i}/value");
        let peer = join_subscriber(&mut net, &broker, &format!("bench-sub-{i}"), &filter, 1)?;
        flow.subscriber(peer, 1);
    }
    let cpu = proc::cpu(broker.pid())?.saturating_sub(cpu);
    let grown = proc::resident(broker.pid())? as f64 - memory;
    let each = cpu.as_secs_f64() * 1e6 / count as f64;
    sink.add("broker CPU to connect and subscribe", Unit::Micros, each);
    sink.add("memory per connection", Unit::Bytes, grown / count as f64);

    let time = Duration::from_secs(if c.full { 20 } else { 5 });
    let (waits, began) = (proc::waits(broker.pid())?, Instant::now());
    flow::run(&mut net, &mut flow, |_| Ok(began.elapsed() >= time))?;
    let woken = (proc::waits(broker.pid())? - waits) as f64;
    let wall = began.elapsed().as_secs_f64();
    sink.add("wake-ups per second", Unit::Each, woken / wall);
    Ok(())
}

/// A message each millisecond.
pub fn latency(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    let broker = Broker::start(b, c.dir, "")?;
    let mut net = Net::new()?;
    let mut flow = Flow::default();
    let to = join_subscriber(&mut net, &broker, "bench-ping-to", ping::TOPIC, 0)?;
    let from = join(&mut net, &broker, "bench-ping-from")?;
    flow.ping(Ping::new(from, to, broker.pid())?);
    let time = Duration::from_secs(if c.full { 10 } else { 2 });
    let (cpu, began) = (proc::cpu(broker.pid())?, Instant::now());
    flow::run(&mut net, &mut flow, |_| Ok(began.elapsed() >= time))?;
    let cpu = proc::cpu(broker.pid())?.saturating_sub(cpu);
    let waits = flow.ping.as_mut().map(Ping::take).unwrap_or_default();
    if waits.is_empty() {
        return Err("not one ping".into());
    }
    let each = cpu.as_secs_f64() * 1e6 / (2 * waits.len()) as f64;
    sink.add("broker CPU per message", Unit::Micros, each);
    let wall = ping::quantiles(&waits, |wait| wait.wall);
    sink.add("wait, median", Unit::Millis, wall.median);
    sink.add("wait, p99.9", Unit::Millis, wall.p999);
    let undelayed = ping::quantiles(&waits, |wait| wait.undelayed);
    let figure = "less waiting for a core, p99.9";
    sink.add(figure, Unit::Millis, undelayed.p999);
    Ok(())
}
