//! The broker's end of the journal: what is promised when, and what goes to the disk.
//!
//! A record is appended where state changes; `promise` remembers where the last one ends that the
//! packet at hand led to, and an acknowledgement leaves when everything before that is durable: the
//! gate. QoS 0 and sessions that end with their connection append nothing and wait for nothing.
//!
//! Inputs: [`Broker::durable`], [`Broker::fetched`]; outputs: [`Broker::poll_journal`],
//! [`Broker::poll_fetch`]. Without [`Broker::start_journal`] nothing is recorded.

use super::clean::Cleaning;
use super::fetch::Fetches;
use super::session::SessionId;
use super::{Broker, ConnId, Now};
use crate::store::journal::record::Clock;
use crate::store::journal::writer::{BACKLOG_MAX, SEGMENT_BYTES};
use crate::store::journal::{Batch, Opened, Place, Placed, Record, Report, SPARES, State, Writer};
use crate::wire::PacketType;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What the broker knows of its journal.
#[derive(Default)]
pub(super) struct Journal {
    /// `None` without persistence.
    pub(super) writer: Option<Writer>,
    pub(super) report: Report,
    /// Where the last record ends that the packet at hand led to.
    pub(super) promise: Place,
    /// Who is to get the message at hand and must not lose it, encoded.
    pub(super) recipients: Vec<u8>,
    /// Whether somebody who is here gets the message at hand soon.
    pub(super) is_wanted: bool,
    pub(super) is_restoring: bool,
    pub(super) next_key: u64,
    pub(super) sessions: HashMap<u64, SessionId, FixedState>,
    pub(super) fetches: Fetches,
    pub(super) cleaning: Cleaning,
    /// Where sessions ended of which that is not durable yet, by Client Identifier.
    pub(super) ended: std::collections::HashMap<Box<str>, Place>,
    /// Connections with replies that wait for the gate.
    gated: Vec<ConnId>,
    /// Connections that are not read from until the journal has caught up.
    paused: Vec<ConnId>,
    boot: u64,
    clock_offset_ms: i64,
    clock_due_ms: u64,
    /// The calendar less the log's clock, as recorded last.
    calendar_ms: u64,
    /// The newest record of clocks.
    pub(super) clock_placed: Placed,
    /// There are retained messages of QoS 0 for which there was no room.
    pub(super) owes_retained: bool,
    pub(super) damaged: u64,
    pub(super) refused: u64,
}

/// How old the newest record of clocks may get while records are written.
const CLOCK_INTERVAL_MS: u64 = 60_000;

/// Segments below the limit at which the policy for a full disk begins to work.
const LOW_MARK: u64 = 4;

/// With room for so many segments on the disk, spare files that are still to be made are as good as
/// made.
const PLENTY: u64 = 16;

impl Journal {
    /// Appends a record, if there is a journal.
    pub(super) fn append(&mut self, record: &Record<'_>) -> Option<Placed> {
        let placed = self.append_unpromised(record)?;
        self.promise = placed.end();
        Some(placed)
    }

    /// Appends a record that no packet waits for.
    pub(super) fn append_unpromised(&mut self, record: &Record<'_>) -> Option<Placed> {
        Some(self.writer.as_mut()?.append(record))
    }

    /// Appends the description of an object, in place of the one it had.
    pub(super) fn describe(&mut self, old: Placed, record: &Record<'_>) -> Placed {
        let Some(placed) = self.append(record) else {
            return Placed::default();
        };
        self.bury(old);
        self.count_live(placed);
        placed
    }

    /// An object is no more.
    pub(super) fn bury(&mut self, old: Placed) {
        if let Some(writer) = &mut self.writer {
            writer.remove_live(old.len);
        }
    }

