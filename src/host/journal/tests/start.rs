//! The start: torn ends, damage, strangers' files, what is refused.

use super::fake::{EIO, ENOSPC, Fake, Op};
use super::*;
use crate::store::journal::scan::RECORD_HEADER;
use crate::store::journal::segment::{HEADER_LEN, VERSION};
use crate::store::journal::writer::SEGMENT_BYTES;
use fastrand::Rng;

/// A disk with a log of some segments, all of it durable, and what is in it.
pub fn written(segments: u32) -> (Fake, Log) {
    let disk = Fake::seeded(1);
    let (mut files, mut known) = fresh(disk.clone());
    let mut n = 0u32;
    while known.writer.end().segment() < segments || n < 3 {
        let mut payload = n.to_le_bytes().to_vec();
        payload.resize(if segments > 1 { 150_000 } else { 300 }, 5);
        put(&mut files, &mut known, &payload);
        n += 1;
    }
    (disk, known.log)
}

/// Puts other bytes in a file's place.
fn change(disk: &Fake, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.bytes_of(name);
    change(&mut bytes);
    disk.put(name, &bytes);
}

pub fn name(segment: u32) -> String {
    name_of(segment, 0)
}

#[test]
fn a_torn_end_is_cut_for_good_and_is_no_damage() {
    let (disk, mut log) = written(1);
    let (last, _) = log.pop_last().expect("there are three");
    change(&disk, &name(1), |bytes| {
        bytes[last.offset() as usize + 40..].fill(0);
    });
    let (_, opened, found) = open_all(disk.clone()).expect("it opens");
    assert_eq!((found, opened.damaged), (log.clone(), 0));
    let cut = disk.bytes_of(&name(1)).len() as u32;
    assert_eq!(cut, last.offset());
    assert_eq!(
        (opened.segments[0].used, opened.segments[0].bytes),
        (cut, cut)
    );
    assert_eq!(disk.names(), [name(1)]);
    // Another power cut does not bring it back, and the next life writes elsewhere.
    let left = disk.cut(&mut Rng::with_seed(3));
    assert_eq!(left.bytes_of(&name(1)).len() as u32, cut);
    let (mut files, opened, _) = open_all(left.clone()).expect("it opens");
    let mut known = Known::new(&opened);
    put(&mut files, &mut known, b"next life");
    assert_eq!(logs(&left.names()), [name(1), name(2)]);
    let (_, opened, found) = open_all(left).expect("it opens");
    log.append(&mut known.log);
    assert_eq!((found, opened.damaged), (log, 0));
}

#[test]
fn a_file_cut_anywhere_keeps_the_records_in_front() {
    let (disk, log) = written(1);
    let whole = disk.bytes_of(&name(1));
    let end = log
        .last_key_value()
        .map_or(0, |(place, bytes)| place.offset() as usize + bytes.len());
    for len in (0..end + 20).step_by(7) {
        let disk = Fake::seeded(1);
        disk.put(&name(1), &whole[..len]);
        let (_, _, found) = open_all(disk).expect("it opens");
        let is_whole = |place: &Place, bytes: &[u8]| {
            place.offset() as usize + RECORD_HEADER - 1 + bytes.len() <= len && len >= 64
        };
        let expected: Log = (log.clone().into_iter())
            .filter(|(place, bytes)| is_whole(place, bytes))
            .collect();
        assert_eq!(found, expected, "{len} bytes");
    }
}

#[test]
fn a_flipped_byte_costs_its_record_only_and_the_file_is_kept_aside() {
    let (disk, log) = written(1);
    let whole = disk.bytes_of(&name(1));
    // The last record is the end of the log: it may be torn, and that is no damage.
    let last = *log.keys().nth(2).expect("there are three");
    for at in (0..last.offset() as usize).step_by(11) {
        let disk = Fake::seeded(1);
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        disk.put(&name(1), &bytes);
        let (_, opened, found) = open_all(disk.clone()).expect("it opens");
        let mut expected = log.clone();
        let hit = log.keys().rfind(|place| place.offset() as usize <= at);
        if let Some(place) = hit {
            expected.remove(place);
        }
        assert_eq!(found, expected, "byte {at}");
        assert!(opened.damaged > 0, "byte {at}");
        assert_eq!(opened.damaged_through, Some(1));
        let bad = disk.bytes_of("00000001.log.bad");
        assert_eq!(
            bad[..bad.len().min(900)],
            bytes[..bad.len().min(900)],
            "byte {at}"
        );
    }
}

