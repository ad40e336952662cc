//! CONNECT (section 3.1): how a client introduces itself, and what a server makes of it.
//!
//! What the answer holds is in `connack.rs`; sessions, wills and Keep Alive have their own files.

use crate::common::encode::{binary, encode, frame};
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

/// The start of a CONNECT body up to the connect flags.
fn opening(name: &str, level: u8, flags: u8) -> Vec<u8> {
    let mut body = binary(name);
    body.extend([level, flags, 0, 60]);
    if level == 5 {
        body.push(0);
    }
    body
}

#[test]
fn a_client_of_each_version_is_welcomed() {
    proves!["3.1.1:MQTT-3.1.4-4", "5.0:MQTT-3.1.4-5"];
    for version in Version::ALL {
        let client = World::new().client(version, "meter").connect();
        assert_eq!(client.connack().code, 0);
        client.ping();
    }
}

#[test]
fn the_first_packet_must_be_connect() {
    proves!["5.0:MQTT-3.14.0-1", "3.1.1:MQTT-4.8.0-1"];
    for version in Version::ALL {
        let packets = [
            Packet::PingReq,
            Publish::new("a", "x").into(),
            Subscribe::new(1).filter("a", 0).into(),
            Disconnect::new(0).into(),
        ];
        for packet in packets {
            let link = World::new().link(version);
            link.send(packet);
            link.expect_closed();
        }
    }
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    proves![
        "3.1.1:MQTT-3.1.0-2",
        "5.0:MQTT-3.1.0-2",
        "5.0:MQTT-4.13.1-1",
        "5.0:MQTT-3.2.0-2"
    ];
    for version in Version::ALL {
        let client = World::new().client(version, "twice").connect();
        client.send(Connect::new(version, "twice"));
        client.expect_end(0x82);
    }
}

#[test]
fn a_wrong_protocol_name_ends_the_connection() {
    proves!["3.1.1:MQTT-3.1.2-1", "5.0:MQTT-3.1.2-1"];
    for level in [3, 4, 5] {
        for name in ["MQTTX", "mqtt", "MQT", "", "HTTP"] {
            let link = World::new().link(Version::V311);
            let mut body = opening(name, level, 2);
            body.extend(binary("id"));
            link.raw(&frame(0x10, &body));
            assert!(link.is_closed(), "{name:?} at level {level}");
            for packet in link.inbox() {
                let Packet::ConnAck(connack) = packet else {
                    panic!("{packet:?}")
                };
                assert_ne!(connack.code, 0);
            }
        }
    }
}

#[test]
fn an_unknown_protocol_level_is_told_so_and_closed() {
    proves!["3.1.1:MQTT-3.1.2-2", "5.0:MQTT-3.1.2-2"];
    // Who speaks none of our versions is answered in the oldest form, which every client reads:
    // 3.1.1 demands it, 5.0 allows it.
    for level in [0, 1, 2, 6, 7, 0x7F, 0x86, 0xFF] {
        let world = World::new();
        let link = world.link(Version::V311);
        let mut body = opening("MQTT", level, 2);
        body.extend(binary("id"));
        let output = link.raw_unread(&frame(0x10, &body));
        assert_eq!(output, [0x20, 2, 0, 1], "level {level}");
        link.expect_closed();
    }
}

#[test]
fn the_name_of_3_1_goes_with_level_3_alone() {
    for level in [4, 5, 6] {
        let link = World::new().link(Version::V311);
        let mut body = opening("MQIsdp", level, 2);
        body.extend(binary("id"));
        link.raw(&frame(0x10, &body));
        assert!(link.is_closed(), "MQIsdp at level {level}");
    }
}

#[test]
fn the_reserved_connect_flag_must_be_0() {
    proves![
        "3.1.1:MQTT-3.1.2-3",
        "5.0:MQTT-3.1.2-3",
        "3.1.1:MQTT-3.1.4-1",
        "5.0:MQTT-3.1.4-1"
    ];
    for version in Version::NUMBERED {
        let link = World::new().link(version);
        let mut body = opening("MQTT", version as u8, 0x03);
        body.extend(binary("id"));
        link.raw(&frame(0x10, &body));
        refused_or_closed(&link);
    }
}

