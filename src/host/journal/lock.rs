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

const NAME: &str = "midge.lock";

/// Takes the lock of a folder.
///
/// # Errors
/// Another broker has it; the message names its process.
pub fn take(folder: &Path) -> io::Result<Lock> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    // Whoever may write to the folder must not have another file emptied.
    options.custom_flags(OFlag::O_NOFOLLOW.bits());
    let file = options
        .open(folder.join(NAME))
        .map_err(|error| io::Error::new(error.kind(), format!("{NAME}: {error}")))?;
    let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| {
        if errno != Errno::EWOULDBLOCK {
            return errno.into();
        }
        let mut holder = String::new();
        // Who holds it is a help, not a must.
        let _ = (&file).take(20).read_to_string(&mut holder);
        let holder = holder.trim();
        io::Error::other(format!(
            "another broker (process {holder}) keeps its messages there: stop it, or give this one \
             another persistence_location"
        ))
    })?;
    let written = file
        .set_len(0)
        .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    // On a full disk the lock holds all the same.
    drop(written);
    Ok(Lock { _file: file })
}
