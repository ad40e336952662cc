//! The machine against a scripted server: bytes in, bytes and events out.

mod hostile;

use super::*;
use crate::wire::{
    Properties, PropertyId, Publish, QoS, REMAINING_LENGTH_MAX, ReasonCode, SubscribeFilter,
    SubscriptionOptions, Value, Version,
};

const CONNACK_311: &[u8] = b"\x20\x02\0\0";
const CONNACK_PRESENT: &[u8] = b"\x20\x02\x01\0";
const CONNACK_5: &[u8] = b"\x20\x03\0\0\0";

fn options(version: Version) -> Options {
    Options {
        version,
        client_id: "me".to_owned(),
        ..Options::default()
    }
}

/// What the client wants to send, taken off it.
fn sent(client: &mut Client) -> Vec<u8> {
    let bytes = client.transmit().to_vec();
    client.sent(bytes.len(), 0);
    bytes
}

/// Feeds one packet and describes the event.
fn feed(client: &mut Client, bytes: &[u8]) -> Result<String, Fault> {
    let received = client.receive(bytes, 0)?;
    assert_eq!(received.consumed, bytes.len(), "one packet, and all of it");
    Ok(match received.event {
        None => String::new(),
        Some(Event::Connected(ack)) => format!("connected {}", ack.session_present),
        Some(Event::Refused(ack)) => format!("refused {}", ack.reason.0),
        Some(Event::Message(m)) => format!(
            "message {} {} q{} m{} d{}",
            String::from_utf8_lossy(m.topic),
            String::from_utf8_lossy(m.payload),
            m.qos as u8,
            m.packet_id,
            u8::from(m.dup)
        ),
        Some(Event::Published {
            packet_id, reason, ..
        }) => format!("published {packet_id} {}", reason.0),
        Some(Event::Subscribed(ack)) => format!("subscribed {} {:?}", ack.packet_id, ack.codes),
        Some(Event::Unsubscribed(ack)) => format!("unsubscribed {}", ack.packet_id),
        Some(Event::Disconnected(packet)) => format!("disconnected {}", packet.reason.0),
    })
}

/// A client whose connection was accepted.
fn connected_with(options: Options, connack: &[u8]) -> Client {
    let mut client = Client::new(options);
    client.opened(0);
    assert_eq!(sent(&mut client)[0], 0x10);
    assert!(feed(&mut client, connack).unwrap().starts_with("connected"));
    assert!(client.is_open());
    client
}

fn connected(version: Version) -> Client {
    let connack = if version == Version::V5 {
        CONNACK_5
    } else {
        CONNACK_311
    };
    connected_with(options(version), connack)
}

fn publish(client: &mut Client, qos: QoS, payload: &str) -> Result<u16, RequestError> {
    client.publish(&Publish {
        qos,
        topic: b"t",
        payload: payload.as_bytes(),
        ..Publish::default()
    })
}

fn subscribe(client: &mut Client, filters: &[&str]) -> u16 {
    let filters: Vec<SubscribeFilter<'_>> = filters
        .iter()
        .map(|filter| SubscribeFilter {
            filter,
            options: SubscriptionOptions::default(),
        })
        .collect();
    client.subscribe(&filters, &[]).unwrap()
}

fn reason_of(fault: Fault) -> ReasonCode {
    match fault {
        Fault::Packet(malformed) => malformed.reason,
        other => panic!("{other:?} is no fault of a packet"),
    }
}

/// The document's CONNECT: clean session, Keep Alive 60, a client id of 19 bytes.
#[test]
fn connect_is_the_document_s() {
    let mut client = Client::new(Options {
        client_id: "mosqsub|1996-202-15".to_owned(),
        ..Options::default()
    });
    client.opened(0);
    let connect = sent(&mut client);
    assert_eq!(&connect[..14], b"\x10\x1f\0\x04MQTT\x04\x02\0\x3c\0\x13");
    assert_eq!(feed(&mut client, CONNACK_311), Ok("connected false".into()));
}

