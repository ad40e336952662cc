//! `midge explain`: may this client do that, and which line says so?
//!
//! Answers from the configuration alone, without a running broker and without a password: what a
//! start would read is read, and the broker's own rules are asked. Exit code 0 if it is allowed, 1
//! if not, 3 where the question or the configuration is wrong, 13 for a file that cannot be used.

mod judge;

use super::broker::{Rehearsal, rehearse};
use crate::auth::Passwords;
use crate::broker::ListenerSettings;
use crate::conf::{Bind, Config, Listener};
use crate::host::access::Disk;
use crate::host::log::escaped;
use getopts::{Options, ParsingStyle};
pub use judge::{Answer, Client, Wish, may, may_connect};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const DENIED: u8 = 1;
const MISUSED: u8 = 3;
const UNREADABLE: u8 = 13;

/// A run that ends without an answer: its exit code, and what to say.
type Failure = (u8, String);

/// What the command line asks.
#[derive(Debug)]
struct Question {
    config_file: Option<PathBuf>,
    listener: Option<String>,
    username: Option<String>,
    client_id: String,
    wish: Wish,
    topic: String,
}

/// Runs the command and returns its exit code.
pub fn run(program: &str, args: &[String]) -> u8 {
    crate::host::log::install();
    let question = match parse(program, args) {
        Ok(question) => question,
        Err((code, text)) => {
            // Nobody may be reading: the exit code tells, too.
            let _ = match code {
                0 => write!(io::stdout(), "{text}"),
                _ => writeln!(io::stderr(), "{text}"),
            };
            return code;
        }
    };
    match explain(&question) {
        Ok((answer, text)) => {
            let _ = write!(io::stdout(), "{text}");
            if answer.allowed { 0 } else { DENIED }
        }
        Err((code, what)) => {
            let _ = writeln!(io::stderr(), "Error: {}", escaped(&what));
            code
        }
    }
}

fn options() -> Options {
    let mut options = Options::new();
    options.parsing_style(ParsingStyle::FloatingFrees);
    options.optopt("c", "config-file", "read this configuration file", "FILE");
    options.optopt(
        "u",
        "username",
        "the client's user name; without it, it has none",
        "USER",
    );
    options.optopt("i", "id", "the client's id", "ID");
    let listener = "the listener it comes in by: a port, host:port or the path of a unix socket; \
                    the first one if missing";
    options.optopt("P", "listener", listener, "LISTENER");
    options.optflag("h", "help", "show this text");
    options
}

fn parse(program: &str, args: &[String]) -> Result<Question, Failure> {
    let usage = || {
        options().usage(&format!(
            "Usage: {program} [-c FILE] [-u USER] [-i ID] [-P LISTENER] pub|sub|deliver TOPIC\n\n\
             Says whether the client may publish to TOPIC, may subscribe to it with effect, or\n\
             may get a message of that topic; and which line of which file says so.\n\
             Exit code 0: allowed, 1: denied, 3 or 13: it cannot be told."
        ))
    };
    let misused = |what: String| (MISUSED, format!("Error: {what}\n\n{}", usage()));
    let matches = options()
        .parse(args)
        .map_err(|fail| misused(format!("{fail}.")))?;
    if matches.opt_present("help") {
        return Err((0, usage()));
    }
    let [wish, topic] = matches.free.as_slice() else {
        return Err(misused("Say pub, sub or deliver, and a topic.".to_string()));
    };
    let wish = match wish.as_str() {
        "pub" => Wish::Publish,
        "sub" => Wish::Subscribe,
        "deliver" => Wish::Deliver,
        other => {
            return Err(misused(format!(
                "'{other}' is none of pub, sub and deliver."
            )));
        }
    };
    Ok(Question {
        config_file: matches.opt_str("config-file").map(PathBuf::from),
        listener: matches.opt_str("listener"),
        // An empty one counts as none, as at CONNECT.
        username: matches.opt_str("username").filter(|name| !name.is_empty()),
        client_id: matches.opt_str("id").unwrap_or_default(),
        wish,
        topic: topic.clone(),
    })
}

