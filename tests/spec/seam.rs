//! The one place that knows Midge: a [`Broker`], its clock, and the sockets it does not have.
//!
//! It plays the host's part as plainly as possible: all outputs are drained after each input, what
//! the broker did not consume is presented again, and a closed connection is reported gone.

use std::sync::Arc;

use crate::disk::Disk;
use midge::auth::{Acl, SignIn};
pub use midge::broker::Settings;
use midge::broker::{Broker, ConnId, ListenerSettings, Now, Peer};
use midge::wire::QoS;

/// What stories begin with: `$SYS` is silent, so that `#` hears nothing but the story.
pub fn story_settings() -> Settings {
    Settings {
        sys_interval: 0,
        ..Settings::default()
    }
}

/// A QoS as settings have it.
pub fn qos(n: u8) -> QoS {
    QoS::from_bits(n).expect("a QoS of 0, 1 or 2")
}

/// A listener beside the first one, with default settings.
pub fn another_listener(_settings: &Settings) -> ListenerSettings {
    ListenerSettings {
        name: "1884".to_string(),
        ..ListenerSettings::default()
    }
}

/// Signing in is possible as this user with this password, on the first listener.
pub fn one_user(settings: &mut Settings, name: &str, password: &str) {
    settings.listeners[0].has_passwords = true;
    settings.listeners[0].name = format!("{name}:{password}");
}

/// The text of an ACL file for the first listener.
pub fn acl(settings: &mut Settings, text: &str) {
    let (acl, problems) = Acl::parse(text.as_bytes(), "story.acl").expect("a good ACL file");
    assert!(problems.is_empty(), "a story's ACL file has no warnings");
    settings.listeners[0].acl = Some(Arc::new(acl));
}

pub struct Seam {
    broker: Broker,
    now: Now,
    sockets: Vec<Socket>,
    /// `name:password` of the one user there is.
    user: String,
    disk: Option<Disk>,
    settings: Settings,
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
    closing: bool,
    closed: bool,
}

