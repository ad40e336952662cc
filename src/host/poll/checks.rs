//! Passwords on their way to the worker and back.
//!
//! Who has just come is served first. Behind come the clients that are here already, whose password
//! a reload wants checked again, and those that said all they had to say and closed their side: if
//! there are many of those, they are not waited for at all. A check whose client has gone is not
//! made, one that was made by a password file that has been read anew since is made again.
//!
//! Bounds: one check for each link, and a few whose link has gone.

use super::{Link, Loop, Now};
use crate::auth::{Passwords, SignIn};
use crate::broker::AuthRequest;
use crate::host::memory;
use crate::host::worker::Worker;
use mio::Waker;
use std::collections::VecDeque;
use std::sync::Arc;

/// Checks in the worker's hands: enough to keep it busy, few enough to change plans quickly.
const AT_WORKER_MAX: usize = 8;
/// Checks beyond one for each link that may wait.
const SPARE: usize = 64;
/// With so many waiting, nobody is let in who has closed his side already.
const CROWD: usize = 256;

/// A password to check: for whom, against what.
struct Check {
    request: AuthRequest,
    passwords: Arc<Passwords>,
}

/// All checks under way.
pub(super) struct Checks {
    worker: Worker<Check, (Check, SignIn)>,
    first: VecDeque<Check>,
    later: VecDeque<Check>,
}

impl Checks {
    /// No checks yet; the worker wakes the loop for each result.
    pub(super) fn new(waker: Arc<Waker>) -> Checks {
        let check = |check: Check| {
            let request = &check.request;
            let password = request.password.as_deref();
            let passwords = &check.passwords;
            let sign_in = passwords.check_within(&request.username, password, memory::available);
            (check, sign_in)
        };
        Checks {
            worker: Worker::new("passwords", AT_WORKER_MAX, waker, check),
            first: VecDeque::new(),
            later: VecDeque::new(),
        }
    }

    /// Whether the link takes a place in a long queue for a client that only speaks once.
    pub(super) fn is_crowded_by(&self, link: &Link) -> bool {
        link.is_signing_in && link.is_ending && self.first.len() + self.later.len() > CROWD
    }
}

impl Loop {
    /// Gives the broker's questions to the worker, and the worker's answers to the broker.
    pub(super) fn judge_passwords(&mut self, now: Now) {
        while let Some(request) = self.broker.poll_auth() {
            self.ask(request, now);
        }
        while let Some((check, sign_in)) = self.checks.worker.try_recv() {
            if self.is_current(&check) {
                self.judge(check, sign_in, now);
            } else {
                self.ask(check.request, now);
            }
        }
        while self.checks.worker.outstanding() < AT_WORKER_MAX {
            let Some(check) = self.next_check(now) else {
                break;
            };
            if let Err(check) = self.checks.worker.try_submit(check) {
                self.checks.first.push_front(check);
                break;
            }
        }
        self.resume_all(now);
    }

    fn judge(&mut self, check: Check, sign_in: SignIn, now: Now) {
        let conn = check.request.conn;
        if let Some(key) = self.key_of(conn) {
            let link = &mut self.links[key];
            link.is_signing_in = false;
            if sign_in == SignIn::Granted {
                link.verified = Some(check.passwords);
            }
        }
        self.broker.verdict(conn, sign_in, now);
    }

    /// Whether the password file was not read anew since.
    fn is_current(&self, check: &Check) -> bool {
        let now = self.passwords.get(usize::from(check.request.listener));
        matches!(now, Some(Some(now)) if Arc::ptr_eq(now, &check.passwords))
    }

    /// Lets a question wait for the worker, unless the answer is known.
    fn ask(&mut self, request: AuthRequest, now: Now) {
        let Some(key) = self.key_of(request.conn) else {
            return;
        };
        let passwords = self.passwords.get(usize::from(request.listener));
        let Some(passwords) = passwords.cloned().flatten() else {
            return (self.broker).verdict(request.conn, SignIn::UnknownUser, now);
        };
        let link = &mut self.links[key];
        if let Some(verified) = &mut link.verified {
            // A reload that left this user alone.
            if passwords.agrees_with(verified, &request.username) {
                *verified = passwords;
                return;
            }
        }
        link.is_signing_in = link.verified.is_none();
        let is_first = link.is_signing_in && !link.is_ending;
        self.forget_the_gone();
        let check = Check { request, passwords };
        if is_first {
            self.checks.first.push_back(check);
        } else {
            self.checks.later.push_back(check);
        }
    }

    /// The next check that is worth making.
    fn next_check(&mut self, now: Now) -> Option<Check> {
        while let Some(check) = self.checks.first.pop_front() {
            let Some(key) = self.key_of(check.request.conn) else {
                continue;
            };
            if self.links[key].is_ending {
                self.checks.later.push_back(check);
            } else if self.is_current(&check) {
                return Some(check);
            } else {
                self.ask(check.request, now);
            }
        }
        while let Some(check) = self.checks.later.pop_front() {
            let Some(key) = self.key_of(check.request.conn) else {
                continue;
            };
            let verified = self.links[key].verified.as_ref();
            if verified.is_some_and(|file| Arc::ptr_eq(file, &check.passwords)) {
                continue;
            }
            if self.is_current(&check) {
                return Some(check);
            }
            self.ask(check.request, now);
        }
        None
    }

    /// Whoever goes takes his check along, so that a flood of connections cannot leave a pile of
    /// them; the search is rare enough to cost nothing.
    fn forget_the_gone(&mut self) {
        let waiting = self.checks.first.len() + self.checks.later.len();
        if waiting <= self.links.len() + SPARE {
            return;
        }
        let mut first = std::mem::take(&mut self.checks.first);
        let mut later = std::mem::take(&mut self.checks.later);
        first.retain(|check| self.key_of(check.request.conn).is_some());
        later.retain(|check| self.key_of(check.request.conn).is_some());
        (self.checks.first, self.checks.later) = (first, later);
    }
}
