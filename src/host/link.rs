//! Links: a socket and the connection that the broker knows for it.
//!
//! A link has three lives: it carries a connection; it lingers, because the other end shall still
//! read our last packet before the kernel resets the connection over what we left unread; it is
//! gone, and its slot is free at the end of the turn.

use super::listen::Stream;
use super::ring::{Held, RING_BYTES, Rings};
use crate::broker::{Broker, ConnId, Now};
use std::io::{self, ErrorKind, Read, Write};

/// A socket of a client.
pub struct Link {
    pub(super) stream: Stream,
    pub(super) life: Life,
    held: Held,
    /// The kernel may have more for us: read without waiting for an event.
    pub(super) may_have_more: bool,
    /// The other end has said its last: the end of the stream follows what is to be read, and the
    /// event that told so may have been the last.
    pub(super) is_ending: bool,
    /// The kernel takes no more from us until it says so.
    is_blocked: bool,
    pub(super) is_listed: bool,
}

/// Where a link is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It carries this connection.
    Open(ConnId),
    /// It is discarding input until the other end closes, or this moment.
    Lingering(u64),
    /// Nothing is left but to free it.
    Gone,
}

/// How a stream ended.
enum End {
    /// The other end closed it.
    Closed,
    /// It broke.
    Failed(io::Error),
}

/// How long the other end may take to read our last packet.
pub const LINGER_MS: u64 = 2000;

/// Buffers of one read or write at most in a turn, so that nobody has to wait for one link.
const BUFFERS_PER_TURN: usize = 4;

impl Link {
    /// A link that carries a connection.
    pub fn new(stream: Stream, conn: ConnId) -> Link {
        Link {
            stream,
            life: Life::Open(conn),
            held: Held::Nothing,
            may_have_more: true,
            is_ending: false,
            is_blocked: false,
            is_listed: false,
        }
    }

    /// Reads once, after what is held back, and gives it to the broker.
    ///
    /// `shared` is the loop's inbound buffer, larger than a ring.
    pub fn receive(&mut self, broker: &mut Broker, shared: &mut [u8], rings: &mut Rings, now: Now) {
        let Life::Open(conn) = self.life else { return };
        if !broker.takes_input(conn) {
            return;
        }
        if let Some(large) = rings.take_large(&mut self.held) {
            return self.receive_large(conn, large, broker, shared, rings, now);
        }
        let held = self.held.bytes().len();
        shared[..held].copy_from_slice(self.held.bytes());
        let (end, ended) = self.read(&mut shared[held..]);
        let filled = held + end;
        let consumed = broker.receive(conn, &shared[..filled], now);
        self.hold(conn, &shared[consumed..filled], broker, rings, now);
        self.end(conn, ended, broker, rings, now);
    }

    /// The same for a packet that is larger than a ring.
    fn receive_large(
        &mut self,
        conn: ConnId,
        mut large: Vec<u8>,
        broker: &mut Broker,
        shared: &mut [u8],
        rings: &mut Rings,
        now: Now,
    ) {
        let (n, ended) = self.read(shared);
        large.extend_from_slice(&shared[..n]);
        let consumed = broker.receive(conn, &large, now);
        let rest = large.len() - consumed;
        if rest > RING_BYTES && consumed == 0 {
            if !rings.hold_large(&mut self.held, large) {
                self.overflow(conn, broker, now);
            }
        } else {
            self.hold(conn, &large[consumed..], broker, rings, now);
        }
        self.end(conn, ended, broker, rings, now);
    }

