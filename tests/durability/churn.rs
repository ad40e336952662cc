//! Sessions and subscriptions that come and go: what CONNACK, SUBACK and UNSUBACK promised holds
//! from that very moment.

use crate::bell::Sound;
use crate::broker::Broker;
use crate::client::{Client, lasting};
use crate::common::packet::*;
use crate::ledger::{Ledger, Rule};
use crate::link::Link;
use crate::world::Scene;
use std::collections::BTreeSet;

/// What the broker has promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Yes,
    No,
    /// It was asked and has not answered.
    Open,
}

/// A session of a client that is only here for this.
struct Session {
    name: String,
    version: Version,
    exists: Promise,
    subscriptions: [Promise; FILTERS],
}

const FILTERS: usize = 4;
const SESSIONS: usize = 10;

/// What it waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Nothing,
    ConnAck { is_clean: bool },
    SubAck(usize),
    UnsubAck(usize),
}

/// One client that uses one session after the other.
pub struct Churn {
    rng: fastrand::Rng,
    sessions: Vec<Session>,
    current: usize,
    link: Option<Link>,
    awaited: Awaited,
    /// Steps left in this session.
    steps: u32,
    checks: u32,
}

impl Churn {
    pub fn new(mut rng: fastrand::Rng) -> Churn {
        let sessions = (0..SESSIONS)
            .map(|at| Session {
                name: format!("churn-{at}"),
                version: [Version::V311, Version::V5][rng.usize(..2)],
                exists: Promise::No,
                subscriptions: [Promise::No; FILTERS],
            })
            .collect();
        Churn {
            rng,
            sessions,
            current: 0,
            link: None,
            awaited: Awaited::Nothing,
            steps: 0,
            checks: 0,
        }
    }

    pub fn is_linked(&self) -> bool {
        self.link.is_some()
    }

    pub fn turn(&mut self, scene: &mut Scene<'_>, ledger: &mut Ledger) {
        let Some(mut link) = self.link.take().or_else(|| self.connect(scene)) else {
            return;
        };
        for packet in link.hear() {
            self.hear(&packet, scene, ledger);
        }
        if link.is_closed() {
            if !scene.is_dead() {
                let name = &self.sessions[self.current].name;
                ledger.fault(Rule::Protocol, format!("{name}: closed by the broker"));
            }
            return;
        }
        if self.awaited == Awaited::Nothing {
            if self.steps == 0 {
                link.say(&Disconnect::new(0).into());
                return;
            }
            self.steps -= 1;
            self.step(&mut link);
        }
        self.link = Some(link);
    }

    /// As one of the sessions; sometimes with a clean start, which ends what was.
    fn connect(&mut self, scene: &mut Scene<'_>) -> Option<Link> {
        self.current = self.rng.usize(..SESSIONS);
        let session = &mut self.sessions[self.current];
        let mut link = scene.link(session.version)?;
        let is_clean = self.rng.u8(..4) == 0;
        let mut connect = lasting(session.version, &session.name);
        if is_clean && session.version == Version::V5 {
            connect.clean_start = true;
            session.unsettle();
        } else if session.exists == Promise::No {
            session.exists = Promise::Open;
        }
        self.awaited = Awaited::ConnAck {
            is_clean: connect.clean_start,
        };
        self.steps = self.rng.u32(..6);
        link.say(&connect.into());
        Some(link)
    }

    fn step(&mut self, link: &mut Link) {
        let at = self.rng.usize(..FILTERS);
        let session = &mut self.sessions[self.current];
        let filter = format!("churn/{}/{at}", session.name);
        let promise = &mut session.subscriptions[at];
        if *promise == Promise::Yes && self.rng.bool() {
            *promise = Promise::Open;
            self.awaited = Awaited::UnsubAck(at);
            link.say(&Unsubscribe::new(7).filter(&filter).into());
            return;
        }
        // Again is allowed too, and changes nothing.
        if *promise == Promise::No {
            *promise = Promise::Open;
        }
        self.awaited = Awaited::SubAck(at);
        link.say(&Subscribe::new(7).filter(&filter, 1).into());
    }

