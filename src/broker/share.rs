//! Shared Subscriptions (section 4.8): a group of sessions that share the messages of a filter.
//!
//! Messages go round the group. A member that has a connection and room is preferred; if there is
//! none, a message of QoS 1 or 2 waits in the queue of a member that is away.

use super::Broker;
use super::publish::Publisher;
use super::subscriptions::{SubscriptionId, Subscriptions};
use crate::auth::Access;
use crate::store::{Delivery, MessageId};
use crate::topic::NodeId;
use crate::wire::QoS;
use std::hash::BuildHasher;

/// What a share group takes besides its name and the list of its members: its entries in the
/// tables, and what the allocator adds.
const GROUP_BYTES: usize = 256;

/// The members of one Share Name on one filter.
pub(super) struct Group {
    node: NodeId,
    name: Box<str>,
    pub(super) members: Vec<SubscriptionId>,
    /// Whose turn is next.
    turn: usize,
    /// The list of the filter's groups.
    next: Option<u32>,
    previous: Option<u32>,
}

impl Group {
    /// Share Name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of memory it takes.
    fn memory(&self) -> usize {
        let members = self.members.capacity() * size_of::<SubscriptionId>();
        GROUP_BYTES + self.name.len() + members
    }
}

impl Subscriptions {
    /// The group of this name on a filter.
    pub(super) fn find_group(&self, node: NodeId, name: &str) -> Option<u32> {
        // A client may make very many groups on one filter: they are not searched one by one.
        let is_it = |&id: &u32| {
            let group = &self.groups[id as usize];
            group.node == node && *group.name == *name
        };
        let hash = self.hasher.hash_one((node, name));
        self.groups_by_name.find(hash, is_it)
    }

    /// The same, made now if need be.
    pub(super) fn find_or_add_group(&mut self, node: NodeId, name: &str) -> u32 {
        if let Some(group) = self.find_group(node, name) {
            return group;
        }
        let next = self.first_group_of(node);
        let group = Group {
            node,
            name: name.into(),
            members: Vec::new(),
            turn: 0,
            next,
            previous: None,
        };
        self.group_bytes += group.memory();
        let id = self.groups.insert(group) as u32;
        if let Some(next) = next {
            self.groups[next as usize].previous = Some(id);
        }
        let Subscriptions {
            groups,
            groups_by_name,
            hasher,
            ..
        } = self;
        let hash_of = |id: u32| {
            let group = &groups[id as usize];
            hasher.hash_one((group.node, &*group.name))
        };
        groups_by_name.insert(hash_of(id), id, &hash_of);
        self.set_first_group(node, Some(id));
        id
    }

    /// Puts a member in.
    pub(super) fn join_group(&mut self, id: u32, member: SubscriptionId) {
        let group = &mut self.groups[id as usize];
        self.group_bytes -= group.memory();
        group.members.push(member);
        self.group_bytes += group.memory();
        self.shared_count += 1;
    }

    /// Takes a member out, and the group away with its last one.
    pub(super) fn leave_group(&mut self, id: u32, member: SubscriptionId) {
        let group = &mut self.groups[id as usize];
        if let Some(at) = group.members.iter().position(|&m| m == member) {
            group.members.remove(at);
            self.shared_count -= 1;
            if group.turn > at {
                group.turn -= 1;
            }
        }
        if group.members.is_empty() {
            self.remove_group(id);
        }
    }

    fn remove_group(&mut self, id: u32) {
        let group = self.groups.remove(id as usize);
        self.group_bytes -= group.memory();
        let hash = self.hasher.hash_one((group.node, &*group.name));
        self.groups_by_name.remove(hash, id);
        if let Some(next) = group.next {
            self.groups[next as usize].previous = group.previous;
        }
        match group.previous {
            Some(previous) => self.groups[previous as usize].next = group.next,
            None => self.set_first_group(group.node, group.next),
        }
    }
}

impl Broker {
    /// Delivers a message to one member of each group of a filter.
    #[inline]
    pub(super) fn route_to_groups(
        &mut self,
        node: NodeId,
        message: MessageId,
        publisher: Publisher,
    ) {
        let mut next = self.subscriptions.first_group_of(node);
        while let Some(id) = next {
            next = self.subscriptions.groups[id as usize].next;
            if let Some(member) = self.choose_member(id, message, publisher) {
                self.route_to_member(member, message);
            }
        }
    }

    /// The member whose turn it is among the best that can take the message.
    fn choose_member(
        &mut self,
        id: u32,
        message: MessageId,
        publisher: Publisher,
    ) -> Option<SubscriptionId> {
        let group = &self.subscriptions.groups[id as usize];
        let count = group.members.len();
        let mut chosen: Option<(usize, u8)> = None;
        let mut looked_at = 0;
        for at in (0..count).map(|i| (group.turn + i) % count) {
            looked_at += 1;
            let merit = self.merit(group.members[at], message, publisher);
            if merit > chosen.map_or(0, |(_, merit)| merit) {
                chosen = Some((at, merit));
            }
            if merit == MERIT_MAX {
                break;
            }
        }
        self.work += looked_at;
        let (at, _) = chosen?;
        let group = &mut self.subscriptions.groups[id as usize];
        group.turn = (at + 1) % count;
        Some(group.members[at])
    }

    /// How well a member can take a message: connected with room, away with room, not at all.
    fn merit(&self, id: SubscriptionId, message: MessageId, publisher: Publisher) -> u8 {
        let subscription = self.subscriptions.get(id);
        let session = self.sessions.get(subscription.session);
        let stored = self.messages.get(message);
        // A bridge gets nothing back that it brought.
        if session.has_ended
            || session.is_bridge && publisher == Publisher::Session(subscription.session)
        {
            return 0;
        }
        if session.rules.is_some() && !self.may(subscription.session, Access::Read, stored.topic())
        {
            return 0;
        }
        let qos = self.delivered_qos(stored.qos(), subscription.options.qos);
        let len = super::route::queued_len(stored.len());
        let has_room = self.has_room(session, qos, len);
        match (session.connection.is_some(), qos, has_room) {
            (true, _, true) => MERIT_MAX,
            (false, _, true) => 2,
            (false, QoS::AtMostOnce, false) if !self.settings.queue_qos0_messages => 0,
            (_, _, false) => 1,
        }
    }

    fn route_to_member(&mut self, id: SubscriptionId, message: MessageId) {
        let subscription = self.subscriptions.get(id);
        let session = subscription.session;
        let stored = self.messages.get(message);
        let delivery = Delivery::new(
            message,
            self.delivered_qos(stored.qos(), subscription.options.qos),
            stored.retain() && subscription.options.retain_as_published,
            subscription.identifier,
        );
        self.deliver(session, delivery);
    }
}

const MERIT_MAX: u8 = 3;