/// A CONNECT that does not conform: 3.x closes without a word, 5.0 may say why in a CONNACK.
#[track_caller]
pub(crate) fn refused_or_closed(link: &crate::client::Client) {
    for packet in link.inbox() {
        assert_eq!(
            link.version,
            Version::V5,
            "3.x closes without CONNACK: {packet:?}"
        );
        let Packet::ConnAck(connack) = link.next() else {
            panic!("not CONNACK: {packet:?}")
        };
        assert!(
            connack.code >= 0x80 && connack.properties.is_empty(),
            "{connack:?}"
        );
    }
    link.expect_closed();
}

#[test]
fn a_connect_that_breaks_the_rules_of_form_is_not_answered_with_success() {
    proves![
        "3.1.1:MQTT-3.1.4-1",
        "5.0:MQTT-3.1.4-1",
        "3.1.1:MQTT-3.2.2-6"
    ];
    for version in Version::NUMBERED {
        let with_tail = |flags: u8, tail: &[Vec<u8>]| {
            let mut body = opening("MQTT", version as u8, flags);
            body.extend(tail.concat());
            frame(0x10, &body)
        };
        let empty_will_properties = if version == Version::V5 {
            vec![0]
        } else {
            vec![]
        };
        let cases = [
            ("no payload", with_tail(0x02, &[])),
            (
                "bytes behind the end",
                with_tail(0x02, &[binary("id"), vec![0]]),
            ),
            ("user name missing", with_tail(0x82, &[binary("id")])),
            (
                "password missing",
                with_tail(0xC2, &[binary("id"), binary("u")]),
            ),
            ("will topic missing", with_tail(0x06, &[binary("id")])),
            (
                "will flags without a will",
                with_tail(0x0A, &[binary("id")]),
            ),
            (
                "will retain without a will",
                with_tail(0x22, &[binary("id")]),
            ),
            (
                "an empty will topic",
                with_tail(
                    0x06,
                    &[binary("id"), empty_will_properties, binary(""), binary("x")],
                ),
            ),
            (
                "a client id that is not UTF-8",
                with_tail(0x02, &[binary([0xC3, 0x28])]),
            ),
            ("flags in the fixed header", {
                let mut bytes = with_tail(0x02, &[binary("id")]);
                bytes[0] = 0x11;
                bytes
            }),
        ];
        for (what, bytes) in cases {
            let link = World::new().link(version);
            link.raw(&bytes);
            assert!(link.is_closed(), "{version:?}: {what}");
            refused_or_closed(&link);
        }
    }
}

#[test]
fn a_connect_with_more_bytes_of_length_than_needed_is_malformed_in_5_0() {
    proves!["5.0:MQTT-1.5.5-1"];
    for version in Version::ALL {
        let link = World::new().link(version);
        let good = encode(version, &Connect::new(version, "id").into());
        link.raw(&[&[0x10, good[1] | 0x80, 0], &good[2..]].concat());
        match version {
            Version::V5 => refused_or_closed(&link),
            _ => assert!(matches!(link.next(), Packet::ConnAck(ack) if ack.code == 0)),
        }
    }
}

#[test]
fn a_password_without_a_user_name_is_for_5_0_only() {
    let link = World::new().link(Version::V311);
    let mut body = opening("MQTT", 4, 0x42);
    body.extend([binary("id"), binary("secret")].concat());
    link.raw(&frame(0x10, &body));
    link.expect_closed();

    World::new().v5("id").password("secret").connect();
}

#[test]
fn in_3_1_the_remaining_length_overrules_the_user_name_flag() {
    let link = World::new().link(Version::V31);
    let mut body = opening("MQIsdp", 3, 0x82);
    body.extend(binary("id"));
    link.raw(&frame(0x10, &body));
    assert!(matches!(
        link.next(),
        Packet::ConnAck(ConnAck { code: 0, .. })
    ));
}

