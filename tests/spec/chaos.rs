//! Clients without manners: packets of every kind in any order, some damaged, on broken links.
//!
//! Nobody says what has to come of it. The broker has to live, what it sends has to be well formed
//! and within the rules of `watch.rs`, its outputs have to come to rest, and afterwards it has to
//! serve an honest client as if nothing had happened. A failure prints the seed.

use fastrand::Rng;

use crate::client::Client;
use crate::common::decode::{self, From};
use crate::common::encode::{encode, frame};
use crate::common::packet::*;
use crate::common::property::Property;
use crate::common::random::{self, choose};
use crate::world::World;

const TOPICS: [&str; 6] = ["a", "a/b", "a/b/c", "$d/x", "b", "/"];
const FILTERS: [&str; 8] = [
    "#",
    "a/#",
    "+/b",
    "+",
    "$d/#",
    "$share/g/#",
    "$share/g/a/+",
    "$share/h/a/b",
];
const NAMES: [&str; 4] = ["ann", "bob", "cy", ""];

#[test]
fn an_honest_client_is_served_after_any_amount_of_chaos() {
    let base = fastrand::u64(..);
    for n in 0..12 {
        let seed = base.wrapping_add(n);
        let outcome = std::panic::catch_unwind(|| chaos(seed, 5000));
        if let Err(panic) = outcome {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn chaos(seed: u64, steps: usize) {
    let mut rng = Rng::with_seed(seed);
    let world = World::with(|s| {
        s.max_inflight_messages = rng.u16(0..5);
        s.max_queued_messages = rng.usize(0..20);
        s.max_keepalive = if rng.u8(..4) == 0 { 30 } else { 0 };
        s.max_packet_size = 30_000;
        s.queue_qos0_messages = rng.bool();
        s.allow_duplicate_messages = rng.bool();
        s.upgrade_outgoing_qos = rng.bool();
        s.max_inbound_qos2 = 5;
        s.max_subscriptions_per_client = 4;
        s.listeners[0].max_qos = crate::seam::qos(*choose(&mut rng, &[1, 2, 2, 2]));
    });
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..steps {
        clients.retain(|client| !client.is_closed());
        if clients.len() < 4 {
            clients.push(newcomer(&mut rng, &world));
        }
        if rng.u8(..50) == 0 {
            world.advance_ms(rng.u64(..30_000));
            continue;
        }
        let client = choose(&mut rng, &clients);
        match rng.u8(..200) {
            0..=1 => client.drop_link(),
            2..=5 => client.cut_output(*choose(&mut rng, &[0, 1, 5, 100, usize::MAX])),
            6..=7 => damaged(&mut rng, client),
            8..=11 => {
                let packet = random::packet(&mut rng, client.version, From::Client);
                client.send(packet);
            }
            12..=100 => answer(&mut rng, client),
            _ => {
                let packet = sensible(&mut rng, client.version);
                client.send(packet);
            }
        }
    }
    for client in &clients {
        client.drop_link();
    }
    honest(&world);
}

/// One of the words.
fn word<'a>(rng: &mut Rng, words: &[&'a str]) -> &'a str {
    choose::<&str>(rng, words)
}

fn newcomer(rng: &mut Rng, world: &World) -> Client {
    let version = *choose(rng, &Version::ALL);
    let mut dial = world.client(version, word(rng, &NAMES));
    dial = dial
        .clean(rng.bool())
        .keep_alive(if rng.u8(..8) == 0 { 10 } else { 0 });
    if version == Version::V5 {
        let properties = [
            Property::SessionExpiryInterval(rng.u32(..60)),
            Property::ReceiveMaximum(rng.u16(1..5)),
            Property::TopicAliasMaximum(rng.u16(..4)),
            Property::MaximumPacketSize(rng.u32(30..400)),
        ];
        for property in properties {
            if rng.bool() {
                dial = dial.with(property);
            }
        }
    }
    if rng.u8(..3) == 0 {
        let mut will = Will::new(word(rng, &TOPICS), "will").qos(rng.u8(..3));
        will.retain = rng.bool();
        if version == Version::V5 && rng.bool() {
            will = will.with(Property::WillDelayInterval(rng.u32(..60)));
        }
        dial = dial.will(will);
    }
    dial.dial()
}

/// Something that a client might really say.
fn sensible(rng: &mut Rng, version: Version) -> Packet {
    let id = rng.u16(1..8);
    match rng.u8(..10) {
        0..=5 => {
            let mut publish = Publish::new(word(rng, &TOPICS), vec![b'x'; rng.usize(..300)]);
            publish.qos = *choose(rng, &[0, 0, 1, 1, 1, 2]);
            publish.packet_id = if publish.qos > 0 { id } else { 0 };
            publish.retain = rng.u8(..4) == 0;
            if version == Version::V5 && rng.bool() {
                publish = publish.with(Property::TopicAlias(rng.u16(1..11)));
            }
            if version == Version::V5 && rng.bool() {
                publish = publish.with(Property::MessageExpiryInterval(rng.u32(..30)));
            }
            publish.into()
        }
        6 => Unsubscribe::new(id).filter(word(rng, &FILTERS)).into(),
        7 => Packet::PubRel(Ack::new(id)),
        _ => {
            let filter = word(rng, &FILTERS);
            let may_be_local = version == Version::V5 && !filter.starts_with('$');
            let options = rng.u8(..3) | if may_be_local { rng.u8(..4) << 2 } else { 0 };
            Subscribe::new(id).filter(filter, options).into()
        }
    }
}

/// Answers the next packet of the inbox, more or less as it should be.
fn answer(rng: &mut Rng, client: &Client) {
    let Some(packet) = client.take_first() else {
        return;
    };
    match packet {
        Packet::Publish(publish) if publish.qos == 1 => {
            client.send(Packet::PubAck(Ack::new(publish.packet_id)));
        }
        Packet::Publish(publish) if publish.qos == 2 => {
            let is_refused = client.version == Version::V5 && rng.u8(..6) == 0;
            let code = if is_refused { 0x80 } else { 0 };
            client.send(Packet::PubRec(Ack::code(publish.packet_id, code)));
        }
        Packet::PubRec(ack) if ack.code < 0x80 => {
            client.send(Packet::PubRel(Ack::new(ack.packet_id)));
        }
        Packet::PubRel(ack) if ack.code < 0x80 => {
            client.send(Packet::PubComp(Ack::new(ack.packet_id)));
        }
        _ => {}
    }
}

/// A packet with a few bytes changed; if it is well formed all the same, it counts as sent.
fn damaged(rng: &mut Rng, client: &Client) {
    let version = client.version;
    let packet = random::packet(rng, version, From::Client);
    let bytes = encode(version, &packet);
    let header = 1 + bytes[1..].iter().take_while(|&&b| b >= 0x80).count() + 1;
    let mut parts = (bytes[0], bytes[header..].to_vec());
    random::damage(rng, &mut parts);
    let bytes = frame(parts.0, &parts.1);
    match decode::decode(version, From::Client, &bytes) {
        Ok(Some((packet, _))) => client.send(packet),
        _ => {
            client.raw(&bytes);
            client.drop_link();
        }
    }
}

/// A client that knows nothing of all that gets what it asks for.
fn honest(world: &World) {
    for version in Version::ALL {
        let client = world.client(version, "honest").keep_alive(10).connect();
        client.subscribe("quiet/+", 1);
        let qos = client.say("quiet/corner", "hello", 1);
        assert_eq!(qos, 0);
        client.hear("quiet/corner", "hello");
        client.ping();
        client.expect_nothing();
        client.disconnect();
    }
}
