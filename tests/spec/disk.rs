//! A disk that never fails, for stories that are told with persistence: all is durable at once, and
//! no body stays in memory that the disk has.

use std::collections::BTreeMap;

use midge::broker::{Broker, Now};
use midge::store::journal::segment::HEADER_LEN;
use midge::store::journal::writer::Segment;
use midge::store::journal::{Batch, Opened, Place, Read, Report, Step, scan};

/// Names the environment variable that gives every story such a disk.
pub const JOURNAL: &str = "SPEC_JOURNAL";

const SALT: u64 = 7;

/// The segments, as bytes.
#[derive(Default)]
pub struct Disk {
    segments: BTreeMap<u32, Vec<u8>>,
    batch: Batch,
}

impl Disk {
    /// A disk, if the stories are told with one, and a broker that begins to use it.
    pub fn for_story(broker: &mut Broker, now: Now) -> Option<Disk> {
        std::env::var_os(JOURNAL)?;
        let disk = Disk::default();
        disk.begin(broker, now);
        Some(disk)
    }

    /// Tells a broker that was just made everything that is on the disk.
    pub fn begin(&self, broker: &mut Broker, now: Now) {
        let mut opened = Opened {
            salt: SALT,
            ..Opened::default()
        };
        for (&number, bytes) in &self.segments {
            let start = Place::new(number, HEADER_LEN);
            let scanned = scan(
                SALT,
                start,
                &bytes[HEADER_LEN as usize..],
                None,
                |placed, record| {
                    broker.restore(placed, record);
                },
            );
            opened.damaged += scanned.damaged;
            let used = HEADER_LEN + scanned.end as u32;
            let bytes = bytes.len() as u32;
            opened.segments.push_back(Segment {
                number,
                bytes,
                used,
            });
        }
        broker.start_journal(opened, now);
    }

    /// Spoils a byte of what is on the disk; `at` counts through all segments.
    pub fn flip(&mut self, at: usize) -> bool {
        let written = self.segments.values_mut().flatten();
        let byte = written.filter(|byte| **byte != 0).nth(at);
        byte.map(|byte| *byte ^= 0x10).is_some()
    }

    /// Does one thing that the broker wants of its disk; whether there was one.
    pub fn step(&mut self, broker: &mut Broker, now: Now) -> bool {
        if let Some(read) = broker.poll_fetch() {
            broker.fetched(read, self.read(read), now);
            return true;
        }
        if !broker.poll_journal(&mut self.batch) {
            return false;
        }
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
        let report = Report {
            durable: self.batch.end,
            written: self.batch.end,
            spares: 2,
            free_bytes: u64::MAX,
            ..Report::default()
        };
        broker.durable(report, now);
        true
    }

    fn read(&self, read: Read) -> Option<&[u8]> {
        let file = self.segments.get(&read.place.segment())?;
        let from = read.place.offset() as usize;
        file.get(from..file.len().min(from + read.len as usize))
    }
}
