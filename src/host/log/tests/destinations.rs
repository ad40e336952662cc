//! Where lines go: the file, syslog, the topic.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::id;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::*;
use crate::host::calendar::{Moment, Zone};
use crate::host::testing::TempDir;

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the log file is there")
}

#[test]
fn the_file_is_appended_to_and_not_for_everybody() {
    let dir = TempDir::new();
    let path = dir.path().join("midge.log");
    let caught = Caught::configured(&to_file(&path));
    caught.info("one");
    let mode = fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
    caught.logger.configure(&Settings::default());
    fs::write(&path, "before\n").expect("it is ours");
    caught.logger.configure(&to_file(&path));
    caught.info("two");
    assert_eq!(read(&path), "before\ntwo\n");
    assert_eq!(caught.stderr.take(), "");
}

#[test]
fn destinations_add_up() {
    let dir = TempDir::new();
    let path = dir.path().join("midge.log");
    let caught = Caught::configured(&Settings {
        stderr: true,
        stdout: true,
        topic: true,
        ..to_file(&path)
    });
    caught.info("everywhere");
    assert_eq!(caught.stderr.take(), "everywhere\n");
    assert_eq!(caught.stdout.take(), "everywhere\n");
    assert_eq!(read(&path), "everywhere\n");
    assert_eq!(
        caught.drained(),
        [(LogType::Information, "everywhere".to_owned())]
    );
}

#[test]
fn a_rotated_file_is_let_go_on_demand_only() {
    let dir = TempDir::new();
    let (path, aside) = (dir.path().join("midge.log"), dir.path().join("aside"));
    let caught = Caught::configured(&to_file(&path));
    caught.info("one");
    fs::rename(&path, &aside).expect("it is ours");
    caught.info("two");
    // A reload with the same path changes nothing about the open file.
    caught.logger.configure(&to_file(&path));
    caught.info("three");
    assert!(!path.exists());
    caught.logger.reopen();
    caught.info("four");
    assert_eq!(read(&aside), "one\ntwo\nthree\n");
    assert_eq!(read(&path), "four\n");
    fs::remove_file(&path).expect("it is ours");
    caught.info("into the void, and no harm done");
    caught.logger.reopen();
    caught.info("five");
    assert_eq!(read(&path), "five\n");
}

#[test]
fn a_file_that_cannot_be_opened_leaves_errors_on_stderr_until_it_can() {
    static CLOCK_S: AtomicI64 = AtomicI64::new(NOW_S);
    let dir = TempDir::new();
    let path = dir.path().join("missing/midge.log");
    let caught = Caught::with(None, || CLOCK_S.load(Ordering::Relaxed));
    caught.logger.configure(&to_file(&path));
    let text = caught.stderr.take();
    assert!(text.starts_with("Unable to open log file "), "{text}");
    assert!(
        text.contains("missing/midge.log for writing: No such file"),
        "{text}"
    );
    caught.info("not worth it");
    caught.error("worth it");
    assert_eq!(caught.stderr.take(), "worth it\n");

    fs::create_dir(dir.path().join("missing")).expect("the directory is ours");
    caught.error("not tried again at once");
    assert_eq!(caught.stderr.take(), "not tried again at once\n");
    CLOCK_S.fetch_add(60, Ordering::Relaxed);
    caught.info("here we are");
    // The line about the failure counts too: it did not get into the file.
    let lost = "4 log lines were lost because they could not be written.";
    assert_eq!(read(&path), format!("here we are\n{lost}\n"));
    assert_eq!(caught.stderr.take(), "");
}

#[test]
fn a_failed_reopening_keeps_the_old_file() {
    let dir = TempDir::new();
    let home = dir.path().join("home");
    fs::create_dir(&home).expect("the directory is ours");
    let path = home.join("midge.log");
    let caught = Caught::configured(&to_file(&path));
    let moved = dir.path().join("moved");
    fs::rename(&home, &moved).expect("the directory is ours");
    caught.logger.reopen();
    caught.info("still here");
    let text = read(&moved.join("midge.log"));
    assert!(text.starts_with("Unable to reopen log file "), "{text}");
    assert!(
        text.ends_with("The old one stays in use.\nstill here\n"),
        "{text}"
    );
}

#[test]
fn a_file_that_was_removed_is_begun_anew() {
    static CLOCK_S: AtomicI64 = AtomicI64::new(NOW_S);
    let dir = TempDir::new();
    let home = dir.path().join("home");
    fs::create_dir(&home).expect("the directory is ours");
    let path = home.join("midge.log");
    let caught = Caught::with(None, || CLOCK_S.load(Ordering::Relaxed));
    caught.logger.configure(&to_file(&path));
    fs::remove_file(&path).expect("it is ours");
    CLOCK_S.fetch_add(60, Ordering::Relaxed);
    caught.info("again");
    assert_eq!(read(&path), "again\n");
    fs::remove_dir_all(&home).expect("it is ours");
    CLOCK_S.fetch_add(60, Ordering::Relaxed);
    caught.error("nowhere");
    assert_eq!(caught.stderr.take(), "nowhere\n");
    fs::create_dir(&home).expect("the directory is ours");
    CLOCK_S.fetch_add(60, Ordering::Relaxed);
    caught.info("back");
    let lost = "1 log lines were lost because they could not be written.";
    assert_eq!(read(&path), format!("back\n{lost}\n"));
}

