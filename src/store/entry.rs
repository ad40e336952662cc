//! What stays in memory of every message, hot or cold: sixteen bytes.
//!
//! A million queued messages are a million of these, so the fields are packed by hand into two
//! numbers. `what` has eight flags, and above them the body's slot while the message is hot, else
//! segment (32 bits) and offset (24) of its record. `count` has the length of the body (28 bits, as
//! MQTT's), the holders (22) and what the record is longer than the body, in sixteens (14).

use super::grow;
use super::journal::Place;
use crate::wire::QoS;

/// A message's entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    what: u64,
    count: u64,
}

const _: () = assert!(size_of::<Entry>() == 16);

const QOS: u64 = 3;
const RETAIN: u64 = 1 << 2;
/// The body is in memory.
const HOT: u64 = 1 << 3;
/// The journal has it.
const RECORDED: u64 = 1 << 4;
/// The body is in another record than the one that says who gets it.
const APART: u64 = 1 << 5;
const OCCUPIED: u64 = 1 << 6;
const FLAGS: u32 = 8;

const LEN_BITS: u32 = 28;
const HOLDERS_SHIFT: u32 = LEN_BITS;
const HOLDERS_BITS: u32 = 22;
const EXTRA_SHIFT: u32 = LEN_BITS + HOLDERS_BITS;
const EXTRA_MAX: u64 = (1 << 14) - 1;
const ONE_HOLDER: u64 = 1 << HOLDERS_SHIFT;
const HOLDERS: u64 = ((1 << HOLDERS_BITS) - 1) << HOLDERS_SHIFT;
const LEN: u64 = (1 << LEN_BITS) - 1;
/// Holders that deliveries may be, four million: some room is left for the broker's own.
const SHARED_MAX: u64 = HOLDERS - 64 * ONE_HOLDER;

impl Entry {
    /// The entry of a hot message that has one holder.
    pub fn new(body: u32, len: u32, qos: QoS, retain: bool) -> Entry {
        let retain = if retain { RETAIN } else { 0 };
        Entry {
            what: u64::from(body) << FLAGS | OCCUPIED | HOT | retain | qos as u64,
            // A mount point may make a body longer than a packet can be: what counts is the same
            // when it comes and when it goes.
            count: u64::from(len).min(LEN) | ONE_HOLDER,
        }
    }

    /// The entry of a message that has one holder, and no body yet.
    pub fn reserved(len: u32, qos: QoS, retain: bool) -> Entry {
        let mut entry = Entry::new(0, len, qos, retain);
        entry.set(HOT, false);
        entry
    }

    /// The entry of a cold message that has no holder yet.
    pub fn cold(place: Place, len: u32, qos: QoS, retain: bool) -> Entry {
        let mut entry = Entry::new(0, len, qos, retain);
        entry.count -= ONE_HOLDER;
        entry.set(HOT, false);
        entry.set(RECORDED, true);
        entry.set_upper(pack(place));
        entry
    }

    pub fn is_occupied(&self) -> bool {
        self.what & OCCUPIED != 0
    }

    pub fn qos(&self) -> QoS {
        QoS::from_bits((self.what & QOS) as u8).unwrap_or_default()
    }

    pub fn retain(&self) -> bool {
        self.what & RETAIN != 0
    }

    #[inline]
    pub fn is_hot(&self) -> bool {
        self.what & HOT != 0
    }

    pub fn is_recorded(&self) -> bool {
        self.what & RECORDED != 0
    }

    pub fn is_apart(&self) -> bool {
        self.what & APART != 0
    }

    /// The body's slot; of a hot message only.
    #[inline]
    pub fn body(&self) -> u32 {
        (self.what >> FLAGS) as u32
    }

    /// Where its record is; of a cold message only.
    pub fn place(&self) -> Place {
        let packed = self.what >> FLAGS;
        Place::new((packed >> 24) as u32, (packed & 0xff_ffff) as u32)
    }

    #[inline]
    pub fn len(&self) -> u32 {
        (self.count & LEN) as u32
    }

    pub fn holders(&self) -> u32 {
        ((self.count & HOLDERS) >> HOLDERS_SHIFT) as u32
    }

    /// Bytes of its records, rounded up; 0 if there are none.
    pub fn record_len(&self) -> u32 {
        match self.is_recorded() {
            true => self.len() + ((self.count >> EXTRA_SHIFT) * 16) as u32,
            false => 0,
        }
    }

    /// Counts one holder more, unless there are as many as clients may cause.
    #[inline]
    pub fn try_add_reference(&mut self) -> bool {
        let has_room = self.count & HOLDERS < SHARED_MAX;
        self.count += u64::from(has_room) * ONE_HOLDER;
        has_room
    }

    #[inline]
    pub fn add_reference(&mut self) {
        assert!(self.count & HOLDERS != HOLDERS, "too many holders");
        self.count += ONE_HOLDER;
    }

    /// Counts one holder less; whether it was the last.
    #[inline]
    pub fn remove_reference(&mut self) -> bool {
        debug_assert!(self.count & HOLDERS != 0);
        self.count -= ONE_HOLDER;
        self.count & HOLDERS == 0
    }

