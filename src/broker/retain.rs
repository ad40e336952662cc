//! Retained messages: the last value of each topic, and how new subscribers get them.
//!
//! They hang on the nodes of a topic table of their own. A new subscription does not get them all
//! at once: a [`Replay`] walks the table in slices and queues as much as the client has room for,
//! so that a subscription to `#` neither overflows a queue nor holds up anybody.

use super::publish::Publisher;
use super::session::{SessionId, client_hash};
use super::subscriptions::{SubscriptionId, Subscriptions};
use super::timer::{At, Timer};
use super::{Broker, Settings};
use crate::auth::Access;
use crate::store::journal::{Place, record};
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
    /// Bytes of what is known of their publishers.
    sources: usize,
    sweep_at: At,
    /// How far the sweep under way has got.
    swept: usize,
}

struct Entry {
    message: MessageId,
    node: NodeId,
    sequence: u64,
    /// Stands for the publisher's Client Identifier, for No Local.
    publisher_hash: u64,
    /// Who published it, where rights are checked.
    source: Option<Box<Source>>,
    /// The record of the journal that says it is kept; nowhere if the journal does not know it.
    place: Place,
    /// The journal has a retained message of the topic, this one or an earlier one.
    is_told: bool,
}

struct Source {
    listener: u16,
    client_id: Box<str>,
    username: Option<Box<str>>,
}

impl Entry {
    fn source_bytes(&self) -> usize {
        self.source.as_ref().map_or(0, |source| {
            let username = source.username.as_ref().map_or(0, |name| name.len());
            size_of::<Source>() + source.client_id.len() + username
        })
    }
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
const STEPS: usize = 512;
const FOUND_MAX: usize = 64;

/// Entries that a sweep looks at in one go.
const SWEPT_AT_ONCE: usize = 2048;

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
            sources: 0,
            sweep_at: At::NEVER,
            swept: 0,
        }
    }

    /// Bytes of memory they take, without the messages.
    pub(super) fn memory(&self) -> usize {
        self.table.memory() + self.entries.len() * size_of::<Entry>() + self.sources
    }

    /// Whether a topic has one.
    pub(super) fn has(&self, topic: &[u8]) -> bool {
        let node = self.table.find(topic);
        node.is_some_and(|node| self.table.value(node) != NONE)
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

    /// Who published what a topic keeps, for the journal.
    pub(super) fn source<'a>(&'a self, node: NodeId, settings: &'a Settings) -> record::Source<'a> {
        let key = self.table.value(node);
        let Some(entry) = self.entries.get(key as usize) else {
            return record::Source::default();
        };
        let publisher = entry.source.as_deref().map(|source| {
            let listener = settings.listeners.get(usize::from(source.listener));
            let listener = listener.map_or("", |listener| listener.name.as_str());
            (&*source.client_id, source.username.as_deref(), listener)
        });
        record::Source {
            hash: entry.publisher_hash,
            publisher,
        }
    }

    /// Takes the entry of a node out; its message is the caller's to release.
    fn remove(&mut self, node: NodeId) -> Option<Entry> {
        let key = self.table.value(node);
        if key == NONE {
            return None;
        }
        self.table.set_value(node, NONE);
        self.table.release(node);
        let entry = self.entries.remove(key as usize);
        self.sources -= entry.source_bytes();
        Some(entry)
    }
}

impl Broker {
    /// Keeps a message as its topic's retained one, or removes that [MQTT-3.3.1-5]
    /// [MQTT-3.3.1-6] [MQTT-3.3.1-7].
    pub(super) fn keep_retained(&mut self, publisher: Publisher, id: MessageId) {
        let message = self.messages.get(id);
        let topic = message.topic();
        if message.payload().is_empty() {
            if let Some(node) = self.retained.table.find(topic) {
                self.drop_retained(node);
            }
            return;
        }
        let is_late = message.qos == QoS::AtMostOnce && self.is_over_memory();
        if is_late && publisher != Publisher::Broker && !self.retained.has(topic) {
            // Nobody was promised anything.
            return self.refuse_memory();
        }
        let node = self.retained.table.insert(topic);
        self.retained.sequence += 1;
        let sequence = self.retained.sequence;
        let (publisher_hash, source) = self.source_of(publisher);
        self.messages.retain(id);
        let key = self.retained.table.value(node);
        let entry = Entry {
            message: id,
            node,
            sequence,
            publisher_hash,
            source,
            place: Place::START,
            is_told: false,
        };
        self.retained.sources += entry.source_bytes();
        if key == NONE {
            let key = self.retained.entries.insert(entry);
            self.retained.table.set_value(node, key as u32);
        } else {
            let kept = &mut self.retained.entries[key as usize];
            let is_told = kept.is_told;
            let old = std::mem::replace(kept, Entry { is_told, ..entry });
            self.retained.sources -= old.source_bytes();
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
            let key = self.retained.table.value(node);
            if let Some(entry) = self.retained.entries.get(key as usize) {
                replay.pending.push_back((key, entry.sequence));
            }
        }
        if replay.cursor.is_none() && replay.pending.is_empty() {
            return;
        }
        self.subscriptions.slab[subscription as usize].replay = replay.number;
        let session = self.sessions.get_mut(session_id);
        let replays = &mut session.flow.replays;
        replays.push_back(replay);
        if replays.len() > 2 * session.subscription_count as usize {
            self.sweep_replays(session_id);
        }
    }

