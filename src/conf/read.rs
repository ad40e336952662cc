//! Files -> what they say.
//!
//! One pass, line by line. Each file begins without a current listener or plugin, as in Mosquitto:
//! options in `conf.d/x.conf` do not continue the main file's last listener. The first error ends
//! the reading. Memory is bounded by the files' length, and files by the directories named.

use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lines::{Line, lines};
use super::plugins::Plugins;
use super::report::{Error, Level, Message, Place, escape, plain, quote};
use super::source::Source;
use super::table::{self, Directive, Kind, Scope, Status};
use super::value::{self, Value};
use super::written::{Block, Draft, Setting, Written};

/// What came out of a reading.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) written: Written,
    pub(super) files: Vec<PathBuf>,
    pub(super) messages: Vec<Message>,
}

/// Reads `path` and what it includes.
pub(super) fn read(path: &Path, source: &dyn Source) -> Result<Outcome, Error> {
    let mut reader = Reader {
        source,
        outcome: Outcome::default(),
        plugins: Plugins::default(),
        first_security: None,
    };
    reader.file(path, None)?;
    let Reader {
        plugins,
        mut outcome,
        ..
    } = reader;
    plugins.settle(&mut outcome.written, &mut outcome.messages)?;
    Ok(outcome)
}

struct Reader<'a> {
    source: &'a dyn Source,
    outcome: Outcome,
    plugins: Plugins,
    /// The first security directive: `per_listener_settings` must not follow it.
    first_security: Option<(Place, &'static str)>,
}

/// What the lines of one file continue.
struct Context {
    included: bool,
    listener: Target,
    plugin: Option<usize>,
}

/// Which listener a directive belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The default listener.
    Default,
    /// The listener with this index.
    Listener(usize),
}

/// A directive as it stands in a file.
pub(super) struct Entry<'a> {
    pub(super) directive: &'static Directive,
    pub(super) written: &'a str,
    pub(super) rest: &'a [u8],
    pub(super) at: Place,
}

impl Entry<'_> {
    pub(super) fn error(&self, what: impl Into<String>) -> Error {
        self.at.error(self.written, what)
    }
}

