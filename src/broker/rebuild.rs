//! The end of the start: sessions, queues and windows of what the records said.

use super::Broker;
use super::held::Held;
use super::restore::{Draft, Owned, Waiting};
use super::session::SessionId;
use super::subscriptions::{OWED, Subscriptions};
use super::timer::At;
use crate::store::journal::{Placed, Record, packet_id_of};
use crate::store::{Delivery, MessageId, Stage};
use crate::wire::QoS;
use std::collections::HashMap;

/// How long a client without Keep Alive that was connected when the broker went down has before its
/// will is published; the others have as long as they may be silent.
const GRACE_WITHOUT_KEEP_ALIVE_MS: u64 = 60_000;

/// What every client has to come back: nobody is back before the broker listens again.
const GRACE_MIN_MS: u64 = 5000;

impl Broker {
    /// Makes the state of what was restored. The journal records already: what is found to be over
    /// is recorded as such.
    pub(super) fn finish_restore(&mut self) {
        let drafts = std::mem::take(&mut self.restoring);
        let mut newest: HashMap<Box<str>, u64> = HashMap::new();
        for (key, draft) in &drafts {
            if let Some((session, _)) = draft.session.as_ref().filter(|_| !draft.is_over) {
                newest.insert(session.client_id.clone(), *key);
            }
        }
        let mut built = Vec::new();
        for (key, mut draft) in drafts {
            let Some((session, placed)) = draft.session.take().filter(|_| !draft.is_over) else {
                continue;
            };
            if newest.get(&session.client_id) != Some(&key) {
                self.journal.append(&Record::SessionEnd { key });
                continue;
            }
            let left_ms = session.left_ms;
            let id = self.build_session(key, session, placed, &draft);
            self.build_subscriptions(id, &draft);
            self.build_deliveries(id, &mut draft);
            self.build_held(id, &draft);
            built.push((id, left_ms));
        }
        self.finish_retained();
        self.messages.finish_restore();
        self.begin_replays_again();
        // All are there who may get a will that is due now.
        for (id, left_ms) in built {
            self.arm_restored(id, left_ms);
        }
    }

    fn build_session(
        &mut self,
        key: u64,
        owned: Owned,
        placed: Placed,
        draft: &Draft,
    ) -> SessionId {
        let listener = self.listener_of(&owned.listener, &owned.mount_point);
        let id = self.create_session(&owned.client_id, listener);
        let acl = self.settings.listeners[usize::from(listener)].acl.as_ref();
        let session = self.sessions.get_mut(id);
        session.rules = acl.map(|acl| acl.rules_for(owned.username.as_deref()));
        session.key = key;
        session.placed = placed;
        session.version = owned.version;
        session.is_bridge = owned.is_bridge;
        session.is_unowned = owned.is_unowned;
        session.username = owned.username;
        session.expiry_s = owned.expiry_s;
        session.silence_ms = owned.silence_ms as u32;
        session.left_ms = owned.left_ms.into();
        session.will = owned.will.map(Box::new);
        if draft.next_ordinal > 1 {
            let flow = &mut *session.flow;
            (flow.next_ordinal, flow.sent_before) = (draft.next_ordinal, draft.sent_before);
            (flow.windowed, flow.base) = (flow.next_ordinal, flow.next_ordinal);
        }
        self.sessions.count_texts(id);
        self.journal.count_live(placed);
        self.journal.sessions.insert(key, id);
        id
    }

    /// The listener that a session belongs to, by its name and mount point.
    fn listener_of(&self, name: &str, mount_point: &str) -> u16 {
        let listeners = &self.settings.listeners;
        let at = (listeners.iter())
            .position(|l| l.name == name && l.mount_point == mount_point)
            .or_else(|| listeners.iter().position(|l| l.mount_point == mount_point));
        at.unwrap_or(0) as u16
    }

    fn build_subscriptions(&mut self, id: SessionId, draft: &Draft) {
        for ((filter, share), subscribed) in &draft.subscriptions {
            let share = share.as_deref();
            let node = self.subscriptions.table.insert(filter.as_bytes());
            let group = share.map(|share| self.subscriptions.find_or_add_group(node, share));
            let (options, identifier) = (subscribed.options, subscribed.identifier);
            let mut subscription = Subscriptions::unlinked(id, node, group, options, identifier);
            if subscribed.is_owed {
                subscription.replay = OWED;
            }
            let session = self.sessions.get_mut(id);
            session.subscription_count += super::subscribe::weight(filter, share);
            let subscription =
                (self.subscriptions).insert(subscription, &mut session.subscriptions);
            self.subscriptions
                .set_placed(subscription, subscribed.placed);
            self.journal.count_live(subscribed.placed);
        }
    }

