//! The log file: appended to, one write per line, reopened on demand, given up on never.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// How long to leave a file alone that could not be opened, and how often to see whether an open
/// one is still there.
const RETRY_S: u64 = 10;

/// A log file that may be missing for a while.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// 0 for no limit.
    bytes_max: u64,
    open: Option<Open>,
    /// When opening was last tried, or the open file looked at, in seconds since 1970.
    tried_s: i64,
    /// Lines that could not be written since the last that could.
    lost: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// What the file held when it was opened, and what was written since.
    bytes: u64,
    /// A device or a pipe does not grow and is not renamed.
    regular: bool,
    /// The last line was written in part: the next begins with a line end.
    torn: bool,
}

impl LogFile {
    /// Opens it; a failure leaves a file that tries again when lines come.
    pub(super) fn new(path: &Path, now_s: i64) -> (Self, io::Result<()>) {
        let mut this = Self {
            path: path.to_path_buf(),
            bytes_max: 0,
            open: None,
            tried_s: now_s,
            lost: 0,
        };
        let opened = this.reopen(now_s);
        (this, opened)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn limit(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    /// Opens the path again. Whatever was open stays in use if that fails.
    pub(super) fn reopen(&mut self, now_s: i64) -> io::Result<()> {
        self.tried_s = now_s;
        self.open = Some(Open::new(&self.path)?);
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Writes a line with its line end; an error means that it is not in the file.
    pub(super) fn write(&mut self, line: &str, now_s: i64) -> io::Result<()> {
        let written = self.try_write(line, now_s);
        if written.is_err() {
            self.lost += 1;
        }
        written
    }

    /// How many lines were lost before the last one that was written, told once.
    pub(super) fn recovered(&mut self) -> u64 {
        match &self.open {
            Some(open) if !open.torn => std::mem::take(&mut self.lost),
            _ => 0,
        }
    }

    fn try_write(&mut self, line: &str, now_s: i64) -> io::Result<()> {
        let is_time = now_s.abs_diff(self.tried_s) >= RETRY_S;
        if is_time && self.open.as_ref().is_some_and(Open::is_removed) {
            self.open = None;
        }
        if self.open.is_none() {
            if !is_time {
                return Err(io::ErrorKind::NotFound.into());
            }
            self.reopen(now_s)?;
        } else if is_time {
            self.tried_s = now_s;
        }
        let Some(open) = &mut self.open else {
            return Err(io::ErrorKind::NotFound.into());
        };
        open.write(line)?;
        if open.regular && self.bytes_max > 0 && open.bytes > self.bytes_max {
            self.rotate(now_s);
        }
        Ok(())
    }

    /// Moves the full file aside and begins a new one.
    fn rotate(&mut self, now_s: i64) {
        // A link stays and leads to the new file: the log is to be where its owner wants it.
        let real = fs::canonicalize(&self.path);
        let real = real.as_deref().unwrap_or(&self.path);
        let mut aside = OsString::from(real);
        aside.push(".1");
        if fs::rename(real, aside).is_ok() && self.reopen(now_s).is_ok() {
            return;
        }
        // We may not, in this directory: go on with the file, and ask again as many bytes later.
        if let Some(open) = &mut self.open {
            open.bytes = 0;
        }
    }
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o640)
            // A pipe that nobody reads must not stop us, a terminal not become ours.
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
            .open(path)?;
        let meta = file.metadata()?;
        Ok(Self {
            file,
            bytes: meta.len(),
            regular: meta.is_file(),
            torn: false,
        })
    }

    /// Whether it has no name any more. (One that was renamed is somebody's who will tell us.)
    fn is_removed(&self) -> bool {
        self.regular && self.file.metadata().is_ok_and(|meta| meta.nlink() == 0)
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.torn {
            self.put(b"\n")?;
            self.torn = false;
        }
        self.put(line.as_bytes())
    }

    /// One write for the whole: lines of several processes never mix.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.file.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(written) => {
                    self.bytes += written as u64;
                    if written == bytes.len() {
                        return Ok(());
                    }
                    self.torn = written > 0;
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
        }
    }
}
