//! TLS: what a handshake costs, and a message between clients that all encrypt.

use std::net::TcpStream;
use std::time::Duration;

use super::throughput::UNTHROTTLED;
use super::{Context, Mark};
use crate::broker::{Broker, Contestant};
use crate::flow::{self, Flow, Publishing};
use crate::net::Net;
use crate::table::{Sink, Unit};
use crate::tls::Tls;
use crate::{client, proc};

/// Pairs; each client makes a handshake of its own.
const PAIRS: usize = 50;

/// 50 publishers with a subscriber each.
pub fn run(c: &Context<'_>, b: &Contestant, sink: &mut Sink<'_>) -> Result<(), String> {
    for qos in 0..=1 {
        let tls = Tls::new(c.dir)?;
        let broker = Broker::start(b, c.dir, &format!("{UNTHROTTLED}{}", tls.settings))?;
        let (mut net, mut flow) = (Net::new()?, Flow::default());
        let cpu = proc::cpu(broker.pid())?;
        for i in 0..PAIRS {
            let topic = format!("bench/{i}/value");
            let peer = join(
                &mut net,
                &tls,
                &format!("bench-sub-{i}"),
                Some((&topic, qos)),
            )?;
            flow.subscriber(peer, qos);
            let peer = join(&mut net, &tls, &format!("bench-pub-{i}"), None)?;
            flow.publisher(
                peer,
                &Publishing {
                    topic: &topic,
                    topics: 0,
                    retain: false,
                    qos,
                    payload_bytes: 64,
                    window: 16,
                    copies: 1,
                    closed_loop: true,
                },
            );
        }
        let cpu = proc::cpu(broker.pid())?.saturating_sub(cpu);
        let each = cpu.as_secs_f64() * 1e6 / (2 * PAIRS) as f64;
        if qos == 0 {
            sink.add("broker CPU for handshake and CONNECT", Unit::Micros, each);
        }
        let (warm, time) = if c.full { (500, 3000) } else { (200, 700) };
        flow::run_for(&mut net, &mut flow, Duration::from_millis(warm))?;
        let mark = Mark::new(&broker, &flow)?;
        flow::run_for(&mut net, &mut flow, Duration::from_millis(time))?;
        let measured = mark.until_now(&broker, &flow)?;
        flow::finish(&mut net, &mut flow)?;
        measured.report(&format!("q{qos}"), sink)?;
    }
    Ok(())
}

/// Signs in over TLS, subscribes if asked to, and joins the loop.
fn join(
    net: &mut Net,
    tls: &Tls,
    client_id: &str,
    subscription: Option<(&str, u8)>,
) -> Result<usize, String> {
    let mut connection = tls.connection()?;
    let mut socket =
        TcpStream::connect(("127.0.0.1", tls.port)).map_err(|e| format!("connect: {e}"))?;
    client::prepare(&socket)?;
    let mut stream = rustls::Stream::new(&mut *connection, &mut socket);
    client::greet(&mut stream, client_id, true)?;
    if let Some((filter, qos)) = subscription {
        client::subscribe(&mut stream, filter, qos)?;
    }
    net.join_encrypted(socket, connection)
}
