//! Retained messages that are still on their way to a session when the broker ends.

use super::kept::{lasting, message, say};
use super::*;

const V3: Version = Version::V311;

/// A broker with retained messages at QoS 1 in `t/0` to `t/19`, and at QoS 2 in `t/twice`.
fn world_with_retained() -> World {
    let mut world = World::kept(Settings {
        max_inflight_messages: 2,
        max_queued_messages: 3,
        ..Settings::default()
    });
    let publisher = world.connect(&hello(V3, "p"));
    let mut retain = |topic: &str, qos| {
        let retained = Publish {
            retain: true,
            ..message(topic, b"x", qos)
        };
        assert_eq!(say(&mut world, publisher, &retained).len(), 1);
    };
    retain("t/twice", QoS::ExactlyOnce);
    for n in 0..20 {
        retain(&format!("t/{n}"), QoS::AtLeastOnce);
    }
    world.send(publisher, &ack(V3, PacketType::PubRel, 7));
    world.rest();
    world
}

/// Takes and acknowledges up to so many messages, the first of them with this identifier; their
/// topics.
fn take(world: &mut World, client: Client, first_id: u16, most: usize) -> Vec<String> {
    let mut topics = Vec::new();
    loop {
        world.rest();
        let before = topics.len();
        for line in world.packets(client) {
            if let Some(publish) = line.strip_prefix("PUBLISH q1 '") {
                topics.push(publish.split('\'').next().unwrap_or("").to_string());
            }
        }
        for id in before..topics.len().min(most) {
            world.send(client, &ack(V3, PacketType::PubAck, first_id + id as u16));
        }
        if topics.len() == before || topics.len() >= most {
            world.rest();
            return topics;
        }
    }
}

fn distinct(mut topics: Vec<String>) -> usize {
    topics.sort_unstable();
    topics.dedup();
    topics.len()
}

/// A gateway loses its power while a client that asked for `#` is still being told what there is.
#[test]
fn what_was_not_sent_yet_comes_after_the_start() {
    for filters in [["t/#", "t/none"], ["t/none", "t/#"], ["t/5", "t/+"]] {
        let mut world = world_with_retained();
        let client = lasting(&mut world, "c");
        for filter in filters {
            world.send(client, &subscribe(V3, filter, QoS::AtLeastOnce));
        }
        let mut topics = take(&mut world, client, 1, 6);
        assert!(topics.len() < 20, "{filters:?}: {}", topics.len());
        // What has left already is not acknowledged, and comes again, too.
        world.restart(None);
        let client = lasting(&mut world, "c");
        topics.extend(take(&mut world, client, 7, 100));
        // QoS 2 came down to QoS 1 by the subscription.
        assert_eq!(distinct(topics), 21, "{filters:?}");
        // Now it has all of them: nothing comes after the next start.
        world.restart(None);
        let client = lasting(&mut world, "c");
        assert_eq!(take(&mut world, client, 100, 100), [""; 0], "{filters:?}");
    }
}

/// Who knows whether it came before: exactly once is not twice.
#[test]
fn what_would_come_at_qos_2_does_not_come_again() {
    let mut world = world_with_retained();
    let client = lasting(&mut world, "c");
    world.send(client, &subscribe(V3, "t/#", QoS::ExactlyOnce));
    take(&mut world, client, 1, 2);
    world.restart(None);
    let client = lasting(&mut world, "c");
    world.rest();
    let twice = |line: &&String| line.contains("'t/twice'");
    let mut lines = world.packets(client);
    for id in 1..=60 {
        world.send(client, &ack(V3, PacketType::PubAck, id));
        world.send(client, &ack(V3, PacketType::PubRec, id));
        world.send(client, &ack(V3, PacketType::PubComp, id));
        world.rest();
        lines.extend(world.packets(client));
    }
    assert!(lines.iter().filter(twice).count() <= 1, "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("'t/19'")),
        "{lines:?}"
    );
}

/// A session that ends with its connection is owed nothing, nor is what QoS 0 brings: the journal
/// hears nothing of it.
#[test]
fn the_journal_is_told_only_of_what_is_owed() {
    let mut world = world_with_retained();
    let clean = world.connect(&hello(V3, "clean"));
    let before = world.broker.journal.end();
    world.send(clean, &subscribe(V3, "t/#", QoS::AtLeastOnce));
    world.rest();
    assert_eq!(world.broker.journal.end(), before);
    let kept = lasting(&mut world, "c");
    for filter in ["t/+", "t/#"] {
        world.send(kept, &subscribe(V3, filter, QoS::AtMostOnce));
        world.rest();
        world.broker.subscriptions.slab.iter().for_each(|(_, one)| {
            assert_eq!(one.replay & crate::broker::subscriptions::OWED, 0);
        });
    }
}
