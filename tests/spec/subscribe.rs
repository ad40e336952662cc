//! SUBSCRIBE and SUBACK (sections 3.8 and 3.9), and what overlapping subscriptions bring.

use crate::common::encode::{binary, frame};
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

#[test]
fn subscribe_is_answered_with_suback_of_the_same_identifier() {
    proves![
        "3.1.1:MQTT-3.8.4-1",
        "3.1.1:MQTT-3.8.4-2",
        "3.1.1:MQTT-2.3.1-7",
        "5.0:MQTT-3.8.4-1",
        "5.0:MQTT-3.8.4-2",
        "5.0:MQTT-2.2.1-6"
    ];
    for version in Version::ALL {
        let client = World::new().client(version, "c").connect();
        for id in [1, 2, 255, 256, 65_535] {
            client.send(Subscribe::new(id).filter("a", 1));
            client.expect(Packet::SubAck(SubAck::new(id, &[1])));
            client.expect_nothing();
        }
    }
}

#[test]
fn each_filter_has_its_code_in_the_order_of_the_filters() {
    proves![
        "3.1.1:MQTT-3.8.4-4",
        "3.1.1:MQTT-3.8.4-5",
        "3.1.1:MQTT-3.9.3-1",
        "5.0:MQTT-3.8.4-5",
        "5.0:MQTT-3.8.4-6",
        "5.0:MQTT-3.8.4-7",
        "5.0:MQTT-3.9.3-1"
    ];
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").connect();
        let subscribe = Subscribe::new(9)
            .filter("zero", 0)
            .filter("two", 2)
            .filter("one", 1)
            .filter("both/#", 2)
            .filter("+/zero", 0);
        assert_eq!(client.subscribe_with(subscribe).codes, [0, 2, 1, 2, 0]);
        // Each acts as if it had come alone.
        let p = world.client(version, "p").connect();
        for (topic, granted) in [
            ("zero", 0),
            ("two", 2),
            ("one", 1),
            ("both/x", 2),
            ("x/zero", 0),
        ] {
            p.say(topic, "x", 2);
            assert_eq!(client.hear(topic, "x").qos, granted);
            client.expect_nothing();
        }
    }
}

#[test]
fn a_bad_filter_fails_alone() {
    proves!["3.1.1:MQTT-3.9.3-2", "5.0:MQTT-3.9.3-2"];
    // Malformed filters end the connection; a denied one is answered in its place. The decoder of
    // these tests knows the tables and refuses other codes.
    for version in Version::NUMBERED {
        let world = World::with(|s| {
            crate::seam::acl(s, "topic readwrite open/#\n");
            s.acl_suback_deny = true;
        });
        let client = world.client(version, "c").connect();
        let subscribe = Subscribe::new(1)
            .filter("open/a", 1)
            .filter("shut", 1)
            .filter("open/b", 2);
        let denied = if version == Version::V5 { 0x87 } else { 0x80 };
        assert_eq!(client.subscribe_with(subscribe).codes, [1, denied, 2]);
    }
}

#[test]
fn the_same_filter_again_replaces_the_subscription() {
    proves!["3.1.1:MQTT-3.8.4-3", "5.0:MQTT-3.8.4-3"];
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").connect();
        let p = world.client(version, "p").connect();
        for qos in [2, 0, 1] {
            client.subscribe("a/+", qos);
            p.say("a/b", "x", 2);
            assert_eq!(client.hear("a/b", "x").qos, qos, "the newest QoS holds");
            client.expect_nothing();
        }
        client.unsubscribe("a/+");
        p.say("a/b", "x", 2);
        client.expect_nothing();
    }
}

