//! The file that tells init scripts which process to signal.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;

use nix::fcntl::OFlag;

/// The pid file of the running broker, removed when dropped.
///
/// Where root started the broker, the directory may be closed to the user that it has become since:
/// then the file is emptied, so that nobody signals a stranger by what it says.
///
/// The destructor does not run in a process that is killed or ends through `process::exit`; what is
/// then left behind is overwritten by the next start.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Writes our pid in decimal, without a line end, as Mosquitto does, in place of whatever a
    /// former run left there.
    ///
    /// A symbolic link in the place of the file is refused: a pid file often lies in a directory
    /// that others can write. The error names the file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = write(path).map_err(|error| {
            let path = path.display();
            let why = match nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                nix::errno::Errno::ELOOP => "it is a symbolic link".to_owned(),
                _ => error.to_string(),
            };
            io::Error::new(
                error.kind(),
                format!("Unable to write pid file {path}: {why}"),
            )
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another broker may have been started with the same file: then it is that one's.
        if fs::read_to_string(&self.path).is_ok_and(|pid| pid != process::id().to_string()) {
            return;
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = self.path.display();
                match self.file.set_len(0) {
                    Ok(()) => log::warn!("Pid file {path} was emptied, not removed: {error}."),
                    Err(_) => log::warn!("Unable to remove pid file {path}: {error}."),
                }
            }
            _ => {}
        }
    }
}

fn write(path: &Path) -> io::Result<File> {
    let mut file: File = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)?;
    file.write_all(process::id().to_string().as_bytes())?;
    Ok(file)
}
