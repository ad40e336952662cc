//! CONNACK: what the server tells a client about itself.

use super::{Broker, ConnId};
use crate::store::journal::Place;
use crate::wire::{
    ConnAck, Connect, PacketType, Properties, PropertyId, QoS, ReasonCode, Value, Version,
};

/// What an accepting CONNACK says that the settings don't know.
pub(super) struct Greeting<'a> {
    pub(super) session_present: bool,
    pub(super) assigned_client_id: Option<&'a str>,
}

impl Broker {
    /// Sends the CONNACK that accepts.
    ///
    /// The properties come in Mosquitto's order: what applies of Server Keep Alive, Topic Alias
    /// Maximum, Assigned Client Identifier, Retain Available, Maximum Packet Size, Receive Maximum,
    /// Maximum QoS. None of them may be left out for the client's Maximum Packet Size: a client
    /// that has no room for them cannot be served.
    pub(super) fn greet(&mut self, id: ConnId, connect: &Connect<'_>, greeting: &Greeting<'_>) {
        let Some(conn) = self.connections.get(id.index as usize) else {
            return;
        };
        let listener = &self.settings.listeners[usize::from(conn.peer.listener)];
        let mut raw = Vec::new();
        let mut add = |id: PropertyId, value: Value<'_>| id.encode(value, &mut raw);
        let max_keepalive = self.settings.max_keepalive;
        if max_keepalive != 0 && (connect.keep_alive_s == 0 || connect.keep_alive_s > max_keepalive)
        {
            add(
                PropertyId::ServerKeepAlive,
                Value::Integer(max_keepalive.into()),
            );
        }
        if listener.max_topic_alias > 0 {
            add(
                PropertyId::TopicAliasMaximum,
                Value::Integer(listener.max_topic_alias.into()),
            );
        }
        if let Some(client_id) = greeting.assigned_client_id {
            add(PropertyId::AssignedClientIdentifier, Value::Text(client_id));
        }
        if !self.settings.retain_available {
            add(PropertyId::RetainAvailable, Value::Integer(0));
        }
        if self.settings.max_packet_size > 0 {
            let size = self.settings.max_packet_size as u32;
            add(PropertyId::MaximumPacketSize, Value::Integer(size));
        }
        if self.settings.max_inflight_messages > 0 {
            let maximum = self.settings.max_inflight_messages.into();
            add(PropertyId::ReceiveMaximum, Value::Integer(maximum));
        }
        if listener.max_qos < QoS::ExactlyOnce {
            add(
                PropertyId::MaximumQoS,
                Value::Integer(listener.max_qos as u32),
            );
        }
        let connack = ConnAck {
            // There is no such flag in MQTT 3.1.
            session_present: greeting.session_present && connect.version != Version::V31,
            reason: ReasonCode::SUCCESS,
            properties: Properties::from_encoded(&raw),
        };
        let mut bytes = Vec::new();
        connack.encode(connect.version, &mut bytes);
        if !self.fits(id, bytes.len()) {
            let name = self.describe(id);
            let what = "its Maximum Packet Size has no room for CONNACK";
            log::info!(target: "notice", "Client {name} disconnected: {what}.");
            return self.close_quietly(id);
        }
        let present = u8::from(greeting.session_present);
        log::debug!("Sending CONNACK to {} ({present}, 0)", self.client_name(id));
        let gate = self.connack_gate(id);
        self.reply_encoded_at(id, PacketType::ConnAck, bytes, gate);
    }

    /// A CONNACK promises the session that it makes, or that the one before is gone.
    fn connack_gate(&mut self, id: ConnId) -> Place {
        if self.settings.ungated == Some(PacketType::ConnAck) {
            return Place::START;
        }
        let gate = self.journal.promise;
        self.wait_at_gate(id, gate);
        gate
    }

    /// Sends the CONNACK that refuses, if the version has a code for the reason.
    pub(super) fn send_refusal(&mut self, id: ConnId, version: Version, reason: ReasonCode) {
        let code = match version {
            Version::V5 => Some(reason.0),
            _ => reason.return_code(),
        };
        let Some(code) = code else { return };
        if let Some(conn) = self.conn(id) {
            log::debug!(
                "Sending CONNACK to {} (0, {code})",
                conn.peer.address.host()
            );
        }
        let connack = ConnAck {
            session_present: false,
            reason: ReasonCode(code),
            properties: Properties::default(),
        };
        let mut bytes = Vec::new();
        connack.encode(version, &mut bytes);
        self.reply_encoded(id, PacketType::ConnAck, bytes);
    }
}
