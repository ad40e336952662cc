//! Faults that a review found, each as the bytes that showed it.
//!
//! [`World`] is a broker with clients that are nothing but bytes: what a client may still take from
//! the network is a number, so a packet can be cut anywhere.

mod bursts;
mod cleaning;
mod delivery;
mod disk;
mod ends;
mod fight;
mod full;
mod kept;
mod ledger;
mod limits;
mod owed;
mod pace;
mod slices;
mod storm;

use super::{Broker, ConnId, ListenerSettings, Now, Peer, Settings};
use crate::store::journal::Read;
use crate::wire::{
    Ack, Connect, FixedHeader, Packet, PacketType, Properties, PropertyId, Publish, QoS,
    REMAINING_LENGTH_MAX, ReasonCode, RetainHandling, Subscribe, SubscribeFilter,
    SubscriptionOptions, Unsubscribe, Value, Version, Will,
};
use std::collections::VecDeque;

/// A client, by its place in the world.
type Client = usize;

struct Link {
    conn: ConnId,
    version: Version,
    /// What the broker did not consume.
    unread: Vec<u8>,
    /// What the client got and did not look at yet.
    inbox: Vec<u8>,
    /// How many bytes the network still takes towards the client.
    room: usize,
    is_closed: bool,
}

struct World {
    broker: Broker,
    now: Now,
    links: Vec<Link>,
    settings: Settings,
    /// Where it keeps what must survive; it does nothing by itself.
    disk: disk::Disk,
    /// What is to be read back, in order.
    reads: VecDeque<Read>,
}

/// How often outputs may be asked for before something came to rest.
const ROUNDS_MAX: usize = 10_000;

impl World {
    fn new(settings: Settings) -> World {
        let now = Now {
            mono_ms: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let settings = Settings {
            sys_interval: 0,
            ..settings
        };
        World {
            broker: Broker::new(settings.clone(), 1, now),
            now,
            links: Vec::new(),
            settings,
            disk: disk::Disk::default(),
            reads: VecDeque::new(),
        }
    }

    /// A network connection that has sent nothing yet.
    fn dial(&mut self, version: Version, listener: u16) -> Client {
        let peer = Peer {
            address: "192.0.2.1:50000".into(),
            listener,
        };
        let conn = self.broker.accept(peer, self.now).expect("there is room");
        self.links.push(Link {
            conn,
            version,
            unread: Vec::new(),
            inbox: Vec::new(),
            room: usize::MAX,
            is_closed: false,
        });
        self.links.len() - 1
    }

    /// A client that was let in; its CONNACK is thrown away.
    fn connect(&mut self, connect: &Connect<'_>) -> Client {
        self.connect_at(0, connect)
    }

    /// The same on a listener.
    fn connect_at(&mut self, listener: u16, connect: &Connect<'_>) -> Client {
        let client = self.dial(connect.version, listener);
        self.send(client, &bytes(|out| connect.encode(out)));
        // It is put off for some seconds if others fought over its Client Identifier.
        for _ in 0..20 {
            if self.links[client].inbox.is_empty() {
                self.pass(250);
            }
        }
        let connack = self.links[client].inbox.get(..4).map(<[u8]>::to_vec);
        assert!(
            connack.is_some_and(|c| c[0] == 0x20 && c[3] == 0),
            "refused"
        );
        let len = usize::from(self.links[client].inbox[1]) + 2;
        self.links[client].inbox.drain(..len);
        client
    }

    /// Sends bytes and lets the broker come to rest.
    fn send(&mut self, client: Client, bytes: &[u8]) {
        let link = &mut self.links[client];
        link.unread.extend_from_slice(bytes);
        self.present(client);
        self.settle();
    }

    fn present(&mut self, client: Client) {
        let link = &mut self.links[client];
        let consumed = self.broker.receive(link.conn, &link.unread, self.now);
        link.unread.drain(..consumed);
    }

    /// Drains all outputs until there are none, turn by turn as the loop does.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.turn() {
                return;
            }
        }
        panic!("the broker never comes to rest");
    }

    fn turn(&mut self) -> bool {
        let due_at = self.broker.poll_timeout();
        let mut is_busy = due_at.is_some_and(|at| at <= self.now.mono_ms);
        if is_busy {
            self.broker.timeout(self.now);
        }
        while let Some(conn) = self.broker.poll_resume() {
            is_busy = true;
            if let Some(client) = self.client_of(conn) {
                self.present(client);
            }
        }
        for _ in 0..self.broker.writable_count() {
            is_busy = true;
            let conn = self.broker.poll_writable().expect("it was counted");
            if let Some(client) = self.client_of(conn) {
                self.transmit(client);
            }
        }
        while let Some(conn) = self.broker.poll_close() {
            is_busy = true;
            if let Some(client) = self.client_of(conn) {
                self.transmit(client);
                self.links[client].is_closed = true;
                self.broker.gone(conn, None, self.now);
            }
        }
        is_busy || self.broker.has_resume()
    }

    fn client_of(&self, conn: ConnId) -> Option<Client> {
        let is_it = |link: &Link| link.conn == conn && !link.is_closed;
        self.links.iter().position(is_it)
    }

    fn transmit(&mut self, client: Client) {
        let link = &mut self.links[client];
        if link.room == 0 {
            return;
        }
        let mut out = [0; 4096];
        let n = self.broker.transmit_pieces(link.conn, &mut out, self.now);
        let taken = n.min(link.room);
        link.room -= if link.room == usize::MAX { 0 } else { taken };
        let all: Vec<u8> = self.broker.pieces(&out).flatten().copied().collect();
        assert_eq!(all.len(), n);
        link.inbox.extend_from_slice(&all[..taken]);
        self.broker.sent(link.conn, taken, self.now);
    }

    /// The network takes this many more bytes towards the client, and then no more.
    fn take(&mut self, client: Client, room: usize) {
        self.links[client].room = room;
        self.broker.writable(self.links[client].conn);
        self.settle();
    }

    /// The client's network connection breaks.
    fn cut(&mut self, client: Client) {
        self.links[client].is_closed = true;
        self.broker.gone(self.links[client].conn, None, self.now);
        self.settle();
    }

    /// Time passes, with all that is due in it.
    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        self.broker.timeout(self.now);
        self.settle();
    }

    /// The whole packets that the client got since it last looked, each as a line.
    fn packets(&mut self, client: Client) -> Vec<String> {
        let link = &mut self.links[client];
        let mut lines = Vec::new();
        let mut at = 0;
        while let Ok(Some(header)) = FixedHeader::read(&link.inbox[at..]) {
            if at + header.total() > link.inbox.len() {
                break;
            }
            let body = &link.inbox[at + usize::from(header.len)..at + header.total()];
            let packet = Packet::decode(link.version, header, body, true);
            lines.push(line(&packet.expect("the broker sends good packets")));
            at += header.total();
        }
        link.inbox.drain(..at);
        lines
    }
}

