//! How a client of a story speaks: a builder for CONNECT, then verbs of the protocol.

use std::cell::Cell;

use crate::common::encode::encode;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

/// A client that is about to connect.
pub struct Dial {
    world: World,
    version: Version,
    connect: Connect,
    address: String,
    listener: u16,
}

impl Dial {
    pub(crate) fn new(world: World, version: Version, client_id: &str) -> Dial {
        let connect = Connect::new(version, client_id);
        let address = "192.0.2.1:50000".to_string();
        Dial {
            world,
            version,
            connect,
            address,
            listener: 0,
        }
    }

    /// Clean Start, or CleanSession before 5.0.
    pub fn clean(mut self, clean: bool) -> Dial {
        self.connect.clean_start = clean;
        self
    }

    /// A session that is resumed and outlives its connection, in the words of any version.
    pub fn durable(self) -> Dial {
        let v5 = self.version == Version::V5;
        let dial = self.clean(false);
        if v5 {
            dial.with(Property::SessionExpiryInterval(u32::MAX))
        } else {
            dial
        }
    }

    pub fn keep_alive(mut self, s: u16) -> Dial {
        self.connect.keep_alive_s = s;
        self
    }

    pub fn with(mut self, property: Property) -> Dial {
        self.connect.properties.push(property);
        self
    }

    pub fn will(mut self, will: Will) -> Dial {
        self.connect.will = Some(will);
        self
    }

    pub fn user(mut self, name: &str) -> Dial {
        self.connect.user_name = Some(name.to_string());
        self
    }

    pub fn password(mut self, password: impl AsRef<[u8]>) -> Dial {
        self.connect.password = Some(password.as_ref().to_vec());
        self
    }

    /// The bytes of the protocol name and level, for those who say something else.
    pub fn protocol(mut self, name: &str, level: u8) -> Dial {
        self.connect.protocol_name = name.to_string();
        self.connect.protocol_level = level;
        self
    }

    /// The listener that is dialled, by its place in the settings.
    pub fn listener(mut self, listener: u16) -> Dial {
        self.listener = listener;
        self
    }

    /// Sends CONNECT and expects nothing in particular.
    pub fn dial(self) -> Client {
        let client = self
            .world
            .link_to(self.version, &self.address, self.listener)
            .expect("the broker accepts the connection");
        client.send(self.connect);
        client
    }

    /// Sends CONNECT and is welcomed.
    #[track_caller]
    pub fn connect(self) -> Client {
        let mut client = self.dial();
        match client.next() {
            Packet::ConnAck(connack) => {
                assert_eq!(connack.code, 0, "the broker refused: {connack:?}");
                client.connack = Some(connack);
            }
            other => panic!("expected CONNACK, got {other:?}"),
        }
        client
    }

    /// Sends CONNECT, is refused, and sees the connection closed; the CONNACK's code.
    #[track_caller]
    pub fn refused(self) -> u8 {
        let client = self.dial();
        let Packet::ConnAck(connack) = client.next() else {
            panic!("expected CONNACK")
        };
        assert_ne!(connack.code, 0, "the broker accepted");
        assert!(
            !connack.session_present,
            "session present in a refusing CONNACK"
        );
        assert_eq!(connack.properties, [], "properties in a refusing CONNACK");
        client.expect_closed();
        connack.code
    }
}

/// One network connection of a client.
pub struct Client {
    pub(crate) world: World,
    pub(crate) link: usize,
    pub version: Version,
    pub(crate) connack: Option<ConnAck>,
    pub(crate) next_id: Cell<u16>,
}

/// What comes in.
impl Client {
    /// The CONNACK that welcomed this client.
    pub fn connack(&self) -> &ConnAck {
        self.connack
            .as_ref()
            .expect("the client was connected with connect()")
    }

    pub fn session_present(&self) -> bool {
        self.connack().session_present
    }

    /// The next packet, which must have come.
    #[track_caller]
    pub fn next(&self) -> Packet {
        match self.world.next(self.link) {
            Some(packet) => packet,
            None if self.is_closed() => panic!("nothing came, and the connection was closed"),
            None => panic!("nothing came"),
        }
    }

    /// The next packet is exactly this one.
    #[track_caller]
    pub fn expect(&self, packet: impl Into<Packet>) {
        assert_eq!(self.next(), packet.into());
    }

    /// Nothing came, and the connection is open.
    #[track_caller]
    pub fn expect_nothing(&self) {
        assert_eq!(self.world.inbox(self.link), [], "something came");
        assert!(!self.is_closed(), "the connection was closed");
    }

