//! The access list: who may read and who may write which topics.
//!
//! The file is Mosquitto's: `topic` lines for clients without a user name, `user NAME` with that
//! user's `topic` lines behind it, `pattern` lines for everybody. What is not granted is denied; a
//! file without a single grant denies everything.
//!
//! The user's own lines are asked first, then the patterns; in each of the two lists the `deny`
//! lines stand first, the others in the order of the file. The first line that covers the topic
//! and either denies or grants the direction asked for decides.
//!
//! Names that a client chooses must not widen a pattern. Like Mosquitto, patterns are closed to a
//! client whose client id or user name contains `+` or `#`. They are also closed when a name with
//! `/` would be put into one. Closed means all of them: leaving out single lines could leave out
//! the one that denies.
//!
//! Lists are parsed once and never change. A client's list is looked up at CONNECT
//! ([`Acl::rules_for`]); a check then walks it without heap memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use super::filter::{self, Names};
use super::{Error, Problem, Problems, lines, quoted, suggestion};

/// An access list, parsed.
#[derive(Debug)]
pub struct Acl {
    file: String,
    generation: u32,
    /// One list for each user of the file; the first is that of clients without a user name.
    /// In each list the lines that deny come first.
    pub(super) lists: Vec<Vec<Rule>>,
    /// The line that names the user of each list first; 0 for that of the anonymous.
    pub(super) named_in: Vec<u32>,
    pub(super) users: HashMap<String, u32>,
    pub(super) patterns: Vec<Rule>,
    /// Whether any pattern contains `%c` and `%u`.
    uses_client_id: bool,
    uses_username: bool,
}

/// The direction of a message, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The broker would deliver it to the client.
    Read,
    /// The client publishes it, or its will.
    Write,
}

/// The answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the client may.
    pub allowed: bool,
    /// The line of the file that decided; `None` when no line did, which denies.
    pub line: Option<u32>,
}

/// Where a client's own lines are in one particular [`Acl`].
///
/// After a reload it must be asked for again: with another table it denies whatever it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRules {
    generation: u32,
    pub(super) list: u32,
}

/// The list of users that the file does not name.
const NO_LIST: u32 = u32::MAX;
/// The list of clients without a user name.
pub(super) const ANONYMOUS: usize = 0;

/// Numbers the tables of this process, so that [`UserRules`] of an old one are recognised.
static GENERATION: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) filter: Box<[u8]>,
    pub(super) grant: Grant,
    pub(super) line: u32,
    /// Whether `%u` is in the filter of this pattern; in a topic line it would mean nothing.
    pub(super) needs_username: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    Read,
    Write,
    ReadWrite,
    Deny,
}

impl Acl {
    /// Parses an access list; `file` is its name for messages. A line that is not understood is
    /// an error, because what it was to deny is not known; lines that do nothing are problems.
    pub fn parse(text: &[u8], file: &str) -> Result<(Acl, Vec<Problem>), Error> {
        let mut parser = Parser::new(file);
        for (line, text) in lines(text) {
            parser.line(line, text).map_err(|what| Error {
                file: file.to_owned(),
                line,
                what,
            })?;
        }
        Ok(parser.finish())
    }

    /// The file that this list came from, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Looks up a client's own lines, once per CONNECT and again after a reload. An empty user
    /// name counts as none, here and in [`Acl::check`], as with Mosquitto.
    pub fn rules_for(&self, username: Option<&str>) -> UserRules {
        let list = match username.filter(|name| !name.is_empty()) {
            None => ANONYMOUS as u32,
            Some(name) => self.users.get(name).copied().unwrap_or(NO_LIST),
        };
        UserRules {
            generation: self.generation,
            list,
        }
    }

    /// Whether the client may read or write this topic, and which line says so.
    ///
    /// `rules` belong to the same user name and come from [`Acl::rules_for`] of this very table.
    /// No heap memory is used; the work is proportional to the client's lines and the patterns.
    pub fn check(
        &self,
        rules: UserRules,
        client_id: &str,
        username: Option<&str>,
        access: Access,
        topic: &[u8],
    ) -> Decision {
        if rules.generation != self.generation {
            return Decision::NONE;
        }
        let own = self.lists.get(rules.list as usize);
        let own = own.map_or(&[][..], Vec::as_slice);
        for rule in own {
            if let Some(decision) = rule.decide(None, access, topic) {
                return decision;
            }
        }
        if self.patterns.is_empty() || self.patterns_closed(client_id, username).is_some() {
            return Decision::NONE;
        }
        let username = username.filter(|name| !name.is_empty());
        let names = Names {
            client_id: client_id.as_bytes(),
            username: username.map(str::as_bytes),
        };
        self.patterns
            .iter()
            .filter(|rule| username.is_some() || !rule.needs_username)
            .find_map(|rule| rule.decide(Some(names), access, topic))
            .unwrap_or(Decision::NONE)
    }

