//! Taking over what Mosquitto stored: its sessions, subscriptions, queues and retained messages.
//!
//! Every message becomes one message here with all who wait for it, in the order of their queues;
//! what was under way keeps its packet identifier. What cannot be (an empty client id, a topic with
//! a wildcard) is left out and counted. Who a session belongs to is not told reliably by the file:
//! the first client that connects with its Client Identifier takes it.

use super::flow::Flow;
use super::publish::{Held, Publisher};
use super::session::{EXPIRES_NEVER, SessionId};
use super::subscriptions::Subscriptions;
use super::{Broker, Now};
use crate::store::journal::fields::COUNT_MAX;
use crate::store::journal::record::Recipient;
use crate::store::journal::{Record, packet_id_of};
use crate::store::message::NEVER;
use crate::store::mosquitto_db::{self as db, Database, Direction};
use crate::store::window::distance;
use crate::store::{Body, Delivery, MessageId, Stage};
use crate::topic::Filter;
use crate::wire::{Publish, QoS, Version, is_topic_name};
use std::collections::HashMap;

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

/// A message that was taken over, with those who wait for it.
struct Taken {
    id: MessageId,
    recipients: Vec<u8>,
    held: Vec<(u64, u16)>,
}

/// Messages after which what was recorded is written.
const SLICE: usize = 256;

/// So far may the deliveries under way to one client lie apart, that each packet identifier is that
/// of one of them only.
const SPAN_MAX: u64 = u16::MAX as u64 - 1;

/// Before 2020 a clock has not been set yet.
const SET_CLOCK_MS: u64 = 1_577_836_800_000;

