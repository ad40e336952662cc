//! A first start beside a file of Mosquitto's: what is in it is taken over, the file stays.
//!
//! The broker does not serve anybody before it is done. Should the power go meanwhile, the next
//! start begins anew: a file with a name of its own says that it was not finished.

use super::disk::Disk;
use super::files::{Files, parse_name};
use super::lock;
use crate::broker::{Broker, Entries, Now};
use crate::conf::Sync;
use crate::store::journal::{Batch, Report};
use crate::store::mosquitto_db::{Entry, HEADER, Scan, Step};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// What a clock says that knows the date is later: 2020, in seconds since 1970.
const DATED_S: i64 = 1_577_836_800;

/// Stands in the folder while a file is taken over.
pub const UNFINISHED: &str = "import.unfinished";

/// Removes what an earlier start took over in part.
pub fn forget_unfinished<D: Disk>(disk: &mut D) -> io::Result<()> {
    let files = disk.list()?;
    if !files.iter().any(|(name, _)| name == UNFINISHED) {
        return Ok(());
    }
    for (name, _) in files {
        if parse_name(&name).is_some() {
            match disk.remove(&name) {
                // No file of ours.
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
                removed => removed?,
            }
        }
    }
    disk.sync_folder()?;
    disk.remove(UNFINISHED)?;
    disk.sync_folder()
}

/// Whether Mosquitto's file came or changed after the last start in a folder: who put it there may
/// wait for what is in it. Nothing is known of a start whose clock had lost the date.
pub fn is_news(folder: &Path, database: &Path) -> bool {
    let changed = |file: &Path| {
        let file = file.metadata().ok()?;
        // A copy may be dated like the original.
        Some((file.mtime(), file.mtime_nsec()).max((file.ctime(), file.ctime_nsec())))
    };
    let last = changed(&folder.join(lock::NAME));
    last.is_some_and(|(last_s, _)| last_s > DATED_S) && changed(database) > last
}

/// Takes over what Mosquitto left, if it left something; says in the log what became of it.
///
/// # Errors
/// The disk does not take what was taken over. A file that cannot be read is none.
pub fn import<D: Disk>(
    broker: &mut Broker,
    files: &mut Files<D>,
    path: &Path,
    now: Now,
) -> io::Result<()> {
    let name = path.display();
    let opened = File::open(path).and_then(OldFile::new);
    // The whole of it is looked at before anything is taken over.
    let checked = opened.and_then(|file| Ok((file.walk(&mut |_| ())?, file)));
    let (scan, file) = match checked {
        Ok(checked) => checked,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            log::warn!("Warning: {name} cannot be taken over: {error}");
            return Ok(());
        }
        Err(error) => {
            log::warn!("Warning: {name} cannot be read, nothing is taken over from it: {error}");
            return Ok(());
        }
    };
    let mut result = begin(files.disk());
    let imported = broker.import(&file, now, &mut |broker| {
        if result.is_ok() {
            result = write(broker, files, now);
        }
    });
    let imported = imported.map_err(|error| io::Error::other(format!("{name}: {error}")))?;
    result.and_then(|()| finish(files.disk()))?;
    log::info!(
        target: "notice",
        "Taken over from {name} (format {}): {} sessions, {} subscriptions, {} messages for them, \
         {} retained messages; {} left out. The file stays as it is.",
        scan.version,
        imported.sessions,
        imported.subscriptions,
        imported.deliveries,
        imported.retained,
        imported.left_out + scan.refused,
    );
    if let Some(damage) = &scan.damage {
        log::warn!("Warning: {name} is damaged: {damage}; what comes behind is lost.");
    }
    Ok(())
}

/// A file of Mosquitto's, read in pieces: it may be larger than the memory there is.
struct OldFile {
    file: File,
    len: usize,
}

/// Bytes that are read at once, unless a chunk has more.
const PIECE: usize = 64 * 1024;

impl OldFile {
    fn new(file: File) -> io::Result<OldFile> {
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        Ok(OldFile { file, len })
    }

    /// Goes through it once; what a file may not have is `InvalidData`.
    fn walk(&self, take: &mut dyn FnMut(Entry<'_>)) -> io::Result<Scan> {
        let mut piece = Vec::new();
        self.read(0, HEADER, &mut piece)?;
        let scan = Scan::new(&piece, self.len);
        let mut scan = scan.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut at = 0;
        loop {
            match scan.next(piece.get(scan.at() - at..).unwrap_or_default()) {
                Step::Entry(entry) => take(entry),
                Step::More(until) => {
                    at = scan.at();
                    self.read(at, until, &mut piece)?;
                }
                Step::End => return Ok(scan),
            }
        }
    }

    /// Reads from `at` up to `until` at least, or the end.
    fn read(&self, at: usize, until: usize, piece: &mut Vec<u8>) -> io::Result<()> {
        let end = until.max(at.saturating_add(PIECE)).min(self.len);
        piece.resize(end.saturating_sub(at), 0);
        // One large message does not keep its room for the rest of them.
        piece.shrink_to(PIECE);
        self.file.read_exact_at(piece, at as u64)
    }
}

impl Entries for OldFile {
    type Error = io::Error;

    fn each(&self, take: &mut dyn FnMut(Entry<'_>)) -> io::Result<()> {
        self.walk(take).map(|_| ())
    }
}

fn begin<D: Disk>(disk: &mut D) -> io::Result<()> {
    disk.create(UNFINISHED)?;
    disk.sync_folder()
}

fn finish<D: Disk>(disk: &mut D) -> io::Result<()> {
    disk.remove(UNFINISHED)?;
    disk.sync_folder()
}

/// Writes what was recorded until now.
fn write<D: Disk>(broker: &mut Broker, files: &mut Files<D>, now: Now) -> io::Result<()> {
    let mut batch = Batch::default();
    while broker.poll_journal(&mut batch) {
        files.perform(&batch, Sync::Always)?;
        let report = Report {
            durable: batch.end,
            written: batch.end,
            ..files.report()
        };
        broker.durable(report, now);
    }
    Ok(())
}
