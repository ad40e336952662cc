//! What passes between the broker and whoever owns the files, besides batches.

use super::place::Place;
use super::record::Clock;
use super::writer::Segment;
use std::collections::VecDeque;

/// What was found when the log was opened, after all its records were told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The secret of the log's CRCs: that of the segments found, or a new one.
    pub salt: u64,
    /// Bytes of an ordinary segment; 0 for [`SEGMENT_BYTES`](super::writer::SEGMENT_BYTES).
    pub segment_bytes: u32,
    /// The segments found, in the order of their numbers.
    pub segments: VecDeque<Segment>,
    /// Which run of the machine this is; see [`Clock::boot`].
    pub boot: u64,
    /// The log's clock less the boot clock, in milliseconds; see [`continued`].
    pub clock_offset_ms: i64,
    /// Records that were lost to damage.
    pub damaged: u64,
    /// The newest segment with damage: everything up to it is written anew soon.
    pub damaged_through: Option<u32>,
}

/// Whole segments of the ordinary size that are set aside where the disk has room.
pub const SPARES: u32 = 2;

/// What the journal thread says about its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything before this is as durable as the configuration asks for.
    pub durable: Place,
    /// Everything before this can be read back.
    pub written: Place,
    /// How many of the [`SPARES`] there are.
    pub spares: u32,
    /// Bytes that the disk has free besides.
    pub free_bytes: u64,
    /// How it goes.
    pub state: State,
    /// Bytes written to files since the start, headers included.
    pub bytes_written: u64,
    /// Syncs of files since the start.
    pub syncs: u64,
    /// How long the last sync took, in microseconds.
    pub last_sync_us: u64,
}

/// How the journal's work goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Everything is written as it comes.
    #[default]
    Fine,
    /// There is no room on the disk.
    Full,
    /// The disk gives errors.
    Failing,
}

/// Bytes to be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Where they begin.
    pub place: Place,
    /// How many are wanted; there may be fewer.
    pub len: u32,
}

/// Time that may pass while nobody looks before the calendar is not believed any more.
const ABSENCE_MAX_MS: u64 = 366 * 24 * 3600 * 1000;

/// The log's clock at a start: it goes on from where the newest record of clocks left it.
///
/// Within one run of the machine the boot clock tells how long the broker was away. Across a boot
/// only the calendar can, and a gateway without a battery clock may have any: a time before the
/// newest record, or more than a year behind it, counts as no time at all. The second value says
/// whether the calendar was disbelieved.
pub fn continued(newest: Clock, now: Clock) -> (u64, bool) {
    if newest.boot == now.boot && now.boot_ms >= newest.boot_ms {
        return (newest.log_ms + (now.boot_ms - newest.boot_ms), false);
    }
    match now.wall_ms.checked_sub(newest.wall_ms) {
        Some(away_ms) if away_ms <= ABSENCE_MAX_MS => (newest.log_ms + away_ms, false),
        _ => (newest.log_ms, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWEST: Clock = Clock {
        boot: 1,
        boot_ms: 500,
        wall_ms: 1_000_000,
        log_ms: 7000,
    };

    fn at(boot: u64, boot_ms: u64, wall_ms: u64) -> (u64, bool) {
        let now = Clock {
            boot,
            boot_ms,
            wall_ms,
            log_ms: 0,
        };
        continued(NEWEST, now)
    }

    #[test]
    fn time_away_counts_as_far_as_a_clock_can_be_believed() {
        // The same boot: the calendar may say what it likes.
        assert_eq!(at(1, 1500, 0), (8000, false));
        assert_eq!(at(1, 1500, u64::MAX), (8000, false));
        // Another boot: the calendar tells.
        assert_eq!(at(2, 10, 1_003_000), (10_000, false));
        // But not when it stands before what was already, or fifty years ahead.
        assert_eq!(at(2, 10, 999_999), (7000, true));
        assert_eq!(at(2, 10, 50 * ABSENCE_MAX_MS), (7000, true));
    }
}
