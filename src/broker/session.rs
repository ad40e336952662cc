//! Sessions: what the server remembers of a client, with or without a connection.

use super::connection::Peer;
use super::jobs::Job;
use super::publish::Held;
use super::retain::Replay;
use super::timer::Timer;
use super::will::StoredWill;
use super::{Broker, ConnId};
use crate::auth::UserRules;
use crate::store::journal::{Place, Placed, packet_id_of};
use crate::store::window::distance;
use crate::store::{Queue, Stage, Window};
use crate::topic::Index;
use crate::wire::{QoS, Version};
use foldhash::fast::FixedState;
use slab::Slab;
use std::collections::VecDeque;
use std::hash::BuildHasher;

/// A session, by its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SessionId(pub(super) u32);

/// A Session Expiry Interval that never passes.
pub(super) const EXPIRES_NEVER: u32 = u32::MAX;

/// What is kept for one Client Identifier.
pub(super) struct Session {
    pub(super) client_id: Box<str>,
    pub(super) connection: Option<ConnId>,
    /// It is no more, but what it held is not freed yet.
    pub(super) has_ended: bool,
    pub(super) version: Version,
    pub(super) is_bridge: bool,
    pub(super) username: Option<Box<str>>,
    pub(super) rules: Option<UserRules>,
    pub(super) listener: u16,
    /// Seconds that the session outlives its connection; 0 ends it there, [`EXPIRES_NEVER`] never.
    pub(super) expiry_s: u32,
    pub(super) expires_at: Option<u64>,
    pub(super) will: Option<Box<StoredWill>>,
    pub(super) will_at: Option<u64>,
    pub(super) timer_at: Option<u64>,
    /// What the journal calls it; 0 if it does not know it.
    pub(super) key: u64,
    pub(super) placed: Placed,
    /// When its connection ended.
    pub(super) left_ms: Option<u64>,
    /// How long its connection may be silent; 0 for ever.
    pub(super) silence_ms: u64,
    /// Its connection was lost with an earlier life of the broker: the will goes unless it returns.
    pub(super) is_ghost: bool,
    /// It was taken over from another broker, without knowing whose it is.
    pub(super) is_unowned: bool,
    /// The first of its subscriptions, linked among each other; and how many, where large filters
    /// count several times.
    pub(super) subscriptions: Option<u32>,
    pub(super) subscription_count: u32,
    /// QoS 0 deliveries; their number is how many others were queued before them (modulo 65,536).
    pub(super) queue_qos0: Queue,
    /// QoS 1 and 2 deliveries that are not in the window yet.
    pub(super) queue: Queue,
    /// The number that the next QoS 1 or 2 delivery gets; packet identifiers follow from these.
    pub(super) next_ordinal: u64,
    /// Deliveries with smaller numbers are done.
    pub(super) base: u64,
    /// Deliveries with smaller numbers are in the window, or done.
    pub(super) windowed: u64,
    /// Deliveries with smaller numbers were sent, as far as the journal knows.
    pub(super) sent_before: u64,
    /// QoS 2 deliveries are not sent for the first time before this is durable.
    pub(super) send_gate: Place,
    /// PUBREL is not sent again before this is durable.
    pub(super) release_gate: Place,
    /// How many QoS 1 and 2 deliveries were ever queued, and sent for the first time.
    pub(super) queued_count: u16,
    pub(super) sent_count: u16,
    pub(super) window: Window,
    /// Bytes of the messages in the window.
    pub(super) window_bytes: u64,
    /// QoS 2 messages of the client's that wait for PUBREL.
    pub(super) held: VecDeque<Held>,
    /// Retained messages that are still to be queued for new subscriptions.
    pub(super) replays: VecDeque<Replay>,
    /// Set while messages for it are dropped, so that the log tells once.
    pub(super) is_dropping: bool,
    /// Bytes of its texts, as far as they are counted.
    texts: u32,
}

impl Session {
    /// Bytes of what it holds besides itself, queues and subscriptions.
    fn texts(&self) -> usize {
        let username = self.username.as_ref().map_or(0, |name| name.len());
        let will = self.will.as_ref().map_or(0, |will| will.memory());
        self.client_id.len() + username + will
    }
}

/// All sessions, found by slot or by Client Identifier.
pub(super) struct Sessions {
    pub(super) slab: Slab<Session>,
    by_client_id: Index,
    hasher: FixedState,
    /// Bytes of the texts of all.
    texts: usize,
}

impl Sessions {
    pub(super) fn new(seed: u64) -> Sessions {
        Sessions {
            slab: Slab::new(),
            by_client_id: Index::default(),
            hasher: FixedState::with_seed(seed),
            texts: 0,
        }
    }

    /// Bytes of memory they take.
    pub(super) fn memory(&self) -> usize {
        self.slab.len() * (size_of::<Session>() + 2 * size_of::<u64>()) + self.texts
    }