#[test]
fn a_will_of_qos_3_is_malformed() {
    proves!["3.1.1:MQTT-3.1.2-14", "5.0:MQTT-3.1.2-12"];
    for version in Version::ALL {
        let link = World::new()
            .client(version, "id")
            .will(Will::new("w", "x").qos(3))
            .dial();
        refused_or_closed(&link);
    }
}

#[test]
fn every_client_identifier_of_letters_and_digits_up_to_23_bytes_is_taken() {
    proves!["3.1.1:MQTT-3.1.3-5", "5.0:MQTT-3.1.3-5"];
    let ids = [
        "a",
        "Z",
        "0",
        "0123456789",
        "abcdefghijklmnopqrstuvw",
        "ABCDEFGHIJKLMNOPQRSTUVW",
    ];
    for version in Version::ALL {
        let world = World::new();
        for id in ids.into_iter().chain(["xyz", "XYZ"]) {
            world.client(version, id).connect().disconnect();
        }
    }
}

#[test]
fn longer_and_stranger_client_identifiers_are_taken_as_well() {
    for version in Version::NUMBERED {
        let world = World::new();
        let long = "x".repeat(200);
        for id in [
            long.as_str(),
            "a/b",
            "a b",
            "wärme",
            "温度",
            "a-b_c.d:e",
            "+",
            "#",
        ] {
            world.client(version, id).connect().ping();
        }
    }
}

#[test]
fn an_empty_client_identifier_gets_a_unique_one() {
    proves![
        "3.1.1:MQTT-3.1.3-6",
        "5.0:MQTT-3.1.3-6",
        "5.0:MQTT-3.1.3-7",
        "5.0:MQTT-3.2.2-16"
    ];
    let world = World::new();
    let a = world.v311("").connect();
    let b = world.v311("").connect();
    let c = world.v5("").connect();
    let d = world.v5("").connect();
    for client in [&a, &b, &c, &d] {
        client.ping(); // nobody was thrown out by another
    }
    let assigned = |client: &crate::client::Client| {
        let find = |p: &Property| match p {
            Property::AssignedClientIdentifier(id) => Some(id.clone()),
            _ => None,
        };
        client.connack().properties.iter().find_map(find)
    };
    let (c_id, d_id) = (
        assigned(&c).expect("assigned"),
        assigned(&d).expect("assigned"),
    );
    assert_ne!(c_id, d_id);

    // It is an identifier like others: whoever comes with it takes the session over.
    let again = world.v5(&c_id).connect();
    c.expect_end(0x8E);
    assert_eq!(
        assigned(&again),
        None,
        "nothing is assigned to who has an identifier"
    );
}

#[test]
fn an_assigned_identifier_is_auto_and_a_uuid_in_capitals() {
    let client = World::new().v5("").connect();
    let id = client.connack().properties.iter().find_map(|p| match p {
        Property::AssignedClientIdentifier(id) => Some(id.clone()),
        _ => None,
    });
    let id = id.expect("an assigned identifier");
    let uuid = id.strip_prefix("auto-").expect("the prefix auto-");
    let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
    let is_upper_hex = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
    assert!(
        uuid.chars().filter(|&c| c != '-').all(is_upper_hex),
        "{uuid}"
    );
}

#[test]
fn an_assigned_identifier_can_come_back_to_its_session() {
    proves!["5.0:MQTT-3.1.3-7"];
    let world = World::new();
    let first = world.v5("").durable().connect();
    let assigned = first.connack().properties.iter().find_map(|p| match p {
        Property::AssignedClientIdentifier(id) => Some(id.clone()),
        _ => None,
    });
    first.subscribe("a", 1);
    first.drop_link();
    let again = world.v5(&assigned.expect("assigned")).durable().connect();
    assert!(again.session_present());
}

#[test]
fn an_empty_client_identifier_needs_a_clean_session_before_5_0() {
    proves![
        "3.1.1:MQTT-3.1.3-8",
        "3.1.1:MQTT-3.1.3-9",
        "3.1.1:MQTT-3.2.2-4",
        "3.1.1:MQTT-3.2.2-5"
    ];
    let world = World::new();
    assert_eq!(world.v311("").clean(false).refused(), 2);
    // MQTT 3.1 has no empty identifiers at all.
    assert_eq!(world.v31("").refused(), 2);
}

