//! What the server sends: one packet at a time, checked against what this client asked for.

use super::machine::{Incoming, State};
use super::outbound::Sending;
use super::{Client, Event, Fault, Received};
use crate::wire::{
    Ack, ConnAck, Disconnect, FixedHeader, Malformed, Packet, PacketType, Properties, PropertyId,
    Publish, QoS, ReasonCode, SubAck, Version,
};

/// What an acknowledgement takes in the output, in bytes, at most.
const ACK_LEN: usize = 5;

/// The refusal in a CONNACK that our version does not have, and that is to be understood all the
/// same. In the form of its own version a server says that it does not speak ours: one of MQTT 3
/// has a return code for that, one of 5.0 alone a Reason Code. And some of MQTT 3 have return codes
/// of their own, from 6 on, which are reserved.
fn foreign_refusal(ours: Version, body: &[u8]) -> Option<ReasonCode> {
    const UNSUPPORTED: ReasonCode = ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
    match (ours, body) {
        (Version::V5, [0, 1]) => Some(UNSUPPORTED),
        (Version::V5, _) => None,
        (_, &[0, code, _, ..]) if ReasonCode(code) == UNSUPPORTED => Some(UNSUPPORTED),
        (_, &[0, code]) if code > 5 => Some(ReasonCode(code)),
        _ => None,
    }
}

impl Client {
    /// Takes the packet at the front of `bytes`, if it is there whole. Call it again with the rest
    /// until nothing is consumed. A fault ends the connection.
    pub fn receive<'a>(&'a mut self, bytes: &'a [u8], now_ms: u64) -> Result<Received<'a>, Fault> {
        if self.is_ended() {
            return Ok(Received {
                consumed: bytes.len(),
                event: None,
            });
        }
        let outcome = match self.front_packet(bytes) {
            Ok(None) => {
                return Ok(Received {
                    consumed: 0,
                    event: None,
                });
            }
            Ok(Some((consumed, packet))) => {
                self.last_in_ms = now_ms;
                self.handle(packet).map(|event| (consumed, event))
            }
            Err(malformed) => Err(Fault::Packet(malformed)),
        };
        let (consumed, mut event) = outcome.map_err(|fault| self.fail(fault))?;
        match &mut event {
            Some(Event::Message(message)) if message.topic.is_empty() => {
                // `handle` has checked that the alias is known.
                let alias = usize::from(message.topic_alias.unwrap_or(1));
                message.topic = &self.aliases_in[alias - 1];
            }
            _ => {}
        }
        Ok(Received { consumed, event })
    }

