//! The QoS 1 and 2 deliveries that are under way to one client.
//!
//! Packet identifiers are given when a delivery is queued, one after the other, so they ascend
//! through the slots; the window slides when its first slot is done. An identifier is missing where
//! a delivery was dropped while it waited. Resending goes through the slots in order
//! [MQTT-4.6.0-1]. Bounds: four bytes a slot; the caller limits how far the window spans.

use super::{Deliveries, Delivery, DeliveryId, Stage};
use crate::wire::QoS;
use std::collections::VecDeque;

/// Deliveries under way, by packet identifier.
///
/// Invariants: identifiers ascend from slot to slot (65,535 is followed by 1) and span less than
/// 65,535; `unsent <= slots.len()`; slot `unsent` is not done; `in_flight` slots are not done,
/// `sent` of them lie before slot `unsent`.
#[derive(Debug, Default)]
pub struct Window {
    slots: VecDeque<DeliveryId>,
    unsent: usize,
    in_flight: usize,
    sent: usize,
}

const IDS: u32 = 65_535;

/// How far behind packet identifier `first`, which is not 0, another one lies.
#[inline]
pub fn distance(first: u16, packet_id: u16) -> u16 {
    let around = if packet_id < first { IDS } else { 0 };
    (u32::from(packet_id) + around - u32::from(first)) as u16
}

impl Window {
    /// A window with nothing in it.
    pub const fn new() -> Window {
        Window {
            slots: VecDeque::new(),
            unsent: 0,
            in_flight: 0,
            sent: 0,
        }
    }

    /// How many deliveries are not done.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many of these were sent on this connection.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// The packet identifier of the first slot.
    #[inline]
    pub fn first(&self, deliveries: &Deliveries) -> Option<u16> {
        self.slots.front().map(|&id| deliveries.get(id).number)
    }

    /// Takes a delivery in that has its packet identifier, behind those of all others.
    pub fn push(&mut self, id: DeliveryId) {
        self.slots.push_back(id);
        self.in_flight += 1;
    }

    /// The delivery with this packet identifier, unless it is done.
    pub fn find(&self, deliveries: &Deliveries, packet_id: u16) -> Option<DeliveryId> {
        let id = *self.slots.get(self.slot_of(deliveries, packet_id)?)?;
        (deliveries.get(id).stage != Stage::Done).then_some(id)
    }

    /// The same, unless it was not sent on this connection: nobody can acknowledge what was not.
    #[inline(always)]
    pub fn find_sent(&self, deliveries: &Deliveries, packet_id: u16) -> Option<DeliveryId> {
        // Most acknowledge in the order in which they were sent to.
        let &first = self.slots.front()?;
        let is_first = self.unsent > 0 && deliveries.get(first).number == packet_id;
        match is_first {
            true => Some(first),
            false => self.find_behind(deliveries, packet_id),
        }
    }

    fn find_behind(&self, deliveries: &Deliveries, packet_id: u16) -> Option<DeliveryId> {
        let slot = self.slot_of(deliveries, packet_id)?;
        let id = *self.slots.get(slot).filter(|_| slot < self.unsent)?;
        (deliveries.get(id).stage != Stage::Done).then_some(id)
    }

    /// Whether this is the first delivery of the window.
    #[inline]
    pub fn is_first(&self, id: DeliveryId) -> bool {
        self.slots.front() == Some(&id)
    }

    /// Marks a delivery as done and slides: frees each that leaves the window, and returns the
    /// identifier of the first that stays.
    ///
    /// A delivery that is done keeps its entry, not its message, until it leaves.
    #[inline(always)]
    pub fn finish(&mut self, deliveries: &mut Deliveries, id: DeliveryId) -> Option<u16> {
        self.in_flight -= 1;
        if !self.is_first(id) {
            self.finish_behind(deliveries, id);
            return self.first(deliveries);
        }
        self.sent -= usize::from(self.unsent > 0);
        let is_unsent = self.unsent == 0;
        let mut first = id;
        let next = loop {
            self.slots.pop_front();
            self.unsent = self.unsent.saturating_sub(1);
            deliveries.remove(first);
            let Some(&next) = self.slots.front() else {
                break None;
            };
            let delivery = deliveries.get(next);
            if !self.has_done() || delivery.stage != Stage::Done {
                break Some(delivery.number);
            }
            first = next;
        };
        if is_unsent {
            self.skip_done(deliveries);
        }
        next
    }

