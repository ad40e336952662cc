//! The files of the journal: which file holds what, and doing what a batch says.
//!
//! A segment is one file, as a rule. A file that a write or a sync failed on is never trusted
//! again: what it did not make durable goes to a *continuation*, another file of the same segment
//! that begins there. Places do not change by that, so nobody else notices. Spare files are made
//! ahead, so that a full disk shows before a promise depends on it.
//!
//! Order is what a power cut must not change. A segment begins when all before it is durable, so
//! that only the end of the log can be torn; its records come when its header and name are durable,
//! so that they are found. A segment goes when what it was copied to is durable, and for good
//! before the next one goes, so that what a later segment ended cannot come back.

use super::disk::Disk;
use super::patience::Patience;
use crate::conf::Sync;
use crate::store::journal::segment::{HEADER_LEN, Header};
use crate::store::journal::writer::SEGMENT_BYTES;
use crate::store::journal::{self, Batch, Place, Read, Report, State, Step};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Spare files that are kept.
pub const SPARES: usize = journal::SPARES as usize;

/// Segments with higher numbers are none of ours without our header: no log gets that far, but it
/// may go on behind a stranger's file.
pub(super) const SEGMENT_MAX: u32 = 0xf000_0000;

/// No file is longer: a record has at most a packet of 256 MiB and the words around it.
pub(super) const FILE_MAX: u32 = 300 * 1024 * 1024;

/// A file of a segment.
pub(super) struct Part<F> {
    pub(super) name: String,
    pub(super) file: Arc<F>,
    /// Bytes on the disk.
    pub(super) bytes: u64,
    /// A write or sync failed on it: it is read from only.
    is_given_up: bool,
}

/// A file with something that was written and not synced.
struct Dirty<F> {
    key: (u32, u32),
    file: Arc<F>,
    /// Whoever wrote it was told that it is done, and does not have it any more.
    is_reported: bool,
}

/// All files, in the order of their segments and of where in the segment they begin.
pub(super) struct Parts<F>(Vec<((u32, u32), Part<F>)>);

impl<F> Parts<F> {
    pub(super) fn new() -> Parts<F> {
        Parts(Vec::new())
    }

    fn find(&self, key: (u32, u32)) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |&(key, _)| key)
    }

    /// Takes a file in, in place of one that was there.
    pub(super) fn insert(&mut self, key: (u32, u32), part: Part<F>) {
        match self.find(key) {
            Ok(at) => self.0[at].1 = part,
            Err(at) => self.0.insert(at, (key, part)),
        }
    }

    fn remove(&mut self, key: (u32, u32)) {
        if let Ok(at) = self.find(key) {
            self.0.remove(at);
        }
    }

    /// The number of the file that a place lies in.
    fn at(&self, place: Place) -> Option<usize> {
        let (segment, offset) = (place.segment(), place.offset());
        let behind = (self.0).partition_point(|&(key, _)| key <= (segment, offset));
        let at = behind.checked_sub(1)?;
        (self.0[at].0.0 == segment).then_some(at)
    }

    /// Takes all files of a segment out.
    fn remove_segment(&mut self, segment: u32) -> impl Iterator<Item = Part<F>> {
        let begin = (self.0).partition_point(|(key, _)| key.0 < segment);
        let end = (self.0).partition_point(|(key, _)| key.0 <= segment);
        self.0.drain(begin..end).map(|(_, part)| part)
    }
}

/// The files that may be read, for whoever does.
pub struct Shelf<F> {
    parts: Arc<Mutex<Parts<F>>>,
}

impl<F> Clone for Shelf<F> {
    fn clone(&self) -> Shelf<F> {
        Shelf {
            parts: Arc::clone(&self.parts),
        }
    }
}

/// The files of one journal.
///
/// Invariants: a part that is not in `dirty` was synced or given up; names in `doomed` are of no
/// part.
pub struct Files<D: Disk> {
    disk: D,
    salt: u64,
    shelf: Shelf<D::File>,
    spares: Vec<String>,
    segment_bytes: u32,
    /// The last spare file could not be made.
    lacks_room: bool,
    dirty: Vec<Dirty<D::File>>,
    /// Names changed that the folder has not made durable.
    has_new_names: bool,
    /// Files to remove, in this order.
    doomed: VecDeque<String>,
    /// The log has been told that removing does not work.
    was_told_doomed: bool,
    /// Something that was reported may be lost: what it was copied from is kept.
    has_lost: bool,
    counts: Report,
}

