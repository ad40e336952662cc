//! How connections and sessions end.

use super::*;

#[test]
fn a_header_that_is_none_ends_the_connection_and_not_the_broker() {
    // Remaining Length of five bytes, packet type 0, a packet above max_packet_size.
    for bad in [
        &b"\x10\xff\xff\xff\xff\x01"[..],
        b"\0\0",
        b"\x30\xff\xff\xff\x7f",
    ] {
        let mut world = World::new(Settings::default());
        let stranger = world.dial(Version::V311, 0);
        world.send(stranger, bad);
        assert!(world.links[stranger].is_closed);
        let client = world.connect(&hello(Version::V311, "c"));
        world.send(client, bad);
        assert!(world.links[client].is_closed);
    }
}

#[test]
fn a_disconnect_never_comes_without_a_connack_before_it() {
    let mut world = World::new(Settings::default());
    let client = world.dial(Version::V5, 0);
    // CONNECT and a packet that may not be arrive in one piece.
    let mut input = bytes(|out| hello(Version::V5, "c").encode(out));
    input.extend_from_slice(&[0xd0, 0]);
    world.send(client, &input);
    let lines = world.packets(client);
    assert_eq!(lines, ["CONNACK 0x00 false", "DISCONNECT 0x82"]);
    assert!(world.links[client].is_closed);
}

#[test]
fn a_session_that_has_expired_is_not_resumed_before_its_timer_is_served() {
    let mut world = World::new(Settings::default());
    let watcher = world.connect(&hello(Version::V5, "w"));
    world.send(watcher, &subscribe(Version::V5, "will", QoS::AtMostOnce));
    world.packets(watcher);
    let lasting = properties(&[(PropertyId::SessionExpiryInterval, 10)]);
    let delay = properties(&[(PropertyId::WillDelayInterval, 10)]);
    let connect = Connect {
        clean_start: false,
        properties: Properties::from_encoded(&lasting),
        will: Some(Will {
            qos: QoS::AtMostOnce,
            retain: false,
            properties: Properties::from_encoded(&delay),
            topic: "will",
            payload: b"gone",
        }),
        ..hello(Version::V5, "c")
    };
    let client = world.connect(&connect);
    world.cut(client);
    // The machine slept; CONNECT is the first thing that it hears of.
    world.now.mono_ms += 60_000;
    let client = world.dial(Version::V5, 0);
    world.send(client, &bytes(|out| connect.encode(out)));
    assert_eq!(world.packets(client), ["CONNACK 0x00 false"]);
    assert_eq!(world.packets(watcher), ["PUBLISH q0 'will' gone"]);
}

/// Many clients may come back at once, and passwords are checked one by one.
#[test]
fn a_client_may_wait_for_its_verdict_longer_than_connect_timeout() {
    use crate::auth::SignIn;
    let mut world = World::new(Settings {
        listeners: vec![crate::broker::ListenerSettings {
            has_passwords: true,
            ..Default::default()
        }],
        ..Settings::default()
    });
    let client = world.dial(Version::V5, 0);
    let connect = Connect {
        username: Some("u"),
        password: Some(b"p"),
        ..hello(Version::V5, "c")
    };
    world.send(client, &bytes(|out| connect.encode(out)));
    let request = world.broker.poll_auth().expect("the password is checked");
    world.now.mono_ms += 60_000;
    let now = world.now;
    world.broker.timeout(now);
    world.broker.verdict(request.conn, SignIn::Granted, now);
    world.settle();
    assert_eq!(world.packets(client), ["CONNACK 0x00 false"]);
}

#[test]
fn a_verdict_from_before_a_reload_does_not_let_anybody_in() {
    use crate::auth::SignIn;
    let settings = || Settings {
        sys_interval: 0,
        listeners: vec![crate::broker::ListenerSettings {
            has_passwords: true,
            ..Default::default()
        }],
        ..Settings::default()
    };
    let mut world = World::new(settings());
    let client = world.dial(Version::V5, 0);
    let connect = Connect {
        username: Some("u"),
        password: Some(b"p"),
        ..hello(Version::V5, "c")
    };
    world.send(client, &bytes(|out| connect.encode(out)));
    let old = world.broker.poll_auth().expect("the password is checked");
    let now = world.now;
    world.broker.reload(settings(), now);
    let new = world.broker.poll_auth().expect("it is checked again");
    world.broker.verdict(old.conn, SignIn::Granted, now);
    world.broker.verdict(new.conn, SignIn::WrongPassword, now);
    world.settle();
    assert!(world.links[client].is_closed);
}

