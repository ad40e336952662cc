//! Message ordering (section 4.6).

use crate::client::Client;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[test]
fn messages_of_one_topic_and_qos_stay_in_order() {
    proves![
        "3.1.1:MQTT-4.6.0-5",
        "3.1.1:MQTT-4.6.0-6",
        "5.0:MQTT-4.6.0-5",
        "5.0:MQTT-4.6.0-6"
    ];
    for version in Version::ALL {
        for qos in 0..=2 {
            let world = World::new();
            let sub = world.client(version, "sub").connect();
            sub.subscribe("a", qos);
            let p = world.client(version, "p").connect();
            for n in 0..200 {
                p.say("a", &n.to_string(), qos);
            }
            assert_eq!(sub.payloads(), numbers(0..200), "QoS {qos}");
        }
    }
}

#[test]
fn messages_queued_for_who_is_away_stay_in_order_with_those_after() {
    proves!["3.1.1:MQTT-4.6.0-6", "5.0:MQTT-4.6.0-5"];
    for version in Version::ALL {
        for qos in 1..=2 {
            let world = World::new();
            let sub = world.client(version, "sub").durable().connect();
            sub.subscribe("a", qos);
            sub.drop_link();
            let p = world.client(version, "p").connect();
            for n in 0..100 {
                p.say("a", &n.to_string(), qos);
            }
            let sub = world.client(version, "sub").durable().connect();
            for n in 100..150 {
                p.say("a", &n.to_string(), qos);
            }
            assert_eq!(sub.payloads(), numbers(0..150));
        }
    }
}

#[test]
fn several_publishers_are_each_in_order() {
    proves!["3.1.1:MQTT-4.6.0-6", "5.0:MQTT-4.6.0-5"];
    let world = World::new();
    let sub = world.v311("sub").connect();
    sub.subscribe("a", 2);
    let publishers: Vec<Client> = ["x", "y", "z"]
        .iter()
        .map(|name| world.v311(name).connect())
        .collect();
    for n in 0..40_u32 {
        for (p, name) in publishers.iter().zip(["x", "y", "z"]) {
            p.say("a", &format!("{name}{n}"), 2);
        }
    }
    let heard = sub.payloads();
    for name in ["x", "y", "z"] {
        let own: Vec<&str> = heard
            .iter()
            .filter_map(|text| text.strip_prefix(name))
            .collect();
        assert_eq!(own, numbers(0..40));
    }
}

