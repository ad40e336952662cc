//! The trie of topic levels in flat arrays.
//!
//! Nodes lie in one `Vec` and name each other by number. The children of a node are linked to each
//! other: first `#`, then `+`, then literal levels. So a match sees the wildcards by looking at the
//! first of them, and an only child (every chain of levels consists of these) needs nothing more to
//! be found. Where there are several literal children they are also in one open-addressing table
//! keyed by (parent, level). A node carries a number of the caller's; the table never looks at it.
//!
//! Against heap nodes this takes a quarter of the memory at a million filters; against one hash
//! probe per wildcard shape it is a little slower, but no client can make it slow by subscribing to
//! many shapes. Bounds: 24 bytes a node, about 8 an edge.

use super::index::Index;
use super::levels::{LevelId, Levels};
use super::recent::Recent;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::hash::BuildHasher;

/// A node of the table: a topic name or filter, or the beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

/// No node, no level, no value.
pub const NONE: u32 = u32::MAX;

/// The level numbers that stand for `+` and `#`.
pub(super) const PLUS: LevelId = NONE - 1;
pub(super) const HASH: LevelId = NONE - 2;

pub(super) const ROOT: u32 = 0;

/// Free nodes that leave the table in one step; with a million of them a turn would get long.
const GIVEN_BACK_MAX: usize = 4096;

/// Invariants: `parent` is alive while the node is; a node without value, children and pins is
/// freed at once; a free node has no parent, its `next` and `previous` lead to other free ones. Of
/// several literal children each is an edge; an only one may be.
pub(super) struct Node {
    pub(super) parent: u32,
    pub(super) level: LevelId,
    pub(super) first_child: u32,
    pub(super) next: u32,
    pub(super) previous: u32,
    pub(super) value: u32,
}

const _: () = assert!(size_of::<Node>() == 24);

impl Node {
    fn new(parent: u32, level: LevelId) -> Node {
        Node {
            parent,
            level,
            first_child: NONE,
            next: NONE,
            previous: NONE,
            value: NONE,
        }
    }

    fn is_unused(&self) -> bool {
        (self.value, self.first_child) == (NONE, NONE)
    }
}

/// What lies below a node.
pub(super) struct Children {
    pub(super) plus: u32,
    pub(super) hash: u32,
    /// The first of those that are no wildcards; the others follow it.
    pub(super) literal: u32,
}

/// Topic names or filters, each with a number of the caller's.
pub struct Table {
    pub(super) nodes: Vec<Node>,
    edges: Index,
    free: u32,
    /// How often nodes are pinned, for those few that are.
    pins: HashMap<u32, u32, FixedState>,
    pub(super) levels: Levels,
    hasher: FixedState,
    /// Counts from 1 whatever may change what matches.
    changes: u64,
}

/// The scratch of a match, kept so that matching does not allocate, and its result.
#[derive(Default)]
pub struct Matches {
    levels: Vec<LevelId>,
    stack: Vec<(u32, u32)>,
    /// Of one table only: matches must not be used with another.
    recent: Recent,
    /// The nodes of the filters that match.
    pub found: Vec<NodeId>,
}

/// A topic name whose matches are not remembered.
#[derive(Clone, Copy)]
pub struct Unknown<'a> {
    topic: &'a [u8],
    hash: u64,
}

impl Table {
    /// An empty table; `seed` keys its hashes.
    pub fn new(seed: u64) -> Table {
        Table {
            nodes: vec![Node::new(NONE, NONE)],
            edges: Index::default(),
            free: NONE,
            pins: HashMap::with_hasher(FixedState::with_seed(seed)),
            levels: Levels::new(seed),
            hasher: FixedState::with_seed(seed ^ 0x9e37_79b9_7f4a_7c15),
            changes: 1,
        }
    }

