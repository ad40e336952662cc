//! AUTH and enhanced authentication (sections 3.15 and 4.12), by a server that has no method.

use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

fn method(name: &str) -> Property {
    Property::AuthenticationMethod(name.to_string())
}

#[test]
fn an_authentication_method_that_is_not_supported_is_refused() {
    proves!["5.0:MQTT-4.12.0-1", "5.0:MQTT-4.12.0-4"];
    for name in ["SCRAM-SHA-1", "", "x"] {
        let world = World::new();
        assert_eq!(world.v5("c").with(method(name)).refused(), 0x8C);
        let data = Property::AuthenticationData(b"hello".to_vec());
        assert_eq!(world.v5("c").with(method(name)).with(data).refused(), 0x8C);
    }
}

#[test]
fn data_without_a_method_is_a_protocol_error() {
    let link = World::new()
        .v5("c")
        .with(Property::AuthenticationData(b"x".to_vec()))
        .dial();
    crate::connect::refused_or_closed(&link);
}

#[test]
fn auth_from_a_client_without_a_method_is_a_protocol_error() {
    for code in [0x00, 0x18, 0x19] {
        for properties in [vec![], vec![method("SCRAM-SHA-1")]] {
            let world = World::new();
            let client = world.v5("c").connect();
            client.send(Auth { code, properties });
            client.expect_end(0x82);
        }
    }
}

#[test]
fn auth_with_flags_is_malformed() {
    proves!["5.0:MQTT-3.15.1-1"];
    for flags in 1..=15 {
        let client = World::new().v5("c").connect();
        client.raw(&[0xF0 | flags, 0]);
        client.expect_end(0x81);
    }
}

#[test]
fn auth_with_a_code_outside_its_table_ends_the_connection() {
    for code in [0x01, 0x17, 0x80, 0xFF] {
        let client = World::new().v5("c").connect();
        client.raw(&[0xF0, 2, code, 0]);
        assert!(matches!(client.next(), Packet::Disconnect(d) if [0x81, 0x82].contains(&d.code)));
        client.expect_closed();
    }
}

#[test]
fn auth_does_not_exist_before_5_0() {
    for version in [Version::V31, Version::V311] {
        let client = World::new().client(version, "c").connect();
        client.raw(&[0xF0, 0]);
        client.expect_closed();
    }
}

#[test]
fn auth_before_connect_closes() {
    let link = World::new().link(Version::V5);
    link.send(Auth::new(0x18).with(method("SCRAM-SHA-1")));
    link.expect_closed();
}

#[test]
fn auth_after_a_refused_connect_goes_nowhere() {
    proves!["5.0:MQTT-3.1.4-6"];
    let link = World::new().link(Version::V5);
    let mut connect = Connect::new(Version::V5, "c");
    connect.properties.push(method("SCRAM-SHA-1"));
    link.send_all(&[
        connect.into(),
        Auth::new(0x18).with(method("SCRAM-SHA-1")).into(),
    ]);
    let Packet::ConnAck(connack) = link.next() else {
        panic!("expected CONNACK")
    };
    assert_eq!(connack.code, 0x8C);
    link.expect_closed();
}
