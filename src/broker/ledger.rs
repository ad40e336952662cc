//! The ledger: how much memory everything takes that clients make the broker hold.
//!
//! Messages, subscriptions, sessions and retained topics are counted as they come and go, so that
//! their sum is a few additions. What connections hold for themselves (replies that nobody reads,
//! topic aliases, passwords, waiting replays) is small for each and changes all the time: it is
//! counted anew after every MiB that came in, as it grows only with what comes in.
//!
//! Over `memory_limit` *new* things are refused, with the reason where the client can be told one:
//! sessions, subscriptions, retained topics, messages that have to wait. What was accepted stays,
//! and whoever is here goes on, with little messages: nobody pays for what others do. Connecting
//! needs little, so an eighth of the limit is left for that alone, and a sixteenth even where the
//! limit was passed by more.
//!
//! Bounds: a turn's input may pass the limit by as much as it can hold.

use super::Broker;
use super::connection::Connection;
use super::replay::REPLAY_BYTES;
use super::session::{Session, SessionId};
use crate::store::Delivery;
use crate::wire::{Publish, QoS};

/// The directive.
pub(super) const MEMORY_LIMIT: &str = "memory_limit";

/// Input after which the limit is looked at, and after which the connections are counted anew.
const CHECK_BYTES: u64 = 32 * 1024;
const COUNT_BYTES: u64 = 1024 * 1024;

/// Less room than this part of the limit is none.
const NEARLY: usize = 64;

/// A socket and what belongs to it, besides what stands in the broker.
const LINK_BYTES: usize = 256;

/// A client whose queue is shorter takes a message soon.
const SOON: usize = 256;
const SHORT_BYTES: u64 = 16 * 1024;

/// The part of the state that is counted now and then.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) is_over: bool,
    checked_at: u64,
    counted_at: u64,
    /// What connections hold, as it was counted last.
    connections: usize,
    /// What the caller holds for clients.
    outside: usize,
    /// How often something was refused.
    pub(super) refused: u64,
}

impl Broker {
    /// How many bytes the caller holds for clients: parts of packets, and output.
    pub fn note_held(&mut self, bytes: usize) {
        self.ledger.outside = bytes;
    }

    /// Bytes that clients make the broker hold.
    pub(super) fn held_bytes(&self) -> usize {
        // Arrays and tables that grow have room to spare: a quarter, with 200,000 filters.
        let tables = self.subscriptions.memory() + self.retained.memory();
        self.messages.memory()
            + tables / 4 * 5
            + self.deliveries.count() * size_of::<Delivery>()
            + self.connecting_bytes()
            + self.ledger.connections
            + self.ledger.outside
    }

    /// Whether there is memory for `len` more bytes of something new.
    pub(super) fn has_memory(&self, len: usize) -> bool {
        let limit = self.settings.memory_limit;
        limit == 0 || self.held_bytes() + len <= limit
    }

    /// Whether there is memory for one more connection or session. Whatever else is held, some is
    /// left for those who come for what waits for them: nobody else can make it less.
    pub(super) fn has_memory_to_connect(&self) -> bool {
        let limit = self.settings.memory_limit;
        limit == 0
            || self.held_bytes() <= limit + limit / 8
            || self.connecting_bytes() <= limit / 16
    }

    /// Bytes that connections and sessions take by themselves.
    fn connecting_bytes(&self) -> usize {
        self.connections.len() * (size_of::<Connection>() + LINK_BYTES)
            + self.sessions.memory() / 4 * 5
    }

    /// Whether the limit was reached when it was looked at last.
    #[inline]
    pub(super) fn is_over_memory(&self) -> bool {
        self.ledger.is_over
    }

    /// Notes that something was refused for want of memory.
    pub(super) fn refuse_memory(&mut self) {
        self.ledger.refused += 1;
        self.check_memory();
    }

    /// Looks at the limit now and then.
    #[inline]
    pub(super) fn watch_memory(&mut self) {
        if self.stats.bytes_received - self.ledger.checked_at >= CHECK_BYTES {
            self.check_memory();
        }
    }

