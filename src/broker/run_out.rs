//! The short way out for most packets: runs of acknowledgements and plain messages of one client.
//!
//! What holds for all packets of a transmission is looked at once ([`Terms`]); then each kind of
//! packet goes out in a loop of its own, as long as nothing is out of the ordinary. Whatever is (a
//! packet that does not fit, properties, a body that is to be read, QoS 0 between QoS 1) is left to
//! [`Broker::encode`], which would come to the same bytes for all that was sent here.

use super::encode::Terms;
use super::session::SessionId;
use super::transmit::{ITEMS_MAX, Progress, Source};
use super::{Broker, ConnId};
use crate::store::{Delivery, Stage};
use crate::wire::{PacketType, QoS, ReasonCode, Version, Window};

impl Broker {
    /// Encodes what is ordinary, until something else is next; `true` if nothing is.
    pub(super) fn transmit_runs(
        &mut self,
        id: ConnId,
        session: Option<SessionId>,
        terms: Terms,
        progress: &mut Progress,
        window: &mut Window<'_>,
    ) -> bool {
        let Some(session) = session.filter(|_| terms.is_plain) else {
            return false;
        };
        if progress.only_qos0 {
            return self.transmit_qos0(terms, progress, window);
        }
        if !self.transmit_acks(id, terms, progress, window) {
            return false;
        }
        if progress.qos0.is_none() {
            return self.transmit_slots(session, terms, progress, window);
        }
        let slot = self.next_slot(session, progress.slots, progress.under_way);
        progress.only_qos0 = slot.is_none();
        progress.only_qos0 && self.transmit_qos0(terms, progress, window)
    }

    /// Acknowledgements at the front of the replies; whether messages are next.
    fn transmit_acks(
        &mut self,
        id: ConnId,
        terms: Terms,
        progress: &mut Progress,
        window: &mut Window<'_>,
    ) -> bool {
        let Some(conn) = self.connections.get(id.index as usize) else {
            return false;
        };
        let transit = &mut self.transit;
        while let Some(reply) = conn.replies.get(progress.replies) {
            if !self.journal.is_durable(reply.gate) {
                if reply.holds_back_messages() {
                    return false;
                }
                break;
            }
            let has_reason = terms.version == Version::V5 && reply.reason != ReasonCode::SUCCESS;
            let len = 4 + usize::from(has_reason);
            if reply.is_encoded() || transit.items.len() >= ITEMS_MAX {
                return false;
            }
            let Some(room) = window.whole(len) else {
                return false;
            };
            put_ack(room, reply.packet, reply.packet_id);
            if has_reason {
                (room[1], room[4]) = (3, reply.reason.0);
            }
            transit.note_plain(Source::Reply, window);
            progress.replies += 1;
        }
        progress.pings == conn.replies.pings && !conn.is_fetching
    }

    /// QoS 0 messages, where nothing else can be sent; whether there are no more.
    fn transmit_qos0(
        &mut self,
        terms: Terms,
        progress: &mut Progress,
        window: &mut Window<'_>,
    ) -> bool {
        while let Some(id) = progress.qos0 {
            let delivery = self.deliveries.get(id);
            let is_full = self.transit.items.len() >= ITEMS_MAX;
            if is_full || !put_plain(&mut self.messages, terms, delivery, window) {
                return false;
            }
            self.transit.note_plain(Source::QoS0, window);
            progress.qos0 = delivery.next();
        }
        true
    }

    /// QoS 1 and 2 messages and PUBRELs, where no QoS 0 message waits; whether there are no more
    /// that may be sent now.
    fn transmit_slots(
        &mut self,
        session: SessionId,
        terms: Terms,
        progress: &mut Progress,
        window: &mut Window<'_>,
    ) -> bool {
        let limit = self.window_limit(self.sessions.get(session));
        let flow = &*self.sessions.get(session).flow;
        // What promises the client that its session goes on waits for its gate.
        let may_send = [
            self.journal.is_durable(flow.send_gate),
            self.journal.is_durable(flow.release_gate),
        ];
        while let Some((id, passed)) = flow.window.next_unsent(&self.deliveries, progress.slots) {
            if self.transit.items.len() >= ITEMS_MAX {
                return false;
            }
            let delivery = self.deliveries.get(id);
            let is_put = if delivery.stage == Stage::Publish {
                let is_gated = delivery.qos() == QoS::ExactlyOnce && !may_send[0];
                if is_gated || progress.under_way >= limit {
                    return true;
                }
                put_plain(&mut self.messages, terms, delivery, window)
            } else {
                if !may_send[1] {
                    return true;
                }
                let room = window.whole(4);
                let packet_id = delivery.number;
                room.map(|room| put_ack(room, PacketType::PubRel, packet_id))
                    .is_some()
            };
            if !is_put {
                return false;
            }
            self.transit.note_plain(Source::Window, window);
            progress.pass(delivery, passed);
        }
        true
    }
}

#[inline]
fn put_plain(
    messages: &mut crate::store::Messages,
    terms: Terms,
    delivery: &Delivery,
    window: &mut Window<'_>,
) -> bool {
    terms.encode_plain(messages, delivery, window).is_some()
}

/// The four bytes of an acknowledgement without a reason.
#[inline]
fn put_ack(room: &mut [u8], packet: PacketType, packet_id: u16) {
    let flags = if packet == PacketType::PubRel { 2 } else { 0 };
    let [high, low] = packet_id.to_be_bytes();
    room[..4].copy_from_slice(&[(packet as u8) << 4 | flags, 2, high, low]);
}
