//! A broker with its clock, sockets and disk, for tests that talk to it in bytes: `tests/spec`
//! tells stories with it, `tests/fuzz` feeds it what strangers send.
//!
//! It plays the host's part as plainly as possible: all outputs are drained after each input, what
//! the broker did not consume is presented again, and a closed connection is reported gone.

#![allow(dead_code)] // each of its users needs a part of it

pub mod disk;

use disk::Disk;
use midge::auth::SignIn;
use midge::broker::{AuthRequest, Broker, ConnId, Now, Peer, Settings};

const SEED: u64 = 0x5eed;

pub struct Seam {
    pub broker: Broker,
    pub now: Now,
    pub disk: Option<Disk>,
    sockets: Vec<Socket>,
    /// Bytes that new sockets take at a time.
    room: usize,
    settings: Settings,
    sign_in: Box<dyn Fn(&AuthRequest) -> SignIn>,
}

struct Socket {
    id: ConnId,
    /// Bytes from the client that the broker did not consume yet.
    unconsumed: Vec<u8>,
    output: Vec<u8>,
    /// Bytes that the socket takes at a time.
    room: usize,
    /// The broker has more to say than the socket took.
    is_full: bool,
    is_closed: bool,
}

impl Seam {
    /// A broker; with a disk it keeps what it promised over [`Seam::crash`].
    pub fn new(
        settings: Settings,
        disk: Option<Disk>,
        sign_in: impl Fn(&AuthRequest) -> SignIn + 'static,
    ) -> Seam {
        let now = Now {
            mono_ms: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let mut seam = Seam {
            broker: Broker::new(settings.clone(), SEED, now),
            now,
            disk,
            sockets: Vec::new(),
            room: usize::MAX,
            settings,
            sign_in: Box::new(sign_in),
        };
        if let Some(disk) = &seam.disk {
            disk.begin(&mut seam.broker, now);
        }
        seam.drain();
        seam
    }

    /// The same with sockets that take so many bytes at a time.
    pub fn with_room(self, room: usize) -> Seam {
        Seam { room, ..self }
    }

    /// The power goes and comes back `away_ms` later: all that is left is on the disk.
    pub fn crash(&mut self, away_ms: u64, damage: impl FnOnce(&mut Disk)) {
        for socket in &mut self.sockets {
            socket.is_closed = true;
            socket.unconsumed.clear();
        }
        self.step_to(self.now.mono_ms + away_ms);
        self.broker = Broker::new(self.settings.clone(), SEED, self.now);
        let disk = (self.disk.as_mut()).expect("a broker without a disk forgets all");
        damage(disk);
        disk.begin(&mut self.broker, self.now);
        self.drain();
    }

    /// A connection from `address`; its number, or `None` if the broker refuses it.
    pub fn accept(&mut self, address: &str, listener: u16) -> Option<usize> {
        let peer = Peer {
            address: address.into(),
            listener,
        };
        let id = self.broker.accept(peer, self.now)?;
        self.sockets.push(Socket {
            id,
            unconsumed: Vec::new(),
            output: Vec::new(),
            room: self.room,
            is_full: false,
            is_closed: false,
        });
        self.drain();
        Some(self.sockets.len() - 1)
    }

    /// Bytes come from a client.
    pub fn input(&mut self, link: usize, bytes: &[u8]) {
        let socket = &mut self.sockets[link];
        if !socket.is_closed {
            socket.unconsumed.extend_from_slice(bytes);
            self.present(link);
        }
        self.drain();
    }

    /// The client's end of the connection breaks.
    pub fn hang_up(&mut self, link: usize) {
        let socket = &mut self.sockets[link];
        if !std::mem::replace(&mut socket.is_closed, true) {
            self.broker.gone(socket.id, None, self.now);
        }
        self.drain();
    }

    /// Time passes; timers ring at their own moments, `most` of them.
    pub fn advance(&mut self, ms: u64, most: usize) {
        let end = self.now.mono_ms + ms;
        for _ in 0..most {
            let Some(due) = self.broker.poll_timeout().filter(|&due| due <= end) else {
                break;
            };
            self.step_to(due.max(self.now.mono_ms));
            self.broker.timeout(self.now);
            self.drain();
        }
        self.step_to(end.max(self.now.mono_ms));
        self.drain();
    }

    fn step_to(&mut self, mono_ms: u64) {
        self.now.wall_ms += mono_ms - self.now.mono_ms;
        self.now.mono_ms = mono_ms;
    }

    /// From now on the socket takes `room` bytes at a time, and with 0 none.
    pub fn set_room(&mut self, link: usize, room: usize) {
        let socket = &mut self.sockets[link];
        socket.room = room;
        if room > 0 && std::mem::take(&mut socket.is_full) && !socket.is_closed {
            self.broker.writable(socket.id);
        }
        self.drain();
    }

    /// Takes what the broker wrote to a client.
    pub fn take_output(&mut self, link: usize) -> Vec<u8> {
        std::mem::take(&mut self.sockets[link].output)
    }

    /// What a client sent and the broker did not consume.
    pub fn unconsumed(&self, link: usize) -> &[u8] {
        &self.sockets[link].unconsumed
    }

    pub fn is_closed(&self, link: usize) -> bool {
        self.sockets[link].is_closed
    }

    /// The broker itself, for what has no packet: reload and shutdown.
    pub fn broker(&mut self, run: impl FnOnce(&mut Broker, Now)) {
        run(&mut self.broker, self.now);
        self.drain();
    }

    fn present(&mut self, link: usize) {
        let socket = &mut self.sockets[link];
        let consumed = self.broker.receive(socket.id, &socket.unconsumed, self.now);
        assert!(consumed <= socket.unconsumed.len(), "more than there was");
        socket.unconsumed.drain(..consumed);
    }

    /// Writes until the broker has nothing more to say or the socket takes nothing.
    fn write(&mut self, link: usize) {
        let socket = &mut self.sockets[link];
        if socket.is_full {
            return; // as a host that waits for the socket to take more
        }
        let mut buffer = [0; 4096];
        loop {
            let len = self.broker.transmit(socket.id, &mut buffer, self.now);
            assert!(len <= buffer.len(), "more than there is room for");
            let taken = len.min(socket.room);
            self.broker.sent(socket.id, taken, self.now);
            socket.output.extend_from_slice(&buffer[..taken]);
            if len == 0 {
                break;
            }
            if taken == 0 {
                socket.is_full = true;
                break;
            }
        }
    }

    fn socket_of(&self, id: ConnId) -> Option<usize> {
        let is_it = |socket: &Socket| socket.id == id && !socket.is_closed;
        self.sockets.iter().position(is_it)
    }

    /// Carries out everything that the broker asks for.
    pub fn drain(&mut self) {
        // A broker that names the same connections for ever fails here, not in a hanging test.
        for _ in 0..1_000_000 {
            if !self.drain_one() {
                return;
            }
        }
        panic!("the broker's outputs never end");
    }

    fn drain_one(&mut self) -> bool {
        if let Some(id) = self.broker.poll_writable() {
            if let Some(link) = self.socket_of(id) {
                self.write(link);
            }
            return true;
        }
        if let Some(id) = self.broker.poll_resume() {
            if let Some(link) = self.socket_of(id) {
                self.present(link);
            }
            return true;
        }
        if let Some(request) = self.broker.poll_auth() {
            let sign_in = (self.sign_in)(&request);
            self.broker.verdict(request.conn, sign_in, self.now);
            return true;
        }
        let disk = self.disk.as_mut();
        if disk.is_some_and(|disk| disk.step(&mut self.broker, self.now)) {
            return true;
        }
        let Some(id) = self.broker.poll_close() else {
            return false;
        };
        // What waits is sent first; a socket that takes nothing loses it.
        if let Some(link) = self.socket_of(id) {
            self.write(link);
            self.sockets[link].is_closed = true;
            self.broker.gone(id, None, self.now);
        }
        true
    }
}
