//! What peers may ask for, and what becomes of more.

use super::kept::{lasting, sleeper};
use super::*;

const V5: Version = Version::V5;

#[test]
fn an_answer_that_the_client_has_no_room_for_ends_the_connection_only() {
    let mut world = World::new(Settings::default());
    let limits = properties(&[(PropertyId::MaximumPacketSize, 30)]);
    let connect = Connect {
        properties: Properties::from_encoded(&limits),
        ..hello(V5, "c")
    };
    let client = world.connect(&connect);
    let filter = SubscribeFilter {
        filter: "t",
        options: SubscriptionOptions::default(),
    };
    let filters = [filter; 40];
    let packet = bytes(|out| Subscribe::encode(V5, 9, Properties::default(), &filters, out));
    world.send(client, &packet);
    assert_eq!(world.packets(client), ["DISCONNECT 0x95"]);
    assert!(world.links[client].is_closed);
}

#[test]
fn a_topic_that_grows_too_long_behind_its_mount_point_is_refused() {
    let mut world = World::new(Settings {
        listeners: vec![crate::broker::ListenerSettings {
            mount_point: "m/".to_string(),
            ..Default::default()
        }],
        ..Settings::default()
    });
    let client = world.connect(&hello(V5, "c"));
    let longest = "x".repeat(65_533);
    let longer = "x".repeat(65_534);
    for (topic, granted, reason) in [(&longest, 1, 0x00), (&longer, 0x8f, 0x90)] {
        world.send(client, &subscribe(V5, topic, QoS::AtLeastOnce));
        assert_eq!(world.packets(client), [format!("SUBACK [{granted}]")]);
        let message = Publish {
            qos: QoS::AtLeastOnce,
            packet_id: 3,
            topic: topic.as_bytes(),
            ..Publish::default()
        };
        world.send(client, &publish(V5, &message));
        let lines = world.packets(client);
        assert_eq!(lines[0], format!("PUBACK 3 0x{reason:02x}"));
        assert_eq!(lines.len() == 2, reason == 0, "it comes back");
    }
    world.send(client, &unsubscribe(V5, &longest));
    assert_eq!(world.packets(client), ["UNSUBACK [0]"]);
}

/// Mosquitto counts 200 slashes, between 201 levels.
#[test]
fn levels_are_counted_however_short_they_are() {
    let mut world = World::new(Settings::default());
    let client = world.connect(&hello(V5, "c"));
    for (levels, reason) in [(201, 0x10), (202, 0x90)] {
        let topic = "/".repeat(levels - 1);
        let message = Publish {
            qos: QoS::AtLeastOnce,
            packet_id: 3,
            topic: topic.as_bytes(),
            ..Publish::default()
        };
        world.send(client, &publish(V5, &message));
        assert_eq!(world.packets(client), [format!("PUBACK 3 0x{reason:02x}")]);
    }
}

#[test]
fn bytes_that_wait_for_a_client_that_is_away_are_limited_at_qos_0_too() {
    let mut world = World::new(Settings {
        queue_qos0_messages: true,
        max_queued_bytes: 10_000,
        max_inflight_messages: 1,
        ..Settings::default()
    });
    let lasting = properties(&[(PropertyId::SessionExpiryInterval, 1000)]);
    let connect = Connect {
        clean_start: false,
        properties: Properties::from_encoded(&lasting),
        ..hello(V5, "c")
    };
    let client = world.connect(&connect);
    world.send(client, &subscribe(V5, "#", QoS::AtMostOnce));
    world.cut(client);
    let publisher = world.connect(&hello(V5, "p"));
    let message = Publish {
        topic: b"t",
        payload: &[b'x'; 1000],
        ..Publish::default()
    };
    for _ in 0..30 {
        world.send(publisher, &publish(V5, &message));
    }
    let client = world.connect(&connect);
    let left = world.packets(client).len();
    assert!(left <= 10, "{left} messages of 1000 bytes");
}

