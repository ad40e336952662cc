//! A subscriber with a session that stays, and a manner of its own.
//!
//! As a receiver of QoS 2 it is the specification's: a message goes to the application when its
//! PUBLISH comes, and the packet identifier is kept until PUBREL, across connections.

use crate::bell::Sound;
use crate::client::lasting;
use crate::common::packet::*;
use crate::ledger::{Key, Ledger, Rule};
use crate::link::Link;
use crate::world::Scene;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How a subscriber behaves until the drain, in which all of them take what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Subscribes and goes.
    Offline,
    Online,
    /// Answers late.
    Slow,
    /// Never answers.
    Mute,
    /// Answers PUBLISH, never PUBREL.
    Half,
    /// Comes and goes.
    Flapping,
}

impl Manner {
    pub const ALL: [Manner; 6] = [
        Manner::Offline,
        Manner::Online,
        Manner::Slow,
        Manner::Mute,
        Manner::Half,
        Manner::Flapping,
    ];
}

/// Session taken over: a reason code of 5.0.
const TAKEN_OVER: u8 = 0x8E;

/// What a resumed session has to begin with, for one packet identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// It was never answered: PUBLISH.
    Publish(Key),
    /// PUBREC was sent and may have arrived: PUBLISH or PUBREL.
    Either(Key),
    /// PUBREL has come, PUBCOMP was not sent: PUBREL.
    Release,
}

/// What it has to say, in the order in which it heard [MQTT-4.6.0-2].
#[derive(Clone, Copy, Debug)]
enum Answer {
    Publish { packet_id: u16, qos: u8, key: Key },
    Release { packet_id: u16 },
}

pub struct Subscriber {
    /// Its place in the ledger.
    reader: usize,
    name: String,
    version: Version,
    qos: u8,
    manner: Manner,
    link: Option<Link>,
    is_open: bool,
    had_session: bool,
    is_subscribed: bool,
    answers: VecDeque<Answer>,
    /// QoS 2 messages that the application has, by identifiers that PUBREL has not freed.
    held: BTreeMap<u16, Key>,
    again: BTreeMap<u16, Again>,
    /// Those of them that a whole life of the broker did not send: what it knows of the life
    /// before that is not more than that they are owed.
    old: BTreeSet<u16>,
    /// Packet identifiers of what came in this life of the broker.
    seen: BTreeSet<u16>,
    /// A flapping subscriber stays until then.
    until: Instant,
    /// Publishers whose last message of the round has come.
    last: BTreeSet<usize>,
    last_words: Option<String>,
}

impl Subscriber {
    pub fn new(manner: Manner, version: Version, qos: u8, ledger: &mut Ledger) -> Subscriber {
        let name = format!("{manner:?}-{version:?}-qos{qos}").to_lowercase();
        Subscriber {
            reader: ledger.add_reader(&name, qos),
            name,
            version,
            qos,
            manner,
            link: None,
            is_open: false,
            had_session: false,
            is_subscribed: false,
            answers: VecDeque::new(),
            held: BTreeMap::new(),
            again: BTreeMap::new(),
            old: BTreeSet::new(),
            seen: BTreeSet::new(),
            until: Instant::now(),
            last: BTreeSet::new(),
            last_words: None,
        }
    }

    /// The broker has promised its subscription.
    pub fn is_ready(&self) -> bool {
        self.is_subscribed
    }

    /// It is online, with its subscription.
    pub fn is_here(&self) -> bool {
        self.is_subscribed && self.is_open
    }

    /// The last message of so many publishers has come.
    pub fn has_last(&self, publishers: usize) -> bool {
        self.last.len() == publishers
    }

    /// Nothing is unfinished.
    pub fn is_done(&self) -> bool {
        self.held.is_empty() && self.again.is_empty()
    }

    pub fn is_linked(&self) -> bool {
        self.link.is_some()
    }

    pub fn reader(&self) -> usize {
        self.reader
    }

    pub fn state(&self) -> String {
        let Subscriber {
            name, last, held, ..
        } = self;
        let again = &self.again;
        let open = self.is_open;
        format!("{name} open {open} last {last:?} held {held:?} again {again:?}")
    }