#[test]
fn a_full_disk_is_survived_and_told_about() {
    let dir = TempDir::new();
    let path = dir.path().join("midge.log");
    // Every write to this device finds no space left.
    symlink("/dev/full", &path).expect("links can be made");
    let caught = Caught::configured(&to_file(&path));
    caught.info("lost");
    caught.error("on stderr instead");
    assert_eq!(caught.stderr.take(), "on stderr instead\n");
    fs::remove_file(&path).expect("it is ours");
    caught.logger.reopen();
    caught.info("space again");
    let lost = "2 log lines were lost because they could not be written.";
    assert_eq!(read(&path), format!("space again\n{lost}\n"));
    caught.info("told once");
    assert_eq!(read(&path).lines().last(), Some("told once"));
}

#[test]
fn a_file_with_a_limit_moves_aside() {
    let dir = TempDir::new();
    let path = dir.path().join("midge.log");
    fs::write(&path, "0123456789\n").expect("the directory is ours");
    let caught = Caught::configured(&Settings {
        file_bytes_max: 20,
        ..to_file(&path)
    });
    let aside = dir.path().join("midge.log.1");
    caught.info("12345678");
    assert!(!aside.exists(), "exactly 20 bytes are not too many");
    caught.info("beyond");
    assert_eq!(read(&aside), "0123456789\n12345678\nbeyond\n");
    assert_eq!(read(&path), "");
    for n in 0..3 {
        caught.info(&format!("line {n} of three"));
    }
    assert_eq!(read(&aside), "line 0 of three\nline 1 of three\n");
    assert_eq!(read(&path), "line 2 of three\n");
}

/// The folder of the link is none that the sandbox lets the broker write.
#[test]
fn a_limit_holds_behind_a_link_which_stays_one() {
    let dir = TempDir::new();
    let disk = TempDir::new();
    let (link, real) = (dir.path().join("midge.log"), disk.path().join("real.log"));
    std::os::unix::fs::symlink(&real, &link).expect("the directory is ours");
    let caught = Caught::configured(&Settings {
        file_bytes_max: 8,
        ..to_file(&link)
    });
    for line in ["the first", "the second", "third"] {
        caught.info(line);
    }
    assert!(link.is_symlink());
    assert_eq!(read(&real), "third\n");
    assert_eq!(read(&disk.path().join("real.log.1")), "the second\n");
    assert!(!dir.path().join("midge.log.1").exists());
}

#[test]
fn devices_named_as_files_are_the_streams() {
    for (name, to_stdout) in [("/dev/stdout", true), ("/dev/stderr", false)] {
        let caught = Caught::configured(&to_file(Path::new(name)));
        caught.info("hello");
        let (out, err) = (caught.stdout.take(), caught.stderr.take());
        assert_eq!(if to_stdout { &out } else { &err }, "hello\n");
        assert_eq!(out.len() + err.len(), 6);
    }
}

#[test]
fn a_pipe_without_a_reader_does_not_stop_us() {
    let dir = TempDir::new();
    let path = dir.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("pipes can be made");
    let caught = Caught::configured(&to_file(&path));
    caught.error("said");
    let text = caught.stderr.take();
    assert!(text.starts_with("Unable to open log file "), "{text}");
    assert!(text.ends_with("\nsaid\n"), "{text}");
}

fn to_syslog(path: &Path, facility: Facility) -> Settings {
    Settings {
        types: Types::ALL.with(LogType::Packets),
        stderr: false,
        timestamp: Timestamp::None,
        syslog: Some(Syslog {
            facility,
            tag: "mosquitto".to_owned(),
            path: path.to_path_buf(),
        }),
        ..Settings::default()
    }
}

fn ear(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).expect("a fresh path can be bound");
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a minute is a time-out");
    socket
}

