//! Packets that come in parts, at some pace.

use super::*;

const V311: Version = Version::V311;

fn large() -> Vec<u8> {
    let payload = vec![b'x'; 200_000];
    let message = Publish {
        qos: QoS::AtLeastOnce,
        packet_id: 3,
        topic: b"t",
        payload: &payload,
        ..Publish::default()
    };
    publish(V311, &message)
}

#[test]
fn a_packet_that_stops_ends_a_connection_without_keep_alive_too() {
    for len in [1, 2, 10_000] {
        let mut world = World::new(Settings::default());
        let client = world.connect(&hello(V311, "c"));
        world.pass(100_000);
        world.send(client, &large()[..len]);
        world.pass(29_000);
        assert!(!world.links[client].is_closed);
        for _ in 0..35 {
            world.pass(1000);
        }
        assert!(world.links[client].is_closed, "{len} bytes stay for ever");
    }
}

#[test]
fn a_packet_that_keeps_its_pace_may_take_long_and_one_that_loses_it_may_not() {
    let mut world = World::new(Settings::default());
    let client = world.connect(&hello(V311, "c"));
    for part in large().chunks(300) {
        world.pass(1000);
        world.send(client, part);
    }
    assert_eq!(world.packets(client), ["PUBACK 3 0x00"]);
    // Much at once does not make up for nothing afterwards.
    let packet = large();
    world.send(client, &packet[..100_000]);
    for byte in &packet[100_000..100_090] {
        world.pass(1000);
        world.send(client, &[*byte]);
    }
    assert!(world.links[client].is_closed);
}

#[test]
fn who_cannot_be_read_is_not_to_blame() {
    let mut world = World::new(Settings::default());
    let client = world.connect(&hello(V311, "c"));
    let packet = large();
    world.send(client, &packet[..50_000]);
    for _ in 0..100 {
        world.pass(1000);
        world.broker.hold_up(world.links[client].conn, world.now);
    }
    assert!(!world.links[client].is_closed);
    world.send(client, &packet[50_000..]);
    assert_eq!(world.packets(client), ["PUBACK 3 0x00"]);
}

#[test]
fn the_pace_can_be_turned_off() {
    let mut world = World::new(Settings {
        min_packet_rate: 0,
        ..Settings::default()
    });
    let client = world.connect(&hello(V311, "c"));
    world.send(client, &large()[..5000]);
    world.pass(1_000_000);
    assert!(!world.links[client].is_closed);
}
