//! A naive model of a broker: maps, vectors and loops over everybody.
//!
//! It knows sessions, subscriptions, retained messages, queues and expiry, and says for each step
//! who has to receive what. It has no packets, no packet identifiers of its own, no limits. Time
//! is in whole seconds, and nothing in a script may fall due in the very second it is looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::packet::Version;

/// An Application Message on its way through the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    /// Every publication of a script has a payload of its own.
    pub payload: String,
    pub qos: u8,
    pub retain: bool,
    /// When it expires.
    pub expires_at: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Subscription {
    pub qos: u8,
    pub no_local: bool,
    pub retain_as_published: bool,
    /// 0 always, 1 if new, 2 never.
    pub retain_handling: u8,
    pub identifier: Option<u32>,
}

/// What a client has to receive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copy {
    pub payload: String,
    pub topic: String,
    pub qos: u8,
    pub retain: bool,
    pub identifier: Option<u32>,
    /// Seconds left, where the message expires.
    pub expiry: Option<u32>,
}

/// How far a QoS 1 or 2 message has got with its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Waiting,
    Sent,
    Released,
}

#[derive(Clone, Debug)]
pub struct Pending {
    pub stage: Stage,
    pub message: Message,
    pub identifier: Option<u32>,
    /// As the broker chose it; known once it was sent.
    pub packet_id: Option<u16>,
}

#[derive(Clone, Debug, Default)]
pub struct Session {
    pub version: Option<Version>,
    pub is_online: bool,
    /// How long it outlives its connection; `None` for ever.
    pub expiry_s: Option<u64>,
    gone_at: u64,
    pub subscriptions: BTreeMap<String, Subscription>,
    pub pending: Vec<Pending>,
    /// QoS 2 messages from this client that were not released yet.
    pub held: BTreeMap<u16, Message>,
    pub will: Option<Message>,
}

/// What one step makes the broker send: to each client, and once to one of each group.
#[derive(Debug, Default)]
pub struct Outcome {
    pub copies: BTreeMap<String, Vec<Copy>>,
    /// One of these, for each group.
    pub shared: Vec<BTreeMap<String, Copy>>,
}

#[derive(Debug, Default)]
pub struct Model {
    pub now_s: u64,
    pub sessions: BTreeMap<String, Session>,
    /// By topic: who published it, and what.
    pub retained: BTreeMap<String, (String, Message)>,
}

/// Level by level, as section 4.7 says it.
pub fn matches(filter: &str, topic: &str) -> bool {
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    if topic[0].starts_with('$') && ["#", "+"].contains(&filter[0]) {
        return false;
    }
    matches_levels(&filter, &topic)
}

fn matches_levels(filter: &[&str], topic: &[&str]) -> bool {
    match (filter.first(), topic.first()) {
        (Some(&"#"), _) => true,
        (Some(&"+"), Some(_)) => matches_levels(&filter[1..], &topic[1..]),
        (Some(f), Some(t)) if f == t => matches_levels(&filter[1..], &topic[1..]),
        (None, None) => true,
        _ => false,
    }
}

/// Group and filter of a shared filter.
fn shared(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix("$share/")?.split_once('/')
}

impl Model {
    /// Connects; whether a session was there.
    pub fn connect(
        &mut self,
        name: &str,
        version: Version,
        clean: bool,
        expiry_s: Option<u64>,
        will: Option<Message>,
    ) -> bool {
        self.expire();
        if clean {
            self.sessions.remove(name);
        }
        let present = self.sessions.contains_key(name);
        let session = self.sessions.entry(name.to_string()).or_default();
        session.version = Some(version);
        session.is_online = true;
        session.expiry_s = expiry_s;
        session.will = will;
        present
    }

    /// What a resumed session has to be sent first: releases, then messages, in order.
    pub fn resume(&mut self, name: &str) -> (Vec<Pending>, Vec<Copy>) {
        let now = self.now_s;
        let session = self.sessions.get_mut(name).expect("a session");
        session
            .pending
            .retain(|p| p.stage != Stage::Waiting || !is_expired(&p.message, now));
        let again = session
            .pending
            .iter()
            .filter(|p| p.stage != Stage::Waiting)
            .cloned()
            .collect();
        let version = session.version.expect("it is online");
        let fresh = session
            .pending
            .iter_mut()
            .filter(|p| p.stage == Stage::Waiting);
        let fresh = fresh.map(|p| {
            p.stage = Stage::Sent;
            copy(&p.message, p.identifier, version, now)
        });
        (again, fresh.collect())
    }

    /// The connection ends, with the will or without.
    pub fn disconnect(&mut self, name: &str, with_will: bool) -> Outcome {
        let now_s = self.now_s;
        let session = self.sessions.get_mut(name).expect("a session");
        session.is_online = false;
        session.gone_at = now_s;
        let will = session.will.take().filter(|_| with_will);
        let outcome = will
            .map(|will| self.publish(name, will))
            .unwrap_or_default();
        self.expire();
        outcome
    }

    pub fn advance(&mut self, s: u64) {
        self.now_s += s;
        self.expire();
    }

    fn expire(&mut self) {
        let now = self.now_s;
        self.sessions.retain(|_, session| {
            session.is_online
                || session
                    .expiry_s
                    .is_none_or(|s| s > 0 && now < session.gone_at + s)
        });
        self.retained
            .retain(|_, (_, message)| !is_expired(message, now));
    }