impl Seam {
    pub fn new(mut settings: Settings) -> Seam {
        let now = Now {
            mono_ms: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let user = settings.listeners[0].name.clone();
        settings.memory_cache = 0;
        let mut broker = Broker::new(settings.clone(), 0x5EED, now);
        let disk = Disk::for_story(&mut broker, now);
        Seam {
            settings,
            disk,
            broker,
            now,
            sockets: Vec::new(),
            user,
        }
    }

    /// Gives the broker a disk, if it has none.
    pub fn keep(&mut self) {
        if self.disk.is_none() {
            let disk = Disk::default();
            disk.begin(&mut self.broker, self.now);
            self.disk = Some(disk);
        }
    }

    /// The power goes and comes back `away_ms` later: all that is left is on the disk.
    pub fn crash(&mut self, away_ms: u64, damage: impl FnOnce(&mut Disk)) {
        for socket in &mut self.sockets {
            socket.closed = true;
            socket.unconsumed.clear();
        }
        self.step_to(self.now.mono_ms + away_ms);
        self.broker = Broker::new(self.settings.clone(), 0x5EED, self.now);
        let disk = self
            .disk
            .as_mut()
            .expect("a broker without a disk forgets all");
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
        let room = std::env::var(crate::world::ROOM)
            .ok()
            .and_then(|n| n.parse().ok());
        self.sockets.push(Socket {
            id,
            unconsumed: Vec::new(),
            output: Vec::new(),
            room: room.unwrap_or(usize::MAX),
            is_full: false,
            closing: false,
            closed: false,
        });
        self.drain();
        Some(self.sockets.len() - 1)
    }

    /// Bytes come from a client.
    pub fn input(&mut self, link: usize, bytes: &[u8]) {
        if self.sockets[link].closed || self.sockets[link].closing {
            return;
        }
        self.sockets[link].unconsumed.extend_from_slice(bytes);
        self.present(link);
        self.drain();
    }

    /// The client's end of the connection breaks.
    pub fn hang_up(&mut self, link: usize) {
        let socket = &mut self.sockets[link];
        if !std::mem::replace(&mut socket.closed, true) {
            self.broker.gone(socket.id, None, self.now);
        }
        self.drain();
    }

    /// Time passes; each timer fires at its own moment.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while let Some(due) = self.broker.poll_timeout().filter(|&due| due <= end) {
            self.step_to(due.max(self.now.mono_ms));
            self.broker.timeout(self.now);
            self.drain();
        }
        self.step_to(end);
        self.drain();
    }

    fn step_to(&mut self, mono_ms: u64) {
        self.now.wall_ms += mono_ms - self.now.mono_ms;
        self.now.mono_ms = mono_ms;
    }

    /// From now on the socket takes `n` bytes at a time, and with 0 none.
    pub fn set_room(&mut self, link: usize, n: usize) {
        self.sockets[link].room = n;
        if n > 0 && std::mem::take(&mut self.sockets[link].is_full) {
            self.write(link);
        }
        self.drain();
    }

    /// Takes what the broker wrote to a client.
    pub fn take_output(&mut self, link: usize) -> Vec<u8> {
        std::mem::take(&mut self.sockets[link].output)
    }

    pub fn is_closed(&self, link: usize) -> bool {
        self.sockets[link].closed
    }

    /// The broker itself, for what has no packet: reload and shutdown.
    pub fn broker(&mut self, run: impl FnOnce(&mut Broker, Now)) {
        run(&mut self.broker, self.now);
        self.drain();
    }

    fn present(&mut self, link: usize) {
        let socket = &mut self.sockets[link];
        let consumed = self.broker.receive(socket.id, &socket.unconsumed, self.now);
        assert!(
            consumed <= socket.unconsumed.len(),
            "more consumed than there was"
        );
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
            let n = self.broker.transmit(socket.id, &mut buffer, self.now);
            assert!(n <= buffer.len(), "more transmitted than there is room for");
            let taken = n.min(socket.room);
            self.broker.sent(socket.id, taken, self.now);
            socket.output.extend_from_slice(&buffer[..taken]);
            if n == 0 {
                break;
            }
            if taken == 0 {
                socket.is_full = true;
                break;
            }
        }
    }

    fn socket_of(&self, id: ConnId) -> Option<usize> {
        let is_it = |socket: &Socket| socket.id == id && !socket.closed;
        self.sockets.iter().position(is_it)
    }

    fn drain(&mut self) {
        // A broker that names the same connections for ever fails here, not in a hanging test.
        for _ in 0..1_000_000 {
            if !self.drain_one() {
                return;
            }
        }
        panic!("the broker's outputs never end");
    }

    /// Carries out one thing that the broker asks for; whether there was one.
    fn drain_one(&mut self) -> bool {
        if let Some(id) = self.broker.poll_writable() {
            if let Some(link) = self
                .socket_of(id)
                .filter(|&link| !self.sockets[link].closed)
            {
                self.write(link);
            }
            return true;
        }
        if let Some(id) = self.broker.poll_resume() {
            if let Some(link) = self
                .socket_of(id)
                .filter(|&link| !self.sockets[link].closed)
            {
                self.present(link);
            }
            return true;
        }
        if let Some(request) = self.broker.poll_auth() {
            let password = String::from_utf8_lossy(request.password.as_deref().unwrap_or_default());
            let sign_in = match (&request.password, self.user.split_once(':')) {
                (None, _) => SignIn::NoPassword,
                (_, Some((name, _))) if name != request.username => SignIn::UnknownUser,
                (_, Some((_, secret))) if secret == password => SignIn::Granted,
                _ => SignIn::WrongPassword,
            };
            self.broker.verdict(request.conn, sign_in, self.now);
            return true;
        }
        let disk = self.disk.as_mut();
        if disk.is_some_and(|disk| disk.step(&mut self.broker, self.now)) {
            return true;
        }
        if let Some(id) = self.broker.poll_close() {
            if let Some(link) = self.socket_of(id) {
                self.sockets[link].closing = true;
                self.close(link);
            }
            return true;
        }
        false
    }

    /// Sends what waits, then closes; a socket that takes nothing loses it.
    fn close(&mut self, link: usize) {
        if !self.sockets[link].closed {
            self.write(link);
            self.sockets[link].closed = true;
            self.broker.gone(self.sockets[link].id, None, self.now);
        }
    }
}