    /// The broker closed the connection, and said nothing more.
    #[track_caller]
    pub fn expect_closed(&self) {
        assert_eq!(
            self.world.inbox(self.link),
            [],
            "something came before the close"
        );
        assert!(self.is_closed(), "the connection is open");
    }

    /// The broker ended the connection; to a 5.0 client it said why.
    #[track_caller]
    pub fn expect_end(&self, reason: u8) {
        if self.version == Version::V5 {
            match self.next() {
                Packet::Disconnect(disconnect) => {
                    assert_eq!(disconnect.code, reason, "another reason: {disconnect:?}");
                }
                other => panic!("expected DISCONNECT, got {other:?}"),
            }
        }
        self.expect_closed();
    }

    pub fn is_closed(&self) -> bool {
        self.world.is_closed(self.link)
    }

    /// What waits in the inbox, left there.
    pub fn inbox(&self) -> Vec<Packet> {
        self.world.inbox(self.link)
    }

    /// The next packet, if one came.
    pub fn take_first(&self) -> Option<Packet> {
        self.world.next(self.link)
    }

    /// Empties the inbox.
    pub fn take_all(&self) -> Vec<Packet> {
        std::iter::from_fn(|| self.world.next(self.link)).collect()
    }

    /// The next packet is a PUBLISH; it is not acknowledged.
    #[track_caller]
    pub fn publication(&self) -> Publish {
        match self.next() {
            Packet::Publish(publish) => publish,
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }

    /// The next packet is a PUBLISH, and is acknowledged to the end.
    #[track_caller]
    pub fn message(&self) -> Publish {
        let publish = self.publication();
        self.acknowledge(&publish);
        publish
    }

    /// The next packet is a PUBLISH of this topic and payload, and is acknowledged to the end.
    #[track_caller]
    pub fn hear(&self, topic: &str, payload: &str) -> Publish {
        let publish = self.message();
        assert_eq!(
            (publish.topic.as_str(), publish.text().as_str()),
            (topic, payload)
        );
        publish
    }

    /// Everything that came, all of it PUBLISH, acknowledged to the end; the payloads.
    #[track_caller]
    pub fn payloads(&self) -> Vec<String> {
        let mut payloads = Vec::new();
        while !self.inbox().is_empty() {
            payloads.push(self.message().text());
        }
        payloads
    }

    /// Plays the receiver's part for a PUBLISH.
    #[track_caller]
    pub fn acknowledge(&self, publish: &Publish) {
        let id = publish.packet_id;
        match publish.qos {
            0 => {}
            1 => self.send(Packet::PubAck(Ack::new(id))),
            _ => {
                self.send(Packet::PubRec(Ack::new(id)));
                self.take("PUBREL", |p| *p == Packet::PubRel(Ack::new(id)));
                self.send(Packet::PubComp(Ack::new(id)));
            }
        }
    }

    /// Takes the first packet that fits out of the inbox, over others that wait.
    #[track_caller]
    pub fn take(&self, what: &str, fits: impl Fn(&Packet) -> bool) -> Packet {
        match self.world.take(self.link, fits) {
            Some(packet) => packet,
            None => panic!("no {what} came; the inbox: {:?}", self.inbox()),
        }
    }
}

/// What goes out.
impl Client {
    /// Sends one packet.
    pub fn send(&self, packet: impl Into<Packet>) {
        let packet = packet.into();
        self.world.sent(self.link, &packet);
        self.world.input(self.link, &encode(self.version, &packet));
    }

    /// Sends bytes as they are.
    pub fn raw(&self, bytes: &[u8]) {
        self.world.input(self.link, bytes);
    }

    /// Sends bytes and takes what the broker writes in answer as bytes, unread.
    pub fn raw_unread(&self, bytes: &[u8]) -> Vec<u8> {
        self.world.seam(|seam| {
            seam.input(self.link, bytes);
            seam.take_output(self.link)
        })
    }

    /// Sends several packets in one go, as a client does that does not wait for answers.
    pub fn send_all(&self, packets: &[Packet]) {
        let mut bytes = Vec::new();
        for packet in packets {
            self.world.sent(self.link, packet);
            bytes.extend(encode(self.version, packet));
        }
        self.world.input(self.link, &bytes);
    }

    /// A packet identifier that this client did not use yet.
    pub fn id(&self) -> u16 {
        self.next_id.set(self.next_id.get() + 1);
        self.next_id.get()
    }

