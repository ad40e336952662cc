//! The world of a story: one broker, a virtual clock, and clients that speak through bytes.
//!
//! Every input is followed by a full drain of the broker's outputs, so a story never waits: what
//! the broker has to say is in the client's inbox when the call returns, and what is not there will
//! not come until something else happens. A [`Watch`] on each link checks every packet from the
//! broker against the rules that hold always.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::client::{Client, Dial};
use crate::common::decode::{self, From};
use crate::common::packet::*;
use crate::seam::{self, Disk, Seam, Settings};
use crate::watch::Watch;

/// A handle on the world; clones are the same world.
#[derive(Clone)]
pub struct World {
    inner: Rc<RefCell<Inner>>,
}

struct Inner {
    seam: Seam,
    links: Vec<Link>,
}

struct Link {
    version: Version,
    unread: Vec<u8>,
    inbox: VecDeque<Packet>,
    watch: Watch,
    /// How many bytes of input the broker is given at a time.
    piece: usize,
}

impl World {
    /// A broker with its default settings.
    pub fn new() -> World {
        World::with(|_| ())
    }

    /// A broker with other settings than the default ones.
    pub fn with(change: impl FnOnce(&mut Settings)) -> World {
        let mut settings = seam::story_settings();
        change(&mut settings);
        World::begin(settings, None)
    }

    fn begin(settings: Settings, disk: Option<Disk>) -> World {
        let inner = Inner {
            seam: seam::begin(settings, disk),
            links: Vec::new(),
        };
        World {
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    /// The beginning of a client that will connect; clean, without keep alive.
    pub fn client(&self, version: Version, client_id: &str) -> Dial {
        Dial::new(self.clone(), version, client_id)
    }

    pub fn v31(&self, client_id: &str) -> Dial {
        self.client(Version::V31, client_id)
    }

    pub fn v311(&self, client_id: &str) -> Dial {
        self.client(Version::V311, client_id)
    }

    pub fn v5(&self, client_id: &str) -> Dial {
        self.client(Version::V5, client_id)
    }

    /// A network connection on which nothing was said yet.
    pub fn link(&self, version: Version) -> Client {
        self.link_to(version, "192.0.2.7:40000", 0)
            .expect("the broker accepts the connection")
    }

    /// A network connection from an address to a listener; `None` if the broker will not have it.
    pub fn link_to(&self, version: Version, address: &str, listener: u16) -> Option<Client> {
        let mut inner = self.inner.borrow_mut();
        let link = inner.seam.accept(address, listener)?;
        assert_eq!(link, inner.links.len(), "links are numbered in order");
        inner.links.push(Link {
            version,
            unread: Vec::new(),
            inbox: VecDeque::new(),
            watch: Watch::new(version),
            piece: default_piece(),
        });
        inner.collect();
        drop(inner);
        Some(Client {
            world: self.clone(),
            link,
            version,
            connack: None,
            next_id: Cell::new(0),
        })
    }

    /// A broker with a disk, where what it keeps survives [`World::crash`].
    pub fn kept() -> World {
        World::begin(seam::story_settings(), Some(Disk::default()))
    }

    /// The power goes, and is back after a second.
    pub fn crash(&self) {
        self.seam(|seam| seam.crash(1000, |_| ()));
    }

    /// Lets time pass; timers fire on the way, each at its own moment.
    pub fn advance_ms(&self, ms: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.seam.advance(ms, usize::MAX);
        inner.collect();
    }

    pub fn advance_s(&self, s: u64) {
        self.advance_ms(s * 1000);
    }

    /// Runs something on the broker itself, then looks for what it has to say.
    pub fn seam<T>(&self, run: impl FnOnce(&mut Seam) -> T) -> T {
        let mut inner = self.inner.borrow_mut();
        let result = run(&mut inner.seam);
        inner.collect();
        result
    }

    pub(crate) fn input(&self, link: usize, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let piece = inner.links[link].piece;
        for part in bytes.chunks(piece) {
            inner.seam.input(link, part);
        }
        inner.collect();
    }

    pub(crate) fn set_piece(&self, link: usize, piece: usize) {
        self.inner.borrow_mut().links[link].piece = piece;
    }

    pub(crate) fn sent(&self, link: usize, packet: &Packet) {
        self.inner.borrow_mut().links[link]
            .watch
            .client_sent(packet);
    }

    pub(crate) fn next(&self, link: usize) -> Option<Packet> {
        self.inner.borrow_mut().links[link].inbox.pop_front()
    }

    /// Takes the first packet that fits out of the inbox; the others stay in order.
    pub(crate) fn take(&self, link: usize, fits: impl Fn(&Packet) -> bool) -> Option<Packet> {
        let inbox = &mut self.inner.borrow_mut().links[link].inbox;
        let at = inbox.iter().position(fits)?;
        inbox.remove(at)
    }

    pub(crate) fn inbox(&self, link: usize) -> Vec<Packet> {
        self.inner.borrow().links[link]
            .inbox
            .iter()
            .cloned()
            .collect()
    }

    pub(crate) fn is_closed(&self, link: usize) -> bool {
        self.inner.borrow().seam.is_closed(link)
    }
}

impl Inner {
    /// Reads everything that the broker wrote; a packet that is not well formed fails the story.
    fn collect(&mut self) {
        for (number, link) in self.links.iter_mut().enumerate() {
            link.unread.extend(self.seam.take_output(number));
            loop {
                match decode::decode(link.version, From::Server, &link.unread) {
                    Ok(None) => break,
                    Ok(Some((packet, len))) => {
                        link.watch.server_sent(&packet, len);
                        link.inbox.push_back(packet);
                        link.unread.drain(..len);
                    }
                    Err(bad) => {
                        panic!("the broker wrote a bad packet: {bad}: {:02x?}", link.unread)
                    }
                }
            }
            let rest = &link.unread;
            assert!(
                !self.seam.is_closed(number) || rest.is_empty(),
                "the broker closed a connection within a packet: {rest:02x?}"
            );
        }
    }
}

/// The whole test binary can be run with input cut into small pieces, see `cut.rs`.
fn default_piece() -> usize {
    std::env::var(PIECE)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(usize::MAX)
}

/// Names the environment variable that [`default_piece`] reads: bytes per input.
pub const PIECE: &str = "SPEC_INPUT_PIECE";
/// Bytes that a socket takes at a time, likewise.
pub const ROOM: &str = "SPEC_OUTPUT_ROOM";
