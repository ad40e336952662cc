//! Limits that clients run into: counted for `$SYS`, and told to the log once for each connection.
//!
//! Limits that are the broker's as a whole (`memory_limit`, the disk) or a queue's are told where
//! they are kept, once for each time that they are reached.

use super::{Broker, ConnId};

/// A limit that the client sets.
pub(super) const MAXIMUM_PACKET_SIZE: &str = "Maximum Packet Size";

/// Those that are told, each by its bit in [`Told`].
const TOLD: [&str; 9] = [
    MAXIMUM_PACKET_SIZE,
    "max_inflight_messages",
    "max_inbound_qos2",
    "max_property_bytes",
    "max_subscriptions_per_client",
    "max_topic_levels",
    "max_user_properties",
    "message_size_limit",
    "mount_point",
];

/// What was told of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told(u16);

impl Told {
    /// Whether this is to be told now: the first time.
    pub(super) fn is_first(&mut self, limit: &str) -> bool {
        let Some(at) = TOLD.iter().position(|&known| known == limit) else {
            return false;
        };
        let before = self.0;
        self.0 |= 1 << at;
        before != self.0
    }
}

impl Broker {
    /// A client has reached a limit: the directive's name, or what else bounds it.
    pub(super) fn count_limit(&mut self, name: &'static str) {
        let limits = &mut self.stats.limits;
        match limits.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => limits.push((name, 1)),
        }
    }

    /// The same, and the log is told.
    pub(super) fn tell_limit(&mut self, id: ConnId, name: &'static str) {
        self.count_limit(name);
        if self.is_news(id, name) {
            let client = self.describe(id);
            log::info!(
                target: "notice",
                "Client {client} goes beyond {name}: what does is refused, and told once."
            );
        }
    }

    /// Whether it was not told before that this connection has reached this limit.
    pub(super) fn is_news(&mut self, id: ConnId, name: &str) -> bool {
        self.conn(id).is_some_and(|conn| conn.told.is_first(name))
    }
}