    /// Notes how long its records are together.
    pub fn set_recorded(&mut self, record_len: u32, is_apart: bool) {
        self.set(RECORDED, true);
        self.set(APART, is_apart);
        let extra = u64::from(record_len.saturating_sub(self.len()).div_ceil(16)).min(EXTRA_MAX);
        self.count = self.count & (LEN | HOLDERS) | extra << EXTRA_SHIFT;
    }

    pub fn set_unrecorded(&mut self) {
        self.set(RECORDED | APART, false);
        self.count &= LEN | HOLDERS;
    }

    /// The body went; it can be read from there.
    pub fn set_cold(&mut self, place: Place) {
        self.set(HOT, false);
        self.set_upper(pack(place));
    }

    /// The body is back.
    pub fn set_hot(&mut self, body: u32) {
        self.set(HOT, true);
        self.set_upper(body.into());
    }

    fn set(&mut self, flags: u64, on: bool) {
        self.what = if on {
            self.what | flags
        } else {
            self.what & !flags
        };
    }

    fn set_upper(&mut self, value: u64) {
        self.what = self.what & ((1 << FLAGS) - 1) | value << FLAGS;
    }
}

/// A record begins in the first 16 MiB of its segment: larger segments have one record.
fn pack(place: Place) -> u64 {
    debug_assert!(place.offset() < 1 << 24);
    u64::from(place.segment()) << 24 | u64::from(place.offset() & 0xff_ffff)
}

/// All entries by slot; free slots are linked through `what`.
#[derive(Default)]
pub(super) struct Slots {
    entries: Vec<Entry>,
    free: Option<u32>,
    count: usize,
}

impl Slots {
    #[inline]
    pub fn get(&self, slot: u32) -> &Entry {
        let entry = &self.entries[slot as usize];
        debug_assert!(entry.is_occupied());
        entry
    }

    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot as usize]
    }

    /// The entry, if there is one.
    pub fn find(&self, slot: u32) -> Option<&Entry> {
        self.entries
            .get(slot as usize)
            .filter(|entry| entry.is_occupied())
    }

    pub fn insert(&mut self, entry: Entry) -> u32 {
        self.count += 1;
        let Some(slot) = self.free else {
            grow::push(&mut self.entries, entry);
            return self.entries.len() as u32 - 1;
        };
        self.free = next_free(&self.entries[slot as usize]);
        self.entries[slot as usize] = entry;
        slot
    }

    pub fn remove(&mut self, slot: u32) {
        self.count -= 1;
        self.vacate(slot);
        if self.count == 0 {
            // Nothing is left: give the memory of a burst back, but not that of the daily work.
            self.entries.clear();
            self.entries.shrink_to(16 * 1024);
            self.free = None;
        }
    }

    fn vacate(&mut self, slot: u32) {
        let next = self.free.map_or(0, |next| u64::from(next) + 1);
        self.entries[slot as usize] = Entry {
            what: next << FLAGS,
            count: 0,
        };
        self.free = Some(slot);
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Puts an entry where the journal had it. Free slots are not linked until
    /// [`Slots::link_free`].
    pub fn put(&mut self, slot: u32, entry: Entry) {
        if self.entries.len() <= slot as usize {
            self.entries.resize(slot as usize + 1, Entry::default());
        }
        self.entries[slot as usize] = entry;
    }

    /// Frees all entries without a holder, links the free slots, the first ones first in line, and
    /// counts; `kept` gets every entry that stays.
    pub fn link_free(&mut self, mut kept: impl FnMut(u32, &Entry)) {
        self.free = None;
        self.count = 0;
        while (self.entries.last()).is_some_and(|entry| entry.holders() == 0) {
            self.entries.pop();
        }
        for slot in (0..self.entries.len() as u32).rev() {
            let entry = self.entries[slot as usize];
            if entry.is_occupied() && entry.holders() > 0 {
                self.count += 1;
                kept(slot, &entry);
            } else {
                self.vacate(slot);
            }
        }
    }
}

fn next_free(entry: &Entry) -> Option<u32> {
    ((entry.what >> FLAGS) as u32).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_cannot_cause_more_holders_than_can_be_counted() {
        let mut entry = Entry::new(0, 1, QoS::AtLeastOnce, true);
        let mut holders = 1;
        while entry.try_add_reference() {
            holders += 1;
        }
        assert_eq!(
            (holders, entry.holders(), entry.len()),
            (holders, holders, 1)
        );
        assert!(holders > 4_000_000);
        entry.add_reference();
        assert!(!entry.try_add_reference());
        assert_eq!(entry.holders(), holders + 1);
    }

    #[test]
    fn a_body_that_is_longer_than_a_packet_counts_as_the_longest() {
        let entry = Entry::new(0, (1 << LEN_BITS) + 7, QoS::AtMostOnce, false);
        assert_eq!((entry.len(), entry.holders()), ((1 << LEN_BITS) - 1, 1));
    }
}
