//! What the journal needs of an operating system: a folder of files. [`Folder`] is the real one;
//! tests have disks that fail.

use nix::fcntl::{FallocateFlags, fallocate};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A folder of files.
pub trait Disk: Send + 'static {
    /// An open file.
    type File: Send + Sync + 'static;
    /// How long to wait before what gave an error is read again.
    const PAUSE: Duration = Duration::from_millis(100);

    /// The names and lengths of all files, and of folders that may stand in their place.
    fn list(&mut self) -> io::Result<Vec<(String, u64)>>;
    /// Makes a file that only its owner may read; an existing one is an error.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;
    /// Opens a file to read and write; of a folder nothing can be read.
    fn open(&mut self, name: &str) -> io::Result<Self::File>;
    /// Sets bytes aside that read as zeros, so that writing to them cannot fail for want of room.
    fn allocate(&mut self, file: &Self::File, bytes: u64) -> io::Result<()>;
    /// Reads; fewer bytes than asked for only at the end of the file.
    fn read(file: &Self::File, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes all of it.
    fn write(&mut self, file: &Self::File, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts a file, or makes it longer.
    fn truncate(&mut self, file: &Self::File, len: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&mut self, file: &Self::File) -> io::Result<()>;
    /// Makes names that came, went or changed durable.
    fn sync_folder(&mut self) -> io::Result<()>;
    /// Gives a file another name.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Gives a file a second name.
    fn link(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Takes a name away.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Bytes that are free.
    fn free_bytes(&mut self) -> u64;
}

/// A folder of the file system.
pub struct Folder {
    path: PathBuf,
    handle: File,
}

impl Folder {
    /// Opens a folder; makes it, for its owner alone, if there is none.
    pub fn open(path: &Path) -> io::Result<Folder> {
        if !path.is_dir() {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o700))?;
        }
        Ok(Folder {
            path: path.to_owned(),
            handle: File::open(path)?,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        options
    }
}

impl Disk for Folder {
    type File = File;

    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // What vanishes meanwhile, or has no name that we would give, is not ours.
            let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata())
            else {
                continue;
            };
            if metadata.is_file() || metadata.is_dir() {
                files.push((name, metadata.len()));
            }
        }
        Ok(files)
    }

    fn create(&mut self, name: &str) -> io::Result<File> {
        Folder::options()
            .create_new(true)
            .open(self.path.join(name))
    }

    fn open(&mut self, name: &str) -> io::Result<File> {
        let path = self.path.join(name);
        match Folder::options().open(&path) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => File::open(path),
            opened => opened,
        }
    }

    fn allocate(&mut self, file: &File, bytes: u64) -> io::Result<()> {
        use nix::errno::Errno;
        let allocated = loop {
            match fallocate(file, FallocateFlags::empty(), 0, bytes as i64) {
                Err(Errno::EINTR) => {}
                result => break result,
            }
        };
        match allocated {
            Ok(()) => Ok(()),
            // The file system cannot; zeros that are written set room aside, too.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => {
                let zeros = vec![0; 64 * 1024];
                let mut at = 0;
                while at < bytes {
                    let len = (bytes - at).min(zeros.len() as u64);
                    file.write_all_at(&zeros[..len as usize], at)?;
                    at += len;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read(file: &File, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match file.read_at(&mut into[done..], at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write(&mut self, file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn truncate(&mut self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        // Not every file system has links.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    #[allow(clippy::useless_conversion)] // they are u32 on 32-bit machines
    fn free_bytes(&mut self) -> u64 {
        nix::sys::statvfs::fstatvfs(&self.handle).map_or(u64::MAX, |stat| {
            u64::from(stat.blocks_available()) * u64::from(stat.fragment_size())
        })
    }
}
