//! Signals, and the streams that a supervisor may have closed.

use crate::common::packet::*;
use crate::harness::{Broker, Peers};
use nix::sys::signal::Signal;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

#[test]
fn wills_are_heard_when_the_broker_stops() {
    let broker = Broker::start("");
    let mut watcher = broker.client(Version::V311, "watcher");
    watcher.subscribe("will/#", 1);
    let _others: Vec<_> = (0..5)
        .map(|n| {
            let mut connect = Connect::new(Version::V311, &format!("other-{n}"));
            connect.will = Some(Will::new(&format!("will/{n}"), "bye").qos(n % 3));
            broker.client_by(connect, Version::V311)
        })
        .collect();
    assert_eq!(broker.stop().code(), Some(0));
    let mut topics: Vec<_> = (watcher.hear_out().into_iter())
        .filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(publish.topic),
            _ => None,
        })
        .collect();
    topics.sort();
    assert_eq!(topics, ["will/0", "will/1", "will/2", "will/3", "will/4"]);
}

/// With nothing else going on: no other event must be needed.
#[test]
fn a_reload_acts_at_once() {
    let broker = Broker::start("sys_interval 0");
    let mut anonymous = broker.client(Version::V311, "anonymous");
    let conf = broker.dir().read("midge.conf");
    broker.dir().write(
        "midge.conf",
        conf.replace("anonymous true", "anonymous false"),
    );
    broker.signal(Signal::SIGHUP);
    assert_eq!(anonymous.hear(), None);
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let broker = Broker::start("");
    let mut peers = Peers::new(&broker);
    let mut conf = OpenOptions::new()
        .append(true)
        .open(broker.dir().file("midge.conf"))
        .unwrap();
    conf.write_all(b"allow_anonymous false\npassword_file /nowhere/passwords\n")
        .unwrap();
    broker.signal(Signal::SIGHUP);
    broker.logs("nothing was reloaded");
    peers.check();
    broker.client(Version::V311, "another");
}

#[test]
fn what_is_printed_for_nobody_does_no_harm() {
    let (reader, writer) = UnixStream::pair().unwrap();
    let broker = Broker::start_by("", |mut command| {
        command.stdout(OwnedFd::from(writer));
        command
    });
    drop(reader);
    let mut peers = Peers::new(&broker);
    broker.signal(Signal::SIGUSR2);
    // The second one is obeyed in a turn of its own: then the first one has been.
    broker.signal(Signal::SIGUSR1);
    broker.logs("saved");
    peers.check();
    assert_eq!(broker.stop().code(), Some(0));
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let version = Command::new(env!("CARGO_BIN_EXE_midge"))
        .arg("--version")
        .stdout(full)
        .stderr(Stdio::inherit())
        .status();
    assert_eq!(version.unwrap().code(), Some(0));
}
