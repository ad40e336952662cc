//! Connections: what is known of a network connection, from its first byte to its last.

use super::alias::{InboundAliases, OutboundAliases};
use super::connect::Credentials;
use super::limits::Told;
use super::origin::Origin;
use super::pace::Unfinished;
use super::session::SessionId;
use super::timer::{At, Timer};
use super::transmit::Partial;
use super::{Broker, ConnId};
use crate::store::journal::Place;
use crate::wire::{PACKET_MAX, PacketType, ReasonCode, Version};
use std::collections::VecDeque;

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address and port, or what stands for them, for log lines.
    pub address: Origin,
    /// Which of [`super::Settings::listeners`] took it.
    pub listener: u16,
}

/// The life of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing but CONNECT may come.
    AwaitConnect,
    /// CONNECT waits for the verdict on user name and password.
    Authenticating,
    /// CONNECT waits for its moment.
    Waiting,
    /// CONNACK was given; the client has this session.
    Open(SessionId),
    /// What waits may be sent still, nothing is read any more.
    Closing,
}

/// One connection. Idle it holds no buffers.
pub(super) struct Connection {
    pub(super) generation: u32,
    pub(super) peer: Peer,
    pub(super) state: State,
    pub(super) version: Version,
    /// One and a half times Keep Alive; 0 when it is off.
    pub(super) silence_max_ms: u32,
    pub(super) last_seen_ms: u64,
    pub(super) unfinished: Unfinished,
    pub(super) timer_at: At,
    /// How many QoS 1 and 2 messages may be under way to the client.
    pub(super) send_maximum: u16,
    /// The largest packet that the client takes, at most [`PACKET_MAX`].
    pub(super) max_packet_size: u32,
    /// Request Problem Information: whether Reason Strings are welcome.
    pub(super) wants_problems: bool,
    /// Its session was there before it: what went unacknowledged may have been done already.
    pub(super) has_resumed: bool,
    pub(super) replies: Replies,
    pub(super) partial: Partial,
    pub(super) is_listed_writable: bool,
    pub(super) is_paused: bool,
    pub(super) told: Told,
    pub(super) extras: Option<Box<Extras>>,
    /// What earlier connections of the session changed lies before this.
    pub(super) gate_floor: Place,
    /// The last gate that one of its packets waits at, and whether it is listed for it.
    pub(super) gate: Place,
    pub(super) is_gated: bool,
    /// It is not read from until the journal has caught up.
    pub(super) waits_for_journal: bool,
    /// It is not read from until what it asked for last is done.
    pub(super) waits_for_job: bool,
    /// It is not read from any more, and closed when its timer rings.
    pub(super) is_ending: bool,
    /// A body that is to be sent next is on its way from the disk.
    pub(super) is_fetching: bool,
    /// A packet that came needs a body from the disk; nothing is read until that is there.
    pub(super) put_off: PutOff,
}

/// A packet that waits for the body of the message that is held under its Packet Identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PutOff {
    /// None does.
    #[default]
    Nothing,
    /// PUBREL for this identifier, which is to be obeyed then.
    Release(u16),
    /// PUBLISH, which is to be presented again then.
    Publish,
}

/// What a connection has only while it begins, or what few have.
#[derive(Default)]
pub(super) struct Extras {
    /// The name in its certificate, until CONNECT comes.
    pub(super) identity: Option<Box<str>>,
    /// The whole packet of a CONNECT that waits.
    pub(super) connect: Box<[u8]>,
    /// User name and password, to ask again when the password file changes.
    pub(super) credentials: Option<Credentials>,
    /// The aliases that it gave.
    pub(super) inbound_aliases: InboundAliases,
    /// The aliases that it was given, if it takes any.
    pub(super) outbound_aliases: Option<Box<OutboundAliases>>,
}

/// The packets other than PUBLISH that wait to be sent, in order.
///
/// An acknowledgement takes sixteen bytes; the few packets that hold more are kept encoded. A
/// PINGRESP promises nothing and passes what waits at the gate: it is only counted.
#[derive(Default)]
pub(super) struct Replies {
    waiting: Option<Box<Waiting>>,
    /// How many PINGRESPs are due.
    pub(super) pings: u32,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<Reply>,
    encoded: VecDeque<Box<[u8]>>,
    encoded_bytes: usize,
}

/// A small packet; `packet_id` and `reason` count for acknowledgements only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) packet: PacketType,
    pub(super) reason: ReasonCode,
    pub(super) packet_id: u16,
    /// It leaves when everything before this place is durable.
    pub(super) gate: Place,
}

