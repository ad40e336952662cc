//! One thing that is sent, as bytes: a reply, or a delivery in the form its client may have.

use super::connection::Connection;
use super::limits::MAXIMUM_PACKET_SIZE;
use super::session::{Session, SessionId};
use super::transmit::{Begun, Progress, Source};
use super::{Broker, ConnId};
use crate::auth::Access;
use crate::store::{Delivery, DeliveryId, Message, Messages, Stage, message::NEVER};
use crate::wire::{
    Ack, PacketType, Plain, PlainOut, Properties, Publish, Put, QoS, ReasonCode, Version, Window,
};

/// Payloads from this size on are not copied where the caller can do without: fewer bytes are
/// copied sooner than spliced in.
const LARGE: usize = 16 * 1024 - 512;

/// What stands before the topic of a message and between topic and payload, at most.
const HEAD_MAX: usize = 10;

/// What holds for all packets of one transmission.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) version: Version,
    max_packet_size: usize,
    /// Topics go out as they are stored, nobody reads along in the log, and what waits was let in
    /// by the rules of today.
    pub(super) is_plain: bool,
}

impl Broker {
    /// What holds for the next packets to a connection.
    pub(super) fn terms(&self, id: ConnId, session: Option<SessionId>) -> Option<Terms> {
        let conn = self.connections.get(id.index as usize)?;
        let session = self.sessions.get(session?);
        let listener = &self.settings.listeners[usize::from(session.listener)];
        let has_prefix = !listener.mount_point.is_empty();
        let is_logged = log::log_enabled!(log::Level::Debug);
        Some(Terms {
            version: conn.version,
            max_packet_size: conn.max_packet_size as usize,
            is_plain: !has_prefix
                && !is_logged
                && !conn.has_outbound_aliases()
                && !session.is_doubted,
        })
    }

    /// Encodes one thing; returns its length, 0 if it is not to be sent, and the alias it gave.
    ///
    /// `begun` is how the beginning of a packet was encoded, if this is its rest.
    pub(super) fn encode(
        &mut self,
        id: ConnId,
        session: Option<SessionId>,
        (source, delivery): (Source, Option<DeliveryId>),
        progress: &Progress,
        window: &mut Window<'_>,
        begun: Option<Begun>,
    ) -> Option<(usize, Option<u16>)> {
        let delivery = match source {
            Source::Reply => {
                let conn = self.connections.get(id.index as usize)?;
                return Some((encode_reply(conn, progress, window)?, None));
            }
            Source::Ping => {
                window.put(&[0xd0, 0]);
                return Some((2, None));
            }
            Source::QoS0 | Source::Window => delivery?,
        };
        let version = self.connections.get(id.index as usize)?.version;
        let delivery = *self.deliveries.get(delivery);
        if delivery.stage == Stage::Released && source != Source::QoS0 {
            let ack = Ack {
                packet_id: delivery.number,
                reason: ReasonCode::SUCCESS,
                properties: Properties::default(),
            };
            ack.encode(version, PacketType::PubRel, window);
            return Some((4, None));
        }
        if !self.messages.is_hot(delivery.message) {
            self.fetch(delivery.message, id);
            return None;
        }
        let message = self.messages.wanted(delivery.message);
        if message.is_some_and(Message::is_empty) && begun.is_some() {
            // The rest of a packet that was begun is lost: nothing can follow it.
            self.close_quietly(id);
            return None;
        }
        if begun.is_none() && self.is_withdrawn(session?, &delivery) {
            return Some((0, None));
        }
        let message = self.messages.wanted(delivery.message);
        if let Some(packets) = message.and_then(Message::bundle) {
            window.put(packets);
            if log::log_enabled!(log::Level::Debug) {
                let session = self.sessions.get(session?);
                for plain in Plain::each(version, packets) {
                    log_sending(session, &plain.publish(), plain.topic());
                }
            }
            return Some((packets.len(), None));
        }
        Some(self.encode_publish(id, session?, delivery, version, window, begun))
    }

    /// Whether the client lost the right to read a message that waited for it. What was sent to it
    /// before goes on in its handshake.
    fn is_withdrawn(&self, id: SessionId, delivery: &Delivery) -> bool {
        let session = self.sessions.get(id);
        if !session.is_doubted || delivery.was_sent() {
            return false;
        }
        let message = self.messages.get(delivery.message);
        let topic = match message.bundle() {
            Some(packets) => Plain::read(session.version, packets).map(|plain| plain.topic()),
            None => Some(message.topic()),
        };
        topic.is_some_and(|topic| !self.may(id, Access::Read, topic))
    }

    /// Nothing waits any more that could have been queued under other rules.
    pub(super) fn settle_doubt(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        if session.is_doubted {
            let flow = &*session.flow;
            session.is_doubted = !flow.queue.is_empty()
                || !flow.queue_qos0.is_empty()
                || flow.window.in_flight() > 0;
        }
    }