/// A packet in one line; of a PUBLISH what tells it from others.
fn line(packet: &Packet<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match packet {
        Packet::ConnAck(p) => format!("CONNACK 0x{:02x} {}", p.reason.0, p.session_present),
        Packet::Publish(p) => {
            let flags = [(p.dup, " dup"), (p.retain, " retain")];
            let flags: String = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
            let expiry = p
                .expiry_s
                .map_or(String::new(), |s| format!(" expires {s}"));
            let alias = p
                .topic_alias
                .map_or(String::new(), |a| format!(" alias {a}"));
            let identifier = p
                .subscription_id
                .map_or(String::new(), |id| format!(" subscription {id}"));
            format!(
                "PUBLISH q{} '{}' {}{flags}{expiry}{alias}{identifier}",
                p.qos as u8,
                text(p.topic),
                text(&p.payload[..p.payload.len().min(20)]),
            )
        }
        Packet::PubAck(p) => format!("PUBACK {} 0x{:02x}", p.packet_id, p.reason.0),
        Packet::PubRec(p) => format!("PUBREC {} 0x{:02x}", p.packet_id, p.reason.0),
        Packet::PubRel(p) => format!("PUBREL {} 0x{:02x}", p.packet_id, p.reason.0),
        Packet::PubComp(p) => format!("PUBCOMP {} 0x{:02x}", p.packet_id, p.reason.0),
        Packet::SubAck(p) => format!("SUBACK {:?}", p.codes),
        Packet::UnsubAck(p) => format!("UNSUBACK {:?}", p.codes),
        Packet::PingResp => "PINGRESP".to_string(),
        Packet::Disconnect(p) => format!("DISCONNECT 0x{:02x}", p.reason.0),
        other => format!("{other:?}"),
    }
}

fn bytes(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

/// A clean CONNECT without anything special.
fn hello(version: Version, client_id: &str) -> Connect<'_> {
    Connect {
        version,
        is_bridge: false,
        clean_start: true,
        keep_alive_s: 0,
        properties: Properties::default(),
        client_id,
        will: None,
        username: None,
        password: None,
    }
}

fn subscribe(version: Version, filter: &str, qos: QoS) -> Vec<u8> {
    let options = SubscriptionOptions {
        qos,
        retain_handling: RetainHandling::Always,
        ..SubscriptionOptions::default()
    };
    let filters = [SubscribeFilter { filter, options }];
    bytes(|out| Subscribe::encode(version, 9, Properties::default(), &filters, out))
}

fn unsubscribe(version: Version, filter: &str) -> Vec<u8> {
    bytes(|out| Unsubscribe::encode(version, 9, Properties::default(), &[filter], out))
}

fn publish(version: Version, publish: &Publish<'_>) -> Vec<u8> {
    bytes(|out| publish.encode(version, out))
}

fn ack(version: Version, packet: PacketType, packet_id: u16) -> Vec<u8> {
    let ack = Ack {
        packet_id,
        reason: ReasonCode::SUCCESS,
        properties: Properties::default(),
    };
    bytes(|out| ack.encode(version, packet, out))
}

/// Properties of a packet, encoded.
fn properties(all: &[(PropertyId, u32)]) -> Vec<u8> {
    bytes(|out| {
        for &(id, value) in all {
            id.encode(Value::Integer(value), out);
        }
    })
}