#[test]
fn acknowledgements_come_in_the_order_of_what_they_acknowledge() {
    proves!["3.1.1:MQTT-4.6.0-2", "3.1.1:MQTT-4.6.0-3"];
    for version in Version::ALL {
        let world = World::new();
        world.client(version, "sub").connect().subscribe("a", 0);
        let p = world.client(version, "p").connect();
        let ids = [9, 3, 7, 1, 65_535, 2];
        for (qos, name) in [(1, "PUBACK"), (2, "PUBREC")] {
            let publishes: Vec<Packet> = ids
                .iter()
                .map(|&id| Publish::new("a", "x").qos(qos).id(id).into())
                .collect();
            p.send_all(&publishes);
            let answers: Vec<(u16, &str)> = (0..ids.len())
                .map(|_| match p.next() {
                    Packet::PubAck(ack) => (ack.packet_id, "PUBACK"),
                    Packet::PubRec(ack) => (ack.packet_id, "PUBREC"),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(answers, ids.map(|id| (id, name)));
        }
    }
}

#[test]
fn pubrel_comes_in_the_order_of_pubrec() {
    proves!["3.1.1:MQTT-4.6.0-4"];
    for version in Version::ALL {
        let world = World::new();
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 2);
        let p = world.client(version, "p").connect();
        for n in 0..6 {
            p.say("a", &n.to_string(), 2);
        }
        let mut ids: Vec<u16> = (0..6).map(|_| sub.publication().packet_id).collect();
        ids.swap(0, 4);
        ids.swap(1, 3);
        let receipts: Vec<Packet> = ids.iter().map(|&id| Packet::PubRec(Ack::new(id))).collect();
        sub.send_all(&receipts);
        for id in ids {
            sub.expect(Packet::PubRel(Ack::new(id)));
        }
    }
}

#[test]
fn what_is_sent_again_goes_before_what_is_new() {
    proves!["3.1.1:MQTT-4.6.0-1", "3.1.1:MQTT-4.4.0-1"];
    for version in Version::ALL {
        let world = World::with(|s| s.max_inflight_messages = 4);
        let sub = world.client(version, "sub").durable().connect();
        sub.subscribe("a", 1);
        let p = world.client(version, "p").connect();
        for n in 0..10 {
            p.say("a", &n.to_string(), 1);
        }
        assert_eq!(sub.inbox().len(), 4);
        sub.drop_link();
        let sub = world.client(version, "sub").durable().connect();
        let heard: Vec<(bool, String)> = std::iter::from_fn(|| {
            (!sub.inbox().is_empty())
                .then(|| sub.message())
                .map(|m| (m.dup, m.text()))
        })
        .collect();
        let expected: Vec<(bool, String)> = (0..10).map(|n| (n < 4, n.to_string())).collect();
        assert_eq!(heard, expected);
    }
}

#[test]
fn a_window_with_holes_is_sent_again_in_its_order() {
    proves!["3.1.1:MQTT-4.6.0-1"];
    let world = World::new();
    let sub = world
        .v5("sub")
        .durable()
        .with(Property::ReceiveMaximum(10))
        .connect();
    sub.subscribe("a", 2);
    let p = world.v5("p").connect();
    for n in 0..10 {
        p.say("a", &n.to_string(), 2 - n % 2);
    }
    let sent: Vec<Publish> = (0..10).map(|_| sub.publication()).collect();
    for n in [8, 1, 4] {
        match sent[n].qos {
            1 => sub.send(Packet::PubAck(Ack::new(sent[n].packet_id))),
            _ => sub.send(Packet::PubRec(Ack::new(sent[n].packet_id))),
        }
    }
    sub.drop_link();
    let sub = world.v5("sub").durable().connect();
    let again: Vec<(&str, u16)> = sub
        .inbox()
        .iter()
        .map(|packet| match packet {
            Packet::Publish(publish) => ("PUBLISH", publish.packet_id),
            Packet::PubRel(ack) => ("PUBREL", ack.packet_id),
            other => panic!("{other:?}"),
        })
        .collect();
    let publishes: Vec<u16> = again
        .iter()
        .filter(|(name, _)| *name == "PUBLISH")
        .map(|(_, id)| *id)
        .collect();
    let expected: Vec<u16> = [0, 2, 3, 5, 6, 7, 9]
        .iter()
        .map(|&n: &usize| sent[n].packet_id)
        .collect();
    assert_eq!(publishes, expected);
    let mut releases: Vec<u16> = again
        .iter()
        .filter(|(name, _)| *name == "PUBREL")
        .map(|(_, id)| *id)
        .collect();
    releases.sort_unstable();
    let mut expected = vec![sent[4].packet_id, sent[8].packet_id];
    expected.sort_unstable();
    assert_eq!(releases, expected);
}

#[test]
fn a_window_whose_last_message_was_acknowledged_first_comes_to_rest() {
    for version in Version::ALL {
        let world = World::new();
        let sub = world.client(version, "sub").durable().connect();
        sub.subscribe("a", 1);
        let p = world.client(version, "p").connect();
        for n in 0..3 {
            p.say("a", &n.to_string(), 1);
        }
        let sent: Vec<Publish> = (0..3).map(|_| sub.publication()).collect();
        sub.acknowledge(&sent[2]);
        sub.drop_link();
        // The world fails a broker that goes on asking to write when it has nothing to say.
        let sub = world.client(version, "sub").durable().connect();
        assert_eq!(sub.payloads(), ["0", "1"]);
        p.say("a", "3", 1);
        sub.hear("a", "3");
    }
}

#[test]
fn a_slow_reader_gets_everything_in_order() {
    for version in Version::ALL {
        for room in [1, 2, 3, 7, 100] {
            let world = World::new();
            let sub = world.client(version, "sub").connect();
            sub.subscribe("a", 2);
            sub.cut_output(0);
            let p = world.client(version, "p").connect();
            for n in 0..60 {
                p.say("a", &n.to_string(), (n % 3) as u8);
            }
            sub.expect_nothing();
            sub.cut_output(room);
            let heard = sub.payloads();
            for qos in 0..3 {
                let own: Vec<u32> = heard
                    .iter()
                    .map(|text| text.parse().expect("a number"))
                    .filter(|n| n % 3 == qos)
                    .collect();
                assert_eq!(own, (0..60).filter(|n| n % 3 == qos).collect::<Vec<u32>>());
            }
        }
    }
}
