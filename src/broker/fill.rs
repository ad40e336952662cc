//! From the queue into the window: what is sent next, as far as the client takes it.

use super::Broker;
use super::flow::Flow;
use super::session::{Session, SessionId};
use crate::store::Stage;

/// How far the deliveries in a window may lie apart, so that their identifiers tell them apart.
pub(super) const IDS_IN_USE_MAX: u64 = 65_534;

/// How far packet identifiers may spread beyond a window whose first one is not acknowledged.
const SPAN_PER_WINDOW: usize = 4;

impl Broker {
    /// Moves QoS 1 and 2 deliveries from the queue into the window, as far as there is room.
    pub(super) fn fill_window(&mut self, id: SessionId) {
        while let Some(front) = self.sessions.get(id).flow.queue.front() {
            if !self.window_has_room(self.sessions.get(id)) {
                break;
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
        let limit = self.window_limit(session);
        let max_bytes = self.settings.max_inflight_bytes;
        let flow = &*session.flow;
        let has_bytes =
            max_bytes == 0 || flow.window_bytes < max_bytes || flow.window.in_flight() == 0;
        let span_max = (limit * SPAN_PER_WINDOW).clamp(64, usize::from(u16::MAX) - 1);
        flow.window.in_flight() < limit
            && has_bytes
            && flow.windowed - flow.base < span_max as u64
            && self.has_free_id(flow)
    }

    /// Whether the next message in the queue does not have the packet identifier of one in the
    /// window: very many may have been dropped between them.
    fn has_free_id(&self, flow: &Flow) -> bool {
        if flow.window.in_flight() == 0 || flow.next_ordinal - flow.base < IDS_IN_USE_MAX {
            return true;
        }
        let front = flow.queue.front().map(|id| self.deliveries.get(id));
        front.is_none_or(|front| flow.ordinal_of_queued(front.number) - flow.base < IDS_IN_USE_MAX)
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
