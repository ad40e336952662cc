//! Rules that hold for every packet a server sends, checked on every link of every story.
//!
//! Form is checked by the naive decoder. Here are the rules that need the history of the
//! connection: what comes first and last, packet identifiers, Receive Maximum, aliases, sizes.

use std::collections::{HashMap, HashSet};

use crate::common::packet::*;
use crate::common::property::Property;

pub struct Watch {
    version: Version,
    connected: bool,
    ended: bool,
    receive_maximum: usize,
    packet_size_max: usize,
    alias_max: u16,
    aliases: HashMap<u16, String>,
    /// QoS 1 and 2 messages that the server began on this connection and that are not done.
    in_flight: HashSet<u16>,
    /// What the client answered with PUBREC on this connection.
    received: HashSet<u16>,
}

impl Watch {
    pub fn new(version: Version) -> Watch {
        Watch {
            version,
            connected: false,
            ended: false,
            receive_maximum: 65_535,
            packet_size_max: usize::MAX,
            alias_max: 0,
            aliases: HashMap::new(),
            in_flight: HashSet::new(),
            received: HashSet::new(),
        }
    }

    pub fn client_sent(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect(connect) if !self.connected => {
                for property in &connect.properties {
                    match *property {
                        Property::ReceiveMaximum(n) => self.receive_maximum = usize::from(n),
                        Property::MaximumPacketSize(n) if n > 0 => {
                            self.packet_size_max = n as usize;
                        }
                        Property::TopicAliasMaximum(n) => self.alias_max = n,
                        _ => {}
                    }
                }
            }
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                self.received.remove(&ack.packet_id);
                self.in_flight.remove(&ack.packet_id);
            }
            Packet::PubRec(ack) if ack.code < 0x80 => {
                self.received.insert(ack.packet_id);
            }
            Packet::PubRec(ack) => {
                self.in_flight.remove(&ack.packet_id);
            }
            _ => {}
        }
    }

    pub fn server_sent(&mut self, packet: &Packet, len: usize) {
        assert!(!self.ended, "a packet behind the last one: {packet:?}");
        assert!(
            len <= self.packet_size_max,
            "larger than the client allows: {packet:?}"
        );
        match packet {
            Packet::ConnAck(connack) => {
                assert!(!self.connected, "a second CONNACK: {packet:?}");
                self.connected = connack.code == 0;
                self.ended = connack.code != 0;
            }
            Packet::Auth(_) => {}
            _ => assert!(self.connected, "a packet before CONNACK: {packet:?}"),
        }
        match packet {
            Packet::Publish(publish) => self.publish(publish),
            // Without a PUBREC it is the first that this connection hears of the delivery.
            Packet::PubRel(ack) if !self.received.contains(&ack.packet_id) => {
                self.in_flight.insert(ack.packet_id);
            }
            Packet::Disconnect(_) => {
                assert_eq!(self.version, Version::V5, "DISCONNECT to a 3.x client");
                self.ended = true;
            }
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => panic!("a server does not send {packet:?}"),
            _ => {}
        }
    }

    fn publish(&mut self, publish: &Publish) {
        if publish.qos > 0 {
            let id = publish.packet_id;
            let fresh = self.in_flight.insert(id);
            assert!(fresh, "a packet identifier in use: {publish:?}");
            assert!(
                self.in_flight.len() <= self.receive_maximum,
                "beyond Receive Maximum"
            );
        }
        let alias = publish.properties.iter().find_map(|p| match p {
            Property::TopicAlias(alias) => Some(*alias),
            _ => None,
        });
        let Some(alias) = alias else { return };
        assert!(
            alias <= self.alias_max,
            "an alias beyond the client's maximum: {publish:?}"
        );
        if publish.topic.is_empty() {
            assert!(
                self.aliases.contains_key(&alias),
                "an alias without a topic: {publish:?}"
            );
        } else {
            self.aliases.insert(alias, publish.topic.clone());
        }
    }
}
