//! Retained messages on their way to new subscriptions.
//!
//! A new subscription does not get them all at once: a [`Replay`] walks the table in slices and
//! queues as much as the client has room for, and memory and journal, so that a subscription to `#`
//! neither overflows a queue nor holds up anybody. Bounds: a slice is 512 steps through the table;
//! what it has found is at most 64 messages.
//!
//! Where it does not come to its end at once, and the session outlives the broker, the journal has
//! that messages are [`OWED`]: the next broker begins again. Some may come twice so, which is for
//! QoS 1 alone; what would have come at another QoS, and has not, is lost.

use super::Broker;
use super::retain::{Retained, publisher_of};
use super::session::{Session, SessionId};
use super::subscriptions::{OWED, SubscriptionId, Subscriptions};
use super::timer::Timer;
use crate::auth::Access;
use crate::store::{Delivery, MessageId};
use crate::topic::{Cursor, NodeId};
use crate::wire::{QoS, SubscriptionOptions};
use std::collections::VecDeque;

/// Retained messages on their way to a new subscription.
///
/// It holds as long as its subscription names it: subscribing again or unsubscribing ends it
/// without looking for it; it is taken out when its turn comes.
pub(super) struct Replay {
    subscription: SubscriptionId,
    number: u32,
    options: SubscriptionOptions,
    identifier: u32,
    /// What came after this was delivered as it came.
    sequence_max: u64,
    cursor: Option<Cursor>,
    /// Found already: entry and its sequence number.
    pending: VecDeque<(u32, u64)>,
    /// The broker that began it first is no more.
    is_again: bool,
}

/// What a replay that waits takes, roughly: itself and what it has found at once.
pub(super) const REPLAY_BYTES: usize = size_of::<Replay>() + 128;

/// Bounds of one slice of a replay.
const STEPS: usize = 512;
const FOUND_MAX: usize = 64;
/// Steps through the table that a new subscription takes before it is answered.
const FIRST_STEPS: usize = 8;

/// So many steps cost as much as one delivery.
const STEPS_PER_WORK: usize = 8;

/// How long a replay waits where it lacks room.
const AGAIN_MS: u64 = 1000;

impl Replay {
    fn goes_on(&self, subscriptions: &Subscriptions) -> bool {
        let subscription = subscriptions.slab.get(self.subscription as usize);
        subscription.is_some_and(|subscription| subscription.replay & !OWED == self.number)
    }
}

impl Retained {
    pub(super) fn end_replay(&mut self, replay: &mut Replay) {
        if let Some(cursor) = &mut replay.cursor {
            self.table.end_walk(cursor);
        }
    }

    /// Goes on through the table for a replay of a filter, so many steps.
    fn walk_on(&mut self, replay: &mut Replay, filter: &[u8], steps: usize) {
        let Retained {
            table,
            found,
            entries,
            ..
        } = self;
        let Some(cursor) = &mut replay.cursor else {
            return;
        };
        found.clear();
        let is_done = table.walk(cursor, filter, steps, FOUND_MAX, found);
        for node in found.drain(..) {
            let key = table.value(node);
            let Some(entry) = entries.get(key as usize) else {
                continue;
            };
            if entry.sequence <= replay.sequence_max {
                replay.pending.push_back((key, entry.sequence));
            }
        }
        if is_done {
            replay.cursor = None;
        }
    }
}

impl Broker {
    /// Starts sending the retained messages that match a subscription, a new one or, `is_again`,
    /// one that was owed some when the broker ended.
    pub(super) fn begin_replay(
        &mut self,
        session_id: SessionId,
        subscription: SubscriptionId,
        filter: &[u8],
        is_again: bool,
    ) {
        if self.retained.count() == 0 {
            return self.note_replayed(session_id, subscription);
        }
        self.retained.replays = self.retained.replays % (OWED - 1) + 1;
        let its = self.subscriptions.get(subscription);
        let mut replay = Replay {
            subscription,
            number: self.retained.replays,
            options: its.options,
            identifier: its.identifier,
            sequence_max: self.retained.sequence,
            cursor: None,
            pending: VecDeque::new(),
            is_again,
        };
        if memchr::memchr2(b'+', b'#', filter).is_some() {
            replay.cursor = Some(self.retained.table.begin_walk());
            // Most filters that lead to nothing show that at once, and need not wait.
            self.retained.walk_on(&mut replay, filter, FIRST_STEPS);
        } else if let Some(node) = self.retained.table.find(filter) {
            let key = self.retained.table.value(node);
            if let Some(entry) = self.retained.entries.get(key as usize) {
                replay.pending.push_back((key, entry.sequence));
            }
        }
        if replay.cursor.is_none() && replay.pending.is_empty() {
            return self.note_replayed(session_id, subscription);
        }
        let its = &mut self.subscriptions.slab[subscription as usize];
        its.replay = replay.number | its.replay & OWED;
        let (qos, session) = (its.options.qos, self.sessions.get_mut(session_id));
        let replays = &mut session.flow.replays;
        let first = replays.front().map(|first| first.subscription);
        replays.push_back(replay);
        if replays.len() > 2 * session.subscription_count as usize {
            self.sweep_replays(session_id);
        }
        if first.is_some_and(|first| self.owes(first)) {
            self.owe(session_id, subscription, qos);
        }
    }

