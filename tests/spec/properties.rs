//! What a 5.0 PUBLISH carries along (section 3.3.2.3), and how it is handed on.

use crate::common::encode::{binary, frame, var_int};
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

/// Publishes with these properties, through a live subscription, a queue, and a retained message.
fn forwarded(properties: &[Property]) -> [Vec<Property>; 3] {
    let world = World::new();
    let live = world.v5("live").connect();
    live.subscribe("a", 1);
    let away = world.v5("away").durable().connect();
    away.subscribe("a", 1);
    away.drop_link();
    let mut publish = Publish::new("a", "text").qos(1).retain();
    publish.properties = properties.to_vec();
    world.v5("p").connect().publish(publish);
    let away = world.v5("away").durable().connect();
    let late = world.v5("late").connect();
    late.subscribe("a", 1);
    [&live, &away, &late].map(|client| client.hear("a", "text").properties)
}

#[test]
fn the_payload_format_indicator_is_forwarded() {
    proves!["5.0:MQTT-3.3.2-4"];
    for n in [0, 1] {
        for heard in forwarded(&[Property::PayloadFormatIndicator(n)]) {
            assert_eq!(heard, [Property::PayloadFormatIndicator(n)]);
        }
    }
}

#[test]
fn the_response_topic_and_correlation_data_are_forwarded() {
    proves!["5.0:MQTT-3.3.2-15", "5.0:MQTT-3.3.2-16"];
    let every_byte: Vec<u8> = (0..=255).collect();
    for data in [vec![], vec![0, 0xFF], every_byte] {
        let sent = [
            Property::ResponseTopic("answer/ä".to_string()),
            Property::CorrelationData(data),
        ];
        for heard in forwarded(&sent) {
            assert_eq!(heard.len(), 2);
            assert!(sent.iter().all(|p| heard.contains(p)));
        }
    }
}

#[test]
fn the_content_type_is_forwarded() {
    proves!["5.0:MQTT-3.3.2-20"];
    for text in ["", "application/json; charset=utf-8", "日本語"] {
        for heard in forwarded(&[Property::ContentType(text.to_string())]) {
            assert_eq!(heard, [Property::ContentType(text.to_string())]);
        }
    }
}

#[test]
fn user_properties_are_forwarded_all_and_in_order() {
    proves![
        "5.0:MQTT-3.3.2-17",
        "5.0:MQTT-3.3.2-18",
        "5.0:MQTT-3.1.3-10"
    ];
    let pair = |k: &str, v: &str| Property::UserProperty(k.to_string(), v.to_string());
    let sent = [
        pair("z", "1"),
        pair("a", "2"),
        pair("z", "1"),
        pair("", ""),
        pair("a", "1"),
        pair("é", ""),
    ];
    for heard in forwarded(&sent) {
        assert_eq!(heard, sent);
    }
}

#[test]
fn a_message_with_everything_keeps_everything() {
    let sent = [
        Property::UserProperty("first".to_string(), "1".to_string()),
        Property::ContentType("t".to_string()),
        Property::UserProperty("second".to_string(), "2".to_string()),
        Property::PayloadFormatIndicator(1),
        Property::CorrelationData(vec![1]),
        Property::ResponseTopic("r".to_string()),
        Property::UserProperty("third".to_string(), "3".to_string()),
    ];
    for mut heard in forwarded(&sent) {
        let is_user = |p: &&Property| matches!(p, Property::UserProperty(..));
        let users: Vec<Property> = heard.iter().filter(is_user).cloned().collect();
        assert_eq!(
            users,
            sent.iter().filter(is_user).cloned().collect::<Vec<_>>()
        );
        heard.sort();
        let mut expected = sent.to_vec();
        expected.sort();
        assert_eq!(heard, expected);
    }
}

#[test]
fn a_3_x_subscriber_gets_the_message_without_properties() {
    for version in [Version::V31, Version::V311] {
        let world = World::new();
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 1);
        let publish = Publish::new("a", "x")
            .qos(1)
            .with(Property::ContentType("t".to_string()));
        world.v5("p").connect().publish(publish);
        assert_eq!(sub.hear("a", "x").payload, b"x");
    }
}

