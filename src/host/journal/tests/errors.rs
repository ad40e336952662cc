//! What happens when the disk gives errors or is full.

use super::fake::{EIO, ENOSPC, Fake, Op};
use super::*;
use crate::host::journal::Patience;
use crate::store::journal::writer::SEGMENT_BYTES;
use crate::store::journal::{Read, State};
use fastrand::Rng;

/// The journal after a power cut that keeps as little as it may, however the dice fall.
fn after_cuts(disk: &Fake, mut check: impl FnMut(Log, Opened, Fake)) {
    for seed in 0..20 {
        let left = disk.cut(&mut Rng::with_seed(seed));
        let (_, opened, log) = open_all(left.clone()).expect("what is left opens");
        check(log, opened, left);
    }
}

#[test]
fn a_batch_is_durable_when_it_was_performed() {
    let disk = Fake::seeded(1);
    let (mut files, mut known) = fresh(disk.clone());
    make_spares(&mut files).expect("there is room");
    for n in 0..5u8 {
        put(&mut files, &mut known, &[n; 100]);
    }
    assert!(!files.is_dirty());
    after_cuts(&disk, |log, opened, _| {
        assert_eq!(log, known.log);
        assert_eq!(opened.damaged, 0);
    });
}

#[test]
fn a_failed_write_goes_to_a_continuation() {
    a_failure_goes_to_a_continuation(Op::Write);
}

#[test]
fn a_failed_sync_goes_to_a_continuation() {
    a_failure_goes_to_a_continuation(Op::Sync);
}

fn a_failure_goes_to_a_continuation(op: Op) {
    let disk = Fake::seeded(2);
    let (mut files, mut known) = fresh(disk.clone());
    put(&mut files, &mut known, b"before");
    let failed = known.append(b"on the way");
    let batch = known.batch();
    disk.fail(op, EIO, 1);
    let error = files
        .perform(&batch, Sync::Always)
        .expect_err("the disk failed");
    assert_eq!(super::super::files::state_of(&error), State::Failing);
    (files.perform(&batch, Sync::Always)).expect("the second attempt goes elsewhere");
    put(&mut files, &mut known, b"after");

    let continuation = format!("00000001-{:08x}.log", failed.place.offset());
    assert_eq!(logs(&disk.names()), ["00000001.log", &continuation]);
    // Both files are read, each for its part.
    for (&place, bytes) in &known.log {
        let len = (bytes.len() - 1 + crate::store::journal::scan::RECORD_HEADER) as u32;
        let read = Read { place, len };
        let read = (files.shelf()).read::<Fake>(read, &mut Patience::default());
        let read = read.expect("it is there");
        assert_eq!(
            read[crate::store::journal::scan::RECORD_HEADER..],
            bytes[1..]
        );
    }
    after_cuts(&disk, |log, opened, _| {
        assert_eq!(log, known.log);
        assert_eq!((opened.damaged, opened.segments.len()), (0, 1));
    });
    // The segment goes with all its files.
    for n in 0..12 {
        put(&mut files, &mut known, &vec![n; 100_000]);
    }
    known.writer.unlink(1);
    let batch = known.batch();
    files.perform(&batch, Sync::Always).expect("it works");
    assert!(!disk.names().iter().any(|name| name.starts_with("00000001")));
}

#[test]
fn a_file_that_failed_is_never_written_to_again() {
    let disk = Fake::seeded(3);
    let (mut files, mut known) = fresh(disk.clone());
    put(&mut files, &mut known, b"before");
    known.append(b"lost by the kernel");
    let batch = known.batch();
    disk.fail(Op::Sync, EIO, 1);
    files
        .perform(&batch, Sync::Always)
        .expect_err("the disk failed");
    let trusted_no_more = disk.bytes_of("00000001.log");
    files.perform(&batch, Sync::Always).expect("it works again");
    put(&mut files, &mut known, b"after");
    assert_eq!(disk.bytes_of("00000001.log"), trusted_no_more);
}

