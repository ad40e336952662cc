//! Clients as the specification wants them, with a memory that no power cut of the broker's
//! touches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::common::decode::{self, From};
use crate::common::encode::encode;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::host::Host;

/// A connection of a client.
#[derive(Default)]
pub struct Line {
    pub socket: Option<usize>,
    pub is_welcome: bool,
    unread: Vec<u8>,
}

impl Line {
    pub fn is_up(&self, host: &Host) -> bool {
        self.socket.is_some_and(|socket| !host.is_closed(socket))
    }

    pub fn dial(&mut self, host: &mut Host, version: Version, client_id: &str, clean: bool) {
        *self = Line {
            socket: Some(host.connect()),
            ..Line::default()
        };
        let mut connect = Connect::new(version, client_id);
        connect.clean_start = clean;
        if version == Version::V5 && !clean {
            connect.properties = vec![Property::SessionExpiryInterval(u32::MAX)];
        }
        self.send(host, version, connect);
    }

    pub fn send(&self, host: &mut Host, version: Version, packet: impl Into<Packet>) {
        if let Some(socket) = self.socket {
            host.send(socket, &encode(version, &packet.into()));
        }
    }

    pub fn hang_up(&mut self, host: &mut Host) {
        if let Some(socket) = self.socket.take() {
            host.hang_up(socket);
        }
        self.is_welcome = false;
    }

    /// The packets that came.
    pub fn read(&mut self, host: &mut Host, version: Version) -> Result<Vec<Packet>, String> {
        let Some(socket) = self.socket else {
            return Ok(Vec::new());
        };
        self.unread.extend(host.output(socket));
        let mut packets = Vec::new();
        loop {
            match decode::decode(version, From::Server, &self.unread) {
                Ok(None) => return Ok(packets),
                Ok(Some((packet, len))) => {
                    packets.push(packet);
                    self.unread.drain(..len);
                }
                Err(bad) => return Err(format!("a bad packet: {bad}")),
            }
        }
    }
}

/// A publisher with a lasting session; what it says is `name:number`.
pub struct Publisher {
    pub name: String,
    pub version: Version,
    pub qos: u8,
    pub line: Line,
    /// Packet identifier, number, topic, whether PUBREC came; in order of sending.
    under_way: VecDeque<(u16, u64, String, bool)>,
    next_number: u64,
    /// What was acknowledged: number and topic.
    pub acknowledged: Vec<(u64, String)>,
    pub sent_at: BTreeMap<u64, u64>,
    pub had_session: bool,
}

const WINDOW: usize = 4;

impl Publisher {
    pub fn new(name: &str, version: Version, qos: u8) -> Publisher {
        Publisher {
            name: name.to_owned(),
            version,
            qos,
            line: Line::default(),
            under_way: VecDeque::new(),
            next_number: 0,
            acknowledged: Vec::new(),
            sent_at: BTreeMap::new(),
            had_session: false,
        }
    }

    pub fn connect(&mut self, host: &mut Host) {
        self.line.dial(host, self.version, &self.name, false);
    }

    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Says one more thing, if its window allows; `at` is the moment.
    pub fn publish(&mut self, host: &mut Host, topic: &str, padding: usize, at: u64) {
        if !self.line.is_welcome || self.under_way.len() >= WINDOW {
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        // The smallest identifier that is free: identifiers are used again as soon as they may be.
        let is_free = |id: &u16| self.under_way.iter().all(|u| u.0 != *id);
        let id = (1..=u16::MAX).find(is_free).expect("the window is small");
        self.sent_at.insert(number, at);
        self.under_way
            .push_back((id, number, format!("{topic}|{padding}"), false));
        self.say(host, self.under_way.len() - 1, false);
    }

    fn say(&self, host: &mut Host, which: usize, again: bool) {
        let (id, number, topic, is_received) = &self.under_way[which];
        if *is_received {
            return self
                .line
                .send(host, self.version, Packet::PubRel(Ack::new(*id)));
        }
        let (topic, padding) = topic.split_once('|').expect("it was put in");
        let padding: usize = padding.parse().expect("it was a number");
        let text = format!("{}:{number}:{}", self.name, "x".repeat(padding));
        let mut publish = Publish::new(topic, text).qos(self.qos).id(*id);
        publish.dup = again;
        publish.retain = topic.starts_with("r/");
        self.line.send(host, self.version, publish);
    }

    pub fn hear(&mut self, host: &mut Host) -> Result<(), String> {
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
                    for which in 0..self.under_way.len() {
                        self.say(host, which, true);
                    }
                }
                // There is no room for it: it was never taken.
                Packet::PubAck(ack) | Packet::PubRec(ack) if ack.code >= 0x80 => {
                    self.under_way.retain(|u| u.0 != ack.packet_id || u.3);
                }
                Packet::PubAck(ack) => self.settle(ack.packet_id, true),
                Packet::PubRec(ack) => {
                    self.settle(ack.packet_id, false);
                    let pubrel = Packet::PubRel(Ack::new(ack.packet_id));
                    self.line.send(host, self.version, pubrel);
                }
                Packet::PubComp(ack) => {
                    let is_it = |u: &(u16, u64, String, bool)| u.0 == ack.packet_id && u.3;
                    self.under_way.retain(|under_way| !is_it(under_way));
                }
                other => return Err(format!("{} got {}", self.name, other.name())),
            }
        }
        Ok(())
    }

    /// PUBACK or PUBREC: the broker has it.
    fn settle(&mut self, id: u16, is_over: bool) {
        let Some(at) = self.under_way.iter().position(|u| u.0 == id && !u.3) else {
            return;
        };
        let (_, number, topic, _) = self.under_way[at].clone();
        let topic = topic.split('|').next().unwrap_or_default().to_owned();
        self.acknowledged.push((number, topic));
        if is_over {
            self.under_way.remove(at);
        } else {
            self.under_way[at].3 = true;
        }
    }
}

