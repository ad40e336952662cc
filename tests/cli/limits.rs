//! The directives that set limits, seen from a client.

use crate::harness::broker::peer_broker;
use crate::harness::raw::{Connect, Raw, publish, subscribe};
use crate::harness::{Broker, Kind};

/// The properties of an MQTT 5 CONNACK, as bytes.
fn properties(broker: &Broker, connect: &Connect) -> (u8, Vec<u8>) {
    let (_, answer) = Raw::sign_in(broker, &connect.clone().v5());
    (answer[3], answer[5..].to_vec())
}

fn holds(properties: &[u8], property: &[u8]) -> bool {
    properties.windows(property.len()).any(|w| w == property)
}

#[test]
fn what_an_mqtt_5_client_is_told() {
    let broker = Broker::open(Kind::Midge);
    let (code, told) = properties(&broker, &Connect::new(""));
    assert_eq!(code, 0);
    assert!(
        holds(&told, &[0x22, 0, 10]),
        "Topic Alias Maximum 10: {told:02x?}"
    );
    assert!(
        holds(&told, &[0x21, 0, 20]),
        "Receive Maximum 20: {told:02x?}"
    );
    assert!(
        holds(&told, b"\x12\x00\x29auto-"),
        "Assigned Client Identifier: {told:02x?}"
    );
    if !peer_broker("no limit in 2.0") {
        let limit = 2_000_000_u32.to_be_bytes();
        assert!(holds(&told, &[&[0x27][..], &limit].concat()), "{told:02x?}");
    }
}

#[test]
fn an_empty_id() {
    let broker = Broker::open_with(Kind::Midge, "auto_id_prefix my-\n");
    let _raw = Raw::welcome(&broker, &Connect::new(""));
    broker.logs(" as my-");
    let (_, answer) = Raw::sign_in(&broker, &Connect::new("").keep_session());
    assert_eq!(answer[3], 2, "an empty id with a kept session is refused");
    let broker = Broker::open_with(Kind::Midge, "allow_zero_length_clientid false\n");
    assert_eq!(Raw::sign_in(&broker, &Connect::new("")).1[3], 2);
    if !peer_broker("2.0.11 has no word for why") {
        assert_eq!(properties(&broker, &Connect::new("")).0, 0x85);
    }
}

#[test]
fn clientid_prefixes() {
    let broker = Broker::open_with(Kind::Midge, "clientid_prefixes good-\n");
    assert_eq!(Raw::sign_in(&broker, &Connect::new("good-1")).1[3], 0);
    assert_ne!(Raw::sign_in(&broker, &Connect::new("bad-1")).1[3], 0);
}

#[test]
fn max_keepalive() {
    let broker = Broker::open_with(Kind::Midge, "max_keepalive 30\n");
    let (code, told) = properties(&broker, &Connect::new("x"));
    assert_eq!(code, 0);
    assert!(
        holds(&told, &[0x13, 0, 30]),
        "Server Keep Alive: {told:02x?}"
    );
    if !peer_broker("2.0.11 lets MQTT 3 have its way") {
        assert_eq!(Raw::sign_in(&broker, &Connect::new("x")).1[3], 2);
    }
    assert_eq!(
        Raw::sign_in(&broker, &Connect::new("x").keep_alive(30)).1[3],
        0
    );
}

#[test]
fn retain_available() {
    let broker = Broker::open_with(Kind::Midge, "retain_available false\n");
    let (_, told) = properties(&broker, &Connect::new("x"));
    assert!(holds(&told, &[0x25, 0]), "{told:02x?}");
    let mut raw = Raw::welcome(&broker, &Connect::new("x"));
    raw.send(&publish(0x31, "a", 0, b"x"));
    raw.closed();
}

#[test]
fn message_size_limit() {
    let broker = Broker::open_with(Kind::Midge, "message_size_limit 10\n");
    let mut raw = Raw::welcome(&broker, &Connect::new("x"));
    raw.send(&subscribe("#", 0));
    raw.receive();
    raw.send(&publish(0x32, "a", 1, &[b'x'; 11]));
    assert_eq!(raw.receive(), [0x40, 2, 0, 1], "acknowledged and dropped");
    raw.send(&publish(0x32, "a", 2, &[b'x'; 10]));
    let two = [raw.receive(), raw.receive()];
    assert!(two.contains(&vec![0x40, 2, 0, 2]), "{two:02x?}");
    assert!(
        two.contains(&publish(0x30, "a", 0, &[b'x'; 10])),
        "{two:02x?}"
    );
}