    /// Why no pattern holds for a client with these names, if so: worth one line in the log when
    /// the client connects. Always `None` in a list without patterns.
    pub fn patterns_closed(&self, client_id: &str, username: Option<&str>) -> Option<&'static str> {
        if self.patterns.is_empty() {
            return None;
        }
        let contains = |name: &str, bytes: &[u8]| name.bytes().any(|byte| bytes.contains(&byte));
        if contains(client_id, b"+#") {
            return Some("the client id contains '+' or '#'");
        }
        if self.uses_client_id && contains(client_id, b"/") {
            return Some("the client id contains '/' and a pattern contains %c");
        }
        let username = username?;
        if contains(username, b"+#") {
            return Some("the user name contains '+' or '#'");
        }
        if self.uses_username && contains(username, b"/") {
            return Some("the user name contains '/' and a pattern contains %u");
        }
        None
    }
}

impl Decision {
    /// No line decided.
    const NONE: Decision = Decision {
        allowed: false,
        line: None,
    };
}

impl Rule {
    fn decide(&self, names: Option<Names<'_>>, access: Access, topic: &[u8]) -> Option<Decision> {
        let allowed = self.grant.allows(access)?;
        filter::covers(&self.filter, names, topic).then_some(Decision {
            allowed,
            line: Some(self.line),
        })
    }
}

impl Grant {
    /// `None`: a line with this word has no say in this direction.
    pub(super) fn allows(self, access: Access) -> Option<bool> {
        match (self, access) {
            (Grant::Deny, _) => Some(false),
            (Grant::ReadWrite, _) | (Grant::Read, Access::Read) | (Grant::Write, Access::Write) => {
                Some(true)
            }
            (Grant::Read, Access::Write) | (Grant::Write, Access::Read) => None,
        }
    }

    fn parse(word: &[u8]) -> Option<Grant> {
        match word {
            b"read" => Some(Grant::Read),
            b"write" => Some(Grant::Write),
            b"readwrite" => Some(Grant::ReadWrite),
            b"deny" => Some(Grant::Deny),
            _ => None,
        }
    }
}

/// What has been read of a file so far.
struct Parser<'a> {
    problems: Problems<'a>,
    lists: Vec<Vec<Rule>>,
    /// The line that names the user of each list first; 0 for that of the anonymous.
    named_in: Vec<u32>,
    users: HashMap<String, u32>,
    patterns: Vec<Rule>,
    /// The list that topic lines belong to.
    current: usize,
}

impl<'a> Parser<'a> {
    fn new(file: &'a str) -> Self {
        Parser {
            problems: Problems::new(file),
            lists: vec![Vec::new()],
            named_in: vec![0],
            users: HashMap::new(),
            patterns: Vec::new(),
            current: ANONYMOUS,
        }
    }

