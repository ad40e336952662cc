//! From a message to everybody who subscribed to its topic.
//!
//! One walk of the matching table, then one 16-byte delivery for each subscription that matches.
//! Nothing is encoded here: bytes are made when a socket takes them.

use super::Broker;
use super::publish::Publisher;
use super::session::{Session, SessionId};
use super::subscriptions::SubscriptionId;
use crate::auth::Access;
use crate::store::{Delivery, DeliveryId, MessageId};
use crate::topic::{Matches, NodeId};
use crate::wire::{QoS, Version};
use std::collections::HashMap;

/// The highest QoS of each session that gets one copy only; `None` once it has it.
pub(super) type BestQoS = HashMap<SessionId, Option<QoS>>;

/// What a delivery counts for in the byte limits of a queue: its message's bytes and its own entry.
pub(super) fn queued_len(len: usize) -> usize {
    len + size_of::<Delivery>()
}

/// The smaller of the two QoS, unless the granted one is to count whatever was published.
#[inline]
pub(super) fn smaller_qos(is_upgraded: bool, published: QoS, granted: QoS) -> QoS {
    match is_upgraded {
        true => granted,
        false => published.min(granted),
    }
}

/// How many expired messages one new one may push out of a queue.
const EXPIRED_AT_ONCE: usize = 64;

/// What `route` needs to know about the message over and over.
#[derive(Clone, Copy)]
struct Routed {
    message: MessageId,
    publisher: Publisher,
    qos: QoS,
    retain: bool,
    /// What it counts for in a queue.
    len: usize,
}

impl Broker {
    /// Delivers a message to all who subscribed to its topic; whether anybody did.
    pub(super) fn route(&mut self, publisher: Publisher, id: MessageId) -> bool {
        let message = self.messages.get(id);
        (self.subscriptions.table).matches(message.topic(), &mut self.matches);
        let (qos, retain) = (message.qos(), message.retain());
        self.route_found(publisher, id, qos, retain)
    }

    /// The same for a message whose topic was looked up last.
    #[inline]
    pub(super) fn route_found(
        &mut self,
        publisher: Publisher,
        message: MessageId,
        qos: QoS,
        retain: bool,
    ) -> bool {
        let routed = Routed {
            message,
            publisher,
            qos,
            retain,
            len: queued_len(self.messages.len_of(message)),
        };
        let found = self.matches.found.len();
        if self.settings.allow_duplicate_messages {
            for at in 0..found {
                self.route_to_node(self.matches.found[at], routed);
            }
        } else {
            let matches = std::mem::take(&mut self.matches);
            self.route_once_each(&matches, routed);
            self.matches = matches;
        }
        found > 0
    }

    fn route_to_node(&mut self, node: NodeId, routed: Routed) {
        let (mut next, group) = self.subscriptions.of(node);
        while let Some(id) = next {
            next = self.route_to_subscription(id, routed, None);
        }
        if group.is_some() {
            self.route_to_groups(node, routed.message, routed.publisher);
        }
    }

    /// `allow_duplicate_messages false`: a 3.x client gets one copy, at the highest QoS of the
    /// subscriptions that match [MQTT-3.3.5-1]. MQTT 5.0 clients tell copies apart by identifier.
    fn route_once_each(&mut self, matches: &Matches, routed: Routed) {
        let mut best = std::mem::take(&mut self.best_qos);
        best.clear();
        for &node in &matches.found {
            let mut next = self.subscriptions.first_of(node);
            while let Some(id) = next {
                let subscription = self.subscriptions.get(id);
                next = subscription.next.get();
                let qos = best.entry(subscription.session).or_default();
                *qos = (*qos).max(Some(subscription.options.qos));
            }
        }
        for &node in &matches.found {
            let mut next = self.subscriptions.first_of(node);
            while let Some(id) = next {
                let subscription = self.subscriptions.get(id);
                next = subscription.next.get();
                let session = subscription.session;
                if self.is_kept_from(subscription, routed.publisher) {
                    // With No Local of a time when the client spoke 5.0; another one may bring the
                    // copy.
                    continue;
                }
                if self.sessions.get(session).version == Version::V5 {
                    self.route_to_subscription(id, routed, None);
                } else if let Some(qos) = best.get_mut(&session).and_then(Option::take) {
                    self.route_to_subscription(id, routed, Some(qos));
                }
            }
            self.route_to_groups(node, routed.message, routed.publisher);
        }
        self.best_qos = best;
    }

