//! The access list against a slow twin: the same files are taken, and the same is allowed.
//!
//! The first three lines are a client id, a user name and a topic; the rest is the file.

use midge::auth::{Access, Acl, PROBLEMS_MAX};

pub fn run(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (client_id, username, topic, file) = (next(), next(), next(), next());
    let parsed = Acl::parse(file, "file");
    let twin = Twin::parse(file);
    let (acl, problems) = match (parsed, &twin) {
        (Ok(good), Some(_)) => good,
        (Err(error), None) => {
            assert!(!error.to_string().contains(char::is_control), "{error}");
            let lines = file.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&(error.line as usize)), "{error}");
            return;
        }
        (Ok(_), None) => panic!("a bad file was taken"),
        (Err(error), Some(_)) => panic!("a good file was refused: {error}"),
    };
    assert!(problems.len() <= PROBLEMS_MAX + 1);
    for problem in problems {
        assert!(!problem.to_string().contains(char::is_control), "{problem}");
    }
    let [Ok(client_id), Ok(username)] = [client_id, username].map(std::str::from_utf8) else {
        return;
    };
    let twin = twin.expect("it was taken");
    for username in [Some(username), None] {
        let rules = acl.rules_for(username);
        for access in [Access::Read, Access::Write] {
            let decision = acl.check(rules, client_id, username, access, topic);
            let is_allowed = twin.allows(client_id, username, access, topic);
            assert_eq!(
                decision.allowed, is_allowed,
                "{access:?} by {client_id:?} {username:?}: {decision:?}"
            );
            let lines = file.split(|byte| *byte == b'\n').count();
            assert!(decision.line.is_none_or(|line| (line as usize) <= lines));
        }
    }
}

/// The lines of a file, each with the user it belongs to; none for a pattern.
struct Twin {
    rules: Vec<(Whose, Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, PartialEq)]
enum Whose {
    Anonymous,
    User(Vec<u8>),
    Everybody,
}

const WORDS: [&[u8]; 4] = [b"read", b"write", b"readwrite", b"deny"];

impl Twin {
    fn parse(file: &[u8]) -> Option<Twin> {
        let mut rules = Vec::new();
        let mut whose = Whose::Anonymous;
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        for line in file.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.first() == Some(&b'#') || line.trim_ascii().is_empty() {
                continue;
            }
            let (word, rest) = word(line.trim_ascii());
            match word {
                b"user" if rest.is_empty() || rest.contains(&0) && is_text(rest) => return None,
                b"user" => whose = Whose::User(rest.to_vec()),
                b"topic" | b"pattern" => {
                    let (grant, filter) = grant(rest)?;
                    let whose = match word {
                        b"pattern" => Whose::Everybody,
                        _ => whose.clone(),
                    };
                    rules.push((whose, grant.to_vec(), filter.to_vec()));
                }
                _ => return None,
            }
        }
        Some(Twin { rules })
    }

    /// The user's own lines first, then the patterns; of each the lines that deny first.
    fn allows(
        &self,
        client_id: &str,
        username: Option<&str>,
        access: Access,
        topic: &[u8],
    ) -> bool {
        let username = username.filter(|name| !name.is_empty());
        let own = username.map_or(Whose::Anonymous, |name| Whose::User(name.into()));
        let fits = |(_, grant, _): &&(Whose, Vec<u8>, Vec<u8>)| match &grant[..] {
            b"read" => access == Access::Read,
            b"write" => access == Access::Write,
            _ => true,
        };
        for whose in [own, Whose::Everybody] {
            let is_pattern = whose == Whose::Everybody;
            if is_pattern && self.are_patterns_closed(client_id, username) {
                return false;
            }
            let mut rules: Vec<_> = (self.rules.iter())
                .filter(|rule| rule.0 == whose)
                .filter(fits)
                .collect();
            rules.sort_by_key(|(_, grant, _)| grant != b"deny");
            for (_, grant, filter) in rules {
                let filter = match is_pattern {
                    true => fill_in(filter, client_id, username),
                    false => Some(filter.clone()),
                };
                let Some(filled) = filter else { continue };
                if covers(filled, topic) {
                    return grant != b"deny";
                }
            }
        }
        false
    }

    fn are_patterns_closed(&self, client_id: &str, username: Option<&str>) -> bool {
        let patterns = || self.rules.iter().filter(|rule| rule.0 == Whose::Everybody);
        let uses = |name: &[u8]| patterns().any(|rule| has(&rule.2, name));
        let username = username.unwrap_or_default();
        client_id.contains(['+', '#'])
            || username.contains(['+', '#'])
            || uses(b"%c") && client_id.contains('/')
            || uses(b"%u") && username.contains('/')
    }
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_ascii_start())
}

/// `[read|write|readwrite|deny] FILTER`
fn grant(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, filter) = word(rest);
    let (grant, filter) = match WORDS.contains(&first) && !filter.is_empty() {
        true => (first, filter),
        false if rest.contains(&b' ') => return None,
        false => (&b"readwrite"[..], rest),
    };
    let levels: Vec<&[u8]> = filter.split(|byte| *byte == b'/').collect();
    let is_good = |(n, level): (usize, &&[u8])| match *level {
        b"+" => true,
        b"#" => n + 1 == levels.len(),
        level => !level.contains(&b'+') && !level.contains(&b'#'),
    };
    let is_filter = !filter.is_empty()
        && filter.len() <= 65_535
        && !filter.contains(&0)
        && levels.len() <= 200
        && levels.iter().enumerate().all(is_good);
    is_filter.then_some((grant, filter))
}

/// The names in place of `%c` and `%u`; nothing without a user name that is needed. A topic with
/// `$` in front needs a filter that is written with it: a name that begins so will not do.
fn fill_in(filter: &[u8], client_id: &str, username: Option<&str>) -> Option<Vec<u8>> {
    if has(filter, b"%u") && username.is_none() {
        return None;
    }
    let mut out = Vec::new();
    let mut rest = filter;
    loop {
        rest = match rest {
            [] => break,
            [b'%', b'c', rest @ ..] => {
                out.extend(client_id.bytes());
                rest
            }
            [b'%', b'u', rest @ ..] => {
                out.extend(username.unwrap_or_default().bytes());
                rest
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
    let is_dollar = |text: &[u8]| text.first() == Some(&b'$');
    (is_dollar(filter) || !is_dollar(&out)).then_some(out)
}

fn covers(filter: Vec<u8>, topic: &[u8]) -> bool {
    if topic.first() == Some(&b'$') && filter.first() != Some(&b'$') {
        return false;
    }
    let filter: Vec<&[u8]> = filter.split(|byte| *byte == b'/').collect();
    let topic: Vec<&[u8]> = topic.split(|byte| *byte == b'/').collect();
    let is_open = filter.last() == Some(&&b"#"[..]);
    let fixed = &filter[..filter.len() - usize::from(is_open)];
    let len_fits = match is_open {
        true => topic.len() >= fixed.len(),
        false => topic.len() == fixed.len(),
    };
    let level_fits = |(level, name): (&&[u8], &&[u8])| *level == b"+" || level == name;
    len_fits && fixed.iter().zip(&topic).all(level_fits)
}
