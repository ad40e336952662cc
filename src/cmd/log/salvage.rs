//! `--salvage`: what can be read goes into a fresh log.
//!
//! Every good record is appended in order, changes and what is garbage by now too: what is live is
//! for the broker to say, by its own rules. Places change on the way, and the one kind of record
//! that names a place is given the new one.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::files::{Loaded, Log, name_of};
use super::replay::{Live, Replay};
use super::verify::{Sum, plural};
use super::walk::Item;
use super::{Failure, Verdict};
use crate::host::access::folder_above;
use crate::store::journal::record::Release;
use crate::store::journal::segment::Header;
use crate::store::journal::{Batch, Place, Placed, Record, Step, Writer};

/// Bytes of records that are gathered before they are written.
const BATCH_BYTES: usize = 256 * 1024;

/// Shares the locks of all folders that have one, so that no broker runs there or starts.
pub(super) fn keep_brokers_out(sources: &[PathBuf]) -> Result<Vec<Flock<File>>, Failure> {
    let mut locks = Vec::new();
    for source in sources {
        let path = source.join("midge.lock");
        let cannot = |error: io::Error| format!("cannot lock {}: {error}", path.display());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                continue;
            }
            Err(error) => return Err(cannot(error).into()),
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(lock) => locks.push(lock),
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(Failure::Error(format!(
                    "a broker is running in {}: stop it first, it changes what is to be saved",
                    source.display()
                )));
            }
            Err((_, errno)) => return Err(cannot(errno.into()).into()),
        }
    }
    Ok(locks)
}

/// Does what the flag says; the new log is complete if there is no error.
pub(super) fn salvage(log: &Log, to: &Path, out: &mut dyn io::Write) -> Result<Verdict, Failure> {
    let salt =
        getrandom::u64().map_err(|error| format!("no random numbers from the system: {error}"))?;
    let mut target = Target::make(to, salt)?;
    let mut saver = Saver {
        writer: Writer::new(salt, VecDeque::new()),
        batch: Batch::default(),
        bodies: HashMap::new(),
        replay: Replay::default(),
    };
    // Nobody may listen: that is no reason to give up.
    let mut say = |line: String| drop(writeln!(out, "{line}"));
    match save(log, &mut saver, &mut target, &mut say) {
        Ok(sum) => {
            tell(&sum, saver.replay.finish(), to, &mut say);
            Ok(Verdict::Fine)
        }
        Err(failure) => {
            // Half a log would pass for a whole one.
            target.remove();
            Err(failure)
        }
    }
}

fn save(
    log: &Log,
    saver: &mut Saver,
    target: &mut Target,
    say: &mut dyn FnMut(String),
) -> Result<Sum, Failure> {
    let mut sum = Sum::default();
    for piece in &log.pieces {
        let content = match piece.load(log.salt) {
            Loaded::Content(content) => content,
            Loaded::Unused => continue,
            Loaded::Vanished => {
                let name = &piece.name;
                return Err(Failure::Error(format!("{name} vanished meanwhile")));
            }
            Loaded::Failed(what) => {
                sum.problems += 1;
                say(format!("{}: {what}", piece.name));
                continue;
            }
        };
        for problem in &content.problems {
            say(format!("{}: {problem}", piece.name));
        }
        let tally = content.walk(|placed, item| {
            let (place, len) = (placed.place, placed.len);
            match item {
                Item::Record(record) => {
                    saver.append(placed, record);
                    saver.flush(target, BATCH_BYTES)
                }
                Item::Unknown(_) | Item::Damage | Item::Torn => {
                    let (name, offset) = (&piece.name, place.offset());
                    say(format!("{name}: lost {len} bytes at {offset}"));
                    Ok(())
                }
            }
        })?;
        sum.add(&content, tally);
    }
    saver.flush(target, 0)?;
    target.finish()?;
    Ok(sum)
}

fn tell(sum: &Sum, live: Live, to: &Path, say: &mut dyn FnMut(String)) {
    say(format!(
        "saved in {}: {} of {} bytes from {}",
        to.display(),
        plural(sum.tally.records, "record", "records"),
        sum.tally.record_bytes,
        plural(sum.files, "file", "files"),
    ));
    let subscriptions = live.sessions.iter().map(|s| s.subscriptions).sum();
    say(format!(
        "what lives in them: {}, {}, {} ({} of them retained)",
        plural(live.sessions.len() as u64, "session", "sessions"),
        plural(subscriptions, "subscription", "subscriptions"),
        plural(live.messages, "message", "messages"),
        live.retained,
    ));
    say(format!("lost: {}", sum.damage()));
    if live.bodiless > 0 {
        let messages = plural(live.bodiless, "message", "messages");
        say(format!("lost: the content of {messages}"));
    }
    if live.nameless > 0 {
        let sessions = plural(live.nameless, "session", "sessions");
        say(format!("lost: who owns {sessions}"));
    }
}