#[test]
fn a_server_may_be_told_to_refuse_empty_client_identifiers() {
    proves![
        "3.1.1:MQTT-3.1.3-9",
        "5.0:MQTT-3.1.3-8",
        "5.0:MQTT-3.1.4-2",
        "5.0:MQTT-3.2.2-7"
    ];
    let world = World::with(|s| s.listeners[0].allow_zero_length_clientid = false);
    assert_eq!(world.v311("").refused(), 2);
    assert_eq!(world.v5("").refused(), 0x85);
    world.v5("named").connect();
}

#[test]
fn whatever_follows_a_refused_connect_is_not_processed() {
    proves!["3.1.1:MQTT-3.1.4-5", "5.0:MQTT-3.1.4-6"];
    for version in Version::NUMBERED {
        let world = World::with(|s| s.listeners[0].allow_zero_length_clientid = false);
        let witness = world.client(version, "witness").connect();
        witness.subscribe("#", 0);
        let intruder = world.link(version);
        intruder.send_all(&[
            Connect::new(version, "").into(),
            Publish::new("break/in", "x").into(),
            Publish::new("break/in", "kept").retain().into(),
        ]);
        assert!(intruder.is_closed());
        witness.expect_nothing();
        let late = world.client(version, "late").connect();
        late.subscribe("#", 0);
        late.expect_nothing();
    }
}

#[test]
fn a_client_need_not_wait_for_connack() {
    proves!["3.1.1:MQTT-3.2.0-1", "5.0:MQTT-3.2.0-1"];
    for version in Version::ALL {
        let link = World::new().link(version);
        link.send_all(&[
            Connect::new(version, "hasty").into(),
            Subscribe::new(1).filter("a", 1).into(),
            Publish::new("a", "x").qos(1).id(2).into(),
            Packet::PingReq,
        ]);
        let names: Vec<&str> = link.inbox().iter().map(Packet::name).collect();
        assert_eq!(names[0], "CONNACK", "before everything else");
        let mut rest = names[1..].to_vec();
        rest.sort_unstable();
        assert_eq!(rest, ["PINGRESP", "PUBACK", "PUBLISH", "SUBACK"]);
    }
}

#[test]
fn bridges_connect_with_the_high_bit_of_the_level_set() {
    let world = World::new();
    let bridge_31 = world.v31("bridge-a").protocol("MQIsdp", 0x83).connect();
    let bridge_311 = world.v311("bridge-b").protocol("MQTT", 0x84).connect();
    for bridge in [&bridge_31, &bridge_311] {
        bridge.subscribe("area/#", 1);
        bridge.ping();
    }
    // A bridge keeps the retain flag, and does not get its own messages back.
    bridge_31.retain("area/1", "warm", 1);
    bridge_31.expect_nothing();
    let heard = bridge_311.hear("area/1", "warm");
    assert!(heard.retain, "a bridge hands the retain flag on");
}

#[test]
fn bridges_say_below_sys_whether_they_are_connected() {
    let state = "$SYS/broker/connection/b/state";
    for version in Version::ALL {
        let world = World::new();
        let watch = world.client(version, "watch").connect();
        watch.subscribe("$SYS/broker/connection/#", 1);
        let will = Will::new(state, "0").qos(1).retain();
        let bridge = world.client(version, "b").will(will).connect();
        assert_eq!(bridge.retain(state, "1", 1), 0);
        watch.hear(state, "1");
        bridge.drop_link();
        watch.hear(state, "0");
        let late = world.client(version, "late").connect();
        late.subscribe(state, 0);
        assert!(late.hear(state, "0").retain);
        // Nothing else there is theirs.
        for topic in [
            "$SYS/broker/connection/state",
            "$SYS/broker/connection/a/b/state",
        ] {
            let will = Will::new(topic, "0");
            let link = world.client(version, "w").will(will).dial();
            assert!(link.is_closed(), "{topic}");
            late.say(topic, "x", 0);
        }
        watch.expect_nothing();
    }
}
