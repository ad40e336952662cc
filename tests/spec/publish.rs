//! PUBLISH (section 3.3): from one client in, to every client whose filter matches out.

use crate::common::encode::{binary, frame};
use crate::common::packet::*;
use crate::common::property::Property;
use crate::seam::qos;
use crate::world::World;

#[test]
fn a_message_reaches_every_matching_subscriber_and_nobody_else() {
    proves![
        "3.1.1:MQTT-3.3.2-3",
        "5.0:MQTT-3.3.2-3",
        "3.1.1:MQTT-4.5.0-1",
        "5.0:MQTT-4.5.0-1"
    ];
    for version in Version::ALL {
        let world = World::new();
        let exact = world.client(version, "exact").connect();
        exact.subscribe("hall/lamp", 0);
        let plus = world.client(version, "plus").connect();
        plus.subscribe("+/lamp", 0);
        let hash = world.client(version, "hash").connect();
        hash.subscribe("hall/#", 0);
        let other = world.client(version, "other").connect();
        other.subscribe("hall/door", 0);

        world
            .client(version, "switch")
            .connect()
            .say("hall/lamp", "on", 0);
        for client in [&exact, &plus, &hash] {
            client.hear("hall/lamp", "on");
            client.expect_nothing();
        }
        other.expect_nothing();
    }
}

#[test]
fn a_client_may_hear_itself() {
    for version in Version::ALL {
        let client = World::new().client(version, "echo").connect();
        for qos in 0..=2 {
            client.subscribe("self", qos);
            client.say("self", "hello", qos);
            assert_eq!(client.hear("self", "hello").qos, qos);
        }
    }
}

#[test]
fn the_payload_is_bytes_and_stays_as_it_is() {
    for version in Version::ALL {
        let world = World::new();
        let a = world.client(version, "a").connect();
        a.subscribe("raw", 2);
        let every_byte: Vec<u8> = (0..=255).collect();
        let payloads: [Vec<u8>; 4] = [vec![], every_byte, vec![0; 127], vec![0xFF; 20_000]];
        for (qos, payload) in [0, 1, 2, 1].into_iter().zip(payloads) {
            a.publish(Publish::new("raw", &payload).qos(qos));
            assert_eq!(a.message().payload, payload);
        }
    }
}

#[test]
fn the_qos_delivered_is_the_lower_of_published_and_granted() {
    proves![
        "3.1.1:MQTT-3.8.4-6",
        "5.0:MQTT-3.8.4-8",
        "3.1.1:MQTT-3.3.4-1",
        "5.0:MQTT-3.3.4-1",
        "3.1.1:MQTT-2.3.1-5",
        "5.0:MQTT-2.2.1-2"
    ];
    for version in Version::ALL {
        for granted in 0..=2 {
            for published in 0..=2 {
                let world = World::new();
                let sub = world.client(version, "sub").connect();
                sub.subscribe("a", granted);
                // `say` fails unless PUBLISH is answered as its QoS asks.
                world
                    .client(version, "pub")
                    .connect()
                    .say("a", "x", published);
                let heard = sub.hear("a", "x");
                assert_eq!(heard.qos, granted.min(published));
                assert_eq!(heard.packet_id == 0, heard.qos == 0);
                sub.expect_nothing();
            }
        }
    }
}

#[test]
fn delivery_at_the_granted_qos_is_an_option() {
    let world = World::with(|s| s.upgrade_outgoing_qos = true);
    let sub = world.v311("sub").connect();
    sub.subscribe("a", 2);
    world.v311("pub").connect().say("a", "x", 0);
    assert_eq!(sub.hear("a", "x").qos, 2);
}

