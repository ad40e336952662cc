//! The broker against a naive model under random scripts of a handful of clients.
//!
//! Each step is done to both, and what the clients see has to be what the model says. Some clients
//! acknowledge at once, others when the script says so, so that windows, redelivery and queues are
//! exercised with holes. A failure prints the seed and the script up to it.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::client::Client;
use crate::common::model::{Copy, Message, Model, Outcome, Pending, Stage, Subscription};
use crate::common::packet::*;
use crate::common::property::Property;
use crate::common::random::choose;
use crate::world::World;

const NAMES: [&str; 5] = ["ann", "bob", "cy", "dee", "eve"];
const FILTERS: [&str; 14] = [
    "#",
    "a/#",
    "a/+",
    "+/b",
    "a/b",
    "+",
    "b",
    "$d/#",
    "+/+/c",
    "a/b/#",
    "/",
    "$share/g/s/+",
    "$share/h/s/#",
    "$share/g/s/x",
];
const TOPICS: [&str; 12] = [
    "a", "b", "a/b", "a/c", "a/b/c", "b/b", "$d", "$d/x", "/", "s/x", "s/y", "a/b/c/d",
];

struct Script {
    rng: Rng,
    world: World,
    model: Model,
    clients: BTreeMap<&'static str, Player>,
    log: Vec<String>,
    published: u32,
}

struct Player {
    client: Client,
    /// Acknowledges only when told.
    is_lazy: bool,
}

/// What a client saw: the copy as the model has it, and the marks of its transport.
struct Seen {
    copy: Copy,
    dup: bool,
    packet_id: u16,
}

#[test]
fn random_scripts_come_out_as_the_model_says() {
    let base = fastrand::u64(..);
    for n in 0..200 {
        run(base.wrapping_add(n), 150);
    }
}

#[test]
fn long_scripts_come_out_as_the_model_says() {
    run(fastrand::u64(..), 10_000);
}

fn run(seed: u64, steps: usize) {
    let world = World::with(|s| {
        s.max_inflight_messages = 0;
        s.max_queued_messages = 0;
    });
    let mut script = Script {
        rng: Rng::with_seed(seed),
        world,
        model: Model::default(),
        clients: BTreeMap::new(),
        log: Vec::new(),
        published: 0,
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..steps {
            script.step();
        }
    }));
    if let Err(panic) = outcome {
        let from = script.log.len().saturating_sub(400);
        eprintln!("seed {seed}:\n{}", script.log[from..].join("\n"));
        std::panic::resume_unwind(panic);
    }
}

impl Script {
    fn step(&mut self) {
        let name = *choose(&mut self.rng, &NAMES);
        let is_online = self.clients.contains_key(name);
        match self.rng.u8(..100) {
            0..=2 => self.advance(),
            _ if !is_online => self.connect(name),
            3..=6 if self.model.sessions[name].will.is_none() => self.connect(name),
            7..=13 => self.leave(name),
            14..=30 => self.subscribe(name),
            31..=36 => self.unsubscribe(name),
            37..=52 => self.acknowledge(name),
            53..=58 => self.release(name),
            _ => self.publish(name),
        }
        self.quiet();
    }

    fn note(&mut self, text: String) {
        self.log.push(text);
    }

    /// Nobody has anything left in the inbox, and nobody was thrown out.
    fn quiet(&self) {
        for player in self.clients.values() {
            player.client.expect_nothing();
        }
    }

    fn advance(&mut self) {
        let s = u64::from(self.rng.u8(1..4)) * 10;
        self.note(format!("{s} s pass"));
        self.world.advance_s(s);
        self.model.advance(s);
    }

