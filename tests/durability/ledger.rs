//! The ledger: who was promised what, what came, and what is wrong with that.
//!
//! A message is owed to every subscriber from the PUBACK or PUBREC that its publisher received
//! until the subscriber has answered it with a PUBACK or PUBREC of its own. The ledger knows
//! nothing of sockets: it is told what was said, in the order in which the one thread of the load
//! said and heard it.

use crate::common::packet::Publish;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};
use std::time::Instant;

/// Publisher and number of its message.
pub type Key = (usize, usize);

/// Which rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An owed message did not come.
    Lost,
    /// A QoS 2 message came twice.
    Twice,
    /// First deliveries of a publisher's messages to a topic came out of order.
    Order,
    /// A session that its client had been told of is gone.
    Session,
    /// A subscription is gone, or back.
    Subscription,
    /// A retained value older than the last acknowledged one, or none.
    Retained,
    /// A session resumed without sending again what it had sent before.
    Again,
    /// A message or handshake came again with another packet identifier.
    OtherId,
    /// A message came again without DUP.
    NoDup,
    /// Topic, payload or QoS is not what was published.
    Damaged,
    /// A packet that does not belong here.
    Protocol,
    /// The load did not come to its end.
    Stuck,
}

/// What happened to a message.
#[derive(Clone, Copy, Debug)]
pub enum What {
    Sent,
    SentAgain,
    Acknowledged,
    Refused,
    Completed,
    Arrived,
    ArrivedAgain,
    Confirmed,
}

/// Who it happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Publisher,
    Reader(usize),
}

struct Event {
    at_us: u128,
    who: Who,
    what: What,
    packet_id: u16,
}

struct Message {
    publish: Publish,
    /// The publisher was told that it is safe.
    is_acknowledged: bool,
    /// Nothing is left to do for the publisher.
    is_settled: bool,
    history: Vec<Event>,
}

#[derive(Default)]
struct Seen {
    count: u32,
    is_confirmed: bool,
}

struct Reader {
    name: String,
    qos: u8,
    seen: HashMap<Key, Seen>,
    last: HashMap<(usize, String), usize>,
}

/// What a round found.
#[derive(Default)]
pub struct Report {
    faults: BTreeMap<Rule, (usize, Vec<String>)>,
    /// Messages that were acknowledged to their publishers.
    pub acknowledged: usize,
    /// Pairs of such a message and a subscriber.
    pub owed: usize,
}

impl Report {
    pub fn count(&self, rule: Rule) -> usize {
        self.faults.get(&rule).map_or(0, |(count, _)| *count)
    }

    /// Counts, in one line.
    pub fn summary(&self) -> String {
        let mut text = format!("acknowledged {} owed {}", self.acknowledged, self.owed);
        for (rule, (count, _)) in &self.faults {
            let _ = write!(text, " {rule:?} {count}");
        }
        text
    }

    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.summary())?;
        for (rule, (count, texts)) in &self.faults {
            write!(f, "\n{rule:?} ({count}), for example:")?;
            for text in texts {
                write!(f, "\n  {}", text.replace('\n', "\n    "))?;
            }
        }
        Ok(())
    }
}

/// How many faults of a kind are told in full.
const TEXTS_MAX: usize = 3;

pub struct Ledger {
    start: Instant,
    /// By publisher, then number.
    messages: Vec<Vec<Message>>,
    readers: Vec<Reader>,
    /// Numbers of the messages to each retained topic, in order.
    retained: BTreeMap<String, (usize, Vec<usize>)>,
    ends_us: Vec<(u128, &'static str)>,
    report: Report,
}

impl Ledger {
    pub fn new(publishers: usize) -> Ledger {
        Ledger {
            start: Instant::now(),
            messages: (0..publishers).map(|_| Vec::new()).collect(),
            readers: Vec::new(),
            retained: BTreeMap::new(),
            ends_us: Vec::new(),
            report: Report::default(),
        }
    }

    /// A subscriber to whom everything under `load/` is owed from now on, at this QoS at most.
    pub fn add_reader(&mut self, name: &str, qos: u8) -> usize {
        self.readers.push(Reader {
            name: name.to_string(),
            qos,
            seen: HashMap::new(),
            last: HashMap::new(),
        });
        self.readers.len() - 1
    }

