//! An access list under review: what it says twice, what it says in vain, and about whom.
//!
//! For people, not for packets: `midge check` and `midge explain` ask, the broker never does. The
//! rules are those of [`Acl::check`]: within a list the first line that covers a topic and has a
//! say in its direction decides, so a line whose topics earlier lines cover altogether never does.
//!
//! Bounds: each line is held against at most [`COMPARED_MAX`] earlier ones of its list.

use super::acl::{ANONYMOUS, Access, Acl, Decision, Grant, Rule};
use super::filter::{self, Names};
use super::quoted;

/// Earlier lines that a line is compared with.
const COMPARED_MAX: usize = 1000;

/// A line that does nothing, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The line, counted from 1.
    pub line: u32,
    /// What is the matter.
    pub what: String,
    /// What mends it.
    pub mend: String,
}

impl Acl {
    /// The users that the file names, each with the line that does so first; in its order.
    pub fn users(&self) -> Vec<(&str, u32)> {
        let mut users: Vec<(&str, u32)> = (self.users.iter())
            .map(|(name, list)| (name.as_str(), self.named_in[*list as usize]))
            .collect();
        users.sort_unstable_by_key(|(_, line)| *line);
        users
    }

    /// Whether there are lines for everybody.
    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Whether there are lines for this user, or for clients without a user name.
    pub fn has_rules(&self, username: Option<&str>) -> bool {
        let list = self.rules_for(username).list;
        let own = self.lists.get(list as usize);
        own.is_some_and(|own| !own.is_empty())
    }

    /// Whether any line grants this user something, or clients without a user name.
    pub fn grants(&self, username: Option<&str>) -> bool {
        let own = self.lists.get(self.rules_for(username).list as usize);
        let own = own.map_or(&[][..], Vec::as_slice);
        let patterns = self.patterns.iter();
        let patterns = patterns.filter(|rule| username.is_some() || !rule.needs_username);
        own.iter()
            .chain(patterns)
            .any(|rule| rule.grant != Grant::Deny)
    }

    /// The first line for clients without a user name.
    pub fn first_anonymous_line(&self) -> Option<u32> {
        let lines = self.lists[ANONYMOUS].iter().map(|rule| rule.line);
        lines.min()
    }

    /// The filters of all lines, each with its line; in the order of the file.
    pub fn filters(&self) -> Vec<(u32, &[u8])> {
        let rules = self.lists.iter().chain([&self.patterns]).flatten();
        let mut filters: Vec<(u32, &[u8])> =
            rules.map(|rule| (rule.line, &rule.filter[..])).collect();
        filters.sort_unstable();
        filters
    }

    /// Lines that never decide anything, in the order of the file.
    pub fn review(&self) -> Vec<Remark> {
        let mut remarks = Vec::new();
        for list in &self.lists {
            review_list(list, "topic", &mut remarks);
        }
        review_list(&self.patterns, "pattern", &mut remarks);
        remarks.sort_by_key(|remark| remark.line);
        remarks
    }

    /// The lines that may decide whether a client gets messages which a filter asks for, in the
    /// order in which they are asked. Each may be the one for some topic.
    pub fn readable(
        &self,
        client_id: &str,
        username: Option<&str>,
        filter: &[u8],
    ) -> Vec<Decision> {
        let own = self.lists.get(self.rules_for(username).list as usize);
        let own = own.map_or(&[][..], Vec::as_slice);
        let username = username.filter(|name| !name.is_empty());
        let is_closed = self.patterns_closed(client_id, username).is_some();
        let names = Names {
            client_id: client_id.as_bytes(),
            username: username.map(str::as_bytes),
        };
        let patterns = (self.patterns.iter())
            .filter(|rule| !is_closed && (username.is_some() || !rule.needs_username))
            .map(|rule| (rule, filter::with_names(&rule.filter, names)));
        let own = own.iter().map(|rule| (rule, rule.filter.to_vec()));
        let mut asked = Vec::new();
        for (rule, text) in own.chain(patterns) {
            let Some(allowed) = rule.grant.allows(Access::Read) else {
                continue;
            };
            if filter::overlaps(&text, filter) {
                asked.push(Decision {
                    allowed,
                    line: Some(rule.line),
                });
            }
            if filter::includes(&text, filter) {
                // Nothing is left for those behind.
                break;
            }
        }
        asked
    }
}

