//! Publishers, with a memory that no power cut of the broker's touches.

use std::collections::{BTreeMap, VecDeque};

use crate::common::packet::*;
use crate::common::property::Property;
use crate::host::Host;
use crate::line::Line;

/// How a publisher is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// Its session ends with its connection.
    pub is_clean: bool,
    /// Its memory ends with its connection, its session does not: it uses packet identifiers again.
    pub forgets: bool,
    /// What it says is retained, and sometimes it takes it back.
    pub retains: bool,
    /// Messages under way at the same time.
    pub window: usize,
}

/// What a publisher knows of one message; moments count everything that happens in the world.
#[derive(Clone, Debug)]
pub struct Entry {
    pub topic: &'static str,
    /// It clears the retained message.
    pub clears: bool,
    pub expiry_s: Option<u32>,
    pub sent_at: u64,
    /// How much time had passed when it was sent.
    pub sent_ms: u64,
    /// PUBACK or PUBREC came.
    pub is_acknowledged: bool,
    /// PUBACK or PUBCOMP came.
    pub done_at: Option<u64>,
}

/// A message that is not done with.
struct UnderWay {
    packet_id: u16,
    number: u64,
    is_received: bool,
}

/// A publisher; what it says is [`text`].
pub struct Publisher {
    pub name: &'static str,
    pub version: Version,
    pub qos: u8,
    pub habits: Habits,
    pub line: Line,
    under_way: VecDeque<UnderWay>,
    /// Packet identifiers and numbers of what it forgot between PUBREC and PUBCOMP.
    forgotten: Vec<(u16, u64)>,
    pub books: BTreeMap<u64, Entry>,
    /// Everything it ever sent, in this order, also what it sent again.
    pub said: Vec<u64>,
    had_session: bool,
}

/// What a message says: nobody else could have said it.
pub fn text(name: &str, number: u64, topic: &str) -> String {
    let padding = match number % 13 {
        0 => 3000,
        other => other as usize * 9,
    };
    format!("{name}:{number}:{topic}:{}", "x".repeat(padding))
}

/// Who said a text, and its number; `None` if it is damaged.
pub fn parse(topic: &str, said: &str) -> Option<(String, u64)> {
    let mut parts = said.split(':');
    let (name, number) = (parts.next()?, parts.next()?.parse().ok()?);
    (text(name, number, topic) == said).then(|| (name.to_owned(), number))
}

impl Publisher {
    pub fn new(name: &'static str, version: Version, qos: u8, habits: Habits) -> Publisher {
        Publisher {
            name,
            version,
            qos,
            habits,
            line: Line::default(),
            under_way: VecDeque::new(),
            forgotten: Vec::new(),
            books: BTreeMap::new(),
            said: Vec::new(),
            had_session: false,
        }
    }

    pub fn connect(&mut self, host: &mut Host) {
        let is_clean = self.habits.is_clean;
        self.line.dial(host, self.version, self.name, is_clean);
        if is_clean {
            // Nobody will ever know what became of it.
            self.under_way.clear();
        }
        if self.habits.forgets {
            let received = self.under_way.drain(..).filter(|u| u.is_received);
            self.forgotten
                .extend(received.map(|u| (u.packet_id, u.number)));
        }
    }

    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Says one more thing, if its window allows.
    pub fn publish(&mut self, host: &mut Host, topic: &'static str, expiry_s: u32, at: u64) {
        if !self.line.is_welcome || self.under_way.len() >= self.habits.window {
            return;
        }
        let number = self.books.len() as u64;
        // The smallest identifier that is free: identifiers are used again as soon as they may be.
        let is_free = |id: &u16| self.under_way.iter().all(|u| u.packet_id != *id);
        let packet_id = (1..=u16::MAX).find(is_free).expect("the window is small");
        let is_v5 = self.version == Version::V5;
        let entry = Entry {
            topic,
            clears: self.habits.retains && number % 5 == 3,
            expiry_s: Some(expiry_s).filter(|&s| is_v5 && s > 0 && !self.habits.retains),
            sent_at: at,
            sent_ms: host.elapsed_ms,
            is_acknowledged: false,
            done_at: None,
        };
        self.books.insert(number, entry);
        self.under_way.push_back(UnderWay {
            packet_id,
            number,
            is_received: false,
        });
        self.say(host, self.under_way.len() - 1, false);
    }

