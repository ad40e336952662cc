//! Signing in, subscribing and reading `$SYS`, with a blocking socket: what is never measured.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::packet::{self, Packet, Template};

/// The longest wait for one answer. A start with a million messages may need a while.
const ANSWER: Duration = Duration::from_secs(120);

/// A socket that has signed in, and whether the broker had its session.
pub struct SignedIn {
    pub socket: TcpStream,
    pub session_present: bool,
}

/// Connects and signs in.
pub fn sign_in(port: u16, client_id: &str, clean: bool) -> Result<SignedIn, String> {
    let mut socket =
        TcpStream::connect(("127.0.0.1", port)).map_err(|e| format!("connect: {e}"))?;
    prepare(&socket)?;
    let session_present = greet(&mut socket, client_id, clean)?;
    Ok(SignedIn {
        socket,
        session_present,
    })
}

/// Sets what all sockets have set.
pub fn prepare(socket: &TcpStream) -> Result<(), String> {
    socket
        .set_nodelay(true)
        .and_then(|()| socket.set_read_timeout(Some(ANSWER)))
        .map_err(|e| format!("a socket: {e}"))
}

/// Signs in on a connection; whether the broker had its session. Reads not a byte beyond the
/// CONNACK.
pub fn greet(
    stream: &mut (impl Read + Write),
    client_id: &str,
    clean: bool,
) -> Result<bool, String> {
    let mut answer = [0; 4];
    stream
        .write_all(&packet::connect(client_id, clean))
        .and_then(|()| stream.read_exact(&mut answer))
        .map_err(|e| format!("{client_id} signs in: {e}"))?;
    match answer {
        [0x20, 2, present, 0] => Ok(present == 1),
        _ => Err(format!("{client_id} signs in: answered {answer:02x?}")),
    }
}

/// Signs in with a session that ends with the connection and subscribes.
pub fn subscriber(port: u16, client_id: &str, filter: &str, qos: u8) -> Result<TcpStream, String> {
    let mut socket = sign_in(port, client_id, true)?.socket;
    subscribe(&mut socket, filter, qos)?;
    Ok(socket)
}

/// Makes a session that outlives its connection, with one subscription, and leaves it.
pub fn lasting_session(port: u16, client_id: &str, filter: &str, qos: u8) -> Result<(), String> {
    let mut socket = sign_in(port, client_id, false)?.socket;
    subscribe(&mut socket, filter, qos)?;
    socket
        .write_all(&packet::DISCONNECT)
        .map_err(|e| format!("{client_id} leaves: {e}"))?;
    // The broker closes once it has read that: from then on the session is offline.
    match socket.read(&mut [0; 16]) {
        Ok(0) => Ok(()),
        Ok(n) => Err(format!("{client_id} leaves: {n} bytes came")),
        Err(e) => Err(format!("{client_id} leaves: {e}")),
    }
}

/// Subscribes at QoS 0 to all of these in one packet; there must be no message for them yet.
pub fn subscribe_all(socket: &mut TcpStream, filters: &[String]) -> Result<(), String> {
    let mut answer = vec![0; 16 + filters.len()];
    let mut held = 0;
    socket
        .write_all(&packet::subscribe_all(filters, 0))
        .map_err(|e| format!("subscribe: {e}"))?;
    loop {
        held += match socket.read(&mut answer[held..]) {
            Ok(0) => return Err("subscribe: the broker closed".into()),
            Ok(came) => came,
            Err(e) => return Err(format!("subscribe: {e}")),
        };
        if let Some((packet, len)) = packet::split(&answer[..held])? {
            let granted = packet.body.get(2..).unwrap_or_default();
            let all = granted.len() == filters.len() && granted.iter().all(|code| *code == 0);
            return match packet.kind() == 9 && all && len == held {
                true => Ok(()),
                false => Err("subscribe: not all were granted".into()),
            };
        }
    }
}

/// Subscribes; there must be no message for the filter yet.
pub fn subscribe(socket: &mut (impl Read + Write), filter: &str, qos: u8) -> Result<(), String> {
    let mut answer = [0; 5];
    socket
        .write_all(&packet::subscribe(filter, qos))
        .and_then(|()| socket.read_exact(&mut answer))
        .map_err(|e| format!("subscribe: {e}"))?;
    match answer {
        [0x90, 3, 0, 1, granted] if granted == qos => Ok(()),
        _ => Err(format!("subscribe: answered {answer:02x?}")),
    }
}

