//! Packets that come in parts: how fast the rest has to come.
//!
//! Only whole packets show that a client is alive; but a large one on a slow line takes longer than
//! Keep Alive allows. So there is a pace: so many bytes a second, over half a minute at a time, or
//! over the time that Keep Alive allows where that is less. A packet that keeps it may take as long
//! as it needs; one that does not ends the connection, whatever Keep Alive it has: otherwise a byte
//! now and then would hold the connection, and the memory for the packet's beginning, for ever.
//!
//! The connection's one timer does it: while a packet is unfinished it rings for the pace, else for
//! Keep Alive.

use super::connection::{Connection, State};
use super::{Broker, ConnId, Now};
use crate::wire::ReasonCode;

/// The directive.
pub(super) const MIN_PACKET_RATE: &str = "min_packet_rate";

/// The time over which a pace is measured, and that every packet has.
const WINDOW_MS: u64 = 30_000;

/// A packet whose end has not come, and what was looked at last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unfinished {
    /// Bytes that are there; 0 if there is no such packet.
    len: u32,
    checked_len: u32,
    checked_ms: u64,
}

impl Connection {
    /// When a client that was heard of at `seen_ms` has been silent for too long.
    pub(super) fn silence_end(&self, seen_ms: u64) -> Option<u64> {
        (self.silence_max_ms != 0).then(|| seen_ms + u64::from(self.silence_max_ms))
    }

    fn window_ms(&self) -> u64 {
        match self.silence_max_ms {
            0 => WINDOW_MS,
            silence => u64::from(silence).min(WINDOW_MS),
        }
    }
}

impl Broker {
    /// What a connection's input left over: `len` bytes of a packet, which `is_new` if others came
    /// whole before it.
    pub(super) fn note_unfinished(&mut self, id: ConnId, len: usize, is_new: bool) {
        let now_ms = self.now.mono_ms;
        let rate = self.settings.min_packet_rate;
        let Some(conn) = self.conn(id) else { return };
        let was_none = conn.unfinished.len == 0;
        conn.unfinished.len = len as u32;
        if len == 0 || !is_new && !was_none {
            return;
        }
        conn.unfinished.checked_len = 0;
        conn.unfinished.checked_ms = now_ms;
        // Where the timer rings soon anyway, that is soon enough.
        let is_soon = conn.timer_at.has_come(now_ms + 2 * WINDOW_MS);
        if rate != 0 && !is_soon && matches!(conn.state, State::Open(_)) {
            let window_ms = conn.window_ms();
            self.set_connection_timer(id, Some(now_ms + window_ms));
        }
    }

    /// The caller cannot read on: how long that lasts does not count.
    pub fn hold_up(&mut self, id: ConnId, now: Now) {
        if let Some(conn) = self.conn(id) {
            conn.unfinished.checked_ms = now.mono_ms;
        }
    }

    /// The timer of an open connection rang: it goes on, or exceeds its time.
    pub(super) fn check_silence(&mut self, id: ConnId) {
        let now_ms = self.now.mono_ms;
        let rate = self.settings.min_packet_rate;
        let Some(conn) = self.conn(id) else { return };
        let window_ms = conn.window_ms();
        let silence_end = conn.silence_end(conn.last_seen_ms);
        let is_silent = silence_end.is_some_and(|end| end <= now_ms);
        let takes_input = conn.takes_input();
        let unfinished = &mut conn.unfinished;
        if unfinished.len == 0 || !takes_input || rate == 0 && silence_end.is_none() {
            // What a connection left over that is not read from may be whole packets.
            unfinished.checked_len = unfinished.len;
            unfinished.checked_ms = now_ms;
            if is_silent {
                return self.close(id, ReasonCode::KEEP_ALIVE_TIMEOUT, "exceeded timeout");
            }
            let is_checked = unfinished.len > 0 && rate != 0;
            let check = is_checked.then_some(now_ms + window_ms);
            let next = [silence_end, check].into_iter().flatten().min();
            return self.set_connection_timer(id, next);
        }
        let elapsed_ms = now_ms - unfinished.checked_ms;
        if elapsed_ms < window_ms {
            let at = unfinished.checked_ms + window_ms;
            return self.set_connection_timer(id, Some(at));
        }
        // Without a pace any byte will do.
        let wanted = (u64::from(rate) * elapsed_ms / 1000).max(1);
        let came = u64::from(unfinished.len - unfinished.checked_len.min(unfinished.len));
        if came >= wanted {
            unfinished.checked_len = unfinished.len;
            unfinished.checked_ms = now_ms;
            return self.set_connection_timer(id, Some(now_ms + window_ms));
        }
        self.count_limit(MIN_PACKET_RATE);
        match is_silent {
            true => self.close(id, ReasonCode::KEEP_ALIVE_TIMEOUT, "exceeded timeout"),
            false => {
                let what = "a packet that comes slower than min_packet_rate";
                self.close(id, ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR, what);
            }
        }
    }
}