    /// The node of a name or filter, made now if need be.
    ///
    /// A node without value is the caller's to set or to [`Table::release`].
    pub fn insert(&mut self, filter: &[u8]) -> NodeId {
        let mut node = ROOT;
        for level in filter.split(|&b| b == b'/') {
            let child = self.find_child(node, level);
            node = if child == NONE {
                self.add_child(node, level)
            } else {
                child
            };
        }
        NodeId(node)
    }

    /// The node of a name or filter that was inserted.
    pub fn find(&self, filter: &[u8]) -> Option<NodeId> {
        let mut node = ROOT;
        for level in filter.split(|&b| b == b'/') {
            node = self.find_child(node, level);
            if node == NONE {
                return None;
            }
        }
        Some(NodeId(node))
    }

    /// Bytes of memory it takes. Free nodes count, as long as they stand between others.
    pub fn memory(&self) -> usize {
        self.nodes.len() * size_of::<Node>() + self.edges.memory() + self.levels.memory()
    }

    /// The number of a node; [`NONE`] if it was not set, or the node is gone.
    #[inline]
    pub fn value(&self, node: NodeId) -> u32 {
        let node = self.nodes.get(node.0 as usize);
        node.map_or(NONE, |node| node.value)
    }

    /// Sets the number of a node.
    pub fn set_value(&mut self, node: NodeId, value: u32) {
        self.changes += 1;
        self.nodes[node.0 as usize].value = value;
    }

    /// Frees the node, and its parents, as far as nothing needs them.
    pub fn release(&mut self, node: NodeId) {
        let mut node = node.0;
        while node != ROOT
            && self.nodes[node as usize].is_unused()
            && !self.pins.contains_key(&node)
        {
            node = self.remove(node);
        }
    }

    /// Collects the nodes of all filters that match a topic name into `matches.found`.
    pub fn matches(&self, topic: &[u8], matches: &mut Matches) {
        if let Err(unknown) = self.recall(topic, matches) {
            self.search(unknown, matches);
        }
    }

    /// Whether `matches` has what the last call found for this topic name, and would find again.
    #[inline]
    pub fn is_last(&self, topic: &[u8], matches: &Matches) -> bool {
        matches.recent.is_last(self.changes, topic)
    }