    fn connect(&mut self, name: &'static str) {
        if self.clients.contains_key(name) {
            // Those who take an identifier from each other all the time are made to wait.
            self.advance();
        }
        let version = *choose(&mut self.rng, &Version::ALL);
        let clean = self.rng.u8(..3) == 0;
        let v5 = version == Version::V5;
        let expiry = match (v5, self.rng.u8(..3)) {
            (true, 0) => Some(0),
            (true, 1) => Some(25),
            (true, _) => None,
            (false, _) => clean.then_some(0),
        };
        let will = (self.rng.u8(..3) == 0).then(|| self.message(false));
        let is_lazy = self.rng.bool();
        self.note(format!(
            "{name} connects: {version:?} clean {clean} expiry {expiry:?} lazy {is_lazy} {will:?}"
        ));

        let mut dial = self.world.client(version, name).clean(clean);
        if v5 && expiry != Some(0) {
            let s = expiry.map_or(u32::MAX, |s| s as u32);
            dial = dial.with(Property::SessionExpiryInterval(s));
        }
        if let Some(will) = &will {
            let mut packet = Will::new(&will.topic, &will.payload).qos(will.qos);
            packet.retain = will.retain;
            dial = dial.will(packet);
        }
        let earlier = self.clients.remove(name);
        let client = dial.connect();
        if let Some(earlier) = earlier {
            earlier.client.expect_end(0x8E);
            // The session of the first connection ends with it if that is all it was given.
            self.model.disconnect(name, false);
        }
        let present = self.model.connect(name, version, clean, expiry, will);
        if version != Version::V31 {
            assert_eq!(
                client.session_present(),
                present,
                "session present for {name}"
            );
        }
        self.clients.insert(name, Player { client, is_lazy });
        self.resume(name);
    }

    /// What a session gets that goes on: everything unacknowledged again, then what waited.
    fn resume(&mut self, name: &'static str) {
        let (again, fresh) = self.model.resume(name);
        let client = &self.clients[name].client;
        let releases: Vec<u16> = ids(&again, Stage::Released);
        let mut released = Vec::new();
        for _ in &releases {
            let release = client.take("PUBREL", |p| matches!(p, Packet::PubRel(_)));
            let Packet::PubRel(ack) = release else {
                unreachable!("take() looked for PUBREL")
            };
            released.push(ack.packet_id);
        }
        released.sort_unstable();
        let mut expected = releases.clone();
        expected.sort_unstable();
        assert_eq!(released, expected, "releases of {name}");

        let seen = see(client);
        let resent: Vec<u16> = seen.iter().filter(|s| s.dup).map(|s| s.packet_id).collect();
        assert_eq!(
            resent,
            ids(&again, Stage::Sent),
            "sent again to {name}, in order"
        );
        let first: Vec<&Seen> = seen.iter().filter(|s| !s.dup).collect();
        let payloads = |copies: &mut dyn Iterator<Item = &Copy>| -> Vec<String> {
            copies.map(|c| c.payload.clone()).collect()
        };
        assert_eq!(
            payloads(&mut first.iter().map(|s| &s.copy)),
            payloads(&mut fresh.iter()),
            "what waited for {name}, in order"
        );
        self.compare(name, fresh, seen.into_iter().filter(|s| !s.dup).collect());
        if !self.clients[name].is_lazy {
            while self.model.sessions[name]
                .pending
                .iter()
                .any(|p| p.packet_id.is_some())
            {
                self.acknowledge_one(name, 0);
            }
        }
    }

    fn leave(&mut self, name: &'static str) {
        let player = self.clients.remove(name).expect("it is online");
        let with_will = self.rng.bool();
        self.note(format!("{name} leaves, with its will: {with_will}"));
        let will = self.model.sessions[name].will.clone();
        if with_will && will.is_some_and(|will| self.would_guess(&will.topic, name)) {
            // Nobody could say which member of a group that is away gets it.
            self.clients.insert(name, player);
            return;
        }
        match with_will {
            true => player.client.drop_link(),
            false => player.client.disconnect(),
        }
        let outcome = self.model.disconnect(name, with_will);
        self.check(outcome);
    }

    fn would_guess(&mut self, topic: &str, leaving: &str) -> bool {
        let session = self.model.sessions.get_mut(leaving).expect("a session");
        session.is_online = false;
        let guess = self.model.would_guess(topic);
        self.model
            .sessions
            .get_mut(leaving)
            .expect("a session")
            .is_online = true;
        guess
    }

