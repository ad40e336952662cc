//! Retained messages over a kill: the last acknowledged value, and no value that was cleared.

use crate::broker::Broker;
use crate::client::Client;
use crate::common::packet::*;
use crate::common::property::Property;

/// The retained message of a topic: what comes before a live one.
#[track_caller]
fn retained(broker: &Broker, topic: &str) -> Option<Publish> {
    let mut probe = broker.client(Version::V5, "probe");
    probe.subscribe(topic, 2);
    probe.say(Publish::new(topic, "live"));
    let first = match probe.hear() {
        Packet::Publish(publish) => publish,
        other => panic!("{topic}: {other:?}"),
    };
    if !first.retain {
        assert_eq!(first.text(), "live");
        return None;
    }
    Some(first)
}

#[track_caller]
fn set(client: &mut Client, topic: &str, payload: &str) {
    client.publish(Publish::new(topic, payload).retain());
}

#[test]
fn the_last_value_stays_and_the_cleared_one_stays_cleared() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let mut publisher = broker.client(version, "publisher");
        for payload in ["old", "new"] {
            set(&mut publisher, "r/1", payload);
            publisher.publish_2(Publish::new("r/2", payload).retain(), 3);
            set(&mut publisher, "r/cleared", payload);
            publisher.publish_2(Publish::new("r/cleared 2", payload).retain(), 3);
        }
        set(&mut publisher, "r/cleared", "");
        publisher.publish_2(Publish::new("r/cleared 2", "").retain(), 3);
        for _ in 0..2 {
            broker.crash();
            for (topic, qos) in [("r/1", 1), ("r/2", 2)] {
                let publish = retained(&broker, topic).expect(topic);
                assert_eq!((publish.text().as_str(), publish.qos), ("new", qos));
            }
            assert_eq!(retained(&broker, "r/cleared"), None);
            assert_eq!(retained(&broker, "r/cleared 2"), None);
        }
    }
}

/// Set before one kill, cleared before the next: the first record must not come back.
#[test]
fn a_value_from_an_earlier_life_can_be_cleared() {
    let mut broker = Broker::start("");
    set(&mut broker.client(Version::V5, "publisher"), "r", "value");
    broker.crash();
    set(&mut broker.client(Version::V5, "publisher"), "r", "");
    broker.crash();
    assert_eq!(retained(&broker, "r"), None);
    set(&mut broker.client(Version::V5, "publisher"), "r", "again");
    broker.crash();
    assert_eq!(retained(&broker, "r").expect("a value").text(), "again");
}

/// A retained QoS 2 message is one when its handshake is through [MQTT-4.3.3-10].
#[test]
fn a_value_that_waits_for_its_pubrel_comes_with_it() {
    let mut broker = Broker::start("");
    let (mut publisher, _) = broker.lasting(Version::V5, "publisher");
    set(&mut publisher, "r", "old");
    publisher.say(Publish::new("r", "new").retain().qos(2).id(3));
    publisher.received(3);
    broker.crash();
    let (mut publisher, is_present) = broker.lasting(Version::V5, "publisher");
    assert!(is_present);
    publisher.release(3);
    assert_eq!(retained(&broker, "r").expect("a value").text(), "new");
    broker.crash();
    assert_eq!(retained(&broker, "r").expect("a value").text(), "new");
}

#[test]
fn properties_come_back_as_they_were() {
    let mut broker = Broker::start("");
    let properties = vec![
        Property::PayloadFormatIndicator(1),
        Property::ContentType("text/plain".into()),
        Property::ResponseTopic("answers".into()),
        Property::CorrelationData(vec![0, 1, 255]),
        Property::UserProperty("k".into(), "v".into()),
        Property::UserProperty("k".into(), "w".into()),
    ];
    let mut publish = Publish::new("r", "value").retain();
    publish.properties.clone_from(&properties);
    let mut publisher = broker.client(Version::V5, "publisher");
    publisher.publish(publish);
    let large = "x".repeat(300_000);
    set(&mut publisher, "large", &large);
    broker.crash();
    let mut found = retained(&broker, "r").expect("a value").properties;
    found.sort();
    let mut expected = properties;
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(retained(&broker, "large").expect("a value").text(), large);
}
