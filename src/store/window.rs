//! The QoS 1 and 2 deliveries that are under way to one client.
//!
//! Packet identifiers are given out consecutively, so the slot of an identifier follows from the
//! first one; the window slides when its first slot is done. Resending goes through the slots in
//! order [MQTT-4.6.0-1]. Bounds: four bytes a slot; the caller limits how far the window spans.

use super::{Deliveries, DeliveryId, Stage};
use std::collections::VecDeque;

/// Deliveries under way, by packet identifier.
///
/// Invariants: slot `i` has the identifier `first_id + i` (65,535 is followed by 1);
/// `unsent <= slots.len()`; slot `unsent` is not done; `in_flight` slots are not done, `sent` of
/// them lie before slot `unsent`.
#[derive(Debug)]
pub struct Window {
    slots: VecDeque<DeliveryId>,
    first_id: u16,
    unsent: usize,
    in_flight: usize,
    sent: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window {
            slots: VecDeque::new(),
            first_id: 1,
            unsent: 0,
            in_flight: 0,
            sent: 0,
        }
    }
}

const IDS: u32 = 65_535;

fn add(id: u16, distance: usize) -> u16 {
    ((u32::from(id) - 1 + distance as u32) % IDS + 1) as u16
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

    /// How many identifiers lie between the first that is not done and the last one given.
    pub fn span(&self) -> usize {
        self.slots.len()
    }

    /// Takes a delivery in and gives it the next packet identifier.
    pub fn push(&mut self, deliveries: &mut Deliveries, id: DeliveryId) -> u16 {
        let packet_id = add(self.first_id, self.slots.len());
        let delivery = deliveries.get_mut(id);
        delivery.number = packet_id;
        delivery.stage = Stage::Publish;
        self.slots.push_back(id);
        self.in_flight += 1;
        packet_id
    }

    /// The delivery with this packet identifier, unless it is done or was not sent on this
    /// connection: nobody can acknowledge what was not sent.
    pub fn find_sent(&self, deliveries: &Deliveries, packet_id: u16) -> Option<DeliveryId> {
        let distance = (packet_id != 0).then(|| self.distance(packet_id))?;
        let id = *self
            .slots
            .get(distance)
            .filter(|_| distance < self.unsent)?;
        (deliveries.get(id).stage != Stage::Done).then_some(id)
    }

    /// Marks a delivery as done and slides; calls `free` with each that leaves the window.
    ///
    /// A delivery that is done keeps its entry, not its message, until it leaves.
    pub fn finish(
        &mut self,
        deliveries: &mut Deliveries,
        id: DeliveryId,
        mut free: impl FnMut(&mut Deliveries, DeliveryId),
    ) {
        let delivery = deliveries.get_mut(id);
        delivery.stage = Stage::Done;
        self.in_flight -= 1;
        if self.distance(delivery.number) < self.unsent {
            self.sent -= 1;
        }
        while let Some(&first) = self.slots.front() {
            if deliveries.get(first).stage != Stage::Done {
                break;
            }
            self.slots.pop_front();
            self.first_id = add(self.first_id, 1);
            self.unsent = self.unsent.saturating_sub(1);
            free(deliveries, first);
        }
        self.skip_done(deliveries);
    }

    /// The first slot at or behind `at` that has something to send, counted from the first that was
    /// not sent on this connection; and how many slots to pass with it.
    pub fn next_unsent(&self, deliveries: &Deliveries, at: usize) -> Option<(DeliveryId, usize)> {
        let rest = self.slots.iter().skip(self.unsent + at);
        let (passed, &id) = rest
            .enumerate()
            .find(|(_, id)| deliveries.get(**id).stage != Stage::Done)?;
        Some((id, passed + 1))
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

    /// How far behind the first slot an identifier lies.
    fn distance(&self, packet_id: u16) -> usize {
        ((u32::from(packet_id) + IDS - u32::from(self.first_id)) % IDS) as usize
    }

    fn skip_done(&mut self, deliveries: &Deliveries) {
        let is_done = |id: &DeliveryId| deliveries.get(*id).stage == Stage::Done;
        while self.slots.get(self.unsent).is_some_and(is_done) {
            self.unsent += 1;
        }
    }

    /// Everything under way, in order, also what is done.
    pub fn iter(&self) -> impl Iterator<Item = DeliveryId> + '_ {
        self.slots.iter().copied()
    }
}
