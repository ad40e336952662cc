//! A server that breaks the rules, does not answer, or sends noise.

use super::*;

#[test]
fn answers_that_do_not_fit_a_request_are_faults() {
    for answer in [
        &b"\x90\x03\0\x02\0"[..],
        b"\x90\x04\0\x01\0\0",
        b"\x90\x02\0\x01",
        b"\x90\x03\0\x01\x03",
        b"\x90\x01\0",
        b"\x90\0",
        b"\xb0\x02\0\x01",
        b"\x90\x03\0\0\0",
    ] {
        let mut client = connected(Version::V311);
        subscribe(&mut client, &["a"]);
        assert!(feed(&mut client, answer).is_err(), "{answer:?}");
        assert!(client.is_ended());
    }
    let mut client = connected(Version::V5);
    client.unsubscribe(&["a", "b"], &[]).unwrap();
    assert!(feed(&mut client, b"\xb0\x04\0\x01\0\0").is_err());
}

#[test]
fn keep_alive_pings_and_gives_up() {
    let mut client = connected(Version::V311);
    assert_eq!(client.poll_timeout(), Some(60_000));
    assert_eq!(client.timeout(59_999), Ok(()));
    assert_eq!(client.transmit(), b"");
    assert_eq!(client.timeout(60_000), Ok(()));
    assert_eq!(client.transmit(), b"\xc0\0");
    client.sent(2, 60_000);
    assert_eq!(client.poll_timeout(), Some(120_000));
    assert!(client.receive(b"\xd0\0", 60_500).unwrap().event.is_none());
    assert_eq!(client.poll_timeout(), Some(120_000), "since we sent");
    assert_eq!(client.timeout(120_000), Ok(()));
    client.sent(2, 120_000);
    assert_eq!(client.timeout(179_999), Ok(()));
    assert_eq!(client.timeout(180_000), Err(Fault::KeepAlive));
    assert!(client.is_ended());
}

#[test]
fn a_server_that_does_not_answer_connect_is_given_up() {
    let mut client = Client::new(options(Version::V311));
    client.opened(1000);
    sent(&mut client);
    assert_eq!(client.poll_timeout(), Some(61_000));
    assert_eq!(client.timeout(61_000), Err(Fault::NoConnAck));
}

#[test]
fn packets_that_make_no_sense_are_faults() {
    for (bytes, reason) in [
        (&b"\x20\x02\0\0"[..], ReasonCode::PROTOCOL_ERROR),
        (b"\x10\0", ReasonCode::PROTOCOL_ERROR),
        (b"\x82\x05\0\x01\0\0\0", ReasonCode::PROTOCOL_ERROR),
        (b"\xc0\0", ReasonCode::PROTOCOL_ERROR),
        (b"\xe0\0", ReasonCode::PROTOCOL_ERROR),
        (b"\xf0\0", ReasonCode::MALFORMED_PACKET),
        (b"\x00\0", ReasonCode::MALFORMED_PACKET),
        (b"\x36\x06\0\x01t\0\x07x", ReasonCode::MALFORMED_PACKET),
        (b"\x32\x05\0\x01t\0\0", ReasonCode::PROTOCOL_ERROR),
        (b"\x30\x02\0\0", ReasonCode::PROTOCOL_ERROR),
        (b"\x30\x03\0\x01#", ReasonCode::TOPIC_NAME_INVALID),
        (b"\x41\x02\0\x01", ReasonCode::MALFORMED_PACKET),
        (b"\x40\x03\0\x01\0", ReasonCode::MALFORMED_PACKET),
        (b"\xd0\x01\0", ReasonCode::MALFORMED_PACKET),
        (b"\x30\xff\xff\xff\xff", ReasonCode::MALFORMED_PACKET),
    ] {
        let mut client = connected(Version::V311);
        let fault = client.receive(bytes, 0).unwrap_err();
        assert_eq!(reason_of(fault), reason, "{bytes:?}");
        assert!(client.is_ended());
        assert_eq!(client.transmit(), b"", "3.1.1 just closes");
    }
}

#[test]
fn connack_comes_first_and_once() {
    let mut client = Client::new(options(Version::V311));
    client.opened(0);
    assert!(client.receive(b"\x30\x03\0\x01t", 0).is_err());
    // A clean start leaves no session [MQTT-3.2.2-2].
    let mut client = Client::new(options(Version::V311));
    client.opened(0);
    assert!(client.receive(CONNACK_PRESENT, 0).is_err());
}

/// A server that does not speak our version says so in the form of its own.
#[test]
fn a_connack_of_another_version_refuses_ours() {
    for (version, connack, refuses) in [
        (Version::V5, &b"\x20\x02\0\x01"[..], true),
        (Version::V5, b"\x20\x02\0\0", false),
        (Version::V5, b"\x20\x02\0\x05", false),
        (Version::V5, b"\x20\x02\x01\x01", false),
        (Version::V311, b"\x20\x03\0\x84\0", true),
        (Version::V31, b"\x20\x06\0\x84\x03\x1f\0\0", true),
        // A return code that MQTT 3 does not have, and a refusal all the same.
        (Version::V311, b"\x20\x02\0\x84", true),
        (Version::V311, b"\x20\x03\0\x87\0", false),
        (Version::V311, b"\x20\x03\0\0\0", false),
    ] {
        let mut client = Client::new(options(version));
        client.opened(0);
        let answer = feed(&mut client, connack).ok();
        let expected = refuses.then(|| "refused 132".to_owned());
        assert_eq!(answer, expected, "{version:?} {connack:?}");
        assert!(client.is_ended());
    }
}

