//! QoS 2, the client sends: its message is held from PUBLISH to PUBREL, and routed then.
//!
//! So it is passed on exactly once, whatever happens to the connection or to us in between. A
//! client that lost its own state begins to count packet identifiers anew, and may come upon one
//! that we still hold a message for. What stands in the packet tells then: with another topic or
//! payload it is a new message, and the one of before is passed on, which we answered for. To take
//! it for a repetition would lose the new one with PUBREC and PUBCOMP. DUP tells nothing: the new
//! one has it, too, if it is sent again because it did not reach us at first.

use super::connection::PutOff;
use super::publish::Publisher;
use super::session::SessionId;
use super::{Broker, ConnId};
use crate::store::{Body, MessageId};
use crate::wire::{PacketType, Publish, ReasonCode, Version};

/// How long a client of 3.x that passes `max_inbound_qos2` may go on taking answers.
const LAST_ANSWERS_MS: u64 = 2000;

/// A QoS 2 message between PUBLISH and PUBREL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) packet_id: u16,
    pub(super) message: MessageId,
}

/// What is held under the packet identifier of a message that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Already {
    /// Nothing.
    Not,
    /// The same message.
    Same,
    /// Another message.
    Other(MessageId),
    /// One that has to come from the disk before it can be compared.
    Unread(MessageId),
}

impl Broker {
    /// Keeps a QoS 2 message until PUBREL, unless it is held already [MQTT-4.3.3-10].
    pub(super) fn hold(&mut self, id: ConnId, session_id: SessionId, publish: &Publish<'_>) {
        let packet_id = publish.packet_id;
        match self.compare_held(session_id, publish) {
            Already::Not => {}
            Already::Same => {
                return self.acknowledge(id, PacketType::PubRec, packet_id, ReasonCode::SUCCESS);
            }
            Already::Other(message) => {
                self.take_held(session_id, packet_id);
                self.pass_on_held(session_id, message, packet_id);
            }
            Already::Unread(message) => return self.put_off(id, message, publish),
        }
        if !self.may_hold(id, session_id, packet_id) {
            return;
        }
        let listener = usize::from(self.sessions.get(session_id).listener);
        let message = self.messages.insert(Body {
            topic_prefix: self.settings.listeners[listener].mount_point.as_bytes(),
            publish,
            expires_ms: self.expires_ms(publish),
        });
        self.hold_message(id, session_id, packet_id, message);
    }

    /// What is held under the packet identifier of a QoS 2 message.
    pub(super) fn compare_held(&self, session: SessionId, publish: &Publish<'_>) -> Already {
        let session = self.sessions.get(session);
        let Some(message) = session.flow.held_as(publish.packet_id) else {
            return Already::Not;
        };
        if !self.messages.is_hot(message) {
            return Already::Unread(message);
        }
        let listener = &self.settings.listeners[usize::from(session.listener)];
        let body = self.messages.get(message);
        let topic = body.topic().strip_prefix(listener.mount_point.as_bytes());
        match topic == Some(publish.topic) && body.payload() == publish.payload {
            true => Already::Same,
            false => Already::Other(message),
        }
    }

    /// Has a PUBLISH presented again when the message that is held under its packet identifier has
    /// come from the disk, and can be compared with it; it is counted then.
    fn put_off(&mut self, id: ConnId, message: MessageId, publish: &Publish<'_>) {
        self.stats.messages_received -= 1;
        self.stats.publish_received -= 1;
        self.stats.publish_bytes_received -= publish.payload.len() as u64;
        self.wait_for_body(id, message, PutOff::Publish);
    }

    /// Whether one more QoS 2 message may be held; else it has been answered.
    #[inline]
    pub(super) fn may_hold(&mut self, id: ConnId, session_id: SessionId, packet_id: u16) -> bool {
        let held = self.sessions.get(session_id).flow.held.len();
        let receive_maximum = usize::from(self.settings.max_inflight_messages);
        if receive_maximum != 0 && held >= receive_maximum {
            self.warn_receive_maximum(id);
        }
        if held >= self.settings.max_inbound_qos2 {
            self.refuse_hold(id, packet_id);
            return false;
        }
        true
    }

