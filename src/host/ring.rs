//! Input that is not finished: what a link keeps between two turns of the loop.
//!
//! All links read into one shared buffer; nearly always everything in it is used up at once. A link
//! borrows a [`Ring`] of fixed size only while it holds part of a packet, and its bytes go back to
//! the front of the shared buffer before more is read behind them: so they are always one slice,
//! and an idle client costs no buffer. What is larger than a ring grows with the bytes received,
//! never on the peer's word.
//!
//! The larger ones share one budget. When it is used up nobody loses what he has: a link just does
//! not read on until there is room again. Only the packet that was begun first may always grow, so
//! that one after the other gets finished; its link has to make way if it does not come to an end
//! while others wait (see the loop).
//!
//! Bounds: 4 KiB a ring, of which 64 free ones are kept; the budget, a read more for each link that
//! was reading when it ran out, and one packet of the largest size.

use std::collections::BTreeSet;

/// Bytes of a ring.
pub const RING_BYTES: usize = 4096;

/// The budget at most: bytes of all unfinished packets that are larger than a ring.
pub const LARGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The part of all that clients may make us hold that the budget is, if it is less.
const LARGE_PART: usize = 4;

const FREE_MAX: usize = 64;

/// A fixed buffer for the beginning of a packet.
type Ring = Box<[u8; RING_BYTES]>;

/// What is too large for a ring; `number` counts them in the order in which they were begun.
pub struct Large {
    pub(super) bytes: Vec<u8>,
    number: u64,
}

/// What a link holds back; small, since most hold nothing.
#[derive(Default)]
pub enum Held {
    /// Nothing.
    #[default]
    Nothing,
    /// So many bytes, up to [`RING_BYTES`].
    Ring(Ring, u16),
    /// More.
    Large(Box<Large>),
}

impl Held {
    /// The bytes held back.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Held::Nothing => &[],
            Held::Ring(ring, len) => &ring[..usize::from(*len)],
            Held::Large(large) => &large.bytes,
        }
    }
}

/// The rings that nobody uses, and the account of what is larger.
pub struct Rings {
    free: Vec<Ring>,
    /// How many are lent.
    lent: usize,
    large_bytes: usize,
    large_bytes_max: usize,
    /// The numbers of the large ones.
    large: BTreeSet<u64>,
    next_number: u64,
}

impl Rings {
    /// None in use; clients may make us hold so many bytes in all, 0 has no limit.
    pub fn new(memory_limit: usize) -> Rings {
        let mut rings = Rings {
            free: Vec::new(),
            lent: 0,
            large_bytes: 0,
            large_bytes_max: 0,
            large: BTreeSet::new(),
            next_number: 0,
        };
        rings.set_limit(memory_limit);
        rings
    }

    /// The limit is another one from now on.
    pub fn set_limit(&mut self, memory_limit: usize) {
        self.large_bytes_max = match memory_limit {
            0 => LARGE_BYTES_MAX,
            limit => (limit / LARGE_PART).min(LARGE_BYTES_MAX),
        };
    }

    /// Holds `bytes` back in place of what was held.
    pub fn hold(&mut self, held: &mut Held, bytes: &[u8]) {
        self.release(held);
        if bytes.is_empty() {
            return;
        }
        if bytes.len() > RING_BYTES {
            let number = self.begin();
            let bytes = bytes.to_vec();
            return self.put_back(held, Box::new(Large { bytes, number }));
        }
        let new_ring = || Box::new([0; RING_BYTES]);
        let mut ring = self.free.pop().unwrap_or_else(new_ring);
        self.lent += 1;
        ring[..bytes.len()].copy_from_slice(bytes);
        *held = Held::Ring(ring, bytes.len() as u16);
    }

    /// Takes a large one out, to read more into it; to be followed by [`Rings::put_back`] or
    /// [`Rings::finish`].
    pub fn take_large(&mut self, held: &mut Held) -> Option<Box<Large>> {
        if !matches!(held, Held::Large(_)) {
            return None;
        }
        let Held::Large(large) = std::mem::take(held) else {
            return None;
        };
        self.large_bytes -= large.bytes.capacity();
        Some(large)
    }

    /// Holds a large one back again; nothing else may be held.
    pub fn put_back(&mut self, held: &mut Held, large: Box<Large>) {
        self.large_bytes += large.bytes.capacity();
        *held = Held::Large(large);
    }

