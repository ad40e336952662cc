//! Retained messages: the last value of each topic.
//!
//! They hang on the nodes of a topic table of their own; how new subscribers get them is the affair
//! of `replay`. Bounds: 24 bytes an entry, besides message and topic.

use super::publish::Publisher;
use super::session::client_hash;
use super::timer::{At, Timer};
use super::{Broker, Settings};
use crate::auth::Access;
use crate::store::MessageId;
use crate::store::journal::{Place, record};
use crate::topic::table::NONE;
use crate::topic::{NodeId, Table};
use crate::wire::QoS;
use slab::Slab;
use std::num::NonZeroU32;

/// All retained messages.
pub(super) struct Retained {
    pub(super) table: Table,
    pub(super) entries: Slab<Entry>,
    /// Who published them, where rights are checked.
    sources: Slab<Source>,
    /// While the journal is read: the record of each entry.
    restored: Vec<Place>,
    /// Counts what was ever retained, so that a replay can tell what came after it began.
    pub(super) sequence: u64,
    /// Counts replays (never 0).
    pub(super) replays: u32,
    pub(super) found: Vec<NodeId>,
    /// Bytes of what is known of their publishers.
    source_bytes: usize,
    sweep_at: At,
    /// How far the sweep under way has got.
    swept: usize,
}

pub(super) struct Entry {
    pub(super) message: MessageId,
    pub(super) node: NodeId,
    pub(super) sequence: u64,
    /// Stands for the publisher's Client Identifier, for No Local.
    pub(super) publisher: NonZeroU32,
    /// The slot of who published it, or [`NO_SOURCE`]; and two flags.
    source: u32,
}

const _: () = assert!(size_of::<Entry>() == 24);

/// The journal knows that this message is kept.
const KNOWN: u32 = 1 << 31;
/// The journal has a retained message of the topic, this one or an earlier one.
const TOLD: u32 = 1 << 30;
const NO_SOURCE: u32 = TOLD - 1;

struct Source {
    listener: u16,
    client_id: Box<str>,
    username: Option<Box<str>>,
}

impl Entry {
    /// The slot of who published it.
    fn source(&self) -> usize {
        (self.source & NO_SOURCE) as usize
    }

    fn is_known(&self) -> bool {
        self.source & KNOWN != 0
    }

    fn is_told(&self) -> bool {
        self.source & TOLD != 0
    }
}

impl Source {
    fn bytes(&self) -> usize {
        let username = self.username.as_ref().map_or(0, |name| name.len());
        size_of::<Source>() + self.client_id.len() + username
    }
}

/// What stands for a Client Identifier, as the journal has it, in an entry.
pub(super) fn publisher_of(hash: u64) -> NonZeroU32 {
    NonZeroU32::new(hash as u32).unwrap_or(NonZeroU32::MIN)
}

/// Entries that a sweep looks at in one go.
const SWEPT_AT_ONCE: usize = 2048;

impl Retained {
    pub(super) fn new(seed: u64) -> Retained {
        Retained {
            table: Table::new(seed),
            entries: Slab::new(),
            sequence: 0,
            replays: 0,
            found: Vec::new(),
            sources: Slab::new(),
            restored: Vec::new(),
            source_bytes: 0,
            sweep_at: At::NEVER,
            swept: 0,
        }
    }

    /// Bytes of memory they take, without the messages.
    pub(super) fn memory(&self) -> usize {
        self.table.memory() + self.entries.len() * size_of::<Entry>() + self.source_bytes
    }

    /// The message of a topic that has one.
    pub(super) fn message_of(&self, topic: &[u8]) -> Option<MessageId> {
        let key = self.table.value(self.table.find(topic)?);
        Some(self.entries.get(key as usize)?.message)
    }

