//! Subscriptions: who has which filter, linked per filter and per session.
//!
//! A node of the topic table carries two numbers: the first of its subscriptions and the first of
//! its share groups. A subscription is in two lists, its filter's (or its group's members) and its
//! session's, so that ending a session takes each out at once. Bounds: 56 bytes a subscription.

use super::session::SessionId;
use super::share::Group;
use crate::store::journal::Placed;
use crate::topic::table::NONE;
use crate::topic::{Index, NodeId, Table};
use crate::wire::SubscriptionOptions;
use foldhash::fast::FixedState;
use slab::Slab;

/// A subscription, by its slot.
pub(super) type SubscriptionId = u32;

/// The values of a node in the table.
const SUBSCRIPTIONS: usize = 0;
pub(super) const GROUPS: usize = 1;

/// A share group, with a name of ordinary length and a few members.
const GROUP_BYTES: usize = 256;

/// A number, or none, in four bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(u32);

impl Link {
    #[inline]
    pub(super) fn get(self) -> Option<u32> {
        some(self.0)
    }
}

impl From<Option<u32>> for Link {
    fn from(number: Option<u32>) -> Link {
        Link(number.unwrap_or(NONE))
    }
}

/// One filter of one session.
pub(super) struct Subscription {
    pub(super) session: SessionId,
    pub(super) node: NodeId,
    /// The group, for a Shared Subscription.
    pub(super) group: Link,
    pub(super) options: SubscriptionOptions,
    /// Subscription Identifier; 0 for none.
    pub(super) identifier: u32,
    /// The number of the [`super::retain::Replay`] under way for it; 0 for none.
    pub(super) replay: u32,
    /// The list of the filter; not used by members of a group.
    pub(super) next: Link,
    previous: Link,
    /// The list of the session.
    pub(super) next_of_session: Link,
    previous_of_session: Link,
    /// Its record in the journal.
    pub(super) placed: Placed,
}

/// All subscriptions.
pub(super) struct Subscriptions {
    pub(super) table: Table,
    pub(super) slab: Slab<Subscription>,
    pub(super) groups: Slab<Group>,
    pub(super) groups_by_name: Index,
    pub(super) hasher: FixedState,
    /// How many are shared.
    pub(super) shared_count: usize,
}

fn some(value: u32) -> Option<u32> {
    (value != NONE).then_some(value)
}

impl Subscriptions {
    pub(super) fn new(seed: u64) -> Subscriptions {
        Subscriptions {
            table: Table::new(seed),
            slab: Slab::new(),
            groups: Slab::new(),
            groups_by_name: Index::default(),
            hasher: FixedState::with_seed(seed.rotate_left(32)),
            shared_count: 0,
        }
    }

    /// Bytes of memory they take, filters included.
    pub(super) fn memory(&self) -> usize {
        self.table.memory()
            + self.slab.len() * (size_of::<Subscription>() + size_of::<usize>())
            + self.groups.len() * GROUP_BYTES
    }

    #[inline]
    pub(super) fn get(&self, id: SubscriptionId) -> &Subscription {
        &self.slab[id as usize]
    }

    /// The first subscription of a filter.
    #[inline]
    pub(super) fn first_of(&self, node: NodeId) -> Option<SubscriptionId> {
        some(self.table.value(node, SUBSCRIPTIONS))
    }

    /// The first subscription of a filter, and whether it has share groups.
    #[inline]
    pub(super) fn of(&self, node: NodeId) -> (Option<SubscriptionId>, bool) {
        let values = self.table.values(node);
        (some(values[SUBSCRIPTIONS]), values[GROUPS] != NONE)
    }

    /// The first share group of a filter.
    #[inline]
    pub(super) fn first_group_of(&self, node: NodeId) -> Option<u32> {
        some(self.table.value(node, GROUPS))
    }

    /// The subscription of a session to a filter, in a group or in none.
    ///
    /// It is in two lists; both are searched in turn, so that the shorter one decides how long this
    /// takes: a client may have very many filters, a filter very many clients.
    pub(super) fn find(
        &self,
        node: NodeId,
        group: Option<u32>,
        session: SessionId,
        first_of_session: Option<SubscriptionId>,
    ) -> Option<SubscriptionId> {
        let is_it = |id: SubscriptionId| {
            let s = self.get(id);
            s.session == session && s.node == node && s.group.get() == group
        };
        if let Some(group) = group {
            let members = &self.groups[group as usize].members;
            return members.iter().copied().find(|&id| is_it(id));
        }
        let mut of_filter = self.first_of(node);
        let mut of_session = first_of_session;
        while let (Some(a), Some(b)) = (of_filter, of_session) {
            if is_it(a) {
                return Some(a);
            }
            if is_it(b) {
                return Some(b);
            }
            of_filter = self.get(a).next.get();
            of_session = self.get(b).next_of_session.get();
        }
        None
    }

    /// Adds a subscription; `first` is its session's list.
    pub(super) fn insert(
        &mut self,
        mut subscription: Subscription,
        first: &mut Option<SubscriptionId>,
    ) -> SubscriptionId {
        let (node, group) = (subscription.node, subscription.group.get());
        let next = match group {
            Some(_) => None,
            None => self.first_of(node),
        };
        subscription.next = next.into();
        subscription.next_of_session = (*first).into();
        let id = self.slab.insert(subscription) as u32;
        if let Some(next) = first.replace(id) {
            self.slab[next as usize].previous_of_session = Some(id).into();
        }
        match group {
            Some(group) => {
                self.groups[group as usize].members.push(id);
                self.shared_count += 1;
            }
            None => {
                if let Some(next) = next {
                    self.slab[next as usize].previous = Some(id).into();
                }
                self.table.set_value(node, SUBSCRIPTIONS, id);
            }
        }
        id
    }

    /// Takes a subscription out of both lists, and frees its filter if it was the last one.
    pub(super) fn remove(&mut self, id: SubscriptionId, first: &mut Option<SubscriptionId>) {
        let s = self.slab.remove(id as usize);
        match s.previous_of_session.get() {
            None => *first = s.next_of_session.get(),
            Some(previous) => {
                self.slab[previous as usize].next_of_session = s.next_of_session;
            }
        }
        if let Some(next) = s.next_of_session.get() {
            self.slab[next as usize].previous_of_session = s.previous_of_session;
        }
        match s.group.get() {
            Some(group) => self.leave_group(group, id),
            None => {
                match s.previous.get() {
                    None => {
                        let first = s.next.get().unwrap_or(NONE);
                        self.table.set_value(s.node, SUBSCRIPTIONS, first);
                    }
                    Some(previous) => self.slab[previous as usize].next = s.next,
                }
                if let Some(next) = s.next.get() {
                    self.slab[next as usize].previous = s.previous;
                }
            }
        }
        self.table.release(s.node);
    }

    /// A subscription without its links.
    pub(super) fn unlinked(
        session: SessionId,
        node: NodeId,
        group: Option<u32>,
        options: SubscriptionOptions,
        identifier: u32,
    ) -> Subscription {
        Subscription {
            session,
            node,
            group: group.into(),
            options,
            identifier,
            replay: 0,
            next: None.into(),
            previous: None.into(),
            next_of_session: None.into(),
            previous_of_session: None.into(),
            placed: Placed::default(),
        }
    }
}
