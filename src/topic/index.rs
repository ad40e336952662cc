//! An index of numbers by hash, whose growth nobody notices.
//!
//! One open-addressing table that doubles moves all it holds in one go: with a million entries
//! that is a quarter of a second in which nobody is served. So there are many small tables, and a
//! hash says which. The last gets twice as many numbers as the first, and those between them as
//! many that they grow one after the other, at even distances, and never together. The tables know
//! nothing of what the numbers stand for: the caller compares and hashes.
//!
//! What was tried: with one table the longest turn while a million topics were retained took half
//! a second; with 128 tables of one size 47 ms, since all of them grew at about the same time.
//! Finding costs a few instructions more.
//!
//! Bounds: a growth moves one part in 128, which takes a millisecond where there are a million.

use hashbrown::HashTable;

/// How many tables there are; a power of two.
const PARTS: usize = 128;

/// Numbers by hash.
pub struct Index {
    parts: Box<[HashTable<u32>; PARTS]>,
    len: usize,
}

impl Default for Index {
    fn default() -> Index {
        Index {
            parts: Box::new([const { HashTable::new() }; PARTS]),
            len: 0,
        }
    }
}

/// Which table a hash belongs to: the logarithm to base 2 of 1 + x, nearly, where x in 0..1 comes
/// from bits that the tables themselves do not use. That is a parabola's value here.
#[inline]
fn part_of(hash: u64) -> usize {
    let x = hash >> 40 & 0xffff;
    let slope = 88_021 - ((x * 22_485) >> 16);
    ((x * slope) >> 25) as usize % PARTS
}

impl Index {
    /// The number with this hash that is the one.
    #[inline]
    pub fn find(&self, hash: u64, is_it: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.parts[part_of(hash)].find(hash, is_it).copied()
    }

    /// Adds a number that is not there; `hash_of` gives the hash of another one. (It is asked when
    /// a table grows only: no reason to have that code once for each caller.)
    pub fn insert(&mut self, hash: u64, id: u32, hash_of: &dyn Fn(u32) -> u64) {
        self.len += 1;
        self.parts[part_of(hash)].insert_unique(hash, id, |&id| hash_of(id));
    }

    /// Takes a number out.
    pub fn remove(&mut self, hash: u64, id: u32) {
        if let Ok(entry) = self.parts[part_of(hash)].find_entry(hash, |&other| other == id) {
            entry.remove();
            self.len -= 1;
        }
    }

    /// Bytes of memory it takes, roughly: tables are half full or more.
    pub fn memory(&self) -> usize {
        self.len * 8
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn what_was_inserted_is_found_until_it_is_removed() {
        let hasher = foldhash::fast::FixedState::with_seed(1);
        let hash_of = |id: u32| hasher.hash_one(id);
        let find = |index: &Index, id| index.find(hash_of(id), |&other| other == id);
        let mut index = Index::default();
        for id in 0..50_000 {
            index.insert(hash_of(id), id, &hash_of);
        }
        for id in (0..50_000).step_by(2) {
            index.remove(hash_of(id), id);
            index.remove(hash_of(id), id);
        }
        assert_eq!(index.len(), 25_000);
        for id in 0..50_000 {
            assert_eq!(find(&index, id), (id % 2 == 1).then_some(id));
        }
    }

    #[test]
    fn the_tables_grow_one_after_the_other() {
        let hash_of = |id: u32| foldhash::fast::FixedState::with_seed(2).hash_one(id);
        let mut index = Index::default();
        let mut grown_at = Vec::new();
        for id in 0..1 << 19 {
            let before = index.parts[part_of(hash_of(id))].capacity();
            index.insert(hash_of(id), id, &hash_of);
            let after = index.parts[part_of(hash_of(id))].capacity();
            if after > before && id >= 1 << 18 {
                grown_at.push(id);
            }
        }
        assert_eq!(
            grown_at.len(),
            PARTS,
            "all of them while the number doubles"
        );
        // In a thirtieth of the time there are not many more than a thirtieth of them.
        let span = (1 << 18) / 30;
        let most = (grown_at.iter())
            .map(|&first| {
                grown_at
                    .iter()
                    .filter(|&&at| at >= first && at - first < span)
                    .count()
            })
            .max();
        assert!(most <= Some(16), "{most:?}");
    }
}
