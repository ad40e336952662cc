//! `midge log` on the files of a real broker: beside it while it runs, after a kill, and where
//! something is damaged.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::broker::peer_broker;
use crate::harness::client::peer_clients;
use crate::harness::{Broker, Dir, Ended, Kind, Pair, Process, tools};

const CONF: &str = "\
persistence true
persistence_location {dir}/old
listener {port} 127.0.0.1
allow_anonymous true
";

const PAIR: Pair = Pair::MIDGE_ON_MIDGE;

fn log(args: &[&str]) -> Ended {
    Process::run(Command::new(tools::midge()).arg("log").args(args))
}

/// The words of the line that the statistics have of a client.
fn row(stats: &str, client: &str) -> Vec<String> {
    let line = stats.lines().find(|line| line.ends_with(client));
    let line = line.unwrap_or_else(|| panic!("no line of {client}: {stats}"));
    line.split_whitespace().map(str::to_string).collect()
}

/// Turns a bit of the only place in a log that has these bytes.
fn damage(dir: &Dir, folder: &str, needle: &str) {
    let mut hit = Vec::new();
    for entry in fs::read_dir(dir.file(folder)).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let found = bytes
            .windows(needle.len())
            .position(|w| w == needle.as_bytes());
        if let Some(at) = found {
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            hit.push(path);
        }
    }
    assert_eq!(hit.len(), 1, "{needle} stands in {hit:?}");
}

#[test]
fn a_damaged_log_is_looked_at_saved_and_used() {
    if peer_broker("midge log is midge's own") || peer_clients("midge log is midge's own") {
        return;
    }
    let broker = Broker::start(Kind::Midge, CONF);
    let subscribe = ["-c", "-i", "pump", "-q", "2", "-t", "a/#"];
    PAIR.sub(&broker, &subscribe).stop(Signal::SIGTERM);
    for (qos, topic, payload) in [
        ("1", "a/1", "first"),
        ("2", "a/2", "second"),
        ("1", "a/3", "third"),
    ] {
        PAIR.publish(&broker, &["-q", qos, "-t", topic, "-m", payload]);
    }
    PAIR.publish(&broker, &["-q", "1", "-r", "-t", "r", "-m", "kept"]);

    // Beside the broker: to look is allowed, to save is not.
    let (old, new) = (broker.dir().at("old"), broker.dir().at("new"));
    log(&[&old]).ok().says("nothing is damaged");
    let stats = log(&["--stats", &old]).ok();
    let expected = ["25", "3", "0", "0", "1", "\"pump\""];
    assert_eq!(row(&stats.out, "\"pump\""), expected);
    let refused = log(&["--salvage", &new, &old]).with(1);
    refused.says("a broker is running");

    let (_, setup) = broker.stop_with(Signal::SIGKILL);
    log(&["--verify", &old]).ok().says("nothing is damaged");
    let list = log(&["--list", &old]).ok();
    for what in [
        "client_id=\"pump\"",
        "payload=5 \"third\"",
        "filter=\"a/#\"",
    ] {
        assert!(list.out.contains(what), "{what}: {}", list.out);
    }

    damage(&setup.dir, "old", "second");
    log(&[&old]).with(1).says("1 damaged stretch of");
    log(&["--salvage", &new, &old])
        .ok()
        .says("lost: 1 damaged stretch of");
    log(&[&new]).ok().says("nothing is damaged");

    let broker = setup.conf(&CONF.replace("/old", "/new")).start();
    let mut sub = PAIR.sub(&broker, &subscribe);
    sub.expect("first");
    sub.expect("third");
    PAIR.publish(&broker, &["-q", "1", "-t", "a/4", "-m", "last"]);
    sub.expect("last");
    sub.stop(Signal::SIGTERM);
    let kept = PAIR.run("sub", &broker, &["-t", "r", "-C", "1"]).ok();
    assert_eq!(kept.out, "kept\n");
    let (ended, _setup) = broker.stop_with(Signal::SIGTERM);
    ended.ok();
    log(&[&new]).ok().says("nothing is damaged");
}

#[test]
fn the_usage_is_told_and_errors_have_exit_code_1() {
    let help = log(&["--help"]).ok();
    assert!(help.out.contains("Usage: midge log"));
    log(&[]).with(1).says("Usage: midge log");
    log(&["--list", "--stats", "."])
        .with(1)
        .says("cannot be used together");
    log(&["/nonexistent"])
        .with(1)
        .says("Error: cannot read /nonexistent");
}
