//! What the broker may still do once it runs. Where the kernel has no Landlock, it says so, and so
//! do these tests.

use crate::common::packet::*;
use crate::dir::Dir;
use crate::harness::{Broker, Peers};
use nix::sys::signal::Signal;
use std::fs;

/// Whether there is a sandbox on this machine.
fn is_closed(broker: &Broker) -> bool {
    let log = broker.log();
    if log.contains("There is no sandbox around the broker") {
        eprintln!("\n\nSKIPPED: this kernel has no Landlock\n\n");
        return false;
    }
    assert!(
        log.contains("Sandbox: it starts no programs and writes only"),
        "{log}"
    );
    true
}

/// Everything that it writes, it writes as ever: what it stores, the log, also when that is moved
/// aside, the pid file, a unix socket.
#[test]
fn what_the_broker_needs_stays_open() {
    let dir = Dir::new();
    for folder in ["store", "logs", "run"] {
        fs::create_dir(dir.file(folder)).unwrap();
    }
    let conf = "persistence true\npersistence_location DIR/store\nlog_dest stderr\n\
                log_dest file DIR/logs/midge.log\npid_file DIR/run/pid\n\
                listener 0 DIR/run/socket\nallow_anonymous true";
    let mut broker = Broker::start_in(dir, conf, |command| command);
    is_closed(&broker);
    let mut peers = Peers::new(&broker);
    let mut client = broker.client(Version::V311, "keeper");
    for n in 0..200 {
        let publish = Publish::new(&format!("kept/{n}"), vec![b'x'; 100_000]);
        client.say(Packet::Publish(publish.retain().qos(1).id(n + 1)));
        assert_eq!(client.hear(), Some(Packet::PubAck(Ack::new(n + 1))));
    }
    let segments = fs::read_dir(broker.dir().file("store")).unwrap().count();
    assert!(segments > 3, "several files were begun: {segments}");
    fs::rename(
        broker.dir().file("logs/midge.log"),
        broker.dir().file("logs/midge.log.1"),
    )
    .unwrap();
    broker.signal(Signal::SIGHUP);
    broker.logs("Reloading config.");
    crate::wait::until_true("a new log", || broker.dir().file("logs/midge.log").exists());
    peers.check();
    let (pid, socket) = (
        broker.dir().file("run/pid"),
        broker.dir().file("run/socket"),
    );
    assert!(pid.exists() && socket.exists());
    broker.signal(Signal::SIGTERM);
    crate::wait::until_true("both are gone", || !pid.exists() && !socket.exists());
    assert_eq!(broker.ended().code(), Some(0));
    assert!(
        !broker.log().contains("ermission denied"),
        "{}",
        broker.log()
    );
}

#[test]
fn a_reload_that_would_write_elsewhere_changes_nothing() {
    let dir = Dir::new();
    for folder in ["logs", "else"] {
        fs::create_dir(dir.file(folder)).unwrap();
    }
    let conf = "log_dest stderr\nlog_dest file DIR/logs/midge.log";
    let broker = Broker::start_in(dir, conf, |command| command);
    if !is_closed(&broker) {
        return;
    }
    let mut peers = Peers::new(&broker);
    let conf = broker.dir().read("midge.conf");
    let another = conf.replace("/logs/midge.log", "/else/midge.log") + "max_qos 0\n";
    broker.dir().write("midge.conf", another);
    broker.signal(Signal::SIGHUP);
    broker.logs("else/midge.log: the broker has a sandbox since its start");
    broker.logs("nothing was reloaded");
    peers.check();
    assert!(!broker.dir().file("else/midge.log").exists());
    // Another file of the same folder is no news.
    let beside = conf.replace("/logs/midge.log", "/logs/another.log");
    broker.dir().write("midge.conf", beside);
    broker.signal(Signal::SIGHUP);
    crate::wait::until_true("the other log", || {
        broker.dir().file("logs/another.log").exists()
    });
    peers.check();
}

#[test]
fn the_owner_can_do_without() {
    let dir = Dir::new();
    fs::create_dir(dir.file("else")).unwrap();
    let broker = Broker::start_in(dir, "sandbox false", |command| command);
    assert!(!broker.log().to_lowercase().contains("sandbox"));
    let conf = broker.dir().read("midge.conf");
    let file = broker.dir().file("else/midge.log");
    let more = format!("{conf}log_dest stderr\nlog_dest file {}\n", file.display());
    broker.dir().write("midge.conf", more);
    broker.signal(Signal::SIGHUP);
    crate::wait::until_true("the log elsewhere", || file.exists());
}
