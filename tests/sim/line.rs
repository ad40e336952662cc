//! One connection of a client.

use crate::common::decode::{self, From};
use crate::common::encode::encode;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::host::Host;
use crate::note;

/// A connection of a client.
#[derive(Default)]
pub struct Line {
    pub socket: Option<usize>,
    pub is_welcome: bool,
    client_id: String,
    unread: Vec<u8>,
}

impl Line {
    pub fn is_up(&self, host: &Host) -> bool {
        self.socket.is_some_and(|socket| !host.is_closed(socket))
    }

    /// A new connection, without a word.
    pub fn begin(host: &mut Host, client_id: &str) -> Line {
        Line {
            socket: Some(host.connect()),
            client_id: client_id.to_owned(),
            ..Line::default()
        }
    }

    pub fn dial(&mut self, host: &mut Host, version: Version, client_id: &str, clean: bool) {
        *self = Line::begin(host, client_id);
        let mut connect = Connect::new(version, client_id);
        connect.clean_start = clean;
        if version == Version::V5 && !clean {
            connect.properties = vec![Property::SessionExpiryInterval(u32::MAX)];
        }
        self.send(host, version, connect);
    }

    pub fn send(&self, host: &mut Host, version: Version, packet: impl Into<Packet>) {
        if let Some(socket) = self.socket {
            let packet = packet.into();
            tell(&self.client_id, "says", &packet);
            host.send(socket, &encode(version, &packet));
        }
    }

    pub fn hang_up(&mut self, host: &mut Host) {
        if let Some(socket) = self.socket.take() {
            note(|| format!("{} hangs up", self.client_id));
            host.hang_up(socket);
        }
        self.is_welcome = false;
    }

    /// The packets that came.
    pub fn read(&mut self, host: &mut Host, version: Version) -> Result<Vec<Packet>, String> {
        let Some(socket) = self.socket else {
            return Ok(Vec::new());
        };
        self.unread.extend(host.output(socket));
        let mut packets = Vec::new();
        loop {
            match decode::decode(version, From::Server, &self.unread) {
                Ok(None) => return Ok(packets),
                Ok(Some((packet, len))) => {
                    tell(&self.client_id, "hears", &packet);
                    packets.push(packet);
                    self.unread.drain(..len);
                }
                Err(bad) => return Err(format!("a bad packet: {bad}")),
            }
        }
    }
}

/// For who looks at one world closely.
fn tell(client_id: &str, verb: &str, packet: &Packet) {
    note(|| match packet {
        Packet::Publish(publish) => {
            let text: String = publish.text().chars().take(20).collect();
            let Publish {
                packet_id,
                qos,
                dup,
                retain,
                topic,
                ..
            } = publish;
            let flags = format!("dup {dup} retain {retain}");
            format!("{client_id} {verb} PUBLISH {packet_id} qos {qos} {flags} {topic} {text}")
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            format!(
                "{client_id} {verb} {} {} {}",
                packet.name(),
                ack.packet_id,
                ack.code
            )
        }
        packet => format!("{client_id} {verb} {packet:?}"),
    });
}