#[test]
fn what_is_kept_aside_is_whole_although_the_file_is_cut() {
    let (disk, log) = written(1);
    let places: Vec<_> = log.keys().map(|place| place.offset() as usize).collect();
    change(&disk, &name(1), |bytes| {
        bytes[places[0] + 20] ^= 1;
        bytes[places[2] + 20] ^= 1;
    });
    let before = disk.bytes_of(&name(1));
    let (_, _, found) = open_all(disk.clone()).expect("it opens");
    assert_eq!(found.len(), 1);
    assert!(disk.bytes_of(&name(1)).len() <= places[2]);
    assert_eq!(disk.bytes_of("00000001.log.bad"), before);
}

#[test]
fn damage_without_links_and_without_room_does_not_stop_the_start() {
    for (op, error) in [
        (Op::Link, EIO),
        (Op::Create, ENOSPC),
        (Op::Write, ENOSPC),
        (Op::Sync, EIO),
    ] {
        let (disk, log) = written(3);
        change(&disk, &name(1), |bytes| {
            bytes[HEADER_LEN as usize + 30] ^= 1;
        });
        disk.fail(op, error, 100);
        let (_, opened, found) = open_all(disk.clone()).expect("it opens");
        assert_eq!(found.len(), log.len() - 1, "{op:?}");
        assert!(
            opened.damaged > 0 && opened.damaged_through >= Some(1),
            "{op:?}"
        );
    }
}