    fn say(&mut self, host: &mut Host, which: usize, again: bool) {
        let UnderWay {
            packet_id,
            number,
            is_received,
        } = self.under_way[which];
        if is_received {
            let pubrel = Packet::PubRel(Ack::new(packet_id));
            return self.line.send(host, self.version, pubrel);
        }
        let entry = &self.books[&number];
        let text = match entry.clears {
            true => String::new(),
            false => text(self.name, number, entry.topic),
        };
        let mut publish = Publish::new(entry.topic, text).qos(self.qos).id(packet_id);
        publish.dup = again;
        publish.retain = self.habits.retains;
        let expiry = entry.expiry_s.map(Property::MessageExpiryInterval);
        publish.properties.extend(expiry);
        self.said.push(number);
        self.line.send(host, self.version, publish);
    }

    pub fn hear(&mut self, host: &mut Host, at: u64) -> Result<(), String> {
        for packet in self.line.read(host, self.version)? {
            match packet {
                // There is no room for its session now: it tries again.
                Packet::ConnAck(connack) if connack.code != 0 => {}
                Packet::ConnAck(connack) => {
                    let is_expected = self.had_session && !self.habits.is_clean;
                    if is_expected && !connack.session_present {
                        return Err(format!("{} lost its session", self.name));
                    }
                    self.had_session = true;
                    self.line.is_welcome = true;
                    for which in 0..self.under_way.len() {
                        self.say(host, which, true);
                    }
                }
                // There is no room for it: it was never taken.
                Packet::PubAck(ack) | Packet::PubRec(ack) if ack.code >= 0x80 => {
                    let is_it = |u: &UnderWay| u.packet_id == ack.packet_id && !u.is_received;
                    self.under_way.retain(|under_way| !is_it(under_way));
                }
                Packet::PubAck(ack) => self.settle(ack.packet_id, false, at),
                Packet::PubRec(ack) => {
                    let is_it = |u: &&mut UnderWay| u.packet_id == ack.packet_id;
                    if let Some(under_way) = self.under_way.iter_mut().find(is_it) {
                        under_way.is_received = true;
                        let entry = self.books.get_mut(&under_way.number);
                        let Habits {
                            is_clean, forgets, ..
                        } = self.habits;
                        entry.expect("it was sent").is_acknowledged = !is_clean && !forgets;
                    }
                    self.settle_forgotten(ack.packet_id, at);
                    let pubrel = Packet::PubRel(Ack::new(ack.packet_id));
                    self.line.send(host, self.version, pubrel);
                }
                Packet::PubComp(ack) => self.settle(ack.packet_id, true, at),
                other => return Err(format!("{} got {other:?}", self.name)),
            }
        }
        Ok(())
    }

    /// Another message was taken under their identifier: now they are passed on.
    fn settle_forgotten(&mut self, packet_id: u16, at: u64) {
        self.forgotten.retain(|(id, number)| {
            if *id == packet_id {
                let entry = self.books.get_mut(number).expect("it was sent");
                (entry.is_acknowledged, entry.done_at) = (true, Some(at));
            }
            *id != packet_id
        });
    }

    /// PUBACK or PUBCOMP: it is done.
    fn settle(&mut self, packet_id: u16, was_received: bool, at: u64) {
        let is_it = |u: &UnderWay| u.packet_id == packet_id && u.is_received == was_received;
        let Some(which) = self.under_way.iter().position(is_it) else {
            return;
        };
        let number = self.under_way.remove(which).map(|u| u.number);
        let entry = number.and_then(|number| self.books.get_mut(&number));
        let entry = entry.expect("it was sent");
        entry.is_acknowledged = true;
        entry.done_at = Some(at);
    }

    /// The last message on a topic that was done with; what came before is no more.
    pub fn last_done(&self, topic: &str) -> Option<u64> {
        let mut entries = self.books.iter().rev();
        entries
            .find(|(_, entry)| entry.topic == topic && entry.done_at.is_some())
            .map(|(&number, _)| number)
    }
}
