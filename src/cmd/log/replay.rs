//! What the records of a log come to: the sessions, subscriptions and messages that still are.
//!
//! The rules are those of [`store::journal`](crate::store::journal), by which the broker starts: of
//! several descriptions of one object the last one counts, a slot has the message that was
//! described in it last, and what was said of deliveries is put together at the end, by ordinal.
//! Only places and lengths are kept, no payloads.

use std::collections::{BTreeMap, HashMap};

use crate::store::journal::record::{Clock, Message, Recipients, Release, Session};
use crate::store::journal::{Place, Placed, Record};

/// Deliveries of one session that are remembered before the needless ones are forgotten.
const FORGET_AT: usize = 4096;

/// The records that were told so far.
#[derive(Default)]
pub(super) struct Replay {
    drafts: BTreeMap<u64, Draft>,
    slots: HashMap<u32, Slot>,
    /// The slot and record of each retained message, by topic.
    retained: HashMap<Box<[u8]>, (u32, Place)>,
    /// The newest.
    pub(super) clock: Option<Clock>,
}

/// What was said of a session.
#[derive(Default)]
struct Draft {
    /// Client Identifier, and the bytes of the description.
    session: Option<(Box<str>, u32)>,
    is_over: bool,
    /// The bytes of the description of each subscription.
    subscriptions: HashMap<(Box<str>, Option<Box<str>>), u32>,
    waiting: Vec<Waiting>,
    done: Vec<u64>,
    done_before: u64,
    received: Vec<u64>,
    sent_before: u64,
    /// Packet identifier, slot and record.
    held: Vec<(u16, u32, Place)>,
    /// So many entries make the next forgetting worth while.
    forget_at: usize,
}

#[derive(Clone, Copy)]
struct Waiting {
    ordinal: u64,
    slot: u32,
    place: Place,
}

/// What is in a slot.
#[derive(Clone, Copy)]
struct Slot {
    /// The record that says who gets it.
    placed: Placed,
    /// The record with the body, if that is another.
    body: Option<Placed>,
    /// Bytes of topic, properties and payload.
    size: u64,
    is_needed: bool,
}

/// What still is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    /// The sessions.
    pub(super) sessions: Vec<SessionLive>,
    /// Bytes of the records that describe sessions.
    pub(super) session_bytes: u64,
    /// Bytes of the records that describe subscriptions.
    pub(super) subscription_bytes: u64,
    /// Messages that somebody is to get, that are held or retained.
    pub(super) messages: u64,
    /// Bytes of the records that have them.
    pub(super) message_bytes: u64,
    /// Those of them whose content is in no record any more.
    pub(super) bodiless: u64,
    /// Retained messages.
    pub(super) retained: u64,
    /// Bytes of their topics, properties and payloads.
    pub(super) retained_size: u64,
    /// Sessions of which something was said but not who they are.
    pub(super) nameless: u64,
}

/// What still is of a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SessionLive {
    /// Client Identifier.
    pub(super) client_id: Box<str>,
    /// How many.
    pub(super) subscriptions: u64,
    /// Messages that were not sent yet.
    pub(super) queued: u64,
    /// Messages that were sent and not acknowledged to the end.
    pub(super) in_flight: u64,
    /// Messages that it sent with QoS 2 and did not release.
    pub(super) held: u64,
    /// Bytes of topics, properties and payloads of all of them.
    pub(super) bytes: u64,
}

impl Live {
    /// Bytes of all records that something hangs on.
    pub(super) fn bytes(&self) -> u64 {
        self.session_bytes + self.subscription_bytes + self.message_bytes
    }
}

impl Draft {
    fn forget_needless(&mut self) {
        if self.done.len() + self.waiting.len() < self.forget_at.max(FORGET_AT) {
            return;
        }
        let first = self.done_before;
        self.done.retain(|&ordinal| ordinal >= first);
        self.received.retain(|&ordinal| ordinal >= first);
        self.waiting.retain(|waiting| waiting.ordinal >= first);
        self.forget_at = 2 * (self.done.len() + self.waiting.len());
    }
}

