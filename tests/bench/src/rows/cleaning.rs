//! How long cleaning keeps the loop from its clients. A live core (half of it retained, half of it
//! queued for a session that stays away) is laid down, then retained values are updated at random
//! while the log is cleaned all the time; a pair at QoS 0 measures what it waits (see
//! [`crate::ping`]), the same load without anything to clean being the comparison.
//!
//! What the waits contain: the turns of the broker's loop (the publishing of the same load,
//! cleaning slices, whatever else a turn does), the journal thread, which shares the core with it,
//! other processes of the machine, and the generator's own turn, which is reported beside them. So
//! they bound the longest turn from above.

use std::time::Duration;

use super::{AWAY, Context, Mark, join, join_subscriber};
use crate::broker::{Broker, Contestant};
use crate::flow::{self, Flow, Publishing};
use crate::net::Net;
use crate::ping::{self, Ping};
use crate::table::{Sink, Unit};
use crate::{client, proc};

const RETAINED: usize = 0;
const QUEUED: usize = 1;
const PAYLOAD_BYTES: usize = 1000;
const LIMIT: Duration = Duration::from_secs(900);

pub fn run(
    context: &Context<'_>,
    contestant: &Contestant,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    let core = if context.full { 100_000 } else { 20_000 };
    let target = if context.full {
        1_000_000_000
    } else {
        200_000_000
    };
    let broker = Broker::start(contestant, context.dir, "")?;
    client::lasting_session(broker.port, AWAY, "bench/cleaning/queued", 1)?;
    let mut net = Net::new()?;
    let mut flow = Flow::default();
    flow.subscriber_away(1);
    join_all(&mut net, &mut flow, &broker, core)?;

    // Nobody else: what the pair waits at least.
    let alone = Duration::from_secs(if context.full { 10 } else { 2 });
    let end = std::time::Instant::now() + alone;
    flow::run(
        &mut net,
        &mut flow,
        |_| Ok(std::time::Instant::now() >= end),
    )?;
    report("alone", &mut net, &mut flow, sink)?;

    // The core: the same kind of load, and nothing to clean.
    for publisher in &mut flow.publishers {
        publisher.limit = core as u64;
    }
    flow::run_for(&mut net, &mut flow, LIMIT)?;
    report("loading", &mut net, &mut flow, sink)?;

    // Until the log is twice the core, cleaning has nothing to do.
    flow.publishers[RETAINED].limit = 4 * core as u64;
    flow::run_for(&mut net, &mut flow, LIMIT)?;
    report("growing", &mut net, &mut flow, sink)?;

    flow.publishers[RETAINED].limit = u64::MAX;
    let mark = Mark::new(&broker, &flow)?;
    let mut turns = 0_u32;
    flow.open = true;
    // In the steady state each segment that is written lets an old one be cleaned.
    flow::run(&mut net, &mut flow, |flow| {
        turns += 1;
        if turns % 1024 != 0 {
            return Ok(false);
        }
        let measured = mark.until_now(&broker, flow)?;
        Ok(measured.device.max(measured.content_bytes) >= target || measured.wall > LIMIT)
    })?;
    let measured = mark.until_now(&broker, &flow)?;
    report("cleaning", &mut net, &mut flow, sink)?;
    measured.report("cleaning", sink)?;
    let device = measured.device as f64;
    let content = measured.content_bytes as f64;
    sink.part(
        "cleaning",
        "written meanwhile",
        Unit::Megabytes,
        device / 1e6,
    );
    sink.part(
        "cleaning",
        "written per byte published",
        Unit::Each,
        device / content,
    );
    let disk = proc::disk_bytes(&broker.data) as f64;
    sink.part("cleaning", "disk at the end", Unit::Megabytes, disk / 1e6);
    flow::settle(&mut net, &mut flow)?;
    super::drain(&mut net, &mut flow, &broker)?;
    Ok(())
}

fn join_all(net: &mut Net, flow: &mut Flow, broker: &Broker, core: usize) -> Result<(), String> {
    let to = join_subscriber(net, broker, "bench-ping-to", ping::TOPIC, 0)?;
    let from = join(net, broker, "bench-ping-from")?;
    flow.ping(Ping::new(from, to, broker.pid())?);
    let plans = [
        ("bench/cleaning/retained/#", core, true),
        ("bench/cleaning/queued", 0, false),
    ];
    for (at, (topic, topics, retain)) in plans.into_iter().enumerate() {
        let peer = join(net, broker, &format!("bench-pub-{at}"))?;
        flow.publisher(
            peer,
            &Publishing {
                topic,
                topics,
                retain,
                qos: 1,
                payload_bytes: PAYLOAD_BYTES,
                window: 100,
                copies: u16::from(!retain),
                closed_loop: false,
            },
        );
        flow.publishers[at].limit = 0;
    }
    assert!(flow.publishers.len() == QUEUED + 1);
    Ok(())
}

/// What the pair waited since the last report.
fn report(part: &str, net: &mut Net, flow: &mut Flow, sink: &mut Sink<'_>) -> Result<(), String> {
    let own = net.take_longest_turn().as_secs_f64() * 1e3;
    let Some(ping) = &mut flow.ping else {
        return Ok(());
    };
    let waits = ping.take();
    if waits.is_empty() {
        return Err(format!("{part}: not one ping"));
    }
    sink.part(part, "pings", Unit::Each, waits.len() as f64);
    let mut add = |figure: &str, value: f64| sink.part(part, figure, Unit::Millis, value);
    let wall = ping::quantiles(&waits, |wait| wait.wall);
    add("wait, median", wall.median);
    add("wait, p99.9", wall.p999);
    add("wait, longest", wall.most);
    let undelayed = ping::quantiles(&waits, |wait| wait.undelayed);
    add("less waiting for a core, p99.9", undelayed.p999);
    add("less waiting for a core, longest", undelayed.most);
    let cpu = ping::quantiles(&waits, |wait| wait.cpu);
    add("broker CPU meanwhile, p99.9", cpu.p999);
    add("broker CPU meanwhile, most", cpu.most);
    add("generator's longest turn", own);
    Ok(())
}
