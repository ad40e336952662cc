//! PUBLISH from a client: is it allowed, what is it answered, and where does it go.
//!
//! QoS 2 messages are held until PUBREL and routed then: `held`.

use super::session::SessionId;
use super::{Broker, ConnId};
use crate::auth::Access;
use crate::store::{Body, MessageId, message::NEVER};
use crate::wire::{Malformed, PacketType, Property, PropertyId, Publish, QoS, ReasonCode, Version};

/// Who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publisher {
    /// A client.
    Session(SessionId),
    /// The broker itself: `$SYS`.
    Broker,
}

/// Why one message is not taken.
#[derive(Clone, Copy, Debug)]
struct Refused {
    reason: ReasonCode,
    /// The directive whose limit it is, if it is one that Mosquitto does not have.
    limit: Option<&'static str>,
}

impl Refused {
    fn limit(reason: ReasonCode, limit: &'static str) -> Refused {
        Refused {
            reason,
            limit: Some(limit),
        }
    }
}

impl Broker {
    #[inline]
    pub(super) fn publish(
        &mut self,
        id: ConnId,
        session: SessionId,
        version: Version,
        publish: &mut Publish<'_>,
    ) {
        self.stats.publish_received += 1;
        self.stats.publish_bytes_received += publish.payload.len() as u64;
        if publish.topic_alias.is_some() {
            self.publish_aliased(id, session, version, publish);
        } else {
            self.publish_named(id, session, version, publish);
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
        let is_over = self.is_over_memory();
        let slot = match self.inbound_alias(id, alias) {
            Ok(slot) => slot,
            Err(malformed) => return self.refuse_packet(id, malformed),
        };
        if !publish.topic.is_empty() {
            if is_over && slot.as_deref() != Some(publish.topic) {
                self.refuse_memory();
                return self.close(id, ReasonCode::QUOTA_EXCEEDED, "memory_limit is reached");
            }
            if slot.as_deref() != Some(publish.topic) {
                *slot = Some(publish.topic.into());
            }
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
        let judged = self.judge_publish(session_id, publish);
        if log::log_enabled!(log::Level::Debug) {
            self.log_publish(words_for(&judged), session_id, publish);
        }
        match judged {
            Ok(None) => {}
            Ok(Some(refused)) => return self.answer_refused(id, version, publish, refused),
            Err(malformed) => return self.refuse_packet(id, malformed),
        }
        if publish.qos != QoS::AtMostOnce {
            if let Some(limit) = self.cannot_keep(session_id, publish) {
                return self.refuse_to_keep(id, version, publish, limit);
            }
        }
        if publish.qos == QoS::ExactlyOnce {
            return self.hold(id, session_id, publish);
        }
        let found = self.publish_mounted(session_id, publish);
        if publish.qos == QoS::AtLeastOnce {
            let reason = subscribers(found);
            self.acknowledge(id, PacketType::PubAck, publish.packet_id, reason);
        }
    }

    /// Nothing, why just this message is refused, or what makes the packet unacceptable.
    #[inline]
    fn judge_publish(
        &self,
        session_id: SessionId,
        publish: &Publish<'_>,
    ) -> Result<Option<Refused>, Malformed> {
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
        // What is put in front of the topic counts, too.
        if publish.topic.len() + listener.mount_point.len() > usize::from(u16::MAX) {
            return Ok(Some(Refused::limit(
                ReasonCode::TOPIC_NAME_INVALID,
                "mount_point",
            )));
        }
        // A topic has no more levels than bytes, but for one.
        if publish.topic.len() >= self.settings.max_topic_levels
            && crate::topic::level_count(publish.topic) > self.settings.max_topic_levels
        {
            return Ok(Some(Refused::limit(
                ReasonCode::TOPIC_NAME_INVALID,
                "max_topic_levels",
            )));
        }
        if let Some(limit) = self.limit_of_properties(publish) {
            return Ok(Some(Refused::limit(ReasonCode::QUOTA_EXCEEDED, limit)));
        }
        let limit = self.settings.message_size_limit;
        if limit != 0 && publish.payload.len() > limit {
            return Ok(Some(Refused::limit(
                ReasonCode::QUOTA_EXCEEDED,
                "message_size_limit",
            )));
        }
        let is_reserved =
            crate::topic::is_reserved(publish.topic) && listener.mount_point.is_empty();
        if is_reserved || !self.may_write_mounted(session_id, publish.topic) {
            return Ok(Some(Refused {
                reason: ReasonCode::NOT_AUTHORIZED,
                limit: None,
            }));
        }
        Ok(None)
    }

    /// The limit that the properties of a message pass.
    #[inline]
    fn limit_of_properties(&self, publish: &Publish<'_>) -> Option<&'static str> {
        let len = publish.properties.raw().len();
        let max = self.settings.max_user_properties;
        if len > self.settings.max_property_bytes {
            return Some("max_property_bytes");
        }
        // A User Property takes five bytes at least.
        if len < 5 * (max + 1) {
            return None;
        }
        let is_users = |property: &Property<'_>| property.id == PropertyId::UserProperty;
        let count = publish.properties.iter().filter(is_users).count();
        (count > max).then_some("max_user_properties")
    }

    fn answer_refused(
        &mut self,
        id: ConnId,
        version: Version,
        publish: &Publish<'_>,
        refused: Refused,
    ) {
        self.stats.publish_dropped += 1;
        if let Some(limit) = refused.limit {
            self.tell_limit(id, limit);
        }
        if publish.qos == QoS::ExactlyOnce && version == Version::V5 {
            self.forget_refused(id, publish);
        }
        let packet = match publish.qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => PacketType::PubAck,
            // A refusal ends the handshake [MQTT-4.3.3-9]; 3.x goes on with PUBREL, which is
            // answered although nothing is held.
            QoS::ExactlyOnce => PacketType::PubRec,
        };
        match (version, refused.limit) {
            (Version::V5, Some(limit)) => {
                self.acknowledge_limit(id, packet, publish.packet_id, refused.reason, limit);
            }
            (Version::V5, None) => self.acknowledge(id, packet, publish.packet_id, refused.reason),
            // 3.x has no way to say no: it is acknowledged like any other [MQTT-3.3.5-2].
            _ => self.acknowledge(id, packet, publish.packet_id, ReasonCode::SUCCESS),
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
        let found = self.take_on(publisher, message, None);
        self.messages.release(message);
        found
    }

    /// The same for a message that is in the store already; `held` is the session and packet
    /// identifier that it was held for until now.
    pub(super) fn take_on(
        &mut self,
        publisher: Publisher,
        message: MessageId,
        held: Option<(u64, u16)>,
    ) -> bool {
        self.begin_message();
        if self.messages.get(message).retain() {
            self.keep_retained(publisher, message);
        }
        let found = self.route(publisher, message);
        self.record_message(publisher, message, held);
        found
    }

    pub(super) fn expires_ms(&self, publish: &Publish<'_>) -> u64 {
        publish.expiry_s.map_or(NEVER, |seconds| {
            self.now.mono_ms + u64::from(seconds) * 1000
        })
    }

    /// Whether the client may write to a topic, as it names it on its listener.
    #[inline]
    fn may_write_mounted(&self, id: SessionId, topic: &[u8]) -> bool {
        let session = self.sessions.get(id);
        let listener = &self.settings.listeners[usize::from(session.listener)];
        if listener.acl.is_none() || listener.mount_point.is_empty() {
            return self.may_write(id, topic);
        }
        self.may_write(id, &[listener.mount_point.as_bytes(), topic].concat())
    }

    /// Whether the client may write to a topic.
    #[inline]
    pub(super) fn may_write(&self, id: SessionId, topic: &[u8]) -> bool {
        self.may(id, Access::Write, topic)
    }

    /// Whether the client may do this.
    #[inline]
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

    #[cold]
    fn log_publish(&self, what: &str, session_id: SessionId, publish: &Publish<'_>) {
        log::debug!(
            "{what} PUBLISH from {} (d{}, q{}, r{}, m{}, '{}', ... ({} bytes))",
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

/// How the log tells of a message that was judged like this.
fn words_for(judged: &Result<Option<Refused>, Malformed>) -> &'static str {
    match judged {
        Ok(Some(refused)) if refused.reason == ReasonCode::NOT_AUTHORIZED => "Denied",
        Ok(Some(refused)) if refused.limit == Some("message_size_limit") => "Dropped too large",
        _ => "Received",
    }
}

/// What a publisher is told about how many there were to receive.
pub(super) fn subscribers(found: bool) -> ReasonCode {
    if found {
        ReasonCode::SUCCESS
    } else {
        ReasonCode::NO_MATCHING_SUBSCRIBERS
    }
}
