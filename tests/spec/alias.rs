//! Topic aliases (section 3.3.2.3.4): two bytes in place of a topic name, in both directions.

use crate::client::Client;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

fn alias(n: u16) -> Property {
    Property::TopicAlias(n)
}

/// Alias and topic as they were on the wire.
fn on_wire(publish: &Publish) -> (Option<u16>, &str) {
    let alias = publish.properties.iter().find_map(|p| match p {
        Property::TopicAlias(alias) => Some(*alias),
        _ => None,
    });
    (alias, &publish.topic)
}

#[test]
fn an_alias_stands_for_the_topic_it_was_given_with() {
    proves!["5.0:MQTT-3.3.2-12"];
    let world = World::new();
    let sub = world.v5("sub").connect();
    sub.subscribe("#", 2);
    let p = world.v5("p").connect();
    for n in 1..=10 {
        let topic = format!("topic/{n}");
        p.publish(Publish::new(&topic, "named").with(alias(n)));
        sub.hear(&topic, "named");
    }
    for qos in 0..=2 {
        for n in (1..=10).rev() {
            p.publish(Publish::new("", "by alias").qos(qos).with(alias(n)));
            assert_eq!(sub.hear(&format!("topic/{n}"), "by alias").qos, qos);
        }
    }
}

#[test]
fn an_alias_can_be_given_to_another_topic() {
    let world = World::new();
    let sub = world.v5("sub").connect();
    sub.subscribe("#", 0);
    let p = world.v5("p").connect();
    for topic in ["a", "b", "a"] {
        p.publish(Publish::new(topic, "1").with(alias(1)));
        p.publish(Publish::new("", "2").with(alias(1)));
        sub.hear(topic, "1");
        sub.hear(topic, "2");
    }
}

#[test]
fn the_aliases_of_a_publisher_are_not_handed_on() {
    let world = World::new();
    let sub = world.v5("sub").connect();
    sub.subscribe("#", 0);
    let old = world.v311("old").connect();
    old.subscribe("#", 0);
    let p = world.v5("p").connect();
    p.publish(Publish::new("a", "1").with(alias(1)));
    p.publish(Publish::new("", "2").with(alias(1)));
    for client in [&sub, &old] {
        assert_eq!(client.hear("a", "1").properties, []);
        assert_eq!(client.hear("a", "2").properties, []);
    }
}

#[test]
fn aliases_belong_to_one_connection() {
    proves!["5.0:MQTT-3.3.2-7"];
    let world = World::new();
    let p = world.v5("p").durable().connect();
    p.publish(Publish::new("a", "x").with(alias(1)));
    p.drop_link();
    let p = world.v5("p").durable().connect();
    assert!(p.session_present());
    p.send(Publish::new("", "x").with(alias(1)));
    p.expect_end(0x82);

    // Nor do those of one client mean anything for another.
    let a = world.v5("a").connect();
    a.publish(Publish::new("a", "x").with(alias(2)));
    let b = world.v5("b").connect();
    b.send(Publish::new("", "x").with(alias(2)));
    b.expect_end(0x82);
}

#[test]
fn an_alias_of_0_or_above_the_maximum_is_invalid() {
    for (maximum, bad) in [(10, 0), (10, 11), (10, 65_535), (0, 1), (3, 4)] {
        let world = World::with(|s| s.listeners[0].max_topic_alias = maximum);
        let p = world.v5("p").connect();
        p.send(Publish::new("a", "x").with(alias(bad)));
        p.expect_end(0x94);
    }
}

#[test]
fn a_message_with_an_alias_and_qos_2_can_be_released_after_the_alias_has_changed() {
    let world = World::new();
    let sub = world.v5("sub").connect();
    sub.subscribe("#", 0);
    let p = world.v5("p").connect();
    p.publish(Publish::new("a", "0").with(alias(1)));
    p.send(Publish::new("", "held").qos(2).id(9).with(alias(1)));
    p.publish(Publish::new("b", "1").with(alias(1)));
    assert!(matches!(p.next(), Packet::PubRec(_)));
    p.send(Packet::PubRel(Ack::new(9)));
    sub.hear("a", "0");
    sub.hear("b", "1");
    sub.hear("a", "held");
}

