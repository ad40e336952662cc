//! The habits of this repository, as a test: the rooms and the arrows between them, the sizes of
//! files and functions, leftovers, and the top level. The README has tests/readme.rs.
//!
//! Sources are looked at with comments and literals blanked out (`blank`), so that prose may name
//! anything. Limits: 600 lines a file, 70 lines a function in src (60 is the aim; a table that is
//! one match needs the slack), 100 columns a line.

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// The rooms of src and what each may use: the table of the crate doc.
const ROOMS: [(&str, &[&str]); 9] = [
    ("wire", &[]),
    ("topic", &[]),
    ("store", &["wire"]),
    ("auth", &["topic"]),
    ("broker", &["wire", "topic", "store", "auth"]),
    ("client", &["wire", "topic"]),
    ("conf", &["auth"]),
    (
        "host",
        &[
            "wire", "topic", "store", "auth", "broker", "client", "conf", "host",
        ],
    ),
    (
        "cmd",
        &[
            "wire", "topic", "store", "auth", "broker", "client", "conf", "host", "cmd",
        ],
    ),
];

/// Rooms that are given bytes and time by others, and what they therefore never name.
const PURE: [&str; 6] = ["broker", "wire", "topic", "store", "auth", "client"];
const WORLD: [&str; 6] = [
    "std::net",
    "std::fs",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "mio::",
];

/// What may lie at the top of the repository.
const TOP: [&str; 12] = [
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "tests",
    "cross",
    "Makefile",
    "README.md",
    "LICENSE",
    ".gitignore",
    ".ci",
    ".git",
    "target",
];

