//! Authorisation as clients see it: what an ACL denies, and how the answer looks.

use crate::common::packet::*;
use crate::world::World;

fn guarded(text: &str) -> World {
    World::with(|s| crate::seam::acl(s, text))
}

#[test]
fn a_denied_publish_is_told_to_5_0_and_quietly_acknowledged_before() {
    proves!["3.1.1:MQTT-3.3.5-2", "5.0:MQTT-3.4.2-1", "5.0:MQTT-3.5.2-1"];
    for version in Version::ALL {
        let world = guarded("topic read #\ntopic write open/#\n");
        let witness = world.client(version, "w").connect();
        witness.subscribe("#", 2);
        let p = world.client(version, "p").connect();
        let code = if version == Version::V5 { 0x87 } else { 0 };
        assert_eq!(p.say("shut", "x", 0), 0);
        assert_eq!(p.say("shut", "x", 1), code);
        assert_eq!(p.say("shut", "x", 2), code);
        assert_eq!(p.retain("shut", "x", 1), code);
        witness.expect_nothing();
        assert_eq!(p.say("open/door", "x", 1), 0);
        witness.hear("open/door", "x");
        let late = world.client(version, "late").connect();
        late.subscribe("shut", 0);
        late.expect_nothing();
    }
}

#[test]
fn a_denied_delivery_does_not_arrive() {
    for version in Version::ALL {
        let world = guarded("topic write #\ntopic read open/#\n");
        let sub = world.client(version, "sub").durable().connect();
        assert_eq!(sub.subscribe("#", 1), 1, "a subscription itself is granted");
        let p = world.client(version, "p").connect();
        p.say("shut", "x", 1);
        p.retain("shut", "kept", 1);
        p.say("open/a", "x", 1);
        sub.hear("open/a", "x");
        sub.expect_nothing();
        sub.drop_link();
        p.say("shut", "x", 1);
        p.say("open/b", "x", 1);
        let sub = world.client(version, "sub").durable().connect();
        sub.hear("open/b", "x");
        sub.expect_nothing();
        sub.subscribe("shut", 1);
        sub.expect_nothing();
    }
}

#[test]
fn a_denied_will_is_not_published() {
    for version in Version::ALL {
        let world = guarded("topic read #\ntopic write open/#\n");
        let witness = world.client(version, "w").connect();
        witness.subscribe("#", 0);
        world
            .client(version, "a")
            .will(Will::new("shut", "x").retain())
            .connect()
            .drop_link();
        witness.expect_nothing();
        world
            .client(version, "b")
            .will(Will::new("open/b", "x"))
            .connect()
            .drop_link();
        witness.hear("open/b", "x");
    }
}

#[test]
fn deny_goes_before_what_allows() {
    for version in Version::NUMBERED {
        let world = guarded("topic readwrite a/#\ntopic deny a/secret\n");
        let sub = world.client(version, "sub").connect();
        sub.subscribe("a/#", 0);
        sub.say("a/secret", "x", 0);
        sub.say("a/b", "x", 0);
        sub.hear("a/b", "x");
        sub.expect_nothing();
    }
}

#[test]
fn a_pattern_gives_each_client_its_own_place() {
    for version in Version::NUMBERED {
        let world = guarded("pattern readwrite device/%c/#\n");
        let a = world.client(version, "a").connect();
        a.subscribe("#", 0);
        let b = world.client(version, "b").connect();
        b.subscribe("#", 0);
        a.say("device/a/state", "on", 0);
        b.say("device/a/state", "forged", 0);
        a.hear("device/a/state", "on");
        a.expect_nothing();
        b.expect_nothing();
        // A name with a wildcard in it opens nothing.
        let sly = world.client(version, "+").connect();
        sly.subscribe("device/#", 0);
        a.say("device/a/state", "off", 0);
        a.hear("device/a/state", "off");
        sly.expect_nothing();
    }
}

#[test]
fn a_user_has_rights_of_its_own() {
    let world = World::with(|s| {
        crate::seam::one_user(s, "ann", "secret");
        crate::seam::acl(s, "topic read public\nuser ann\ntopic readwrite #\n");
    });
    let ann = world.v5("a").user("ann").password("secret").connect();
    let anybody = world.v5("b").connect();
    anybody.subscribe("#", 0);
    assert!(ann.say("private", "x", 1) < 0x80);
    assert_eq!(ann.say("public", "x", 1), 0);
    anybody.hear("public", "x");
    anybody.expect_nothing();
    assert_eq!(anybody.say("public", "x", 1), 0x87);
}

