//! The loop and the journal: batches and reads out, reports and bytes in, never a wait.

use super::{Loop, Now, clock};
use crate::conf::Sync;
use crate::host::journal::import;
use crate::host::journal::thread::FINISH_MAX;
use crate::host::journal::{Disk, Files, Folder, Journal, lock, open};
use crate::store::journal::record::Clock;
use crate::store::journal::{Batch, Opened, Read};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the end waits for acknowledgements to become durable, so that they can still be sent.
const LAST_PROMISES: Duration = Duration::from_secs(3);

/// The loop's end of the journal.
#[derive(Default)]
pub(super) struct Keeping {
    journal: Option<Journal>,
    batch: Batch,
    /// Reads that the reader had no hand free for.
    reads: VecDeque<Read>,
    lock: Option<lock::Lock>,
    /// At the end something did not become durable in time: nothing is waited for any more.
    is_stuck: bool,
    /// The broker's clock less the boot clock.
    offset_ms: i64,
    /// The calendar less the boot clock, and when by the latter it is looked at again.
    calendar_ms: i64,
    calendar_due_ms: u64,
}

/// How old what is known of the calendar may be. On many small processors each look at a clock is a
/// system call, and who needs the calendar needs the day. (A turn looked eight times, now twice; on
/// x86-64 each is 45 ns.)
const CALENDAR_MS: u64 = 1000;

impl Keeping {
    /// The time, on the clock that goes on where the journal left it.
    pub(super) fn now(&self) -> Now {
        let (boot_ms, wall_ms) = clock::now();
        Now {
            mono_ms: boot_ms.saturating_add_signed(self.offset_ms),
            wall_ms,
        }
    }

    /// The same for a moment of the boot clock that has just been.
    pub(super) fn at(&mut self, since_boot: Duration) -> Now {
        let boot_ms = clock::millis(since_boot);
        if boot_ms >= self.calendar_due_ms {
            let (boot_ms, wall_ms) = clock::now();
            self.calendar_ms = wall_ms as i64 - boot_ms as i64;
            self.calendar_due_ms = boot_ms + CALENDAR_MS;
        }
        Now {
            mono_ms: boot_ms.saturating_add_signed(self.offset_ms),
            wall_ms: boot_ms.saturating_add_signed(self.calendar_ms),
        }
    }
}

impl Loop {
    /// Keeps what must survive in a folder, and takes over what is there; at a first start, that is
    /// what Mosquitto left in its `database`.
    ///
    /// # Errors
    /// The folder cannot be used, another broker uses it, or a newer one wrote what is in it.
    pub fn keep(&mut self, folder: &Path, database: &Path, sync: Sync) -> io::Result<()> {
        let mut disk = Folder::open(folder)?;
        let is_news = import::is_news(folder, database);
        self.keeping.lock = Some(lock::take(folder)?);
        import::forget_unfinished(&mut disk)?;
        let began = Instant::now();
        let (mut files, opened) = self.restore(disk)?;
        let segments = opened.segments.len();
        self.keeping.offset_ms = opened.clock_offset_ms;
        let now = self.keeping.now();
        let inventory = self.broker.start_journal(opened, now);
        if segments == 0 {
            lock::tell_of_neighbour(folder, database);
            import::import(&mut self.broker, &mut files, database, now)?;
        } else if is_news {
            log::warn!(
                "Warning: {} is newer than the last start and is not taken over: that happens in a \
                 folder without a journal only. If it is to count instead of what is kept, stop \
                 the broker, remove the *.log files in {} and start it again.",
                database.display(),
                folder.display()
            );
        }
        self.broker.note_sync(sync == Sync::Always);
        let durable = self.broker.durable_place();
        self.keeping.journal = Some(Journal::start(files, sync, durable, &self.waker)?);
        if segments > 0 {
            log::info!(
                "Restored {inventory} from {} ({segments} segments) in {} ms.",
                folder.display(),
                began.elapsed().as_millis()
            );
        }
        Ok(())
    }

    fn restore<D: Disk>(&mut self, disk: D) -> io::Result<(Files<D>, Opened)> {
        let (boot_ms, wall_ms) = clock::now();
        let now = Clock {
            boot: clock::boot(),
            boot_ms,
            wall_ms,
            log_ms: 0,
        };
        let salt = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let broker = &mut self.broker;
        open(disk, now, salt, &mut |placed, record| {
            broker.restore(placed, record);
        })
    }

    /// What the journal's threads have to say.
    pub(super) fn hear_journal(&mut self, now: Now) {
        let Some(journal) = &mut self.keeping.journal else {
            return;
        };
        if let Some(report) = journal.poll_report() {
            self.broker.durable(report, now);
        }
        while let Some((read, bytes)) = journal.poll_read() {
            self.broker.fetched(read, bytes.as_deref(), now);
        }
    }

    /// What the broker wants of them.
    pub(super) fn feed_journal(&mut self) {
        let Keeping {
            journal: Some(journal),
            batch,
            reads,
            ..
        } = &mut self.keeping
        else {
            return;
        };
        if journal.is_idle() && self.broker.poll_journal(batch) {
            journal.submit(batch);
        }
        reads.extend(std::iter::from_fn(|| self.broker.poll_fetch()));
        while let Some(read) = reads.pop_front() {
            if let Err(read) = journal.try_read(read) {
                reads.push_front(read);
                break;
            }
        }
    }

    /// Has everything synced that was written, where that is not done anyway.
    pub(super) fn sync_journal(&mut self) {
        if let Some(journal) = &mut self.keeping.journal {
            journal.sync_now();
        }
    }

    /// When is synced from now on.
    pub(super) fn set_sync(&mut self, sync: Sync) {
        if let Some(journal) = &mut self.keeping.journal {
            journal.set_sync(sync);
            self.broker.note_sync(sync == Sync::Always);
        }
    }

    /// Waits a while until what was promised is durable, so that the promises can be sent.
    pub(super) fn await_journal(&mut self) {
        let until = Instant::now() + LAST_PROMISES;
        while self.keeping.journal.is_some() && !self.broker.is_all_durable() {
            self.keeping.is_stuck |= Instant::now() >= until;
            if self.keeping.is_stuck {
                return;
            }
            self.feed_journal();
            let left = until.saturating_duration_since(Instant::now());
            // The waker rings when there is news; other events are too late anyway.
            if self.poll.poll(&mut self.events, Some(left)).is_err() {
                return;
            }
            let now = self.now();
            self.hear_journal(now);
        }
    }

    /// The last batches, then the end of the threads.
    pub(super) fn finish_journal(&mut self) {
        self.await_journal();
        self.broker.seal_journal(self.now());
        self.await_journal();
        self.feed_journal();
        if let Some(journal) = &mut self.keeping.journal {
            // A disk that takes nothing has had its time.
            journal.finish(match self.keeping.is_stuck {
                true => Duration::from_secs(1),
                false => FINISH_MAX,
            });
        }
    }

    pub(super) fn now(&self) -> Now {
        self.keeping.now()
    }
}
