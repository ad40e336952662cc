//! Messages that come in one read go together where they can; nobody can tell by what he gets.

use super::*;
use crate::auth::Acl;
use std::sync::Arc;

const TOPICS: [&str; 4] = ["a", "b", "a/b", "c"];
const FILTERS: [&str; 8] = ["a", "b", "+", "#", "a/b", "$share/g/a", "a/#", "$share/g/+"];

const ACL: &[u8] = b"topic readwrite a\ntopic write b\ntopic read c\ntopic readwrite a/#\n";

fn settings(rng: &mut fastrand::Rng) -> Settings {
    let listener = |rng: &mut fastrand::Rng| {
        let (acl, problems) = Acl::parse(ACL, "file").expect("a good list");
        assert!(problems.is_empty());
        let has_acl = rng.u8(..4) == 0;
        ListenerSettings {
            acl: has_acl.then(|| Arc::new(acl)),
            mount_point: if rng.u8(..8) == 0 { "a/" } else { "" }.to_string(),
            ..ListenerSettings::default()
        }
    };
    Settings {
        listeners: vec![listener(rng), listener(rng)],
        slice: [3, 40, 1500, 1_000_000][rng.usize(..4)],
        queue_qos0_messages: rng.u8(..6) == 0,
        upgrade_outgoing_qos: rng.u8(..8) == 0,
        allow_duplicate_messages: rng.u8(..4) != 0,
        max_inflight_messages: [0, 1, 3, 20][rng.usize(..4)],
        max_queued_messages: [0, 1, 5, 1000][rng.usize(..4)],
        max_output_bytes: [50, 500, 65_536][rng.usize(..3)],
        ..Settings::default()
    }
}

/// Clients with some subscriptions; the first one publishes. One may be away.
fn gather(world: &mut World, rng: &mut fastrand::Rng) {
    // With more than eight the first message of a run goes alone.
    let count = [rng.usize(2..5), rng.usize(9..14)][usize::from(rng.u8(..6) == 0)];
    let crowd = FILTERS[rng.usize(..4)];
    for n in 0..count {
        let version = [Version::V311, Version::V5][rng.usize(..2)];
        // A lasting session waits for the disk.
        let expiry = if world.broker.journal.is_on() {
            0
        } else {
            1000
        };
        let lasting = properties(&[
            (PropertyId::SessionExpiryInterval, expiry),
            (
                PropertyId::MaximumPacketSize,
                [60, 64, 129, 130, 131, 1000][rng.usize(..6)],
            ),
            (PropertyId::TopicAliasMaximum, rng.u32(..2)),
        ]);
        let client_id = format!("c{n}");
        let mut connect = hello(version, &client_id);
        if version == Version::V5 {
            connect.properties = Properties::from_encoded(&lasting);
        }
        let client = world.connect_at(rng.u16(..2), &connect);
        for _ in 0..rng.usize(..3) {
            let options = SubscriptionOptions {
                qos: QoS::ALL[rng.usize(..3).min(rng.usize(..3))],
                no_local: version == Version::V5 && rng.u8(..4) == 0,
                ..SubscriptionOptions::default()
            };
            let filters = [SubscribeFilter {
                filter: if count > 8 {
                    crowd
                } else {
                    FILTERS[rng.usize(..FILTERS.len())]
                },
                options,
            }];
            let is_shared = filters[0].filter.starts_with('$');
            let is_v5 = version == Version::V5;
            if is_shared && options.no_local {
                continue;
            }
            let raw = match is_v5 && rng.u8(..4) == 0 {
                true => properties(&[(PropertyId::SubscriptionIdentifier, 7)]),
                false => Vec::new(),
            };
            let raw = Properties::from_encoded(&raw);
            let packet = bytes(|out| Subscribe::encode(version, 9, raw, &filters, out));
            world.send(client, &packet);
        }
        world.packets(client);
        if n > 0 && rng.u8(..5) == 0 {
            world.cut(client);
        }
    }
}

/// What comes between the messages now and then: who gets the next ones may be others.
fn something_else(version: Version, rng: &mut fastrand::Rng) -> Option<Vec<u8>> {
    let filter = FILTERS[rng.usize(..FILTERS.len())];
    match rng.u8(..60) {
        0 => Some(vec![0xc0, 0]),
        1 | 2 => Some(subscribe(version, filter, QoS::ALL[rng.usize(..2)])),
        3 => Some(unsubscribe(version, filter)),
        _ => None,
    }
}

