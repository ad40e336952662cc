//! Retained messages: the last value of each topic, and how new subscribers get them.
//!
//! They hang on the nodes of a topic table of their own. A new subscription does not get them all
//! at once: a [`Replay`] walks the table in slices and queues as much as the client has room for,
//! so that a subscription to `#` neither overflows a queue nor holds up anybody.

use super::Broker;
use super::publish::Publisher;
use super::session::{SessionId, client_hash};
use super::subscriptions::{SubscriptionId, Subscriptions};
use super::timer::Timer;
use crate::auth::Access;
use crate::store::{Delivery, MessageId};
use crate::topic::table::NONE;
use crate::topic::{Cursor, NodeId, Table};
use crate::wire::{QoS, SubscriptionOptions};
use slab::Slab;
use std::collections::VecDeque;

/// All retained messages.
pub(super) struct Retained {
    table: Table,
    entries: Slab<Entry>,
    /// Counts what was ever retained, so that a replay can tell what came after it began.
    sequence: u64,
    /// Counts replays (never 0).
    replays: u32,
    found: Vec<NodeId>,
    sweep_at: Option<u64>,
}

struct Entry {
    message: MessageId,
    node: NodeId,
    sequence: u64,
    /// Stands for the publisher's Client Identifier, for No Local.
    publisher_hash: u64,
    /// Who published it, where rights are checked.
    source: Option<Box<Source>>,
}

struct Source {
    listener: u16,
    client_id: Box<str>,
    username: Option<Box<str>>,
}

/// Retained messages on their way to a new subscription.
///
/// It holds as long as its subscription names it: subscribing again or unsubscribing ends it
/// without looking for it; it is taken out when its turn comes.
pub(super) struct Replay {
    subscription: SubscriptionId,
    number: u32,
    filter: Box<str>,
    options: SubscriptionOptions,
    identifier: u32,
    /// What came after this was delivered as it came.
    sequence_max: u64,
    cursor: Option<Cursor>,
    /// Found already: entry and its sequence number.
    pending: VecDeque<(u32, u64)>,
}

/// Bounds of one slice of a replay.
const STEPS: usize = 2048;
const FOUND_MAX: usize = 64;

impl Replay {
    fn goes_on(&self, subscriptions: &Subscriptions) -> bool {
        let subscription = subscriptions.slab.get(self.subscription as usize);
        subscription.is_some_and(|subscription| subscription.replay == self.number)
    }
}

impl Retained {
    pub(super) fn new(seed: u64) -> Retained {
        Retained {
            table: Table::new(seed),
            entries: Slab::new(),
            sequence: 0,
            replays: 0,
            found: Vec::new(),
            sweep_at: None,
        }
    }

    /// How many messages are retained.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn end_replay(&mut self, replay: &mut Replay) {
        if let Some(cursor) = &mut replay.cursor {
            self.table.end_walk(cursor);
        }
    }

    /// Takes the entry of a node out; its message is the caller's to release.
    fn remove(&mut self, node: NodeId) -> Option<MessageId> {
        let key = self.table.value(node, 0);
        if key == NONE {
            return None;
        }
        self.table.set_value(node, 0, NONE);
        self.table.release(node);
        Some(self.entries.remove(key as usize).message)
    }
}

impl Broker {
    /// Keeps a message as its topic's retained one, or removes that [MQTT-3.3.1-5]
    /// [MQTT-3.3.1-6] [MQTT-3.3.1-7].
    pub(super) fn keep_retained(&mut self, publisher: Publisher, id: MessageId) {
        let message = self.messages.get(id);
        let topic = message.topic();
        if message.payload().is_empty() {
            let node = self.retained.table.find(topic);
            if let Some(old) = node.and_then(|node| self.retained.remove(node)) {
                self.messages.release(old);
            }
            return;
        }
        let node = self.retained.table.insert(topic);
        self.retained.sequence += 1;
        let sequence = self.retained.sequence;
        let (publisher_hash, source) = self.source_of(publisher);
        self.messages.retain(id);
        let key = self.retained.table.value(node, 0);
        let entry = Entry {
            message: id,
            node,
            sequence,
            publisher_hash,
            source,
        };
        if key == NONE {
            let key = self.retained.entries.insert(entry);
            self.retained.table.set_value(node, 0, key as u32);
        } else {
            let old = std::mem::replace(&mut self.retained.entries[key as usize], entry);
            self.messages.release(old.message);
        }
    }

    fn source_of(&self, publisher: Publisher) -> (u64, Option<Box<Source>>) {
        let Publisher::Session(id) = publisher else {
            return (client_hash(""), None);
        };
        let session = self.sessions.get(id);
        let is_checked = session.rules.is_some() && self.settings.check_retain_source;
        let source = is_checked.then(|| {
            Box::new(Source {
                listener: session.listener,
                client_id: session.client_id.clone(),
                username: session.username.clone(),
            })
        });
        (session.client_hash(), source)
    }

    /// Starts sending the retained messages that match a new subscription.
    pub(super) fn begin_replay(
        &mut self,
        session_id: SessionId,
        subscription: SubscriptionId,
        filter: &str,
        options: SubscriptionOptions,
        identifier: u32,
    ) {
        self.subscriptions.slab[subscription as usize].replay = 0;
        if self.retained.count() == 0 {
            return;
        }
        self.retained.replays = self.retained.replays.checked_add(1).unwrap_or(1);
        let mut replay = Replay {
            subscription,
            number: self.retained.replays,
            filter: filter.into(),
            options,
            identifier,
            sequence_max: self.retained.sequence,
            cursor: None,
            pending: VecDeque::new(),
        };
        if memchr::memchr2(b'+', b'#', filter.as_bytes()).is_some() {
            replay.cursor = Some(self.retained.table.begin_walk());
        } else if let Some(node) = self.retained.table.find(filter.as_bytes()) {
            let key = self.retained.table.value(node, 0);
            if let Some(entry) = self.retained.entries.get(key as usize) {
                replay.pending.push_back((key, entry.sequence));
            }
        }
        if replay.cursor.is_none() && replay.pending.is_empty() {
            return;
        }
        self.subscriptions.slab[subscription as usize].replay = replay.number;
        let session = self.sessions.get_mut(session_id);
        session.replays.push_back(replay);
        if session.replays.len() > 2 * session.subscription_count as usize {
            self.sweep_replays(session_id);
        }
    }

