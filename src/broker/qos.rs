//! The acknowledgements of QoS 1 and 2, in both directions (sections 4.3 and 4.4).

use super::connection::{PutOff, Reply};
use super::session::SessionId;
use super::{Broker, ConnId};
use crate::store::journal::Place;
use crate::store::window::distance;
use crate::store::{Delivery, DeliveryId, MessageId, Stage};
use crate::wire::{Ack, PacketType, Properties, PropertyId, QoS, ReasonCode, Value, Version};

impl Broker {
    /// Sends an acknowledgement: a promise, which leaves in the order of what it answers.
    #[inline(always)]
    pub(super) fn acknowledge(
        &mut self,
        id: ConnId,
        packet: PacketType,
        packet_id: u16,
        reason: ReasonCode,
    ) {
        if log::log_enabled!(log::Level::Debug) {
            self.log_acknowledging(id, packet, packet_id, reason);
        }
        self.promise(id, packet, packet_id, reason);
    }

    /// Queues an acknowledgement behind its gate; whether the connection is read on.
    #[inline(always)]
    pub(super) fn promise(
        &mut self,
        id: ConnId,
        packet: PacketType,
        packet_id: u16,
        reason: ReasonCode,
    ) -> bool {
        let gate = match self.journal.is_on() {
            true => self.gate(id, packet),
            false => Place::START,
        };
        let reply = Reply {
            packet,
            reason,
            packet_id,
            gate,
        };
        self.reply(id, reply)
    }

    #[cold]
    fn log_acknowledging(&mut self, id: ConnId, packet: PacketType, packet_id: u16, r: ReasonCode) {
        let (name, packet_name) = (self.client_name(id), packet.name());
        match packet {
            PacketType::PubAck | PacketType::PubRec => {
                log::debug!("Sending {packet_name} to {name} (m{packet_id}, rc{})", r.0);
            }
            _ => log::debug!("Sending {packet_name} to {name} (m{packet_id})"),
        }
    }

    /// Refuses a message for a limit of Midge's own, and says which one in a Reason String, if the
    /// client wants problems explained and it fits [MQTT-3.4.2-2] [MQTT-3.5.2-2].
    pub(super) fn acknowledge_limit(
        &mut self,
        id: ConnId,
        packet: PacketType,
        packet_id: u16,
        reason: ReasonCode,
        limit: &str,
    ) {
        let mut bytes = Vec::new();
        let raw = self.reason_string(id, limit);
        let ack = Ack {
            packet_id,
            reason,
            properties: Properties::from_encoded(&raw),
        };
        ack.encode(Version::V5, packet, &mut bytes);
        if raw.is_empty() || !self.fits(id, bytes.len()) {
            return self.acknowledge(id, packet, packet_id, reason);
        }
        let gate = self.gate(id, packet);
        self.reply_encoded_at(id, packet, bytes, gate);
    }

    /// A Reason String as a property, or nothing where the client shall get none
    /// [MQTT-3.1.2-29].
    pub(super) fn reason_string(&mut self, id: ConnId, text: &str) -> Vec<u8> {
        let mut raw = Vec::new();
        let is_wanted = self
            .conn(id)
            .is_some_and(|conn| conn.version == Version::V5 && conn.wants_problems);
        if is_wanted {
            PropertyId::ReasonString.encode(Value::Text(text), &mut raw);
        }
        raw
    }

    /// Whether the client takes a packet of this size.
    pub(super) fn fits(&mut self, id: ConnId, len: usize) -> bool {
        self.conn(id)
            .is_some_and(|conn| len <= conn.max_packet_size as usize)
    }

    #[inline]
    fn log_received(&self, session: SessionId, packet: PacketType, ack: Ack<'_>) {
        if log::log_enabled!(log::Level::Debug) {
            self.log_acknowledged(session, packet, ack);
        }
    }

    #[cold]
    fn log_acknowledged(&self, session: SessionId, packet: PacketType, ack: Ack<'_>) {
        let (name, packet_name) = (self.sessions.get(session).name(), packet.name());
        let (packet_id, reason) = (ack.packet_id, ack.reason.0);
        match packet {
            PacketType::PubAck | PacketType::PubComp => {
                log::debug!("Received {packet_name} from {name} (Mid: {packet_id}, RC:{reason})");
            }
            _ => log::debug!("Received {packet_name} from {name} (Mid: {packet_id})"),
        }
    }

