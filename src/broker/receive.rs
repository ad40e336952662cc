//! From bytes to the chapter that handles the packet.
//!
//! A packet is judged by its first two to five bytes before its body is waited for: type, state of
//! the connection, size. The table of what may come when stands here, before any dispatch.

use super::connection::{PutOff, State};
use super::session::SessionId;
use super::{Broker, ConnId, Now};
use crate::store::journal::Place;
use crate::wire::{FixedHeader, Malformed, Packet, PacketType, ReasonCode, Version};

/// The largest CONNECT: nobody is known yet who could answer for more.
const CONNECT_BYTES_MAX: usize = 16 * 1024;

/// What a TLS client says first; no packet begins like this.
const TLS: u8 = 0x16;

/// Whether a packet may lead to a record: all but QoS 0 without RETAIN, PINGREQ and DISCONNECT.
fn needs_journal(first: u8) -> bool {
    !matches!(first, 0x30 | 0xc0 | 0xe0)
}

impl Broker {
    /// Takes bytes of a connection, in order; returns how many were consumed.
    ///
    /// What is not consumed is an unfinished packet, or belongs to a connection that does not take
    /// input now ([`Broker::takes_input`]): present it again, with more behind it, or when
    /// [`Broker::poll_resume`] names the connection.
    pub fn receive(&mut self, id: ConnId, bytes: &[u8], now: Now) -> usize {
        self.now = now;
        self.work = 0;
        self.watch_memory();
        let mut at = 0;
        while at < bytes.len() {
            let is_slice_over = self.is_slice_over();
            let conn = self.connections.get_mut(id.index as usize);
            let Some(conn) = conn.filter(|c| c.generation == id.generation && c.takes_input())
            else {
                break;
            };
            // One read has room for thousands of messages, each of them may have thousands of
            // subscribers.
            if is_slice_over {
                self.make_way(id);
                break;
            }
            let rest = &bytes[at..];
            if let State::Open(session) = conn.state {
                let version = conn.version;
                let n = self.receive_run(id, session, version, rest);
                if n > 0 {
                    at += n;
                    continue;
                }
            }
            let Some(conn) = self.connections.get_mut(id.index as usize) else {
                break;
            };
            let header = match FixedHeader::read(rest) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(malformed) => {
                    self.refuse_packet(id, malformed);
                    break;
                }
            };
            if let Err(malformed) = judge(conn.state, header, self.settings.max_packet_size) {
                self.refuse_packet(id, malformed);
                break;
            }
            let total = header.total();
            if rest.len() < total {
                break;
            }
            conn.last_seen_ms = now.mono_ms;
            let open = conn.session().map(|session| (session, conn.version));
            if self.journal.is_backlogged() && needs_journal(header.first) {
                self.wait_for_journal(id);
                break;
            }
            self.packet(id, open, header, &rest[..total]);
            if (self.conn(id)).is_some_and(|conn| conn.put_off == PutOff::Publish) {
                break;
            }
            at += total;
        }
        self.stats.bytes_received += at as u64;
        if self.conn(id).is_none_or(|conn| conn.is_closing()) {
            return bytes.len();
        }
        self.note_unfinished(id, bytes.len() - at, at > 0);
        at
    }

    /// Lets the others have their turn before the rest of this connection's input.
    fn make_way(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id) {
            conn.is_paused = true;
            self.outputs.yielded.push_back(id);
        }
    }

    /// A whole packet, of a connection that has a session and a version or is to get them.
    fn packet(
        &mut self,
        id: ConnId,
        open: Option<(SessionId, Version)>,
        header: FixedHeader,
        packet: &[u8],
    ) {
        self.stats.messages_received += 1;
        self.journal.promise = Place::START;
        let body = &packet[usize::from(header.len)..];
        let Some((session, version)) = open else {
            return self.connect(id, header.first, packet, body);
        };
        if header.first >> 4 == PacketType::Publish as u8 {
            self.work += 1;
            // Most packets are; as one of many kinds of packet it would be moved about.
            return match header.decode_publish(version, body) {
                Ok(mut publish) => self.publish(id, session, version, &mut publish),
                Err(malformed) => self.refuse_packet(id, malformed),
            };
        }
        match Packet::decode(version, header, body, false) {
            Ok(packet) => self.dispatch(id, session, version, packet),
            Err(malformed) => self.refuse_packet(id, malformed),
        }
    }

    fn dispatch(&mut self, id: ConnId, session: SessionId, version: Version, packet: Packet<'_>) {
        match packet {
            Packet::Publish(mut publish) => self.publish(id, session, version, &mut publish),
            Packet::PubAck(ack) => self.puback(id, session, ack),
            Packet::PubRec(ack) => self.pubrec(id, session, ack),
            Packet::PubRel(ack) => self.pubrel(id, session, ack),
            Packet::PubComp(ack) => self.pubcomp(id, session, ack),
            Packet::Subscribe(subscribe) => self.subscribe(id, session, version, &subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribe(id, session, version, &unsubscribe);
            }
            Packet::PingReq => {
                log::debug!(
                    "Received PINGREQ from {}",
                    self.sessions.get(session).name()
                );
                log::debug!("Sending PINGRESP to {}", self.sessions.get(session).name());
                self.reply_ping(id);
            }
            Packet::Disconnect(disconnect) => self.disconnected(id, session, disconnect),
            Packet::Auth(_) => {
                // No method was agreed on in CONNECT [MQTT-4.12.0-6] [MQTT-4.12.0-7].
                self.refuse_packet(id, Malformed::protocol("AUTH without a method in CONNECT"));
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                self.refuse_packet(id, Malformed::protocol("a packet that only servers send"));
            }
        }
    }

    /// Answers a packet that may not be, and closes.
    pub(super) fn refuse_packet(&mut self, id: ConnId, malformed: Malformed) {
        match malformed.reason {
            ReasonCode::PACKET_TOO_LARGE => self.count_limit("max_packet_size"),
            ReasonCode::TOPIC_ALIAS_INVALID => self.count_limit("max_topic_alias"),
            _ => {}
        }
        self.close(id, malformed.reason, malformed.what);
    }
}

/// Whether a packet with this header may come to a connection in this state.
#[inline]
fn judge(state: State, header: FixedHeader, max_packet_size: usize) -> Result<(), Malformed> {
    let packet_type = header.packet_type()?;
    match state {
        State::AwaitConnect if header.first == TLS => {
            return Err(Malformed::protocol(
                "it speaks TLS, and this listener does not",
            ));
        }
        State::AwaitConnect if packet_type != PacketType::Connect => {
            return Err(Malformed::protocol("the first packet is no CONNECT"));
        }
        State::AwaitConnect if header.total() > CONNECT_BYTES_MAX => {
            return Err(Malformed::packet("a CONNECT of more than 16 KiB"));
        }
        State::Open(_) if packet_type == PacketType::Connect => {
            return Err(Malformed::protocol("a second CONNECT"));
        }
        State::Open(_) if !packet_type.comes_from_client() => {
            return Err(Malformed::protocol("a packet that only servers send"));
        }
        _ => {}
    }
    if max_packet_size != 0 && header.total() > max_packet_size {
        let what = "a packet above max_packet_size";
        return Err(Malformed {
            reason: ReasonCode::PACKET_TOO_LARGE,
            what,
        });
    }
    Ok(())
}