#[test]
fn dup_is_never_handed_on() {
    proves![
        "3.1.1:MQTT-3.3.1-3",
        "5.0:MQTT-3.3.1-3",
        "3.1.1:MQTT-3.3.1-2",
        "5.0:MQTT-3.3.1-2",
        "3.1.1:MQTT-4.3.1-1",
        "5.0:MQTT-4.3.1-1",
        "3.1.1:MQTT-4.3.2-1",
        "5.0:MQTT-4.3.2-2",
        "5.0:MQTT-4.3.3-2"
    ];
    for version in Version::ALL {
        let world = World::new();
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 2);
        let p = world.client(version, "pub").connect();
        p.publish(Publish::new("a", "1").qos(1).dup());
        p.publish(Publish::new("a", "2").qos(2).dup());
        p.publish(Publish::new("a", "0"));
        for _ in 0..3 {
            assert!(
                !sub.message().dup,
                "this is its first sending to the subscriber"
            );
        }
    }
}

#[test]
fn dup_with_qos_0_is_malformed() {
    for version in Version::NUMBERED {
        let world = World::new();
        let client = world.client(version, "c").connect();
        client.raw(&frame(0x38, &publish_body(version, "a", b"x")));
        assert!(client.is_closed());
    }
}

fn publish_body(version: Version, topic: &str, rest: &[u8]) -> Vec<u8> {
    let mut body = binary(topic);
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(rest);
    body
}

#[test]
fn a_qos_of_3_ends_the_connection() {
    proves!["3.1.1:MQTT-3.3.1-4", "5.0:MQTT-3.3.1-4"];
    for version in Version::ALL {
        let world = World::new();
        let witness = world.client(version, "witness").connect();
        witness.subscribe("a", 0);
        let client = world.client(version, "c").connect();
        client.raw(&frame(0x36, b"\0\x01a\0\x05\0"));
        client.expect_end(0x81);
        witness.expect_nothing();
    }
}

#[test]
fn a_message_without_a_subscriber_is_acknowledged_all_the_same() {
    for version in Version::ALL {
        let p = World::new().client(version, "p").connect();
        let code = if version == Version::V5 { 0x10 } else { 0 };
        assert_eq!(p.say("nobody", "x", 0), 0);
        assert_eq!(p.say("nobody", "x", 1), code);
        // A QoS 2 message is passed on at PUBREL: who subscribes until then gets it.
        assert_eq!(p.say("nobody", "x", 2), 0);
    }
}

#[test]
fn a_message_with_a_subscriber_is_a_success() {
    proves!["5.0:MQTT-3.4.2-1", "5.0:MQTT-3.5.2-1"];
    let world = World::new();
    let sub = world.v5("sub").connect();
    sub.subscribe("a", 0);
    let p = world.v5("p").connect();
    assert_eq!(p.say("a", "x", 1), 0);
    assert_eq!(p.say("a", "x", 2), 0);
}

#[test]
fn nobody_publishes_below_sys() {
    proves!["3.1.1:MQTT-3.3.5-2"];
    for version in Version::ALL {
        let world = World::new();
        let witness = world.client(version, "w").connect();
        witness.subscribe("$SYS/forged/#", 0);
        let p = world.client(version, "p").connect();
        let code = if version == Version::V5 { 0x87 } else { 0 };
        assert_eq!(p.say("$SYS/forged/uptime", "0", 0), 0);
        assert_eq!(p.say("$SYS/forged/uptime", "1", 1), code);
        assert_eq!(p.say("$SYS/forged/uptime", "2", 2), code);
        assert_eq!(p.retain("$SYS/forged/uptime", "3", 1), code);
        witness.expect_nothing();
        let late = world.client(version, "late").connect();
        late.subscribe("$SYS/forged/#", 0);
        late.expect_nothing();
    }
}

#[test]
fn nobody_publishes_to_what_only_a_shared_subscription_begins_with() {
    for version in Version::ALL {
        let p = World::new().client(version, "p").connect();
        let code = if version == Version::V5 { 0x87 } else { 0 };
        for qos in [1, 2] {
            assert_eq!(p.say("$share/group/a", "x", qos), code);
        }
        assert_eq!(p.say("$shared/a", "x", 1), if code == 0 { 0 } else { 0x10 });
    }
}

