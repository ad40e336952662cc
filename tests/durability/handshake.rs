//! Handshakes that a kill has cut: they go on where they were, with the same identifiers.

use crate::broker::Broker;
use crate::client::{Client, lasting};
use crate::common::packet::*;
use crate::common::property::Property;

/// A publisher and a subscriber with sessions that stay; the subscription is to `t` at QoS 2.
fn pair(broker: &Broker, version: Version) -> (Client, Client) {
    let (mut subscriber, _) = broker.lasting(version, "subscriber");
    subscriber.subscribe("t", 2);
    (broker.lasting(version, "publisher").0, subscriber)
}

/// Comes back; the session has to be there.
#[track_caller]
fn back(broker: &Broker, version: Version, client_id: &str) -> Client {
    let (client, is_present) = broker.connect(version, lasting(version, client_id));
    assert!(is_present, "the session of {client_id}");
    client
}

/// Receives these QoS 2 messages in this order, to the end of their handshakes.
#[track_caller]
fn receive(client: &mut Client, payloads: &[&str]) {
    let mut found = Vec::new();
    let mut ends = 0;
    while ends < payloads.len() {
        match client.hear() {
            Packet::Publish(publish) => {
                client.say(Packet::PubRec(Ack::new(publish.packet_id)));
                found.push(publish.text());
            }
            Packet::PubRel(ack) => {
                client.say(Packet::PubComp(Ack::new(ack.packet_id)));
                ends += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(found, payloads);
}

#[track_caller]
fn finish(client: &mut Client, packet_id: u16) {
    client.say(Packet::PubRec(Ack::new(packet_id)));
    client.expect(Packet::PubRel(Ack::new(packet_id)));
    client.say(Packet::PubComp(Ack::new(packet_id)));
}

/// Nothing else waits for the subscriber: a message of now is its next.
#[track_caller]
fn expect_nothing_more(publisher: &mut Client, subscriber: &mut Client) {
    publisher.publish(Publish::new("t", "nothing more"));
    subscriber.take("nothing more");
}

#[test]
fn between_pubrec_and_pubrel_the_publisher_goes_on_with_pubrel() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (mut publisher, subscriber) = pair(&broker, version);
        subscriber.leave();
        publisher.say(Publish::new("t", "once").qos(2).id(7));
        publisher.received(7);
        broker.crash();

        let mut publisher = back(&broker, version, "publisher");
        publisher.release(7);
        let mut subscriber = back(&broker, version, "subscriber");
        receive(&mut subscriber, &["once"]);
        expect_nothing_more(&mut publisher, &mut subscriber);
    }
}

#[test]
fn a_publish_that_came_twice_around_a_kill_is_delivered_once() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (mut publisher, subscriber) = pair(&broker, version);
        subscriber.leave();
        publisher.say(Publish::new("t", "once").qos(2).id(7));
        publisher.received(7);
        broker.crash();

        // As if PUBREC had got lost.
        let mut publisher = back(&broker, version, "publisher");
        publisher.publish_2(Publish::new("t", "once").dup(), 7);
        let mut subscriber = back(&broker, version, "subscriber");
        receive(&mut subscriber, &["once"]);
        expect_nothing_more(&mut publisher, &mut subscriber);
    }
}

#[test]
fn a_pubrel_that_came_twice_around_a_kill_delivers_once() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (mut publisher, mut subscriber) = pair(&broker, version);
        publisher.publish_2(Publish::new("t", "once"), 7);
        receive(&mut subscriber, &["once"]);
        broker.crash();

        // As if PUBCOMP had got lost. In 5.0 the identifier may be called unknown by then.
        let mut publisher = back(&broker, version, "publisher");
        publisher.say(Packet::PubRel(Ack::new(7)));
        let answer = publisher.hear();
        assert!(
            matches!(&answer, Packet::PubComp(ack) if ack.packet_id == 7),
            "{answer:?}"
        );
        // And the identifier is free for another message.
        publisher.publish_2(Publish::new("t", "another"), 7);
        let mut subscriber = back(&broker, version, "subscriber");
        let mut publish = subscriber.hear();
        if let Packet::PubRel(ack) = &publish {
            // The last PUBCOMP may not have been read before the kill.
            subscriber.say(Packet::PubComp(Ack::new(ack.packet_id)));
            publish = subscriber.hear();
        }
        let Packet::Publish(publish) = publish else {
            panic!("{publish:?}");
        };
        assert_eq!(publish.text(), "another");
        finish(&mut subscriber, publish.packet_id);
        expect_nothing_more(&mut publisher, &mut subscriber);
    }
}

#[test]
fn the_identifier_of_a_finished_message_carries_the_next_one_over_a_kill() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (mut publisher, subscriber) = pair(&broker, version);
        subscriber.leave();
        publisher.publish_2(Publish::new("t", "one"), 7);
        publisher.say(Publish::new("t", "two").qos(2).id(7));
        publisher.received(7);
        broker.crash();

        let mut publisher = back(&broker, version, "publisher");
        publisher.release(7);
        let mut subscriber = back(&broker, version, "subscriber");
        receive(&mut subscriber, &["one", "two"]);
        expect_nothing_more(&mut publisher, &mut subscriber);
    }
}

