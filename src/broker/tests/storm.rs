//! Seeded storms: clients of all versions do what they like, half of it wrong, over networks that
//! take a few bytes at a time. The broker must come to rest after each step, send good packets
//! only, and hold nothing when everybody is gone.

use super::*;
use crate::broker::ListenerSettings;
use fastrand::Rng;

const TOPICS: [&str; 6] = ["a", "a/b", "a/b/c", "$x/a", "b", "a//"];
const FILTERS: [&str; 12] = [
    "b",
    "b/#",
    "#",
    "a/#",
    "+/b",
    "a",
    "a/b",
    "$x/#",
    "$share/g/a/#",
    "$share/h/#",
    "$share/g/a",
    "+/+/c",
];

fn settings(rng: &mut Rng) -> Settings {
    let listener = |mount_point: &str| ListenerSettings {
        mount_point: mount_point.to_string(),
        ..ListenerSettings::default()
    };
    Settings {
        sys_interval: 0,
        listeners: vec![listener(""), listener("m/")],
        allow_duplicate_messages: rng.u8(0..4) > 0,
        max_inflight_messages: rng.u16(0..4),
        max_queued_messages: rng.usize(0..6),
        max_queued_bytes: rng.u64(0..2) * 300,
        max_inflight_bytes: rng.u64(0..2) * 100,
        queue_qos0_messages: rng.u8(0..4) == 0,
        max_output_bytes: [rng.usize(0..400), 20_000][rng.usize(..2)],
        max_inbound_qos2: rng.usize(1..5),
        max_packet_size: 2000,
        slice: [1, 3, 4000][rng.usize(..3)],
        persistent_client_expiration: Some(100),
        ..Settings::default()
    }
}

fn version(rng: &mut Rng) -> Version {
    [Version::V31, Version::V311, Version::V5, Version::V5][rng.usize(..4)]
}

fn connect(world: &mut World, rng: &mut Rng) {
    let version = version(rng);
    let client_id = ["a", "b", "c", "d"][rng.usize(..4)];
    let mut raw = properties(&[(PropertyId::SessionExpiryInterval, rng.u32(0..60))]);
    for (id, value) in [
        (PropertyId::ReceiveMaximum, rng.u32(1..4)),
        (PropertyId::MaximumPacketSize, rng.u32(20..120)),
        (PropertyId::TopicAliasMaximum, rng.u32(0..3)),
    ] {
        if rng.bool() {
            raw.extend(properties(&[(id, value)]));
        }
    }
    let delay = properties(&[(PropertyId::WillDelayInterval, rng.u32(0..20))]);
    let will = Will {
        qos: QoS::from_bits(rng.u8(0..3)).expect("0 to 2"),
        retain: rng.bool(),
        properties: Properties::from_encoded(&delay),
        topic: TOPICS[rng.usize(..TOPICS.len())],
        payload: b"will",
    };
    let connect = Connect {
        clean_start: rng.bool(),
        keep_alive_s: [0, 10][rng.usize(..2)],
        properties: Properties::from_encoded(&raw),
        will: rng.bool().then_some(will),
        username: [None, None, Some("u")][rng.usize(..3)],
        ..hello(version, client_id)
    };
    let client = world.dial(version, rng.u16(0..4) / 3);
    world.send(client, &bytes(|out| connect.encode(out)));
}

fn publication(rng: &mut Rng, version: Version) -> Vec<u8> {
    let payload = vec![b'x'; rng.usize(0..200)];
    let qos = QoS::from_bits(rng.u8(0..3)).expect("0 to 2");
    let topic_alias = (version == Version::V5 && rng.u8(0..3) == 0).then(|| rng.u16(1..4));
    let topic = TOPICS[rng.usize(..TOPICS.len())];
    let topic = if topic_alias.is_some() && rng.u8(0..30) == 0 {
        ""
    } else {
        topic
    };
    let message = Publish {
        qos,
        retain: rng.u8(0..3) == 0,
        topic: topic.as_bytes(),
        packet_id: if qos == QoS::AtMostOnce {
            0
        } else {
            rng.u16(1..6)
        },
        topic_alias,
        expiry_s: rng.bool().then(|| rng.u32(0..20)),
        payload: &payload[..if rng.bool() { 0 } else { payload.len() }],
        ..Publish::default()
    };
    publish(version, &message)
}

