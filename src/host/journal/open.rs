//! The start: finding the files, telling what is in them, and making sure of it.
//!
//! Damage never keeps the broker down: what is good is told, what is not is counted, and a file
//! with damage stays beside the others under another name. That goes for files that cannot be read,
//! too, and for those that only look like ours: nothing is cut unless good records of this log are
//! in it. Only a format that is newer than this program is refused, since to go on would be to lose
//! it. Bounds: one file at a time is in memory, of at most `FILE_MAX` bytes.

use super::disk::Disk;
use super::files::{FILE_MAX, Files, Part, Parts, SEGMENT_MAX, SPARES, parse_name};
use super::patience::Patience;
use crate::store::journal::record::Clock;
use crate::store::journal::report::continued;
use crate::store::journal::scan::Scanned;
use crate::store::journal::segment::{self, Found, HEADER_LEN, Header, VERSION};
use crate::store::journal::writer::{SEGMENT_BYTES, Segment};
use crate::store::journal::{Opened, Place, Placed, Record, scan};
use std::collections::{BTreeMap, VecDeque};
use std::io;

/// Files with damage that are kept.
const BAD_MAX: usize = 8;

/// A file of the journal, before it is read.
struct Candidate<F> {
    name: String,
    segment: u32,
    start: u32,
    file: F,
    len: u64,
    header: Found,
}

/// What the folder has of the journal.
struct Finds<F> {
    /// In their order.
    candidates: Vec<Candidate<F>>,
    /// Spare files that can be used.
    spares: Vec<String>,
    /// Files with nothing in them.
    empty: Vec<String>,
}

/// What one file turned out to hold.
struct Contents {
    bytes: Vec<u8>,
    /// Blocks that gave errors.
    unreadable: u64,
}

/// What is gathered on the way.
struct Reading<'a, D: Disk> {
    disk: D,
    patience: Patience,
    salt: u64,
    /// Where the last batch begins: everything before that was durable.
    last: Option<Place>,
    /// The last batch was not written to its end: nothing more counts.
    has_gap: bool,
    opened: Opened,
    newest: Option<Clock>,
    /// The latest moment on the log's clock that any record tells of.
    latest_ms: u64,
    each: &'a mut dyn FnMut(Placed, Record<'_>),
}