#[test]
fn replacing_a_subscription_loses_nothing_on_the_way() {
    proves!["3.1.1:MQTT-3.8.4-3", "5.0:MQTT-3.8.4-4"];
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").durable().connect();
        client.subscribe("a", 1);
        let p = world.client(version, "p").connect();
        for n in 0..30 {
            p.say("a", &n.to_string(), 1);
        }
        client.send(Subscribe::new(77).filter("a", 2));
        let mut heard = Vec::new();
        while let Some(packet) = client.inbox().first().cloned() {
            match packet {
                Packet::Publish(_) => heard.push(client.message().text()),
                _ => drop(client.next()),
            }
        }
        assert_eq!(heard, (0..30).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn subscribe_needs_at_least_one_filter() {
    proves!["3.1.1:MQTT-3.8.3-3"];
    for version in Version::ALL {
        let client = World::new().client(version, "c").connect();
        client.send(Subscribe::new(1));
        assert!(client.is_closed());
        if version == Version::V5 {
            client.expect_end(0x82);
        }
    }
}

#[test]
fn the_flags_of_subscribe_are_0010() {
    proves!["3.1.1:MQTT-3.8.1-1", "5.0:MQTT-3.8.1-1"];
    for version in Version::NUMBERED {
        for first in (0x80..=0x8F).filter(|&first| first != 0x82) {
            let client = World::new().client(version, "c").connect();
            let mut body = vec![0, 1];
            body.extend(if version == Version::V5 {
                vec![0]
            } else {
                vec![]
            });
            body.extend(binary("a"));
            body.push(0);
            client.raw(&frame(first, &body));
            client.expect_end(0x81);
        }
    }
}

#[test]
fn reserved_bits_of_the_options_are_0() {
    proves!["3.1.1:MQTT-3.8.3-4", "5.0:MQTT-3.8.3-5"];
    for bad in [0x03, 0x40, 0x80, 0xC1] {
        for version in Version::NUMBERED {
            let client = World::new().client(version, "c").connect();
            client.send(Subscribe::new(1).filter("a", bad));
            assert!(client.is_closed(), "{version:?} {bad:#04x}");
        }
    }
    for bad in [0x04, 0x08, 0x10, 0x20] {
        let client = World::new().v311("c").connect();
        client.send(Subscribe::new(1).filter("a", bad));
        client.expect_closed();
    }
    let client = World::new().v5("c").connect();
    client.send(Subscribe::new(1).filter("a", 0x30)); // Retain Handling 3
    client.expect_end(0x82);
}

#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    proves!["5.0:MQTT-3.8.3-3"];
    let world = World::new();
    let a = world.v5("a").connect();
    a.subscribe("room", 2 | NO_LOCAL);
    let b = world.v5("b").connect();
    b.subscribe("room", 2);
    for qos in 0..=2 {
        a.say("room", "from a", qos);
        a.expect_nothing();
        b.hear("room", "from a");
        b.say("room", "from b", qos);
        a.hear("room", "from b");
        b.hear("room", "from b");
    }
}

#[test]
fn no_local_holds_for_the_clients_own_name_not_its_connection() {
    proves!["5.0:MQTT-3.8.3-3"];
    let world = World::new();
    let a = world.v5("a").durable().connect();
    a.subscribe("room", 1 | NO_LOCAL);
    a.drop_link();
    let a = world.v5("a").durable().connect();
    a.say("room", "mine", 1);
    a.expect_nothing();
}

#[test]
fn no_local_holds_for_retained_messages_too() {
    proves!["5.0:MQTT-3.8.3-3"];
    let world = World::new();
    let a = world.v5("a").connect();
    a.retain("room/1", "from a", 1);
    world.v5("b").connect().retain("room/2", "from b", 1);
    a.subscribe("room/+", 1 | NO_LOCAL);
    a.hear("room/2", "from b");
    a.expect_nothing();
}

#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    proves!["5.0:MQTT-3.8.3-4"];
    let client = World::new().v5("c").connect();
    client.send(Subscribe::new(1).filter("$share/g/a", 1 | NO_LOCAL));
    client.expect_end(0x82);
}

fn identifiers(publish: &Publish) -> Vec<u32> {
    let id = |p: &Property| match p {
        Property::SubscriptionIdentifier(id) => Some(*id),
        _ => None,
    };
    publish.properties.iter().filter_map(id).collect()
}