/// What goes into the new log.
struct Saver {
    writer: Writer,
    batch: Batch,
    /// Where the bodies went that a [`Release`] may name.
    bodies: HashMap<Place, Place>,
    /// What the new log comes to.
    replay: Replay,
}

impl Saver {
    fn append(&mut self, old: Placed, record: Record<'_>) {
        let record = match record {
            Record::Release(release) => {
                // There is no segment 0, so nothing is ever found there: neither is a body that is
                // not in the log, unless a later record has it.
                let nowhere = Place::new(0, release.slot.saturating_add(1));
                let body = self.bodies.get(&release.body).copied();
                let body = body.unwrap_or(nowhere);
                Record::Release(Release { body, ..release })
            }
            record => record,
        };
        let new = self.writer.append(&record);
        if let Record::Message(message) = record {
            if message.held.is_some() || message.is_body {
                self.bodies.insert(old.place, new.place);
            }
        }
        self.replay.tell(new, &record);
    }

    /// Writes what was gathered if it is more than `most` bytes.
    fn flush(&mut self, target: &mut Target, most: usize) -> Result<(), Failure> {
        if self.writer.backlog() > most && self.writer.take(&mut self.batch) {
            target.perform(&self.batch)?;
        }
        Ok(())
    }
}

/// The folder of the new log.
struct Target {
    folder: PathBuf,
    salt: u64,
    /// Whether the folder was made here.
    is_made: bool,
    made: Vec<PathBuf>,
    file: Option<File>,
}

impl Target {
    fn make(folder: &Path, salt: u64) -> Result<Target, Failure> {
        let cannot = |error: io::Error| format!("cannot use {}: {error}", folder.display());
        let is_made = match fs::read_dir(folder) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Failure::Error(format!(
                        "{} is not empty: a log is saved into an empty or a new folder only",
                        folder.display()
                    )));
                }
                false
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new()
                    .mode(0o700)
                    .create(folder)
                    .map_err(cannot)?;
                true
            }
            Err(error) => return Err(cannot(error).into()),
        };
        Ok(Target {
            folder: folder.to_owned(),
            salt,
            is_made,
            made: Vec::new(),
            file: None,
        })
    }

    fn perform(&mut self, batch: &Batch) -> Result<(), Failure> {
        let cannot = |error: io::Error| format!("cannot write the new log: {error}");
        for (step, bytes) in batch.parts() {
            match step {
                Step::Open { segment, capacity } => self.open(segment, capacity).map_err(cannot)?,
                Step::Write { offset, .. } => {
                    let file = self.file.as_ref();
                    let file = file.ok_or_else(|| "a segment was not opened".to_owned())?;
                    file.write_all_at(bytes, offset.into()).map_err(cannot)?;
                }
                // A log that is only written to keeps all its segments.
                Step::Unlink { .. } => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, segment: u32, capacity: u32) -> io::Result<()> {
        self.close()?;
        let path = self.folder.join(name_of(segment, 0));
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        self.made.push(path);
        let header = Header {
            segment,
            start: 0,
            capacity,
            salt: self.salt,
        };
        file.write_all_at(&header.encode(), 0)?;
        self.file = Some(file);
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        match self.file.take() {
            Some(file) => file.sync_all(),
            None => Ok(()),
        }
    }

    /// Makes everything durable.
    fn finish(&mut self) -> Result<(), Failure> {
        let cannot = |error: io::Error| format!("cannot write the new log: {error}");
        self.close().map_err(cannot)?;
        let sync = |folder: &Path| File::open(folder)?.sync_all();
        sync(&self.folder).map_err(cannot)?;
        if self.is_made {
            // The folder's own name; some systems do not let a parent be read.
            let _ = sync(folder_above(&self.folder));
        }
        Ok(())
    }

    /// Takes away what was made.
    fn remove(&mut self) {
        for path in &self.made {
            // There is no more to do about what cannot be removed.
            let _ = fs::remove_file(path);
        }
        if self.is_made {
            let _ = fs::remove_dir(&self.folder);
        }
    }
}
