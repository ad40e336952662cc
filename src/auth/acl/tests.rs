//! The access list: the file's grammar, the order of its lines, names in patterns, and a property
//! test against a slow twin that does what the manual says, step by step.

use super::*;

fn parse(text: &str) -> (Acl, Vec<String>) {
    let (acl, problems) = Acl::parse(text.as_bytes(), "acl").expect("a good file");
    (acl, problems.iter().map(ToString::to_string).collect())
}

fn error(text: &str) -> String {
    match Acl::parse(text.as_bytes(), "acl") {
        Ok(_) => panic!("accepted: {text:?}"),
        Err(error) => error.to_string(),
    }
}

/// The answer as a signed line: 3 for granted by line 3, -3 for denied by it, 0 for no line.
fn ask(acl: &Acl, id: &str, username: Option<&str>, access: Access, topic: &str) -> i64 {
    let rules = acl.rules_for(username);
    let decision = acl.check(rules, id, username, access, topic.as_bytes());
    match decision.line.map(i64::from) {
        Some(line) if decision.allowed => line,
        Some(line) => -line,
        None => {
            assert!(!decision.allowed, "granted by no line");
            0
        }
    }
}

use Access::{Read, Write};

#[test]
fn topic_lines_before_any_user_are_for_clients_without_a_user_name() {
    let (acl, problems) = parse("topic read news\nuser bob\ntopic work\n");
    assert_eq!(problems, [""; 0]);
    assert_eq!(ask(&acl, "c", None, Read, "news"), 1);
    assert_eq!(ask(&acl, "c", None, Write, "news"), 0);
    assert_eq!(ask(&acl, "c", None, Read, "work"), 0);
    assert_eq!(ask(&acl, "c", Some("bob"), Read, "work"), 3);
    assert_eq!(ask(&acl, "c", Some("bob"), Write, "work"), 3);
    assert_eq!(ask(&acl, "c", Some("bob"), Read, "news"), 0);
    assert_eq!(ask(&acl, "c", Some("eve"), Read, "news"), 0);
    assert_eq!(ask(&acl, "c", Some(""), Read, "news"), 1);
}

#[test]
fn a_file_that_grants_nothing_denies_everything() {
    for text in ["", "# nothing\n", "\n \r\n", "user bob\n", "topic deny #\n"] {
        let (acl, _) = parse(text);
        for username in [None, Some("bob"), Some("eve")] {
            let decision = acl.check(acl.rules_for(username), "c", username, Read, b"a");
            assert!(!decision.allowed, "{text:?}");
        }
    }
}

#[test]
fn deny_lines_come_first_and_then_the_first_line_with_a_say() {
    let (acl, _) = parse(
        "user bob\n\
         topic read a/#\n\
         topic write a/b\n\
         topic a/b\n\
         topic deny a/b/secret\n\
         topic deny a/+/secret\n",
    );
    let bob = Some("bob");
    assert_eq!(ask(&acl, "c", bob, Read, "a/b"), 2);
    assert_eq!(ask(&acl, "c", bob, Write, "a/b"), 3);
    assert_eq!(ask(&acl, "c", bob, Read, "a/b/secret"), -5);
    assert_eq!(ask(&acl, "c", bob, Write, "a/x/secret"), -6);
    assert_eq!(ask(&acl, "c", bob, Write, "a/x"), 0);
    assert_eq!(ask(&acl, "c", bob, Read, "a"), 2);
}

#[test]
fn the_users_own_lines_come_before_patterns_even_before_those_that_deny() {
    let (acl, _) = parse(
        "pattern deny %c/x\n\
         pattern deny fixed/%u\n\
         pattern readwrite %c/#\n\
         user bob\n\
         topic write c1/x\n",
    );
    assert_eq!(ask(&acl, "c1", Some("bob"), Write, "c1/x"), 5);
    assert_eq!(ask(&acl, "c1", Some("bob"), Read, "c1/x"), -1);
    assert_eq!(ask(&acl, "c1", Some("ann"), Write, "c1/x"), -1);
    assert_eq!(ask(&acl, "c1", Some("ann"), Write, "c1/y"), 3);
    assert_eq!(ask(&acl, "c1", Some("ann"), Write, "fixed/ann"), -2);
    assert_eq!(ask(&acl, "fixed", None, Write, "fixed/ann"), 3);
}