    /// Delivers a message through a subscription; returns the next one of the filter.
    #[inline]
    fn route_to_subscription(
        &mut self,
        id: SubscriptionId,
        routed: Routed,
        qos: Option<QoS>,
    ) -> Option<SubscriptionId> {
        self.work += 1;
        let subscription = self.subscriptions.get(id);
        let next = subscription.next.get();
        let session_id = subscription.session;
        let options = subscription.options;
        if self.is_kept_from(subscription, routed.publisher) {
            return next;
        }
        let is_bridge = || self.sessions.get(session_id).is_bridge;
        let granted = qos.unwrap_or(options.qos);
        let retain = routed.retain && (options.retain_as_published || is_bridge());
        let delivery = Delivery::new(
            routed.message,
            self.delivered_qos(routed.qos, granted),
            retain,
            subscription.identifier,
        );
        self.deliver_len(session_id, delivery, routed.len);
        next
    }

    /// The smaller of the two QoS, unless the configuration wants it otherwise.
    #[inline]
    pub(super) fn delivered_qos(&self, published: QoS, granted: QoS) -> QoS {
        smaller_qos(self.settings.upgrade_outgoing_qos, published, granted)
    }

    /// Queues a delivery for a session, if its rights and limits allow it.
    pub(super) fn deliver(&mut self, session_id: SessionId, delivery: Delivery) {
        let len = queued_len(self.messages.len_of(delivery.message));
        self.deliver_len(session_id, delivery, len);
    }

    /// The same for a message that counts for `len` bytes in a queue.
    #[inline]
    fn deliver_len(&mut self, session_id: SessionId, delivery: Delivery, len: usize) {
        let session = self.sessions.get(session_id);
        let is_denied = session.rules.is_some() && !self.may_read(session_id, &delivery);
        if session.has_ended || is_denied {
            return;
        }
        let qos = delivery.qos();
        let is_next = self.is_next(session, qos);
        if !is_next && !self.has_room(session, qos, len) {
            self.free_expired(session_id);
            if !self.has_room(self.sessions.get(session_id), qos, len) {
                return self.drop_delivery(session_id, qos == QoS::AtMostOnce);
            }
        }
        self.enqueue(session_id, delivery, is_next, len);
    }

    /// Whether a message would be the next to be sent: for that there is always room, and most
    /// clients take it before another one comes.
    #[inline]
    fn is_next(&self, session: &Session, qos: QoS) -> bool {
        session.connection.is_some()
            && match qos {
                QoS::AtMostOnce => session.flow.queue_qos0.is_empty(),
                _ => session.flow.queue.is_empty() && self.window_has_room(session),
            }
    }

    /// Queues a delivery; what is the next to be sent goes to the window at once.
    #[inline]
    fn enqueue(&mut self, session_id: SessionId, delivery: Delivery, is_next: bool, len: usize) {
        if !self.messages.try_retain(delivery.message) {
            return self.drop_delivery(session_id, delivery.qos() == QoS::AtMostOnce);
        }
        let session = self.sessions.get_mut(session_id);
        let conn = session.connection;
        let ordinal = (session.flow).enqueue(&mut self.deliveries, delivery, is_next, len);
        if let Some(ordinal) = ordinal.filter(|_| self.journal.is_on()) {
            self.note_recipient(session_id, &delivery, ordinal);
        }
        if let Some(conn) = conn {
            self.mark_writable(conn);
        }
    }

    /// Queues as many of some deliveries as go to a client who is here, and may read them, without
    /// a closer look; returns how many. There is no journal.
    pub(super) fn queue_run(
        &mut self,
        session_id: SessionId,
        deliveries: impl Iterator<Item = Delivery>,
    ) -> usize {
        let session = self.sessions.get(session_id);
        let Some(conn) = session.connection else {
            return 0;
        };
        if session.has_ended || self.is_over_memory() {
            return 0;
        }
        let limits = self.window_limits(session);
        let max_output_bytes = self.settings.max_output_bytes as u64;
        let flow = &mut *self.sessions.get_mut(session_id).flow;
        let mut taken = 0;
        for delivery in deliveries {
            let len = queued_len(self.messages.len_of(delivery.message));
            let has_room = if delivery.qos() == QoS::AtMostOnce {
                let queue = &flow.queue_qos0;
                queue.is_empty() || queue.bytes() + len as u64 <= max_output_bytes
            } else {
                flow.queue.is_empty() && flow.has_room(limits, &self.deliveries)
            };
            if !has_room || !self.messages.try_retain(delivery.message) {
                break;
            }
            flow.enqueue(&mut self.deliveries, delivery, true, len);
            taken += 1;
        }
        self.mark_writable(conn);
        taken
    }

