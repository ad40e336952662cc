//! The start: finding the files, telling what is in them, and making sure of it.
//!
//! Damage never keeps the broker down: what is good is told, what is not is counted, and a file with
//! damage stays beside the others under another name. Only a format that is newer than this program
//! is refused, since to go on would be to lose it.

use super::disk::Disk;
use super::files::{Files, Part, parse_name};
use crate::store::journal::record::Clock;
use crate::store::journal::report::continued;
use crate::store::journal::segment::{Found, HEADER_LEN, Header};
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

/// What is gathered on the way.
struct Reading<'a, D: Disk> {
    disk: D,
    salt: u64,
    opened: Opened,
    newest: Option<Clock>,
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
    let (candidates, spares) = find(&mut disk)?;
    let salt = common_salt(&candidates).unwrap_or(fresh);
    let mut reading = Reading {
        disk,
        salt,
        opened: Opened {
            salt,
            boot: now.boot,
            ..Opened::default()
        },
        newest: None,
        each,
    };
    let starts: Vec<(u32, u32)> = candidates.iter().map(|c| (c.segment, c.start)).collect();
    let mut parts = Vec::new();
    for (at, candidate) in candidates.into_iter().enumerate() {
        let next = starts.get(at + 1).copied();
        let key = (candidate.segment, candidate.start);
        if let Some(part) = reading.read(candidate, next)? {
            parts.push((key, part));
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
    opened.clock_offset_ms = log_ms as i64 - now.boot_ms as i64;
    reading.disk.sync_folder()?;
    let mut files = Files::new(reading.disk, salt, parts);
    for spare in spares {
        files.take_spare(spare);
    }
    Ok((files, opened))
}

/// All files of the journal in their order, and the spare ones.
fn find<D: Disk>(disk: &mut D) -> io::Result<(Vec<Candidate<D::File>>, Vec<String>)> {
    let mut found = BTreeMap::new();
    let mut spares = Vec::new();
    for (name, len) in disk.list()? {
        if name.starts_with("spare-") {
            if len == u64::from(SEGMENT_BYTES) && spares.len() < super::files::SPARES {
                spares.push(name);
            } else {
                disk.remove(&name)?;
            }
            continue;
        }
        let Some((segment, start)) = parse_name(&name) else {
            continue;
        };
        let file = disk.open(&name)?;
        let mut bytes = [0; HEADER_LEN as usize];
        let got = D::read(&file, 0, &mut bytes)?;
        let header = Header::find(&bytes[..got]);
        if let Found::Newer(version) = header {
            return Err(io::Error::other(format!(
                "{name} has format {version}, which a newer Midge wrote; this one knows formats up \
                 to {}. Start the newer one, or give another persistence_location",
                crate::store::journal::segment::VERSION
            )));
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
    Ok((found.into_values().collect(), spares))
}

/// The secret that most headers have.
fn common_salt<F>(candidates: &[Candidate<F>]) -> Option<u64> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for candidate in candidates {
        if let Found::Header(header, _) = candidate.header {
            *counts.entry(header.salt).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|&(_, count)| count);
    most.map(|(salt, _)| salt)
}

impl<D: Disk> Reading<'_, D> {
    /// Tells what is in a file; `next` is where the one behind it begins. `None` for a file that
    /// never got as far as a header.
    fn read(
        &mut self,
        candidate: Candidate<D::File>,
        next: Option<(u32, u32)>,
    ) -> io::Result<Option<Part<D::File>>> {
        let Candidate {
            name,
            segment,
            start,
            file,
            len,
            header,
        } = candidate;
        let mut bytes = vec![0; len as usize];
        let got = D::read(&file, 0, &mut bytes)?;
        bytes.truncate(got);
        if header == Found::Damaged && bytes.iter().all(|&byte| byte == 0) {
            self.disk.remove(&name)?;
            return Ok(None);
        }
        let begin = Place::new(segment, start.max(HEADER_LEN));
        let body = bytes.get(HEADER_LEN as usize..).unwrap_or_default();
        // What lies behind the beginning of a continuation was given up.
        let is_continued = next.is_some_and(|next| next.0 == segment);
        let limit = match next {
            Some(next) if is_continued => (next.1 - begin.offset()) as usize,
            _ => body.len(),
        };
        let body = &body[..limit.min(body.len())];
        let (each, newest) = (&mut self.each, &mut self.newest);
        let scanned = scan(self.salt, begin, body, |placed, record| {
            if let Record::Clock(clock) = record {
                *newest = Some(clock);
            }
            each(placed, record);
        });
        let is_newest = next.is_none();
        let has_bad_header = !matches!(header, Found::Header(_, false));
        let mut damaged = scanned.damaged + u64::from(has_bad_header);
        if scanned.has_torn_tail && !is_newest {
            damaged += 1;
        }
        if damaged > 0 {
            self.keep_aside(&name, segment, damaged, scanned.records);
        }
        let used = HEADER_LEN as usize + scanned.end;
        if is_newest && used < bytes.len() {
            if scanned.has_torn_tail {
                let torn = bytes.len() - used;
                log::info!(
                    target: "notice",
                    "{name}: the last {torn} bytes were not written to the end when the power went \
                     or the broker was killed; none of it was promised to anybody."
                );
            }
            self.disk.truncate(&file, used as u64)?;
            bytes.truncate(used);
        }
        self.disk.sync(&file)?;
        self.note_segment(
            segment,
            begin.offset() + scanned.end as u32,
            bytes.len() as u32,
        );
        Ok(Some(Part::found(name, file, bytes.len() as u64)))
    }

    fn note_segment(&mut self, number: u32, used: u32, bytes: u32) {
        let segments: &mut VecDeque<Segment> = &mut self.opened.segments;
        match segments.back_mut().filter(|last| last.number == number) {
            Some(last) => {
                last.bytes += bytes;
                last.used = used;
            }
            None => segments.push_back(Segment {
                number,
                bytes,
                used,
            }),
        }
    }

    /// Keeps a file with damage under a second name, so that somebody can look at it.
    fn keep_aside(&mut self, name: &str, segment: u32, damaged: u64, records: u64) {
        self.opened.damaged += damaged;
        self.opened.damaged_through = self.opened.damaged_through.max(Some(segment));
        let bad = format!("{name}.bad");
        let kept = self.disk.list().unwrap_or_default();
        let mut others: Vec<String> = kept
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| name.ends_with(".log.bad") && *name != bad)
            .collect();
        others.sort_unstable();
        for oldest in others.iter().rev().skip(BAD_MAX - 1) {
            let _ = self.disk.remove(oldest);
        }
        let _ = self.disk.remove(&bad);
        let aside = match self.disk.link(name, &bad) {
            Ok(()) => format!("the file is kept as {bad}"),
            Err(error) => format!("the file cannot be kept as {bad}: {error}"),
        };
        log::warn!(
            "Warning: {name} is damaged: {damaged} places could not be read, {records} records could; \
             {aside}."
        );
    }
}