    /// Takes out the replays that were ended: there are never more than two for a subscription.
    fn sweep_replays(&mut self, session_id: SessionId) {
        let subscriptions = &self.subscriptions;
        let replays = &mut self.sessions.get_mut(session_id).replays;
        replays.retain_mut(|replay| {
            let goes_on = replay.goes_on(subscriptions);
            if !goes_on {
                self.retained.end_replay(replay);
            }
            goes_on
        });
    }

    /// Queues more of the retained messages that a session is to get, as far as it has room.
    ///
    /// If the slice ends before the work does, the connection stays listed as writable.
    pub(super) fn pump_replays(&mut self, session_id: SessionId) {
        let Some(conn) = self.sessions.get(session_id).connection else {
            return;
        };
        let mut steps = STEPS;
        while let Some(mut replay) = self.sessions.get_mut(session_id).replays.pop_front() {
            if !replay.goes_on(&self.subscriptions) {
                self.retained.end_replay(&mut replay);
                continue;
            }
            let is_done = self.pump(session_id, &mut replay, &mut steps);
            if !is_done {
                self.sessions.get_mut(session_id).replays.push_front(replay);
                if steps == 0 {
                    self.mark_writable(conn);
                }
                return;
            }
        }
    }

    /// One slice; whether the replay is done. `steps` at 0 says that only time ran out.
    fn pump(&mut self, session_id: SessionId, replay: &mut Replay, steps: &mut usize) -> bool {
        loop {
            while let Some(&(key, sequence)) = replay.pending.front() {
                if !self.replay_one(session_id, replay, key, sequence) {
                    return false;
                }
                replay.pending.pop_front();
            }
            let Some(cursor) = &mut replay.cursor else {
                return true;
            };
            if *steps == 0 {
                return false;
            }
            let slice = (*steps).min(256);
            *steps -= slice;
            let Retained {
                table,
                found,
                entries,
                ..
            } = &mut self.retained;
            found.clear();
            let is_done = table.walk(cursor, replay.filter.as_bytes(), slice, FOUND_MAX, found);
            for node in found.drain(..) {
                let key = table.value(node, 0);
                let Some(entry) = entries.get(key as usize) else {
                    continue;
                };
                if entry.sequence <= replay.sequence_max {
                    replay.pending.push_back((key, entry.sequence));
                }
            }
            if is_done {
                replay.cursor = None;
            }
        }
    }

    /// Queues one retained message; `false` if there is no room for it now.
    fn replay_one(
        &mut self,
        session_id: SessionId,
        replay: &Replay,
        key: u32,
        sequence: u64,
    ) -> bool {
        let entry = self.retained.entries.get(key as usize);
        let Some(entry) = entry.filter(|entry| entry.sequence == sequence) else {
            return true;
        };
        let (id, node) = (entry.message, entry.node);
        let session = self.sessions.get(session_id);
        let is_own = replay.options.no_local && entry.publisher_hash == session.client_hash();
        if is_own || !self.source_may_write(entry) {
            return true;
        }
        let message = self.messages.get(id);
        if message.expires_ms < self.now.mono_ms {
            if let Some(old) = self.retained.remove(node) {
                self.messages.release(old);
            }
            return true;
        }
        let qos = self.delivered_qos(message.qos, replay.options.qos);
        let len = super::route::queued_len(message);
        let has_room = match qos {
            QoS::AtMostOnce => self.has_room_qos0(session_id, len),
            _ => self.has_room(session_id, len),
        };
        if has_room {
            // [MQTT-3.3.1-8]
            self.deliver(session_id, Delivery::new(id, qos, true, replay.identifier));
        }
        has_room
    }

    /// Whether who published a retained message may still write there.
    fn source_may_write(&self, entry: &Entry) -> bool {
        let Some(source) = &entry.source else {
            return true;
        };
        let acl = self.settings.listeners.get(usize::from(source.listener));
        let Some(acl) = acl.and_then(|listener| listener.acl.as_ref()) else {
            return true;
        };
        let username = source.username.as_deref();
        let rules = acl.rules_for(username);
        let topic = self.messages.get(entry.message).topic();
        acl.check(rules, &source.client_id, username, Access::Write, topic)
            .allowed
    }

    /// Arms the timer of `retain_expiry_interval`.
    pub(super) fn start_retain_sweep(&mut self) {
        let minutes = u64::from(self.settings.retain_expiry_interval);
        let at = (minutes > 0).then(|| self.now.mono_ms + minutes * 60_000);
        self.timers
            .set(Timer::RetainSweep, &mut self.retained.sweep_at, at);
    }

    /// Frees retained messages that have expired without anybody asking for them.
    pub(super) fn sweep_retained(&mut self) {
        self.retained.sweep_at = None;
        let now_ms = self.now.mono_ms;
        let expired: Vec<NodeId> = (self.retained.entries.iter())
            .filter(|(_, entry)| self.messages.get(entry.message).expires_ms < now_ms)
            .map(|(_, entry)| entry.node)
            .collect();
        for node in expired {
            if let Some(old) = self.retained.remove(node) {
                self.messages.release(old);
            }
        }
        self.start_retain_sweep();
    }
}