#[test]
fn overlapping_subscriptions_bring_one_copy_each() {
    proves![
        "5.0:MQTT-3.3.4-2",
        "5.0:MQTT-3.3.4-3",
        "5.0:MQTT-3.3.4-5",
        "3.1.1:MQTT-3.3.5-1"
    ];
    let world = World::new();
    let client = world.v5("c").connect();
    let with_id = |filter, options, id: u32| {
        let subscribe = Subscribe::new(client.id()).filter(filter, options);
        client.subscribe_with(subscribe.with(Property::SubscriptionIdentifier(id)));
    };
    with_id("a/#", 1, 11);
    with_id("a/+", 2, 268_435_455);
    client.subscribe("+/b", 0);
    world.v5("p").connect().say("a/b", "x", 2);
    let mut copies: Vec<(u8, Vec<u32>)> = Vec::new();
    while !client.inbox().is_empty() {
        let message = client.hear("a/b", "x");
        copies.push((message.qos, identifiers(&message)));
    }
    copies.sort();
    assert_eq!(copies, [(0, vec![]), (1, vec![11]), (2, vec![268_435_455])]);
}

#[test]
fn the_one_copy_comes_although_one_of_the_subscriptions_wants_none() {
    for filters in [["a", "+"], ["+", "a"]] {
        let world = World::with(|s| s.allow_duplicate_messages = false);
        let modern = world.v5("c").durable().connect();
        modern.subscribe(filters[0], NO_LOCAL | 1);
        modern.subscribe(filters[1], 1);
        modern.disconnect();
        let plain = world.v311("c").durable().connect();
        plain.publish(Publish::new("a", "x"));
        plain.hear("a", "x");
        plain.expect_nothing();
    }
}

#[test]
fn one_copy_per_client_is_an_option_and_has_the_highest_qos() {
    proves!["3.1.1:MQTT-3.3.5-1", "5.0:MQTT-3.3.4-2", "5.0:MQTT-3.3.4-4"];
    for version in Version::ALL {
        let world = World::with(|s| s.allow_duplicate_messages = false);
        let client = world.client(version, "c").connect();
        for (n, (filter, qos)) in [("a/#", 0), ("a/+", 2), ("+/b", 1)].into_iter().enumerate() {
            let mut subscribe = Subscribe::new(client.id()).filter(filter, qos);
            if version == Version::V5 {
                subscribe = subscribe.with(Property::SubscriptionIdentifier(n as u32 + 1));
            }
            client.subscribe_with(subscribe);
        }
        world.client(version, "p").connect().say("a/b", "x", 2);
        let copies: Vec<Publish> =
            std::iter::from_fn(|| (!client.inbox().is_empty()).then(|| client.hear("a/b", "x")))
                .collect();
        let highest = copies.iter().map(|m| m.qos).max();
        assert_eq!(highest, Some(2));
        let mut ids: Vec<u32> = copies.iter().flat_map(identifiers).collect();
        ids.sort_unstable();
        if version == Version::V5 {
            assert_eq!(
                ids,
                [1, 2, 3],
                "every identifier comes, on one copy or on several"
            );
        } else {
            assert_eq!(copies.len(), 1);
        }
    }
}

#[test]
fn a_subscription_identifier_comes_with_every_message_of_its_subscription() {
    proves!["5.0:MQTT-3.3.4-3"];
    let world = World::new();
    let client = world.v5("c").durable().connect();
    let subscribe = Subscribe::new(1).filter("a", 1).filter("b", 1);
    client.subscribe_with(subscribe.with(Property::SubscriptionIdentifier(5)));
    let p = world.v5("p").connect();
    p.say("a", "x", 0);
    assert_eq!(identifiers(&client.hear("a", "x")), [5]);
    p.say("b", "x", 1);
    assert_eq!(identifiers(&client.hear("b", "x")), [5]);
    // It is part of the session.
    client.drop_link();
    p.say("a", "y", 1);
    let client = world.v5("c").durable().connect();
    assert_eq!(identifiers(&client.hear("a", "y")), [5]);
    p.say("b", "y", 1);
    assert_eq!(identifiers(&client.hear("b", "y")), [5]);
    // Subscribing again without one takes it away.
    client.subscribe("a", 1);
    p.say("a", "z", 1);
    assert_eq!(identifiers(&client.hear("a", "z")), [0; 0]);
}

