//! Many short connections that say what they like, and what the naive codec makes of it.

use crate::common::decode::{From, decode};
use crate::common::encode::encode;
use crate::common::packet::*;
use crate::harness::{Broker, Peers};
use crate::wait::LIMIT;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

pub const PINGREQ: [u8; 2] = [0xc0, 0];

/// What one connection heard before it was closed.
pub struct Heard {
    pub packets: Vec<Packet>,
    /// The end was a reset, which may have swallowed the last words.
    pub is_reset: bool,
}

impl Heard {
    pub fn pings(&self) -> usize {
        let is_ping = |packet: &&Packet| matches!(packet, Packet::PingResp);
        self.packets.iter().filter(is_ping).count()
    }

    /// The reason of the CONNACK.
    pub fn connack(&self) -> Option<u8> {
        self.packets.iter().find_map(|packet| match packet {
            Packet::ConnAck(ack) => Some(ack.code),
            _ => None,
        })
    }

    /// The reason of the DISCONNECT at the end, if there is one.
    pub fn disconnect(&self) -> Option<u8> {
        match self.packets.last() {
            Some(Packet::Disconnect(disconnect)) => Some(disconnect.code),
            _ => None,
        }
    }
}

/// What one connection says, and what it waits for then.
pub struct Said {
    pub bytes: Vec<u8>,
    pub until: Until,
}

/// When a connection has heard enough. It also has when the broker closes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// So many PINGREQs are answered.
    Answered(usize),
    /// Only then.
    Closed,
    /// At once: the stream ends here.
    Said,
}

/// A connection for each of the streams, all at the same time.
pub fn talk(broker: &Broker, version: Version, streams: &[Said]) -> Vec<Heard> {
    let open: Vec<TcpStream> = (streams.iter())
        .map(|said| {
            let mut socket = TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            socket.set_write_timeout(Some(LIMIT)).unwrap();
            // The broker may have closed already: that shows when it is listened to.
            let _ = socket.write_all(&said.bytes);
            if said.until == Until::Said {
                let _ = socket.shutdown(Shutdown::Write);
            }
            socket
        })
        .collect();
    let open = open.into_iter().zip(streams);
    open.map(|(socket, said)| listen(version, socket, said))
        .collect()
}

fn listen(version: Version, mut socket: TcpStream, said: &Said) -> Heard {
    let mut heard = Heard {
        packets: Vec::new(),
        is_reset: false,
    };
    let mut unread = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => unread.extend_from_slice(&chunk[..len]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                heard.is_reset = true;
                return heard;
            }
            Err(error) => panic!(
                "neither an answer nor a close: {error}, {:02x?}",
                said.bytes
            ),
        }
        loop {
            match decode(version, From::Server, &unread) {
                Ok(None) => break,
                Ok(Some((packet, len))) => {
                    heard.packets.push(packet);
                    unread.drain(..len);
                }
                Err(bad) => panic!("the broker wrote: {bad}: {unread:02x?}"),
            }
        }
        if matches!(said.until, Until::Answered(count) if heard.pings() >= count) {
            return heard;
        }
    }
    assert_eq!(unread, [], "the broker closed within a packet");
    heard
}

/// What the naive codec makes of a stream behind CONNECT.
#[derive(Debug)]
pub struct Prediction {
    /// PINGREQ in it: more answers than that cannot come.
    pub pings: usize,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// Every byte belongs to a packet that may be.
    Whole,
    /// The last packet is not complete.
    Cut,
    /// A packet that is malformed, or that a client never sends.
    Refused,
    /// DISCONNECT.
    Disconnect,
}

pub fn predict(version: Version, stream: &[u8]) -> Prediction {
    let mut rest = stream;
    let mut pings = 0;
    let end = loop {
        if rest.is_empty() {
            break End::Whole;
        }
        match decode(version, From::Client, rest) {
            Err(_) => break End::Refused,
            // What cannot be is refused by its header.
            Ok(None) if is_header_refused(rest) => break End::Refused,
            Ok(None) => break End::Cut,
            Ok(Some((packet, len))) => {
                rest = &rest[len..];
                match packet {
                    Packet::PingReq => pings += 1,
                    Packet::Disconnect(_) => break End::Disconnect,
                    // No connection here has agreed on a method.
                    Packet::Connect(_) | Packet::Auth(_) => break End::Refused,
                    Packet::ConnAck(_)
                    | Packet::SubAck(_)
                    | Packet::UnsubAck(_)
                    | Packet::PingResp => break End::Refused,
                    _ => {}
                }
            }
        }
    };
    Prediction { pings, end }
}

impl Prediction {
    /// What a connection that says this waits for.
    pub fn until(&self) -> Until {
        match self.end {
            End::Whole => Until::Answered(self.pings),
            End::Refused | End::Disconnect => Until::Closed,
            End::Cut => Until::Said,
        }
    }
}

/// Whether a header is whole and has a type that no client sends behind CONNECT.
fn is_header_refused(bytes: &[u8]) -> bool {
    let is_whole = bytes.iter().skip(1).take(4).any(|byte| *byte < 0x80);
    is_whole && matches!(bytes[0] >> 4, 0 | 1 | 2 | 9 | 11 | 13)
}

/// The bytes of a CONNECT that is let in.
pub fn hello(version: Version, number: usize) -> Vec<u8> {
    let connect = Connect::new(version, &format!("attacker-{number}"));
    encode(version, &Packet::Connect(connect))
}

/// The good pair at work on a thread of its own.
pub struct GoodPair {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl GoodPair {
    pub fn start(broker: &Broker) -> GoodPair {
        let mut peers = Peers::new(broker);
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        let thread = std::thread::spawn(move || {
            let mut count = 0;
            // Packet identifiers are numbered through, so no more than there are of them.
            while count < 60_000 && !seen.load(Ordering::Relaxed) {
                peers.check();
                count += 1;
            }
            count
        });
        GoodPair { is_over, thread }
    }

    /// Everything that the pair sent has arrived; how many messages that were.
    #[track_caller]
    pub fn finish(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the good pair loses nothing")
    }
}
