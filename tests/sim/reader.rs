//! Whoever comes new and wants to know what is retained.

use std::collections::BTreeMap;

use crate::common::packet::*;
use crate::host::Host;
use crate::line::Line;
use crate::publisher::{Publisher, parse};

/// A client without a past that asks for all retained messages.
#[derive(Default)]
pub struct Reader {
    line: Line,
    has_asked: bool,
    is_answered: bool,
    /// For each topic, the last message that was done with before it asked.
    least: BTreeMap<&'static str, u64>,
    /// What it got, by topic.
    values: BTreeMap<String, u64>,
}

impl Reader {
    /// Begins from the beginning.
    pub fn connect(&mut self, host: &mut Host) {
        self.line.hang_up(host);
        *self = Reader::default();
        self.line.dial(host, Version::V5, "reader", true);
    }

    pub fn is_up(&self, host: &Host) -> bool {
        self.line.is_up(host)
    }

    pub fn hang_up(&mut self, host: &mut Host) {
        self.line.hang_up(host);
    }

    pub fn hear(&mut self, host: &mut Host, publishers: &[Publisher]) -> Result<(), String> {
        for packet in self.line.read(host, Version::V5)? {
            match packet {
                Packet::ConnAck(connack) => self.line.is_welcome = connack.code == 0,
                Packet::SubAck(_) => self.is_answered = true,
                Packet::Publish(publish) => {
                    if publish.qos > 0 {
                        let puback = Packet::PubAck(Ack::new(publish.packet_id));
                        self.line.send(host, Version::V5, puback);
                    }
                    if publish.retain {
                        self.take(&publish, publishers)?;
                    }
                }
                other => return Err(format!("the reader got {}", other.name())),
            }
        }
        if self.line.is_welcome && !self.has_asked {
            self.has_asked = true;
            self.least = topics(publishers)
                .filter_map(|(who, topic)| Some((topic, who.last_done(topic)?)))
                .collect();
            let subscribe = Subscribe::new(1).filter("r/#", 1);
            self.line.send(host, Version::V5, subscribe);
        }
        Ok(())
    }

    fn take(&mut self, publish: &Publish, publishers: &[Publisher]) -> Result<(), String> {
        let topic = &publish.topic;
        let Some((name, number)) = parse(topic, &publish.text()) else {
            return Err(format!(
                "nonsense is retained on {topic}: {}",
                publish.text()
            ));
        };
        let entry = publishers
            .iter()
            .find(|publisher| publisher.name == name)
            .and_then(|publisher| publisher.books.get(&number));
        if !entry.is_some_and(|entry| entry.topic == topic && !entry.clears) {
            return Err(format!("{name}:{number} was never published on {topic}"));
        }
        if self.values.insert(topic.clone(), number).is_some() {
            return Err(format!("{topic} has two retained messages"));
        }
        match self.least.get(&**topic) {
            Some(&least) if number < least => Err(format!(
                "{topic} has {number}, although {least} had been acknowledged"
            )),
            _ => Ok(()),
        }
    }

    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Everything was sent and nothing is under way: what it has is what is retained.
    pub fn check(&self, publishers: &[Publisher]) -> Result<u64, String> {
        let mut count = 0;
        for (publisher, topic) in topics(publishers) {
            let last = publisher.last_done(topic);
            let kept = last.filter(|last| !publisher.books[last].clears);
            let value = self.values.get(topic).copied();
            if value != kept {
                return Err(format!(
                    "{topic} has {value:?}, although {last:?} was acknowledged and {kept:?} is \
                     to be kept"
                ));
            }
            count += u64::from(kept.is_some());
        }
        Ok(count)
    }
}

/// The topics of those whose messages are retained.
fn topics(publishers: &[Publisher]) -> impl Iterator<Item = (&Publisher, &'static str)> {
    let keepers = publishers.iter().filter(|p| p.habits.retains);
    keepers.flat_map(|publisher| {
        let mut topics: Vec<_> = publisher.books.values().map(|entry| entry.topic).collect();
        topics.sort_unstable();
        topics.dedup();
        topics.into_iter().map(move |topic| (publisher, topic))
    })
}