    /// A message that a publisher is about to send; its payload tells publisher and number.
    pub fn add(&mut self, publisher: usize, topic: &str, qos: u8, size: usize) -> Key {
        let number = self.messages[publisher].len();
        let publish = Publish::new(topic, payload(publisher, number, size)).qos(qos);
        self.add_publish(publisher, publish)
    }

    /// The same for a retained topic, to which nobody of the readers has subscribed; a size of 0
    /// clears it.
    pub fn add_retained(&mut self, publisher: usize, topic: &str, qos: u8, size: usize) -> Key {
        let number = self.messages[publisher].len();
        let bytes = if size == 0 {
            Vec::new()
        } else {
            payload(publisher, number, size)
        };
        let entry = self.retained.entry(topic.to_string());
        entry.or_insert((publisher, Vec::new())).1.push(number);
        self.add_publish(publisher, Publish::new(topic, bytes).qos(qos).retain())
    }

    fn add_publish(&mut self, publisher: usize, publish: Publish) -> Key {
        self.messages[publisher].push(Message {
            publish,
            is_acknowledged: false,
            is_settled: false,
            history: Vec::new(),
        });
        (publisher, self.messages[publisher].len() - 1)
    }

    pub fn publish(&self, key: Key) -> &Publish {
        &self.messages[key.0][key.1].publish
    }

    pub fn note(&mut self, key: Key, who: Who, what: What, packet_id: u16) {
        let at_us = self.start.elapsed().as_micros();
        let message = &mut self.messages[key.0][key.1];
        match what {
            What::Acknowledged => {
                message.is_acknowledged = true;
                message.is_settled = message.publish.qos == 1;
            }
            What::Completed => message.is_settled = true,
            _ => {}
        }
        message.history.push(Event {
            at_us,
            who,
            what,
            packet_id,
        });
    }

    /// Nothing is left to do for its publisher, who would not send it again.
    pub fn is_settled(&self, key: Key) -> bool {
        self.messages[key.0][key.1].is_settled
    }

    /// The broker ended, by this signal.
    pub fn ended(&mut self, signal: &'static str) {
        self.ends_us
            .push((self.start.elapsed().as_micros(), signal));
    }

    /// Which message this is; none, and a fault, if it is not as it was published.
    pub fn identify(&mut self, reader: usize, publish: &Publish) -> Option<Key> {
        let found = self.find(reader, publish);
        if found.is_none() {
            let text = format!("{} got {publish:?}", self.readers[reader].name);
            self.fault(Rule::Damaged, text);
        }
        found
    }

    fn find(&self, reader: usize, publish: &Publish) -> Option<Key> {
        let mut parts = publish.payload.split(|b| *b == b'.');
        let mut number = || {
            std::str::from_utf8(parts.next()?)
                .ok()?
                .parse::<usize>()
                .ok()
        };
        let key = (number()?, number()?);
        let sent = &self.messages.get(key.0)?.get(key.1)?.publish;
        let qos = sent.qos.min(self.readers[reader].qos);
        let same = (&sent.topic, &sent.payload, qos, false)
            == (
                &publish.topic,
                &publish.payload,
                publish.qos,
                publish.retain,
            );
        same.then_some(key)
    }

    /// The subscriber's application has this message now.
    pub fn arrived(&mut self, reader: usize, key: Key, publish: &Publish) {
        let seen = self.readers[reader].seen.entry(key).or_default();
        seen.count += 1;
        let count = seen.count;
        let what = if count == 1 {
            What::Arrived
        } else {
            What::ArrivedAgain
        };
        self.note(key, Who::Reader(reader), what, publish.packet_id);
        if count > 1 {
            if publish.qos == 2 {
                let text = self.story(reader, key);
                self.fault(Rule::Twice, text);
            }
            return;
        }
        let last = self.readers[reader]
            .last
            .entry((key.0, publish.topic.clone()));
        let earlier = *last
            .and_modify(|last| *last = key.1.max(*last))
            .or_insert(key.1);
        if earlier > key.1 {
            let mut text = self.story(reader, key);
            let _ = write!(text, "\nbut number {earlier} of the same topic came before");
            self.fault(Rule::Order, text);
        }
    }

    /// The subscriber has answered with PUBACK or PUBREC.
    pub fn confirmed(&mut self, reader: usize, key: Key, packet_id: u16) {
        self.readers[reader]
            .seen
            .entry(key)
            .or_default()
            .is_confirmed = true;
        self.note(key, Who::Reader(reader), What::Confirmed, packet_id);
    }

