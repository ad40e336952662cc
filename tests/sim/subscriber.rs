//! Subscribers with lasting sessions, which remember everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::common::packet::*;
use crate::host::Host;
use crate::line::Line;
use crate::publisher::parse;

/// How a subscriber behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Acknowledges at once.
    Prompt,
    /// Acknowledges when it feels like it.
    Slow,
    /// Never acknowledges anything, until the world comes to rest.
    Never,
}

/// Between which moments something was so for sure.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: u64,
    pub until: Option<u64>,
}

/// What a subscriber knows of one of its filters.
#[derive(Debug)]
pub struct Interest {
    /// SUBACK came, and no UNSUBSCRIBE went.
    pub granted: Vec<Span>,
    /// UNSUBACK came, or it never asked, and no SUBSCRIBE went.
    pub silent: Vec<Span>,
}

/// One that was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    pub publisher: String,
    pub number: u64,
    pub topic: String,
    pub at: u64,
    /// How much time had passed.
    pub ms: u64,
    /// How much time had passed when the last life of the broker ended.
    pub ended_ms: u64,
    /// It was heard before.
    pub is_again: bool,
}

/// A subscriber.
pub struct Subscriber {
    pub name: &'static str,
    pub version: Version,
    pub qos: u8,
    pub manner: Manner,
    pub line: Line,
    pub interests: BTreeMap<&'static str, Interest>,
    asked: BTreeMap<u16, (&'static str, bool)>,
    next_id: u16,
    /// QoS 2 identifiers between PUBLISH and PUBREL, and what they stand for.
    holding: BTreeMap<u16, (String, u64)>,
    /// Identifiers that came on this connection and are not free for another message yet.
    here: BTreeSet<u16>,
    /// Acknowledgements that were not given yet.
    owing: VecDeque<Packet>,
    pub heard: Vec<Heard>,
    /// What was heard, and in which life of the broker last.
    known: BTreeMap<(String, u64), u64>,
    had_session: bool,
}

impl Subscriber {
    pub fn new(
        name: &'static str,
        version: Version,
        qos: u8,
        manner: Manner,
        filters: &[&'static str],
    ) -> Subscriber {
        let interest = || Interest {
            granted: Vec::new(),
            silent: vec![Span {
                from: 0,
                until: None,
            }],
        };
        Subscriber {
            name,
            version,
            qos,
            manner,
            line: Line::default(),
            interests: filters.iter().map(|&f| (f, interest())).collect(),
            asked: BTreeMap::new(),
            next_id: 1,
            holding: BTreeMap::new(),
            here: BTreeSet::new(),
            owing: VecDeque::new(),
            heard: Vec::new(),
            known: BTreeMap::new(),
            had_session: false,
        }
    }

    pub fn connect(&mut self, host: &mut Host) {
        self.owing.clear();
        self.asked.clear();
        self.here.clear();
        self.line.dial(host, self.version, self.name, false);
    }

    /// Whether SUBACK came for a filter, and nothing since.
    pub fn has(&self, filter: &str) -> bool {
        let last = self.interests[filter].granted.last();
        last.is_some_and(|span| span.until.is_none())
    }

    pub fn subscribe(&mut self, host: &mut Host, filter: &'static str, at: u64) {
        if !self.line.is_welcome || self.has(filter) {
            return;
        }
        end(&mut self.interest(filter).silent, at);
        let id = self.ask(filter, true);
        let subscribe = Subscribe::new(id).filter(filter, self.qos);
        self.line.send(host, self.version, subscribe);
    }

    pub fn unsubscribe(&mut self, host: &mut Host, filter: &'static str, at: u64) {
        if !self.line.is_welcome {
            return;
        }
        end(&mut self.interest(filter).granted, at);
        let id = self.ask(filter, false);
        let unsubscribe = Unsubscribe::new(id).filter(filter);
        self.line.send(host, self.version, unsubscribe);
    }

    fn interest(&mut self, filter: &str) -> &mut Interest {
        self.interests
            .get_mut(filter)
            .expect("it is one of its own")
    }

    fn ask(&mut self, filter: &'static str, is_wanted: bool) -> u16 {
        // What an older question leads to says nothing any more.
        self.asked.retain(|_, asked| asked.0 != filter);
        let id = self.next_id;
        self.next_id += 1;
        self.asked.insert(id, (filter, is_wanted));
        id
    }

    /// Gives an acknowledgement that it owes.
    pub fn acknowledge(&mut self, host: &mut Host) {
        let Some(packet) = self.owing.pop_front() else {
            return;
        };
        if let Packet::PubAck(ack) | Packet::PubComp(ack) = &packet {
            self.here.remove(&ack.packet_id);
        }
        self.line.send(host, self.version, packet);
    }

    pub fn hear(&mut self, host: &mut Host, at: u64) -> Result<(), String> {
        for packet in self.line.read(host, self.version)? {
            match packet {
                // There is no room for its session now: it tries again.
                Packet::ConnAck(connack) if connack.code != 0 => {}
                Packet::ConnAck(connack) => {
                    if self.had_session && !connack.session_present {
                        return Err(format!("{} lost its session", self.name));
                    }
                    self.had_session = true;
                    self.line.is_welcome = true;
                }
                Packet::SubAck(suback) => {
                    let is_granted = suback.codes[0] < 0x80;
                    self.answer(suback.packet_id, is_granted, at);
                }
                Packet::UnsubAck(unsuback) => {
                    let is_refused = unsuback.codes.first().is_some_and(|&code| code >= 0x80);
                    self.answer(unsuback.packet_id, !is_refused, at);
                }
                Packet::Publish(publish) => self.hear_publish(&publish, host, at)?,
                Packet::PubRel(ack) => {
                    self.holding.remove(&ack.packet_id);
                    let pubcomp = Packet::PubComp(Ack::new(ack.packet_id));
                    self.owing.push_back(pubcomp);
                }
                other => return Err(format!("{} got {}", self.name, other.name())),
            }
            while self.manner == Manner::Prompt && !self.owing.is_empty() {
                self.acknowledge(host);
            }
        }
        Ok(())
    }

    /// SUBACK or UNSUBACK.
    fn answer(&mut self, packet_id: u16, is_done: bool, at: u64) {
        let asked = self.asked.remove(&packet_id).filter(|_| is_done);
        let Some((filter, is_wanted)) = asked else {
            return;
        };
        let interest = self.interest(filter);
        let spans = match is_wanted {
            true => &mut interest.granted,
            false => &mut interest.silent,
        };
        if spans.last().is_none_or(|span| span.until.is_some()) {
            spans.push(Span {
                from: at,
                until: None,
            });
        }
    }

    fn hear_publish(&mut self, publish: &Publish, host: &Host, at: u64) -> Result<(), String> {
        let (name, life) = (self.name, host.life);
        let id = publish.packet_id;
        let Some(what) = parse(&publish.topic, &publish.text()) else {
            let text = publish.text();
            return Err(format!(
                "{name} heard nonsense on {}: {text:?}",
                publish.topic
            ));
        };
        if !self.here.insert(id) {
            return Err(format!("{name} got {what:?} as {id}, which is under way"));
        }
        let last_life = self.known.get(&what).copied();
        let is_again = last_life.is_some();
        if publish.qos == 2 {
            self.owing.push_back(Packet::PubRec(Ack::new(id)));
            match self.holding.insert(id, what.clone()) {
                Some(held) if held != what => {
                    return Err(format!("{name} got {what:?} as {id}, which is {held:?}"));
                }
                Some(_) if !publish.dup => {
                    return Err(format!("{name} got {what:?} again without DUP"));
                }
                Some(_) => return Ok(()),
                None if is_again => {
                    return Err(format!("{name} got {what:?} twice at QoS 2"));
                }
                None => {}
            }
        } else {
            self.owing.push_back(Packet::PubAck(Ack::new(id)));
            if let Some(held) = self.holding.get(&id) {
                return Err(format!("{name} got {what:?} as {id}, which is {held:?}"));
            }
            // What came with QoS 2 comes once to each life of the broker.
            let is_repeated = last_life == Some(life);
            if is_repeated && !publish.dup && what.0.starts_with("two") {
                return Err(format!("{name} got {what:?} again without DUP"));
            }
        }
        let (publisher, number) = what.clone();
        self.known.insert(what, life);
        self.heard.push(Heard {
            publisher,
            number,
            topic: publish.topic.clone(),
            at,
            ms: host.elapsed_ms,
            ended_ms: host.ended_ms,
            is_again,
        });
        Ok(())
    }
}

/// What was so until now is not for sure any more.
fn end(spans: &mut [Span], at: u64) {
    if let Some(span) = spans.last_mut() {
        span.until.get_or_insert(at);
    }
}
