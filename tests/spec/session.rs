//! Sessions (sections 3.1.2, 4.1 and 4.4): what is kept between connections, for how long, and who
//! it belongs to.

use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

#[test]
fn a_durable_session_keeps_its_subscriptions_and_its_messages() {
    proves![
        "3.1.1:MQTT-3.1.2-4",
        "3.1.1:MQTT-3.1.2-5",
        "3.1.1:MQTT-4.1.0-1",
        "3.1.1:MQTT-4.5.0-1",
        "5.0:MQTT-3.1.2-5",
        "5.0:MQTT-3.1.2-6",
        "5.0:MQTT-3.1.2-23",
        "5.0:MQTT-4.5.0-1"
    ];
    for version in Version::ALL {
        let world = World::new();
        let sleeper = world.client(version, "sleeper").durable().connect();
        sleeper.subscribe("alarm/+", 2);
        sleeper.drop_link();

        let station = world.client(version, "station").connect();
        station.say("alarm/1", "one", 1);
        station.say("alarm/2", "two", 2);
        station.say("other", "not subscribed", 1);

        let awake = world.client(version, "sleeper").durable().connect();
        assert_eq!(awake.hear("alarm/1", "one").qos, 1);
        assert_eq!(awake.hear("alarm/2", "two").qos, 2);
        awake.expect_nothing();
        station.say("alarm/3", "three", 0);
        awake.hear("alarm/3", "three");
    }
}

#[test]
fn qos_0_is_not_queued_for_who_is_away_unless_the_server_is_told_to() {
    for queue in [false, true] {
        let world = World::with(|s| s.queue_qos0_messages = queue);
        let sleeper = world.v311("sleeper").durable().connect();
        sleeper.subscribe("a", 1);
        sleeper.drop_link();
        world.v311("p").connect().say("a", "zero", 0);
        let awake = world.v311("sleeper").durable().connect();
        assert_eq!(awake.payloads().len(), usize::from(queue));
    }
}

#[test]
fn a_clean_start_throws_the_old_session_away() {
    proves!["3.1.1:MQTT-3.1.2-6", "5.0:MQTT-3.1.2-4"];
    for version in Version::ALL {
        let world = World::new();
        let old = world.client(version, "c").durable().connect();
        old.subscribe("a", 1);
        old.drop_link();
        let p = world.client(version, "p").connect();
        p.say("a", "queued", 1);

        let clean = world.client(version, "c").clean(true).connect();
        p.say("a", "later", 1);
        clean.expect_nothing();
        clean.drop_link();

        let again = world.client(version, "c").durable().connect();
        assert!(
            !again.session_present(),
            "the clean session is not reused either"
        );
        p.say("a", "last", 1);
        again.expect_nothing();
    }
}

#[test]
fn a_session_without_expiry_ends_with_its_connection() {
    proves!["3.1.1:MQTT-4.1.0-2", "5.0:MQTT-4.1.0-2", "5.0:MQTT-4.1.0-1"];
    let world = World::new();
    let client = world.v5("c").clean(false).connect();
    client.subscribe("a", 1);
    world.advance_s(100_000);
    client.say("a", "still here", 1);
    client.hear("a", "still here");
    client.drop_link();
    assert!(!world.v5("c").clean(false).connect().session_present());
}

#[test]
fn a_session_expires_when_its_interval_has_passed() {
    proves!["5.0:MQTT-4.1.0-2", "5.0:MQTT-3.1.2-23"];
    for (away_s, present) in [(59, true), (61, false)] {
        let world = World::new();
        let expiry = Property::SessionExpiryInterval(60);
        let client = world.v5("c").clean(false).with(expiry.clone()).connect();
        client.subscribe("a", 1);
        world.advance_s(1000);
        client.ping(); // the time of a connection does not count
        client.drop_link();
        world.advance_s(away_s);
        let again = world.v5("c").clean(false).with(expiry).connect();
        assert_eq!(again.session_present(), present, "after {away_s} s");
    }
}

#[test]
fn the_largest_interval_never_ends() {
    let world = World::new();
    world.v5("c").durable().connect().drop_link();
    world.advance_s(100 * 365 * 86_400);
    assert!(world.v5("c").durable().connect().session_present());
}

#[test]
fn an_expired_session_takes_no_more_messages() {
    proves!["5.0:MQTT-4.1.0-2"];
    let world = World::new();
    let expiry = Property::SessionExpiryInterval(10);
    let client = world.v5("c").with(expiry).connect();
    client.subscribe("a", 1);
    client.drop_link();
    let p = world.v5("p").connect();
    assert_eq!(p.say("a", "kept", 1), 0);
    world.advance_s(11);
    assert_eq!(p.say("a", "for nobody", 1), 0x10);
}

#[test]
fn disconnect_can_change_the_expiry() {
    let world = World::new();
    // From some to none: the session is gone at once.
    let client = world.v5("c").durable().connect();
    client.disconnect_with(Disconnect::new(0).with(Property::SessionExpiryInterval(0)));
    assert!(!world.v5("c").clean(false).connect().session_present());

    // From long to short.
    let client = world.v5("d").durable().connect();
    client.disconnect_with(Disconnect::new(0).with(Property::SessionExpiryInterval(5)));
    world.advance_s(4);
    let client = world.v5("d").durable().connect();
    assert!(client.session_present());
    client.disconnect_with(Disconnect::new(0).with(Property::SessionExpiryInterval(5)));
    world.advance_s(6);
    assert!(!world.v5("d").durable().connect().session_present());
}

#[test]
fn disconnect_cannot_give_life_to_a_session_that_had_none() {
    let world = World::new();
    let client = world.v5("c").connect();
    client.send(Disconnect::new(0).with(Property::SessionExpiryInterval(100)));
    client.expect_end(0x82);
    assert!(!world.v5("c").clean(false).connect().session_present());
}

