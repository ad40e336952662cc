//! What may lie on the disk: records as a broker writes them, with bytes changed afterwards, and
//! records that say anything at all. A broker starts with it, and serves.
//!
//! The bytes are a list of records, see [`records`], and behind it what happens to the disk.

use super::input::Input;
use super::seam::disk::Disk;
use super::world::{World, disk};
use midge::store::journal::Record;
use midge::store::journal::segment::{Found, HEADER_LEN, Header};

const RECORDS_MAX: usize = 64;

pub fn run(data: &[u8]) {
    if let Found::Header(header, _) = Header::find(data) {
        let encoded = header.encode();
        assert_eq!(Header::find(&encoded), Found::Header(header, false));
    }
    let mut input = Input::new(data);
    let written = records(&mut input);
    let mut disk = disk();
    disk.fill(written.iter().copied());
    if input.is_empty() {
        let records = |&number| disk.scan(number, |_, _| ()).records;
        let found: u64 = disk.segments.keys().map(records).sum();
        assert_eq!(found, written.len() as u64, "what was written is found");
    }
    damage(&mut disk, &mut input);
    let mut world = World::new(Some(disk));
    world.check();
    // Whose sessions may be among them come back and take what waits for them.
    for name in *b"0123" {
        for version in [4, 5] {
            if let Some(at) = world.accept(0) {
                world.input(at, &hello(version, name));
            }
        }
    }
    world.check();
    world.advance(120_000);
    world.check();
    world.crash();
    world.advance(1000);
    world.check();
}

/// Reads records: for each its kind, the length of its body, its body. Kind 0 ends the list.
fn records<'a>(input: &mut Input<'a>) -> Vec<Record<'a>> {
    let mut records = Vec::new();
    for _ in 0..RECORDS_MAX {
        let kind = input.byte();
        if kind == 0 {
            break;
        }
        let body = input.piece();
        let Some(record) = Record::decode(kind, body) else {
            continue;
        };
        let mut again = Vec::new();
        record.encode(&mut again);
        assert_eq!(record.kind(), kind);
        assert_eq!(Record::decode(kind, &again), Some(record), "encoded again");
        records.push(record);
    }
    records
}

/// Changes bytes: each step names a segment, a place in it and what stands there from then on.
fn damage(disk: &mut Disk, input: &mut Input<'_>) {
    while !input.is_empty() {
        let which = usize::from(input.byte());
        let (at, bytes) = (usize::from(input.number()), input.piece());
        let count = disk.segments.len().max(1);
        let Some(file) = disk.segments.values_mut().nth(which % count) else {
            return;
        };
        // The header is not read back here.
        let start = at.clamp(HEADER_LEN as usize, file.len());
        let end = file.len().min(start + bytes.len());
        file[start..end].copy_from_slice(&bytes[..end - start]);
    }
}

/// A CONNECT that resumes the session of a name.
fn hello(version: u8, name: u8) -> Vec<u8> {
    let (len, properties) = match version {
        5 => (15, &[0][..]),
        _ => (14, &[][..]),
    };
    let head = [&[0x10, len][..], b"\0\x04MQTT", &[version, 0, 0, 0]].concat();
    [&head[..], properties, &[0, 2, b'h', name]].concat()
}
