//! The Will (sections 3.1.2.5 and 3.1.3.2): what is said in a client's name when it is lost.

use crate::client::Client;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

/// A world with somebody who listens to everything.
fn mourned(version: Version) -> (World, Client) {
    let world = World::new();
    let witness = world.client(version, "witness").connect();
    witness.subscribe("#", 2);
    (world, witness)
}

#[test]
fn a_lost_client_leaves_its_will() {
    proves![
        "3.1.1:MQTT-3.1.2-8",
        "5.0:MQTT-3.1.2-7",
        "5.0:MQTT-3.1.2-8",
        "3.1.1:MQTT-3.1.2-9"
    ];
    for version in Version::ALL {
        for qos in 0..=2 {
            let (world, witness) = mourned(version);
            let will = Will::new("gone", "meter 7").qos(qos);
            let meter = world.client(version, "meter").will(will).connect();
            witness.expect_nothing();
            meter.drop_link();
            assert_eq!(witness.hear("gone", "meter 7").qos, qos);
            witness.expect_nothing();
        }
    }
}

#[test]
fn a_client_that_leaves_in_good_order_leaves_no_will() {
    proves![
        "3.1.1:MQTT-3.1.2-10",
        "3.1.1:MQTT-3.14.4-3",
        "5.0:MQTT-3.1.2-10",
        "5.0:MQTT-3.14.4-3",
        "5.0:MQTT-3.1.2-8"
    ];
    for version in Version::ALL {
        let (world, witness) = mourned(version);
        let meter = world
            .client(version, "meter")
            .will(Will::new("gone", "x"))
            .connect();
        meter.disconnect();
        meter.drop_link();
        world.advance_s(1000);
        witness.expect_nothing();
    }
}

#[test]
fn a_will_is_published_once() {
    proves!["3.1.1:MQTT-3.1.2-10", "5.0:MQTT-3.1.2-10"];
    for version in Version::ALL {
        let (world, witness) = mourned(version);
        let will = Will::new("gone", "x");
        world
            .client(version, "meter")
            .durable()
            .will(will)
            .connect()
            .drop_link();
        witness.hear("gone", "x");
        // The next connection has no will of its own.
        world
            .client(version, "meter")
            .durable()
            .connect()
            .drop_link();
        witness.expect_nothing();
    }
}

#[test]
fn without_the_will_flag_nothing_is_published() {
    proves!["3.1.1:MQTT-3.1.2-12"];
    for version in Version::ALL {
        let (world, witness) = mourned(version);
        world.client(version, "meter").connect().drop_link();
        witness.expect_nothing();
    }
}

#[test]
fn a_will_is_retained_or_not_as_its_flag_says() {
    proves![
        "3.1.1:MQTT-3.1.2-16",
        "3.1.1:MQTT-3.1.2-17",
        "5.0:MQTT-3.1.2-14",
        "5.0:MQTT-3.1.2-15"
    ];
    for version in Version::ALL {
        let world = World::new();
        world
            .client(version, "a")
            .will(Will::new("plain", "x"))
            .connect()
            .drop_link();
        world
            .client(version, "b")
            .will(Will::new("kept", "x").retain())
            .connect()
            .drop_link();
        let late = world.client(version, "late").connect();
        late.subscribe("#", 0);
        assert!(late.hear("kept", "x").retain);
        late.expect_nothing();
    }
}

#[test]
fn an_empty_will_is_a_message_as_well() {
    for version in Version::ALL {
        let (world, witness) = mourned(version);
        witness.retain("gone", "stale", 0);
        witness.hear("gone", "stale");
        world
            .client(version, "a")
            .will(Will::new("gone", "").retain())
            .connect()
            .drop_link();
        witness.hear("gone", "");
        let late = world.client(version, "late").connect();
        late.subscribe("gone", 0);
        late.expect_nothing();
    }
}

#[test]
fn a_broken_packet_is_a_lost_client() {
    proves!["3.1.1:MQTT-3.1.2-8", "5.0:MQTT-3.1.2-8"];
    for version in Version::ALL {
        let (world, witness) = mourned(version);
        let meter = world
            .client(version, "meter")
            .will(Will::new("gone", "x"))
            .connect();
        meter.raw(&[0x36, 0x00]);
        assert!(meter.is_closed());
        witness.hear("gone", "x");
    }
}

