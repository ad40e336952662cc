//! The decision itself, from exactly what the broker would be told.
//!
//! The steps are those of the broker, in its order: who may come in, which topics and filters are
//! taken at all, what the access list says of the topic behind the listener's mount point. A test
//! holds the answers against those of running brokers.

use crate::auth::{Access, Acl, Passwords};
use crate::broker::{ListenerSettings, Settings};
use crate::topic::{BadFilter, Filter, is_reserved, level_count};
use crate::wire::is_name;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To publish to a topic.
    Publish,
    /// To subscribe to a filter, and to get something.
    Subscribe,
    /// To get a message that was published to a topic it subscribed to.
    Deliver,
}

/// Who wants it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Its user name; the one in its certificate where that counts.
    pub username: Option<&'a str>,
    /// Its Client Identifier; empty if it leaves the choice to the broker.
    pub client_id: &'a str,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it may.
    pub allowed: bool,
    /// What decided: a directive, or `acl_file`.
    pub by: &'static str,
    /// Why, in words.
    pub why: String,
    /// The line of the access list that decided.
    pub line: Option<u32>,
    /// What would make it allowed, or is to be known.
    pub hint: Option<String>,
}

impl Answer {
    fn no(by: &'static str, why: impl Into<String>, hint: impl Into<String>) -> Answer {
        Answer {
            allowed: false,
            by,
            why: why.into(),
            line: None,
            hint: Some(hint.into()),
        }
    }

    fn yes(by: &'static str, why: impl Into<String>) -> Answer {
        Answer {
            allowed: true,
            by,
            why: why.into(),
            line: None,
            hint: None,
        }
    }
}

/// The id that a client without one might get.
pub fn generated_id(listener: &ListenerSettings) -> String {
    format!(
        "{}00000000-0000-4000-8000-000000000000",
        listener.auto_id_prefix
    )
}

/// The id that a client has once it is in.
pub fn effective_id(listener: &ListenerSettings, client: Client<'_>) -> String {
    match (listener.use_username_as_clientid, client.client_id) {
        (true, _) => client.username.unwrap_or_default().to_string(),
        (false, "") => generated_id(listener),
        (false, id) => id.to_string(),
    }
}

/// Whether the client may come in; `None` if so.
pub fn may_connect(
    listener: &ListenerSettings,
    passwords: Option<&Passwords>,
    client: Client<'_>,
) -> Option<Answer> {
    // A name from a certificate is not sent.
    let username = client.username.filter(|_| !listener.names_by_certificate);
    let names = [("-u", username), ("-i", Some(client.client_id))];
    if let Some((flag, _)) = names.iter().find(|(_, name)| !is_name(name.unwrap_or(""))) {
        let hint = format!("another name behind {flag}");
        return Some(Answer::no("name", UNSENT, hint));
    }
    let has_name = client.username.is_some_and(|name| !name.is_empty());
    if listener.names_by_certificate && !has_name {
        return Some(Answer::no(
            "require_certificate",
            "the user name comes from the client's certificate here",
            "-u NAME says which name is in the certificate",
        ));
    }
    if listener.use_username_as_clientid {
        if !has_name {
            let why = "the user name is the client id here, and there is none";
            let hint = "the client has to send a user name";
            return Some(Answer::no("use_username_as_clientid", why, hint));
        }
    } else if client.client_id.is_empty() && !listener.allow_zero_length_clientid {
        return Some(Answer::no(
            "allow_zero_length_clientid",
            "clients have to send a client id here",
            "allow_zero_length_clientid true",
        ));
    } else if let Some(prefix) = &listener.clientid_prefixes {
        let client_id = match client.client_id {
            "" => &listener.auto_id_prefix,
            client_id => client_id,
        };
        if !client_id.starts_with(prefix.as_str()) {
            let why = format!("the client id does not begin with '{prefix}'");
            return Some(Answer::no("clientid_prefixes", why, "another client id"));
        }
    }
    sign_in(listener, passwords, client.username)
}

