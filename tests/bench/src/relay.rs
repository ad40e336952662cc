//! The limit: what a broker costs that does nothing but move bytes.
//!
//! A process of the bench that answers CONNECT and SUBSCRIBE, acknowledges what is to be
//! acknowledged at once, and writes each run of PUBLISH packets as it came, packet ids and all, to
//! those who subscribed to its topic. It checks nothing and keeps nothing; what is left is what
//! the kernel takes for the same bytes in such pieces. Whoever reads slowly makes its memory grow,
//! which the closed loops of the bench do not.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::packet::{self, Packet};

/// Bytes of a read, as many as a broker that wants large payloads cheaply would take.
const READ_BYTES: usize = 256 * 1024;
const LISTENER: Token = Token(usize::MAX);

struct Relay {
    poll: Poll,
    peers: Vec<Option<Peer>>,
    subscriptions: Vec<(Vec<u8>, usize)>,
    /// Who gets the messages of each topic that came, as long as nobody subscribes or leaves.
    routes: HashMap<Vec<u8>, Vec<usize>>,
}

struct Peer {
    socket: TcpStream,
    /// What has come; the beginning of a packet stays.
    input: Vec<u8>,
    held: usize,
    /// What the socket did not take yet.
    out: Vec<u8>,
}

/// Relays between all who come to this port, until it is killed.
pub fn run(port: u16) -> Result<(), String> {
    serve(port).map_err(|e| format!("relay: {e}"))
}

fn serve(port: u16) -> io::Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    let poll = Poll::new()?;
    (poll.registry()).register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut relay = Relay {
        poll,
        peers: Vec::new(),
        subscriptions: Vec::new(),
        routes: HashMap::new(),
    };
    let mut events = Events::with_capacity(1024);
    loop {
        match relay.poll.poll(&mut events, None) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => relay.accept(&listener)?,
                Token(who) => {
                    if event.is_writable() {
                        relay.write(who, &[]);
                    }
                    if event.is_readable() && !relay.receive(who) {
                        relay.leave(who);
                    }
                }
            }
        }
    }
}

impl Relay {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            socket.set_nodelay(true)?;
            let token = Token(self.peers.len());
            let both = Interest::READABLE | Interest::WRITABLE;
            (self.poll.registry()).register(&mut socket, token, both)?;
            self.peers.push(Some(Peer {
                socket,
                input: Vec::new(),
                held: 0,
                out: Vec::new(),
            }));
        }
    }

    fn leave(&mut self, who: usize) {
        self.peers[who] = None;
        self.subscriptions.retain(|(_, other)| *other != who);
        self.routes.clear();
    }

    /// Reads until there is no more; whether the peer is still there.
    fn receive(&mut self, who: usize) -> bool {
        loop {
            let Some(peer) = &mut self.peers[who] else {
                return true;
            };
            let mut input = std::mem::take(&mut peer.input);
            let held = peer.held;
            if input.len() < held + READ_BYTES {
                input.resize(held + READ_BYTES, 0);
            }
            let room = &mut input[held..held + READ_BYTES];
            let n = match peer.socket.read(room) {
                Ok(0) => return false,
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return false,
            };
            let end = held + n;
            let Ok(taken) = self.take(who, &input[..end]) else {
                return false;
            };
            input.copy_within(taken..end, 0);
            if let Some(peer) = &mut self.peers[who] {
                (peer.input, peer.held) = (input, end - taken);
            }
            if n < READ_BYTES {
                return true;
            }
        }
    }

    /// Deals with the whole packets at the front; returns how many bytes they had.
    fn take(&mut self, who: usize, bytes: &[u8]) -> Result<usize, String> {
        let mut replies = Vec::new();
        let (mut at, mut run) = (0, 0..0);
        let mut topic: &[u8] = b"";
        while let Some((packet, len)) = packet::split(&bytes[at..])? {
            if packet.kind() == 3 {
                let publish = packet.publish()?;
                if publish.topic != topic {
                    self.forward(topic, &bytes[run]);
                    (topic, run) = (publish.topic, at..at);
                }
                run.end = at + len;
                let first = [0, 0x40, 0x50, 0][usize::from(publish.qos)];
                if first != 0 {
                    packet::acknowledge(first, publish.packet_id, &mut replies);
                }
            } else {
                self.forward(topic, &bytes[run]);
                (topic, run) = (b"", 0..0);
                self.answer(who, &packet, &mut replies)?;
            }
            at += len;
        }
        self.forward(topic, &bytes[run]);
        if !replies.is_empty() {
            self.write(who, &replies);
        }
        Ok(at)
    }

    fn answer(&mut self, who: usize, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        match packet.kind() {
            1 => out.extend_from_slice(&[0x20, 2, 0, 0]),
            5 => packet::acknowledge(0x62, packet.packet_id()?, out),
            6 => packet::acknowledge(0x70, packet.packet_id()?, out),
            8 => {
                let [high, low, _, len, filter @ ..] = packet.body else {
                    return Err("a short SUBSCRIBE".into());
                };
                let len = usize::from(*len);
                let (filter, qos) = (filter.get(..len), filter.get(len));
                let (Some(filter), Some(qos)) = (filter, qos) else {
                    return Err("a short SUBSCRIBE".into());
                };
                self.subscriptions.push((filter.to_vec(), who));
                self.routes.clear();
                out.extend_from_slice(&[0x90, 3, *high, *low, *qos]);
            }
            12 => out.extend_from_slice(&[0xD0, 0]),
            _ => {}
        }
        Ok(())
    }

    fn forward(&mut self, topic: &[u8], bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if !self.routes.contains_key(topic) {
            let all = self.subscriptions.iter();
            let found = all.filter(|(filter, _)| matches(filter, topic));
            let route = found.map(|(_, who)| *who).collect();
            self.routes.insert(topic.to_vec(), route);
        }
        let route = self.routes.get_mut(topic).map(std::mem::take);
        let route = route.unwrap_or_default();
        for &who in &route {
            self.write(who, bytes);
        }
        if let Some(place) = self.routes.get_mut(topic) {
            *place = route;
        }
    }

    /// Writes what waits, then these bytes; what the socket does not take waits.
    fn write(&mut self, who: usize, bytes: &[u8]) {
        let Some(Some(peer)) = self.peers.get_mut(who) else {
            return;
        };
        if !peer.out.is_empty() {
            let n = peer.socket.write(&peer.out).unwrap_or(0);
            peer.out.drain(..n);
            if !peer.out.is_empty() {
                return peer.out.extend_from_slice(bytes);
            }
        }
        let n = match bytes {
            [] => 0,
            _ => peer.socket.write(bytes).unwrap_or(0),
        };
        peer.out.extend_from_slice(&bytes[n..]);
    }
}

/// Whether the filter, which has no `#`, matches.
fn matches(filter: &[u8], topic: &[u8]) -> bool {
    let (mut filter, mut topic) = (filter.split(|b| *b == b'/'), topic.split(|b| *b == b'/'));
    loop {
        match (filter.next(), topic.next()) {
            (None, None) => return true,
            (Some(b"+"), Some(_)) => {}
            (ours, theirs) if ours == theirs => {}
            _ => return false,
        }
    }
}
