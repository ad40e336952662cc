//! Quality of Service (section 4.3): at most once, at least once, exactly once, seen from both
//! sides of the server.

use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

pub fn puback(id: u16) -> Packet {
    Packet::PubAck(Ack::new(id))
}

pub fn pubrec(id: u16) -> Packet {
    Packet::PubRec(Ack::new(id))
}

pub fn pubrel(id: u16) -> Packet {
    Packet::PubRel(Ack::new(id))
}

pub fn pubcomp(id: u16) -> Packet {
    Packet::PubComp(Ack::new(id))
}

/// A world with a subscriber to "a" and a publisher, so that PUBLISH is a plain success.
fn pair(version: Version) -> (World, crate::client::Client, crate::client::Client) {
    let world = World::new();
    let sub = world.client(version, "sub").durable().connect();
    sub.subscribe("a", 2);
    let publisher = world.client(version, "pub").durable().connect();
    (world, sub, publisher)
}

#[test]
fn qos_0_is_not_answered() {
    proves!["3.1.1:MQTT-3.3.4-1", "5.0:MQTT-3.3.4-1"];
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        p.send(Publish::new("a", "x"));
        p.expect_nothing();
        sub.hear("a", "x");
    }
}

#[test]
fn qos_1_is_answered_with_puback_of_the_same_identifier() {
    proves![
        "3.1.1:MQTT-4.3.2-2",
        "5.0:MQTT-4.3.2-4",
        "3.1.1:MQTT-2.3.1-6",
        "5.0:MQTT-2.2.1-5",
        "3.1.1:MQTT-3.3.4-1",
        "5.0:MQTT-3.3.4-1"
    ];
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        for id in [1, 7, 256, 65_535] {
            p.send(Publish::new("a", "x").qos(1).id(id));
            p.expect(puback(id));
            sub.hear("a", "x");
        }
    }
}

#[test]
fn after_puback_the_same_identifier_is_a_new_message_whatever_dup_says() {
    proves!["3.1.1:MQTT-4.3.2-2", "5.0:MQTT-4.3.2-5"];
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        for text in ["one", "two"] {
            p.send(Publish::new("a", text).qos(1).id(5).dup());
            p.expect(puback(5));
            sub.hear("a", text);
        }
    }
}

#[test]
fn a_packet_identifier_of_0_is_refused() {
    proves!["3.1.1:MQTT-2.3.1-1"];
    for version in Version::ALL {
        for packet in [
            Packet::from(Publish::new("a", "x").qos(1)),
            Publish::new("a", "x").qos(2).into(),
            Subscribe::new(0).filter("a", 0).into(),
            Unsubscribe::new(0).filter("a").into(),
            puback(0),
            pubrel(0),
        ] {
            let (_world, sub, p) = pair(version);
            p.send(packet);
            assert!(p.is_closed());
            sub.expect_nothing();
        }
    }
}

#[test]
fn qos_2_is_answered_step_by_step() {
    proves![
        "3.1.1:MQTT-4.3.3-2",
        "5.0:MQTT-4.3.3-8",
        "5.0:MQTT-4.3.3-11",
        "5.0:MQTT-2.2.1-5",
        "3.1.1:MQTT-2.3.1-6"
    ];
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        for id in [1, 300, 65_535] {
            p.send(Publish::new("a", "x").qos(2).id(id));
            p.expect(pubrec(id));
            sub.expect_nothing(); // held until PUBREL
            p.send(pubrel(id));
            p.expect(pubcomp(id));
            sub.hear("a", "x");
            sub.expect_nothing();
        }
    }
}

#[test]
fn a_repeated_qos_2_publish_is_answered_again_and_delivered_once() {
    proves!["3.1.1:MQTT-4.3.3-2", "5.0:MQTT-4.3.3-10"];
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        for _ in 0..3 {
            p.send(Publish::new("a", "x").qos(2).id(9).dup());
            p.expect(pubrec(9));
        }
        p.send(pubrel(9));
        p.expect(pubcomp(9));
        sub.hear("a", "x");
        sub.expect_nothing();
    }
}

