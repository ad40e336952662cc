//! Wills: what is published for a client that went without a good bye.

use super::Broker;
use super::publish::Publisher;
use super::session::SessionId;
use super::timer::At;
use crate::store::journal::record;
use crate::wire::{Properties, PropertyId, Publish, QoS, Will};

/// A will with everything it needs to be published later.
pub(super) struct StoredWill {
    topic: Box<str>,
    payload: Box<[u8]>,
    /// The properties that are forwarded, encoded.
    properties: Box<[u8]>,
    qos: QoS,
    retain: bool,
    expiry_s: Option<u32>,
    /// Will Delay Interval.
    pub(super) delay_s: u32,
}

impl StoredWill {
    /// Copies a will out of its CONNECT; `mount_point` goes in front of its topic.
    pub(super) fn new(will: &Will<'_>, mount_point: &str) -> StoredWill {
        let mut properties = Vec::new();
        for property in will.properties.iter() {
            match property.id {
                PropertyId::WillDelayInterval | PropertyId::MessageExpiryInterval => {}
                _ => properties.extend_from_slice(property.raw),
            }
        }
        StoredWill {
            topic: [mount_point, will.topic].concat().into(),
            payload: will.payload.into(),
            properties: properties.into(),
            qos: will.qos,
            retain: will.retain,
            expiry_s: will.properties.integer(PropertyId::MessageExpiryInterval),
            delay_s: will
                .properties
                .integer(PropertyId::WillDelayInterval)
                .unwrap_or(0),
        }
    }
}

impl StoredWill {
    /// Bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        size_of::<StoredWill>() + self.topic.len() + self.payload.len() + self.properties.len()
    }

    /// The will as the journal has it.
    pub(super) fn describe(&self) -> record::Will<'_> {
        record::Will {
            topic: &self.topic,
            payload: &self.payload,
            properties: &self.properties,
            qos: self.qos,
            retain: self.retain,
            expiry_s: self.expiry_s,
            delay_s: self.delay_s,
        }
    }

    /// The will that the journal had.
    pub(super) fn from_record(will: &record::Will<'_>) -> StoredWill {
        StoredWill {
            topic: will.topic.into(),
            payload: will.payload.into(),
            properties: will.properties.into(),
            qos: will.qos,
            retain: will.retain,
            expiry_s: will.expiry_s,
            delay_s: will.delay_s,
        }
    }
}

impl Broker {
    /// Publishes the will of a session, once [MQTT-3.1.2-10], if its client may write there.
    pub(super) fn publish_will(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        session.will_at = At::NEVER;
        let Some(will) = session.will.take() else {
            return;
        };
        let publish = Publish {
            qos: will.qos,
            retain: will.retain,
            topic: will.topic.as_bytes(),
            expiry_s: will.expiry_s,
            properties: Properties::from_encoded(&will.properties),
            payload: &will.payload,
            ..Publish::default()
        };
        if !self.may_write(id, publish.topic) {
            log::debug!("Denied will of {}", self.sessions.get(id).name());
            return;
        }
        self.publish_now(Publisher::Session(id), b"", &publish);
    }
}