#[test]
fn a_durable_3_x_session_ends_when_the_server_is_told_so() {
    let world = World::with(|s| s.persistent_client_expiration = Some(3600));
    world.v311("c").durable().connect().drop_link();
    world.advance_s(3599);
    let again = world.v311("c").durable().connect();
    assert!(again.session_present());
    again.drop_link();
    world.advance_s(3700);
    assert!(!world.v311("c").durable().connect().session_present());
}

#[test]
fn the_client_identifier_alone_names_the_session() {
    proves!["3.1.1:MQTT-3.1.3-2", "5.0:MQTT-3.1.3-2"];
    for version in Version::NUMBERED {
        let world = World::new();
        let a = world.client(version, "client").durable().connect();
        a.subscribe("a", 1);
        a.drop_link();
        for other in ["Client", "client ", "clien", "client2"] {
            let other = world.client(version, other).durable().connect();
            assert!(!other.session_present());
        }
        assert!(
            world
                .client(version, "client")
                .durable()
                .connect()
                .session_present()
        );
    }
}

#[test]
fn a_session_can_be_resumed_in_another_version() {
    let world = World::new();
    let old = world.v311("c").durable().connect();
    old.subscribe("a", 1);
    old.drop_link();
    world.v311("p").connect().say("a", "queued", 1);
    let new = world.v5("c").durable().connect();
    assert!(new.session_present());
    new.hear("a", "queued");
}

#[test]
fn a_client_identifier_that_connects_again_takes_over() {
    proves!["3.1.1:MQTT-3.1.4-2", "5.0:MQTT-3.1.4-3"];
    for version in Version::ALL {
        for second in Version::ALL {
            let world = World::new();
            let first = world.client(version, "c").connect();
            let second = world.client(second, "c").connect();
            first.expect_end(0x8E);
            second.ping();
        }
    }
}

#[test]
fn a_takeover_goes_on_with_the_session() {
    for version in Version::ALL {
        let world = World::new();
        let first = world.client(version, "c").durable().connect();
        first.subscribe("a", 1);
        let p = world.client(version, "p").connect();
        p.say("a", "unacknowledged", 1);
        let sent = first.publication();
        assert!(!sent.dup);

        let second = world.client(version, "c").durable().connect();
        first.expect_end(0x8E);
        assert_eq!(second.session_present(), version != Version::V31);
        let resent = second.message();
        assert_eq!(
            (resent.packet_id, resent.text()),
            (sent.packet_id, sent.text())
        );
        assert!(resent.dup);
        p.say("a", "new", 1);
        second.hear("a", "new");
    }
}

#[test]
fn a_clean_takeover_drops_the_session() {
    for version in Version::ALL {
        let world = World::new();
        let first = world.client(version, "c").durable().connect();
        first.subscribe("a", 1);
        let second = world.client(version, "c").connect();
        first.expect_end(0x8E);
        assert!(!second.session_present());
        world.client(version, "p").connect().say("a", "x", 1);
        second.expect_nothing();
    }
}

#[test]
fn a_session_belongs_to_its_user() {
    // A client that signs in as somebody else does not get what was kept for the first.
    let world = World::with(|s| {
        s.listeners[0].allow_anonymous = true;
        crate::seam::one_user(s, "ann", "a");
    });
    let ann = world
        .v311("c")
        .user("ann")
        .password("a")
        .durable()
        .connect();
    ann.subscribe("secret", 1);
    ann.drop_link();
    let anonymous = world.v311("c").durable().connect();
    assert!(!anonymous.session_present());
    world.v311("p").connect().say("secret", "x", 1);
    anonymous.expect_nothing();
}

#[test]
fn what_was_not_acknowledged_is_sent_again_in_order_and_marked() {
    proves![
        "3.1.1:MQTT-4.4.0-1",
        "3.1.1:MQTT-3.3.1-1",
        "3.1.1:MQTT-4.6.0-1",
        "5.0:MQTT-4.4.0-1",
        "5.0:MQTT-3.3.1-1"
    ];
    for version in Version::ALL {
        let world = World::new();
        let c = world.client(version, "c").durable().connect();
        c.subscribe("a", 2);
        let p = world.client(version, "p").connect();
        for n in 0..6 {
            p.say("a", &n.to_string(), 1 + n % 2);
        }
        let first: Vec<Publish> = (0..6).map(|_| c.publication()).collect();
        assert!(first.iter().all(|m| !m.dup));
        c.send(Packet::PubAck(Ack::new(first[2].packet_id)));
        c.drop_link();

        let c = world.client(version, "c").durable().connect();
        let again: Vec<Publish> = (0..5).map(|_| c.publication()).collect();
        let expected: Vec<_> = first
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != 2)
            .map(|(_, m)| m.packet_id)
            .collect();
        assert_eq!(
            again.iter().map(|m| m.packet_id).collect::<Vec<_>>(),
            expected
        );
        assert!(
            again.iter().all(|m| m.dup),
            "every one is marked as sent before"
        );
        c.expect_nothing();
    }
}

#[test]
fn nothing_is_sent_again_while_the_connection_lasts() {
    proves!["5.0:MQTT-4.4.0-1"];
    for version in Version::NUMBERED {
        let world = World::new();
        let c = world.client(version, "c").durable().connect();
        c.subscribe("a", 2);
        let p = world.client(version, "p").connect();
        p.say("a", "1", 1);
        p.say("a", "2", 2);
        c.publication();
        c.publication();
        world.advance_s(86_400);
        c.expect_nothing();
    }
}
