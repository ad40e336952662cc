//! The short way for most packets of a client: a run of them, out of one read.
//!
//! Plain messages ([`Plain`]) and acknowledgements in their shortest form come in long runs. What
//! holds for all of a run is looked at once, and a topic that was seen lately is neither checked
//! nor matched again. The run ends where anything is out of the ordinary:
//! the long way ([`Broker::packet`]) takes it from there, and would come to the same for all that
//! was taken here. (Measured, user instructions per message in or out, 100 pairs at QoS 0: 860
//! without, see the limits of `tests/bench` with.)

use super::publish::{Publisher, subscribers};
use super::session::SessionId;
use super::{Broker, ConnId};
use crate::store::journal::Place;
use crate::wire::{Ack, PacketType, Plain, Properties, QoS, ReasonCode, Version};

/// How a run goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// With the next packet.
    Packet,
    /// Not: the connection takes no more input now.
    Pause,
    /// Not: this packet was not taken, it is for the long way.
    LongWay,
}

impl Broker {
    /// Takes packets from the front of `bytes` as long as they are ordinary; returns how many bytes
    /// they had. The connection is open and takes input.
    pub(super) fn receive_run(
        &mut self,
        id: ConnId,
        session: SessionId,
        version: Version,
        bytes: &[u8],
    ) -> usize {
        let takes_messages = self.takes_plain_messages(session);
        self.burst.is_open = !self.journal.is_on();
        let (mut at, mut count) = (0, 0);
        // The topic whose matches are at hand; messages to it may wait for more of them.
        let mut known: &[u8] = b"";
        while !self.is_slice_over() {
            let rest = &bytes[at..];
            self.journal.promise = Place::START;
            let (packets, len, next) = match *rest {
                [0x30 | 0x32 | 0x34, ..] if takes_messages => {
                    let Some(plain) = Plain::read(version, rest) else {
                        break;
                    };
                    let behind = &rest[plain.packet.len()..];
                    let next = self.receive_plain(id, session, &plain, known, behind);
                    known = plain.topic();
                    (1, plain.packet.len(), next)
                }
                [first @ (0x40 | 0x50 | 0x62 | 0x70), 2, high, low, ..] => {
                    // PUBREL has another topic looked up.
                    known = b"";
                    let acks = match first {
                        0x40 | 0x70 if !self.journal.is_backlogged() => {
                            self.take_finals(id, session, rest)
                        }
                        _ => 0,
                    };
                    if acks > 0 {
                        (acks, 4 * acks, Next::Packet)
                    } else {
                        let packet_id = u16::from_be_bytes([high, low]);
                        (1, 4, self.receive_ack(id, session, first, packet_id))
                    }
                }
                _ => break,
            };
            if next == Next::LongWay {
                break;
            }
            at += len;
            count += packets as u64;
            // Very many may come in one read, and go to nobody.
            self.work += packets;
            if next == Next::Pause {
                break;
            }
        }
        self.end_burst(session);
        self.burst.is_open = false;
        self.stats.messages_received += count;
        if count > 0 {
            let now_ms = self.now.mono_ms;
            if let Some(conn) = self.conn(id) {
                conn.last_seen_ms = now_ms;
            }
        }
        at
    }

    /// Whether what a session publishes needs no closer look than the packet itself.
    fn takes_plain_messages(&self, session: SessionId) -> bool {
        let session = self.sessions.get(session);
        let listener = &self.settings.listeners[usize::from(session.listener)];
        listener.mount_point.is_empty()
            && listener.max_qos == QoS::ExactlyOnce
            && self.settings.message_size_limit == 0
            && !self.is_over_memory()
            && !log::log_enabled!(log::Level::Debug)
    }

