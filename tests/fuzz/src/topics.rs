//! Filters and names: the table against a match that is obviously right, while filters come and
//! go; and a walk over names in slices.
//!
//! Each line is a step: `+FILTER` inserts, `-FILTER` removes, anything else is a name to look up.

use midge::topic::table::NONE;
use midge::topic::{Filter, Matches, NodeId, Table, matches};
use std::collections::BTreeMap;

const STEPS_MAX: usize = 200;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut table = Table::new(1);
    let mut stored: BTreeMap<&str, NodeId> = BTreeMap::new();
    let mut found = Matches::default();
    for (n, line) in text.split('\n').take(STEPS_MAX).enumerate() {
        if let Some(filter) = line.strip_prefix('+') {
            if let Some(filter) = parse(filter) {
                let node = table.insert(filter.as_bytes());
                table.set_value(node, n as u32);
                assert_eq!(table.text(node), filter.as_bytes());
                stored.insert(filter, node);
            }
        } else if let Some(filter) = line.strip_prefix('-') {
            let found = table.find(filter.as_bytes());
            if let Some(node) = stored.remove(filter) {
                assert_eq!(found, Some(node), "{filter:?}");
                table.set_value(node, NONE);
                table.release(node);
            }
        } else {
            look_up(&table, &stored, line, &mut found);
            walk(&mut table, &stored, line);
        }
    }
    for (filter, &node) in &stored {
        assert_eq!(table.find(filter.as_bytes()), Some(node));
        table.set_value(node, NONE);
        table.release(node);
    }
    for filter in stored.keys() {
        assert_eq!(table.find(filter.as_bytes()), None, "{filter:?} is left");
    }
}

/// The filter behind a share, if the text is one; the naive answer has to be the same.
fn parse(text: &str) -> Option<&str> {
    let parsed = Filter::parse(text);
    let (share, filter) = match text.strip_prefix("$share/") {
        None => (None, text),
        Some(rest) => match rest.split_once('/') {
            None => (Some(""), ""),
            Some((share, filter)) => (Some(share), filter),
        },
    };
    let is_share_good = share.is_none_or(|share| !share.is_empty() && !share.contains(['+', '#']));
    let levels: Vec<&str> = filter.split('/').collect();
    let is_level_good = |(n, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => n + 1 == levels.len(),
        level => !level.contains(['+', '#']),
    };
    let is_good = !filter.is_empty()
        && is_share_good
        && text != "$share"
        && levels.iter().enumerate().all(is_level_good);
    assert_eq!(parsed.is_ok(), is_good, "{text:?}: {parsed:?}");
    let parsed = parsed.ok()?;
    assert_eq!((parsed.share, parsed.filter), (share, filter));
    Some(filter)
}

fn look_up(table: &Table, stored: &BTreeMap<&str, NodeId>, topic: &str, found: &mut Matches) {
    if topic.is_empty() || topic.contains(['+', '#']) {
        return;
    }
    let mut expected: Vec<u32> = (stored.iter())
        .filter(|(filter, _)| matches(filter.as_bytes(), topic.as_bytes()))
        .map(|(_, &node)| table.value(node))
        .collect();
    expected.sort_unstable();
    for _ in 0..2 {
        // The second answer is a remembered one.
        table.matches(topic.as_bytes(), found);
        let nodes = found.found.iter();
        let mut got: Vec<u32> = nodes.map(|&node| table.value(node)).collect();
        got.sort_unstable();
        assert_eq!(got, expected, "{topic:?} in {:?}", stored.keys());
    }
}

/// The names in the table that match a filter; what the table stores here may be filters as well,
/// so only a walk over everything has an answer that can be compared.
fn walk(table: &mut Table, stored: &BTreeMap<&str, NodeId>, filter: &str) {
    if parse(filter) != Some(filter) {
        return;
    }
    let is_name = |name: &&&str| !name.contains(['+', '#']);
    if stored.keys().filter(is_name).count() < stored.len() {
        return;
    }
    let mut expected: Vec<NodeId> = (stored.iter())
        .filter(|(name, _)| matches(filter.as_bytes(), name.as_bytes()))
        .map(|(_, &node)| node)
        .collect();
    let mut got = Vec::new();
    let mut cursor = table.begin_walk();
    let is_over =
        (0..100_000).any(|_| table.walk(&mut cursor, filter.as_bytes(), 3, 1000, &mut got));
    assert!(is_over, "a walk without end");
    let texts = |nodes: &mut Vec<NodeId>| -> Vec<Vec<u8>> {
        let mut texts: Vec<_> = nodes.iter().map(|&node| table.text(node)).collect();
        texts.sort_unstable();
        texts
    };
    assert_eq!(texts(&mut got), texts(&mut expected), "{filter:?}");
}