    /// Reads once. Returns how many bytes, and whether and why the stream has ended.
    fn read(&mut self, buffer: &mut [u8]) -> (usize, Option<End>) {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => {
                    self.may_have_more = false;
                    return (0, Some(End::Closed));
                }
                Ok(n) => {
                    // A short read has emptied the socket; more to come is an event of its own,
                    // but not the end if it has come already.
                    self.may_have_more = n == buffer.len() || self.is_ending;
                    return (n, None);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.may_have_more = false;
                    return (0, None);
                }
                Err(e) => {
                    self.may_have_more = false;
                    return (0, Some(End::Failed(e)));
                }
            }
        }
    }

    fn hold(
        &mut self,
        conn: ConnId,
        rest: &[u8],
        broker: &mut Broker,
        rings: &mut Rings,
        now: Now,
    ) {
        if !rings.hold(&mut self.held, rest) {
            self.overflow(conn, broker, now);
        }
    }

    fn overflow(&mut self, conn: ConnId, broker: &mut Broker, now: Now) {
        broker.gone(conn, Some("too many large packets are under way"), now);
        self.life = Life::Gone;
    }

    /// The stream ended, after everything it brought was received.
    fn end(
        &mut self,
        conn: ConnId,
        ended: Option<End>,
        broker: &mut Broker,
        rings: &mut Rings,
        now: Now,
    ) {
        let why = match ended {
            None => return,
            Some(End::Closed) => None,
            Some(End::Failed(error)) => Some(error.to_string()),
        };
        broker.gone(conn, why.as_deref(), now);
        rings.release(&mut self.held);
        self.life = Life::Gone;
    }

    /// Presents again what a connection that was paused left unread.
    pub fn resume(&mut self, broker: &mut Broker, rings: &mut Rings, now: Now) {
        let Life::Open(conn) = self.life else { return };
        if self.held.bytes().is_empty() {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        let consumed = broker.receive(conn, held.bytes(), now);
        let rest = held.bytes()[consumed..].to_vec();
        rings.release(&mut held);
        self.hold(conn, &rest, broker, rings, now);
    }

    /// Sends what the broker has for the connection, as far as the kernel takes it.
    pub fn transmit(
        &mut self,
        broker: &mut Broker,
        shared: &mut [u8],
        rings: &mut Rings,
        now: Now,
    ) {
        let Life::Open(conn) = self.life else { return };
        if self.is_blocked {
            return;
        }
        for _ in 0..BUFFERS_PER_TURN {
            let n = broker.transmit(conn, shared, now);
            if n == 0 {
                // Messages that were not worth sending leave their queue, too.
                broker.sent(conn, 0, now);
                return;
            }
            let written = loop {
                match self.stream.write(&shared[..n]) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    other => break other,
                }
            };
            match written {
                Ok(taken) => {
                    broker.sent(conn, taken, now);
                    if taken < n {
                        self.is_blocked = true;
                        return;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    broker.sent(conn, 0, now);
                    self.is_blocked = true;
                    return;
                }
                Err(e) => {
                    broker.sent(conn, 0, now);
                    return self.end(conn, Some(End::Failed(e)), broker, rings, now);
                }
            }
            if n < shared.len() {
                return;
            }
        }
    }

    /// The kernel takes output again.
    pub fn unblock(&mut self) {
        self.is_blocked = false;
    }

    /// The broker closed the connection: sends the last of it and lingers.
    pub fn close(&mut self, broker: &mut Broker, shared: &mut [u8], rings: &mut Rings, now: Now) {
        self.transmit(broker, shared, rings, now);
        let Life::Open(conn) = self.life else { return };
        broker.gone(conn, None, now);
        rings.release(&mut self.held);
        self.stream.finish();
        self.life = Life::Lingering(now.mono_ms + LINGER_MS);
        self.discard(shared, now);
    }

    /// Throws away what a lingering link still gets.
    pub fn discard(&mut self, shared: &mut [u8], now: Now) {
        let Life::Lingering(until) = self.life else {
            return;
        };
        for _ in 0..BUFFERS_PER_TURN {
            let (n, ended) = self.read(shared);
            if ended.is_some() || now.mono_ms >= until {
                self.life = Life::Gone;
                return;
            }
            if n == 0 {
                return;
            }
        }
    }
}
