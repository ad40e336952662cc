//! Taking over what Mosquitto stored: its sessions, subscriptions, queues and retained messages.
//!
//! Every message becomes one message here with all who wait for it, in the order of their queues;
//! what was under way keeps its packet identifier. What cannot be (an empty client id, a topic with
//! a wildcard) is left out and counted. Who a session belongs to is not told reliably by the file:
//! the first client that connects with its Client Identifier takes it.
//!
//! A file may be larger than the memory there is. So it is gone through four times: for what
//! sessions and messages there are, twice for who waits for which, and for the bodies of the
//! messages, of which no more are in memory at a time than what is written at once, and
//! `memory_cache`.

mod plan;

use super::flow::Flow;
use super::held::Held;
use super::session::{EXPIRES_NEVER, SessionId};
use super::subscriptions::Subscriptions;
use super::{Broker, Now};
use crate::store::journal::fields::COUNT_MAX;
use crate::store::journal::record::Recipient;
use crate::store::journal::{Record, packet_id_of};
use crate::store::message::NEVER;
use crate::store::mosquitto_db::{self as db, Database, Direction, Entry};
use crate::store::window::distance;
use crate::store::{Body, Delivery, MessageId, Stage};
use crate::topic::Filter;
use crate::wire::{Publish, QoS, Version, is_topic_name};
use plan::{Known, Plan};
use std::convert::Infallible;

/// What was taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Sessions.
    pub sessions: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Deliveries queued or under way, in both directions.
    pub deliveries: usize,
    /// Retained messages.
    pub retained: usize,
    /// What could not be taken over.
    pub left_out: usize,
}

/// A file of Mosquitto's that can be gone through more than once.
pub trait Entries {
    /// Why it cannot.
    type Error;