/// What a publisher sends in one go, packet by packet.
fn run_of_packets(version: Version, rng: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut unreleased = Vec::new();
    let mut topic = TOPICS[0];
    let mut is_aliased = false;
    let highest = rng.usize(1..=3);
    for n in 1..=rng.usize(1..60) {
        if rng.u8(..6) == 0 {
            topic = TOPICS[rng.usize(..4)];
        }
        if !unreleased.is_empty() && rng.u8(..4) == 0 {
            for packet_id in unreleased.drain(..) {
                packets.push(ack(version, PacketType::PubRel, packet_id));
            }
        }
        packets.extend(something_else(version, rng));
        let qos = QoS::ALL[rng.usize(..highest)];
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { n as u16 };
        if qos == QoS::ExactlyOnce {
            unreleased.push(packet_id);
        }
        // Equal messages are as many as different ones.
        let text = format!(
            "m{}{}",
            if rng.u8(..5) == 0 { 7 } else { n },
            ".".repeat([5, 60, 118][rng.usize(..3)] + rng.usize(..5))
        );
        let is_odd = version == Version::V5 && rng.u8(..8) == 0;
        let odd = is_odd.then(|| rng.u8(..4));
        if odd == Some(0) {
            is_aliased = true;
        }
        let raw = properties(&[(PropertyId::PayloadFormatIndicator, 1)]);
        let is_short = is_aliased && topic == TOPICS[0] && odd == Some(1);
        packets.push(publish(
            version,
            &Publish {
                topic: match odd {
                    Some(0) => TOPICS[0].as_bytes(),
                    Some(1) if is_short => b"",
                    _ => topic.as_bytes(),
                },
                payload: text.as_bytes(),
                qos,
                packet_id,
                dup: qos != QoS::AtMostOnce && rng.u8(..8) == 0,
                retain: rng.u8(..12) == 0,
                topic_alias: (odd == Some(0) || is_short).then_some(1),
                expiry_s: (odd == Some(2)).then_some(100),
                properties: match odd {
                    Some(3) => Properties::from_encoded(&raw),
                    _ => Properties::default(),
                },
                ..Publish::default()
            },
        ));
    }
    packets
}

/// The broker takes what the publisher sent, in as many slices as it takes.
fn present_all(world: &mut World) {
    world.present(0);
    loop {
        if world.broker.poll_timeout() == Some(world.now.mono_ms) {
            world.broker.timeout(world.now);
        } else if world.broker.poll_resume().is_some() {
            world.present(0);
        } else if !world.broker.has_resume() {
            break;
        }
    }
    assert!(world.links[0].unread.is_empty());
}

/// What everybody gets, however little the network takes at a time.
fn what_all_get(world: &mut World, rng: &mut fastrand::Rng) -> Vec<Vec<String>> {
    let clients = 0..world.links.len();
    for client in clients.clone() {
        world.links[client].room = rng.usize(..40);
    }
    world.settle();
    for _ in 0..100 {
        clients
            .clone()
            .for_each(|client| world.take(client, rng.usize(..60)));
    }
    clients
        .clone()
        .for_each(|client| world.take(client, usize::MAX));
    clients.map(|client| world.packets(client)).collect()
}

