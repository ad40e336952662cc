//! The QoS 1 and 2 deliveries that are under way to one client.
//!
//! Packet identifiers are given when a delivery is queued, one after the other, so they ascend
//! through the slots; the window slides when its first slot is done. An identifier is missing where
//! a delivery was dropped while it waited. Resending goes through the slots in order
//! [MQTT-4.6.0-1]. Bounds: four bytes a slot; the caller limits how far the window spans.

use super::{Deliveries, DeliveryId, Stage};
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
    /// How many deliveries are not done.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many of these were sent on this connection.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// How many identifiers lie between the first that is not done and the last one.
    #[inline]
    pub fn span(&self, deliveries: &Deliveries) -> usize {
        let (Some(first), Some(&last)) = (self.first(deliveries), self.slots.back()) else {
            return 0;
        };
        usize::from(distance(first, deliveries.get(last).number)) + 1
    }

    /// The packet identifier of the first slot.
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
    #[inline]
    pub fn find_sent(&self, deliveries: &Deliveries, packet_id: u16) -> Option<DeliveryId> {
        let slot = self.slot_of(deliveries, packet_id)?;
        let id = *self.slots.get(slot).filter(|_| slot < self.unsent)?;
        (deliveries.get(id).stage != Stage::Done).then_some(id)
    }

    /// Marks a delivery as done and slides; calls `free` with each that leaves the window.
    ///
    /// A delivery that is done keeps its entry, not its message, until it leaves.
    #[inline]
    pub fn finish(
        &mut self,
        deliveries: &mut Deliveries,
        id: DeliveryId,
        mut free: impl FnMut(&mut Deliveries, DeliveryId),
    ) {
        let delivery = deliveries.get_mut(id);
        delivery.stage = Stage::Done;
        let number = delivery.number;
        self.in_flight -= 1;
        let slot = match self.slots.front() {
            Some(&first) if first == id => Some(0),
            _ => self.slot_of(deliveries, number),
        };
        if slot.is_some_and(|slot| slot < self.unsent) {
            self.sent -= 1;
        }
        while let Some(&first) = self.slots.front() {
            if deliveries.get(first).stage != Stage::Done {
                break;
            }
            self.slots.pop_front();
            self.unsent = self.unsent.saturating_sub(1);
            free(deliveries, first);
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

    /// Remembers that the first slot that [`Window::next_unsent`] finds was sent.
    pub fn advance(&mut self, deliveries: &Deliveries) {
        if self.unsent < self.slots.len() {
            self.unsent += 1;
            self.sent += 1;
            self.skip_done(deliveries);
        }
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