    /// How many messages are retained.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Who published what a topic keeps, for the journal.
    pub(super) fn source<'a>(&'a self, node: NodeId, settings: &'a Settings) -> record::Source<'a> {
        let key = self.table.value(node);
        let Some(entry) = self.entries.get(key as usize) else {
            return record::Source::default();
        };
        let publisher = self.sources.get(entry.source()).map(|source| {
            let listener = settings.listeners.get(usize::from(source.listener));
            let listener = listener.map_or("", |listener| listener.name.as_str());
            (&*source.client_id, source.username.as_deref(), listener)
        });
        record::Source {
            hash: u64::from(entry.publisher.get()),
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
        self.forget_source(&entry);
        Some(entry)
    }

    /// Puts an entry in place of the one that the node has; that one's message is the caller's to
    /// release. Returns the slot, too.
    fn put(&mut self, mut entry: Entry, source: Option<Source>) -> (usize, Option<Entry>) {
        if let Some(source) = source {
            self.source_bytes += source.bytes();
            entry.source = entry.source & !NO_SOURCE | self.sources.insert(source) as u32;
        }
        let key = self.table.value(entry.node);
        let Some(kept) = self.entries.get_mut(key as usize) else {
            let node = entry.node;
            let key = self.entries.insert(entry);
            self.table.set_value(node, key as u32);
            return (key, None);
        };
        entry.source |= kept.source & TOLD;
        let old = std::mem::replace(kept, entry);
        self.forget_source(&old);
        (key as usize, Some(old))
    }

    fn forget_source(&mut self, entry: &Entry) {
        if let Some(source) = self.sources.try_remove(entry.source()) {
            self.source_bytes -= source.bytes();
        }
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
        let is_late = message.qos() == QoS::AtMostOnce && self.is_over_memory();
        let len = self.messages.len_of(id);
        if is_late && publisher != Publisher::Broker && !self.may_retain(topic, len, len) {
            // Nobody was promised anything, but what was there before is not so any more
            // [MQTT-3.3.1-7].
            if let Some(node) = self.retained.table.find(topic) {
                self.drop_retained(node);
            }
            return self.refuse_memory();
        }
        let (hash, source) = self.source_of(publisher);
        self.keep(id, hash, source);
    }

    /// Keeps a message that was published to another broker, on this port.
    pub(super) fn keep_told(
        &mut self,
        id: MessageId,
        (client_id, username): (&str, Option<&str>),
        port: Option<u16>,
    ) {
        let settings = &self.settings;
        let port = port.filter(|_| settings.check_retain_source);
        let source = port.and_then(|port| {
            let port = format!(":{port}");
            let mut listeners = settings.listeners.iter();
            let index = listeners.position(|listener| listener.name.ends_with(&port));
            let index = index.unwrap_or(0);
            settings.listeners.get(index)?.acl.as_ref()?;
            Some(Source {
                listener: index as u16,
                client_id: client_id.into(),
                username: username.map(Into::into),
            })
        });
        self.keep(id, client_hash(client_id), source);
    }

    fn keep(&mut self, id: MessageId, hash: u64, source: Option<Source>) {
        let node = self.retained.table.insert(self.messages.get(id).topic());
        self.retained.sequence += 1;
        self.messages.retain(id);
        let entry = Entry {
            message: id,
            node,
            sequence: self.retained.sequence,
            publisher: publisher_of(hash),
            source: NO_SOURCE,
        };
        let (_, old) = self.retained.put(entry, source);
        if let Some(old) = old {
            self.messages.release(old.message);
        }
    }

    fn source_of(&self, publisher: Publisher) -> (u64, Option<Source>) {
        let Publisher::Session(id) = publisher else {
            return (client_hash(""), None);
        };
        let session = self.sessions.get(id);
        let is_checked = session.rules.is_some() && self.settings.check_retain_source;
        let source = is_checked.then(|| Source {
            listener: session.listener,
            client_id: session.client_id.clone(),
            username: session.username.clone(),
        });
        (session.client_hash(), source)
    }

    /// Frees the retained message of a topic.
    pub(super) fn drop_retained(&mut self, node: NodeId) {
        let topic = self.journal.is_on().then(|| self.retained.table.text(node));
        let Some(old) = self.retained.remove(node) else {
            return;
        };
        self.messages.release(old.message);
        if let Some(topic) = topic.filter(|_| old.is_told()) {
            self.record_cleared(&topic);
        }
    }

    /// The topic that keeps this message, which is hot, if one does.
    pub(super) fn kept_node(&self, id: MessageId) -> Option<NodeId> {
        let message = self.messages.get(id);
        if !message.retain() {
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
            match self.messages.place_of(entry.message) {
                Some(_) => entry.source |= KNOWN | TOLD,
                None => entry.source &= !KNOWN,
            }
        }
    }

    /// Retained messages that the journal does not know although it should.
    pub(super) fn unrecorded_retained(&self) -> Vec<MessageId> {
        (self.retained.entries.iter())
            .filter(|(_, entry)| !entry.is_known())
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
            Source {
                listener: listener.unwrap_or(0) as u16,
                client_id: client_id.into(),
                username: username.map(Into::into),
            }
        });
        let entry = Entry {
            message,
            node,
            sequence: 0,
            publisher: publisher_of(source.hash),
            source: KNOWN | TOLD | NO_SOURCE,
        };
        let (key, _) = self.retained.put(entry, publisher);
        let restored = &mut self.retained.restored;
        restored.resize(restored.len().max(key + 1), Place::START);
        restored[key] = place;
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
        let restored = std::mem::take(&mut self.retained.restored);
        for (key, entry) in &self.retained.entries {
            let place = restored.get(key).copied().unwrap_or(Place::START);
            match self.messages.at(entry.message.slot(), place) {
                Some(id) => self.messages.retain(id),
                None => gone.push(entry.node),
            }
        }
        for node in gone {
            self.retained.remove(node);
        }
    }

    /// Whether who published a retained message may still write there.
    pub(super) fn source_may_write(&self, entry: &Entry) -> bool {
        let Some(source) = self.retained.sources.get(entry.source()) else {
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
