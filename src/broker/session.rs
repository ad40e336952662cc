//! Sessions: what the server remembers of a client, with or without a connection.

use super::flow::LazyFlow;
use super::jobs::Job;
use super::subscriptions::Link;
use super::timer::{At, Timer};
use super::will::StoredWill;
use super::{Broker, ConnId};
use crate::auth::UserRules;
use crate::store::Stage;
use crate::store::journal::Placed;
use crate::topic::Index;
use crate::wire::{QoS, Version};
use foldhash::fast::FixedState;
use slab::Slab;
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
    /// What waits for it may have been queued under other rules, and is checked when it is sent.
    pub(super) is_doubted: bool,
    pub(super) listener: u16,
    /// Seconds that the session outlives its connection; 0 ends it there, [`EXPIRES_NEVER`] never.
    pub(super) expiry_s: u32,
    pub(super) expires_at: At,
    pub(super) will: Option<Box<StoredWill>>,
    pub(super) will_at: At,
    pub(super) timer_at: At,
    /// What the journal calls it; 0 if it does not know it.
    pub(super) key: u64,
    pub(super) placed: Placed,
    /// When its connection ended.
    pub(super) left_ms: At,
    /// How long its connection may be silent; 0 for ever.
    pub(super) silence_ms: u32,
    /// Its connection was lost with an earlier life of the broker: the will goes unless it returns.
    pub(super) is_ghost: bool,
    /// It was taken over from another broker, without knowing whose it is.
    pub(super) is_unowned: bool,
    /// The first of its subscriptions, linked among each other; and how many, where large filters
    /// count several times.
    pub(super) subscriptions: Link,
    pub(super) subscription_count: u32,
    /// What goes to and comes from its client.
    pub(super) flow: LazyFlow,
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
        by_client_id.insert(hash, id, &|id| {
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
    pub(super) fn create_session(&mut self, client_id: &str, listener: u16) -> SessionId {
        self.sessions.insert(Session {
            client_id: client_id.into(),
            connection: None,
            has_ended: false,
            version: Version::V311,
            is_bridge: false,
            username: None,
            rules: None,
            is_doubted: false,
            listener,
            expiry_s: 0,
            expires_at: At::NEVER,
            will: None,
            will_at: At::NEVER,
            timer_at: At::NEVER,
            key: 0,
            placed: Placed::default(),
            left_ms: At::NEVER,
            silence_ms: 0,
            is_ghost: false,
            is_unowned: false,
            subscriptions: None.into(),
            subscription_count: 0,
            flow: LazyFlow::default(),
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
        let Some(flow) = self.sessions.get_mut(id).flow.existing() else {
            return false;
        };
        if let Some(mut replay) = flow.replays.pop_front() {
            self.retained.end_replay(&mut replay);
            return true;
        }
        for queue in [&mut flow.queue_qos0, &mut flow.queue] {
            if let Some(front) = queue.front() {
                let message = self.deliveries.get(front).message;
                let len = super::route::queued_len(self.messages.len_of(message));
                queue.take(&mut self.deliveries, len);
                self.messages.release(message);
                return true;
            }
        }
        if let Some(delivery) = flow.window.pop() {
            let delivery = self.deliveries.remove(delivery);
            if delivery.stage == Stage::Publish {
                self.messages.release(delivery.message);
            }
            return true;
        }
        let held = flow.held.pop_front();
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
        if let Some(flow) = session.flow.existing() {
            flow.window.rewind();
        }
        session.left_ms = Some(now_ms).into();
        let will_at = session.will.as_ref().map(|will| {
            // The session's end publishes the will, too [MQTT-3.1.2-8].
            now_ms + u64::from(will.delay_s.min(session.expiry_s)) * 1000
        });
        session.will_at = will_at.into();
        let end = self.session_end(id, now_ms);
        self.sessions.get_mut(id).expires_at = end.into();
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
        if session.timer_at.has_come(now_ms) {
            // It rang and is out of the set already; or it is in it still and comes out below.
            self.timers
                .set(Timer::Session(id), &mut session.timer_at, None);
        }
        if let Some(conn) = session.connection {
            // A replay waits for room.
            return self.mark_writable(conn);
        }
        if session.will_at.has_come(now_ms) {
            self.publish_will(id);
            self.record_leaving(id);
        }
        let session = self.sessions.get_mut(id);
        if session.expires_at.has_come(now_ms) {
            if session.expiry_s != 0 {
                self.stats.clients_expired += 1;
                log::info!(target: "notice", "Expiring client {} due to timeout.", session.name());
            }
            self.end_session(id);
            return;
        }
        let moments = [session.will_at, session.expires_at];
        let next = moments.into_iter().filter_map(At::get).min();
        self.timers
            .set(Timer::Session(id), &mut session.timer_at, next);
    }

    /// The client is back: neither will nor end are due any more [MQTT-3.1.3-9].
    ///
    /// The will itself stays until its CONNECT is looked at, which may have another or none.
    pub(super) fn rejoin_session(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        session.will_at = At::NEVER;
        session.expires_at = At::NEVER;
        session.is_ghost = false;
        self.timers
            .set(Timer::Session(id), &mut session.timer_at, None);
    }

    /// Frees the deliveries of a client that cannot take QoS 0 any more: they end with the
    /// connection unless they are queued for clients that are away.
    pub(super) fn drop_qos0(&mut self, id: SessionId) {
        if self.settings.queue_qos0_messages && !self.has_bundle(id) {
            return;
        }
        let session = &mut self.sessions.slab[id.0 as usize];
        while let Some(front) = session.flow.queue_qos0.front() {
            let delivery = self.deliveries.get(front);
            debug_assert_eq!(delivery.qos(), QoS::AtMostOnce);
            let message = delivery.message;
            let len = super::route::queued_len(self.messages.len_of(message));
            session.flow.queue_qos0.take(&mut self.deliveries, len);
            self.messages.release(message);
        }
    }
}
