//! Memory that large things leave behind, for the next ones of about their size.
//!
//! To ask the system for memory page by page costs more than the copy of what goes into it.
//! (Measured, CPU time of a message of 16 KiB in and out, without and with this for its body: 3.8
//! and 2.8 µs.)
//!
//! Bounds: `KEPT_BYTES_MAX`; what lies there longest makes way.

use std::collections::VecDeque;

/// Bytes that lie in wait at most: a packet of the largest size that is allowed by default fits,
/// and so do two of 1 MiB.
const KEPT_BYTES_MAX: usize = 2_500_000;
/// How many pieces are looked at; those that came last are the likely ones.
const SEEN_MAX: usize = 16;

/// Pieces of memory that nobody uses, in the order in which they came.
#[derive(Default)]
pub struct Spares {
    pieces: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl Spares {
    /// Memory of at least `len` bytes, and of no more than `len_max` if it was used before. What
    /// is in it is left from then.
    pub fn take(&mut self, len: usize, len_max: usize) -> Box<[u8]> {
        let fits = |piece: &[u8]| (len..=len_max).contains(&piece.len());
        let mut last = self.pieces.iter().rev().take(SEEN_MAX);
        let back = last.position(|piece| fits(piece));
        let index = back.map(|back| self.pieces.len() - 1 - back);
        match index.and_then(|index| self.pieces.remove(index)) {
            Some(piece) => {
                self.bytes -= piece.len();
                piece
            }
            None => vec![0; len].into_boxed_slice(),
        }
    }

    /// Keeps memory for whoever comes next.
    pub fn put(&mut self, piece: Box<[u8]>) {
        if piece.len() > KEPT_BYTES_MAX {
            return;
        }
        self.bytes += piece.len();
        self.pieces.push_back(piece);
        while self.bytes > KEPT_BYTES_MAX {
            let first = self.pieces.pop_front();
            self.bytes -= first.map_or(self.bytes, |first| first.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_by_what_nearly_fills_it() {
        let mut spares = Spares::default();
        let mut piece = spares.take(10_000, 12_000);
        assert_eq!(piece.len(), 10_000);
        piece[0] = 7;
        spares.put(piece);
        assert_eq!(spares.take(10_001, 12_000)[0], 0, "too small");
        assert_eq!(spares.take(4000, 9999)[0], 0, "too large");
        let again = spares.take(9000, 10_000);
        assert_eq!((again.len(), again[0]), (10_000, 7));
        assert_eq!((spares.pieces.len(), spares.bytes), (0, 0));
    }

    #[test]
    fn what_lies_there_longest_makes_way() {
        let mut spares = Spares::default();
        spares.put(vec![1; 1_000_000].into_boxed_slice());
        spares.put(vec![2; KEPT_BYTES_MAX + 1].into_boxed_slice());
        assert_eq!(
            spares.bytes, 1_000_000,
            "nobody makes way for what has no place"
        );
        for _ in 0..100 {
            spares.put(vec![3; 400_000].into_boxed_slice());
            assert!(spares.bytes <= KEPT_BYTES_MAX);
        }
        assert_eq!(spares.take(900_000, 2_000_000)[0], 0);
        assert_eq!(spares.take(400_000, 400_000)[0], 3);
    }
}