impl Reply {
    /// While it waits for its gate, messages wait, too: they would come out of order.
    pub(super) fn holds_back_messages(self) -> bool {
        matches!(
            self.packet,
            PacketType::ConnAck | PacketType::SubAck | PacketType::UnsubAck
        )
    }

    /// Acknowledgements have a packet identifier; the rest is encoded.
    pub(super) fn is_encoded(self) -> bool {
        self.packet_id == 0
    }
}

/// A connection with this many replies or bytes of them waiting is not read from.
const REPLIES_MAX: usize = 4096;
const ENCODED_BYTES_MAX: usize = 64 * 1024;
/// Where memory is short it is this part of them.
const SHORT_PART: usize = 16;

impl Replies {
    pub(super) fn push(&mut self, reply: Reply) {
        self.waiting.get_or_insert_default().queue.push_back(reply);
    }

    pub(super) fn push_encoded(&mut self, packet: PacketType, bytes: Vec<u8>, gate: Place) {
        let waiting = self.waiting.get_or_insert_default();
        waiting.encoded_bytes += bytes.len();
        waiting.encoded.push_back(bytes.into_boxed_slice());
        waiting.queue.push_back(Reply {
            packet,
            reason: ReasonCode::SUCCESS,
            packet_id: 0,
            gate,
        });
    }

    /// The reply that waits longest.
    pub(super) fn front(&self) -> Option<Reply> {
        self.get(0)
    }

    /// The `at`th reply.
    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<Reply> {
        self.waiting.as_ref()?.queue.get(at).copied()
    }

    /// The bytes of the `at`th reply that is kept encoded.
    pub(super) fn encoded(&self, at: usize) -> Option<&[u8]> {
        let waiting = self.waiting.as_ref()?;
        waiting.encoded.get(at).map(|bytes| &**bytes)
    }

    /// Takes the first `count` away, which were sent.
    pub(super) fn pop(&mut self, count: usize) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let has_encoded = !waiting.encoded.is_empty();
        for reply in waiting.queue.drain(..count.min(waiting.queue.len())) {
            if reply.is_encoded() {
                let bytes = waiting.encoded.pop_front();
                waiting.encoded_bytes -= bytes.map_or(0, |bytes| bytes.len());
            }
        }
        if !waiting.queue.is_empty() {
            return;
        }
        if has_encoded {
            // CONNACK or SUBACK: many clients never get another packet that is no message.
            self.waiting = None;
        } else {
            // A burst's memory goes back; the daily amount stays.
            waiting.queue.shrink_to(1024);
        }
    }

    /// Drops all replies but CONNACK, which is always the first.
    pub(super) fn keep_connack(&mut self) {
        let front = self.front();
        let kept = usize::from(front.is_some_and(|reply| reply.packet == PacketType::ConnAck));
        self.pings = 0;
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        waiting.queue.truncate(kept);
        waiting.encoded.truncate(kept);
        waiting.encoded_bytes = waiting.encoded.iter().map(|bytes| bytes.len()).sum();
    }

    /// Bytes of memory they take.
    fn memory(&self) -> usize {
        let (replies, bytes) = self.amount();
        replies * size_of::<Reply>() + bytes
    }

    /// How many there are, and the bytes of those that are kept encoded.
    #[inline]
    fn amount(&self) -> (usize, usize) {
        let waiting = self.waiting.as_ref();
        waiting.map_or((0, 0), |w| (w.queue.len(), w.encoded_bytes))
    }

    /// Whether there are enough; less is enough where memory is short.
    fn is_full(&self, is_short: bool) -> bool {
        let part = if is_short { SHORT_PART } else { 1 };
        let (replies, bytes) = self.amount();
        replies + self.pings as usize >= REPLIES_MAX / part || bytes >= ENCODED_BYTES_MAX / part
    }

    fn is_half_empty(&self, is_short: bool) -> bool {
        let part = if is_short { 2 * SHORT_PART } else { 2 };
        let (replies, bytes) = self.amount();
        replies + self.pings as usize <= REPLIES_MAX / part && bytes <= ENCODED_BYTES_MAX / part
    }
}

impl Extras {
    fn memory(&self) -> usize {
        let inbound: usize = (self.inbound_aliases.iter().flatten())
            .map(|topic| topic.len())
            .sum();
        let outbound = self.outbound_aliases.as_ref().map_or(0, |a| a.memory());
        let credentials = self.credentials.as_ref().map_or(0, Credentials::memory);
        size_of::<Extras>() + inbound + outbound + credentials
    }
}