/// The one place in tests where a thread may sleep: between two looks at a condition.
const SLEEPER: &str = "tests/cli/wait.rs";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir`, as paths relative to the repository, in order; no build output, no data.
fn files(dir: &str, extensions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::from(dir)];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = fs::read_dir(root().join(&dir)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.unwrap();
            let path = dir.join(entry.file_name());
            let name = path.to_str().unwrap().to_string();
            if entry.file_type().unwrap().is_dir() {
                if !matches!(
                    path.file_name().and_then(|n| n.to_str()),
                    Some("target" | "data" | "corpus")
                ) {
                    todo.push(path);
                }
            } else if extensions.iter().any(|e| name.ends_with(e)) {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The source with comments, strings and character literals turned into blanks, line by line as
/// long as before.
fn blank(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(source, at);
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).unwrap()
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_end(source: &str, at: usize) -> usize {
    let bytes = source.as_bytes();
    let rest = &bytes[at..];
    let to = |needle: &[u8], from: usize| {
        rest[from.min(rest.len())..]
            .windows(needle.len())
            .position(|w| w == needle)
            .map_or(bytes.len(), |p| at + from + p + needle.len())
    };
    if rest.starts_with(b"//") {
        return to(b"\n", 0) - usize::from(rest.contains(&b'\n'));
    }
    if rest.starts_with(b"/*") {
        return to(b"*/", 2);
    }
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest[0] == b'r' && (!word_before || bytes[at - 1] == b'b') {
        let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
            return to(&close, 2 + hashes);
        }
    }
    match rest {
        [b'"', ..] => escaped_end(bytes, at, b'"'),
        [b'\'', b'\\', ..] => escaped_end(bytes, at, b'\''),
        // A lifetime has no closing quote after one character.
        [b'\'', ..] => {
            let width = source[at + 1..].chars().next().map_or(0, char::len_utf8);
            if rest.get(1 + width) == Some(&b'\'') {
                at + width + 2
            } else {
                at
            }
        }
        _ => at,
    }
}

fn escaped_end(bytes: &[u8], at: usize, close: u8) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != close {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    (end + 1).min(bytes.len())
}

/// The positions of `word` in `text` that are not part of a longer word.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let grows = word.ends_with(part) && text[at + word.len()..].starts_with(part);
            !grows && !text[..at].ends_with(part)
        })
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n{}\n", faults.join("\n"));
}

fn room_of(path: &str) -> Option<&str> {
    let room = path.strip_prefix("src/")?;
    Some(room.split('/').next()?.trim_end_matches(".rs"))
}

/// The first names of all `crate::…` paths, braces too: `use crate::{topic::Filter, wire}`.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let name = |s: &str| -> String {
        s.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut found = Vec::new();
    for at in words(code, "crate::") {
        let rest = &code[at + "crate::".len()..];
        let line = line_of(code, at);
        let Some(group) = rest.strip_prefix('{') else {
            found.push((line, name(rest)));
            continue;
        };
        let mut depth = 1;
        let mut start = 0;
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => {
                    found.push((line, name(&group[start..i])));
                    start = i + 1;
                }
                _ => {}
            }
            if depth == 0 {
                found.push((line, name(&group[start..i])));
                break;
            }
        }
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let mut faults = Vec::new();
    for path in files("src", &[".rs"]) {
        let room = room_of(&path).unwrap();
        if matches!(room, "lib" | "main") {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{path}: no such room"));
            continue;
        };
        for (line, used) in crate_paths(&blank(&read(&path))) {
            if used != room && !allowed.contains(&used.as_str()) {
                faults.push(format!("{path}:{line}: {room} may not use {used}"));
            }
        }
    }
    assert_none("arrows that the room table forbids", &faults);
}

#[test]
fn the_pure_rooms_never_name_the_world_outside() {
    let mut faults = Vec::new();
    for path in files("src", &[".rs"]) {
        if !PURE.contains(&room_of(&path).unwrap()) {
            continue;
        }
        let code = blank(&read(&path));
        for name in WORLD {
            // `use std::{fs, net::TcpStream}` says the same with braces.
            let inner = name.trim_start_matches("std::").trim_end_matches("::");
            let grouped = code.match_indices("std::{").any(|(at, _)| {
                let group = &code[at..code[at..].find(';').map_or(code.len(), |end| at + end)];
                name.starts_with("std::") && words(group, inner).next().is_some()
            });
            let grouped_time = code.match_indices("std::time::{").any(|(at, _)| {
                let group = &code[at..code[at..].find(';').map_or(code.len(), |end| at + end)];
                name.strip_prefix("std::time::")
                    .is_some_and(|leaf| words(group, leaf).next().is_some())
            });
            if grouped || grouped_time || words(&code, name).next().is_some() {
                faults.push(format!("{path}: names {name}"));
            }
        }
    }
    assert_none("sockets, files, threads or clocks in a pure room", &faults);
}

#[test]
fn no_file_passes_600_lines_and_no_line_100_columns() {
    let mut faults = Vec::new();
    let mut all = files("src", &[".rs"]);
    all.extend(files("tests", &[".rs", ".py", ".sh"]));
    all.extend(files("cross", &[".sh", ".target"]));
    for path in all {
        let text = read(&path);
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{path}: {lines} lines"));
        }
        for (i, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                faults.push(format!("{path}:{}: {columns} columns", i + 1));
            }
            if line.ends_with([' ', '\t']) {
                faults.push(format!("{path}:{}: blanks at the end", i + 1));
            }
        }
    }
    assert_none("too long", &faults);
}

#[test]
fn no_function_passes_70_lines() {
    let mut faults = Vec::new();
    for path in files("src", &[".rs"]) {
        let code = blank(&read(&path));
        for at in words(&code, "fn ") {
            let Some(lines) = function_lines(&code[at..]) else {
                continue;
            };
            if lines > FUNCTION_LINES_MAX {
                let name: String = code[at + 3..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                faults.push(format!(
                    "{path}:{}: {name}: {lines} lines",
                    line_of(&code, at)
                ));
            }
        }
    }
    assert_none("functions that are two", &faults);
}

/// From `fn` to the brace that closes the body; none for a declaration or a function type.
fn function_lines(code: &str) -> Option<usize> {
    let mut depth = 0;
    let mut inside = 0;
    for (i, c) in code.char_indices() {
        match c {
            '(' | '[' => inside += 1,
            ')' | ']' if inside == 0 && depth == 0 => return None,
            ')' | ']' => inside -= 1,
            ';' | ',' if depth == 0 && inside == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth <= 0 {
                    return Some(line_of(code, i));
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn nothing_is_left_over() {
    // Spelled in halves, so that this file does not find itself.
    let markers = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
        concat!("db", "g!("),
        concat!("#[ig", "nore"),
    ];
    let mut faults = Vec::new();
    let mut all = files("src", &[".rs"]);
    all.extend(files("tests", &[".rs", ".py", ".sh"]));
    all.extend(files(".ci", &[""]));
    all.extend(files("cross", &[".sh", ".target", ".md"]));
    all.extend(["Makefile".into(), "Cargo.toml".into()]);
    for path in all {
        let text = read(&path);
        for marker in markers {
            for at in words(&text, marker) {
                faults.push(format!("{path}:{}: {marker}", line_of(&text, at)));
            }
        }
    }
    assert_none("leftovers", &faults);
}

#[test]
fn tests_wait_for_conditions() {
    let sleeps = [
        concat!("thread::", "sleep"),
        concat!("time.", "sleep"),
        concat!("thread::{", "sleep"),
    ];
    let mut faults = Vec::new();
    for path in files("tests", &[".rs", ".py", ".sh"]) {
        let text = read(&path);
        let count: usize = sleeps.iter().map(|s| text.matches(s).count()).sum();
        let allowed = usize::from(path == SLEEPER);
        if count > allowed {
            faults.push(format!("{path}: {count} sleeps"));
        }
    }
    assert_none("a sleep in place of a condition", &faults);
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let mut all = files("src", &[".rs"]);
    all.extend(files("tests", &[".rs"]));
    let faults: Vec<_> = all
        .into_iter()
        .filter(|path| !read(path).starts_with("//! "))
        .collect();
    assert_none("files without a module doc on their first line", &faults);
}

#[test]
fn the_top_level_holds_only_what_was_agreed() {
    let faults: Vec<_> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !TOP.contains(&name.as_str()))
        .collect();
    assert_none("stray entries at the top level", &faults);
}

#[test]
fn unsafe_code_is_forbidden() {
    for path in ["src/lib.rs", "src/main.rs"] {
        assert!(
            read(path).contains("#![forbid(unsafe_code)]"),
            "{path} does not forbid unsafe code"
        );
    }
}

/// The checks above rest on `blank`, `crate_paths` and `function_lines`: they have to find faults.
#[test]
fn the_finders_find() {
    let code = blank(
        "// crate::a\n/* crate::b */ let s = \"crate::c \\\" crate::d\"; let c = '\"'; \
         r#\"crate::e \" \"#; fn f<'a>(x: &'a u8) { crate::host::g('\\'') }\n\
         use crate::{topic::{A, B}, wire};",
    );
    let names: Vec<_> = crate_paths(&code).into_iter().map(|(_, n)| n).collect();
    assert_eq!(names, ["host", "topic", "wire"]);
    assert_eq!(function_lines("fn f(x: [u8; 3]) {\n  {\n }\n}\n"), Some(4));
    assert_eq!(function_lines("fn f();\nfn g() {}"), None);
    assert_eq!(function_lines("fn(u8) -> u8, x: {}"), None);
    assert_eq!(words("xfn fn fnx", "fn").collect::<Vec<_>>(), [4]);
    assert_eq!(blank("a 'é' b 'c: x"), "a      b 'c: x");
}
