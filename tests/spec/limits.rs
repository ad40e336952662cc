//! The limits of the server that the specification leaves to it, and how clients see them.

use crate::common::packet::*;
use crate::world::World;

#[test]
fn a_listener_takes_so_many_connections_and_more_when_one_has_gone() {
    for version in Version::ALL {
        let world = World::with(|s| s.listeners[0].max_connections = Some(2));
        let a = world.client(version, "a").connect();
        let b = world.client(version, "b").connect();
        assert!(world.link_to(version, "192.0.2.9:1", 0).is_none());
        a.disconnect();
        let c = world.client(version, "c").connect();
        assert!(world.link_to(version, "192.0.2.9:1", 0).is_none());
        b.drop_link();
        c.drop_link();
        world.client(version, "d").connect();
        world.client(version, "e").connect();
    }
}

#[test]
fn the_limit_of_connections_holds_over_all_listeners() {
    let world = World::with(|s| {
        s.global_max_connections = Some(2);
        let second = crate::seam::another_listener(s);
        s.listeners.push(second);
    });
    let a = world.v5("a").connect();
    world.v5("b").listener(1).connect();
    assert!(world.link_to(Version::V5, "192.0.2.9:1", 0).is_none());
    assert!(world.link_to(Version::V5, "192.0.2.9:1", 1).is_none());
    a.drop_link();
    world.v5("c").listener(1).connect();
}

#[test]
fn beyond_the_limit_of_sessions_only_those_who_have_one_come_in() {
    for version in Version::NUMBERED {
        let world = World::with(|s| s.global_max_clients = Some(2));
        world.client(version, "a").durable().connect().drop_link();
        world.client(version, "b").connect();
        let code = world.client(version, "c").refused();
        let busy: &[u8] = if version == Version::V5 {
            &[0x89, 0x97]
        } else {
            &[3]
        };
        assert!(busy.contains(&code), "{code:#x}");
        let again = world.client(version, "a").durable().connect();
        assert!(again.session_present());
    }
}

#[test]
fn a_listener_speaks_the_versions_it_is_told_to() {
    for (place, spoken) in Version::ALL.into_iter().enumerate() {
        let world = World::with(|s| {
            s.listeners[0].accept_protocol_versions = [false; 3];
            s.listeners[0].accept_protocol_versions[place] = true;
        });
        for version in Version::ALL {
            if version == spoken {
                world.client(version, "c").connect().ping();
            } else {
                let code = world.client(version, "c").refused();
                assert_eq!(code, if version == Version::V5 { 0x84 } else { 1 });
            }
        }
    }
}

#[test]
fn one_client_has_so_many_subscriptions() {
    for version in Version::NUMBERED {
        let world = World::with(|s| s.max_subscriptions_per_client = 3);
        let client = world.client(version, "c").connect();
        for filter in ["a", "b", "c"] {
            assert_eq!(client.subscribe(filter, 1), 1);
        }
        let quota = if version == Version::V5 { 0x97 } else { 0x80 };
        assert_eq!(client.subscribe("d", 1), quota);
        assert_eq!(client.subscribe("a", 2), 2, "replacing one is no new one");
        client.unsubscribe("b");
        assert_eq!(client.subscribe("d", 1), 1);
        // Others have their own count.
        assert_eq!(world.client(version, "x").connect().subscribe("e", 1), 1);
    }
}

#[test]
fn one_client_has_so_many_unreleased_messages() {
    let world = World::with(|s| s.max_inbound_qos2 = 3);
    let sub = world.v5("sub").connect();
    sub.subscribe("a", 0);
    let p = world.v5("p").connect();
    for id in 1..=3 {
        p.send(Publish::new("a", "x").qos(2).id(id));
        p.expect(Packet::PubRec(Ack::new(id)));
    }
    p.send(Publish::new("a", "x").qos(2).id(4));
    let Packet::PubRec(refusal) = p.next() else {
        panic!("expected PUBREC");
    };
    assert_eq!((refusal.packet_id, refusal.code), (4, 0x97));
    // Room comes back, and the refused identifier is free.
    p.send(Packet::PubRel(Ack::new(2)));
    p.expect(Packet::PubComp(Ack::new(2)));
    p.send(Publish::new("a", "x").qos(2).id(4));
    p.expect(Packet::PubRec(Ack::new(4)));
}

#[test]
fn a_reader_that_takes_nothing_loses_qos_0_first_and_costs_a_bounded_amount() {
    for version in Version::ALL {
        let world = World::with(|s| s.max_output_bytes = 10_000);
        let slow = world.client(version, "slow").connect();
        slow.subscribe("a", 1);
        slow.cut_output(0);
        let quick = world.client(version, "quick").connect();
        quick.subscribe("a", 0);
        let p = world.client(version, "p").connect();
        let payload = "x".repeat(1000);
        for n in 0..100 {
            p.say("a", &payload, 0);
            quick.hear("a", &payload);
            if n % 20 == 0 {
                p.say("a", &format!("important {n}"), 1);
                quick.hear("a", &format!("important {n}"));
            }
        }
        slow.cut_output(usize::MAX);
        let heard = slow.payloads();
        let (short, long): (Vec<String>, Vec<String>) = heard
            .into_iter()
            .partition(|text| text.starts_with("important"));
        assert_eq!(short.len(), 5, "QoS 1 is not dropped with QoS 0");
        assert!((5..=20).contains(&long.len()), "{} were kept", long.len());
        p.say("a", "again", 0);
        slow.hear("a", "again");
    }
}

#[test]
fn pings_whose_answers_are_not_read_are_not_answered_for_ever() {
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").connect();
        client.cut_output(0);
        for _ in 0..200 {
            client.raw(&[0xC0, 0].repeat(1000));
        }
        client.cut_output(usize::MAX);
        // Everything was answered in the end, or the connection was given up.
        let answers = client.take_all();
        assert!(client.is_closed() || answers == vec![Packet::PingResp; 200_000]);
    }
}

#[test]
fn a_prefix_of_client_identifiers_can_be_asked_for() {
    for version in Version::NUMBERED {
        let world = World::with(|s| {
            s.listeners[0].clientid_prefixes = Some("site-".to_string());
        });
        world.client(version, "site-7").connect();
        let code = world.client(version, "other").refused();
        let not_authorized = if version == Version::V5 { 0x87 } else { 5 };
        assert_eq!(code, not_authorized);
        // A made-up one has to begin so, too.
        let code = world.client(version, "").refused();
        assert_eq!(code, not_authorized);
        let made_up = World::with(|s| {
            s.listeners[0].clientid_prefixes = Some("site-".to_string());
            s.listeners[0].auto_id_prefix = "site-auto-".to_string();
        });
        made_up.client(version, "").connect();
    }
}