    /// The same where it is remembered from one of the last times; else it finds nothing, and
    /// [`Table::search`] does.
    #[inline]
    pub fn recall<'a>(&self, topic: &'a [u8], matches: &mut Matches) -> Result<(), Unknown<'a>> {
        // Many messages in a row have the same topic: what they match is still there.
        if matches.recent.is_last(self.changes, topic) {
            return Ok(());
        }
        matches.found.clear();
        let hash = self.hasher.hash_one(topic);
        match matches.recent.get(hash, self.changes, topic) {
            Some(found) => {
                matches.found.extend_from_slice(found);
                Ok(())
            }
            None => Err(Unknown { topic, hash }),
        }
    }

    /// Collects what matches a topic name that was not remembered, and remembers it.
    pub fn search(&self, unknown: Unknown<'_>, matches: &mut Matches) {
        let Unknown { topic, hash } = unknown;
        self.walk_down(topic, matches);
        (matches.recent).put(hash, self.changes, topic, &matches.found);
    }

    fn walk_down(&self, topic: &[u8], matches: &mut Matches) {
        let Matches {
            levels,
            stack,
            found,
            ..
        } = matches;
        levels.clear();
        for level in split(topic) {
            levels.push(self.levels.lookup(level).unwrap_or(NONE));
        }
        let is_dollar = topic.first() == Some(&b'$');
        stack.push((ROOT, 0));
        while let Some((mut node, mut depth)) = stack.pop() {
            loop {
                let Children {
                    plus,
                    hash,
                    literal,
                } = self.children(node);
                // [MQTT-4.7.2-1]
                let wildcards = !(is_dollar && depth == 0);
                if hash != NONE && wildcards {
                    found.push(NodeId(hash));
                }
                let Some(&level) = levels.get(depth as usize) else {
                    if self.nodes[node as usize].value != NONE {
                        found.push(NodeId(node));
                    }
                    break;
                };
                depth += 1;
                if plus != NONE && wildcards {
                    stack.push((plus, depth));
                }
                node = self.literal_child(node, literal, level);
                if node == NONE {
                    break;
                }
            }
        }
    }

    /// The text of a node's name or filter.
    pub fn text(&self, node: NodeId) -> Vec<u8> {
        let mut levels = Vec::new();
        let mut node = node.0;
        while node != ROOT {
            let Node { parent, level, .. } = self.nodes[node as usize];
            levels.push(match level {
                PLUS => b"+",
                HASH => b"#",
                _ => self.levels.text(level),
            });
            node = parent;
        }
        levels.reverse();
        levels.join(&b'/')
    }

    /// Keeps a node alive although it may have neither value nor children.
    pub fn pin(&mut self, node: NodeId) {
        *self.pins.entry(node.0).or_default() += 1;
    }

    /// Takes back one [`Table::pin`].
    pub fn unpin(&mut self, node: NodeId) {
        if let Entry::Occupied(mut pins) = self.pins.entry(node.0) {
            *pins.get_mut() -= 1;
            if *pins.get() == 0 {
                pins.remove();
            }
        }
        self.release(node);
    }

    #[inline]
    fn edge_hash(&self, parent: u32, level: LevelId) -> u64 {
        self.hasher
            .hash_one(u64::from(parent) << 32 | u64::from(level))
    }

    /// The children of a node that stand for wildcards, and the first of the others.
    #[inline]
    pub(super) fn children(&self, node: u32) -> Children {
        let mut children = Children {
            plus: NONE,
            hash: NONE,
            literal: self.nodes[node as usize].first_child,
        };
        let nodes = &self.nodes;
        let mut take = |wildcard| {
            let first = children.literal;
            let node = nodes.get(first as usize).filter(|n| n.level == wildcard);
            node.map_or(NONE, |node| {
                children.literal = node.next;
                first
            })
        };
        (children.hash, children.plus) = (take(HASH), take(PLUS));
        children
    }

    /// The child of a node with these bytes, a wildcard or not.
    fn find_child(&self, node: u32, level: &[u8]) -> u32 {
        match level {
            b"+" => self.children(node).plus,
            b"#" => self.children(node).hash,
            _ => (self.levels.lookup(level)).map_or(NONE, |level| self.child(node, level)),
        }
    }

    /// The child of a node with a level, no wildcard.
    #[inline]
    pub(super) fn child(&self, parent: u32, level: LevelId) -> u32 {
        self.literal_child(parent, self.children(parent).literal, level)
    }

    /// The same where the first of the literal children is known.
    #[inline]
    fn literal_child(&self, parent: u32, first: u32, level: LevelId) -> u32 {
        match self.nodes.get(first as usize) {
            None => NONE,
            Some(node) if node.level == level => first,
            Some(node) if node.next == NONE => NONE,
            Some(_) => self.find_edge(parent, level),
        }
    }

    fn find_edge(&self, parent: u32, level: LevelId) -> u32 {
        let is_edge = |&node: &u32| {
            let node = &self.nodes[node as usize];
            node.parent == parent && node.level == level
        };
        self.edges
            .find(self.edge_hash(parent, level), is_edge)
            .unwrap_or(NONE)
    }

    fn add_child(&mut self, parent: u32, level: &[u8]) -> u32 {
        let level_id = match level {
            b"+" => PLUS,
            b"#" => HASH,
            _ => self.levels.intern(level),
        };
        self.changes += 1;
        let Children {
            plus,
            hash,
            literal,
        } = self.children(parent);
        let id = self.allocate(Node::new(parent, level_id));
        let (previous, next) = match level_id {
            HASH => (NONE, if plus == NONE { literal } else { plus }),
            PLUS => (hash, literal),
            _ => (if plus == NONE { hash } else { plus }, literal),
        };
        self.link(id, previous, next);
        if !matches!(level_id, PLUS | HASH) && literal != NONE {
            if self.nodes[literal as usize].next == NONE {
                // It was alone until now; it may have been one of several before.
                self.remove_edge(literal);
                self.insert_edge(literal);
            }
            self.insert_edge(id);
        }
        id
    }

    /// Puts a node between two of its siblings.
    fn link(&mut self, id: u32, previous: u32, next: u32) {
        let node = &mut self.nodes[id as usize];
        (node.previous, node.next) = (previous, next);
        let parent = node.parent;
        match previous {
            NONE => self.nodes[parent as usize].first_child = id,
            _ => self.nodes[previous as usize].next = id,
        }
        if next != NONE {
            self.nodes[next as usize].previous = id;
        }
    }

    fn insert_edge(&mut self, id: u32) {
        let Table {
            edges,
            nodes,
            hasher,
            ..
        } = self;
        let hash_of = |node: u32| {
            let Node { parent, level, .. } = nodes[node as usize];
            hasher.hash_one(u64::from(parent) << 32 | u64::from(level))
        };
        edges.insert(hash_of(id), id, &hash_of);
    }

    /// Takes a node out of the edges, if it is one.
    fn remove_edge(&mut self, id: u32) {
        let Node { parent, level, .. } = self.nodes[id as usize];
        self.edges.remove(self.edge_hash(parent, level), id);
    }

    fn allocate(&mut self, node: Node) -> u32 {
        if self.free == NONE {
            self.nodes.push(node);
            return self.nodes.len() as u32 - 1;
        }
        let id = self.free;
        self.free = self.nodes[id as usize].next;
        if let Some(first) = self.nodes.get_mut(self.free as usize) {
            first.previous = NONE;
        }
        self.nodes[id as usize] = node;
        id
    }

    /// Puts a node among the free ones. Those at the end of the array leave it, so that what one
    /// client had is not held for ever.
    fn set_free(&mut self, id: u32) {
        if let Some(first) = self.nodes.get_mut(self.free as usize) {
            first.previous = id;
        }
        self.nodes[id as usize] = Node::new(NONE, NONE);
        self.nodes[id as usize].next = self.free;
        self.free = id;
        for _ in 0..GIVEN_BACK_MAX {
            let Some(&Node {
                parent: NONE,
                next,
                previous,
                ..
            }) = self.nodes[1..].last()
            else {
                break;
            };
            match self.nodes.get_mut(previous as usize) {
                Some(before) => before.next = next,
                None => self.free = next,
            }
            if let Some(after) = self.nodes.get_mut(next as usize) {
                after.previous = previous;
            }
            self.nodes.pop();
        }
        if self.nodes.capacity() / 4 > self.nodes.len() {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
    }

    /// Unlinks and frees an unused node; returns its parent.
    fn remove(&mut self, id: u32) -> u32 {
        let Node {
            parent,
            level,
            next,
            previous,
            ..
        } = self.nodes[id as usize];
        match previous {
            NONE => self.nodes[parent as usize].first_child = next,
            _ => self.nodes[previous as usize].next = next,
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if !matches!(level, PLUS | HASH) {
            self.remove_edge(id);
            self.levels.release(level);
        }
        self.changes += 1;
        self.set_free(id);
        parent
    }
}

/// The levels of a topic name.
fn split(topic: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Setting up a search in long strides costs more than looking at a few bytes.
    const SHORT: usize = 32;
    let mut rest = Some(topic);
    std::iter::from_fn(move || {
        let level = rest?;
        let end = match level.len() {
            ..=SHORT => level.iter().position(|&byte| byte == b'/'),
            _ => memchr::memchr(b'/', level),
        };
        let end = end.unwrap_or(level.len());
        rest = level.get(end + 1..);
        Some(&level[..end])
    })
}