    fn subscribe(&mut self, name: &'static str) {
        let filter = *choose(&mut self.rng, &FILTERS);
        let client = &self.clients[name].client;
        let v5 = client.version == Version::V5;
        let flag = |rng: &mut Rng| v5 && rng.u8(..3) == 0;
        let subscription = Subscription {
            qos: self.rng.u8(..3),
            no_local: flag(&mut self.rng) && !filter.starts_with("$share"),
            retain_as_published: flag(&mut self.rng),
            retain_handling: if v5 { self.rng.u8(..3) } else { 0 },
            identifier: flag(&mut self.rng).then(|| self.rng.u32(1..1000)),
        };
        let options = subscription.qos
            | if subscription.no_local { NO_LOCAL } else { 0 }
            | if subscription.retain_as_published {
                RETAIN_AS_PUBLISHED
            } else {
                0
            }
            | subscription.retain_handling << 4;
        let mut subscribe = Subscribe::new(60_000).filter(filter, options);
        if let Some(id) = subscription.identifier {
            subscribe = subscribe.with(Property::SubscriptionIdentifier(id));
        }
        assert_eq!(client.subscribe_with(subscribe).codes, [subscription.qos]);
        let seen = see(client);
        self.note(format!("{name} subscribes to {filter}: {subscription:?}"));
        let expected = self.model.subscribe(name, filter, &subscription);
        self.compare(name, expected, seen);
        self.acknowledge_all(name);
    }

    fn unsubscribe(&mut self, name: &'static str) {
        let filter = *choose(&mut self.rng, &FILTERS);
        self.note(format!("{name} unsubscribes from {filter}"));
        let client = &self.clients[name].client;
        let codes = client.unsubscribe(filter);
        let existed = self.model.unsubscribe(name, filter);
        if client.version == Version::V5 {
            assert_eq!(codes, [if existed { 0 } else { 0x11 }]);
        }
    }

    fn message(&mut self, may_expire: bool) -> Message {
        self.published += 1;
        let retain = self.rng.u8(..3) == 0;
        let is_clearing = retain && self.rng.u8(..4) == 0;
        let expires_at = (may_expire && self.rng.u8(..4) == 0)
            .then(|| self.model.now_s + u64::from(self.rng.u8(0..4)) * 10 + 5);
        Message {
            topic: choose(&mut self.rng, &TOPICS).to_string(),
            payload: if is_clearing {
                String::new()
            } else {
                self.published.to_string()
            },
            qos: self.rng.u8(..3),
            retain,
            expires_at,
        }
    }

    fn publish(&mut self, name: &'static str) {
        let v5 = self.clients[name].client.version == Version::V5;
        let message = self.message(v5);
        if self.model.would_guess(&message.topic) {
            return;
        }
        self.note(format!("{name} publishes {message:?}"));
        let client = &self.clients[name].client;
        let mut publish = Publish::new(&message.topic, &message.payload).qos(message.qos);
        publish.retain = message.retain;
        if let Some(at) = message.expires_at {
            let left = (at - self.model.now_s) as u32;
            publish = publish.with(Property::MessageExpiryInterval(left));
        }
        // Some QoS 2 messages are released later; their expiry would have to count meanwhile.
        if message.qos == 2 && message.expires_at.is_none() && self.rng.u8(..3) == 0 {
            let session = self.model.sessions.get_mut(name).expect("a session");
            let id = (1..60_000)
                .find(|id| !session.held.contains_key(id))
                .expect("few are held");
            client.send(publish.id(id));
            client.take("PUBREC", |p| acknowledges(p, "PUBREC", id));
            session.held.insert(id, message);
            return;
        }
        let code = client.publish(publish.id(if message.qos > 0 { 50_000 } else { 0 }));
        let outcome = self.model.publish(name, &message);
        let nobody = outcome.copies.is_empty() && outcome.shared.is_empty();
        let is_reached = self.model.sessions.values().any(|s| {
            s.pending
                .iter()
                .any(|p| p.message.payload == message.payload)
        });
        if v5 && message.qos > 0 && nobody && !is_reached && !message.payload.is_empty() {
            // A QoS 0 subscription of somebody who is away counts or not, as the broker likes.
            assert!([0, 0x10].contains(&code));
        } else if message.qos > 0 && !nobody {
            assert_eq!(code, 0);
        }
        self.check(outcome);
    }

