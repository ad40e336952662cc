//! From the records of the journal back to the state they tell of.
//!
//! [`Broker::restore`] gets every record in the order of the log and collects, for each session,
//! what was said of it; [`Broker::finish_restore`] makes sessions, queues and windows of that. What
//! was said of deliveries is put together at the end only, by ordinal, so that a record that is
//! missing or stands elsewhere than it once did changes nothing else.

use super::Broker;
use super::will::StoredWill;
use crate::store::Known;
use crate::store::journal::record::{self, Recipients};
use crate::store::journal::{Place, Placed, Record};
use crate::wire::{QoS, SubscriptionOptions, Version};
use std::collections::BTreeMap;

/// A filter behind the mount point, and its Share Name.
type FilterName = (Box<str>, Option<Box<str>>);

/// What the records said of one session so far.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) session: Option<(Owned, Placed)>,
    pub(super) is_over: bool,
    pub(super) subscriptions: BTreeMap<FilterName, Subscribed>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) done: Vec<u64>,
    /// How many of them are looked through next.
    done_max: usize,
    pub(super) received: Vec<u64>,
    /// Deliveries with smaller ordinals are done.
    pub(super) done_before: u64,
    pub(super) next_ordinal: u64,
    pub(super) sent_before: u64,
    pub(super) held: Vec<(u16, u32, Place)>,
}

/// A session as it was described, with what changed since.
pub(super) struct Owned {
    pub(super) client_id: Box<str>,
    pub(super) username: Option<Box<str>>,
    pub(super) listener: Box<str>,
    pub(super) mount_point: Box<str>,
    pub(super) version: Version,
    pub(super) is_bridge: bool,
    pub(super) is_unowned: bool,
    pub(super) expiry_s: u32,
    pub(super) silence_ms: u64,
    pub(super) left_ms: Option<u64>,
    pub(super) will: Option<StoredWill>,
}

/// A subscription as it was described last.
pub(super) struct Subscribed {
    pub(super) options: SubscriptionOptions,
    pub(super) identifier: u32,
    /// Retained messages were still to come.
    pub(super) is_owed: bool,
    pub(super) placed: Placed,
}

/// A delivery that was told of.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub(super) ordinal: u64,
    /// The record that told of it; if the slot has another by the end, the message is gone.
    pub(super) place: Place,
    pub(super) slot: u32,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) subscription_id: u32,
}

/// Everything that was told of, until it is put together.
pub(super) type Restoring = BTreeMap<u64, Draft>;

/// Done deliveries that are remembered before the needless ones are forgotten.
const DONE_MAX: usize = 4096;

impl Draft {
    /// The records of the messages may be lost: their ordinals are not given again.
    fn note_sent(&mut self, through: u64) {
        let next = through.saturating_add(1);
        self.sent_before = self.sent_before.max(next);
        self.next_ordinal = self.next_ordinal.max(next);
    }

    fn note_done(&mut self, ordinal: u64, first: u64) {
        self.done_before = self.done_before.max(first);
        self.next_ordinal = self.next_ordinal.max(ordinal.saturating_add(1));
        self.done.push(ordinal);
        if self.done.len() > self.done_max.max(DONE_MAX) {
            let done_before = self.done_before;
            self.done.retain(|&ordinal| ordinal >= done_before);
            // Very many may lie behind one that is not done.
            self.done_max = 2 * self.done.len();
        }
    }
}

