//! `--salvage`: the new log has what could be read, and the old one stays as it is.

use super::*;
use crate::store::journal::scan;
use nix::fcntl::{Flock, FlockArg};
use std::os::unix::fs::PermissionsExt;

/// Every record of a log that is fine, as its line without its place.
fn lines(dir: &str) -> Vec<String> {
    let (verdict, out) = run_well(&["--list", dir]);
    assert_eq!(verdict, Verdict::Fine, "{out}");
    let line = |line: &str| {
        let (_, what) = line.split_once(' ').expect("a place comes first");
        what.to_owned()
    };
    out.lines().map(line).collect()
}

#[test]
fn everything_but_the_record_that_was_hit_is_saved() {
    let folder = Folder::new();
    let placed = small_log(&folder);
    let dir = folder.path("");
    let all = lines(&dir);
    let name = "00000001.log";
    for (hit, placed) in placed.iter().enumerate() {
        let at = placed.place.offset() + placed.len / 2;
        folder.flip(name, at);
        let before = folder.contents();
        let target = Folder::new();
        let (verdict, out) = run_well(&["--salvage", &target.path(""), &dir]);
        assert_eq!(verdict, Verdict::Fine);
        let (offset, len) = (placed.place.offset(), placed.len);
        let told = format!("{name}: lost {len} bytes at {offset}\n");
        assert!(out.starts_with(&told), "{out}");
        assert!(out.contains("8 records of "), "{out}");
        let mut expected = all.clone();
        expected.remove(hit);
        assert_eq!(lines(&target.path("")), expected);
        assert_eq!(folder.contents(), before);
        folder.flip(name, at);
    }
}

#[test]
fn a_log_of_several_segments_is_saved_in_order() {
    let folder = Folder::new();
    let mut maker = Maker::new(&folder);
    let large = vec![b'l'; 300_000];
    for number in 0..10_u64 {
        maker.append(&Record::Back { key: number });
        maker.append(&Record::Cleared { topic: &large });
    }
    let huge = vec![b'h'; 2 * SEGMENT_BYTES as usize];
    maker.append(&Record::Cleared { topic: &huge });
    maker.append(&Record::Back { key: 10 });
    maker.write();
    let dir = folder.path("");
    let target = Folder::new();
    let to = target.path("fresh");
    let (_, out) = run_well(&["--salvage", &to, &dir]);
    assert!(out.contains("22 records of "), "{out}");
    assert!(out.contains("lost: nothing is damaged\n"), "{out}");
    assert_eq!(lines(&to), lines(&dir));
    // Nobody else may read what clients said.
    let mode = |path: &str| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&to), 0o700);
    assert_eq!(mode(&format!("{to}/00000001.log")), 0o600);
    // The new log has a salt of its own.
    let (_, out) = run_well(&[&to]);
    assert!(!out.contains("5a170000c0ffee00"), "{out}");
}

#[test]
fn a_release_finds_its_body_in_the_new_log() {
    let folder = Folder::new();
    let mut maker = Maker::new(&folder);
    maker.append(&Record::Session(session(1, "pump")));
    let lost = maker.append(&Record::Cleared { topic: b"lost" });
    let mut append = |slot: u32| {
        let body = maker.append(&Record::Message(Message {
            held: Some((1, slot as u16)),
            ..message(slot, "h", b"held", b"")
        }));
        let raw = recipients(&[(1, slot.into())]);
        maker.append(&Record::Release(Release {
            key: 1,
            packet_id: slot as u16,
            body: body.place,
            slot,
            keeps: None,
            topic: b"",
            recipients: Recipients::new(&raw),
        }));
        body
    };
    let (body, gone) = (append(3), append(4));
    maker.write();
    folder.flip("00000001.log", lost.place.offset());
    folder.flip("00000001.log", gone.place.offset());
    let target = Folder::new();
    let (_, out) = run_well(&["--salvage", &target.path(""), &folder.path("")]);
    assert!(out.contains("lost: the content of 1 message\n"), "{out}");

    let bytes = target.read("00000001.log");
    let (_, told) = run_well(&[&target.path("")]);
    let salt = told.split("salt ").nth(1).expect("is told");
    let salt = parse_salt(&salt[..16]).expect("is hex");
    let start = Place::new(1, HEADER_LEN);
    let records = &bytes[HEADER_LEN as usize..];
    let (mut bodies, mut messages) = (Vec::new(), Vec::new());
    scan(salt, start, records, None, |placed, record| match record {
        Record::Release(release) => bodies.push(release.body),
        Record::Message(_) => messages.push(placed.place),
        _ => {}
    });
    assert_eq!(messages.len(), 1);
    assert_ne!(messages[0], body.place, "the record in front of it is lost");
    // What is lost must not be mistaken for another record.
    assert_eq!(bodies, [messages[0], Place::new(0, 5)]);
}