fn heard(ear: &UnixDatagram) -> String {
    let mut buffer = [0; 2048];
    let length = ear.recv(&mut buffer).expect("a datagram comes");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// What stands between the priority and the line.
fn syslog_head() -> String {
    let now = Moment::new(NOW_S, 0, &Zone::system()).expect("a date in 2023");
    format!("{} mosquitto[{}]: ", now.text("%b %e %H:%M:%S"), id())
}

#[test]
fn syslog_hears_priority_time_tag_and_line() {
    let dir = TempDir::new();
    let path = dir.path().join("log");
    let ear = ear(&path);
    let head = syslog_head();
    for (facility, code) in [
        (Facility::Daemon, 3),
        (Facility::Local(0), 16),
        (Facility::Local(7), 23),
    ] {
        let caught = Caught::configured(&to_syslog(&path, facility));
        for (class, level, target) in WAYS {
            caught.log(level, target, "some\nthing");
            let severity = match class {
                LogType::Error => 3,
                LogType::Warning => 4,
                LogType::Notice | LogType::Subscribe | LogType::Unsubscribe => 5,
                LogType::Information => 6,
                LogType::Debug | LogType::Websockets => 7,
                LogType::Internal | LogType::Packets => 7,
            };
            let priority = code * 8 + severity;
            assert_eq!(heard(&ear), format!("<{priority}>{head}some\\nthing"));
        }
    }
}

#[test]
fn syslog_is_found_again_after_a_restart() {
    let dir = TempDir::new();
    let path = dir.path().join("log");
    let caught = Caught::configured(&to_syslog(&path, Facility::Daemon));
    let head = syslog_head();
    caught.info("before it listens");
    let first = ear(&path);
    caught.info("one");
    assert_eq!(heard(&first), format!("<30>{head}one"));
    let told = format!("<28>{head}1 log lines were lost because they could not be written.");
    assert_eq!(heard(&first), told);

    drop(first);
    caught.info("while it is down");
    fs::remove_file(&path).expect("it is ours");
    let second = ear(&path);
    caught.info("two");
    assert_eq!(heard(&second), format!("<30>{head}two"));
    assert_eq!(heard(&second), told);
    caught.info("three");
    assert_eq!(heard(&second), format!("<30>{head}three"));
}

#[test]
fn syslog_that_does_not_read_does_not_stop_us() {
    let dir = TempDir::new();
    let path = dir.path().join("log");
    let ear = ear(&path);
    let caught = Caught::configured(&to_syslog(&path, Facility::Daemon));
    // Far more than any kernel queues for a datagram socket.
    for n in 0..20_000 {
        caught.info(&format!("line {n:960}"));
    }
    ear.set_nonblocking(true).expect("it may");
    let mut kept = 0;
    while ear.recv(&mut [0; 2048]).is_ok() {
        kept += 1;
    }
    assert!(kept > 0 && kept < 20_000, "{kept}");
    ear.set_nonblocking(false).expect("it may");
    caught.info("room again");
    let head = syslog_head();
    assert_eq!(heard(&ear), format!("<30>{head}room again"));
    let lost = 20_000 - kept;
    let told = format!("{lost} log lines were lost because they could not be written.");
    assert_eq!(heard(&ear), format!("<28>{head}{told}"));
}

fn to_topic() -> Settings {
    Settings {
        types: Types::ALL.with(LogType::Packets),
        stderr: false,
        topic: true,
        ..Settings::default()
    }
}

#[test]
fn topic_lines_wait_for_the_loop_in_order_without_debug() {
    let caught = Caught::configured(&to_topic());
    assert_eq!(caught.drained(), []);
    for (class, level, target) in WAYS {
        caught.log(level, target, class.name());
    }
    let expected: Vec<_> = WAYS
        .into_iter()
        .filter(|(class, ..)| class.topic().is_some())
        .map(|(class, ..)| (class, format!("1700000000: {}", class.name())))
        .collect();
    assert_eq!(caught.drained(), expected);
    assert_eq!(caught.drained(), []);
    caught.info("again");
    assert_eq!(caught.drained().len(), 1);
    caught.info("nobody will want it");
    caught.logger.configure(&Settings::default());
    assert_eq!(caught.drained(), []);
}

#[test]
fn publishing_a_line_never_leads_to_the_next() {
    let caught = Caught::configured(&Settings {
        stdout: true,
        timestamp: Timestamp::None,
        ..to_topic()
    });
    caught.info("first");
    let mut drained = 0;
    caught.logger.drain_topic_lines(&mut |_, line| {
        drained += 1;
        caught.log(Level::Info, "notice", &format!("published {line}"));
        // Another thread's line is news.
        thread::scope(|scope| {
            scope.spawn(|| caught.info("from elsewhere"));
        });
    });
    assert_eq!(drained, 1);
    assert_eq!(
        caught.stdout.take(),
        "first\npublished first\nfrom elsewhere\n"
    );
    assert_eq!(
        caught.drained(),
        [(LogType::Information, "from elsewhere".to_owned())]
    );
}

#[test]
fn waiting_lines_are_bounded() {
    let caught = Caught::configured(&to_topic());
    let text = "x".repeat(900);
    for _ in 0..1000 {
        caught.info(&text);
    }
    let lines = caught.drained();
    let kept = lines.len() - 1;
    assert!(kept >= 64 && kept * 912 <= 64 * 1024, "{kept}");
    let (class, last) = &lines[kept];
    assert_eq!(*class, LogType::Warning);
    let expected = format!(
        "{} more log lines were not published: too many at once.",
        1000 - kept
    );
    assert_eq!(*last, expected);
    caught.info("room again");
    assert_eq!(caught.drained().len(), 1);
}
