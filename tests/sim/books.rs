//! The books are compared: what was promised against what came.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::mourner::TOPIC;
use crate::publisher::{Entry, Publisher};
use crate::subscriber::{Heard, Span, Subscriber};
use crate::world::World;

/// What happened in some worlds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    pub worlds: u64,
    pub crashes: u64,
    pub acknowledged: u64,
    pub owed: u64,
    /// Deliveries owed to a shared subscription.
    pub shared: u64,
    /// Retained messages that were compared.
    pub retained: u64,
    pub wills: u64,
    /// CONNACKs whose word on the session was compared.
    pub sessions: u64,
    /// Segments that were cleaned.
    pub cleaned: u64,
    /// Lives in which operations of the disk failed.
    pub failed: u64,
}

impl Report {
    pub fn add(&mut self, other: Report) {
        self.worlds += other.worlds;
        self.crashes += other.crashes;
        self.acknowledged += other.acknowledged;
        self.owed += other.owed;
        self.shared += other.shared;
        self.retained += other.retained;
        self.wills += other.wills;
        self.sessions += other.sessions;
        self.cleaned += other.cleaned;
        self.failed += other.failed;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            worlds,
            crashes,
            acknowledged,
            owed,
            shared,
            retained,
            wills,
            sessions,
            cleaned,
            failed,
        } = self;
        write!(
            f,
            "{worlds} worlds, {crashes} crashes, {acknowledged} messages acknowledged, {owed} \
             deliveries owed, {shared} of shared subscriptions, {retained} retained messages, \
             {wills} wills, {sessions} sessions asked for, {cleaned} worlds with cleaning, \
             {failed} lives with a failing disk"
        )
    }
}

/// Compares all books, when nobody has anything left to say.
pub fn check(world: &mut World) -> Result<(), String> {
    let mut report = Report::default();
    let now_ms = world.host.elapsed_ms;
    for subscriber in &world.subscribers {
        check_published(world, subscriber)?;
        if !world.had_trouble {
            check_order(world, subscriber)?;
            report.wills += check_wills(world, subscriber)?;
        }
    }
    for publisher in world.publishers.iter().filter(|p| !p.habits.retains) {
        let entries = publisher.books.values();
        report.acknowledged += entries.filter(|entry| entry.is_acknowledged).count() as u64;
        for subscriber in &world.subscribers {
            report.owed += check_owed(publisher, subscriber, now_ms)?;
        }
        report.shared += check_shared(publisher, &world.subscribers, now_ms)?;
    }
    // Each check looks at everything again.
    world.report.acknowledged = report.acknowledged;
    (world.report.owed, world.report.shared) = (report.owed, report.shared);
    world.report.wills += report.wills;
    Ok(())
}

/// The filter of the plain subscriptions that a topic matches.
fn filter_of(topic: &str) -> &'static str {
    match topic.as_bytes()[0] {
        b't' => "t/#",
        b'u' => "u/+",
        _ => TOPIC,
    }
}

/// Whether something was so the whole time between two moments, these included.
fn covers(spans: &[Span], from: u64, until: Option<u64>) -> bool {
    spans.iter().any(|span| {
        let is_late = |end: u64| until.is_some_and(|until| until < end);
        span.from < from && span.until.is_none_or(is_late)
    })
}

/// Nothing is heard that nobody said, or on a filter that the subscriber does not have.
fn check_published(world: &World, subscriber: &Subscriber) -> Result<(), String> {
    for heard in &subscriber.heard {
        let Heard {
            publisher,
            number,
            topic,
            at,
            ..
        } = heard;
        let who = world.publishers.iter().find(|p| p.name == publisher);
        let sent_at = match who {
            Some(who) => who.books.get(number).map(|entry| entry.sent_at),
            None => {
                let mut mourners = world.mourners.iter();
                let mourner = mourners.find(|mourner| mourner.name == publisher);
                let deaths = mourner.map(|mourner| &mourner.deaths);
                let death = deaths.and_then(|deaths| deaths.get(*number as usize));
                death.map(|death| death.dialled_at)
            }
        };
        let Some(sent_at) = sent_at else {
            return Err(format!("{publisher}:{number} was never published"));
        };
        let interest = subscriber.interests.get(filter_of(topic));
        let is_unwanted = |span: &Span| span.from < sent_at && span.until.is_none_or(|u| *at < u);
        if interest.is_some_and(|interest| interest.silent.iter().any(is_unwanted)) {
            return Err(format!(
                "{} got {publisher}:{number} on {topic} at {at}, said at {sent_at}, although it \
                 had unsubscribed: {interest:?}",
                subscriber.name
            ));
        }
    }
    Ok(())
}