#[test]
fn unanswered_messages_come_again_with_the_same_identifiers_in_order() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (mut publisher, mut subscriber) = pair(&broker, version);
        publisher.publish_2(Publish::new("t", "one"), 1);
        publisher.publish(Publish::new("t", "two"));
        publisher.publish_2(Publish::new("t", "three"), 3);
        let before = ["one", "two", "three"].map(|payload| subscriber.message(payload));
        assert!(before.iter().all(|publish| !publish.dup));
        for _ in 0..2 {
            broker.crash();
            let mut subscriber = back(&broker, version, "subscriber");
            for publish in &before {
                subscriber.expect(publish.clone().dup());
            }
        }
        let mut publisher = back(&broker, version, "publisher");
        let mut subscriber = back(&broker, version, "subscriber");
        for publish in &before {
            subscriber.expect(publish.clone().dup());
        }
        for publish in &before {
            if publish.qos == 1 {
                subscriber.say(Packet::PubAck(Ack::new(publish.packet_id)));
            } else {
                finish(&mut subscriber, publish.packet_id);
            }
        }
        expect_nothing_more(&mut publisher, &mut subscriber);
    }
}

#[test]
fn behind_pubrel_only_pubrel_comes_again() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (mut publisher, mut subscriber) = pair(&broker, version);
        publisher.publish_2(Publish::new("t", "once"), 1);
        let packet_id = subscriber.message("once").packet_id;
        subscriber.say(Packet::PubRec(Ack::new(packet_id)));
        subscriber.expect(Packet::PubRel(Ack::new(packet_id)));
        for _ in 0..2 {
            broker.crash();
            subscriber = back(&broker, version, "subscriber");
            subscriber.expect(Packet::PubRel(Ack::new(packet_id)));
        }
        subscriber.say(Packet::PubComp(Ack::new(packet_id)));
        let mut publisher = back(&broker, version, "publisher");
        expect_nothing_more(&mut publisher, &mut subscriber);
    }
}

#[test]
fn what_did_not_fit_the_window_waits_its_turn_behind_what_did() {
    const COUNT: usize = 50;
    const WINDOW: usize = 20;
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let (mut publisher, mut subscriber) = pair(&broker, version);
        let payloads: Vec<String> = (0..COUNT).map(|i| format!("number {i}")).collect();
        for payload in &payloads {
            publisher.publish(Publish::new("t", payload));
        }
        let sent: Vec<Publish> = payloads[..WINDOW]
            .iter()
            .map(|payload| subscriber.message(payload))
            .collect();
        broker.crash();

        let mut publisher = back(&broker, version, "publisher");
        let mut subscriber = back(&broker, version, "subscriber");
        for publish in sent {
            subscriber.expect(publish.clone().dup());
            subscriber.say(Packet::PubAck(Ack::new(publish.packet_id)));
        }
        // Those may have DUP: after a kill the broker may not know what it sent.
        for payload in &payloads[WINDOW..] {
            subscriber.take(payload);
        }
        expect_nothing_more(&mut publisher, &mut subscriber);
    }
}

/// An alias means nothing after its connection: the message has to know its topic by itself.
#[test]
fn a_topic_that_was_an_alias_is_known_after_a_kill() {
    let mut broker = Broker::start("");
    let (mut publisher, subscriber) = pair(&broker, Version::V5);
    subscriber.leave();
    let alias = || Property::TopicAlias(3);
    publisher.publish(Publish::new("t", "one").with(alias()));
    publisher.publish(Publish::new("", "two").with(alias()));
    publisher.say(Publish::new("", "three").with(alias()).qos(2).id(5));
    publisher.received(5);
    broker.crash();

    let mut publisher = back(&broker, Version::V5, "publisher");
    publisher.release(5);
    let mut subscriber = back(&broker, Version::V5, "subscriber");
    assert_eq!(subscriber.take("one").topic, "t");
    assert_eq!(subscriber.take("two").topic, "t");
    receive(&mut subscriber, &["three"]);
    expect_nothing_more(&mut publisher, &mut subscriber);
}

/// A clean session keeps nothing, and nothing of it is in the way afterwards.
#[test]
fn a_session_that_ends_with_its_connection_is_gone() {
    for version in Version::NUMBERED {
        let mut broker = Broker::start("");
        let mut publisher = broker.client(version, "publisher");
        let mut subscriber = broker.client(version, "subscriber");
        subscriber.subscribe("t", 2);
        publisher.publish(Publish::new("t", "one"));
        subscriber.message("one");
        broker.crash();

        let (mut subscriber, is_present) = broker.lasting(version, "subscriber");
        assert!(!is_present);
        subscriber.subscribe("t", 2);
        let mut publisher = broker.client(version, "publisher");
        expect_nothing_more(&mut publisher, &mut subscriber);
    }
}