    /// Subscribes to one filter; the SUBACK's code.
    #[track_caller]
    pub fn subscribe(&self, filter: &str, options: u8) -> u8 {
        self.subscribe_with(Subscribe::new(self.id()).filter(filter, options))
            .codes[0]
    }

    /// Sends a SUBSCRIBE; its SUBACK. Messages that came stay in the inbox.
    #[track_caller]
    pub fn subscribe_with(&self, subscribe: Subscribe) -> SubAck {
        let id = subscribe.packet_id;
        self.send(subscribe);
        let is_answer = |p: &Packet| matches!(p, Packet::SubAck(a) if a.packet_id == id);
        match self.take("SUBACK", is_answer) {
            Packet::SubAck(suback) => suback,
            _ => unreachable!("take() looked for a SUBACK"),
        }
    }

    /// Unsubscribes from one filter; the UNSUBACK's codes, none before 5.0.
    #[track_caller]
    pub fn unsubscribe(&self, filter: &str) -> Vec<u8> {
        let id = self.id();
        self.send(Unsubscribe::new(id).filter(filter));
        let is_answer = |p: &Packet| matches!(p, Packet::UnsubAck(a) if a.packet_id == id);
        match self.take("UNSUBACK", is_answer) {
            Packet::UnsubAck(unsuback) => unsuback.codes,
            _ => unreachable!("take() looked for an UNSUBACK"),
        }
    }

    /// Publishes text and sees it acknowledged to the end; the reason code.
    #[track_caller]
    pub fn say(&self, topic: &str, payload: &str, qos: u8) -> u8 {
        self.publish(Publish::new(topic, payload).qos(qos))
    }

    /// Publishes retained text and sees it acknowledged to the end.
    #[track_caller]
    pub fn retain(&self, topic: &str, payload: &str, qos: u8) -> u8 {
        self.publish(Publish::new(topic, payload).qos(qos).retain())
    }

    /// Publishes and sees it acknowledged to the end; the reason code of PUBACK or PUBREC.
    ///
    /// Without a packet identifier in `publish`, one is taken.
    #[track_caller]
    pub fn publish(&self, mut publish: Publish) -> u8 {
        if publish.qos > 0 && publish.packet_id == 0 {
            publish.packet_id = self.id();
        }
        let (id, qos) = (publish.packet_id, publish.qos);
        self.send(publish);
        let answer = |name: &'static str| {
            let fits = |p: &Packet| p.name() == name && acknowledged_id(p) == Some(id);
            match self.take(name, fits) {
                Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => ack.code,
                _ => unreachable!("take() looked for an acknowledgement"),
            }
        };
        match qos {
            0 => 0,
            1 => answer("PUBACK"),
            _ => {
                let code = answer("PUBREC");
                if code < 0x80 {
                    self.send(Packet::PubRel(Ack::new(id)));
                    assert_eq!(answer("PUBCOMP"), 0);
                }
                code
            }
        }
    }

    /// Asks for a PINGRESP and gets it.
    #[track_caller]
    pub fn ping(&self) {
        self.send(Packet::PingReq);
        self.take("PINGRESP", |p| *p == Packet::PingResp);
    }

    /// Leaves in good order.
    #[track_caller]
    pub fn disconnect(&self) {
        self.disconnect_with(Disconnect::new(0));
    }

    /// Leaves with a reason code or properties; the broker closes and says nothing.
    #[track_caller]
    pub fn disconnect_with(&self, disconnect: Disconnect) {
        self.send(disconnect);
        assert!(self.is_closed(), "the broker closes after DISCONNECT");
    }

    /// The network connection breaks without a DISCONNECT.
    pub fn drop_link(&self) {
        self.world.seam(|seam| seam.hang_up(self.link));
    }
}

/// How the socket behaves.
impl Client {
    /// From now on the broker gets at most `n` bytes at a time from this client.
    pub fn cut_input(&self, n: usize) {
        self.world.set_piece(self.link, n);
    }

    /// From now on the socket takes at most `n` bytes at a time; with 0 it takes nothing.
    pub fn cut_output(&self, n: usize) {
        self.world.seam(|seam| seam.set_room(self.link, n));
    }
}

fn acknowledged_id(packet: &Packet) -> Option<u16> {
    match packet {
        Packet::PubAck(a) | Packet::PubRec(a) | Packet::PubRel(a) | Packet::PubComp(a) => {
            Some(a.packet_id)
        }
        _ => None,
    }
}
