//! One broker for each folder: a lock that goes with the process, however it ends.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The lock, held as long as this lives.
pub struct Lock {
    _file: Flock<File>,
}

/// The file that is locked; a start writes to it.
pub(super) const NAME: &str = "midge.lock";

/// Takes the lock of a folder.
///
/// # Errors
/// Another broker has it; the message names its process.
pub fn take(folder: &Path) -> io::Result<Lock> {
    let file = open(folder, true)?;
    let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| {
        if errno != Errno::EWOULDBLOCK {
            return errno.into();
        }
        let holder = holder_in(&file);
        io::Error::other(format!(
            "another broker (process {holder}) keeps its messages there: stop it, or give this one \
             another persistence_location or persistence_file"
        ))
    })?;
    let written = file
        .set_len(0)
        .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    // On a full disk the lock holds all the same.
    drop(written);
    Ok(Lock { _file: file })
}

/// The process that has the lock of a folder, as it wrote itself down; nothing is made or changed.
/// Where nobody has it, we share it for a moment.
///
/// # Errors
/// There is a lock that could not be taken anyway, for it cannot be opened.
pub fn holder(folder: &Path) -> io::Result<Option<String>> {
    let file = match open(folder, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Err((file, Errno::EWOULDBLOCK)) => Ok(Some(holder_in(&file))),
        Err((_, errno)) => Err(errno.into()),
        Ok(_) => Ok(None),
    }
}

/// Says that a folder where nothing is kept yet lies in one where a broker keeps things, next to
/// the `database` that gave it its name: it may be this one, from before it had that name.
pub fn tell_of_neighbour(folder: &Path, database: &Path) {
    let above = database.parent().filter(|above| *above != folder);
    if let Some(above) = above.filter(|above| above.join(NAME).exists()) {
        let (above, folder) = (above.display(), folder.display());
        log::warn!(
            "Warning: what was kept in {above} without a persistence_file of its own stays there; \
             this broker begins anew in {folder}. To go on with it, stop the broker, remove the \
             *.log files in {folder} and move those in {above} there."
        );
    }
}

fn open(folder: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).mode(0o600);
    // Whoever may write to the folder must not have another file emptied.
    options.custom_flags(OFlag::O_NOFOLLOW.bits());
    let opened = options.open(folder.join(NAME));
    opened.map_err(|error| io::Error::new(error.kind(), format!("{NAME}: {error}")))
}

/// Who holds it is a help, not a must.
fn holder_in(mut file: &File) -> String {
    let mut holder = [0; 20];
    let len = file.read(&mut holder).unwrap_or(0);
    String::from_utf8_lossy(&holder[..len]).trim().to_string()
}
