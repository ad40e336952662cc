//! Links: a socket and the connection that the broker knows for it.
//!
//! A link has three lives: it carries a connection; it lingers, because the other end shall still
//! read our last packet before the kernel resets the connection over what we left unread; it is
//! gone, and its slot is free at the end of the turn.
//!
//! How much it reads and writes in one go adapts itself. The kernel moves large payloads for half
//! the price in large pieces; of small messages a large piece is many, and others wait while they
//! are dealt with. What the other end does not take is encoded again, so a slow one gets little.
//! (Measured, a message of 16 KiB in and out: 10.2 µs of CPU time with pieces of 32 KiB, 8.4 with
//! 64, and 3.9 as it is. Tried without gain: buffers of 512 KiB; to write after each such read,
//! while the payloads are near the processor; to read packets of one size into pieces of memory
//! that become the bodies, without a copy of ours: 3.65 µs in place of 3.72, each within 0.1, since
//! nine tenths of the time are the kernel's.)

use super::listen::Stream;
use super::poll::BUFFER_BYTES;
use super::ring::{Held, RING_BYTES, Rings};
use super::tap::Tap;
use crate::auth::Passwords;
use crate::broker::{Broker, ConnId, Now, SPLICES_MAX};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
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
    /// Who looks at what goes over it, if anybody does.
    pub(super) tap: Option<Box<Tap>>,
    /// Its client waits to be let in.
    pub(super) is_signing_in: bool,
    /// The kernel takes no more from us until it says so.
    is_blocked: bool,
    /// The last read filled the room that it had.
    was_full: bool,
    /// Bytes of the next read and the next write, at most.
    read_max: u32,
    write_max: u32,
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

/// What a link reads and writes in one go until more is known of it.
const READ_BYTES: u32 = 32 * 1024;
const WRITE_BYTES: u32 = 64 * 1024;
/// The least that is encoded for a link in one go.
const WRITE_BYTES_MIN: u32 = 16 * 1024;
/// Bytes of a packet, on average, from which on larger reads are better than more turns.
const BULKY: u64 = 2048;
/// The beginning of a packet that is larger is no longer copied into the shared buffer.
const APART_BYTES: usize = BUFFER_BYTES / 4;

/// Buffers of one read or write at most in a turn, so that nobody has to wait for one link.
const BUFFERS_PER_TURN: usize = 4;