    /// Tells everything that is in it, each time the same.
    ///
    /// # Errors
    /// It cannot be read to its end.
    fn each(&self, take: &mut dyn FnMut(Entry<'_>)) -> Result<(), Self::Error>;
}

impl Entries for Database<'_> {
    type Error = Infallible;

    fn each(&self, take: &mut dyn FnMut(Entry<'_>)) -> Result<(), Infallible> {
        self.entries().for_each(take);
        Ok(())
    }
}

/// Bytes of messages after which what was recorded is written.
const SLICE: usize = 256 * 1024;

/// What a message counts for besides its bytes.
const OVERHEAD: usize = 64;

/// So far may the deliveries under way to one client lie apart, that each packet identifier is that
/// of one of them only.
const SPAN_MAX: u64 = u16::MAX as u64 - 1;

/// Before 2020 a clock has not been set yet.
const SET_CLOCK_MS: u64 = 1_577_836_800_000;

impl Broker {
    /// Takes over what a file of Mosquitto's holds, into a broker that has just begun to record;
    /// `write` is called now and then to write the records.
    ///
    /// # Errors
    /// The file cannot be read any more: the broker has half of it.
    pub fn import<E: Entries>(
        &mut self,
        db: &E,
        now: Now,
        write: &mut dyn FnMut(&mut Broker),
    ) -> Result<Imported, E::Error> {
        self.now = now;
        let mut imported = Imported::default();
        let mut plan = Plan::default();
        let mut sessions = Vec::new();
        let mut number = 0;
        db.each(&mut |entry| match entry {
            Entry::Client(client) => match self.import_client(&client) {
                Some(id) => sessions.push(id),
                None => imported.left_out += 1,
            },
            Entry::Message(message) => {
                plan.messages.push(self.know(&message, number));
                number += 1;
            }
            _ => {}
        })?;
        imported.sessions = sessions.len();
        plan.sort_messages();
        self.import_waiting(db, &mut plan, &mut imported)?;
        for &id in &sessions {
            self.describe_session(id);
            self.record_leaving(id);
        }
        self.import_bodies(db, &mut plan, write)?;
        for &id in &sessions {
            self.record_released(id);
            self.session_timeout(id);
        }
        write(self);
        self.journal.promise = crate::store::journal::Place::START;
        Ok(imported)
    }

    fn imported_session(&self, client_id: &[u8]) -> Option<SessionId> {
        self.sessions.find(std::str::from_utf8(client_id).ok()?)
    }

    /// The second and third time: who subscribed to what and waits for which message. What is under
    /// way goes first: Mosquitto keeps messages that it did not get to between those that it sent,
    /// and one that waits cannot stand in a window.
    fn import_waiting<E: Entries>(
        &mut self,
        db: &E,
        plan: &mut Plan,
        imported: &mut Imported,
    ) -> Result<(), E::Error> {
        for is_first in [true, false] {
            db.each(&mut |entry| match entry {
                Entry::Subscription(entry) if is_first => {
                    self.import_subscription(&entry, imported);
                }
                Entry::Retained(store_id) if is_first => {
                    self.import_retained(store_id, plan, imported);
                }
                Entry::ClientMessage(entry) if was_sent(&entry) == is_first => {
                    let session = self.imported_session(entry.client_id);
                    let is_taken = session.is_some_and(|id| self.import_delivery(id, &entry, plan));
                    imported.deliveries += usize::from(is_taken);
                    imported.left_out += usize::from(!is_taken);
                }
                _ => {}
            })?;
        }
        Ok(())
    }

    fn import_client(&mut self, client: &db::Client<'_>) -> Option<SessionId> {
        let client_id = std::str::from_utf8(client.id).ok()?;
        let expiry_s = client.session_expiry_interval_s;
        if client_id.is_empty() || expiry_s == 0 || self.sessions.find(client_id).is_some() {
            return None;
        }
        let now_ms = self.now.mono_ms;
        let left_ms = now_ms.saturating_sub(self.age_ms(client));
        let id = self.create_session(client_id, 0);
        self.journal.next_key += 1;
        let key = self.journal.next_key;
        self.journal.sessions.insert(key, id);
        let session = self.sessions.get_mut(id);
        session.key = key;
        session.is_unowned = true;
        session.expiry_s = expiry_s;
        session.version = match expiry_s {
            EXPIRES_NEVER => Version::V311,
            _ => Version::V5,
        };
        session.left_ms = Some(left_ms).into();
        let end = self.session_end(id, left_ms);
        self.sessions.get_mut(id).expires_at = end.into();
        Some(id)
    }

    /// How long ago a client left, as far as the file and the calendar tell.
    fn age_ms(&self, client: &db::Client<'_>) -> u64 {
        let wall_ms = self.now.wall_ms;
        if wall_ms < SET_CLOCK_MS {
            return 0;
        }
        let interval_ms = u64::from(client.session_expiry_interval_s) * 1000;
        let left_ms = match (client.left_at_s, client.expires_at_s) {
            (Some(left_s), _) => left_s.saturating_mul(1000),
            (None, Some(end_s)) if client.session_expiry_interval_s != EXPIRES_NEVER => {
                (end_s.saturating_mul(1000)).saturating_sub(interval_ms)
            }
            _ => wall_ms,
        };
        wall_ms.saturating_sub(left_ms).min(interval_ms)
    }

    fn import_subscription(&mut self, entry: &db::Subscription<'_>, imported: &mut Imported) {
        let id = self.imported_session(entry.client_id);
        let text = std::str::from_utf8(entry.filter).ok();
        let (Some(id), Some(Ok(filter))) = (id, text.map(Filter::parse)) else {
            imported.left_out += 1;
            return;
        };
        let Filter { share, filter } = filter;
        if self.find_subscription(id, filter, share).is_some() {
            return;
        }
        let node = self.subscriptions.table.insert(filter.as_bytes());
        let group = share.map(|share| self.subscriptions.find_or_add_group(node, share));
        let identifier = entry.id.unwrap_or(0);
        let added = Subscriptions::unlinked(id, node, group, entry.options, identifier);
        let session = self.sessions.get_mut(id);
        session.subscription_count += super::subscribe::weight(filter, share);
        let added = self.subscriptions.insert(added, &mut session.subscriptions);
        self.record_subscription(id, added);
        imported.subscriptions += 1;
    }

    /// Takes over one message of one client; whether it could be.
    fn import_delivery(
        &mut self,
        id: SessionId,
        entry: &db::ClientMessage<'_>,
        plan: &mut Plan,
    ) -> bool {
        if entry.qos == QoS::AtMostOnce {
            return false;
        }
        if entry.direction == Direction::In {
            return self.import_held(id, entry, plan);
        }
        let is_released = matches!(entry.stage, db::Stage::SendPubRel | db::Stage::AwaitPubComp);
        let flow = &mut *self.sessions.get_mut(id).flow;
        let windowed = match was_sent(entry) && flow.queue.is_empty() {
            true => next_with_id(flow, entry.packet_id),
            false => None,
        };
        let is_windowed = windowed.is_some();
        let ordinal = windowed.unwrap_or(flow.next_ordinal);
        if is_released && is_windowed {
            flow.next_ordinal = ordinal + 1;
            let mut delivery = Delivery::new(MessageId::NOWHERE, QoS::ExactlyOnce, false, 0);
            delivery.stage = Stage::Released;
            self.import_windowed(id, ordinal, delivery);
            return true;
        }
        let Some((index, message)) = self.reserve(entry.store_id, plan) else {
            return false;
        };
        let session = self.sessions.get_mut(id);
        session.flow.next_ordinal = ordinal + 1;
        let subscription_id = entry.subscription_id.unwrap_or(0);
        let mut delivery = Delivery::new(message, entry.qos, entry.retain, subscription_id);
        let recipient = Recipient {
            key: session.key,
            ordinal,
            qos: entry.qos,
            retain: entry.retain,
            subscription_id,
        };
        plan.add_recipient(index, recipient);
        self.messages.retain(message);
        let len = super::route::queued_len(self.messages.len_of(message));
        if is_windowed {
            self.sessions.get_mut(id).flow.window_bytes += len as u64;
            self.import_windowed(id, ordinal, delivery);
            return true;
        }
        delivery.number = packet_id_of(ordinal);
        let flow = &mut *self.sessions.get_mut(id).flow;
        if flow.queue.is_empty() {
            flow.windowed = ordinal;
            if flow.window.in_flight() == 0 {
                flow.base = ordinal;
            }
        }
        flow.queued_count = flow.queued_count.wrapping_add(1);
        flow.queue.push(&mut self.deliveries, delivery, len);
        true
    }

    fn import_windowed(&mut self, id: SessionId, ordinal: u64, mut delivery: Delivery) {
        delivery.number = packet_id_of(ordinal);
        delivery.set_sent();
        let delivery = self.deliveries.insert(delivery);
        let flow = &mut *self.sessions.get_mut(id).flow;
        if flow.window.in_flight() == 0 {
            flow.base = ordinal;
        }
        flow.window.push(delivery);
        flow.windowed = ordinal + 1;
        flow.sent_before = ordinal + 1;
    }

    fn import_held(
        &mut self,
        id: SessionId,
        entry: &db::ClientMessage<'_>,
        plan: &mut Plan,
    ) -> bool {
        // What was passed on already, or never answered, needs nothing of us.
        let is_held = matches!(entry.stage, db::Stage::SendPubRec | db::Stage::AwaitPubRel);
        if !is_held || entry.packet_id == 0 {
            return false;
        }
        let Some((index, _)) = self.reserve(entry.store_id, plan) else {
            return false;
        };
        // One record has one client that holds it; a second one is a copy.
        let key = self.sessions.get(id).key;
        plan.hold(index, key, entry.packet_id);
        true
    }

    /// Notes that a message is in the file.
    fn know(&self, message: &db::Message<'_>, number: u32) -> Known {
        let topic = message.topic;
        let is_topic =
            !topic.is_empty() && u16::try_from(topic.len()).is_ok() && is_topic_name(topic);
        let properties_len = publication(message).forwarded_len();
        let len = topic.len() + properties_len + message.payload.len();
        Known {
            store_id: message.store_id,
            number,
            len: len as u32,
            qos: message.qos,
            retain: message.retain,
            has_payload: !message.payload.is_empty(),
            is_of_broker: topic.starts_with(b"$SYS"),
            is_useless: !is_topic || self.import_expiry(message.expires_at_s).is_none(),
            is_kept: false,
            id: None,
        }
    }

    /// The message as it is here, with its place in the plan; room is made for it now if it was not
    /// before.
    fn reserve(&mut self, store_id: u64, plan: &mut Plan) -> Option<(u32, MessageId)> {
        let index = plan.find(store_id)?;
        let known = &mut plan.messages[index];
        if known.is_useless {
            return None;
        }
        let messages = &mut self.messages;
        let id =
            *(known.id).get_or_insert_with(|| messages.reserve(known.len, known.qos, known.retain));
        Some((index as u32, id))
    }

    /// When a message expires here; `None` if it has already.
    fn import_expiry(&self, expires_at_s: Option<u64>) -> Option<u64> {
        let Some(at_s) = expires_at_s else {
            return Some(NEVER);
        };
        let wall_ms = self.now.wall_ms;
        if wall_ms < SET_CLOCK_MS {
            return Some(NEVER);
        }
        let left_ms = at_s.saturating_mul(1000).checked_sub(wall_ms)?;
        let expires_ms = self.now.mono_ms.saturating_add(left_ms);
        Some(if expires_ms > COUNT_MAX {
            NEVER
        } else {
            expires_ms
        })
    }

    fn import_retained(&mut self, store_id: u64, plan: &mut Plan, imported: &mut Imported) {
        let known = plan.find(store_id).map(|index| &mut plan.messages[index]);
        let Some(known) = known.filter(|known| known.has_payload && !known.is_of_broker) else {
            return;
        };
        known.is_kept |= !known.is_useless;
        imported.retained += usize::from(!known.is_useless);
        imported.left_out += usize::from(known.is_useless);
        self.reserve(store_id, plan);
    }

    /// The last time: brings the bodies and records the messages, each with all who wait for it.
    fn import_bodies<E: Entries>(
        &mut self,
        db: &E,
        plan: &mut Plan,
        write: &mut dyn FnMut(&mut Broker),
    ) -> Result<(), E::Error> {
        plan.sort_waiting();
        let (mut number, mut unwritten) = (0, 0);
        db.each(&mut |entry| {
            let Entry::Message(message) = entry else {
                return;
            };
            let index = plan.find(message.store_id);
            let index = index.filter(|&index| plan.messages[index].number == number);
            number += 1;
            let Some(index) = index else { return };
            if let Some(id) = plan.messages[index].id.take() {
                self.import_body(id, &message, plan, index);
                unwritten += OVERHEAD + plan.messages[index].len as usize;
            }
            if unwritten >= SLICE {
                write(self);
                unwritten = 0;
            }
        })
    }

    fn import_body(&mut self, id: MessageId, message: &db::Message<'_>, plan: &Plan, index: usize) {
        let expires_ms = self.import_expiry(message.expires_at_s);
        self.messages.fill(
            id,
            Body {
                topic_prefix: b"",
                publish: &publication(message),
                expires_ms: expires_ms.unwrap_or(self.now.mono_ms),
            },
        );
        if plan.messages[index].is_kept {
            let text = |bytes| std::str::from_utf8(bytes).ok();
            let client_id = text(message.source_id).unwrap_or_default();
            let username = message.source_username.and_then(text);
            self.keep_told(id, (client_id, username), message.source_port);
        }
        let index = index as u32;
        self.begin_message();
        for recipient in plan.recipients_of(index) {
            recipient.put(&mut self.journal.recipients);
        }
        let kept = self.kept_node_of(id, message.topic);
        if kept.is_some() || !self.journal.recipients.is_empty() {
            self.describe_message(id, kept, None);
        }
        if let Some(node) = kept {
            self.note_kept_place(node);
        }
        for (key, packet_id) in plan.held_of(index) {
            let Some(&session) = self.journal.sessions.get(&key) else {
                continue;
            };
            let copy = self.messages.copy(id);
            self.begin_message();
            self.describe_message(copy, None, Some((key, packet_id)));
            self.sessions.get_mut(session).flow.hold(Held {
                packet_id,
                message: copy,
            });
        }
        self.messages.release(id);
    }

    /// Records which deliveries wait for PUBCOMP.
    fn record_released(&mut self, id: SessionId) {
        let session = self.sessions.get(id);
        let key = session.key;
        let released: Vec<u64> = (session.flow.window.iter())
            .map(|delivery| self.deliveries.get(delivery))
            .filter(|delivery| delivery.stage == Stage::Released)
            .map(|delivery| session.flow.ordinal_of(delivery.number))
            .collect();
        for ordinal in released {
            self.journal.append(&Record::Received { key, ordinal });
        }
    }
}

fn publication<'a>(message: &db::Message<'a>) -> Publish<'a> {
    Publish {
        qos: message.qos,
        retain: message.retain,
        topic: message.topic,
        properties: message.properties,
        payload: message.payload,
        ..Publish::default()
    }
}