#[test]
fn upgrade_outgoing_qos() {
    let broker = Broker::open_with(Kind::Midge, "upgrade_outgoing_qos true\n");
    let mut raw = Raw::welcome(&broker, &Connect::new("x"));
    raw.send(&subscribe("a", 2));
    raw.receive();
    raw.send(&publish(0x30, "a", 0, b"x"));
    assert_eq!(raw.receive(), publish(0x34, "a", 1, b"x"));
}

#[test]
fn queue_qos0_messages() {
    let broker = Broker::open_with(Kind::Midge, "queue_qos0_messages true\n");
    let connect = Connect::new("away").keep_session();
    let mut away = Raw::welcome(&broker, &connect);
    away.send(&subscribe("a", 1));
    away.receive();
    away.send(&[0xe0, 0]);
    away.closed();
    let mut writer = Raw::welcome(&broker, &Connect::new("writer"));
    writer.send(&publish(0x30, "a", 0, b"kept"));
    writer.send(&[0xc0, 0]);
    writer.receive();
    let (mut back, answer) = Raw::sign_in(&broker, &connect);
    assert_eq!(answer, [0x20, 2, 1, 0]);
    assert_eq!(back.receive(), publish(0x30, "a", 0, b"kept"));
}

/// `max_inflight_messages`: no more unacknowledged messages at once than that.
#[test]
fn max_inflight_messages() {
    let broker = Broker::open_with(Kind::Midge, "max_inflight_messages 2\n");
    let mut raw = Raw::welcome(&broker, &Connect::new("x"));
    raw.send(&subscribe("a", 1));
    raw.receive();
    let mut writer = Raw::welcome(&broker, &Connect::new("writer"));
    for id in 1..=5_u16 {
        writer.send(&publish(0x32, "a", id, &[b'0' + id as u8]));
        writer.receive();
    }
    for id in 1..=2 {
        assert_eq!(raw.receive(), publish(0x32, "a", id, &[b'0' + id as u8]));
    }
    raw.send(&[0xc0, 0]);
    assert_eq!(raw.receive(), [0xd0, 0], "and no third one");
    for id in 1..=3_u16 {
        raw.send(&[0x40, 2, 0, id as u8]);
        let next = id + 2;
        assert_eq!(
            raw.receive(),
            publish(0x32, "a", next, &[b'0' + next as u8])
        );
    }
}

/// `max_queued_messages`: the newest are dropped, the oldest wait.
#[test]
fn max_queued_messages() {
    let broker = Broker::open_with(
        Kind::Midge,
        "max_queued_messages 3\nmax_inflight_messages 1\n",
    );
    let connect = Connect::new("away").keep_session();
    let mut away = Raw::welcome(&broker, &connect);
    away.send(&subscribe("a", 1));
    away.receive();
    away.send(&[0xe0, 0]);
    away.closed();
    let mut writer = Raw::welcome(&broker, &Connect::new("writer"));
    for id in 1..=9_u16 {
        writer.send(&publish(0x32, "a", id, &[b'0' + id as u8]));
        writer.receive();
    }
    let (mut back, _) = Raw::sign_in(&broker, &connect);
    let mut seen = Vec::new();
    for id in 1..=9 {
        // An answer to a ping may overtake a message, the answer to the next one may not.
        let mut message = None;
        for _ in 0..2 {
            back.send(&[0xc0, 0]);
            loop {
                let packet = back.receive();
                if packet[0] == 0xd0 {
                    break;
                }
                message = packet.last().copied();
            }
        }
        let Some(message) = message else { break };
        seen.push(message);
        back.send(&[0x40, 2, 0, id]);
    }
    assert!(seen.is_sorted() && seen.first() == Some(&b'1'), "{seen:?}");
    assert!((3..=4).contains(&seen.len()), "{seen:?}");
}

/// `persistent_client_expiration` ends sessions that stay away; here only that it is understood.
#[test]
fn units_of_expiration() {
    for unit in ["1h", "2d", "3w", "4m", "5y"] {
        let broker = Broker::open_with(
            Kind::Midge,
            &format!("persistent_client_expiration {unit}\n"),
        );
        let _raw = Raw::welcome(&broker, &Connect::new("x").keep_session());
    }
}
