//! Write amplification over the life of a log: retained topics that are updated at random are a
//! live core that must be moved again and again, queues that fill and drain are garbage that comes
//! by itself. The log turns over several times.
//!
//! Bytes written count everything: the messages, what the subscriber acknowledged, and what
//! cleaning moved. They are held against topic and payload of all that was published.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AWAY, Context, Mark, come_back, drain, join};
use crate::broker::{Broker, Contestant};
use crate::client;
use crate::flow::{self, Flow, Publishing};
use crate::net::Net;
use crate::proc;
use crate::table::{Sink, Unit};

/// The first publisher's are retained, the second's are queued.
const RETAINED: usize = 0;
const QUEUED: usize = 1;
/// One fill of the queue, and as many retained updates.
const CYCLE: u64 = 20_000;
const LIMIT: Duration = Duration::from_secs(600);

pub fn run(
    context: &Context<'_>,
    contestant: &Contestant,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    let topics = if context.full { 50_000 } else { 20_000 };
    let cycles = if context.full { 200 } else { 20 };
    let broker = Broker::start(contestant, context.dir, "")?;
    client::lasting_session(broker.port, AWAY, "bench/wear/queued", 1)?;
    let mut net = Net::new()?;
    let mut flow = Flow::default();
    flow.subscriber_away(1);
    join_publishers(&mut net, &mut flow, &broker, topics)?;

    // Every topic has a value before it counts.
    flow.publishers[RETAINED].limit = topics as u64;
    flow::run_for(&mut net, &mut flow, LIMIT)?;
    flow::settle(&mut net, &mut flow)?;

    let mark = Mark::new(&broker, &flow)?;
    let before = figures(contestant, &broker)?;
    let mut disk_max = 0;
    for _ in 0..cycles {
        for publisher in &mut flow.publishers {
            publisher.limit = publisher.sent + CYCLE;
        }
        flow::run_for(&mut net, &mut flow, LIMIT)?;
        flow::settle(&mut net, &mut flow)?;
        disk_max = disk_max.max(proc::disk_bytes(&broker.data));
        drain(&mut net, &mut flow, &broker)?;
    }
    let measured = mark.until_now(&broker, &flow)?;
    let after = figures(contestant, &broker)?;
    measured.report("", sink)?;

    let content = measured.content_bytes as f64;
    let device = measured.device as f64 / content;
    sink.add("published", Unit::Megabytes, content / 1e6);
    if let (Some(a), Some(b)) = (before.get("bytes/written"), after.get("bytes/written")) {
        sink.add(
            "log bytes per byte published",
            Unit::Each,
            (b - a) / content,
        );
    }
    sink.add("device bytes per byte published", Unit::Each, device);
    sink.add("disk, at most", Unit::Megabytes, disk_max as f64 / 1e6);
    let disk = proc::disk_bytes(&broker.data) as f64;
    sink.add("disk at the end", Unit::Megabytes, disk / 1e6);
    if let Some(live) = after.get("bytes/live") {
        sink.add("live at the end", Unit::Megabytes, live / 1e6);
    }
    verify_retained(&broker, &flow)?;
    if !contestant.lasting {
        return Ok(());
    }
    let (broker, _) = broker.restart()?;
    verify_retained(&broker, &flow)?;
    let mut net = Net::new()?;
    come_back(&mut net, &mut flow, &broker)?;
    Ok(())
}

fn join_publishers(
    net: &mut Net,
    flow: &mut Flow,
    broker: &Broker,
    topics: usize,
) -> Result<(), String> {
    let plans = [
        ("bench/wear/retained/#", topics, true, 200),
        ("bench/wear/queued", 0, false, 300),
    ];
    for (at, (topic, topics, retain, payload_bytes)) in plans.into_iter().enumerate() {
        let peer = join(net, broker, &format!("bench-pub-{at}"))?;
        flow.publisher(
            peer,
            &Publishing {
                topic,
                topics,
                retain,
                qos: 1,
                payload_bytes,
                window: 100,
                copies: u16::from(!retain),
                closed_loop: false,
            },
        );
    }
    flow.publishers[QUEUED].limit = 0;
    Ok(())
}

/// What the broker tells of its log, if it does.
fn figures(contestant: &Contestant, broker: &Broker) -> Result<BTreeMap<String, f64>, String> {
    match contestant.tells {
        true => client::persistence_figures(broker.port),
        false => Ok(BTreeMap::new()),
    }
}

/// Every topic must hold the last value that was published to it.
fn verify_retained(broker: &Broker, flow: &Flow) -> Result<(), String> {
    let expected = flow.last_numbers(RETAINED);
    let mut missing = expected.len();
    client::listen(broker.port, "bench/wear/retained/+", |publish, _| {
        let (_, number) = publish.stamp()?;
        let topic = String::from_utf8_lossy(publish.topic);
        let place = topic
            .rsplit('/')
            .next()
            .and_then(|n| n.parse::<usize>().ok());
        let wanted = place.and_then(|place| expected.get(place));
        if wanted != Some(&number) {
            return Err(format!("LOSS: {topic} holds {number}, not {wanted:?}"));
        }
        missing -= 1;
        Ok(missing > 0)
    })
}
