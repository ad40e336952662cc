//! Retained messages (section 3.3.1.3): the last word on a topic, kept for whoever asks later.

use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

#[test]
fn a_retained_message_waits_for_new_subscriptions() {
    proves![
        "3.1.1:MQTT-3.3.1-5",
        "3.1.1:MQTT-3.3.1-6",
        "3.1.1:MQTT-3.3.1-8",
        "5.0:MQTT-3.3.1-5",
        "5.0:MQTT-3.3.1-9"
    ];
    for version in Version::ALL {
        for qos in 0..=2 {
            let world = World::new();
            let p = world.client(version, "p").connect();
            p.retain("status", "old", qos);
            p.retain("status", "on", qos);
            p.retain("status/deep", "also", qos);
            p.disconnect();
            let sub = world.client(version, "sub").connect();
            sub.subscribe("status", 2);
            let heard = sub.hear("status", "on");
            assert!(heard.retain, "the flag tells that it is an old message");
            assert_eq!(heard.qos, qos, "the QoS is kept with the message");
            sub.expect_nothing();
        }
    }
}

#[test]
fn wildcards_find_every_retained_message_that_matches() {
    proves!["3.1.1:MQTT-3.3.1-6", "5.0:MQTT-3.3.1-9"];
    for version in Version::ALL {
        let world = World::new();
        let p = world.client(version, "p").connect();
        for topic in ["a", "a/b", "a/c", "a/b/c", "d", "/a", "a/"] {
            p.retain(topic, topic, 1);
        }
        let find = |filter: &str| {
            let sub = world.client(version, &format!("sub of {filter}")).connect();
            sub.subscribe(filter, 1);
            let mut found = sub.payloads();
            found.sort();
            found
        };
        assert_eq!(find("#"), ["/a", "a", "a/", "a/b", "a/b/c", "a/c", "d"]);
        assert_eq!(find("a/#"), ["a", "a/", "a/b", "a/b/c", "a/c"]);
        assert_eq!(find("a/+"), ["a/", "a/b", "a/c"]);
        assert_eq!(find("+"), ["a", "d"]);
        assert_eq!(find("+/+"), ["/a", "a/", "a/b", "a/c"]);
        assert_eq!(find("a/b/c"), ["a/b/c"]);
        assert_eq!(find("a/b/c/#"), ["a/b/c"]);
        assert_eq!(find("b"), [""; 0]);
    }
}

#[test]
fn an_established_subscription_sees_the_flag_as_0() {
    proves!["3.1.1:MQTT-3.3.1-9", "5.0:MQTT-3.3.1-12"];
    for version in Version::ALL {
        let world = World::new();
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 1);
        let p = world.client(version, "p").connect();
        p.retain("a", "kept", 1);
        assert!(!sub.hear("a", "kept").retain);
        p.say("a", "not kept", 1);
        assert!(!sub.hear("a", "not kept").retain);
    }
}

#[test]
fn retain_as_published_hands_the_flag_on() {
    proves!["5.0:MQTT-3.3.1-13", "5.0:MQTT-3.3.1-12"];
    let world = World::new();
    let sub = world.v5("sub").connect();
    sub.subscribe("as/+", 1 | RETAIN_AS_PUBLISHED);
    sub.subscribe("plain/+", 1);
    let p = world.v5("p").connect();
    p.retain("as/1", "r", 1);
    assert!(sub.hear("as/1", "r").retain);
    p.say("as/2", "n", 1);
    assert!(!sub.hear("as/2", "n").retain);
    p.retain("plain/1", "r", 1);
    assert!(!sub.hear("plain/1", "r").retain);
}

#[test]
fn an_empty_payload_clears_the_topic() {
    proves![
        "3.1.1:MQTT-3.3.1-10",
        "3.1.1:MQTT-3.3.1-11",
        "5.0:MQTT-3.3.1-6",
        "5.0:MQTT-3.3.1-7"
    ];
    for version in Version::ALL {
        for qos in 0..=2 {
            let world = World::new();
            let watching = world.client(version, "watching").connect();
            watching.subscribe("a", 2);
            let p = world.client(version, "p").connect();
            p.retain("a", "x", qos);
            watching.hear("a", "x");
            p.retain("a", "", qos);
            let heard = watching.hear("a", "");
            assert!(
                !heard.retain && heard.qos == qos,
                "delivered like any other message"
            );
            let late = world.client(version, "late").connect();
            late.subscribe("a", 2);
            late.expect_nothing();
            // Clearing what is not there does nothing.
            p.retain("b", "", qos);
            late.subscribe("b", 2);
            late.expect_nothing();
        }
    }
}

#[test]
fn a_message_without_the_flag_leaves_the_retained_one_alone() {
    proves!["3.1.1:MQTT-3.3.1-12", "5.0:MQTT-3.3.1-8"];
    for version in Version::ALL {
        let world = World::new();
        let p = world.client(version, "p").connect();
        p.retain("a", "kept", 1);
        p.say("a", "passing", 1);
        p.say("a", "", 1);
        p.say("b", "passing", 1);
        let sub = world.client(version, "sub").connect();
        sub.subscribe("#", 1);
        sub.hear("a", "kept");
        sub.expect_nothing();
    }
}

#[test]
fn a_retained_message_of_qos_0_replaces_the_earlier_one() {
    proves!["3.1.1:MQTT-3.3.1-7"];
    for version in Version::NUMBERED {
        let world = World::new();
        let p = world.client(version, "p").connect();
        p.retain("a", "first", 2);
        p.retain("a", "second", 0);
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 2);
        assert_eq!(sub.hear("a", "second").qos, 0);
    }
}