#[test]
fn connect_carries_will_and_sign_in() {
    let mut client = Client::new(Options {
        clean_start: false,
        username: Some("u".to_owned()),
        password: Some(b"p".to_vec()),
        will: Some(Will {
            topic: "w".to_owned(),
            payload: b"z".to_vec(),
            qos: QoS::ExactlyOnce,
            retain: true,
            properties: Vec::new(),
        }),
        ..options(Version::V31)
    });
    client.opened(0);
    let expected = b"\x10\x1c\0\x06MQIsdp\x03\xf4\0\x3c\0\x02me\0\x01w\0\x01z\0\x01u\0\x01p";
    assert_eq!(sent(&mut client), expected);
    // The reserved byte of MQTT 3.1 may be anything.
    assert_eq!(
        feed(&mut client, b"\x20\x02\x02\0"),
        Ok("connected false".into())
    );
}

#[test]
fn a_refusal_ends_the_connection() {
    let mut client = Client::new(options(Version::V311));
    client.opened(0);
    sent(&mut client);
    assert_eq!(feed(&mut client, b"\x20\x02\0\x05"), Ok("refused 5".into()));
    assert!(client.is_ended());
    assert_eq!(client.transmit(), b"");
    let mut client = Client::new(options(Version::V5));
    client.opened(0);
    sent(&mut client);
    assert_eq!(
        feed(&mut client, b"\x20\x03\0\x87\0"),
        Ok("refused 135".into())
    );
}

#[test]
fn qos_0_leaves_and_is_forgotten() {
    let mut client = connected(Version::V311);
    assert_eq!(publish(&mut client, QoS::AtMostOnce, "x"), Ok(1));
    assert_eq!(sent(&mut client), b"\x30\x04\0\x01tx");
    client.finish(ReasonCode::SUCCESS, &[]);
    assert_eq!(sent(&mut client), b"\xe0\0");
    assert!(client.is_ended());
}

#[test]
fn qos_1_is_acknowledged_once() {
    let mut client = connected(Version::V311);
    assert_eq!(publish(&mut client, QoS::AtLeastOnce, "x"), Ok(1));
    assert_eq!(sent(&mut client), b"\x32\x06\0\x01t\0\x01x");
    client.finish(ReasonCode::SUCCESS, &[]);
    assert_eq!(client.transmit(), b"", "PUBACK is missing still");
    assert_eq!(
        feed(&mut client, b"\x40\x02\0\x01"),
        Ok("published 1 0".into())
    );
    assert_eq!(sent(&mut client), b"\xe0\0");
}

#[test]
fn qos_2_goes_through_its_four_packets() {
    let mut client = connected(Version::V311);
    publish(&mut client, QoS::ExactlyOnce, "x").unwrap();
    assert_eq!(sent(&mut client), b"\x34\x06\0\x01t\0\x01x");
    assert_eq!(feed(&mut client, b"\x50\x02\0\x01"), Ok(String::new()));
    assert_eq!(sent(&mut client), b"\x62\x02\0\x01");
    // PUBREC again: PUBREL again.
    assert_eq!(feed(&mut client, b"\x50\x02\0\x01"), Ok(String::new()));
    assert_eq!(sent(&mut client), b"\x62\x02\0\x01");
    assert_eq!(
        feed(&mut client, b"\x70\x02\0\x01"),
        Ok("published 1 0".into())
    );
    // And once more when all is over.
    assert_eq!(feed(&mut client, b"\x50\x02\0\x01"), Ok(String::new()));
    assert_eq!(sent(&mut client), b"\x62\x02\0\x01");
}