/// The property: a broker that gets a run of packets in one read, and one that gets each in a read
/// of its own, send the same to everybody, and count the same.
#[test]
fn one_read_or_many_lead_to_the_same() {
    let (mut bursts, mut bundles) = (0, 0);
    for seed in 0..6000 {
        let [at_once, one_by_one] = [true, false].map(|is_at_once| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let settings = settings(&mut rng);
            let mut world = match rng.u8(..4) {
                0 => World::kept(settings),
                _ => World::new(settings),
            };
            gather(&mut world, &mut rng);
            let mut packets = run_of_packets(world.links[0].version, &mut rng);
            if rng.u8(..8) == 0 {
                packets.push(vec![0xe0, 0]);
            }
            let reads = match is_at_once {
                true => vec![packets.concat()],
                false => packets,
            };
            for read in reads {
                world.links[0].unread.extend(read);
                present_all(&mut world);
            }
            let queued: usize = (world.broker.sessions.slab.iter())
                .map(|(_, session)| session.flow.queue_qos0.bytes() as usize)
                .sum();
            let got = what_all_get(&mut world, &mut rng);
            world.rest();
            let late = what_all_get(&mut world, &mut rng);
            let stats = &world.broker.stats;
            let counts = [
                stats.messages_received,
                stats.bytes_received,
                stats.publish_received,
                stats.publish_bytes_received,
                stats.messages_sent,
                stats.publish_sent,
                stats.publish_bytes_sent,
                stats.publish_dropped,
                stats.bytes_sent,
            ];
            let left = world.broker.messages.bytes();
            let most = world.broker.burst.most;
            ((got, late, counts, queued, left), most)
        });
        assert_eq!(at_once.0, one_by_one.0, "seed {seed}");
        assert_eq!(one_by_one.1, [0, 0], "one message is no burst");
        bursts += usize::from(at_once.1[0] > 1);
        bundles += usize::from(at_once.1[1] > 1);
    }
    assert!(bursts > 300, "only {bursts} worlds had a burst");
    assert!(bundles > 300, "only {bundles} worlds had a bundle");
}

/// The messages that a client got, the answers to its pings, and all other replies.
fn parted(lines: Vec<String>) -> [Vec<String>; 3] {
    let is_message = |line: &String| line.starts_with("PUBLISH");
    let (messages, others): (Vec<_>, _) = lines.into_iter().partition(is_message);
    let (pings, replies) = others.into_iter().partition(|line| line == "PINGRESP");
    [messages, pings, replies]
}

/// The same where the subscribers are sent something between two slices, or two packets. Without
/// limits everybody gets the same; replies to the publisher come sooner or later between messages.
#[test]
fn whoever_is_sent_something_between_two_slices_gets_all_in_order() {
    let (mut slices, mut bundles) = (0, 0);
    for seed in 0..6000 {
        let [at_once, one_by_one] = [true, false].map(|is_at_once| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let settings = Settings {
                slice: [3, 40][rng.usize(..2)],
                max_output_bytes: 1_000_000,
                max_queued_messages: 0,
                max_inflight_messages: 0,
                ..settings(&mut rng)
            };
            let mut world = World::new(settings);
            gather(&mut world, &mut rng);
            let packets = run_of_packets(world.links[0].version, &mut rng);
            let reads = match is_at_once {
                true => vec![packets.concat()],
                false => packets,
            };
            let mut rounds = 0;
            for read in reads {
                world.links[0].unread.extend(read);
                world.present(0);
                while world.turn() {
                    rounds += usize::from(!world.links[0].unread.is_empty());
                }
                assert!(world.links[0].unread.is_empty());
            }
            world.settle();
            let clients = 0..world.links.len();
            let got: Vec<_> = clients
                .map(|client| parted(world.packets(client)))
                .collect();
            let stats = &world.broker.stats;
            let counts = [
                stats.messages_received,
                stats.bytes_received,
                stats.messages_sent,
                stats.publish_received,
                stats.publish_sent,
                stats.publish_dropped,
                stats.publish_bytes_received,
                stats.publish_bytes_sent,
                stats.bytes_sent,
            ];
            let left = world.broker.messages.bytes();
            ((got, counts, left), (rounds, world.broker.burst.most))
        });
        assert_eq!(at_once.0, one_by_one.0, "seed {seed}");
        slices += usize::from(at_once.1.0 > 1);
        bundles += usize::from(at_once.1.1[1] > 1);
    }
    assert!(slices > 300, "only {slices} worlds took several slices");
    assert!(bundles > 300, "only {bundles} worlds had a bundle");
}

