//! Expiry goes on over a kill: the time before it counts.

use crate::broker::Broker;
use crate::client::lasting;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::wait::until_true;
use std::time::{Duration, Instant};

/// Waits for a time of day: that it has come is the condition.
fn wait_for(start: Instant, ms: u64) {
    let time = Duration::from_millis(ms);
    until_true("time passes", || start.elapsed() >= time);
}

#[test]
fn messages_expire_by_the_time_of_their_publication() {
    let mut broker = Broker::start("");
    let (mut client, _) = broker.lasting(Version::V5, "client");
    client.subscribe("t", 2);
    client.leave();
    let mut publisher = broker.client(Version::V5, "publisher");
    let start = Instant::now();
    let expiring = |topic: &str, payload: &str, s: u32| {
        Publish::new(topic, payload).with(Property::MessageExpiryInterval(s))
    };
    publisher.publish(expiring("t", "short 1", 4));
    publisher.publish_2(expiring("t", "short 2", 4), 2);
    publisher.publish(expiring("t", "long", 1000));
    publisher.publish(expiring("r", "short", 4).retain());
    publisher.publish(expiring("s", "long", 1000).retain());
    // Most of the time passes before the kill: a broker that counts from its start is too late.
    wait_for(start, 3000);
    broker.crash();
    wait_for(start, 5500);

    let (mut client, is_present) = broker.lasting(Version::V5, "client");
    assert!(is_present);
    let long = client.take("long");
    check_left(&long, start);
    let mut probe = broker.client(Version::V5, "probe");
    probe.subscribe("r", 1);
    probe.say(Publish::new("r", "live"));
    probe.message("live");
    probe.subscribe("s", 1);
    check_left(&probe.message("long"), start);
}

/// The interval that is left of 1000 seconds, to one or two for rounding.
#[track_caller]
fn check_left(publish: &Publish, start: Instant) {
    let left = 1000 - start.elapsed().as_secs() as u32;
    let range = left - 1..=left + 2;
    let is_good =
        |p: &Property| matches!(p, Property::MessageExpiryInterval(n) if range.contains(n));
    assert!(publish.properties.iter().any(is_good), "{publish:?} {left}");
}

#[test]
fn sessions_expire_by_the_time_their_connection_ended() {
    let mut broker = Broker::start("");
    let expiring = |client_id: &str, s: u32| {
        let mut connect = lasting(Version::V5, client_id);
        connect.properties = vec![Property::SessionExpiryInterval(s)];
        connect
    };
    let (short, _) = broker.connect(Version::V5, expiring("short", 4));
    let (long, _) = broker.connect(Version::V5, expiring("long", 1000));
    let (ever, _) = broker.connect(Version::V5, expiring("ever", u32::MAX));
    let (_connected, _) = broker.connect(Version::V5, expiring("connected", 2));
    let (_stays, _) = broker.connect(Version::V5, expiring("stays", 1000));
    short.leave();
    let start = Instant::now();
    long.leave();
    ever.leave();
    broker.lasting(Version::V311, "3.1.1").0.leave();
    wait_for(start, 3000);
    broker.crash();
    let again = Instant::now();
    wait_for(start, 5500);
    assert!(!broker.lasting(Version::V5, "short").1, "it is too old");
    for name in ["long", "ever", "stays"] {
        assert!(broker.lasting(Version::V5, name).1, "{name}");
    }
    assert!(broker.lasting(Version::V311, "3.1.1").1);
    // Its connection ended with the broker.
    wait_for(again, 3500);
    assert!(!broker.lasting(Version::V5, "connected").1);
}

/// The Session Expiry Interval of the last CONNECT counts, from its CONNACK.
#[test]
fn a_longer_interval_counts_from_its_connack() {
    let mut broker = Broker::start("");
    let expiring = |s: u32| {
        let mut connect = lasting(Version::V5, "client");
        connect.properties = vec![Property::SessionExpiryInterval(s)];
        connect
    };
    broker.connect(Version::V5, expiring(2)).0.leave();
    let (_client, is_present) = broker.connect(Version::V5, expiring(1000));
    assert!(is_present);
    broker.crash();
    let again = Instant::now();
    wait_for(again, 3500);
    assert!(broker.lasting(Version::V5, "client").1);
}

/// With an interval of 0 a session ends with its connection, though it lasted before.
#[test]
fn an_interval_of_nothing_counts_too() {
    let mut broker = Broker::start("");
    let (mut client, _) = broker.lasting(Version::V5, "client");
    client.subscribe("t", 1);
    client.leave();
    let mut ending = lasting(Version::V5, "client");
    ending.properties.clear();
    let (_client, is_present) = broker.connect(Version::V5, ending);
    assert!(is_present);
    broker.lasting(Version::V5, "promise");
    broker.crash();
    assert!(!broker.lasting(Version::V5, "client").1);
}
