//! CONNACK (section 3.2): what a server says of itself when it accepts, and when it refuses.

use crate::client::Client;
use crate::common::encode::encode;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::seam::qos;
use crate::world::World;

fn names(client: &Client) -> Vec<&'static str> {
    let name = |p: &Property| match p {
        Property::ServerKeepAlive(_) => "server keep alive",
        Property::TopicAliasMaximum(_) => "topic alias maximum",
        Property::AssignedClientIdentifier(_) => "assigned client identifier",
        Property::RetainAvailable(_) => "retain available",
        Property::MaximumPacketSize(_) => "maximum packet size",
        Property::ReceiveMaximum(_) => "receive maximum",
        Property::MaximumQoS(_) => "maximum qos",
        other => panic!("not expected in CONNACK: {other:?}"),
    };
    client.connack().properties.iter().map(name).collect()
}

#[test]
fn a_plain_connack_says_three_things() {
    let client = World::new().v5("plain").connect();
    assert_eq!(
        client.connack().properties,
        [
            Property::TopicAliasMaximum(10),
            Property::MaximumPacketSize(2_000_000),
            Property::ReceiveMaximum(20),
        ]
    );
}

#[test]
fn a_full_connack_says_seven_things_in_a_fixed_order() {
    proves!["5.0:MQTT-3.2.2-9"];
    let world = World::with(|s| {
        s.max_keepalive = 30;
        s.retain_available = false;
        s.listeners[0].max_qos = qos(1);
    });
    let client = world.v5("").keep_alive(60).connect();
    assert_eq!(
        names(&client),
        [
            "server keep alive",
            "topic alias maximum",
            "assigned client identifier",
            "retain available",
            "maximum packet size",
            "receive maximum",
            "maximum qos",
        ]
    );
    assert!(
        client
            .connack()
            .properties
            .contains(&Property::ServerKeepAlive(30))
    );
    assert!(
        client
            .connack()
            .properties
            .contains(&Property::RetainAvailable(0))
    );
    assert!(
        client
            .connack()
            .properties
            .contains(&Property::MaximumQoS(1))
    );
}

#[test]
fn limits_that_are_set_are_announced() {
    let world = World::with(|s| {
        s.max_packet_size = 5000;
        s.max_inflight_messages = 7;
        s.listeners[0].max_topic_alias = 3;
    });
    let client = world.v5("limits").connect();
    assert_eq!(
        client.connack().properties,
        [
            Property::TopicAliasMaximum(3),
            Property::MaximumPacketSize(5000),
            Property::ReceiveMaximum(7),
        ]
    );
}

#[test]
fn what_is_off_is_not_announced() {
    let world = World::with(|s| {
        s.max_inflight_messages = 0;
        s.listeners[0].max_topic_alias = 0;
    });
    let client = world.v5("off").connect();
    assert_eq!(names(&client), ["maximum packet size"]);
}

#[test]
fn a_clean_start_finds_no_session_present() {
    proves![
        "3.1.1:MQTT-3.2.2-1",
        "3.1.1:MQTT-3.2.2-3",
        "5.0:MQTT-3.2.2-2",
        "5.0:MQTT-3.2.2-1",
        "3.1.1:MQTT-3.1.4-3",
        "5.0:MQTT-3.1.4-4"
    ];
    for version in Version::NUMBERED {
        let world = World::new();
        let first = world.client(version, "c").durable().connect();
        assert!(!first.session_present(), "there was none");
        first.drop_link();
        let clean = world.client(version, "c").clean(true).connect();
        assert!(!clean.session_present(), "it was discarded");
    }
}

#[test]
fn a_resumed_session_is_announced() {
    proves!["3.1.1:MQTT-3.2.2-2", "5.0:MQTT-3.2.2-3"];
    for version in Version::NUMBERED {
        let world = World::new();
        world.client(version, "c").durable().connect().drop_link();
        let again = world.client(version, "c").durable().connect();
        assert!(again.session_present());
    }
}

#[test]
fn in_3_1_the_byte_of_session_present_is_reserved() {
    let world = World::new();
    world.v31("c").durable().connect().drop_link();
    assert!(!world.v31("c").durable().connect().session_present());
}