#[test]
fn a_qos_2_publish_repeated_after_a_reconnect_is_delivered_once() {
    proves![
        "3.1.1:MQTT-4.3.3-2",
        "5.0:MQTT-4.3.3-10",
        "3.1.1:MQTT-4.1.0-1"
    ];
    for version in Version::ALL {
        let (world, sub, p) = pair(version);
        p.send(Publish::new("a", "x").qos(2).id(9));
        p.expect(pubrec(9));
        p.drop_link();
        let p = world.client(version, "pub").durable().connect();
        p.send(Publish::new("a", "x").qos(2).id(9).dup());
        p.take("PUBREC", |packet| *packet == pubrec(9));
        p.send(pubrel(9));
        p.take("PUBCOMP", |packet| *packet == pubcomp(9));
        sub.hear("a", "x");
        sub.expect_nothing();
    }
}

/// A client that did not see PUBCOMP says PUBREL again: its message arrived, and so it is told.
#[test]
fn a_pubrel_repeated_after_a_reconnect_is_a_success() {
    proves!["5.0:MQTT-4.3.3-11"];
    for version in Version::ALL {
        let (world, sub, p) = pair(version);
        p.send(Publish::new("a", "x").qos(2).id(9));
        p.expect(pubrec(9));
        p.send(pubrel(9));
        sub.hear("a", "x");
        p.drop_link();
        let p = world.client(version, "pub").durable().connect();
        p.send(pubrel(9));
        p.take("PUBCOMP", |packet| *packet == pubcomp(9));
        sub.expect_nothing();

        // Without a session there is nothing to go on with: it was lost, if it was ours at all.
        p.drop_link();
        let p = world.client(version, "pub").connect();
        p.send(pubrel(9));
        let Packet::PubComp(ack) = p.next() else {
            panic!("expected PUBCOMP")
        };
        let lost = if version == Version::V5 { 0x92 } else { 0 };
        assert_eq!((ack.packet_id, ack.code), (9, lost));
    }
}

#[test]
fn an_identifier_used_again_for_another_message_loses_neither() {
    for version in Version::ALL {
        let (world, sub, p) = pair(version);
        p.send(Publish::new("a", "old").qos(2).id(1));
        p.expect(pubrec(1));
        p.drop_link();
        // The client lost its own state, not its session: it counts from the beginning.
        let p = world.client(version, "pub").durable().connect();
        p.send(Publish::new("a", "new").qos(2).id(1));
        p.take("PUBREC", |packet| *packet == pubrec(1));
        sub.hear("a", "old");
        sub.expect_nothing();
        p.send(pubrel(1));
        p.take("PUBCOMP", |packet| *packet == pubcomp(1));
        sub.hear("a", "new");
        sub.expect_nothing();
    }
}

/// The new message was lost on its way at first, so that it comes with DUP.
#[test]
fn an_identifier_used_again_loses_neither_message_if_the_new_one_is_sent_again() {
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        p.send(Publish::new("a", "old").qos(2).id(1));
        p.expect(pubrec(1));
        p.send(Publish::new("a", "new").qos(2).id(1).dup());
        p.expect(pubrec(1));
        sub.hear("a", "old");
        p.send(pubrel(1));
        p.expect(pubcomp(1));
        sub.hear("a", "new");
        sub.expect_nothing();
    }
}

#[test]
fn a_refusal_under_an_identifier_in_use_costs_nothing_but_the_refused() {
    let world = World::with(|s| s.message_size_limit = 10);
    let sub = world.v5("sub").connect();
    sub.subscribe("a", 2);
    let p = world.v5("pub").durable().connect();
    p.send(Publish::new("a", "old").qos(2).id(1));
    p.expect(pubrec(1));
    p.drop_link();
    let p = world.v5("pub").durable().connect();
    let large = Publish::new("a", "larger than it may be").qos(2);
    assert_eq!(p.publish(large.id(1)), 0x97);
    assert_eq!(p.publish(Publish::new("a", "new").qos(2).id(1)), 0);
    sub.hear("a", "old");
    sub.hear("a", "new");
    sub.expect_nothing();
}

#[test]
fn the_same_message_again_is_a_repetition_even_without_dup() {
    proves!["3.1.1:MQTT-4.3.3-2", "5.0:MQTT-4.3.3-10"];
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        for _ in 0..3 {
            p.send(Publish::new("a", "x").qos(2).id(9));
            p.expect(pubrec(9));
        }
        p.send(pubrel(9));
        p.expect(pubcomp(9));
        sub.hear("a", "x");
        sub.expect_nothing();
    }
}

#[test]
fn after_pubcomp_the_identifier_is_a_new_message() {
    proves!["3.1.1:MQTT-4.3.3-2", "5.0:MQTT-4.3.3-12"];
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        for text in ["one", "two"] {
            assert_eq!(p.publish(Publish::new("a", text).qos(2).id(4).dup()), 0);
            sub.hear("a", text);
        }
        sub.expect_nothing();
    }
}

