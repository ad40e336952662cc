//! More connections than descriptors.

use crate::common::packet::*;
use crate::harness::{Broker, Peers};
use crate::wait::until_true;
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
