//! A publisher with a session that stays: after a cut it sends again what was not acknowledged,
//! with the same packet identifiers, as the specification wants it.

use crate::bell::Sound;
use crate::client::lasting;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::ledger::{Key, Ledger, Rule, What, Who};
use crate::link::Link;
use crate::world::Scene;
use std::collections::VecDeque;

/// What the broker has heard of a message, as far as its publisher knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// PUBLISH was sent.
    Sent,
    /// QoS 2: PUBREC came, and PUBREL waits its turn.
    Received,
    /// QoS 2: PUBREL was sent.
    Released,
}

struct Flight {
    packet_id: u16,
    key: Key,
    stage: Stage,
}

/// How many messages a publisher has under way at most.
const WINDOW: usize = 20;
/// How large payloads are at most.
const SIZE_MAX: usize = 100_000;
/// Every fourth publisher or so lets PUBREL wait, to be cut between PUBREC and PUBREL.
const LAZY: f64 = 0.25;

pub struct Publisher {
    index: usize,
    name: String,
    version: Version,
    qos: u8,
    link: Option<Link>,
    /// CONNACK came on this link.
    is_open: bool,
    had_session: bool,
    window: usize,
    flights: VecDeque<Flight>,
    last_id: u16,
    /// A small number makes identifiers return soon.
    ids: u16,
    is_lazy: bool,
    /// Payloads are so many times as large as they would be.
    scale: usize,
    /// Messages that it may send now.
    tokens: f64,
    last_words: Option<String>,
}

impl Publisher {
    pub fn new(index: usize, version: Version, qos: u8, rng: &mut fastrand::Rng) -> Publisher {
        Publisher {
            index,
            name: format!("publisher-{index}-{version:?}-qos{qos}"),
            version,
            qos,
            link: None,
            is_open: false,
            had_session: false,
            window: WINDOW,
            flights: VecDeque::new(),
            last_id: 0,
            ids: if rng.bool() { 30 } else { u16::MAX },
            is_lazy: rng.f64() < LAZY,
            scale: [1, 1, 10][rng.usize(..3)],
            tokens: 0.0,
            last_words: None,
        }
    }

    pub fn is_linked(&self) -> bool {
        self.link.is_some()
    }

    /// Everything it has sent is done with.
    pub fn is_idle(&self) -> bool {
        self.is_open && self.flights.is_empty()
    }

    /// What it waits for, for a report.
    pub fn state(&self) -> String {
        let flights = self.flights.iter();
        let flights: Vec<String> = flights
            .map(|f| format!("{} {:?}", f.packet_id, f.stage))
            .collect();
        format!("{} open {} {flights:?}", self.name, self.is_open)
    }

    /// Hears what came, and sends what it may.
    pub fn turn(&mut self, scene: &mut Scene<'_>, ledger: &mut Ledger) {
        if self.link.is_none() {
            self.connect(scene);
        }
        let Some(mut link) = self.link.take() else {
            return;
        };
        for packet in link.hear() {
            self.hear(packet, &mut link, scene, ledger);
        }
        if self.is_open {
            self.release(&mut link, scene, ledger);
            self.produce(&mut link, scene, ledger);
        }
        if link.is_closed() {
            self.closed(scene, ledger);
        } else {
            self.link = Some(link);
        }
    }

    fn connect(&mut self, scene: &mut Scene<'_>) {
        let Some(mut link) = scene.link(self.version) else {
            return;
        };
        link.say(&lasting(self.version, &self.name).into());
        self.link = Some(link);
    }

