//! A client for the stories: it waits for each answer.

use crate::common::decode::{From, decode};
use crate::common::encode::encode;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::wait::LIMIT;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// A CONNECT for a session that outlives its connection.
pub fn lasting(version: Version, client_id: &str) -> Connect {
    let mut connect = Connect::new(version, client_id);
    connect.clean_start = false;
    if version == Version::V5 {
        connect.properties = vec![Property::SessionExpiryInterval(3600)];
    }
    connect
}

/// One end of a connection.
pub struct Client {
    stream: TcpStream,
    version: Version,
    heard: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream, version: Version) -> Client {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            version,
            heard: Vec::new(),
        }
    }

    /// CONNECT and its answer: whether the session was there.
    #[track_caller]
    pub fn sign_in(&mut self, connect: Connect) -> bool {
        self.say(connect);
        match self.hear() {
            Packet::ConnAck(ack) if ack.code == 0 => ack.session_present,
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Sends it; a broker that was killed is no failure here.
    pub fn say(&mut self, packet: impl Into<Packet>) {
        let _ = self.stream.write_all(&encode(self.version, &packet.into()));
    }

    /// The next packet.
    #[track_caller]
    pub fn hear(&mut self) -> Packet {
        match self.hear_or_end() {
            Some(packet) => packet,
            None => panic!("the broker closed the connection"),
        }
    }

    /// The next packet; none when the connection has ended.
    #[track_caller]
    pub fn hear_or_end(&mut self) -> Option<Packet> {
        loop {
            let decoded = decode(self.version, From::Server, &self.heard);
            if let Some((packet, len)) = decoded.expect("the broker sends valid packets") {
                self.heard.drain(..len);
                return Some(packet);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(n) => self.heard.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
                Err(e) => panic!("the broker keeps silent: {e}"),
            }
        }
    }

    #[track_caller]
    pub fn expect(&mut self, packet: impl Into<Packet>) {
        assert_eq!(self.hear(), packet.into());
    }

    /// The next packet, which has to be a PUBLISH with this payload.
    #[track_caller]
    pub fn message(&mut self, payload: &str) -> Publish {
        match self.hear() {
            Packet::Publish(publish) if publish.text() == payload => publish,
            other => panic!("not the message {payload:?} but {other:?}"),
        }
    }

    /// As `message`, and acknowledges QoS 1.
    #[track_caller]
    pub fn take(&mut self, payload: &str) -> Publish {
        let publish = self.message(payload);
        if publish.qos == 1 {
            self.say(Packet::PubAck(Ack::new(publish.packet_id)));
        }
        publish
    }

    /// Subscribes to one filter; the byte of options is a QoS and, in 5.0, more.
    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, options: u8) {
        self.subscribe_by(Subscribe::new(1).filter(filter, options));
    }

    #[track_caller]
    pub fn subscribe_by(&mut self, subscribe: Subscribe) {
        let codes: Vec<u8> = subscribe.filters.iter().map(|(_, o)| o & 3).collect();
        self.say(subscribe);
        self.expect(Packet::SubAck(SubAck::new(1, &codes)));
    }

    #[track_caller]
    pub fn unsubscribe(&mut self, filter: &str) {
        self.say(Unsubscribe::new(1).filter(filter));
        let answer = self.hear();
        assert!(matches!(answer, Packet::UnsubAck(_)), "{answer:?}");
    }

    /// Publishes at QoS 1 and waits for the PUBACK; nothing else may come before it.
    #[track_caller]
    pub fn publish(&mut self, publish: Publish) {
        self.say(publish.qos(1).id(9));
        let answer = self.hear();
        // No matching subscribers is a success too.
        assert!(
            matches!(&answer, Packet::PubAck(ack) if ack.packet_id == 9 && ack.code <= 0x10),
            "{answer:?}"
        );
    }

    /// A whole QoS 2 handshake as the sender.
    #[track_caller]
    pub fn publish_2(&mut self, publish: Publish, packet_id: u16) {
        self.say(publish.qos(2).id(packet_id));
        self.received(packet_id);
        self.release(packet_id);
    }

    /// The PUBREC of a publication.
    #[track_caller]
    pub fn received(&mut self, packet_id: u16) {
        let answer = self.hear();
        assert!(
            matches!(&answer, Packet::PubRec(a) if a.packet_id == packet_id && a.code <= 0x10),
            "{answer:?}"
        );
    }

    /// PUBREL, and its PUBCOMP.
    #[track_caller]
    pub fn release(&mut self, packet_id: u16) {
        self.say(Packet::PubRel(Ack::new(packet_id)));
        self.expect(Packet::PubComp(Ack::new(packet_id)));
    }

    /// Says good bye and waits for the end, so that the broker knows that it is gone.
    pub fn leave(mut self) {
        self.say(Disconnect::new(0));
        while self.hear_or_end().is_some() {}
    }

    /// Goes without a word, and waits until the broker has seen that.
    pub fn vanish(mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        while self.hear_or_end().is_some() {}
    }

    /// Every packet so far, and those that arrive before an answer to PINGREQ does.
    ///
    /// What was queued before is written before the answer only if the window has room for it.
    #[track_caller]
    pub fn ping(&mut self) -> Vec<Packet> {
        self.say(Packet::PingReq);
        let mut before = Vec::new();
        loop {
            match self.hear() {
                Packet::PingResp => return before,
                packet => before.push(packet),
            }
        }
    }
}