    /// What was sent before and never came again is a fault at the end of the round.
    pub fn check_end(&self, ledger: &mut Ledger) {
        if !self.again.is_empty() {
            ledger.fault(Rule::Again, self.state());
        }
        for packet_id in self.held.keys() {
            if !self.again.contains_key(packet_id) {
                let text = format!("{}: no PUBREL {packet_id}", self.name);
                ledger.fault(Rule::Protocol, text);
            }
        }
    }

    pub fn turn(&mut self, scene: &mut Scene<'_>, ledger: &mut Ledger) {
        let is_away = self.manner == Manner::Offline && self.is_subscribed && !scene.is_draining;
        if self.link.is_none() && !is_away {
            self.connect(scene);
        }
        let Some(mut link) = self.link.take() else {
            return;
        };
        for packet in link.hear() {
            self.hear(packet, &mut link, scene, ledger);
        }
        self.answer(&mut link, scene, ledger);
        if link.is_closed() {
            // Of two connections that came at once the broker may hear the older one last.
            if !scene.is_dead() && self.manner != Manner::Flapping {
                let log = scene.log_of(&self.name);
                let text = format!(
                    "{}: closed by the broker: {:?}\n{log}",
                    self.name, self.last_words
                );
                ledger.fault(Rule::Protocol, text);
            }
            self.closed();
            return;
        }
        let is_over = self.manner == Manner::Flapping && Instant::now() > self.until;
        if is_away || is_over && self.is_subscribed && !scene.is_draining {
            if scene.rng.bool() {
                link.say(&Disconnect::new(0).into());
            }
            self.closed();
            return;
        }
        self.link = Some(link);
    }

    fn connect(&mut self, scene: &mut Scene<'_>) {
        let Some(mut link) = scene.link(self.version) else {
            return;
        };
        link.say(&lasting(self.version, &self.name).into());
        self.link = Some(link);
        self.until = Instant::now() + Duration::from_micros(scene.rng.u64(300..60_000));
    }

    /// Notes what the next connection has to begin with.
    fn closed(&mut self) {
        self.is_open = false;
        for (&packet_id, &key) in &self.held {
            let again = self.again.entry(packet_id);
            again.or_insert(Again::Either(key));
        }
        for answer in std::mem::take(&mut self.answers) {
            match answer {
                Answer::Publish { packet_id, key, .. } => {
                    self.again.insert(packet_id, Again::Publish(key));
                }
                Answer::Release { packet_id } => {
                    self.again.insert(packet_id, Again::Release);
                }
            }
        }
    }

    /// The broker has ended. What its publisher is not done with may be published anew, and come as
    /// another delivery.
    pub fn outlive(&mut self, ledger: &Ledger) {
        self.again.retain(|_, again| match again {
            Again::Publish(key) | Again::Either(key) => ledger.is_settled(*key),
            Again::Release => true,
        });
        let seen = std::mem::take(&mut self.seen);
        let ids = self.again.keys().copied();
        self.old = ids.filter(|id| !seen.contains(id)).collect();
    }

    fn hear(
        &mut self,
        packet: Packet,
        link: &mut Link,
        scene: &mut Scene<'_>,
        ledger: &mut Ledger,
    ) {
        match packet {
            Packet::ConnAck(ack) if ack.code == 0 => {
                self.opened(&ack, link, ledger);
                scene.hear(Sound::ConnAck);
            }
            Packet::SubAck(ack) if ack.codes == [self.qos] => {
                self.is_subscribed = true;
                scene.hear(Sound::SubAck);
            }
            Packet::Publish(publish) => {
                self.take(&publish, ledger);
                scene.hear(Sound::Publish);
            }
            Packet::PubRel(ack) => {
                self.released(ack.packet_id, ledger);
                scene.hear(Sound::PubRel);
            }
            // Only where it ends in good order, and in 5.0.
            Packet::Disconnect(_) if scene.is_dead() => {}
            Packet::Disconnect(end)
                if end.code == TAKEN_OVER && self.manner == Manner::Flapping => {}
            other => {
                self.last_words = Some(format!("{other:?}"));
                let text = format!("{}: {other:?}", self.name);
                ledger.fault(Rule::Protocol, text);
            }
        }
    }

    fn opened(&mut self, ack: &ConnAck, link: &mut Link, ledger: &mut Ledger) {
        if self.had_session && !ack.session_present {
            ledger.fault(Rule::Session, self.name.clone());
            self.is_subscribed = false;
            self.held.clear();
            self.again.clear();
        }
        self.had_session = true;
        self.is_open = true;
        if !self.is_subscribed {
            link.say(&Subscribe::new(1).filter("load/#", self.qos).into());
        }
    }

