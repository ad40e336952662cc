//! Clients that take a Client Identifier from each other.

use super::*;

const V5: Version = Version::V5;

impl World {
    /// Another client with this identifier: it, and how long it waited for its CONNACK.
    fn take_over(&mut self, client_id: &str) -> (Client, u64) {
        let client = self.dial(V5, 0);
        self.send(client, &bytes(|out| hello(V5, client_id).encode(out)));
        let mut waited_ms = 0;
        while self.links[client].inbox.is_empty() {
            self.pass(50);
            waited_ms += 50;
            assert!(waited_ms <= 5000, "it waits for ever");
        }
        assert_eq!(self.packets(client), ["CONNACK 0x00 false"]);
        (client, waited_ms)
    }
}

#[test]
fn who_fights_over_an_identifier_waits_longer_each_time() {
    let mut world = World::new(Settings::default());
    let (mut current, _) = world.take_over("x");
    let mut waits = Vec::new();
    for _ in 0..14 {
        let (next, waited_ms) = world.take_over("x");
        assert_eq!(world.packets(current), ["DISCONNECT 0x8e"]);
        assert!(world.links[current].is_closed);
        current = next;
        waits.push(waited_ms);
    }
    assert_eq!(waits[..6], [0; 6], "some in a row are no fight");
    assert!((1..=500).contains(&waits[6]), "{waits:?}");
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(waits.last(), Some(&5000));
    // Others do not wait, and peace makes up for the fight.
    assert_eq!(world.take_over("y").1, 0);
    world.pass(300_000);
    assert_eq!(world.take_over("x").1, 0);
}

#[test]
fn what_is_said_while_it_waits_is_heard_in_the_end() {
    let mut world = World::new(Settings::default());
    for _ in 0..12 {
        world.take_over("x");
    }
    let client = world.dial(V5, 0);
    let mut said = bytes(|out| hello(V5, "x").encode(out));
    said.extend(subscribe(V5, "t", QoS::AtMostOnce));
    world.send(client, &said);
    assert_eq!(world.packets(client), [""; 0]);
    let impatient = world.dial(V5, 0);
    world.send(impatient, &bytes(|out| hello(V5, "x").encode(out)));
    world.cut(impatient);
    world.pass(5000);
    let heard = world.packets(client);
    assert_eq!(heard, ["CONNACK 0x00 false", "SUBACK [0]"]);
}

/// However slowly it goes, or from whatever address: a client that comes back now and then, before
/// its old connection is known to be dead, is not at war with itself.
#[test]
fn a_client_on_a_bad_line_does_not_wait() {
    let mut world = World::new(Settings::default());
    for _ in 0..30 {
        assert_eq!(world.take_over("x").1, 0);
        world.pass(10_000);
    }
}

#[test]
fn only_so_many_identifiers_are_watched() {
    let mut world = World::new(Settings::default());
    for round in 0..8 {
        for n in 0..300 {
            world.take_over(&format!("{n}"));
        }
        assert!(world.broker.fights.len() <= 256, "round {round}");
    }
}
