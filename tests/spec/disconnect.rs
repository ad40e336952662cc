//! DISCONNECT (section 3.14): the last packet, from either side.

use midge::broker::Broker;

use crate::common::encode::frame;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

#[test]
fn the_server_closes_after_a_disconnect_and_says_nothing() {
    proves!["5.0:MQTT-3.14.4-2", "5.0:MQTT-3.14.4-1"];
    for version in Version::ALL {
        let client = World::new().client(version, "c").connect();
        client.send(Disconnect::new(0));
        client.expect_closed();
    }
}

#[test]
fn what_follows_a_disconnect_is_not_processed() {
    for version in Version::ALL {
        let world = World::new();
        let witness = world.client(version, "w").connect();
        witness.subscribe("#", 0);
        let client = world.client(version, "c").connect();
        client.send_all(&[Disconnect::new(0).into(), Publish::new("late", "x").into()]);
        witness.expect_nothing();
        client.expect_closed();
    }
}

#[test]
fn reserved_bits_of_disconnect_are_0() {
    proves!["3.1.1:MQTT-3.14.1-1", "5.0:MQTT-3.14.1-1"];
    for version in Version::NUMBERED {
        for flags in 1..=15 {
            let world = World::new();
            let witness = world.client(version, "w").connect();
            witness.subscribe("#", 0);
            let client = world
                .client(version, "c")
                .will(Will::new("gone", "x"))
                .connect();
            client.raw(&[0xE0 | flags, 0]);
            client.expect_end(0x81);
            witness.hear("gone", "x"); // it was no good-bye
        }
    }
}

#[test]
fn before_5_0_disconnect_has_no_body() {
    for version in [Version::V31, Version::V311] {
        let client = World::new().client(version, "c").connect();
        client.raw(&frame(0xE0, &[0]));
        assert!(client.is_closed());
    }
}

#[test]
fn a_reason_code_outside_the_table_is_malformed() {
    proves!["5.0:MQTT-3.14.2-1"];
    for code in [0x01, 0x10, 0x18, 0x7F, 0x84, 0xFF] {
        let world = World::new();
        let client = world.v5("c").connect();
        client.raw(&frame(0xE0, &[code]));
        let Packet::Disconnect(answer) = client.next() else {
            panic!("expected DISCONNECT")
        };
        assert!([0x81, 0x82].contains(&answer.code), "{code:#x}");
        client.expect_closed();
    }
}

#[test]
fn a_disconnect_with_properties_is_understood() {
    let world = World::new();
    let client = world.v5("c").durable().connect();
    client.disconnect_with(
        Disconnect::new(0)
            .with(Property::SessionExpiryInterval(30))
            .with(Property::ReasonString("maintenance".to_string()))
            .with(Property::UserProperty("who".to_string(), "me".to_string())),
    );
    client.expect_closed();
    let again = world.v5("c").durable().connect();
    assert!(again.session_present());
}

#[test]
fn a_server_reference_does_not_come_from_a_client() {
    let client = World::new().v5("c").connect();
    client.send(Disconnect::new(0).with(Property::ServerReference("other".to_string())));
    assert!(matches!(client.next(), Packet::Disconnect(d) if d.code == 0x82 || d.code == 0x81));
    client.expect_closed();
}

#[test]
fn the_servers_disconnect_is_the_last_word_and_the_close_follows() {
    proves![
        "5.0:MQTT-3.14.4-1",
        "5.0:MQTT-3.14.4-2",
        "5.0:MQTT-3.14.2-1",
        "5.0:MQTT-3.14.2-2",
        "5.0:MQTT-4.13.1-1",
        "5.0:MQTT-4.13.2-1"
    ];
    // Codes outside the table, a Session Expiry Interval, and packets behind it all fail the story
    // in the decoder or the watch.
    let endings: [(&str, &[u8], u8); 4] = [
        ("malformed", &[0x82, 0x01, 0x00], 0x81),
        (
            "a second CONNECT",
            b"\x10\x0f\0\x04MQTT\x05\x02\0\0\0\0\x02id",
            0x82,
        ),
        ("an alias of 0", b"\x30\x06\0\0\x03\x23\0\0", 0x94),
        ("an alias too high", b"\x30\x06\0\0\x03\x23\0\x0b", 0x94),
    ];
    for (what, bytes, code) in endings {
        let world = World::new();
        let client = world.v5("c").connect();
        client.subscribe("a", 1);
        client.raw(bytes);
        let Packet::Disconnect(disconnect) = client.next() else {
            panic!("{what}")
        };
        assert_eq!(disconnect.code, code, "{what}");
        assert!(
            !disconnect
                .properties
                .iter()
                .any(|p| matches!(p, Property::SessionExpiryInterval(_))),
            "{what}"
        );
        client.expect_closed();
        world.v5("p").connect().say("a", "x", 1);
        client.expect_closed();
    }
}

#[test]
fn a_3_x_client_is_never_sent_a_disconnect() {
    proves!["3.1.1:MQTT-4.8.0-1"];
    for version in [Version::V31, Version::V311] {
        let client = World::new().client(version, "c").connect();
        client.raw(&[0x82, 0x01, 0x00]);
        client.expect_closed();
    }
}

#[test]
fn a_broken_connection_hurts_nobody_else() {
    proves!["3.1.1:MQTT-4.8.0-2", "3.1.1:MQTT-4.8.0-1"];
    for version in Version::ALL {
        let world = World::new();
        let healthy = world.client(version, "healthy").connect();
        healthy.subscribe("a", 1);
        for first in [
            0x00, 0x10, 0x20, 0x36, 0x61, 0x80, 0x90, 0xA0, 0xB0, 0xC1, 0xD0, 0xE1, 0xFF,
        ] {
            let broken = world.client(version, "broken").connect();
            broken.subscribe("a", 1);
            broken.raw(&[first, 3, 0, 1, b'a']);
            assert!(broken.is_closed());
            healthy.say("a", "x", 1);
            healthy.hear("a", "x");
        }
    }
}

#[test]
fn a_server_that_ends_says_so_and_publishes_the_wills() {
    for version in Version::ALL {
        let world = World::new();
        let witness = world.client(version, "w").connect();
        witness.subscribe("gone", 1);
        let will = Will::new("gone", "x").qos(1);
        let client = world.client(version, "c").will(will).connect();
        world.seam(|seam| seam.broker(Broker::publish_wills));
        world.seam(|seam| seam.broker(Broker::shutdown));
        client.expect_end(0x8B);
        witness.hear("gone", "x");
        witness.expect_end(0x8B);
    }
}
