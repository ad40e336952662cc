//! Input that is not finished: what a link keeps between two turns of the loop.
//!
//! All links read into one shared buffer; nearly always everything in it is used up at once. A link
//! borrows a `Ring` of fixed size only while it holds part of a packet, and its bytes go back to
//! the front of the shared buffer before more is read behind them: so they are always one slice,
//! and an idle client costs no buffer. What is larger than a ring grows with the bytes received,
//! never on the peer's word.
//!
//! The rest of one that is larger still is read where its beginning lies, into memory that another
//! one left: so it is copied only once, into the body of a message. (Measured, CPU time of 1 MiB in
//! and out on a busy machine: 560 µs through the shared buffer into new memory, 370 as it is.)
//!
//! The larger ones share one budget. When it is used up nobody loses what he has: a link just does
//! not read on until there is room again. Only the packet that was begun first may always grow, so
//! that one after the other gets finished; its link has to make way if it does not come to an end
//! while others wait (see the loop).
//!
//! Bounds: 4 KiB a ring, of which 64 free ones are kept; the budget, a read more for each link that
//! was reading when it ran out, and one packet of the largest size; what [`Spares`] keep.

use crate::store::spare::Spares;

/// Bytes of a ring.
pub const RING_BYTES: usize = 4096;

/// The budget at most: bytes of all unfinished packets that are larger than a ring.
pub const LARGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The part of all that clients may make us hold that the budget is, if it is less.
const LARGE_PART: usize = 4;

const FREE_MAX: usize = 64;

/// A fixed buffer for the beginning of a packet.
type Ring = Box<[u8; RING_BYTES]>;

/// What is too large for a ring.
pub struct Large {
    /// Memory for what there is, and for some more.
    room: Box<[u8]>,
    len: usize,
    /// Counts them in the order in which they were begun.
    number: u64,
}

impl Large {
    /// What there is of the packet.
    pub fn bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// Where more of it may be read, to be followed by [`Large::note_read`].
    pub fn free(&mut self) -> &mut [u8] {
        &mut self.room[self.len..]
    }

    /// So many bytes more are there.
    pub fn note_read(&mut self, n: usize) {
        self.len += n;
    }
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
            Held::Large(large) => large.bytes(),
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
    /// The numbers of the large ones, ascending: a few thousand at most.
    large: Vec<u64>,
    next_number: u64,
    spares: Spares,
}

impl Rings {
    /// None in use; clients may make us hold so many bytes in all, 0 has no limit.
    pub fn new(memory_limit: usize) -> Rings {
        let mut rings = Rings {
            free: Vec::new(),
            lent: 0,
            large_bytes: 0,
            large_bytes_max: 0,
            large: Vec::new(),
            next_number: 0,
            spares: Spares::default(),
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
            let mut large = Box::new(Large {
                room: self.spares.take(bytes.len(), bytes.len() * 2),
                len: 0,
                number: self.begin(),
            });
            self.append(&mut large, bytes);
            return self.put_back(held, large);
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
        match std::mem::take(held) {
            Held::Large(large) => {
                self.large_bytes -= large.room.len();
                Some(large)
            }
            other => {
                *held = other;
                None
            }
        }
    }

    /// Makes room for `more` of a large one that was taken out, or by a half: not to the double as
    /// a Vec does, room is scarce. Memory that is there already may be larger.
    pub fn widen(&mut self, large: &mut Large, more: usize) {
        let len = large.len + more.max(large.len / 2);
        let mut room = self.spares.take(len, len * 8);
        room[..large.len].copy_from_slice(large.bytes());
        self.spares.put(std::mem::replace(&mut large.room, room));
    }

    /// Holds all of `bytes` back; the first of them are held already.
    pub fn hold_more(&mut self, held: &mut Held, bytes: &[u8]) {
        match self.take_large(held) {
            Some(mut large) => {
                let old = large.len;
                self.append(&mut large, &bytes[old..]);
                self.put_back(held, large);
            }
            None => self.hold(held, bytes),
        }
    }

    /// Puts `bytes` behind a large one that was taken out.
    fn append(&mut self, large: &mut Large, bytes: &[u8]) {
        if large.free().len() < bytes.len() {
            self.widen(large, bytes.len());
        }
        large.free()[..bytes.len()].copy_from_slice(bytes);
        large.note_read(bytes.len());
    }

    /// Holds a large one back again; nothing else may be held.
    pub fn put_back(&mut self, held: &mut Held, large: Box<Large>) {
        self.large_bytes += large.room.len();
        *held = Held::Large(large);
    }

    /// The number of a large one that begins now.
    fn begin(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.large.push(number);
        number
    }

    /// A large one that was taken out is used up.
    pub fn finish(&mut self, large: Large) {
        if let Ok(at) = self.large.binary_search(&large.number) {
            self.large.remove(at);
        }
        self.spares.put(large.room);
    }

    /// How many of `wanted` bytes may be read behind what is held.
    pub fn room(&self, held: &Held, wanted: usize) -> usize {
        if self.has_room() || self.is_first(held) {
            return wanted;
        }
        match held {
            Held::Large(large) => wanted.min(large.room.len() - large.len),
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
                self.large_bytes -= large.room.len();
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
    fn what_follows_a_large_one_is_begun_later_than_others() {
        let mut rings = Rings::new(0);
        let (mut first, mut second) = Default::default();
        rings.hold(&mut first, &[1; 2 * RING_BYTES]);
        rings.hold(&mut second, &[2; 2 * RING_BYTES]);
        rings.hold(&mut first, &[3; RING_BYTES + 1]);
        assert_eq!(first.bytes(), [3; RING_BYTES + 1]);
        assert!(rings.is_first(&second), "it was begun before");
        rings.hold(&mut first, b"abc");
        assert_eq!(first.bytes(), b"abc");
        rings.release(&mut second);
        assert_eq!((rings.large_bytes, rings.first()), (0, None));
    }

    #[test]
    fn a_large_one_grows_with_what_is_received_and_keeps_its_place() {
        let mut rings = Rings::new(0);
        let (mut first, mut second) = Default::default();
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| i as u8).collect();
        rings.hold(&mut first, &bytes[..=RING_BYTES]);
        rings.hold(&mut second, &bytes[..=RING_BYTES]);
        rings.hold_more(&mut first, &bytes[..50_000]);
        assert_eq!(first.bytes(), &bytes[..50_000]);
        let mut large = rings.take_large(&mut first).expect("it is large");
        rings.widen(&mut large, 10);
        assert!((75_000..80_000).contains(&large.room.len()));
        large.free()[..20_000].copy_from_slice(&bytes[50_000..70_000]);
        large.note_read(20_000);
        rings.put_back(&mut first, large);
        assert_eq!(first.bytes(), &bytes[..70_000]);
        assert!(rings.is_first(&first));
        rings.release(&mut first);
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
        rings.hold_more(&mut first, &vec![1; LARGE_BYTES_MAX + 1000]);
        assert!(rings.is_first(&first));
        rings.release(&mut first);
        assert_eq!(rings.room(&second, 1000), 1000);
        assert!(rings.is_first(&second));
        let large = rings.take_large(&mut second).expect("it is large");
        rings.finish(*large);
        assert_eq!((rings.large_bytes, rings.first()), (0, None));
    }
}
