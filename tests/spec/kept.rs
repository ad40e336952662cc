//! What was acknowledged survives: the power goes in the middle of each story.

use crate::common::packet::*;
use crate::common::property::Property;
use crate::qos::{pubcomp, pubrec, pubrel};
use crate::seam::Disk;
use crate::world::World;

#[test]
fn a_lasting_session_keeps_subscriptions_and_messages_through_a_power_cut() {
    for version in Version::ALL {
        let world = World::kept();
        let sleeper = world.client(version, "sleeper").durable().connect();
        sleeper.subscribe("alarm/+", 2);
        sleeper.subscribe("other", 1);
        sleeper.unsubscribe("other");
        sleeper.drop_link();
        let station = world.client(version, "station").connect();
        station.say("alarm/1", "one", 1);
        station.say("alarm/2", "two", 2);
        station.say("other", "not subscribed", 1);
        world.crash();
        let station = world.client(version, "station").connect();
        station.say("alarm/3", "three", 1);
        world.crash();

        let awake = world.client(version, "sleeper").durable().connect();
        assert!(awake.session_present() || version == Version::V31);
        assert_eq!(awake.hear("alarm/1", "one").qos, 1);
        assert_eq!(awake.hear("alarm/2", "two").qos, 2);
        assert_eq!(awake.hear("alarm/3", "three").qos, 1);
        awake.expect_nothing();
        awake.drop_link();
        world.crash();
        let again = world.client(version, "sleeper").durable().connect();
        again.expect_nothing(); // everything was acknowledged
    }
}

#[test]
fn what_was_sent_comes_again_with_its_identifier_and_dup() {
    for version in Version::ALL {
        let world = World::kept();
        let sub = world.client(version, "sub").durable().connect();
        sub.subscribe("a", 2);
        let p = world.client(version, "p").connect();
        for (text, qos) in [("one", 1), ("two", 2), ("three", 2)] {
            p.say("a", text, qos);
        }
        let sent: Vec<Publish> = (0..3).map(|_| sub.publication()).collect();
        // The second of them is received.
        sub.send(pubrec(sent[1].packet_id));
        sub.expect(pubrel(sent[1].packet_id));
        world.crash();

        let sub = world.client(version, "sub").durable().connect();
        let first = sub.publication();
        assert_eq!(first, sent[0].clone().dup());
        sub.expect(pubrel(sent[1].packet_id));
        assert_eq!(sub.publication(), sent[2].clone().dup());
        sub.send(pubcomp(sent[1].packet_id));
        sub.expect_nothing();
        world.crash();

        let sub = world.client(version, "sub").durable().connect();
        assert_eq!(sub.hear("a", "one").packet_id, sent[0].packet_id);
        assert_eq!(sub.hear("a", "three").packet_id, sent[2].packet_id);
        let p = world.client(version, "p").connect();
        p.say("a", "four", 1);
        let next = sub.hear("a", "four").packet_id;
        assert_eq!(next, sent[2].packet_id + 1, "no identifier is used twice");
    }
}

#[test]
fn a_qos_2_message_is_taken_once_across_a_power_cut() {
    for version in Version::ALL {
        let world = World::kept();
        let sub = world.client(version, "sub").durable().connect();
        sub.subscribe("a", 2);
        sub.drop_link();
        let p = world.client(version, "p").durable().connect();
        p.send(Publish::new("a", "x").qos(2).id(7));
        p.expect(pubrec(7));
        world.crash();

        // The publisher did not see PUBREC and says it again; then it goes on.
        let p = world.client(version, "p").durable().connect();
        p.send(Publish::new("a", "x").qos(2).id(7).dup());
        p.expect(pubrec(7));
        world.crash();
        let p = world.client(version, "p").durable().connect();
        p.send(pubrel(7));
        p.expect(pubcomp(7));
        world.crash();
        let p = world.client(version, "p").durable().connect();
        p.send(pubrel(7));
        let completed = p.take("PUBCOMP", |packet| matches!(packet, Packet::PubComp(_)));
        assert!(matches!(completed, Packet::PubComp(ack) if ack.packet_id == 7));

        let sub = world.client(version, "sub").durable().connect();
        sub.hear("a", "x");
        sub.expect_nothing();
    }
}

#[test]
fn an_identifier_used_again_after_a_power_cut_is_a_new_message() {
    for version in Version::ALL {
        let world = World::kept();
        let sub = world.client(version, "sub").durable().connect();
        sub.subscribe("a", 2);
        let p = world.client(version, "p").durable().connect();
        p.send(Publish::new("a", "old").qos(2).id(1));
        p.expect(pubrec(1));
        world.crash();

        // Both were cut off, and the client has nothing to remember its state by.
        let p = world.client(version, "p").durable().connect();
        p.send(Publish::new("a", "new").qos(2).id(1));
        p.take("PUBREC", |packet| *packet == pubrec(1));
        p.send(pubrel(1));
        p.take("PUBCOMP", |packet| *packet == pubcomp(1));
        let sub = world.client(version, "sub").durable().connect();
        sub.hear("a", "old");
        sub.hear("a", "new");
        sub.expect_nothing();
    }
}

