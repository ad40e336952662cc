//! Subscriptions: who has which filter, linked per filter and per session.
//!
//! A node of the topic table carries the number of the first of its subscriptions. The few that
//! have share groups, too, carry that of a [`Head`], which has both. A subscription is in two
//! lists, its filter's (or its group's members) and its session's, so that ending a session takes
//! each out at once. Where its record lies in the journal stands beside, for those that have one.
//! Bounds: 40 bytes a subscription, 16 more up to the last that is recorded.

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

/// The number of a node from here on (but for [`NONE`]) is that of its head.
const HEADS: u32 = 1 << 31;

/// What a filter with share groups has.
pub(super) struct Head {
    subscription: Link,
    group: Link,
}

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
    /// The number of the [`super::replay::Replay`] under way for it, 0 for none, with [`OWED`].
    pub(super) replay: u32,
    /// The list of the filter; not used by members of a group.
    pub(super) next: Link,
    previous: Link,
    /// The list of the session.
    pub(super) next_of_session: Link,
    previous_of_session: Link,
}

const _: () = assert!(size_of::<Subscription>() == 40);

/// The journal says that a replay is under way.
pub(super) const OWED: u32 = 1 << 31;

/// All subscriptions.
pub(super) struct Subscriptions {
    pub(super) table: Table,
    pub(super) slab: Slab<Subscription>,
    /// The records of subscriptions in the journal, as far as there are some.
    placed: Vec<Placed>,
    heads: Slab<Head>,
    pub(super) groups: Slab<Group>,
    pub(super) groups_by_name: Index,
    /// Bytes of memory that the groups take, as [`Group::memory`] has them.
    pub(super) group_bytes: usize,
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
            placed: Vec::new(),
            heads: Slab::new(),
            groups: Slab::new(),
            groups_by_name: Index::default(),
            group_bytes: 0,
            hasher: FixedState::with_seed(seed.rotate_left(32)),
            shared_count: 0,
        }
    }

    /// Bytes of memory they take, filters and Share Names included.
    pub(super) fn memory(&self) -> usize {
        self.table.memory()
            + self.slab.len() * size_of::<Subscription>()
            + self.placed.len() * size_of::<Placed>()
            + self.group_bytes
    }

    #[inline]
    pub(super) fn get(&self, id: SubscriptionId) -> &Subscription {
        &self.slab[id as usize]
    }

    /// The first subscription of a filter.
    #[inline]
    pub(super) fn first_of(&self, node: NodeId) -> Option<SubscriptionId> {
        self.of(node).0
    }

    /// The first subscription and the first share group of a filter.
    #[inline]
    pub(super) fn of(&self, node: NodeId) -> (Option<SubscriptionId>, Option<u32>) {
        let value = self.table.value(node);
        if value < HEADS {
            return (Some(value), None);
        }
        match value {
            NONE => (None, None),
            _ => {
                let head = &self.heads[(value - HEADS) as usize];
                (head.subscription.get(), head.group.get())
            }
        }
    }

    /// The first share group of a filter.
    #[inline]
    pub(super) fn first_group_of(&self, node: NodeId) -> Option<u32> {
        self.of(node).1
    }

    /// Sets both for a filter.
    fn set(&mut self, node: NodeId, subscription: Option<SubscriptionId>, group: Option<u32>) {
        let old = Some(self.table.value(node)).filter(|&value| value >= HEADS && value != NONE);
        let value = match group {
            None => subscription.unwrap_or(NONE),
            Some(_) => {
                let head = Head {
                    subscription: subscription.into(),
                    group: group.into(),
                };
                HEADS + self.heads.insert(head) as u32
            }
        };
        self.table.set_value(node, value);
        if let Some(old) = old {
            self.heads.remove((old - HEADS) as usize);
        }
    }

    /// Sets the first share group of a filter.
    pub(super) fn set_first_group(&mut self, node: NodeId, group: Option<u32>) {
        self.set(node, self.first_of(node), group);
    }

    fn set_first(&mut self, node: NodeId, subscription: Option<SubscriptionId>) {
        self.set(node, subscription, self.first_group_of(node));
    }

    /// Where a subscription lies in the journal.
    pub(super) fn placed(&self, id: SubscriptionId) -> Placed {
        self.placed.get(id as usize).copied().unwrap_or_default()
    }

    /// Notes where a subscription lies in the journal.
    pub(super) fn set_placed(&mut self, id: SubscriptionId, placed: Placed) {
        let len = self.placed.len().max(id as usize + 1);
        self.placed.resize(len, Placed::default());
        self.placed[id as usize] = placed;
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
        first: &mut Link,
    ) -> SubscriptionId {
        let (node, group) = (subscription.node, subscription.group.get());
        let next = match group {
            Some(_) => None,
            None => self.first_of(node),
        };
        subscription.next = next.into();
        subscription.next_of_session = *first;
        let id = self.slab.insert(subscription) as u32;
        if let Some(next) = std::mem::replace(first, Link(id)).get() {
            self.slab[next as usize].previous_of_session = Some(id).into();
        }
        match group {
            Some(group) => self.join_group(group, id),
            None => {
                if let Some(next) = next {
                    self.slab[next as usize].previous = Some(id).into();
                }
                self.set_first(node, Some(id));
            }
        }
        id
    }

    /// Takes a subscription out of both lists, and frees its filter if it was the last one.
    pub(super) fn remove(&mut self, id: SubscriptionId, first: &mut Link) {
        let s = self.slab.remove(id as usize);
        if let Some(placed) = self.placed.get_mut(id as usize) {
            *placed = Placed::default();
        }
        match s.previous_of_session.get() {
            None => *first = s.next_of_session,
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
                    None => self.set_first(s.node, s.next.get()),
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
        }
    }
}
