//! What is recorded of each change. The meaning of the records is told in
//! [`store::journal`](crate::store::journal).

use super::Broker;
use super::publish::Publisher;
use super::session::{Session, SessionId};
use super::subscriptions::{OWED, SubscriptionId};
use super::timer::At;
use crate::store::journal::record::{self, Recipient, Recipients};
use crate::store::journal::{Placed, Record};
use crate::store::message::NEVER;
use crate::store::{Delivery, MessageId};
use crate::topic::NodeId;
use crate::wire::{PacketType, QoS};

impl Session {
    /// Whether it outlives its connection, and the journal knows it.
    #[inline]
    pub(super) fn is_recorded(&self) -> bool {
        self.key != 0 && self.expiry_s != 0
    }

    fn describe<'a>(&'a self, listener: &'a super::ListenerSettings) -> record::Session<'a> {
        record::Session {
            key: self.key,
            client_id: &self.client_id,
            username: self.username.as_deref(),
            listener: &listener.name,
            mount_point: &listener.mount_point,
            version: self.version,
            is_bridge: self.is_bridge,
            is_unowned: self.is_unowned,
            expiry_s: self.expiry_s,
            silence_ms: u64::from(self.silence_ms),
            left_ms: self.left_ms.get(),
            next_ordinal: self.flow.next_ordinal,
            sent_before: self.flow.sent_before,
            will: self.will.as_deref().map(super::will::StoredWill::describe),
        }
    }
}

impl Broker {
    /// Records a session whose client has just come, if there is something to keep: all of it, or
    /// that it is back if that is all that changed.
    pub(super) fn record_arrival(&mut self, id: SessionId, is_changed: bool) {
        if !self.journal.is_on() {
            return;
        }
        let session = self.sessions.get_mut(id);
        session.left_ms = At::NEVER;
        let is_worth = session.expiry_s != 0 || session.will.is_some();
        if session.key == 0 && !is_worth {
            return;
        }
        let key = session.key;
        if key != 0 && !is_changed {
            self.journal.append(&Record::Back { key });
            return;
        }
        if key == 0 {
            self.journal.next_key += 1;
            session.key = self.journal.next_key;
            self.journal.sessions.insert(session.key, id);
        }
        self.describe_session(id);
    }

    /// Records all of a session.
    pub(super) fn describe_session(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        let listener = &self.settings.listeners[usize::from(session.listener)];
        let record = Record::Session(session.describe(listener));
        let placed = self.journal.describe(session.placed, &record);
        session.placed = placed;
    }

    /// Records that a session has no connection any more, or that its will was published since.
    pub(super) fn record_leaving(&mut self, id: SessionId) {
        let Some(session) = self.sessions.slab.get_mut(id.0 as usize) else {
            return;
        };
        if session.key == 0 || session.connection.is_some() {
            return;
        }
        let at_ms = session.left_ms.get().unwrap_or(self.now.mono_ms);
        session.left_ms = Some(at_ms).into();
        let record = Record::Left {
            key: session.key,
            expiry_s: session.expiry_s,
            at_ms,
            has_will: session.will.is_some(),
        };
        self.journal.append(&record);
    }

    /// Records that a session is no more.
    pub(super) fn record_end(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        let key = std::mem::take(&mut session.key);
        if key == 0 {
            return;
        }
        self.journal.sessions.remove(&key);
        self.journal.bury(std::mem::take(&mut session.placed));
        if let Some(end) = self.journal.append(&Record::SessionEnd { key }) {
            let client_id = session.client_id.clone();
            self.journal.ended.insert(client_id, end.end());
        }
    }

    /// Records a subscription as it is now.
    pub(super) fn record_subscription(&mut self, session: SessionId, id: SubscriptionId) {
        let key = self.sessions.get(session).key;
        if !self.journal.is_on() || !self.sessions.get(session).is_recorded() {
            return;
        }
        let subscription = self.subscriptions.get(id);
        let filter = self.subscriptions.table.text(subscription.node);
        let group = subscription.group.get().map(|group| group as usize);
        let record = Record::Subscribe(record::Subscription {
            key,
            filter: std::str::from_utf8(&filter).unwrap_or_default(),
            share: group.map(|group| self.subscriptions.groups[group].name()),
            options: subscription.options,
            identifier: subscription.identifier,
            is_owed: subscription.replay & OWED != 0,
        });
        let placed = self
            .journal
            .describe(self.subscriptions.placed(id), &record);
        self.subscriptions.set_placed(id, placed);
    }

    /// Records the end of a subscription; `filter` is behind the mount point.
    pub(super) fn record_unsubscribe(
        &mut self,
        session: SessionId,
        placed: Placed,
        filter: &str,
        share: Option<&str>,
    ) {
        if placed.is_none() {
            return;
        }
        let key = self.sessions.get(session).key;
        self.journal.bury(placed);
        let record = Record::Unsubscribe { key, filter, share };
        self.journal.append(&record);
    }

    /// Notes one who is to get the message at hand, and whether he needs it soon.
    #[inline]
    pub(super) fn note_recipient(&mut self, id: SessionId, delivery: &Delivery, ordinal: u64) {
        let session = self.sessions.get(id);
        let is_here = session.connection.is_some() && session.flow.queue.len() < NEAR;
        self.journal.is_wanted |= is_here;
        if delivery.qos() == QoS::AtMostOnce || !session.is_recorded() {
            return;
        }
        let recipient = Recipient {
            key: session.key,
            ordinal,
            qos: delivery.qos(),
            retain: delivery.retain(),
            subscription_id: delivery.subscription_id().unwrap_or(0),
        };
        recipient.put(&mut self.journal.recipients);
    }

