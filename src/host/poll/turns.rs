//! How long the turns of the loop take: nobody is served while one goes on.
//!
//! The work of a turn is bounded where it comes from: a read and a write are a buffer, the broker
//! does long jobs in slices. What is left is how many links there are to serve: a [`Slice`] ends
//! the round of reading, writing or closing after a millisecond or so, and the next turn goes on
//! with those that had to wait.

use std::time::{Duration, Instant};

/// How long a round of reading, writing or closing may take.
const SLICE: Duration = Duration::from_micros(1200);

/// Links that are served between two looks at the clock: it costs as much as a short packet.
const LINKS: u32 = 8;

/// Says when no further link is served in this round.
#[derive(Default)]
pub struct Slice {
    served: u32,
    /// When it is over; not known before the clock was looked at once.
    until: Option<Instant>,
    is_endless: bool,
}

impl Slice {
    /// A slice that begins now.
    pub fn begin() -> Slice {
        Slice::default()
    }

    /// One without an end, for the end of the broker.
    pub fn endless() -> Slice {
        Slice {
            is_endless: true,
            ..Slice::default()
        }
    }

    /// Whether the others are to wait for the next turn; to be asked before each link.
    pub fn is_over(&mut self) -> bool {
        self.served += 1;
        if self.is_endless || self.served % LINKS != 0 {
            return false;
        }
        let now = Instant::now();
        now >= *self.until.get_or_insert(now + SLICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_ends_and_an_endless_one_does_not() {
        let (mut slice, mut endless) = (Slice::begin(), Slice::endless());
        let begun = Instant::now();
        while !slice.is_over() {
            assert!(!endless.is_over());
        }
        assert!(begun.elapsed() >= SLICE);
    }
}