#[test]
fn silence_beyond_keep_alive_is_a_lost_client() {
    proves![
        "3.1.1:MQTT-3.1.2-24",
        "5.0:MQTT-3.1.2-22",
        "3.1.1:MQTT-3.1.2-8"
    ];
    for version in Version::ALL {
        let (world, witness) = mourned(version);
        let meter = world
            .client(version, "m")
            .keep_alive(10)
            .will(Will::new("gone", "x"))
            .connect();
        world.advance_ms(14_900);
        witness.expect_nothing();
        world.advance_ms(5_100);
        witness.hear("gone", "x");
        assert!(meter.is_closed());
    }
}

#[test]
fn a_client_can_leave_and_ask_for_its_will() {
    proves!["5.0:MQTT-3.1.2-8"];
    let (world, witness) = mourned(Version::V5);
    let meter = world
        .v5("meter")
        .will(Will::new("gone", "on purpose"))
        .connect();
    meter.disconnect_with(Disconnect::new(0x04));
    witness.hear("gone", "on purpose");
}

#[test]
fn a_will_can_wait() {
    proves!["5.0:MQTT-3.1.2-8"];
    let (world, witness) = mourned(Version::V5);
    let will = Will::new("gone", "x").with(Property::WillDelayInterval(30));
    let meter = world.v5("meter").durable().will(will).connect();
    meter.drop_link();
    world.advance_s(29);
    witness.expect_nothing();
    world.advance_s(2);
    let heard = witness.hear("gone", "x");
    assert_eq!(heard.properties, [], "the delay itself is not forwarded");
}

#[test]
fn a_will_does_not_wait_longer_than_the_session() {
    proves!["5.0:MQTT-3.1.2-8"];
    let (world, witness) = mourned(Version::V5);
    let will = Will::new("gone", "x").with(Property::WillDelayInterval(300));
    let expiry = Property::SessionExpiryInterval(10);
    world
        .v5("meter")
        .with(expiry)
        .will(will.clone())
        .connect()
        .drop_link();
    world.advance_s(9);
    witness.expect_nothing();
    world.advance_s(2);
    witness.hear("gone", "x");

    // A session that ends with its connection ends the delay with it.
    world.v5("brief").will(will).connect().drop_link();
    witness.hear("gone", "x");
}

#[test]
fn a_client_that_comes_back_in_time_takes_its_will_back() {
    proves!["5.0:MQTT-3.1.3-9", "5.0:MQTT-3.1.2-8"];
    let (world, witness) = mourned(Version::V5);
    let will = Will::new("gone", "x").with(Property::WillDelayInterval(30));
    world.v5("meter").durable().will(will).connect().drop_link();
    world.advance_s(20);
    let back = world.v5("meter").durable().connect();
    assert!(back.session_present());
    world.advance_s(1000);
    witness.expect_nothing();
}

#[test]
fn a_client_that_comes_back_with_another_will_has_only_that() {
    proves!["5.0:MQTT-3.1.3-9"];
    let (world, witness) = mourned(Version::V5);
    let will = |text, s| Will::new("gone", text).with(Property::WillDelayInterval(s));
    let first = world.v5("meter").durable().will(will("first", 30));
    first.connect().drop_link();
    world.advance_s(20);
    let second = world.v5("meter").durable().will(will("second", 60));
    let back = second.connect();
    world.advance_s(1000); // the first one's moment passes while the client is here
    witness.expect_nothing();
    back.drop_link();
    world.advance_s(59);
    witness.expect_nothing();
    world.advance_s(2);
    witness.hear("gone", "second");
    world.advance_s(1000);
    witness.expect_nothing();
}

#[test]
fn a_clean_start_ends_the_session_and_its_will_speaks() {
    let (world, witness) = mourned(Version::V5);
    let will = Will::new("gone", "x").with(Property::WillDelayInterval(30));
    world.v5("meter").durable().will(will).connect().drop_link();
    world.advance_s(5);
    world.v5("meter").clean(true).connect();
    witness.hear("gone", "x");
    world.advance_s(1000);
    witness.expect_nothing();
}

