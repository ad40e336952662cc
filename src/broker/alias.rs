//! Topic aliases, both ways (section 3.3.2.3.4); they end with the connection [MQTT-3.3.2-7].

use super::{Broker, ConnId};
use crate::wire::{Malformed, ReasonCode};
use std::collections::HashMap;

/// The topics that a client gave aliases to; slot 0 is alias 1.
pub(super) type InboundAliases = Vec<Option<Box<[u8]>>>;

/// The aliases that we gave to a client: the first topics sent to it get one, for good.
///
/// Alias `n` belongs to `order[n - 1]`. An alias given in a transmission that the socket did not
/// take is taken back.
pub(super) struct OutboundAliases {
    maximum: u16,
    by_topic: HashMap<Box<[u8]>, u16>,
    order: Vec<Box<[u8]>>,
}

impl OutboundAliases {
    /// Room for this many aliases; none if there are to be none.
    pub(super) fn with_maximum(maximum: u16) -> Option<Box<OutboundAliases>> {
        let aliases = || OutboundAliases {
            maximum,
            by_topic: HashMap::new(),
            order: Vec::new(),
        };
        (maximum > 0).then(|| Box::new(aliases()))
    }

    /// Bytes of memory they take.
    pub(super) fn memory(&self) -> usize {
        self.order.iter().map(|topic| 2 * topic.len() + 64).sum()
    }

    /// The alias of a topic that has one, and `true` if it was given just now.
    pub(super) fn get_or_give(&mut self, topic: &[u8], may_give: bool) -> Option<(u16, bool)> {
        if let Some(&alias) = self.by_topic.get(topic) {
            return Some((alias, false));
        }
        if !may_give || self.order.len() >= usize::from(self.maximum) {
            return None;
        }
        let alias = self.order.len() as u16 + 1;
        self.order.push(topic.into());
        self.by_topic.insert(topic.into(), alias);
        Some((alias, true))
    }

    /// Takes the aliases from this one on back.
    pub(super) fn take_back_from(&mut self, alias: u16) {
        while self.order.len() >= usize::from(alias) {
            let Some(topic) = self.order.pop() else { break };
            self.by_topic.remove(&topic);
        }
    }
}

impl Broker {
    /// Where the topic of a client's alias is kept.
    pub(super) fn inbound_alias(
        &mut self,
        id: ConnId,
        alias: u16,
    ) -> Result<&mut Option<Box<[u8]>>, Malformed> {
        let invalid = Malformed {
            reason: ReasonCode::TOPIC_ALIAS_INVALID,
            what: "a topic alias above max_topic_alias",
        };
        let conn = self
            .connections
            .get_mut(id.index as usize)
            .filter(|conn| conn.generation == id.generation)
            .ok_or(invalid)?;
        let listener = &self.settings.listeners[usize::from(conn.peer.listener)];
        if alias == 0 || alias > listener.max_topic_alias {
            return Err(invalid);
        }
        let slot = usize::from(alias) - 1;
        let aliases = &mut conn.extras_mut().inbound_aliases;
        if aliases.len() <= slot {
            aliases.resize(slot + 1, None);
        }
        Ok(&mut aliases[slot])
    }
}