#[test]
fn a_refused_publish_is_told_with_its_reason() {
    let mut client = connected(Version::V5);
    publish(&mut client, QoS::AtLeastOnce, "x").unwrap();
    publish(&mut client, QoS::ExactlyOnce, "y").unwrap();
    sent(&mut client);
    let puback = b"\x40\x09\0\x01\x87\x05\x1f\0\x02no";
    let received = client.receive(puback, 0).unwrap();
    assert!(matches!(
        received.event,
        Some(Event::Published {
            packet_id: 1,
            reason: ReasonCode::NOT_AUTHORIZED,
            reason_string: Some("no"),
        })
    ));
    assert_eq!(
        feed(&mut client, b"\x50\x03\0\x02\x97"),
        Ok("published 2 151".into())
    );
    assert_eq!(client.transmit(), b"", "no PUBREL for what was refused");
}

#[test]
fn the_window_is_the_smaller_of_ours_and_the_server_s() {
    let mut client = Client::new(Options {
        inflight_max: 5,
        ..options(Version::V5)
    });
    client.opened(0);
    sent(&mut client);
    feed(&mut client, b"\x20\x06\0\0\x03\x21\0\x02").unwrap();
    publish(&mut client, QoS::AtLeastOnce, "1").unwrap();
    assert!(client.has_room());
    publish(&mut client, QoS::ExactlyOnce, "2").unwrap();
    assert!(!client.has_room());
    assert_eq!(
        publish(&mut client, QoS::AtLeastOnce, "3"),
        Err(RequestError::Busy)
    );
    assert_eq!(
        publish(&mut client, QoS::AtMostOnce, "0"),
        Ok(3),
        "QoS 0 needs no room"
    );
    feed(&mut client, b"\x40\x02\0\x01").unwrap();
    assert_eq!(publish(&mut client, QoS::AtLeastOnce, "3"), Ok(4));
}

#[test]
fn what_the_server_does_not_do_is_not_asked_of_it() {
    let connack = b"\x20\x0c\0\0\x09\x24\x01\x25\0\x27\0\0\0\x20";
    let mut client = connected_with(options(Version::V5), connack);
    assert_eq!(
        publish(&mut client, QoS::ExactlyOnce, "x"),
        Err(RequestError::QosNotSupported)
    );
    let retained = Publish {
        retain: true,
        topic: b"t",
        ..Publish::default()
    };
    assert_eq!(
        client.publish(&retained),
        Err(RequestError::RetainNotSupported)
    );
    let long = "x".repeat(40);
    assert_eq!(
        publish(&mut client, QoS::AtMostOnce, &long),
        Err(RequestError::TooLarge)
    );
    assert_eq!(
        client.unsubscribe(&[&long], &[]),
        Err(RequestError::TooLarge)
    );
    assert_eq!(client.transmit(), b"");
}

#[test]
fn a_server_without_retain_available_keeps_retained_messages() {
    let mut client = connected(Version::V5);
    let retained = Publish {
        retain: true,
        topic: b"t",
        ..Publish::default()
    };
    assert_eq!(client.publish(&retained), Ok(1));
}

#[test]
fn incoming_messages_are_acknowledged_when_the_caller_says_so() {
    let mut client = connected(Version::V311);
    assert_eq!(
        feed(&mut client, b"\x32\x06\0\x01t\0\x07x"),
        Ok("message t x q1 m7 d0".into())
    );
    assert_eq!(client.transmit(), b"");
    client.acknowledge(7, QoS::AtLeastOnce, ReasonCode::SUCCESS);
    assert_eq!(sent(&mut client), b"\x40\x02\0\x07");
    client.acknowledge(7, QoS::AtLeastOnce, ReasonCode::SUCCESS);
    assert_eq!(client.transmit(), b"", "only once");
}

#[test]
fn qos_2_is_delivered_exactly_once() {
    let mut client = connected(Version::V311);
    assert_eq!(
        feed(&mut client, b"\x34\x06\0\x01t\0\x07x"),
        Ok("message t x q2 m7 d0".into())
    );
    client.acknowledge(7, QoS::ExactlyOnce, ReasonCode::SUCCESS);
    assert_eq!(sent(&mut client), b"\x50\x02\0\x07");
    // The server did not get it and sends the message again.
    assert_eq!(
        feed(&mut client, b"\x3c\x06\0\x01t\0\x07x"),
        Ok(String::new())
    );
    assert_eq!(sent(&mut client), b"\x50\x02\0\x07");
    client.finish(ReasonCode::SUCCESS, &[]);
    assert_eq!(client.transmit(), b"", "PUBREL is missing still");
    assert_eq!(feed(&mut client, b"\x62\x02\0\x07"), Ok(String::new()));
    assert_eq!(sent(&mut client), b"\x70\x02\0\x07\xe0\0");
}