#[test]
fn a_takeover_publishes_the_will_unless_it_waits() {
    // The first connection was closed without a DISCONNECT from the client; a delayed will is
    // called off by the connection that goes on with the session.
    for (delay, expected) in [(None, 1), (Some(0), 1), (Some(60), 0)] {
        let (world, witness) = mourned(Version::V5);
        let mut will = Will::new("gone", "x");
        if let Some(delay) = delay {
            will = will.with(Property::WillDelayInterval(delay));
        }
        let first = world.v5("meter").durable().will(will).connect();
        let _second = world.v5("meter").durable().connect();
        first.expect_end(0x8E);
        world.advance_s(1000);
        assert_eq!(witness.payloads().len(), expected, "delay {delay:?}");
    }
}

#[test]
fn a_takeover_before_5_0_publishes_the_will() {
    proves!["3.1.1:MQTT-3.1.2-8"];
    for version in [Version::V31, Version::V311] {
        let (world, witness) = mourned(version);
        let _first = world
            .client(version, "meter")
            .will(Will::new("gone", "x"))
            .connect();
        let _second = world.client(version, "meter").connect();
        witness.hear("gone", "x");
        witness.expect_nothing();
    }
}

#[test]
fn a_will_carries_its_properties_in_their_order() {
    proves!["5.0:MQTT-3.1.3-10", "5.0:MQTT-3.3.2-18"];
    let (world, witness) = mourned(Version::V5);
    let pair = |k: &str, v: &str| Property::UserProperty(k.to_string(), v.to_string());
    let properties = vec![
        Property::PayloadFormatIndicator(1),
        Property::ContentType("text/plain".to_string()),
        Property::ResponseTopic("reply".to_string()),
        Property::CorrelationData(vec![0, 1, 2]),
        pair("b", "1"),
        pair("a", "2"),
        pair("b", "1"),
        pair("", ""),
    ];
    let mut will = Will::new("gone", "x").qos(1);
    will.properties = properties.clone();
    will.properties.push(Property::WillDelayInterval(0));
    world.v5("meter").will(will).connect().drop_link();
    let heard = witness.hear("gone", "x");
    let is_user = |p: &&Property| matches!(p, Property::UserProperty(..));
    let users: Vec<&Property> = heard.properties.iter().filter(is_user).collect();
    assert_eq!(users, properties.iter().filter(is_user).collect::<Vec<_>>());
    for property in &properties {
        assert!(heard.properties.contains(property), "{property:?}");
    }
}

#[test]
fn a_wills_expiry_counts_from_its_publication() {
    let (world, witness) = mourned(Version::V5);
    let will = Will::new("gone", "x")
        .with(Property::WillDelayInterval(100))
        .with(Property::MessageExpiryInterval(10));
    world.v5("meter").durable().will(will).connect().drop_link();
    world.advance_s(101);
    assert_eq!(
        witness.hear("gone", "x").properties,
        [Property::MessageExpiryInterval(10)]
    );
}

#[test]
fn a_will_topic_is_a_topic_name_not_a_filter() {
    for version in Version::ALL {
        for topic in ["a/+", "#", "a#b"] {
            let (world, witness) = mourned(version);
            let link = world
                .client(version, "meter")
                .will(Will::new(topic, "x"))
                .dial();
            assert!(link.is_closed(), "{topic}");
            witness.expect_nothing();
        }
    }
}

#[test]
fn a_will_goes_to_the_session_of_who_is_away() {
    for version in Version::ALL {
        let world = World::new();
        let sleeper = world.client(version, "sleeper").durable().connect();
        sleeper.subscribe("gone", 1);
        sleeper.drop_link();
        world
            .client(version, "meter")
            .will(Will::new("gone", "x").qos(1))
            .connect()
            .drop_link();
        world
            .client(version, "sleeper")
            .durable()
            .connect()
            .hear("gone", "x");
    }
}