/// Grants of reading, or their denial, where no message is read: what is delivered to a shared
/// subscription has a topic of its own.
fn review_shared(rule: &Rule, said: &str) -> Option<Remark> {
    let shared = rule.filter.strip_prefix(b"$share/")?;
    let slash = shared.iter().position(|byte| *byte == b'/');
    let filter = slash.map_or(&b"FILTER"[..], |at| &shared[at + 1..]);
    (rule.grant != Grant::Write).then(|| Remark {
        line: rule.line,
        what: format!(
            "{said} is about no message that anybody gets: lines are held against topics, and a \
             subscription to $share/NAME/FILTER gets those of FILTER"
        ),
        mend: format!("write {} without $share and the name", quoted(filter)),
    })
}

fn review_list(list: &[Rule], keyword: &str, remarks: &mut Vec<Remark>) {
    for (at, rule) in list.iter().enumerate() {
        let words = match rule.grant {
            Grant::Deny => "deny",
            Grant::Read => "read",
            Grant::Write => "write",
            Grant::ReadWrite => "readwrite",
        };
        let said = format!("{keyword} {words} {}", quoted(&rule.filter));
        if let Some(remark) = review_shared(rule, &said) {
            remarks.push(remark);
            continue;
        }
        let earlier = &list[at.saturating_sub(COMPARED_MAX)..at];
        // What decides instead, in each direction in which the line has a say.
        let mut instead = [Access::Read, Access::Write]
            .into_iter()
            .filter(|access| rule.grant.allows(*access).is_some())
            .map(|access| {
                earlier.iter().find(|other| {
                    other.grant.allows(access).is_some()
                        && filter::includes(&other.filter, &rule.filter)
                })
            });
        let first = instead.next().flatten();
        let (Some(first), true) = (first, instead.all(|other| other.is_some())) else {
            if rule.grant == Grant::Write
                && rule.filter.starts_with(b"$SYS/")
                && !filter::overlaps(&rule.filter, b"$SYS/broker/connection/+/state")
            {
                remarks.push(Remark {
                    line: rule.line,
                    what: format!(
                        "{said}: what is below $SYS comes from the broker alone, whatever is \
                         granted"
                    ),
                    mend: "remove the line, or write read in place of write".to_owned(),
                });
            }
            continue;
        };
        let line = first.line;
        let (what, mend) = match first.grant {
            Grant::Deny if rule.grant != Grant::Deny => (
                format!(
                    "{said} never allows anything: line {line} denies all of it, and deny lines \
                     are asked first"
                ),
                format!("remove this line, or let line {line} deny less"),
            ),
            _ => (
                format!("{said} changes nothing: line {line} says it already"),
                "remove the line".to_owned(),
            ),
        };
        remarks.push(Remark {
            line: rule.line,
            what,
            mend,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(text: &str) -> Vec<String> {
        let (acl, _) = Acl::parse(text.as_bytes(), "acl").expect("valid");
        let remarks = acl.review().into_iter();
        remarks
            .map(|r| format!("{}: {}; mend: {}", r.line, r.what, r.mend))
            .collect()
    }

    #[test]
    fn lines_in_vain_are_found() {
        let text = "topic read a/#\ntopic a/b\n\
                    user bob\ntopic write x/+/y\ntopic deny x/#\ntopic read x\ntopic deny x/1\n\
                    topic read b\ntopic readwrite b\ntopic read b\n\
                    topic write $SYS/broker\npattern read p/%c/#\npattern read p/%c/state\n\
                    topic read $share/g/x/#\ntopic write $share/g/x\npattern $share/%u\n\
                    topic write $SYS/broker/connection/#\n";
        assert_eq!(
            review(text),
            [
                "4: topic write 'x/+/y' never allows anything: line 5 denies all of it, and deny \
                 lines are asked first; mend: remove this line, or let line 5 deny less",
                "6: topic read 'x' never allows anything: line 5 denies all of it, and deny lines \
                 are asked first; mend: remove this line, or let line 5 deny less",
                "7: topic deny 'x/1' changes nothing: line 5 says it already; mend: remove the \
                 line",
                "10: topic read 'b' changes nothing: line 8 says it already; mend: remove the \
                 line",
                "11: topic write '$SYS/broker': what is below $SYS comes from the broker alone, \
                 whatever is granted; mend: remove the line, or write read in place of write",
                "13: pattern read 'p/%c/state' changes nothing: line 12 says it already; mend: \
                 remove the line",
                "14: topic read '$share/g/x/#' is about no message that anybody gets: lines are \
                 held against topics, and a subscription to $share/NAME/FILTER gets those of \
                 FILTER; mend: write 'x/#' without $share and the name",
                "16: pattern readwrite '$share/%u' is about no message that anybody gets: lines \
                 are held against topics, and a subscription to $share/NAME/FILTER gets those of \
                 FILTER; mend: write 'FILTER' without $share and the name",
            ]
        );
    }

    /// A line of which the review says that it is in vain can be left out without a difference.
    #[test]
    fn what_is_in_vain_may_go() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut found = 0;
        for _ in 0..400 {
            let text: Vec<String> = (0..random.usize(2..9))
                .map(|_| {
                    let word = ["read", "write", "readwrite", "deny"][random.usize(..4)];
                    let levels: Vec<&str> = (0..random.usize(1..4))
                        .map(|_| ["a", "b", "+", "$SYS"][random.usize(..4)])
                        .collect();
                    let end = ["", "/#"][random.usize(..2)];
                    format!("topic {word} {}{end}\n", levels.join("/"))
                })
                .collect();
            let parse = |text: &str| Acl::parse(text.as_bytes(), "acl").expect("valid").0;
            let acl = parse(&text.concat());
            for remark in acl.review() {
                let mut less = text.clone();
                less[remark.line as usize - 1].clear();
                let less = parse(&less.concat());
                found += 1;
                for topic in [
                    "a", "b", "a/a", "a/b", "b/a", "$SYS", "$SYS/a", "a/b/a", "a/a/b/b",
                ] {
                    for access in [Access::Read, Access::Write] {
                        if access == Access::Write && topic.starts_with("$SYS") {
                            continue;
                        }
                        let ask = |acl: &Acl| {
                            let rules = acl.rules_for(None);
                            acl.check(rules, "c", None, access, topic.as_bytes())
                                .allowed
                        };
                        assert_eq!(ask(&acl), ask(&less), "{text:?} {remark:?} {topic}");
                    }
                }
            }
        }
        assert!(found > 100, "{found}");
    }

    #[test]
    fn lines_that_may_decide_about_a_filter() {
        let text = "user bob\ntopic deny s/secret\ntopic read s/#\ntopic write s/#\n\
                    pattern read p/%u/#\npattern read #\n";
        let (acl, _) = Acl::parse(text.as_bytes(), "acl").expect("valid");
        let lines = |filter: &str| -> Vec<u32> {
            let asked = acl.readable("c", Some("bob"), filter.as_bytes());
            asked.iter().filter_map(|decision| decision.line).collect()
        };
        assert_eq!(lines("s/+"), [2, 3]);
        assert_eq!(lines("s/secret"), [2]);
        assert_eq!(lines("s/x"), [3]);
        assert_eq!(lines("#"), [2, 3, 5, 6]);
        assert_eq!(lines("p/bob/x"), [5]);
        assert_eq!(lines("p/ann/x"), [6]);
        assert_eq!(lines("$SYS/#"), [0; 0]);
        assert_eq!(acl.users(), [("bob", 1)]);
        assert!(acl.has_rules(Some("bob")) && !acl.has_rules(Some("ann")));
        assert_eq!(acl.first_anonymous_line(), None);
    }

    #[test]
    fn denials_grant_nothing() {
        let grants = |text: &str, user: Option<&str>| {
            let (acl, _) = Acl::parse(text.as_bytes(), "acl").expect("valid");
            acl.grants(user)
        };
        let denied = "topic deny a\nuser bob\ntopic deny b\npattern deny #\n";
        let own = format!("{denied}pattern read %u\n");
        for user in [None, Some("bob"), Some("ann")] {
            assert!(!grants(denied, user), "{user:?}");
            assert_eq!(grants(&own, user), user.is_some(), "{user:?}");
        }
        assert!(grants("topic a\n", None) && !grants("topic a\n", Some("bob")));
    }
}