    pub(super) fn count_live(&mut self, placed: Placed) {
        if let Some(writer) = &mut self.writer {
            writer.add_live(placed.len);
        }
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::disk_bytes)
    }

    pub(super) fn segment_count(&self) -> u64 {
        self.writer
            .as_ref()
            .map_or(0, |writer| writer.segment_count() as u64)
    }

    /// What `$SYS` says of it.
    pub(super) fn state_name(&self) -> &'static str {
        match (&self.writer, self.report.state) {
            (None, _) => "off",
            (Some(_), State::Fine) => "fine",
            (Some(_), State::Full) => "full",
            (Some(_), State::Failing) => "failing",
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.writer.is_some()
    }

    /// Whether everything before a place is durable.
    #[inline]
    pub(super) fn is_durable(&self, place: Place) -> bool {
        place <= self.report.durable
    }

    /// Where the next record will begin, or everything if there is no journal.
    pub(super) fn end(&self) -> Place {
        self.writer.as_ref().map_or(Place::START, Writer::end)
    }

    /// Where the last session of a client ended, if that may still be lost.
    pub(super) fn end_of(&self, client_id: &str) -> Place {
        self.ended.get(client_id).copied().unwrap_or(Place::START)
    }

    /// Whether more waits for the disk than should.
    pub(super) fn is_backlogged(&self) -> bool {
        (self.writer.as_ref()).is_some_and(|writer| writer.backlog() > BACKLOG_MAX)
    }

    /// Whether the disk is so full that the policy for it counts.
    pub(super) fn is_low(&self, max_bytes: u64) -> bool {
        let Some(writer) = &self.writer else {
            return false;
        };
        let few = LOW_MARK * u64::from(writer.segment_bytes());
        let is_near_limit = max_bytes != 0 && taken(writer) + few > max_bytes;
        is_near_limit || !self.has_spares(writer)
    }

    /// Whether the next segments have room on the disk: set aside already, or soon to be.
    fn has_spares(&self, writer: &Writer) -> bool {
        let plenty = PLENTY * u64::from(writer.segment_bytes());
        let is_plenty = self.report.state == State::Fine && self.report.free_bytes >= plenty;
        self.report.spares >= SPARES || is_plenty
    }

    /// Whether a record of so many bytes that is no cleaning and no acknowledgement has room. One
    /// spare segment is left for those: without them nothing would ever become free.
    pub(super) fn has_room(&self, len: usize, max_bytes: u64) -> bool {
        let Some(writer) = &self.writer else {
            return true;
        };
        if self.report.state == State::Failing {
            return false;
        }
        if writer.remaining() as usize > len {
            return true;
        }
        let segment_bytes = u64::from(writer.segment_bytes());
        let needed = (len as u64 + 1024).max(segment_bytes);
        let is_large = needed > segment_bytes;
        let has_disk = self.has_spares(writer)
            && (!is_large || self.report.free_bytes > needed + segment_bytes);
        has_disk && (max_bytes == 0 || taken(writer) + needed <= max_bytes)
    }
}

/// Bytes of the disk that the log takes, with the spare files beside it.
fn taken(writer: &Writer) -> u64 {
    writer.disk_bytes() + u64::from(SPARES) * u64::from(writer.segment_bytes())
}

impl Broker {
    /// Begins to record, after [`Broker::restore`] was told everything that was found; returns what
    /// that came to, in words.
    pub fn start_journal(&mut self, opened: Opened, now: Now) -> String {
        self.begin_restore();
        // The clock goes on from where the log's was.
        self.now = now;
        self.journal.damaged = opened.damaged;
        self.journal.boot = opened.boot;
        self.journal.clock_offset_ms = opened.clock_offset_ms;
        // Until the disk has told: what it has no room for is not acknowledged in any case.
        self.journal.report.spares = SPARES;
        self.journal.report.free_bytes = u64::MAX;
        self.journal.cleaning.force_through(opened.damaged_through);
        let segment_bytes = match opened.segment_bytes {
            0 => SEGMENT_BYTES,
            bytes => bytes,
        };
        let writer = Writer::new(opened.salt, opened.segments).with_segments_of(segment_bytes);
        self.journal.report.written = writer.end();
        self.journal.writer = Some(writer);
        self.record_clock();
        self.finish_restore();
        let inventory = self.inventory();
        self.restart_sys();
        self.start_retain_sweep();
        self.journal.promise = Place::START;
        inventory
    }

    fn inventory(&self) -> String {
        format!(
            "{} sessions, {} messages ({} of them retained) and {} subscriptions",
            self.sessions.count(),
            self.messages.count(),
            self.retained.count(),
            self.subscriptions.slab.len(),
        )
    }

    pub(super) fn record_clock(&mut self) {
        self.journal.clock_due_ms = self.now.mono_ms + CLOCK_INTERVAL_MS;
        self.journal.calendar_ms = self.calendar_ms();
        let clock = Clock {
            boot: self.journal.boot,
            boot_ms: (self.now.mono_ms).saturating_add_signed(-self.journal.clock_offset_ms),
            wall_ms: self.now.wall_ms,
            log_ms: self.now.mono_ms,
        };
        let placed = self.journal.append(&Record::Clock(clock));
        self.journal.clock_placed = placed.unwrap_or_default();
    }

    fn calendar_ms(&self) -> u64 {
        self.now.wall_ms.wrapping_sub(self.now.mono_ms)
    }