#[test]
fn a_topic_above_the_maximum_qos_of_the_listener_is_refused() {
    for version in Version::ALL {
        let world = World::with(|s| s.listeners[0].max_qos = qos(1));
        let p = world.client(version, "p").connect();
        p.say("a", "x", 1);
        p.send(Publish::new("a", "x").qos(2).id(9));
        p.expect_end(0x9B);
    }
}

#[test]
fn a_server_with_a_maximum_qos_still_takes_every_subscription() {
    proves!["5.0:MQTT-3.2.2-10"];
    for max_qos in [0, 1] {
        let world = World::with(|s| s.listeners[0].max_qos = qos(max_qos));
        let sub = world.v5("sub").connect();
        for requested in 0..=2 {
            let granted = sub.subscribe("a", requested);
            assert!(granted <= requested, "{granted:#x}");
        }
        world.v5("p").connect().say("a", "x", max_qos);
        assert_eq!(sub.hear("a", "x").qos, max_qos);
    }
}

#[test]
fn a_listener_can_mount_its_clients_below_a_topic() {
    let world = World::with(|s| {
        s.listeners[0].mount_point = "site/".to_string();
        let second = crate::seam::another_listener(s);
        s.listeners.push(second);
    });
    let inside = world.v5("inside").connect();
    inside.subscribe("door/+", 1);
    let outside = world.v5("outside").listener(1).connect();
    outside.subscribe("#", 1);

    inside.say("door/1", "open", 1);
    inside.hear("door/1", "open");
    outside.hear("site/door/1", "open");
    outside.say("site/door/2", "shut", 1);
    inside.hear("door/2", "shut");
    outside.hear("site/door/2", "shut");
    outside.say("door/3", "elsewhere", 1);
    inside.expect_nothing();
}

#[test]
fn what_lies_above_a_mount_point_stays_outside() {
    let world = World::with(|s| {
        s.listeners[0].mount_point = "site/".to_string();
        let second = crate::seam::another_listener(s);
        s.listeners.push(second);
    });
    let outside = world.v5("outside").listener(1).connect();
    outside.retain("site", "kept", 1);
    let inside = world.v5("inside").connect();
    inside.subscribe("#", 1);
    for topic in ["site", "site/"] {
        outside.say(topic, "not for them", 1);
    }
    inside.expect_nothing();
    outside.say("site/door", "open", 1);
    inside.hear("door", "open");
}

#[test]
fn the_will_and_the_retained_messages_of_a_mounted_client_are_mounted_too() {
    let world = World::with(|s| {
        s.listeners[0].mount_point = "site/".to_string();
        let second = crate::seam::another_listener(s);
        s.listeners.push(second);
    });
    let inside = world
        .v311("inside")
        .will(Will::new("gone", "yes"))
        .connect();
    inside.retain("door/1", "open", 0);
    let outside = world.v311("outside").listener(1).connect();
    outside.subscribe("#", 0);
    outside.hear("site/door/1", "open");
    inside.drop_link();
    outside.hear("site/gone", "yes");
}

#[test]
fn a_subscription_identifier_does_not_come_from_a_client() {
    let world = World::new();
    let sub = world.v5("sub").connect();
    sub.subscribe("a", 0);
    let p = world.v5("p").connect();
    p.send(Publish::new("a", "x").with(Property::SubscriptionIdentifier(7)));
    p.expect_end(0x82);
    sub.expect_nothing();
}

#[test]
fn a_large_message_goes_through_whole() {
    for version in Version::ALL {
        let world = World::new();
        let sub = world.client(version, "sub").connect();
        sub.subscribe("big", 2);
        let payload: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let p = world.client(version, "p").connect();
        for qos in 0..=2 {
            p.publish(Publish::new("big", &payload).qos(qos));
            let heard = sub.message();
            assert!(heard.payload == payload && heard.qos == qos);
        }
    }
}