#[test]
fn sections_of_the_same_user_are_one() {
    let (acl, problems) = parse(
        "user bob\ntopic a\nuser ann\ntopic b\nuser bob\ntopic deny a\ntopic c\n\
         user Joe Smith\ntopic d\n",
    );
    assert_eq!(problems, [""; 0]);
    assert_eq!(ask(&acl, "c", Some("bob"), Read, "a"), -6);
    assert_eq!(ask(&acl, "c", Some("bob"), Read, "c"), 7);
    assert_eq!(ask(&acl, "c", Some("ann"), Read, "b"), 4);
    assert_eq!(ask(&acl, "c", Some("ann"), Read, "c"), 0);
    assert_eq!(ask(&acl, "c", Some("Joe Smith"), Read, "d"), 9);
}

#[test]
fn the_rest_of_the_line_is_the_filter() {
    let (acl, problems) = parse(
        "user bob\r\n\
         topic read living room/lamp  \r\n\
         \ttopic\tread\tattic\r\n\
         topic a\tb\r\n\
         topic   write   two  blanks\r\n\
         topic read # \r\n",
    );
    assert_eq!(problems, [""; 0]);
    let bob = Some("bob");
    assert_eq!(ask(&acl, "c", bob, Read, "living room/lamp"), 2);
    assert_eq!(ask(&acl, "c", bob, Read, "attic"), 3);
    assert_eq!(ask(&acl, "c", bob, Write, "a\tb"), 4);
    assert_eq!(ask(&acl, "c", bob, Write, "two  blanks"), 5);
    assert_eq!(ask(&acl, "c", bob, Read, "elsewhere"), 6);
}

#[test]
fn dollar_topics_need_a_filter_that_is_written_with_a_dollar() {
    let (acl, _) = parse(
        "user bob\ntopic #\nuser ann\ntopic read $SYS/#\npattern read %c/#\n\
         pattern write $CONTROL/%u/v1\n",
    );
    assert_eq!(ask(&acl, "c", Some("bob"), Read, "$SYS/broker/uptime"), 0);
    assert_eq!(ask(&acl, "c", Some("bob"), Read, "a"), 2);
    assert_eq!(ask(&acl, "c", Some("ann"), Read, "$SYS/broker/uptime"), 4);
    assert_eq!(ask(&acl, "c", Some("ann"), Read, "SYS/broker/uptime"), 0);
    // A client cannot bring the dollar along as its name.
    assert_eq!(
        ask(&acl, "$SYS", Some("eve"), Read, "$SYS/broker/uptime"),
        0
    );
    assert_eq!(ask(&acl, "c", Some("eve"), Write, "$CONTROL/eve/v1"), 6);
}

#[test]
fn names_with_wildcards_or_separators_close_the_patterns() {
    let text = "pattern deny %c/secret\npattern readwrite #\nuser a+b\ntopic mine\n";
    let (acl, _) = parse(text);
    for (id, username, open) in [
        ("dev", None, true),
        ("dev", Some("bob"), true),
        ("dev", Some("a/b"), true), // no pattern contains %u
        ("", None, true),
        ("+", None, false),
        ("de#v", None, false),
        ("de/v", None, false),
        ("dev", Some("a+b"), false),
        ("dev", Some("#"), false),
    ] {
        let closed = acl.patterns_closed(id, username);
        assert_eq!(closed.is_none(), open, "{id} {username:?} {closed:?}");
        let expected = if open { 2 } else { 0 };
        assert_eq!(
            ask(&acl, id, username, Read, "x"),
            expected,
            "{id} {username:?}"
        );
    }
    // Lines of the user's own hold all the same.
    assert_eq!(ask(&acl, "dev", Some("a+b"), Read, "mine"), 4);

    let (acl, _) = parse("pattern readwrite s/%u/#\n");
    assert_eq!(ask(&acl, "a/b", Some("bob"), Read, "s/bob/x"), 1);
    assert_eq!(ask(&acl, "c", Some("bob/x"), Read, "s/bob/x"), 0);
    assert_eq!(
        acl.patterns_closed("c", Some("bob/x")),
        Some("the user name contains '/' and a pattern contains %u")
    );

    let (acl, _) = parse("user a+b\ntopic mine\n");
    assert_eq!(acl.patterns_closed("+", Some("a+b")), None);
}

