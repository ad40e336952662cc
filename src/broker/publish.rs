//! PUBLISH from a client: is it allowed, what is it answered, and where does it go.
//!
//! QoS 2 messages are held until PUBREL and routed then, so that a message is passed on exactly
//! once whatever happens to the connection or to us in between.

use super::session::SessionId;
use super::{Broker, ConnId};
use crate::auth::Access;
use crate::store::{Body, MessageId, message::NEVER};
use crate::wire::{Malformed, PacketType, Publish, QoS, ReasonCode, Version};

/// Who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publisher {
    /// A client.
    Session(SessionId),
    /// The broker itself: `$SYS`.
    Broker,
}

/// A QoS 2 message between PUBLISH and PUBREL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) packet_id: u16,
    pub(super) message: MessageId,
}

impl Broker {
    pub(super) fn publish(
        &mut self,
        id: ConnId,
        session: SessionId,
        version: Version,
        mut publish: Publish<'_>,
    ) {
        self.stats.publish_received += 1;
        self.stats.publish_bytes_received += publish.payload.len() as u64;
        if publish.topic_alias.is_some() {
            self.publish_aliased(id, session, version, &mut publish);
        } else {
            self.publish_named(id, session, version, &publish);
        }
    }

    /// Puts the topic that an alias stands for in place, or remembers it.
    fn publish_aliased(
        &mut self,
        id: ConnId,
        session: SessionId,
        version: Version,
        publish: &mut Publish<'_>,
    ) {
        let Some(alias) = publish.topic_alias else {
            return;
        };
        let slot = match self.inbound_alias(id, alias) {
            Ok(slot) => slot,
            Err(malformed) => return self.refuse_packet(id, malformed),
        };
        if !publish.topic.is_empty() {
            *slot = Some(publish.topic.into());
            return self.publish_named(id, session, version, publish);
        }
        // The topic moves out for the time of this call: the packet borrows it.
        let Some(topic) = slot.take() else {
            let malformed = Malformed::protocol("a topic alias that was never given");
            return self.refuse_packet(id, malformed);
        };
        let named = Publish {
            topic: &topic,
            ..*publish
        };
        self.publish_named(id, session, version, &named);
        if let Ok(slot) = self.inbound_alias(id, alias) {
            *slot = Some(topic);
        }
    }

    fn publish_named(
        &mut self,
        id: ConnId,
        session_id: SessionId,
        version: Version,
        publish: &Publish<'_>,
    ) {
        if log::log_enabled!(log::Level::Debug) {
            self.log_publish(session_id, publish);
        }
        match self.judge_publish(id, session_id, publish) {
            Ok(ReasonCode::SUCCESS) => {}
            // 3.x has no way to say no: it is acknowledged like any other [MQTT-3.3.5-2].
            Ok(refused) => {
                let reason = if version == Version::V5 {
                    refused
                } else {
                    ReasonCode::SUCCESS
                };
                return self.answer_refused(id, session_id, publish, reason);
            }
            Err(malformed) => return self.refuse_packet(id, malformed),
        }
        match publish.qos {
            QoS::AtMostOnce => {
                self.publish_mounted(session_id, publish);
            }
            QoS::AtLeastOnce => {
                let found = self.publish_mounted(session_id, publish);
                self.acknowledge(
                    id,
                    PacketType::PubAck,
                    publish.packet_id,
                    subscribers(found),
                );
            }
            QoS::ExactlyOnce => self.hold(id, session_id, publish),
        }
    }