    /// Whether the calendar was put right since it was recorded. A next boot would take the
    /// difference for time that the broker was away, and all that expires would be gone.
    fn has_new_calendar(&self) -> bool {
        let moved_ms = self.calendar_ms().wrapping_sub(self.journal.calendar_ms) as i64;
        moved_ms.unsigned_abs() > CLOCK_INTERVAL_MS
    }

    /// Hands out what the journal is to do next; `false` if there is nothing.
    ///
    /// `batch` is one that was done; its buffers are used again.
    pub fn poll_journal(&mut self, batch: &mut Batch) -> bool {
        let now_ms = self.now.mono_ms;
        let Some(writer) = &self.journal.writer else {
            return false;
        };
        let is_due = writer.backlog() > 0 && now_ms >= self.journal.clock_due_ms;
        if is_due || self.has_new_calendar() {
            self.record_clock();
        }
        let writer = self.journal.writer.as_mut();
        writer.is_some_and(|writer| writer.take(batch))
    }

    /// Whether [`Broker::poll_journal`] has something.
    pub fn has_journal(&self) -> bool {
        (self.journal.writer.as_ref()).is_some_and(Writer::has_steps)
    }

    /// Whether everything that was recorded is durable.
    pub fn is_all_durable(&self) -> bool {
        !self.journal.is_on() || self.journal.is_durable(self.journal.end())
    }

    /// Says whether each batch is synced before the next one is written.
    pub fn note_sync(&mut self, is_each_batch: bool) {
        if let Some(writer) = &mut self.journal.writer {
            writer.set_marking(is_each_batch);
        }
    }

    /// Records the time of a stop, in a batch of its own if everything else is durable: what was
    /// written before it is then known to be whole, whatever the disk makes of it later.
    pub fn seal_journal(&mut self, now: Now) {
        self.now = now;
        if self.is_all_durable() {
            self.record_clock();
        }
    }

    /// Everything before this place is durable, as far as the broker was told.
    pub fn durable_place(&self) -> Place {
        self.journal.report.durable
    }

    /// The journal says how far it is.
    pub fn durable(&mut self, report: Report, now: Now) {
        self.now = now;
        // What was found at the start is there before anything was written.
        let written = report.written.max(self.journal.report.written);
        self.journal.report = Report { written, ..report };
        let mut gated = std::mem::take(&mut self.journal.gated);
        gated.retain(|&id| {
            self.mark_writable(id);
            let conn = self.connections.get(id.index as usize);
            let conn = conn.filter(|conn| conn.generation == id.generation);
            let waits = conn.is_some_and(|conn| !self.journal.is_durable(conn.gate));
            if let (false, Some(conn)) = (waits, self.conn(id)) {
                conn.is_gated = false;
            }
            waits
        });
        self.journal.gated = gated;
        (self.journal.ended).retain(|_, &mut end| end > report.durable);
        self.messages
            .evict(self.settings.memory_cache, report.written);
        self.continue_cleaning();
        if self.journal.owes_retained {
            self.refresh_unrecorded();
        }
        self.resume_paused();
    }

    fn resume_paused(&mut self) {
        if self.journal.is_backlogged() {
            return;
        }
        for id in std::mem::take(&mut self.journal.paused) {
            if let Some(conn) = self.conn(id) {
                conn.waits_for_journal = false;
            }
            self.resume_if_drained(id);
        }
    }

    /// Reads no more of a connection until the journal has caught up.
    pub(super) fn wait_for_journal(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id) {
            conn.is_paused = true;
            if !std::mem::replace(&mut conn.waits_for_journal, true) {
                self.journal.paused.push(id);
            }
        }
    }

    /// Makes a promise of the reply that is queued next: it leaves when everything is durable that
    /// the packet at hand changed, and what the session's earlier connections changed.
    #[inline]
    pub(super) fn gate(&mut self, id: ConnId, packet: PacketType) -> Place {
        if self.settings.ungated == Some(packet) {
            return Place::START;
        }
        let promise = self.journal.promise;
        let Some(conn) = self.conn(id) else {
            return Place::START;
        };
        let gate = promise.max(conn.gate_floor);
        self.wait_at_gate(id, gate);
        gate
    }

    /// Has the connection looked at again when a place is durable.
    #[inline]
    pub(super) fn wait_at_gate(&mut self, id: ConnId, gate: Place) {
        if !self.journal.is_durable(gate) {
            self.list_at_gate(id, gate);
        }
    }

    fn list_at_gate(&mut self, id: ConnId, gate: Place) {
        let Some(conn) = self.conn(id) else { return };
        conn.gate = conn.gate.max(gate);
        if !std::mem::replace(&mut conn.is_gated, true) {
            self.journal.gated.push(id);
        }
    }
}
