//! A disk in memory that fails on demand and forgets what was not synced.
//!
//! It is as unkind as the standard allows: a power cut keeps any part of the blocks that were
//! written and not synced, and any of the names that changed since the folder was synced. After a
//! sync that failed the blocks count as clean: the next sync succeeds and keeps none of them.

use crate::host::journal::Disk;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What may reach the disk on its own.
const BLOCK: usize = 512;

/// What a disk can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Create,
    Open,
    Allocate,
    Read,
    Write,
    Truncate,
    Sync,
    SyncFolder,
    Rename,
    Link,
    Remove,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    /// What a power cut leaves for sure.
    durable: Vec<u8>,
    /// What a reader sees.
    cached: Vec<u8>,
    /// Blocks that were written and may or may not be kept.
    dirty: BTreeSet<usize>,
    /// A length that was set and not synced.
    has_new_len: bool,
    allocated: u64,
}

#[derive(Clone, Debug)]
enum NameOp {
    Add(String, usize),
    Rename(String, String),
    Remove(String),
}

/// The state of the disk.
#[derive(Default)]
pub struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    name_ops: Vec<NameOp>,
    /// Bytes that files may take together.
    pub capacity: Option<u64>,
    /// What fails, with which error, how many times.
    pub faults: Vec<(Op, i32, u32)>,
    /// Of so many operations one fails; 0 for none.
    pub fault_rate: usize,
    /// Operations until the power goes.
    pub power_left: Option<u64>,
    pub has_no_links: bool,
    /// Blocks that cannot be read: inode and number.
    bad_blocks: Vec<(usize, usize)>,
    /// What was done, in order.
    pub done: Vec<(Op, String)>,
    rng: Option<Rng>,
}

/// A handle on the disk; all of them see the same.
#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<State>>);

/// An open file.
#[derive(Clone)]
pub struct FakeFile {
    inode: usize,
    disk: Fake,
}

pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

impl Fake {
    pub fn seeded(seed: u64) -> Fake {
        let fake = Fake::default();
        fake.state().rng = Some(Rng::with_seed(seed));
        fake
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }

    /// Has the next `times` operations of a kind fail.
    pub fn fail(&self, op: Op, error: i32, times: u32) {
        self.state().faults.push((op, error, times));
    }

    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub fn bytes_of(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.names[name]].cached.clone()
    }

    /// Puts a file there that was always there.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let inode = Inode {
            durable: bytes.to_vec(),
            cached: bytes.to_vec(),
            ..Inode::default()
        };
        state.inodes.push(inode);
        let number = state.inodes.len() - 1;
        state.names.insert(name.to_owned(), number);
        state.durable_names.insert(name.to_owned(), number);
    }

    /// Has a block of a file give errors when it is read.
    pub fn spoil_block(&self, name: &str, block: usize) {
        let mut state = self.state();
        let inode = state.names[name];
        state.bad_blocks.push((inode, block));
    }

    /// What is left when the power goes: a new disk, on which everything works.
    pub fn cut(&self, rng: &mut Rng) -> Fake {
        let state = self.state();
        let mut names = state.durable_names.clone();
        for op in &state.name_ops {
            if rng.bool() {
                apply(&mut names, op);
            }
        }
        let inodes = state.inodes.iter().map(|inode| cut_inode(inode, rng));
        let left = State {
            inodes: inodes.collect(),
            durable_names: names.clone(),
            names,
            capacity: state.capacity,
            rng: Some(rng.fork()),
            ..State::default()
        };
        Fake(Arc::new(Mutex::new(left)))
    }
}

fn cut_inode(inode: &Inode, rng: &mut Rng) -> Inode {
    let mut bytes = inode.durable.clone();
    if inode.has_new_len && rng.bool() {
        bytes.resize(inode.cached.len(), 0);
    }
    for &block in &inode.dirty {
        let from = block * BLOCK;
        let until = (from + BLOCK).min(inode.cached.len());
        if rng.bool() && from < until {
            bytes.resize(bytes.len().max(until), 0);
            bytes[from..until].copy_from_slice(&inode.cached[from..until]);
        }
    }
    Inode {
        durable: bytes.clone(),
        cached: bytes,
        allocated: inode.allocated,
        ..Inode::default()
    }
}

fn apply(names: &mut BTreeMap<String, usize>, op: &NameOp) {
    match op {
        NameOp::Add(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        NameOp::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameOp::Remove(name) => {
            names.remove(name);
        }
    }
}

fn missing() -> io::Error {
    io::Error::from_raw_os_error(2)
}

impl State {
    /// One operation: it may fail.
    fn step(&mut self, op: Op, what: &str) -> io::Result<()> {
        self.done.push((op, what.to_owned()));
        if let Some(left) = &mut self.power_left {
            if *left == 0 {
                return Err(io::Error::from_raw_os_error(EIO));
            }
            *left -= 1;
        }
        let fault = (self.faults.iter_mut()).find(|fault| fault.0 == op && fault.2 > 0);
        if let Some((_, error, times)) = fault {
            *times -= 1;
            return Err(io::Error::from_raw_os_error(*error));
        }
        let rate = self.fault_rate;
        let rng = self.rng.as_mut();
        if rate > 0 && rng.is_some_and(|rng| rng.usize(..rate) == 0) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }

    fn taken(&self) -> u64 {
        let mut used: Vec<usize> = self.names.values().copied().collect();
        used.sort_unstable();
        used.dedup();
        let size = |inode: &Inode| inode.allocated.max(inode.cached.len() as u64);
        used.iter().map(|&inode| size(&self.inodes[inode])).sum()
    }

    fn has_room(&self, more: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if self.taken() + more > capacity => {
                Err(io::Error::from_raw_os_error(ENOSPC))
            }
            _ => Ok(()),
        }
    }

    fn name_op(&mut self, op: NameOp) {
        apply(&mut self.names, &op);
        self.name_ops.push(op);
    }

    /// Writes as many bytes as `len` says, and no more.
    fn put_bytes(&mut self, inode: usize, at: usize, bytes: &[u8]) {
        let inode = &mut self.inodes[inode];
        let end = at + bytes.len();
        inode.cached.resize(inode.cached.len().max(end), 0);
        inode.cached[at..end].copy_from_slice(bytes);
        inode.dirty.extend(at / BLOCK..end.div_ceil(BLOCK));
    }
}

