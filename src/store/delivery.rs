//! Deliveries: which message waits for which session, and how.
//!
//! Sixteen bytes each, in one array with a free list; queues are linked through it.

use super::{MessageId, grow};
use crate::wire::{Publish, QoS};

/// A delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryId(u32);

const NONE: u32 = u32::MAX;

/// How far a QoS 1 or 2 delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// PUBLISH waits to be sent, or for PUBACK or PUBREC.
    Publish,
    /// PUBREC came: PUBREL waits to be sent, or for PUBCOMP.
    Released,
    /// The handshake is over.
    Done,
}

/// One message for one session, through one subscription.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// The message; the delivery counts as one of its holders.
    pub message: MessageId,
    next: u32,
    /// Subscription Identifier (28 bits, 0 for none), QoS (2), RETAIN (1), sent before (1).
    meta: u32,
    /// In a window: Packet Identifier. In a queue: a number that tells the order of arrival.
    pub number: u16,
    /// In a window: how far it is.
    pub stage: Stage,
}

const _: () = assert!(size_of::<Delivery>() == 16);

const SUBSCRIPTION_ID: u32 = (1 << 28) - 1;
const QOS_SHIFT: u32 = 28;
/// In place of QoS 1: the same, and the message may have been sent in an earlier life.
const DOUBTFUL: u32 = 3;
const RETAIN: u32 = 1 << 30;
const SENT: u32 = 1 << 31;

/// The first byte of a PUBLISH for each value of the upper four bits of `meta`.
static FIRST_BYTES: [u8; 16] = {
    let mut bytes = [0; 16];
    let mut bits = 0;
    while bits < 16 {
        let (is_sent, retain) = (bits & 8 != 0, bits & 4 != 0);
        let (qos, is_again) = match bits as u32 & 3 {
            0 => (QoS::AtMostOnce, false),
            1 => (QoS::AtLeastOnce, is_sent),
            2 => (QoS::ExactlyOnce, is_sent),
            _ => (QoS::AtLeastOnce, true),
        };
        bytes[bits] = Publish::first_byte(is_again, qos, retain);
        bits += 1;
    }
    bytes
};

impl Delivery {
    /// A delivery that is in no queue yet.
    pub fn new(message: MessageId, qos: QoS, retain: bool, subscription_id: u32) -> Delivery {
        let retain = if retain { RETAIN } else { 0 };
        let meta = subscription_id & SUBSCRIPTION_ID | (qos as u32) << QOS_SHIFT | retain;
        Delivery {
            message,
            next: NONE,
            meta,
            number: 0,
            stage: Stage::Publish,
        }
    }

    /// The first byte of its PUBLISH; DUP is set if that was or may have been sent before.
    #[inline]
    pub fn first_byte(&self) -> u8 {
        FIRST_BYTES[(self.meta >> QOS_SHIFT) as usize]
    }

    /// The QoS it is delivered with.
    pub fn qos(&self) -> QoS {
        match self.meta >> QOS_SHIFT & 3 {
            0 => QoS::AtMostOnce,
            2 => QoS::ExactlyOnce,
            _ => QoS::AtLeastOnce,
        }
    }

    /// The delivery behind it in its queue.
    #[inline]
    pub fn next(&self) -> Option<DeliveryId> {
        (self.next != NONE).then_some(DeliveryId(self.next))
    }

    /// The RETAIN flag it is delivered with.
    pub fn retain(&self) -> bool {
        self.meta & RETAIN != 0
    }

    /// The identifier of the subscription it comes through.
    pub fn subscription_id(&self) -> Option<u32> {
        Some(self.meta & SUBSCRIPTION_ID).filter(|&id| id != 0)
    }

    /// Whether the PUBLISH was sent before.
    pub fn was_sent(&self) -> bool {
        self.meta & SENT != 0
    }

    /// Whether the PUBLISH was or may have been sent before, so that it carries DUP now.
    pub fn is_again(&self) -> bool {
        self.was_sent() || self.meta >> QOS_SHIFT & 3 == DOUBTFUL
    }

