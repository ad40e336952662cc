//! The life of a connection: opening, ending, time, and the bytes that go out.

use std::collections::VecDeque;

use super::outbound::{InFlight, Request};
use super::{Fault, Options};
use crate::wire::{
    ConnAck, Disconnect, PacketType, Properties, PropertyId, Put, QoS, ReasonCode, Version,
};

/// Acknowledgements that may wait for a server that does not read, in bytes.
const ACK_BACKLOG_MAX: usize = 1 << 22;

/// A client: its session, and the state of its connection if there is one.
pub struct Client {
    pub(super) options: Options,
    /// The identifier in use: ours, or the one the server assigned.
    pub(super) identifier: String,
    pub(super) state: State,
    pub(super) server: Server,
    /// Bytes for the stream; those before `out_at` are gone already. `out_at <= out.len()`.
    pub(super) out: Vec<u8>,
    out_at: usize,
    /// Bytes of acknowledgements put into `out` since it was last empty.
    pub(super) ack_backlog: usize,

    // The session.
    pub(super) last_packet_id: u16,
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) incoming: Handshakes,

    // The connection.
    pub(super) requests: Vec<Request>,
    pub(super) aliases_in: Vec<Box<[u8]>>,
    pub(super) aliases_out: Vec<(u16, Box<[u8]>)>,
    last_out_ms: u64,
    pub(super) last_in_ms: u64,
    pub(super) ping_since_ms: Option<u64>,
}

/// Where a connection is in its life.
#[derive(Debug)]
pub(super) enum State {
    /// There is no stream.
    Closed,
    /// CONNECT is on its way.
    AwaitConnAck { deadline_ms: u64 },
    /// CONNACK accepted us.
    Open,
    /// DISCONNECT follows as soon as the handshakes that have begun are done.
    Finishing {
        reason: ReasonCode,
        properties: Vec<u8>,
    },
    /// The output is the last that is sent; the stream closes after it.
    Ended,
}

/// Where an incoming message of QoS 1 or 2 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The caller has it and did not acknowledge it yet.
    Delivered,
    /// PUBREC was sent; PUBREL will forget the identifier.
    AwaitRel,
}

/// Where each incoming message of QoS 1 or 2 is, in the order of their Packet Identifiers.
#[derive(Debug, Default)]
pub(super) struct Handshakes(pub(super) Vec<(u16, Incoming)>);

impl Handshakes {
    fn find(&self, packet_id: u16) -> Result<usize, usize> {
        self.0.binary_search_by_key(&packet_id, |&(id, _)| id)
    }

    pub(super) fn get(&self, packet_id: u16) -> Option<Incoming> {
        Some(self.0[self.find(packet_id).ok()?].1)
    }

    pub(super) fn set(&mut self, packet_id: u16, state: Incoming) {
        match self.find(packet_id) {
            Ok(at) => self.0[at].1 = state,
            Err(at) => self.0.insert(at, (packet_id, state)),
        }
    }

    pub(super) fn remove(&mut self, packet_id: u16) {
        if let Ok(at) = self.find(packet_id) {
            self.0.remove(at);
        }
    }
}

/// What CONNACK said that the server does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) receive_maximum: usize,
    pub(super) packet_max: usize,
    pub(super) qos_max: QoS,
    pub(super) retain_available: bool,
    pub(super) topic_alias_maximum: u16,
    pub(super) keep_alive_ms: u64,
}

impl Client {
    /// A client that has no connection yet.
    pub fn new(options: Options) -> Client {
        Client {
            identifier: options.client_id.clone(),
            state: State::Closed,
            server: Server::unlimited(options.keep_alive_s),
            out: Vec::new(),
            out_at: 0,
            ack_backlog: 0,
            last_packet_id: 0,
            in_flight: VecDeque::new(),
            incoming: Handshakes::default(),
            requests: Vec::new(),
            aliases_in: Vec::new(),
            aliases_out: Vec::new(),
            last_out_ms: 0,
            last_in_ms: 0,
            ping_since_ms: None,
            options,
        }
    }