/// A bundle is made for one connection: what a reload changes does not bring it to the next.
#[test]
fn a_bundle_ends_with_its_connection_whatever_a_reload_says() {
    let mut world = World::new(Settings::default());
    let client = world.connect(&Connect {
        clean_start: false,
        ..hello(Version::V311, "c")
    });
    world.send(client, &subscribe(Version::V311, "a", QoS::AtMostOnce));
    world.packets(client);
    world.links[client].room = 0;
    let publisher = world.connect(&hello(Version::V311, "p"));
    let message = Publish {
        topic: b"a",
        payload: b"x",
        ..Publish::default()
    };
    world.send(publisher, &publish(Version::V311, &message).repeat(5));
    let session = world.broker.connections[world.links[client].conn.index()]
        .session()
        .expect("it is open");
    assert!(world.broker.has_bundle(session));
    let settings = Settings {
        queue_qos0_messages: true,
        ..world.settings.clone()
    };
    world.broker.reload(settings, world.now);
    world.cut(client);
    assert_eq!(world.broker.deliveries.count(), 0);
    assert_eq!(world.broker.messages.bytes(), 0);
}

/// A packet of 3.1.1 whose length fits into one byte just so takes two more bytes with 5.0.
#[test]
fn no_packet_of_a_bundle_is_larger_than_its_client_takes() {
    for (max, is_taken) in [(129, false), (130, false), (131, true)] {
        let mut world = World::new(Settings::default());
        let raw = properties(&[(PropertyId::MaximumPacketSize, max)]);
        let client = world.connect(&Connect {
            properties: Properties::from_encoded(&raw),
            ..hello(Version::V5, "c")
        });
        world.send(client, &subscribe(Version::V5, "a", QoS::AtMostOnce));
        world.packets(client);
        let publisher = world.connect(&hello(Version::V311, "p"));
        let message = Publish {
            topic: b"a",
            payload: &[b'x'; 124],
            ..Publish::default()
        };
        let packet = publish(Version::V311, &message);
        assert_eq!(packet.len(), 129);
        world.send(publisher, &packet.repeat(5));
        let got = world.packets(client).len();
        assert_eq!(got, if is_taken { 5 } else { 0 }, "of {max} bytes");
        assert_eq!(world.broker.stats.publish_dropped, 5 - got as u64);
    }
}

/// Whether anything is kept on the disk makes no difference for messages that are not.
#[test]
fn many_subscribers_get_bundles_with_persistence_too() {
    for mut world in [
        World::new(Settings::default()),
        World::kept(Settings::default()),
    ] {
        let subscribers: Vec<Client> = (0..20)
            .map(|n| {
                let client = world.connect(&hello(Version::V311, &format!("c{n}")));
                world.send(client, &subscribe(Version::V311, "a", QoS::AtMostOnce));
                world.packets(client);
                client
            })
            .collect();
        let publisher = world.connect(&hello(Version::V311, "p"));
        let message = Publish {
            topic: b"a",
            payload: b"x",
            ..Publish::default()
        };
        world.send(publisher, &publish(Version::V311, &message).repeat(60));
        assert!(
            world.broker.burst.most[1] > 10,
            "{:?}",
            world.broker.burst.most
        );
        for client in subscribers {
            assert_eq!(world.packets(client).len(), 60);
        }
    }
}

/// A bundle's memory is 8 KiB and no more, whatever becomes of its packets.
#[test]
fn a_bundle_for_the_other_version_is_no_larger_than_8_kib() {
    let mut world = World::new(Settings::default());
    let client = world.connect(&hello(Version::V5, "c"));
    world.send(client, &subscribe(Version::V5, "a", QoS::AtMostOnce));
    world.links[client].room = 0;
    let publisher = world.connect(&hello(Version::V311, "p"));
    let message = Publish {
        topic: b"a",
        payload: &[b'x'; 124],
        ..Publish::default()
    };
    let packet = publish(Version::V311, &message);
    assert_eq!(packet.len(), 129, "it gets two bytes longer");
    world.send(publisher, &packet.repeat(64));
    let conn = &world.broker.connections[world.links[client].conn.index()];
    let queue = &world
        .broker
        .sessions
        .get(conn.session().expect("it is open"))
        .flow
        .queue_qos0;
    let first = world
        .broker
        .deliveries
        .get(queue.front().expect("it waits"));
    let bundle = world
        .broker
        .messages
        .get(first.message)
        .bundle()
        .expect("it is a bundle");
    let besides = 8 + 8; // its tally, and what an allocation takes
    assert!(
        (7000..=8192 - besides).contains(&bundle.len()),
        "{}",
        bundle.len()
    );
}