    /// Success, a reason to refuse just this message, or what makes the packet unacceptable.
    fn judge_publish(
        &mut self,
        id: ConnId,
        session_id: SessionId,
        publish: &Publish<'_>,
    ) -> Result<ReasonCode, Malformed> {
        let session = self.sessions.get(session_id);
        let listener = &self.settings.listeners[usize::from(session.listener)];
        if publish.qos > listener.max_qos {
            let reason = ReasonCode::QOS_NOT_SUPPORTED;
            return Err(Malformed {
                reason,
                what: "a QoS above max_qos",
            });
        }
        if publish.retain && !self.settings.retain_available {
            let reason = ReasonCode::RETAIN_NOT_SUPPORTED;
            return Err(Malformed {
                reason,
                what: "RETAIN although retain_available is false",
            });
        }
        if publish.topic.len() > 2 * self.settings.max_topic_levels
            && crate::topic::level_count(publish.topic) > self.settings.max_topic_levels
        {
            return Ok(ReasonCode::TOPIC_NAME_INVALID);
        }
        let limit = self.settings.message_size_limit;
        if limit != 0 && publish.payload.len() > limit {
            return Ok(ReasonCode::QUOTA_EXCEEDED);
        }
        // `$SYS` is ours alone.
        let is_sys = publish.topic.starts_with(b"$SYS") && listener.mount_point.is_empty();
        if is_sys || !self.may_write_mounted(session_id, publish.topic) {
            if log::log_enabled!(log::Level::Debug) {
                let topic = String::from_utf8_lossy(publish.topic);
                let name = self.client_name(id);
                log::debug!(
                    "Denied PUBLISH from {name} (d{}, q{}, r{}, m{}, '{topic}', ... ({} bytes))",
                    u8::from(publish.dup),
                    publish.qos as u8,
                    u8::from(publish.retain),
                    publish.packet_id,
                    publish.payload.len(),
                );
            }
            return Ok(ReasonCode::NOT_AUTHORIZED);
        }
        Ok(ReasonCode::SUCCESS)
    }