    /// Subscribes; the retained messages that come with it.
    pub fn subscribe(&mut self, name: &str, filter: &str, subscription: Subscription) -> Vec<Copy> {
        self.expire();
        let session = self.sessions.get_mut(name).expect("a session");
        let version = session.version.expect("it is online");
        let earlier = session
            .subscriptions
            .insert(filter.to_string(), subscription.clone());
        let is_wanted = match subscription.retain_handling {
            0 => true,
            1 => earlier.is_none(),
            _ => false,
        };
        if !is_wanted || shared(filter).is_some() {
            return Vec::new();
        }
        let found = self
            .retained
            .values()
            .filter(|(_, m)| matches(filter, &m.topic));
        let mut copies = Vec::new();
        for (publisher, message) in found {
            if subscription.no_local && publisher == name {
                continue;
            }
            let mut message = message.clone();
            message.qos = message.qos.min(subscription.qos);
            message.retain = true;
            copies.push(copy(&message, subscription.identifier, version, self.now_s));
            session.keep(message, subscription.identifier, Stage::Sent);
        }
        copies
    }

    /// Unsubscribes; whether there was a subscription.
    pub fn unsubscribe(&mut self, name: &str, filter: &str) -> bool {
        let session = self.sessions.get_mut(name).expect("a session");
        session.subscriptions.remove(filter).is_some()
    }

    /// Publishes as this client.
    pub fn publish(&mut self, publisher: &str, message: Message) -> Outcome {
        self.expire();
        if message.retain && message.payload.is_empty() {
            self.retained.remove(&message.topic);
        } else if message.retain {
            self.retained.insert(
                message.topic.clone(),
                (publisher.to_string(), message.clone()),
            );
        }
        let mut outcome = Outcome::default();
        for (name, session) in &mut self.sessions {
            let plain = session.subscriptions.clone().into_iter();
            for (filter, subscription) in plain.filter(|(filter, _)| shared(filter).is_none()) {
                if !matches(&filter, &message.topic) || subscription.no_local && name == publisher {
                    continue;
                }
                if let Some(copy) = session.deliver(&message, &subscription, self.now_s) {
                    outcome.copies.entry(name.clone()).or_default().push(copy);
                }
            }
        }
        for group in self.groups() {
            outcome.shared.extend(self.candidates(&group, &message));
        }
        outcome
    }

    /// All shared filters.
    fn groups(&self) -> BTreeSet<String> {
        let filters = self
            .sessions
            .values()
            .flat_map(|session| session.subscriptions.keys());
        filters
            .filter(|filter| shared(filter).is_some())
            .cloned()
            .collect()
    }

    /// The members of a group that may get this message; one of them has to.
    fn candidates(&self, group: &str, message: &Message) -> Option<BTreeMap<String, Copy>> {
        let (_, filter) = shared(group)?;
        let members = self.sessions.iter().filter_map(|(name, session)| {
            let subscription = session.subscriptions.get(group)?;
            let version = session.version.filter(|_| session.is_online)?;
            let message = forwarded(message, subscription);
            Some((
                name.clone(),
                copy(&message, subscription.identifier, version, self.now_s),
            ))
        });
        let members: BTreeMap<String, Copy> = members.collect();
        (matches(filter, &message.topic) && !members.is_empty()).then_some(members)
    }

    /// Whether a message to this topic would reach a group that is not here at all.
    pub fn would_guess(&self, topic: &str) -> bool {
        let is_away = |group: &String| {
            let mut members = self
                .sessions
                .values()
                .filter(|s| s.subscriptions.contains_key(group));
            !members.any(|session| session.is_online)
        };
        let is_meant = |group: &&String| shared(group).is_some_and(|(_, f)| matches(f, topic));
        self.groups().iter().filter(is_meant).any(is_away)
    }
}

impl Session {
    /// Takes a message in; what is sent at once.
    fn deliver(
        &mut self,
        message: &Message,
        subscription: &Subscription,
        now: u64,
    ) -> Option<Copy> {
        let message = forwarded(message, subscription);
        let stage = if self.is_online {
            Stage::Sent
        } else {
            Stage::Waiting
        };
        self.keep(message.clone(), subscription.identifier, stage);
        let version = self.version.filter(|_| self.is_online)?;
        Some(copy(&message, subscription.identifier, version, now))
    }

    /// Keeps what has to be acknowledged.
    pub fn keep(&mut self, message: Message, identifier: Option<u32>, stage: Stage) {
        if message.qos > 0 {
            self.pending.push(Pending {
                stage,
                message,
                identifier,
                packet_id: None,
            });
        }
    }
}

fn forwarded(message: &Message, subscription: &Subscription) -> Message {
    let mut message = message.clone();
    message.qos = message.qos.min(subscription.qos);
    message.retain &= subscription.retain_as_published;
    message
}

fn copy(message: &Message, identifier: Option<u32>, version: Version, now: u64) -> Copy {
    let v5 = version == Version::V5;
    Copy {
        payload: message.payload.clone(),
        topic: message.topic.clone(),
        qos: message.qos,
        retain: message.retain,
        identifier: identifier.filter(|_| v5),
        expiry: message
            .expires_at
            .filter(|_| v5)
            .map(|at| at.saturating_sub(now) as u32),
    }
}

fn is_expired(message: &Message, now: u64) -> bool {
    message.expires_at.is_some_and(|at| at <= now)
}
