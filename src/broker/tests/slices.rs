//! Work that is cut into slices, so that nobody has to wait for one client.

use super::*;

#[test]
fn a_burst_with_many_subscribers_lets_others_have_their_turn() {
    let mut world = World::new(Settings::default());
    let subscribers: Vec<_> = (0..200)
        .map(|n| {
            let client = world.connect(&hello(Version::V311, &format!("s{n}")));
            world.send(client, &subscribe(Version::V311, "x", QoS::AtMostOnce));
            world.packets(client);
            client
        })
        .collect();
    assert!(is_burst_interrupted(&mut world, 300));
    for client in subscribers {
        assert_eq!(world.packets(client).len(), 300);
    }
}

/// Whether a client whose packets are these is interrupted before the broker has taken half.
pub fn is_interrupted(world: &mut World, client: Client, packets: &[u8]) -> bool {
    let conn = world.links[client].conn;
    let consumed = world.broker.receive(conn, packets, world.now);
    let is_interrupted = consumed < packets.len() / 2 && !world.broker.takes_input(conn);
    world.links[client].unread = packets[consumed..].to_vec();
    world.settle();
    assert!(world.links[client].unread.is_empty());
    is_interrupted
}

/// The same of a new client's messages to `x`, so many in one read.
fn is_burst_interrupted(world: &mut World, messages: usize) -> bool {
    let publisher = world.connect(&hello(Version::V311, "p"));
    let message = Publish {
        topic: b"x",
        ..Publish::default()
    };
    let burst = publish(Version::V311, &message).repeat(messages);
    is_interrupted(world, publisher, &burst)
}

#[test]
fn a_burst_to_many_share_groups_lets_others_have_their_turn() {
    let mut world = World::new(Settings::default());
    let member = world.connect(&hello(Version::V311, "m"));
    for n in 0..200 {
        let filter = format!("$share/g{n}/x");
        world.send(member, &subscribe(Version::V311, &filter, QoS::AtMostOnce));
    }
    world.packets(member);
    assert!(is_burst_interrupted(&mut world, 60));
    assert_eq!(world.packets(member).len(), 200 * 60);
}

#[test]
fn many_members_that_cannot_take_a_message_let_others_have_their_turn() {
    let mut world = World::new(Settings::default());
    let raw = properties(&[(PropertyId::SessionExpiryInterval, 5)]);
    for n in 0..200 {
        let client_id = format!("m{n}");
        let member = world.connect(&Connect {
            properties: Properties::from_encoded(&raw),
            ..hello(Version::V5, &client_id)
        });
        world.send(
            member,
            &subscribe(Version::V5, "$share/g/x", QoS::AtMostOnce),
        );
        world.cut(member);
    }
    assert!(is_burst_interrupted(&mut world, 300));
}

#[test]
fn searches_for_retained_messages_let_others_have_their_turn() {
    let mut world = World::new(Settings::default());
    let client = world.connect(&hello(Version::V5, "c"));
    for n in 0..5000 {
        let topic = format!("a/{n}");
        let message = Publish {
            topic: topic.as_bytes(),
            retain: true,
            payload: b"x",
            ..Publish::default()
        };
        world.send(client, &publish(Version::V5, &message));
    }
    let burst = subscribe(Version::V5, "+/+/x", QoS::AtMostOnce).repeat(100);
    assert!(is_interrupted(&mut world, client, &burst));
}

/// A SUBSCRIBE of this many filters that are all different.
fn many_filters(count: usize) -> Vec<u8> {
    let names: Vec<String> = (0..count).map(|n| format!("f/{n}/+")).collect();
    let filters: Vec<SubscribeFilter<'_>> = (names.iter())
        .map(|filter| SubscribeFilter {
            filter,
            options: SubscriptionOptions::default(),
        })
        .collect();
    bytes(|out| Subscribe::encode(Version::V5, 9, Properties::default(), &filters, out))
}

fn small_slices() -> World {
    World::new(Settings {
        slice: 10,
        ..Settings::default()
    })
}

#[test]
fn a_long_subscribe_is_done_in_slices_and_answered_after_the_last() {
    let mut world = small_slices();
    let client = world.connect(&hello(Version::V5, "c"));
    let conn = world.links[client].conn;
    let packet = many_filters(95);
    assert_eq!(world.broker.receive(conn, &packet, world.now), packet.len());
    for slice in 1..=28 {
        // All filters are looked at before the first takes effect, which counts twice.
        let done = (slice * 10_usize).saturating_sub(95).div_ceil(2);
        assert_eq!(world.broker.subscriptions.slab.len(), done);
        assert!(!world.broker.takes_input(conn), "what follows has to wait");
        assert!(world.broker.poll_writable().is_none(), "no answer yet");
        assert_eq!(world.broker.poll_timeout(), Some(world.now.mono_ms));
        world.broker.timeout(world.now);
    }
    world.settle();
    assert!(world.broker.takes_input(conn));
    let codes = world.links[client].inbox.len() - 5;
    assert_eq!(codes, 95);
    assert_eq!(world.broker.subscriptions.slab.len(), 95);
}