    /// Begins the replays that a former broker owed.
    pub(super) fn begin_replays_again(&mut self) {
        let all = self.subscriptions.slab.iter();
        let owed = all.filter(|(_, subscription)| subscription.replay == OWED);
        for id in owed.map(|(id, _)| id as SubscriptionId).collect::<Vec<_>>() {
            let subscription = self.subscriptions.get(id);
            let session = subscription.session;
            let filter = self.subscriptions.table.text(subscription.node);
            self.begin_replay(session, id, &filter, true);
        }
    }

    /// A subscription has got what was retained, or there is nothing.
    fn note_replayed(&mut self, session: SessionId, id: SubscriptionId) {
        let replay = &mut self.subscriptions.slab[id as usize].replay;
        if std::mem::take(replay) & OWED != 0 {
            self.record_subscription(session, id);
        }
    }

    /// Records that a session's replays are not over: the first one has to wait, and so have those
    /// behind it.
    fn owe_all(&mut self, session: SessionId) {
        let replays = self.sessions.get(session).flow.replays.iter();
        let lasting = replays.filter(|replay| replay.goes_on(&self.subscriptions));
        let owed = lasting.map(|replay| (replay.subscription, replay.options.qos));
        for (id, qos) in owed.collect::<Vec<_>>() {
            self.owe(session, id, qos);
        }
    }

    fn owe(&mut self, session: SessionId, id: SubscriptionId, qos: QoS) {
        if self.is_copied(session, qos) && !self.owes(id) {
            self.work += 1;
            self.subscriptions.slab[id as usize].replay |= OWED;
            self.record_subscription(session, id);
        }
    }

    /// Whether the journal has that a replay is not over.
    fn owes(&self, id: SubscriptionId) -> bool {
        let subscription = self.subscriptions.slab.get(id as usize);
        subscription.is_some_and(|subscription| subscription.replay & OWED != 0)
    }

    /// Takes out the replays that were ended: there are never more than two for a subscription.
    fn sweep_replays(&mut self, session_id: SessionId) {
        let subscriptions = &self.subscriptions;
        let replays = &mut self.sessions.get_mut(session_id).flow.replays;
        replays.retain_mut(|replay| {
            let goes_on = replay.goes_on(subscriptions);
            if !goes_on {
                self.retained.end_replay(replay);
            }
            goes_on
        });
    }

    /// Queues more of the retained messages that a session is to get, as far as it has room.
    ///
    /// If the slice ends before the work does, the connection stays listed as writable.
    #[inline]
    pub(super) fn pump_replays(&mut self, session_id: SessionId) {
        if !self.sessions.get(session_id).flow.replays.is_empty() {
            self.pump_some(session_id);
        }
    }

    fn pump_some(&mut self, session_id: SessionId) {
        let Some(conn) = self.sessions.get(session_id).connection else {
            return;
        };
        // Little came in that would have had somebody look.
        self.check_memory();
        let mut steps = STEPS;
        while let Some(mut replay) = self.next_replay(session_id) {
            if !replay.goes_on(&self.subscriptions) {
                self.retained.end_replay(&mut replay);
                continue;
            }
            let is_done = self.pump(session_id, &mut replay, &mut steps);
            let (id, qos) = (replay.subscription, replay.options.qos);
            if !is_done {
                let flow = &mut *self.sessions.get_mut(session_id).flow;
                flow.replays.push_front(replay);
                if self.is_copied(session_id, qos) && !self.owes(id) {
                    self.owe_all(session_id);
                }
                if steps == 0 {
                    self.mark_writable(conn);
                }
                return;
            }
            self.note_replayed(session_id, id);
        }
        // Thousands may have waited, and no more will come for long.
        if let Some(flow) = self.sessions.get_mut(session_id).flow.existing() {
            flow.replays = VecDeque::new();
        }
    }

    fn next_replay(&mut self, session_id: SessionId) -> Option<Replay> {
        let flow = self.sessions.get_mut(session_id).flow.existing()?;
        flow.replays.pop_front()
    }

