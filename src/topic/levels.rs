//! The interner of Topic Levels.
//!
//! Distinct levels lie one behind the other in one byte array; an open-addressing table finds a
//! level's number by its bytes. Levels are counted; when more than half of the array is garbage it
//! is written anew, so memory follows what is in use. The hash is keyed by a seed from outside:
//! strangers choose the levels.

use super::index::Index;
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// The number of an interned level.
pub type LevelId = u32;

/// Interned levels, counted.
pub struct Levels {
    index: Index,
    entries: Vec<Entry>,
    free: Vec<LevelId>,
    bytes: Vec<u8>,
    garbage: usize,
    hasher: FixedState,
}

/// Invariant: `start + len <= bytes.len()` while `references > 0`.
#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    len: u16,
    references: u32,
}

impl Levels {
    /// No levels; `seed` keys the hash.
    pub fn new(seed: u64) -> Levels {
        Levels {
            index: Index::default(),
            entries: Vec::new(),
            free: Vec::new(),
            bytes: Vec::new(),
            garbage: 0,
            hasher: FixedState::with_seed(seed),
        }
    }

    /// The number of a level that somebody interned.
    #[inline]
    pub fn lookup(&self, level: &[u8]) -> Option<LevelId> {
        let hash = self.hasher.hash_one(level);
        self.index.find(hash, |&id| self.text(id) == level)
    }

    /// The number of a level, interned now if need be, and counted once more.
    pub fn intern(&mut self, level: &[u8]) -> LevelId {
        if let Some(id) = self.lookup(level) {
            self.entries[id as usize].references += 1;
            return id;
        }
        let entry = Entry {
            start: self.bytes.len() as u32,
            len: level.len() as u16,
            references: 1,
        };
        self.bytes.extend_from_slice(level);
        let id = if let Some(id) = self.free.pop() {
            self.entries[id as usize] = entry;
            id
        } else {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        };
        let Levels {
            index,
            entries,
            bytes,
            hasher,
            ..
        } = self;
        let hash_of = |id| hasher.hash_one(slice(entries, bytes, id));
        index.insert(hasher.hash_one(level), id, &hash_of);
        id
    }

    /// Takes back one [`Levels::intern`].
    pub fn release(&mut self, id: LevelId) {
        let entry = &mut self.entries[id as usize];
        entry.references -= 1;
        if entry.references > 0 {
            return;
        }
        self.garbage += usize::from(entry.len);
        let hash = self.hasher.hash_one(self.text(id));
        self.index.remove(hash, id);
        self.free.push(id);
        if self.garbage > 4096 && self.garbage > self.bytes.len() / 2 {
            self.compact();
        }
    }

    /// The bytes of an interned level.
    #[inline]
    pub fn text(&self, id: LevelId) -> &[u8] {
        slice(&self.entries, &self.bytes, id)
    }

    /// Bytes of memory they take.
    pub fn memory(&self) -> usize {
        self.bytes.len() + self.len() * size_of::<Entry>() + self.index.memory()
    }

    /// How many distinct levels there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn compact(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.garbage);
        for entry in self.entries.iter_mut().filter(|entry| entry.references > 0) {
            let start = entry.start as usize;
            entry.start = bytes.len() as u32;
            bytes.extend_from_slice(&self.bytes[start..start + usize::from(entry.len)]);
        }
        self.bytes = bytes;
        self.garbage = 0;
    }
}

#[inline]
fn slice<'a>(entries: &[Entry], bytes: &'a [u8], id: LevelId) -> &'a [u8] {
    let Entry { start, len, .. } = entries[id as usize];
    &bytes[start as usize..start as usize + usize::from(len)]
}