#[test]
fn retained_messages_outlive_the_session_of_their_publisher() {
    proves!["3.1.1:MQTT-3.1.2-7"];
    for version in Version::ALL {
        let world = World::new();
        world.client(version, "p").connect().retain("a", "kept", 1);
        let p = world.client(version, "p").connect();
        p.subscribe("a", 1);
        p.hear("a", "kept");
        p.disconnect();
        world.advance_s(1_000_000);
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a", 0);
        sub.hear("a", "kept");
    }
}

#[test]
fn subscribing_again_brings_the_retained_messages_again() {
    proves!["3.1.1:MQTT-3.8.4-3", "5.0:MQTT-3.8.4-4", "5.0:MQTT-3.3.1-9"];
    for version in Version::ALL {
        let world = World::new();
        world.client(version, "p").connect().retain("a", "kept", 1);
        let sub = world.client(version, "sub").connect();
        for _ in 0..3 {
            sub.subscribe("a", 1);
            assert!(sub.hear("a", "kept").retain);
            sub.expect_nothing();
        }
    }
}

#[test]
fn retain_handling_decides_who_gets_the_old_messages() {
    proves![
        "5.0:MQTT-3.3.1-9",
        "5.0:MQTT-3.3.1-10",
        "5.0:MQTT-3.3.1-11",
        "5.0:MQTT-3.8.4-4"
    ];
    let world = World::new();
    world.v5("p").connect().retain("a", "kept", 1);
    let sub = world.v5("sub").connect();
    sub.subscribe("a", RETAINED_NEVER);
    sub.expect_nothing();
    sub.subscribe("a", RETAINED_IF_NEW);
    sub.expect_nothing(); // the subscription is not new
    sub.subscribe("a", 0);
    sub.hear("a", "kept");
    sub.unsubscribe("a");
    sub.subscribe("a", RETAINED_IF_NEW);
    sub.hear("a", "kept");
    sub.subscribe("a", RETAINED_IF_NEW);
    sub.expect_nothing();
}

#[test]
fn a_resumed_subscription_is_not_a_new_one() {
    proves!["5.0:MQTT-3.3.1-10"];
    let world = World::new();
    world.v5("p").connect().retain("a", "kept", 0);
    let sub = world.v5("sub").durable().connect();
    sub.subscribe("a", 1);
    sub.hear("a", "kept");
    sub.drop_link();
    let sub = world.v5("sub").durable().connect();
    sub.expect_nothing();
    sub.subscribe("a", 1 | RETAINED_IF_NEW);
    sub.expect_nothing();
}

#[test]
fn a_shared_subscription_gets_no_retained_messages() {
    let world = World::new();
    world.v5("p").connect().retain("a", "kept", 1);
    let sub = world.v5("sub").connect();
    sub.subscribe("$share/g/a", 1);
    sub.expect_nothing();
}

#[test]
fn a_retained_message_keeps_its_properties() {
    let world = World::new();
    let properties = [
        Property::PayloadFormatIndicator(1),
        Property::ContentType("text/plain".to_string()),
        Property::UserProperty("unit".to_string(), "K".to_string()),
    ];
    let mut publish = Publish::new("a", "293").qos(1).retain();
    publish.properties = properties.to_vec();
    world.v5("p").connect().publish(publish);
    let sub = world.v5("sub").connect();
    let subscribe = Subscribe::new(1)
        .filter("a", 1)
        .with(Property::SubscriptionIdentifier(9));
    sub.subscribe_with(subscribe);
    let heard = sub.hear("a", "293");
    for property in properties {
        assert!(heard.properties.contains(&property), "{property:?}");
    }
    assert!(
        heard
            .properties
            .contains(&Property::SubscriptionIdentifier(9))
    );
}

#[test]
fn a_retained_message_expires() {
    proves!["5.0:MQTT-3.3.2-5", "5.0:MQTT-3.3.2-6"];
    let world = World::new();
    let brief = Property::MessageExpiryInterval(10);
    world
        .v5("p")
        .connect()
        .publish(Publish::new("a", "brief").retain().with(brief));
    world.advance_s(4);
    let early = world.v5("early").connect();
    early.subscribe("a", 0);
    let heard = early.hear("a", "brief");
    assert_eq!(heard.properties, [Property::MessageExpiryInterval(6)]);
    world.advance_s(7);
    for version in Version::ALL {
        let late = world.client(version, "late").connect();
        late.subscribe("a", 0);
        late.expect_nothing();
    }
}

#[test]
fn a_server_without_retained_messages_refuses_the_flag() {
    for version in Version::ALL {
        let world = World::with(|s| s.retain_available = false);
        let p = world.client(version, "p").connect();
        p.say("a", "x", 0);
        p.send(Publish::new("a", "x").retain());
        p.expect_end(0x9A);
    }
}

#[test]
fn thousands_of_retained_messages_arrive_in_full() {
    for version in Version::NUMBERED {
        let world = World::new();
        let p = world.client(version, "p").connect();
        for n in 0..2000 {
            p.retain(&format!("sensor/{n}/state"), &n.to_string(), 0);
        }
        let sub = world.client(version, "sub").connect();
        sub.subscribe("sensor/#", 1);
        world.advance_s(1); // the replay may take several turns
        let mut payloads: Vec<u32> = sub
            .payloads()
            .iter()
            .map(|p| p.parse().expect("a number"))
            .collect();
        payloads.sort_unstable();
        assert_eq!(payloads, (0..2000).collect::<Vec<_>>());
    }
}
