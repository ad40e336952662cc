//! The table against the slow obvious match, on random filters and names.

use super::table::NONE;
use super::*;
use std::collections::BTreeMap;

fn random_topic(rng: &mut fastrand::Rng, wildcards: bool) -> String {
    let words: &[&str] = match wildcards {
        true => &["a", "b", "", "sensor", "$SYS", "+", "+", "#"],
        false => &["a", "b", "", "sensor", "$SYS", "é"],
    };
    let mut levels: Vec<&str> = Vec::new();
    for _ in 0..rng.usize(1..6) {
        levels.push(words[rng.usize(..words.len())]);
        if levels.last() == Some(&"#") {
            break;
        }
    }
    let topic = levels.join("/");
    if topic.is_empty() {
        "/".to_string()
    } else {
        topic
    }
}

#[test]
fn the_table_finds_what_the_slow_match_finds() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut table = Table::new(seed);
        let mut model: BTreeMap<String, u32> = BTreeMap::new();
        let mut matches_found = Matches::default();
        for round in 0..120 {
            let filter = random_topic(&mut rng, true);
            if rng.u8(..4) == 0 {
                if let Some(node) = table.find(filter.as_bytes()) {
                    table.set_value(node, NONE);
                    table.release(node);
                }
                model.remove(&filter);
            } else {
                let node = table.insert(filter.as_bytes());
                table.set_value(node, round);
                assert_eq!(table.text(node), filter.as_bytes());
                model.insert(filter, round);
            }
            let topic = random_topic(&mut rng, false);
            // The second answer is a remembered one.
            let [found, again] = [(); 2].map(|()| {
                table.matches(topic.as_bytes(), &mut matches_found);
                let nodes = matches_found.found.iter();
                let mut found: Vec<u32> = nodes.map(|&node| table.value(node)).collect();
                found.sort_unstable();
                found
            });
            assert_eq!(found, again, "seed {seed}, topic {topic}");
            let mut expected: Vec<u32> = (model.iter())
                .filter(|(filter, _)| matches(filter.as_bytes(), topic.as_bytes()))
                .map(|(_, &value)| value)
                .collect();
            expected.sort_unstable();
            assert_eq!(
                found, expected,
                "seed {seed}, topic {topic}, filters {model:?}"
            );
        }
        for filter in model.keys() {
            let node = table.find(filter.as_bytes()).expect("it was inserted");
            table.set_value(node, NONE);
            table.release(node);
        }
        assert!(table.levels.is_empty(), "seed {seed}: levels stay behind");
    }
}

/// Many names share each slot of what is remembered, and long ones are not remembered at all.
#[test]
fn what_is_remembered_of_one_name_is_never_the_answer_for_another() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut table = Table::new(7);
    for filter in ["#", "+/b", "a/#", "a/b", "long/#", "c/+/d"] {
        let node = table.insert(filter.as_bytes());
        table.set_value(node, 1);
    }
    let mut names: Vec<String> = (0..2000).map(|i| format!("a/{i}")).collect();
    names.extend((0..2000).map(|i| format!("long/{i}/{}", "x".repeat(60))));
    names.extend((0..2000).map(|i| format!("c/{i}/d")));
    let mut used = Matches::default();
    for _ in 0..100_000 {
        // Near each other, so that the same one is asked for again and again.
        let name = names[(rng.usize(..3) * 2000 + rng.usize(..8)) % names.len()].as_bytes();
        let other = names[rng.usize(..names.len())].as_bytes();
        for name in [name, name, other, name] {
            let mut fresh = Matches::default();
            table.matches(name, &mut used);
            table.matches(name, &mut fresh);
            assert_eq!(used.found, fresh.found);
        }
    }
}