#[test]
fn an_unknown_pubrel_is_answered_all_the_same() {
    let mut client = connected(Version::V5);
    assert_eq!(feed(&mut client, b"\x62\x02\0\x09"), Ok(String::new()));
    assert_eq!(sent(&mut client), b"\x70\x02\0\x09");
}

#[test]
fn a_refused_incoming_message_needs_no_pubrel() {
    let mut client = connected(Version::V5);
    feed(&mut client, b"\x34\x07\0\x01t\0\x07\0x").unwrap();
    client.acknowledge(7, QoS::ExactlyOnce, ReasonCode::NOT_AUTHORIZED);
    assert_eq!(sent(&mut client), b"\x50\x03\0\x07\x87");
    assert_eq!(
        feed(&mut client, b"\x34\x07\0\x01t\0\x07\0y"),
        Ok("message t y q2 m7 d0".into())
    );
}

#[test]
fn while_finishing_nothing_is_delivered_nor_acknowledged() {
    let mut client = connected(Version::V311);
    publish(&mut client, QoS::AtLeastOnce, "x").unwrap();
    client.finish(ReasonCode::SUCCESS, &[]);
    sent(&mut client);
    assert_eq!(
        feed(&mut client, b"\x32\x06\0\x01t\0\x07x"),
        Ok(String::new())
    );
    assert_eq!(client.transmit(), b"");
    assert_eq!(
        publish(&mut client, QoS::AtMostOnce, "x"),
        Err(RequestError::NotConnected)
    );
}

#[test]
fn a_subscription_is_answered_filter_for_filter() {
    let mut client = connected(Version::V311);
    assert_eq!(subscribe(&mut client, &["usr/test/#"]), 1);
    let expected = b"\x82\x0f\0\x01\0\x0ausr/test/#\0";
    assert_eq!(sent(&mut client), expected);
    assert_eq!(
        feed(&mut client, b"\x90\x03\0\x01\0"),
        Ok("subscribed 1 [0]".into())
    );
    assert_eq!(client.unsubscribe(&["a", "b"], &[]), Ok(2));
    assert_eq!(sent(&mut client), b"\xa2\x08\0\x02\0\x01a\0\x01b");
    assert_eq!(
        feed(&mut client, b"\xb0\x02\0\x02"),
        Ok("unsubscribed 2".into())
    );
}

#[test]
fn a_lost_connection_resumes_the_session_in_order() {
    let mut client = connected_with(
        Options {
            clean_start: false,
            ..options(Version::V311)
        },
        CONNACK_311,
    );
    publish(&mut client, QoS::AtLeastOnce, "1").unwrap();
    publish(&mut client, QoS::ExactlyOnce, "2").unwrap();
    publish(&mut client, QoS::ExactlyOnce, "3").unwrap();
    publish(&mut client, QoS::AtMostOnce, "0").unwrap();
    sent(&mut client);
    feed(&mut client, b"\x50\x02\0\x03").unwrap();
    feed(&mut client, b"\x34\x06\0\x01t\0\x07x").unwrap();
    client.acknowledge(7, QoS::ExactlyOnce, ReasonCode::SUCCESS);
    client.closed();
    assert!(client.is_ended());
    client.opened(0);
    assert_eq!(sent(&mut client)[0], 0x10);
    assert_eq!(
        feed(&mut client, CONNACK_PRESENT),
        Ok("connected true".into())
    );
    let expected = b"\x3a\x06\0\x01t\0\x011\x3c\x06\0\x01t\0\x022\x62\x02\0\x03";
    assert_eq!(sent(&mut client), expected);
    // The message that was delivered before is not delivered again.
    assert_eq!(
        feed(&mut client, b"\x3c\x06\0\x01t\0\x07x"),
        Ok(String::new())
    );
    for (ack, event) in [
        (b"\x40\x02\0\x01", "published 1 0"),
        (b"\x50\x02\0\x02", ""),
        (b"\x70\x02\0\x02", "published 2 0"),
        (b"\x70\x02\0\x03", "published 3 0"),
    ] {
        assert_eq!(feed(&mut client, ack), Ok(event.into()));
    }
}

