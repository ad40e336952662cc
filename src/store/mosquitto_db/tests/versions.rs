//! What each version says.

use super::*;
use crate::wire::{PropertyId, RetainHandling, Value};

fn hello<'a>() -> Message<'a> {
    Message {
        store_id: 77,
        topic: b"t/1",
        payload: b"hello",
        qos: QoS::ExactlyOnce,
        retain: true,
        expires_at_s: None,
        source_id: b"pub",
        source_username: None,
        source_port: None,
        source_packet_id: 321,
        properties: Properties::default(),
    }
}

fn abc<'a>() -> Client<'a> {
    Client {
        id: b"abc",
        username: None,
        listener_port: None,
        session_expiry_interval_s: u32::MAX,
        expires_at_s: None,
        left_at_s: None,
        last_packet_id: 9,
    }
}

#[test]
fn versions_5_and_6_differ_in_the_client_only() {
    for version in [5, 6] {
        let file = new_file(version);
        let db = file.read_whole();
        assert_eq!(db.version, version);
        assert!(db.at_stop);
        let message = Message {
            expires_at_s: Some(1_700_000_300),
            source_username: Some(b"me"),
            source_port: Some(8883),
            properties: db.messages[0].properties,
            ..hello()
        };
        assert_eq!(db.messages, [message]);
        let properties: Vec<_> = message.properties.iter().map(|p| (p.id, p.value)).collect();
        let correlation = (PropertyId::CorrelationData, Value::Binary(&[7, 8]));
        assert_eq!(properties, [correlation]);
        let client = Client {
            username: (version == 6).then_some(b"anna"),
            listener_port: (version == 6).then_some(1883),
            session_expiry_interval_s: 3600,
            expires_at_s: Some(1_700_000_000),
            ..abc()
        };
        assert_eq!(db.clients, [client]);
        let delivery = ClientMessage {
            client_id: b"abc",
            store_id: 77,
            packet_id: 9,
            qos: QoS::AtLeastOnce,
            retain: true,
            dup: true,
            direction: Direction::Out,
            stage: Stage::AwaitPubAck,
            subscription_id: Some(4),
        };
        assert_eq!(db.client_messages, [delivery]);
        let subscription = Subscription {
            client_id: b"abc",
            filter: b"t/#",
            options: SubscriptionOptions {
                qos: QoS::AtLeastOnce,
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::Never,
            },
            id: Some(4),
        };
        assert_eq!(db.subscriptions, [subscription]);
        assert_eq!(db.retained, [77]);
    }
}

#[test]
fn versions_2_to_4_each_added_something() {
    for version in [2, 3, 4] {
        let file = old_file(version);
        let db = file.read_whole();
        assert_eq!(db.version, version);
        assert!(!db.at_stop);
        let message = Message {
            source_username: (version == 4).then_some(b"me"),
            source_port: (version == 4).then_some(8883),
            ..hello()
        };
        assert_eq!(db.messages, [message]);
        let left_at_s = [None, Some(1_400_000_000), Some(1_500_000_000)][version as usize - 2];
        assert_eq!(db.clients, [Client { left_at_s, ..abc() }]);
        let held = ClientMessage {
            client_id: b"abc",
            store_id: 77,
            packet_id: 9,
            qos: QoS::ExactlyOnce,
            retain: false,
            dup: true,
            direction: Direction::In,
            stage: Stage::AwaitPubRel,
            subscription_id: None,
        };
        assert_eq!(db.client_messages, [held]);
        let subscription = Subscription {
            client_id: b"abc",
            filter: b"t/#",
            options: SubscriptionOptions {
                qos: QoS::AtLeastOnce,
                ..SubscriptionOptions::default()
            },
            id: None,
        };
        assert_eq!(db.subscriptions, [subscription]);
        assert_eq!(db.retained, [77]);
    }
}

#[test]
fn a_file_with_nothing_in_it_is_empty() {
    for version in 2..=6 {
        let file = File::new(version);
        let nothing = Database {
            version,
            ..Database::default()
        };
        assert_eq!(file.read(), nothing);
    }
}