impl Replay {
    /// Takes the next record.
    pub(super) fn tell(&mut self, placed: Placed, record: &Record<'_>) {
        match *record {
            Record::Clock(clock) => self.clock = Some(clock),
            Record::Session(session) => self.tell_session(placed, &session),
            Record::SessionEnd { key } => {
                let draft = Draft {
                    is_over: true,
                    ..Draft::default()
                };
                self.drafts.insert(key, draft);
            }
            Record::Back { .. } | Record::Left { .. } => {}
            Record::Subscribe(subscription) => {
                let name = (
                    subscription.filter.into(),
                    subscription.share.map(Into::into),
                );
                let draft = self.draft(subscription.key);
                draft.subscriptions.insert(name, placed.len);
            }
            Record::Unsubscribe { key, filter, share } => {
                let name = (filter.into(), share.map(Into::into));
                self.draft(key).subscriptions.remove(&name);
            }
            Record::Message(message) => self.tell_message(placed, &message),
            Record::Release(release) => self.tell_release(placed, &release),
            Record::Forget { key, packet_id } => {
                self.draft(key).held.retain(|held| held.0 != packet_id);
            }
            Record::Sent { key, through } => {
                let draft = self.draft(key);
                draft.sent_before = draft.sent_before.max(through.saturating_add(1));
            }
            Record::Received { key, ordinal } => self.draft(key).received.push(ordinal),
            Record::Done {
                key,
                ordinal,
                first,
            } => {
                let draft = self.draft(key);
                draft.done_before = draft.done_before.max(first);
                draft.done.push(ordinal);
                draft.forget_needless();
            }
            Record::Mark => {}
            Record::Cleared { topic } => {
                self.retained.remove(topic);
            }
        }
    }

    fn draft(&mut self, key: u64) -> &mut Draft {
        self.drafts.entry(key).or_default()
    }

    fn tell_session(&mut self, placed: Placed, session: &Session<'_>) {
        let draft = self.draft(session.key);
        draft.sent_before = draft.sent_before.max(session.sent_before);
        draft.session = Some((session.client_id.into(), placed.len));
    }

    fn tell_message(&mut self, placed: Placed, message: &Message<'_>) {
        let size = message.topic.len() + message.properties.len() + message.payload.len();
        let size = size as u64;
        if message.is_body {
            let slot = self.slots.get_mut(&message.slot);
            if let Some(slot) = slot.filter(|slot| slot.body.is_some()) {
                (slot.body, slot.size) = (Some(placed), size);
            }
            return;
        }
        let slot = Slot {
            placed,
            body: None,
            size,
            is_needed: false,
        };
        self.slots.insert(message.slot, slot);
        if message.keeps.is_some() {
            let kept = (message.slot, placed.place);
            self.retained.insert(message.topic.into(), kept);
        }
        if let Some((key, packet_id)) = message.held {
            let held = &mut self.draft(key).held;
            held.retain(|held| held.0 != packet_id);
            held.push((packet_id, message.slot, placed.place));
        }
        self.tell_recipients(placed.place, message.slot, message.recipients);
    }

    fn tell_release(&mut self, placed: Placed, release: &Release<'_>) {
        let held = &mut self.draft(release.key).held;
        held.retain(|held| held.0 != release.packet_id);
        let (mut len, mut size) = (0, 0);
        if let Some(old) = self.slots.get(&release.slot) {
            let had = old.body.unwrap_or(old.placed);
            if had.place == release.body {
                (len, size) = (had.len, old.size);
            }
        }
        // A body that was written anew is told of later.
        let place = release.body;
        let slot = Slot {
            placed,
            body: Some(Placed { place, len }),
            size,
            is_needed: false,
        };
        self.slots.insert(release.slot, slot);
        if release.keeps.is_some() {
            let kept = (release.slot, placed.place);
            self.retained.insert(release.topic.into(), kept);
        }
        self.tell_recipients(placed.place, release.slot, release.recipients);
    }

