//! What the caller asks for: publish, subscribe, unsubscribe, acknowledge; and the window of
//! messages in flight.

use super::machine::{Incoming, State};
use super::{Client, RequestError};
use crate::wire::{
    Ack, PACKET_MAX, PacketType, Properties, Publish, QoS, ReasonCode, Subscribe, SubscribeFilter,
    Unsubscribe, var_int_len,
};

/// An outgoing message of QoS 1 or 2 that is not acknowledged yet.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) packet_id: u16,
    pub(super) state: Sending,
    /// The whole PUBLISH without DUP and without a topic alias, to send it again; empty from
    /// PUBREC on.
    pub(super) packet: Box<[u8]>,
}

/// Where an outgoing message of QoS 1 or 2 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// It is to be sent on this connection; with DUP if it was sent on one before.
    Due {
        dup: bool,
    },
    AwaitAck,
    AwaitRec,
    AwaitComp,
}

/// A SUBSCRIBE or UNSUBSCRIBE that is not answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) packet_id: u16,
    /// SUBACK or UNSUBACK.
    pub(super) answer: PacketType,
    /// How many filters it has.
    pub(super) filters: usize,
}

const DUP: u8 = 0x08;

impl Client {
    /// Publishes a message and returns its Packet Identifier (at QoS 0 only a number to talk about
    /// it). `message.packet_id` and `dup` are set here; its topic is a valid Topic Name; a topic
    /// alias is used as far as the server allows.
    ///
    /// At QoS 0 the message is only in the output: look at the length of [`Client::transmit`]
    /// before adding more.
    pub fn publish(&mut self, message: &Publish<'_>) -> Result<u16, RequestError> {
        self.check_publish(message)?;
        let packet_id = self.next_packet_id().ok_or(RequestError::Busy)?;
        let mut message = *message;
        message.dup = false;
        message.packet_id = packet_id;
        let alias = message.topic_alias.take();
        if message.qos > QoS::AtMostOnce {
            let mut packet = Vec::with_capacity(message.encoded_len(self.options.version));
            message.encode(self.options.version, &mut packet);
            let state = match message.qos {
                QoS::ExactlyOnce => Sending::AwaitRec,
                _ => Sending::AwaitAck,
            };
            let packet = packet.into_boxed_slice();
            self.in_flight.push_back(InFlight {
                packet_id,
                state,
                packet,
            });
        }
        self.trace_publish(&message);
        let topic = message.topic;
        if let Some(alias) = alias {
            self.use_alias(alias, topic, &mut message);
        }
        message.encode(self.options.version, &mut self.out);
        Ok(packet_id)
    }

    /// Whether [`Client::publish`] would take another message of QoS 1 or 2 now.
    pub fn has_room(&self) -> bool {
        self.is_open() && self.in_flight.len() < self.window()
    }