#[test]
fn a_new_session_gets_the_messages_afresh() {
    let mut client = connected(Version::V5);
    publish(&mut client, QoS::AtLeastOnce, "1").unwrap();
    publish(&mut client, QoS::AtLeastOnce, "2").unwrap();
    client.closed();
    client.opened(0);
    sent(&mut client);
    // The server is narrower now: one at a time.
    feed(&mut client, b"\x20\x06\0\0\x03\x21\0\x01").unwrap();
    assert_eq!(sent(&mut client), b"\x32\x07\0\x01t\0\x01\x001");
    assert_eq!(
        feed(&mut client, b"\x40\x02\0\x01"),
        Ok("published 1 0".into())
    );
    assert_eq!(sent(&mut client), b"\x32\x07\0\x01t\0\x02\x002");
}

#[test]
fn packet_identifiers_skip_those_in_use() {
    let mut client = Client::new(Options {
        inflight_max: 0,
        ..options(Version::V311)
    });
    client.opened(0);
    sent(&mut client);
    feed(&mut client, CONNACK_311).unwrap();
    publish(&mut client, QoS::AtLeastOnce, "stays").unwrap();
    for id in 2..=u16::MAX {
        assert_eq!(publish(&mut client, QoS::AtMostOnce, ""), Ok(id));
        sent(&mut client);
    }
    assert_eq!(publish(&mut client, QoS::AtMostOnce, ""), Ok(2));
}