#[test]
fn a_session_stays_behind_its_mount_point() {
    let listener = |mount_point: &str| crate::broker::ListenerSettings {
        mount_point: mount_point.to_string(),
        ..Default::default()
    };
    let mut world = World::new(Settings {
        listeners: vec![listener("one/"), listener("two/")],
        ..Settings::default()
    });
    let lasting = properties(&[(PropertyId::SessionExpiryInterval, 1000)]);
    let connect = Connect {
        clean_start: false,
        properties: Properties::from_encoded(&lasting),
        ..hello(Version::V5, "c")
    };
    let client = world.connect(&connect);
    world.send(client, &subscribe(Version::V5, "#", QoS::AtLeastOnce));
    world.cut(client);
    let other = world.dial(Version::V5, 1);
    world.send(other, &bytes(|out| connect.encode(out)));
    assert_eq!(world.packets(other), ["CONNACK 0x00 false"]);
}

#[test]
fn what_a_publish_made_ours_is_passed_on_although_its_client_forgot_it() {
    let mut world = World::new(Settings::default());
    let client = world.connect(&hello(Version::V5, "c"));
    world.send(client, &subscribe(Version::V5, "t", QoS::AtMostOnce));
    let message = Publish {
        qos: QoS::ExactlyOnce,
        packet_id: 5,
        topic: b"t",
        payload: b"ours",
        ..Publish::default()
    };
    world.send(client, &publish(Version::V5, &message));
    world.send(client, &[0x62, 3, 0, 5, 0x92]);
    let mut lines = world.packets(client);
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "PUBCOMP 5 0x00",
            "PUBLISH q0 't' ours",
            "PUBREC 5 0x00",
            "SUBACK [0]",
        ]
    );
}

#[test]
fn a_refusal_frees_the_packet_identifier_of_a_message_that_was_taken_before() {
    let mut world = World::new(Settings::default());
    let client = world.connect(&hello(Version::V5, "c"));
    world.send(client, &subscribe(Version::V5, "t", QoS::AtMostOnce));
    let message = |payload| Publish {
        qos: QoS::ExactlyOnce,
        packet_id: 5,
        topic: b"t",
        payload,
        ..Publish::default()
    };
    let first = publish(Version::V5, &message(b"0123456789"));
    world.send(client, &first);
    let now = world.now;
    let stricter = Settings {
        sys_interval: 0,
        message_size_limit: 5,
        ..Settings::default()
    };
    world.broker.reload(stricter, now);
    world.send(client, &first);
    world.send(client, &publish(Version::V5, &message(b"new")));
    world.send(client, &ack(Version::V5, PacketType::PubRel, 5));
    let lines = world.packets(client);
    assert!(lines.contains(&"PUBREC 5 0x97".to_string()), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("PUBLISH q0 't' new"));
}

#[test]
fn nothing_comes_behind_a_publish_that_stays_cut() {
    let mut world = World::new(Settings::default());
    let publisher = world.connect(&hello(Version::V5, "p"));
    let client = world.connect(&hello(Version::V5, "c"));
    world.send(client, &subscribe(Version::V5, "t", QoS::AtMostOnce));
    world.packets(client);
    world.take(client, 7);
    let message = Publish {
        topic: b"t",
        payload: b"payload",
        ..Publish::default()
    };
    let whole = publish(Version::V5, &message);
    world.send(publisher, &whole);
    // The network takes more in the same turn in which the client does what ends the connection.
    world.links[client].room = usize::MAX;
    world.send(client, &[0xd0, 0]);
    assert!(world.links[client].is_closed);
    assert_eq!(world.links[client].inbox, whole[..7]);
}

/// Neither with the name of somebody else nor without one: what was kept for a user is not given
/// away with the Client Identifier.
#[test]
fn a_session_is_never_handed_to_another_user() {
    for other in [Some("bert"), None] {
        let mut world = World::new(Settings::default());
        let lasting = properties(&[(PropertyId::SessionExpiryInterval, 1000)]);
        let connect = |username| Connect {
            clean_start: false,
            properties: Properties::from_encoded(&lasting),
            username,
            ..hello(Version::V5, "c")
        };
        let hello_of = |username| bytes(|out| connect(username).encode(out));
        let anna = world.connect(&connect(Some("anna")));
        world.send(anna, &subscribe(Version::V5, "secret", QoS::AtLeastOnce));
        world.cut(anna);
        let message = Publish {
            qos: QoS::AtLeastOnce,
            packet_id: 3,
            topic: b"secret",
            ..Publish::default()
        };
        let publisher = world.connect(&hello(Version::V5, "p"));
        world.send(publisher, &publish(Version::V5, &message));
        assert_eq!(world.packets(publisher), ["PUBACK 3 0x00"], "it is queued");
        let stranger = world.dial(Version::V5, 0);
        world.send(stranger, &hello_of(other));
        assert_eq!(world.packets(stranger), ["CONNACK 0x00 false"]);
        world.send(publisher, &publish(Version::V5, &message));
        assert_eq!(
            world.packets(publisher),
            ["PUBACK 3 0x10"],
            "nobody is there"
        );
        assert_eq!(world.packets(stranger), [""; 0]);
        // Nor is what the stranger leaves anna's.
        let anna = world.dial(Version::V5, 0);
        world.send(anna, &hello_of(Some("anna")));
        assert_eq!(world.packets(anna), ["CONNACK 0x00 false"]);
    }
}
