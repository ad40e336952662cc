//! Whether a filter of the access list covers a topic: naive, level by level, without heap memory.
//!
//! In a pattern `%c` stands for the client id and `%u` for the user name, anywhere in a level. Such
//! a name is compared byte by byte and is never read as part of the filter's grammar, so that no
//! name can widen a pattern. Bounds: a match walks filter and topic once.

/// Levels of a filter that are accepted; Mosquitto's limit for topics as well.
pub(super) const LEVELS_MAX: usize = 201;

/// What `%c` and `%u` stand for. An anonymous client has no user name: `%u` then fits nothing.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) client_id: &'a [u8],
    pub(super) username: Option<&'a [u8]>,
}

/// Refuses what is no filter, with what is wrong; whether it is UTF-8 is not looked at.
/// [MQTT-4.7.1-1] to [MQTT-4.7.3-3]
pub(super) fn check(filter: &[u8]) -> Result<(), &'static str> {
    if filter.is_empty() {
        return Err("it is empty");
    }
    if filter.len() > 65_535 {
        return Err("it is longer than 65535 bytes");
    }
    if filter.contains(&0) {
        return Err("it contains a NUL");
    }
    let mut levels = filter.split(|byte| *byte == b'/').peekable();
    let mut count = 0;
    while let Some(level) = levels.next() {
        count += 1;
        if level.contains(&b'+') && level != b"+" {
            return Err("'+' must stand alone between two '/'");
        }
        if level.contains(&b'#') && (level != b"#" || levels.peek().is_some()) {
            return Err("'#' must stand alone and be the last level");
        }
    }
    if count > LEVELS_MAX {
        return Err("it has more than 201 levels");
    }
    Ok(())
}

/// Whether the topic is covered; `names` is given for patterns only, elsewhere `%` is itself.
///
/// A topic that starts with `$` is covered only by a filter that is written with `$` as its first
/// byte [MQTT-4.7.2-1]: neither a wildcard nor a name that stands there will do.
pub(super) fn covers(filter: &[u8], names: Option<Names<'_>>, topic: &[u8]) -> bool {
    if topic.first() == Some(&b'$') && filter.first() != Some(&b'$') {
        return false;
    }
    let mut topic_levels = topic.split(|byte| *byte == b'/');
    for level in filter.split(|byte| *byte == b'/') {
        if level == b"#" {
            // The parent level too: a/# covers a. [MQTT-4.7.1-2]
            return true;
        }
        let Some(topic_level) = topic_levels.next() else {
            return false;
        };
        if level != b"+" && !level_is(level, names, topic_level) {
            return false;
        }
    }
    topic_levels.next().is_none()
}

/// Whether all topics that `narrow` covers are covered by `wide` as well. Both are of one list, so
/// that names in them stand for the same.
pub(super) fn includes(wide: &[u8], narrow: &[u8]) -> bool {
    if narrow.first() == Some(&b'$') && wide.first() != Some(&b'$') {
        return false;
    }
    let mut narrow_levels = narrow.split(|byte| *byte == b'/');
    for level in wide.split(|byte| *byte == b'/') {
        if level == b"#" {
            return true;
        }
        match narrow_levels.next() {
            None | Some(b"#") => return false,
            Some(narrow_level) if level == b"+" || level == narrow_level => {}
            Some(_) => return false,
        }
    }
    narrow_levels.next().is_none()
}

