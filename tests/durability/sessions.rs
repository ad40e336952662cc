//! Sessions and subscriptions over a kill and over SIGTERM, with all that belongs to them.

use crate::broker::Broker;
use crate::client::{Client, lasting};
use crate::common::packet::*;
use crate::common::property::Property;

/// Which of these payloads come before the end, which is published now.
#[track_caller]
fn heard(broker: &Broker, client: &mut Client, end: &str) -> Vec<Publish> {
    broker
        .client(Version::V5, "end")
        .publish(Publish::new(end, "end"));
    let mut heard = Vec::new();
    loop {
        match client.hear() {
            Packet::Publish(publish) => {
                if publish.qos == 1 {
                    client.say(Packet::PubAck(Ack::new(publish.packet_id)));
                }
                if publish.topic == end {
                    return heard;
                }
                heard.push(publish);
            }
            other => panic!("no message but {other:?}"),
        }
    }
}

fn texts(heard: &[Publish]) -> Vec<String> {
    heard.iter().map(Publish::text).collect()
}

#[test]
fn a_session_exists_from_its_connack() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (_client, is_present) = broker.lasting(version, "client");
        assert!(!is_present);
        broker.crash();
        assert!(broker.lasting(version, "client").1);
    }
}

#[test]
fn a_subscription_exists_from_its_suback_until_its_unsuback() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (mut client, _) = broker.lasting(version, "client");
        for filter in ["end", "kept", "dropped"] {
            client.subscribe(filter, 1);
        }
        broker.crash();

        let (mut client, is_present) = broker.lasting(version, "client");
        assert!(is_present);
        client.unsubscribe("dropped");
        broker.crash();

        let mut publisher = broker.client(version, "publisher");
        publisher.publish(Publish::new("dropped", "no"));
        publisher.publish(Publish::new("kept", "yes"));
        let (mut client, is_present) = broker.lasting(version, "client");
        assert!(is_present);
        assert_eq!(texts(&heard(&broker, &mut client, "end")), ["yes"]);
    }
}

#[test]
fn a_clean_start_ends_what_was_from_its_connack() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (mut client, _) = broker.lasting(version, "client");
        client.subscribe("t", 1);
        client.leave();
        broker
            .client(version, "publisher")
            .publish(Publish::new("t", "old"));
        let mut connect = lasting(version, "client");
        connect.clean_start = true;
        let (_client, is_present) = broker.connect(version, connect);
        assert!(!is_present);
        broker.crash();

        // In 5.0 the new session lasts, in 3.1.1 it does not.
        let (mut client, is_present) = broker.lasting(version, "client");
        assert_eq!(is_present, version == Version::V5);
        client.subscribe("end", 1);
        broker
            .client(version, "publisher")
            .publish(Publish::new("t", "new"));
        assert!(heard(&broker, &mut client, "end").is_empty());
    }
}

/// DISCONNECT may change how long a session lasts; a session that came back has its new interval.
#[test]
fn the_interval_of_a_disconnect_counts() {
    let mut broker = Broker::start("");
    let (mut ends, _) = broker.lasting(Version::V5, "ends");
    ends.say(Disconnect::new(0).with(Property::SessionExpiryInterval(0)));
    while ends.hear_or_end().is_some() {}
    let mut short = lasting(Version::V5, "stays");
    short.properties = vec![Property::SessionExpiryInterval(1)];
    let (mut stays, _) = broker.connect(Version::V5, short);
    stays.say(Disconnect::new(0).with(Property::SessionExpiryInterval(3600)));
    while stays.hear_or_end().is_some() {}
    // What comes behind them in the journal is safe, so they are.
    broker.lasting(Version::V5, "later");
    broker.crash();
    assert!(!broker.lasting(Version::V5, "ends").1);
    assert!(broker.lasting(Version::V5, "stays").1);
    assert!(broker.lasting(Version::V5, "later").1);
}

/// Everything at once, over an end in good order.
#[test]
fn after_sigterm_everything_is_there() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (mut client, _) = broker.lasting(version, "client");
        client.subscribe("t/#", 2);
        let (mut publisher, _) = broker.lasting(version, "publisher");
        publisher.publish(Publish::new("t/1", "one"));
        publisher.publish_2(Publish::new("t/2", "two"), 2);
        let one = client.message("one");
        let two = client.message("two");
        client.vanish();
        publisher.publish(Publish::new("t/3", "three").retain());
        publisher.say(Publish::new("t/4", "four").qos(2).id(4));
        publisher.received(4);
        let status = broker.stop();
        assert!(status.success(), "{status}: {}", broker.log());
        broker.start_again();

        let (mut publisher, is_present) = broker.lasting(version, "publisher");
        assert!(is_present);
        publisher.release(4);
        let (mut client, is_present) = broker.lasting(version, "client");
        assert!(is_present);
        client.expect(one.dup());
        client.expect(two.dup());
        assert!(!client.message("three").retain, "it was live");
        client.message("four");
        let mut probe = broker.client(version, "probe");
        probe.subscribe("t/#", 0);
        assert!(probe.message("three").retain);
    }
}