#[test]
fn waiting_messages_of_qos_0_keep_no_others_out() {
    let mut world = World::new(Settings {
        queue_qos0_messages: true,
        max_queued_messages: 2,
        ..Settings::default()
    });
    sleeper(&mut world, "c", "#");
    let publisher = world.connect(&hello(V5, "p"));
    for (qos, payload) in ["1", "2", "3"]
        .map(|payload| (QoS::AtMostOnce, payload))
        .into_iter()
        .chain(["alarm", "fire", "flood"].map(|payload| (QoS::AtLeastOnce, payload)))
    {
        let message = Publish {
            qos,
            packet_id: 3,
            topic: b"t",
            payload: payload.as_bytes(),
            ..Publish::default()
        };
        world.send(publisher, &publish(V5, &message));
    }
    let client = lasting(&mut world, "c");
    let expected = ["q0 't' 1", "q0 't' 2", "q1 't' alarm", "q1 't' fire"];
    assert_eq!(
        world.packets(client)[1..],
        expected.map(|what| format!("PUBLISH {what}"))
    );
}

#[test]
fn messages_that_have_expired_in_a_full_queue_make_room() {
    let mut world = World::new(Settings {
        max_inflight_messages: 1,
        max_queued_messages: 3,
        ..Settings::default()
    });
    let lasting = properties(&[(PropertyId::SessionExpiryInterval, 1000)]);
    let connect = Connect {
        clean_start: false,
        properties: Properties::from_encoded(&lasting),
        ..hello(V5, "c")
    };
    let client = world.connect(&connect);
    world.send(client, &subscribe(V5, "#", QoS::AtLeastOnce));
    world.cut(client);
    let publisher = world.connect(&hello(V5, "p"));
    for payload in ["1", "2", "3", "4", "5", "fresh"] {
        let is_fresh = payload == "fresh";
        if is_fresh {
            world.pass(10_000);
        }
        let message = Publish {
            qos: QoS::AtLeastOnce,
            packet_id: 3,
            topic: b"t",
            payload: payload.as_bytes(),
            expiry_s: (!is_fresh).then_some(5),
            ..Publish::default()
        };
        world.send(publisher, &publish(V5, &message));
    }
    let client = world.connect(&connect);
    assert_eq!(world.packets(client), ["PUBLISH q1 't' fresh"]);
}

#[test]
fn a_large_packet_on_a_slow_network_keeps_its_client_alive_and_a_trickle_does_not() {
    for (piece, is_alive) in [(5000, true), (500, false)] {
        let mut world = World::new(Settings::default());
        let connect = Connect {
            keep_alive_s: 10,
            ..hello(V5, "c")
        };
        let client = world.connect(&connect);
        let message = Publish {
            qos: QoS::AtLeastOnce,
            packet_id: 3,
            topic: b"t",
            payload: &vec![b'x'; 30_000],
            ..Publish::default()
        };
        for part in publish(V5, &message).chunks(piece) {
            world.send(client, part);
            world.pass(9_000);
            if world.links[client].is_closed {
                break;
            }
        }
        assert_eq!(world.links[client].is_closed, !is_alive, "{piece}");
        let last = world.packets(client).pop();
        let wanted = ["DISCONNECT 0x8d", "PUBACK 3 0x10"][usize::from(is_alive)];
        assert_eq!(last.as_deref(), Some(wanted));
    }
}

#[test]
fn share_groups_on_one_filter_are_found_and_taken_out_by_name() {
    let mut world = World::new(Settings::default());
    let client = world.connect(&hello(V5, "c"));
    for n in 0..3000 {
        let filter = format!("$share/{n}/t");
        world.send(client, &subscribe(V5, &filter, QoS::AtMostOnce));
    }
    let message = Publish {
        topic: b"t",
        ..Publish::default()
    };
    // First, last, in the middle, then all that have an even number.
    let mut left = 3000;
    for n in [0, 2999, 1501].into_iter().chain((2..3000).step_by(2)) {
        let packet = unsubscribe(V5, &format!("$share/{n}/t"));
        world.send(client, &packet);
        world.send(client, &packet);
        left -= 1;
    }
    world.packets(client);
    world.send(client, &publish(V5, &message));
    assert_eq!(world.packets(client).len(), left);
    world.cut(client);
    let other = world.connect(&hello(V5, "d"));
    world.send(other, &publish(V5, &message));
    assert!(world.broker.subscriptions.groups.is_empty());
    assert!(world.broker.subscriptions.groups_by_name.is_empty());
}