fn sign_in(
    listener: &ListenerSettings,
    passwords: Option<&Passwords>,
    username: Option<&str>,
) -> Option<Answer> {
    if listener.names_by_certificate {
        return None;
    }
    let Some(username) = username else {
        return (!listener.allow_anonymous).then(|| {
            Answer::no(
                "allow_anonymous",
                "clients without a user name are refused here",
                "-u USER, or allow_anonymous true in the configuration",
            )
        });
    };
    if !listener.has_passwords {
        return (!listener.allow_anonymous).then(|| {
            Answer::no(
                "password_file",
                "no password_file tells who may come in here",
                "password_file FILE in the configuration",
            )
        });
    }
    let is_known = passwords.is_some_and(|passwords| passwords.knows(username));
    (!is_known).then(|| {
        let why = format!("'{username}' is not in the password file");
        Answer::no("password_file", why, "midge passwd FILE USER adds a user")
    })
}

/// Whether a client that is in may do what it wants.
pub fn may(
    settings: &Settings,
    listener: &ListenerSettings,
    client: Client<'_>,
    wish: Wish,
    topic: &str,
) -> Answer {
    let refused = match wish {
        Wish::Publish | Wish::Deliver => judge_topic(settings, listener, wish, topic),
        Wish::Subscribe => judge_filter(settings, listener, topic),
    };
    if let Some(refused) = refused {
        return refused;
    }
    let unshared = match (wish, Filter::parse(topic)) {
        (Wish::Subscribe, Ok(parsed)) => parsed.filter,
        _ => topic,
    };
    let mounted = format!("{}{unshared}", listener.mount_point);
    let Some(acl) = &listener.acl else {
        return Answer::yes("acl_file", "no acl_file holds here: everything is allowed");
    };
    let client_id = effective_id(listener, client);
    let client = Client {
        client_id: &client_id,
        ..client
    };
    match wish {
        Wish::Publish => ask(acl, client, Access::Write, &mounted),
        Wish::Deliver => ask(acl, client, Access::Read, &mounted),
        Wish::Subscribe => subscribe(settings, acl, client, &mounted),
    }
}

/// What the broker ends a connection for.
const UNSENT: &str = "a control character or a non-character is in it: the broker closes the \
                      connection of who sends it";

/// What is wrong with a topic name, whoever uses it.
fn judge_topic(
    settings: &Settings,
    listener: &ListenerSettings,
    wish: Wish,
    topic: &str,
) -> Option<Answer> {
    let no = |by, why: &str, hint: &str| Some(Answer::no(by, why, hint));
    if topic.is_empty() {
        return no("topic", "a topic has at least one letter", "another topic");
    }
    if topic.contains(['+', '#']) {
        let why = "'+' and '#' stand in filters only, not in topics";
        return no("topic", why, "another topic");
    }
    if !is_name(topic) {
        return no("topic", UNSENT, "another topic");
    }
    if wish == Wish::Deliver && topic.starts_with("$share/") && listener.mount_point.is_empty() {
        let why = "a subscription to $share/NAME/FILTER gets messages of FILTER, and no other one \
                   gets those of topics below $share";
        return no("topic", why, "the topic without $share and the name");
    }
    if topic.len() + listener.mount_point.len() > usize::from(u16::MAX) {
        let why = "the topic is longer than 65535 bytes, mount_point included";
        return no("topic", why, "a shorter topic");
    }
    if wish == Wish::Publish && level_count(topic.as_bytes()) > settings.max_topic_levels {
        let why = format!("more than {} levels", settings.max_topic_levels);
        return no("max_topic_levels", &why, "fewer levels");
    }
    if wish == Wish::Publish && is_reserved(topic.as_bytes()) && listener.mount_point.is_empty() {
        let why = "what is below $SYS comes from the broker alone, and nothing is below $share";
        return no("topic", why, "another topic");
    }
    None
}