    /// Does anything owed still wait for its confirmation?
    pub fn owes(&self, reader: usize) -> bool {
        self.owed().any(|key| !self.is_confirmed(reader, key))
    }

    fn owed(&self) -> impl Iterator<Item = Key> + '_ {
        let all = self.messages.iter().enumerate();
        all.flat_map(|(publisher, messages)| {
            let owed = messages.iter().enumerate();
            owed.filter(|(_, m)| m.is_acknowledged && !m.publish.retain)
                .map(move |(number, _)| (publisher, number))
        })
    }

    fn is_confirmed(&self, reader: usize, key: Key) -> bool {
        let seen = self.readers[reader].seen.get(&key);
        seen.is_some_and(|seen| seen.is_confirmed)
    }

    /// Holds the values that are retained now against the last acknowledged ones.
    pub fn check_retained(&mut self, found: &BTreeMap<String, Vec<u8>>) {
        let mut faults = Vec::new();
        for (topic, (publisher, numbers)) in &self.retained {
            let messages = &self.messages[*publisher];
            let settled = numbers.iter().rposition(|n| messages[*n].is_settled);
            let value = found.get(topic).cloned().unwrap_or_default();
            let mut good = numbers[settled.unwrap_or(0)..].iter();
            let is_good = good.any(|n| messages[*n].publish.payload == value)
                || settled.is_none() && value.is_empty();
            if !is_good {
                let expected = settled.map(|at| (*publisher, numbers[at]));
                let value = String::from_utf8_lossy(&value).into_owned();
                faults.push((topic.clone(), value, expected));
            }
        }
        for (topic, value, expected) in faults {
            let mut text = format!("{topic} is {value:.40?}");
            if let Some(key) = expected {
                let _ = write!(
                    text,
                    " but this was acknowledged:{}",
                    self.history(key, None)
                );
            }
            self.fault(Rule::Retained, text);
        }
    }

    pub fn retained_topics(&self) -> Vec<String> {
        self.retained.keys().cloned().collect()
    }

    pub fn fault(&mut self, rule: Rule, text: String) {
        let (count, texts) = self.report.faults.entry(rule).or_default();
        *count += 1;
        if texts.len() < TEXTS_MAX {
            texts.push(text);
        }
    }

    /// The end of the round: what is still owed is lost.
    pub fn close(mut self) -> Report {
        let owed: Vec<Key> = self.owed().collect();
        self.report.acknowledged = owed.len();
        self.report.owed = owed.len() * self.readers.len();
        for reader in 0..self.readers.len() {
            for &key in &owed {
                if !self.is_confirmed(reader, key) {
                    let text = self.story(reader, key);
                    self.fault(Rule::Lost, text);
                }
            }
        }
        self.report
    }

    /// What a reader and the publisher of a message know of it.
    pub fn story(&self, reader: usize, key: Key) -> String {
        let name = &self.readers[reader].name;
        let history = self.history(key, Some(reader));
        format!("{name}, message {}.{}:{history}", key.0, key.1)
    }

    /// What its publisher and one reader know of it, with the kills in between.
    fn history(&self, key: Key, reader: Option<usize>) -> String {
        let message = &self.messages[key.0][key.1];
        let publish = &message.publish;
        let (topic, qos, len) = (&publish.topic, publish.qos, publish.payload.len());
        let mut text = format!(" {len} bytes to {topic} at QoS {qos}");
        let told = message.history.iter().filter(|e| match e.who {
            Who::Publisher => true,
            Who::Reader(at) => Some(at) == reader,
        });
        let mut lines: Vec<(u128, String)> = told
            .map(|e| {
                let who = match e.who {
                    Who::Publisher => "publisher",
                    Who::Reader(at) => &self.readers[at].name,
                };
                (e.at_us, format!("{who}: {:?} id {}", e.what, e.packet_id))
            })
            .collect();
        let ends = self.ends_us.iter();
        lines.extend(ends.map(|(at, signal)| (*at, format!("the broker gets {signal}"))));
        lines.sort();
        for (at_us, line) in lines {
            let _ = write!(text, "\n{:9.4} s  {line}", at_us as f64 / 1e6);
        }
        text
    }
}

