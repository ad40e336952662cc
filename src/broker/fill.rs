//! From the queue into the window: what is sent next, as far as the client takes it.

use super::Broker;
use super::flow::WindowLimits;
use super::session::{Session, SessionId};
use super::transmit::ITEMS_MAX;
use crate::store::Stage;

impl Broker {
    /// Moves QoS 1 and 2 deliveries from the queue into the window, as far as there is room.
    pub(super) fn fill_window(&mut self, id: SessionId) {
        let mut drops_left = ITEMS_MAX;
        while let Some(front) = self.sessions.get(id).flow.queue.front() {
            if !self.window_has_room(self.sessions.get(id)) {
                break;
            }
            // In the window each handful of them would wait for the disk, and hold up all others.
            if drops_left > 0 && self.has_expired(front) {
                drops_left -= 1;
                self.drop_front(id);
                continue;
            }
            let flow = &mut *self.sessions.get_mut(id).flow;
            let delivery = self.deliveries.get_mut(front);
            let len = super::route::queued_len(self.messages.len_of(delivery.message));
            let ordinal = flow.ordinal_of_queued(delivery.number);
            delivery.stage = Stage::Publish;
            flow.queue.pop(&mut self.deliveries, len);
            flow.push_to_window(front, ordinal, len);
        }
        if self.journal.is_on() {
            self.record_sending(id);
        }
        self.wait_to_send(id);
    }

    /// Has a connection whose next message waits for its gate looked at when that opens.
    fn wait_to_send(&mut self, id: SessionId) {
        let session = self.sessions.get(id);
        let gate = session.flow.send_gate.max(session.flow.release_gate);
        if let Some(conn) = session.connection {
            self.wait_at_gate(conn, gate);
        }
    }

    #[inline(always)]
    pub(super) fn window_has_room(&self, session: &Session) -> bool {
        let limits = self.window_limits(session);
        session.flow.has_room(limits, &self.deliveries)
    }

    /// How much may be in the window of a session.
    #[inline(always)]
    pub(super) fn window_limits(&self, session: &Session) -> WindowLimits {
        WindowLimits {
            messages: self.window_limit(session),
            bytes: self.settings.max_inflight_bytes,
        }
    }

    /// How many QoS 1 and 2 messages may be under way to a client; while it is away, how many may
    /// be once it is back.
    #[inline]
    pub(super) fn window_limit(&self, session: &Session) -> usize {
        let conn = session.connection;
        match conn.and_then(|conn| self.connections.get(conn.index as usize)) {
            Some(conn) => usize::from(conn.send_maximum),
            None => usize::from(match self.settings.max_inflight_messages {
                0 => u16::MAX,
                limit => limit,
            }),
        }
    }
}