#[test]
fn the_user_name_can_be_the_client_identifier() {
    let world = World::with(|s| {
        crate::seam::one_user(s, "ann", "secret");
        s.listeners[0].use_username_as_clientid = true;
    });
    let first = world.v5("x").user("ann").password("secret").connect();
    let _second = world.v5("y").user("ann").password("secret").connect();
    first.expect_end(0x8E);
    // Without a user name there is no identifier.
    assert!((0x85..=0x87).contains(&world.v5("z").refused()));
}

#[test]
fn after_a_reload_other_rights_hold() {
    for version in Version::NUMBERED {
        let world = guarded("topic readwrite a\n");
        let client = world.client(version, "c").connect();
        client.subscribe("#", 0);
        client.say("a", "before", 0);
        client.hear("a", "before");
        let mut settings = crate::seam::story_settings();
        crate::seam::acl(&mut settings, "topic readwrite b\n");
        world.seam(|seam| seam.broker(|broker, now| broker.reload(settings, now)));
        client.say("a", "after", 0);
        client.expect_nothing();
        client.say("b", "after", 0);
        client.hear("b", "after");
    }
}

#[test]
fn a_retained_message_of_who_lost_the_right_to_it_is_not_delivered() {
    for is_checked in [true, false] {
        let before = "topic read a\nuser ann\ntopic readwrite a\n";
        let after = "topic read a\nuser ann\ntopic read a\n";
        let with = |settings: &mut crate::seam::Settings, text: &str| {
            settings.check_retain_source = is_checked;
            crate::seam::one_user(settings, "ann", "secret");
            crate::seam::acl(settings, text);
        };
        let world = World::with(|s| with(s, before));
        let ann = world.v311("ann").user("ann").password("secret").connect();
        ann.retain("a", "kept", 1);
        ann.disconnect();
        let early = world.v311("early").connect();
        early.subscribe("a", 0);
        early.hear("a", "kept");

        let mut settings = crate::seam::story_settings();
        with(&mut settings, after);
        world.seam(|seam| seam.broker(|broker, now| broker.reload(settings, now)));
        let late = world.v311("late").connect();
        late.subscribe("a", 0);
        assert_eq!(late.payloads().len(), usize::from(!is_checked));
    }
}

#[test]
fn a_right_that_is_lost_before_pubrel_is_lost() {
    for version in Version::NUMBERED {
        let world = guarded("topic readwrite a\n");
        let witness = world.client(version, "w").connect();
        witness.subscribe("a", 0);
        let client = world.client(version, "c").connect();
        client.send(Publish::new("a", "x").qos(2).id(1).retain());
        client.expect(Packet::PubRec(Ack::new(1)));
        let mut settings = crate::seam::story_settings();
        crate::seam::acl(&mut settings, "topic read a\n");
        world.seam(|seam| seam.broker(|broker, now| broker.reload(settings, now)));
        client.send(Packet::PubRel(Ack::new(1)));
        client.expect(Packet::PubComp(Ack::new(1)));
        witness.expect_nothing();
        let late = world.client(version, "late").connect();
        late.subscribe("a", 0);
        late.expect_nothing();
    }
}

#[test]
fn after_a_reload_who_may_not_be_here_is_sent_away() {
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").connect();
        let mut settings = crate::seam::story_settings();
        settings.listeners[0].allow_anonymous = false;
        world.seam(|seam| seam.broker(|broker, now| broker.reload(settings, now)));
        assert!(client.is_closed());
        let not_authorised = if version == Version::V5 { 0x87 } else { 5 };
        assert_eq!(world.client(version, "d").refused(), not_authorised);
    }
}

#[test]
fn what_waits_for_a_client_is_not_delivered_once_it_may_not_read_it_any_more() {
    for version in Version::NUMBERED {
        let world = guarded("topic readwrite #\n");
        let p = world.client(version, "p").connect();
        let sub = world.client(version, "sub").durable().connect();
        sub.subscribe("#", 2);
        // One is under way when the rights change, with others behind it in its window.
        p.say("shut", "sent", 2);
        sub.publication();
        sub.drop_link();
        for qos in [1, 2, 1] {
            p.say("shut", "x", qos);
            p.say("open", "x", qos);
        }
        let mut settings = crate::seam::story_settings();
        crate::seam::acl(&mut settings, "topic write #\ntopic read open\n");
        world.seam(|seam| seam.broker(|broker, now| broker.reload(settings, now)));

        let sub = world.client(version, "sub").durable().connect();
        sub.hear("shut", "sent");
        for _ in 0..3 {
            sub.hear("open", "x");
        }
        sub.expect_nothing();
        // What was not sent holds no place in its window.
        for round in 0..70 {
            p.say("shut", "x", 1);
            let round = round.to_string();
            p.say("open", &round, 1);
            sub.hear("open", &round);
        }
        sub.expect_nothing();
    }
}
