//! A connection that never waits: the load's clients live on these, all in one thread.

use crate::common::decode::{From, decode};
use crate::common::encode::encode;
use crate::common::packet::{Packet, Version};
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// A socket with what came in and what has to go out.
pub struct Link {
    stream: mio::net::TcpStream,
    version: Version,
    heard: Vec<u8>,
    out: Vec<u8>,
    is_closed: bool,
}

impl Link {
    /// `registry` wakes the thread when something comes; which link it was does not matter.
    pub fn new(stream: TcpStream, version: Version, registry: &Registry) -> Link {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut stream = mio::net::TcpStream::from_std(stream);
        registry
            .register(&mut stream, Token(0), Interest::READABLE)
            .unwrap();
        Link {
            stream,
            version,
            heard: Vec::new(),
            out: Vec::new(),
            is_closed: false,
        }
    }

    /// Queues a packet and writes what the socket takes.
    pub fn say(&mut self, packet: &Packet) {
        self.out.extend(encode(self.version, packet));
        self.flush();
    }

    fn flush(&mut self) {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(n) => {
                    self.out.drain(..n);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // A broken connection shows when it is read, behind what the broker said before.
                Err(_) => return,
            }
        }
    }

    /// Everything that has come whole; the broker's last words too.
    pub fn hear(&mut self) -> Vec<Packet> {
        self.flush();
        let mut chunk = [0; 16 * 1024];
        // At most so much at once, so that others have their turn.
        for _ in 0..16 {
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    self.is_closed = true;
                    break;
                }
                Ok(n) => self.heard.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.is_closed = true;
                    break;
                }
            }
        }
        let mut packets = Vec::new();
        let mut at = 0;
        while let Some((packet, len)) = decode(self.version, From::Server, &self.heard[at..])
            .expect("the broker sends valid packets")
        {
            packets.push(packet);
            at += len;
        }
        self.heard.drain(..at);
        packets
    }

    /// The other end is gone, and everything it said was heard.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }
}