#[test]
fn subscriptions_keep_their_options() {
    let mut broker = Broker::start("");
    let (mut client, _) = broker.lasting(Version::V5, "client");
    let subscribe = |filter: &str, options: u8, identifier: u32| {
        let identifier = Property::SubscriptionIdentifier(identifier);
        Subscribe::new(1).filter(filter, options).with(identifier)
    };
    client.subscribe_by(subscribe("no local", 1 | NO_LOCAL, 1));
    client.subscribe_by(subscribe("local", 1, 268_435_455));
    client.subscribe_by(subscribe("as published", 2 | RETAIN_AS_PUBLISHED, 300));
    client.subscribe_by(subscribe("over/+", 0, 4));
    client.subscribe_by(subscribe("over/#", 1, 5));
    client.subscribe("plain", 2);
    client.subscribe("end", 1);
    broker.crash();

    let (mut client, is_present) = broker.lasting(Version::V5, "client");
    assert!(is_present);
    let mut other = broker.client(Version::V5, "other");
    for topic in ["no local", "local"] {
        client.say(Publish::new(topic, "own"));
        other.publish(Publish::new(topic, "other"));
    }
    other.publish(Publish::new("as published", "p").retain());
    other.publish(Publish::new("over/x", "o").retain());
    other.publish(Publish::new("plain", "q").retain());
    let heard = heard(&broker, &mut client, "end");
    let found = |topic: &str| -> Vec<(String, u8, bool, Vec<Property>)> {
        let mut found: Vec<_> = heard
            .iter()
            .filter(|publish| publish.topic == topic)
            .map(|p| (p.text(), p.qos, p.retain, p.properties.clone()))
            .collect();
        found.sort();
        found
    };
    let one = |text: &str, qos: u8, retain: bool, identifiers: &[u32]| {
        let identifiers = identifiers.iter();
        let list = identifiers.map(|n| Property::SubscriptionIdentifier(*n));
        (text.to_string(), qos, retain, list.collect::<Vec<_>>())
    };
    assert_eq!(found("no local"), [one("other", 1, false, &[1])]);
    assert_eq!(
        found("local"),
        [
            one("other", 1, false, &[268_435_455]),
            one("own", 0, false, &[268_435_455])
        ]
    );
    assert_eq!(found("as published"), [one("p", 1, true, &[300])]);
    assert_eq!(found("plain"), [one("q", 1, false, &[])]);
    // One copy for both, or one for each.
    let over = found("over/x");
    let mut identifiers: Vec<Property> = over.iter().flat_map(|o| o.3.clone()).collect();
    identifiers.sort();
    assert_eq!(identifiers, [4, 5].map(Property::SubscriptionIdentifier));
}

/// Retain Handling 1 sends retained messages for a new subscription only: this one is not new.
#[test]
fn a_subscription_from_before_is_not_new() {
    let mut broker = Broker::start("");
    let (mut client, _) = broker.lasting(Version::V5, "client");
    client.subscribe("end", 1);
    client.subscribe("r", 1 | RETAINED_IF_NEW);
    broker
        .client(Version::V5, "publisher")
        .publish(Publish::new("r", "value").retain());
    client.take("value");
    client.leave();
    broker.crash();
    let (mut client, _) = broker.lasting(Version::V5, "client");
    // Its PUBACK may have come too late for the kill.
    heard(&broker, &mut client, "end");
    client.subscribe("r", 1 | RETAINED_IF_NEW);
    assert_eq!(heard(&broker, &mut client, "end"), []);
    client.unsubscribe("r");
    client.subscribe("r", 1 | RETAINED_IF_NEW);
    assert_eq!(texts(&heard(&broker, &mut client, "end")), ["value"]);
}

/// Each message goes to one of a group, and to everybody who has a subscription of its own.
#[test]
fn shared_subscriptions_are_still_shared() {
    const COUNT: usize = 20;
    let mut broker = Broker::start("");
    let names = ["member 0", "member 1"];
    for name in names {
        let (mut client, _) = broker.lasting(Version::V5, name);
        client.subscribe("$share/group/t", 1);
        client.subscribe("end", 1);
    }
    let (mut alone, _) = broker.lasting(Version::V5, "alone");
    alone.subscribe("t", 1);
    alone.subscribe("end", 1);
    broker.crash();

    let mut clients = names.map(|name| broker.lasting(Version::V5, name).0);
    let (mut alone, _) = broker.lasting(Version::V5, "alone");
    let mut publisher = broker.client(Version::V5, "publisher");
    let mut sent: Vec<String> = (0..COUNT).map(|i| format!("number {i}")).collect();
    for payload in &sent {
        publisher.publish(Publish::new("t", payload));
    }
    assert_eq!(texts(&heard(&broker, &mut alone, "end")), sent);
    broker
        .client(Version::V5, "end")
        .publish(Publish::new("end", "end"));
    let mut got = Vec::new();
    for client in &mut clients {
        // The first end was for `alone`; it came to them too.
        got.extend(texts(&heard_until_end(client)));
    }
    got.sort();
    sent.sort();
    assert_eq!(got, sent);
}

#[track_caller]
fn heard_until_end(client: &mut Client) -> Vec<Publish> {
    let mut heard = Vec::new();
    loop {
        match client.hear() {
            Packet::Publish(publish) if publish.topic == "end" => return heard,
            Packet::Publish(publish) => {
                client.say(Packet::PubAck(Ack::new(publish.packet_id)));
                heard.push(publish);
            }
            other => panic!("no message but {other:?}"),
        }
    }
}
