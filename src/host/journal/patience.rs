//! Reading where the disk gives errors.
//!
//! A card or a cable that has lost its contact for a moment reads again soon, and what was
//! acknowledged is there still. So what gives errors is tried again for a while; then a block that
//! cannot be read reads as zeros, which no record is, and costs what is in it alone.
//!
//! Bounds: a kernel may take seconds for each error, and a start waits for the reading. So both
//! have a time, which a disk gets once until it has been quiet for a minute.

use super::disk::Disk;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What is given up together.
const BLOCK: usize = 4096;
/// How often and how long it is tried again, with [`Disk::PAUSE`] in between.
const TRIES: (u32, Duration) = (100, Duration::from_secs(10));
/// How long blocks may take that give errors singly; after that they are given up untried.
const SINGLY: Duration = Duration::from_secs(30);
/// After so long without errors a new one is a new story: a large bad place has its tries once.
const QUIET: Duration = Duration::from_secs(60);

/// Patience with one disk.
#[derive(Default)]
pub struct Patience {
    /// Tries that were made since it was quiet.
    tried: u32,
    /// What blocks have cost since then.
    singly: Duration,
    /// The first and the last error since then.
    errors: Option<(Instant, Instant)>,
    /// The broker ends, and waits for nobody.
    pub(super) is_over: Arc<AtomicBool>,
}

impl Patience {
    /// All of it is used up.
    #[cfg(test)]
    pub(super) fn exhausted() -> Patience {
        let now = Instant::now();
        Patience {
            tried: TRIES.0,
            singly: SINGLY,
            errors: Some((now, now)),
            ..Patience::default()
        }
    }

    /// Reads as [`Disk::read`] does, but whatever happens. Returns how many bytes, and how many
    /// blocks of them could not be read.
    #[inline(never)]
    pub fn read<D: Disk>(
        &mut self,
        (name, file): (&str, &D::File),
        at: u64,
        into: &mut [u8],
    ) -> (usize, u64) {
        loop {
            match D::read(file, at, into) {
                Ok(got) => return (got, 0),
                Err(error) if self.may_try_again() => {
                    if self.tried == 1 {
                        log::warn!("Warning: {name} of the journal cannot be read: {error}");
                    }
                    thread::sleep(D::PAUSE);
                }
                Err(_) => break,
            }
        }
        let (mut done, mut unreadable) = (0, 0);
        while done < into.len() {
            // Up to where the disk's own blocks end.
            let begin = at + done as u64;
            let len = (BLOCK - begin as usize % BLOCK).min(into.len() - done);
            let block = &mut into[done..done + len];
            let asked = Instant::now();
            if self.singly >= SINGLY || D::read(file, begin, block).is_err() {
                block.fill(0);
                unreadable += 1;
                self.singly += asked.elapsed();
            }
            done += len;
        }
        (done, unreadable)
    }

    /// Notes an error; whether what gave it is tried again.
    fn may_try_again(&mut self) -> bool {
        let now = Instant::now();
        let story = self.errors.filter(|(_, last)| now - *last < QUIET);
        let (first, _) = story.unwrap_or((now, now));
        if story.is_none() {
            (self.tried, self.singly) = (0, Duration::ZERO);
        }
        self.errors = Some((first, now));
        let (tries, time) = TRIES;
        let is_over = self.is_over.load(Ordering::Relaxed);
        let may = self.tried < tries && now - first < time && !is_over;
        self.tried += u32::from(may);
        may
    }
}