    /// The delivery under way that an acknowledgement is about.
    #[inline(always)]
    fn under_way(&self, session: SessionId, packet_id: u16, qos: QoS) -> Option<DeliveryId> {
        let window = &self.sessions.get(session).flow.window;
        let delivery = window.find_sent(&self.deliveries, packet_id)?;
        (self.deliveries.get(delivery).qos() == qos).then_some(delivery)
    }

    /// QoS 1, we send: the client has it; an error code counts, too [MQTT-4.4.0-2].
    #[inline]
    pub(super) fn puback(&mut self, id: ConnId, session: SessionId, ack: Ack<'_>) {
        self.log_received(session, PacketType::PubAck, ack);
        let Some(delivery) = self.under_way(session, ack.packet_id, QoS::AtLeastOnce) else {
            return self.unknown_ack(id, PacketType::PubAck, ack.packet_id);
        };
        self.finish_delivery(session, delivery);
        self.mark_writable(id);
    }

    /// Takes PUBACKs, or PUBCOMPs, at the front of `bytes` that come as most clients send them, in
    /// the order of the deliveries, if nothing else follows from them than that the window slides;
    /// no more than the slice has room for. Returns how many.
    #[inline(never)]
    pub(super) fn take_finals(&mut self, id: ConnId, session: SessionId, bytes: &[u8]) -> usize {
        let max = self.settings.slice - self.work;
        let is_watched = log::log_enabled!(log::Level::Debug);
        let session = self.sessions.get_mut(session);
        if session.is_recorded() || is_watched {
            return 0;
        }
        let flow = &mut *session.flow;
        let Some(first) = flow.window.first(&self.deliveries) else {
            return 0;
        };
        let mut count = 0;
        for ack in bytes.chunks_exact(4).take(max) {
            let &[packet @ (0x40 | 0x70), 2, high, low] = ack else {
                break;
            };
            let awaited = match packet {
                0x40 => (QoS::AtLeastOnce, Stage::Publish),
                _ => (QoS::ExactlyOnce, Stage::Released),
            };
            let packet_id = u16::from_be_bytes([high, low]);
            let finished = (flow.window).finish_first(&mut self.deliveries, packet_id, awaited);
            let Some(delivery) = finished else { break };
            if delivery.stage == Stage::Publish {
                let len = super::route::queued_len(self.messages.len_of(delivery.message));
                flow.window_bytes -= len as u64;
                self.messages.release(delivery.message);
            }
            count += 1;
        }
        if count > 0 {
            flow.base = match flow.window.first(&self.deliveries) {
                Some(next) => flow.base + u64::from(distance(first, next)),
                None => flow.windowed,
            };
            self.mark_writable(id);
        }
        count
    }

    /// QoS 2, we send, first half: the client has it, unless it says no.
    #[inline]
    pub(super) fn pubrec(&mut self, id: ConnId, session: SessionId, ack: Ack<'_>) {
        self.log_received(session, PacketType::PubRec, ack);
        let is_recorded = self.sessions.get(session).is_recorded();
        let Some(id_under_way) = self.under_way(session, ack.packet_id, QoS::ExactlyOnce) else {
            // The client shall forget the identifier [MQTT-4.3.3-4].
            let reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
            self.unknown_ack(id, PacketType::PubRec, ack.packet_id);
            if !ack.reason.is_error() {
                self.acknowledge(id, PacketType::PubRel, ack.packet_id, reason);
            }
            return;
        };
        if ack.reason.is_error() {
            self.finish_delivery(session, id_under_way);
            return self.mark_writable(id);
        }
        let delivery = self.deliveries.get_mut(id_under_way);
        if delivery.stage == Stage::Publish {
            delivery.stage = Stage::Released;
            let message = delivery.message;
            self.free_window_message(session, message);
            if is_recorded {
                self.record_received(session, ack.packet_id);
            }
        }
        self.acknowledge(id, PacketType::PubRel, ack.packet_id, ReasonCode::SUCCESS);
    }

