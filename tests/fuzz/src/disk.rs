//! A disk that never fails, for the journal of a broker.

use midge::broker::{Broker, Now};
use midge::store::journal::scan::{Scanned, scan};
use midge::store::journal::segment::HEADER_LEN;
use midge::store::journal::writer::Segment;
use midge::store::journal::{Batch, Opened, Place, Placed, Read, Record, Report, Step};
use std::collections::BTreeMap;

/// What all records are checked with.
pub const SALT: u64 = 7;

/// Small, so that segments come and go.
const SEGMENT_BYTES: u32 = 16 * 1024;

/// The segments, as bytes.
#[derive(Default)]
pub struct Disk {
    pub segments: BTreeMap<u32, Vec<u8>>,
    batch: Batch,
}

impl Disk {
    /// Tells a broker that was just made everything that is on the disk, and lets it record.
    pub fn begin(&self, broker: &mut Broker, now: Now) {
        let mut opened = Opened {
            salt: SALT,
            segment_bytes: SEGMENT_BYTES,
            ..Opened::default()
        };
        for (&number, bytes) in &self.segments {
            let scanned = self.scan(number, |placed, record| broker.restore(placed, record));
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
        broker.start_journal(opened, now);
    }

    /// Goes through the records of a segment.
    pub fn scan<'a>(&'a self, number: u32, each: impl FnMut(Placed, Record<'a>)) -> Scanned {
        let records = &self.segments[&number][HEADER_LEN as usize..];
        scan(SALT, Place::new(number, HEADER_LEN), records, None, each)
    }

    /// Does one thing that the broker wants of its disk; whether there was one.
    pub fn step(&mut self, broker: &mut Broker, now: Now) -> bool {
        if let Some(read) = broker.poll_fetch() {
            broker.fetched(read, self.read(read), now);
            return true;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let is_filled = broker.poll_journal(&mut batch);
        if is_filled {
            self.perform(&batch);
            let report = Report {
                durable: batch.end,
                written: batch.end,
                spares: 2,
                free_bytes: u64::MAX,
                ..Report::default()
            };
            broker.durable(report, now);
        }
        self.batch = batch;
        is_filled
    }

    /// Carries a batch out.
    pub fn perform(&mut self, batch: &Batch) {
        for (step, bytes) in batch.parts() {
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
    }

    fn read(&self, read: Read) -> Option<&[u8]> {
        let file = self.segments.get(&read.place.segment())?;
        let from = read.place.offset() as usize;
        file.get(from..file.len().min(from + read.len as usize))
    }
}