#[test]
fn a_client_that_is_not_read_from_is_alive_as_long_as_it_reads() {
    for (room, is_alive) in [(100, true), (0, false)] {
        let mut world = World::new(Settings::default());
        let connect = Connect {
            keep_alive_s: 10,
            ..hello(V5, "c")
        };
        let client = world.connect(&connect);
        world.links[client].room = 0;
        world.send(client, &[0xc0, 0].repeat(5000));
        assert!(!world.broker.takes_input(world.links[client].conn));
        for _ in 0..4 {
            if !world.links[client].is_closed {
                world.take(client, room);
                world.pass(9_000);
            }
        }
        assert_eq!(world.links[client].is_closed, !is_alive);
        if is_alive {
            world.take(client, usize::MAX);
            assert_eq!(world.packets(client).len(), 5000);
        }
    }
}

#[test]
fn filters_of_very_many_levels_or_bytes_count_several_times() {
    let mut world = World::new(Settings {
        max_subscriptions_per_client: 100,
        ..Settings::default()
    });
    let client = world.connect(&hello(V5, "c"));
    let deep = |n: usize| format!("{n}{}", "/+".repeat(199));
    let long = |n: usize| format!("{n}{}", "x".repeat(20 * 1024 - 2));
    for filter in [deep, long] {
        let mut codes = Vec::new();
        for n in 1..=6 {
            world.send(client, &subscribe(V5, &filter(n), QoS::AtMostOnce));
            codes.extend(world.packets(client));
        }
        assert_eq!(codes[4..], ["SUBACK [0]", "SUBACK [151]"]);
        for n in 1..=5 {
            world.send(client, &unsubscribe(V5, &filter(n)));
            assert_eq!(world.packets(client), ["UNSUBACK [0]"]);
        }
    }
}

#[test]
fn properties_of_a_message_are_limited_in_number_and_bytes() {
    let mut world = World::new(Settings::default());
    let client = world.connect(&hello(Version::V5, "c"));
    let reader = world.connect(&hello(Version::V5, "r"));
    world.send(reader, &subscribe(Version::V5, "t", QoS::AtMostOnce));
    world.packets(reader);
    let users = |count: usize, len: usize| {
        let value = "x".repeat(len);
        bytes(|out| {
            for _ in 0..count {
                PropertyId::UserProperty.encode(Value::Pair("k", &value), out);
            }
        })
    };
    for (raw, answer) in [
        (users(64, 0), 0x00),
        (users(65, 0), 0x97),
        (users(1, 8000), 0x00),
        (users(1, 8192), 0x97),
    ] {
        let message = Publish {
            qos: QoS::AtLeastOnce,
            packet_id: 3,
            topic: b"t",
            properties: Properties::from_encoded(&raw),
            ..Publish::default()
        };
        world.send(client, &publish(Version::V5, &message));
        let expected = format!("PUBACK 3 0x{answer:02x}");
        assert_eq!(world.packets(client), [expected], "{} bytes", raw.len());
        assert_eq!(world.packets(reader).len(), usize::from(answer == 0));
    }
}

/// A message that came in as large as can be gets larger with a property length, an identifier or
/// a longer topic; no Remaining Length says that.
#[test]
fn no_client_gets_a_packet_larger_than_there_can_be() {
    let largest = REMAINING_LENGTH_MAX + 5;
    let sizes = [None, Some(30), Some(largest as u32 + 1), Some(u32::MAX)];
    for (version, asked) in [(Version::V311, None)]
        .into_iter()
        .chain(sizes.map(|s| (V5, s)))
    {
        let mut world = World::new(Settings::default());
        let limits = asked.map(|size| properties(&[(PropertyId::MaximumPacketSize, size)]));
        let connect = Connect {
            properties: Properties::from_encoded(limits.as_deref().unwrap_or_default()),
            ..hello(version, "c")
        };
        let client = world.connect(&connect);
        let conn = world.links[client].conn;
        let max = if asked == Some(30) { 30 } else { largest };
        assert!(world.broker.fits(conn, max), "{asked:?}");
        assert!(!world.broker.fits(conn, max + 1), "{asked:?}");
    }
}
