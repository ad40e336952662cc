//! What belongs to the whole process: the one logger, the size limit of files.

use std::fs;
use std::process::Stdio;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::*;
use crate::host::testing::{self, TempDir};

const DIR: &str = "MIDGE_TEST_DIR";

#[test]
fn the_macros_reach_the_installed_logger() {
    const NAME: &str = "host::log::tests::process::the_macros_reach_the_installed_logger";
    if testing::role().is_none() {
        let dir = TempDir::new();
        let output = testing::child(NAME, "any")
            .env(DIR, dir.path())
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .output()
            .expect("the test binary starts again");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(testing::PASSED), "{stderr}");
        let (seconds, text) = stderr.split_once(": ").expect("a stamp comes first");
        let seconds: i64 = seconds.parse().expect("in seconds");
        assert!(seconds > NOW_S);
        assert_eq!(text, "before configuration\n");
        return;
    }
    install();
    install();
    log::info!(target: "notice", "before configuration");
    log::debug!("too much");
    assert_eq!(log::max_level(), LevelFilter::Info);

    let dir = std::path::PathBuf::from(env::var_os(DIR).expect("the test names one"));
    let path = dir.join("midge.log");
    configure(&Settings {
        types: Types::NONE.with(LogType::Debug).with(LogType::Subscribe),
        topic: true,
        ..to_file(&path)
    });
    assert_eq!(log::max_level(), LevelFilter::Debug);
    log::error!("off");
    log::debug!("on");
    log::info!(target: "subscribe", "and {}", "this");
    fs::rename(&path, dir.join("aside")).expect("it is ours");
    reopen();
    log::debug!("after");
    let read = |name: &str| fs::read_to_string(dir.join(name)).expect("it is there");
    assert_eq!(read("aside"), "on\nand this\n");
    assert_eq!(read("midge.log"), "after\n");
    let mut topics = Vec::new();
    drain_topic_lines(&mut |class, line| topics.push((class, line.to_owned())));
    assert_eq!(topics, [(LogType::Subscribe, "and this".to_owned())]);
    testing::pass()
}

/// A limit on the size of files cuts a write short just as a disk that fills up does.
#[test]
fn a_torn_line_does_not_swallow_the_next() {
    const NAME: &str = "host::log::tests::process::a_torn_line_does_not_swallow_the_next";
    if testing::role().is_none() {
        let dir = TempDir::new();
        let code = testing::child(NAME, "any")
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .status()
            .expect("the test binary starts again")
            .code();
        assert_eq!(code, Some(testing::PASSED));
        return;
    }
    // The signal would end us; a handler of any kind turns it into an error of write.
    let seen = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(nix::libc::SIGXFSZ, Arc::clone(&seen)).expect("it may be caught");
    let dir = std::path::PathBuf::from(env::var_os(DIR).expect("the test names one"));
    let path = dir.join("midge.log");
    let caught = Caught::configured(&to_file(&path));
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).expect("there is a limit");

    caught.info("0123456789");
    setrlimit(Resource::RLIMIT_FSIZE, 16, hard).expect("it may be lowered");
    caught.info("abcdefghij");
    caught.info("klmnopqrst");
    assert!(seen.load(Ordering::Relaxed));
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).expect("and raised again");
    caught.info("whole");
    let lost = "2 log lines were lost because they could not be written.";
    assert_eq!(
        fs::read_to_string(&path).expect("it is there"),
        format!("0123456789\nabcde\nwhole\n{lost}\n")
    );
    testing::pass()
}
