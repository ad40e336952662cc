//! Flow control (section 4.9): Receive Maximum in both directions.

use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

#[test]
fn the_server_keeps_to_the_clients_receive_maximum() {
    proves![
        "5.0:MQTT-3.3.4-9",
        "5.0:MQTT-4.9.0-1",
        "5.0:MQTT-4.9.0-2",
        "5.0:MQTT-3.3.4-10"
    ];
    for maximum in [1, 2, 5] {
        let world = World::new();
        let sub = world
            .v5("sub")
            .with(Property::ReceiveMaximum(maximum))
            .connect();
        sub.subscribe("a", 2);
        let p = world.v5("p").connect();
        for n in 0..12 {
            p.say("a", &n.to_string(), 1 + n % 2);
        }
        let mut heard = Vec::new();
        while heard.len() < 12 {
            let waiting = sub.inbox().len();
            assert_eq!(waiting, usize::from(maximum).min(12 - heard.len()));
            heard.push(sub.message().text());
        }
        assert_eq!(heard, (0..12).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn a_pubrec_that_refuses_gives_its_place_back() {
    proves!["5.0:MQTT-4.9.0-2"];
    let world = World::new();
    let sub = world.v5("sub").with(Property::ReceiveMaximum(1)).connect();
    sub.subscribe("a", 2);
    let p = world.v5("p").connect();
    for n in 0..3 {
        p.say("a", &n.to_string(), 2);
    }
    for n in 0..3 {
        let message = sub.publication();
        assert_eq!(message.text(), n.to_string());
        sub.expect_nothing();
        sub.send(Packet::PubRec(Ack::code(message.packet_id, 0x97)));
    }
    sub.expect_nothing();
}

#[test]
fn a_qos_2_message_keeps_its_place_until_pubcomp() {
    proves!["5.0:MQTT-4.9.0-2"];
    let world = World::new();
    let sub = world.v5("sub").with(Property::ReceiveMaximum(1)).connect();
    sub.subscribe("a", 2);
    let p = world.v5("p").connect();
    p.say("a", "1", 2);
    p.say("a", "2", 2);
    let id = sub.publication().packet_id;
    sub.send(Packet::PubRec(Ack::new(id)));
    sub.expect(Packet::PubRel(Ack::new(id)));
    sub.expect_nothing();
    sub.send(Packet::PubComp(Ack::new(id)));
    sub.hear("a", "2");
}

#[test]
fn everything_else_goes_on_while_the_window_is_full() {
    proves!["5.0:MQTT-4.9.0-3", "5.0:MQTT-3.3.4-10"];
    let world = World::new();
    let sub = world.v5("sub").with(Property::ReceiveMaximum(1)).connect();
    sub.subscribe("a", 1);
    let p = world.v5("p").connect();
    p.say("a", "first", 1);
    p.say("a", "held back", 1);
    let first = sub.publication();
    sub.expect_nothing();

    p.say("a", "QoS 0 passes", 0);
    assert_eq!(sub.publication().text(), "QoS 0 passes");
    sub.ping();
    assert_eq!(sub.subscribe("b", 1), 1);
    assert_eq!(sub.unsubscribe("b"), [0]);
    assert_eq!(sub.say("nobody", "x", 1), 0x10);
    sub.expect_nothing();

    sub.acknowledge(&first);
    sub.hear("a", "held back");
}

#[test]
fn the_servers_own_limit_holds_for_every_client() {
    for version in Version::ALL {
        let world = World::with(|s| s.max_inflight_messages = 3);
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 1);
        let p = world.client(version, "p").connect();
        for n in 0..10 {
            p.say("a", &n.to_string(), 1);
        }
        assert_eq!(sub.inbox().len(), 3);
        assert_eq!(sub.payloads().len(), 10);
    }
}

#[test]
fn with_a_limit_of_1_messages_go_strictly_one_by_one() {
    let world = World::with(|s| s.max_inflight_messages = 1);
    let sub = world.v311("sub").connect();
    sub.subscribe("a", 2);
    let p = world.v311("p").connect();
    for n in 0..5 {
        p.say("a", &n.to_string(), 2);
    }
    for n in 0..5 {
        assert_eq!(sub.inbox().len(), 1);
        assert_eq!(sub.message().text(), n.to_string());
    }
}

#[test]
fn a_publisher_beyond_receive_maximum_is_not_punished() {
    for version in Version::ALL {
        let world = World::new();
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 0);
        let p = world.client(version, "p").connect();
        // 100 messages of QoS 2 under way at once, as client libraries do.
        let publishes: Vec<Packet> = (1..=100)
            .map(|id| Publish::new("a", id.to_string()).qos(2).id(id).into())
            .collect();
        p.send_all(&publishes);
        for id in 1..=100 {
            p.expect(Packet::PubRec(Ack::new(id)));
        }
        let releases: Vec<Packet> = (1..=100).map(|id| Packet::PubRel(Ack::new(id))).collect();
        p.send_all(&releases);
        for id in 1..=100 {
            p.expect(Packet::PubComp(Ack::new(id)));
        }
        p.expect_nothing();
        assert_eq!(
            sub.payloads(),
            (1..=100).map(|id| id.to_string()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_receive_maximum_of_0_is_a_protocol_error() {
    let link = World::new()
        .v5("c")
        .with(Property::ReceiveMaximum(0))
        .dial();
    crate::connect::refused_or_closed(&link);
}

#[test]
fn what_waits_is_bounded_also_where_what_is_under_way_is_not() {
    for (online, inflight_bytes, expected) in [(false, 0, 5), (false, 100, 5), (true, 100, 8)] {
        let world = World::with(|s| {
            s.max_inflight_messages = 0;
            s.max_inflight_bytes = inflight_bytes;
            s.max_queued_messages = 5;
        });
        let sub = world.v5("sub").durable().connect();
        sub.subscribe("a", 1);
        if !online {
            sub.drop_link();
        }
        let p = world.v5("p").connect();
        for n in 0..50 {
            p.say("a", &format!("{n:020}"), 1);
        }
        let sub = match online {
            true => sub,
            false => world.v5("sub").durable().connect(),
        };
        let heard = sub.payloads().len();
        assert_eq!(heard, expected, "online: {online}, {inflight_bytes} bytes");
    }
}

#[test]
fn what_waits_is_bounded_and_the_rest_is_dropped() {
    for version in Version::NUMBERED {
        for online in [true, false] {
            let world = World::with(|s| {
                s.max_inflight_messages = 2;
                s.max_queued_messages = 5;
            });
            let sub = world.client(version, "sub").durable().connect();
            sub.subscribe("a", 1);
            if !online {
                sub.drop_link();
            }
            let p = world.client(version, "p").connect();
            for n in 0..50 {
                p.say("a", &n.to_string(), 1); // acknowledged all the same
            }
            let sub = match online {
                true => sub,
                false => world.client(version, "sub").durable().connect(),
            };
            let heard = sub.payloads();
            let first: Vec<String> = (0..heard.len()).map(|n| n.to_string()).collect();
            assert_eq!(heard, first, "the oldest are kept, in order");
            assert!((5..=7).contains(&heard.len()), "{} were kept", heard.len());
            // Once there is room, messages come again.
            p.say("a", "later", 1);
            sub.hear("a", "later");
        }
    }
}
