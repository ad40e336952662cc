//! Maximum Packet Size in both directions (sections 3.1.2.11.4 and 3.2.2.3.6).

use crate::common::encode::{binary, encode, var_int};
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

#[test]
fn a_message_too_large_for_a_client_is_as_if_it_had_been_sent() {
    proves!["5.0:MQTT-3.1.2-24", "5.0:MQTT-3.1.2-25"];
    for qos in 0..=2 {
        let world = World::new();
        let small = world
            .v5("small")
            .with(Property::MaximumPacketSize(100))
            .connect();
        small.subscribe("a", 2);
        let large = world.v5("large").connect();
        large.subscribe("a", 2);
        let p = world.v5("p").connect();
        let long = "x".repeat(100);
        for round in 0..50 {
            assert_eq!(p.say("a", &long, qos), 0);
            large.hear("a", &long);
            small.expect_nothing();
            // It holds no place in the window: small ones go on coming.
            if round % 10 == 0 {
                p.say("a", "short", qos);
                small.hear("a", "short");
                large.hear("a", "short");
            }
        }
    }
}

#[test]
fn the_limit_counts_the_whole_packet() {
    proves!["5.0:MQTT-3.1.2-24"];
    for qos in 0..=2 {
        let world = World::new();
        let payload = "y".repeat(80);
        let publish = Publish::new("topic", &payload).qos(qos).id(1);
        let size = encode(Version::V5, &publish.into()).len() as u32;
        let fits = world
            .v5("fits")
            .with(Property::MaximumPacketSize(size))
            .connect();
        let not = world
            .v5("not")
            .with(Property::MaximumPacketSize(size - 1))
            .connect();
        fits.subscribe("topic", 2);
        not.subscribe("topic", 2);
        world.v5("p").connect().say("topic", &payload, qos);
        fits.hear("topic", &payload);
        not.expect_nothing();
    }
}

#[test]
fn a_maximum_of_0_is_a_protocol_error() {
    let link = World::new()
        .v5("c")
        .with(Property::MaximumPacketSize(0))
        .dial();
    crate::connect::refused_or_closed(&link);
}

#[test]
fn a_packet_beyond_the_servers_limit_ends_the_connection_before_it_is_read() {
    for version in Version::ALL {
        let world = World::with(|s| s.max_packet_size = 1000);
        let client = world.client(version, "c").connect();
        let mut header = vec![0x30];
        header.extend(var_int(998));
        client.raw(&header);
        client.expect_end(0x95);
    }
}

#[test]
fn a_packet_of_exactly_the_servers_limit_is_taken() {
    for version in Version::ALL {
        let world = World::with(|s| s.max_packet_size = 1000);
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 0);
        let client = world.client(version, "c").connect();
        let overhead = encode(version, &Publish::new("a", "x".repeat(900)).into()).len() - 900;
        client.say("a", &"x".repeat(1000 - overhead), 0);
        assert_eq!(sub.message().payload.len(), 1000 - overhead);
        client.send(Publish::new("a", "x".repeat(1001 - overhead)));
        client.expect_end(0x95);
        sub.expect_nothing();
    }
}

#[test]
fn before_connect_is_accepted_packets_are_small() {
    for version in Version::ALL {
        let link = World::new().link(version);
        let mut header = vec![0x10];
        header.extend(var_int(1_000_000));
        header.extend(binary("MQTT"));
        link.raw(&header);
        assert!(link.is_closed());
    }
}

#[test]
fn a_payload_beyond_message_size_limit_is_acknowledged_and_dropped() {
    for version in Version::ALL {
        let world = World::with(|s| s.message_size_limit = 10);
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 2);
        let p = world.client(version, "p").connect();
        for qos in 0..=2 {
            p.say("a", "0123456789", qos);
            sub.hear("a", "0123456789");
            p.say("a", "01234567890", qos);
            sub.expect_nothing();
            p.retain("a", "01234567890", qos);
            sub.expect_nothing();
        }
        let late = world.client(version, "late").connect();
        late.subscribe("a", 0);
        late.expect_nothing();
    }
}

#[test]
fn a_will_beyond_message_size_limit_is_refused_with_its_connect() {
    for version in Version::ALL {
        let world = World::with(|s| s.message_size_limit = 10);
        let witness = world.client(version, "witness").connect();
        witness.subscribe("a", 0);
        let with = |payload| world.client(version, "c").will(Will::new("a", payload));
        let code = if version == Version::V5 { 0x95 } else { 5 };
        assert_eq!(with("01234567890").refused(), code);
        witness.expect_nothing();
        with("0123456789").connect().drop_link();
        witness.hear("a", "0123456789");
    }
}
