//! What a reload changes.
//!
//! Compares settings, defaults included, not fields: so no directive can be forgotten, and what a
//! file says in other words (a default written out, another order) is no difference.

use super::config::{Config, Listener};
use super::table::{self, Directive, Reload};
use super::value::default;
use super::written::Block;

/// A directive whose meaning differs between two configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// The directive; `listener` when listeners come, go or move.
    pub directive: &'static str,
    /// Whether the reload takes the new value over.
    pub reload: Reload,
}

impl Config {
    /// The directives whose values differ in `new`, in the order of the table, each once.
    pub fn differences(&self, new: &Self) -> Vec<Difference> {
        let moved = !self
            .listeners
            .iter()
            .map(|listener| &listener.bind)
            .eq(new.listeners.iter().map(|listener| &listener.bind));
        let pairs = pairs(&self.listeners, &new.listeners, moved);
        table::directives()
            .filter(|directive| {
                (directive.name == "listener" && moved)
                    || differs(&self.written, &new.written, directive)
                    || pairs
                        .iter()
                        .any(|(old, new)| differs(&old.written, &new.written, directive))
            })
            .map(|directive| Difference {
                directive: directive.name,
                reload: directive.reload,
            })
            .collect()
    }
}

/// The listeners that both configurations have.
fn pairs<'a>(
    old: &'a [Listener],
    new: &'a [Listener],
    moved: bool,
) -> Vec<(&'a Listener, &'a Listener)> {
    if !moved {
        return old.iter().zip(new).collect();
    }
    old.iter()
        .filter_map(|old| Some((old, new.iter().find(|new| new.bind == old.bind)?)))
        .collect()
}

fn differs(old: &Block, new: &Block, directive: &Directive) -> bool {
    match (old.get(directive.name), new.get(directive.name)) {
        (None, None) => false,
        (Some(old), Some(new)) => old != new,
        (Some(one), None) | (None, Some(one)) => Some(&one.value) != default(directive).as_ref(),
    }
}