#[test]
fn continuations_that_fail_are_made_again() {
    for op in [
        Op::Create,
        Op::Allocate,
        Op::Write,
        Op::Sync,
        Op::SyncFolder,
    ] {
        let disk = Fake::seeded(4);
        let (mut files, mut known) = fresh(disk.clone());
        put(&mut files, &mut known, b"before");
        known.append(b"on the way");
        let batch = known.batch();
        disk.fail(Op::Write, EIO, 1);
        files
            .perform(&batch, Sync::Always)
            .expect_err("the disk failed");
        disk.fail(op, EIO, 3);
        let attempts = (0..10).position(|_| files.perform(&batch, Sync::Always).is_ok());
        assert!(attempts.is_some_and(|n| n > 0), "{op:?}: {attempts:?}");
        put(&mut files, &mut known, b"after");
        after_cuts(&disk, |log, _, _| assert_eq!(log, known.log, "{op:?}"));
    }
}

#[test]
fn a_full_disk_shows_before_the_last_room_is_used() {
    let segment = u64::from(SEGMENT_BYTES);
    let disk = Fake::seeded(5);
    disk.state().capacity = Some(3 * segment + 1000);
    let (mut files, mut known) = fresh(disk.clone());
    make_spares(&mut files).expect("there is room for two");
    assert_eq!(files.report().spares, 2);
    put(&mut files, &mut known, b"opens the first segment");
    make_spares(&mut files).expect("and for a third");
    // The second segment leaves one spare file, and no room for another.
    while known.writer.end().segment() < 2 {
        put(&mut files, &mut known, &vec![7; 60_000]);
    }
    let error = make_spares(&mut files).expect_err("there is no room");
    assert_eq!(super::super::files::state_of(&error), State::Full);
    assert_eq!(files.report().spares, 1);
    // That one is for acknowledgements and cleaning.
    while known.writer.end().segment() < 3 {
        put(&mut files, &mut known, &vec![8; 60_000]);
    }
    make_spares(&mut files).expect_err("there is no room");
    assert_eq!(files.report().spares, 0);
    // A segment goes: its room comes back within the same batch, before it is needed.
    known.writer.unlink(1);
    while known.writer.end().segment() < 4 {
        known.append(&vec![9; 60_000]);
    }
    let batch = known.batch();
    files
        .perform(&batch, Sync::Always)
        .expect("what goes makes room for what comes");
    // It all goes on when there is room again.
    disk.state().capacity = None;
    make_spares(&mut files).expect("there is room again");
    assert_eq!(files.report().spares, 2);
    known.log.retain(|place, _| place.segment() > 1);
    after_cuts(&disk, |log, _, _| assert_eq!(log, known.log));
}

#[test]
fn a_batch_that_finds_no_room_waits_and_is_whole_later() {
    let disk = Fake::seeded(6);
    let (mut files, mut known) = fresh(disk.clone());
    put(&mut files, &mut known, b"first");
    disk.state().capacity = Some(u64::from(SEGMENT_BYTES) + 100);
    known.append(&vec![1; 2_000_000]);
    known.append(b"behind it");
    let batch = known.batch();
    for _ in 0..5 {
        let error = files
            .perform(&batch, Sync::Always)
            .expect_err("there is no room");
        assert_eq!(error.raw_os_error(), Some(ENOSPC));
    }
    disk.state().capacity = None;
    files
        .perform(&batch, Sync::Always)
        .expect("there is room again");
    after_cuts(&disk, |log, _, _| assert_eq!(log, known.log));
}

#[test]
fn a_segment_that_cannot_be_removed_keeps_the_later_ones() {
    let disk = Fake::seeded(7);
    let (mut files, mut known) = fresh(disk.clone());
    while known.writer.end().segment() < 4 {
        put(&mut files, &mut known, &vec![1; 200_000]);
    }
    disk.fail(Op::Remove, EIO, 1);
    for segment in 1..=2 {
        known.writer.unlink(segment);
        let batch = known.batch();
        if segment == 1 {
            // The one fault is used up by the attempt itself.
            files
                .perform(&batch, Sync::Always)
                .expect("that does not fail the batch");
            assert!(disk.names().contains(&"00000001.log".to_owned()));
        } else {
            files.perform(&batch, Sync::Always).expect("it works");
        }
    }
    assert_eq!(logs(&disk.names()), ["00000003.log", "00000004.log"]);
    let removed: Vec<String> = (disk.state().done.iter())
        .filter(|(op, name)| *op == Op::Remove && name.starts_with("0000000"))
        .map(|(_, name)| name.clone())
        .filter(|name| name < &"00000003.log".to_owned())
        .collect();
    // Creating a file removes what an attempt before may have left: once for each segment.
    assert_eq!(
        removed[removed.len() - 3..],
        ["00000001.log", "00000001.log", "00000002.log"]
    );
}

