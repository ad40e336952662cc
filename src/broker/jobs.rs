//! Long jobs: what would hold up everybody if it were done in one go is done in slices.
//!
//! A slice is a number of deliveries, or half as many filters or things freed: about a
//! millisecond. What looks through much and delivers nothing (members of a share group, retained
//! topics, sessions on a full disk) counts for what that costs. What a packet or a timer leads to
//! is done at once as far as a slice reaches; the rest becomes a job. Each turn of the loop does a
//! slice of the job at the front and puts it at the back. Scans of all retained messages and their
//! replays have cursors of their own (see `retain` and `replay`).
//!
//! Bounds: one job for each connection, as it is not read on, and one for each session that ended.

use super::session::SessionId;
use super::subscribe::Request;
use super::{Broker, ConnId};
use std::collections::VecDeque;

/// What is done in slices.
pub(super) enum Job {
    /// A SUBSCRIBE or UNSUBSCRIBE and its filters, encoded.
    Filters(Request, Vec<u8>),
    /// A session that has ended holds something still.
    EndSession(SessionId),
}

/// Jobs that are not done.
#[derive(Default)]
pub(super) struct Jobs {
    queue: VecDeque<Job>,
}

/// What a timer may count for: the log lines and the closing of a connection.
const TIMER_WORK: usize = 20;

impl Broker {
    /// Whether what is at hand has to wait so that others have their turn.
    pub(super) fn is_slice_over(&self) -> bool {
        self.work >= self.settings.slice
    }

    /// Leaves the rest of something to later turns.
    pub(super) fn begin_job(&mut self, job: Job) {
        self.jobs.queue.push_back(job);
    }

    /// Whether [`Broker::timeout`] has work to do whatever the clock says.
    pub(super) fn has_jobs(&self) -> bool {
        !self.jobs.queue.is_empty()
    }

    /// Does what is due, a slice of it.
    pub(super) fn serve_timers(&mut self) {
        self.work = 0;
        while !self.is_slice_over() {
            let Some(timer) = self.timers.pop(self.now.mono_ms) else {
                break;
            };
            self.work += TIMER_WORK;
            self.ring(timer);
        }
    }

    /// Does a slice of the job whose turn it is.
    pub(super) fn continue_job(&mut self) {
        let Some(job) = self.jobs.queue.pop_front() else {
            return;
        };
        self.work = 0;
        match job {
            Job::Filters(request, filters) => self.continue_request(request, filters),
            Job::EndSession(session) => self.dismantle(session),
        }
    }

    /// Does not read a connection on until its job is done.
    pub(super) fn pause_for_job(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id) {
            conn.is_paused = true;
            conn.waits_for_job = true;
        }
    }
}
