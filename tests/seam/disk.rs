//! A disk in memory, for the journal of a broker: it does what it is told, whole and at once, and
//! never fails. `tests/sim` has the one that does.

#![allow(dead_code)] // each of its users needs a part of it

use midge::broker::{Broker, Now};
use midge::store::journal::scan::{Scanned, scan};
use midge::store::journal::segment::HEADER_LEN;
use midge::store::journal::writer::Segment;
use midge::store::journal::{Batch, Opened, Place, Placed, Read, Record, Report, Step, Writer};
use std::collections::{BTreeMap, VecDeque};

/// What all records are checked with.
pub const SALT: u64 = 7;

/// The segments, as bytes.
pub struct Disk {
    pub segments: BTreeMap<u32, Vec<u8>>,
    /// What the next reports say.
    pub report: Report,
    /// Of an ordinary segment; 0 for what the broker chooses.
    segment_bytes: u32,
    batch: Batch,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk {
            segments: BTreeMap::new(),
            report: Report {
                spares: 2,
                free_bytes: u64::MAX,
                ..Report::default()
            },
            segment_bytes: 0,
            batch: Batch::default(),
        }
    }
}

impl Disk {
    /// A disk with segments of a size of its own; small ones come and go.
    pub fn with_segments_of(segment_bytes: u32) -> Disk {
        Disk {
            segment_bytes,
            ..Disk::default()
        }
    }

    /// Tells a broker that was just made everything that is on the disk, and lets it record.
    pub fn begin(&self, broker: &mut Broker, now: Now) {
        let opened = self.tell(|placed, record| {
            broker.restore(placed, record);
        });
        broker.start_journal(opened, now);
    }

    /// Tells all records, and what segments there are.
    pub fn tell(&self, mut each: impl FnMut(Placed, Record<'_>)) -> Opened {
        let mut opened = Opened {
            salt: SALT,
            segment_bytes: self.segment_bytes,
            ..Opened::default()
        };
        for (&number, bytes) in &self.segments {
            let scanned = self.scan(number, &mut each);
            if scanned.damaged > 0 {
                opened.damaged_through = Some(number);
            }
            opened.damaged += scanned.damaged;
            opened.segments.push_back(Segment {
                number,
                bytes: bytes.len() as u32,
                used: HEADER_LEN + scanned.end as u32,
            });
        }
        opened
    }

    /// The numbers of the segments.
    pub fn numbers(&self) -> Vec<u32> {
        self.segments.keys().copied().collect()
    }

    /// Goes through the records of a segment.
    pub fn scan<'a>(&'a self, number: u32, each: impl FnMut(Placed, Record<'a>)) -> Scanned {
        let records = &self.segments[&number][HEADER_LEN as usize..];
        scan(SALT, Place::new(number, HEADER_LEN), records, None, each)
    }

    /// Puts records on an empty disk as if a broker had.
    pub fn fill<'a>(&mut self, records: impl IntoIterator<Item = Record<'a>>) {
        let mut writer = Writer::new(SALT, VecDeque::new());
        if self.segment_bytes > 0 {
            writer = writer.with_segments_of(self.segment_bytes);
        }
        for record in records {
            writer.append(&record);
        }
        while writer.take(&mut self.batch) {
            self.perform();
        }
    }

    /// Does one thing that the broker wants of its disk; whether there was one.
    pub fn step(&mut self, broker: &mut Broker, now: Now) -> bool {
        if let Some(read) = broker.poll_fetch() {
            broker.fetched(read, self.read(read), now);
            return true;
        }
        let is_filled = self.write(broker);
        if is_filled {
            broker.durable(self.report, now);
        }
        is_filled
    }

    /// Writes one batch, if the broker has one; the report is left to the caller.
    pub fn write(&mut self, broker: &mut Broker) -> bool {
        let is_filled = broker.poll_journal(&mut self.batch);
        if is_filled {
            self.perform();
        }
        is_filled
    }

    /// The bytes that are read back.
    pub fn read(&self, read: Read) -> Option<&[u8]> {
        let file = self.segments.get(&read.place.segment())?;
        let from = read.place.offset() as usize;
        file.get(from..file.len().min(from + read.len as usize))
    }

    /// Carries the batch out.
    fn perform(&mut self) {
        for (step, bytes) in self.batch.parts() {
            match step {
                Step::Open { segment, capacity } => {
                    self.segments.insert(segment, vec![0; capacity as usize]);
                }
                Step::Write {
                    segment, offset, ..
                } => {
                    let file = self.segments.get_mut(&segment).expect("it was opened");
                    file[offset as usize..][..bytes.len()].copy_from_slice(bytes);
                }
                Step::Unlink { segment } => {
                    self.segments.remove(&segment).expect("it was opened");
                }
            }
        }
        (self.report.durable, self.report.written) = (self.batch.end, self.batch.end);
    }
}
