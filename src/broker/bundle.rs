//! Bundles: QoS 0 messages of one publisher to one topic that go out as one run of bytes.
//!
//! A plain QoS 0 packet goes out as it came. So a run of them to one topic is kept as one body and
//! queued as one delivery, and who gets it pays for one copy, not for each message: with a hundred
//! subscribers 330 instructions per message became 30, with a hundred pairs 421 became 208. Whoever
//! cannot take the bytes as they are (an identifier or an alias is to be put in, a packet is too
//! large, the queue has room for some of them only) gets each message by itself, as in any
//! [burst](super::burst).
//!
//! A bundle counts in queues for what its messages would, and leaves them as a whole. Bounds: what
//! a burst has, and 8 KiB.

use super::Broker;
use super::burst::MESSAGES_MAX;
use super::publish::Publisher;
use super::route::queued_len;
use super::session::SessionId;
use super::subscriptions::SubscriptionId;
use crate::auth::Access;
use crate::store::{Delivery, DeliveryId, MessageId, Tally};
use crate::wire::{Plain, QoS, Version};

/// Bytes of a bundle as it came; the body with all that belongs to it takes 8 KiB, also where each
/// packet is two bytes longer with 5.0.
const BYTES_MAX: usize = 8 * 1024 - 64 - 2 * MESSAGES_MAX;
/// Bytes of a packet in a bundle: what is larger costs more than to be looked at alone.
const PACKET_MAX: usize = 1024;
/// So many messages of a bundle cost as much as one delivery.
const PER_WORK: usize = 16;

/// What waits to be delivered as a bundle: only while one read is looked through.
#[derive(Default)]
pub(super) struct Bundle {
    /// The packets as they came.
    packets: Vec<u8>,
    /// The same packets for the other kind of version, while a body is made of them.
    other: Vec<u8>,
    tally: Tally,
    /// What they count for in a queue.
    queued_len: usize,
    /// Bytes of the largest.
    largest: usize,
    /// The body for clients of 3.x, and that for 5.0, where somebody needed it.
    bodies: [Option<MessageId>; 2],
    /// The messages by themselves, where somebody needed them.
    singles: Vec<(MessageId, QoS)>,
}

/// Which of the two bodies it is.
fn kind(version: Version) -> usize {
    usize::from(version == Version::V5)
}

impl Bundle {
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.tally.messages as usize
    }

    fn push(&mut self, plain: &Plain<'_>) {
        let (topic, payload) = (plain.topic().len(), plain.payload().len());
        self.packets.extend_from_slice(plain.packet);
        self.tally.messages += 1;
        self.tally.payload_bytes += payload as u32;
        self.queued_len += queued_len(topic + payload);
        self.largest = self.largest.max(plain.packet.len());
    }

    /// Takes everything out; the memory stays for the next one.
    fn clear(&mut self) {
        self.packets.clear();
        self.other.clear();
        self.singles.clear();
        (self.tally, self.queued_len, self.largest) = (Tally::default(), 0, 0);
        self.bodies = [None; 2];
    }
}

impl Broker {
    /// Takes a plain QoS 0 message whose topic's matches are at hand, to be delivered with the next
    /// ones; `false` if it is one for the usual way.
    #[inline]
    pub(super) fn take_qos0(&mut self, session: SessionId, plain: &Plain<'_>) -> bool {
        if self.burst.max == 0 {
            self.open_burst();
        }
        let is_small = plain.packet.len() <= PACKET_MAX;
        // Only to those who are here, and at QoS 0.
        let settings = &self.settings;
        let is_other = settings.queue_qos0_messages || settings.upgrade_outgoing_qos;
        if self.burst.max <= 1 || !is_small || is_other {
            return false;
        }
        let is_full = self.burst.bundle.packets.len() + plain.packet.len() > BYTES_MAX;
        if is_full || !self.burst.messages.is_empty() {
            self.deliver_waiting(session);
        }
        self.burst.bundle.push(plain);
        if self.burst.bundle.len() >= self.burst.max {
            self.deliver_bundle(session);
        }
        true
    }

    /// Delivers what waits, which is something. Nothing in a run of packets ends the session of who
    /// sends them.
    pub(super) fn deliver_bundle(&mut self, publisher: SessionId) {
        let mut bundle = std::mem::take(&mut self.burst.bundle);
        let before = self.work;
        let mut next = (self.burst.node).and_then(|node| self.subscriptions.first_of(node));
        while let Some(id) = next {
            next = self.bundle_to_subscription(id, publisher, &mut bundle);
        }
        self.limit_burst((self.work - before).div_ceil(bundle.len()));
        let singles = bundle.singles.iter().map(|&(message, _)| message);
        for message in bundle.bodies.into_iter().flatten().chain(singles) {
            self.messages.release(message);
        }
        bundle.clear();
        self.burst.bundle = bundle;
    }

