//! Listening sockets: accepting from them, and what a reload changes about them.
//!
//! A turn accepts so many connections from each and no more; what is left waits in the kernel.
//! When connections have used up the descriptors accepting pauses: the sockets stay registered and
//! nobody is refused. They never get the last ones: a reload, the journal and the log need some.
//!
//! (Tried without gain: to read a new connection in the turn that accepts it, and to ask for output
//! events only when output is held up. A third fewer calls of epoll_wait, the same CPU time.)

use super::late::{Awaited, Late};
use super::{FIRST_LINK, FIRST_LISTENING, Loop};
use crate::broker::{Now, Peer};
use crate::host::link::Link;
use crate::host::listen::{Listening, PATIENCE, Stream};
use mio::{Interest, Registry, Token, Waker};
use nix::sys::resource::{Resource, getrlimit};
use slab::Slab;
use std::sync::Arc;
use std::{fs, io};

/// Connections that one listening socket gives us in one turn.
const ACCEPTS_PER_TURN: usize = 64;
/// How long to wait before accepting again when there are no descriptors.
const ACCEPT_PAUSE_MS: u64 = 500;
/// How often this is worth a log line.
const ACCEPT_QUIET_MS: u64 = 60_000;

/// Descriptors that connections leave to everything else, of those that there are at the start.
const DESCRIPTORS_LEFT: usize = 24;
/// Where there are few, it is this part of them.
const DESCRIPTORS_PART: usize = 4;

/// What a start or a reload changes about the listening sockets, each with the number of its
/// listener.
#[derive(Default)]
pub struct Doors {
    /// Those that are open now, and are to be served.
    pub opened: Vec<(u16, Listening)>,
    /// Listeners whose sockets are to be closed. Who came in by them may stay.
    pub closed: Vec<u16>,
    /// What cannot be opened before those are closed: sockets.
    pub moved: Vec<Awaited>,
    /// What cannot be opened yet, and is served as soon as it can.
    pub awaited: Vec<Awaited>,
    /// Why, for the log.
    pub troubles: Vec<String>,
}

/// The listening sockets that are served.
#[derive(Default)]
pub(super) struct Accepting {
    sockets: Slab<(u16, Listening)>,
    /// Those with more connections than a turn takes, or without descriptors for them.
    again: Vec<usize>,
    pub(super) paused_until: Option<u64>,
    /// Of those, how many wait until fewer handshakes do.
    crowded: usize,
    /// Links at most; 0 is not known yet.
    links_max: usize,
    /// When it may be told again that there are no descriptors.
    quiet_until: u64,
    late: Late,
}

impl Accepting {
    /// Finds out how many links there may be, when everything else is open.
    pub(super) fn leave_descriptors(&mut self) {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let used = fs::read_dir("/proc/self/fd").map_or(DESCRIPTORS_LEFT, Iterator::count);
        let left = DESCRIPTORS_LEFT.min(limit / DESCRIPTORS_PART);
        self.links_max = limit.saturating_sub(used + left).max(1);
    }

    fn pause(&mut self, why: &dyn std::fmt::Display, now: Now) {
        if now.mono_ms >= self.quiet_until {
            log::warn!("Warning: no new connections for now: {why}");
            self.quiet_until = now.mono_ms + ACCEPT_QUIET_MS;
        }
    }

    /// A listening socket has something.
    pub(super) fn note(&mut self, at: usize) {
        self.again.push(at);
    }

    /// Does what a start or a reload asks for.
    ///
    /// Fails if a socket cannot be watched; that it cannot be opened is told to the log only.
    pub(super) fn change(
        &mut self,
        registry: &Registry,
        waker: &Arc<Waker>,
        doors: Doors,
    ) -> io::Result<()> {
        for &listener in &doors.closed {
            self.close(registry, listener);
        }
        for (listener, socket) in doors.opened {
            self.add(registry, listener, socket)?;
        }
        let mut awaited = doors.awaited;
        for moved in doors.moved {
            match moved.look(Some(PATIENCE)) {
                Ok(came) => {
                    let (sockets, next) = came.unwrap_or_default();
                    for socket in sockets {
                        log::info!("{}", socket.announcement());
                        self.add(registry, moved.listener, socket)?;
                    }
                    next.iter().for_each(Awaited::announce);
                    awaited.extend(next);
                }
                Err(error) => {
                    let name = &moved.name;
                    log::error!(
                        "Error: listener {name} cannot be opened yet: {error}. It is tried again \
                         every second."
                    );
                    awaited.push(moved);
                }
            }
        }
        self.late.change(&doors.closed, awaited, waker)
    }