#[test]
fn a_subscription_identifier_of_0_is_a_protocol_error() {
    let client = World::new().v5("c").connect();
    client.send(
        Subscribe::new(1)
            .filter("a", 0)
            .with(Property::SubscriptionIdentifier(0)),
    );
    client.expect_end(0x82);
}

#[test]
fn a_subscription_lasts_as_long_as_its_session() {
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").durable().connect();
        client.subscribe("a", 1);
        let p = world.client(version, "p").connect();
        for n in 0..3 {
            client.drop_link();
            let client = world.client(version, "c").durable().connect();
            p.say("a", &n.to_string(), 0);
            client.hear("a", &n.to_string());
            client.drop_link();
        }
    }
}

#[test]
fn a_thousand_subscriptions_of_one_client_are_ordinary() {
    for version in Version::NUMBERED {
        let world = World::new();
        let client = world.client(version, "c").connect();
        for n in 0..1000 {
            client.subscribe(&format!("sensor/{n}/+"), 1);
        }
        let p = world.client(version, "p").connect();
        for n in [0, 500, 999] {
            p.say(&format!("sensor/{n}/state"), "x", 1);
            client.hear(&format!("sensor/{n}/state"), "x");
            client.expect_nothing();
        }
    }
}

#[test]
fn acknowledgements_are_never_swollen_beyond_what_the_client_takes() {
    proves![
        "5.0:MQTT-3.9.2-1",
        "5.0:MQTT-3.9.2-2",
        "5.0:MQTT-3.11.2-1",
        "5.0:MQTT-3.11.2-2",
        "5.0:MQTT-3.4.2-2",
        "5.0:MQTT-3.4.2-3",
        "5.0:MQTT-3.5.2-2",
        "5.0:MQTT-3.5.2-3",
        "5.0:MQTT-3.7.2-2",
        "5.0:MQTT-3.7.2-3",
        "5.0:MQTT-3.6.2-2",
        "5.0:MQTT-3.6.2-3",
        "5.0:MQTT-3.14.2-3",
        "5.0:MQTT-3.14.2-4"
    ];
    // 16 bytes hold the CONNACK and every acknowledgement by itself, not one with much to say.
    // The watch on the link fails on a longer packet; here every answer must come all the same.
    let world = World::with(|s| {
        crate::seam::acl(s, "topic readwrite open/#\n");
        s.acl_suback_deny = true;
    });
    let client = world
        .v5("c")
        .with(Property::MaximumPacketSize(16))
        .connect();
    assert_eq!(client.subscribe("shut", 1), 0x87);
    assert_eq!(client.subscribe("open/a", 2), 2);
    assert_eq!(client.unsubscribe("nothing"), [0x11]);
    assert_eq!(client.say("shut", "x", 1), 0x87);
    assert_eq!(client.say("shut", "x", 2), 0x87);
    assert_eq!(client.say("open/n", "x", 1), 0x10);
    client.send(Packet::PubRel(Ack::new(999)));
    assert!(matches!(client.next(), Packet::PubComp(_)));
    assert_eq!(client.say("open/a", "x", 2), 0);
    client.message(); // with its PUBREL
    client.send(Packet::PubRec(Ack::new(999)));
    while !client.inbox().is_empty() {
        assert!(matches!(client.next(), Packet::PubRel(_)));
    }
    client.send(Publish::new("bad/+", "x"));
    assert!(matches!(client.next(), Packet::Disconnect(_)));
    client.expect_closed();
}