/// Publisher, number, and bytes that no other message has in these places.
fn payload(publisher: usize, number: usize, size: usize) -> Vec<u8> {
    let mut bytes = format!("{publisher}.{number}.").into_bytes();
    let filler = (bytes.len()..size).map(|i| b'a' + ((i * 7 + number * 3 + publisher) % 26) as u8);
    bytes.extend(filler.collect::<Vec<u8>>());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> (Ledger, usize) {
        let mut ledger = Ledger::new(1);
        let reader = ledger.add_reader("reader", 2);
        (ledger, reader)
    }

    fn acknowledged(ledger: &mut Ledger, topic: &str) -> (Key, Publish) {
        let key = ledger.add(0, topic, 2, 30);
        ledger.note(key, Who::Publisher, What::Acknowledged, 1);
        (key, ledger.publish(key).clone().id(1))
    }

    #[test]
    fn what_nobody_acknowledged_is_not_owed() {
        let (mut ledger, _) = ledger();
        ledger.add(0, "load/a", 1, 30);
        let report = ledger.close();
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.owed, 0);
    }

    #[test]
    fn owed_and_not_confirmed_is_lost() {
        let (mut ledger, reader) = ledger();
        let (key, publish) = acknowledged(&mut ledger, "load/a");
        ledger.arrived(reader, key, &publish);
        assert!(ledger.owes(reader));
        let report = ledger.close();
        assert_eq!(report.count(Rule::Lost), 1, "{report}");
    }

    #[test]
    fn confirmed_is_paid() {
        let (mut ledger, reader) = ledger();
        let (key, publish) = acknowledged(&mut ledger, "load/a");
        ledger.arrived(reader, key, &publish);
        ledger.confirmed(reader, key, 1);
        assert!(!ledger.owes(reader));
        let report = ledger.close();
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.owed, 1);
    }

    #[test]
    fn qos_2_twice_and_disorder_are_faults() {
        let (mut ledger, reader) = ledger();
        let (one, first) = acknowledged(&mut ledger, "load/a");
        let (two, second) = acknowledged(&mut ledger, "load/a");
        let (three, third) = acknowledged(&mut ledger, "load/b");
        for (key, publish) in [
            (three, &third),
            (two, &second),
            (one, &first),
            (two, &second),
        ] {
            ledger.arrived(reader, key, publish);
            ledger.confirmed(reader, key, 1);
        }
        let report = ledger.close();
        assert_eq!(report.count(Rule::Twice), 1, "{report}");
        assert_eq!(report.count(Rule::Order), 1, "{report}");
        assert_eq!(report.count(Rule::Lost), 0, "{report}");
    }

    #[test]
    fn damage_is_seen() {
        let (mut ledger, reader) = ledger();
        let (_, mut publish) = acknowledged(&mut ledger, "load/a");
        assert!(ledger.identify(reader, &publish).is_some());
        *publish.payload.last_mut().unwrap() ^= 1;
        assert!(ledger.identify(reader, &publish).is_none());
        assert_eq!(ledger.close().count(Rule::Damaged), 1);
    }

    #[test]
    fn retained_is_the_last_acknowledged_or_a_later_one() {
        let values = |ledger: &Ledger, key| {
            let bytes = ledger.publish(key).payload.clone();
            BTreeMap::from([("ret/a".to_string(), bytes)])
        };
        let (mut ledger, _) = ledger();
        let keys: Vec<Key> = (0..3)
            .map(|_| ledger.add_retained(0, "ret/a", 1, 30))
            .collect();
        ledger.check_retained(&BTreeMap::new());
        ledger.note(keys[1], Who::Publisher, What::Acknowledged, 1);
        for key in &keys[1..] {
            ledger.check_retained(&values(&ledger, *key));
        }
        assert!(ledger.report.is_clean(), "{}", ledger.report);
        ledger.check_retained(&values(&ledger, keys[0]));
        ledger.check_retained(&BTreeMap::new());
        assert_eq!(ledger.report.count(Rule::Retained), 2);
        let cleared = ledger.add_retained(0, "ret/a", 1, 0);
        ledger.note(cleared, Who::Publisher, What::Acknowledged, 1);
        ledger.check_retained(&BTreeMap::new());
        assert_eq!(ledger.report.count(Rule::Retained), 2);
        ledger.check_retained(&values(&ledger, keys[2]));
        assert_eq!(ledger.report.count(Rule::Retained), 3);
    }
}
