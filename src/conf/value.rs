//! The text behind a keyword -> a value of the directive's kind.
//!
//! What a word or text means is checked here as strictly as Mosquitto 2.1 does; what the values
//! mean together is decided in `resolve`. Nothing here knows files or lines: an error is only the
//! part after the directive's name.

use super::lines::word;
use super::report::{plain, quote};
use super::table::{Directive, Kind};

/// A checked value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Bool(bool),
    /// Numbers, and durations in seconds.
    Int(i64),
    /// Texts, paths, and choices, also the words of `Kind::Sync`; versions as a list like `3,4,5`.
    Text(String),
    /// One entry for each line.
    List(Vec<String>),
}

/// A value, and what its author should hear about the rest of the line.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) value: Value,
    pub(super) remark: Option<String>,
}

/// What `listener` says: a port, and an address or (with port 0) a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) port: u16,
    pub(super) host: Option<String>,
    pub(super) remark: Option<String>,
}

/// The longest path of a unix socket, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// The longest time without a sync that `Kind::Sync` takes, in milliseconds.
const SYNC_MS_MAX: i64 = 60_000;

/// Reads `rest` as a value of `kind`; the error says what is wrong and what is expected.
pub(super) fn parse(kind: Kind, rest: &[u8]) -> Result<Parsed, String> {
    let expected = || format!("expected {}", expectation(kind));
    if kind == Kind::Anything {
        return Ok(Parsed {
            value: Value::Text(plain(rest)),
            remark: None,
        });
    }
    if rest.is_empty() {
        return Err(format!("no value: {}", expected()));
    }
    let (first, after) = word(rest);
    let wrong = || format!("{} does not fit: {}", quote(first), expected());
    let one_word = |value| {
        Ok(Parsed {
            value,
            remark: ignored(after),
        })
    };
    match kind {
        Kind::Bool => one_word(Value::Bool(boolean(first).ok_or_else(wrong)?)),
        Kind::Int { min, max } => {
            let number = decimal(first).ok_or_else(wrong)?;
            if !(min..=max).contains(&number) {
                return Err(wrong());
            }
            one_word(Value::Int(number))
        }
        Kind::Choice(words) => {
            let chosen = words.iter().find(|known| known.as_bytes() == first);
            one_word(Value::Text(chosen.ok_or_else(wrong)?.to_string()))
        }
        Kind::Duration => one_word(Value::Int(seconds(first).ok_or_else(wrong)?)),
        Kind::Sync => one_word(sync(first).ok_or_else(wrong)?),
        Kind::LogType => {
            let chosen = LOG_TYPES.iter().find(|known| known.as_bytes() == first);
            one_word(Value::List(vec![chosen.ok_or_else(wrong)?.to_string()]))
        }
        Kind::LogDest => log_dest(first, after),
        Kind::Versions => versions(rest).ok_or_else(|| {
            let rest = quote(rest);
            format!("{rest} does not fit: {}", expected())
        }),
        Kind::Text { max } => text(rest, max).map(|(text, remark)| Parsed {
            value: Value::Text(text),
            remark,
        }),
        Kind::Path | Kind::Listener | Kind::NamedPath => {
            text(rest, 65_535).map(|(text, remark)| {
                let value = Value::Text(text);
                Parsed { value, remark }
            })
        }
        Kind::TextList => text(rest, 65_535).map(|(text, remark)| Parsed {
            value: Value::List(vec![text]),
            remark,
        }),
        Kind::Anything => unreachable!("answered above"),
    }
}

/// Reads what follows `listener`.
pub(super) fn endpoint(rest: &[u8]) -> Result<Endpoint, String> {
    let expected = expectation(Kind::Listener);
    if rest.is_empty() {
        return Err(format!("no value: expected {expected}"));
    }
    let (first, after) = word(rest);
    let port = decimal(first)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| format!("{} does not fit: expected {expected}", quote(first)))?;
    let (second, after) = word(after);
    let (host, after) = if second.is_empty() || second[0] == b'#' {
        (None, &b""[..])
    } else {
        (Some(text(second, 65_535)?.0), after)
    };
    match (&host, port) {
        (None, 0) => Err(format!("port 0 without a path: expected {expected}")),
        (Some(path), 0) if path.len() > SOCKET_PATH_MAX => Err(format!(
            "the path is longer than the {SOCKET_PATH_MAX} bytes of a unix socket: expected a \
             shorter one"
        )),
        (Some(host), 1..) if host.contains('/') => Err(format!(
            "{} is not an address: expected a host name or an IP address, or port 0 for a unix \
             socket",
            quote(host.as_bytes())
        )),
        _ => Ok(Endpoint {
            port,
            host,
            remark: ignored(after),
        }),
    }
}

/// A path or text that fills the rest of a line, and a remark when it seems to hold a comment.
pub(super) fn text(bytes: &[u8], max: usize) -> Result<(String, Option<String>), String> {
    if bytes.is_empty() {
        return Err("no value: expected a text".to_owned());
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(format!("{} is not UTF-8: expected UTF-8", quote(bytes)));
    };
    if let Some(letter) = text.chars().find(|&c| c.is_control() && c != '\t') {
        let letter = quote(letter.to_string().as_bytes());
        return Err(format!(
            "the value holds the control character {letter}: expected a text without it"
        ));
    }
    if text.len() > max {
        let long = text.len();
        return Err(format!(
            "the value is {long} bytes long: expected at most {max}"
        ));
    }
    let hash = text.contains(" #") || text.contains("\t#");
    let remark = hash.then(|| {
        let value = quote(bytes);
        format!("the value is {value}: a comment must begin its line, so '#' belongs to the value")
    });
    Ok((text.to_owned(), remark))
}