    /// Counts the texts of a session anew: its user name or its will may be others. A will that is
    /// gone counts until then.
    pub(super) fn count_texts(&mut self, id: SessionId) {
        let session = &mut self.slab[id.0 as usize];
        self.texts -= session.texts as usize;
        session.texts = session.texts() as u32;
        self.texts += session.texts as usize;
    }

    fn remove(&mut self, id: SessionId) {
        let session = self.slab.remove(id.0 as usize);
        self.texts -= session.texts as usize;
    }

    #[inline]
    pub(super) fn get(&self, id: SessionId) -> &Session {
        &self.slab[id.0 as usize]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: SessionId) -> &mut Session {
        &mut self.slab[id.0 as usize]
    }

    /// What stands for a Client Identifier where its length must not count.
    pub(super) fn hash(&self, client_id: &str) -> u64 {
        self.hasher.hash_one(client_id)
    }

    pub(super) fn find(&self, client_id: &str) -> Option<SessionId> {
        let hash = self.hasher.hash_one(client_id);
        let is_it = |&id: &u32| *self.slab[id as usize].client_id == *client_id;
        self.by_client_id.find(hash, is_it).map(SessionId)
    }

    fn insert(&mut self, session: Session) -> SessionId {
        let hash = self.hasher.hash_one(&*session.client_id);
        let id = self.slab.insert(session) as u32;
        self.count_texts(SessionId(id));
        let Sessions {
            slab,
            by_client_id,
            hasher,
            ..
        } = self;
        by_client_id.insert(hash, id, |id| {
            hasher.hash_one(&*slab[id as usize].client_id)
        });
        SessionId(id)
    }

    /// The session, if it was not ended.
    pub(super) fn living(&self, id: SessionId) -> Option<&Session> {
        let session = self.slab.get(id.0 as usize);
        session.filter(|session| !session.has_ended)
    }

    /// Nobody finds it by its Client Identifier any more.
    fn unname(&mut self, id: SessionId) {
        let hash = self.hasher.hash_one(&*self.get(id).client_id);
        self.by_client_id.remove(hash, id.0);
    }

    /// How many there are, without those that have ended.
    pub(super) fn count(&self) -> usize {
        self.by_client_id.len()
    }
}

impl Session {
    /// The number of the delivery in the window that has this packet identifier.
    #[inline]
    pub(super) fn ordinal_of(&self, packet_id: u16) -> u64 {
        self.base + u64::from(distance(packet_id_of(self.base), packet_id))
    }

    /// The number of the delivery at the front of the queue.
    #[inline]
    pub(super) fn ordinal_of_queued(&self, packet_id: u16) -> u64 {
        self.windowed + u64::from(distance(packet_id_of(self.windowed), packet_id))
    }

    /// A number for [MQTT-3.8.3-3] that stands for the client in the store of retained messages.
    pub(super) fn client_hash(&self) -> u64 {
        client_hash(&self.client_id)
    }

    /// The client's name for log lines.
    pub(super) fn name(&self) -> &str {
        &self.client_id
    }
}

/// See [`Session::client_hash`].
pub(super) fn client_hash(client_id: &str) -> u64 {
    FixedState::with_seed(0).hash_one(client_id)
}

impl Broker {
    /// A fresh session for a client that has none.
    pub(super) fn create_session(&mut self, client_id: &str, peer: &Peer) -> SessionId {
        self.sessions.insert(Session {
            client_id: client_id.into(),
            connection: None,
            has_ended: false,
            version: Version::V311,
            is_bridge: false,
            username: None,
            rules: None,
            listener: peer.listener,
            expiry_s: 0,
            expires_at: None,
            will: None,
            will_at: None,
            timer_at: None,
            key: 0,
            placed: Placed::default(),
            left_ms: None,
            silence_ms: 0,
            is_ghost: false,
            is_unowned: false,
            subscriptions: None,
            subscription_count: 0,
            queue_qos0: Queue::default(),
            queue: Queue::default(),
            next_ordinal: 1,
            base: 1,
            windowed: 1,
            sent_before: 1,
            send_gate: Place::START,
            release_gate: Place::START,
            queued_count: 0,
            sent_count: 0,
            window: Window::default(),
            window_bytes: 0,
            held: VecDeque::new(),
            replays: VecDeque::new(),
            is_dropping: false,
            texts: 0,
        })
    }

    /// Ends a session: everything it holds is freed, in slices if it is much. Its will is the
    /// caller's affair.
    pub(super) fn end_session(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        self.timers
            .set(Timer::Session(id), &mut session.timer_at, None);
        session.has_ended = true;
        session.will = None;
        self.sessions.unname(id);
        self.record_end(id);
        self.dismantle(id);
    }

