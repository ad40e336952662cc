//! Links that do not read because the budget of unfinished packets is used up.
//!
//! They are listed again as soon as there is room. Room comes by itself, since the packet that was
//! begun first may always grow; should it not come to its end while others wait, its link is given
//! up: otherwise a few clients that never finish could keep all others from sending.

use super::{Life, Link, Loop, Now};

/// How long the packet that was begun first may keep others waiting.
const PATIENCE_MS: u64 = 10_000;

/// Who waits, and for whom.
#[derive(Default)]
pub(super) struct Starved {
    keys: Vec<usize>,
    /// The number of the packet that was begun first, and until when it is waited for.
    first: Option<(u64, u64)>,
}

impl Starved {
    /// Notes a link that could not read.
    pub(super) fn add(&mut self, key: usize, link: &mut Link) {
        if !link.is_starved {
            link.is_starved = true;
            self.keys.push(key);
        }
    }

    /// When patience ends, in monotonic milliseconds.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.first.map(|(_, until)| until)
    }
}

impl Loop {
    /// Lists the links that may read again, those first that hold the least: a little room serves
    /// many of them, and the large ones have their turn as the first.
    pub(super) fn feed_starved(&mut self, now: Now) {
        if self.starved.keys.is_empty() {
            self.starved.first = None;
            return;
        }
        self.lose_patience(now);
        let has_room = self.rings.has_room();
        let (links, rings, readable) = (&mut self.links, &self.rings, &mut self.readable);
        let broker = &mut self.broker;
        if has_room {
            let held = |key: &usize| links.get(*key).map(|link| link.held.bytes().len());
            self.starved.keys.sort_by_key(held);
        }
        self.starved.keys.retain(|&key| {
            let Some(link) = links.get_mut(key).filter(|link| link.is_starved) else {
                return false;
            };
            if !has_room && !rings.is_first(&link.held) {
                if let Life::Open(conn) = link.life {
                    broker.hold_up(conn, now);
                }
                return true;
            }
            link.is_starved = false;
            if !link.is_listed {
                link.is_listed = true;
                readable.push(key);
            }
            false
        });
    }

    fn lose_patience(&mut self, now: Now) {
        let first = self.rings.first();
        match (first, self.starved.first) {
            (Some(first), Some((known, until))) if first == known => {
                if until > now.mono_ms {
                    return;
                }
                let holder = (self.links.iter_mut()).find(|(_, link)| {
                    // The one whose packet is the first.
                    self.rings.is_first(&link.held)
                });
                if let Some((key, link)) = holder {
                    let why = "its large packet kept others waiting for too long";
                    link.give_up(why, &mut self.broker, &mut self.rings, now);
                    self.gone.push(key);
                }
                self.starved.first = None;
            }
            (Some(first), _) => self.starved.first = Some((first, now.mono_ms + PATIENCE_MS)),
            (None, _) => self.starved.first = None,
        }
    }
}