/// What is heard for the first time comes in the order in which it was said, each time counted:
/// what was said again may have been taken only then. See [`may_be_passed`] for the exception.
fn check_order(world: &World, subscriber: &Subscriber) -> Result<(), String> {
    let mut streams: BTreeMap<(&str, &str), Vec<&Heard>> = BTreeMap::new();
    for heard in subscriber.heard.iter().filter(|heard| !heard.is_again) {
        let stream = streams.entry((&heard.publisher, &heard.topic)).or_default();
        stream.push(heard);
    }
    for ((publisher, topic), stream) in streams {
        // What one forgot is passed on when it uses the packet identifier again.
        let mut publishers = world.publishers.iter().filter(|p| !p.habits.forgets);
        let Some(who) = publishers.find(|p| p.name == publisher) else {
            continue;
        };
        let mut said = who.said.iter();
        for (at, heard) in stream.iter().enumerate() {
            if may_be_passed(who, heard, &stream[..at]) {
                continue;
            }
            if !said.any(|one| *one == heard.number) {
                let numbers: Vec<u64> = stream.iter().map(|heard| heard.number).collect();
                return Err(format!(
                    "{} got {publisher}:{} on {topic} out of order: {numbers:?}, said {:?}",
                    subscriber.name, heard.number, who.said
                ));
            }
        }
    }
    Ok(())
}

/// Whether later ones may have come first: it had expired before one of them came, in a life of the
/// broker that ended before it was heard itself.
///
/// No record says for sure by then that it was passed over. After a crash it may count as one that
/// was sent, which does not expire any more, or the log's clock may be earlier than it was.
fn may_be_passed(who: &Publisher, heard: &Heard, before: &[&Heard]) -> bool {
    let entry = &who.books[&heard.number];
    if !may_be_expired(entry, heard.ended_ms) {
        return false;
    }
    let first = |number: u64| who.said.iter().position(|&one| one == number);
    let said_at = first(heard.number);
    let mut before = before.iter();
    before.any(|other| first(other.number) > said_at && may_be_expired(entry, other.ms))
}

/// Whether there was time enough for it to expire.
fn may_be_expired(entry: &Entry, now_ms: u64) -> bool {
    let age_ms = now_ms.saturating_sub(entry.sent_ms);
    (entry.expiry_s).is_some_and(|expiry_s| age_ms >= u64::from(expiry_s) * 1000)
}

fn heard_numbers(publisher: &str, subscribers: &[&Subscriber]) -> BTreeSet<u64> {
    let heard = subscribers.iter().flat_map(|s| &s.heard);
    let heard = heard.filter(|heard| heard.publisher == publisher);
    heard.map(|heard| heard.number).collect()
}

/// Who had SUBACK before a message was sent, and asked for nothing else until it was done with,
/// has it if it was acknowledged.
fn check_owed(publisher: &Publisher, subscriber: &Subscriber, now_ms: u64) -> Result<u64, String> {
    let heard = heard_numbers(publisher.name, &[subscriber]);
    let mut count = 0;
    for (number, entry) in &publisher.books {
        let interest = subscriber.interests.get(filter_of(entry.topic));
        let is_owed = entry.is_acknowledged
            && interest.is_some_and(|i| covers(&i.granted, entry.sent_at, entry.done_at))
            && !may_be_expired(entry, now_ms);
        count += u64::from(is_owed);
        if is_owed && !heard.contains(number) {
            return Err(format!(
                "{} never got {}:{number}, which was acknowledged: {entry:?}",
                subscriber.name, publisher.name
            ));
        }
    }
    Ok(count)
}

/// One of those who share a subscription has it; at QoS 2, one only.
fn check_shared(
    publisher: &Publisher,
    subscribers: &[Subscriber],
    now_ms: u64,
) -> Result<u64, String> {
    const FILTER: &str = "$share/g/t/#";
    let members: Vec<&Subscriber> = subscribers
        .iter()
        .filter(|subscriber| subscriber.interests.contains_key(FILTER))
        .collect();
    let heard = heard_numbers(publisher.name, &members);
    let mut count = 0;
    for (number, entry) in &publisher.books {
        let is_member =
            |s: &&Subscriber| covers(&s.interests[FILTER].granted, entry.sent_at, entry.done_at);
        let is_owed = entry.is_acknowledged
            && entry.topic.starts_with('t')
            && members.iter().any(is_member)
            && !may_be_expired(entry, now_ms);
        count += u64::from(is_owed);
        if is_owed && !heard.contains(number) {
            return Err(format!(
                "nobody of a group got {}:{number}, which was acknowledged: {entry:?}",
                publisher.name
            ));
        }
        let takers = members.iter().filter(|member| {
            let mut heard = member.heard.iter();
            heard.any(|heard| heard.publisher == publisher.name && heard.number == *number)
        });
        if publisher.qos == 2 && takers.count() > 1 {
            return Err(format!(
                "two of a group got {}:{number} at QoS 2",
                publisher.name
            ));
        }
    }
    Ok(count)
}

/// Who died has its will published, to those who were there before it came.
fn check_wills(world: &World, subscriber: &Subscriber) -> Result<u64, String> {
    let Some(interest) = subscriber.interests.get(TOPIC) else {
        return Ok(0);
    };
    let mut count = 0;
    for mourner in &world.mourners {
        let heard = heard_numbers(mourner.name, &[subscriber]);
        for (number, death) in (0..).zip(&mourner.deaths) {
            let is_owed = death.is_due && covers(&interest.granted, death.dialled_at, None);
            count += u64::from(is_owed);
            if is_owed && !heard.contains(&number) {
                return Err(format!(
                    "{} never got the will {number} of {}",
                    subscriber.name, mourner.name
                ));
            }
        }
    }
    Ok(count)
}
