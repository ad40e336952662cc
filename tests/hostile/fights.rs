//! Two clients that were given one client id by mistake.

use crate::common::packet::*;
use crate::harness::Broker;
use crate::pair::withstands;
use crate::wait::until_true;

#[test]
fn a_fight_over_a_client_id_is_one_line_and_gets_slower() {
    let mut spent = 0;
    let attacked = withstands(Broker::start(""), |broker| {
        let mut current = broker.client(Version::V5, "twin");
        // As fast as they are let in: the delays alone take some seconds.
        for _ in 0..12 {
            let next = broker.client(Version::V5, "twin");
            let end = current.hear();
            assert!(
                matches!(&end, Some(Packet::Disconnect(end)) if end.code == 0x8e),
                "{end:?}"
            );
            current = next;
        }
        let before = broker.ticks();
        let last = broker.client(Version::V5, "twin");
        spent = broker.ticks() - before;
        (current, last)
    });
    let log = attacked.log;
    let told = log
        .lines()
        .filter(|line| line.contains("take the client id twin"));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1, "{log}");
    assert_eq!(told[0].matches("127.0.0.1:").count(), 2, "{}", told[0]);
    let each_round = log.matches("Client twin already connected").count();
    assert!(
        (5..=6).contains(&each_round),
        "those before it was a fight: {log}"
    );
    assert!(spent < 300, "{spent} ticks, the good pair's included");
}

/// A device that gives up after a while and comes anew must not be thrown out, one after the other,
/// by the connections that it has closed.
#[test]
fn who_has_gone_does_not_wait_for_a_client_id() {
    let broker = Broker::start("");
    let mut current = broker.client(Version::V5, "twin");
    for _ in 0..7 {
        current = broker.client(Version::V5, "twin");
    }
    let before = broker.descriptors();
    for _ in 0..40 {
        let mut ghost = broker.connection();
        ghost.version = Version::V5;
        ghost.say(Packet::Connect(Connect::new(Version::V5, "twin")));
    }
    until_true("those that are gone are closed", || {
        broker.descriptors() <= before
    });
    drop(current);
}