/// Messages of QoS 0 to one topic in one read: a bundle, if nobody minds.
fn run(rng: &mut Rng, version: Version) -> Vec<u8> {
    let topic = [TOPICS[rng.usize(..TOPICS.len())], "b"][rng.usize(..2)];
    let packets = (0..rng.usize(2..80)).map(|_| {
        let message = Publish {
            topic: topic.as_bytes(),
            payload: &[b'x'; 200][..rng.usize(0..200)],
            ..Publish::default()
        };
        publish(version, &message)
    });
    packets.flatten().collect()
}

fn subscription(rng: &mut Rng, version: Version) -> Vec<u8> {
    let filter = [FILTERS[rng.usize(..FILTERS.len())], "b"][usize::from(rng.u8(0..4) == 0)];
    if rng.u8(0..4) == 0 {
        return unsubscribe(version, filter);
    }
    let is_v5 = version == Version::V5;
    let options = SubscriptionOptions {
        qos: QoS::from_bits(rng.u8(0..3)).expect("0 to 2"),
        no_local: is_v5 && rng.bool() && !filter.starts_with("$share"),
        retain_as_published: is_v5 && rng.bool(),
        retain_handling: RetainHandling::Always,
    };
    let raw = properties(&[(PropertyId::SubscriptionIdentifier, rng.u32(1..300))]);
    let raw = if rng.bool() { &raw[..] } else { &[] };
    let more = (0..rng.usize(0..5).saturating_sub(2)).map(|_| FILTERS[rng.usize(..4)]);
    let filters: Vec<SubscribeFilter<'_>> = (std::iter::once(filter).chain(more))
        .map(|filter| SubscribeFilter { filter, options })
        .collect();
    bytes(|out| Subscribe::encode(version, 9, Properties::from_encoded(raw), &filters, out))
}

/// Answers what came as a good client does, `in_five` times out of five; whether anything came.
fn answer(world: &mut World, client: Client, in_five: u8, rng: &mut Rng) -> bool {
    let version = world.links[client].version;
    let inbox = std::mem::take(&mut world.links[client].inbox);
    let mut at = 0;
    let mut answers = Vec::new();
    while let Ok(Some(header)) = FixedHeader::read(&inbox[at..]) {
        let end = at + header.total();
        let Some(body) = inbox.get(at + usize::from(header.len)..end) else {
            break;
        };
        at = end;
        let packet = Packet::decode(version, header, body, true).expect("a good packet");
        let (kind, id) = match packet {
            Packet::Publish(p) if p.qos == QoS::AtLeastOnce => (PacketType::PubAck, p.packet_id),
            Packet::Publish(p) if p.qos == QoS::ExactlyOnce => (PacketType::PubRec, p.packet_id),
            Packet::PubRec(p) if !p.reason.is_error() => (PacketType::PubRel, p.packet_id),
            Packet::PubRel(p) => (PacketType::PubComp, p.packet_id),
            _ => continue,
        };
        if rng.u8(0..5) < in_five {
            answers.push(ack(version, kind, id));
        }
    }
    world.links[client].inbox = inbox[at..].to_vec();
    rng.shuffle(&mut answers);
    for packet in answers {
        world.send(client, &packet);
    }
    at > 0
}

fn act(world: &mut World, client: Client, is_rough: bool, rng: &mut Rng) {
    let version = world.links[client].version;
    let what = match rng.u8(0..26) {
        // Most of these end the connection.
        15..21 if !is_rough && rng.u8(0..20) > 0 => 12,
        what => what,
    };
    match what {
        0..5 => world.send(client, &publication(rng, version)),
        5..8 => world.send(client, &run(rng, version)),
        8..11 => world.send(client, &subscription(rng, version)),
        11..16 => drop(answer(world, client, 4, rng)),
        16 => world.cut(client),
        17 => {
            let rest: &[u8] = match (version, rng.u8(0..3)) {
                (Version::V5, 0) => &[1, 4],
                (Version::V5, 1) => &[7, 0, 5, 0x11, 0, 0, 0, 9],
                _ => &[0],
            };
            world.send(client, &[&[0xe0], rest].concat());
        }
        18 => {
            // A packet, but for a byte that is another.
            let mut packet = publication(rng, version);
            let at = rng.usize(..packet.len());
            packet[at] = rng.u8(..);
            world.send(client, &packet);
        }
        19 => {
            let kinds = [
                PacketType::PubAck,
                PacketType::PubRec,
                PacketType::PubRel,
                PacketType::PubComp,
            ];
            let packet = ack(version, kinds[rng.usize(..4)], rng.u16(1..8));
            world.send(client, &packet);
        }
        20 => {
            let packet = publication(rng, version);
            let half = rng.usize(..packet.len());
            world.send(client, &packet[..half]);
            world.pass(1);
            if !world.links[client].is_closed {
                world.send(client, &packet[half..]);
            }
        }
        21 => world.send(client, &[0xc0, 0]),
        22..24 => world.take(client, rng.usize(0..60)),
        _ => world.take(client, usize::MAX),
    }
}

