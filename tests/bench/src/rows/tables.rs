//! Large tables: many filters, many retained topics.

use std::net::TcpStream;
use std::time::Duration;

use super::{Context, Mark, join, measure_fetch};
use crate::broker::{Broker, Contestant};
use crate::flow::{self, Flow, Publishing};
use crate::net::Net;
use crate::packet::DIGITS;
use crate::table::{Sink, Unit};
use crate::{client, proc};

const LIMIT: Duration = Duration::from_secs(600);
/// Filters in one SUBSCRIBE.
const FILTERS_EACH: usize = 100;

/// One session with so many wildcard filters; publishes to topics of which each matches one filter,
/// and to topics that match none.
pub fn filters(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    let counts: &[usize] = match c.full {
        true => &[10_000, 100_000, 1_000_000],
        false => &[10_000, 100_000],
    };
    for &count in counts {
        let broker = Broker::start(b, c.dir, "")?;
        let mut socket = client::sign_in(broker.port, "bench-sub", true)?.socket;
        let memory = proc::resident(broker.pid())? as f64;
        let cpu = proc::cpu(broker.pid())?;
        subscribe(&mut socket, count)?;
        let cpu = proc::cpu(broker.pid())?.saturating_sub(cpu);
        let grown = proc::resident(broker.pid())? as f64 - memory;
        let part = format!("{}k", count / 1000);
        let each = cpu.as_secs_f64() * 1e6 / count as f64;
        sink.part(&part, "broker CPU per subscription", Unit::Micros, each);
        sink.part(
            &part,
            "memory per filter",
            Unit::Bytes,
            grown / count as f64,
        );

        let mut net = Net::new()?;
        let mut flow = Flow::default();
        let peer = net.join(socket)?;
        flow.subscriber(peer, 0);
        for (at, topic) in ["bench/one/#/value", "bench/one/#/other"]
            .iter()
            .enumerate()
        {
            let peer = join(&mut net, &broker, &format!("bench-pub-{at}"))?;
            // What matches nothing is paced by its acknowledgements.
            let matches = at == 0;
            let qos = u8::from(!matches);
            flow.publisher(peer, &publishing(topic, count, false, qos, matches));
        }
        for (at, name) in ["match q0", "no match q1"].iter().enumerate() {
            flow.publishers[1 - at].limit = flow.publishers[1 - at].sent;
            flow.publishers[at].limit = u64::MAX;
            flow::run_for(&mut net, &mut flow, Duration::from_millis(200))?;
            let mark = Mark::new(&broker, &flow)?;
            let time = Duration::from_millis(if c.full { 3000 } else { 700 });
            flow::run_for(&mut net, &mut flow, time)?;
            let measured = mark.until_now(&broker, &flow)?;
            measured.report(&format!("{part} {name}"), sink)?;
            flow::finish(&mut net, &mut flow)?;
        }
    }
    Ok(())
}

/// Subscribes to so many wildcard filters.
pub fn subscribe(socket: &mut TcpStream, count: usize) -> Result<(), String> {
    for first in (0..count).step_by(FILTERS_EACH) {
        let last = (first + FILTERS_EACH).min(count);
        let filters = (first..last).map(|i| format!("bench/+/{i:0DIGITS$}/value"));
        client::subscribe_all(socket, &filters.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Retained topics: each stored once, then updated at random, then fetched by two filters.
pub fn retained(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    let counts: &[usize] = if c.full {
        &[100_000, 1_000_000]
    } else {
        &[20_000]
    };
    for &count in counts {
        let broker = Broker::start(b, c.dir, "")?;
        let mut net = Net::new()?;
        let mut flow = Flow::default();
        let peer = join(&mut net, &broker, "bench-pub")?;
        flow.publisher(
            peer,
            &publishing("bench/one/#/value", count, true, 1, false),
        );
        let memory = proc::resident(broker.pid())? as f64;
        for (round, name) in ["store", "update"].iter().enumerate() {
            flow.publishers[0].limit = (count * (round + 1)) as u64;
            let mark = Mark::new(&broker, &flow)?;
            flow::run_for(&mut net, &mut flow, LIMIT)?;
            flow::settle(&mut net, &mut flow)?;
            let measured = mark.until_now(&broker, &flow)?;
            measured.report(&format!("{}k {name}", count / 1000), sink)?;
            if round == 0 {
                let grown = proc::resident(broker.pid())? as f64 - memory;
                let part = format!("{}k", count / 1000);
                sink.part(&part, "memory per topic", Unit::Bytes, grown / count as f64);
            }
        }
        for (filter, name) in [("bench/#", "fetch #"), ("bench/one/+/value", "fetch a/+/b")] {
            let part = format!("{}k {name}", count / 1000);
            measure_fetch(&broker, filter, count, &part, sink)?;
        }
    }
    Ok(())
}

/// Publishes to so many topics, 64 bytes each.
pub fn publishing(
    topic: &str,
    topics: usize,
    retain: bool,
    qos: u8,
    closed_loop: bool,
) -> Publishing<'_> {
    Publishing {
        topic,
        topics,
        retain,
        qos,
        payload_bytes: 64,
        window: 200,
        copies: u16::from(closed_loop),
        closed_loop,
    }
}