    fn tell_recipients(&mut self, place: Place, slot: u32, recipients: Recipients<'_>) {
        for recipient in recipients.iter() {
            let draft = self.draft(recipient.key);
            draft.waiting.push(Waiting {
                ordinal: recipient.ordinal,
                slot,
                place,
            });
            draft.forget_needless();
        }
    }

    /// What still is, after everything was told.
    pub(super) fn finish(mut self) -> Live {
        let mut live = Live::default();
        let mut newest: HashMap<Box<str>, u64> = HashMap::new();
        for (key, draft) in &self.drafts {
            if let Some((client_id, _)) = draft.session.as_ref().filter(|_| !draft.is_over) {
                newest.insert(client_id.clone(), *key);
            }
        }
        for (key, mut draft) in std::mem::take(&mut self.drafts) {
            if draft.is_over {
                continue;
            }
            match draft.session.take() {
                None => live.nameless += 1,
                Some((client_id, len)) if newest.get(&client_id) == Some(&key) => {
                    live.session_bytes += u64::from(len);
                    let lens = draft.subscriptions.values();
                    live.subscription_bytes += lens.map(|&len| u64::from(len)).sum::<u64>();
                    let session = self.finish_session(client_id, draft);
                    live.sessions.push(session);
                }
                // The client has a newer session.
                Some(_) => {}
            }
        }
        for (slot, place) in std::mem::take(&mut self.retained).into_values() {
            if let Some(size) = self.need(slot, place) {
                live.retained += 1;
                live.retained_size += size;
            }
        }
        for slot in self.slots.values().filter(|slot| slot.is_needed) {
            live.messages += 1;
            let body_len = slot.body.map_or(0, |body| body.len);
            live.bodiless += u64::from(slot.body.is_some() && body_len == 0);
            live.message_bytes += u64::from(slot.placed.len) + u64::from(body_len);
        }
        live
    }

    /// The size of the message in a slot, which is needed, if the record at `place` told of it.
    fn need(&mut self, slot: u32, place: Place) -> Option<u64> {
        let slot = self.slots.get_mut(&slot);
        let slot = slot.filter(|slot| slot.placed.place == place)?;
        slot.is_needed = true;
        Some(slot.size)
    }

    fn finish_session(&mut self, client_id: Box<str>, mut draft: Draft) -> SessionLive {
        let mut live = SessionLive {
            client_id,
            subscriptions: draft.subscriptions.len() as u64,
            ..SessionLive::default()
        };
        for list in [&mut draft.done, &mut draft.received] {
            list.sort_unstable();
            list.dedup();
        }
        draft.waiting.sort_by_key(|waiting| waiting.ordinal);
        let is_open = |ordinal: u64| {
            ordinal >= draft.done_before && draft.done.binary_search(&ordinal).is_err()
        };
        let received = draft.received.iter().filter(|&&o| is_open(o));
        live.in_flight += received.count() as u64;
        let mut last = None;
        for waiting in &draft.waiting {
            let ordinal = waiting.ordinal;
            let is_received = draft.received.binary_search(&ordinal).is_ok();
            if is_received || !is_open(ordinal) || last == Some(ordinal) {
                continue;
            }
            let Some(size) = self.need(waiting.slot, waiting.place) else {
                continue;
            };
            last = Some(ordinal);
            live.bytes += size;
            match ordinal < draft.sent_before {
                true => live.in_flight += 1,
                false => live.queued += 1,
            }
        }
        for &(_, slot, place) in &draft.held {
            if let Some(size) = self.need(slot, place) {
                live.held += 1;
                live.bytes += size;
            }
        }
        live
    }
}