    /// Releases a QoS 2 message that was held back.
    fn release(&mut self, name: &'static str) {
        let held = &self.model.sessions[name].held;
        let Some((&id, message)) = held.iter().next() else {
            return;
        };
        if self.model.would_guess(&message.topic) {
            return;
        }
        self.note(format!("{name} releases {id}"));
        let client = &self.clients[name].client;
        client.send(Packet::PubRel(Ack::new(id)));
        client.take("PUBCOMP", |p| acknowledges(p, "PUBCOMP", id));
        let session = self.model.sessions.get_mut(name).expect("a session");
        let message = session.held.remove(&id).expect("it was held");
        let outcome = self.model.publish(name, &message);
        self.check(outcome);
    }

    /// A lazy client acknowledges one of the messages it has.
    fn acknowledge(&mut self, name: &'static str) {
        let known = self.model.sessions[name]
            .pending
            .iter()
            .filter(|p| p.packet_id.is_some());
        let count = known.count();
        if count > 0 {
            let n = self.rng.usize(..count);
            self.note(format!("{name} acknowledges number {n} of {count}"));
            self.acknowledge_one(name, n);
        }
    }

    fn acknowledge_all(&mut self, name: &'static str) {
        while !self.clients[name].is_lazy
            && self.model.sessions[name]
                .pending
                .iter()
                .any(|p| p.packet_id.is_some())
        {
            self.acknowledge_one(name, 0);
        }
    }

    fn acknowledge_one(&mut self, name: &'static str, n: usize) {
        let client = &self.clients[name].client;
        let pending = &mut self
            .model
            .sessions
            .get_mut(name)
            .expect("a session")
            .pending;
        let mut known = (0..pending.len()).filter(|&at| pending[at].packet_id.is_some());
        let at = known.nth(n).expect("there are more than n");
        let id = pending[at].packet_id.expect("it is known");
        match (pending[at].message.qos, pending[at].stage) {
            (1, _) => {
                client.send(Packet::PubAck(Ack::new(id)));
                pending.remove(at);
            }
            (_, Stage::Sent) => {
                client.send(Packet::PubRec(Ack::new(id)));
                client.expect(Packet::PubRel(Ack::new(id)));
                pending[at].stage = Stage::Released;
            }
            (_, Stage::Released) => {
                client.send(Packet::PubComp(Ack::new(id)));
                pending.remove(at);
            }
            (_, Stage::Waiting) => unreachable!("what waits has no packet identifier"),
        }
    }

    /// Compares what everybody saw with what the model said.
    fn check(&mut self, outcome: Outcome) {
        let mut seen: BTreeMap<&str, Vec<Seen>> = BTreeMap::new();
        for (name, player) in &self.clients {
            seen.insert(name, see(&player.client));
        }
        let mut expected = outcome.copies;
        for (name, copy) in takers(&outcome.shared, &seen, &expected) {
            let session = self.model.sessions.get_mut(&name).expect("a session");
            let message = Message {
                topic: copy.topic.clone(),
                payload: copy.payload.clone(),
                qos: copy.qos,
                retain: copy.retain,
                expires_at: None,
            };
            session.keep(message, copy.identifier, Stage::Sent);
            expected.entry(name).or_default().push(copy);
        }
        let names: Vec<&'static str> = self.clients.keys().copied().collect();
        for name in names {
            let seen = seen.remove(name).unwrap_or_default();
            self.compare(name, expected.remove(name).unwrap_or_default(), seen);
            self.acknowledge_all(name);
        }
        let rest: Vec<_> = expected.keys().collect();
        assert!(
            rest.is_empty(),
            "the model sends to who is not here: {rest:?}"
        );
    }

