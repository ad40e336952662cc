//! The journal thread: owns the files, and is the only one that waits for the disk.
//!
//! Two batches change hands: while the thread writes one, the broker fills the other, so that a
//! batch grows with the time the disk takes (group commit without a timer). A batch that cannot be
//! written stays, and is tried again, at once and then every second, so that everything goes on by
//! itself when the disk does. Bodies are read back by a thread of their own, which no sync holds
//! up.

use super::disk::Disk;
use super::files::{Files, Shelf, state_of};
use super::patience::Patience;
use crate::conf::Sync;
use crate::host::worker::Worker;
use crate::store::journal::{Batch, Place, Read, Report, State};
use mio::Waker;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long to wait before trying again what failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the end of the broker waits for a disk that takes nothing.
pub const FINISH_MAX: Duration = Duration::from_secs(5);
/// Reads in the reader's hands.
const READS_MAX: usize = 32;

/// The broker's end of the thread.
pub struct Journal {
    shared: Arc<Shared>,
    /// The thread has a batch.
    is_busy: bool,
    /// What cannot be read is not tried again any more.
    is_over: Arc<AtomicBool>,
    reader: Worker<Read, (Read, Option<Vec<u8>>)>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<Inner>,
    bell: Condvar,
}

#[derive(Default)]
struct Inner {
    /// What is to be done, or was done; whose turn it is says `has_work`.
    batch: Batch,
    has_work: bool,
    report: Report,
    is_news: bool,
    sync: Option<Sync>,
    must_sync: bool,
    /// The broker ends, and waits so long.
    ends_at: Option<Instant>,
    has_ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Starts the threads; everything before `durable` is.
    pub fn start<D: Disk>(
        files: Files<D>,
        sync: Sync,
        durable: Place,
        waker: &Arc<Waker>,
    ) -> io::Result<Journal> {
        let shared = Arc::new(Shared {
            state: Mutex::new(Inner {
                sync: Some(sync),
                ..Inner::default()
            }),
            bell: Condvar::new(),
        });
        let shelf: Shelf<D::File> = files.shelf();
        let mut patience = Patience::default();
        let is_over = Arc::clone(&patience.is_over);
        let read = move |read: Read| (read, shelf.read::<D>(read, &mut patience));
        let reader = Worker::new("journal-read", READS_MAX, Arc::clone(waker), read);
        let hand = Hand {
            files,
            shared: Arc::clone(&shared),
            waker: Arc::clone(waker),
            durable,
            written: durable,
            state: State::Fine,
            unsynced_since: None,
            was_told_sync: false,
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || hand.run())?;
        Ok(Journal {
            shared,
            is_busy: false,
            is_over,
            reader,
            thread: Some(thread),
        })
    }

    /// Whether a batch can be submitted.
    pub fn is_idle(&self) -> bool {
        !self.is_busy
    }

    /// Hands a batch over, for one whose buffers can be used again.
    pub fn submit(&mut self, batch: &mut Batch) {
        let mut inner = self.shared.lock();
        std::mem::swap(&mut inner.batch, batch);
        inner.has_work = true;
        self.is_busy = true;
        self.shared.bell.notify_all();
    }

    /// What the thread has to say, if there is news.
    pub fn poll_report(&mut self) -> Option<Report> {
        let mut inner = self.shared.lock();
        self.is_busy = inner.has_work;
        std::mem::take(&mut inner.is_news).then_some(inner.report)
    }

    /// Asks for bytes, or gives the question back if too many are asked already.
    pub fn try_read(&mut self, read: Read) -> Result<(), Read> {
        self.reader.try_submit(read)
    }

    /// An answer.
    pub fn poll_read(&mut self) -> Option<(Read, Option<Vec<u8>>)> {
        self.reader.try_recv()
    }

    /// Changes when is synced.
    pub fn set_sync(&mut self, sync: Sync) {
        self.shared.lock().sync = Some(sync);
        self.shared.bell.notify_all();
    }

    /// Has everything synced that was written, whatever the mode.
    pub fn sync_now(&mut self) {
        self.shared.lock().must_sync = true;
        self.shared.bell.notify_all();
    }

    /// Ends the thread after the batch at hand, with everything synced; waits for it, but no longer
    /// than `max`.
    pub fn finish(&mut self, max: Duration) {
        let until = Instant::now() + max;
        self.is_over.store(true, Ordering::Relaxed);
        let mut inner = self.shared.lock();
        inner.ends_at = Some(until);
        self.shared.bell.notify_all();
        while !inner.has_ended {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                log::error!("Error: the disk takes no more: what was not acknowledged is lost.");
                return;
            };
            let waited = self.shared.bell.wait_timeout(inner, left);
            inner = waited.map_or_else(|error| error.into_inner().0, |(inner, _)| inner);
        }
        drop(inner);
        if let Some(thread) = self.thread.take() {
            // Its panic has been reported where it happened.
            let _ = thread.join();
        }
    }
}

/// The thread's own.
struct Hand<D: Disk> {
    files: Files<D>,
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    durable: Place,
    written: Place,
    state: State,
    unsynced_since: Option<Instant>,
    /// The log has been told that the last sync failed.
    was_told_sync: bool,
}

/// What wakes the thread.
enum Call {
    Batch,
    /// Time to sync, to make a spare file, or to look again.
    Chore,
    End,
}

impl<D: Disk> Hand<D> {
    fn run(mut self) {
        self.keep_spares();
        loop {
            match self.wait() {
                Call::Batch if self.do_batch() => {}
                Call::Chore => {}
                Call::Batch | Call::End => break,
            }
            self.sync_if_due();
            self.keep_spares();
        }
        if let Err(error) = self.files.sync() {
            log::error!("Error: the journal could not be synced at the end: {error}");
        }
        self.shared.lock().has_ended = true;
        self.shared.bell.notify_all();
    }