impl Broker {
    /// Takes a record of the journal, in the order of the log, before [`Broker::start_journal`].
    pub fn restore(&mut self, placed: Placed, record: Record<'_>) {
        self.begin_restore();
        match record {
            Record::Clock(_) | Record::Mark => {}
            Record::Session(session) => self.restore_session(placed, &session),
            Record::SessionEnd { key } => {
                *self.draft(key) = Draft {
                    is_over: true,
                    ..Draft::default()
                };
            }
            Record::Back { key } => {
                if let Some((session, _)) = &mut self.draft(key).session {
                    session.left_ms = None;
                }
            }
            Record::Left {
                key,
                expiry_s,
                at_ms,
                has_will,
            } => {
                if let Some((session, _)) = &mut self.draft(key).session {
                    session.left_ms = Some(at_ms);
                    session.expiry_s = expiry_s;
                    session.will = session.will.take().filter(|_| has_will);
                }
            }
            Record::Subscribe(subscription) => {
                let name = (
                    subscription.filter.into(),
                    subscription.share.map(Into::into),
                );
                let subscribed = Subscribed {
                    options: subscription.options,
                    identifier: subscription.identifier,
                    is_owed: subscription.is_owed,
                    placed,
                };
                let subscriptions = &mut self.draft(subscription.key).subscriptions;
                subscriptions.insert(name, subscribed);
            }
            Record::Unsubscribe { key, filter, share } => {
                let name = (filter.into(), share.map(Into::into));
                self.draft(key).subscriptions.remove(&name);
            }
            Record::Message(message) => self.restore_message(placed, &message),
            Record::Release(release) => self.restore_release(placed, &release),
            Record::Forget { key, packet_id } => {
                self.draft(key).held.retain(|held| held.0 != packet_id);
            }
            Record::Sent { key, through } => self.draft(key).note_sent(through),
            Record::Received { key, ordinal } => {
                let draft = self.draft(key);
                draft.note_sent(ordinal);
                draft.received.push(ordinal);
            }
            Record::Done {
                key,
                ordinal,
                first,
            } => self.draft(key).note_done(ordinal, first),
            Record::Cleared { topic } => self.forget_retained(topic),
        }
    }

    /// Makes room: messages will lie where the journal had them, and `$SYS` is published anew.
    pub(super) fn begin_restore(&mut self) {
        if !std::mem::replace(&mut self.journal.is_restoring, true) {
            self.forget_all_retained();
        }
    }

    fn draft(&mut self, key: u64) -> &mut Draft {
        self.journal.next_key = self.journal.next_key.max(key);
        self.restoring.entry(key).or_default()
    }

    fn restore_session(&mut self, placed: Placed, session: &record::Session<'_>) {
        let draft = self.draft(session.key);
        draft.next_ordinal = draft.next_ordinal.max(session.next_ordinal);
        draft.sent_before = draft.sent_before.max(session.sent_before);
        let owned = Owned {
            client_id: session.client_id.into(),
            username: session.username.map(Into::into),
            listener: session.listener.into(),
            mount_point: session.mount_point.into(),
            version: session.version,
            is_bridge: session.is_bridge,
            is_unowned: session.is_unowned,
            expiry_s: session.expiry_s,
            silence_ms: session.silence_ms,
            left_ms: session.left_ms,
            will: session.will.as_ref().map(StoredWill::from_record),
        };
        draft.session = Some((owned, placed));
    }

    fn restore_message(&mut self, placed: Placed, message: &record::Message<'_>) {
        let len = message.topic.len() + message.properties.len() + message.payload.len();
        let known = Known {
            placed,
            len: len as u32,
            qos: message.qos,
            retain: message.retain,
            expires_ms: message.expires_ms,
        };
        if message.is_body {
            return self.messages.restore_body(message.slot, known);
        }
        if message.topic.is_empty() || !self.messages.restore(message.slot, known) {
            return;
        }
        if let Some(source) = message.keeps {
            self.restore_retained(message.topic, message.slot, placed.place, &source);
        }
        if let Some((key, packet_id)) = message.held {
            let held = &mut self.draft(key).held;
            held.retain(|held| held.0 != packet_id);
            held.push((packet_id, message.slot, placed.place));
        }
        self.restore_recipients(placed.place, message.slot, message.recipients);
    }

    fn restore_release(&mut self, placed: Placed, release: &record::Release<'_>) {
        let draft = self.draft(release.key);
        draft.held.retain(|held| held.0 != release.packet_id);
        if !(self.messages).restore_release(release.slot, placed, release.body) {
            return;
        }
        if let Some(source) = release.keeps {
            self.restore_retained(release.topic, release.slot, placed.place, &source);
        }
        self.restore_recipients(placed.place, release.slot, release.recipients);
    }

    fn restore_recipients(&mut self, place: Place, slot: u32, recipients: Recipients<'_>) {
        for recipient in recipients.iter() {
            let draft = self.draft(recipient.key);
            draft.next_ordinal = draft.next_ordinal.max(recipient.ordinal.saturating_add(1));
            draft.waiting.push(Waiting {
                ordinal: recipient.ordinal,
                place,
                slot,
                qos: recipient.qos,
                retain: recipient.retain,
                subscription_id: recipient.subscription_id,
            });
        }
    }
}