    /// Records the message at hand, after it went to all who get it; nothing if nobody would miss
    /// it after a crash. `held` is what it was held for until now.
    pub(super) fn record_message(
        &mut self,
        publisher: Publisher,
        id: MessageId,
        held: Option<(u64, u16)>,
    ) {
        if !self.journal.is_on() {
            return;
        }
        let kept = match publisher {
            Publisher::Broker => None,
            Publisher::Session(_) => self.kept_node(id),
        };
        let is_needed = !self.journal.recipients.is_empty() || kept.is_some();
        let held = held.filter(|_| self.messages.place_of(id).is_some());
        match (held, is_needed) {
            (None, false) => {}
            (None, true) => {
                let len = self.messages.len_of(id) + self.journal.recipients.len() + 64;
                let is_qos0 = self.messages.qos_of(id) == QoS::AtMostOnce;
                if is_qos0
                    && !self
                        .journal
                        .has_room(len, self.settings.persistence_max_bytes)
                {
                    // Retained, and lost if the power goes before there is room again.
                    self.journal.owes_retained |= kept.is_some();
                    return;
                }
                self.describe_message(id, kept, None);
            }
            (Some((key, packet_id)), false) => {
                self.journal.append(&Record::Forget { key, packet_id });
            }
            (Some((key, packet_id)), true) => self.record_release(id, kept, key, packet_id),
        }
        if let Some(node) = kept {
            self.note_kept_place(node);
        }
    }

    /// Records a message whole. `held` is what it is held for.
    pub(super) fn describe_message(
        &mut self,
        id: MessageId,
        kept: Option<NodeId>,
        held: Option<(u64, u16)>,
    ) {
        let message = self.messages.get(id);
        let record = Record::Message(record::Message {
            slot: id.slot(),
            qos: message.qos(),
            retain: message.retain(),
            expires_ms: Some(message.expires_ms()).filter(|&ms| ms != NEVER),
            keeps: kept.map(|node| self.retained.source(node, &self.settings)),
            held,
            is_body: false,
            recipients: Recipients::new(&self.journal.recipients),
            topic: message.topic(),
            properties: message.properties().raw(),
            payload: message.payload(),
        });
        let Some(writer) = &mut self.journal.writer else {
            return;
        };
        let placed = writer.append(&record);
        self.journal.promise = placed.end();
        let is_leaving = !self.journal.is_wanted && kept.is_none() && held.is_none();
        self.messages.set_record(id, placed, None, is_leaving);
    }

    /// Records what becomes of a message that was held: its body is in the log already.
    fn record_release(&mut self, id: MessageId, kept: Option<NodeId>, key: u64, packet_id: u16) {
        let Some((body, len)) = self.messages.body_place(id) else {
            return;
        };
        let record = Record::Release(record::Release {
            key,
            packet_id,
            body,
            slot: id.slot(),
            keeps: kept.map(|node| self.retained.source(node, &self.settings)),
            topic: kept.map_or(b"", |_| self.messages.get(id).topic()),
            recipients: Recipients::new(&self.journal.recipients),
        });
        let Some(writer) = &mut self.journal.writer else {
            return;
        };
        let placed = writer.append(&record);
        self.journal.promise = placed.end();
        let is_leaving = !self.journal.is_wanted && kept.is_none();
        let body = Placed { place: body, len };
        self.messages.set_record(id, placed, Some(body), is_leaving);
    }

    /// Records that PUBREC came for a delivery.
    pub(super) fn record_received(&mut self, id: SessionId, packet_id: u16) {
        let session = self.sessions.get(id);
        if session.is_recorded() {
            let (key, ordinal) = (session.key, session.flow.ordinal_of(packet_id));
            self.journal.append(&Record::Received { key, ordinal });
        }
    }

    /// Records that all deliveries in the window are sent now, and lets QoS 2 wait for that.
    pub(super) fn record_sending(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        let is_news = session.flow.windowed > session.flow.sent_before;
        if !session.is_recorded() || !is_news {
            return;
        }
        let flow = &mut *session.flow;
        flow.sent_before = flow.windowed;
        let (key, through) = (session.key, flow.windowed - 1);
        if let Some(placed) = self.journal.append(&Record::Sent { key, through }) {
            if self.settings.ungated != Some(PacketType::Publish) {
                flow.send_gate = placed.end();
            }
        }
    }

    /// Records that a delivery is done; everything before `first` is, too.
    pub(super) fn record_done(&mut self, id: SessionId, ordinal: u64) {
        let session = self.sessions.get(id);
        if !session.is_recorded() {
            return;
        }
        let (key, first) = (session.key, session.flow.base);
        let record = Record::Done {
            key,
            ordinal,
            first,
        };
        self.journal.append(&record);
    }

    /// Records that a topic has no retained message any more.
    pub(super) fn record_cleared(&mut self, topic: &[u8]) {
        self.journal.append(&Record::Cleared { topic });
    }

    /// Records that a message was held until PUBREL and is no more.
    pub(super) fn record_forgotten(&mut self, id: SessionId, packet_id: u16) {
        let key = self.sessions.get(id).key;
        if key != 0 {
            self.journal.append(&Record::Forget { key, packet_id });
        }
    }

    /// Makes a fresh list of recipients for a message.
    pub(super) fn begin_message(&mut self) {
        self.journal.recipients.clear();
        self.journal.is_wanted = false;
    }
}

/// With a longer queue than this, a session will need a new message only later.
const NEAR: usize = 256;