#[test]
fn a_walk_in_slices_meets_each_stored_name_once_while_others_come_and_go() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut table = Table::new(seed);
        let mut stored: BTreeMap<String, NodeId> = BTreeMap::new();
        for _ in 0..rng.usize(1..40) {
            let topic = random_topic(&mut rng, false);
            let node = table.insert(topic.as_bytes());
            table.set_value(node, 1);
            stored.insert(topic, node);
        }
        let filter = random_topic(&mut rng, true);
        let mut cursor = table.begin_walk();
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        let before = stored.clone();
        loop {
            let (steps, found_max) = (rng.usize(1..4), found.len() + rng.usize(1..3));
            if table.walk(&mut cursor, filter.as_bytes(), steps, found_max, &mut found) {
                break;
            }
            if rng.bool() && !stored.is_empty() {
                let topic = stored
                    .keys()
                    .nth(rng.usize(..stored.len()))
                    .expect("some")
                    .clone();
                let node = stored.remove(&topic).expect("it is there");
                table.set_value(node, NONE);
                table.release(node);
                gone.push(node);
            }
        }
        for (topic, node) in &before {
            let times = found.iter().filter(|&found| found == node).count();
            let wanted = matches(filter.as_bytes(), topic.as_bytes());
            let was_removed = gone.contains(node);
            assert!(
                times == usize::from(wanted) || was_removed && times == 0,
                "seed {seed}: {topic} met {times} times by {filter}"
            );
        }
    }
}

#[test]
fn names_that_a_walk_leaves_out_take_steps_as_well() {
    let mut table = Table::new(1);
    for n in 0..1000 {
        let node = table.insert(format!("${n}/x").as_bytes());
        table.set_value(node, 1);
    }
    let (mut cursor, mut found) = (table.begin_walk(), Vec::new());
    let mut slices = 1;
    while !table.walk(&mut cursor, b"#", 100, 100, &mut found) {
        slices += 1;
    }
    assert!(found.is_empty());
    assert!(slices > 10, "{slices}");
}

#[test]
fn a_filter_is_checked() {
    let plain = |filter| {
        Ok(Filter {
            share: None,
            filter,
        })
    };
    assert_eq!(Filter::parse("a/+/#"), plain("a/+/#"));
    assert_eq!(Filter::parse("/"), plain("/"));
    assert_eq!(Filter::parse("$shared/x"), plain("$shared/x"));
    assert_eq!(
        Filter::parse("$share/g/a/#"),
        Ok(Filter {
            share: Some("g"),
            filter: "a/#"
        })
    );
    assert_eq!(
        Filter::parse("$share/g//a"),
        Ok(Filter {
            share: Some("g"),
            filter: "/a"
        })
    );
    assert_eq!(Filter::parse(""), Err(BadFilter::Empty));
    for bad in ["a#", "#/a", "a/#/b", "+a", "a/b+/c", "##", "a/+#"] {
        assert_eq!(Filter::parse(bad), Err(BadFilter::Wildcard), "{bad}");
    }
    for bad in [
        "$share",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
    ] {
        assert_eq!(Filter::parse(bad), Err(BadFilter::Share), "{bad}");
    }
}

#[test]
fn levels_that_come_and_go_leave_no_garbage() {
    let mut table = Table::new(7);
    for round in 0..20_000_u32 {
        let name = format!("device/{round}/temperature-of-the-boiler");
        let node = table.insert(name.as_bytes());
        table.release(node);
    }
    assert!(table.nodes.len() < 8, "nodes are used again");
    assert!(table.levels.is_empty());
}

/// What a client had for a while is not held for ever.
#[test]
fn filters_that_are_gone_take_no_memory() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut table = Table::new(7);
    let keep = table.insert(b"stays/here");
    table.set_value(keep, 1);
    let before = table.memory();
    for round in 0..20 {
        let mut nodes: Vec<NodeId> = Vec::new();
        for n in 0..2000 {
            nodes.push(table.insert(format!("goes/{round}/{}/{n}/#", n % 7).as_bytes()));
            table.set_value(nodes[n], 2);
        }
        // Some come back while others go: free nodes are used again in between.
        rng.shuffle(&mut nodes);
        for node in nodes.drain(..1000) {
            table.set_value(node, NONE);
            table.release(node);
        }
        for n in 0..500 {
            nodes.push(table.insert(format!("{n}/back/+").as_bytes()));
            table.set_value(nodes[n + 1000], 3);
        }
        rng.shuffle(&mut nodes);
        for node in nodes {
            table.set_value(node, NONE);
            table.release(node);
        }
        // A little text of levels is given back later.
        let more = table.memory() - before;
        assert!(more < 5000, "{more} in round {round}");
    }
    assert_eq!(table.text(keep), b"stays/here");
}