    fn line(&mut self, line: u32, text: &[u8]) -> Result<(), String> {
        if text.starts_with(b"#") {
            return Ok(());
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        let (word, rest) = split_word(text);
        match word {
            b"user" => self.user(line, rest),
            b"topic" => {
                let rule = self.rule(line, "topic", rest)?;
                self.lists[self.current].push(rule);
                Ok(())
            }
            b"pattern" => {
                let rule = self.rule(line, "pattern", rest)?;
                self.patterns.push(rule);
                Ok(())
            }
            _ if word.starts_with(b"#") => {
                Err("a comment must have its # as the first byte of the line".to_owned())
            }
            _ => Err(format!(
                "unknown word {}, expected topic, user or pattern{}",
                quoted(word),
                suggestion(word, &["topic", "user", "pattern"])
            )),
        }
    }

    fn user(&mut self, line: u32, name: &[u8]) -> Result<(), String> {
        if name.is_empty() {
            return Err("user without a name, expected user NAME".to_owned());
        }
        let Ok(name) = std::str::from_utf8(name) else {
            // A list that nobody finds. It is no error because Mosquitto starts with such a file.
            let name = quoted(name);
            let what = format!("the user name {name} is not UTF-8: no client can have it");
            self.problems.add(line, what);
            self.current = self.lists.len();
            self.lists.push(Vec::new());
            self.named_in.push(line);
            return Ok(());
        };
        if name.contains('\0') {
            let name = quoted(name.as_bytes());
            return Err(format!("the user name {name} contains a NUL"));
        }
        self.current = if let Some(list) = self.users.get(name) {
            *list as usize
        } else {
            let list = self.lists.len();
            self.users.insert(name.to_owned(), list as u32);
            self.lists.push(Vec::new());
            self.named_in.push(line);
            list
        };
        Ok(())
    }

    fn rule(&mut self, line: u32, keyword: &str, rest: &[u8]) -> Result<Rule, String> {
        let (grant, filter) = parse_grant(keyword, rest)?;
        if let Err(what) = filter::check(filter) {
            return Err(format!("invalid filter {}: {what}", quoted(filter)));
        }
        if std::str::from_utf8(filter).is_err() {
            // Kept all the same, as Mosquitto does: it matches nothing.
            let filter = quoted(filter);
            let what = format!("the filter {filter} is not UTF-8: no topic can match it");
            self.problems.add(line, what);
        }
        let needs_username = contains(filter, *b"%u");
        let has_names = needs_username || contains(filter, *b"%c");
        if Grant::parse(filter).is_some() {
            self.problems.add(
                line,
                format!(
                    "{keyword} {}: this grants readwrite on the topic of that name; the filter \
                     may be missing",
                    String::from_utf8_lossy(filter)
                ),
            );
        }
        if keyword == "pattern" && !has_names {
            self.problems.add(
                line,
                format!(
                    "pattern {} contains neither %c nor %u: it holds for every client alike",
                    quoted(filter)
                ),
            );
        }
        if keyword == "topic" && has_names {
            self.problems.add(
                line,
                format!(
                    "topic {}: %c and %u stand for names in pattern lines only, here they are text",
                    quoted(filter)
                ),
            );
        }
        Ok(Rule {
            filter: filter.into(),
            grant,
            line,
            needs_username,
        })
    }

    fn finish(mut self) -> (Acl, Vec<Problem>) {
        let mut idle: Vec<(u32, &str)> = (self.users.iter())
            .filter(|(_, list)| self.lists[**list as usize].is_empty())
            .map(|(name, list)| (self.named_in[*list as usize], name.as_str()))
            .collect();
        idle.sort_unstable();
        for (line, name) in idle {
            self.problems.add(
                line,
                format!(
                    "user {} has no topic line: only patterns hold for this user",
                    quoted(name.as_bytes())
                ),
            );
        }
        // Stable: deny lines first, else in the order of the file.
        for list in self.lists.iter_mut().chain([&mut self.patterns]) {
            list.sort_by_key(|rule| rule.grant != Grant::Deny);
            list.shrink_to_fit();
        }
        let acl = Acl {
            file: self.problems.file.to_owned(),
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            uses_client_id: (self.patterns.iter()).any(|rule| contains(&rule.filter, *b"%c")),
            uses_username: self.patterns.iter().any(|rule| rule.needs_username),
            lists: self.lists,
            named_in: self.named_in,
            users: self.users,
            patterns: self.patterns,
        };
        (acl, self.problems.finish())
    }
}

/// `[read|write|readwrite|deny] FILTER`, where the filter is the rest of the line.
/// Whether this stands in a filter.
fn contains(filter: &[u8], name: [u8; 2]) -> bool {
    filter.windows(2).any(|pair| pair == name)
}

fn parse_grant<'t>(keyword: &str, rest: &'t [u8]) -> Result<(Grant, &'t [u8]), String> {
    let expected = "[read|write|readwrite|deny] FILTER";
    if rest.is_empty() {
        return Err(format!(
            "{keyword} without a filter, expected {keyword} {expected}"
        ));
    }
    let (word, filter) = split_word(rest);
    if let (Some(grant), false) = (Grant::parse(word), filter.is_empty()) {
        return Ok((grant, filter));
    }
    // A tab separates words like a space, but a filter may contain one and then needs no word.
    if !rest.contains(&b' ') {
        return Ok((Grant::ReadWrite, rest));
    }
    Err(format!(
        "unknown access {}, expected {keyword} {expected} (a filter with a space in it needs the \
         word before it){}",
        quoted(word),
        suggestion(word, &["read", "write", "readwrite", "deny"])
    ))
}

/// The first word, and the rest without the blanks between.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr2(b' ', b'\t', text).unwrap_or(text.len());
    (&text[..end], text[end..].trim_ascii_start())
}

#[cfg(test)]
mod tests;