    /// Decodes the front packet; refuses one by its header where that is enough.
    fn front_packet<'a>(&self, bytes: &'a [u8]) -> Result<Option<(usize, Packet<'a>)>, Malformed> {
        let Some(header) = FixedHeader::read(bytes)? else {
            return Ok(None);
        };
        header.check_flags(self.options.version)?;
        let packet_type = header.packet_type()?;
        if !packet_type.comes_from_server() {
            return Err(Malformed::protocol("a packet that only clients send"));
        }
        let first = matches!(self.state, State::AwaitConnAck { .. });
        if first != (packet_type == PacketType::ConnAck) {
            return Err(Malformed::protocol(if first {
                "something else than CONNACK came first"
            } else {
                "a second CONNACK"
            }));
        }
        if header.total() > self.options.packet_max() {
            return Err(Malformed {
                reason: ReasonCode::PACKET_TOO_LARGE,
                what: "a packet larger than this client takes",
            });
        }
        let (start, end) = (usize::from(header.len), header.total());
        let Some(body) = bytes.get(start..end) else {
            return Ok(None);
        };
        let refusal = match packet_type {
            PacketType::ConnAck => foreign_refusal(self.options.version, body),
            _ => None,
        };
        let packet = match refusal {
            Some(reason) => Packet::ConnAck(ConnAck {
                session_present: false,
                reason,
                properties: Properties::default(),
            }),
            None => Packet::decode(self.options.version, header, body, true)?,
        };
        Ok(Some((end, packet)))
    }

    fn handle<'a>(&mut self, packet: Packet<'a>) -> Result<Option<Event<'a>>, Fault> {
        match packet {
            Packet::ConnAck(connack) => self.connack(connack).map(Some),
            Packet::Publish(publish) => self.message(publish),
            Packet::PubAck(ack) => self.puback(ack),
            Packet::PubRec(ack) => self.pubrec(ack),
            Packet::PubRel(ack) => self.pubrel(ack).map(|()| None),
            Packet::PubComp(ack) => self.pubcomp(ack),
            Packet::SubAck(ack) => {
                self.answered(PacketType::SubAck, &ack)?;
                Ok(Some(Event::Subscribed(ack)))
            }
            Packet::UnsubAck(ack) => {
                self.answered(PacketType::UnsubAck, &ack)?;
                Ok(Some(Event::Unsubscribed(ack)))
            }
            Packet::PingResp => {
                log::debug!("Client {} received PINGRESP", self.name());
                self.ping_since_ms = None;
                Ok(None)
            }
            Packet::Disconnect(disconnect) => self.disconnected(disconnect).map(Some),
            Packet::Auth(_) => {
                let what = "AUTH without an authentication method";
                Err(Malformed::protocol(what).into())
            }
            // `front_packet` refuses what only clients send.
            Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                Err(Malformed::protocol("a packet that only clients send").into())
            }
        }
    }

    fn connack<'a>(&mut self, connack: ConnAck<'a>) -> Result<Event<'a>, Fault> {
        let reason = connack.reason;
        let assigned = PropertyId::AssignedClientIdentifier;
        match connack.properties.text(assigned) {
            Some(id) if reason == ReasonCode::SUCCESS => id.clone_into(&mut self.identifier),
            _ => {}
        }
        log::debug!("Client {} received CONNACK ({})", self.name(), reason.0);
        if reason != ReasonCode::SUCCESS {
            self.state = State::Ended;
            return Ok(Event::Refused(connack));
        }
        let clean = self.options.clean_start && self.options.version != Version::V31;
        if connack.session_present && clean {
            // [MQTT-3.2.2-2]
            let what = "a session is present after a clean start";
            return Err(Malformed::protocol(what).into());
        }
        self.server.learn(&connack);
        self.state = State::Open;
        if !connack.session_present {
            self.incoming.0.clear();
        }
        let dup = connack.session_present;
        for entry in &mut self.in_flight {
            entry.state = Sending::Due { dup };
        }
        self.send_due();
        Ok(Event::Connected(connack))
    }

    fn message<'a>(&mut self, publish: Publish<'a>) -> Result<Option<Event<'a>>, Fault> {
        self.learn_alias(&publish)?;
        log::debug!(
            "Client {} received PUBLISH (d{}, q{}, r{}, m{}, '{}', ... ({} bytes))",
            self.name(),
            u8::from(publish.dup),
            publish.qos as u8,
            u8::from(publish.retain),
            publish.packet_id,
            String::from_utf8_lossy(publish.topic),
            publish.payload.len(),
        );
        if matches!(self.state, State::Finishing { .. }) {
            return Ok(None);
        }
        if publish.qos == QoS::AtMostOnce {
            return Ok(Some(Event::Message(publish)));
        }
        match (publish.qos, self.incoming.get(publish.packet_id)) {
            (_, None) => {}
            (QoS::ExactlyOnce, Some(Incoming::AwaitRel)) => {
                // Sent again: it was delivered, only our PUBREC was lost [MQTT-4.3.3-10].
                self.charge_ack(ACK_LEN)?;
                self.put_ack(PacketType::PubRec, publish.packet_id, ReasonCode::SUCCESS);
                return Ok(None);
            }
            _ => return Err(Malformed::protocol("a packet identifier that is in use").into()),
        }
        if self.incoming.0.len() >= self.options.receive_maximum() {
            return Err(Fault::Packet(Malformed {
                reason: ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
                what: "more messages in flight than this client's Receive Maximum",
            }));
        }
        self.charge_ack(ACK_LEN)?;
        self.incoming.set(publish.packet_id, Incoming::Delivered);
        Ok(Some(Event::Message(publish)))
    }

    /// Learns the topic behind an alias, or checks that it is known.
    fn learn_alias(&mut self, publish: &Publish<'_>) -> Result<(), Fault> {
        let Some(alias) = publish.topic_alias else {
            return Ok(());
        };
        if alias > self.options.topic_alias_maximum() {
            return Err(Fault::Packet(Malformed {
                reason: ReasonCode::TOPIC_ALIAS_INVALID,
                what: "a topic alias above this client's maximum",
            }));
        }
        // A topic alias is never 0: `wire` has checked it.
        let index = usize::from(alias) - 1;
        if publish.topic.is_empty() {
            return match self.aliases_in.get(index) {
                Some(topic) if !topic.is_empty() => Ok(()),
                _ => Err(Malformed::protocol("a topic alias that stands for nothing").into()),
            };
        }
        if self.aliases_in.len() <= index {
            self.aliases_in.resize(index + 1, Box::default());
        }
        self.aliases_in[index] = publish.topic.into();
        Ok(())
    }

    fn puback<'a>(&mut self, ack: Ack<'a>) -> Result<Option<Event<'a>>, Fault> {
        self.trace_ack(PacketType::PubAck, &ack);
        match self.position(ack.packet_id) {
            None => Ok(None),
            Some(i) if self.in_flight[i].state == Sending::AwaitAck => Ok(Some(self.done(i, &ack))),
            Some(_) => Err(Malformed::protocol("PUBACK for a message of QoS 2").into()),
        }
    }

    fn pubrec<'a>(&mut self, ack: Ack<'a>) -> Result<Option<Event<'a>>, Fault> {
        log::debug!(
            "Client {} received PUBREC (Mid: {})",
            self.name(),
            ack.packet_id
        );
        let Some(i) = self.position(ack.packet_id) else {
            // It is over for us: answer, so that it is for the server too.
            self.charge_ack(ACK_LEN)?;
            let reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
            self.put_ack(PacketType::PubRel, ack.packet_id, reason);
            return Ok(None);
        };
        match self.in_flight[i].state {
            Sending::AwaitRec if ack.reason.is_error() => return Ok(Some(self.done(i, &ack))),
            Sending::AwaitRec | Sending::AwaitComp => {}
            _ => return Err(Malformed::protocol("PUBREC for a message of QoS 1").into()),
        }
        self.in_flight[i].state = Sending::AwaitComp;
        self.in_flight[i].packet = Box::default();
        self.charge_ack(ACK_LEN)?;
        self.put_ack(PacketType::PubRel, ack.packet_id, ReasonCode::SUCCESS);
        Ok(None)
    }

    fn pubcomp<'a>(&mut self, ack: Ack<'a>) -> Result<Option<Event<'a>>, Fault> {
        self.trace_ack(PacketType::PubComp, &ack);
        match self.position(ack.packet_id) {
            None => Ok(None),
            Some(i) if self.in_flight[i].state == Sending::AwaitComp => {
                // Not found: we sent PUBREL a second time. The message was taken all the same.
                let ack = Ack {
                    reason: ReasonCode::SUCCESS,
                    ..ack
                };
                Ok(Some(self.done(i, &ack)))
            }
            Some(_) => Err(Malformed::protocol("PUBCOMP before PUBREC").into()),
        }
    }

    fn pubrel(&mut self, ack: Ack<'_>) -> Result<(), Fault> {
        log::debug!(
            "Client {} received PUBREL (Mid: {})",
            self.name(),
            ack.packet_id
        );
        if self.incoming.get(ack.packet_id) == Some(Incoming::Delivered) {
            return Err(Malformed::protocol("PUBREL before PUBREC").into());
        }
        // An identifier that is not known is answered too: it may be from before a restart.
        self.incoming.remove(ack.packet_id);
        self.charge_ack(ACK_LEN)?;
        self.put_ack(PacketType::PubComp, ack.packet_id, ReasonCode::SUCCESS);
        self.finish_if_idle();
        Ok(())
    }

    /// Checks that a SUBACK or UNSUBACK answers a request of ours, filter for filter.
    fn answered(&mut self, answer: PacketType, ack: &SubAck<'_>) -> Result<(), Fault> {
        log::debug!("Client {} received {}", self.name(), answer.name());
        let position = self
            .requests
            .iter()
            .position(|request| request.packet_id == ack.packet_id && request.answer == answer)
            .ok_or(Malformed::protocol("an answer to a request never made"))?;
        let request = self.requests.swap_remove(position);
        let has_codes = answer == PacketType::SubAck || self.options.version == Version::V5;
        if has_codes && ack.codes.len() != request.filters {
            let what = "an answer with another number of codes than filters asked for";
            return Err(Malformed::protocol(what).into());
        }
        Ok(())
    }

    fn disconnected<'a>(&mut self, disconnect: Disconnect<'a>) -> Result<Event<'a>, Fault> {
        if self.options.version != Version::V5 {
            return Err(Malformed::protocol("DISCONNECT from a server").into());
        }
        log::debug!(
            "Client {} received DISCONNECT ({})",
            self.name(),
            disconnect.reason.0
        );
        self.state = State::Ended;
        Ok(Event::Disconnected(disconnect))
    }

    fn position(&self, packet_id: u16) -> Option<usize> {
        let due = |state| matches!(state, Sending::Due { .. });
        self.in_flight
            .iter()
            .position(|entry| entry.packet_id == packet_id && !due(entry.state))
    }

    /// Forgets the message at `i` and lets the next one that is due go.
    fn done<'a>(&mut self, i: usize, ack: &Ack<'a>) -> Event<'a> {
        self.in_flight.remove(i);
        self.send_due();
        self.finish_if_idle();
        Event::Published {
            packet_id: ack.packet_id,
            reason: ack.reason,
            reason_string: ack.properties.text(PropertyId::ReasonString),
        }
    }

    fn trace_ack(&self, packet: PacketType, ack: &Ack<'_>) {
        log::debug!(
            "Client {} received {} (Mid: {}, RC:{})",
            self.name(),
            packet.name(),
            ack.packet_id,
            ack.reason.0
        );
    }
}