    /// One slice; whether the replay is done. `steps` at 0 says that only time ran out.
    fn pump(&mut self, session_id: SessionId, replay: &mut Replay, steps: &mut usize) -> bool {
        let node = self.subscriptions.get(replay.subscription).node;
        let mut filter = None;
        loop {
            while let Some(&(key, sequence)) = replay.pending.front() {
                self.work += 1;
                if !self.replay_one(session_id, replay, key, sequence) {
                    return false;
                }
                replay.pending.pop_front();
            }
            if replay.cursor.is_none() {
                return true;
            }
            if *steps == 0 {
                return false;
            }
            let slice = (*steps).min(256);
            *steps -= slice;
            self.work += slice / STEPS_PER_WORK;
            let filter = filter.get_or_insert_with(|| self.subscriptions.table.text(node));
            self.retained.walk_on(replay, filter, slice);
        }
    }

    /// Queues one retained message; `false` if there is no room for it now.
    fn replay_one(
        &mut self,
        session_id: SessionId,
        replay: &Replay,
        key: u32,
        sequence: u64,
    ) -> bool {
        let entry = self.retained.entries.get(key as usize);
        let Some(entry) = entry.filter(|entry| entry.sequence == sequence) else {
            return true;
        };
        let (id, node) = (entry.message, entry.node);
        let session = self.sessions.get(session_id);
        let is_own =
            replay.options.no_local && entry.publisher == publisher_of(session.client_hash());
        if is_own || !self.source_may_write(entry) {
            return true;
        }
        let is_lost = self.messages.is_hot(id) && self.messages.get(id).is_empty();
        if self.messages.expires_ms(id) < self.now.mono_ms || is_lost {
            self.drop_retained(node);
            return true;
        }
        let topic_is_denied = !self.messages.is_hot(id) && !self.may_read_node(session_id, node);
        if topic_is_denied {
            return true;
        }
        let qos = self.delivered_qos(self.messages.qos_of(id), replay.options.qos);
        let len = super::route::queued_len(self.messages.len_of(id));
        if replay.is_again && qos != QoS::AtLeastOnce {
            return true;
        }
        let session = self.sessions.get(session_id);
        let is_copied = self.is_copied(session_id, qos);
        if !self.has_room(session, qos, len) {
            return false;
        }
        if !self.has_memory_to_replay(session, qos, len) {
            self.look_again(session_id);
            return false;
        }
        if is_copied && !self.has_room_left(len) {
            self.wait_to_copy(session_id);
            return false;
        }
        let conn = self.sessions.get(session_id).connection;
        if let Some(conn) = conn.filter(|_| is_copied && !self.messages.is_hot(id)) {
            self.fetch(id, conn);
            return false;
        }
        // [MQTT-3.3.1-8]
        self.deliver_retained(session_id, id, qos, replay.identifier);
        true
    }

    /// Nobody is refused anything here, so it waits where memory is short; one message on its way
    /// to each client is little enough.
    fn has_memory_to_replay(&self, session: &Session, qos: QoS, len: usize) -> bool {
        let flow = &session.flow;
        qos == QoS::AtMostOnce
            || !self.is_over_memory() && self.has_memory(len)
            || flow.queue.is_empty() && flow.window.in_flight() == 0
    }

    /// Goes on when the journal has got further, or there is room on the disk.
    fn wait_to_copy(&mut self, session: SessionId) {
        if let Some(conn) = self.sessions.get(session).connection {
            self.wait_at_gate(conn, self.journal.end());
        }
        self.look_again(session);
    }

    /// Goes on in a while: nobody tells when memory or the disk has room again.
    fn look_again(&mut self, id: SessionId) {
        let at = self.now.mono_ms + AGAIN_MS;
        let session = self.sessions.get_mut(id);
        self.timers
            .set(Timer::Session(id), &mut session.timer_at, Some(at));
    }

    /// Whether a retained message becomes a message of its own for a session that is kept.
    fn is_copied(&self, session: SessionId, qos: QoS) -> bool {
        let is_recorded = self.journal.is_on() && self.sessions.get(session).is_recorded();
        is_recorded && qos != QoS::AtMostOnce
    }

    /// Queues a retained message. For a session that is kept it is a message of its own, so that
    /// every message has one record with all who get it.
    fn deliver_retained(&mut self, session: SessionId, id: MessageId, qos: QoS, identifier: u32) {
        if !self.is_copied(session, qos) {
            return self.deliver(session, Delivery::new(id, qos, true, identifier));
        }
        let copy = self.messages.copy(id);
        self.begin_message();
        self.deliver(session, Delivery::new(copy, qos, true, identifier));
        if !self.journal.recipients.is_empty() {
            self.describe_message(copy, None, None);
        }
        self.messages.release(copy);
    }

    fn may_read_node(&self, session: SessionId, node: NodeId) -> bool {
        self.sessions.get(session).rules.is_none()
            || self.may(session, Access::Read, &self.retained.table.text(node))
    }
}