#[test]
fn patterns_with_a_user_name_are_nothing_to_the_anonymous() {
    let (acl, _) = parse("pattern deny a/%u\npattern read a/#\npattern write w/%u/%c\n");
    assert_eq!(ask(&acl, "c", None, Read, "a/%u"), 2);
    assert_eq!(ask(&acl, "c", None, Read, "a/"), 2);
    assert_eq!(ask(&acl, "c", Some(""), Read, "a/"), 2);
    assert_eq!(ask(&acl, "c", Some("bob"), Write, "w/bob/c"), 3);
    assert_eq!(ask(&acl, "c", None, Write, "w//c"), 0);
}

#[test]
fn rules_of_another_table_deny() {
    let (old, _) = parse("topic #\n");
    let (new, _) = parse("topic #\n");
    let rules = old.rules_for(None);
    assert!(old.check(rules, "c", None, Read, b"a").allowed);
    assert!(!new.check(rules, "c", None, Read, b"a").allowed);
    assert!(
        new.check(new.rules_for(None), "c", None, Read, b"a")
            .allowed
    );
}

#[test]
fn errors_name_the_line_the_fault_and_what_was_expected() {
    for (text, expected) in [
        (
            "topic a\ntopics b\n",
            "acl:2: unknown word 'topics', expected topic, user or pattern; did you mean 'topic'?",
        ),
        (
            "\n\nallow\n",
            "acl:3: unknown word 'allow', expected topic, user or pattern",
        ),
        (
            " # indented",
            "acl:1: a comment must have its # as the first byte of the line",
        ),
        (
            "topic red a/b",
            "acl:1: unknown access 'red', expected topic [read|write|readwrite|deny] FILTER (a \
             filter with a space in it needs the word before it); did you mean 'read'?",
        ),
        (
            "pattern living room/%c",
            "acl:1: unknown access 'living', expected pattern [read|write|readwrite|deny] FILTER \
             (a filter with a space in it needs the word before it)",
        ),
        (
            "topic",
            "acl:1: topic without a filter, expected topic [read|write|readwrite|deny] FILTER",
        ),
        ("user  \n", "acl:1: user without a name, expected user NAME"),
        (
            "topic read a#\n",
            "acl:1: invalid filter 'a#': '#' must stand alone and be the last level",
        ),
        (
            "pattern read +%c\n",
            "acl:1: invalid filter '+%c': '+' must stand alone between two '/'",
        ),
        (
            "topic a\0b\n",
            "acl:1: invalid filter 'a\\0b': it contains a NUL",
        ),
        ("user a\0b\n", "acl:1: the user name 'a\\0b' contains a NUL"),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn text_that_is_not_utf8_holds_for_nobody() {
    let text = b"topic k\xfcche\nuser J\xfcrgen\ntopic a\nuser bob\ntopic b\n";
    let (acl, problems) = Acl::parse(text, "acl").expect("a good file");
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "acl:1: the filter 'k\u{fffd}che' is not UTF-8: no topic can match it",
            "acl:2: the user name 'J\u{fffd}rgen' is not UTF-8: no client can have it",
        ]
    );
    for username in [
        None,
        Some("bob"),
        Some("J\u{fffd}rgen"),
        Some("J\u{fc}rgen"),
    ] {
        assert_eq!(ask(&acl, "c", username, Read, "a"), 0);
        assert_eq!(ask(&acl, "c", username, Read, "k\u{fffd}che"), 0);
    }
    assert_eq!(ask(&acl, "c", Some("bob"), Read, "b"), 5);
}

