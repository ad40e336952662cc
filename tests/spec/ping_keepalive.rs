//! PINGREQ, PINGRESP and Keep Alive (sections 3.12, 3.13 and 3.1.2.10): who is still there.

use crate::common::encode::encode;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

#[test]
fn pingreq_is_answered_with_pingresp() {
    proves!["3.1.1:MQTT-3.12.4-1", "5.0:MQTT-3.12.4-1"];
    for version in Version::ALL {
        let client = World::new().client(version, "c").connect();
        for _ in 0..3 {
            client.send(Packet::PingReq);
            client.expect(Packet::PingResp);
            client.expect_nothing();
        }
        client.send_all(&[Packet::PingReq, Packet::PingReq, Packet::PingReq]);
        assert_eq!(client.inbox(), vec![Packet::PingResp; 3]);
    }
}

#[test]
fn silence_of_one_and_a_half_times_keep_alive_ends_the_connection() {
    proves![
        "3.1.1:MQTT-3.1.2-24",
        "5.0:MQTT-3.1.2-22",
        "5.0:MQTT-3.2.2-22"
    ];
    for version in Version::ALL {
        for keep_alive in [1, 10, 60, 3600] {
            let world = World::new();
            let client = world.client(version, "c").keep_alive(keep_alive).connect();
            world.advance_ms(u64::from(keep_alive) * 1500 - 100);
            client.expect_nothing();
            world.advance_ms(1100);
            client.expect_end(0x8D);
        }
    }
}

#[test]
fn every_packet_from_the_client_counts_as_a_sign_of_life() {
    proves!["3.1.1:MQTT-3.1.2-24", "5.0:MQTT-3.1.2-22"];
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").keep_alive(10).connect();
        for _ in 0..5 {
            world.advance_s(14);
            client.ping();
            world.advance_s(14);
            client.say("a", "x", 0);
            world.advance_s(14);
            client.subscribe("b", 0);
        }
        client.expect_nothing();
    }
}

#[test]
fn what_the_server_sends_is_no_sign_of_life() {
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").keep_alive(10).connect();
        client.subscribe("a", 0);
        let p = world.client(version, "p").connect();
        for _ in 0..20 {
            p.say("a", "x", 0);
            world.advance_s(1);
        }
        assert!(client.is_closed());
    }
}

#[test]
fn a_keep_alive_of_0_turns_it_off() {
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").keep_alive(0).connect();
        world.advance_s(1_000_000);
        client.ping();
    }
}

#[test]
fn a_server_can_set_the_keep_alive() {
    proves!["5.0:MQTT-3.1.2-22"];
    for asked in [0, 31, 65_535] {
        let world = World::with(|s| s.max_keepalive = 30);
        let client = world.v5("c").keep_alive(asked).connect();
        assert_eq!(
            client.connack().properties[0],
            Property::ServerKeepAlive(30)
        );
        world.advance_ms(44_900);
        client.expect_nothing();
        world.advance_ms(1_100);
        client.expect_end(0x8D);
    }
}

#[test]
fn a_keep_alive_within_the_servers_limit_is_left_alone() {
    proves!["5.0:MQTT-3.2.2-22"];
    let world = World::with(|s| s.max_keepalive = 30);
    let client = world.v5("c").keep_alive(20).connect();
    let is_server_keep_alive = |p: &Property| matches!(p, Property::ServerKeepAlive(_));
    assert!(!client.connack().properties.iter().any(is_server_keep_alive));
    world.advance_ms(29_900);
    client.expect_nothing();
    world.advance_ms(1_100);
    client.expect_end(0x8D);
}

#[test]
fn a_3_x_client_beyond_the_servers_limit_is_refused() {
    for version in [Version::V31, Version::V311] {
        let world = World::with(|s| s.max_keepalive = 30);
        assert_eq!(world.client(version, "c").keep_alive(31).refused(), 2);
        assert_eq!(world.client(version, "c").keep_alive(0).refused(), 2);
        world.client(version, "c").keep_alive(30).connect();
    }
}

#[test]
fn a_connection_without_connect_does_not_stay() {
    for version in Version::ALL {
        let world = World::new();
        let link = world.link(version);
        world.advance_s(5);
        link.expect_nothing();
        world.advance_s(6);
        link.expect_closed();
    }
}

#[test]
fn a_connect_that_trickles_in_does_not_stay_either() {
    let world = World::new();
    let link = world.link(Version::V311);
    for byte in [0x10, 0x7F, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60] {
        link.raw(&[byte]);
        world.advance_s(1);
    }
    link.expect_closed();
}

#[test]
fn a_durable_session_survives_the_end_of_keep_alive() {
    for version in Version::NUMBERED {
        let world = World::new();
        let client = world
            .client(version, "c")
            .durable()
            .keep_alive(10)
            .connect();
        client.subscribe("a", 1);
        world.advance_s(20);
        client.expect_end(0x8D);
        world.client(version, "p").connect().say("a", "x", 1);
        world
            .client(version, "c")
            .durable()
            .connect()
            .hear("a", "x");
    }
}

/// Not in the specification, which counts whole packets: but a large one over a slow line may take
/// longer than Keep Alive allows, and is all that the line can carry meanwhile.
#[test]
fn a_large_packet_keeps_alive_while_it_grows_and_a_trickle_does_not() {
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").keep_alive(10).connect();
        let packet = encode(version, &Publish::new("a", vec![b'x'; 40_000]).into());
        for part in packet.chunks(4096) {
            world.advance_s(14);
            client.raw(part);
        }
        client.expect_nothing();
        for byte in &packet[..14] {
            world.advance_s(1);
            client.raw(&[*byte]);
        }
        world.advance_s(2);
        client.expect_end(0x8D);
    }
}