impl Connection {
    fn new(generation: u32, peer: Peer, now_ms: u64) -> Connection {
        Connection {
            generation,
            peer,
            state: State::AwaitConnect,
            version: Version::V311,
            silence_max_ms: 0,
            last_seen_ms: now_ms,
            unfinished: Unfinished::default(),
            timer_at: At::NEVER,
            send_maximum: u16::MAX,
            max_packet_size: PACKET_MAX,
            wants_problems: true,
            has_resumed: false,
            replies: Replies::default(),
            partial: Partial::default(),
            is_listed_writable: false,
            is_paused: false,
            told: Told::default(),
            extras: None,
            gate_floor: Place::START,
            gate: Place::START,
            is_gated: false,
            waits_for_journal: false,
            waits_for_job: false,
            is_ending: false,
            is_fetching: false,
            put_off: PutOff::Nothing,
        }
    }

    /// Bytes of memory that it holds besides itself.
    pub(super) fn memory(&self) -> usize {
        self.replies.memory() + self.extras.as_ref().map_or(0, |extras| extras.memory())
    }

    #[cold]
    pub(super) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Frees what an open connection has no need of.
    pub(super) fn shed_extras(&mut self) {
        let is_needed = self.credentials().is_some() || self.has_outbound_aliases();
        self.extras.take_if(|_| !is_needed);
    }

    /// The name in its certificate, until that was asked for.
    pub(super) fn identity(&self) -> Option<&str> {
        self.extras.as_ref()?.identity.as_deref()
    }

    /// User name and password of a client that has any.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.extras.as_ref()?.credentials.as_ref()
    }

    /// The aliases that it was given, if it takes any.
    pub(super) fn outbound_aliases(&mut self) -> Option<&mut OutboundAliases> {
        self.extras.as_mut()?.outbound_aliases.as_deref_mut()
    }

    /// Whether it takes aliases.
    #[inline]
    pub(super) fn has_outbound_aliases(&self) -> bool {
        let extras = self.extras.as_ref();
        extras.is_some_and(|extras| extras.outbound_aliases.is_some())
    }

    /// Whether it is read from now.
    #[inline]
    pub(super) fn takes_input(&self) -> bool {
        !self.is_paused && !self.is_closing()
    }

    /// Whether nothing is read from it any more.
    pub(super) fn is_closing(&self) -> bool {
        self.state == State::Closing
    }

    /// The session of an open connection.
    pub(super) fn session(&self) -> Option<SessionId> {
        match self.state {
            State::Open(session) => Some(session),
            _ => None,
        }
    }
}

impl Broker {
    /// Takes a new network connection, unless there are too many of them.
    pub fn accept(&mut self, peer: Peer, now: super::Now) -> Option<ConnId> {
        self.now = now;
        let listener = usize::from(peer.listener);
        if self.connections_of.len() <= listener {
            self.connections_of.resize(listener + 1, 0);
        }
        let here = self.connections_of[listener];
        if !self.has_memory_to_connect() {
            self.refuse_memory();
            let address = &peer.address;
            log::info!(
                target: "notice",
                "Client connection from {address} denied: memory_limit is reached."
            );
            return None;
        }
        let listener = &self.settings.listeners[usize::from(peer.listener)];
        let limits = [
            ("max_connections", here, listener.max_connections),
            (
                "global_max_connections",
                self.connections.len(),
                self.settings.global_max_connections,
            ),
        ];
        self.stats.sockets_opened += 1;
        for (name, count, max) in limits {
            if max.is_some_and(|max| count >= max) {
                let address = &peer.address;
                log::info!(
                    target: "notice",
                    "Client connection from {address} denied: {name} exceeded."
                );
                self.count_limit(name);
                return None;
            }
        }
        let (address, name) = (&peer.address, &listener.name);
        if self.settings.connection_messages {
            log::info!(target: "notice", "New connection from {address} on port {name}.");
        }
        self.connections_of[usize::from(peer.listener)] += 1;
        self.generation = self.generation.wrapping_add(1);
        let index = self
            .connections
            .insert(Connection::new(self.generation, peer, now.mono_ms));
        let id = ConnId {
            index: index as u32,
            generation: self.generation,
        };
        let deadline = now.mono_ms + u64::from(self.settings.connect_timeout) * 1000;
        self.set_connection_timer(id, Some(deadline));
        Some(id)
    }

