//! Good bytes made bad, by a seeded generator: the same seed, the same bytes.

use fastrand::Rng;

/// Values that sit at the edge of something.
const EDGES: [u8; 10] = [0, 1, 2, 4, 0x10, 0x7f, 0x80, 0xc0, 0xfe, 0xff];

/// Changes the bytes in one to four places; `others` lend parts of theirs.
pub fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..=bytes.len());
        let end = (at + rng.usize(..8)).min(bytes.len());
        match rng.u8(..9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
            1 if at < bytes.len() => bytes[at] = EDGES[rng.usize(..EDGES.len())],
            2 if at < bytes.len() => {
                bytes[at] = bytes[at].wrapping_add(rng.u8(..5)).wrapping_sub(2);
            }
            3 => bytes.insert(at, rng.u8(..)),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            6 if !others.is_empty() => {
                let other = &others[rng.usize(..others.len())];
                let from = rng.usize(..=other.len());
                let to = rng.usize(from..=other.len()).min(from + 64);
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            7 => bytes.truncate(at),
            _ if at < bytes.len() => bytes[at] = rng.u8(..),
            _ => bytes.push(rng.u8(..)),
        }
    }
}