    fn take(&mut self, publish: &Publish, ledger: &mut Ledger) {
        let Some(key) = ledger.identify(self.reader, publish) else {
            return;
        };
        self.check_again(publish, key, ledger);
        let packet_id = publish.packet_id;
        self.seen.insert(packet_id);
        match self.held.get(&packet_id) {
            Some(&held) if publish.qos == 2 => {
                if held != key {
                    let text = format!("{}: {packet_id} was in use", self.name);
                    ledger.fault(Rule::OtherId, text);
                }
            }
            _ => ledger.arrived(self.reader, key, publish),
        }
        if publish.qos == 2 {
            self.held.insert(packet_id, key);
        }
        if publish.topic.ends_with("/last") {
            self.last.insert(key.0);
        }
        self.answers.push_back(Answer::Publish {
            packet_id,
            qos: publish.qos,
            key,
        });
    }

    /// Holds a PUBLISH against what the connection before has left.
    fn check_again(&mut self, publish: &Publish, key: Key, ledger: &mut Ledger) {
        let packet_id = publish.packet_id;
        let (rule, what, other) = match self.again.remove(&packet_id) {
            Some(Again::Publish(earlier) | Again::Either(earlier)) if earlier == key => {
                if publish.dup || self.old.contains(&packet_id) {
                    return;
                }
                (Rule::NoDup, "without DUP", None)
            }
            Some(Again::Release) => (Rule::Protocol, "behind PUBREL", None),
            // A client that still answers to the earlier one would answer to this.
            Some(Again::Publish(earlier)) => (Rule::OtherId, "in place of", Some(earlier)),
            Some(Again::Either(earlier)) => (Rule::OtherId, "too soon behind", Some(earlier)),
            // Its publisher may have sent it twice: it is owed twice then.
            None if publish.qos == 1 => return,
            None => {
                let is_same = |a: &Again| *a == Again::Publish(key) || *a == Again::Either(key);
                let other = self.again.iter().find(|(_, again)| is_same(again));
                let Some((&other, _)) = other else {
                    return;
                };
                self.again.remove(&other);
                self.held.remove(&other);
                (Rule::OtherId, "with another identifier", None)
            }
        };
        let mut text = format!(
            "{packet_id} came {what}: {}",
            ledger.story(self.reader, key)
        );
        if let Some(other) = other {
            text = format!("{text}\n{}", ledger.story(self.reader, other));
        }
        ledger.fault(rule, text);
    }

    fn released(&mut self, packet_id: u16, ledger: &mut Ledger) {
        self.held.remove(&packet_id);
        if let Some(Again::Publish(key)) = self.again.remove(&packet_id) {
            let text = format!(
                "{}: PUBREL {packet_id} for {key:?} without PUBREC",
                self.name
            );
            ledger.fault(Rule::Protocol, text);
        }
        self.answers.push_back(Answer::Release { packet_id });
    }

    fn answer(&mut self, link: &mut Link, scene: &mut Scene<'_>, ledger: &mut Ledger) {
        let mut left = match self.manner {
            _ if scene.is_draining => usize::MAX,
            Manner::Mute => 0,
            Manner::Slow => usize::from(scene.rng.u8(..4) == 0),
            _ => usize::MAX,
        };
        let keeps_releases = self.manner == Manner::Half && !scene.is_draining;
        let mut kept = VecDeque::new();
        while let Some(answer) = self.answers.pop_front() {
            let is_release = matches!(answer, Answer::Release { .. });
            if left == 0 || is_release && keeps_releases {
                kept.push_back(answer);
                continue;
            }
            left -= 1;
            match answer {
                Answer::Publish {
                    packet_id,
                    qos,
                    key,
                } => {
                    let ack = Ack::new(packet_id);
                    link.say(&if qos == 1 {
                        Packet::PubAck(ack)
                    } else {
                        Packet::PubRec(ack)
                    });
                    ledger.confirmed(self.reader, key, packet_id);
                }
                Answer::Release { packet_id } => {
                    link.say(&Packet::PubComp(Ack::new(packet_id)));
                }
            }
        }
        self.answers = kept;
    }
}
