//! What the last topic names matched: most publishers use few names over and over.
//!
//! Two slots for each hash value, so that a name is found or not with two looks, and a name that
//! comes only once costs little more than its hash. An answer holds as long as its table has not
//! changed. Bounds: 256 slots of 80 bytes; longer names and longer answers are not remembered.
//! (With one slot for each value, every third of a hundred names pushed another out, again and
//! again; with two it is every twentieth.)

use super::table::NodeId;

const SLOTS: usize = 256;
const NAME_MAX: usize = 48;
const FOUND_MAX: usize = 4;

#[derive(Clone, Copy)]
struct Slot {
    /// Which state of the table it is true for; no table has ever changed 0 times.
    changes: u64,
    /// Other bits of the name's hash than those that say which slot: most names are told apart by
    /// them.
    tag: u32,
    len: u8,
    count: u8,
    name: [u8; NAME_MAX],
    found: [NodeId; FOUND_MAX],
}

impl Slot {
    #[inline]
    fn is_of(&self, changes: u64, name: &[u8]) -> bool {
        self.changes == changes && self.name.get(..usize::from(self.len)) == Some(name)
    }
}

const EMPTY: Slot = Slot {
    changes: 0,
    tag: 0,
    len: 0,
    count: 0,
    name: [0; NAME_MAX],
    found: [NodeId(0); FOUND_MAX],
};

fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The answers.
#[derive(Default)]
pub(super) struct Recent {
    slots: Vec<Slot>,
    /// The slot of the name that was asked for last, if it has one.
    last: usize,
    /// Which of two slots makes room next: 0 or 1.
    turn: usize,
}

impl Recent {
    /// Whether this is the name that was asked for last, and the answer would be the same.
    #[inline]
    pub(super) fn is_last(&self, changes: u64, name: &[u8]) -> bool {
        let slot = self.slots.get(self.last);
        slot.is_some_and(|slot| slot.is_of(changes, name))
    }

    /// What a name matches, if that is known for this state of the table.
    #[inline]
    pub(super) fn get(&mut self, hash: u64, changes: u64, name: &[u8]) -> Option<&[NodeId]> {
        self.last = SLOTS;
        let first = hash as usize % SLOTS;
        let is_it = |&at: &usize| {
            let slot = self.slots.get(at);
            slot.is_some_and(|slot| slot.tag == tag_of(hash) && slot.is_of(changes, name))
        };
        let at = [first, first ^ 1].into_iter().find(is_it)?;
        self.last = at;
        let slot = &self.slots[at];
        Some(&slot.found[..usize::from(slot.count).min(FOUND_MAX)])
    }

    /// Remembers what a name matches.
    pub(super) fn put(&mut self, hash: u64, changes: u64, name: &[u8], found: &[NodeId]) {
        if name.len() > NAME_MAX || found.len() > FOUND_MAX {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, EMPTY);
        }
        // One that holds nothing true any more, or either in turn.
        let first = hash as usize % SLOTS;
        let is_stale = |&at: &usize| self.slots[at].changes != changes;
        let stale = [first, first ^ 1].into_iter().find(is_stale);
        self.turn ^= 1;
        self.last = stale.unwrap_or(first ^ self.turn);
        let slot = &mut self.slots[self.last];
        slot.changes = changes;
        slot.tag = tag_of(hash);
        slot.len = name.len() as u8;
        slot.count = found.len() as u8;
        slot.name[..name.len()].copy_from_slice(name);
        slot.found[..found.len()].copy_from_slice(found);
    }
}
