//! What happens when the disk cannot read.

use super::fake::{EIO, Fake, Op};
use super::start::{name, written};
use super::*;
use crate::host::journal::Patience;
use crate::store::journal::Read;
use crate::store::journal::scan::RECORD_HEADER;
use crate::store::journal::writer::SEGMENT_BYTES;

#[test]
fn what_cannot_be_read_for_a_moment_is_read_later() {
    let (disk, log) = written(3);
    disk.fail(Op::Read, EIO, 50);
    let (files, opened, found) = open_all(disk.clone()).expect("it opens");
    assert_eq!((found == log, opened.damaged), (true, 0));
    let (&place, bytes) = log.first_key_value().expect("something was written");
    let read = Read { place, len: 1000 };
    disk.fail(Op::Read, EIO, 50);
    let read = (files.shelf()).read::<Fake>(read, &mut Patience::default());
    let read = read.expect("the file is there");
    assert!(bytes[1..].starts_with(&read[RECORD_HEADER..]));
}

#[test]
fn what_no_start_could_read_makes_no_room_for_others() {
    let (disk, _) = written(12);
    for segment in 1..=12 {
        for block in 0..SEGMENT_BYTES as usize / 512 {
            disk.spoil_block(&name(segment), block);
        }
    }
    let (_, opened, found) = open_all(disk.clone()).expect("it opens");
    assert_eq!((found.len(), opened.damaged), (0, 12));
    let names = disk.names();
    for segment in 1..=12 {
        assert!(
            names.contains(&format!("{}.bad", name(segment))),
            "{names:?}"
        );
    }
}

#[test]
fn a_block_that_cannot_be_read_costs_nothing_around_it() {
    let (disk, _) = written(2);
    let whole = disk.bytes_of(&name(1));
    let (files, ..) = open_all(disk.clone()).expect("it opens");
    disk.spoil_block(&name(1), 32);
    let read = |place, len, patience: &mut Patience| {
        let place = Place::new(1, place);
        let read = files.shelf().read::<Fake>(Read { place, len }, patience);
        read.expect("the file is there")
    };
    let mut patience = Patience::default();
    // Blocks of 4096 bytes are given up, wherever the question begins.
    let mut expected = whole[1000..32_000].to_vec();
    expected[16_384 - 1000..20_480 - 1000].fill(0);
    assert_eq!(read(1000, 31_000, &mut patience), expected);
    // It was tried again often enough: from now on that is known of this disk.
    let reads = disk.state().done.len();
    assert_eq!(read(1000, 31_000, &mut patience), expected);
    assert!(disk.state().done.len() < reads + 20);
    // A start does not wait for thousands of bad blocks: in the end they are given up unasked.
    let reads = disk.state().done.len();
    let given_up = read(1000, 31_000, &mut Patience::exhausted());
    assert_eq!(given_up, vec![0; 31_000]);
    assert_eq!(disk.state().done.len(), reads + 1);
}