    /// QoS 2, we send, second half: the handshake is over.
    #[inline]
    pub(super) fn pubcomp(&mut self, id: ConnId, session: SessionId, ack: Ack<'_>) {
        self.log_received(session, PacketType::PubComp, ack);
        let delivery = self.under_way(session, ack.packet_id, QoS::ExactlyOnce);
        let released = delivery.filter(|&d| self.deliveries.get(d).stage == Stage::Released);
        let Some(delivery) = released else {
            return self.unknown_ack(id, PacketType::PubComp, ack.packet_id);
        };
        self.finish_delivery(session, delivery);
        self.mark_writable(id);
    }

    /// QoS 2, the client sends: now the message is passed on, once.
    #[inline]
    pub(super) fn pubrel(&mut self, id: ConnId, session_id: SessionId, ack: Ack<'_>) {
        self.log_received(session_id, PacketType::PubRel, ack);
        let flow = self.sessions.get_mut(session_id).flow.existing();
        let held = flow.and_then(|flow| {
            let at = (flow.held.iter()).position(|held| held.packet_id == ack.packet_id)?;
            Some((&mut flow.held, at))
        });
        let Some((all, at)) = held else {
            // After a lost PUBCOMP it is a repetition, and clients take 0x92 for a message that
            // did not arrive. Otherwise we have none; 3.x waits for PUBCOMP all the same.
            let reason = match self.conn(id).is_some_and(|conn| conn.has_resumed) {
                true => ReasonCode::SUCCESS,
                false => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
            };
            return self.acknowledge(id, PacketType::PubComp, ack.packet_id, reason);
        };
        let message = all[at].message;
        if !self.messages.is_hot(message) {
            return self.wait_for_body(id, message, PutOff::Release(ack.packet_id));
        }
        match at {
            0 => all.pop_front(),
            _ => all.remove(at),
        };
        // PUBREC made the message ours [MQTT-4.5.0-1], even if the client has forgotten it (0x92);
        // but rights may have changed since PUBLISH.
        let body = self.messages.get(message);
        let is_plain = self.burst.is_open && !body.is_empty() && !body.retain();
        if is_plain && self.may_write(session_id, body.topic()) {
            self.take_released(session_id, message);
        } else {
            self.pass_on_held(session_id, message, ack.packet_id);
        }
        self.acknowledge(id, PacketType::PubComp, ack.packet_id, ReasonCode::SUCCESS);
    }

    /// An acknowledgement of nothing that is under way harms nobody: it is told to the log only.
    fn unknown_ack(&mut self, id: ConnId, packet: PacketType, packet_id: u16) {
        let name = self.client_name(id);
        log::debug!(
            "Warning: Received {} from {name} for an unknown packet identifier {packet_id}.",
            packet.name()
        );
    }

    /// Ends a delivery that is under way and lets the window slide.
    #[inline(always)]
    pub(super) fn finish_delivery(&mut self, session_id: SessionId, id: DeliveryId) {
        let &Delivery {
            message,
            stage,
            number,
            ..
        } = self.deliveries.get(id);
        if stage == Stage::Publish {
            self.free_window_message(session_id, message);
        }
        let flow = &mut *self.sessions.get_mut(session_id).flow;
        let is_first = flow.window.is_first(id);
        let ordinal = match is_first {
            true => flow.base,
            false => flow.ordinal_of(number),
        };
        let next = flow.window.finish(&mut self.deliveries, id);
        flow.base = match next {
            None => flow.windowed,
            Some(next) if is_first => flow.base + u64::from(distance(number, next)),
            Some(_) => flow.base,
        };
        self.record_done(session_id, ordinal);
    }

    /// The message that a packet is about is on the disk only: the connection waits for it.
    pub(super) fn wait_for_body(&mut self, id: ConnId, message: MessageId, packet: PutOff) {
        self.fetch(message, id);
        if let Some(conn) = self.conn(id) {
            (conn.put_off, conn.is_paused) = (packet, true);
        }
    }

    /// The message of a delivery is not needed any more, its packet identifier may be.
    #[inline(always)]
    fn free_window_message(&mut self, session_id: SessionId, message: MessageId) {
        let len = super::route::queued_len(self.messages.len_of(message)) as u64;
        self.sessions.get_mut(session_id).flow.window_bytes -= len;
        self.messages.release(message);
    }
}
