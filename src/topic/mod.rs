//! Topic names and filters, and the flat table that answers "who matches".
//!
//! - [`filter`]: what a good Topic Filter is, Shared Subscriptions, and the slow obvious match.
//! - [`levels`]: the interner; each distinct Topic Level is kept once and has a small number.
//! - [`Index`]: numbers by hash, in tables that grow one by one.
//! - [`table`]: the trie of interned levels in flat arrays; values are plain numbers of the caller.
//! - `recent`: the answers for the names that came last.
//! - [`walk`]: enumerating stored names that match a filter, in slices, while the table changes.
//!
//! Looking up never interns: names of publishers cannot grow memory; only subscribing and storing
//! a retained message do. Bounds: 44 bytes per node and about 10 per edge, a level's bytes once.

pub mod filter;
mod index;
pub mod levels;
mod recent;
pub mod table;
pub mod walk;

pub use filter::{BadFilter, Filter, matches};
pub use index::Index;
pub use table::{Matches, NodeId, Table};
pub use walk::Cursor;

/// How many levels a topic name or filter has.
pub fn level_count(topic: &[u8]) -> usize {
    memchr::memchr_iter(b'/', topic).count() + 1
}

/// Whether no client may publish to a topic name: one below `$SYS` is the broker's alone, one that
/// begins like a shared subscription could not be subscribed to. Mosquitto's bridges say below
/// `$SYS` whether they are connected, with a will, and would not come in otherwise.
pub fn is_reserved(topic: &[u8]) -> bool {
    if topic.starts_with(b"$share/") {
        return true;
    }
    let rest = topic.strip_prefix(b"$SYS/broker/connection/");
    let name = rest.and_then(|rest| rest.strip_suffix(b"/state"));
    topic.starts_with(b"$SYS") && name.is_none_or(|name| name.contains(&b'/'))
}

#[cfg(test)]
mod tests;
