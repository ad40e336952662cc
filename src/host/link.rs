//! Links: a socket and the connection that the broker knows for it.
//!
//! A link has three lives: it carries a connection; it lingers, because the other end shall still
//! read our last packet before the kernel resets the connection over what we left unread; it is
//! gone, and its slot is free at the end of the turn.

use super::listen::Stream;
use super::ring::{Held, Large, Rings};
use crate::auth::Passwords;
use crate::broker::{Broker, ConnId, Now};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

/// A socket of a client.
pub struct Link {
    pub(super) stream: Stream,
    pub(super) life: Life,
    pub(super) held: Held,
    /// The kernel may have more for us: read without waiting for an event.
    pub(super) may_have_more: bool,
    /// The other end has said its last: the end of the stream follows what is to be read, and the
    /// event that told so may have been the last.
    pub(super) is_ending: bool,
    /// The connection was reset.
    pub(super) is_broken: bool,
    /// The password file by which its client's password was right.
    pub(super) verified: Option<Arc<Passwords>>,
    /// Its client waits to be let in.
    pub(super) is_signing_in: bool,
    /// The kernel takes no more from us until it says so.
    is_blocked: bool,
    pub(super) is_listed: bool,
    /// It waits for room for an unfinished packet.
    pub(super) is_starved: bool,
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
            is_broken: false,
            verified: None,
            is_signing_in: false,
            is_blocked: false,
            is_listed: false,
            is_starved: false,
        }
    }

    /// Reads once, after what is held back, and gives it to the broker.
    ///
    /// `shared` is the loop's inbound buffer, larger than a ring. Returns `false` if nothing was
    /// read because unfinished packets have no room now.
    pub fn receive(
        &mut self,
        broker: &mut Broker,
        shared: &mut [u8],
        rings: &mut Rings,
        now: Now,
    ) -> bool {
        let Life::Open(conn) = self.life else {
            return true;
        };
        if !broker.takes_input(conn) {
            return true;
        }
        let is_large = matches!(self.held, Held::Large(_));
        let held = if is_large { 0 } else { self.held.bytes().len() };
        let room = rings.room(&self.held, shared.len() - held);
        if room == 0 {
            return false;
        }
        if let Some(large) = rings.take_large(&mut self.held) {
            self.receive_large(conn, large, broker, &mut shared[..room], rings, now);
            return true;
        }
        shared[..held].copy_from_slice(self.held.bytes());
        let (end, ended) = self.read(&mut shared[held..held + room]);
        let filled = held + end;
        let consumed = broker.receive(conn, &shared[..filled], now);
        rings.hold(&mut self.held, &shared[consumed..filled]);
        self.end(conn, ended, broker, rings, now);
        true
    }

    /// The same for a packet that is larger than a ring.
    fn receive_large(
        &mut self,
        conn: ConnId,
        mut large: Large,
        broker: &mut Broker,
        shared: &mut [u8],
        rings: &mut Rings,
        now: Now,
    ) {
        let (n, ended) = self.read(shared);
        if large.bytes.capacity() - large.bytes.len() < n {
            // By a half, not to the double as a Vec does: room is scarce.
            large.bytes.reserve_exact(n.max(large.bytes.len() / 2));
        }
        large.bytes.extend_from_slice(&shared[..n]);
        let consumed = broker.receive(conn, &large.bytes, now);
        if consumed == 0 {
            rings.put_back(&mut self.held, large);
        } else {
            rings.hold(&mut self.held, &large.bytes[consumed..]);
            rings.finish(large);
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
        rings.hold(&mut self.held, &held.bytes()[consumed..]);
        rings.release(&mut held);
    }

    /// Ends the connection from our side, without a word.
    pub fn give_up(&mut self, why: &str, broker: &mut Broker, rings: &mut Rings, now: Now) {
        let Life::Open(conn) = self.life else { return };
        broker.gone(conn, Some(why), now);
        rings.release(&mut self.held);
        self.life = Life::Gone;
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
