//! The journal's threads: when what is durable, what happens while the disk does not work, the end.

use super::fake::{EIO, Fake, Op};
use super::*;
use crate::host::journal::Journal;
use crate::host::journal::thread::FINISH_MAX;
use crate::store::journal::scan::RECORD_HEADER;
use crate::store::journal::writer::SEGMENT_BYTES;
use crate::store::journal::{Read, Report, State};
use fastrand::Rng;
use mio::{Events, Poll, Token, Waker};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What waits for the journal in place of the loop.
struct Rig {
    poll: Poll,
    journal: Journal,
    disk: Fake,
    known: Known,
    report: Report,
}

impl Rig {
    /// A journal with all its spare files.
    fn new(sync: Sync) -> Rig {
        let disk = Fake::seeded(1);
        let mut rig = Rig::on(disk, sync);
        rig.wait("spare files", |report, disk| {
            report.spares == 2 && spares(disk) == 2
        });
        rig
    }

    fn on(disk: Fake, sync: Sync) -> Rig {
        let (files, known) = fresh(disk.clone());
        let poll = Poll::new().expect("the system gives a poll");
        let waker = Waker::new(poll.registry(), Token(0)).expect("and a waker");
        let journal = Journal::start(files, sync, Place::START, &Arc::new(waker));
        Rig {
            poll,
            journal: journal.expect("and threads"),
            disk,
            known,
            report: Report::default(),
        }
    }

    /// Waits for the waker; a minute without is a failure.
    fn wait_for_bell(&mut self, what: &str) {
        let mut events = Events::with_capacity(4);
        match self.poll.poll(&mut events, Some(Duration::from_secs(60))) {
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::Interrupted),
            Ok(()) => assert!(!events.is_empty(), "{what}: nobody rang"),
        }
    }

    /// Waits until a report and the disk are as wanted.
    fn wait(&mut self, what: &str, is_there: impl Fn(&Report, &Fake) -> bool) -> Report {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(report) = self.journal.poll_report() {
                assert!(
                    report.durable >= self.report.durable,
                    "{what}: it went back"
                );
                self.report = report;
            }
            if is_there(&self.report, &self.disk) {
                return self.report;
            }
            assert!(Instant::now() < until, "{what}: {:?}", self.report);
            self.wait_for_bell(what);
        }
    }

    /// Appends a record and submits what there is.
    fn submit(&mut self, payload: &[u8]) -> Place {
        self.known.append(payload);
        let mut batch = self.known.batch();
        let end = batch.end;
        assert!(self.journal.is_idle());
        self.journal.submit(&mut batch);
        assert!(!self.journal.is_idle());
        end
    }

    fn wait_until_durable(&mut self, end: Place) -> Report {
        let report = self.wait("durable", |report, _| report.durable >= end);
        assert_eq!((report.durable, report.written), (end, end));
        assert!(self.journal.is_idle());
        report
    }

    /// Whether everything is there however a power cut falls out.
    fn is_safe(disk: &Fake, log: &Log) -> bool {
        (0..20).all(|seed| {
            let left = disk.cut(&mut Rng::with_seed(seed));
            open_all(left).expect("what is left opens").2 == *log
        })
    }
}

fn spares(disk: &Fake) -> usize {
    let names = disk.names();
    names
        .iter()
        .filter(|name| name.starts_with("spare-"))
        .count()
}

/// How often segments were synced since the last write to one.
fn syncs_since_write(disk: &Fake) -> usize {
    let state = disk.state();
    let since = state
        .done
        .iter()
        .rev()
        .take_while(|(op, _)| *op != Op::Write);
    since
        .filter(|(op, name)| *op == Op::Sync && name.starts_with('0'))
        .count()
}

#[test]
fn always_syncs_before_it_reports() {
    let mut rig = Rig::new(Sync::Always);
    for n in 0..20u8 {
        let end = rig.submit(&vec![n; 90_000]);
        let report = rig.wait_until_durable(end);
        assert_eq!(report.state, State::Fine);
        // However many segments begin: the disk has room, and that is what the number is for.
        assert_eq!(report.spares, 2);
        assert!(Rig::is_safe(&rig.disk, &rig.known.log));
    }
    assert!(rig.known.writer.segment_count() > 1);
    rig.journal.finish(FINISH_MAX);
}

#[test]
fn a_delay_reports_at_once_and_syncs_later() {
    let mut rig = Rig::new(Sync::Every(300));
    let began = Instant::now();
    let end = rig.submit(b"soon");
    rig.wait_until_durable(end);
    rig.wait("a sync after the delay", |_, disk| {
        syncs_since_write(disk) > 0
    });
    assert!(began.elapsed() >= Duration::from_millis(300), "too early");
    assert!(Rig::is_safe(&rig.disk, &rig.known.log));
    rig.journal.finish(FINISH_MAX);
}

#[test]
fn never_syncs_at_the_end_only_or_when_it_is_told_to() {
    let mut rig = Rig::new(Sync::Never);
    let end = rig.submit(b"one");
    rig.wait_until_durable(end);
    rig.wait("the next spare file", |_, disk| spares(disk) == 2);
    let end = rig.submit(b"two");
    rig.wait_until_durable(end);
    assert_eq!(syncs_since_write(&rig.disk), 0);
    rig.journal.sync_now();
    rig.wait("a sync", |_, disk| syncs_since_write(disk) == 1);
    assert!(Rig::is_safe(&rig.disk, &rig.known.log));
    let end = rig.submit(b"three");
    rig.wait_until_durable(end);
    assert_eq!(syncs_since_write(&rig.disk), 0);
    rig.journal.finish(FINISH_MAX);
    assert_eq!(syncs_since_write(&rig.disk), 1);
    assert!(Rig::is_safe(&rig.disk, &rig.known.log));
}

