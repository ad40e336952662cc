//! Bodies in memory by slot, and their memory, used again.
//!
//! A slot that becomes free keeps its memory and is linked with the free ones of the same size, so
//! that the next message of that size finds slot and memory in one step. Large bodies have memory
//! of their own length, new or [left](super::spare) by another one. Bounds: each size keeps at most
//! 256 KiB of free memory.

use super::grow;
use super::message::Message;
use super::spare::Spares;

/// Sizes: with the eight bytes that an allocation takes besides, 16-byte steps from 32 to 256, then
/// two for each power of two up to 4 KiB.
const CLASSES: usize = 15 + 8;
/// What an allocation takes besides.
const BESIDES: usize = 8;
/// The class of slots without memory, and of bodies that are larger than any class.
const BARE: usize = CLASSES;
const POOLED_MAX: usize = 4096 - BESIDES;
const KEPT_BYTES_MAX: usize = 256 * 1024;
/// With nothing in use, so many free slots are the memory of a burst.
const SLOTS_KEPT: usize = 4096;

const NONE: u32 = u32::MAX;

/// All bodies.
///
/// Invariants: a free slot is in the list of its class, linked through `len`; `kept` counts the
/// slots of each list that have memory.
pub(super) struct Bodies {
    entries: Vec<Message>,
    free: [u32; CLASSES + 1],
    kept: [u32; CLASSES],
    /// Memory that bodies larger than any class left.
    spares: Spares,
    count: usize,
}

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies {
            entries: Vec::new(),
            free: [NONE; CLASSES + 1],
            kept: [0; CLASSES],
            spares: Spares::default(),
            count: 0,
        }
    }
}

/// The size class that holds `len` bytes.
#[inline]
fn class_of(len: usize) -> usize {
    let len = len + BESIDES;
    if len <= 256 {
        return len.saturating_sub(17) / 16;
    }
    if len > POOLED_MAX + BESIDES {
        return BARE;
    }
    let power = usize::BITS - (len - 1).leading_zeros(); // 2^(power-1) < len <= 2^power, power >= 9
    let is_upper = len > (1 << power) / 4 * 3;
    15 + (power as usize - 9) * 2 + usize::from(is_upper)
}

/// How many bytes a body of this class has room for.
fn size_of_class(class: usize) -> usize {
    if class < 15 {
        return (class + 2) * 16 - BESIDES;
    }
    let size = 1 << ((class - 15) / 2 + 9);
    let size = if class % 2 == 1 { size / 4 * 3 } else { size };
    size - BESIDES
}

impl Bodies {
    /// A slot with memory for `len` bytes; all else in it is left from before.
    #[inline]
    pub fn take(&mut self, len: usize) -> (u32, &mut Message) {
        self.count += 1;
        let class = class_of(len);
        let slot = self.free[class];
        if slot == NONE || class == BARE {
            return self.make(class, len);
        }
        self.kept[class] -= 1;
        let message = &mut self.entries[slot as usize];
        self.free[class] = message.len;
        (slot, message)
    }

    #[cold]
    fn make(&mut self, class: usize, len: usize) -> (u32, &mut Message) {
        let bytes = match class {
            // A quarter of it may lie idle.
            BARE if len > POOLED_MAX => self.spares.take(len, len + len / 3),
            BARE => Box::default(),
            _ => vec![0; size_of_class(class)].into_boxed_slice(),
        };
        let message = Message::nothing(bytes, class as u8);
        let slot = self.free[BARE];
        if slot == NONE {
            grow::push(&mut self.entries, message);
            let slot = self.entries.len() - 1;
            return (slot as u32, &mut self.entries[slot]);
        }
        let entry = &mut self.entries[slot as usize];
        self.free[BARE] = entry.len;
        *entry = message;
        (slot, entry)
    }

    /// A slot whose body has no bytes at all.
    pub fn take_nothing(&mut self) -> (u32, &mut Message) {
        self.count += 1;
        self.make(BARE, 0)
    }

    #[inline]
    pub fn get(&self, slot: u32) -> &Message {
        &self.entries[slot as usize]
    }

    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> &mut Message {
        &mut self.entries[slot as usize]
    }

    /// Frees a slot.
    #[inline]
    pub fn free(&mut self, slot: u32) {
        self.count -= 1;
        let message = &mut self.entries[slot as usize];
        let class = usize::from(message.class);
        match self.kept.get_mut(class) {
            Some(kept) if *kept as usize * message.bytes.len() < KEPT_BYTES_MAX => {
                *kept += 1;
                message.len = std::mem::replace(&mut self.free[class], slot);
            }
            _ => self.strip(slot),
        }
        if self.count == 0 && self.entries.len() > SLOTS_KEPT {
            *self = Bodies::default();
        }
    }

    /// A free slot whose memory goes back.
    #[cold]
    fn strip(&mut self, slot: u32) {
        let message = &mut self.entries[slot as usize];
        let bytes = std::mem::take(&mut message.bytes);
        message.class = BARE as u8;
        message.len = std::mem::replace(&mut self.free[BARE], slot);
        if bytes.len() > POOLED_MAX {
            self.spares.put(bytes);
        }
    }

    /// How many are in use.
    pub fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_a_class_that_holds_it_and_wastes_little() {
        let mut sizes = std::collections::BTreeSet::new();
        for len in 0..=POOLED_MAX {
            let class = class_of(len);
            let size = size_of_class(class);
            assert!(class < CLASSES && len <= size, "{len}: {class} of {size}");
            assert!(size <= len + len / 2 + 32, "{len} wastes much in {size}");
            assert!(class == 0 || len > size_of_class(class - 1), "{len}");
            sizes.insert(size);
        }
        assert_eq!(sizes.len(), CLASSES);
        assert_eq!(class_of(POOLED_MAX + 1), BARE);
    }

    /// Against a plain map: a slot in use is nobody else's, and has the bytes it was given.
    #[test]
    fn slots_and_memory_are_used_again_and_never_twice_at_a_time() {
        let mut bodies = Bodies::default();
        let mut model = std::collections::HashMap::new();
        let mut rng = fastrand::Rng::with_seed(3);
        for round in 0..60_000_u32 {
            let is_growing = round % 20_000 < 12_000;
            if rng.u8(..10) < if is_growing { 6 } else { 3 } {
                let len = [40, 300, 5000, 70_000][rng.usize(..4).min(rng.usize(..4))];
                let (slot, message) = bodies.take(rng.usize(1..len));
                assert!(message.bytes.len() <= len + len / 2 + 32);
                message.len = round;
                assert_eq!(model.insert(slot, round), None, "a slot was given twice");
            } else if let Some(&slot) = model.keys().next() {
                model.remove(&slot);
                bodies.free(slot);
            }
            assert_eq!(bodies.len(), model.len());
        }
        for (&slot, &round) in &model {
            assert_eq!(bodies.get(slot).len, round);
        }
        for kept in 0..CLASSES {
            let bytes = bodies.kept[kept] as usize * size_of_class(kept);
            assert!(bytes <= KEPT_BYTES_MAX + size_of_class(kept));
        }
    }

    #[test]
    fn the_memory_of_a_burst_goes_back() {
        let mut bodies = Bodies::default();
        let slots: Vec<u32> = (0..10_000).map(|_| bodies.take(10).0).collect();
        for slot in slots {
            bodies.free(slot);
        }
        assert_eq!((bodies.len(), bodies.entries.capacity()), (0, 0));
    }
}
