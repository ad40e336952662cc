//! The files of the journal: which file holds what, and doing what a batch says.
//!
//! A segment is one file, as a rule. A file that a write or a sync failed on is never trusted again:
//! what it did not make durable goes to a *continuation*, another file of the same segment that
//! begins there. Places do not change by that, so nobody else notices. Spare files are made ahead,
//! so that a full disk shows before a promise depends on it.

use super::disk::Disk;
use crate::store::journal::segment::{HEADER_LEN, Header};
use crate::store::journal::writer::SEGMENT_BYTES;
use crate::store::journal::{Batch, Place, Read, Report, State, Step};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Spare files that are kept.
pub const SPARES: usize = 2;

/// A file of a segment.
pub(super) struct Part<F> {
    pub(super) name: String,
    pub(super) file: Arc<F>,
    /// Bytes on the disk.
    pub(super) bytes: u64,
    /// Something was written that was not synced.
    is_dirty: bool,
    /// A write or sync failed on it: it is read from only.
    is_given_up: bool,
}

/// All files, by segment and by where in the segment they begin.
pub(super) type Parts<F> = BTreeMap<(u32, u32), Part<F>>;

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
pub struct Files<D: Disk> {
    disk: D,
    salt: u64,
    shelf: Shelf<D::File>,
    spares: Vec<String>,
    /// Names changed that the folder has not made durable.
    has_new_names: bool,
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
    (name_of(segment, start) == name).then_some((segment, start))
}

/// Where in its file a byte of a segment is.
fn offset_in_file(start: u32, offset: u32) -> u64 {
    match start {
        0 => offset.into(),
        start => u64::from(HEADER_LEN) + u64::from(offset - start),
    }
}

impl<F: Send + Sync + 'static> Shelf<F> {
    pub(super) fn parts(&self) -> MutexGuard<'_, Parts<F>> {
        // Nothing is left half done by a panic while the lock is held.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads back; `None` if there is no such file any more, or it gives errors.
    pub fn read<D: Disk<File = F>>(&self, read: Read) -> Option<Vec<u8>> {
        let (segment, offset) = (read.place.segment(), read.place.offset());
        let (file, at, len) = {
            let parts = self.parts();
            let (&(_, start), part) = parts.range((segment, 0)..=(segment, offset)).next_back()?;
            let next = parts.range((segment, offset.saturating_add(1))..).next();
            let end = next
                .filter(|(key, _)| key.0 == segment)
                .map(|(key, _)| key.1);
            let len = end.map_or(read.len, |end| read.len.min(end - offset));
            let at = offset_in_file(start, offset);
            let left = part.bytes.saturating_sub(at);
            (Arc::clone(&part.file), at, u64::from(len).min(left))
        };
        let mut bytes = vec![0; len as usize];
        let got = D::read(&file, at, &mut bytes).ok()?;
        bytes.truncate(got);
        Some(bytes)
    }
}

impl<D: Disk> Files<D> {
    pub(super) fn new(disk: D, salt: u64, parts: Vec<((u32, u32), Part<D::File>)>) -> Files<D> {
        let parts = Arc::new(Mutex::new(parts.into_iter().collect()));
        Files {
            disk,
            salt,
            shelf: Shelf { parts },
            spares: Vec::new(),
            has_new_names: false,
            counts: Report::default(),
        }
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
        Report {
            spares: self.spares.len() as u32,
            free_bytes: self.disk.free_bytes(),
            ..self.counts
        }
    }