    /// Frees what an ended session holds, as far as a slice reaches.
    pub(super) fn dismantle(&mut self, id: SessionId) {
        while self.free_one(id) {
            self.work += 2;
            if self.is_slice_over() {
                return self.begin_job(Job::EndSession(id));
            }
        }
        self.sessions.remove(id);
    }

    /// Frees one thing that an ended session holds; whether it held one.
    fn free_one(&mut self, id: SessionId) -> bool {
        if self.remove_a_subscription(id) {
            return true;
        }
        let session = self.sessions.get_mut(id);
        if let Some(mut replay) = session.replays.pop_front() {
            self.retained.end_replay(&mut replay);
            return true;
        }
        for queue in [&mut session.queue_qos0, &mut session.queue] {
            if let Some(front) = queue.front() {
                let message = self.deliveries.get(front).message;
                let len = super::route::queued_len(self.messages.len_of(message));
                queue.take(&mut self.deliveries, len);
                self.messages.release(message);
                return true;
            }
        }
        if let Some(delivery) = session.window.pop() {
            let delivery = self.deliveries.remove(delivery);
            if delivery.stage == Stage::Publish {
                self.messages.release(delivery.message);
            }
            return true;
        }
        let held = session.held.pop_front();
        if let Some(held) = &held {
            self.messages.release(held.message);
        }
        held.is_some()
    }

    /// The connection of this session is gone: arm the timers of its will and its end, or end it.
    pub(super) fn leave_session(&mut self, id: SessionId) {
        let now_ms = self.now.mono_ms;
        let session = self.sessions.get_mut(id);
        session.connection = None;
        session.window.rewind();
        session.left_ms = Some(now_ms);
        let will_at = session.will.as_ref().map(|will| {
            // The session's end publishes the will, too [MQTT-3.1.2-8].
            now_ms + u64::from(will.delay_s.min(session.expiry_s)) * 1000
        });
        session.will_at = will_at;
        let end = self.session_end(id, now_ms);
        self.sessions.get_mut(id).expires_at = end;
        self.session_timeout(id);
        self.record_leaving(id);
    }

    /// When a session ends whose connection ended at `left_ms`.
    pub(super) fn session_end(&self, id: SessionId, left_ms: u64) -> Option<u64> {
        let session = self.sessions.get(id);
        match session.expiry_s {
            EXPIRES_NEVER if session.version == Version::V5 => None,
            EXPIRES_NEVER => self
                .settings
                .persistent_client_expiration
                .map(|s| left_ms.saturating_add(s.saturating_mul(1000))),
            seconds => Some(left_ms + u64::from(seconds) * 1000),
        }
    }

    /// Publishes a will and ends a session whose moment has come; arms the timer for the next.
    pub(super) fn session_timeout(&mut self, id: SessionId) {
        let now_ms = self.now.mono_ms;
        if self.sessions.living(id).is_none() {
            return;
        }
        let session = self.sessions.get_mut(id);
        if session.timer_at.is_some_and(|at| at <= now_ms) {
            // It rang and is out of the set already; or it is in it still and comes out below.
            self.timers
                .set(Timer::Session(id), &mut session.timer_at, None);
        }
        if session.connection.is_some() {
            return;
        }
        if session.will_at.is_some_and(|at| at <= now_ms) {
            self.publish_will(id);
            self.record_leaving(id);
        }
        let session = self.sessions.get_mut(id);
        if session.expires_at.is_some_and(|at| at <= now_ms) {
            if session.expiry_s != 0 {
                self.stats.clients_expired += 1;
                log::info!(target: "notice", "Expiring client {} due to timeout.", session.name());
            }
            self.end_session(id);
            return;
        }
        let next = [session.will_at, session.expires_at]
            .into_iter()
            .flatten()
            .min();
        self.timers
            .set(Timer::Session(id), &mut session.timer_at, next);
    }

    /// The client is back: neither will nor end are due any more [MQTT-3.1.3-9].
    ///
    /// The will itself stays until its CONNECT is looked at, which may have another or none.
    pub(super) fn rejoin_session(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        session.will_at = None;
        session.expires_at = None;
        session.is_ghost = false;
        self.timers
            .set(Timer::Session(id), &mut session.timer_at, None);
    }

    /// Frees the deliveries of a client that cannot take QoS 0 any more: they end with the
    /// connection unless they are queued for clients that are away.
    pub(super) fn drop_qos0(&mut self, id: SessionId) {
        if self.settings.queue_qos0_messages {
            return;
        }
        let session = &mut self.sessions.slab[id.0 as usize];
        while let Some(front) = session.queue_qos0.front() {
            let delivery = self.deliveries.get(front);
            debug_assert_eq!(delivery.qos(), QoS::AtMostOnce);
            let message = delivery.message;
            let len = super::route::queued_len(self.messages.len_of(message));
            session.queue_qos0.take(&mut self.deliveries, len);
            self.messages.release(message);
        }
    }
}