    /// Compares one client's copies, and notes their packet identifiers for later.
    fn compare(&mut self, name: &str, mut expected: Vec<Copy>, mut seen: Vec<Seen>) {
        expected.sort();
        seen.sort_by(|a, b| a.copy.cmp(&b.copy));
        let copies: Vec<Copy> = seen.iter().map(|s| s.copy.clone()).collect();
        assert_eq!(
            copies, expected,
            "what {name} saw, and what it should have seen"
        );
        let pending = &mut self
            .model
            .sessions
            .get_mut(name)
            .expect("a session")
            .pending;
        for seen in seen.iter().filter(|s| s.copy.qos > 0) {
            assert!(!seen.dup, "a first sending to {name} is marked as repeated");
            let slot = pending.iter_mut().find(|p| {
                let m = &p.message;
                p.packet_id.is_none()
                    && p.stage == Stage::Sent
                    && (&m.payload, &m.topic, m.qos)
                        == (&seen.copy.payload, &seen.copy.topic, seen.copy.qos)
            });
            slot.expect("the model keeps it").packet_id = Some(seen.packet_id);
        }
        // The order in which the broker sent them is the order in which it repeats them. Its packet
        // identifiers rise, and scripts are too short for them to come round.
        let sent = |p: &Pending| p.packet_id.map_or(usize::MAX, usize::from);
        pending.sort_by_key(sent);
    }
}

/// Who took the message for each group: some choice of members has to explain what was seen.
fn takers(
    groups: &[BTreeMap<String, Copy>],
    seen: &BTreeMap<&str, Vec<Seen>>,
    expected: &BTreeMap<String, Vec<Copy>>,
) -> Vec<(String, Copy)> {
    let mut left: Vec<(String, Copy)> = Vec::new();
    for (name, seen) in seen {
        left.extend(seen.iter().map(|s| (name.to_string(), s.copy.clone())));
    }
    for (name, copies) in expected {
        for copy in copies {
            left.iter()
                .position(|l| l.0 == *name && l.1 == *copy)
                .map(|at| left.remove(at));
        }
    }
    choose_takers(groups, &left).expect("one member of each group got it")
}

/// One member for each group, such that all of them are among `left`.
fn choose_takers(
    groups: &[BTreeMap<String, Copy>],
    left: &[(String, Copy)],
) -> Option<Vec<(String, Copy)>> {
    let Some((group, others)) = groups.split_first() else {
        return Some(Vec::new());
    };
    group.iter().find_map(|(name, copy)| {
        let at = left.iter().position(|l| l.0 == *name && l.1 == *copy)?;
        let mut rest = left.to_vec();
        let taken = rest.remove(at);
        let mut chosen = choose_takers(others, &rest)?;
        chosen.push(taken);
        Some(chosen)
    })
}

fn ids(pending: &[Pending], stage: Stage) -> Vec<u16> {
    let of_stage = pending.iter().filter(|p| p.stage == stage);
    of_stage
        .map(|p| p.packet_id.expect("it was sent"))
        .collect()
}

fn acknowledges(packet: &Packet, name: &str, id: u16) -> bool {
    match packet {
        Packet::PubRec(ack) | Packet::PubComp(ack) => packet.name() == name && ack.packet_id == id,
        _ => false,
    }
}

/// Takes all PUBLISH packets from the front of a client's inbox, unacknowledged.
fn see(client: &Client) -> Vec<Seen> {
    let mut seen = Vec::new();
    while !client.inbox().is_empty() {
        let publish = client.publication();
        let mut copy = Copy {
            payload: publish.text(),
            topic: publish.topic.clone(),
            qos: publish.qos,
            retain: publish.retain,
            identifier: None,
            expiry: None,
        };
        for property in &publish.properties {
            match *property {
                Property::SubscriptionIdentifier(id) => copy.identifier = Some(id),
                Property::MessageExpiryInterval(s) => copy.expiry = Some(s),
                ref other => panic!("a property from nowhere: {other:?}"),
            }
        }
        seen.push(Seen {
            copy,
            dup: publish.dup,
            packet_id: publish.packet_id,
        });
    }
    seen
}