#[test]
fn retained_messages_are_the_last_ones_and_cleared_ones_stay_cleared() {
    for version in Version::ALL {
        for qos in 0..=2 {
            let world = World::kept();
            let p = world.client(version, "p").connect();
            for (topic, text) in [("t/1", "old"), ("t/2", "gone"), ("t/1", "new"), ("t/2", "")] {
                p.retain(topic, text, qos);
            }
            world.crash();
            let sub = world.client(version, "sub").durable().connect();
            sub.subscribe("t/#", 2);
            let heard = sub.hear("t/1", "new");
            assert!(heard.retain && heard.qos == qos);
            sub.expect_nothing();
        }
    }
}

#[test]
fn a_retained_message_that_was_on_its_way_to_a_session_still_is() {
    let world = World::kept();
    world.v5("p").connect().retain("t", "value", 1);
    let sub = world.v5("sub").durable().connect();
    sub.subscribe("t", 1);
    let sent = sub.publication();
    world.crash();
    let sub = world.v5("sub").durable().connect();
    assert_eq!(sub.publication(), sent.dup());
}

#[test]
fn the_options_of_a_subscription_are_kept() {
    let world = World::kept();
    let c = world.v5("c").durable().connect();
    c.subscribe("own", 1 | 1 << 2); // No Local
    c.subscribe("kept", 1 | 1 << 3); // Retain As Published
    let named = Subscribe::new(c.id()).filter("named", 1);
    c.subscribe_with(named.with(Property::SubscriptionIdentifier(77)));
    c.subscribe("$share/g/shared", 1);
    world.crash();
    let c = world.v5("c").durable().connect();
    c.say("own", "mine", 1);
    c.retain("kept", "flag", 1);
    assert!(c.hear("kept", "flag").retain);
    c.say("named", "n", 1);
    let heard = c.hear("named", "n");
    assert!(
        heard
            .properties
            .contains(&Property::SubscriptionIdentifier(77))
    );
    c.say("shared", "s", 1);
    c.hear("shared", "s");
    c.expect_nothing();
}

#[test]
fn a_session_that_was_thrown_away_is_not_back_after_a_power_cut() {
    for version in Version::NUMBERED {
        let world = World::kept();
        let old = world.client(version, "c").durable().connect();
        old.subscribe("a", 1);
        old.drop_link();
        world
            .client(version, "c")
            .clean(true)
            .connect()
            .disconnect();
        world.crash();
        let c = world.client(version, "c").durable().connect();
        assert!(!c.session_present());
        world.client(version, "p").connect().say("a", "x", 1);
        c.expect_nothing();
    }
}

#[test]
fn messages_and_sessions_grow_old_while_the_power_is_off() {
    let world = World::kept();
    let expiry = Property::SessionExpiryInterval(100);
    let c = world.v5("c").clean(false).with(expiry.clone()).connect();
    c.subscribe("a", 1);
    c.drop_link();
    let p = world.v5("p").connect();
    let short = Property::MessageExpiryInterval(10);
    p.publish(Publish::new("a", "short").qos(1).with(short));
    let long = Property::MessageExpiryInterval(50);
    p.publish(Publish::new("a", "long").qos(1).with(long));
    world.seam(|seam| seam.crash(20_000, |_| ()));
    let c = world.v5("c").clean(false).with(expiry.clone()).connect();
    let heard = c.hear("a", "long");
    assert!(
        heard
            .properties
            .contains(&Property::MessageExpiryInterval(30))
    );
    c.expect_nothing();
    c.drop_link();
    world.seam(|seam| seam.crash(99_000, |_| ()));
    let c = world.v5("c").clean(false).with(expiry.clone()).connect();
    assert!(c.session_present());
    c.drop_link();
    world.seam(|seam| seam.crash(101_000, |_| ()));
    let c = world.v5("c").clean(false).with(expiry).connect();
    assert!(!c.session_present());
}

fn gone_will() -> Will {
    Will {
        qos: 1,
        retain: false,
        properties: Vec::new(),
        topic: "state".to_string(),
        payload: b"gone".to_vec(),
    }
}

#[test]
fn the_will_of_a_client_that_does_not_come_back_is_published() {
    for version in Version::ALL {
        for is_durable in [false, true] {
            let world = World::kept();
            let watcher = world.client(version, "watcher").durable().connect();
            watcher.subscribe("state", 1);
            let pump = world.client(version, "pump").keep_alive(10);
            let pump = if is_durable { pump.durable() } else { pump };
            pump.will(gone_will()).connect();
            world.crash();
            let watcher = world.client(version, "watcher").durable().connect();
            world.advance_s(14);
            watcher.expect_nothing();
            world.advance_s(2);
            watcher.hear("state", "gone");
            world.crash();
            world.advance_s(60);
            let watcher = world.client(version, "watcher").durable().connect();
            watcher.expect_nothing();
        }
    }
}