    /// Room for one more message: of QoS 0 on a connection by bytes, else by the limits of the
    /// queue.
    #[inline(always)]
    pub(super) fn has_room(&self, session: &Session, qos: QoS, len: usize) -> bool {
        if qos != QoS::AtMostOnce {
            return self.has_room_in_queue(session, len, false);
        }
        if session.connection.is_some() {
            let queue = &session.flow.queue_qos0;
            // One message may be larger than the limit.
            return queue.is_empty()
                || queue.bytes() + len as u64 <= self.settings.max_output_bytes as u64
                    && self.may_wait(session);
        }
        self.settings.queue_qos0_messages
            && self.may_wait(session)
            && self.has_room_in_queue(session, len, true)
    }

    /// What waits at QoS 0 takes no room from the other messages, which it would keep out.
    fn has_room_in_queue(&self, session: &Session, len: usize, is_qos0: bool) -> bool {
        let (max_messages, max_bytes) = (
            self.settings.max_queued_messages,
            self.settings.max_queued_bytes,
        );
        let flow = &*session.flow;
        let (mut waiting, mut bytes) = (flow.queue.len(), flow.queue.bytes());
        if is_qos0 {
            waiting += flow.queue_qos0.len();
            bytes += flow.queue_qos0.bytes();
        }
        // What can be under way at once does not count as queued; to who is away nothing can.
        let limits = self.window_limits(session);
        let has_window = session.connection.is_some()
            && flow.window.in_flight() + waiting < limits.messages
            && (limits.bytes == 0 || flow.window_bytes + bytes < limits.bytes);
        has_window
            || (max_messages == 0 || waiting < max_messages)
                && (max_bytes == 0 || bytes + len as u64 <= max_bytes)
    }

    /// Frees the messages at the front of the queue that have expired [MQTT-3.3.2-5], so that no
    /// fresh ones are dropped for them.
    fn free_expired(&mut self, session_id: SessionId) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(front) = self.sessions.get(session_id).flow.queue.front() else {
                break;
            };
            if !self.has_expired(front) {
                break;
            }
            self.drop_front(session_id);
        }
    }

    /// Whether the message of a delivery has expired.
    pub(super) fn has_expired(&self, delivery: DeliveryId) -> bool {
        let message = self.deliveries.get(delivery).message;
        self.messages.expires_ms(message) < self.now.mono_ms
    }

    /// Drops the message that waits longest in the queue of a session.
    pub(super) fn drop_front(&mut self, session_id: SessionId) {
        let flow = &mut *self.sessions.get_mut(session_id).flow;
        let Some(front) = flow.queue.front() else {
            return;
        };
        let &Delivery {
            message, number, ..
        } = self.deliveries.get(front);
        let len = queued_len(self.messages.len_of(message));
        flow.queue.take(&mut self.deliveries, len);
        let ordinal = flow.ordinal_of_queued(number);
        flow.windowed = ordinal + 1;
        if flow.window.in_flight() == 0 {
            flow.base = flow.windowed;
        }
        flow.sent_count = flow.sent_count.wrapping_add(1);
        self.messages.release(message);
        self.stats.publish_dropped += 1;
        self.record_done(session_id, ordinal);
    }

    /// Whether a session may get the message of a delivery.
    pub(super) fn may_read(&self, session_id: SessionId, delivery: &Delivery) -> bool {
        // A retained message may be on the disk: its topic is in the table.
        match self.messages.is_hot(delivery.message) {
            true => {
                let topic = self.messages.get(delivery.message).topic();
                self.may(session_id, Access::Read, topic)
            }
            false => true,
        }
    }

    fn drop_delivery(&mut self, session_id: SessionId, is_qos0: bool) {
        let session = self.sessions.get_mut(session_id);
        if is_qos0 && session.connection.is_none() {
            // Nobody expects QoS 0 messages to wait for who is away.
            return;
        }
        self.stats.publish_dropped += 1;
        if !std::mem::replace(&mut session.flow.is_dropping, true) {
            let name = session.name();
            log::info!(target: "notice", "Outgoing messages are being dropped for client {name}.");
        }
    }
}