    /// The short way for most deliveries: finishes the first one, if it has this packet identifier,
    /// was sent, waits for just that, and nothing behind it is done yet.
    #[inline]
    pub fn finish_first(
        &mut self,
        deliveries: &mut Deliveries,
        packet_id: u16,
        awaited: (QoS, Stage),
    ) -> Option<Delivery> {
        let &first = self.slots.front()?;
        let delivery = deliveries.get(first);
        let is_it = delivery.number == packet_id && (delivery.qos(), delivery.stage) == awaited;
        if !is_it || self.unsent == 0 || self.has_done() {
            return None;
        }
        self.slots.pop_front();
        self.unsent -= 1;
        self.sent -= 1;
        self.in_flight -= 1;
        Some(deliveries.remove(first))
    }

    /// The same for one that is not the first.
    fn finish_behind(&mut self, deliveries: &mut Deliveries, id: DeliveryId) {
        let delivery = deliveries.get_mut(id);
        delivery.stage = Stage::Done;
        let number = delivery.number;
        let slot = self.slot_of(deliveries, number);
        if slot.is_some_and(|slot| slot < self.unsent) {
            self.sent -= 1;
        }
        self.skip_done(deliveries);
    }

    /// The first slot at or behind `at` that has something to send, counted from the first that was
    /// not sent on this connection; and how many slots to pass with it.
    #[inline]
    pub fn next_unsent(&self, deliveries: &Deliveries, at: usize) -> Option<(DeliveryId, usize)> {
        let first = self.unsent + at;
        let mut slot = first;
        loop {
            let &id = self.slots.get(slot)?;
            slot += 1;
            if deliveries.get(id).stage != Stage::Done {
                return Some((id, slot - first));
            }
        }
    }

    /// Remembers that the first slot that [`Window::next_unsent`] finds was sent; returns it.
    #[inline]
    pub fn advance(&mut self, deliveries: &Deliveries) -> Option<DeliveryId> {
        let &id = self.slots.get(self.unsent)?;
        self.unsent += 1;
        self.sent += 1;
        if self.has_done() {
            self.skip_done(deliveries);
        }
        Some(id)
    }

    /// Starts over: everything that is not done is to be sent again on a new connection.
    pub fn rewind(&mut self) {
        (self.unsent, self.sent) = (0, 0);
    }

    /// The slot of a packet identifier: mostly it lies as far behind the first slot as the
    /// identifier does, sometimes nearer.
    #[inline]
    fn slot_of(&self, deliveries: &Deliveries, packet_id: u16) -> Option<usize> {
        let first = self.first(deliveries)?;
        let wanted = distance(first, packet_id);
        let far_of = |id: &DeliveryId| distance(first, deliveries.get(*id).number);
        let guess = usize::from(wanted);
        if packet_id == 0 {
            return None;
        }
        if self.slots.get(guess).is_some_and(|id| far_of(id) == wanted) {
            return Some(guess);
        }
        self.slots.binary_search_by_key(&wanted, far_of).ok()
    }

    /// Whether some are done already that are not the first: they stay until those before are.
    #[inline]
    fn has_done(&self) -> bool {
        self.in_flight < self.slots.len()
    }

    fn skip_done(&mut self, deliveries: &Deliveries) {
        let is_done = |id: &DeliveryId| deliveries.get(*id).stage == Stage::Done;
        while self.slots.get(self.unsent).is_some_and(is_done) {
            self.unsent += 1;
        }
    }

    /// Takes the first of all under way out, for good: the session has ended.
    pub fn pop(&mut self) -> Option<DeliveryId> {
        self.slots.pop_front()
    }

    /// Everything under way, in order, also what is done.
    pub fn iter(&self) -> impl Iterator<Item = DeliveryId> + '_ {
        self.slots.iter().copied()
    }
}