/// Tells every record of the journal in a folder; `now` is what the clocks say, `fresh` the secret
/// of a journal that begins here.
///
/// # Errors
/// What cannot be read, and a format that is newer than this program.
pub fn open<D: Disk>(
    mut disk: D,
    now: Clock,
    fresh: u64,
    each: &mut dyn FnMut(Placed, Record<'_>),
) -> io::Result<(Files<D>, Opened)> {
    let mut patience = Patience::default();
    let Finds {
        candidates,
        spares,
        empty,
    } = find(&mut disk, &mut patience)?;
    remove_empty(&mut disk, &empty);
    let salt = common_salt(&candidates).unwrap_or(fresh);
    let last = last_batch::<D>(&candidates, salt, &mut patience);
    let mut reading = Reading {
        disk,
        patience,
        salt,
        last,
        has_gap: false,
        opened: Opened {
            salt,
            boot: now.boot,
            ..Opened::default()
        },
        newest: None,
        latest_ms: 0,
        each,
    };
    let starts: Vec<(u32, u32)> = candidates.iter().map(|c| (c.segment, c.start)).collect();
    let mut parts = Parts::new();
    for (at, candidate) in candidates.into_iter().enumerate() {
        let next = starts.get(at + 1).copied();
        let key = (candidate.segment, candidate.start);
        if let Some(part) = reading.read(candidate, next) {
            parts.insert(key, part);
        }
    }
    let (log_ms, is_disbelieved) = match reading.newest {
        Some(newest) => continued(newest, now),
        None => (now.boot_ms, false),
    };
    if is_disbelieved {
        log::warn!(
            "Warning: the clock says a time that cannot be: nothing that is stored has grown older \
             while the broker was away."
        );
    }
    let mut opened = reading.opened;
    // It has seen that moment, whatever the calendar says by now.
    let log_ms = log_ms.max(reading.latest_ms);
    opened.clock_offset_ms = log_ms as i64 - now.boot_ms as i64;
    reading.disk.sync_folder()?;
    let mut files = Files::new(reading.disk, salt, parts);
    for spare in spares {
        files.take_spare(spare);
    }
    Ok((files, opened))
}

/// Looks for what would keep [`open`] from opening a folder; nothing is changed.
///
/// # Errors
/// What cannot be opened, and a format that is newer than this program.
pub fn look<D: Disk>(disk: &mut D) -> io::Result<()> {
    find(disk, &mut Patience::default()).map(drop)
}

/// Takes away files with nothing in them.
fn remove_empty<D: Disk>(disk: &mut D, empty: &[String]) {
    for name in empty {
        if parse_name(name).is_some() {
            log::info!(
                target: "notice",
                "{name} is empty and is removed. If something was kept in it, that is lost."
            );
        }
        // Where it cannot be removed it does no harm either, unless it is a folder.
        if disk.remove(name).is_err() {
            let _ = disk.rename(name, &format!("{name}.bad"));
        }
    }
}

/// Where the last batch begins, if that can be told. Without a mark for each batch it is longer,
/// but no longer than a segment: all before a segment is durable.
fn last_batch<D: Disk>(
    candidates: &[Candidate<D::File>],
    salt: u64,
    patience: &mut Patience,
) -> Option<Place> {
    let newest = Place::new(candidates.last()?.segment, 0);
    last_mark::<D>(candidates, salt, patience).map(|mark| mark.max(newest))
}

/// Where the last mark is.
fn last_mark<D: Disk>(
    candidates: &[Candidate<D::File>],
    salt: u64,
    patience: &mut Patience,
) -> Option<Place> {
    for candidate in candidates.iter().rev() {
        let file = (candidate.name.as_str(), &candidate.file);
        let Contents { bytes, .. } = contents::<D>(file, candidate.len, patience);
        let begin = Place::new(candidate.segment, candidate.start.max(HEADER_LEN));
        let body = bytes.get(HEADER_LEN as usize..).unwrap_or_default();
        let mut last = None;
        scan(salt, begin, body, None, |placed, record| {
            if record == Record::Mark {
                last = Some(placed.place);
            }
        });
        if last.is_some() {
            return last;
        }
    }
    None
}

/// Looks at all names, and changes nothing.
fn find<D: Disk>(disk: &mut D, patience: &mut Patience) -> io::Result<Finds<D::File>> {
    let mut found = BTreeMap::new();
    let mut finds = Finds {
        candidates: Vec::new(),
        spares: Vec::new(),
        empty: Vec::new(),
    };
    for (name, len) in disk.list()? {
        if is_spare(&name) {
            // The power can go between the first records and the file's new name. What is in it was
            // promised to nobody then, and must not be found later at the same place.
            let is_good = len == u64::from(SEGMENT_BYTES)
                && finds.spares.len() < SPARES
                && disk.open(&name).is_ok_and(|file| is_zero::<D>(&file, len));
            match is_good {
                true => finds.spares.push(name),
                false => finds.empty.push(name),
            }
            continue;
        }
        let Some((segment, start)) = parse_name(&name) else {
            continue;
        };
        let file = (disk.open(&name))
            .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        let mut bytes = [0; HEADER_LEN as usize];
        let (got, _) = patience.read::<D>((&name, &file), 0, &mut bytes);
        let header = Header::find(&bytes[..got]);
        if let Found::Newer(version) = header {
            return Err(io::Error::other(format!(
                "{name} has format {version}, which a newer Midge wrote; this one knows formats up \
                 to {VERSION}. Start the newer one, or give another persistence_location"
            )));
        }
        if header == Found::Damaged && is_zero::<D>(&file, len) {
            finds.empty.push(name);
            continue;
        }
        if header == Found::Damaged && segment > SEGMENT_MAX {
            continue;
        }
        let candidate = Candidate {
            name,
            segment,
            start,
            file,
            len,
            header,
        };
        found.insert((segment, start), candidate);
    }
    finds.candidates = found.into_values().collect();
    Ok(finds)
}

/// Whether a name is one that spare files get.
fn is_spare(name: &str) -> bool {
    (1..=SPARES).any(|number| name == format!("spare-{number}.log"))
}

/// Whether a file reads as zeros from end to end.
fn is_zero<D: Disk>(file: &D::File, len: u64) -> bool {
    let mut bytes = vec![0; 64 * 1024];
    let mut at = 0;
    while at < len.min(u64::from(FILE_MAX)) {
        match D::read(file, at, &mut bytes) {
            Ok(0) => break,
            Ok(got) if bytes[..got].iter().all(|&byte| byte == 0) => at += got as u64,
            _ => return false,
        }
    }
    at >= len
}

/// Reads a file; a block that gives errors is zeros.
fn contents<D: Disk>(file: (&str, &D::File), len: u64, patience: &mut Patience) -> Contents {
    let mut bytes = vec![0; len.min(u64::from(FILE_MAX)) as usize];
    let (got, unreadable) = patience.read::<D>(file, 0, &mut bytes);
    bytes.truncate(got);
    Contents { bytes, unreadable }
}

fn common_salt<F>(candidates: &[Candidate<F>]) -> Option<u64> {
    let salts = candidates
        .iter()
        .filter_map(|candidate| match candidate.header {
            Found::Header(header, _) => Some(header.salt),
            _ => None,
        });
    segment::common_salt(salts.collect())
}

impl<D: Disk> Reading<'_, D> {
    /// Tells what is in a file; `next` is where the one behind it begins. `None` for a file that is
    /// of no use, which has another name then or none.
    fn read(
        &mut self,
        candidate: Candidate<D::File>,
        next: Option<(u32, u32)>,
    ) -> Option<Part<D::File>> {
        let Candidate {
            name,
            segment,
            start,
            file,
            len,
            header,
        } = candidate;
        let Contents {
            mut bytes,
            unreadable,
        } = contents::<D>((&name, &file), len, &mut self.patience);
        if self.has_gap && self.cut(&file, &name, HEADER_LEN.into()) {
            // It comes behind what is lost, in a batch of which nobody was promised anything.
            bytes.truncate(HEADER_LEN as usize);
            tell_torn(&name, len as usize);
        }
        let begin = Place::new(segment, start.max(HEADER_LEN));
        let body = bytes.get(HEADER_LEN as usize..).unwrap_or_default();
        // What lies behind the beginning of a continuation was given up.
        let limit = match next {
            Some(next) if next.0 == segment => next.1.saturating_sub(begin.offset()) as usize,
            _ => body.len(),
        };
        let body = &body[..limit.min(body.len())];
        // A block that cannot be read any more is no gap: it was written, and what follows counts.
        let last = self.last.filter(|_| unreadable == 0);
        let scanned = self.tell_to_gap(&file, &name, begin, body, last);
        let is_ours = matches!(header, Found::Header(h, _) if h.salt == self.salt);
        if scanned.end == 0 && !is_ours {
            self.put_aside(&name, segment);
            return None;
        }
        let is_whole = is_ours && matches!(header, Found::Header(_, false));
        self.has_gap |= scanned.has_gap;
        let is_newest = next.is_none() || self.has_gap;
        let has_nothing = scanned.end == 0 && !scanned.has_torn_tail && unreadable == 0;
        if is_newest && has_nothing && !is_whole {
            // The power went while the header was written: records come only when it is durable.
            let _ = self.disk.remove(&name);
            return None;
        }
        // What was given up must not come back when the continuation is not there any more.
        let used = HEADER_LEN as usize + if is_newest { scanned.end } else { body.len() };
        let is_cut = (used as u64) < len;
        let is_torn = scanned.has_torn_tail && !is_newest;
        let damaged = scanned.damaged + unreadable + u64::from(!is_whole) + u64::from(is_torn);
        if damaged > 0 {
            let copy = (is_cut && scanned.has_torn_tail).then_some(&bytes[..]);
            self.keep_aside(&name, copy, damaged, scanned.records);
            self.note_damage(segment, damaged);
        }
        if is_cut {
            if is_newest && scanned.has_torn_tail {
                tell_torn(&name, bytes.len() - used);
            }
            if self.cut(&file, &name, used as u64) {
                bytes.truncate(used);
            }
        }
        self.secure(&file, &name, segment);
        let used = begin.offset() + scanned.end as u32;
        self.note_segment(segment, used, bytes.len() as u32);
        Some(Part::found(name, file, bytes.len() as u64))
    }

    /// Tells every record of these bytes.
    fn tell(&mut self, begin: Place, body: &[u8], last: Option<Place>) -> Scanned {
        let (each, newest, latest_ms) = (&mut self.each, &mut self.newest, &mut self.latest_ms);
        scan(self.salt, begin, body, last, |placed, record| {
            match record {
                Record::Clock(clock) => *newest = Some(clock),
                Record::Left { at_ms, .. } => *latest_ms = at_ms.max(*latest_ms),
                _ => {}
            }
            each(placed, record);
        })
    }

    /// The same, but what lies behind a gap is cut off. Where that fails it is there at the next
    /// start, too: what counts then must count from now on.
    fn tell_to_gap(
        &mut self,
        file: &D::File,
        name: &str,
        begin: Place,
        body: &[u8],
        last: Option<Place>,
    ) -> Scanned {
        let scanned = self.tell(begin, body, last);
        let used = u64::from(HEADER_LEN) + scanned.end as u64;
        if !scanned.has_gap || self.cut(file, name, used) {
            return scanned;
        }
        let behind = begin.after(scanned.end as u32);
        let rest = self.tell(behind, &body[scanned.end..], None);
        scanned.and_then(rest)
    }

    fn cut(&mut self, file: &D::File, name: &str, len: u64) -> bool {
        let cut = self.disk.truncate(file, len);
        if let Err(error) = &cut {
            // Nothing is appended to this file: what stays is only in the way.
            log::warn!("Warning: {name} cannot be cut: {error}");
        }
        cut.is_ok()
    }

    /// Makes a file durable as it was found.
    fn secure(&mut self, file: &D::File, name: &str, segment: u32) {
        if let Err(error) = self.disk.sync(file) {
            // What it holds is told, and soon it is written anew elsewhere.
            log::warn!("Warning: {name} cannot be synced: {error}");
            self.note_damage(segment, 0);
        }
    }

    fn note_damage(&mut self, segment: u32, damaged: u64) {
        self.opened.damaged += damaged;
        self.opened.damaged_through = self.opened.damaged_through.max(Some(segment));
    }

    fn note_segment(&mut self, number: u32, used: u32, bytes: u32) {
        let segments: &mut VecDeque<Segment> = &mut self.opened.segments;
        match segments.back_mut().filter(|last| last.number == number) {
            Some(last) => {
                last.bytes = last.bytes.saturating_add(bytes);
                last.used = last.used.max(used);
            }
            None => segments.push_back(Segment {
                number,
                bytes,
                used,
            }),
        }
    }

    /// Gives a file another name that has nothing of this log: it may be all damage, or of another
    /// log, or none of ours at all, or what a disk cannot read today. So it does not make room for
    /// others. Its number is never used again.
    fn put_aside(&mut self, name: &str, segment: u32) {
        let bad = format!("{name}.bad");
        match self.disk.rename(name, &bad) {
            Ok(()) => log::warn!(
                "Warning: {name} has no header and no records of this journal; it is kept as {bad}."
            ),
            Err(error) => log::warn!(
                "Warning: {name} has no header and no records of this journal, and cannot be \
                 renamed to {bad}: {error}."
            ),
        }
        self.note_damage(segment, 1);
        self.note_segment(segment, HEADER_LEN, 0);
    }

    /// The name for a file with damage; of those that have such names only the newest stay.
    fn room_for_bad(&mut self, name: &str) -> String {
        let bad = format!("{name}.bad");
        let is_ours = |other: &str| other.strip_suffix(".bad").and_then(parse_name).is_some();
        let kept = self.disk.list().unwrap_or_default();
        let mut others: Vec<String> = kept
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| is_ours(name) && *name != bad)
            .collect();
        others.sort_unstable();
        for oldest in others.iter().rev().skip(BAD_MAX - 1) {
            let _ = self.disk.remove(oldest);
        }
        let _ = self.disk.remove(&bad);
        bad
    }

    /// Keeps a file with damage under a second name, so that somebody can look at it; as a copy
    /// where the file itself is about to be cut.
    fn keep_aside(&mut self, name: &str, copy: Option<&[u8]>, damaged: u64, records: u64) {
        let bad = self.room_for_bad(name);
        let kept = match copy {
            None => self.disk.link(name, &bad),
            Some(bytes) => self.write_whole(&bad, bytes),
        };
        let aside = match kept {
            Ok(()) => format!("the file is kept as {bad}"),
            Err(error) => format!("the file cannot be kept as {bad}: {error}"),
        };
        log::warn!(
            "Warning: {name} is damaged: {damaged} places could not be read, {records} records \
             could; {aside}."
        );
    }

    fn write_whole(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.disk.create(name)?;
        let written = (self.disk.write(&file, 0, bytes)).and_then(|()| self.disk.sync(&file));
        if written.is_err() {
            // Part of it would take room and tell nothing.
            let _ = self.disk.remove(name);
        }
        written
    }
}

fn tell_torn(name: &str, bytes: usize) {
    log::info!(
        target: "notice",
        "{name}: the last {bytes} bytes were not written to the end when the power went or the \
         broker was killed; none of it was promised to anybody."
    );
}
