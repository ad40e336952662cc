//! What a CONNECT may ask for, before anything is known of who sends it.

use super::{Broker, ConnId};
use crate::wire::{Connect, PropertyId, ReasonCode, Version};

/// A CONNECT that is not accepted.
pub(super) struct Refusal {
    pub(super) reason: ReasonCode,
    pub(super) what: &'static str,
}

/// A refusal, and what the log says of it.
pub(super) const fn refusal(reason: ReasonCode, what: &'static str) -> Refusal {
    Refusal { reason, what }
}

impl Broker {
    /// Everything that can be said without knowing the user.
    pub(super) fn judge_connect(
        &mut self,
        id: ConnId,
        connect: &Connect<'_>,
    ) -> Result<(), Refusal> {
        let Some(conn) = self.connections.get(id.index as usize) else {
            return Ok(());
        };
        let listener = &self.settings.listeners[usize::from(conn.peer.listener)];
        if !listener.accept_protocol_versions[connect.version as usize - 3] {
            let what = "this version is not spoken here (accept_protocol_versions)";
            return Err(refusal(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, what));
        }
        if connect
            .properties
            .find(PropertyId::AuthenticationMethod)
            .is_some()
        {
            // [MQTT-4.12.0-1]
            let what = "no authentication method is offered";
            return Err(refusal(ReasonCode::BAD_AUTHENTICATION_METHOD, what));
        }
        if let Some(will) = &connect.will {
            if will.qos > listener.max_qos {
                return Err(refusal(
                    ReasonCode::QOS_NOT_SUPPORTED,
                    "will QoS above max_qos",
                ));
            }
            if will.retain && !self.settings.retain_available {
                let what = "a retained will although retain_available is false";
                return Err(refusal(ReasonCode::RETAIN_NOT_SUPPORTED, what));
            }
            if let Some(reason) = self.judge_will_size(connect.version, will.payload.len()) {
                let what = "a will of more than message_size_limit";
                return Err(refusal(reason, what));
            }
            let levels = crate::topic::level_count(will.topic.as_bytes());
            let len = will.topic.len() + listener.mount_point.len();
            let is_long = levels > self.settings.max_topic_levels || len > usize::from(u16::MAX);
            if crate::topic::is_reserved(will.topic.as_bytes()) || is_long {
                return Err(refusal(
                    ReasonCode::TOPIC_NAME_INVALID,
                    "a will topic not accepted",
                ));
            }
        }
        let max = self.settings.max_keepalive;
        let keep_alive_s = connect.keep_alive_s;
        if max != 0 && (keep_alive_s == 0 || keep_alive_s > max) && connect.version != Version::V5 {
            let what = "keep alive above max_keepalive";
            return Err(refusal(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, what));
        }
        if listener.use_username_as_clientid {
            let what = "no user name to use as client id";
            let none = refusal(ReasonCode::NOT_AUTHORIZED, what);
            return connect.username.map(|_| ()).ok_or(none);
        }
        self.judge_client_id(connect, usize::from(conn.peer.listener))
    }

    /// A will that would not be taken as a message: its client is not around to be told later.
    fn judge_will_size(&self, version: Version, len: usize) -> Option<ReasonCode> {
        let limit = self.settings.message_size_limit;
        // 3.x has no code for it; Mosquitto's choice is 5.
        (limit != 0 && len > limit).then_some(match version {
            Version::V5 => ReasonCode::PACKET_TOO_LARGE,
            _ => ReasonCode::NOT_AUTHORIZED,
        })
    }

    fn judge_client_id(&self, connect: &Connect<'_>, listener: usize) -> Result<(), Refusal> {
        let listener = &self.settings.listeners[listener];
        let refused = |what| Err(refusal(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, what));
        let mut client_id = connect.client_id;
        if client_id.is_empty() {
            match connect.version {
                Version::V31 => return refused("an empty client id in MQTT 3.1"),
                // [MQTT-3.1.3-8]
                Version::V311 if !connect.clean_start => {
                    return refused("an empty client id without clean session");
                }
                _ if !listener.allow_zero_length_clientid => return refused("an empty client id"),
                // What is made up has to begin as any other.
                _ => client_id = &listener.auto_id_prefix,
            }
        }
        match &listener.clientid_prefixes {
            Some(prefix) if !client_id.starts_with(prefix.as_str()) => {
                let what = "client id does not begin with clientid_prefixes";
                Err(refusal(ReasonCode::NOT_AUTHORIZED, what))
            }
            _ => Ok(()),
        }
    }
}