    /// Subscribes to `filters` and returns the Packet Identifier of the request. `properties` are
    /// encoded without their length (5.0).
    pub fn subscribe(
        &mut self,
        filters: &[SubscribeFilter<'_>],
        properties: &[u8],
    ) -> Result<u16, RequestError> {
        let text: usize = filters.iter().map(|filter| filter.filter.len() + 3).sum();
        let packet_id = self.request(PacketType::SubAck, filters.len(), text + properties.len())?;
        for filter in filters {
            log::debug!(
                "Client {} sending SUBSCRIBE (Mid: {packet_id}, Topic: {}, QoS: {}, \
                 Options: 0x{:02x})",
                self.name(),
                filter.filter,
                filter.options.qos as u8,
                filter.options.to_byte() & !3,
            );
        }
        let properties = Properties::from_encoded(properties);
        Subscribe::encode(
            self.options.version,
            packet_id,
            properties,
            filters,
            &mut self.out,
        );
        Ok(packet_id)
    }

    /// Unsubscribes from `filters`, like [`Client::subscribe`].
    pub fn unsubscribe(
        &mut self,
        filters: &[&str],
        properties: &[u8],
    ) -> Result<u16, RequestError> {
        let text: usize = filters.iter().map(|filter| filter.len() + 2).sum();
        let packet_id =
            self.request(PacketType::UnsubAck, filters.len(), text + properties.len())?;
        for filter in filters {
            log::debug!(
                "Client {} sending UNSUBSCRIBE (Mid: {packet_id}, Topic: {filter})",
                self.name()
            );
        }
        let properties = Properties::from_encoded(properties);
        Unsubscribe::encode(
            self.options.version,
            packet_id,
            properties,
            filters,
            &mut self.out,
        );
        Ok(packet_id)
    }

    /// The caller has done its work with an incoming message of QoS 1 or 2: PUBACK or PUBREC goes
    /// out. An error as `reason` refuses the message (5.0).
    pub fn acknowledge(&mut self, packet_id: u16, qos: QoS, reason: ReasonCode) {
        if qos == QoS::AtMostOnce || self.incoming.get(packet_id) != Some(Incoming::Delivered) {
            return;
        }
        let packet = if qos == QoS::ExactlyOnce && !reason.is_error() {
            self.incoming.set(packet_id, Incoming::AwaitRel);
            PacketType::PubRec
        } else {
            self.incoming.remove(packet_id);
            match qos {
                QoS::ExactlyOnce => PacketType::PubRec,
                _ => PacketType::PubAck,
            }
        };
        self.put_ack(packet, packet_id, reason);
    }

    /// Sends what is due, in order, as far as the server's Receive Maximum allows.
    pub(super) fn send_due(&mut self) {
        let mut room = self.server.receive_maximum;
        for i in 0..self.in_flight.len() {
            if room == 0 {
                return;
            }
            room -= 1;
            let Sending::Due { dup } = self.in_flight[i].state else {
                continue;
            };
            let packet_id = self.in_flight[i].packet_id;
            if self.in_flight[i].packet.is_empty() {
                self.in_flight[i].state = Sending::AwaitComp;
                self.put_ack(PacketType::PubRel, packet_id, ReasonCode::SUCCESS);
                continue;
            }
            let entry = &mut self.in_flight[i];
            let first = entry.packet[0] | if dup { DUP } else { 0 };
            entry.state = match first >> 1 & 3 {
                2 => Sending::AwaitRec,
                _ => Sending::AwaitAck,
            };
            self.out.push(first);
            self.out.extend_from_slice(&entry.packet[1..]);
            log::debug!(
                "Client {} sending PUBLISH (d{}, q{}, r{}, m{packet_id}) again",
                self.name(),
                u8::from(dup),
                first >> 1 & 3,
                first & 1,
            );
        }
    }

    /// Writes an acknowledgement and its trace line.
    pub(super) fn put_ack(&mut self, packet: PacketType, packet_id: u16, reason: ReasonCode) {
        let name = self.name();
        match packet {
            PacketType::PubRel | PacketType::PubComp => {
                log::debug!("Client {name} sending {} (m{packet_id})", packet.name());
            }
            _ => log::debug!(
                "Client {name} sending {} (m{packet_id}, rc{})",
                packet.name(),
                reason.0
            ),
        }
        let properties = Properties::default();
        let ack = Ack {
            packet_id,
            reason,
            properties,
        };
        ack.encode(self.options.version, packet, &mut self.out);
    }

    pub(super) fn check_publish(&self, message: &Publish<'_>) -> Result<(), RequestError> {
        if !matches!(self.state, State::Open) {
            return Err(RequestError::NotConnected);
        }
        if message.qos > self.server.qos_max {
            return Err(RequestError::QosNotSupported);
        }
        if message.retain && !self.server.retain_available {
            return Err(RequestError::RetainNotSupported);
        }
        self.check_size(message.encoded_len(self.options.version))?;
        if message.qos > QoS::AtMostOnce && self.in_flight.len() >= self.window() {
            return Err(RequestError::Busy);
        }
        Ok(())
    }

    fn check_size(&self, packet: usize) -> Result<(), RequestError> {
        if packet > self.server.packet_max.min(PACKET_MAX as usize) {
            return Err(RequestError::TooLarge);
        }
        Ok(())
    }

    /// Most messages in flight on this connection.
    fn window(&self) -> usize {
        match self.options.inflight_max {
            0 => self.server.receive_maximum,
            own => self.server.receive_maximum.min(usize::from(own)),
        }
    }

    /// Books a SUBSCRIBE or UNSUBSCRIBE with `len` bytes of filters and properties.
    fn request(
        &mut self,
        answer: PacketType,
        filters: usize,
        len: usize,
    ) -> Result<u16, RequestError> {
        if !matches!(self.state, State::Open) {
            return Err(RequestError::NotConnected);
        }
        // At most: fixed header, Packet Identifier, Property Length.
        self.check_size(1 + var_int_len(len + 6) + 2 + 4 + len)?;
        let packet_id = self.next_packet_id().ok_or(RequestError::Busy)?;
        self.requests.push(Request {
            packet_id,
            answer,
            filters,
        });
        Ok(packet_id)
    }

    /// The next Packet Identifier that nothing uses, counting on from the last one
    /// [MQTT-2.2.1-3].
    fn next_packet_id(&mut self) -> Option<u16> {
        for _ in 0..u16::MAX {
            self.last_packet_id = match self.last_packet_id {
                u16::MAX => 1,
                id => id + 1,
            };
            let id = self.last_packet_id;
            let used = self.in_flight.iter().any(|entry| entry.packet_id == id)
                || self.requests.iter().any(|entry| entry.packet_id == id);
            if !used {
                return Some(id);
            }
        }
        None
    }

    /// Puts a topic alias into `message` if the server allows it, and leaves the topic out if the
    /// server knows it already.
    fn use_alias<'a>(&mut self, alias: u16, topic: &'a [u8], message: &mut Publish<'a>) {
        if alias == 0 || alias > self.server.topic_alias_maximum {
            return;
        }
        message.topic_alias = Some(alias);
        match self.aliases_out.iter_mut().find(|(id, _)| *id == alias) {
            Some((_, known)) if **known == *topic => message.topic = b"",
            Some((_, known)) => *known = topic.into(),
            None => self.aliases_out.push((alias, topic.into())),
        }
    }

    fn trace_publish(&self, message: &Publish<'_>) {
        log::debug!(
            "Client {} sending PUBLISH (d{}, q{}, r{}, m{}, '{}', ... ({} bytes))",
            self.name(),
            u8::from(message.dup),
            message.qos as u8,
            u8::from(message.retain),
            message.packet_id,
            String::from_utf8_lossy(message.topic),
            message.payload.len(),
        );
    }
}