fn listener_with_aliases(world: &World, maximum: u16) -> Client {
    let sub = world
        .v5("sub")
        .with(Property::TopicAliasMaximum(maximum))
        .connect();
    sub.subscribe("#", 1);
    sub
}

#[test]
fn the_server_gives_aliases_first_come_first_served() {
    proves!["5.0:MQTT-3.1.2-26", "5.0:MQTT-3.3.2-11", "5.0:MQTT-3.3.2-8"];
    let world = World::new();
    let sub = listener_with_aliases(&world, 2);
    let p = world.v5("p").connect();
    let expected = [
        ("a", (Some(1), "a")),
        ("b", (Some(2), "b")),
        ("c", (None, "c")),
        ("a", (Some(1), "")),
        ("b", (Some(2), "")),
        ("c", (None, "c")),
        ("a", (Some(1), "")),
    ];
    for (topic, wire) in expected {
        p.say(topic, "x", 0);
        assert_eq!(on_wire(&sub.message()), wire);
    }
}

#[test]
fn the_server_gives_no_more_aliases_than_it_is_set_to() {
    proves!["5.0:MQTT-3.3.2-11"];
    let world = World::with(|s| s.listeners[0].max_topic_alias_broker = 1);
    let sub = listener_with_aliases(&world, 100);
    let p = world.v5("p").connect();
    for (topic, wire) in [
        ("a", (Some(1), "a")),
        ("b", (None, "b")),
        ("a", (Some(1), "")),
    ] {
        p.say(topic, "x", 1);
        assert_eq!(on_wire(&sub.message()), wire);
    }
}

#[test]
fn a_client_that_names_no_maximum_gets_no_aliases() {
    proves!["5.0:MQTT-3.1.2-27"];
    for maximum in [None, Some(0)] {
        let world = World::new();
        let mut dial = world.v5("sub");
        if let Some(maximum) = maximum {
            dial = dial.with(Property::TopicAliasMaximum(maximum));
        }
        let sub = dial.connect();
        sub.subscribe("#", 0);
        let p = world.v5("p").connect();
        for _ in 0..3 {
            p.say("a", "x", 0);
            assert_eq!(on_wire(&sub.message()), (None, "a"));
        }
    }
}

#[test]
fn the_servers_aliases_begin_anew_with_each_connection() {
    proves!["5.0:MQTT-3.3.2-7"];
    let world = World::new();
    let dial = || {
        world
            .v5("sub")
            .durable()
            .with(Property::TopicAliasMaximum(5))
    };
    let sub = dial().connect();
    sub.subscribe("#", 1);
    let p = world.v5("p").connect();
    p.say("a", "1", 1);
    p.say("a", "2", 1);
    assert_eq!(on_wire(&sub.publication()), (Some(1), "a"));
    assert_eq!(on_wire(&sub.publication()), (Some(1), ""));
    sub.drop_link();
    let sub = dial().connect();
    // The watch fails on an alias that this connection was not told.
    assert_eq!(on_wire(&sub.publication()), (Some(1), "a"));
    assert_eq!(on_wire(&sub.publication()), (Some(1), ""));
}

#[test]
fn a_slow_socket_does_not_confuse_the_aliases() {
    let world = World::new();
    let sub = listener_with_aliases(&world, 3);
    sub.cut_output(1);
    let p = world.v5("p").connect();
    let mut known: [Option<String>; 4] = Default::default();
    for n in 0..50 {
        let topic = ["a", "b", "c", "d", "e"][n % 5];
        p.say(topic, topic, (n % 2) as u8);
        let message = sub.message();
        if let (Some(alias), name) = on_wire(&message) {
            let known = &mut known[usize::from(alias)];
            if !name.is_empty() {
                *known = Some(name.to_string());
            }
            assert_eq!(known.as_deref(), Some(message.text().as_str()));
        } else {
            assert_eq!(message.topic, message.text());
        }
    }
}
