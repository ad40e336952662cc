//! UNSUBSCRIBE and UNSUBACK (sections 3.10 and 3.11).

use crate::common::encode::{binary, frame};
use crate::common::packet::*;
use crate::world::World;

#[test]
fn unsubscribe_is_answered_with_unsuback_of_the_same_identifier() {
    proves![
        "3.1.1:MQTT-3.10.4-4",
        "3.1.1:MQTT-3.10.4-5",
        "3.1.1:MQTT-2.3.1-7",
        "5.0:MQTT-3.10.4-4",
        "5.0:MQTT-3.10.4-5",
        "5.0:MQTT-2.2.1-6"
    ];
    for version in Version::ALL {
        let client = World::new().client(version, "c").connect();
        client.subscribe("a", 1);
        for id in [1, 300, 65_535] {
            client.send(Unsubscribe::new(id).filter("a"));
            let Packet::UnsubAck(unsuback) = client.next() else {
                panic!("expected UNSUBACK")
            };
            assert_eq!(
                unsuback.packet_id, id,
                "also when there is nothing to remove"
            );
            client.expect_nothing();
        }
    }
}

#[test]
fn each_filter_has_its_code() {
    proves![
        "3.1.1:MQTT-3.10.4-6",
        "5.0:MQTT-3.10.4-6",
        "5.0:MQTT-3.11.3-1",
        "5.0:MQTT-3.11.3-2"
    ];
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").connect();
        client.subscribe_with(
            Subscribe::new(1)
                .filter("a", 1)
                .filter("b/+", 1)
                .filter("c", 1),
        );
        client.send(
            Unsubscribe::new(2)
                .filter("b/+")
                .filter("x")
                .filter("a")
                .filter("a"),
        );
        let codes: &[u8] = if version == Version::V5 {
            &[0, 0x11, 0, 0x11]
        } else {
            &[]
        };
        client.expect(Packet::UnsubAck(SubAck::new(2, codes)));
        let p = world.client(version, "p").connect();
        for topic in ["a", "b/1", "c"] {
            p.say(topic, "x", 1);
        }
        client.hear("c", "x");
        client.expect_nothing();
    }
}

#[test]
fn filters_are_compared_byte_for_byte() {
    proves!["3.1.1:MQTT-3.10.4-1", "5.0:MQTT-3.10.4-1"];
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").connect();
        client.subscribe("a/+", 0);
        for other in ["a/#", "a/b", "A/+", "a/+/", "/a/+", "+/+", "#"] {
            client.unsubscribe(other);
        }
        let p = world.client(version, "p").connect();
        p.say("a/b", "x", 0);
        client.hear("a/b", "x");
        client.unsubscribe("a/+");
        p.say("a/b", "x", 0);
        client.expect_nothing();
    }
}

#[test]
fn after_unsubscribe_nothing_new_comes() {
    proves!["3.1.1:MQTT-3.10.4-2", "5.0:MQTT-3.10.4-2"];
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").durable().connect();
        client.subscribe("a", 2);
        client.unsubscribe("a");
        let p = world.client(version, "p").connect();
        for qos in 0..=2 {
            p.say("a", "x", qos);
        }
        client.expect_nothing();
        client.drop_link();
        p.say("a", "x", 1);
        world
            .client(version, "c")
            .durable()
            .connect()
            .expect_nothing();
    }
}

#[test]
fn after_unsubscribe_what_was_begun_is_completed() {
    proves!["3.1.1:MQTT-3.10.4-3", "5.0:MQTT-3.10.4-3"];
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").durable().connect();
        client.subscribe("a", 2);
        let p = world.client(version, "p").connect();
        p.say("a", "one", 1);
        p.say("a", "two", 2);
        let (one, two) = (client.publication(), client.publication());
        client.unsubscribe("a");
        client.drop_link();

        let client = world.client(version, "c").durable().connect();
        let (one_again, two_again) = (client.publication(), client.publication());
        assert_eq!(
            (one_again.packet_id, one_again.text()),
            (one.packet_id, one.text())
        );
        assert_eq!(
            (two_again.packet_id, two_again.text()),
            (two.packet_id, two.text())
        );
        client.acknowledge(&one_again);
        client.acknowledge(&two_again);
        client.expect_nothing();
    }
}

#[test]
fn unsubscribe_needs_at_least_one_filter() {
    proves!["3.1.1:MQTT-3.10.3-2"];
    for version in Version::ALL {
        let client = World::new().client(version, "c").connect();
        client.send(Unsubscribe::new(1));
        client.expect_end(0x82);
    }
}

#[test]
fn the_flags_of_unsubscribe_are_0010() {
    proves!["3.1.1:MQTT-3.10.1-1", "5.0:MQTT-3.10.1-1"];
    for version in Version::NUMBERED {
        for first in (0xA0..=0xAF).filter(|&first| first != 0xA2) {
            let client = World::new().client(version, "c").connect();
            let mut body = vec![0, 1];
            body.extend(if version == Version::V5 {
                vec![0]
            } else {
                vec![]
            });
            body.extend(binary("a"));
            client.raw(&frame(first, &body));
            client.expect_end(0x81);
        }
    }
}

#[test]
fn one_of_two_overlapping_subscriptions_can_go() {
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").connect();
        client.subscribe("a/#", 0);
        client.subscribe("a/+", 2);
        client.unsubscribe("a/+");
        world.client(version, "p").connect().say("a/b", "x", 2);
        assert_eq!(client.hear("a/b", "x").qos, 0);
        client.expect_nothing();
    }
}

#[test]
fn subscribing_after_unsubscribing_is_a_new_subscription() {
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").connect();
        let p = world.client(version, "p").connect();
        for n in 0..50 {
            client.subscribe("a/+/c", n % 3);
            p.say("a/b/c", "x", 2);
            assert_eq!(client.hear("a/b/c", "x").qos, n % 3);
            client.unsubscribe("a/+/c");
            p.say("a/b/c", "x", 2);
            client.expect_nothing();
        }
    }
}