/// The answer, and how it is told.
fn explain(question: &Question) -> Result<(Answer, String), Failure> {
    let config = Config::load(question.config_file.as_deref(), &[], &Disk)
        .map_err(|error| (MISUSED, error.to_string()))?;
    let number = choose(&config.listeners, question.listener.as_deref())?;
    let Rehearsal {
        settings,
        passwords,
    } = rehearse(&config).map_err(|what| (UNREADABLE, what))?;
    let listener = &settings.listeners[number];
    let passwords = passwords.get(number).and_then(Option::as_deref);
    let client = Client {
        username: question.username.as_deref(),
        client_id: &question.client_id,
    };
    let refused = may_connect(listener, passwords, client);
    let comes_in = refused.is_none();
    let answer =
        refused.unwrap_or_else(|| may(&settings, listener, client, question.wish, &question.topic));
    let mut lines = vec![headline(question, listener, &answer, comes_in)];
    lines.push(tell_listener(&config, number, question.listener.is_some()));
    if comes_in {
        let entrance = entrance(listener, passwords, client);
        lines.push(format!("  comes in: {entrance}"));
    }
    lines.extend(tell_rule(listener, &answer));
    // Names and topics may hold anything, but must not talk to the terminal.
    let lines = lines.iter().map(|line| escaped(line) + "\n");
    Ok((answer, lines.collect()))
}

fn headline(
    question: &Question,
    listener: &ListenerSettings,
    answer: &Answer,
    comes_in: bool,
) -> String {
    let verdict = if answer.allowed { "allowed" } else { "denied" };
    let may = if answer.allowed { "may" } else { "may not" };
    let who = match question.username.as_deref() {
        Some(name) => format!("user '{name}'"),
        None => "a client without a user name".to_string(),
    };
    let client = Client {
        username: question.username.as_deref(),
        client_id: &question.client_id,
    };
    let id = judge::effective_id(listener, client);
    let topic = &question.topic;
    let what = match question.wish {
        _ if !comes_in => "come in".to_string(),
        Wish::Publish => format!("publish to '{topic}'"),
        Wish::Subscribe if answer.allowed => format!("subscribe to '{topic}'"),
        Wish::Subscribe => format!("subscribe to '{topic}' with effect"),
        Wish::Deliver => format!("get messages of '{topic}'"),
    };
    format!("{verdict}: {who}, client id '{id}', {may} {what}")
}

fn tell_listener(config: &Config, number: usize, is_chosen: bool) -> String {
    let Listener {
        bind,
        origin,
        mount_point,
        ..
    } = &config.listeners[number];
    let mount = mount_point
        .as_ref()
        .map_or_else(String::new, |mount_point| {
            format!(", mount_point '{mount_point}' goes in front of the topic")
        });
    let others = match !is_chosen && config.listeners.len() > 1 && !config.local_only {
        true => "; -P chooses another one",
        false => "",
    };
    format!("  listener: {bind} ({origin}){mount}{others}")
}

/// Why the client is let in.
fn entrance(
    listener: &ListenerSettings,
    passwords: Option<&Passwords>,
    client: Client<'_>,
) -> String {
    let line = |name: &str| {
        let names = passwords.map(Passwords::names).unwrap_or_default();
        names
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, line)| *line)
    };
    match client.username {
        _ if listener.names_by_certificate => "by the name in its certificate".to_string(),
        Some(name) => match line(name) {
            Some(line) => {
                format!("line {line} of the password file; the password is not asked for here")
            }
            None => "allow_anonymous is true and no password_file is asked".to_string(),
        },
        None => "allow_anonymous is true".to_string(),
    }
}

fn tell_rule(listener: &ListenerSettings, answer: &Answer) -> Vec<String> {
    let mut lines = vec![format!("  because: {} ({})", answer.why, answer.by)];
    if let (Some(line), Some(acl)) = (answer.line, &listener.acl) {
        let rule = line_of(Path::new(acl.file()), line).unwrap_or_default();
        lines.push(format!("  rule: {}:{line}: {rule}", acl.file()));
    }
    if let Some(hint) = &answer.hint {
        let word = if answer.allowed { "note" } else { "mend" };
        lines.push(format!("  {word}: {hint}"));
    }
    lines
}

/// A line of a file as it is written there.
fn line_of(path: &Path, line: u32) -> Option<String> {
    let text = std::fs::read(path).ok()?;
    let found = text.split(|byte| *byte == b'\n').nth(line as usize - 1)?;
    let found = String::from_utf8_lossy(found);
    Some(found.trim().escape_debug().to_string())
}

/// The listener that a question is about.
fn choose(listeners: &[Listener], wanted: Option<&str>) -> Result<usize, Failure> {
    let Some(wanted) = wanted else { return Ok(0) };
    let fits = |listener: &Listener| match &listener.bind {
        Bind::Tcp { port, .. } if port.to_string() == wanted => true,
        bind => bind.to_string() == wanted,
    };
    listeners.iter().position(fits).ok_or_else(|| {
        let known: Vec<String> = listeners.iter().map(|l| l.bind.to_string()).collect();
        let what = format!(
            "there is no listener '{wanted}': expected one of {}",
            known.join(", ")
        );
        (MISUSED, what)
    })
}
