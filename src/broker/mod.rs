//! The Server of the MQTT specification as a state machine, without sockets, clock or disk.
//!
//! Inputs: [`Broker::accept`], [`Broker::receive`], [`Broker::sent`], [`Broker::gone`],
//! [`Broker::verdict`], [`Broker::durable`], [`Broker::fetched`], [`Broker::timeout`], and
//! [`Broker::reload`] and [`Broker::shutdown`] from the owner. Outputs, to be drained after any
//! input: [`Broker::poll_writable`] with [`Broker::transmit`], [`Broker::poll_resume`],
//! [`Broker::poll_close`], [`Broker::poll_auth`], [`Broker::poll_journal`], [`Broker::poll_fetch`]
//! and [`Broker::poll_timeout`]. Inputs return at once; time and randomness come from outside, so
//! the same sequence of inputs always leads to the same outputs.
//!
//! Three lifetimes, three slabs: a connection (the socket), a session (what the specification
//! says), a message (while somebody needs it). They name each other by small numbers. Each chapter
//! of the specification has a file; all of them are `impl Broker`.

mod alias;
mod bundle;
mod burst;
mod clean;
mod close;
mod connack;
mod connect;
mod connection;
mod encode;
mod fetch;
mod fight;
mod fill;
mod flow;
mod full;
mod held;
mod import;
mod jobs;
mod journal;
mod judge;
mod ledger;
mod limits;
mod load;
mod names;
mod origin;
mod pace;
mod publish;
mod qos;
mod rebuild;
mod receive;
mod record;
mod reload;
mod replay;
mod restore;
mod retain;
mod route;
mod run;
mod run_out;
mod session;
mod settings;
mod share;
mod subscribe;
mod subscriptions;
mod sys;
mod timer;
mod transmit;
mod will;

pub use connect::AuthRequest;
pub use connection::Peer;
pub use import::{Entries, Imported};
pub use origin::Origin;
pub use settings::{ListenerSettings, Settings};
pub use transmit::SPLICES_MAX;

use crate::store::{Deliveries, Messages};
use crate::topic::Matches;
use connection::Connection;
use slab::Slab;
use std::collections::VecDeque;

/// The time of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never jumps; all timers live on it.
    pub mono_ms: u64,
    /// Milliseconds since 1970 of a clock that may be wrong; for what people read.
    pub wall_ms: u64,
}

/// A connection; the generation tells it from an earlier one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    /// The slot: small, dense, used again; for tables of the caller.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// The broker.
pub struct Broker {
    settings: Settings,
    connections: Slab<Connection>,
    connections_of: Vec<usize>,
    generation: u32,
    sessions: session::Sessions,
    messages: Messages,
    deliveries: Deliveries,
    subscriptions: subscriptions::Subscriptions,
    retained: retain::Retained,
    timers: timer::Timers,
    jobs: jobs::Jobs,
    ledger: ledger::Ledger,
    fights: fight::Fights,
    outputs: Outputs,
    transit: transmit::Transit,
    journal: journal::Journal,
    /// What the journal told of, until it is put together.
    restoring: restore::Restoring,
    matches: Matches,
    /// Scratch of `route`.
    burst: burst::Burst,
    best_qos: route::BestQoS,
    stats: sys::Stats,
    sys: sys::Sys,
    rng: Rng,
    now: Now,
    /// What was done of a slice, see [`jobs`].
    work: usize,
}

/// What waits for the caller to fetch it.
#[derive(Default)]
struct Outputs {
    writable: VecDeque<ConnId>,
    resume: VecDeque<ConnId>,
    /// Paused to let others have their turn.
    yielded: VecDeque<ConnId>,
    close: VecDeque<ConnId>,
    auth: VecDeque<AuthRequest>,
}