#[test]
fn the_server_s_keep_alive_counts() {
    let client = connected_with(options(Version::V5), b"\x20\x06\0\0\x03\x13\0\x07");
    assert_eq!(client.poll_timeout(), Some(7000));
    let client = connected_with(options(Version::V5), b"\x20\x06\0\0\x03\x13\0\0");
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn aliases_stand_for_topics_both_ways() {
    let mut properties = Vec::new();
    PropertyId::TopicAliasMaximum.encode(Value::Integer(2), &mut properties);
    let options = Options {
        properties,
        ..options(Version::V5)
    };
    let mut client = connected_with(options, b"\x20\x06\0\0\x03\x22\0\x01");
    assert_eq!(
        feed(&mut client, b"\x30\x08\0\x01a\x03\x23\0\x02x"),
        Ok("message a x q0 m0 d0".into())
    );
    assert_eq!(
        feed(&mut client, b"\x30\x07\0\0\x03\x23\0\x02y"),
        Ok("message a y q0 m0 d0".into())
    );
    let mut out = Publish {
        topic: b"t",
        topic_alias: Some(1),
        ..Publish::default()
    };
    client.publish(&out).unwrap();
    client.publish(&out).unwrap();
    out.topic = b"u";
    client.publish(&out).unwrap();
    out.topic_alias = Some(2);
    client.publish(&out).unwrap();
    let expected = b"\x30\x07\0\x01t\x03\x23\0\x01\x30\x06\0\0\x03\x23\0\x01\
                     \x30\x07\0\x01u\x03\x23\0\x01\x30\x04\0\x01u\0";
    assert_eq!(sent(&mut client), expected);
    // Not known, then above the maximum.
    let fault = feed(&mut client, b"\x30\x06\0\0\x03\x23\0\x01").unwrap_err();
    assert_eq!(reason_of(fault), ReasonCode::PROTOCOL_ERROR);
    assert_eq!(sent(&mut client), b"\xe0\x01\x82");
    let mut client = connected(Version::V5);
    let fault = feed(&mut client, b"\x30\x08\0\x01a\x03\x23\0\x01x").unwrap_err();
    assert_eq!(reason_of(fault), ReasonCode::TOPIC_ALIAS_INVALID);
}

#[test]
fn a_message_kept_for_later_is_sent_again_with_its_topic() {
    let mut client = connected_with(options(Version::V5), b"\x20\x06\0\0\x03\x22\0\x01");
    let message = Publish {
        qos: QoS::AtLeastOnce,
        topic: b"t",
        topic_alias: Some(1),
        ..Publish::default()
    };
    client.publish(&message).unwrap();
    client.publish(&message).unwrap();
    client.closed();
    client.opened(0);
    sent(&mut client);
    feed(&mut client, CONNACK_5).unwrap();
    let expected = b"\x32\x06\0\x01t\0\x01\0\x32\x06\0\x01t\0\x02\0";
    assert_eq!(sent(&mut client), expected);
}

#[test]
fn the_server_s_disconnect_is_an_event() {
    let mut client = connected(Version::V5);
    assert_eq!(
        feed(&mut client, b"\xe0\x01\x8e"),
        Ok("disconnected 142".into())
    );
    assert!(client.is_ended());
    assert_eq!(client.transmit(), b"");
}

#[test]
fn our_disconnect_carries_reason_and_properties() {
    let mut properties = Vec::new();
    PropertyId::SessionExpiryInterval.encode(Value::Integer(5), &mut properties);
    let mut client = connected(Version::V5);
    client.disconnect(ReasonCode::DISCONNECT_WITH_WILL, &properties);
    assert_eq!(sent(&mut client), b"\xe0\x07\x04\x05\x11\0\0\0\x05");
    let mut client = connected(Version::V311);
    client.disconnect(ReasonCode::DISCONNECT_WITH_WILL, &properties);
    assert_eq!(sent(&mut client), b"\xe0\0");
}

#[test]
fn an_assigned_identifier_is_used_from_then_on() {
    let mut client = Client::new(Options {
        client_id: String::new(),
        ..options(Version::V5)
    });
    client.opened(0);
    sent(&mut client);
    feed(&mut client, b"\x20\x09\0\0\x06\x12\0\x03abc").unwrap();
    assert_eq!(client.client_id(), "abc");
    client.closed();
    client.opened(0);
    assert!(sent(&mut client).ends_with(b"\0\x03abc"));
}

#[test]
fn properties_of_a_message_come_through() {
    let mut client = connected(Version::V5);
    let bytes = b"\x30\x0a\0\x01t\x05\x02\0\0\0\x09x";
    let received = client.receive(bytes, 0).unwrap();
    let Some(Event::Message(message)) = received.event else {
        panic!("no message");
    };
    assert_eq!(message.expiry_s, Some(9));
    let properties: Properties<'_> = message.properties;
    assert_eq!(
        properties.integer(PropertyId::MessageExpiryInterval),
        Some(9)
    );
}

/// The payload is zeros that nobody reads: the system need not find memory for them.
#[test]
fn the_largest_message_goes_out_and_one_that_is_larger_does_not() {
    let zeros = vec![0; REMAINING_LENGTH_MAX];
    for version in [Version::V31, Version::V311, Version::V5] {
        let client = connected(version);
        for (qos, head) in [(QoS::AtMostOnce, 3), (QoS::AtLeastOnce, 5)] {
            let most = REMAINING_LENGTH_MAX - head - usize::from(version == Version::V5);
            for (len, expected) in [(most, Ok(())), (most + 1, Err(RequestError::TooLarge))] {
                let message = Publish {
                    qos,
                    topic: b"t",
                    payload: &zeros[..len],
                    ..Publish::default()
                };
                assert_eq!(client.check_publish(&message), expected, "{qos:?}");
            }
        }
    }
}