#[test]
fn a_refusal_says_no_session_present_and_closes() {
    proves![
        "3.1.1:MQTT-3.2.2-4",
        "3.1.1:MQTT-3.2.2-5",
        "5.0:MQTT-3.2.2-6",
        "5.0:MQTT-3.2.2-7",
        "5.0:MQTT-4.13.2-1"
    ];
    for version in Version::NUMBERED {
        let world = World::with(|s| s.listeners[0].clientid_prefixes = Some("own-".to_string()));
        world.client(version, "own-1").durable().connect();
        // `refused` checks session present, the absence of properties, and the close.
        let code = world.client(version, "other").durable().refused();
        let not_authorised = if version == Version::V5 { 0x87 } else { 5 };
        let not_valid = if version == Version::V5 { 0x85 } else { 2 };
        assert!([not_authorised, not_valid].contains(&code), "{code:#x}");
    }
}

#[test]
fn a_refusal_uses_a_code_of_its_table() {
    proves!["5.0:MQTT-3.2.2-8"];
    // The decoder of these tests knows the table and fails on another code.
    let world = World::with(|s| {
        s.retain_available = false;
        s.listeners[0].allow_zero_length_clientid = false;
        s.listeners[0].max_qos = qos(1);
    });
    assert_eq!(world.v5("").refused(), 0x85);
    assert_eq!(
        world.v5("a").will(Will::new("w", "x").retain()).refused(),
        0x9A
    );
    assert_eq!(
        world.v5("a").will(Will::new("w", "x").qos(2)).refused(),
        0x9B
    );
    let with_method = world
        .v5("a")
        .with(Property::AuthenticationMethod("SCRAM".to_string()));
    assert_eq!(with_method.refused(), 0x8C);
}

#[test]
fn a_will_above_the_maximum_qos_is_refused() {
    proves!["5.0:MQTT-3.2.2-12"];
    for max_qos in [0, 1] {
        let world = World::with(|s| s.listeners[0].max_qos = qos(max_qos));
        let will = Will::new("w", "x");
        assert_eq!(
            world.v5("a").will(will.clone().qos(max_qos + 1)).refused(),
            0x9B
        );
        world.v5("a").will(will.qos(max_qos)).connect();
    }
}

#[test]
fn a_retained_will_is_refused_where_nothing_is_retained() {
    proves!["5.0:MQTT-3.2.2-13"];
    let world = World::with(|s| s.retain_available = false);
    assert_eq!(
        world.v5("a").will(Will::new("w", "x").retain()).refused(),
        0x9A
    );
    world.v5("a").will(Will::new("w", "x")).connect();
}

#[test]
fn no_response_information_and_no_authentication_method_come_unasked() {
    proves!["5.0:MQTT-3.1.2-28", "5.0:MQTT-4.12.0-6"];
    let world = World::new();
    for asked in [None, Some(0)] {
        let mut dial = world.v5("quiet");
        if let Some(value) = asked {
            dial = dial.with(Property::RequestResponseInformation(value));
        }
        for property in &dial.connect().connack().properties {
            assert!(
                !matches!(
                    property,
                    Property::ResponseInformation(_)
                        | Property::AuthenticationMethod(_)
                        | Property::AuthenticationData(_)
                ),
                "{property:?}"
            );
        }
    }
}

#[test]
fn connack_has_no_reason_string_where_it_would_not_fit() {
    proves![
        "5.0:MQTT-3.2.2-19",
        "5.0:MQTT-3.2.2-20",
        "5.0:MQTT-3.1.2-24"
    ];
    let world = World::new();
    let connack = world.v5("probe").connect().connack().clone();
    let size = encode(Version::V5, &Packet::ConnAck(connack.clone())).len() as u32;
    let exact = world
        .v5("exact")
        .with(Property::MaximumPacketSize(size))
        .connect();
    assert_eq!(
        *exact.connack(),
        connack,
        "what applies is there, nothing is added"
    );
    // A CONNACK that cannot be told whole is not told at all.
    let less = world
        .v5("less")
        .with(Property::MaximumPacketSize(size - 1))
        .dial();
    assert!(less.inbox().is_empty() && less.is_closed());
}

#[test]
fn sign_in_failures_are_told_by_their_codes() {
    proves!["5.0:MQTT-3.1.4-2", "5.0:MQTT-4.12.0-4"];
    for version in Version::ALL {
        let world = World::with(|s| {
            s.listeners[0].allow_anonymous = false;
            crate::seam::one_user(s, "fitter", "right");
        });
        let v5 = version == Version::V5;
        assert_eq!(
            world.client(version, "a").refused(),
            if v5 { 0x87 } else { 5 }
        );
        let wrong = world.client(version, "a").user("fitter").password("wrong");
        assert_eq!(wrong.refused(), if v5 { 0x87 } else { 5 });
        world
            .client(version, "a")
            .user("fitter")
            .password("right")
            .connect()
            .ping();
    }
}