/// Whether there is a topic that both filters cover; names were put in before.
pub(super) fn overlaps(a: &[u8], b: &[u8]) -> bool {
    if (a.first() == Some(&b'$')) != (b.first() == Some(&b'$')) {
        return false;
    }
    let mut a_levels = a.split(|byte| *byte == b'/');
    let mut b_levels = b.split(|byte| *byte == b'/');
    loop {
        match (a_levels.next(), b_levels.next()) {
            (Some(b"#"), _) | (_, Some(b"#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b"+" || b == b"+" || a == b => {}
            _ => return false,
        }
    }
}

/// A pattern with the names of a client in it.
pub(super) fn with_names(filter: &[u8], names: Names<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(filter.len());
    let mut rest = filter;
    loop {
        rest = match rest {
            [] => return text,
            [b'%', b'c', after @ ..] => {
                text.extend_from_slice(names.client_id);
                after
            }
            [b'%', b'u', after @ ..] => {
                text.extend_from_slice(names.username.unwrap_or_default());
                after
            }
            [byte, after @ ..] => {
                text.push(*byte);
                after
            }
        };
    }
}

fn level_is(level: &[u8], names: Option<Names<'_>>, topic_level: &[u8]) -> bool {
    let Some(names) = names else {
        return level == topic_level;
    };
    let (mut level, mut rest) = (level, topic_level);
    loop {
        let (expected, after): (&[u8], &[u8]) = match level {
            [] => return rest.is_empty(),
            [b'%', b'c', after @ ..] => (names.client_id, after),
            [b'%', b'u', after @ ..] => match names.username {
                Some(username) => (username, after),
                None => return false,
            },
            [_, after @ ..] => (&level[..1], after),
        };
        let Some(remaining) = rest.strip_prefix(expected) else {
            return false;
        };
        (level, rest) = (after, remaining);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        for good in [
            "a", "/", "//", "+", "#", "a/#", "+/+/#", "/+", "$SYS/#", "a b/c", "%c/%u", "%",
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "", "a+", "+a", "a/b+/c", "#/a", "a#", "a/#b", "#/", "a\0", "%c#", "+%u",
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(check("/".repeat(200).as_bytes()), Ok(()));
        assert!(check("/".repeat(201).as_bytes()).is_err());
        assert!(check(&vec![b'a'; 65_536]).is_err());
    }

    #[test]
    fn the_examples_of_the_specification() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/ranking",
                true,
            ),
            ("sport/#", "sport", true),
            ("#", "anything/at/all", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("usr/+/dconf/", "usr/a/dconf/", true),
            ("usr/+/dconf/", "usr/a/dconf", false),
            ("#", "$SYS/broker", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/monitor/Clients", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("$SYS/#", "SYS/monitor", false),
            ("ACCOUNTS", "Accounts", false),
            ("%c", "c1", false),
            ("%c", "%c", true),
        ] {
            let covered = covers(filter.as_bytes(), None, topic.as_bytes());
            assert_eq!(covered, expected, "{filter} {topic}");
        }
    }

    #[test]
    fn filters_are_compared_as_their_topics_are() {
        let mut random = fastrand::Rng::with_seed(4);
        let words = ["a", "b", "", "$S"];
        let topics: Vec<String> = (0..3000)
            .map(|_| {
                let levels = 0..random.usize(1..5);
                let levels: Vec<&str> = levels.map(|_| words[random.usize(..4)]).collect();
                levels.join("/")
            })
            .collect();
        let filter = |random: &mut fastrand::Rng| {
            let levels = 0..random.usize(1..4);
            let level = |_| ["a", "b", "", "$S", "+", "+"][random.usize(..6)];
            let text = levels.map(level).collect::<Vec<&str>>().join("/");
            match random.usize(..4) {
                0 => "#".to_string(),
                1 => text + "/#",
                _ => text,
            }
        };
        for _ in 0..600 {
            let (a, b) = (filter(&mut random), filter(&mut random));
            let covered =
                |filter: &str, topic: &str| covers(filter.as_bytes(), None, topic.as_bytes());
            let included = topics.iter().all(|t| !covered(&b, t) || covered(&a, t));
            if includes(a.as_bytes(), b.as_bytes()) {
                assert!(included, "{a} {b}");
            }
            let both = topics.iter().any(|t| covered(&a, t) && covered(&b, t));
            assert_eq!(overlaps(a.as_bytes(), b.as_bytes()), both, "{a} {b}");
        }
    }

    #[test]
    fn names_stand_for_themselves_only() {
        let with = |filter: &str, client_id: &str, username: Option<&str>, topic: &str| {
            let names = Names {
                client_id: client_id.as_bytes(),
                username: username.map(str::as_bytes),
            };
            covers(filter.as_bytes(), Some(names), topic.as_bytes())
        };
        assert!(with("s/%c/#", "c1", None, "s/c1/t"));
        assert!(with("s/dev-%c-%u/x", "c1", Some("bob"), "s/dev-c1-bob/x"));
        assert!(with("%c%c", "ab", None, "abab"));
        assert!(with("100%/%", "c1", None, "100%/%"));
        assert!(with("%x", "c1", None, "%x"));
        assert!(with("s/%u", "c1", Some(""), "s/"));
        assert!(!with("s/%c/#", "c1", None, "s/c2/t"));
        assert!(!with("s/%c", "c1", None, "s/c11"));
        assert!(!with("s/%u", "c1", None, "s/%u"));
        assert!(!with("s/%u", "c1", None, "s/"));
        // Wildcards and separators in a name are bytes like others.
        assert!(!with("%c/#", "#", None, "a"));
        assert!(!with("%c/x", "+", None, "a/x"));
        assert!(!with("%c/x", "a/b", None, "a/b/x"));
        assert!(!with("%c/#", "$SYS", None, "$SYS/broker/uptime"));
        // A name that looks like a placeholder is not replaced again.
        assert!(with("%u/x", "c1", Some("%c"), "%c/x"));
        assert!(!with("%u/x", "c1", Some("%c"), "c1/x"));
    }
}