    /// Looks at the limit.
    pub(super) fn check_memory(&mut self) {
        let received = self.stats.bytes_received;
        self.ledger.checked_at = received;
        if received - self.ledger.counted_at >= COUNT_BYTES {
            self.ledger.counted_at = received;
            let connections = self.connections.iter();
            let connections: usize = connections.map(|(_, conn)| conn.memory()).sum();
            let sessions = self.sessions.slab.iter();
            let replays: usize = sessions.map(|(_, s)| s.flow.replays.len()).sum();
            self.ledger.connections = connections + replays * REPLAY_BYTES;
        }
        let limit = self.settings.memory_limit;
        let held = self.held_bytes();
        if limit != 0 && held > limit - limit / NEARLY && !self.ledger.is_over {
            self.ledger.is_over = true;
            log::warn!(
                "Warning: clients make the broker hold {held} bytes of memory: nothing more is \
                 taken until it is less. Raise memory_limit ({limit} bytes) if the machine has \
                 more to spare."
            );
        } else if self.ledger.is_over && (limit == 0 || held < limit / 8 * 7) {
            self.ledger.is_over = false;
            log::info!(
                target: "notice",
                "There is memory again: {held} of {limit} bytes are held for clients."
            );
        }
    }

    /// Whether there is memory for a QoS 1 or 2 message that has to wait for somebody, or that
    /// takes more room than what its topic retains.
    pub(super) fn can_hold(&mut self, session: SessionId, publish: &Publish<'_>) -> bool {
        let len = publish.topic.len() + publish.properties.raw().len() + publish.payload.len();
        if !self.is_over_memory() || self.has_memory(len) {
            return true;
        }
        let most = match self.has_memory_to_change(0) {
            true => self.settings.max_output_bytes as u64,
            false => SHORT_BYTES,
        };
        let is_much = |len, bytes| len >= SOON || bytes > most;
        if len as u64 > SHORT_BYTES && !self.has_memory_to_change(len) {
            return false;
        }
        if publish.qos == QoS::ExactlyOnce {
            let held = &self.sessions.get(session).flow.held;
            let bytes = held.iter().map(|held| self.messages.len_of(held.message));
            if is_much(held.len(), (bytes.sum::<usize>() + len) as u64) {
                return false;
            }
        }
        if publish.retain && !publish.payload.is_empty() {
            let topic = self.full_topic(session, publish.topic);
            if !self.may_retain(&topic, topic.len() + len - publish.topic.len(), 0) {
                return false;
            }
        }
        let waits = |session: &Session| {
            let bytes = session.flow.queue.bytes() + session.flow.window_bytes;
            session.connection.is_none() || is_much(session.flow.queue.len(), bytes)
        };
        !self.has_recipient(session, publish.topic, waits)
    }

    /// Whether a message of so many bytes may be retained where memory is short, `here` of which
    /// are held already: a topic that has one may change it, but not grow as it likes.
    pub(super) fn may_retain(&self, topic: &[u8], len: usize, here: usize) -> bool {
        let old = self.retained.message_of(topic);
        let old = old.map(|message| self.messages.len_of(message));
        old.is_some_and(|old| len <= old || self.has_memory_to_change(len - here))
    }

    /// Whether there is memory for so many bytes of somebody who is here and goes on.
    fn has_memory_to_change(&self, len: usize) -> bool {
        let limit = self.settings.memory_limit;
        limit == 0 || self.held_bytes() + len <= limit + limit / 16
    }

    /// Whether there is memory for a message of QoS 0 in this queue: what waits for a client that
    /// does not read, or is not there, is the first to go.
    #[inline]
    pub(super) fn may_wait(&self, session: &Session) -> bool {
        let queue = &session.flow.queue_qos0;
        let is_short = queue.len() < SOON && queue.bytes() < SHORT_BYTES;
        !self.is_over_memory() || session.connection.is_some() && is_short
    }
}