#[test]
fn no_properties_are_written_as_a_length_of_0() {
    proves!["5.0:MQTT-2.2.2-1"];
    let world = World::new();
    let client = world.v5("c").connect();
    let body = [vec![0, 5, 0], binary("a"), vec![0]].concat();
    assert_eq!(
        client.raw_unread(&frame(0x82, &body)),
        [0x90, 4, 0, 5, 0, 0]
    );
    let publish = [binary("a"), vec![0], b"x".to_vec()].concat();
    assert_eq!(
        client.raw_unread(&frame(0x30, &publish)),
        frame(0x30, &publish)
    );
}

#[test]
fn the_servers_lengths_are_as_short_as_can_be() {
    proves!["5.0:MQTT-1.5.5-1"];
    // The decoder fails on a longer form; these sizes lie on both sides of each step.
    for version in Version::ALL {
        let world = World::new();
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 0);
        let p = world.client(version, "p").connect();
        for size in [
            0, 120, 121, 122, 123, 124, 125, 16_375, 16_379, 16_380, 16_381, 400_000,
        ] {
            p.say("a", &"x".repeat(size), 0);
            assert_eq!(sub.message().payload.len(), size);
        }
        if version == Version::V5 {
            for size in [115, 120, 121, 122, 123, 124, 125, 130] {
                let pair = Property::UserProperty("k".to_string(), "v".repeat(size));
                p.publish(Publish::new("a", "x").with(pair.clone()));
                assert_eq!(sub.message().properties, [pair]);
            }
        }
    }
}

#[test]
fn a_variable_byte_integer_longer_than_needed_is_malformed() {
    proves!["5.0:MQTT-1.5.5-1"];
    let tail =
        |property_length: &[u8]| [binary("a"), property_length.to_vec(), b"x".to_vec()].concat();
    let mut long_remaining_length = vec![0x30, 0x85, 0x00];
    long_remaining_length.extend(tail(&[0]));
    for bytes in [
        frame(0x30, &tail(&[0x80, 0x00])),
        frame(0x30, &tail(&[0x80, 0x80, 0x80, 0x80, 0x01])),
        frame(0x30, &tail(&[0xFF, 0xFF, 0xFF, 0xFF])),
        long_remaining_length,
    ] {
        let client = World::new().v5("c").connect();
        client.raw(&bytes);
        client.expect_end(0x81);
    }
    assert_eq!(var_int(0), [0]);
}

#[test]
fn message_expiry_counts_down_while_a_message_waits() {
    proves!["5.0:MQTT-3.3.2-5", "5.0:MQTT-3.3.2-6"];
    let world = World::new();
    let sub = world.v5("sub").durable().connect();
    sub.subscribe("a", 1);
    sub.drop_link();
    let p = world.v5("p").connect();
    for (text, s) in [("ten", 10), ("thirty", 30)] {
        let expiry = Property::MessageExpiryInterval(s);
        p.publish(Publish::new("a", text).qos(1).with(expiry));
    }
    p.say("a", "for ever", 1);
    world.advance_s(20);
    let sub = world.v5("sub").durable().connect();
    let thirty = sub.hear("a", "thirty");
    assert_eq!(thirty.properties, [Property::MessageExpiryInterval(10)]);
    assert_eq!(sub.hear("a", "for ever").properties, []);
    sub.expect_nothing();
}

#[test]
fn a_message_expires_also_for_a_3_x_subscriber() {
    proves!["5.0:MQTT-3.3.2-5"];
    let world = World::new();
    let sub = world.v311("sub").durable().connect();
    sub.subscribe("a", 1);
    sub.drop_link();
    let expiry = Property::MessageExpiryInterval(10);
    world
        .v5("p")
        .connect()
        .publish(Publish::new("a", "x").qos(1).with(expiry));
    world.advance_s(11);
    world.v311("sub").durable().connect().expect_nothing();
}

#[test]
fn a_message_that_waits_behind_a_full_window_expires_too() {
    proves!["5.0:MQTT-3.3.2-5"];
    let world = World::new();
    let sub = world.v5("sub").with(Property::ReceiveMaximum(1)).connect();
    sub.subscribe("a", 1);
    let p = world.v5("p").connect();
    p.say("a", "first", 1);
    p.publish(
        Publish::new("a", "brief")
            .qos(1)
            .with(Property::MessageExpiryInterval(5)),
    );
    p.say("a", "last", 1);
    let first = sub.publication();
    world.advance_s(6);
    sub.acknowledge(&first);
    sub.hear("a", "last");
    sub.expect_nothing();
}

