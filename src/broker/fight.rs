//! Clients that fight over a Client Identifier.
//!
//! A client that takes over a session throws out who had it [MQTT-3.1.4-2]. Two that were given the
//! same identifier by mistake do that to each other for ever, as fast as they can connect, and fill
//! the log. So take-overs are counted for each identifier. Some in a row are nothing: a client on a
//! bad line comes back before its old connection is known to be dead. More than that are a fight:
//! the next CONNECT with this identifier waits before it is looked at, longer each time, up to some
//! seconds; and one line a minute tells of it, with both addresses, in place of several for each
//! round.
//!
//! Bounds: some hundred identifiers are watched; beyond that the one that was quiet longest is
//! forgotten.

use super::connection::{Peer, State};
use super::session::SessionId;
use super::{Broker, ConnId};
use crate::wire::{Connect, FixedHeader};

/// Take-overs at once that are no fight.
const CALM: u64 = 5;
/// After how long one is forgotten, and how many are remembered at most.
const FORGIVEN_MS: u64 = 10_000;
const REMEMBERED_MAX: u64 = 12;

/// How long the first CONNECT of a fight waits, and any at most.
const DELAY_MS: u64 = 250;
const DELAY_MAX_MS: u64 = 5_000;

/// How often a fight is told.
const TELL_MS: u64 = 60_000;

const WATCHED_MAX: usize = 256;

/// Identifiers that were taken over lately, by their hash.
#[derive(Default)]
pub(super) struct Fights {
    watched: Vec<Fight>,
}

/// The take-overs of one identifier.
#[derive(Default)]
struct Fight {
    /// The identifier's hash.
    key: u64,
    /// [`FORGIVEN_MS`] for each, less the time since.
    heat_ms: u64,
    at_ms: u64,
    /// When the next CONNECT is looked at.
    open_ms: u64,
    /// When it was told last, and how many there were since.
    told_ms: Option<u64>,
    rounds: u32,
}

impl Fight {
    fn heat_ms(&self, now_ms: u64) -> u64 {
        self.heat_ms
            .saturating_sub(now_ms.saturating_sub(self.at_ms))
    }

    fn delay_ms(&self) -> u64 {
        let count = (self.heat_ms + FORGIVEN_MS / 2) / FORGIVEN_MS;
        match count.checked_sub(CALM + 1) {
            None => 0,
            Some(n) => (DELAY_MS << n).min(DELAY_MAX_MS),
        }
    }
}

impl Fights {
    /// How many identifiers are watched.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }

    fn get(&self, key: u64) -> Option<&Fight> {
        self.watched.iter().find(|fight| fight.key == key)
    }

    /// One more take-over of this identifier; the fight, if it is one.
    fn note(&mut self, key: u64, now_ms: u64) -> Option<&mut Fight> {
        let known = self.watched.iter().position(|fight| fight.key == key);
        let at = known.unwrap_or_else(|| self.add(key, now_ms));
        let fight = &mut self.watched[at];
        let heat_ms = fight.heat_ms(now_ms) + FORGIVEN_MS;
        fight.heat_ms = heat_ms.min(REMEMBERED_MAX * FORGIVEN_MS);
        fight.at_ms = now_ms;
        fight.rounds += 1;
        fight.open_ms = now_ms + fight.delay_ms();
        (fight.delay_ms() > 0).then_some(fight)
    }

    /// Watches one more; where it is.
    fn add(&mut self, key: u64, now_ms: u64) -> usize {
        if self.watched.len() >= WATCHED_MAX {
            self.watched.retain(|fight| fight.heat_ms(now_ms) > 0);
            let quiet = (0..self.watched.len()).min_by_key(|&at| self.watched[at].at_ms);
            if let Some(quiet) = quiet {
                self.watched.swap_remove(quiet);
            }
        }
        self.watched.push(Fight {
            key,
            ..Fight::default()
        });
        self.watched.len() - 1
    }
}

impl Broker {
    /// Puts a CONNECT off whose identifier is fought over; whether it was.
    pub(super) fn puts_off(&mut self, id: ConnId, packet: &[u8], connect: &Connect<'_>) -> bool {
        if self.fights.watched.is_empty() {
            return false;
        }
        let Some(conn) = self.connections.get_mut(id.index as usize) else {
            return false;
        };
        let listener = &self.settings.listeners[usize::from(conn.peer.listener)];
        let name = match listener.use_username_as_clientid {
            true => connect.username.or(conn.identity()),
            false => Some(connect.client_id),
        };
        let key = self.sessions.hash(name.unwrap_or_default());
        let Some(open_ms) = self.fights.get(key).map(|fight| fight.open_ms) else {
            return false;
        };
        if open_ms <= self.now.mono_ms {
            return false;
        }
        conn.state = State::Waiting;
        conn.extras_mut().connect = packet.into();
        conn.is_paused = true;
        self.set_connection_timer(id, Some(open_ms));
        true
    }

    /// Whether the CONNECT of this connection was put off.
    pub fn is_put_off(&self, id: ConnId) -> bool {
        let conn = self.connections.get(id.index as usize);
        conn.is_some_and(|conn| {
            conn.generation == id.generation && matches!(conn.state, State::Waiting)
        })
    }

    /// A CONNECT that was put off is looked at.
    pub(super) fn connect_at_last(&mut self, id: ConnId) {
        let Some(packet) = self.take_waiting(id, State::Waiting) else {
            return;
        };
        if let Some(body) = FixedHeader::body_of(&packet) {
            self.connect(id, packet[0], &packet, body);
        }
    }

    /// Notes that a client throws out another one; whether that is part of a fight, which is told
    /// here and in no other line.
    pub(super) fn note_take_over(&mut self, session: SessionId, old: ConnId, new: &Peer) -> bool {
        let now_ms = self.now.mono_ms;
        let name = self.sessions.get(session).name();
        let key = self.sessions.hash(name);
        let Some(fight) = self.fights.note(key, now_ms) else {
            return false;
        };
        let delay_ms = fight.delay_ms();
        if fight
            .told_ms
            .is_none_or(|told_ms| now_ms >= told_ms + TELL_MS)
        {
            fight.told_ms = Some(now_ms);
            let rounds = std::mem::take(&mut fight.rounds);
            let old = self.connections.get(old.index as usize);
            let old = old.map_or_else(String::new, |conn| conn.peer.address.to_string());
            log::warn!(
                "Warning: clients at {old} and {} take the client id {name} from each other \
                 ({rounds} times lately): each needs one of its own. Until then whoever comes \
                 with it waits {}.{:03} s, and this is told once a minute.",
                new.address,
                delay_ms / 1000,
                delay_ms % 1000,
            );
        }
        self.count_limit("client_id_fights");
        true
    }

    /// Whether an identifier is fought over at present.
    pub(super) fn is_fought_over(&self, client_id: &str) -> bool {
        if self.fights.watched.is_empty() {
            return false;
        }
        let fight = self.fights.get(self.sessions.hash(client_id));
        fight.is_some_and(|fight| fight.open_ms > self.now.mono_ms)
    }
}