#[test]
fn acknowledgements_out_of_turn_are_faults() {
    for (qos, ack) in [
        (QoS::AtLeastOnce, &b"\x50\x02\0\x01"[..]),
        (QoS::AtLeastOnce, b"\x70\x02\0\x01"),
        (QoS::ExactlyOnce, b"\x40\x02\0\x01"),
        (QoS::ExactlyOnce, b"\x70\x02\0\x01"),
    ] {
        let mut client = connected(Version::V311);
        publish(&mut client, qos, "x").unwrap();
        assert!(feed(&mut client, ack).is_err(), "{qos:?} {ack:?}");
    }
    let mut client = connected(Version::V311);
    feed(&mut client, b"\x34\x06\0\x01t\0\x07x").unwrap();
    assert!(feed(&mut client, b"\x62\x02\0\x07").is_err());
}

#[test]
fn a_packet_too_large_is_refused_by_its_header() {
    let mut properties = Vec::new();
    PropertyId::MaximumPacketSize.encode(Value::Integer(100), &mut properties);
    let options = Options {
        properties,
        ..options(Version::V5)
    };
    let mut client = connected_with(options, CONNACK_5);
    assert_eq!(client.receive(b"\x30\x62", 0).unwrap().consumed, 0);
    let fault = client.receive(b"\x30\x63", 0).unwrap_err();
    assert_eq!(reason_of(fault), ReasonCode::PACKET_TOO_LARGE);
    assert_eq!(sent(&mut client), b"\xe0\x01\x95");
}

#[test]
fn a_server_beyond_our_receive_maximum_is_told() {
    let mut properties = Vec::new();
    PropertyId::ReceiveMaximum.encode(Value::Integer(1), &mut properties);
    let options = Options {
        properties,
        ..options(Version::V5)
    };
    let mut client = connected_with(options, CONNACK_5);
    feed(&mut client, b"\x34\x06\0\x01t\0\x07\0").unwrap();
    client.acknowledge(7, QoS::ExactlyOnce, ReasonCode::SUCCESS);
    let fault = feed(&mut client, b"\x32\x06\0\x01t\0\x08\0").unwrap_err();
    assert_eq!(reason_of(fault), ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
}

#[test]
fn acknowledgements_for_a_deaf_server_are_bounded() {
    let mut client = connected(Version::V311);
    let mut fault = None;
    for _ in 0..10_000_000 {
        if let Err(error) = client.receive(b"\x62\x02\0\x07", 0) {
            fault = Some(error);
            break;
        }
    }
    assert_eq!(fault, Some(Fault::Backlog));
    assert!(client.transmit().len() < 5 << 20);
}

/// Every packet a server may send, cut at every byte: nothing is consumed before the packet is
/// whole, and no cut does any harm.
#[test]
fn every_packet_may_come_in_pieces() {
    let packets: [&[u8]; 9] = [
        b"\x90\x04\0\x01\0\0",
        b"\xb0\x04\0\x02\0\0",
        b"\x30\x05\0\x01t\0x",
        b"\x32\x07\0\x01t\0\x07\0x",
        b"\x40\x03\0\x03\x10",
        b"\x50\x03\0\x04\x10",
        b"\x70\x02\0\x04",
        b"\xd0\0",
        b"\xe0\x06\x8b\x04\x1f\0\x01x",
    ];
    let mut client = connected(Version::V5);
    subscribe(&mut client, &["a"]);
    client.unsubscribe(&["a"], &[]).unwrap();
    publish(&mut client, QoS::AtLeastOnce, "x").unwrap();
    publish(&mut client, QoS::ExactlyOnce, "x").unwrap();
    for packet in packets {
        for end in 0..packet.len() {
            assert_eq!(client.receive(&packet[..end], 0).unwrap().consumed, 0);
        }
        feed(&mut client, packet).unwrap();
    }
    assert!(client.is_ended());
}

/// Seeded noise, and packets with a byte changed: an event, a fault or a wait, never a panic.
#[test]
fn noise_does_no_harm() {
    let mut random = fastrand::Rng::with_seed(5);
    let good: [&[u8]; 6] = [
        b"\x20\x09\0\0\x06\x12\0\x03abc",
        b"\x30\x08\0\x01a\x03\x23\0\x01x",
        b"\x34\x07\0\x01t\0\x07\0x",
        b"\x90\x04\0\x01\0\0",
        b"\x50\x03\0\x02\x10",
        b"\xe0\x06\x8b\x04\x1f\0\x01x",
    ];
    for _ in 0..20_000 {
        let version = [Version::V31, Version::V311, Version::V5][random.usize(..3)];
        let mut client = Client::new(options(version));
        client.opened(0);
        let connack = if version == Version::V5 {
            CONNACK_5
        } else {
            CONNACK_311
        };
        if random.u8(..) > 10 {
            feed(&mut client, connack).unwrap();
            subscribe(&mut client, &["a"]);
            publish(&mut client, QoS::ExactlyOnce, "x").unwrap();
        }
        let mut bytes: Vec<u8> = (0..4)
            .flat_map(|_| good[random.usize(..6)].to_vec())
            .collect();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let mut rest = &bytes[..];
        while let Ok(received) = client.receive(rest, 0) {
            if received.consumed == 0 || rest.is_empty() {
                break;
            }
            rest = &rest[received.consumed..];
        }
        assert!(client.transmit().len() < 1000);
    }
}