    /// Holds a message that is in the store, and answers.
    ///
    /// Whether anybody subscribed to it is not told: that is looked for at PUBREL, and may be
    /// otherwise then.
    #[inline]
    pub(super) fn hold_message(
        &mut self,
        id: ConnId,
        session_id: SessionId,
        packet_id: u16,
        message: MessageId,
    ) {
        let session = self.sessions.get_mut(session_id);
        session.flow.hold(Held { packet_id, message });
        if self.journal.is_on() && session.is_recorded() {
            let held = (session.key, packet_id);
            self.begin_message();
            self.describe_message(message, None, Some(held));
        }
        self.acknowledge(id, PacketType::PubRec, packet_id, ReasonCode::SUCCESS);
    }

    /// Takes the message out that is held under a packet identifier.
    pub(super) fn take_held(&mut self, session: SessionId, packet_id: u16) -> Option<MessageId> {
        let flow = self.sessions.get_mut(session).flow.existing()?;
        let at = (flow.held.iter()).position(|held| held.packet_id == packet_id)?;
        flow.held.remove(at).map(|held| held.message)
    }

    /// Passes on a message that was held until now, unless rights have changed since PUBLISH, or it
    /// cannot be read.
    pub(super) fn pass_on_held(
        &mut self,
        session_id: SessionId,
        message: MessageId,
        packet_id: u16,
    ) {
        let body = self.messages.get(message);
        if !body.is_empty() && self.may_write(session_id, body.topic()) {
            self.end_burst(session_id);
            let key = self.sessions.get(session_id).key;
            self.take_on(
                Publisher::Session(session_id),
                message,
                Some((key, packet_id)),
            );
        } else {
            self.record_forgotten(session_id, packet_id);
        }
        self.messages.release(message);
    }

    /// A refusal makes the identifier free for another message [MQTT-4.3.3-9], also where it is
    /// given at the second sending of one that was taken at first: rights may have changed.
    pub(super) fn forget_refused(&mut self, id: ConnId, publish: &Publish<'_>) {
        let Some(session) = self.conn(id).and_then(|conn| conn.session()) else {
            return;
        };
        let already = self.compare_held(session, publish);
        // It is not worth a read, for nothing of it is passed on.
        if already == Already::Same || publish.dup && matches!(already, Already::Unread(_)) {
            if let Some(message) = self.take_held(session, publish.packet_id) {
                self.messages.release(message);
            }
            self.record_forgotten(session, publish.packet_id);
        }
    }

    /// More QoS 2 messages are under way than one client may have.
    fn refuse_hold(&mut self, id: ConnId, packet_id: u16) {
        let reason = ReasonCode::QUOTA_EXCEEDED;
        self.tell_limit(id, "max_inbound_qos2");
        if self
            .conn(id)
            .is_some_and(|conn| conn.version == Version::V5)
        {
            let limit = "max_inbound_qos2";
            self.acknowledge_limit(id, PacketType::PubRec, packet_id, reason, limit);
        } else if let Some(conn) = self.conn(id) {
            // It cannot be told. The answers to the messages that were taken go out first: without
            // one of them it would be no further when it comes back.
            (conn.is_paused, conn.is_ending) = (true, true);
            self.set_connection_timer(id, Some(self.now.mono_ms + LAST_ANSWERS_MS));
        }
    }

    fn warn_receive_maximum(&mut self, id: ConnId) {
        if self.is_news(id, "max_inflight_messages") {
            let name = self.describe(id);
            log::warn!(
                "Client {name} has more than max_inflight_messages QoS 2 messages under way."
            );
        }
    }
}