/// The name of the file that holds a segment from `start` on.
pub(super) fn name_of(segment: u32, start: u32) -> String {
    match start {
        0 => format!("{segment:08}.log"),
        start => format!("{segment:08}-{start:08x}.log"),
    }
}

/// What [`name_of`] made a name of.
pub(super) fn parse_name(name: &str) -> Option<(u32, u32)> {
    let stem = name.strip_suffix(".log")?;
    let (segment, start) = match stem.split_once('-') {
        None => (stem, 0),
        Some((segment, start)) => (segment, u32::from_str_radix(start, 16).ok()?),
    };
    let segment: u32 = segment.parse().ok()?;
    let is_ours = (1..u32::MAX).contains(&segment)
        && (start == 0 || (HEADER_LEN..=FILE_MAX).contains(&start));
    (is_ours && name_of(segment, start) == name).then_some((segment, start))
}

/// Where in its file a byte of a segment is.
fn offset_in_file(start: u32, offset: u32) -> u64 {
    match start {
        0 => offset.into(),
        start => u64::from(HEADER_LEN) + u64::from(offset - start),
    }
}

impl<F: Send + std::marker::Sync + 'static> Shelf<F> {
    pub(super) fn parts(&self) -> MutexGuard<'_, Parts<F>> {
        // Nothing is left half done by a panic while the lock is held.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads back; `None` if there is no such file any more.
    pub fn read<D: Disk<File = F>>(&self, read: Read, patience: &mut Patience) -> Option<Vec<u8>> {
        let offset = read.place.offset();
        let (key, file, at, len) = {
            let parts = self.parts();
            let at = parts.at(read.place)?;
            let ((segment, start), part) = &parts.0[at];
            let next = (parts.0.get(at + 1)).filter(|(key, _)| key.0 == *segment);
            let end = next.map(|(key, _)| key.1);
            let len = end.map_or(read.len, |end| read.len.min(end - offset));
            let at = offset_in_file(*start, offset);
            let left = part.bytes.saturating_sub(at);
            let key = (*segment, *start);
            (key, Arc::clone(&part.file), at, u64::from(len).min(left))
        };
        let mut bytes = vec![0; len as usize];
        let name = name_of(key.0, key.1);
        let (got, _) = patience.read::<D>((&name, &file), at, &mut bytes);
        bytes.truncate(got);
        Some(bytes)
    }
}

impl<D: Disk> Files<D> {
    pub(super) fn new(disk: D, salt: u64, parts: Parts<D::File>) -> Files<D> {
        let parts = Arc::new(Mutex::new(parts));
        Files {
            disk,
            salt,
            shelf: Shelf { parts },
            spares: Vec::new(),
            segment_bytes: SEGMENT_BYTES,
            lacks_room: false,
            dirty: Vec::new(),
            has_new_names: false,
            doomed: VecDeque::new(),
            was_told_doomed: false,
            has_lost: false,
            counts: Report::default(),
        }
    }

    /// Makes spare files of another size from now on.
    pub fn set_segment_bytes(&mut self, bytes: u32) {
        self.segment_bytes = bytes;
    }

    /// The files, to read from.
    pub fn shelf(&self) -> Shelf<D::File> {
        self.shelf.clone()
    }

    /// The folder.
    pub fn disk(&mut self) -> &mut D {
        &mut self.disk
    }

    /// What there is to say, but for how far it is.
    pub fn report(&mut self) -> Report {
        // One that is used is made anew at once: until that fails there is room for it.
        let spares = match self.lacks_room {
            true => self.spares.len(),
            false => SPARES,
        };
        Report {
            spares: spares as u32,
            free_bytes: self.disk.free_bytes(),
            ..self.counts
        }
    }

