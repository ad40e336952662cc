//! Enumerating the names in a table that match a filter, in slices.
//!
//! A walk goes depth first and remembers one node, which is pinned so that it stays while the
//! table changes between two slices; where to go on follows from that node's links and the
//! filter. Names that come in meanwhile may or may not be met: the caller tells them apart.

use super::levels::LevelId;
use super::table::{HASH, NONE, NodeId, PLUS, ROOT, Table};

/// Where a walk stands. It must end through [`Table::walk`] returning `true` or
/// [`Table::end_walk`], or a pin stays behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Cursor {
    node: NodeId,
    depth: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Go on below the node.
    Descend,
    /// The node and all below it are done.
    Ascend,
    Done,
}

impl Table {
    /// Begins a walk.
    pub fn begin_walk(&mut self) -> Cursor {
        self.pin(NodeId(ROOT));
        Cursor {
            node: NodeId(ROOT),
            depth: 0,
            state: State::Descend,
        }
    }

    /// Visits up to `steps` nodes and puts those that match `filter` and have a value into
    /// `found`, until it holds `found_max`; `true` when the walk has ended.
    pub fn walk(
        &mut self,
        cursor: &mut Cursor,
        filter: &[u8],
        steps: usize,
        found_max: usize,
        found: &mut Vec<NodeId>,
    ) -> bool {
        let levels: Vec<LevelId> = filter
            .split(|&b| b == b'/')
            .map(|l| self.pattern(l))
            .collect();
        let start = cursor.node;
        for _ in 0..steps {
            if cursor.state == State::Done || found.len() >= found_max {
                break;
            }
            self.step(cursor, &levels);
            let node = &self.nodes[cursor.node.0 as usize];
            let matched = cursor.state == State::Descend && is_match(&levels, cursor.depth);
            if matched && cursor.node.0 != ROOT && node.value != NONE {
                found.push(cursor.node);
            }
        }
        if cursor.node != start {
            self.pin(cursor.node);
            self.unpin(start);
        }
        if cursor.state == State::Done {
            self.end_walk(cursor);
            return true;
        }
        false
    }

    /// Ends a walk early. Ending it twice does nothing.
    pub fn end_walk(&mut self, cursor: &mut Cursor) {
        cursor.state = State::Done;
        if cursor.depth != u32::MAX {
            cursor.depth = u32::MAX;
            self.unpin(cursor.node);
        }
    }

    fn pattern(&self, level: &[u8]) -> LevelId {
        match level {
            b"+" => PLUS,
            b"#" => HASH,
            _ => self.levels.lookup(level).unwrap_or(NONE),
        }
    }

    /// Goes to the next node in depth-first order that may match; one step may also only go up.
    fn step(&self, cursor: &mut Cursor, levels: &[LevelId]) {
        let id = cursor.node.0;
        if cursor.state == State::Descend {
            let first = match pattern_at(levels, cursor.depth) {
                None => NONE,
                Some(PLUS | HASH) => self.children(id).literal,
                Some(level) => self.child(id, level),
            };
            match first {
                NONE => cursor.state = State::Ascend,
                child => {
                    cursor.depth += 1;
                    self.go_to(cursor, levels, child);
                }
            }
            return;
        }
        if id == ROOT {
            cursor.state = State::Done;
            return;
        }
        let above = cursor.depth - 1;
        let next = match pattern_at(levels, above) {
            Some(PLUS | HASH) => self.nodes[id as usize].next,
            _ => NONE,
        };
        match next {
            NONE => {
                cursor.node = NodeId(self.nodes[id as usize].parent);
                cursor.depth = above;
            }
            sibling => self.go_to(cursor, levels, sibling),
        }
    }

    /// Goes to a node. It is done at once, with all below it, if it is a `$` name and the filter
    /// begins with a wildcard [MQTT-4.7.2-1].
    fn go_to(&self, cursor: &mut Cursor, levels: &[LevelId], node: u32) {
        cursor.node = NodeId(node);
        let is_left_out = cursor.depth == 1
            && matches!(levels[0], PLUS | HASH)
            && self.levels.text(self.nodes[node as usize].level).first() == Some(&b'$');
        cursor.state = match is_left_out {
            true => State::Ascend,
            false => State::Descend,
        };
    }
}

/// What the filter asks of the children of a node at `depth`; `#` goes on for ever.
fn pattern_at(levels: &[LevelId], depth: u32) -> Option<LevelId> {
    match levels.get(depth as usize) {
        Some(&level) => Some(level),
        None if levels.last() == Some(&HASH) => Some(HASH),
        None => None,
    }
}

/// Whether a node at `depth`, reached by the filter's own path, matches the whole filter.
fn is_match(levels: &[LevelId], depth: u32) -> bool {
    let depth = depth as usize;
    match levels.last() {
        Some(&HASH) => depth + 1 >= levels.len(),
        _ => depth == levels.len(),
    }
}