    /// Takes out the replays that were ended: there are never more than two for a subscription.
    fn sweep_replays(&mut self, session_id: SessionId) {
        let subscriptions = &self.subscriptions;
        let replays = &mut self.sessions.get_mut(session_id).flow.replays;
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
    #[inline]
    pub(super) fn pump_replays(&mut self, session_id: SessionId) {
        if !self.sessions.get(session_id).flow.replays.is_empty() {
            self.pump_some(session_id);
        }
    }

    fn pump_some(&mut self, session_id: SessionId) {
        let Some(conn) = self.sessions.get(session_id).connection else {
            return;
        };
        let mut steps = STEPS;
        while let Some(mut replay) = self.next_replay(session_id) {
            if !replay.goes_on(&self.subscriptions) {
                self.retained.end_replay(&mut replay);
                continue;
            }
            let is_done = self.pump(session_id, &mut replay, &mut steps);
            if !is_done {
                self.sessions
                    .get_mut(session_id)
                    .flow
                    .replays
                    .push_front(replay);
                if steps == 0 {
                    self.mark_writable(conn);
                }
                return;
            }
        }
    }

    fn next_replay(&mut self, session_id: SessionId) -> Option<Replay> {
        let flow = self.sessions.get_mut(session_id).flow.existing()?;
        flow.replays.pop_front()
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
                let key = table.value(node);
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
        let is_lost = self.messages.is_hot(id) && self.messages.get(id).is_empty();
        if self.messages.expires_ms(id) < self.now.mono_ms || is_lost {
            self.drop_retained(node);
            return true;
        }
        let topic_is_denied = !self.messages.is_hot(id) && !self.may_read_node(session_id, node);
        if topic_is_denied {
            return true;
        }
        let qos = self.delivered_qos(self.messages.qos_of(id), replay.options.qos);
        let len = super::route::queued_len(self.messages.len_of(id));
        let session = self.sessions.get(session_id);
        if !self.has_room(session, qos, len) {
            return false;
        }
        let is_copied = self.is_copied(session_id, qos);
        if let Some(conn) = (session.connection).filter(|_| is_copied && !self.messages.is_hot(id))
        {
            self.fetch(id, conn);
            return false;
        }
        // [MQTT-3.3.1-8]
        self.deliver_retained(session_id, id, qos, replay.identifier);
        true
    }

    /// Whether a retained message becomes a message of its own for a session that is kept.
    fn is_copied(&self, session: SessionId, qos: QoS) -> bool {
        let is_recorded = self.journal.is_on() && self.sessions.get(session).is_recorded();
        is_recorded && qos != QoS::AtMostOnce
    }

    /// Queues a retained message. For a session that is kept it is a message of its own, so that
    /// every message has one record with all who get it.
    fn deliver_retained(&mut self, session: SessionId, id: MessageId, qos: QoS, identifier: u32) {
        if !self.is_copied(session, qos) {
            return self.deliver(session, Delivery::new(id, qos, true, identifier));
        }
        let copy = self.messages.copy(id);
        self.begin_message();
        self.deliver(session, Delivery::new(copy, qos, true, identifier));
        if !self.journal.recipients.is_empty() {
            self.describe_message(copy, None, None);
        }
        self.messages.release(copy);
    }

    fn may_read_node(&self, session: SessionId, node: NodeId) -> bool {
        self.sessions.get(session).rules.is_none()
            || self.may(session, Access::Read, &self.retained.table.text(node))
    }

    /// Frees the retained message of a topic.
    fn drop_retained(&mut self, node: NodeId) {
        let topic = self.journal.is_on().then(|| self.retained.table.text(node));
        let Some(old) = self.retained.remove(node) else {
            return;
        };
        self.messages.release(old.message);
        if let Some(topic) = topic.filter(|_| old.is_told) {
            self.record_cleared(&topic);
        }
    }

    /// The topic that keeps this message, which is hot, if one does.
    pub(super) fn kept_node(&self, id: MessageId) -> Option<NodeId> {
        let message = self.messages.get(id);
        if !message.retain {
            return None;
        }
        self.kept_node_of(id, message.topic())
    }

    /// The same for a message whose topic is known otherwise.
    pub(super) fn kept_node_of(&self, id: MessageId, topic: &[u8]) -> Option<NodeId> {
        let node = self.retained.table.find(topic)?;
        let key = self.retained.table.value(node);
        let entry = self.retained.entries.get(key as usize)?;
        (entry.message == id).then_some(node)
    }

    /// The journal knows what a topic keeps.
    pub(super) fn note_kept_place(&mut self, node: NodeId) {
        let key = self.retained.table.value(node);
        if let Some(entry) = self.retained.entries.get_mut(key as usize) {
            let place = self.messages.place_of(entry.message);
            entry.place = place.unwrap_or(Place::START);
            entry.is_told |= place.is_some();
        }
    }

    /// Retained messages that the journal does not know although it should.
    pub(super) fn unrecorded_retained(&self) -> Vec<MessageId> {
        (self.retained.entries.iter())
            .filter(|(_, entry)| entry.place == Place::START)
            .map(|(_, entry)| entry.message)
            .filter(|&id| self.messages.is_hot(id))
            .filter(|&id| !self.messages.get(id).topic().starts_with(b"$SYS"))
            .collect()
    }

    /// Takes a retained message that the journal tells of; it has no holder yet.
    pub(super) fn restore_retained(
        &mut self,
        topic: &[u8],
        slot: u32,
        place: Place,
        source: &record::Source<'_>,
    ) {
        let Some(message) = self.messages.at(slot, place) else {
            return;
        };
        let node = self.retained.table.insert(topic);
        let listeners = &self.settings.listeners;
        let publisher = source.publisher.map(|(client_id, username, listener)| {
            let listener = listeners.iter().position(|l| l.name == listener);
            Box::new(Source {
                listener: listener.unwrap_or(0) as u16,
                client_id: client_id.into(),
                username: username.map(Into::into),
            })
        });
        let entry = Entry {
            message,
            node,
            sequence: 0,
            publisher_hash: source.hash,
            source: publisher,
            place,
            is_told: true,
        };
        self.retained.sources += entry.source_bytes();
        let key = self.retained.table.value(node);
        if key == NONE {
            let key = self.retained.entries.insert(entry);
            self.retained.table.set_value(node, key as u32);
        } else {
            let kept = &mut self.retained.entries[key as usize];
            let old = std::mem::replace(kept, entry);
            self.retained.sources -= old.source_bytes();
        }
    }

    /// Frees all retained messages.
    pub(super) fn forget_all_retained(&mut self) {
        let nodes: Vec<NodeId> = self.retained.entries.iter().map(|(_, e)| e.node).collect();
        for node in nodes {
            self.drop_retained(node);
        }
    }

    /// The journal tells that a topic keeps nothing any more.
    pub(super) fn forget_retained(&mut self, topic: &[u8]) {
        if let Some(node) = self.retained.table.find(topic) {
            self.retained.remove(node);
        }
    }

    /// After everything was told: holds the messages that are still there.
    pub(super) fn finish_retained(&mut self) {
        let mut gone = Vec::new();
        for (_, entry) in &self.retained.entries {
            match self.messages.at(entry.message.slot(), entry.place) {
                Some(id) => self.messages.retain(id),
                None => gone.push(entry.node),
            }
        }
        for node in gone {
            self.retained.remove(node);
        }
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
        let topic = self.retained.table.text(entry.node);
        acl.check(rules, &source.client_id, username, Access::Write, &topic)
            .allowed
    }

    /// Arms the timer of `retain_expiry_interval`.
    pub(super) fn start_retain_sweep(&mut self) {
        let minutes = u64::from(self.settings.retain_expiry_interval);
        let at = (minutes > 0).then(|| self.now.mono_ms + minutes * 60_000);
        self.retained.swept = 0;
        self.timers
            .set(Timer::RetainSweep, &mut self.retained.sweep_at, at);
    }

    /// Frees retained messages that have expired without anybody asking for them, some at a time.
    pub(super) fn sweep_retained(&mut self) {
        self.retained.sweep_at = At::NEVER;
        let now_ms = self.now.mono_ms;
        let first = self.retained.swept;
        let end = (first + SWEPT_AT_ONCE).min(self.retained.entries.capacity());
        for key in first..end {
            let Some(entry) = self.retained.entries.get(key) else {
                continue;
            };
            if self.messages.expires_ms(entry.message) < now_ms {
                self.work += 1;
                self.drop_retained(entry.node);
            }
        }
        self.work += SWEPT_AT_ONCE / 8;
        self.retained.swept = end;
        if end < self.retained.entries.capacity() {
            return self.timers.set(
                Timer::RetainSweep,
                &mut self.retained.sweep_at,
                Some(now_ms),
            );
        }
        self.start_retain_sweep();
    }
}
