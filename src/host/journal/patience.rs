//! Reading where the disk gives errors.
//!
//! A card or a cable that has lost its contact for a moment reads again soon, and what was
//! acknowledged is there still. So what gives errors is tried again for a while; then a block that
//! cannot be read reads as zeros, which no record is, and costs what is in it alone.

use super::disk::Disk;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What is given up together.
const BLOCK: usize = 4096;
/// How often it is tried again, with [`Disk::PAUSE`] in between: ten seconds.
const TRIES: u32 = 100;
/// After so long without errors a new one is a new story: a large bad place has its tries once.
const QUIET: Duration = Duration::from_secs(60);

/// Patience with one disk.
#[derive(Default)]
pub struct Patience {
    /// Tries that were made since it was quiet.
    tried: u32,
    last: Option<Instant>,
    /// The broker ends, and waits for nobody.
    pub(super) is_over: Arc<AtomicBool>,
}

impl Patience {
    /// Reads as [`Disk::read`] does, but whatever happens. Returns how many bytes, and how many
    /// blocks of them could not be read.
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
            if D::read(file, begin, block).is_err() {
                block.fill(0);
                unreadable += 1;
            }
            done += len;
        }
        (done, unreadable)
    }

    /// Notes an error; whether what gave it is tried again.
    fn may_try_again(&mut self) -> bool {
        let now = Instant::now();
        let last = self.last.replace(now);
        if last.is_some_and(|last| now - last >= QUIET) {
            self.tried = 0;
        }
        let may = self.tried < TRIES && !self.is_over.load(Ordering::Relaxed);
        self.tried += u32::from(may);
        may
    }
}
