//! Where the texts come from: the disk in the program, a list of texts in tests.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The longest configuration file that is read, in bytes.
pub const FILE_MAX: u64 = 8 << 20;

/// Reads configuration files.
pub trait Source {
    /// The content of the file; an error for a directory.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The names of the entries of a directory, in any order.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Source for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let mut text = Vec::new();
        file.take(FILE_MAX + 1).read_to_end(&mut text)?;
        if text.len() as u64 > FILE_MAX {
            let what = format!("longer than {FILE_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        Ok(text)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(directory)?
            .map(|entry| Ok(PathBuf::from(entry?.file_name())))
            .collect()
    }
}

/// Files that exist in memory only, for tests.
#[derive(Debug, Clone, Default)]
pub struct Texts(BTreeMap<PathBuf, Vec<u8>>);

impl Texts {
    /// The same texts and one more at `path`; its directory exists from then on.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.into(), text.into());
        self
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file.parent() == Some(path))
    }
}

impl Source for Texts {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if self.is_directory(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        if !self.is_directory(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names = self
            .0
            .keys()
            .filter(|file| file.parent() == Some(directory))
            .filter_map(|file| file.file_name())
            .map(PathBuf::from)
            .collect();
        Ok(names)
    }
}