#[test]
fn pubrel_of_an_unknown_identifier_is_answered() {
    proves!["5.0:MQTT-3.7.2-1", "5.0:MQTT-3.6.2-1"];
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        p.send(pubrel(77));
        let Packet::PubComp(ack) = p.next() else {
            panic!("expected PUBCOMP")
        };
        assert_eq!(ack.packet_id, 77);
        assert!(ack.code == 0 || (ack.code == 0x92 && version == Version::V5));
        sub.expect_nothing();
    }
}

#[test]
fn after_a_refusing_pubrec_the_identifier_is_a_new_message() {
    proves!["5.0:MQTT-4.3.3-9"];
    let (_world, sub, p) = pair(Version::V5);
    p.send(Publish::new("$SYS/x", "denied").qos(2).id(3));
    p.expect(Packet::PubRec(Ack::code(3, 0x87)));
    assert_eq!(p.publish(Publish::new("a", "new").qos(2).id(3)), 0);
    sub.hear("a", "new");
}

#[test]
fn the_server_uses_an_identifier_that_is_not_in_use() {
    proves![
        "3.1.1:MQTT-2.3.1-4",
        "5.0:MQTT-2.2.1-4",
        "5.0:MQTT-4.3.2-1",
        "5.0:MQTT-4.3.3-1",
        "3.1.1:MQTT-2.3.1-1"
    ];
    for version in Version::ALL {
        let world = World::with(|s| s.max_inflight_messages = 0);
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 2);
        let p = world.client(version, "p").connect();
        let mut in_use = std::collections::HashSet::new();
        for n in 0..200 {
            p.say("a", "x", 1 + n % 2);
            let message = sub.publication();
            assert!(
                message.packet_id != 0 && in_use.insert(message.packet_id),
                "message {n}"
            );
        }
    }
}

#[test]
fn identifiers_go_round_past_those_in_use() {
    proves!["3.1.1:MQTT-2.3.1-4", "5.0:MQTT-2.2.1-4"];
    let world = World::new();
    let sub = world.v311("sub").connect();
    sub.subscribe("a", 1);
    let p = world.v311("p").connect();
    // One message stays unacknowledged while the identifiers go all the way round; a server that
    // holds back instead has to go on once it is acknowledged. The watch fails on a double use.
    p.say("a", "stays", 1);
    let stays = sub.publication();
    let mut waiting = 0;
    for n in 0..70_000_u32 {
        p.say("a", "x", 1);
        match sub.inbox().is_empty() {
            true => waiting += 1,
            false => {
                let message = sub.message();
                assert_ne!(message.packet_id, stays.packet_id, "after {n} messages");
            }
        }
        if waiting > 0 {
            break;
        }
    }
    sub.acknowledge(&stays);
    assert_eq!(sub.payloads().len(), waiting);
}

#[test]
fn a_qos_1_message_is_the_servers_until_puback() {
    proves!["3.1.1:MQTT-4.3.2-1", "5.0:MQTT-4.3.2-3"];
    for version in Version::ALL {
        let (world, sub, p) = pair(version);
        p.say("a", "x", 1);
        let first = sub.publication();
        for _ in 0..3 {
            sub.drop_link();
            let sub = world.client(version, "sub").durable().connect();
            let again = sub.publication();
            assert!(again.dup);
            assert_eq!(
                (again.packet_id, again.text()),
                (first.packet_id, first.text())
            );
            sub.drop_link();
        }
        let sub = world.client(version, "sub").durable().connect();
        sub.message();
        sub.drop_link();
        world
            .client(version, "sub")
            .durable()
            .connect()
            .expect_nothing();
    }
}

#[test]
fn a_qos_2_message_is_never_sent_again_after_pubrec() {
    proves![
        "3.1.1:MQTT-4.3.3-1",
        "5.0:MQTT-4.3.3-3",
        "5.0:MQTT-4.3.3-4",
        "5.0:MQTT-4.3.3-5",
        "5.0:MQTT-4.3.3-6",
        "3.1.1:MQTT-4.4.0-1",
        "5.0:MQTT-4.4.0-1"
    ];
    for version in Version::ALL {
        let (world, sub, p) = pair(version);
        p.say("a", "x", 2);
        let id = sub.publication().packet_id;
        sub.drop_link();

        // Until PUBREC the PUBLISH is repeated.
        let sub = world.client(version, "sub").durable().connect();
        let again = sub.publication();
        assert!(again.dup && again.packet_id == id);
        sub.send(pubrec(id));
        sub.expect(pubrel(id));
        sub.drop_link();

        // From PUBREC on it is PUBREL, until PUBCOMP.
        for _ in 0..2 {
            let sub = world.client(version, "sub").durable().connect();
            sub.expect(pubrel(id));
            sub.expect_nothing();
            sub.drop_link();
        }
        let sub = world.client(version, "sub").durable().connect();
        sub.expect(pubrel(id));
        sub.send(pubcomp(id));
        sub.drop_link();
        world
            .client(version, "sub")
            .durable()
            .connect()
            .expect_nothing();
    }
}

