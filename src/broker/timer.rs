//! Timers: which moment concerns whom, in one ordered set.
//!
//! An owner has at most one entry and remembers its moment, so that it can be moved or taken out;
//! nothing is left behind by owners that come and go. Keep Alive does not move its timer with every
//! packet: when it rings, the owner looks at when it was last heard of.

use super::session::SessionId;
use std::collections::BTreeSet;

/// Whom a timer concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A connection, by its slot: CONNECT overdue, or Keep Alive.
    Connection(u32),
    /// A session without a connection: its will or its end.
    Session(SessionId),
    /// `$SYS` is due.
    Sys,
    /// Expired retained messages are to be looked for.
    RetainSweep,
}

/// All timers, by moment in monotonic milliseconds.
#[derive(Default)]
pub(super) struct Timers {
    set: BTreeSet<(u64, Timer)>,
}

impl Timers {
    /// Sets the timer to `at`, or takes it out; `slot` is where its owner remembers the moment.
    pub(super) fn set(&mut self, timer: Timer, slot: &mut Option<u64>, at: Option<u64>) {
        if *slot == at {
            return;
        }
        if let Some(old) = slot.take() {
            self.set.remove(&(old, timer));
        }
        if let Some(at) = at {
            self.set.insert((at, timer));
        }
        *slot = at;
    }

    /// The next moment.
    pub(super) fn next(&self) -> Option<u64> {
        self.set.first().map(|&(at, _)| at)
    }

    /// Takes a timer out whose moment has come; its owner's slot is stale then.
    pub(super) fn pop(&mut self, now_ms: u64) -> Option<Timer> {
        let &(at, timer) = self.set.first()?;
        if at > now_ms {
            return None;
        }
        self.set.pop_first();
        Some(timer)
    }
}