    /// Delivers the messages through a subscription; returns the next one of the filter.
    fn bundle_to_subscription(
        &mut self,
        id: SubscriptionId,
        publisher: SessionId,
        bundle: &mut Bundle,
    ) -> Option<SubscriptionId> {
        let version = self.sessions.get(publisher).version;
        let subscription = self.subscriptions.get(id);
        let next = subscription.next.get();
        if self.is_kept_from(subscription, Publisher::Session(publisher)) {
            return next;
        }
        let (session, identifier) = (subscription.session, subscription.identifier);
        if identifier == 0 && self.queue_bundle(session, version, bundle) {
            self.work += 1 + bundle.len() / PER_WORK;
            return next;
        }
        if bundle.singles.is_empty() {
            for plain in Plain::each(version, &bundle.packets) {
                let message = self.messages.insert_plain(&plain);
                bundle.singles.push((message, QoS::AtMostOnce));
            }
        }
        self.burst_to_subscription(id, Publisher::Session(publisher), &bundle.singles)
    }

    /// Queues the bundle for a session, or nothing if the client may not read the topic; `false` if
    /// each message is to be looked at alone.
    fn queue_bundle(&mut self, id: SessionId, version: Version, bundle: &mut Bundle) -> bool {
        let session = self.sessions.get(id);
        let listener = &self.settings.listeners[usize::from(session.listener)];
        let Some(conn) = session.connection.filter(|_| !session.has_ended) else {
            return false;
        };
        let is_usual = self.connections.get(conn.index()).is_some_and(|conn| {
            // With 5.0 a packet may be two bytes longer: for the length of its properties, and
            // where that makes its own length take another byte.
            !conn.has_outbound_aliases() && conn.max_packet_size as usize >= bundle.largest + 2
        });
        let bytes = session.flow.queue_qos0.bytes() + bundle.queued_len as u64;
        let has_room = bytes <= self.settings.max_output_bytes as u64 && !self.is_over_memory();
        if !is_usual || !has_room || !listener.mount_point.is_empty() || bundle.len() == 1 {
            return false;
        }
        if session.rules.is_some() {
            let topic = Plain::read(version, &bundle.packets).map(|plain| plain.topic());
            if !topic.is_some_and(|topic| self.may(id, Access::Read, topic)) {
                return true;
            }
        }
        let message = self.body_of_bundle(version, session.version, bundle);
        if !self.messages.try_retain(message) {
            return false;
        }
        let flow = &mut *self.sessions.get_mut(id).flow;
        let delivery = Delivery::new(message, QoS::AtMostOnce, false, 0);
        flow.enqueue(&mut self.deliveries, delivery, true, bundle.queued_len);
        self.mark_writable(conn);
        true
    }

    /// The body that goes to clients of a version.
    fn body_of_bundle(&mut self, from: Version, to: Version, bundle: &mut Bundle) -> MessageId {
        if let Some(message) = bundle.bodies[kind(to)] {
            return message;
        }
        let is_other = kind(from) != kind(to);
        if is_other {
            for plain in Plain::each(from, &bundle.packets) {
                plain.publish().encode(to, &mut bundle.other);
            }
        }
        let packets = match is_other {
            true => &bundle.other,
            false => &bundle.packets,
        };
        let len = bundle.queued_len - size_of::<Delivery>();
        let message = (self.messages).insert_bundle(packets, bundle.tally, len);
        #[cfg(test)]
        {
            self.burst.most[1] = self.burst.most[1].max(bundle.len());
        }
        bundle.bodies[kind(to)] = Some(message);
        message
    }

    /// Whether a bundle waits for a client: one is for the connection that it was made for.
    pub(super) fn has_bundle(&self, id: SessionId) -> bool {
        let queue = &self.sessions.get(id).flow.queue_qos0;
        let next_of = |&id: &DeliveryId| self.deliveries.get(id).next();
        std::iter::successors(queue.front(), next_of).any(|id| {
            let message = self.deliveries.get(id).message;
            // No bundle ever gets to the disk.
            self.messages.is_hot(message) && self.messages.get(message).bundle().is_some()
        })
    }
}