#[test]
fn a_repeated_pubrec_is_answered_with_pubrel() {
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        p.say("a", "x", 2);
        let id = sub.publication().packet_id;
        for _ in 0..2 {
            sub.send(pubrec(id));
            sub.expect(pubrel(id));
        }
        sub.send(pubcomp(id));
        sub.expect_nothing();
    }
}

#[test]
fn a_refused_message_counts_as_acknowledged() {
    proves!["5.0:MQTT-4.4.0-2"];
    for qos in [1, 2] {
        let (world, sub, p) = pair(Version::V5);
        p.say("a", "unwanted", qos);
        let id = sub.publication().packet_id;
        let refusal = Ack::code(id, 0x83);
        sub.send(if qos == 1 {
            Packet::PubAck(refusal)
        } else {
            Packet::PubRec(refusal)
        });
        sub.expect_nothing();
        sub.drop_link();
        world.v5("sub").durable().connect().expect_nothing();
    }
}

#[test]
fn acknowledgements_of_unknown_messages_do_no_harm() {
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        for packet in [puback(9), pubcomp(9)] {
            sub.send(packet);
            assert!(!sub.is_closed());
        }
        p.say("a", "x", 1);
        sub.hear("a", "x");
    }
}

#[test]
fn pubrec_of_an_unknown_message_is_answered_or_ignored() {
    for version in Version::ALL {
        let (_world, sub, p) = pair(version);
        sub.send(pubrec(9));
        for packet in sub.inbox() {
            sub.next();
            let Packet::PubRel(ack) = packet else {
                panic!("{packet:?}")
            };
            assert_eq!(ack.packet_id, 9);
            assert!(ack.code == 0 || (ack.code == 0x92 && version == Version::V5));
        }
        p.say("a", "x", 1);
        sub.hear("a", "x");
    }
}

#[test]
fn acknowledgements_may_carry_properties() {
    let (_world, sub, p) = pair(Version::V5);
    let properties = vec![
        Property::ReasonString("fine".to_string()),
        Property::UserProperty("k".to_string(), "v".to_string()),
    ];
    p.say("a", "1", 1);
    let id = sub.publication().packet_id;
    sub.send(Packet::PubAck(Ack {
        packet_id: id,
        code: 0,
        properties: properties.clone(),
    }));
    p.say("a", "2", 2);
    let id = sub.publication().packet_id;
    sub.send(Packet::PubRec(Ack {
        packet_id: id,
        code: 0,
        properties: properties.clone(),
    }));
    sub.expect(pubrel(id));
    sub.send(Packet::PubComp(Ack {
        packet_id: id,
        code: 0,
        properties,
    }));
    sub.expect_nothing();
}

#[test]
fn the_dance_goes_on_for_an_expired_message() {
    proves!["5.0:MQTT-4.3.3-7", "5.0:MQTT-4.3.3-13"];
    let (world, sub, p) = pair(Version::V5);
    // As the sender: once the PUBLISH is out, expiry has no say any more.
    p.publish(
        Publish::new("a", "brief")
            .qos(2)
            .with(Property::MessageExpiryInterval(2)),
    );
    let id = sub.publication().packet_id;
    world.advance_s(60);
    sub.drop_link();
    let sub = world.v5("sub").durable().connect();
    let again = sub.publication();
    assert!(again.dup && again.packet_id == id);
    sub.send(pubrec(id));
    sub.expect(pubrel(id));
    sub.send(pubcomp(id));

    // As the receiver: PUBREL is answered however old the message is.
    p.send(
        Publish::new("a", "old")
            .qos(2)
            .id(50)
            .with(Property::MessageExpiryInterval(2)),
    );
    p.expect(pubrec(50));
    world.advance_s(60);
    p.send(pubrel(50));
    p.expect(pubcomp(50));
}