#[test]
fn other_files_and_versions_are_unreadable() {
    let said = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert_eq!(said(b""), "byte 0: a header of 23 bytes expected, 0 there");
    let cut = &File::new(6).bytes[..22];
    assert_eq!(said(cut), "byte 0: a header of 23 bytes expected, 22 there");
    assert_eq!(
        said(b"SQLite format 3\0 and more of it"),
        "byte 0: not a database of Mosquitto's"
    );
    for version in [0, 1, 7, u32::MAX] {
        assert_eq!(
            read(&File::new(version).bytes),
            Err(Unreadable::Version(version))
        );
    }
}

#[test]
fn times_are_read_in_either_byte_order() {
    let ends = |time: [u8; 8]| {
        let file = File::new(5).chunk(6, &[&time, &four(60), &two(1), &two(1), b"x"]);
        file.read_whole().clients[0].expires_at_s
    };
    for seconds in [1, 1_700_000_000, u64::from(u32::MAX), 0x1_6543_2100] {
        assert_eq!(ends(seconds.to_le_bytes()), Some(seconds));
        assert_eq!(ends(seconds.to_be_bytes()), Some(seconds));
    }
    assert_eq!(ends([0; 8]), None);
    assert_eq!(ends([0xff; 8]), None, "before 1970");

    let left = |time: [u8; 4]| {
        let file = File::new(3).chunk(6, &[&string("x"), &two(1), &time]);
        file.read_whole().clients[0].left_at_s
    };
    for seconds in [1_300_000_000_u32, 1_400_000_001, 1_577_836_800] {
        assert_eq!(left(seconds.to_le_bytes()), Some(seconds.into()));
        assert_eq!(left(seconds.to_be_bytes()), Some(seconds.into()));
    }
    assert_eq!(left([0; 4]), None);
    assert_eq!(left([0xff; 4]), None);
}

#[test]
fn structures_end_with_the_padding_of_their_machine() {
    for padding in [2, 6] {
        let file = File::new(6).chunk(1, &[&eight(1), &[1], &[8], &vec![0; padding]]);
        assert!(file.read_whole().at_stop);
    }
    for (padding, fits) in [(0, true), (2, false), (4, true), (8, false)] {
        let parts: &[&[u8]] = &[
            &eight(0),
            &four(60),
            &two(1),
            &two(1),
            &two(0),
            &two(2),
            &vec![0; padding],
            b"x",
            b"me",
        ];
        let file = File::new(6).chunk(6, parts);
        let db = file.read();
        assert_eq!(db.damage.is_none(), fits, "{padding} bytes");
        assert_eq!(db.clients.len(), usize::from(fits));
        if fits {
            assert_eq!(db.clients[0].username, Some(&b"me"[..]));
        }
    }
}

#[test]
fn an_old_length_that_is_wrong_is_believed_less_than_what_follows() {
    for wrong in [0, 6, 9, 4000] {
        let file = File::new(4)
            .chunk_of(4, wrong, &[&eight(5)])
            .chunk(4, &[&eight(6)])
            .chunk_of(4, wrong, &[&eight(7)]);
        assert_eq!(file.read_whole().retained, [5, 6, 7]);
    }
    let file = File::new(4)
        .chunk_of(4, 10, &[&eight(5), &[0, 9]])
        .chunk(4, &[&eight(6)]);
    let db = file.read();
    assert!(db.retained.is_empty());
    assert_eq!(
        db.damage.unwrap().to_string(),
        "byte 29: the body of a chunk of 10 bytes expected, 8 there"
    );
}

#[test]
fn kinds_that_are_not_known_are_skipped_by_their_length() {
    for version in 2..=6 {
        let file = File::new(version)
            .chunk(4, &[&eight(1)])
            .chunk(7, &[b"something of a later day"])
            .chunk(0, &[])
            .chunk(0xffff, &[&[0; 300]])
            .chunk(4, &[&eight(2)]);
        let db = file.read();
        assert_eq!(db.retained, [1, 2]);
        assert_eq!((db.unknown, db.refused, db.damage), (3, 0, None));
    }
}
