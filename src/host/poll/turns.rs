//! How long the turns of the loop take: nobody is served while one goes on.
//!
//! The work of a turn is bounded where it comes from: a read and a write are a buffer, the broker
//! does long jobs in slices. What is left is how many links there are to serve: a [`Slice`] ends
//! the round of reading, writing or closing after a millisecond or so, and the next turn goes on
//! with those that had to wait.

use std::time::{Duration, Instant};

/// How long a round of reading, writing or closing may take, but for the link that is over it.
const SLICE: Duration = Duration::from_micros(1200);

/// A moment after which no further link is served in this round.
pub struct Slice {
    until: Option<Instant>,
}

impl Slice {
    /// A slice that begins now.
    pub fn begin() -> Slice {
        Slice {
            until: Some(Instant::now() + SLICE),
        }
    }

    /// One without an end, for the end of the broker.
    pub fn endless() -> Slice {
        Slice { until: None }
    }

    /// Whether the others are to wait for the next turn.
    pub fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}
