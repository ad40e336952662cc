//! The command on logs that were made here, damaged in every way that files are.

use super::*;
use crate::store::journal::record::{
    self, Clock, Message, Recipient, Recipients, Release, Session, Subscription,
};
use crate::store::journal::segment::{HEADER_LEN, Header};
use crate::store::journal::writer::SEGMENT_BYTES;
use crate::store::journal::{Batch, Place, Placed, Record, Step, Writer};
use crate::wire::{QoS, SubscriptionOptions, Version};
use std::collections::VecDeque;
use std::fs;
use std::path::Path;

mod damage;
mod print;
mod rescue;

const SALT: u64 = 0x5a17_0000_c0ff_ee00;

/// A folder of its own for one test, removed with all that is in it.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Folder {
        let number = getrandom::u64().expect("random numbers");
        let path = std::env::temp_dir().join(format!("midge-log-{number:016x}"));
        fs::create_dir(&path).expect("a folder for temporary files");
        Folder { path }
    }

    fn path(&self, name: &str) -> String {
        let path = self.path.join(name);
        path.to_str().expect("made of UTF-8").to_owned()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("is there")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("can be written");
    }

    /// Turns some bits of one byte.
    fn flip(&self, name: &str, at: u32) {
        let mut bytes = self.read(name);
        bytes[at as usize] ^= 0x41;
        self.write(name, &bytes);
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string())
            .map(|name| name.expect("made of UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// Every name with what is in the file.
    fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let names = self.names().into_iter();
        names.map(|name| (name.clone(), self.read(&name))).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A log that grows in a folder, as the broker would have written it.
struct Maker<'a> {
    folder: &'a Folder,
    writer: Writer,
    placed: Vec<Placed>,
}

impl<'a> Maker<'a> {
    fn new(folder: &'a Folder) -> Maker<'a> {
        Maker {
            folder,
            writer: Writer::new(SALT, VecDeque::new()),
            placed: Vec::new(),
        }
    }

    fn append(&mut self, record: &Record<'_>) -> Placed {
        let placed = self.writer.append(record);
        self.placed.push(placed);
        placed
    }

    /// Carries out what is to be done.
    fn write(&mut self) {
        let mut batch = Batch::default();
        self.writer.take(&mut batch);
        for (step, written) in batch.parts() {
            match step {
                Step::Open { segment, capacity } => {
                    let mut bytes = header(segment, 0).encode().to_vec();
                    bytes.resize(capacity as usize, 0);
                    self.folder.write(&files::name_of(segment, 0), &bytes);
                }
                Step::Write {
                    segment, offset, ..
                } => {
                    let offset = offset as usize;
                    let name = files::name_of(segment, 0);
                    let mut bytes = self.folder.read(&name);
                    bytes[offset..offset + written.len()].copy_from_slice(written);
                    self.folder.write(&name, &bytes);
                }
                Step::Unlink { segment } => {
                    let name = self.folder.path(&files::name_of(segment, 0));
                    fs::remove_file(name).expect("is there");
                }
            }
        }
    }
}

fn header(segment: u32, start: u32) -> Header {
    Header {
        segment,
        start,
        capacity: SEGMENT_BYTES,
        salt: SALT,
    }
}

/// Runs a command line; the exit code or the error, and what was printed.
fn run(args: &[&str]) -> (Result<Verdict, String>, String) {
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    let order = Order::parse(&args).expect("a good command line");
    let mut out = Vec::new();
    let done = order.carry_out(&mut out).map_err(|failure| match failure {
        Failure::Error(what) => what,
        Failure::Output(error) => panic!("a Vec takes everything: {error}"),
    });
    (done, String::from_utf8(out).expect("prints UTF-8"))
}

/// Runs one that does not fail.
#[track_caller]
fn run_well(args: &[&str]) -> (Verdict, String) {
    let (done, out) = run(args);
    (done.expect("no error"), out)
}

fn session(key: u64, client_id: &str) -> Session<'_> {
    Session {
        key,
        client_id,
        username: None,
        listener: "1883",
        mount_point: "",
        version: Version::V311,
        is_bridge: false,
        is_unowned: false,
        expiry_s: u32::MAX,
        silence_ms: 90_000,
        left_ms: None,
        next_ordinal: 1,
        sent_before: 1,
        will: None,
    }
}

fn subscribe(key: u64, filter: &str) -> Record<'_> {
    Record::Subscribe(Subscription {
        key,
        filter,
        share: None,
        options: SubscriptionOptions::default(),
        identifier: 0,
        is_owed: false,
    })
}

