//! What goes to and comes from the client of a session: queues, window, and their numbers.
//!
//! Many clients of a gateway subscribe and never get a message, and most that wait for commands are
//! silent for hours after they came. So a session has no flow before its first message; until then
//! it reads as an empty one. (Measured, bytes per idle connection with a subscription: see the
//! limits of `tests/bench`; a flow takes 240.)

use super::held::Held;
use super::replay::Replay;
use crate::store::journal::{Place, packet_id_of};
use crate::store::window::distance;
use crate::store::{Deliveries, Delivery, DeliveryId, MessageId, Queue, Window};
use crate::wire::QoS;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

/// How far the deliveries in a window may lie apart, so that their identifiers tell them apart.
pub(super) const IDS_IN_USE_MAX: u64 = 65_534;

/// How far packet identifiers may spread beyond a window whose first one is not acknowledged.
const SPAN_PER_WINDOW: usize = 4;

/// How much may be in a window: messages, and their bytes (0 for any number).
#[derive(Clone, Copy)]
pub(super) struct WindowLimits {
    pub(super) messages: usize,
    pub(super) bytes: u64,
}

/// What waits for a client, is under way to it, or comes from it in several steps.
pub(super) struct Flow {
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
    /// Set while messages for it are dropped, so that the log tells once.
    pub(super) is_dropping: bool,
    pub(super) window: Window,
    /// Bytes of the messages in the window.
    pub(super) window_bytes: u64,
    /// QoS 2 messages of the client's that wait for PUBREL.
    pub(super) held: VecDeque<Held>,
    /// No packet identifier of theirs is larger.
    held_max: u16,
    /// Retained messages that are still to be queued for new subscriptions.
    pub(super) replays: VecDeque<Replay>,
}

impl Flow {
    const EMPTY: Flow = Flow {
        queue_qos0: Queue::new(),
        queue: Queue::new(),
        next_ordinal: 1,
        base: 1,
        windowed: 1,
        sent_before: 1,
        send_gate: Place::START,
        release_gate: Place::START,
        queued_count: 0,
        sent_count: 0,
        is_dropping: false,
        window: Window::new(),
        window_bytes: 0,
        held: VecDeque::new(),
        held_max: 0,
        replays: VecDeque::new(),
    };

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

    /// Keeps a QoS 2 message until PUBREL.
    #[inline]
    pub(super) fn hold(&mut self, held: Held) {
        if self.held.is_empty() {
            self.held_max = 0;
        }
        self.held_max = self.held_max.max(held.packet_id);
        self.held.push_back(held);
    }

    /// The message that is held under this packet identifier. Most clients count theirs up, so
    /// that a new one is larger than all.
    #[inline]
    pub(super) fn held_as(&self, packet_id: u16) -> Option<MessageId> {
        if packet_id > self.held_max {
            return None;
        }
        let mut held = self.held.iter();
        Some(held.find(|held| held.packet_id == packet_id)?.message)
    }

    /// Whether the window takes one more message.
    #[inline(always)]
    pub(super) fn has_room(&self, limits: WindowLimits, deliveries: &Deliveries) -> bool {
        let in_flight = self.window.in_flight();
        let has_bytes = limits.bytes == 0 || self.window_bytes < limits.bytes || in_flight == 0;
        let span_max = (limits.messages * SPAN_PER_WINDOW).clamp(64, usize::from(u16::MAX) - 1);
        in_flight < limits.messages
            && has_bytes
            && self.windowed - self.base < span_max as u64
            && self.has_free_id(deliveries)
    }

    /// Whether the next message in the queue does not have the packet identifier of one in the
    /// window: very many may have been dropped between them.
    fn has_free_id(&self, deliveries: &Deliveries) -> bool {
        if self.window.in_flight() == 0 || self.next_ordinal - self.base < IDS_IN_USE_MAX {
            return true;
        }
        let front = self.queue.front().map(|id| deliveries.get(id));
        front.is_none_or(|front| self.ordinal_of_queued(front.number) - self.base < IDS_IN_USE_MAX)
    }

    /// Queues a delivery behind all others; with `is_next` one of QoS 1 or 2 goes to the window at
    /// once. Returns the number that it got then.
    #[inline(always)]
    pub(super) fn enqueue(
        &mut self,
        deliveries: &mut Deliveries,
        mut delivery: Delivery,
        is_next: bool,
        len: usize,
    ) -> Option<u64> {
        // What was dropped is told anew when the queue was empty in between.
        self.is_dropping &= !(self.queue.is_empty() && self.queue_qos0.is_empty());
        if delivery.qos() == QoS::AtMostOnce {
            delivery.number = self.queued_count;
            self.queue_qos0.push(deliveries, delivery, len);
            return None;
        }
        self.queued_count = self.queued_count.wrapping_add(1);
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        delivery.number = packet_id_of(ordinal);
        if is_next {
            let id = deliveries.insert(delivery);
            self.push_to_window(id, ordinal, len);
        } else {
            self.queue.push(deliveries, delivery, len);
        }
        Some(ordinal)
    }

    /// Takes a delivery into the window, behind all others.
    #[inline]
    pub(super) fn push_to_window(&mut self, id: DeliveryId, ordinal: u64, len: usize) {
        if self.window.in_flight() == 0 {
            self.base = ordinal;
        }
        self.window.push(id);
        self.windowed = ordinal + 1;
        self.window_bytes += len as u64;
    }
}

/// A flow that takes memory from its first change on.
#[derive(Default)]
pub(super) struct LazyFlow(Option<Box<Flow>>);

impl LazyFlow {
    /// The flow, if it was ever changed.
    pub(super) fn existing(&mut self) -> Option<&mut Flow> {
        self.0.as_deref_mut()
    }
}

impl Deref for LazyFlow {
    type Target = Flow;

    #[inline(always)]
    fn deref(&self) -> &Flow {
        static EMPTY: Flow = Flow::EMPTY;
        self.0.as_deref().unwrap_or(&EMPTY)
    }
}

impl DerefMut for LazyFlow {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Flow {
        self.0.get_or_insert_with(new_flow)
    }
}

#[cold]
fn new_flow() -> Box<Flow> {
    Box::new(Flow::EMPTY)
}