    /// Serves what has come by now.
    fn take_late(&mut self, registry: &Registry, waker: &Arc<Waker>) {
        while let Some(found) = self.late.poll(waker) {
            if found.replaces {
                self.close(registry, found.listener);
            }
            for socket in found.sockets {
                if let Err(error) = self.add(registry, found.listener, socket) {
                    log::error!("Error: a listener cannot be served: {error}");
                }
            }
        }
    }

    fn close(&mut self, registry: &Registry, listener: u16) {
        self.sockets.retain(|_, (of, socket)| {
            let is_closed = *of == listener;
            if is_closed {
                let _ = registry.deregister(socket.source());
            }
            !is_closed
        });
    }

    fn add(&mut self, registry: &Registry, listener: u16, mut socket: Listening) -> io::Result<()> {
        let entry = self.sockets.vacant_entry();
        let token = Token(FIRST_LISTENING + entry.key());
        registry.register(socket.source(), token, Interest::READABLE)?;
        entry.insert((listener, socket));
        Ok(())
    }
}

impl Loop {
    /// Whether the next turn has something to accept without an event.
    pub(super) fn may_accept(&self) -> bool {
        let accepting = &self.accepting;
        let crowded = match self.handshakes.is_crowded() {
            true => accepting.crowded,
            false => 0,
        };
        accepting.again.len() > crowded
            && accepting.paused_until.is_none()
            && self.links.len() < accepting.links_max
    }

    pub(super) fn accept_all(&mut self, now: Now) {
        self.accepting.take_late(self.poll.registry(), &self.waker);
        let until = self.accepting.paused_until;
        if until.is_some_and(|until| until > now.mono_ms) {
            return;
        }
        self.accepting.paused_until = None;
        self.accepting.crowded = 0;
        let mut again = std::mem::take(&mut self.accepting.again);
        again.sort_unstable();
        again.dedup();
        again.retain(|&at| self.accept(at, now));
        self.accepting.again = again;
    }

    /// Accepts from one socket; whether there may be more.
    fn accept(&mut self, at: usize, now: Now) -> bool {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some((listener, socket)) = self.accepting.sockets.get(at) else {
                return false;
            };
            let acceptor = self.acceptors.get(usize::from(*listener));
            if self.handshakes.is_crowded() && matches!(acceptor, Some(Some(_))) {
                self.accepting.crowded += 1;
                return true;
            }
            if self.links.len() >= self.accepting.links_max {
                let open = self.links.len();
                let why = format_args!("{open} are open, and the limit of open files is near");
                self.accepting.pause(&why, now);
                return true;
            }
            match socket.accept() {
                Ok((stream, address)) => {
                    let peer = Peer {
                        address,
                        listener: *listener,
                    };
                    if let Err(error) = self.open(stream, peer, now) {
                        log::warn!("Warning: a connection could not be served: {error}");
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(e) if is_out_of_descriptors(&e) => {
                    self.accepting.pause(&e, now);
                    self.accepting.paused_until = Some(now.mono_ms + ACCEPT_PAUSE_MS);
                    return true;
                }
                // The other end gave up before it was its turn.
                Err(_) => {}
            }
        }
        true
    }

    fn open(&mut self, mut stream: Stream, peer: Peer, now: Now) -> io::Result<()> {
        let key = self.links.vacant_key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(stream.source(), Token(FIRST_LINK + key), interest)?;
        if self.nodelay {
            stream.set_nodelay();
        }
        let acceptor = self.acceptors.get(usize::from(peer.listener));
        if let Some(Some(acceptor)) = acceptor {
            stream = stream.encrypt(acceptor)?;
        }
        let tap = self.taps.tap(&mut stream, peer.listener, &peer.address);
        let Some(conn) = self.broker.accept(peer, now) else {
            return Ok(());
        };
        if self.by_conn.len() <= conn.index() {
            self.by_conn.resize(conn.index() + 1, usize::MAX);
        }
        self.by_conn[conn.index()] = key;
        // Its first event comes at once: it can be written to, and read if something is there.
        let is_encrypted = stream.is_encrypted();
        let mut link = Link::new(stream, conn);
        link.tap = tap.map(Box::new);
        self.links.insert(link);
        if is_encrypted {
            self.begin_handshake(key, conn, now);
        }
        Ok(())
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(
        code,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS)
    )
}