/// Whether the client may have a message already, under this packet identifier.
fn was_sent(entry: &db::ClientMessage<'_>) -> bool {
    // What is to be sent again has DUP: its client came back, and was gone before it got it.
    let is_under_way = entry.stage != db::Stage::Queued && entry.packet_id != 0;
    is_under_way && (entry.stage != db::Stage::SendPublish || entry.dup)
}

/// The next ordinal whose packet identifier is `packet_id`, however many were done meanwhile: one
/// delivery may have waited for its client while thousands went by. None where the file has the
/// identifier twice.
fn next_with_id(flow: &Flow, packet_id: u16) -> Option<u64> {
    let next = flow.next_ordinal;
    if next == 1 {
        return Some(packet_id.into());
    }
    let ordinal = next + u64::from(distance(packet_id_of(next), packet_id));
    (ordinal - flow.base < SPAN_MAX).then_some(ordinal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Settings;
    use crate::store::journal::Opened;
    use crate::wire::Properties;

    /// The 64 bits of a file may say any second, but not all of them have milliseconds.
    #[test]
    fn moments_that_no_clock_shows_are_taken_for_the_last_one() {
        let client = db::Client {
            id: b"id",
            username: None,
            listener_port: None,
            session_expiry_interval_s: 60,
            expires_at_s: Some(u64::MAX),
            left_at_s: None,
            last_packet_id: 0,
        };
        let other = db::Client {
            id: b"other",
            left_at_s: Some(u64::MAX / 1000 + 1),
            ..client
        };
        let db = Database {
            clients: vec![client, other],
            ..Database::default()
        };
        let now = Now {
            mono_ms: 1000,
            wall_ms: 1_700_000_000_000,
        };
        let mut broker = Broker::new(Settings::default(), 1, now);
        broker.start_journal(Opened::default(), now);
        let Ok(imported) = broker.import(&db, now, &mut |_| ());
        assert_eq!((imported.sessions, imported.left_out), (2, 0));
        for id in ["id", "other"] {
            let id = broker.sessions.find(id).expect("it was taken over");
            assert_eq!(
                broker.sessions.get(id).left_ms.get(),
                Some(1000),
                "just now"
            );
        }
    }

    /// No client could have published to it, so none is to get it: it would have to close.
    #[test]
    fn a_topic_that_nobody_can_publish_to_is_left_out() {
        let topics: [&[u8]; 7] = [
            b"good",
            b"",
            b"a+",
            b"a\nb",
            b"\xff",
            b"a\0",
            b"\xef\xbf\xbf",
        ];
        let message = |(store_id, topic)| db::Message {
            store_id,
            topic,
            payload: b"x",
            qos: QoS::AtLeastOnce,
            retain: true,
            expires_at_s: None,
            source_id: b"",
            source_username: None,
            source_port: None,
            source_packet_id: 0,
            properties: Properties::default(),
        };
        let db = Database {
            messages: (1..).zip(topics).map(message).collect(),
            retained: (1..=7).collect(),
            ..Database::default()
        };
        let now = Now::default();
        let mut broker = Broker::new(Settings::default(), 1, now);
        broker.start_journal(Opened::default(), now);
        let Ok(imported) = broker.import(&db, now, &mut |_| ());
        assert_eq!((imported.retained, imported.left_out), (1, 6));
    }
}