    fn mode(&self) -> Sync {
        self.shared.lock().sync.unwrap_or(Sync::Always)
    }

    /// Waits until there is something to do.
    fn wait(&mut self) -> Call {
        let again = (self.state != State::Fine).then(|| Instant::now() + AGAIN);
        let mut inner = self.shared.lock();
        loop {
            if inner.has_work {
                return Call::Batch;
            }
            if inner.ends_at.is_some() {
                return Call::End;
            }
            if inner.must_sync {
                return Call::Chore;
            }
            // Looked at each time: the mode may have changed.
            let sync_at = self.sync_at(inner.sync.unwrap_or(Sync::Always));
            let now = Instant::now();
            inner = match sync_at.into_iter().chain(again).min() {
                None => (self.shared.bell.wait(inner)).unwrap_or_else(PoisonError::into_inner),
                Some(until) if until <= now => return Call::Chore,
                Some(until) => {
                    let waited = self.shared.bell.wait_timeout(inner, until - now);
                    waited.map_or_else(|error| error.into_inner().0, |(inner, _)| inner)
                }
            };
        }
    }

    /// When what was written is to be synced at the latest.
    fn sync_at(&self, mode: Sync) -> Option<Instant> {
        let since = self.unsynced_since?;
        match mode {
            Sync::Always => Some(since),
            Sync::Every(ms) => Some(since + Duration::from_millis(ms.into())),
            Sync::Never => None,
        }
    }

    /// Does a batch, however long it takes; `false` if the broker ends before it is done.
    fn do_batch(&mut self) -> bool {
        let batch = std::mem::take(&mut self.shared.lock().batch);
        let mut sync = self.mode();
        let mut is_first = true;
        while let Err(error) = self.files.perform(&batch, sync) {
            // What failed is given up now: another file may do.
            if std::mem::take(&mut is_first) {
                log::warn!("Warning: the journal goes on in another file after an error: {error}");
                continue;
            }
            self.tell(state_of(&error), &error);
            self.publish(None);
            if !self.wait_to_try_again() {
                log::error!(
                    "Error: the journal cannot be written at the end, what was not acknowledged is \
                     lost: {error}"
                );
                return false;
            }
            sync = self.mode();
        }
        self.written = batch.end;
        self.durable = batch.end;
        if sync == Sync::Always {
            self.unsynced_since = None;
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(Instant::now());
        }
        self.publish(Some(batch));
        true
    }

    /// Waits a while; `false` if the broker does not wait for another attempt.
    fn wait_to_try_again(&self) -> bool {
        let until = Instant::now() + AGAIN;
        let mut inner = self.shared.lock();
        loop {
            if inner.ends_at.is_some_and(|end| end <= until) {
                return false;
            }
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return true;
            };
            let waited = self.shared.bell.wait_timeout(inner, left);
            inner = waited.map_or_else(|error| error.into_inner().0, |(inner, _)| inner);
        }
    }

    fn sync_if_due(&mut self) {
        let now = Instant::now();
        let is_due = self.sync_at(self.mode()).is_some_and(|at| at <= now);
        let is_asked = std::mem::take(&mut self.shared.lock().must_sync);
        if !(is_due || is_asked && self.unsynced_since.is_some()) {
            return;
        }
        let synced = self.files.sync();
        // What could not be synced now may be later, as names can.
        self.unsynced_since = self.files.is_dirty().then_some(now);
        match synced {
            Ok(()) => self.was_told_sync = false,
            Err(error) => {
                if !std::mem::replace(&mut self.was_told_sync, true) {
                    log::error!("Error: the journal could not be synced: {error}");
                }
            }
        }
        self.publish(None);
    }

    /// Makes spare files: one after each batch, so that they never run out while much is written,
    /// and more while there is nothing else to do.
    fn keep_spares(&mut self) {
        loop {
            match self.files.make_spare() {
                Ok(true) => break,
                Ok(false) if self.shared.lock().has_work => return,
                Ok(false) => {}
                Err(error) => {
                    // What was begun can go on as far as there is room.
                    self.tell(State::Full, &error);
                    return self.publish(None);
                }
            }
        }
        if self.state != State::Fine {
            self.state = State::Fine;
            log::info!(target: "notice", "The journal can be written again: everything is kept.");
        }
        self.publish(None);
    }

    fn tell(&mut self, state: State, error: &io::Error) {
        if self.state != state {
            log::error!(
                "Error: there is no room or no way to write the journal: {error}. Messages of QoS \
                 1 and 2 that would have to be kept are refused or not acknowledged until there \
                 is; it is tried again every second."
            );
        }
        self.state = state;
    }

    /// Says how far it is; with the batch that is done comes the turn of the broker.
    fn publish(&mut self, done: Option<Batch>) {
        let report = Report {
            durable: self.durable,
            written: self.written,
            state: self.state,
            ..self.files.report()
        };
        let mut inner = self.shared.lock();
        let is_done = done.is_some();
        if let Some(done) = done {
            inner.batch = done;
            inner.has_work = false;
        }
        let known = Report {
            free_bytes: report.free_bytes,
            ..inner.report
        };
        inner.report = report;
        if known == report && !is_done {
            return;
        }
        inner.is_news = true;
        drop(inner);
        if let Err(error) = self.waker.wake() {
            log::error!("Error: the journal cannot wake the main loop: {error}");
        }
    }
}
