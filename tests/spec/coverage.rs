//! The stories against the list of all normative statements.
//!
//! `tests/data/statements.tsv` has every statement of 3.1.1 and 5.0 and whom it binds.
//! `tests/data/exceptions.tsv` has those that no story proves, each with its reason. Every
//! statement that binds a server has to stand in a `proves!` of a test or among the exceptions,
//! and never in both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of a table below `tests/data`, split at tabs, without comments and the heading.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("tests/data").join(name)).expect("the table");
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .skip(1)
        .map(|line| line.split('\t').map(str::to_string).collect())
        .collect()
}

/// `version:id` of every statement, and whom it binds.
fn statements() -> BTreeMap<String, String> {
    let rows = table("statements.tsv");
    rows.iter()
        .map(|row| (format!("{}:{}", row[0], row[1]), row[2].clone()))
        .collect()
}

fn exceptions() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for row in table("exceptions.tsv") {
        let [version, id, reason] = row.as_slice() else {
            panic!("three columns: {row:?}")
        };
        assert!(reason.len() > 20, "a reason is a sentence: {row:?}");
        let earlier = found.insert(format!("{version}:{id}"), reason.clone());
        assert!(
            earlier.is_none(),
            "twice among the exceptions: {version}:{id}"
        );
    }
    found
}

/// What the tests say they prove: statement to names of tests, read from the sources.
fn proofs() -> BTreeMap<String, BTreeSet<String>> {
    let mut proofs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in fs::read_dir(root().join("tests/spec")).expect("the stories") {
        let path = entry.expect("an entry").path();
        let file = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if ["coverage", "main"].contains(&file.as_str()) {
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source file");
        for (test, list) in proofs_of(&source) {
            for statement in list {
                proofs
                    .entry(statement)
                    .or_default()
                    .insert(format!("{file}::{test}"));
            }
        }
    }
    proofs
}

/// Each `proves![...]` of a source with the test it stands in.
fn proofs_of(source: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut test = None;
    let mut is_test = false;
    let mut rest = source;
    while let Some(line) = rest.lines().next() {
        let word = line.trim_start();
        if word == "#[test]" {
            is_test = true;
        } else if let Some(name) = line.strip_prefix("fn ") {
            let name = name.split('(').next().unwrap_or_default().to_string();
            test = std::mem::take(&mut is_test).then_some(name);
        } else if word.starts_with("proves![") {
            let end = rest.find(']').expect("proves! ends");
            let list = rest[..end]
                .split('"')
                .skip(1)
                .step_by(2)
                .map(str::to_string)
                .collect();
            found.push((test.clone().expect("proves! stands in a test"), list));
        }
        rest = rest.get(line.len() + 1..).unwrap_or_default();
    }
    found
}

#[test]
fn every_statement_that_binds_a_server_is_proved_or_excepted() {
    let (proofs, exceptions) = (proofs(), exceptions());
    let missing: Vec<String> = statements()
        .into_iter()
        .filter(|(_, binds)| binds == "server" || binds == "both")
        .map(|(statement, _)| statement)
        .filter(|statement| !proofs.contains_key(statement) && !exceptions.contains_key(statement))
        .collect();
    assert!(
        missing.is_empty(),
        "neither proved nor excepted: {missing:#?}"
    );
}

#[test]
fn no_statement_is_both_proved_and_excepted() {
    let proofs = proofs();
    let both: Vec<String> = exceptions()
        .into_keys()
        .filter(|statement| proofs.contains_key(statement))
        .collect();
    assert!(both.is_empty(), "proved and excepted: {both:#?}");
}

#[test]
fn only_statements_of_the_specification_are_named() {
    let statements = statements();
    for statement in proofs().into_keys().chain(exceptions().into_keys()) {
        let binds = statements.get(&statement);
        let binds = binds.unwrap_or_else(|| panic!("no such statement: {statement}"));
        assert_ne!(binds, "client", "{statement} does not bind a server");
    }
}

#[test]
fn the_list_is_whole() {
    let count = |version: &str| {
        statements()
            .keys()
            .filter(|statement| statement.starts_with(version))
            .count()
    };
    assert_eq!((count("3.1.1:"), count("5.0:")), (141, 251));
}

#[test]
fn the_reader_of_proofs_reads_what_is_there() {
    let source = concat!(
        "#[test]\nfn one() {\n    proves!",
        "[\"a\", \"b\"];\n}\n\nfn helper() {}\n\n#[test]\n#[should_panic]\nfn two() {\n    proves!",
        "[\n        \"c\"\n    ];\n}\n"
    );
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected = [
        ("one".to_string(), list(&["a", "b"])),
        ("two".to_string(), list(&["c"])),
    ];
    assert_eq!(proofs_of(source), expected);
}