/// Whether there was a bundle.
fn storm(seed: u64) -> bool {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(settings(&mut rng));
    for _ in 0..rng.usize(50..300) {
        let open: Vec<Client> = (0..world.links.len())
            .filter(|&client| !world.links[client].is_closed)
            .collect();
        match rng.u8(0..20) {
            0 | 1 if open.len() < 8 => connect(&mut world, &mut rng),
            2 => world.pass(rng.u64(0..8000)),
            3 if rng.u8(0..10) == 0 => {
                let now = world.now;
                world.broker.reload(settings(&mut rng), now);
                world.settle();
            }
            _ if open.is_empty() => connect(&mut world, &mut rng),
            _ => act(
                &mut world,
                open[rng.usize(..open.len())],
                seed % 2 == 0,
                &mut rng,
            ),
        }
    }
    // Who was put off, for fighting over a Client Identifier, comes in.
    world.pass(10_000);
    for client in 0..world.links.len() {
        if !world.links[client].is_closed {
            world.take(client, usize::MAX);
        }
        if !world.links[client].is_closed {
            world.packets(client);
            assert!(world.links[client].inbox.is_empty(), "half a packet");
            let conn = world.links[client].conn;
            let is_put_off = world.broker.is_put_off(conn);
            // It has passed a limit, and still gets its last answers.
            let is_ending = world.broker.conn(conn).is_some_and(|conn| conn.is_ending);
            let takes_input = world.broker.takes_input(conn);
            assert!(takes_input || is_put_off || is_ending, "paused");
            let session = world.broker.conn(conn).and_then(|conn| conn.session());
            if let Some(session) = session {
                let waiting = world.broker.sessions.get(session).flow.queue_qos0.len();
                assert_eq!(waiting, 0, "QoS 0 messages wait");
            }
            world.cut(client);
        }
    }
    finish(&mut world, &mut rng);
    world.pass(1_000_000);
    let broker = &world.broker;
    assert_eq!(broker.sessions.slab.len(), 0, "sessions");
    assert_eq!(broker.connections.len(), 0, "connections");
    assert_eq!(broker.subscriptions.slab.len(), 0, "subscriptions");
    assert_eq!(broker.subscriptions.groups.len(), 0, "groups");
    assert_eq!(broker.subscriptions.shared_count, 0, "shared subscriptions");
    assert_eq!(broker.deliveries.count(), 0, "deliveries");
    assert_eq!(broker.messages.count(), broker.retained.count(), "messages");
    assert_eq!(broker.sessions.memory(), 0, "texts of sessions");
    assert_eq!(broker.poll_timeout(), None, "timers");
    broker.burst.most[1] > 1
}

/// All come back with good manners: everything that waits for them reaches them.
fn finish(world: &mut World, rng: &mut Rng) {
    let raw = properties(&[(PropertyId::SessionExpiryInterval, 5)]);
    for client_id in ["a", "b", "c", "d"] {
        let connect = Connect {
            clean_start: false,
            properties: Properties::from_encoded(&raw),
            ..hello(Version::V5, client_id)
        };
        let client = world.connect(&connect);
        while answer(world, client, 5, rng) {}
        let id = world.broker.sessions.find(client_id).expect("it is here");
        let session = world.broker.sessions.get(id);
        assert!(session.flow.queue.is_empty() && session.flow.queue_qos0.is_empty());
        assert_eq!(
            (
                session.flow.window.in_flight(),
                session.flow.window.iter().count()
            ),
            (0, 0)
        );
        assert_eq!(
            (session.flow.window_bytes, session.flow.replays.len()),
            (0, 0)
        );
        world.cut(client);
    }
}

#[test]
fn after_a_storm_nothing_is_left() {
    let mut bundles = 0;
    for seed in 0..200 {
        let result = std::panic::catch_unwind(|| storm(seed));
        bundles += usize::from(result.unwrap_or_else(|_| panic!("seed {seed}")));
    }
    assert!(bundles > 15, "only {bundles} storms had a bundle");
}
