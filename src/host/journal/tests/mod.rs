//! The journal's files against disks that fail, forget and fill up, and against a real folder.

mod errors;
mod fake;
mod old;
mod patience;
mod property;
mod real;
mod start;
mod threads;

use super::disk::Disk;
use super::files::{Files, name_of, parse_name};
use super::open;
use crate::conf::Sync;
use crate::store::journal::record::{Clock, Message, Recipients};
use crate::store::journal::{Batch, Opened, Place, Placed, Record, Writer};
use crate::wire::QoS;
use std::collections::BTreeMap;
use std::io;

pub const SALT: u64 = 0x05a1_7000_0000_5a17;

/// What the clocks say in these tests.
pub const NOW: Clock = Clock {
    boot: 1,
    boot_ms: 1000,
    wall_ms: 1_000_000,
    log_ms: 0,
};

/// The records of a log, encoded, by where they lie.
pub type Log = BTreeMap<Place, Vec<u8>>;

/// A message with this payload.
pub fn message(payload: &[u8]) -> Record<'_> {
    Record::Message(Message {
        slot: 1,
        qos: QoS::AtLeastOnce,
        retain: false,
        expires_ms: None,
        keeps: None,
        held: None,
        is_body: false,
        recipients: Recipients::default(),
        topic: b"a",
        properties: &[],
        payload,
    })
}

/// What identifies a record: its kind and its body.
pub fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = vec![record.kind()];
    record.encode(&mut bytes);
    bytes
}

/// A writer that remembers what it wrote.
pub struct Known {
    pub writer: Writer,
    pub log: Log,
}

impl Known {
    pub fn new(opened: &Opened) -> Known {
        Known {
            writer: Writer::new(opened.salt, opened.segments.clone()),
            log: Log::new(),
        }
    }

    pub fn append(&mut self, payload: &[u8]) -> Placed {
        let record = message(payload);
        let placed = self.writer.append(&record);
        self.log.insert(placed.place, encoded(&record));
        placed
    }

    pub fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        assert!(self.writer.take(&mut batch), "there is something to do");
        batch
    }
}

/// Opens a disk's journal: the files, what was found, and the records.
pub fn open_all<D: Disk>(disk: D) -> io::Result<(Files<D>, Opened, Log)> {
    let mut log = Log::new();
    let mut last = Place::START;
    let (files, opened) = open(disk, NOW, SALT, &mut |placed, record| {
        assert!(
            placed.place > last,
            "records are told in the order of the log"
        );
        last = placed.place;
        if record == Record::Mark {
            return;
        }
        log.insert(placed.place, encoded(&record));
    })?;
    Ok((files, opened, log))
}

/// A journal in an empty folder.
pub fn fresh<D: Disk>(disk: D) -> (Files<D>, Known) {
    let (files, opened, log) = open_all(disk).expect("an empty folder opens");
    assert!(log.is_empty());
    assert_eq!((opened.salt, opened.segments.len()), (SALT, 0));
    let known = Known::new(&opened);
    (files, known)
}

/// Makes all spare files.
pub fn make_spares<D: Disk>(files: &mut Files<D>) -> io::Result<()> {
    while !files.make_spare()? {}
    Ok(())
}

/// Appends a record and has it written with a sync.
pub fn put<D: Disk>(files: &mut Files<D>, known: &mut Known, payload: &[u8]) -> Placed {
    let placed = known.append(payload);
    let batch = known.batch();
    (files.perform(&batch, Sync::Always)).expect("this disk works at the moment");
    placed
}

/// The names of files that are segments or what they continue in, in the order of the log.
pub fn logs(names: &[String]) -> Vec<String> {
    let mut keys: Vec<_> = names.iter().filter_map(|name| parse_name(name)).collect();
    keys.sort_unstable();
    (keys
        .into_iter()
        .map(|(segment, start)| name_of(segment, start)))
    .collect()
}
