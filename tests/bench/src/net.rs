//! The generator's loop: one thread, mio, and as few system calls as the sockets allow.
//!
//! A turn reads what came on each socket into one shared buffer, hands each packet to the load
//! where it lies, lets the load fill the outgoing buffers, and writes each of them once. Only a
//! packet that has not ended yet is copied.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConnection;

use crate::packet::{self, Packet};
use crate::tls::Socket;

/// What the loop asks while it runs.
pub trait Load {
    /// A packet came for this peer.
    fn packet(&mut self, who: usize, packet: &Packet<'_>, outs: &mut Outs) -> Result<(), String>;
    /// All that came in this turn was handed over: what is to be sent now?
    fn fill(&mut self, outs: &mut Outs) -> Result<(), String>;
}

/// The outgoing bytes of every peer.
#[derive(Default)]
pub struct Outs {
    outs: Vec<Vec<u8>>,
    /// Peers that may have something to write.
    dirty: Vec<usize>,
}

impl Outs {
    /// Where to append for this peer.
    pub fn of(&mut self, who: usize) -> &mut Vec<u8> {
        if self.outs[who].is_empty() {
            self.dirty.push(who);
        }
        &mut self.outs[who]
    }
}

/// The sockets of a load.
pub struct Net {
    poll: Poll,
    events: Events,
    peers: Vec<Peer>,
    outs: Outs,
    inbound: Vec<u8>,
    /// The longest time between two polls since it was last taken: what the generator itself adds
    /// to a latency at most.
    longest_turn: Duration,
}

struct Peer {
    /// `None` once it left.
    socket: Option<Socket>,
    /// The beginning of a packet.
    partial: Vec<u8>,
    /// How much of its outgoing bytes the socket took.
    sent: usize,
    writable: bool,
}

impl Net {
    pub fn new() -> Result<Self, String> {
        Ok(Self {
            poll: Poll::new().map_err(|e| format!("epoll: {e}"))?,
            events: Events::with_capacity(1024),
            peers: Vec::new(),
            outs: Outs::default(),
            inbound: vec![0; 256 * 1024],
            longest_turn: Duration::ZERO,
        })
    }

    /// Takes a socket that has signed in; its number is its place.
    pub fn join(&mut self, socket: std::net::TcpStream) -> Result<usize, String> {
        self.add(socket, None)
    }

    /// The same for one that is encrypted.
    pub fn join_encrypted(
        &mut self,
        socket: std::net::TcpStream,
        tls: Box<ClientConnection>,
    ) -> Result<usize, String> {
        self.add(socket, Some(tls))
    }

    fn add(
        &mut self,
        socket: std::net::TcpStream,
        tls: Option<Box<ClientConnection>>,
    ) -> Result<usize, String> {
        socket
            .set_nonblocking(true)
            .map_err(|e| format!("non-blocking: {e}"))?;
        let mut tcp = TcpStream::from_std(socket);
        let who = self.peers.len();
        self.poll
            .registry()
            .register(
                &mut tcp,
                Token(who),
                Interest::READABLE | Interest::WRITABLE,
            )
            .map_err(|e| format!("epoll: {e}"))?;
        self.peers.push(Peer {
            socket: Some(Socket { tcp, tls }),
            partial: Vec::new(),
            sent: 0,
            writable: true,
        });
        self.outs.outs.push(Vec::new());
        Ok(who)
    }

    /// Says DISCONNECT and waits until the broker has closed: from then on the client is away.
    /// All outgoing bytes must have been written, and nothing may be on its way.
    pub fn leave(&mut self, who: usize) -> Result<(), String> {
        if !self.outs.outs[who].is_empty() {
            return Err("a client was to leave with bytes not yet written".into());
        }
        let Some(mut socket) = self.peers[who].socket.take() else {
            return Ok(());
        };
        let mut byte = [0];
        let registry = self.poll.registry();
        let left = registry.deregister(&mut socket.tcp).and_then(|()| {
            let mut socket = std::net::TcpStream::from(OwnedFd::from(socket.tcp));
            socket.set_nonblocking(false)?;
            socket.write_all(&packet::DISCONNECT)?;
            socket.read(&mut byte)
        });
        match left {
            Ok(0) => Ok(()),
            Ok(_) => Err("a client was to leave with bytes on their way to it".into()),
            Err(e) => Err(format!("disconnect: {e}")),
        }
    }