    /// A stream to the server was opened: CONNECT goes out first.
    pub fn opened(&mut self, now_ms: u64) {
        self.closed();
        self.state = State::AwaitConnAck {
            deadline_ms: now_ms.saturating_add(self.options.connack_timeout_ms),
        };
        self.server = Server::unlimited(self.options.keep_alive_s);
        (self.last_out_ms, self.last_in_ms) = (now_ms, now_ms);
        log::debug!("Client {} sending CONNECT", self.name());
        self.options.encode_connect(&self.identifier, &mut self.out);
    }

    /// The stream is gone. The session stays for the next one.
    pub fn closed(&mut self) {
        self.state = State::Closed;
        self.out.clear();
        self.out_at = 0;
        self.ack_backlog = 0;
        self.requests.clear();
        self.aliases_in.clear();
        self.aliases_out.clear();
        self.ping_since_ms = None;
        // What was not acknowledged comes again, with an identifier of its own.
        (self.incoming.0).retain(|&(_, state)| state == Incoming::AwaitRel);
    }

    /// Ends the connection once all handshakes that have begun are done; until then incoming
    /// messages are neither delivered nor acknowledged. `properties` are those of DISCONNECT,
    /// encoded without their length (5.0).
    pub fn finish(&mut self, reason: ReasonCode, properties: &[u8]) {
        if matches!(self.state, State::Open) {
            let properties = properties.to_vec();
            self.state = State::Finishing { reason, properties };
            self.finish_if_idle();
        } else if !matches!(self.state, State::Finishing { .. }) {
            self.disconnect(reason, properties);
        }
    }

    /// Ends the connection at once.
    pub fn disconnect(&mut self, reason: ReasonCode, properties: &[u8]) {
        if matches!(self.state, State::Open | State::Finishing { .. }) {
            log::debug!("Client {} sending DISCONNECT", self.name());
            let properties = Properties::from_encoded(properties);
            Disconnect { reason, properties }.encode(self.options.version, &mut self.out);
        }
        if !matches!(self.state, State::Closed) {
            self.state = State::Ended;
        }
    }

    /// Bytes to write to the stream; tell [`Client::sent`] how many it took.
    pub fn transmit(&self) -> &[u8] {
        &self.out[self.out_at..]
    }

    /// The stream took `len` bytes of [`Client::transmit`].
    pub fn sent(&mut self, len: usize, now_ms: u64) {
        self.out_at += len;
        assert!(self.out_at <= self.out.len(), "more was sent than there is");
        self.last_out_ms = now_ms;
        if self.out_at == self.out.len() {
            self.out.clear();
            self.out_at = 0;
            self.ack_backlog = 0;
        } else if self.out_at >= 1 << 16 && self.out_at * 2 >= self.out.len() {
            self.out.drain(..self.out_at);
            self.out_at = 0;
        }
    }

    /// When [`Client::timeout`] is due, if ever.
    pub fn poll_timeout(&self) -> Option<u64> {
        match self.state {
            State::AwaitConnAck { deadline_ms } => Some(deadline_ms),
            State::Open | State::Finishing { .. } if self.server.keep_alive_ms > 0 => {
                let quiet_since = self.last_out_ms.min(self.last_in_ms);
                let since = self.ping_since_ms.unwrap_or(quiet_since);
                Some(since.saturating_add(self.server.keep_alive_ms))
            }
            _ => None,
        }
    }

    /// Does what is due: PINGREQ after a keep alive without traffic in either direction, a fault
    /// when it or CONNECT was not answered in time.
    pub fn timeout(&mut self, now_ms: u64) -> Result<(), Fault> {
        if self.poll_timeout().is_none_or(|due| due > now_ms) {
            return Ok(());
        }
        if matches!(self.state, State::AwaitConnAck { .. }) {
            return Err(self.fail(Fault::NoConnAck));
        }
        if self.ping_since_ms.is_some() {
            return Err(self.fail(Fault::KeepAlive));
        }
        log::debug!("Client {} sending PINGREQ", self.name());
        self.out.put(&[(PacketType::PingReq as u8) << 4, 0]);
        self.ping_since_ms = Some(now_ms);
        Ok(())
    }