impl Link {
    /// A link that carries a connection.
    pub fn new(stream: Stream, conn: ConnId) -> Link {
        Link {
            stream,
            life: Life::Open(conn),
            held: Held::Nothing,
            may_have_more: false,
            is_ending: false,
            is_broken: false,
            verified: None,
            tap: None,
            is_signing_in: false,
            is_blocked: false,
            was_full: false,
            read_max: READ_BYTES,
            write_max: WRITE_BYTES,
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
        let room = rings.room(&self.held, self.read_max as usize);
        if room == 0 {
            return false;
        }
        let received = broker.packets_received();
        let (n, ended) = match self.reads_apart() {
            true => self.receive_apart(conn, room, broker, rings, now),
            false => self.receive_shared(conn, room, broker, shared, rings, now),
        };
        self.is_blocked |= self.stream.has_output();
        self.adapt_reads(n as u64, broker.packets_received() - received);
        self.end(conn, ended, broker, rings, now);
        true
    }

    /// Whether what follows is read behind the beginning of a packet where that lies, not in the
    /// shared buffer: it is large, or comes in crumbs.
    fn reads_apart(&self) -> bool {
        match &self.held {
            Held::Nothing | Held::Ring(..) => false,
            Held::Large(large) => !self.was_full || large.bytes().len() > APART_BYTES,
        }
    }

    /// Reads up to `room` bytes, as [`Link::receive`] does, into the shared buffer.
    fn receive_shared(
        &mut self,
        conn: ConnId,
        room: usize,
        broker: &mut Broker,
        shared: &mut [u8],
        rings: &mut Rings,
        now: Now,
    ) -> (usize, Option<End>) {
        let held = self.held.bytes().len();
        shared[..held].copy_from_slice(self.held.bytes());
        let (n, ended) = self.read(&mut shared[held..held + room]);
        self.was_full = n == room;
        if let Some(name) = self.stream.identify() {
            broker.identify(conn, name);
        }
        let bytes = &shared[..held + n];
        match broker.receive(conn, bytes, now) {
            0 => rings.hold_more(&mut self.held, bytes),
            consumed => rings.hold(&mut self.held, &bytes[consumed..]),
        }
        (n, ended)
    }

    /// The same behind a large packet's beginning.
    fn receive_apart(
        &mut self,
        conn: ConnId,
        room: usize,
        broker: &mut Broker,
        rings: &mut Rings,
        now: Now,
    ) -> (usize, Option<End>) {
        let Some(mut large) = rings.take_large(&mut self.held) else {
            return (0, None);
        };
        if large.free().len() < room.min(large.bytes().len() / 4) {
            rings.widen(&mut large, RING_BYTES);
        }
        let free = large.free();
        let room = room.min(free.len());
        let (n, ended) = self.read(&mut free[..room]);
        self.was_full = n == room;
        large.note_read(n);
        match broker.receive(conn, large.bytes(), now) {
            0 => rings.put_back(&mut self.held, large),
            consumed => {
                rings.hold(&mut self.held, &large.bytes()[consumed..]);
                rings.finish(*large);
            }
        }
        (n, ended)
    }

    /// Reads more in one go while that is a few large packets.
    fn adapt_reads(&mut self, n: u64, packets: u64) {
        let is_bulky = n > packets * BULKY;
        if packets > 0 && !is_bulky {
            self.read_max = READ_BYTES;
        } else if is_bulky && self.was_full {
            self.read_max = (self.read_max * 2).min(BUFFER_BYTES as u32 / 2);
        }
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
                    self.may_have_more =
                        n == buffer.len() || self.is_ending || self.stream.has_ended();
                    if let Some(tap) = &mut self.tap {
                        tap.received(&buffer[..n]);
                    }
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
            Some(End::Closed) if broker.puts_off_end(conn) => {
                self.may_have_more = true;
                return;
            }
            Some(End::Closed) => None,
            // The other end closed it, and had not read everything.
            Some(End::Failed(error)) if error.kind() == ErrorKind::ConnectionReset => None,
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
        match broker.receive(conn, held.bytes(), now) {
            // It keeps its place among the large ones.
            0 => self.held = held,
            consumed => {
                rings.hold(&mut self.held, &held.bytes()[consumed..]);
                rings.release(&mut held);
            }
        }
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
        if self.stream.has_output() {
            let flushed = self.stream.flush();
            if let Err(error) = flushed {
                return self.end(conn, Some(End::Failed(error)), broker, rings, now);
            }
            self.is_blocked = self.stream.has_output();
        }
        for _ in 0..BUFFERS_PER_TURN {
            if self.is_blocked {
                return;
            }
            let room = (self.write_max as usize).min(shared.len());
            // Who looks on sees one run of bytes.
            let n = match self.stream.takes_pieces() && self.tap.is_none() {
                true => broker.transmit_pieces(conn, &mut shared[..room], now),
                false => broker.transmit(conn, &mut shared[..room], now),
            };
            if n == 0 {
                // Messages that were not worth sending leave their queue, too.
                broker.sent(conn, 0, now);
                return;
            }
            let written = loop {
                match self.write(broker, shared, n) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    other => break other,
                }
            };
            match written {
                Ok(taken) => {
                    if let Some(tap) = &mut self.tap {
                        tap.sent(&shared[..taken]);
                    }
                    broker.sent(conn, taken, now);
                    self.is_blocked = self.stream.has_output();
                    if taken < n {
                        self.is_blocked = true;
                        let taken = (taken as u32).next_power_of_two();
                        self.write_max = taken.clamp(WRITE_BYTES_MIN, self.write_max);
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
            if n < room {
                return;
            }
            self.write_max = (self.write_max * 2).min(BUFFER_BYTES as u32);
        }
    }

    /// Writes the output once: `n` bytes of the buffer, or pieces.
    fn write(&mut self, broker: &Broker, shared: &[u8], n: usize) -> io::Result<usize> {
        if broker.is_in_one_piece() {
            return self.stream.write(&shared[..n]);
        }
        let mut slices = [IoSlice::new(&[]); 2 * SPLICES_MAX + 1];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(broker.pieces(shared)) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        self.stream.write_vectored(&slices[..count])
    }

    /// The kernel takes output again; whether that was waited for.
    pub fn unblock(&mut self) -> bool {
        std::mem::take(&mut self.is_blocked)
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