    /// Holds `bytes` back in place of a large one that was taken out and is used up.
    pub fn hold_next(&mut self, held: &mut Held, mut large: Box<Large>, bytes: &[u8]) {
        self.large.remove(&large.number);
        if bytes.len() <= RING_BYTES {
            return self.hold(held, bytes);
        }
        large.bytes.clear();
        large.bytes.extend_from_slice(bytes);
        large.number = self.begin();
        self.put_back(held, large);
    }

    /// The number of a large one that begins now.
    fn begin(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.large.insert(number);
        number
    }

    /// A large one that was taken out is used up.
    pub fn finish(&mut self, large: Large) {
        self.large.remove(&large.number);
    }

    /// How many of `wanted` bytes may be read behind what is held.
    pub fn room(&self, held: &Held, wanted: usize) -> usize {
        if self.has_room() || self.is_first(held) {
            return wanted;
        }
        match held {
            Held::Large(large) => wanted.min(large.bytes.capacity() - large.bytes.len()),
            Held::Nothing | Held::Ring(..) => wanted.min(RING_BYTES - held.bytes().len()),
        }
    }

    /// Bytes of memory that all unfinished packets take.
    pub fn bytes(&self) -> usize {
        self.lent * RING_BYTES + self.large_bytes
    }

    /// Whether large ones may grow.
    pub fn has_room(&self) -> bool {
        self.large_bytes < self.large_bytes_max
    }

    /// Whether this is the large one that was begun first.
    pub fn is_first(&self, held: &Held) -> bool {
        matches!(held, Held::Large(large) if Some(large.number) == self.first())
    }

    /// The number of the large one that was begun first.
    pub fn first(&self) -> Option<u64> {
        self.large.first().copied()
    }

    /// Gives up what is held back.
    pub fn release(&mut self, held: &mut Held) {
        match std::mem::take(held) {
            Held::Nothing => {}
            Held::Ring(ring, _) => {
                self.lent -= 1;
                if self.free.len() < FREE_MAX {
                    self.free.push(ring);
                }
            }
            Held::Large(large) => {
                self.large_bytes -= large.bytes.capacity();
                self.finish(*large);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_comes_back() {
        let mut rings = Rings::new(0);
        let (mut small, mut large) = (Held::default(), Held::default());
        rings.hold(&mut small, b"abc");
        assert_eq!(small.bytes(), b"abc");
        rings.hold(&mut large, &[7; RING_BYTES + 1]);
        assert_eq!(large.bytes(), [7; RING_BYTES + 1]);
        rings.release(&mut small);
        rings.release(&mut large);
        assert_eq!((rings.free.len(), rings.large_bytes), (1, 0));
        assert_eq!(rings.first(), None);
    }

    #[test]
    fn what_follows_a_large_one_takes_its_place_in_the_row() {
        let mut rings = Rings::new(0);
        let (mut first, mut second) = Default::default();
        rings.hold(&mut first, &[1; 2 * RING_BYTES]);
        rings.hold(&mut second, &[2; 2 * RING_BYTES]);
        let large = rings.take_large(&mut first).expect("it is large");
        rings.hold_next(&mut first, large, &[3; RING_BYTES + 1]);
        assert_eq!(first.bytes(), [3; RING_BYTES + 1]);
        assert!(rings.is_first(&second), "it was begun before");
        let large = rings.take_large(&mut first).expect("it is large");
        rings.hold_next(&mut first, large, b"abc");
        assert_eq!(first.bytes(), b"abc");
        rings.release(&mut second);
        assert_eq!((rings.large_bytes, rings.first()), (0, None));
    }

    #[test]
    fn without_room_only_the_first_grows() {
        let mut rings = Rings::new(0);
        let (mut first, mut second, mut small) = Default::default();
        rings.hold(&mut first, &vec![1; LARGE_BYTES_MAX - 1]);
        rings.hold(&mut second, &[2; 2 * RING_BYTES]);
        rings.hold(&mut small, &[3; 96]);
        assert!(!rings.has_room());
        assert_eq!(rings.room(&first, 1000), 1000);
        assert_eq!(rings.room(&second, 1000), 0);
        assert_eq!(rings.room(&small, 5000), 4000);
        let mut large = rings.take_large(&mut first).expect("it is large");
        large.bytes.extend([1; 1000]);
        rings.put_back(&mut first, large);
        assert!(rings.is_first(&first));
        rings.release(&mut first);
        assert_eq!(rings.room(&second, 1000), 1000);
        assert!(rings.is_first(&second));
        let large = rings.take_large(&mut second).expect("it is large");
        rings.finish(*large);
        assert_eq!((rings.large_bytes, rings.first()), (0, None));
    }
}