#[test]
fn the_will_of_a_client_that_comes_back_is_not() {
    for version in Version::ALL {
        for clean in [false, true] {
            let world = World::kept();
            let watcher = world.client(version, "watcher").durable().connect();
            watcher.subscribe("state", 1);
            let pump = || world.client(version, "pump").keep_alive(10).clean(clean);
            pump().will(gone_will()).connect();
            world.crash();
            let watcher = world.client(version, "watcher").durable().connect();
            world.advance_s(5);
            let pump = pump().will(gone_will()).connect();
            world.advance_s(5);
            pump.ping();
            world.advance_s(8);
            watcher.expect_nothing();
        }
    }
}

#[test]
fn a_spoiled_byte_costs_one_message_and_no_more() {
    for at in 0..5000 {
        let world = World::kept();
        let sub = world.v311("sub").durable().connect();
        sub.subscribe("a", 1);
        sub.drop_link();
        let p = world.v311("p").connect();
        let sent = ["message one", "message two", "message three"];
        for text in sent {
            p.say("a", text, 1);
        }
        let mut is_hit = true;
        world.seam(|seam| seam.crash(1, |disk| is_hit = flip(disk, at)));
        if !is_hit {
            return;
        }
        let sub = world.v311("sub").durable().connect();
        if sub.session_present() {
            let heard = sub.payloads();
            let lost = sent.iter().filter(|text| !heard.iter().any(|h| h == *text));
            assert!(
                lost.count() <= 1 || heard.is_empty(),
                "byte {at}: {heard:?}"
            );
            assert!(heard.iter().all(|h| sent.contains(&h.as_str())));
        }
    }
    panic!("the disk has more bytes than that");
}

/// Spoils a byte of what is on the disk; `at` counts through all segments.
fn flip(disk: &mut Disk, at: usize) -> bool {
    let written = disk.segments.values_mut().flatten();
    let byte = written.filter(|byte| **byte != 0).nth(at);
    byte.map(|byte| *byte ^= 0x10).is_some()
}

/// The client was told that it has no will now.
#[test]
fn a_will_that_was_not_renewed_is_not_published_after_a_power_cut() {
    for version in Version::ALL {
        let world = World::kept();
        let watcher = world.client(version, "watcher").durable().connect();
        watcher.subscribe("state", 1);
        let pump = || world.client(version, "pump").keep_alive(10).durable();
        pump().will(gone_will()).connect();
        world.crash();
        pump().connect();
        world.crash();
        let watcher = world.client(version, "watcher").durable().connect();
        world.advance_s(100);
        watcher.expect_nothing();
    }
}

/// A session that ends with its connection is kept for its will only.
#[test]
fn a_session_that_waits_for_its_will_only_is_not_resumed() {
    for version in Version::NUMBERED {
        let world = World::kept();
        let clean = version != Version::V5;
        let pump = world.client(version, "pump").keep_alive(10).clean(clean);
        let pump = pump.will(gone_will()).connect();
        pump.subscribe("a", 1);
        world.crash();
        let pump = world.client(version, "pump").durable().connect();
        assert!(!pump.session_present(), "{version:?}");
    }
}

/// The interval of the last CONNECT counts, also if it is nothing.
#[test]
fn a_session_that_came_to_last_no_longer_than_its_connection_is_gone() {
    let world = World::kept();
    let c = world.v5("c").durable().connect();
    c.subscribe("a", 1);
    c.drop_link();
    assert!(world.v5("c").clean(false).connect().session_present());
    world.crash();
    assert!(!world.v5("c").durable().connect().session_present());
}

/// Megabytes that are soon garbage, so that the oldest segments are cleaned.
fn fill(world: &World, times: usize) {
    let taker = world.v5("taker").durable().connect();
    taker.subscribe("fill", 1);
    let p = world.v5("filler").connect();
    let payload = "x".repeat(100_000);
    for _ in 0..times {
        p.say("fill", &payload, 1);
        taker.hear("fill", &payload);
    }
    taker.drop_link();
    p.drop_link();
}

/// Wherever the cleaning is: a message that was released and one that is held, both sent with the
/// same identifier, are there, and in their order.
#[test]
fn cleaning_keeps_what_was_released_and_what_is_held_apart() {
    for (before, behind) in (0..50).flat_map(|behind| [(0, behind), (12, behind)]) {
        let world = World::kept();
        let sub = world.v5("sub").durable().connect();
        sub.subscribe("a", 2);
        sub.drop_link();
        let p = world.v5("p").durable().connect();
        p.send(Publish::new("a", "old").qos(2).id(7));
        p.expect(pubrec(7));
        p.send(pubrel(7));
        p.expect(pubcomp(7));
        fill(&world, before);
        p.send(Publish::new("a", "young").qos(2).id(7));
        p.expect(pubrec(7));
        fill(&world, behind);
        world.crash();

        let p = world.v5("p").durable().connect();
        p.send(pubrel(7));
        p.take("PUBCOMP", |packet| matches!(packet, Packet::PubComp(_)));
        let sub = world.v5("sub").durable().connect();
        assert_eq!(sub.payloads(), ["old", "young"], "{before} {behind}");
    }
}