#[test]
fn another_mode_counts_at_once() {
    for sync in [Sync::Always, Sync::Every(1)] {
        let mut rig = Rig::new(Sync::Never);
        let end = rig.submit(b"one");
        rig.wait_until_durable(end);
        rig.wait("the next spare file", |_, disk| spares(disk) == 2);
        let end = rig.submit(b"two");
        rig.wait_until_durable(end);
        rig.journal.set_sync(sync);
        rig.wait("a sync", |_, disk| syncs_since_write(disk) == 1);
        assert!(Rig::is_safe(&rig.disk, &rig.known.log));
        rig.journal.finish(FINISH_MAX);
    }
}

#[test]
fn one_error_is_got_over_at_once() {
    let mut rig = Rig::new(Sync::Always);
    let end = rig.submit(b"one");
    rig.wait_until_durable(end);
    // A spare file may be in the making; nothing is written to that.
    rig.disk.fail(Op::Write, EIO, 1);
    let end = rig.submit(b"two");
    let report = rig.wait_until_durable(end);
    assert_eq!(report.state, State::Fine);
    assert!(Rig::is_safe(&rig.disk, &rig.known.log));
    rig.journal.finish(FINISH_MAX);
}

#[test]
fn a_disk_that_fails_is_reported_and_tried_again_until_it_works() {
    let mut rig = Rig::new(Sync::Always);
    rig.disk.fail(Op::Write, EIO, u32::MAX);
    let end = rig.submit(b"waits");
    let report = rig.wait("bad news", |report, _| report.state == State::Failing);
    assert!(report.durable < end);
    assert!(!rig.journal.is_idle());
    rig.disk.state().faults.clear();
    rig.wait_until_durable(end);
    rig.wait("good news", |report, _| {
        report.state == State::Fine && report.spares == 2
    });
    assert!(Rig::is_safe(&rig.disk, &rig.known.log));
    rig.journal.finish(FINISH_MAX);
}

#[test]
fn a_full_disk_is_reported_and_all_goes_on_when_there_is_room() {
    let disk = Fake::seeded(1);
    disk.state().capacity = Some(2 * u64::from(SEGMENT_BYTES) + 1000);
    let mut rig = Rig::on(disk, Sync::Always);
    rig.wait("spare files", |_, disk| spares(disk) == 2);
    // The segment that is begun takes a spare file, and there is no room for another.
    let end = rig.submit(b"begins a segment");
    rig.wait("bad news", |report, _| {
        report.state == State::Full && report.spares == 1
    });
    assert_eq!(rig.report.durable, end);
    // There is room in it, so it goes on.
    let end = rig.submit(b"fits");
    rig.wait("durable", |report, _| report.durable == end);
    rig.disk.state().capacity = None;
    rig.wait("good news", |report, _| {
        report.state == State::Fine && report.spares == 2
    });
    assert!(Rig::is_safe(&rig.disk, &rig.known.log));
    rig.journal.finish(FINISH_MAX);
}

#[test]
fn the_end_waits_for_the_last_batch() {
    let mut rig = Rig::new(Sync::Never);
    rig.submit(b"last words");
    rig.journal.finish(FINISH_MAX);
    assert!(Rig::is_safe(&rig.disk, &rig.known.log));
}

#[test]
fn the_end_gets_over_an_error() {
    let mut rig = Rig::new(Sync::Always);
    rig.disk.fail(Op::Write, EIO, 2);
    rig.submit(b"last words");
    rig.journal.finish(FINISH_MAX);
    assert!(Rig::is_safe(&rig.disk, &rig.known.log));
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let mut rig = Rig::new(Sync::Always);
    rig.disk.fail(Op::Write, EIO, u32::MAX);
    let end = rig.submit(b"lost");
    rig.journal.finish(FINISH_MAX);
    // It came back, and nothing was said to be durable that is not.
    while let Some(report) = rig.journal.poll_report() {
        assert!(report.durable < end);
    }
}

#[test]
fn bodies_are_read_back_also_when_their_file_is_gone() {
    let mut rig = Rig::new(Sync::Always);
    let place = Place::new(1, crate::store::journal::segment::HEADER_LEN);
    let end = rig.submit(b"to be read");
    rig.wait_until_durable(end);
    let len = end.offset() - place.offset();
    let read = Read { place, len };
    let mut bytes = Vec::new();
    for read in [
        read,
        Read {
            place: Place::new(7, 128),
            len,
        },
    ] {
        rig.journal.try_read(read).expect("nobody reads yet");
        loop {
            if let Some((asked, answer)) = rig.journal.poll_read() {
                assert_eq!(asked, read);
                bytes.push(answer);
                break;
            }
            rig.wait_for_bell("an answer");
        }
    }
    let record = &rig.known.log[&place];
    assert_eq!(
        bytes[0].as_ref().map(|bytes| &bytes[RECORD_HEADER..]),
        Some(&record[1..])
    );
    assert_eq!(bytes[1], None);
    // Only so many at a time.
    let taken = (0..1000)
        .take_while(|_| rig.journal.try_read(read).is_ok())
        .count();
    assert!(taken < 1000);
    rig.journal.finish(FINISH_MAX);
}
