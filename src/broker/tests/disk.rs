//! A disk that does things when it is told to, not before: what happens between a record's making
//! and its being on the disk is where faults hide.

use super::*;
use crate::store::journal::record::Record;
use crate::store::journal::segment::HEADER_LEN;
use crate::store::journal::writer::Segment;
use crate::store::journal::{Batch, Opened, Place, Read, Report, Step, Writer, scan};
use std::collections::{BTreeMap, VecDeque};

pub const SALT: u64 = 5;

pub struct Disk {
    segments: BTreeMap<u32, Vec<u8>>,
    batch: Batch,
    pub reads: VecDeque<Read>,
    /// What the next reports say, but for how far it is.
    pub report: Report,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk {
            segments: BTreeMap::new(),
            batch: Batch::default(),
            reads: VecDeque::new(),
            report: Report {
                spares: 2,
                free_bytes: 1 << 40,
                ..Report::default()
            },
        }
    }
}

impl Disk {
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

    pub fn read(&self, read: Read) -> Option<&[u8]> {
        let file = self.segments.get(&read.place.segment())?;
        let from = read.place.offset() as usize;
        file.get(from..file.len().min(from + read.len as usize))
    }

    /// Tells all records, and what segments there are.
    pub fn tell(&self, mut each: impl FnMut(crate::store::journal::Placed, Record<'_>)) -> Opened {
        let mut opened = Opened {
            salt: SALT,
            ..Opened::default()
        };
        for (&number, bytes) in &self.segments {
            let start = Place::new(number, HEADER_LEN);
            let scanned = scan(SALT, start, &bytes[HEADER_LEN as usize..], None, &mut each);
            opened.segments.push_back(Segment {
                number,
                bytes: bytes.len() as u32,
                used: HEADER_LEN + scanned.end as u32,
            });
        }
        opened
    }

    /// The numbers of the segments.
    pub fn segments(&self) -> Vec<u32> {
        self.segments.keys().copied().collect()
    }
}

impl World {
    /// A broker that keeps what must survive, but no body in memory that the disk has.
    pub fn kept(settings: Settings) -> World {
        let settings = Settings {
            memory_cache: 0,
            ..settings
        };
        let mut world = World::new(settings);
        world.begin(None);
        world.rest();
        world
    }

    /// The broker dies and comes back with what was on the disk. Segments up to `cleaned` are
    /// cleaned then, whatever they hold.
    pub fn restart(&mut self, cleaned: Option<u32>) {
        for link in &mut self.links {
            link.is_closed = true;
        }
        self.now.mono_ms += 1000;
        self.now.wall_ms += 1000;
        self.disk.reads.clear();
        self.disk.report = Disk::default().report;
        self.broker = Broker::new(self.settings.clone(), 1, self.now);
        self.begin(cleaned);
    }

    pub fn begin(&mut self, cleaned: Option<u32>) {
        let broker = &mut self.broker;
        let mut opened = self.disk.tell(|placed, record| {
            broker.restore(placed, record);
        });
        opened.damaged_through = cleaned;
        self.broker.start_journal(opened, self.now);
        self.settle();
    }

    /// Puts records on the disk as if a broker had.
    pub fn write_records(&mut self, records: &[Record<'_>]) {
        let mut writer = Writer::new(SALT, VecDeque::new());
        for record in records {
            writer.append(record);
        }
        self.disk = Disk::default();
        writer.take(&mut self.disk.batch);
        self.disk.perform();
    }

    /// The journal does one batch, if there is one.
    pub fn write(&mut self) -> bool {
        let is_busy = self.broker.poll_journal(&mut self.disk.batch);
        if is_busy {
            self.disk.perform();
            self.report();
        }
        is_busy
    }

    /// The journal says what it has to say.
    pub fn report(&mut self) {
        self.broker.durable(self.disk.report, self.now);
        self.settle();
    }

    /// One read is answered, if one was asked for.
    pub fn read(&mut self) -> bool {
        self.ask();
        let Some(read) = self.disk.reads.pop_front() else {
            return false;
        };
        self.broker.fetched(read, self.disk.read(read), self.now);
        self.settle();
        true
    }

    /// How many reads are under way.
    pub fn ask(&mut self) -> usize {
        let reads = &mut self.disk.reads;
        reads.extend(std::iter::from_fn(|| self.broker.poll_fetch()));
        reads.len()
    }

    /// The disk does everything there is to do.
    pub fn rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let has_read = self.read();
            if !self.write() && !has_read {
                return;
            }
        }
        panic!("the journal never comes to rest");
    }
}
