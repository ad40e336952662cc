//! Messages and the journal: which record a message has, and when its body leaves memory.
//!
//! A body that nobody who is here waits for leaves as soon as it can be read back. The others stay
//! until they are more than the cache may hold; then the oldest leave that nobody looked at since
//! the last round. Bounds: the lists of candidates hold at most twice as many as there are bodies
//! in memory, and a thousand more.

use super::entry::Entry;
use super::journal::{Place, Placed};
use super::message::{Known, MessageId, Messages, NEVER, Rare};
use crate::wire::QoS;

/// Candidates that may be stale.
const STALE_MAX: usize = 1024;

impl Messages {
    /// Notes the record of a hot message. `body` is where its body is, if that is another record,
    /// of `body_len` bytes. With `is_leaving` nobody needs it soon.
    pub fn set_record(
        &mut self,
        id: MessageId,
        placed: Placed,
        apart: Option<Placed>,
        is_leaving: bool,
    ) {
        self.note_record(id, placed, apart);
        let entry = self.slots.get_mut(id.0);
        if !entry.is_hot() {
            entry.set_cold(placed.place);
            return;
        }
        self.bodies.get_mut(entry.body()).place = placed.place;
        let list = match is_leaving {
            true => &mut self.leaving,
            false => &mut self.warm,
        };
        list.push_back((id, placed.place));
        if list.len() > 2 * self.bodies.len() + STALE_MAX {
            self.forget_stale();
        }
    }

    fn note_record(&mut self, id: MessageId, placed: Placed, apart: Option<Placed>) {
        let entry = self.slots.get_mut(id.0);
        let was = entry.record_len();
        if !entry.is_recorded() && entry.is_hot() {
            self.evictable += entry.len() as usize;
        }
        let is_apart = entry.is_apart();
        let len = placed.len + apart.map_or(0, |body| body.len);
        entry.set_recorded(len, apart.is_some());
        self.recorded_bytes += u64::from(entry.record_len());
        self.recorded_bytes -= u64::from(was);
        match apart {
            Some(body) => {
                self.apart.insert(id.0, body.place);
            }
            None if is_apart => {
                self.apart.remove(&id.0);
            }
            None => {}
        }
    }

    /// The journal does not have the message any more; it must be hot.
    pub fn set_unrecorded(&mut self, id: MessageId) {
        let entry = self.slots.get_mut(id.0);
        if !entry.is_recorded() {
            return;
        }
        assert!(entry.is_hot(), "a body would be lost");
        self.recorded_bytes -= u64::from(entry.record_len());
        self.evictable -= entry.len() as usize;
        if entry.is_apart() {
            self.apart.remove(&id.0);
        }
        entry.set_unrecorded();
    }

    /// The message in a slot, if the record at `place` says who gets it.
    pub fn at(&self, slot: u32, place: Place) -> Option<MessageId> {
        self.slots.find(slot)?;
        let id = MessageId(slot);
        (self.place_of(id) == Some(place)).then_some(id)
    }

    /// The message in a slot, if its body is in the record at `place` and that says no more.
    pub fn body_at(&self, slot: u32, place: Place) -> Option<MessageId> {
        let entry = self.slots.find(slot)?;
        let is_there = entry.is_apart() && self.apart.get(&slot) == Some(&place);
        is_there.then_some(MessageId(slot))
    }

    /// The record that says who gets it; `None` if the journal does not have it.
    pub fn place_of(&self, id: MessageId) -> Option<Place> {
        let entry = self.slots.get(id.0);
        let place = match entry.is_hot() {
            true => self.bodies.get(entry.body()).place,
            false => entry.place(),
        };
        entry.is_recorded().then_some(place)
    }

    /// The record that its body can be read from, and at least how many bytes that has.
    pub fn body_place(&self, id: MessageId) -> Option<(Place, u32)> {
        let entry = self.slots.get(id.0);
        let place = match entry.is_apart() {
            true => self.apart.get(&id.0).copied(),
            false => self.place_of(id),
        };
        place.map(|place| (place, entry.record_len()))
    }

    /// Whether the body of a message is to be read from `place`.
    pub fn is_at(&self, id: MessageId, place: Place) -> bool {
        let is_there = self.slots.find(id.0).is_some();
        is_there && self.body_place(id).is_some_and(|(is, _)| is == place)
    }

    /// The body of a cold message is nowhere any more: an empty one, without a topic, stands for
    /// it.
    pub fn lose(&mut self, id: MessageId) {
        let entry = *self.slots.get(id.0);
        self.recorded_bytes -= u64::from(entry.record_len());
        self.cold_bytes -= entry.len() as usize;
        self.apart.remove(&id.0);
        self.expiries.remove(&id.0);
        let (body, message) = self.bodies.take_nothing();
        message.describe((0, 0), (entry.qos(), entry.retain()), Rare::NOTHING);
        let entry = self.slots.get_mut(id.0);
        entry.set_hot(body);
        entry.set_unrecorded();
    }

    /// The body moved to another record; the one that says who gets it stays.
    pub fn move_body(&mut self, id: MessageId, place: Place) {
        self.apart.insert(id.0, place);
    }

