//! A first start beside a file of Mosquitto's: what is in it is taken over, the file stays.
//!
//! The broker does not serve anybody before it is done. Should the power go meanwhile, the next
//! start begins anew: a file with a name of its own says that it was not finished.

use super::disk::Disk;
use super::files::{Files, parse_name};
use crate::broker::{Broker, Now};
use crate::conf::Sync;
use crate::store::journal::{Batch, Report};
use crate::store::mosquitto_db;
use std::io;
use std::path::Path;

/// Stands in the folder while a file is taken over.
const UNFINISHED: &str = "import.unfinished";

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
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            log::warn!("Warning: {name} cannot be read, nothing is taken over from it: {error}");
            return Ok(());
        }
    };
    let db = match mosquitto_db::read(&bytes) {
        Ok(db) => db,
        Err(error) => {
            log::warn!("Warning: {name} cannot be taken over: {error}");
            return Ok(());
        }
    };
    let mut result = begin(files.disk());
    let imported = broker.import(&db, now, &mut |broker| {
        if result.is_ok() {
            result = write(broker, files, now);
        }
    });
    result.and_then(|()| finish(files.disk()))?;
    log::info!(
        target: "notice",
        "Taken over from {name} (format {}): {} sessions, {} subscriptions, {} messages for them, \
         {} retained messages; {} left out. The file stays as it is.",
        db.version,
        imported.sessions,
        imported.subscriptions,
        imported.deliveries,
        imported.retained,
        imported.left_out + db.refused,
    );
    if let Some(damage) = &db.damage {
        log::warn!("Warning: {name} is damaged: {damage}; what comes behind is lost.");
    }
    Ok(())
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