    /// A connection that is still there.
    #[inline]
    pub(super) fn conn(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id.index as usize)
            .filter(|c| c.generation == id.generation)
    }

    pub(super) fn set_connection_timer(&mut self, id: ConnId, at: Option<u64>) {
        let Some(conn) = self.connections.get_mut(id.index as usize) else {
            return;
        };
        self.timers
            .set(Timer::Connection(id.index), &mut conn.timer_at, at);
    }

    /// The timer of the connection in this slot rang.
    pub(super) fn connection_timeout(&mut self, index: u32) {
        let Some(conn) = self.connections.get_mut(index as usize) else {
            return;
        };
        conn.timer_at = At::NEVER;
        let id = ConnId {
            index,
            generation: conn.generation,
        };
        match &conn.state {
            State::AwaitConnect | State::Authenticating => {
                let address = &conn.peer.address;
                log::info!(
                    target: "notice",
                    "Client <unknown> [{address}] disconnected: no CONNECT in time."
                );
                self.count_limit("connect_timeout");
                self.close_quietly(id);
            }
            State::Waiting => self.connect_at_last(id),
            State::Open(_) if conn.is_ending => {
                let what = "more than max_inbound_qos2";
                self.close(id, ReasonCode::QUOTA_EXCEEDED, what);
            }
            State::Open(_) => self.check_silence(id),
            State::Closing => {}
        }
    }

    /// The CONNECT of a connection that waits in this state, which is read from again.
    pub(super) fn take_waiting(&mut self, id: ConnId, state: State) -> Option<Box<[u8]>> {
        let conn = self.conn(id).filter(|conn| conn.state == state)?;
        conn.state = State::AwaitConnect;
        conn.is_paused = false;
        let packet = std::mem::take(&mut conn.extras_mut().connect);
        self.outputs.resume.push_back(id);
        Some(packet)
    }

    /// Lists the connection as having something to transmit.
    #[inline]
    pub(super) fn mark_writable(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        if !conn.is_listed_writable {
            conn.is_listed_writable = true;
            self.outputs.writable.push_back(id);
        }
    }

    /// Queues a small packet; a connection with too many of them is not read from. Whether it is.
    #[inline(always)]
    pub(super) fn reply(&mut self, id: ConnId, reply: Reply) -> bool {
        let is_over = self.is_over_memory();
        let Some(conn) = self.conn(id) else {
            return false;
        };
        conn.replies.push(reply);
        conn.is_paused |= conn.replies.is_full(is_over);
        let is_read = !conn.is_paused;
        if !std::mem::replace(&mut conn.is_listed_writable, true) {
            self.outputs.writable.push_back(id);
        }
        is_read
    }

    /// Queues a PINGRESP.
    pub(super) fn reply_ping(&mut self, id: ConnId) {
        let is_over = self.is_over_memory();
        let Some(conn) = self.conn(id) else { return };
        conn.replies.pings += 1;
        conn.is_paused |= conn.replies.is_full(is_over);
        self.mark_writable(id);
    }

    /// Queues an encoded packet that promises nothing.
    pub(super) fn reply_encoded(&mut self, id: ConnId, packet: PacketType, bytes: Vec<u8>) {
        self.reply_encoded_at(id, packet, bytes, Place::START);
    }

    /// Queues an encoded packet that leaves when everything before `gate` is durable.
    pub(super) fn reply_encoded_at(
        &mut self,
        id: ConnId,
        packet: PacketType,
        bytes: Vec<u8>,
        gate: Place,
    ) {
        let is_over = self.is_over_memory();
        let Some(conn) = self.conn(id) else { return };
        conn.replies.push_encoded(packet, bytes, gate);
        conn.is_paused |= conn.replies.is_full(is_over);
        self.mark_writable(id);
    }

    /// The client sends no more. Whether its end is put off, since answers to what it sent still
    /// wait: then it takes no input until they have gone out, and its end is to be read again.
    pub fn puts_off_end(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.conn(id) else {
            return false;
        };
        let has_replies = conn.replies.amount().0 > 0;
        conn.is_paused |= has_replies;
        has_replies
    }

    /// Lets a paused connection be read again when its replies have gone out.
    pub(super) fn resume_if_drained(&mut self, id: ConnId) {
        let is_over = self.is_over_memory();
        let Some(conn) = self.conn(id) else { return };
        let is_drained = conn.is_paused && conn.replies.is_half_empty(is_over);
        let is_waiting = matches!(conn.state, State::Authenticating | State::Waiting)
            || conn.put_off != PutOff::Nothing
            || conn.waits_for_journal
            || conn.waits_for_job
            || conn.is_ending;
        if is_drained && !is_waiting {
            conn.is_paused = false;
            self.outputs.resume.push_back(id);
        }
    }
}