/// A list of sessions and ordinals.
fn recipients(list: &[(u64, u64)]) -> Vec<u8> {
    let mut raw = Vec::new();
    for &(key, ordinal) in list {
        Recipient {
            key,
            ordinal,
            qos: QoS::AtLeastOnce,
            retain: false,
            subscription_id: 0,
        }
        .put(&mut raw);
    }
    raw
}

fn message<'a>(slot: u32, topic: &'a str, payload: &'a [u8], raw: &'a [u8]) -> Message<'a> {
    Message {
        slot,
        qos: QoS::AtLeastOnce,
        retain: false,
        expires_ms: None,
        keeps: None,
        held: None,
        is_body: false,
        recipients: Recipients::new(raw),
        topic: topic.as_bytes(),
        properties: b"",
        payload,
    }
}

/// A log of one segment with two sessions and some messages; where its records are.
fn small_log(folder: &Folder) -> Vec<Placed> {
    let mut maker = Maker::new(folder);
    maker.append(&Record::Clock(Clock {
        boot: 1,
        boot_ms: 10,
        wall_ms: 1_700_000_000_000,
        log_ms: 1000,
    }));
    maker.append(&Record::Session(session(1, "pump")));
    maker.append(&Record::Session(session(2, "valve")));
    maker.append(&subscribe(1, "a/#"));
    maker.append(&subscribe(2, "a/+"));
    for number in 1..=3 {
        let both = recipients(&[(1, number), (2, number)]);
        let payload = format!("payload {number}");
        let message = message(number as u32, "a/b", payload.as_bytes(), &both);
        maker.append(&Record::Message(message));
    }
    maker.append(&Record::Done {
        key: 2,
        ordinal: 2,
        first: 1,
    });
    maker.write();
    maker.placed
}

#[test]
fn a_command_line_asks_for_one_thing() {
    let parse = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        Order::parse(&args)
    };
    let order = |task, salt| {
        Ok(Order {
            task,
            sources: vec!["d".into()],
            salt,
        })
    };
    assert_eq!(parse(&["d"]), order(Task::Verify, None));
    assert_eq!(parse(&["--verify", "d"]), order(Task::Verify, None));
    assert_eq!(parse(&["d", "--list"]), order(Task::List, None));
    assert_eq!(parse(&["--stats", "d"]), order(Task::Stats, None));
    let salvage = Task::Salvage("to".into());
    let parsed = parse(&["--salvage", "to", "--salt", "0x5A", "d"]);
    assert_eq!(parsed, order(salvage, Some(0x5a)));
    assert_eq!(parse(&["--help"]), Err(Misuse::Help));
    assert!(matches!(parse(&[]), Err(Misuse::Usage(_))));
    assert!(matches!(parse(&["--what", "d"]), Err(Misuse::Usage(_))));
    for wrong in [
        &["--list", "--stats", "d"][..],
        &["--salvage", "to", "--verify", "d"],
        &["--salt", "xyz", "d"],
        &["--salt", "+5", "d"],
        &["--salt", "", "d"],
        &["--salt", "12345678901234567", "d"],
    ] {
        assert!(matches!(parse(wrong), Err(Misuse::Wrong(_))), "{wrong:?}");
    }
}

#[test]
fn what_is_no_log_is_an_error() {
    let folder = Folder::new();
    let (done, _) = run(&[&folder.path("missing")]);
    assert!(done.expect_err("not there").contains("cannot read"));
    let (done, _) = run(&[&folder.path("")]);
    assert!(done.expect_err("nothing there").contains("there is no log"));
    folder.write("notes.txt", b"hello");
    let (done, _) = run(&[&folder.path("notes.txt")]);
    assert!(done.expect_err("no segment").contains("which segment"));
}