#[test]
fn lines_that_look_like_mistakes_are_told() {
    let (acl, problems) = parse(
        "user bob\nuser ann\ntopic read %c/x\npattern read news/#\ntopic deny\nuser cid\n\
         pattern %c/x\nuser ann\n",
    );
    assert_eq!(
        problems,
        [
            "acl:3: topic '%c/x': %c and %u stand for names in pattern lines only, here they are \
             text",
            "acl:4: pattern 'news/#' contains neither %c nor %u: it holds for every client alike",
            "acl:5: topic deny: this grants readwrite on the topic of that name; the filter may be \
             missing",
            "acl:1: user 'bob' has no topic line: only patterns hold for this user",
            "acl:6: user 'cid' has no topic line: only patterns hold for this user",
        ]
    );
    assert_eq!(ask(&acl, "c", Some("ann"), Write, "deny"), 5);
    assert_eq!(ask(&acl, "c", Some("ann"), Read, "%c/x"), 3);
    assert_eq!(ask(&acl, "c", Some("bob"), Read, "news/x"), 4);
}

/// One line of a random file.
struct Line {
    text: String,
    /// The user that a topic line belongs to; `None` for clients without a user name.
    owner: Option<String>,
    pattern: bool,
    word: &'static str,
    filter: String,
    number: u32,
}

/// The lines that have a say for this client, in their order: number, access word and filter.
fn candidates<'f>(
    file: &'f [Line],
    id: &str,
    username: Option<&str>,
) -> Vec<(u32, &'f str, String)> {
    let mut candidates = Vec::new();
    for deny in [true, false] {
        for line in file
            .iter()
            .filter(|line| !line.pattern && !line.word.is_empty())
        {
            if line.owner.as_deref() == username && (line.word == "deny") == deny {
                candidates.push((line.number, line.word, line.filter.clone()));
            }
        }
    }
    let patterns: Vec<&Line> = file.iter().filter(|line| line.pattern).collect();
    let wild = |name: &str| name.contains('+') || name.contains('#');
    let enters = |name: &str, place: &str| {
        name.contains('/') && patterns.iter().any(|line| line.filter.contains(place))
    };
    let name = username.unwrap_or("");
    if !(wild(id) || wild(name) || enters(id, "%c") || enters(name, "%u")) {
        for deny in [true, false] {
            for line in &patterns {
                if (line.word == "deny") != deny || line.filter.contains("%u") && username.is_none()
                {
                    continue;
                }
                // By way of a letter that no name holds, so that a name is not replaced again.
                let filter = line.filter.replace("%c", "\u{1}").replace("%u", name);
                let filter = filter.replace('\u{1}', id);
                candidates.push((line.number, line.word, filter));
            }
        }
    }
    candidates
}

/// The twin: the rules of the manual, one after the other, with strings.
fn slow_check(
    file: &[Line],
    id: &str,
    username: Option<&str>,
    access: Access,
    topic: &str,
) -> Decision {
    let username = if username == Some("") { None } else { username };
    for (number, word, filter) in candidates(file, id, username) {
        let filter: Vec<&str> = filter.split('/').collect();
        let levels: Vec<&str> = topic.split('/').collect();
        // A dollar that a name brings along is none: what the file says counts.
        let written = &file[number as usize - 1].filter;
        if topic.starts_with('$') && !written.starts_with('$') {
            continue;
        }
        if !slow_match(&filter, &levels) {
            continue;
        }
        let says = match (word, access) {
            ("deny", _) => Some(false),
            ("readwrite", _) | ("read", Read) | ("write", Write) => Some(true),
            _ => None,
        };
        if let Some(allowed) = says {
            return Decision {
                allowed,
                line: Some(number),
            };
        }
    }
    Decision {
        allowed: false,
        line: None,
    }
}