impl Broker {
    /// Takes over what a file of Mosquitto's holds, into a broker that has just begun to record;
    /// `write` is called now and then to write the records.
    pub fn import(
        &mut self,
        db: &Database<'_>,
        now: Now,
        write: &mut dyn FnMut(&mut Broker),
    ) -> Imported {
        self.now = now;
        let mut imported = Imported::default();
        let mut sessions = HashMap::new();
        for client in &db.clients {
            match self.import_client(client) {
                Some(id) => {
                    sessions.insert(client.id, id);
                    imported.sessions += 1;
                }
                None => imported.left_out += 1,
            }
        }
        self.import_subscriptions(db, &sessions, &mut imported);
        let stored: HashMap<u64, &db::Message<'_>> =
            db.messages.iter().map(|m| (m.store_id, m)).collect();
        let mut taken = HashMap::new();
        for entry in &db.client_messages {
            let session = sessions.get(entry.client_id).copied();
            let message = stored.get(&entry.store_id).copied();
            let is_taken =
                session.is_some_and(|id| self.import_delivery(id, entry, message, &mut taken));
            imported.deliveries += usize::from(is_taken);
            imported.left_out += usize::from(!is_taken);
        }
        for &id in sessions.values() {
            self.describe_session(id);
            self.record_leaving(id);
        }
        self.import_retained(db, &stored, &mut taken, &mut imported);
        self.record_taken(taken, write);
        for &id in sessions.values() {
            self.record_released(id);
            self.session_timeout(id);
        }
        write(self);
        self.journal.promise = crate::store::journal::Place::START;
        imported
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

    fn import_subscriptions(
        &mut self,
        db: &Database<'_>,
        sessions: &HashMap<&[u8], SessionId>,
        imported: &mut Imported,
    ) {
        for subscription in &db.subscriptions {
            let id = sessions.get(subscription.client_id).copied();
            let text = std::str::from_utf8(subscription.filter).ok();
            let (Some(id), Some(Ok(filter))) = (id, text.map(Filter::parse)) else {
                imported.left_out += 1;
                continue;
            };
            let Filter { share, filter } = filter;
            if self.find_subscription(id, filter, share).is_some() {
                continue;
            }
            let node = self.subscriptions.table.insert(filter.as_bytes());
            let group = share.map(|share| self.subscriptions.find_or_add_group(node, share));
            let identifier = subscription.id.unwrap_or(0);
            let entry = Subscriptions::unlinked(id, node, group, subscription.options, identifier);
            let session = self.sessions.get_mut(id);
            session.subscription_count += super::subscribe::weight(filter, share);
            let added = self.subscriptions.insert(entry, &mut session.subscriptions);
            self.record_subscription(id, added);
            imported.subscriptions += 1;
        }
    }

    /// Takes over one message of one client; whether it could be.
    fn import_delivery(
        &mut self,
        id: SessionId,
        entry: &db::ClientMessage<'_>,
        message: Option<&db::Message<'_>>,
        taken: &mut HashMap<u64, Taken>,
    ) -> bool {
        if entry.qos == QoS::AtMostOnce {
            return false;
        }
        if entry.direction == Direction::In {
            return message.is_some_and(|message| self.import_held(id, entry, message, taken));
        }
        let is_under_way = entry.stage != db::Stage::Queued && entry.packet_id != 0;
        let is_released = matches!(entry.stage, db::Stage::SendPubRel | db::Stage::AwaitPubComp);
        let was_sent = is_under_way && entry.stage != db::Stage::SendPublish;
        let flow = &mut *self.sessions.get_mut(id).flow;
        let windowed = match was_sent && flow.queue.is_empty() {
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
        let Some(message) = message.and_then(|message| self.take_message(message, taken)) else {
            return false;
        };
        let session = self.sessions.get_mut(id);
        session.flow.next_ordinal = ordinal + 1;
        let subscription_id = entry.subscription_id.unwrap_or(0);
        let mut delivery = Delivery::new(message.id, entry.qos, entry.retain, subscription_id);
        let recipient = Recipient {
            key: session.key,
            ordinal,
            qos: entry.qos,
            retain: entry.retain,
            subscription_id,
        };
        recipient.put(&mut message.recipients);
        self.messages.retain(message.id);
        let len = super::route::queued_len(self.messages.len_of(message.id));
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
        message: &db::Message<'_>,
        taken: &mut HashMap<u64, Taken>,
    ) -> bool {
        // What was passed on already, or never answered, needs nothing of us.
        let is_held = matches!(entry.stage, db::Stage::SendPubRec | db::Stage::AwaitPubRel);
        if !is_held || entry.packet_id == 0 {
            return false;
        }
        let Some(message) = self.take_message(message, taken) else {
            return false;
        };
        let session = self.sessions.get_mut(id);
        // One record has one client that holds it; a second one is a copy.
        message.held.push((session.key, entry.packet_id));
        true
    }

    /// The message as it is here, taken over now if it was not before.
    fn take_message<'t>(
        &mut self,
        message: &db::Message<'_>,
        taken: &'t mut HashMap<u64, Taken>,
    ) -> Option<&'t mut Taken> {
        let topic = message.topic;
        if topic.is_empty() || topic.len() > usize::from(u16::MAX) || !is_topic_name(topic) {
            return None;
        }
        let expires_ms = self.import_expiry(message.expires_at_s)?;
        let publish = Publish {
            qos: message.qos,
            retain: message.retain,
            topic: message.topic,
            properties: message.properties,
            payload: message.payload,
            ..Publish::default()
        };
        let taken = taken.entry(message.store_id).or_insert_with(|| Taken {
            id: self.messages.insert(Body {
                topic_prefix: b"",
                publish: &publish,
                expires_ms,
            }),
            recipients: Vec::new(),
            held: Vec::new(),
        });
        Some(taken)
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

    fn import_retained(
        &mut self,
        db: &Database<'_>,
        stored: &HashMap<u64, &db::Message<'_>>,
        taken: &mut HashMap<u64, Taken>,
        imported: &mut Imported,
    ) {
        for store_id in &db.retained {
            let message = stored.get(store_id).copied();
            let is_data =
                |m: &&db::Message<'_>| !m.topic.starts_with(b"$SYS") && !m.payload.is_empty();
            let Some(message) = message.filter(is_data) else {
                continue;
            };
            match self.take_message(message, taken) {
                Some(taken) => {
                    let id = taken.id;
                    self.keep_retained(Publisher::Broker, id);
                    imported.retained += 1;
                }
                None => imported.left_out += 1,
            }
        }
    }

    /// Records the messages, each with all who wait for it.
    fn record_taken(&mut self, taken: HashMap<u64, Taken>, write: &mut dyn FnMut(&mut Broker)) {
        for (count, message) in taken.into_values().enumerate() {
            let Taken {
                id,
                recipients,
                held,
            } = message;
            self.begin_message();
            self.journal.recipients = recipients;
            let topic = self.messages.get(id).topic().to_vec();
            let kept = self.kept_node_of(id, &topic);
            if kept.is_some() || !self.journal.recipients.is_empty() {
                self.describe_message(id, kept, None);
            }
            if let Some(node) = kept {
                self.note_kept_place(node);
            }
            for (key, packet_id) in held {
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
            if count % SLICE == SLICE - 1 {
                write(self);
            }
        }
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
        let imported = broker.import(&db, now, &mut |_| ());
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
        let imported = broker.import(&db, now, &mut |_| ());
        assert_eq!((imported.retained, imported.left_out), (1, 6));
    }
}