#[test]
fn an_expiry_of_0_is_over_for_who_is_away() {
    let world = World::new();
    let live = world.v5("live").connect();
    live.subscribe("a", 1);
    let away = world.v5("away").durable().connect();
    away.subscribe("a", 1);
    away.drop_link();
    let publish = Publish::new("a", "x")
        .qos(1)
        .with(Property::MessageExpiryInterval(0));
    world.v5("p").connect().publish(publish);
    world.advance_s(1);
    world.v5("away").durable().connect().expect_nothing();
    for message in live.payloads() {
        assert_eq!(message, "x");
    }
}

#[test]
fn properties_in_the_wrong_packet_or_twice_are_refused() {
    let expiry = Property::SessionExpiryInterval(1);
    let indicator = Property::PayloadFormatIndicator(1);
    for packet in [
        Packet::from(Publish::new("a", "x").with(expiry.clone())),
        Publish::new("a", "x")
            .with(indicator.clone())
            .with(indicator.clone())
            .into(),
        Publish::new("a", "x")
            .with(Property::PayloadFormatIndicator(2))
            .into(),
        Subscribe::new(1)
            .filter("a", 0)
            .with(indicator.clone())
            .into(),
        Subscribe::new(1)
            .filter("a", 0)
            .with(Property::SubscriptionIdentifier(1))
            .with(Property::SubscriptionIdentifier(1))
            .into(),
        Disconnect::new(0).with(indicator).into(),
        Disconnect::new(0).with(Property::ReceiveMaximum(1)).into(),
    ] {
        let client = World::new().v5("c").connect();
        client.send(packet.clone());
        match client.next() {
            Packet::Disconnect(answer) => {
                assert!(
                    [0x81, 0x82].contains(&answer.code),
                    "{packet:?}: {answer:?}"
                );
            }
            other => panic!("{packet:?}: {other:?}"),
        }
        client.expect_closed();
    }
}

#[test]
fn an_unknown_property_is_malformed() {
    for id in [0x00, 0x04, 0x0A, 0x2B, 0x7F] {
        let client = World::new().v5("c").connect();
        client.raw(&frame(0x30, &[binary("a"), vec![2, id, 0]].concat()));
        client.expect_end(0x81);
    }
}

#[test]
fn properties_of_connect_are_checked_for_value_and_place() {
    let bad = [
        vec![
            Property::SessionExpiryInterval(1),
            Property::SessionExpiryInterval(1),
        ],
        vec![Property::RequestProblemInformation(2)],
        vec![Property::RequestResponseInformation(2)],
        vec![Property::ServerKeepAlive(1)],
        vec![Property::WillDelayInterval(1)],
        vec![Property::TopicAlias(1)],
    ];
    for list in bad {
        let world = World::new();
        let mut dial = world.v5("c");
        for property in &list {
            dial = dial.with(property.clone());
        }
        let link = dial.dial();
        assert!(link.is_closed(), "{list:?}");
        crate::connect::refused_or_closed(&link);
    }
}

#[test]
fn without_problem_information_nothing_is_explained() {
    proves!["5.0:MQTT-3.1.2-29"];
    let world = World::with(|s| crate::seam::acl(s, "topic readwrite open/#\n"));
    let client = world
        .v5("c")
        .with(Property::RequestProblemInformation(0))
        .connect();
    client.send_all(&[
        Publish::new("shut", "x").qos(1).id(1).into(),
        Publish::new("shut", "x").qos(2).id(2).into(),
        Publish::new("$SYS/x", "x").qos(1).id(3).into(),
        Publish::new("open/nobody", "x").qos(1).id(4).into(),
        Packet::PubRel(Ack::new(77)),
        Subscribe::new(5).filter("shut", 1).into(),
        Unsubscribe::new(6).filter("nothing").into(),
    ]);
    assert_eq!(client.inbox().len(), 7);
    for packet in client.inbox() {
        let properties = match packet {
            Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubComp(p) => p.properties,
            Packet::SubAck(p) | Packet::UnsubAck(p) => p.properties,
            other => panic!("{other:?}"),
        };
        assert_eq!(properties, []);
    }
}