fn slow_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => slow_match(filter, topic),
        ([a, filter @ ..], [b, topic @ ..]) => a == b && slow_match(filter, topic),
        _ => false,
    }
}

fn random_file(random: &mut fastrand::Rng) -> Vec<Line> {
    let mut file = Vec::new();
    let mut owner = None;
    for number in 1..=random.u32(0..14) {
        let kind = random.u8(0..6);
        let mut line = Line {
            text: String::new(),
            owner: None,
            pattern: kind >= 4,
            word: "",
            filter: String::new(),
            number,
        };
        if kind == 0 {
            let name = pick(random, &["a", "b", "u/v", "x+y"]);
            owner = Some(name.to_owned());
            line.text = format!("user {name}");
            file.push(line);
            continue;
        }
        let levels = random.usize(1..4);
        let mut parts: Vec<&str> = Vec::new();
        for at in 0..levels {
            parts.push(match random.u8(0..10) {
                0 | 1 => "+",
                2 | 3 if at + 1 == levels => "#",
                4 | 5 if line.pattern => pick(random, &["%c", "%u", "b%c", "%u%c", "%"]),
                _ => pick(random, &["a", "b", "$x", "", "ba"]),
            });
        }
        line.filter = parts.join("/");
        if line.filter.is_empty() {
            line.filter.push('a');
        }
        line.owner.clone_from(&owner);
        line.word = pick(random, &["read", "write", "readwrite", "deny"]);
        let keyword = if line.pattern { "pattern" } else { "topic" };
        let word = if line.word == "readwrite" && random.bool() {
            ""
        } else {
            line.word
        };
        line.text = format!("{keyword} {word} {}", line.filter);
        file.push(line);
    }
    file
}

fn pick<T: Copy>(random: &mut fastrand::Rng, from: &[T]) -> T {
    from[random.usize(..from.len())]
}

#[test]
fn random_files_answer_like_the_slow_twin() {
    let seed = std::env::var("MIDGE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}: run again with MIDGE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut granted, mut denied_by_line, mut by_pattern) = (0, 0, 0);
    for _ in 0..3_000 {
        let file = random_file(&mut random);
        let text: Vec<&str> = file.iter().map(|line| line.text.as_str()).collect();
        let (acl, _) = parse(&text.join("\n"));
        for _ in 0..40 {
            let id = pick(&mut random, &["a", "b", "a/b", "+", "$x", "#a", "", "%u"]);
            let username = pick(
                &mut random,
                &[
                    None,
                    Some("a"),
                    Some("b"),
                    Some("u/v"),
                    Some("x+y"),
                    Some("z"),
                    Some(""),
                ],
            );
            let levels: Vec<&str> = (0..random.usize(1..5))
                .map(|_| pick(&mut random, &["a", "b", "$x", "", "ba", "%c"]))
                .collect();
            let topic = levels.join("/");
            let access = if random.bool() { Read } else { Write };
            let rules = acl.rules_for(username);
            let fast = acl.check(rules, id, username, access, topic.as_bytes());
            let slow = slow_check(&file, id, username, access, &topic);
            assert_eq!(
                fast,
                slow,
                "seed {seed}: {id:?} {username:?} {access:?} {topic:?}\n{}",
                text.join("\n")
            );
            granted += u32::from(fast.allowed);
            denied_by_line += u32::from(!fast.allowed && fast.line.is_some());
            let line = fast.line.map_or(0, |line| line as usize);
            by_pattern += u32::from(line > 0 && file[line - 1].pattern);
        }
    }
    // The cases are worth something only if all outcomes are among them.
    assert!(granted > 1_000, "{granted}");
    assert!(denied_by_line > 1_000, "{denied_by_line}");
    assert!(by_pattern > 1_000, "{by_pattern}");
}
