//! Bursts: several messages of one publisher to one topic, delivered together.
//!
//! A publisher's messages to one topic often come many in one read. Delivered one by one, each of
//! them looks at all the subscriber's tables anew; with a hundred subscribers these are out of the
//! processor's nearest cache every time. Delivered together, each subscriber is looked at once.
//! Only what leads to the same order of packets is put together: topics with one filter that
//! matches, and no share group. (Measured, instructions per message in or out at QoS 0: 413 before
//! and 326 now with 1 publisher and 100 subscribers, 480 and 420 with 100 pairs.)
//!
//! Bounds: 64 messages, and as many deliveries as a slice of work has.

use super::Broker;
use super::publish::Publisher;
use super::route::smaller_qos;
use super::session::SessionId;
use super::subscriptions::SubscriptionId;
use crate::store::{Delivery, MessageId};
use crate::topic::NodeId;
use crate::wire::QoS;

/// Messages in one burst.
const MESSAGES_MAX: usize = 64;

/// The messages that wait to be delivered together: only while one read is looked through.
#[derive(Default)]
pub(super) struct Burst {
    messages: Vec<(MessageId, QoS)>,
    /// The filter whose subscribers get them.
    node: Option<NodeId>,
    /// How many may be put together; 0 as long as that is not known.
    max: usize,
    /// What comes may wait for more: it is a run of packets, and no journal wants to know who gets
    /// each message.
    pub(super) is_open: bool,
    /// The most that ever went together, for the tests.
    #[cfg(test)]
    pub(super) most: usize,
}

impl Broker {
    /// Takes a plain message whose topic's matches are at hand: it goes to its subscribers now, or
    /// with the next ones.
    #[inline]
    pub(super) fn take_plain(&mut self, session: SessionId, message: MessageId, qos: QoS) {
        if self.burst.max == 0 {
            return self.begin_burst(session, message, qos);
        }
        self.burst.messages.push((message, qos));
        if self.burst.messages.len() >= self.burst.max {
            self.deliver_burst(session);
        }
    }

    /// The same for a message whose topic was not looked up, and which the caller holds no longer.
    #[inline]
    pub(super) fn take_released(&mut self, session: SessionId, message: MessageId) {
        let body = self.messages.get(message);
        let qos = body.qos();
        let table = &self.subscriptions.table;
        if self.burst.max == 0 || !table.is_last(body.topic(), &self.matches) {
            self.end_burst(session);
            let topic = self.messages.get(message).topic();
            (self.subscriptions.table).matches(topic, &mut self.matches);
        }
        self.take_plain(session, message, qos);
    }

    /// The first message to a topic goes alone; from what it cost follows how many may go together.
    fn begin_burst(&mut self, session: SessionId, message: MessageId, qos: QoS) {
        let before = self.work;
        self.route_found(Publisher::Session(session), message, qos, false);
        self.messages.release(message);
        let cost = (self.work - before).max(1);
        let single = match self.matches.found[..] {
            [node] if self.subscriptions.first_group_of(node).is_none() => Some(node),
            _ => None,
        };
        self.burst.node = single;
        self.burst.max = match single {
            Some(_) if self.settings.allow_duplicate_messages => {
                (self.settings.slice / cost).clamp(1, MESSAGES_MAX)
            }
            _ => 1,
        };
    }

    /// Another topic is next: what waits for the last one is delivered.
    #[inline]
    pub(super) fn end_burst(&mut self, session: SessionId) {
        if !self.burst.messages.is_empty() {
            self.deliver_burst(session);
        }
        self.burst.max = 0;
    }

    fn deliver_burst(&mut self, session: SessionId) {
        let publisher = Publisher::Session(session);
        let messages = std::mem::take(&mut self.burst.messages);
        match (self.burst.node, &messages[..]) {
            (Some(node), [_, _, ..]) => {
                #[cfg(test)]
                {
                    self.burst.most = self.burst.most.max(messages.len());
                }
                let mut next = self.subscriptions.first_of(node);
                while let Some(id) = next {
                    next = self.burst_to_subscription(id, publisher, &messages);
                }
            }
            _ => {
                for &(message, qos) in &messages {
                    self.route_found(publisher, message, qos, false);
                }
            }
        }
        for &(message, _) in &messages {
            self.messages.release(message);
        }
        self.burst.messages = messages;
        self.burst.messages.clear();
    }

    /// Delivers the messages through a subscription; returns the next one of the filter.
    fn burst_to_subscription(
        &mut self,
        id: SubscriptionId,
        publisher: Publisher,
        messages: &[(MessageId, QoS)],
    ) -> Option<SubscriptionId> {
        self.work += messages.len();
        let subscription = self.subscriptions.get(id);
        let next = subscription.next.get();
        let (session, options) = (subscription.session, subscription.options);
        let identifier = subscription.identifier;
        let is_upgraded = self.settings.upgrade_outgoing_qos;
        let is_bridge = self.sessions.get(session).is_bridge;
        if publisher == Publisher::Session(session) && (options.no_local || is_bridge) {
            return next;
        }
        let deliveries = messages.iter().map(|&(message, qos)| {
            let qos = smaller_qos(is_upgraded, qos, options.qos);
            Delivery::new(message, qos, false, identifier)
        });
        let taken = self.queue_run(session, deliveries.clone());
        for delivery in deliveries.skip(taken) {
            self.deliver(session, delivery);
        }
        next
    }
}
