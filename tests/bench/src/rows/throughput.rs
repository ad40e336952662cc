//! How much broker a message costs without persistence: 64-byte payloads, in a closed loop so
//! that nobody has reason to drop.

use std::time::Duration;

use super::{Context, Mark, join, join_subscriber};
use crate::broker::{Broker, Contestant};
use crate::flow::{self, Flow, Publishing};
use crate::net::Net;
use crate::table::Sink;

/// Nothing waits for acknowledgements of the subscriber, and nothing is dropped.
pub const UNTHROTTLED: &str = "max_inflight_messages 0\n";

/// Who talks to whom.
pub struct Shape {
    pub publishers: usize,
    pub subscribers: usize,
    /// Whether each publisher has a subscriber of its own.
    pub paired: bool,
    pub payload_bytes: usize,
    pub window: u64,
}

/// 10 publishers, 1 subscriber.
pub fn fan_in(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    let shape = Shape {
        publishers: 10,
        subscribers: 1,
        paired: false,
        payload_bytes: 64,
        window: 800,
    };
    (0..=2).try_for_each(|qos| run(c, b, sink, qos, &shape))
}

/// 1 publisher, 100 subscribers.
pub fn fan_out(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    (0..=2).try_for_each(|qos| {
        let shape = Shape {
            publishers: 1,
            subscribers: 100,
            paired: false,
            payload_bytes: 64,
            window: if qos == 0 { 200 } else { 50 },
        };
        run(c, b, sink, qos, &shape)
    })
}

/// 100 publishers with a subscriber each.
pub fn pairs(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    (0..=2).try_for_each(|qos| run(c, b, sink, qos, &paired(16)))
}

/// The same with one message under way each.
pub fn single(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    (0..=1).try_for_each(|qos| run(c, b, sink, qos, &paired(1)))
}

/// 4 publishers of 16 KiB, and of 1 MiB.
pub fn large(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    for (kib, window) in [(16, 64), (1024, 4)] {
        let shape = Shape {
            publishers: 4,
            subscribers: 1,
            paired: false,
            payload_bytes: kib * 1024,
            window,
        };
        let scenario = sink.scenario.clone();
        sink.scenario = format!("{scenario} {kib} KiB");
        let ran = run(c, b, sink, 0, &shape);
        sink.scenario = scenario;
        ran?;
    }
    Ok(())
}

/// 100 publishers with a subscriber each, and so many messages under way.
pub fn paired(window: u64) -> Shape {
    Shape {
        publishers: 100,
        subscribers: 100,
        paired: true,
        payload_bytes: 64,
        window,
    }
}

fn run(
    context: &Context<'_>,
    contestant: &Contestant,
    sink: &mut Sink<'_>,
    qos: u8,
    shape: &Shape,
) -> Result<(), String> {
    let broker = Broker::start(contestant, context.dir, UNTHROTTLED)?;
    let (mut net, mut flow) = gather(&broker, qos, shape)?;
    let (warm, time) = if context.full {
        (500, 3000)
    } else {
        (200, 700)
    };
    flow::run_for(&mut net, &mut flow, Duration::from_millis(warm))?;
    let mark = Mark::new(&broker, &flow)?;
    flow::run_for(&mut net, &mut flow, Duration::from_millis(time))?;
    let measured = mark.until_now(&broker, &flow)?;
    flow::finish(&mut net, &mut flow)?;
    measured.report(&format!("q{qos}"), sink)
}

/// Signs in everybody of this shape, all at one QoS.
pub fn gather(broker: &Broker, qos: u8, shape: &Shape) -> Result<(Net, Flow), String> {
    let mut net = Net::new()?;
    let mut flow = Flow::default();
    for i in 0..shape.subscribers {
        let filter = match shape.paired {
            true => format!("bench/{i}/value"),
            false => "bench/+/value".into(),
        };
        let peer = join_subscriber(&mut net, broker, &format!("bench-sub-{i}"), &filter, qos)?;
        flow.subscriber(peer, qos);
    }
    for i in 0..shape.publishers {
        let peer = join(&mut net, broker, &format!("bench-pub-{i}"))?;
        let copies = if shape.paired { 1 } else { shape.subscribers };
        flow.publisher(
            peer,
            &Publishing {
                topic: &format!("bench/{i}/value"),
                topics: 0,
                retain: false,
                qos,
                payload_bytes: shape.payload_bytes,
                window: shape.window,
                copies: copies as u16,
                closed_loop: true,
            },
        );
    }
    Ok((net, flow))
}