#[test]
fn only_the_newest_files_with_damage_are_kept() {
    let (disk, _) = written(12);
    for segment in 1..=12 {
        change(&disk, &name(segment), |bytes| {
            bytes[HEADER_LEN as usize + 30] ^= 1;
        });
    }
    disk.put("notes.log.bad", b"a stranger's");
    let (_, opened, _) = open_all(disk.clone()).expect("it opens");
    assert!(opened.damaged >= 11 && opened.damaged_through >= Some(11));
    let bad: Vec<String> = (disk.names().into_iter())
        .filter(|name| name.contains(".log.bad") && name.starts_with('0'))
        .collect();
    assert_eq!(bad.len(), 8, "{bad:?}");
    assert!(!bad.contains(&"00000001.log.bad".to_owned()));
    assert!(disk.names().contains(&"notes.log.bad".to_owned()));
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_touched() {
    let (disk, _) = written(3);
    disk.put("spare-1.log", b"something");
    disk.put("00000009.log", &[0; 1000]);
    change(&disk, &name(3), |bytes| {
        for copy in [0, 64] {
            bytes[copy + 8..copy + 10].copy_from_slice(&(VERSION + 1).to_le_bytes());
            let crc = crc32fast::hash(&bytes[copy..copy + 60]);
            bytes[copy + 60..copy + 64].copy_from_slice(&crc.to_le_bytes());
        }
    });
    let names = disk.names();
    let before: Vec<_> = names.iter().map(|name| disk.bytes_of(name)).collect();
    let error = open_all(disk.clone())
        .err()
        .expect("it is refused")
        .to_string();
    assert!(error.contains("00000003.log has format 2"), "{error}");
    assert_eq!(disk.names(), names);
    assert_eq!(
        names.iter().map(|n| disk.bytes_of(n)).collect::<Vec<_>>(),
        before
    );
}

#[test]
fn files_of_others_are_left_alone() {
    let (disk, log) = written(2);
    let others = [
        "spare-parts.db",
        "spare-10.log",
        "midge.lock",
        "mosquitto.db",
        "00000000.log",
        "4294967295.log",
        "00000001-00000005.log",
        "1.log",
        "00000001.LOG",
        "notes.txt",
    ];
    for name in &others {
        disk.put(name, b"not yours");
    }
    let (_, opened, found) = open_all(disk.clone()).expect("it opens");
    assert_eq!((found, opened.damaged), (log, 0));
    for name in &others {
        assert_eq!(disk.bytes_of(name), b"not yours");
    }
}

#[test]
fn a_log_file_named_by_its_date_is_not_cut() {
    let (disk, log) = written(2);
    disk.put("20261123.log", b"10:00 somebody else's\n");
    let (mut files, opened, found) = open_all(disk.clone()).expect("it opens");
    assert_eq!(found, log);
    assert_eq!(
        disk.bytes_of("20261123.log.bad"),
        b"10:00 somebody else's\n"
    );
    // Its number is not used, nor is what has it removed when the segment is cleaned.
    let mut known = Known::new(&opened);
    let placed = put(&mut files, &mut known, b"next");
    assert_eq!(placed.place.segment(), 20_261_124);
    known.writer.unlink(20_261_123);
    files
        .perform(&known.batch(), Sync::Always)
        .expect("it works");
    assert!(disk.names().contains(&"20261123.log.bad".to_owned()));
}

#[test]
fn a_log_goes_on_behind_the_highest_number() {
    let disk = Fake::seeded(1);
    disk.put("4026531840.log", b"somebody else's");
    let (mut files, opened, _) = open_all(disk.clone()).expect("it opens");
    let mut known = Known::new(&opened);
    put(&mut files, &mut known, b"kept");
    let (_, _, found) = open_all(disk).expect("it opens");
    assert_eq!(found, known.log);
}

#[test]
fn a_segment_of_another_log_is_put_aside_whole() {
    let (disk, log) = written(3);
    let other = Fake::seeded(9);
    open(other.clone(), NOW, SALT + 1, &mut |_, _| {}).expect("an empty folder opens");
    let (mut files, opened) = open(other.clone(), NOW, SALT + 1, &mut |_, _| {}).expect("it opens");
    let mut known = Known::new(&opened);
    put(&mut files, &mut known, b"of another log");
    let bytes = other.bytes_of(&name(1));
    disk.put(&name(7), &bytes);
    let (_, opened, found) = open_all(disk.clone()).expect("it opens");
    assert_eq!((found, opened.salt), (log, SALT));
    assert_eq!((opened.damaged, opened.damaged_through), (1, Some(7)));
    assert_eq!(disk.bytes_of("00000007.log.bad"), bytes);
}

#[test]
fn a_spare_file_with_old_records_in_it_is_not_used() {
    // The power went after the first records and before the new name was durable.
    let (disk, log) = written(1);
    let segment = disk.bytes_of(&name(1));
    let disk = Fake::seeded(1);
    disk.put("spare-1.log", &segment);
    disk.put("spare-2.log", &vec![0; SEGMENT_BYTES as usize]);
    disk.put("spare-3.log", b"a stranger's");
    let (mut files, mut known) = fresh(disk.clone());
    assert_eq!(disk.names(), ["spare-2.log", "spare-3.log"]);
    put(&mut files, &mut known, b"new");
    assert_eq!(disk.names(), ["00000001.log", "spare-3.log"]);
    let (_, _, found) = open_all(disk).expect("it opens");
    assert_eq!(found, known.log);
    assert_ne!(found, log);
}

#[test]
fn blocks_that_cannot_be_read_cost_what_is_in_them() {
    let (disk, log) = written(3);
    disk.spoil_block(&name(2), 100);
    let (_, opened, found) = open_all(disk.clone()).expect("it opens");
    let hit: Vec<&Place> = log
        .keys()
        .filter(|place| !found.contains_key(place))
        .collect();
    assert_eq!(hit.len(), 1, "{hit:?}");
    assert_eq!(hit[0].segment(), 2);
    assert!(opened.damaged > 0);
    assert_eq!(opened.damaged_through, Some(2));
}

#[test]
fn a_segment_that_lost_both_headers_is_read_all_the_same() {
    let (disk, log) = written(3);
    change(&disk, &name(2), |bytes| {
        bytes[..HEADER_LEN as usize].fill(0xff);
    });
    let (_, opened, found) = open_all(disk).expect("it opens");
    assert_eq!(found, log);
    assert_eq!((opened.damaged, opened.damaged_through), (1, Some(2)));
}

#[test]
fn a_start_needs_no_room() {
    let (disk, log) = written(3);
    let taken: u64 = disk
        .names()
        .iter()
        .map(|name| disk.bytes_of(name).len() as u64)
        .sum();
    disk.state().capacity = Some(taken);
    let (_, opened, found) = open_all(disk).expect("it opens");
    assert_eq!((found, opened.damaged), (log, 0));
}

#[test]
fn what_a_killed_process_had_not_synced_is_synced_before_it_is_served() {
    let disk = Fake::seeded(1);
    let (mut files, mut known) = fresh(disk.clone());
    known.append(b"written only");
    let batch = known.batch();
    files.perform(&batch, Sync::Never).expect("it works");
    drop(files);
    let (_, _, found) = open_all(disk.clone()).expect("it opens");
    assert_eq!(found, known.log);
    for seed in 0..20 {
        let left = disk.cut(&mut Rng::with_seed(seed));
        assert_eq!(open_all(left).expect("it opens").2, known.log);
    }
}

#[test]
fn the_log_clock_goes_on_where_it_was() {
    let disk = Fake::seeded(1);
    let (mut files, mut known) = fresh(disk.clone());
    let clock = Clock {
        log_ms: 70_000,
        ..NOW
    };
    known.writer.append(&Record::Clock(clock));
    files
        .perform(&known.batch(), Sync::Always)
        .expect("it works");
    let offset = |now: Clock| {
        let (_, opened) = open(disk.clone(), now, SALT, &mut |_, _| {}).expect("it opens");
        assert_eq!(opened.boot, now.boot);
        opened.clock_offset_ms
    };
    let later = Clock {
        boot_ms: 1500,
        ..NOW
    };
    assert_eq!(offset(later), 69_000);
    // After a boot the calendar tells, if it can be believed.
    let booted = Clock {
        boot: 2,
        boot_ms: 10,
        wall_ms: 1_003_000,
        log_ms: 0,
    };
    assert_eq!(offset(booted), 72_990);
    let before = Clock {
        wall_ms: 5,
        ..booted
    };
    assert_eq!(offset(before), 69_990);
    // But never back before a moment that some record tells of.
    known.writer.append(&Record::Left {
        key: 1,
        expiry_s: 60,
        at_ms: 75_000,
        has_will: false,
    });
    files
        .perform(&known.batch(), Sync::Always)
        .expect("it works");
    assert_eq!(offset(before), 74_990);
}

#[test]
fn a_block_that_cannot_be_read_is_no_gap_in_the_last_batch() {
    let disk = Fake::seeded(1);
    let (mut files, mut known) = fresh(disk.clone());
    known.writer.set_marking(true);
    let places: Vec<Place> = (0..4u8).map(|n| known.append(&[n; 3000]).place).collect();
    files
        .perform(&known.batch(), Sync::Always)
        .expect("it works");
    disk.spoil_block(&name(1), places[1].offset() as usize / 512 + 2);
    let (_, opened, found) = open_all(disk).expect("it opens");
    assert!(found.contains_key(&places[3]), "{:?}", found.keys());
    assert!(!found.contains_key(&places[1]));
    assert!(opened.damaged > 0);
}

#[test]
fn a_segment_whose_header_was_not_written_to_the_end_is_no_damage() {
    let (disk, log) = written(3);
    let mut bytes = vec![0; SEGMENT_BYTES as usize];
    bytes[..64].copy_from_slice(&disk.bytes_of(&name(3))[..64]);
    disk.put(&name(4), &bytes);
    let (_, opened, found) = open_all(disk.clone()).expect("it opens");
    assert_eq!((found, opened.damaged), (log, 0));
    assert_eq!(logs(&disk.names()), [name(1), name(2), name(3)]);
}

/// A log whose last batch has a gap in its second record, and where its records lie.
fn with_a_gap() -> (Fake, Vec<Place>) {
    let disk = Fake::seeded(1);
    let (mut files, mut known) = fresh(disk.clone());
    known.writer.set_marking(true);
    let places: Vec<Place> = (1..5u8).map(|n| known.append(&[n; 3000]).place).collect();
    (files.perform(&known.batch(), Sync::Always)).expect("it works");
    let sector = places[1].offset() as usize / 512 + 2;
    change(&disk, &name(1), |bytes| {
        bytes[sector * 512..(sector + 1) * 512].fill(0);
    });
    (disk, places)
}

#[test]
fn what_lies_behind_a_gap_is_cut_and_does_not_come_back() {
    let (disk, places) = with_a_gap();
    for _ in 0..2 {
        let (_, _, found) = open_all(disk.clone()).expect("it opens");
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), places[..1]);
    }
}