    fn hear(&mut self, packet: &Packet, scene: &mut Scene<'_>, ledger: &mut Ledger) {
        let session = &mut self.sessions[self.current];
        let sound = match (self.awaited, packet) {
            (Awaited::ConnAck { is_clean }, Packet::ConnAck(ack)) if ack.code == 0 => {
                session.opened(is_clean, ack.session_present, ledger);
                Sound::ConnAck
            }
            (Awaited::SubAck(at), Packet::SubAck(ack)) if ack.codes == [1] => {
                session.subscriptions[at] = Promise::Yes;
                Sound::SubAck
            }
            (Awaited::UnsubAck(at), Packet::UnsubAck(_)) => {
                session.subscriptions[at] = Promise::No;
                Sound::UnsubAck
            }
            (_, Packet::Disconnect(_)) if scene.is_dead() => return,
            _ => {
                let text = format!("{}: {packet:?}", session.name);
                ledger.fault(Rule::Protocol, text);
                return;
            }
        };
        self.awaited = Awaited::Nothing;
        scene.hear(sound);
    }

    /// After a restart: every session and subscription is as it was promised.
    pub fn check(&mut self, broker: &Broker, ledger: &mut Ledger) {
        self.awaited = Awaited::Nothing;
        self.checks += 1;
        let mut publisher = broker.client(Version::V5, "churn-publisher");
        for session in &self.sessions {
            for at in 0..FILTERS {
                let topic = format!("churn/{}/{at}", session.name);
                let payload = format!("{at}.{}", self.checks);
                publisher.publish(Publish::new(&topic, payload));
            }
        }
        publisher.leave();
        for session in &mut self.sessions {
            if session.exists != Promise::No {
                session.check(self.checks, broker, ledger);
            }
        }
    }
}

impl Session {
    /// A clean start was asked for: everything may be gone, or still there.
    fn unsettle(&mut self) {
        for promise in self.subscriptions.iter_mut().chain([&mut self.exists]) {
            if *promise == Promise::Yes {
                *promise = Promise::Open;
            }
        }
    }

    fn opened(&mut self, is_clean: bool, is_present: bool, ledger: &mut Ledger) {
        if is_clean {
            self.subscriptions = [Promise::No; FILTERS];
        } else {
            self.check_present(is_present, ledger);
        }
        self.exists = Promise::Yes;
    }

    fn check_present(&mut self, is_present: bool, ledger: &mut Ledger) {
        if self.exists == Promise::Yes && !is_present {
            ledger.fault(Rule::Session, self.name.clone());
        }
        if !is_present {
            self.subscriptions = [Promise::No; FILTERS];
        }
    }

    fn check(&mut self, check: u32, broker: &Broker, ledger: &mut Ledger) {
        let (mut client, is_present) = broker.lasting(self.version, &self.name);
        self.check_present(is_present, ledger);
        self.exists = Promise::Yes;
        let found = self.hear_out(check, &mut client);
        for (at, promise) in self.subscriptions.iter_mut().enumerate() {
            let is_there = found.contains(&at);
            let is_wrong = match promise {
                Promise::Yes => !is_there,
                Promise::No => is_there,
                Promise::Open => false,
            };
            if is_wrong {
                let text = format!("{}/{at}: {promise:?}, but {is_there}", self.name);
                ledger.fault(Rule::Subscription, text);
            }
            *promise = if is_there { Promise::Yes } else { Promise::No };
        }
        client.leave();
    }

    /// Which filters brought the message of this check: all that come before one of its own.
    fn hear_out(&self, check: u32, client: &mut Client) -> BTreeSet<usize> {
        let end = format!("churn/{}/end", self.name);
        client.say(Subscribe::new(8).filter(&end, 1));
        client.say(Publish::new(&end, "").qos(1).id(9));
        let mut found = BTreeSet::new();
        loop {
            let publish = match client.hear() {
                Packet::Publish(publish) => publish,
                Packet::SubAck(_) | Packet::PubAck(_) => continue,
                other => panic!("no message but {other:?}"),
            };
            client.say(Packet::PubAck(Ack::new(publish.packet_id)));
            if publish.topic == end {
                break;
            }
            let text = publish.text();
            if let Some((at, number)) = text.split_once('.') {
                if number.parse() == Ok(check) {
                    found.insert(at.parse().unwrap());
                }
            }
        }
        client.say(Unsubscribe::new(8).filter(&end));
        loop {
            if matches!(client.hear(), Packet::UnsubAck(_)) {
                return found;
            }
        }
    }
}
