//! Wills over a kill: of clients that do not come back in time they are published.

use crate::broker::Broker;
use crate::client::{Client, lasting};
use crate::common::packet::*;
use crate::common::property::Property;
use std::time::{Duration, Instant};

/// A client with a will at QoS 1 on `will/CLIENT_ID` that says the client's name.
fn mortal(version: Version, client_id: &str, keep_alive_s: u16) -> Connect {
    let mut connect = lasting(version, client_id);
    connect.keep_alive_s = keep_alive_s;
    connect.will = Some(Will::new(&format!("will/{client_id}"), client_id).qos(1));
    connect
}

/// The wills that come, up to this one.
#[track_caller]
fn wills(watcher: &mut Client, last: &str) -> Vec<String> {
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != last) {
        match watcher.hear() {
            Packet::Publish(publish) => {
                watcher.say(Packet::PubAck(Ack::new(publish.packet_id)));
                names.push(publish.text());
            }
            other => panic!("no will but {other:?}"),
        }
    }
    names.pop();
    names.sort();
    names
}

/// Wills of clients that were connected when the broker was killed, and that died with it.
#[test]
fn who_does_not_return_in_time_is_dead() {
    let mut broker = Broker::start("");
    let (mut watcher, _) = broker.lasting(Version::V5, "watcher");
    watcher.subscribe("will/#", 1);

    let mut clean = mortal(Version::V311, "clean", 2);
    clean.clean_start = true;
    let mut delayed = mortal(Version::V5, "delayed", 2);
    let will = delayed.will.take().expect("it has one");
    delayed.will = Some(will.with(Property::WillDelayInterval(1)));
    let mut kept = mortal(Version::V5, "retained", 2);
    kept.will = kept.will.map(Will::retain);
    let crowd = [
        (Version::V311, mortal(Version::V311, "gone 3.1.1", 2)),
        (Version::V5, mortal(Version::V5, "gone 5.0", 2)),
        (Version::V311, clean),
        (Version::V5, delayed),
        (Version::V5, kept),
        (Version::V311, mortal(Version::V311, "back 3.1.1", 2)),
        (Version::V5, mortal(Version::V5, "back 5.0", 2)),
        (Version::V5, mortal(Version::V5, "last", 5)),
    ];
    let crowd = crowd.map(|(version, connect)| broker.connect(version, connect).0);
    let polite = broker.connect(Version::V311, mortal(Version::V311, "polite", 2));
    polite.0.leave();
    // Its promise stands behind all these in the journal.
    broker.lasting(Version::V5, "promise");
    broker.kill();
    drop(crowd);
    broker.start_again();

    let start = Instant::now();
    // They will not have to say anything any more.
    let mut back = [(Version::V311, "back 3.1.1"), (Version::V5, "back 5.0")]
        .map(|(version, name)| broker.connect(version, mortal(version, name, 0)));
    assert!(back.iter().all(|(_, is_present)| *is_present));
    let (mut watcher, is_present) = broker.lasting(Version::V5, "watcher");
    assert!(is_present);
    let dead = ["clean", "delayed", "gone 3.1.1", "gone 5.0", "retained"];
    assert_eq!(wills(&mut watcher, "last"), dead);
    // 1.5 times 5 s, and patience for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(20));
    for (client, _) in &mut back {
        assert!(client.ping().is_empty());
    }
    let mut probe = broker.client(Version::V5, "probe");
    probe.subscribe("will/#", 0);
    assert_eq!(probe.message("retained").topic, "will/retained");

    check_that_the_dead_rest(broker, watcher, back.map(|(client, _)| client));
}

/// What was published is not published again after another kill, nor what was withdrawn.
fn check_that_the_dead_rest(mut broker: Broker, watcher: Client, back: [Client; 2]) {
    watcher.leave();
    back.into_iter().for_each(Client::leave);
    let (last, _) = broker.connect(Version::V5, mortal(Version::V5, "last", 3));
    // Its promise stands behind that will in the journal.
    broker.lasting(Version::V5, "second promise");
    broker.kill();
    drop(last);
    broker.start_again();
    let (mut watcher, _) = broker.lasting(Version::V5, "watcher");
    let none: [&str; 0] = [];
    assert_eq!(wills(&mut watcher, "last"), none);
}

/// A will whose delay ran when the broker was killed: the client was gone already.
#[test]
fn a_delay_goes_on_over_a_kill() {
    let mut broker = Broker::start("");
    let (mut watcher, _) = broker.lasting(Version::V5, "watcher");
    watcher.subscribe("will/#", 1);
    for (name, delay_s) in [("gone", 3), ("back", 3), ("last", 5)] {
        let mut connect = mortal(Version::V5, name, 0);
        let delay = Property::WillDelayInterval(delay_s);
        connect.will = connect.will.map(|will| will.with(delay));
        broker.connect(Version::V5, connect).0.vanish();
    }
    broker.lasting(Version::V5, "promise");
    broker.crash();
    let (_back, is_present) = broker.lasting(Version::V5, "back");
    assert!(is_present);
    let (mut watcher, _) = broker.lasting(Version::V5, "watcher");
    assert_eq!(wills(&mut watcher, "last"), ["gone"]);
}

/// A client that was told that its session is there, without a will this time, has none.
#[test]
fn a_will_that_was_not_renewed_is_gone() {
    let mut broker = Broker::start("");
    let (mut watcher, _) = broker.lasting(Version::V5, "watcher");
    watcher.subscribe("will/#", 1);
    let old = [(Version::V311, "old 3.1.1"), (Version::V5, "old 5.0")]
        .map(|(version, name)| broker.connect(version, mortal(version, name, 2)));
    let (delayed, _) = {
        let mut connect = mortal(Version::V5, "old delayed", 2);
        let delay = Property::WillDelayInterval(600);
        connect.will = connect.will.map(|will| will.with(delay));
        broker.connect(Version::V5, connect)
    };
    delayed.vanish();
    broker.lasting(Version::V5, "promise");
    broker.kill();
    drop(old);
    broker.start_again();

    let without = |version: Version, name: &str| {
        let mut connect = mortal(version, name, 2);
        connect.will = None;
        let (client, is_present) = broker.connect(version, connect);
        assert!(is_present, "{name}");
        client
    };
    let back = [
        without(Version::V311, "old 3.1.1"),
        without(Version::V5, "old 5.0"),
        without(Version::V5, "old delayed"),
    ];
    let last = broker.connect(Version::V5, mortal(Version::V5, "last", 5));
    broker.lasting(Version::V5, "promise 2");
    broker.kill();
    drop((back, last));
    broker.start_again();
    let (mut watcher, _) = broker.lasting(Version::V5, "watcher");
    let none: [&str; 0] = [];
    assert_eq!(wills(&mut watcher, "last"), none);
}

/// A will keeps a session that ends with its connection in the journal, but not alive.
#[test]
fn a_session_that_was_only_kept_for_its_will_is_not_resumed() {
    let mut broker = Broker::start("");
    let mut clean = mortal(Version::V311, "3.1.1", 10);
    clean.clean_start = true;
    let mut ending = mortal(Version::V5, "5.0", 10);
    ending.properties.clear();
    let (mut one, _) = broker.connect(Version::V311, clean);
    let (mut two, _) = broker.connect(Version::V5, ending);
    one.subscribe("t", 1);
    two.subscribe("t", 1);
    broker.lasting(Version::V5, "promise");
    broker.crash();
    assert!(!broker.lasting(Version::V311, "3.1.1").1);
    assert!(!broker.lasting(Version::V5, "5.0").1);
}