impl Reader<'_> {
    /// Reads one file; `included_at` is the line that named its directory.
    fn file(&mut self, path: &Path, included_at: Option<&Place>) -> Result<(), Error> {
        let text = self.source.read(path).map_err(|error| {
            let what = match error.kind() {
                io::ErrorKind::IsADirectory => "is a directory: expected a file".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            match included_at {
                Some(at) => {
                    let name = escape(path.as_os_str().as_encoded_bytes());
                    at.error("include_dir", format!("'{name}' {what}"))
                }
                None => Error::of_file(path, what),
            }
        })?;
        self.outcome.files.push(path.to_owned());
        let file: Arc<Path> = path.into();
        let mut context = Context {
            included: included_at.is_some(),
            listener: Target::Default,
            plugin: None,
        };
        for line in lines(&text) {
            let at = Place {
                file: file.clone(),
                line: line.number,
            };
            self.line(&line, at, &mut context)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &Line<'_>, at: Place, context: &mut Context) -> Result<(), Error> {
        let Some((written, directive)) = known(line.keyword) else {
            let (name, what) = unknown(line.keyword);
            return Err(at.error(&name, what));
        };
        let entry = Entry {
            directive,
            written,
            rest: line.rest,
            at,
        };
        if let Status::Refused(reason) = directive.status {
            return Err(entry.error(reason));
        }
        match directive.name {
            "include_dir" => self.include(&entry, context),
            "listener" => self.listener(&entry, context),
            "per_listener_settings" => self.per_listener_settings(&entry),
            "mount_point" => self.mount_point(&entry, context),
            "auto_id_prefix" | "listener_auto_id_prefix" => {
                // A client could not name the id that it is given.
                sayable(&entry, "the beginning of a client id")?;
                self.set(&entry, context.listener)
            }
            // The default listener's, wherever they stand.
            "port" | "bind_address" => self.set(&entry, Target::Default),
            _ if directive.scope == Scope::Plugin => self.plugin(&entry, context),
            _ => self.set(&entry, context.listener),
        }
    }

    fn include(&mut self, entry: &Entry<'_>, context: &Context) -> Result<(), Error> {
        let Value::Text(directory) = self.parse(entry)? else {
            unreachable!("the table says that include_dir is a path")
        };
        if context.included {
            let what = "is ignored: only the main file may include a directory";
            self.tell(
                entry,
                Level::Warning,
                what,
                "move the line into the main file",
            );
            return Ok(());
        }
        let directory = PathBuf::from(directory);
        let names = self.source.list(&directory).map_err(|error| {
            let name = escape(directory.as_os_str().as_encoded_bytes());
            entry.error(format!("'{name}' cannot be read: {error}"))
        })?;
        let mut names: Vec<PathBuf> = names.into_iter().filter(|name| is_conf(name)).collect();
        names.sort_by(|a, b| file_order(a, b));
        for name in names {
            let path = directory.join(name);
            self.outcome.messages.push(Message {
                level: Level::Notice,
                mend: "",
                text: format!(
                    "Loading config file {}",
                    escape(path.as_os_str().as_encoded_bytes())
                ),
            });
            self.file(&path, Some(&entry.at))?;
        }
        Ok(())
    }

    fn listener(&mut self, entry: &Entry<'_>, context: &mut Context) -> Result<(), Error> {
        let endpoint = value::endpoint(entry.rest).map_err(|what| entry.error(what))?;
        if let Some(remark) = &endpoint.remark {
            self.tell(entry, Level::Warning, remark, ALONE);
        }
        let listeners = &mut self.outcome.written.listeners;
        context.listener = Target::Listener(listeners.len());
        let draft = Draft {
            at: Some(entry.at.clone()),
            ..Draft::default()
        };
        listeners.push((endpoint, draft));
        Ok(())
    }

    fn per_listener_settings(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let now = Value::Bool(self.outcome.written.per_listener_settings());
        let stays = value::parse(entry.directive.kind, entry.rest).is_ok_and(|to| to.value == now);
        if let (false, Some((earlier, name))) = (stays, &self.first_security) {
            return Err(entry.error(format!(
                "stands behind {name} at {earlier}: expected before all security directives"
            )));
        }
        self.set(entry, Target::Default)
    }

    fn mount_point(&mut self, entry: &Entry<'_>, context: &Context) -> Result<(), Error> {
        if context.listener == Target::Default {
            return Err(entry.error("no listener line above it in this file: expected one"));
        }
        if entry.rest.iter().any(|byte| matches!(byte, b'+' | b'#')) {
            return Err(entry.error(format!(
                "{} holds a wildcard: expected the beginning of a topic",
                quote(entry.rest)
            )));
        }
        // A message below it could not be told to others.
        sayable(entry, "the beginning of a topic")?;
        self.set(entry, context.listener)
    }

    fn plugin(&mut self, entry: &Entry<'_>, context: &mut Context) -> Result<(), Error> {
        self.note_security(entry);
        if let Status::Harmless(_) = entry.directive.status {
            let value = self.parse(entry)?;
            self.notice(entry, &value);
            return Ok(());
        }
        let told = self
            .plugins
            .line(entry, context.listener, &mut context.plugin)?;
        if let Some(what) = told {
            self.tell(entry, Level::Warning, &what, "remove the line");
        }
        Ok(())
    }

    /// The way of all directives without rules of their own.
    fn set(&mut self, entry: &Entry<'_>, listener: Target) -> Result<(), Error> {
        let directive = entry.directive;
        let value = self.parse(entry)?;
        if let Status::DefaultOnly(reason) = directive.status {
            if Some(&value) != value::default(directive).as_ref() {
                return Err(entry.error(reason));
            }
            return Ok(());
        }
        self.notice(entry, &value);
        if let Status::Harmless(_) = directive.status {
            return Ok(());
        }
        if directive.scope == Scope::Security {
            self.note_security(entry);
        }
        let block = self.outcome.written.block(directive.scope, listener);
        let setting = Setting {
            value,
            at: entry.at.clone(),
        };
        match (directive.kind, setting.value) {
            (_, Value::List(entries)) => {
                for text in entries {
                    second_log_file(block, entry, &text)?;
                    block.push(directive.name, text, setting.at.clone());
                }
            }
            (Kind::Text { .. } | Kind::Path, value) => {
                let setting = Setting { value, ..setting };
                block.set_once(directive.name, entry.written, setting)?;
            }
            (_, value) => {
                let setting = Setting { value, ..setting };
                let earlier = block.set(directive.name, setting.clone());
                if let Some(earlier) = earlier.filter(|earlier| *earlier != setting) {
                    let what = format!("replaces the value set at {}", earlier.at);
                    self.tell(entry, Level::Warning, &what, "remove one of the two lines");
                }
            }
        }
        Ok(())
    }

    fn parse(&mut self, entry: &Entry<'_>) -> Result<Value, Error> {
        let parsed = value::parse(entry.directive.kind, entry.rest);
        let parsed = parsed.map_err(|what| entry.error(what))?;
        if let Some(remark) = &parsed.remark {
            self.tell(entry, Level::Warning, remark, ALONE);
        }
        Ok(parsed.value)
    }

    /// Says what the table has to say about a directive that is not simply implemented.
    fn notice(&mut self, entry: &Entry<'_>, value: &Value) {
        match entry.directive.status {
            Status::Deprecated(better) => {
                let what = format!("is deprecated: {better}");
                self.tell(entry, Level::Notice, &what, "write it as said there");
            }
            Status::Harmless(why) if Some(value) != value::default(entry.directive).as_ref() => {
                let what = format!("has no effect: {why}");
                self.tell(entry, Level::Notice, &what, "remove the line");
            }
            _ => {}
        }
    }

    fn note_security(&mut self, entry: &Entry<'_>) {
        if self.first_security.is_none() {
            self.first_security = Some((entry.at.clone(), entry.directive.name));
        }
    }

    fn tell(&mut self, entry: &Entry<'_>, level: Level, what: &str, mend: &'static str) {
        let message = entry.at.message(level, entry.written, what, mend);
        self.outcome.messages.push(message);
    }
}

impl Written {
    /// Whether each listener has its own security directives, as far as the files have been read.
    pub(super) fn per_listener_settings(&self) -> bool {
        let setting = self.global.get("per_listener_settings");
        setting.is_some_and(|setting| setting.value == Value::Bool(true))
    }

    pub(super) fn draft(&mut self, listener: Target) -> &mut Draft {
        match listener {
            Target::Default => &mut self.default_listener,
            Target::Listener(index) => &mut self.listeners[index].1,
        }
    }

    /// Where a directive of this scope is kept.
    pub(super) fn block(&mut self, scope: Scope, listener: Target) -> &mut Block {
        match scope {
            Scope::Listener => &mut self.draft(listener).options,
            Scope::Security if self.per_listener_settings() => &mut self.draft(listener).security,
            Scope::Global | Scope::Security | Scope::Plugin | Scope::Bridge => &mut self.global,
        }
    }
}

/// What to do with something behind a value.
const ALONE: &str = "leave only the value there: a comment has a line of its own";

fn known(keyword: &[u8]) -> Option<(&str, &'static Directive)> {
    let word = std::str::from_utf8(keyword).ok()?;
    Some((word, table::find(word)?))
}

/// The name and the text of the error about a keyword that is not in the table.
fn unknown(keyword: &[u8]) -> (String, String) {
    let name = plain(keyword);
    let near = std::str::from_utf8(keyword).ok().and_then(table::near_miss);
    let what = match near {
        Some(near) if matches!(keyword.get(near.len()), Some(b'=' | b':')) => {
            format!("unknown directive: did you mean '{near}', followed by a blank?")
        }
        Some(near) => format!("unknown directive: did you mean '{near}'?"),
        None => "unknown directive: expected one of Mosquitto's or Midge's".to_owned(),
    };
    (name, what)
}

/// Refuses a value with letters that no topic and no client id in a packet may have. (Control
/// characters other than TAB are refused in every value.)
fn sayable(entry: &Entry<'_>, expected: &str) -> Result<(), Error> {
    let text = String::from_utf8_lossy(entry.rest);
    let is_none = |code: u32| (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe;
    let letter = text.chars().find(|&c| c == '\t' || is_none(c.into()));
    let what = match letter {
        None => return Ok(()),
        Some('\t') => "a TAB".to_owned(),
        Some(letter) => format!("U+{:04X}, which is no character", u32::from(letter)),
    };
    let value = quote(entry.rest);
    Err(entry.error(format!("{value} holds {what}: expected {expected}")))
}

fn second_log_file(block: &Block, entry: &Entry<'_>, text: &str) -> Result<(), Error> {
    let is_file = |text: &str| entry.directive.kind == Kind::LogDest && text.starts_with("file ");
    let earlier = block.get(entry.directive.name);
    match earlier {
        Some(Setting {
            value: Value::List(list),
            at,
        }) if is_file(text) && list.iter().any(|text| is_file(text)) => Err(entry.error(format!(
            "Duplicate value: expected only one file, and log_dest is first set at {at}"
        ))),
        _ => Ok(()),
    }
}

/// A name of more than five bytes that ends in `.conf`.
fn is_conf(name: &Path) -> bool {
    let name = name.as_os_str().as_encoded_bytes();
    name.len() > 5 && name.ends_with(b".conf")
}

/// Byte by byte, as Mosquitto has it: by the capital letter, then that before the small one, which
/// decides at once: `Ac.conf ab.conf aB.conf a_.conf`.
fn file_order(a: &Path, b: &Path) -> Ordering {
    fn keys(name: &Path) -> impl Iterator<Item = (u8, u8)> {
        let bytes = name.as_os_str().as_encoded_bytes().iter();
        bytes.map(|byte| (byte.to_ascii_uppercase(), *byte))
    }
    keys(a).cmp(keys(b))
}