    /// Puts the deliveries together that are not done: what was sent into the window, the rest into
    /// the queue.
    fn build_deliveries(&mut self, id: SessionId, draft: &mut Draft) {
        draft.done.sort_unstable();
        draft.received.sort_unstable();
        draft.received.dedup();
        let (done, done_before) = (&draft.done, draft.done_before);
        let is_open =
            |ordinal: u64| ordinal >= done_before && done.binary_search(&ordinal).is_err();
        let received = &draft.received;
        let messages = &self.messages;
        draft.waiting.retain(|waiting| {
            is_open(waiting.ordinal)
                && received.binary_search(&waiting.ordinal).is_err()
                && messages.at(waiting.slot, waiting.place).is_some()
        });
        draft
            .waiting
            .sort_unstable_by_key(|waiting| waiting.ordinal);
        draft.waiting.dedup_by_key(|waiting| waiting.ordinal);
        let mut released = received.iter().copied().filter(|&o| is_open(o)).peekable();
        for waiting in &draft.waiting {
            while let Some(ordinal) = released.next_if(|&ordinal| ordinal < waiting.ordinal) {
                self.restore_released(id, ordinal);
            }
            self.restore_waiting(id, waiting);
        }
        for ordinal in released {
            self.restore_released(id, ordinal);
        }
    }

    fn restore_released(&mut self, id: SessionId, ordinal: u64) {
        let mut delivery = Delivery::new(MessageId::NOWHERE, QoS::ExactlyOnce, false, 0);
        delivery.number = packet_id_of(ordinal);
        delivery.stage = Stage::Released;
        delivery.set_sent();
        self.restore_windowed(id, ordinal, delivery);
    }

    fn restore_windowed(&mut self, id: SessionId, ordinal: u64, delivery: Delivery) {
        let delivery = self.deliveries.insert(delivery);
        let flow = &mut *self.sessions.get_mut(id).flow;
        flow.base = flow.base.min(ordinal);
        flow.window.push(delivery);
    }

    fn restore_waiting(&mut self, id: SessionId, waiting: &Waiting) {
        let Some(message) = self.messages.at(waiting.slot, waiting.place) else {
            return;
        };
        self.messages.retain(message);
        let len = super::route::queued_len(self.messages.len_of(message));
        let (qos, ordinal) = (waiting.qos, waiting.ordinal);
        let mut delivery = Delivery::new(message, qos, waiting.retain, waiting.subscription_id);
        delivery.number = packet_id_of(ordinal);
        let session = self.sessions.get_mut(id);
        let flow = &mut *session.flow;
        if ordinal < flow.sent_before && flow.queue.is_empty() {
            delivery.set_sent();
            flow.window_bytes += len as u64;
            return self.restore_windowed(id, ordinal, delivery);
        }
        // QoS 1 does not wait for the record that it was sent. To a client that was here it may
        // have been: this may be a second attempt, and has to say so [MQTT-3.3.1-1].
        if session.left_ms == At::NEVER {
            delivery.set_doubtful();
        }
        if flow.queue.is_empty() {
            flow.windowed = ordinal;
            flow.base = flow.base.min(ordinal);
        }
        flow.queued_count = flow.queued_count.wrapping_add(1);
        flow.queue.push(&mut self.deliveries, delivery, len);
    }

    fn build_held(&mut self, id: SessionId, draft: &Draft) {
        for &(packet_id, slot, place) in &draft.held {
            if let Some(message) = self.messages.at(slot, place) {
                self.messages.retain(message);
                let held = Held { packet_id, message };
                self.sessions.get_mut(id).flow.hold(held);
            }
        }
    }

    /// Arms the timers of a restored session. Who was connected has a while to come back before the
    /// will is published; the others' time went on meanwhile.
    fn arm_restored(&mut self, id: SessionId, left_ms: Option<u64>) {
        let now_ms = self.now.mono_ms;
        let expires_at = self.session_end(id, left_ms.unwrap_or(now_ms));
        let session = self.sessions.get_mut(id);
        let delay_ms = (session.will.as_ref())
            .map(|will| u64::from(will.delay_s.min(session.expiry_s)) * 1000);
        let grace_ms = match session.silence_ms {
            0 => GRACE_WITHOUT_KEEP_ALIVE_MS,
            silence_ms => u64::from(silence_ms).max(GRACE_MIN_MS),
        };
        session.is_ghost = left_ms.is_none();
        // Without a will, too: then it is noted that the client left, or its session would last for
        // ever where the power goes again and again.
        let will_at = match left_ms {
            Some(left_ms) => delay_ms.map(|delay_ms| left_ms + delay_ms),
            None => Some(now_ms + grace_ms.max(delay_ms.unwrap_or(0))),
        };
        session.will_at = will_at.into();
        // A session that ends with its connection waits for its client only to spare the will.
        let expires_at = match (expires_at, will_at) {
            (Some(end), Some(will)) if left_ms.is_none() && delay_ms.is_some() => {
                Some(end.max(will))
            }
            (end, _) => end,
        };
        session.expires_at = expires_at.into();
        self.session_timeout(id);
    }
}