    /// Whether the server accepted the connection and it is not ending.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether nothing more will happen: once [`Client::transmit`] is empty the stream is to be
    /// closed.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended | State::Closed)
    }

    /// The Client Identifier in use; empty while the server has not told the one it chose.
    pub fn client_id(&self) -> &str {
        &self.identifier
    }

    /// The version that this client speaks.
    pub fn version(&self) -> Version {
        self.options.version
    }

    /// The identifier as trace lines have it.
    pub(super) fn name(&self) -> &str {
        if self.identifier.is_empty() {
            return "(null)";
        }
        &self.identifier
    }

    /// Ends the connection because of `fault` and gives it back.
    pub(super) fn fail(&mut self, fault: Fault) -> Fault {
        let reason = match fault {
            Fault::Packet(malformed) if malformed.reason.fits(PacketType::Disconnect) => {
                malformed.reason
            }
            Fault::Packet(_) => ReasonCode::PROTOCOL_ERROR,
            Fault::KeepAlive => ReasonCode::KEEP_ALIVE_TIMEOUT,
            Fault::NoConnAck | Fault::Backlog => ReasonCode::UNSPECIFIED_ERROR,
        };
        if self.options.version == Version::V5 {
            self.disconnect(reason, &[]);
        }
        self.state = State::Ended;
        fault
    }

    pub(super) fn finish_if_idle(&mut self) {
        let State::Finishing { reason, properties } = &mut self.state else {
            return;
        };
        let awaits_rel = |&(_, state): &(u16, Incoming)| state == Incoming::AwaitRel;
        if self.in_flight.is_empty() && !self.incoming.0.iter().any(awaits_rel) {
            let (reason, properties) = (*reason, std::mem::take(properties));
            self.disconnect(reason, &properties);
        }
    }

    /// Counts an acknowledgement of `len` bytes that the server made us send.
    pub(super) fn charge_ack(&mut self, len: usize) -> Result<(), Fault> {
        self.ack_backlog += len;
        if self.ack_backlog > ACK_BACKLOG_MAX {
            return Err(Fault::Backlog);
        }
        Ok(())
    }
}

impl Server {
    /// What holds before CONNACK, and after one that says nothing.
    fn unlimited(keep_alive_s: u16) -> Server {
        Server {
            receive_maximum: usize::from(u16::MAX),
            packet_max: usize::MAX,
            qos_max: QoS::ExactlyOnce,
            retain_available: true,
            topic_alias_maximum: 0,
            keep_alive_ms: u64::from(keep_alive_s) * 1000,
        }
    }

    /// Takes over what an accepting CONNACK says.
    pub(super) fn learn(&mut self, connack: &ConnAck<'_>) {
        let integer = |id| connack.properties.integer(id);
        if let Some(value) = integer(PropertyId::ReceiveMaximum) {
            self.receive_maximum = value as usize;
        }
        if let Some(value) = integer(PropertyId::MaximumPacketSize) {
            self.packet_max = value as usize;
        }
        if let Some(value) = integer(PropertyId::MaximumQoS) {
            self.qos_max = QoS::from_bits(value as u8).unwrap_or(QoS::ExactlyOnce);
        }
        if let Some(value) = integer(PropertyId::TopicAliasMaximum) {
            self.topic_alias_maximum = value as u16;
        }
        if let Some(value) = integer(PropertyId::ServerKeepAlive) {
            self.keep_alive_ms = u64::from(value) * 1000;
        }
        self.retain_available = integer(PropertyId::RetainAvailable) != Some(0);
    }
}
