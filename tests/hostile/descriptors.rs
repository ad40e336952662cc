//! More connections than descriptors.

use crate::common::packet::*;
use crate::dir::Dir;
use crate::harness::{Broker, Client, Peers};
use crate::wait::until_true;
use nix::sys::signal::Signal;
use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// As the command, but with so many descriptors.
fn limited(command: &Command, descriptors: usize) -> Command {
    let mut limited = Command::new("sh");
    limited
        .args([
            "-c",
            &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""),
        ])
        .arg(command.get_program())
        .args(command.get_args());
    limited
}

#[test]
fn without_descriptors_accepting_pauses_and_comes_back() {
    let broker = Broker::start_by("sys_interval 0", |command| limited(&command, 40));
    let mut peers = Peers::new(&broker);
    let before = broker.descriptors();
    let mut clients: Vec<_> = (0..60).map(|_| broker.connection()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let connect = Connect::new(Version::V311, &format!("client-{n}"));
        client.say(Packet::Connect(connect));
    }
    broker.logs("no new connections for now");
    let (start, ticks) = (Instant::now(), broker.ticks());
    until_true("some time passes", || {
        start.elapsed() > Duration::from_millis(1200)
    });
    let spent = broker.ticks() - ticks;
    assert!(spent < 20, "{spent} ticks of work for nothing");
    peers.check();
    // Each that has been served makes room for another one.
    for mut client in clients {
        let heard = client.hear();
        assert!(matches!(heard, Some(Packet::ConnAck(_))), "{heard:?}");
    }
    peers.check();
    until_true("all descriptors are free again", || {
        broker.descriptors() == before
    });
    assert_eq!(broker.log().matches("no new connections").count(), 1);
}

/// What a reload reads, and what the journal and the log begin, needs descriptors as well, when
/// clients hold all that they can get.
#[test]
fn a_reload_works_without_descriptors_for_clients() {
    let dir = Dir::new();
    dir.write("acl", "topic readwrite #\n");
    fs::create_dir(dir.file("store")).unwrap();
    let conf = "persistence true\npersistence_location DIR/store\nacl_file DIR/acl";
    let broker = Broker::start_in(dir, conf, |command| limited(&command, 64));
    let mut peers = Peers::new(&broker);
    let clients: Vec<_> = (0..100).map(|_| broker.connection()).collect();
    broker.logs("no new connections for now");
    // Good, bad, and good again.
    broker
        .dir()
        .write("acl", "topic readwrite #\ntopic deny secret\n");
    broker.signal(Signal::SIGHUP);
    let mut keeper = None;
    until_true("the reload", || {
        broker.log().matches("Reloading config.").count() == 1
    });
    peers.check();
    broker
        .dir()
        .write("acl", "topic readwrite #\ntopic sideways #\n");
    broker.signal(Signal::SIGHUP);
    broker.logs("acl:2");
    broker.logs("nothing was reloaded");
    peers.check();
    let text = broker.dir().read("midge.conf");
    broker
        .dir()
        .write("midge.conf", text.clone() + "max_qos 3\n");
    broker.signal(Signal::SIGHUP);
    let line = text.lines().count() + 1;
    broker.logs(&format!("midge.conf:{line}"));
    peers.check();
    drop(clients);
    until_true("somebody is let in again", || {
        let stream = TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
        let mut client = Client::new(stream);
        client.say(Packet::Connect(Connect::new(Version::V311, "keeper")));
        let is_in = matches!(client.hear(), Some(Packet::ConnAck(ack)) if ack.code == 0);
        keeper = Some(client);
        is_in
    });
    let mut keeper = keeper.unwrap();
    keeper.subscribe("#", 0);
    let mut other = broker.client(Version::V311, "other");
    other.say(Packet::Publish(Publish::new("secret", "x")));
    other.say(Packet::Publish(Publish::new("open", "x")));
    let heard = keeper.hear();
    let is_open = |publish: &Publish| publish.topic == "open";
    assert!(
        matches!(&heard, Some(Packet::Publish(p)) if is_open(p)),
        "{heard:?}"
    );
    assert!(
        !broker.log().contains("Too many open files"),
        "{}",
        broker.log()
    );
}