    /// Does what a batch says; `Sync::Always` has it all durable at the end.
    ///
    /// After an error the same batch can be tried again: what failed is given up, and goes
    /// elsewhere then.
    pub fn perform(&mut self, batch: &Batch, sync: Sync) -> io::Result<()> {
        // First: this may be what makes room for the rest.
        for step in &batch.steps {
            if let Step::Unlink { segment } = *step {
                self.doom(segment);
            }
        }
        self.remove_doomed();
        if sync == Sync::Always && self.dirty.iter().any(|dirty| dirty.is_reported) {
            // The mode is a new one: this batch may say that everything before it is durable.
            self.sync()?;
        }
        for (step, bytes) in batch.parts() {
            match step {
                Step::Open { segment, capacity } => self.open_segment(segment, capacity, sync)?,
                Step::Write {
                    segment, offset, ..
                } => self.write(Place::new(segment, offset), bytes, sync)?,
                Step::Unlink { .. } => {}
            }
        }
        if sync == Sync::Always {
            return self.sync();
        }
        self.dirty.iter_mut().for_each(|d| d.is_reported = true);
        Ok(())
    }

    /// Makes everything durable that was written; what cannot be is given up, and the first error
    /// returned.
    pub fn sync(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for dirty in std::mem::take(&mut self.dirty) {
            let began = Instant::now();
            let synced = self.disk.sync(&dirty.file);
            self.counts.syncs += 1;
            self.counts.last_sync_us = began.elapsed().as_micros() as u64;
            if let Err(error) = synced {
                self.give_up(dirty.key);
                self.has_lost |= dirty.is_reported;
                if dirty.is_reported {
                    log::error!(
                        "Error: the disk did not take what was written to {}: {error}. What was \
                         acknowledged since the last sync may be lost if the power goes.",
                        name_of(dirty.key.0, dirty.key.1)
                    );
                }
                result = result.and(Err(error));
            }
        }
        result?;
        if self.has_new_names {
            self.disk.sync_folder()?;
            self.has_new_names = false;
        }
        Ok(())
    }

    /// Whether something was written that is not durable.
    pub fn is_dirty(&self) -> bool {
        self.has_new_names || !self.dirty.is_empty()
    }

    /// Makes a spare file if there are too few; whether there are enough now.
    pub fn make_spare(&mut self) -> io::Result<bool> {
        let names = (1..).map(|number| format!("spare-{number}.log"));
        let is_free = |name: &String| !self.spares.contains(name);
        let missing = (self.spares.len() < SPARES).then(|| names.take(SPARES).find(is_free));
        if let Some(name) = missing.flatten() {
            if let Err(error) = self.create(&name, u64::from(self.segment_bytes)) {
                // A file that is no use must not take room.
                let _ = self.disk.remove(&name);
                self.lacks_room = true;
                return Err(error);
            }
            self.spares.push(name);
        }
        let is_enough = self.spares.len() >= SPARES;
        self.lacks_room &= !is_enough;
        Ok(is_enough)
    }

    pub(super) fn take_spare(&mut self, name: String) {
        self.spares.push(name);
    }

    /// Makes a file of this many bytes that are set aside.
    fn create(&mut self, name: &str, bytes: u64) -> io::Result<D::File> {
        // One that is left over from an attempt that failed holds nothing that counts.
        let _ = self.disk.remove(name);
        let file = self.disk.create(name)?;
        self.disk.allocate(&file, bytes)?;
        self.counts.syncs += 1;
        self.disk.sync(&file)?;
        Ok(file)
    }

    fn open_segment(&mut self, segment: u32, capacity: u32, sync: Sync) -> io::Result<()> {
        if self.shelf.parts().find((segment, 0)).is_ok() {
            return Ok(());
        }
        if sync != Sync::Never {
            // What lies before is whole then: only the end of the log can be torn.
            self.sync()?;
        }
        let name = name_of(segment, 0);
        let spare = (capacity == self.segment_bytes).then(|| self.spares.pop());
        let file = match spare.flatten() {
            Some(spare) => {
                self.disk.rename(&spare, &name)?;
                self.disk.open(&name)?
            }
            None => self.create(&name, capacity.into())?,
        };
        self.add((segment, 0), capacity, name, file, sync)
    }

