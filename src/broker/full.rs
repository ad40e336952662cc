//! When the disk is full, or as full as `persistence_max_bytes` lets it be; or memory is.
//!
//! What cannot be kept is not acknowledged: MQTT 5.0 has a reason for that (0x97), 3.x gets no
//! answer and sends it again when it connects anew. Messages that nobody would miss after a crash
//! go their way, QoS 0 always. With `persistence_full drop_oldest` the longest queue makes room.

use super::held::Already;
use super::ledger::MEMORY_LIMIT;
use super::session::{Session, SessionId};
use super::{Broker, ConnId};
use crate::wire::{PacketType, Publish, QoS, ReasonCode, Version};

/// What one message that is refused room takes from the longest queue.
const DROP_MAX: usize = 64;
const DROP_BYTES_MAX: u64 = 256 * 1024;
/// To find that queue among so many sessions costs as much as one delivery.
const SESSIONS_PER_WORK: usize = 8;

impl Broker {
    /// Whether the journal has room for records of so many bytes.
    pub(super) fn has_room_for(&mut self, len: usize) -> bool {
        let max_bytes = self.settings.persistence_max_bytes;
        let may_drop = self.settings.drops_oldest && self.journal.is_on();
        if may_drop && self.journal.is_low(max_bytes) && !self.has_garbage() {
            self.drop_oldest();
        }
        self.journal.has_room(len, max_bytes)
    }

    /// Whether the journal has room for a message of so many bytes, and nothing has to be done for
    /// that.
    #[inline]
    pub(super) fn surely_has_room(&self, len: usize) -> bool {
        let max_bytes = self.settings.persistence_max_bytes;
        let may_drop = self.settings.drops_oldest && self.journal.is_low(max_bytes);
        !may_drop && self.has_room_left(len)
    }

    /// Whether the journal has room for a message of so many bytes as it is.
    #[inline]
    pub(super) fn has_room_left(&self, len: usize) -> bool {
        let max_bytes = self.settings.persistence_max_bytes;
        !self.journal.is_backlogged() && self.journal.has_room(len + RECORD_BYTES, max_bytes)
    }

    /// Whether cleaning makes room without anything being dropped.
    fn has_garbage(&self) -> bool {
        self.journal.disk_bytes() > self.allowed_bytes()
    }

    /// The directive by which a QoS 1 or 2 message cannot be kept, though it has to be.
    #[inline]
    pub(super) fn cannot_keep(
        &mut self,
        session: SessionId,
        publish: &Publish<'_>,
    ) -> Option<&'static str> {
        if !self.journal.is_on() && !self.is_over_memory() {
            return None;
        }
        let is_taken = |already| matches!(already, Already::Same | Already::Unread(_));
        if publish.qos == QoS::ExactlyOnce && is_taken(self.compare_held(session, publish)) {
            // It was taken already: to refuse it now would free an identifier that is in use.
            return None;
        }
        if !self.can_hold(session, publish) {
            self.refuse_memory();
            return Some(MEMORY_LIMIT);
        }
        let len = publish.topic.len() + publish.properties.raw().len() + publish.payload.len();
        if self.has_room_for(len + RECORD_BYTES) || !self.must_keep(session, publish) {
            return None;
        }
        self.journal.refused += 1;
        Some("persistence")
    }

    /// Whether somebody would miss a message after a crash.
    fn must_keep(&mut self, session: SessionId, publish: &Publish<'_>) -> bool {
        let is_held = publish.qos == QoS::ExactlyOnce && self.sessions.get(session).is_recorded();
        if publish.retain || is_held {
            return true;
        }
        self.has_recipient(session, publish.topic, Session::is_recorded)
    }

    /// A topic that a client publishes to, behind the mount point of its listener.
    pub(super) fn full_topic(&self, publisher: SessionId, topic: &[u8]) -> Vec<u8> {
        let listener = usize::from(self.sessions.get(publisher).listener);
        let mount_point = self.settings.listeners[listener].mount_point.as_bytes();
        [mount_point, topic].concat()
    }

    /// Whether one of those who subscribed to a topic is such a one; a share group may have one.
    pub(super) fn has_recipient(
        &mut self,
        publisher: SessionId,
        topic: &[u8],
        is_one: impl Fn(&Session) -> bool,
    ) -> bool {
        let topic = self.full_topic(publisher, topic);
        self.subscriptions.table.matches(&topic, &mut self.matches);
        let work = &mut self.work;
        self.matches.found.iter().any(|&node| {
            let mut next = self.subscriptions.first_of(node);
            while let Some(id) = next {
                *work += 1;
                let subscription = self.subscriptions.get(id);
                next = subscription.next.get();
                if is_one(self.sessions.get(subscription.session)) {
                    return true;
                }
            }
            self.subscriptions.first_group_of(node).is_some()
        })
    }

    /// A message that cannot be kept is not taken, and not acknowledged.
    pub(super) fn refuse_to_keep(
        &mut self,
        id: ConnId,
        version: Version,
        publish: &Publish<'_>,
        limit: &'static str,
    ) {
        self.stats.publish_dropped += 1;
        if version != Version::V5 {
            return;
        }
        let packet = match publish.qos {
            QoS::ExactlyOnce => PacketType::PubRec,
            _ => PacketType::PubAck,
        };
        let reason = ReasonCode::QUOTA_EXCEEDED;
        self.acknowledge_limit(id, packet, publish.packet_id, reason, limit);
    }

    /// Drops some of what waits longest in the longest queue.
    fn drop_oldest(&mut self) {
        self.work += self.sessions.count() / SESSIONS_PER_WORK;
        let sessions = self.sessions.slab.iter();
        let longest = sessions.max_by_key(|(_, session)| session.flow.queue.bytes());
        let Some((index, session)) = longest else {
            return;
        };
        let (count, bytes) = (
            session.flow.queue.len().min(DROP_MAX),
            session.flow.queue.bytes(),
        );
        let id = SessionId(index as u32);
        for _ in 0..count {
            self.drop_front(id);
            if bytes - self.sessions.get(id).flow.queue.bytes() > DROP_BYTES_MAX {
                break;
            }
        }
        self.continue_cleaning();
    }

    /// Records retained messages that found no room, as far as there is room again, and no more
    /// at once than may wait for the disk.
    pub(super) fn refresh_unrecorded(&mut self) {
        if !self.has_room_left(0) {
            return;
        }
        self.journal.owes_retained = false;
        for id in self.unrecorded_retained() {
            if !self.has_room_left(self.messages.len_of(id)) {
                self.journal.owes_retained = true;
                return;
            }
            self.begin_message();
            let node = self.kept_node(id);
            self.describe_message(id, node, None);
            if let Some(node) = node {
                self.note_kept_place(node);
            }
        }
    }
}

/// What a message's record takes besides the message, roughly.
const RECORD_BYTES: usize = 1024;
