//! The end of the log at which records are appended, in memory.
//!
//! Records gather in a [`Batch`], which goes to the journal thread whenever that is idle: the batch
//! grows with the time that the disk takes. Places are given here at once, also across the end of a
//! segment; the thread only does as it is told. Bounds: the broker takes no more input that needs
//! the journal while the batch has more than [`BACKLOG_MAX`] bytes.

use super::place::{Place, Placed};
use super::record::Record;
use super::scan::{RECORD_HEADER, put_header};
use super::segment::HEADER_LEN;
use std::collections::VecDeque;

/// Bytes of an ordinary segment; a record that is larger gets a segment of its own.
pub const SEGMENT_BYTES: u32 = 1024 * 1024;

/// Bytes of records that may wait for the journal thread before input has to wait for it.
pub const BACKLOG_MAX: usize = 512 * 1024;

/// What a batch's buffers keep of their memory after a burst.
const KEPT_BYTES: usize = 2 * BACKLOG_MAX;

/// What the journal thread is to do, in order.
#[derive(Debug, Default)]
pub struct Batch {
    /// The bytes of all [`Step::Write`]s, one after the other.
    pub bytes: Vec<u8>,
    /// The steps.
    pub steps: Vec<Step>,
    /// When these steps are done and synced, everything before this place is durable.
    pub end: Place,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a segment of this many bytes and write its header. What is in the folder must be
    /// durable before what is written to the segment counts as durable.
    Open {
        /// The number of the segment.
        segment: u32,
        /// Its bytes.
        capacity: u32,
    },
    /// Write the next bytes of the batch.
    Write {
        /// The segment, which was opened before.
        segment: u32,
        /// Where in it.
        offset: u32,
        /// How many bytes.
        len: u32,
    },
    /// Remove a segment: nothing in it is needed, and everything that made it needless is durable.
    Unlink {
        /// The number of the segment.
        segment: u32,
    },
}

impl Batch {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps in order, each with the bytes that it writes.
    pub fn parts(&self) -> impl Iterator<Item = (Step, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.steps.iter().map(move |&step| {
            let len = match step {
                Step::Write { len, .. } => len as usize,
                Step::Open { .. } | Step::Unlink { .. } => 0,
            };
            let (bytes, behind) = rest.split_at(len);
            rest = behind;
            (step, bytes)
        })
    }

    /// Makes it ready to be filled again.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.steps.clear();
    }
}

/// A segment that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub number: u32,
    /// The bytes it takes on the disk.
    pub bytes: u32,
    /// The bytes of it that were written, header and all.
    pub used: u32,
}

/// The writer.
///
/// Invariants: `segments` are in the order of their numbers and hold `disk_bytes` together;
/// `next` lies in the last one if that was opened by this writer.
pub struct Writer {
    salt: u64,
    batch: Batch,
    next: Place,
    /// Bytes of the segment that `next` lies in; 0 before the first is opened.
    capacity: u32,
    segments: VecDeque<Segment>,
    disk_bytes: u64,
    live_bytes: u64,
    appended_bytes: u64,
    segment_bytes: u32,
    is_marking: bool,
}

impl Writer {
    /// A writer behind segments that are there already; it begins a segment of its own.
    pub fn new(salt: u64, segments: VecDeque<Segment>) -> Writer {
        let last = segments.back().map_or(0, |segment| segment.number);
        let disk_bytes = segments.iter().map(|s| u64::from(s.bytes)).sum();
        let next = Place::new(last + 1, 0);
        Writer {
            salt,
            batch: Batch {
                end: next,
                ..Batch::default()
            },
            next,
            capacity: 0,
            segments,
            disk_bytes,
            live_bytes: 0,
            appended_bytes: 0,
            segment_bytes: SEGMENT_BYTES,
            is_marking: false,
        }
    }

    /// Makes segments of another size from now on.
    #[must_use]
    pub fn with_segments_of(self, segment_bytes: u32) -> Writer {
        Writer {
            segment_bytes,
            ..self
        }
    }

