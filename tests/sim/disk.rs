//! A disk that crashes: what was not synced is kept, lost or torn as the dice say, sector by sector
//! and name by name; it fails and fills up on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use midge::host::journal::Disk;

/// The disk; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    rng: Rng,
    /// What the disk writes whole, or so it says.
    sector: usize,
    files: Vec<File>,
    /// The folder as programs see it, and as it is after a crash.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// What happened to names since the folder was synced.
    changes: Vec<Change>,
    free: u64,
    /// Operations until the power goes.
    fuse: u64,
    /// One in so many operations fails; 0 for none.
    failing: u32,
}

#[derive(Clone)]
enum Change {
    Add(String, usize),
    Remove(String),
}

#[derive(Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that were written and not synced.
    dirty: BTreeSet<usize>,
    /// Sectors that a sync failed on, and that no other will write.
    dropped: BTreeSet<usize>,
}

/// A file of the disk.
pub struct Handle {
    disk: SimDisk,
    file: usize,
}

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        SimDisk {
            inner: Arc::new(Mutex::new(Inner {
                sector: if seed % 4 == 0 { 4096 } else { 512 },
                rng: Rng::with_seed(seed),
                files: Vec::new(),
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                changes: Vec::new(),
                free: u64::MAX,
                fuse: u64::MAX,
                failing: 0,
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test thread panics with it")
    }

    /// The power goes after so many operations.
    pub fn set_fuse(&self, operations: u64) {
        self.lock().fuse = operations;
    }

    pub fn is_off(&self) -> bool {
        self.lock().fuse == 0
    }

    /// One operation in `n` fails from now on; none with 0.
    pub fn set_failing(&self, n: u32) {
        self.lock().failing = n;
    }

    pub fn set_free(&self, bytes: u64) {
        self.lock().free = bytes;
    }

    /// The broker was killed: the disk has all that was written, synced or not. What a sync failed
    /// on is written by the next one here: that an error, a kill and a power cut come together in
    /// this order is not looked at.
    pub fn outlive(&self) {
        let mut inner = self.lock();
        for file in &mut inner.files {
            file.dirty.append(&mut file.dropped);
        }
        inner.fuse = u64::MAX;
        inner.failing = 0;
        inner.free = u64::MAX;
    }

    /// The power is back: what is there is what was durable and some of the rest.
    pub fn crash(&self) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        for change in std::mem::take(&mut inner.changes) {
            if inner.rng.bool() {
                apply(&mut inner.durable_names, &change);
            }
        }
        inner.names = inner.durable_names.clone();
        let size = inner.sector;
        for file in &mut inner.files {
            // The length is part of what a sync makes durable.
            let len = match inner.rng.bool() {
                true => file.seen.len(),
                false => file.durable.len(),
            };
            file.durable.resize(len, 0);
            for sector in std::mem::take(&mut file.dirty) {
                let start = sector * size;
                let end = (start + size).min(len).min(file.seen.len());
                if start >= end {
                    continue;
                }
                // Kept, lost, or torn: its first bytes new, the others old.
                let kept = match inner.rng.u8(0..3) {
                    0 => 0,
                    1 => end - start,
                    _ => inner.rng.usize(0..=(end - start) / 32) * 32,
                };
                file.durable[start..start + kept].copy_from_slice(&file.seen[start..start + kept]);
            }
            file.dropped.clear();
            file.seen = file.durable.clone();
        }
        inner.fuse = u64::MAX;
        inner.failing = 0;
        inner.free = u64::MAX;
    }

    /// How many files of the journal there are.
    pub fn segments(&self) -> u64 {
        let inner = self.lock();
        let names = inner.names.keys();
        names.filter(|name| name.starts_with('0')).count() as u64
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Add(name, file) => {
            names.insert(name.clone(), *file);
        }
        Change::Remove(name) => {
            names.remove(name);
        }
    }
}

impl Inner {
    /// Counts an operation; fails if the power is off or the dice say so.
    fn operate(&mut self) -> io::Result<()> {
        if self.fuse == 0 {
            return Err(io::Error::other("the power is off"));
        }
        self.fuse -= 1;
        if self.failing > 0 && self.rng.u32(0..self.failing) == 0 {
            return Err(io::Error::other("an error of the disk"));
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn touch(&mut self, file: usize, from: usize, to: usize) {
        let sectors = from / self.sector..to.div_ceil(self.sector);
        let file = &mut self.files[file];
        file.dropped.retain(|sector| !sectors.contains(sector));
        file.dirty.extend(sectors);
    }
}

impl Disk for SimDisk {
    type File = Handle;
    const PAUSE: Duration = Duration::ZERO;

    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let inner = self.lock();
        let files = inner.names.iter();
        Ok(files
            .map(|(name, &file)| (name.clone(), inner.files[file].seen.len() as u64))
            .collect())
    }

    fn create(&mut self, name: &str) -> io::Result<Handle> {
        let mut inner = self.lock();
        inner.operate()?;
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.files.push(File::default());
        let file = inner.files.len() - 1;
        inner.change(Change::Add(name.to_owned(), file));
        drop(inner);
        let disk = self.clone();
        Ok(Handle { disk, file })
    }

    fn open(&mut self, name: &str) -> io::Result<Handle> {
        let inner = self.lock();
        let file = inner.names.get(name).copied();
        drop(inner);
        let disk = self.clone();
        file.map(|file| Handle { disk, file })
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn allocate(&mut self, file: &Handle, bytes: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.operate()?;
        if bytes > inner.free {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if inner.free != u64::MAX {
            inner.free -= bytes;
        }
        inner.files[file.file].seen.resize(bytes as usize, 0);
        Ok(())
    }

    fn read(file: &Handle, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let inner = file.disk.lock();
        let bytes = &inner.files[file.file].seen;
        let from = (at as usize).min(bytes.len());
        let len = into.len().min(bytes.len() - from);
        into[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    fn write(&mut self, file: &Handle, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        let (from, mut to) = (at as usize, at as usize + bytes.len());
        let result = inner.operate();
        if result.is_err() {
            // Some of it may have been written.
            to = from + inner.rng.usize(0..=bytes.len());
        }
        let seen = &mut inner.files[file.file].seen;
        if seen.len() < to {
            seen.resize(to, 0);
        }
        seen[from..to].copy_from_slice(&bytes[..to - from]);
        inner.touch(file.file, from, to);
        result
    }

    fn truncate(&mut self, file: &Handle, len: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.operate()?;
        inner.files[file.file].seen.resize(len as usize, 0);
        Ok(())
    }

    fn sync(&mut self, file: &Handle) -> io::Result<()> {
        let mut inner = self.lock();
        let result = inner.operate();
        let inner = &mut *inner;
        let size = inner.sector;
        let file = &mut inner.files[file.file];
        if result.is_err() {
            // The system has dropped some of it, and will not say so again.
            for sector in std::mem::take(&mut file.dirty) {
                match inner.rng.bool() {
                    true => file.dirty.insert(sector),
                    false => file.dropped.insert(sector),
                };
            }
            return result;
        }
        file.durable.resize(file.seen.len(), 0);
        for sector in std::mem::take(&mut file.dirty) {
            let start = (sector * size).min(file.seen.len());
            let end = (start + size).min(file.seen.len());
            file.durable[start..end].copy_from_slice(&file.seen[start..end]);
        }
        Ok(())
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.operate()?;
        let inner = &mut *inner;
        for change in inner.changes.drain(..) {
            apply(&mut inner.durable_names, &change);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.operate()?;
        let Some(&file) = inner.names.get(from) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        inner.change(Change::Add(to.to_owned(), file));
        inner.change(Change::Remove(from.to_owned()));
        Ok(())
    }

    fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.operate()?;
        let Some(&file) = inner.names.get(from) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        inner.change(Change::Add(to.to_owned(), file));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.operate()?;
        if !inner.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn free_bytes(&mut self) -> u64 {
        self.lock().free
    }
}