    /// Puts the body of a cold message back.
    pub fn warm(&mut self, id: MessageId, topic: &[u8], properties: &[u8], payload: &[u8]) {
        let entry = *self.slots.get(id.0);
        let len = topic.len() + properties.len() + payload.len();
        if entry.is_hot() || len != entry.len() as usize {
            return;
        }
        let place = entry.place();
        let rare = Rare {
            expires_ms: self.expiries.remove(&id.0).unwrap_or(NEVER),
            properties_len: properties.len(),
        };
        let (body, message) = self.bodies.take(len + rare.tail());
        let (into, rest) = message.bytes.split_at_mut(topic.len());
        into.copy_from_slice(topic);
        let (into, rest) = rest.split_at_mut(properties.len());
        into.copy_from_slice(properties);
        rest[..payload.len()].copy_from_slice(payload);
        let flags = (entry.qos(), entry.retain());
        message.describe((len, topic.len()), flags, rare);
        message.want();
        message.place = place;
        self.slots.get_mut(id.0).set_hot(body);
        self.cold_bytes -= len;
        self.evictable += len;
        self.warm.push_back((id, place));
        if self.warm.len() > 2 * self.bodies.len() + STALE_MAX {
            self.forget_stale();
        }
    }

    /// Lets bodies leave memory that can be read back (everything before `written` can), until
    /// those left have at most `cache` bytes.
    pub fn evict(&mut self, cache: usize, written: Place) {
        while let Some(&(id, place)) = self.leaving.front() {
            if place >= written {
                break;
            }
            self.leaving.pop_front();
            self.evict_one(id, place);
        }
        let mut rounds = self.warm.len();
        while self.evictable > cache && rounds > 0 {
            rounds -= 1;
            let Some((id, place)) = self.warm.pop_front() else {
                return;
            };
            if self.at(id.0, place).is_none() {
                continue;
            }
            let entry = self.slots.get(id.0);
            if !entry.is_hot() {
                continue;
            }
            let body = self.bodies.get_mut(entry.body());
            if body.take_wanted() || place >= written {
                self.warm.push_back((id, place));
            } else {
                self.evict_one(id, place);
            }
        }
    }

    fn evict_one(&mut self, id: MessageId, place: Place) {
        if self.at(id.0, place).is_none() || !self.is_hot(id) {
            return;
        }
        let entry = self.slots.get_mut(id.0);
        let slot = entry.body();
        entry.set_cold(place);
        let body = self.bodies.get(slot);
        self.evictable -= body.len();
        self.cold_bytes += body.len();
        if body.expires_ms() != NEVER {
            self.expiries.insert(id.0, body.expires_ms());
        }
        self.bodies.free(slot);
    }

    fn forget_stale(&mut self) {
        let (mut leaving, mut warm) = (
            std::mem::take(&mut self.leaving),
            std::mem::take(&mut self.warm),
        );
        for list in [&mut leaving, &mut warm] {
            list.retain(|&(id, place)| self.at(id.0, place).is_some() && self.is_hot(id));
        }
        (self.leaving, self.warm) = (leaving, warm);
    }

    /// Bytes of bodies that are in memory although the journal has them.
    pub fn evictable_bytes(&self) -> usize {
        self.evictable
    }

    /// Notes a message that the journal told of, cold, without a holder; what the slot had before
    /// is forgotten. `false` for a slot that nobody can have given.
    pub fn restore(&mut self, slot: u32, known: Known) -> bool {
        if slot >= SLOTS_MAX {
            return false;
        }
        let mut entry = Entry::cold(known.placed.place, known.len, known.qos, known.retain);
        entry.set_recorded(known.placed.len, false);
        self.slots.put(slot, entry);
        self.apart.remove(&slot);
        match known.expires_ms {
            Some(expires_ms) => {
                self.expiries.insert(slot, expires_ms);
            }
            None => {
                self.expiries.remove(&slot);
            }
        }
        true
    }

    /// Notes that another record says who gets the message in a slot.
    pub fn restore_release(&mut self, slot: u32, placed: Placed, body: Place) -> bool {
        if slot >= SLOTS_MAX {
            return false;
        }
        // Its body may be told of later, if it was written anew.
        let known = self.slots.find(slot).copied();
        let mut entry = known.unwrap_or(Entry::cold(placed.place, 0, QoS::AtMostOnce, false));
        let len = entry.record_len() + placed.len;
        entry.set_recorded(len, true);
        entry.set_cold(placed.place);
        self.slots.put(slot, entry);
        self.apart.insert(slot, body);
        true
    }

    /// Notes where the body of a message is. Another record says who gets it: it stands before
    /// this one in the log, or behind it, if it was written anew as well.
    pub fn restore_body(&mut self, slot: u32, known: Known) {
        let release = self.slots.find(slot).copied().filter(Entry::is_apart);
        let release_len = release.map_or(0, |old| old.record_len() - old.len());
        if !self.restore(slot, known) {
            return;
        }
        let mut entry = *self.slots.get(slot);
        entry.set_recorded(release_len.min(known.placed.len) + known.placed.len, true);
        // No record stands at the start: without the other one nobody gets the message.
        entry.set_cold(release.map_or(Place::START, |old| old.place()));
        self.slots.put(slot, entry);
        self.apart.insert(slot, known.placed.place);
    }

    /// After everything was told and has its holders: frees the rest.
    pub fn finish_restore(&mut self) {
        let (mut bytes, mut recorded) = (0, 0);
        // A body of which nobody told is nowhere.
        self.slots.link_free(|_, entry| {
            bytes += entry.len() as usize;
            recorded += u64::from(entry.record_len());
        });
        (self.bytes, self.cold_bytes, self.recorded_bytes) = (bytes, bytes, recorded);
        let slots = &self.slots;
        self.expiries.retain(|&slot, _| slots.find(slot).is_some());
        self.apart
            .retain(|&slot, _| slots.find(slot).is_some_and(Entry::is_apart));
        self.expiries.shrink_to_fit();
        self.apart.shrink_to_fit();
    }
}

/// Slots beyond this were never given: sixteen million messages are 256 MB of entries.
const SLOTS_MAX: u32 = 1 << 24;