#[test]
fn a_log_is_saved_into_nothing_only() {
    let folder = Folder::new();
    small_log(&folder);
    let dir = folder.path("");
    let target = Folder::new();
    target.write("precious", b"!");
    let refused = |to: &str, why: &str| {
        let (done, _) = run(&["--salvage", to, &dir]);
        let what = done.expect_err("is refused");
        assert!(what.contains(why), "{what}");
    };
    refused(&target.path(""), "is not empty");
    refused(&dir, "is not empty");
    refused(&target.path("precious"), "cannot use");
    refused(&target.path("a/b"), "cannot use");
    let expected = [("precious".to_owned(), b"!".to_vec())];
    assert_eq!(target.contents(), expected);
}

#[test]
fn half_a_log_does_not_stay() {
    let folder = Folder::new();
    let mut maker = Maker::new(&folder);
    let large = vec![b'l'; 600_000];
    for _ in 0..2 {
        maker.append(&Record::Cleared { topic: &large });
    }
    maker.write();
    let target = Folder::new();
    let to = PathBuf::from(target.path("to"));
    let log = Log::find(std::slice::from_ref(&folder.path), None).expect("a log");
    // A file that vanishes although no broker runs: somebody else took it away.
    fs::remove_file(folder.path("00000002.log")).expect("is there");
    let failed = salvage::salvage(&log, &to, &mut Vec::<u8>::new());
    assert!(matches!(failed, Err(Failure::Error(what)) if what.contains("vanished")));
    assert!(!to.exists());
}

#[test]
fn nothing_is_saved_while_a_broker_runs() {
    let folder = Folder::new();
    small_log(&folder);
    folder.write("midge.lock", b"1\n");
    let lock = fs::File::open(folder.path("midge.lock")).expect("is there");
    let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).expect("nobody else has it");
    let target = Folder::new();
    let args = ["--salvage", &target.path("to"), &folder.path("")];
    let (done, _) = run(&args);
    assert!(
        done.expect_err("is refused")
            .contains("a broker is running")
    );
    assert!(!Path::new(&target.path("to")).exists());
    // To look is allowed.
    let (verdict, _) = run_well(&[&folder.path("")]);
    assert_eq!(verdict, Verdict::Fine);
    drop(lock);
    run_well(&args);
}

#[test]
fn a_segment_that_a_broker_cleans_meanwhile_is_no_damage() {
    let folder = Folder::new();
    small_log(&folder);
    folder.write("00000002.log", &header(2, 0).encode());
    let log = Log::find(std::slice::from_ref(&folder.path), None).expect("a log");
    fs::remove_file(folder.path("00000001.log")).expect("is there");
    let mut out = Vec::new();
    let verdict = verify::verify(&log, &mut out).expect("no error");
    assert_eq!(verdict, Verdict::Fine);
    let out = String::from_utf8(out).expect("prints UTF-8");
    assert!(
        out.contains("nothing is damaged, 1 file vanished meanwhile\n"),
        "{out}"
    );
}

/// The next start throws it away, so nobody may take what was saved of it for all there was.
#[test]
fn half_of_what_mosquitto_left_does_not_pass_for_a_whole_log() {
    let folder = Folder::new();
    small_log(&folder);
    let found = |sources: &[&str]| {
        let sources: Vec<PathBuf> = sources
            .iter()
            .map(|name| folder.path(name).into())
            .collect();
        Log::find(&sources, None).expect("a log").warnings
    };
    assert_eq!(found(&[""]), [""; 0]);
    folder.write("import.unfinished", b"");
    for sources in [&[""][..], &["00000001.log"]] {
        let warnings = found(sources);
        let [told] = &warnings[..] else {
            panic!("{warnings:?}")
        };
        assert!(told.contains("import.unfinished is there: this log is a part of"));
    }
}