    /// Writes the header of a new file and takes it in.
    fn add(
        &mut self,
        key: (u32, u32),
        capacity: u32,
        name: String,
        file: D::File,
        sync: Sync,
    ) -> io::Result<()> {
        self.has_new_names = true;
        let header = Header {
            segment: key.0,
            start: key.1,
            capacity,
            salt: self.salt,
        };
        self.disk.write(&file, 0, &header.encode())?;
        self.counts.bytes_written += u64::from(HEADER_LEN);
        let part = Part::found(name, file, offset_in_file(key.1, capacity));
        self.note_dirty(key, &part.file);
        self.shelf.parts().insert(key, part);
        if sync != Sync::Never {
            self.sync()?;
        }
        Ok(())
    }

    fn note_dirty(&mut self, key: (u32, u32), file: &Arc<D::File>) {
        if self.dirty.iter().all(|dirty| dirty.key != key) {
            self.dirty.push(Dirty {
                key,
                file: Arc::clone(file),
                is_reported: false,
            });
        }
    }

    /// Never writes to a file again.
    fn give_up(&mut self, key: (u32, u32)) {
        let mut parts = self.shelf.parts();
        if let Ok(at) = parts.find(key) {
            parts.0[at].1.is_given_up = true;
        }
    }

    fn write(&mut self, place: Place, bytes: &[u8], sync: Sync) -> io::Result<()> {
        let (key, file) = match self.writable(place) {
            Some(known) => known,
            None => {
                self.continue_segment(place, bytes.len() as u32, sync)?;
                let made = self.writable(place);
                made.ok_or_else(|| io::Error::other("the new file gave errors at once"))?
            }
        };
        self.note_dirty(key, &file);
        let at = offset_in_file(key.1, place.offset());
        if let Err(error) = self.disk.write(&file, at, bytes) {
            self.give_up(key);
            return Err(error);
        }
        self.counts.bytes_written += bytes.len() as u64;
        Ok(())
    }

    /// The file to write to at a place, unless it was given up.
    #[allow(clippy::type_complexity)] // a key and its file
    fn writable(&self, place: Place) -> Option<((u32, u32), Arc<D::File>)> {
        let parts = self.shelf.parts();
        let (key, part) = &parts.0[parts.at(place)?];
        (!part.is_given_up).then(|| (*key, Arc::clone(&part.file)))
    }

    /// Makes a file for the rest of a segment whose file was given up.
    fn continue_segment(&mut self, place: Place, len: u32, sync: Sync) -> io::Result<()> {
        let key = (place.segment(), place.offset());
        // An earlier attempt at the same has nothing that the batch at hand has not.
        self.shelf.parts().remove(key);
        self.dirty.retain(|dirty| dirty.key != key);
        let capacity = self.segment_bytes.max(key.1 + len);
        let name = name_of(key.0, key.1);
        let file = self.create(&name, offset_in_file(key.1, capacity))?;
        self.add(key, capacity, name, file, sync)
    }

    /// Nothing in a segment is needed: its files are to be removed.
    fn doom(&mut self, segment: u32) {
        let mut parts = self.shelf.parts();
        let names = parts.remove_segment(segment).map(|part| part.name);
        self.doomed.extend(names);
        drop(parts);
        self.dirty.retain(|dirty| dirty.key.0 != segment);
    }

    /// Removes what nobody needs; what cannot be removed now keeps all behind it, too.
    pub fn remove_doomed(&mut self) {
        while !self.doomed.is_empty() && !self.has_lost {
            // Where promises come before the sync, this is when the copies become durable. If
            // they do not, the next start finds what they were made of.
            if self.is_dirty() && self.sync().is_err() {
                return;
            }
            let Some(name) = self.doomed.front() else {
                return;
            };
            match self.disk.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    if !std::mem::replace(&mut self.was_told_doomed, true) {
                        log::warn!("Warning: {name} of the journal cannot be removed yet: {error}");
                    }
                    return;
                }
                _ => self.has_new_names = true,
            }
            self.was_told_doomed = false;
            self.doomed.pop_front();
        }
    }
}

impl<F> Part<F> {
    /// A file that can be trusted.
    pub(super) fn found(name: String, file: F, bytes: u64) -> Part<F> {
        Part {
            name,
            file: Arc::new(file),
            bytes,
            is_given_up: false,
        }
    }
}

/// What an error means for those who want to write.
pub fn state_of(error: &io::Error) -> State {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => State::Full,
        _ => State::Failing,
    }
}
