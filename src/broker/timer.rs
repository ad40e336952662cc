//! Timers: which moment concerns whom, in one ordered set.
//!
//! An owner has at most one entry and remembers its moment, so that it can be moved or taken out;
//! nothing is left behind by owners that come and go. Keep Alive does not move its timer with every
//! packet: when it rings, the owner looks at when it was last heard of.

use super::session::SessionId;
use std::collections::BTreeSet;

/// A moment in monotonic milliseconds or none, in eight bytes: there are several in all that is
/// held for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(u64);

impl At {
    /// No moment.
    pub(super) const NEVER: At = At(u64::MAX);

    #[inline]
    pub(super) fn get(self) -> Option<u64> {
        (self != At::NEVER).then_some(self.0)
    }

    /// Whether the moment has come.
    pub(super) fn has_come(self, now_ms: u64) -> bool {
        self != At::NEVER && self.0 <= now_ms
    }
}

impl From<Option<u64>> for At {
    fn from(at: Option<u64>) -> At {
        at.map_or(At::NEVER, At)
    }
}

/// Whom a timer concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A connection, by its slot: CONNECT overdue, or Keep Alive.
    Connection(u32),
    /// A session: its will or its end without a connection, else a replay that waits for room.
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
    pub(super) fn set(&mut self, timer: Timer, slot: &mut At, at: Option<u64>) {
        if slot.get() == at {
            return;
        }
        if let Some(old) = slot.get() {
            self.set.remove(&(old, timer));
        }
        if let Some(at) = at {
            self.set.insert((at, timer));
        }
        *slot = at.into();
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
