//! The two clocks that the broker is fed with: one that only ever goes forward, and the calendar.
//!
//! The monotonic one is the boot clock. It also counts the time that the machine slept, so that a
//! session that expires in an hour does so an hour later even if the gateway was suspended for most
//! of it, and it never moves when a gateway without a battery clock learns the date from the
//! network. Note that time-outs of the poll loop itself run on a clock that stands still during a
//! suspend: after waking up, the loop looks at this clock and finds out what is due.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::store::journal::scan::crc32;

/// Returns milliseconds since boot (never going back, suspend included) and since 1970 in UTC.
///
/// A calendar before 1970 counts as 0. A kernel that has no boot clock gives its monotonic clock.
pub fn now() -> (u64, u64) {
    (millis(since_boot()), millis(wall()))
}

/// Returns whole seconds since 1970 in UTC, as the log's time stamps want them.
pub fn wall_s() -> i64 {
    wall().as_secs().try_into().unwrap_or(i64::MAX)
}

/// Returns a number for this run of the machine: another one after each boot.
///
/// Where the kernel does not tell, it is 0, and the calendar must say how time went on.
pub fn boot() -> u64 {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let halves = [
        crc32([&id, &[]]),
        crc32([id.get(9..).unwrap_or_default(), &[]]),
    ];
    u64::from(halves[0]) << 32 | u64::from(halves[1])
}

/// Returns the first of these clocks as finely as the kernel tells it.
pub fn since_boot() -> Duration {
    read(ClockId::CLOCK_BOOTTIME)
        .or_else(|| read(ClockId::CLOCK_MONOTONIC))
        // Linux answers for CLOCK_MONOTONIC since ever, and the address we pass is valid.
        .expect("every Linux kernel has a monotonic clock")
}

/// Reads one of the kernel's clocks; `None` if the kernel does not know it.
pub(super) fn read(clock: ClockId) -> Option<Duration> {
    clock_gettime(clock).ok().map(Duration::from)
}

fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Returns the whole milliseconds of a time.
pub fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_is_the_boot_clock_and_goes_forward() {
        let before = millis(read(ClockId::CLOCK_BOOTTIME).expect("this kernel has a boot clock"));
        let mut last = now().0;
        assert!(last >= before);
        for _ in 0..1000 {
            let (mono_ms, _) = now();
            assert!(mono_ms >= last);
            last = mono_ms;
        }
        let after = millis(read(ClockId::CLOCK_BOOTTIME).expect("it still has"));
        assert!(last <= after);
    }

    #[test]
    fn the_wall_clock_agrees_with_the_file_system() {
        let dir = crate::host::testing::TempDir::new();
        let file = dir.path().join("stamp");
        std::fs::write(&file, b"x").expect("a fresh directory is writable");
        let modified = std::fs::metadata(&file)
            .and_then(|meta| meta.modified())
            .expect("Linux keeps modification times")
            .duration_since(UNIX_EPOCH)
            .expect("the file is younger than 1970");
        let (_, wall_ms) = now();
        // Generous: a loaded machine may pause between the two looks.
        assert!(wall_ms.abs_diff(millis(modified)) < 120_000);
        assert!(wall_s().abs_diff((wall_ms / 1000) as i64) < 120);
    }
}
