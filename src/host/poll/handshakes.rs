//! TLS handshakes that are under way: no more than so many.
//!
//! An honest one is over in a few turns. When there are too many, the oldest has to go: strangers
//! who begin very many and end none push out each other, and hardly ever somebody who is quick.
//! How long one may take is bounded by `connect_timeout`, as the broker knows the connection from
//! its first byte on.

use super::{Life, Loop, Now};
use crate::broker::ConnId;
use std::collections::VecDeque;

/// Handshakes under way at a time.
const HANDSHAKES_MAX: usize = 256;

/// Those who began one, the oldest first.
#[derive(Default)]
pub(super) struct Handshakes {
    begun: VecDeque<(usize, ConnId)>,
    /// Encrypted links.
    pub(super) encrypted: usize,
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
}