    /// Remembers that nobody knows whether the PUBLISH was sent, if it is one of QoS 1.
    pub fn set_doubtful(&mut self) {
        if self.qos() == QoS::AtLeastOnce {
            self.meta |= DOUBTFUL << QOS_SHIFT;
        }
    }

    /// Remembers that the PUBLISH was sent.
    pub fn set_sent(&mut self) {
        self.meta |= SENT;
    }
}

/// All deliveries of all sessions.
pub struct Deliveries {
    entries: Vec<Delivery>,
    /// The first of the free entries, which are linked through `next`.
    free: u32,
    count: usize,
}

impl Default for Deliveries {
    fn default() -> Deliveries {
        Deliveries {
            entries: Vec::new(),
            free: NONE,
            count: 0,
        }
    }
}

impl Deliveries {
    /// Keeps a delivery.
    #[inline]
    pub fn insert(&mut self, delivery: Delivery) -> DeliveryId {
        self.count += 1;
        let id = self.free;
        let Some(entry) = self.entries.get_mut(id as usize) else {
            grow::push(&mut self.entries, delivery);
            return DeliveryId(self.entries.len() as u32 - 1);
        };
        self.free = entry.next;
        *entry = delivery;
        DeliveryId(id)
    }

    /// A delivery.
    #[inline]
    pub fn get(&self, id: DeliveryId) -> &Delivery {
        &self.entries[id.0 as usize]
    }

    /// A delivery, to change.
    #[inline]
    pub fn get_mut(&mut self, id: DeliveryId) -> &mut Delivery {
        &mut self.entries[id.0 as usize]
    }

    /// Frees a delivery that is in no queue; its message is the caller's to release.
    #[inline]
    pub fn remove(&mut self, id: DeliveryId) -> Delivery {
        let entry = &mut self.entries[id.0 as usize];
        let delivery = *entry;
        entry.next = std::mem::replace(&mut self.free, id.0);
        self.count -= 1;
        if self.count == 0 {
            // Nothing is left: give the memory of a burst back, but not that of the daily work.
            self.entries.clear();
            self.entries.shrink_to(16 * 1024);
            self.free = NONE;
        }
        delivery
    }

    /// How many deliveries there are.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// A first-in-first-out queue of deliveries.
///
/// Invariant: with `count` at 0 `head` and `tail` mean nothing, else so many entries lie between.
#[derive(Debug, Default)]
pub struct Queue {
    head: u32,
    tail: u32,
    count: u32,
    bytes: u64,
}

impl Queue {
    /// An empty queue.
    pub const fn new() -> Queue {
        Queue {
            head: 0,
            tail: 0,
            count: 0,
            bytes: 0,
        }
    }

    /// Appends a delivery whose message has `len` bytes.
    #[inline]
    pub fn push(&mut self, deliveries: &mut Deliveries, delivery: Delivery, len: usize) {
        let DeliveryId(id) = deliveries.insert(delivery);
        match self.count {
            0 => self.head = id,
            _ => deliveries.entries[self.tail as usize].next = id,
        }
        self.tail = id;
        self.count += 1;
        self.bytes += len as u64;
    }

    /// The delivery that waits longest.
    pub fn front(&self) -> Option<DeliveryId> {
        (self.count > 0).then_some(DeliveryId(self.head))
    }

    /// Takes the delivery that waits longest out of the queue, without freeing it; its message has
    /// `len` bytes.
    pub fn pop(&mut self, deliveries: &mut Deliveries, len: usize) -> Option<DeliveryId> {
        let head = self.front()?;
        self.head = std::mem::replace(&mut deliveries.get_mut(head).next, NONE);
        self.count -= 1;
        self.bytes -= len as u64;
        Some(head)
    }

    /// Takes the delivery that waits longest out of the queue and frees it; its message, of `len`
    /// bytes, is the caller's to release.
    #[inline]
    pub fn take(&mut self, deliveries: &mut Deliveries, len: usize) -> Option<Delivery> {
        let delivery = deliveries.remove(self.front()?);
        self.head = delivery.next;
        self.count -= 1;
        self.bytes -= len as u64;
        Some(delivery)
    }

    /// How many deliveries wait.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes their messages have.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