    fn closed(&mut self, scene: &Scene<'_>, ledger: &mut Ledger) {
        self.is_open = false;
        if !scene.is_dead() {
            let log = scene.log_of(&self.name);
            let text = format!(
                "{}: closed by the broker: {:?}\n{log}",
                self.name, self.last_words
            );
            ledger.fault(Rule::Protocol, text);
        }
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
            Packet::PubAck(ack) if self.qos == 1 => {
                self.acknowledged(&ack, ledger);
                scene.hear(Sound::PubAck);
            }
            Packet::PubRec(ack) if self.qos == 2 => {
                self.acknowledged(&ack, ledger);
                scene.hear(Sound::PubRec);
            }
            Packet::PubComp(ack) if self.qos == 2 => {
                self.completed(&ack, ledger);
                scene.hear(Sound::PubComp);
            }
            // Only where it ends in good order, and in 5.0.
            Packet::Disconnect(_) if scene.is_dead() => {}
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
            self.flights.clear();
        }
        self.had_session = true;
        self.is_open = true;
        self.window = WINDOW;
        for property in &ack.properties {
            if let Property::ReceiveMaximum(n) = property {
                self.window = WINDOW.min(usize::from(*n));
            }
        }
        for flight in &self.flights {
            let (key, packet_id) = (flight.key, flight.packet_id);
            match flight.stage {
                Stage::Sent => {
                    let publish = ledger.publish(key).clone().id(packet_id).dup();
                    link.say(&publish.into());
                    ledger.note(key, Who::Publisher, What::SentAgain, packet_id);
                }
                // `release` says it for the first time.
                Stage::Received => {}
                Stage::Released => link.say(&Packet::PubRel(Ack::new(packet_id))),
            }
        }
    }

    /// PUBACK or PUBREC.
    fn acknowledged(&mut self, ack: &Ack, ledger: &mut Ledger) {
        let Some(at) = self
            .flights
            .iter()
            .position(|f| f.packet_id == ack.packet_id)
        else {
            let text = format!("{}: {ack:?} for nothing", self.name);
            ledger.fault(Rule::Protocol, text);
            return;
        };
        let flight = &mut self.flights[at];
        if flight.stage != Stage::Sent {
            let text = format!("{}: {ack:?} in {:?}", self.name, flight.stage);
            ledger.fault(Rule::Protocol, text);
            return;
        }
        let what = if ack.code >= 0x80 {
            What::Refused
        } else {
            What::Acknowledged
        };
        ledger.note(flight.key, Who::Publisher, what, ack.packet_id);
        if self.qos == 1 || ack.code >= 0x80 {
            self.flights.remove(at);
        } else {
            flight.stage = Stage::Received;
        }
    }

    fn completed(&mut self, ack: &Ack, ledger: &mut Ledger) {
        let is_it = |f: &Flight| f.packet_id == ack.packet_id && f.stage == Stage::Released;
        match self.flights.iter().position(is_it) {
            Some(at) => {
                let key = self.flights[at].key;
                ledger.note(key, Who::Publisher, What::Completed, ack.packet_id);
                self.flights.remove(at);
            }
            None => {
                let text = format!("{}: PUBCOMP {} for nothing", self.name, ack.packet_id);
                ledger.fault(Rule::Protocol, text);
            }
        }
    }

    /// PUBREL in the order of the messages [MQTT-4.6.0-4].
    fn release(&mut self, link: &mut Link, scene: &mut Scene<'_>, _: &mut Ledger) {
        if self.is_lazy && !scene.is_draining && scene.rng.u8(..) < 200 {
            return;
        }
        for flight in &mut self.flights {
            match flight.stage {
                Stage::Sent => return,
                Stage::Released => {}
                Stage::Received => {
                    link.say(&Packet::PubRel(Ack::new(flight.packet_id)));
                    flight.stage = Stage::Released;
                }
            }
        }
    }

    fn produce(&mut self, link: &mut Link, scene: &mut Scene<'_>, ledger: &mut Ledger) {
        if scene.is_draining {
            return;
        }
        self.tokens = (self.tokens + scene.tokens).min(WINDOW as f64);
        while self.tokens >= 1.0 && self.flights.len() < self.window {
            self.tokens -= 1.0;
            let key = self.invent(scene.rng, ledger);
            self.send(key, link, ledger);
        }
    }

    fn invent(&self, rng: &mut fastrand::Rng, ledger: &mut Ledger) -> Key {
        let size = match rng.u8(..100) {
            0..80 => rng.usize(10..200),
            80..98 => rng.usize(200..2000),
            _ => rng.usize(2000..SIZE_MAX),
        };
        let size = (size * self.scale).min(SIZE_MAX);
        let at = rng.u8(..3);
        if rng.u8(..8) > 0 {
            let topic = format!("load/{}/{at}", self.index);
            return ledger.add(self.index, &topic, self.qos, size);
        }
        let size = if rng.u8(..4) == 0 { 0 } else { size };
        let topic = format!("ret/{}/{at}", self.index);
        ledger.add_retained(self.index, &topic, self.qos, size)
    }

    fn send(&mut self, key: Key, link: &mut Link, ledger: &mut Ledger) {
        let packet_id = self.free_id();
        link.say(&ledger.publish(key).clone().id(packet_id).into());
        ledger.note(key, Who::Publisher, What::Sent, packet_id);
        self.flights.push_back(Flight {
            packet_id,
            key,
            stage: Stage::Sent,
        });
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id % self.ids + 1;
            if self.flights.iter().all(|f| f.packet_id != self.last_id) {
                return self.last_id;
            }
        }
    }

    /// The last message of the round: when it has come, so has everything before it.
    pub fn send_last(&mut self, ledger: &mut Ledger) {
        let Some(mut link) = self.link.take() else {
            return;
        };
        let topic = format!("load/{}/last", self.index);
        let key = ledger.add(self.index, &topic, self.qos, 20);
        self.send(key, &mut link, ledger);
        self.link = Some(link);
    }
}