    /// Does what a batch says, with a sync at the end if that is wanted.
    ///
    /// After an error the same batch can be tried again: what failed is given up, and goes elsewhere
    /// then.
    pub fn perform(&mut self, batch: &Batch, is_synced: bool) -> io::Result<()> {
        let mut at = 0;
        for step in &batch.steps {
            match *step {
                Step::Open { segment, capacity } => self.open_segment(segment, capacity)?,
                Step::Write {
                    segment,
                    offset,
                    len,
                } => {
                    let bytes = &batch.bytes[at..at + len as usize];
                    at += len as usize;
                    self.write(Place::new(segment, offset), bytes)?;
                }
                Step::Unlink { segment } => self.unlink(segment),
            }
        }
        if is_synced {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes everything durable that was written; what cannot be is given up.
    pub fn sync(&mut self) -> io::Result<()> {
        let dirty: Vec<_> = (self.shelf.parts().iter())
            .filter(|(_, part)| part.is_dirty && !part.is_given_up)
            .map(|(&key, part)| (key, Arc::clone(&part.file)))
            .collect();
        for (key, file) in dirty {
            let began = Instant::now();
            let synced = self.disk.sync(&file);
            self.counts.syncs += 1;
            self.counts.last_sync_us = began.elapsed().as_micros() as u64;
            if let Some(part) = self.shelf.parts().get_mut(&key) {
                part.is_dirty = false;
                part.is_given_up = synced.is_err();
            }
            synced?;
        }
        if self.has_new_names {
            self.disk.sync_folder()?;
            self.has_new_names = false;
        }
        Ok(())
    }

    /// Whether something was written that is not durable.
    pub fn is_dirty(&self) -> bool {
        self.has_new_names || self.shelf.parts().values().any(|part| part.is_dirty)
    }

    /// Makes a spare file if there are too few; whether there are enough now.
    pub fn make_spare(&mut self) -> io::Result<bool> {
        if self.spares.len() >= SPARES {
            return Ok(true);
        }
        let names = (1..).map(|number| format!("spare-{number}.log"));
        let is_free = |name: &String| !self.spares.contains(name);
        let Some(name) = names.take(SPARES + 1).find(is_free) else {
            return Ok(true);
        };
        match self.create(&name, u64::from(SEGMENT_BYTES)) {
            Ok(_) => self.spares.push(name),
            Err(error) => {
                // A file that is no use must not take room.
                let _ = self.disk.remove(&name);
                return Err(error);
            }
        }
        Ok(self.spares.len() >= SPARES)
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
        self.disk.sync(&file)?;
        self.counts.syncs += 1;
        Ok(file)
    }

    fn open_segment(&mut self, segment: u32, capacity: u32) -> io::Result<()> {
        if self.shelf.parts().contains_key(&(segment, 0)) {
            return Ok(());
        }
        let name = name_of(segment, 0);
        let spare = (capacity == SEGMENT_BYTES)
            .then(|| self.spares.pop())
            .flatten();
        let file = match spare {
            Some(spare) => {
                self.disk.rename(&spare, &name)?;
                self.disk.open(&name)?
            }
            None => self.create(&name, capacity.into())?,
        };
        self.add(segment, 0, capacity, name, file)
    }

    /// Writes the header of a new file and takes it in.
    fn add(
        &mut self,
        segment: u32,
        start: u32,
        capacity: u32,
        name: String,
        file: D::File,
    ) -> io::Result<()> {
        self.has_new_names = true;
        let header = Header {
            segment,
            start,
            capacity,
            salt: self.salt,
        };
        self.disk.write(&file, 0, &header.encode())?;
        self.counts.bytes_written += u64::from(HEADER_LEN);
        let part = Part {
            name,
            file: Arc::new(file),
            bytes: offset_in_file(start, capacity),
            is_dirty: true,
            is_given_up: false,
        };
        self.shelf.parts().insert((segment, start), part);
        Ok(())
    }

    fn write(&mut self, place: Place, bytes: &[u8]) -> io::Result<()> {
        let (segment, offset) = (place.segment(), place.offset());
        let known = {
            let parts = self.shelf.parts();
            let last = parts.range((segment, 0)..=(segment, offset)).next_back();
            last.filter(|(_, part)| !part.is_given_up)
                .map(|(&key, part)| (key, Arc::clone(&part.file)))
        };
        let (key, file) = match known {
            Some(known) => known,
            None => self.continue_segment(place, bytes.len() as u32)?,
        };
        let written = self.disk.write(&file, offset_in_file(key.1, offset), bytes);
        if let Some(part) = self.shelf.parts().get_mut(&key) {
            part.is_dirty = true;
            part.is_given_up = written.is_err();
        }
        self.counts.bytes_written += bytes.len() as u64;
        written
    }

    /// Makes a file for the rest of a segment whose file was given up.
    fn continue_segment(
        &mut self,
        place: Place,
        len: u32,
    ) -> io::Result<((u32, u32), Arc<D::File>)> {
        let key = (place.segment(), place.offset());
        self.shelf.parts().remove(&key);
        let capacity = SEGMENT_BYTES.max(key.1 + len);
        let name = name_of(key.0, key.1);
        let file = self.create(&name, offset_in_file(key.1, capacity))?;
        self.add(key.0, key.1, capacity, name, file)?;
        let parts = self.shelf.parts();
        let part = parts.get(&key).map(|part| Arc::clone(&part.file));
        part.map(|file| (key, file))
            .ok_or_else(|| io::Error::other("the new file is not there"))
    }

    fn unlink(&mut self, segment: u32) {
        let names: Vec<_> = {
            let mut parts = self.shelf.parts();
            let keys: Vec<_> = parts
                .range((segment, 0)..=(segment, u32::MAX))
                .map(|(&key, _)| key)
                .collect();
            keys.iter()
                .filter_map(|key| parts.remove(key))
                .map(|part| part.name)
                .collect()
        };
        for name in names {
            self.has_new_names = true;
            if let Err(error) = self.disk.remove(&name) {
                // It stays and takes room until the next start finds nothing live in it.
                log::warn!("Warning: {name} of the journal cannot be removed: {error}");
            }
        }
    }
}

impl<F> Part<F> {
    /// A file that was found.
    pub(super) fn found(name: String, file: F, bytes: u64) -> Part<F> {
        Part {
            name,
            file: Arc::new(file),
            bytes,
            is_dirty: false,
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
