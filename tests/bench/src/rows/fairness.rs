//! What a quiet pair waits while somebody else floods the broker.
//!
//! The pair sends 200 messages a second, at QoS 0 and at QoS 1, and measures for each the way from
//! publisher to subscriber (see [`crate::ping`]); first alone, then beside a flood at QoS 0 that
//! one subscriber reads, then beside one that nobody subscribed to (see [`crate::flood`]). The
//! broker has core 0 for itself; pair and flood share core 1, where the pair comes first, and the
//! time that either end of the pair's way was ready to run and waited for its core is taken off:
//! what is left is what the broker did before it came to the pair's message, and what the kernel
//! took for both. The waits with everything in them are reported beside it.
//!
//! A broker alone sleeps between two messages, one that is flooded is awake: its way may even be
//! shorter then.

use std::time::{Duration, Instant};

use super::throughput::UNTHROTTLED;
use super::{Context, join, join_subscriber};
use crate::broker::{Broker, Contestant};
use crate::flood::Flood;
use crate::flow::{self, Flow};
use crate::net::Net;
use crate::ping::{self, Ping, Quantiles};
use crate::table::{Sink, Unit};
use crate::{client, proc};

const EVERY: Duration = Duration::from_millis(5);
const WARM: Duration = Duration::from_millis(300);

pub fn run(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    for qos in 0..=1 {
        let broker = Broker::start(b, c.dir, UNTHROTTLED)?;
        let mut pair = Pair::join(&broker, qos)?;
        let time = Duration::from_secs(if c.full { 15 } else { 4 });
        let alone = pair.measure(time)?;
        report(&format!("q{qos} alone"), &alone, sink);
        for (is_read, name) in [(true, "flood"), (false, "flood nobody reads")] {
            let part = format!("q{qos} beside a {name}");
            let flood = Flood::start(broker.port, is_read)?;
            let (cpu, began) = (proc::cpu(broker.pid())?, Instant::now());
            let beside = pair.measure(time)?;
            let cpu = proc::cpu(broker.pid())?.saturating_sub(cpu).as_secs_f64();
            let share = cpu / began.elapsed().as_secs_f64() * 100.0;
            let flooded = flood.stop()?;
            let wall = began.elapsed().as_secs_f64();
            report(&part, &beside, sink);
            let ratio = beside.undelayed.p99 / alone.undelayed.p99;
            sink.part(&part, "p99 beside it / alone", Unit::Each, ratio);
            sink.part(&part, "broker's share of its core", Unit::Percent, share);
            let rate = (flooded.sent + flooded.received) as f64 / wall;
            sink.part(&part, "flood, in and out", Unit::Rate, rate);
            // Whoever comes last is answered when everything before it was read.
            client::sign_in(broker.port, "bench-last", true)?;
        }
    }
    Ok(())
}

/// The quiet pair, and its loop.
struct Pair {
    net: Net,
    flow: Flow,
}

/// What it waited in one phase.
struct Waited {
    wall: Quantiles,
    undelayed: Quantiles,
}

impl Pair {
    fn join(broker: &Broker, qos: u8) -> Result<Self, String> {
        let (mut net, mut flow) = (Net::new()?, Flow::default());
        let to = join_subscriber(&mut net, broker, "bench-ping-to", ping::TOPIC, qos)?;
        let from = join(&mut net, broker, "bench-ping-from")?;
        flow.ping(Ping::new(from, to, broker.pid())?.paced(qos, EVERY));
        Ok(Self { net, flow })
    }

    fn measure(&mut self, time: Duration) -> Result<Waited, String> {
        self.turn(WARM)?;
        let waits = self.turn(time)?;
        if waits.is_empty() {
            return Err("not one message of the pair arrived".into());
        }
        Ok(Waited {
            wall: ping::quantiles(&waits, |wait| wait.wall),
            undelayed: ping::quantiles(&waits, |wait| wait.undelayed),
        })
    }

    fn turn(&mut self, time: Duration) -> Result<Vec<ping::Wait>, String> {
        let end = Instant::now() + time;
        flow::run(&mut self.net, &mut self.flow, |_| Ok(Instant::now() >= end))?;
        Ok(self.flow.ping.as_mut().map(Ping::take).unwrap_or_default())
    }
}

fn report(part: &str, waited: &Waited, sink: &mut Sink<'_>) {
    let mut add = |figure: &str, value: f64| sink.part(part, figure, Unit::Millis, value);
    add("wait, median", waited.wall.median);
    add("wait, p99", waited.wall.p99);
    add("less waiting for a core, median", waited.undelayed.median);
    add("less waiting for a core, p99", waited.undelayed.p99);
    add("less waiting for a core, longest", waited.undelayed.most);
}