fn judge_filter(settings: &Settings, listener: &ListenerSettings, text: &str) -> Option<Answer> {
    let no = |by, why: &str, hint: &str| Some(Answer::no(by, why, hint));
    let filter = match Filter::parse(text) {
        Ok(filter) => filter.filter,
        Err(bad) => {
            let why = match bad {
                BadFilter::Empty => "a filter has at least one letter",
                BadFilter::Wildcard => "'+' stands alone between two '/', and '#' alone at the end",
                BadFilter::Share => "a shared filter is $share/NAME/FILTER",
            };
            return no("filter", why, "another filter");
        }
    };
    if !is_name(text) {
        return no("filter", UNSENT, "another filter");
    }
    if level_count(filter.as_bytes()) > settings.max_topic_levels {
        let why = format!("more than {} levels", settings.max_topic_levels);
        return no("max_topic_levels", &why, "fewer levels");
    }
    if filter.len() + listener.mount_point.len() > usize::from(u16::MAX) {
        let why = "the filter is longer than 65535 bytes, mount_point included";
        return no("filter", why, "a shorter filter");
    }
    None
}

/// One topic, one direction: the very question of the broker.
fn ask(acl: &Acl, client: Client<'_>, access: Access, topic: &str) -> Answer {
    let rules = acl.rules_for(client.username);
    let decision = acl.check(
        rules,
        client.client_id,
        client.username,
        access,
        topic.as_bytes(),
    );
    let word = match access {
        Access::Read => "read",
        Access::Write => "write",
    };
    let why = match (decision.allowed, decision.line) {
        (true, _) => "a line of the access list grants it",
        (false, Some(_)) => "a line of the access list denies it",
        (false, None) => "no line of the access list grants it",
    };
    let hint = match (decision.allowed, decision.line) {
        (true, _) => None,
        (false, Some(_)) => Some("remove that line, or let it deny less".to_string()),
        (false, None) => Some(missing_line(acl, client, word, topic)),
    };
    Answer {
        allowed: decision.allowed,
        by: "acl_file",
        why: why.to_string(),
        line: decision.line,
        hint,
    }
}

/// The line that would grant it, and why patterns do not, if they are closed to this client.
fn missing_line(acl: &Acl, client: Client<'_>, word: &str, topic: &str) -> String {
    let closed = acl.patterns_closed(client.client_id, client.username);
    let closed = closed.map_or_else(String::new, |why| {
        format!("; pattern lines do not hold for this client, because {why}")
    });
    match client.username.filter(|name| !name.is_empty()) {
        Some(name) => format!("below 'user {name}': topic {word} {topic}{closed}"),
        None => format!("before any 'user' line: topic {word} {topic}{closed}"),
    }
}

/// A filter asks for many topics, of which the access list judges each by itself.
fn subscribe(settings: &Settings, acl: &Acl, client: Client<'_>, filter: &str) -> Answer {
    let is_topic = !filter.contains(['+', '#']);
    if settings.acl_suback_deny || is_topic {
        let answer = ask(acl, client, Access::Read, filter);
        if settings.acl_suback_deny && !answer.allowed {
            let why = format!("{}, and acl_suback_deny is true", answer.why);
            return Answer { why, ..answer };
        }
        if is_topic {
            return match answer.allowed {
                true => answer,
                false => Answer {
                    why: format!(
                        "the subscription is accepted, but nothing will come: {}",
                        answer.why
                    ),
                    ..answer
                },
            };
        }
    }
    let asked = acl.readable(client.client_id, client.username, filter.as_bytes());
    let Some(grant) = asked.iter().find(|decision| decision.allowed) else {
        let why = "the subscription is accepted, but nothing will come: no line of the access list \
                   grants any of its topics";
        return Answer {
            line: asked.first().and_then(|decision| decision.line),
            ..Answer::no("acl_file", why, missing_line(acl, client, "read", filter))
        };
    };
    let others: Vec<String> = (asked.iter())
        .filter(|decision| *decision != grant)
        .filter_map(|decision| Some((decision.line?, decision.allowed)))
        .map(|(line, allowed)| match allowed {
            true => format!("line {line} grants"),
            false => format!("line {line} denies"),
        })
        .collect();
    let hint = match others.is_empty() {
        true => "each message is judged by its topic: see 'deliver TOPIC'".to_string(),
        false => format!(
            "each message is judged by its topic (see 'deliver TOPIC'): {} other topics of it",
            others.join(", ")
        ),
    };
    Answer {
        line: grant.line,
        hint: Some(hint),
        ..Answer::yes(
            "acl_file",
            "a line of the access list grants topics of this filter",
        )
    }
}
