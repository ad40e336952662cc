//! Input that is not finished: what a link keeps between two turns of the loop.
//!
//! All links read into one shared buffer; nearly always everything in it is used up at once. A link
//! borrows a [`Ring`] of fixed size only while it holds part of a packet, and its bytes go back to
//! the front of the shared buffer before more is read behind them: so they are always one slice,
//! and an idle client costs no buffer. What is larger than a ring grows with the bytes received,
//! never on the peer's word.
//!
//! Bounds: 4 KiB a ring; 64 free ones are kept. The larger ones share one budget.

/// Bytes of a ring.
pub const RING_BYTES: usize = 4096;

/// Bytes of all unfinished packets that are larger than a ring.
pub const LARGE_BYTES_MAX: usize = 64 * 1024 * 1024;

const FREE_MAX: usize = 64;

/// A fixed buffer for the beginning of a packet; invariant: `len <= RING_BYTES`.
pub struct Ring {
    bytes: Box<[u8; RING_BYTES]>,
    len: usize,
}

/// What a link holds back.
#[derive(Default)]
pub enum Held {
    /// Nothing.
    #[default]
    Nothing,
    /// Up to [`RING_BYTES`].
    Ring(Ring),
    /// More.
    Large(Vec<u8>),
}

impl Held {
    /// The bytes held back.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Held::Nothing => &[],
            Held::Ring(ring) => &ring.bytes[..ring.len],
            Held::Large(bytes) => bytes,
        }
    }
}

/// The rings that nobody uses, and the account of what is larger.
#[derive(Default)]
pub struct Rings {
    free: Vec<Ring>,
    large_bytes: usize,
}

impl Rings {
    /// Holds `bytes` back in place of what was held; `false` if the budget is exhausted.
    #[must_use]
    pub fn hold(&mut self, held: &mut Held, bytes: &[u8]) -> bool {
        self.release(held);
        if bytes.is_empty() {
            return true;
        }
        if bytes.len() > RING_BYTES {
            return self.hold_large(held, bytes.to_vec());
        }
        let mut ring = self.free.pop().unwrap_or_else(|| Ring {
            bytes: Box::new([0; RING_BYTES]),
            len: 0,
        });
        ring.bytes[..bytes.len()].copy_from_slice(bytes);
        ring.len = bytes.len();
        *held = Held::Ring(ring);
        true
    }

    /// Holds back bytes that are in a buffer of their own already.
    #[must_use]
    pub fn hold_large(&mut self, held: &mut Held, bytes: Vec<u8>) -> bool {
        self.release(held);
        if self.large_bytes + bytes.capacity() > LARGE_BYTES_MAX {
            return false;
        }
        self.large_bytes += bytes.capacity();
        *held = Held::Large(bytes);
        true
    }

    /// Takes a large buffer out, to read more into it.
    pub fn take_large(&mut self, held: &mut Held) -> Option<Vec<u8>> {
        if !matches!(held, Held::Large(_)) {
            return None;
        }
        let Held::Large(bytes) = std::mem::take(held) else {
            return None;
        };
        self.large_bytes -= bytes.capacity();
        Some(bytes)
    }

    /// Gives up what is held back.
    pub fn release(&mut self, held: &mut Held) {
        match std::mem::take(held) {
            Held::Nothing => {}
            Held::Ring(ring) if self.free.len() < FREE_MAX => self.free.push(ring),
            Held::Ring(_) => {}
            Held::Large(bytes) => self.large_bytes -= bytes.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_comes_back_and_the_budget_holds() {
        let mut rings = Rings::default();
        let (mut small, mut large) = (Held::default(), Held::default());
        assert!(rings.hold(&mut small, b"abc"));
        assert_eq!(small.bytes(), b"abc");
        assert!(rings.hold(&mut large, &[7; RING_BYTES + 1]));
        assert_eq!(large.bytes(), [7; RING_BYTES + 1]);
        let mut too_much = Held::default();
        assert!(!rings.hold_large(&mut too_much, Vec::with_capacity(LARGE_BYTES_MAX)));
        rings.release(&mut small);
        rings.release(&mut large);
        assert_eq!((rings.free.len(), rings.large_bytes), (1, 0));
        assert!(rings.hold_large(&mut too_much, Vec::with_capacity(LARGE_BYTES_MAX)));
    }
}
