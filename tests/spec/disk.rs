//! A disk that never fails, for stories that are told with persistence: all is durable at once, and
//! no body stays in memory that the disk has.

use std::collections::HashMap;

use midge::broker::{Broker, Now};
use midge::store::journal::{Batch, Opened, Read, Report, Step};

/// Names the environment variable that gives every story such a disk.
pub const JOURNAL: &str = "SPEC_JOURNAL";

/// The segments, as bytes.
#[derive(Default)]
pub struct Disk {
    segments: HashMap<u32, Vec<u8>>,
    batch: Batch,
}

impl Disk {
    /// A disk, if the stories are told with one, and a broker that begins to use it.
    pub fn for_story(broker: &mut Broker, now: Now) -> Option<Disk> {
        std::env::var_os(JOURNAL)?;
        let opened = Opened {
            salt: 7,
            ..Opened::default()
        };
        broker.start_journal(opened, now);
        Some(Disk::default())
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
        let mut at = 0;
        for step in &self.batch.steps {
            match *step {
                Step::Open { segment, capacity } => {
                    self.segments.insert(segment, vec![0; capacity as usize]);
                }
                Step::Write {
                    segment,
                    offset,
                    len,
                } => {
                    let (offset, len) = (offset as usize, len as usize);
                    let file = self.segments.get_mut(&segment).expect("it was opened");
                    file[offset..offset + len].copy_from_slice(&self.batch.bytes[at..at + len]);
                    at += len;
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