    fn encode_publish(
        &mut self,
        id: ConnId,
        session_id: SessionId,
        delivery: Delivery,
        version: Version,
        window: &mut Window<'_>,
        begun: Option<Begun>,
    ) -> (usize, Option<u16>) {
        let mono_ms = begun.map_or(self.now.mono_ms, |begun| begun.mono_ms);
        let is_rest = begun.is_some();
        let message = self.messages.get(delivery.message);
        // What was begun goes on; so does QoS 2 in its handshake [MQTT-4.3.3-7].
        if message.is_empty() {
            return (0, None);
        }
        let is_expired = message.expires_ms() < mono_ms && !is_rest && !delivery.was_sent();
        let Some(conn) = self.connections.get_mut(id.index as usize) else {
            return (0, None);
        };
        let session = self.sessions.get(session_id);
        let listener = &self.settings.listeners[usize::from(session.listener)];
        let mut publish = publish_of(message, delivery, version, mono_ms);
        let mount_point = listener.mount_point.as_bytes();
        match publish.topic.strip_prefix(mount_point) {
            Some(topic) if !topic.is_empty() => publish.topic = topic,
            // `#` behind the mount point `site/` finds `site` and `site/`: nothing is left of them.
            _ => return (0, None),
        }
        let mut len = publish.encoded_len(version);
        let max_packet_size = conn.max_packet_size as usize;
        let is_too_large = len > max_packet_size && !is_rest;
        if is_too_large && !is_expired && conn.told.is_first(MAXIMUM_PACKET_SIZE) {
            log::info!(
                target: "notice",
                "Dropping too large outgoing PUBLISH for {} ({len} bytes)",
                session.name()
            );
        }
        if is_expired || is_too_large {
            return (0, None);
        }
        let mut given = None;
        if let Some(aliases) = conn.outbound_aliases() {
            let may_give = begun.map_or(!self.ledger.is_over, |begun| begun.gave_alias);
            if let Some((alias, is_new)) = aliases.get_or_give(publish.topic, may_give) {
                let topic = publish.topic;
                publish.topic_alias = Some(alias);
                if !is_new {
                    publish.topic = b"";
                }
                // With an alias the packet may be too large: then it goes without.
                let is_good = publish.encoded_len(version) <= max_packet_size;
                if !is_good {
                    (publish.topic, publish.topic_alias) = (topic, None);
                }
                if is_new && is_good {
                    given = Some(alias);
                } else if is_new {
                    aliases.take_back_from(alias);
                }
                len = publish.encoded_len(version);
            }
        }
        log_sending(session, &publish, message.topic());
        publish.encode(version, window);
        (len, given)
    }
}

impl Terms {
    /// The short way for most messages: a whole packet without properties. `None` where only
    /// [`Broker::encode`] knows what to do.
    #[inline(always)]
    pub(super) fn encode_plain(
        self,
        messages: &mut Messages,
        delivery: &Delivery,
        window: &mut Window<'_>,
    ) -> Option<usize> {
        let plain = self.plain(messages, delivery)?;
        plain.encode(self.version, self.max_packet_size, window)
    }

    /// The short way for a message that is large: what stands before its payload; returns the
    /// length of the whole, and of the payload.
    pub(super) fn encode_head(
        self,
        messages: &mut Messages,
        delivery: &Delivery,
        window: &mut Window<'_>,
    ) -> Option<(usize, usize)> {
        let plain = self.plain(messages, delivery)?;
        let payload = plain.payload().len();
        if payload < LARGE || window.room() < HEAD_MAX + usize::from(plain.topic_len) {
            return None;
        }
        let len = plain.encode_head(self.version, self.max_packet_size, window)?;
        Some((len, payload))
    }

    /// A message as it goes out without properties, if it does.
    #[inline(always)]
    fn plain<'a>(self, messages: &'a mut Messages, delivery: &Delivery) -> Option<PlainOut<'a>> {
        let has_identifier = self.version == Version::V5 && delivery.subscription_id().is_some();
        if has_identifier {
            return None;
        }
        let message = messages.wanted(delivery.message)?;
        let (text, topic_len) = message.text()?;
        if text.is_empty() {
            return None;
        }
        Some(PlainOut {
            first: delivery.first_byte(),
            packet_id: delivery.number,
            text,
            topic_len,
        })
    }
}

fn encode_reply(conn: &Connection, progress: &Progress, window: &mut Window<'_>) -> Option<usize> {
    let reply = progress.reply?;
    if reply.is_encoded() {
        let bytes = conn.replies.encoded(progress.encoded_replies)?;
        window.put(bytes);
        return Some(bytes.len());
    }
    let properties = Properties::default();
    let ack = Ack {
        packet_id: reply.packet_id,
        reason: reply.reason,
        properties,
    };
    ack.encode(conn.version, reply.packet, window);
    let is_short = conn.version != Version::V5 || reply.reason == ReasonCode::SUCCESS;
    Some(if is_short { 4 } else { 5 })
}

/// The PUBLISH of a delivery, before topic alias and mount point.
fn publish_of(
    message: &Message,
    delivery: Delivery,
    version: Version,
    mono_ms: u64,
) -> Publish<'_> {
    let is_v5 = version == Version::V5;
    let qos = delivery.qos();
    let expiry_s = (is_v5 && message.expires_ms() != NEVER)
        // [MQTT-3.3.2-6]: what is left, of a message already begun at least 0.
        .then(|| (message.expires_ms().saturating_sub(mono_ms).div_ceil(1000)) as u32);
    Publish {
        dup: delivery.is_again() && qos != QoS::AtMostOnce,
        qos,
        retain: delivery.retain(),
        topic: message.topic(),
        packet_id: delivery.number,
        topic_alias: None,
        expiry_s,
        subscription_id: delivery.subscription_id().filter(|_| is_v5),
        properties: if is_v5 {
            message.properties()
        } else {
            Properties::default()
        },
        payload: message.payload(),
    }
}

fn log_sending(session: &Session, publish: &Publish<'_>, topic: &[u8]) {
    log::debug!(
        "Sending PUBLISH to {} (d{}, q{}, r{}, m{}, '{}', ... ({} bytes))",
        session.name(),
        u8::from(publish.dup),
        publish.qos as u8,
        u8::from(publish.retain),
        if publish.qos == QoS::AtMostOnce {
            0
        } else {
            publish.packet_id
        },
        String::from_utf8_lossy(topic),
        publish.payload.len(),
    );
}
