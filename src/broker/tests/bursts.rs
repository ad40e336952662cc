//! Messages that come in one read go together where they can; nobody can tell by what he gets.

use super::*;

const TOPICS: [&str; 4] = ["a", "b", "a/b", "c"];
const FILTERS: [&str; 8] = ["a", "b", "+", "#", "a/b", "$share/g/a", "a/#", "$share/g/+"];

fn settings(rng: &mut fastrand::Rng) -> Settings {
    Settings {
        slice: 1_000_000,
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
    for n in 0..rng.usize(2..5) {
        let version = [Version::V311, Version::V5][rng.usize(..2)];
        let lasting = properties(&[(PropertyId::SessionExpiryInterval, 1000)]);
        let mut connect = hello(version, ["p", "q", "r", "s"][n]);
        if version == Version::V5 {
            connect.properties = Properties::from_encoded(&lasting);
        }
        let client = world.connect(&connect);
        for _ in 0..rng.usize(..3) {
            let filter = FILTERS[rng.usize(..FILTERS.len())];
            world.send(
                client,
                &subscribe(version, filter, QoS::ALL[rng.usize(..3)]),
            );
        }
        world.packets(client);
        if n > 0 && rng.u8(..5) == 0 {
            world.cut(client);
        }
    }
}

/// What a publisher sends in one go, packet by packet.
fn run_of_packets(version: Version, rng: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut unreleased = Vec::new();
    let mut topic = TOPICS[0];
    for n in 1..=rng.usize(1..60) {
        if rng.u8(..6) == 0 {
            topic = TOPICS[rng.usize(..4)];
        }
        if !unreleased.is_empty() && rng.u8(..4) == 0 {
            for packet_id in unreleased.drain(..) {
                packets.push(ack(version, PacketType::PubRel, packet_id));
            }
        }
        let qos = QoS::ALL[rng.usize(..3)];
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { n as u16 };
        if qos == QoS::ExactlyOnce {
            unreleased.push(packet_id);
        }
        let text = format!("m{n}");
        packets.push(publish(
            version,
            &Publish {
                topic: topic.as_bytes(),
                payload: text.as_bytes(),
                qos,
                packet_id,
                retain: rng.u8(..12) == 0,
                ..Publish::default()
            },
        ));
    }
    packets
}

/// The property: a broker that gets a run of packets in one read, and one that gets each in a read
/// of its own, send the same to everybody.
#[test]
fn one_read_or_many_lead_to_the_same() {
    let mut burst = 0;
    for seed in 0..3000 {
        let [at_once, one_by_one] = [true, false].map(|is_at_once| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut world = World::new(settings(&mut rng));
            gather(&mut world, &mut rng);
            let packets = run_of_packets(world.links[0].version, &mut rng);
            let reads = match is_at_once {
                true => vec![packets.concat()],
                false => packets,
            };
            for read in reads {
                world.links[0].unread.extend(read);
                world.present(0);
                assert!(world.links[0].unread.is_empty());
            }
            world.settle();
            let clients = 0..world.links.len();
            let got: Vec<Vec<String>> = clients.map(|client| world.packets(client)).collect();
            (got, world.broker.burst.most)
        });
        assert_eq!(at_once.0, one_by_one.0, "seed {seed}");
        assert_eq!(one_by_one.1, 0, "one message is no burst");
        burst += usize::from(at_once.1 > 1);
    }
    assert!(burst > 300, "only {burst} worlds had a burst");
}
