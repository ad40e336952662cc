//! What it costs to acknowledge a message that must be kept.

use std::time::Duration;

use super::{AWAY, Context, Mark, drain, join};
use crate::broker::{Broker, Contestant};
use crate::flow::{self, Flow, Publishing};
use crate::net::Net;
use crate::table::{Sink, Unit};
use crate::{client, proc};

const FILTER: &str = "bench/queue/+";
/// So many messages end a part before its time is up.
const MESSAGES: u64 = 1_000_000;

/// Into a session that is away: windows 1, 10 and 100 with one publisher, and 20 publishers with
/// windows of 20. Afterwards the session comes back and must get all of it.
pub fn offline(
    context: &Context<'_>,
    contestant: &Contestant,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    for (publishers, window) in [(1, 1), (1, 10), (1, 100), (20, 20)] {
        let broker = Broker::start(contestant, context.dir, "")?;
        client::lasting_session(broker.port, AWAY, FILTER, 1)?;
        let mut net = Net::new()?;
        let mut flow = Flow::default();
        flow.subscriber_away(1);
        join_publishers(&mut net, &mut flow, &broker, publishers, window, false)?;
        let part = format!("{publishers} x {window}");
        measure(
            context,
            contestant,
            sink,
            &part,
            &broker,
            (&mut net, &mut flow),
        )?;
        drain(&mut net, &mut flow, &broker)?;
    }
    Ok(())
}

/// To a session that outlives its connection and is there: 20 publishers with windows of 20.
pub fn online(
    context: &Context<'_>,
    contestant: &Contestant,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    let broker = Broker::start(contestant, context.dir, "")?;
    client::lasting_session(broker.port, AWAY, FILTER, 1)?;
    let mut net = Net::new()?;
    let mut flow = Flow::default();
    flow.subscriber_away(1);
    super::come_back(&mut net, &mut flow, &broker)?;
    join_publishers(&mut net, &mut flow, &broker, 20, 20, true)?;
    let part = "20 x 20";
    measure(
        context,
        contestant,
        sink,
        part,
        &broker,
        (&mut net, &mut flow),
    )?;
    flow::finish(&mut net, &mut flow)
}

fn join_publishers(
    net: &mut Net,
    flow: &mut Flow,
    broker: &Broker,
    publishers: u64,
    window: u64,
    closed_loop: bool,
) -> Result<(), String> {
    for i in 0..publishers {
        let peer = join(net, broker, &format!("bench-pub-{i}"))?;
        flow.publisher(
            peer,
            &Publishing {
                topic: &format!("bench/queue/{i}"),
                topics: 0,
                retain: false,
                qos: 1,
                payload_bytes: 100,
                window,
                copies: 1,
                closed_loop,
            },
        );
        flow.publishers[i as usize].limit = MESSAGES / publishers;
    }
    Ok(())
}

/// Warms up, publishes for a while and reports what that took, acknowledgements of the rest
/// included.
fn measure(
    context: &Context<'_>,
    contestant: &Contestant,
    sink: &mut Sink<'_>,
    part: &str,
    broker: &Broker,
    (net, flow): (&mut Net, &mut Flow),
) -> Result<(), String> {
    let time = Duration::from_millis(if context.full { 5000 } else { 1500 });
    flow::run_for(net, flow, Duration::from_millis(200))?;
    flow::settle(net, flow)?;
    let before = figures(contestant, broker)?;
    let mark = Mark::new(broker, flow)?;
    flow::run_for(net, flow, time)?;
    flow::settle(net, flow)?;
    let measured = mark.until_now(broker, flow)?;
    measured.report(part, sink)?;
    let messages = measured.incoming as f64;
    let wall = measured.wall.as_secs_f64();
    sink.part(part, "acknowledged", Unit::Rate, messages / wall);
    if let (Some(before), Some(after)) = (before, figures(contestant, broker)?) {
        let (bytes, syncs) = (after.0 - before.0, after.1 - before.1);
        sink.part(part, "log bytes per message", Unit::Bytes, bytes / messages);
        sink.part(
            part,
            "syncs per 1000 messages",
            Unit::Each,
            syncs * 1000.0 / messages,
        );
    }
    let device = measured.device as f64 / messages;
    sink.part(part, "device bytes per message", Unit::Bytes, device);
    let memory = proc::resident(broker.pid())? as f64;
    sink.part(part, "resident at the end", Unit::Megabytes, memory / 1e6);
    Ok(())
}

/// Bytes written and syncs so far, if the broker tells.
fn figures(contestant: &Contestant, broker: &Broker) -> Result<Option<(f64, f64)>, String> {
    if !contestant.tells {
        return Ok(None);
    }
    let figures = client::persistence_figures(broker.port)?;
    let one = |name: &str| figures.get(name).copied();
    Ok(one("bytes/written").zip(one("syncs")))
}