    /// Bytes of an ordinary segment.
    pub fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }

    /// From now on every batch begins with a mark, or none does: a mark says that everything before
    /// it is durable, so each batch must be synced before the next is written.
    pub fn set_marking(&mut self, is_marking: bool) {
        self.is_marking = is_marking;
    }

    /// Appends a record.
    pub fn append(&mut self, record: &Record<'_>) -> Placed {
        if self.is_marking && self.batch.bytes.is_empty() {
            self.put(&Record::Mark);
        }
        self.put(record)
    }

    fn put(&mut self, record: &Record<'_>) -> Placed {
        let start = self.batch.bytes.len();
        self.batch.bytes.resize(start + RECORD_HEADER, 0);
        record.encode(&mut self.batch.bytes);
        let len = (self.batch.bytes.len() - start) as u32;
        if self.remaining() < len {
            self.open(len);
        }
        let place = self.next;
        let (header, body) = self.batch.bytes[start..].split_at_mut(RECORD_HEADER);
        put_header(self.salt, place, record.kind(), header, body);
        self.note_write(len);
        self.next = place.after(len);
        self.batch.end = self.next;
        self.appended_bytes += u64::from(len);
        Placed { place, len }
    }

    fn note_write(&mut self, added: u32) {
        let (segment, offset) = (self.next.segment(), self.next.offset());
        if let Some(last) = self.segments.back_mut() {
            last.used = offset + added;
        }
        if let Some(Step::Write { len, .. }) = self.batch.steps.last_mut() {
            *len += added;
            return;
        }
        self.batch.steps.push(Step::Write {
            segment,
            offset,
            len: added,
        });
    }

    /// Begins a segment that has room for a record of `len` bytes.
    fn open(&mut self, len: u32) {
        let segment = match self.capacity {
            0 => self.next.segment(),
            _ => self.next.segment() + 1,
        };
        self.capacity = self.segment_bytes.max(HEADER_LEN + len);
        self.next = Place::new(segment, HEADER_LEN);
        self.segments.push_back(Segment {
            number: segment,
            bytes: self.capacity,
            used: HEADER_LEN,
        });
        self.disk_bytes += u64::from(self.capacity);
        let capacity = self.capacity;
        self.batch.steps.push(Step::Open { segment, capacity });
    }

    /// Bytes left in the segment that is written to.
    pub fn remaining(&self) -> u32 {
        self.capacity.saturating_sub(self.next.offset())
    }

    /// Gives up a segment that is not written to any more.
    pub fn unlink(&mut self, number: u32) {
        let at = self.segments.iter().position(|s| s.number == number);
        if let Some(segment) = at.and_then(|at| self.segments.remove(at)) {
            self.disk_bytes -= u64::from(segment.bytes);
            self.batch.steps.push(Step::Unlink { segment: number });
        }
    }

    /// Hands out what there is to do, for an empty batch; nothing if there is nothing.
    pub fn take(&mut self, batch: &mut Batch) -> bool {
        if self.batch.is_empty() {
            return false;
        }
        batch.clear();
        std::mem::swap(&mut self.batch, batch);
        self.batch.end = self.next;
        true
    }

    /// Whether there is something to do for the journal thread.
    pub fn has_steps(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Where the next record goes at the earliest: everything was appended before this.
    pub fn end(&self) -> Place {
        self.next
    }

    /// Bytes that wait for the journal thread.
    pub fn backlog(&self) -> usize {
        self.batch.bytes.len()
    }

    /// The oldest segment, unless it is the one that is written to.
    pub fn oldest(&self) -> Option<Segment> {
        let first = self.segments.front()?;
        (self.capacity == 0 || first.number < self.next.segment()).then_some(*first)
    }

    /// How many segments are in use.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Bytes on the disk in all segments in use.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Bytes of records that describe something that still is.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Counts a description that is live now.
    pub fn add_live(&mut self, len: u32) {
        self.live_bytes += u64::from(len);
    }

    /// Counts a description that is not live any more.
    pub fn remove_live(&mut self, len: u32) {
        self.live_bytes = self.live_bytes.saturating_sub(u64::from(len));
    }

    /// Bytes of all records that this writer appended.
    pub fn appended_bytes(&self) -> u64 {
        self.appended_bytes
    }

    /// The secret of the log's CRCs.
    pub fn salt(&self) -> u64 {
        self.salt
    }
}