#[test]
fn what_lies_behind_a_gap_counts_if_it_cannot_be_cut() {
    let (disk, places) = with_a_gap();
    disk.fail(Op::Truncate, EIO, 9);
    let (_, _, found) = open_all(disk).expect("it opens");
    let found: Vec<Place> = found.into_keys().collect();
    assert_eq!(found, [places[0], places[2], places[3]]);
}

#[test]
fn an_old_mark_makes_no_gap_of_what_was_damaged_segments_ago() {
    let disk = Fake::seeded(1);
    let (mut files, mut known) = fresh(disk.clone());
    known.writer.set_marking(true);
    put(&mut files, &mut known, b"marked");
    // From here on as with persistence_sync in milliseconds.
    known.writer.set_marking(false);
    let places: Vec<Place> = (1..6u8)
        .map(|n| put(&mut files, &mut known, &vec![n; 300_000]).place)
        .collect();
    assert_eq!(places[4].segment(), 2);
    let sector = places[1].offset() as usize / 512 + 2;
    change(&disk, &name(1), |bytes| {
        bytes[sector * 512..(sector + 1) * 512].fill(0);
    });
    let (_, opened, found) = open_all(disk).expect("it opens");
    known.log.remove(&places[1]);
    assert_eq!((found, opened.damaged), (known.log, 1));
}

#[test]
fn what_a_continuation_took_the_place_of_stays_away_when_that_is_gone() {
    let disk = Fake::seeded(2);
    let (mut files, mut known) = fresh(disk.clone());
    let kept = put(&mut files, &mut known, b"before");
    let given_up = known.append(b"on the way");
    let batch = known.batch();
    disk.fail(Op::Sync, EIO, 1);
    (files.perform(&batch, Sync::Always)).expect_err("the disk failed");
    (files.perform(&batch, Sync::Always)).expect("the second attempt goes elsewhere");
    let continuation = name_of(1, given_up.place.offset());
    // The power went before more than half of its header was there.
    change(&disk, &continuation, |bytes| bytes[64..].fill(0));
    for _ in 0..2 {
        let (_, _, found) = open_all(disk.clone()).expect("it opens");
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [kept.place]);
    }
}