#[test]
fn segments_go_for_good_one_after_the_other() {
    for sync in [Sync::Always, Sync::Every(1000), Sync::Never] {
        let disk = Fake::seeded(8);
        let (mut files, mut known) = fresh(disk.clone());
        while known.writer.end().segment() < 6 {
            put(&mut files, &mut known, &vec![1; 200_000]);
        }
        known.append(b"what was live in the first four");
        let batch = known.batch();
        files.perform(&batch, sync).expect("it works");
        (1..=4).for_each(|segment| known.writer.unlink(segment));
        let batch = known.batch();
        // The power goes at any moment of it.
        for power in 0..30 {
            disk.state().power_left = Some(power);
            let is_done = files.perform(&batch, sync).is_ok();
            after_cuts(&disk, |log, _, left| {
                let copied = known.log.last_key_value().expect("it was appended");
                let names = logs(&left.names());
                let first = names[0].clone();
                let found: Vec<u32> = names
                    .iter()
                    .filter_map(|name| parse_name(name))
                    .map(|(segment, _)| segment)
                    .collect();
                let whole: Vec<u32> = (found[0]..=6).collect();
                assert_eq!(found, whole, "{sync:?} {power}: a later one went before");
                if first != "00000001.log" {
                    assert_eq!(log.get(copied.0), Some(copied.1), "{sync:?} {power}");
                }
            });
            if is_done {
                break;
            }
        }
        disk.state().power_left = None;
    }
}

#[test]
fn what_was_reported_before_its_sync_and_is_lost_keeps_what_it_was_copied_from() {
    let disk = Fake::seeded(9);
    let (mut files, mut known) = fresh(disk.clone());
    while known.writer.end().segment() < 3 {
        put(&mut files, &mut known, &vec![1; 200_000]);
    }
    known.append(b"what was live in the first");
    let batch = known.batch();
    files.perform(&batch, Sync::Every(1000)).expect("it works");
    disk.fail(Op::Sync, EIO, 1);
    files.sync().expect_err("the disk failed");
    known.writer.unlink(1);
    known.append(b"goes on");
    let batch = known.batch();
    files
        .perform(&batch, Sync::Every(1000))
        .expect("in a continuation");
    files.sync().expect("it works");
    let names = logs(&disk.names());
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(names[0], "00000001.log");
    assert!(names[3].starts_with("00000003-"), "{names:?}");
    after_cuts(&disk, |log, _, _| {
        let (place, bytes) = known.log.last_key_value().expect("it was appended");
        assert_eq!(log.get(place), Some(bytes));
        let first = |place: &&Place| place.segment() == 1;
        let expected: Vec<_> = known.log.keys().filter(first).collect();
        assert_eq!(log.keys().filter(first).collect::<Vec<_>>(), expected);
    });
}

#[test]
fn a_failed_write_does_not_keep_what_came_before_from_being_synced() {
    let disk = Fake::seeded(10);
    let (mut files, mut known) = fresh(disk.clone());
    known.append(b"written, to be synced soon");
    let batch = known.batch();
    files.perform(&batch, Sync::Every(1000)).expect("it works");
    known.append(b"fails");
    let batch = known.batch();
    disk.fail(Op::Write, EIO, 1);
    files
        .perform(&batch, Sync::Every(1000))
        .expect_err("the disk failed");
    files
        .perform(&batch, Sync::Every(1000))
        .expect("in a continuation");
    files.sync().expect("it works");
    assert!(!files.is_dirty());
    after_cuts(&disk, |log, _, _| assert_eq!(log, known.log));
}

#[test]
fn another_mode_syncs_what_was_written_before_a_batch_that_says_so() {
    let disk = Fake::seeded(11);
    let (mut files, mut known) = fresh(disk.clone());
    known.append(b"written only");
    files
        .perform(&known.batch(), Sync::Never)
        .expect("it works");
    known.writer.set_marking(true);
    known.append(b"behind a mark");
    let batch = known.batch();
    let before = disk.state().done.len();
    files.perform(&batch, Sync::Always).expect("it works");
    let done: Vec<Op> = disk.state().done[before..]
        .iter()
        .map(|(op, _)| *op)
        .collect();
    assert_eq!(done, [Op::Sync, Op::SyncFolder, Op::Write, Op::Sync]);
}