impl Disk for Fake {
    type File = FakeFile;
    const PAUSE: Duration = Duration::ZERO;

    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        let len = |inode: usize| state.inodes[inode].cached.len() as u64;
        let names = state.names.iter();
        Ok(names.map(|(name, &i)| (name.clone(), len(i))).collect())
    }

    fn create(&mut self, name: &str) -> io::Result<FakeFile> {
        let mut state = self.state();
        state.step(Op::Create, name)?;
        if state.names.contains_key(name) {
            return Err(io::Error::from_raw_os_error(17));
        }
        state.inodes.push(Inode::default());
        let inode = state.inodes.len() - 1;
        state.name_op(NameOp::Add(name.to_owned(), inode));
        let disk = self.clone();
        Ok(FakeFile { inode, disk })
    }

    fn open(&mut self, name: &str) -> io::Result<FakeFile> {
        let mut state = self.state();
        state.step(Op::Open, name)?;
        let inode = *state.names.get(name).ok_or_else(missing)?;
        let disk = self.clone();
        Ok(FakeFile { inode, disk })
    }

    fn allocate(&mut self, file: &FakeFile, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        state.step(Op::Allocate, "")?;
        let have = state.inodes[file.inode].cached.len() as u64;
        state.has_room(bytes.saturating_sub(have))?;
        let inode = &mut state.inodes[file.inode];
        inode.allocated = bytes;
        inode.cached.resize((bytes as usize).max(have as usize), 0);
        inode.has_new_len = true;
        Ok(())
    }

    fn read(file: &FakeFile, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut state = file.disk.state();
        state.step(Op::Read, "")?;
        let len = state.inodes[file.inode].cached.len();
        let at = (at as usize).min(len);
        let got = into.len().min(len - at);
        let blocks = at / BLOCK..(at + got).div_ceil(BLOCK);
        let is_bad = |&(inode, block)| inode == file.inode && blocks.contains(&block);
        if state.bad_blocks.iter().any(is_bad) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        into[..got].copy_from_slice(&state.inodes[file.inode].cached[at..at + got]);
        Ok(got)
    }

    fn write(&mut self, file: &FakeFile, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let may = state.step(Op::Write, &format!("{at}"));
        let have = state.inodes[file.inode].cached.len() as u64;
        let may = may.and(state.has_room((at + bytes.len() as u64).saturating_sub(have)));
        // Half of it is written when it fails, as a file system may do.
        let len = if may.is_ok() {
            bytes.len()
        } else {
            bytes.len() / 2
        };
        if may.is_ok() || at + len as u64 <= have {
            state.put_bytes(file.inode, at as usize, &bytes[..len]);
        }
        may
    }

    fn truncate(&mut self, file: &FakeFile, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.step(Op::Truncate, "")?;
        let inode = &mut state.inodes[file.inode];
        inode.cached.resize(len as usize, 0);
        inode.allocated = inode.allocated.min(len);
        inode.has_new_len = true;
        Ok(())
    }

    fn sync(&mut self, file: &FakeFile) -> io::Result<()> {
        let mut state = self.state();
        let mut names = state.names.iter();
        let name = names.find(|(_, inode)| **inode == file.inode);
        let name = name.map(|(name, _)| name.clone()).unwrap_or_default();
        let may = state.step(Op::Sync, &name);
        let mut rng = state.rng.clone().unwrap_or_else(|| Rng::with_seed(1));
        let inode = &mut state.inodes[file.inode];
        if may.is_ok() {
            inode.durable.resize(inode.cached.len(), 0);
            for &block in &inode.dirty {
                let from = block * BLOCK;
                let until = (from + BLOCK).min(inode.cached.len());
                if from < until {
                    inode.durable[from..until].copy_from_slice(&inode.cached[from..until]);
                }
            }
        } else {
            inode.durable = cut_inode(inode, &mut rng).durable;
        }
        // Also after an error: the kernel has given these blocks up.
        inode.dirty.clear();
        inode.has_new_len = false;
        may
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.step(Op::SyncFolder, "")?;
        state.durable_names = state.names.clone();
        state.name_ops.clear();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step(Op::Rename, to)?;
        if !state.names.contains_key(from) {
            return Err(missing());
        }
        state.name_op(NameOp::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step(Op::Link, to)?;
        if state.has_no_links {
            return Err(io::Error::from_raw_os_error(1));
        }
        let inode = *state.names.get(from).ok_or_else(missing)?;
        state.name_op(NameOp::Add(to.to_owned(), inode));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step(Op::Remove, name)?;
        if !state.names.contains_key(name) {
            return Err(missing());
        }
        state.name_op(NameOp::Remove(name.to_owned()));
        Ok(())
    }

    fn free_bytes(&mut self) -> u64 {
        let state = self.state();
        let capacity = state.capacity.unwrap_or(u64::MAX / 2);
        capacity.saturating_sub(state.taken())
    }
}