/// How a subscriber behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Acknowledges at once.
    Prompt,
    /// Acknowledges when it feels like it.
    Slow,
}

/// A subscriber with a lasting session.
pub struct Subscriber {
    pub name: String,
    pub version: Version,
    pub qos: u8,
    pub manner: Manner,
    pub line: Line,
    /// Filters, with the moment at which SUBACK came.
    pub granted: BTreeMap<&'static str, u64>,
    asked: BTreeMap<u16, &'static str>,
    next_id: u16,
    /// QoS 2 identifiers between PUBLISH and PUBREL.
    holding: BTreeSet<u16>,
    /// Acknowledgements that were not given yet.
    owing: VecDeque<Packet>,
    /// What was heard, by publisher.
    pub heard: BTreeMap<String, Vec<u64>>,
    /// The last that was heard, by publisher and topic.
    last: BTreeMap<String, u64>,
    pub had_session: bool,
    /// The disk was full: what 3.x got no answer for comes later than what followed it.
    pub pardons_order: bool,
}

impl Subscriber {
    pub fn new(name: &str, version: Version, qos: u8, manner: Manner) -> Subscriber {
        Subscriber {
            name: name.to_owned(),
            version,
            qos,
            manner,
            line: Line::default(),
            granted: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_id: 1,
            holding: BTreeSet::new(),
            owing: VecDeque::new(),
            heard: BTreeMap::new(),
            last: BTreeMap::new(),
            had_session: false,
            pardons_order: false,
        }
    }

    pub fn connect(&mut self, host: &mut Host) {
        self.owing.clear();
        self.asked.clear();
        self.line.dial(host, self.version, &self.name, false);
    }

    pub fn subscribe(&mut self, host: &mut Host, filter: &'static str) {
        if !self.line.is_welcome || self.granted.contains_key(filter) {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.asked.insert(id, filter);
        let subscribe = Subscribe::new(id).filter(filter, self.qos);
        self.line.send(host, self.version, subscribe);
    }

    /// Gives an acknowledgement that it owes.
    pub fn acknowledge(&mut self, host: &mut Host) {
        if let Some(packet) = self.owing.pop_front() {
            self.line.send(host, self.version, packet);
        }
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
                    let filter = self.asked.remove(&suback.packet_id);
                    if let Some(filter) = filter.filter(|_| is_granted) {
                        self.granted.entry(filter).or_insert(at);
                    }
                }
                Packet::Publish(publish) => self.hear_publish(&publish)?,
                Packet::PubRel(ack) => {
                    self.holding.remove(&ack.packet_id);
                    self.owing
                        .push_back(Packet::PubComp(Ack::new(ack.packet_id)));
                }
                other => return Err(format!("{} got {}", self.name, other.name())),
            }
            while self.manner == Manner::Prompt && !self.owing.is_empty() {
                self.acknowledge(host);
            }
        }
        Ok(())
    }

    fn hear_publish(&mut self, publish: &Publish) -> Result<(), String> {
        let id = publish.packet_id;
        let is_new = match publish.qos {
            1 => {
                self.owing.push_back(Packet::PubAck(Ack::new(id)));
                true
            }
            2 => {
                self.owing.push_back(Packet::PubRec(Ack::new(id)));
                self.holding.insert(id)
            }
            _ => true,
        };
        let text = publish.text();
        let mut parts = text.split(':');
        let (Some(name), Some(Ok(number))) = (parts.next(), parts.next().map(str::parse::<u64>))
        else {
            return Err(format!("{} heard nonsense: {text:?}", self.name));
        };
        let heard = self
            .heard
            .entry(format!("{name}{}", publish.qos))
            .or_default();
        if !is_new {
            return Ok(());
        }
        if publish.qos == 2 && heard.contains(&number) {
            return Err(format!("{} got {name}:{number} twice at QoS 2", self.name));
        }
        let is_again = heard.contains(&number);
        // Each topic has an order of its own: a filter may have been granted in between.
        let last = self
            .last
            .entry(format!("{name}{}{}", publish.qos, publish.topic));
        let last = last.or_insert(number);
        let is_early = number < *last;
        *last = number.max(*last);
        if is_early && !is_again && !self.pardons_order {
            return Err(format!(
                "{} got {name}:{number} out of order: {heard:?}",
                self.name
            ));
        }
        heard.push(number);
        Ok(())
    }
}
