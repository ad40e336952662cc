//! TLS handshakes: how many are under way, and how much of the processor they get.
//!
//! An honest one is over in a few turns. When there are too many, the oldest has to go: strangers
//! who begin very many and end none push out each other, and hardly ever somebody who is quick.
//! How long one may take is bounded by `connect_timeout`, as the broker knows the connection from
//! its first byte on.
//!
//! Each costs us a signature, which is a few milliseconds on a small board. So they have a budget:
//! half of the time, saved up for two milliseconds at most. Who has come further is read first in
//! every turn; handshakes take turns with what is left of the budget, in the order in which they
//! came. Nobody signs for who has gone meanwhile. While many wait for us, no more connections are accepted where they would only wait, too:
//! they do so in the kernel, where they cost nothing.

use super::{Life, Loop, Now};
use crate::broker::ConnId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Handshakes under way at a time.
const HANDSHAKES_MAX: usize = 256;

/// Handshakes that wait for us, from which on no more are accepted.
const CROWD: usize = 64;

/// One part of so many of the time is for handshakes.
const PART: u32 = 2;

/// What of it may be saved up.
const SAVED_MAX: Duration = Duration::from_millis(2);

/// Those who began one, the oldest first.
#[derive(Default)]
pub(super) struct Handshakes {
    begun: VecDeque<(usize, ConnId)>,
    /// Links with something to read that is part of a handshake.
    waiting: VecDeque<usize>,
    budget: Budget,
    /// Encrypted links.
    pub(super) encrypted: usize,
}

/// Time to spend: a bucket that fills with time.
#[derive(Default)]
struct Budget {
    /// When it was or will be empty; in the past, what has passed since is in it.
    empty_at: Option<Instant>,
}

impl Budget {
    /// Whether there is some at this moment.
    fn has_some(&mut self, now: Instant) -> bool {
        let earliest = now.checked_sub(SAVED_MAX * PART).unwrap_or(now);
        let empty_at = self.empty_at.get_or_insert(earliest);
        *empty_at = earliest.max(*empty_at);
        *empty_at < now
    }

    fn spend(&mut self, spent: Duration) {
        if let Some(empty_at) = &mut self.empty_at {
            *empty_at += spent * PART;
        }
    }

    /// How long until there is some.
    fn wait(&self, now: Instant) -> Duration {
        self.empty_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

impl Handshakes {
    /// Lets a link wait for its turn.
    pub(super) fn put_off(&mut self, key: usize) {
        self.waiting.push_back(key);
    }

    /// Whether so many wait that no more are to come.
    pub(super) fn is_crowded(&self) -> bool {
        self.waiting.len() >= CROWD
    }

    /// When the next can go on, in monotonic milliseconds.
    pub(super) fn deadline(&self, now_ms: u64) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        let wait = self.budget.wait(Instant::now());
        Some(now_ms + wait.as_micros().div_ceil(1000) as u64)
    }
}

impl Loop {
    /// A link has begun a handshake.
    pub(super) fn begin_handshake(&mut self, key: usize, conn: ConnId, now: Now) {
        self.handshakes.encrypted += 1;
        self.handshakes.begun.push_back((key, conn));
        if self.handshakes.begun.len() <= HANDSHAKES_MAX {
            return;
        }
        // Many of them are over.
        let links = &self.links;
        self.handshakes.begun.retain(|&(key, conn)| {
            let link = links.get(key);
            link.is_some_and(|link| link.life == Life::Open(conn) && link.stream.is_handshaking())
        });
        while self.handshakes.begun.len() > HANDSHAKES_MAX {
            let Some((key, _)) = self.handshakes.begun.pop_front() else {
                return;
            };
            let why = "too many TLS handshakes are under way, and this is the oldest";
            self.links[key].give_up(why, &mut self.broker, &mut self.rings, now);
            self.gone.push(key);
        }
    }

    /// Whether the other end has closed its side in the middle of a handshake.
    fn has_left(&self, key: usize) -> bool {
        self.links.get(key).is_some_and(|link| {
            let is_shaking = matches!(link.life, Life::Open(_)) && link.stream.is_handshaking();
            is_shaking && (link.is_ending || link.is_broken)
        })
    }

    /// Goes on with handshakes, as far as their budget reaches.
    pub(super) fn shake_hands(&mut self, now: Now) {
        while let Some(&key) = self.handshakes.waiting.front() {
            let begun = Instant::now();
            let is_gone = self.has_left(key);
            if !is_gone && !self.handshakes.budget.has_some(begun) {
                return;
            }
            self.handshakes.waiting.pop_front();
            if is_gone {
                let why = "it was gone before the TLS handshake";
                self.links[key].give_up(why, &mut self.broker, &mut self.rings, now);
                self.gone.push(key);
                continue;
            }
            if self.read_link(key, now) {
                self.readable.push(key);
            }
            self.handshakes.budget.spend(begun.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_time_is_for_handshakes() {
        let mut budget = Budget::default();
        let start = Instant::now() + Duration::from_secs(60);
        let (mut now, mut spent) = (start, Duration::ZERO);
        let (work, idle) = (Duration::from_micros(300), Duration::from_micros(50));
        while now < start + Duration::from_secs(1) {
            if budget.has_some(now) {
                budget.spend(work);
                spent += work;
                now += work;
            } else {
                now += idle;
            }
        }
        let share = spent.as_secs_f64();
        assert!((0.49..0.51).contains(&share), "{share}");
    }

    #[test]
    fn little_is_saved_up() {
        let mut budget = Budget::default();
        let now = Instant::now() + Duration::from_secs(60);
        assert!(budget.has_some(now));
        let later = now + Duration::from_secs(3600);
        assert!(budget.has_some(later));
        budget.spend(SAVED_MAX);
        assert!(!budget.has_some(later));
        assert_eq!(budget.wait(later), Duration::ZERO);
        budget.spend(SAVED_MAX);
        assert_eq!(budget.wait(later), SAVED_MAX * PART);
    }
}