/// Subscribes at QoS 0 and hands on every message until `keep_on` says no; its second argument is
/// the RETAIN flag.
pub fn listen(
    port: u16,
    filter: &str,
    mut keep_on: impl FnMut(&packet::Publish<'_>, bool) -> Result<bool, String>,
) -> Result<(), String> {
    let mut socket = sign_in(port, "bench-listener", true)?.socket;
    socket
        .write_all(&packet::subscribe(filter, 0))
        .map_err(|e| format!("subscribe: {e}"))?;
    packets(&mut socket, |packet| match packet.kind() {
        3 => keep_on(&packet.publish()?, packet.first & 1 == 1),
        _ => Ok(true),
    })
    .map_err(|e| format!("listening to {filter}: {e}"))
}

/// Hands on every packet that comes until `keep_on` says no; what came behind that one is lost.
fn packets(
    socket: &mut TcpStream,
    mut keep_on: impl FnMut(&Packet<'_>) -> Result<bool, String>,
) -> Result<(), String> {
    let mut buffer = vec![0; 256 * 1024];
    let mut held = 0;
    loop {
        let came = socket
            .read(&mut buffer[held..])
            .map_err(|e| e.to_string())?;
        if came == 0 {
            return Err("the broker closed".into());
        }
        held += came;
        let mut at = 0;
        while let Some((packet, len)) = packet::split(&buffer[at..held])? {
            if !keep_on(&packet)? {
                return Ok(());
            }
            at += len;
        }
        buffer.copy_within(at..held, 0);
        held -= at;
    }
}

/// Asks for a sign of life; an error if anything else comes before the answer.
pub fn ping(socket: &mut TcpStream) -> Result<(), String> {
    socket
        .write_all(&packet::PINGREQ)
        .map_err(|e| format!("ping: {e}"))?;
    packets(socket, |packet| match packet.kind() {
        13 => Ok(false),
        kind => Err(format!("a packet of type {kind} came instead of PINGRESP")),
    })
}

/// Publishes so many messages at QoS 1, each to a topic of its own (`#` stands for its number),
/// which expire after so many seconds: MQTT 5.
pub fn publish_expiring(
    port: u16,
    topic: &str,
    retain: bool,
    count: usize,
    expiry_s: u32,
) -> Result<(), String> {
    const WINDOW: usize = 200;
    let failed = |e| format!("publishing: {e}");
    let socket = TcpStream::connect(("127.0.0.1", port));
    let mut socket = socket.map_err(failed)?;
    socket
        .set_nodelay(true)
        .and_then(|()| socket.set_read_timeout(Some(ANSWER)))
        .and_then(|()| socket.write_all(&packet::connect_5("bench-pub-5")))
        .map_err(failed)?;
    packets(&mut socket, |packet| match (packet.kind(), packet.body) {
        (2, [_, 0, ..]) => Ok(false),
        _ => Err("publishing: MQTT 5 was not accepted".into()),
    })?;
    let mut template = Template::expiring(topic, retain, expiry_s);
    let mut out = Vec::new();
    for first in (0..count).step_by(WINDOW) {
        let last = (first + WINDOW).min(count);
        out.clear();
        for number in first..last {
            template.put(number as u64, Some(number as u64), &mut out);
        }
        socket.write_all(&out).map_err(failed)?;
        let mut acked = first;
        packets(&mut socket, |packet| {
            let expected = packet::packet_id_of(acked as u64);
            let is_good = packet.body.get(2).is_none_or(|reason| *reason < 128);
            if packet.kind() != 4 || packet.packet_id()? != expected || !is_good {
                return Err(format!("publishing: message {acked} was not acknowledged"));
            }
            acked += 1;
            Ok(acked < last)
        })?;
    }
    Ok(())
}

/// The values below `$SYS/broker/persistence/` after the next refresh; empty where the broker has
/// none. Waits for two refreshes of `$SYS`.
pub fn persistence_figures(port: u16) -> Result<BTreeMap<String, f64>, String> {
    let figures = sys_figures(port)?.into_iter();
    let below = figures.filter_map(|(name, value)| {
        let name = name.strip_prefix("persistence/")?;
        Some((name.to_string(), value))
    });
    Ok(below.collect())
}

/// The numbers below `$SYS/broker/` after the next refresh. Waits for two refreshes.
pub fn sys_figures(port: u16) -> Result<BTreeMap<String, f64>, String> {
    let mut figures = BTreeMap::new();
    let mut refreshes = 0;
    let began = Instant::now();
    listen(port, "$SYS/broker/#", |publish, retained| {
        let topic = String::from_utf8_lossy(publish.topic);
        if let Some(name) = topic.strip_prefix("$SYS/broker/") {
            let value = String::from_utf8_lossy(publish.payload);
            let number = value.split(' ').next().unwrap_or_default();
            if let Ok(number) = number.parse() {
                figures.insert(name.to_string(), number);
            }
        }
        // The second refresh begins when the first is complete.
        refreshes += u32::from(topic == "$SYS/broker/uptime" && !retained);
        Ok(refreshes < 2 && began.elapsed() < ANSWER)
    })?;
    Ok(figures)
}
