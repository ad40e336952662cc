//! The interner of Topic Levels.
//!
//! Distinct levels lie one behind the other in one byte array, each behind its length; an
//! open-addressing table finds a level's number by its bytes. Levels are counted; when more than
//! half of the array is garbage it is written anew, so memory follows what is in use. The hash is
//! keyed by a seed from outside: strangers choose the levels. Bounds: 8 bytes a level, about 8 of
//! the index, and its text with one byte more.

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

/// Invariant: a length and as many bytes lie at `start` while `references > 0`.
#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    references: u32,
}

/// Stands in place of a length that has two bytes of its own behind it.
const LONG: u8 = u8::MAX;

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
            references: 1,
        };
        append(&mut self.bytes, level);
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
        let text = self.text(id);
        let hash = self.hasher.hash_one(text);
        self.garbage += text.len() + if text.len() < usize::from(LONG) { 1 } else { 3 };
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
            let text = text_at(&self.bytes, entry.start);
            entry.start = bytes.len() as u32;
            append(&mut bytes, text);
        }
        self.bytes = bytes;
        self.garbage = 0;
    }
}

#[inline]
fn slice<'a>(entries: &[Entry], bytes: &'a [u8], id: LevelId) -> &'a [u8] {
    text_at(bytes, entries[id as usize].start)
}

#[inline]
fn text_at(bytes: &[u8], start: u32) -> &[u8] {
    let rest = &bytes[start as usize..];
    match rest[0] {
        LONG => {
            let len = u16::from_ne_bytes([rest[1], rest[2]]);
            &rest[3..3 + usize::from(len)]
        }
        len => &rest[1..=usize::from(len)],
    }
}

fn append(bytes: &mut Vec<u8>, level: &[u8]) {
    match u8::try_from(level.len()) {
        Ok(len) if len != LONG => bytes.push(len),
        _ => {
            bytes.push(LONG);
            bytes.extend_from_slice(&(level.len() as u16).to_ne_bytes());
        }
    }
    bytes.extend_from_slice(level);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_every_length_come_back_as_they_were_and_leave_their_memory() {
        let texts: Vec<Vec<u8>> = [0, 1, 254, 255, 256, 65_535]
            .map(|len| vec![b'x'; len])
            .into();
        let mut levels = Levels::new(3);
        for round in 0..10_000 {
            let text = &texts[round % texts.len()];
            let kept = levels.intern(&text[..text.len().min(300)]);
            let id = levels.intern(text);
            assert_eq!(levels.text(id), text);
            assert_eq!(levels.lookup(text), Some(id));
            levels.release(id);
            levels.release(kept);
            assert!(levels.bytes.len() <= 2 * 65_600 + 4096, "garbage stays");
        }
        assert!(levels.is_empty());
        assert_eq!(levels.garbage, levels.bytes.len());
    }
}
