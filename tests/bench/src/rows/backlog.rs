//! Many messages for one session that is away: the memory they take, the start with them, and the
//! drain once it is back.

use std::time::Duration;

use super::throughput::UNTHROTTLED;
use super::{AWAY, Context, Mark, drain, join};
use crate::broker::{Broker, Contestant};
use crate::flow::{self, Flow, Publishing};
use crate::net::Net;
use crate::table::{Sink, Unit};
use crate::{client, proc};

const PUBLISHERS: u64 = 10;
/// Longer than any broker that is worth comparing takes.
const LIMIT: Duration = Duration::from_secs(600);

pub fn run(
    context: &Context<'_>,
    contestant: &Contestant,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    let messages = if context.full { 1_000_000 } else { 100_000 };
    let broker = Broker::start(contestant, context.dir, "")?;
    client::lasting_session(broker.port, AWAY, "bench/away/+", 1)?;
    let mut net = Net::new()?;
    let mut flow = Flow::default();
    flow.subscriber_away(1);
    join_publishers(&mut net, &mut flow, &broker, messages, 300)?;

    let empty = proc::resident(broker.pid())? as f64;
    let mark = Mark::new(&broker, &flow)?;
    flow::run_for(&mut net, &mut flow, LIMIT)?;
    flow::settle(&mut net, &mut flow)?;
    let filled = mark.until_now(&broker, &flow)?;
    filled.report("fill", sink)?;
    let count = filled.incoming as f64;
    let grown = proc::resident(broker.pid())? as f64 - empty;
    sink.part("fill", "memory per message", Unit::Bytes, grown / count);
    sink.part("fill", "memory", Unit::Megabytes, grown / 1e6);
    let disk = proc::disk_bytes(&broker.data) as f64;
    sink.part("fill", "disk per message", Unit::Bytes, disk / count);

    // The publishers are done; their numbers go on with the flow.
    drop(net);
    let mut net = Net::new()?;
    let broker = match contestant.lasting {
        true => restart(broker, empty, count, sink)?,
        false => broker,
    };
    let drained = drain(&mut net, &mut flow, &broker)?;
    drained.report("drain", sink)?;
    let written = drained.device as f64 / count;
    sink.part("drain", "device bytes per message", Unit::Bytes, written);
    let disk = proc::disk_bytes(&broker.data) as f64;
    sink.part("drain", "disk after it", Unit::Megabytes, disk / 1e6);
    if contestant.tells {
        let figures = client::persistence_figures(broker.port)?;
        let figure = |name: &str| figures.get(name).copied().unwrap_or(f64::NAN) / 1e6;
        let (disk, live) = (figure("bytes/disk"), figure("bytes/live"));
        sink.part("drain", "disk two seconds later", Unit::Megabytes, disk);
        sink.part("drain", "live by then", Unit::Megabytes, live);
    }
    Ok(())
}

/// The same without a restart: what it costs to queue a message and to deliver it later.
pub fn in_and_out(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    let counts: &[u64] = if c.full {
        &[50_000, 500_000]
    } else {
        &[50_000]
    };
    for &count in counts {
        let broker = Broker::start(b, c.dir, UNTHROTTLED)?;
        client::lasting_session(broker.port, AWAY, "bench/away/+", 1)?;
        let (mut net, mut flow) = (Net::new()?, Flow::default());
        flow.subscriber_away(1);
        join_publishers(&mut net, &mut flow, &broker, count, 64)?;
        let empty = proc::resident(broker.pid())? as f64;
        let mark = Mark::new(&broker, &flow)?;
        flow::run_for(&mut net, &mut flow, LIMIT)?;
        flow::settle(&mut net, &mut flow)?;
        let part = format!("{}k in", count / 1000);
        mark.until_now(&broker, &flow)?.report(&part, sink)?;
        let each = (proc::resident(broker.pid())? as f64 - empty) / count as f64;
        sink.part(&part, "memory per message", Unit::Bytes, each);
        let part = format!("{}k out", count / 1000);
        drain(&mut net, &mut flow, &broker)?.report(&part, sink)?;
    }
    Ok(())
}

/// Ends the broker, starts it on what it kept, and reports that.
fn restart(broker: Broker, empty: f64, count: f64, sink: &mut Sink<'_>) -> Result<Broker, String> {
    let (broker, stopped) = broker.restart()?;
    let mut add = |figure: &str, value: f64| sink.part("start", figure, Unit::Millis, value);
    add("stop before it", millis(stopped));
    add("until CONNECT is answered", millis(broker.start_wall));
    add("CPU until then", millis(broker.start_cpu));
    let grown = (proc::resident(broker.pid())? as f64 - empty) / count;
    sink.part("start", "memory per message after it", Unit::Bytes, grown);
    Ok(broker)
}

fn join_publishers(
    net: &mut Net,
    flow: &mut Flow,
    broker: &Broker,
    messages: u64,
    payload_bytes: usize,
) -> Result<(), String> {
    for i in 0..PUBLISHERS {
        let peer = join(net, broker, &format!("bench-pub-{i}"))?;
        flow.publisher(
            peer,
            &Publishing {
                topic: &format!("bench/away/{i}"),
                topics: 0,
                retain: false,
                qos: 1,
                payload_bytes,
                window: 100,
                copies: 1,
                closed_loop: false,
            },
        );
        flow.publishers[i as usize].limit = messages / PUBLISHERS;
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