    fn answer_refused(
        &mut self,
        id: ConnId,
        session_id: SessionId,
        publish: &Publish<'_>,
        reason: ReasonCode,
    ) {
        self.stats.publish_dropped += 1;
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => {
                self.acknowledge(id, PacketType::PubAck, publish.packet_id, reason);
            }
            // A refusal ends the handshake [MQTT-4.3.3-9]; where it can't be told, 3.x goes on with
            // PUBREL, which is answered although nothing is held.
            QoS::ExactlyOnce => {
                debug_assert!(self.sessions.slab.contains(session_id.0 as usize));
                self.acknowledge(id, PacketType::PubRec, publish.packet_id, reason);
            }
        }
    }

    /// Keeps a QoS 2 message until PUBREL, unless it is held already [MQTT-4.3.3-10].
    fn hold(&mut self, id: ConnId, session_id: SessionId, publish: &Publish<'_>) {
        let packet_id = publish.packet_id;
        let session = self.sessions.get(session_id);
        if session.held.iter().any(|held| held.packet_id == packet_id) {
            return self.acknowledge(id, PacketType::PubRec, packet_id, ReasonCode::SUCCESS);
        }
        let held = session.held.len();
        let receive_maximum = usize::from(self.settings.max_inflight_messages);
        if receive_maximum != 0 && held >= receive_maximum {
            self.warn_receive_maximum(id);
        }
        if held >= self.settings.max_inbound_qos2 {
            return self.refuse_hold(id, packet_id);
        }
        let listener = usize::from(self.sessions.get(session_id).listener);
        let body = Body {
            topic_prefix: self.settings.listeners[listener].mount_point.as_bytes(),
            publish,
            expires_ms: self.expires_ms(publish),
        };
        let message = self.messages.insert(body);
        self.sessions
            .get_mut(session_id)
            .held
            .push_back(Held { packet_id, message });
        let found = self.has_subscriber(message);
        self.acknowledge(id, PacketType::PubRec, packet_id, subscribers(found));
    }

    /// More QoS 2 messages are under way than one client may have.
    fn refuse_hold(&mut self, id: ConnId, packet_id: u16) {
        let version = self.conn(id).map(|conn| conn.version);
        if version == Some(Version::V5) {
            self.acknowledge(
                id,
                PacketType::PubRec,
                packet_id,
                ReasonCode::QUOTA_EXCEEDED,
            );
        } else {
            let reason = ReasonCode::QUOTA_EXCEEDED;
            self.refuse_packet(
                id,
                Malformed {
                    reason,
                    what: "more than max_inbound_qos2",
                },
            );
        }
    }

    fn warn_receive_maximum(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        if !std::mem::replace(&mut conn.warned_receive_maximum, true) {
            let name = self.describe(id);
            log::warn!(
                "Client {name} has more than max_inflight_messages QoS 2 messages under way."
            );
        }
    }

    fn publish_mounted(&mut self, session_id: SessionId, publish: &Publish<'_>) -> bool {
        let listener = usize::from(self.sessions.get(session_id).listener);
        if self.settings.listeners[listener].mount_point.is_empty() {
            return self.publish_now(Publisher::Session(session_id), b"", publish);
        }
        let mount_point = std::mem::take(&mut self.settings.listeners[listener].mount_point);
        let found = self.publish_now(
            Publisher::Session(session_id),
            mount_point.as_bytes(),
            publish,
        );
        self.settings.listeners[listener].mount_point = mount_point;
        found
    }

    /// Takes a message on: keeps it if it is retained, and passes it to all who subscribed.
    /// Returns whether somebody did.
    pub(super) fn publish_now(
        &mut self,
        publisher: Publisher,
        topic_prefix: &[u8],
        publish: &Publish<'_>,
    ) -> bool {
        let expires_ms = self.expires_ms(publish);
        let message = self.messages.insert(Body {
            topic_prefix,
            publish,
            expires_ms,
        });
        let found = self.take_on(publisher, message);
        self.messages.release(message);
        found
    }

    /// The same for a message that is in the store already.
    pub(super) fn take_on(&mut self, publisher: Publisher, message: MessageId) -> bool {
        if self.messages.get(message).retain {
            self.keep_retained(publisher, message);
        }
        self.route(publisher, message)
    }

    fn expires_ms(&self, publish: &Publish<'_>) -> u64 {
        publish.expiry_s.map_or(NEVER, |seconds| {
            self.now.mono_ms + u64::from(seconds) * 1000
        })
    }

    /// Whether the client may write to a topic, as it names it on its listener.
    fn may_write_mounted(&self, id: SessionId, topic: &[u8]) -> bool {
        let session = self.sessions.get(id);
        let listener = &self.settings.listeners[usize::from(session.listener)];
        if listener.acl.is_none() || listener.mount_point.is_empty() {
            return self.may_write(id, topic);
        }
        self.may_write(id, &[listener.mount_point.as_bytes(), topic].concat())
    }

    /// Whether the client may write to a topic.
    pub(super) fn may_write(&self, id: SessionId, topic: &[u8]) -> bool {
        self.may(id, Access::Write, topic)
    }

    /// Whether the client may do this.
    pub(super) fn may(&self, id: SessionId, access: Access, topic: &[u8]) -> bool {
        let session = self.sessions.get(id);
        let acl = &self.settings.listeners[usize::from(session.listener)].acl;
        let (Some(acl), Some(rules)) = (acl, session.rules) else {
            return true;
        };
        let username = session.username.as_deref();
        acl.check(rules, &session.client_id, username, access, topic)
            .allowed
    }

    fn log_publish(&self, session_id: SessionId, publish: &Publish<'_>) {
        log::debug!(
            "Received PUBLISH from {} (d{}, q{}, r{}, m{}, '{}', ... ({} bytes))",
            self.sessions.get(session_id).name(),
            u8::from(publish.dup),
            publish.qos as u8,
            u8::from(publish.retain),
            publish.packet_id,
            String::from_utf8_lossy(publish.topic),
            publish.payload.len(),
        );
    }
}

/// What a publisher is told about how many there were to receive.
fn subscribers(found: bool) -> ReasonCode {
    if found {
        ReasonCode::SUCCESS
    } else {
        ReasonCode::NO_MATCHING_SUBSCRIBERS
    }
}