/// The value that holds when `directive` is missing, if there is one.
///
/// # Panics
/// When the table's default does not fit the table's kind, which a test over the table excludes.
pub(super) fn default(directive: &Directive) -> Option<Value> {
    if directive.default.is_empty() {
        return None;
    }
    if matches!(directive.kind, Kind::LogDest | Kind::LogType) {
        let words = directive.default.split(' ').map(str::to_owned);
        return Some(Value::List(words.collect()));
    }
    match parse(directive.kind, directive.default.as_bytes()) {
        Ok(parsed) => Some(parsed.value),
        Err(what) => panic!("the default of {}: {what}", directive.name),
    }
}

/// The values of `kind` in words, for errors and the README.
pub(super) fn expectation(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Int { min: 0, max } if max == i64::MAX => "a number, 0 or more".to_owned(),
        Kind::Int { min, max } if max == i64::MAX => format!("a number from {min} up"),
        Kind::Int { min, max } => format!("a number from {min} to {max}"),
        Kind::Text { .. } | Kind::TextList => "a text".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Choice(words) => one_of(words),
        Kind::Duration => "a number and one of the units s h d w m y, such as 14d".to_owned(),
        Kind::Versions => "some of 3,4,5".to_owned(),
        Kind::Sync => {
            format!("always, never or a number of milliseconds from 1 to {SYNC_MS_MAX}")
        }
        Kind::LogDest => one_of(LOG_DESTS),
        Kind::LogType => one_of(LOG_TYPES),
        Kind::Listener => "a port and perhaps an address, or 0 and a path".to_owned(),
        Kind::NamedPath => "a name and a path".to_owned(),
        Kind::Anything => "anything".to_owned(),
    }
}

/// What `log_type` knows.
const LOG_TYPES: &[&str] = &[
    "none",
    "error",
    "warning",
    "notice",
    "information",
    "debug",
    "subscribe",
    "unsubscribe",
    "websockets",
    "internal",
    "packets",
    "all",
];

/// What `log_dest` knows.
const LOG_DESTS: &[&str] = &[
    "none",
    "stdout",
    "stderr",
    "syslog",
    "topic",
    "file PATH",
    "dlt",
    "android",
];

fn one_of(words: &[&str]) -> String {
    match words {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        _ => words.concat(),
    }
}

fn boolean(word: &[u8]) -> Option<bool> {
    match word {
        b"true" | b"1" => Some(true),
        b"false" | b"0" => Some(false),
        _ => None,
    }
}

fn decimal(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn seconds(word: &[u8]) -> Option<i64> {
    let (&unit, digits) = word.split_last()?;
    let unit = match unit {
        b's' => 1,
        b'h' => 3_600,
        b'd' => 86_400,
        b'w' => 7 * 86_400,
        b'm' => 30 * 86_400,
        b'y' => 365 * 86_400,
        _ => return None,
    };
    let number = decimal(digits).filter(|&number| number > 0)?;
    number.checked_mul(unit)
}

fn sync(word: &[u8]) -> Option<Value> {
    match word {
        b"always" | b"never" => Some(Value::Text(plain(word))),
        _ => decimal(word)
            .filter(|ms| (1..=SYNC_MS_MAX).contains(ms))
            .map(Value::Int),
    }
}

fn versions(rest: &[u8]) -> Option<Parsed> {
    let mut seen = [false; 3];
    let text = std::str::from_utf8(rest).ok()?;
    for part in text.split([',', ' ', '\t']).filter(|part| !part.is_empty()) {
        match part {
            "3" => seen[0] = true,
            "4" => seen[1] = true,
            "5" => seen[2] = true,
            _ if part.starts_with('#') => break,
            _ => return None,
        }
    }
    let named = ["3", "4", "5"].into_iter().zip(seen);
    let chosen: Vec<&str> = named
        .filter(|(_, seen)| *seen)
        .map(|(name, _)| name)
        .collect();
    (!chosen.is_empty()).then(|| Parsed {
        value: Value::Text(chosen.join(",")),
        remark: None,
    })
}

fn log_dest(first: &[u8], after: &[u8]) -> Result<Parsed, String> {
    if first == b"file" {
        let (path, remark) = text(after, 65_535).map_err(|what| format!("file: {what}"))?;
        return Ok(Parsed {
            value: Value::List(vec![format!("file {path}")]),
            remark,
        });
    }
    let known = LOG_DESTS.iter().find(|known| known.as_bytes() == first);
    let Some(known) = known else {
        let expected = expectation(Kind::LogDest);
        return Err(format!(
            "{} does not fit: expected {expected}",
            quote(first)
        ));
    };
    Ok(Parsed {
        value: Value::List(vec![(*known).to_owned()]),
        remark: ignored(after),
    })
}

/// A remark on words behind a value that takes only one.
fn ignored(after: &[u8]) -> Option<String> {
    let comment = after.is_empty() || after[0] == b'#';
    (!comment).then(|| format!("{} behind the value is ignored", quote(after)))
}