impl Broker {
    /// A broker with these settings; `seed` is all the randomness it will ever have.
    pub fn new(settings: Settings, seed: u64, now: Now) -> Broker {
        let mut rng = Rng(seed);
        let mut broker = Broker {
            connections: Slab::new(),
            connections_of: Vec::new(),
            generation: 0,
            sessions: session::Sessions::new(rng.next()),
            messages: Messages::default(),
            deliveries: Deliveries::default(),
            subscriptions: subscriptions::Subscriptions::new(rng.next()),
            retained: retain::Retained::new(rng.next()),
            timers: timer::Timers::default(),
            jobs: jobs::Jobs::default(),
            ledger: ledger::Ledger::default(),
            fights: fight::Fights::default(),
            outputs: Outputs::default(),
            transit: transmit::Transit::default(),
            journal: journal::Journal::default(),
            restoring: restore::Restoring::default(),
            matches: Matches::default(),
            burst: burst::Burst::default(),
            best_qos: route::BestQoS::default(),
            stats: sys::Stats::default(),
            sys: sys::Sys::new(now),
            rng,
            now,
            work: 0,
            settings,
        };
        broker.start_sys();
        broker.start_retain_sweep();
        broker
    }

    /// The moment, in monotonic milliseconds, at which [`Broker::timeout`] is due.
    pub fn poll_timeout(&self) -> Option<u64> {
        match self.has_jobs() {
            true => Some(self.now.mono_ms),
            false => self.timers.next(),
        }
    }

    /// Lets happen whose moment has come, and goes on with long jobs, a slice of each:
    /// [`Broker::poll_timeout`] tells at once when there is more.
    pub fn timeout(&mut self, now: Now) {
        self.now = now;
        self.serve_timers();
        self.continue_job();
    }

    fn ring(&mut self, timer: timer::Timer) {
        match timer {
            timer::Timer::Connection(index) => self.connection_timeout(index),
            timer::Timer::Session(session) => self.session_timeout(session),
            timer::Timer::Sys => self.update_sys(),
            timer::Timer::RetainSweep => self.sweep_retained(),
        }
    }

    /// A connection that has something to transmit.
    pub fn poll_writable(&mut self) -> Option<ConnId> {
        let id = self.outputs.writable.pop_front()?;
        if let Some(conn) = self.conn(id) {
            conn.is_listed_writable = false;
        }
        Some(id)
    }

    /// Whether [`Broker::poll_writable`] has something.
    pub fn has_writable(&self) -> bool {
        !self.outputs.writable.is_empty()
    }

    /// How many connections [`Broker::poll_writable`] has at present.
    pub fn writable_count(&self) -> usize {
        self.outputs.writable.len()
    }

    /// The network takes output of this connection again: lists it, should it have any.
    pub fn writable(&mut self, id: ConnId) {
        self.mark_writable(id);
    }

    /// A connection that takes input again: present what was not consumed, then read on.
    ///
    /// `None` ends a round: connections that had very much work done are named in the next one,
    /// so that the caller serves the others in between.
    pub fn poll_resume(&mut self) -> Option<ConnId> {
        let next = self.outputs.resume.pop_front();
        if next.is_none() {
            while let Some(id) = self.outputs.yielded.pop_front() {
                self.resume_if_drained(id);
            }
        }
        next
    }

    /// Whether [`Broker::poll_resume`] has something.
    pub fn has_resume(&self) -> bool {
        !self.outputs.resume.is_empty()
    }

    /// Whether [`Broker::poll_close`] has something.
    pub fn has_close(&self) -> bool {
        !self.outputs.close.is_empty()
    }

    /// A connection to close, after transmitting once more what waits; then call
    /// [`Broker::gone`].
    pub fn poll_close(&mut self) -> Option<ConnId> {
        self.outputs.close.pop_front()
    }

    /// A user name and password to check; answer by [`Broker::verdict`].
    pub fn poll_auth(&mut self) -> Option<AuthRequest> {
        self.outputs.auth.pop_front()
    }

    /// Whether the connection takes input now; if not, [`Broker::poll_resume`] will name it, or
    /// [`Broker::poll_close`].
    pub fn takes_input(&self, id: ConnId) -> bool {
        let conn = self.connections.get(id.index as usize);
        conn.is_some_and(|conn| conn.generation == id.generation && conn.takes_input())
    }
}

/// A small generator of pseudo-random numbers (splitmix64), for ids and hash seeds.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(test)]
mod tests;