#[test]
fn a_bad_filter_at_the_end_of_a_long_subscribe_undoes_all_of_it() {
    let mut world = small_slices();
    let client = world.connect(&hello(Version::V311, "c"));
    let mut packet = vec![0x82, 0xa4, 0x01, 0, 9];
    packet.extend([0, 1, b'a', 0].repeat(40));
    packet.extend([0, 1]);
    world.send(client, &packet);
    assert!(world.links[client].is_closed, "the last filter is cut off");
    assert!(world.packets(client).is_empty(), "without an answer");
    assert_eq!(world.broker.subscriptions.slab.len(), 0);
}

#[test]
fn a_client_that_goes_during_its_subscribe_leaves_nothing_behind() {
    let mut world = small_slices();
    let client = world.connect(&hello(Version::V5, "c"));
    let conn = world.links[client].conn;
    world.broker.receive(conn, &many_filters(95), world.now);
    world.cut(client);
    assert_eq!(world.broker.subscriptions.slab.len(), 0);
    assert_eq!(world.broker.sessions.slab.len(), 0);
}

#[test]
fn the_end_of_a_large_session_is_done_in_slices_and_nothing_reaches_it_any_more() {
    let mut world = small_slices();
    let client = world.connect(&hello(Version::V5, "c"));
    world.send(client, &many_filters(95));
    let publisher = world.connect(&hello(Version::V5, "p"));
    world.broker.gone(world.links[client].conn, None, world.now);
    world.links[client].is_closed = true;
    assert_eq!(world.broker.subscriptions.slab.len(), 90);
    assert_eq!(
        world.broker.sessions.count(),
        1,
        "it has ended for everybody"
    );
    // Subscriptions that are not freed yet match, but lead nowhere.
    for n in 0..95 {
        let topic = format!("f/{n}/x");
        let message = Publish {
            topic: topic.as_bytes(),
            ..Publish::default()
        };
        let conn = world.links[publisher].conn;
        let packet = publish(Version::V5, &message);
        world.broker.receive(conn, &packet, world.now);
    }
    assert_eq!(world.broker.deliveries.count(), 0);
    // The client may be back before all is freed.
    let again = world.connect(&hello(Version::V5, "c"));
    world.settle();
    assert_eq!(world.broker.subscriptions.slab.len(), 0);
    assert_eq!(world.broker.sessions.slab.len(), 2);
    world.cut(again);
}

#[test]
fn sessions_that_expire_together_do_so_in_slices() {
    let mut world = small_slices();
    let raw = properties(&[(PropertyId::SessionExpiryInterval, 5)]);
    for n in 0..20 {
        let client_id = format!("c{n}");
        let client = world.connect(&Connect {
            properties: Properties::from_encoded(&raw),
            ..hello(Version::V5, &client_id)
        });
        world.cut(client);
    }
    world.now.mono_ms += 6000;
    world.broker.timeout(world.now);
    assert_eq!(world.broker.sessions.count(), 19, "a timer at a time");
    world.settle();
    assert_eq!(world.broker.sessions.count(), 0);
}

#[test]
fn retained_messages_that_expire_together_are_freed_in_slices() {
    let mut world = World::new(Settings {
        slice: 300,
        retain_expiry_interval: 1,
        ..Settings::default()
    });
    let publisher = world.connect(&hello(Version::V5, "p"));
    for n in 0..5000 {
        let topic = format!("t/{n}");
        let message = Publish {
            topic: topic.as_bytes(),
            retain: true,
            expiry_s: Some(1 + n % 2 * 1000),
            payload: b"x",
            ..Publish::default()
        };
        world.send(publisher, &publish(Version::V5, &message));
    }
    world.now.mono_ms += 60_000;
    world.broker.timeout(world.now);
    let left = world.broker.retained.count();
    assert!((2500..4900).contains(&left), "{left}");
    world.settle();
    assert_eq!(world.broker.retained.count(), 2500);
    assert_eq!(
        world.broker.poll_timeout(),
        Some(world.now.mono_ms + 60_000),
        "until the next sweep"
    );
}