    /// Takes a plain message; `known` is the topic that was looked up last, or empty, `behind` what
    /// came with it.
    #[inline]
    fn receive_plain(
        &mut self,
        id: ConnId,
        session: SessionId,
        plain: &Plain<'_>,
        known: &[u8],
        behind: &[u8],
    ) -> Next {
        let max_packet_size = self.settings.max_packet_size;
        if max_packet_size != 0 && plain.packet.len() > max_packet_size {
            return Next::LongWay;
        }
        let is_recorded = self.journal.is_on();
        let is_qos0 = plain.qos == QoS::AtMostOnce;
        let is_qos2 = plain.qos == QoS::ExactlyOnce;
        if is_qos2
            && self
                .sessions
                .get(session)
                .flow
                .held_as(plain.packet_id)
                .is_some()
        {
            return Next::LongWay;
        }
        if is_recorded && !is_qos0 && !self.surely_has_room(plain.packet.len()) {
            return Next::LongWay;
        }
        if plain.topic() != known {
            self.end_burst(session);
            if !self.find_plain(session, plain) {
                return Next::LongWay;
            }
        }
        self.stats.publish_received += 1;
        self.stats.publish_bytes_received += plain.payload().len() as u64;
        if is_qos0
            && (!self.burst.bundle.is_empty() || plain.has_sequel(behind))
            && self.take_qos0(session, plain)
        {
            return Next::Packet;
        }
        if is_qos2 {
            if self.may_hold(id, session, plain.packet_id) {
                let message = self.messages.insert_plain(plain);
                self.hold_message(id, session, plain.packet_id, message);
            }
            return self.next(id);
        }
        let message = self.messages.insert_plain(plain);
        let found = !self.matches.found.is_empty();
        if is_recorded {
            self.deliver_waiting(session);
            let publisher = Publisher::Session(session);
            let before = self.work;
            self.begin_message();
            self.route_found(publisher, message, plain.qos, false);
            self.record_message(publisher, message, None);
            self.messages.release(message);
            self.learn_burst(self.work - before);
        } else {
            self.take_plain(session, message, plain.qos);
        }
        if is_qos0 {
            return Next::Packet;
        }
        self.acknowledge_plain(id, plain.packet_id, subscribers(found))
    }

    /// Looks for those who subscribed to the topic of a message; `false` if the topic needs a
    /// closer look, or may not be written to.
    #[inline]
    fn find_plain(&mut self, session: SessionId, plain: &Plain<'_>) -> bool {
        let topic = plain.topic();
        // A topic has no more levels than bytes, but for one.
        if topic.len() >= self.settings.max_topic_levels || !self.may_write(session, topic) {
            return false;
        }
        // What was looked for before was a good name then.
        let table = &self.subscriptions.table;
        if let Err(unknown) = table.recall(topic, &mut self.matches) {
            if !plain.has_ascii_topic() {
                return false;
            }
            table.search(unknown, &mut self.matches);
        }
        true
    }

    /// PUBACK for a message that was taken.
    #[inline]
    fn acknowledge_plain(&mut self, id: ConnId, packet_id: u16, reason: ReasonCode) -> Next {
        match self.promise(id, PacketType::PubAck, packet_id, reason) {
            true => Next::Packet,
            false => Next::Pause,
        }
    }

    /// A step of a handshake in its shortest form, which is the same in all versions.
    #[inline]
    fn receive_ack(&mut self, id: ConnId, session: SessionId, first: u8, packet_id: u16) -> Next {
        if packet_id == 0 || self.journal.is_backlogged() {
            return Next::LongWay;
        }
        let ack = Ack {
            packet_id,
            reason: ReasonCode::SUCCESS,
            properties: Properties::default(),
        };
        match first {
            0x40 => self.puback(id, session, ack),
            0x70 => self.pubcomp(id, session, ack),
            _ => {
                match first {
                    0x50 => self.pubrec(id, session, ack),
                    _ => self.pubrel(id, session, ack),
                }
                // These are answered.
                return self.next(id);
            }
        }
        Next::Packet
    }

    /// Whether the connection takes more input.
    #[inline]
    fn next(&self, id: ConnId) -> Next {
        match self.takes_input(id) {
            true => Next::Packet,
            false => Next::Pause,
        }
    }
}