    /// Whether every outgoing byte was written.
    pub fn flushed(&self) -> bool {
        self.outs.dirty.is_empty()
    }

    /// The longest turn since this was last asked.
    pub fn take_longest_turn(&mut self) -> Duration {
        std::mem::take(&mut self.longest_turn)
    }

    /// One turn; waits at most `timeout` for something to do.
    pub fn turn(&mut self, load: &mut impl Load, timeout: Duration) -> Result<(), String> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(format!("epoll: {e}")),
            _ => {}
        }
        let began = Instant::now();
        for event in &self.events {
            let who = event.token().0;
            let peer = &mut self.peers[who];
            if event.is_writable() && !peer.writable {
                peer.writable = true;
            }
            if event.is_readable() || event.is_read_closed() {
                read(peer, who, &mut self.inbound, load, &mut self.outs)?;
            }
        }
        load.fill(&mut self.outs)?;
        self.write()?;
        self.longest_turn = self.longest_turn.max(began.elapsed());
        Ok(())
    }

    fn write(&mut self) -> Result<(), String> {
        let mut at = 0;
        while at < self.outs.dirty.len() {
            let who = self.outs.dirty[at];
            let (peer, out) = (&mut self.peers[who], &mut self.outs.outs[who]);
            flush(peer, out).map_err(|e| format!("write: {e}"))?;
            if out.is_empty() {
                self.outs.dirty.swap_remove(at);
            } else {
                at += 1;
            }
        }
        Ok(())
    }
}

/// Reads until the socket is drained: a short read says so.
fn read(
    peer: &mut Peer,
    who: usize,
    inbound: &mut Vec<u8>,
    load: &mut impl Load,
    outs: &mut Outs,
) -> Result<(), String> {
    loop {
        let Some(socket) = &mut peer.socket else {
            return Ok(());
        };
        let held = peer.partial.len();
        if held * 2 > inbound.len() {
            inbound.resize(held * 4, 0);
        }
        inbound[..held].copy_from_slice(&peer.partial);
        peer.partial.clear();
        let room = inbound.len() - held;
        let came = match socket.read(&mut inbound[held..]) {
            Ok(0) => return Err("the broker closed a connection".into()),
            Ok(came) => came,
            Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
            Err(e) if e.kind() == ErrorKind::Interrupted => {
                peer.partial.extend_from_slice(&inbound[..held]);
                continue;
            }
            Err(e) => return Err(format!("read: {e}")),
        };
        let mut rest = &inbound[..held + came];
        while let Some((packet, len)) = packet::split(rest)? {
            load.packet(who, &packet, outs)?;
            rest = &rest[len..];
        }
        peer.partial.extend_from_slice(rest);
        // A record that is short says nothing about what is behind it.
        let is_encrypted = (peer.socket.as_ref()).is_some_and(|socket| socket.tls.is_some());
        if came == 0 || came < room && !is_encrypted {
            return Ok(());
        }
    }
}

/// Writes as much as the socket takes; empties `out` when that was all.
fn flush(peer: &mut Peer, out: &mut Vec<u8>) -> io::Result<()> {
    let Some(socket) = &mut peer.socket else {
        out.clear();
        return Ok(());
    };
    while peer.writable && peer.sent < out.len() {
        match socket.write(&out[peer.sent..]) {
            Ok(n) => peer.sent += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => peer.writable = false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    if peer.sent == out.len() {
        match socket.flush() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                peer.writable = false;
                return Ok(());
            }
            flushed => flushed?,
        }
        out.clear();
        peer.sent = 0;
    }
    Ok(())
}
