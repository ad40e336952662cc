//! The one table of directives: every name that Mosquitto 2.0 and 2.1 read, and Midge's own.
//!
//! An entry says what a directive is called, where it may stand, which values it takes, what holds
//! when it is missing, what Midge does with it, and whether a reload takes it over. Parsing,
//! defaults, reload classes, the README's drop-in table and the tests all come from here, so a new
//! directive is one entry and, when it is implemented, one field of [`Config`](super::Config).
//!
//! The entries stand in one file per chapter, each a constant slice; nothing here allocates. What
//! a directive does is told to the README only: the program has the entries without that sentence.

mod bridge;
mod general;
mod limits;
mod listener;
mod logging;
mod persistence;
mod plugin;
mod security;
mod tls;

/// One directive of the configuration file.
#[derive(Debug, Clone, Copy)]
pub struct Directive {
    /// The name as it is written; a `*` at the end stands for 1 to 100 visible ASCII letters.
    pub name: &'static str,
    /// Other spellings with the same meaning.
    pub aliases: &'static [&'static str],
    /// What the directive applies to.
    pub scope: Scope,
    /// The values it takes.
    pub kind: Kind,
    /// What holds when it is missing, written as in a file; empty when nothing is set then.
    pub default: &'static str,
    /// What Midge does with it.
    pub status: Status,
    /// Whether a reload takes a change over.
    pub reload: Reload,
}

/// A directive as it stands in the table.
#[derive(Clone, Copy)]
struct Entry {
    directive: Directive,
    /// What it does, in one sentence for the README.
    about: &'static str,
}

/// What a directive applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole broker.
    Global,
    /// The `listener` line above it in the same file, or else the default listener.
    Listener,
    /// The whole broker, or one listener when `per_listener_settings` is true.
    Security,
    /// The `connection` line above it.
    Bridge,
    /// The `plugin` line above it.
    Plugin,
}

/// The values a directive takes, and how much of its line it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One word: `true`, `1`, `false` or `0`.
    Bool,
    /// One word: a decimal number within both bounds.
    Int {
        /// The smallest number accepted.
        min: i64,
        /// The largest number accepted; [`i64::MAX`] reads as "no bound".
        max: i64,
    },
    /// The rest of the line, trimmed; may be set once.
    Text {
        /// The longest text accepted, in bytes.
        max: usize,
    },
    /// The rest of the line, trimmed, as a path; may be set once.
    Path,
    /// The rest of the line; every further line adds to the list.
    TextList,
    /// One word out of a list.
    Choice(&'static [&'static str]),
    /// One word: a number and a unit, kept in seconds.
    Duration,
    /// Numbers 3, 4 and 5, separated by commas or blanks.
    Versions,
    /// One word: `always`, `never`, or a number of milliseconds.
    Sync,
    /// A log destination; every further line adds one.
    LogDest,
    /// A kind of log line; every further line adds one.
    LogType,
    /// A port and an address, or 0 and the path of a unix socket.
    Listener,
    /// A name and then a path.
    NamedPath,
    /// Anything, even nothing: the value is not looked at.
    Anything,
}

/// What Midge does with a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does what its sentence says.
    Implemented,
    /// As before, but a notice names a better way, which this text tells.
    Deprecated(&'static str),
    /// It is accepted, has no effect, and a notice with this text says so.
    Harmless(&'static str),
    /// It is read and kept; this text says what is still missing.
    Later(&'static str),
    /// Its default value is accepted; any other is an error with this reason and way out.
    DefaultOnly(&'static str),
    /// It is an error, with this reason and way out.
    Refused(&'static str),
}

/// Whether a reload (SIGHUP) takes a changed value over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Taken over at once.
    Live,
    /// Kept as it was until the broker is started again.
    Restart,
}

/// A part of the table, as the README shows it.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// Its heading.
    pub title: &'static str,
    /// Its entries, in the README's order.
    pub directives: &'static [Directive],
}

/// The chapters' titles and entries.
const TABLE: [(&str, &[Entry]); 9] = [
    ("General", general::ENTRIES),
    ("Who may connect, and who may do what", security::ENTRIES),
    ("Limits", limits::ENTRIES),
    ("Listeners", listener::ENTRIES),
    ("Persistence", persistence::ENTRIES),
    ("Logging", logging::ENTRIES),
    ("TLS", tls::ENTRIES),
    ("Plugins", plugin::ENTRIES),
    ("Bridges", bridge::ENTRIES),
];

/// The whole table.
pub const CHAPTERS: &[Chapter] = &[
    chapter(0, &directives_of::<{ TABLE[0].1.len() }>(0)),
    chapter(1, &directives_of::<{ TABLE[1].1.len() }>(1)),
    chapter(2, &directives_of::<{ TABLE[2].1.len() }>(2)),
    chapter(3, &directives_of::<{ TABLE[3].1.len() }>(3)),
    chapter(4, &directives_of::<{ TABLE[4].1.len() }>(4)),
    chapter(5, &directives_of::<{ TABLE[5].1.len() }>(5)),
    chapter(6, &directives_of::<{ TABLE[6].1.len() }>(6)),
    chapter(7, &directives_of::<{ TABLE[7].1.len() }>(7)),
    chapter(8, &directives_of::<{ TABLE[8].1.len() }>(8)),
];

const fn chapter(number: usize, directives: &'static [Directive]) -> Chapter {
    let title = TABLE[number].0;
    Chapter { title, directives }
}

/// A chapter's directives alone.
const fn directives_of<const COUNT: usize>(number: usize) -> [Directive; COUNT] {
    let entries = TABLE[number].1;
    let mut directives = [entries[0].directive; COUNT];
    let mut at = 0;
    while at < COUNT {
        directives[at] = entries[at].directive;
        at += 1;
    }
    directives
}

/// What a directive does, in one sentence.
pub fn about(directive: &Directive) -> &'static str {
    let entries = TABLE.iter().flat_map(|(_, entries)| *entries);
    let mut entries = entries.filter(|entry| entry.directive.name == directive.name);
    entries.next().map_or("", |entry| entry.about)
}

/// All directives, in the order of the table.
pub fn directives() -> impl Iterator<Item = &'static Directive> {
    CHAPTERS.iter().flat_map(|chapter| chapter.directives)
}

/// The directive that is written `name`, under its own name or an alias.
pub fn find(name: &str) -> Option<&'static Directive> {
    directives().find(|directive| {
        let mut aliases = directive.aliases.iter();
        matches(directive.name, name) || aliases.any(|known| matches(known, name))
    })
}

/// The known name that `name` was probably meant to be, for an error's suggestion.
///
/// Answers for another case of the same letters, for `name=value` and `name: value`, and for a few
/// letters that are wrong, missing, superfluous or swapped.
pub fn near_miss(name: &str) -> Option<&'static str> {
    let word = name.split(['=', ':']).next().unwrap_or(name);
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let slack = (lower.len() / 4).clamp(1, 3);
    directives()
        .flat_map(Directive::names)
        .filter(|known| !known.ends_with('*'))
        // So many letters are missing or superfluous at least.
        .filter(|known| known.len().abs_diff(lower.len()) <= slack)
        .map(|known| (distance(lower.as_bytes(), known.as_bytes()), known))
        .filter(|&(far, _)| far <= slack)
        .min_by_key(|&(far, _)| far)
        .map(|(_, known)| known)
}

impl Directive {
    /// The name and then the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

impl Entry {
    const fn new(
        scope: Scope,
        name: &'static str,
        kind: Kind,
        default: &'static str,
        about: &'static str,
    ) -> Self {
        let directive = Directive {
            name,
            aliases: &[],
            scope,
            kind,
            default,
            status: Status::Implemented,
            reload: Reload::Live,
        };
        Self { directive, about }
    }

    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.directive.aliases = aliases;
        self
    }

    const fn restart(mut self) -> Self {
        self.directive.reload = Reload::Restart;
        self
    }

    const fn status(mut self, status: Status) -> Self {
        self.directive.status = status;
        self
    }
}

const fn global(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Entry {
    Entry::new(Scope::Global, name, kind, default, about)
}

const fn listener(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Entry {
    Entry::new(Scope::Listener, name, kind, default, about)
}

const fn security(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Entry {
    Entry::new(Scope::Security, name, kind, default, about)
}

/// A number with both bounds.
const fn int(min: i64, max: i64) -> Kind {
    Kind::Int { min, max }
}

/// The longest text that MQTT and Mosquitto know.
const TEXT: Kind = Kind::Text { max: 65_535 };

/// Zero or more, without an upper bound.
const COUNT: Kind = int(0, i64::MAX);

/// What fits 16 bits.
const U16: Kind = int(0, 65_535);

fn matches(known: &str, name: &str) -> bool {
    // Most differ there, and every line of a file is looked up.
    if known.as_bytes().first() != name.as_bytes().first() {
        return false;
    }
    let Some(start) = known.strip_suffix('*') else {
        return known == name;
    };
    name.strip_prefix(start).is_some_and(|ending| {
        (1..=100).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

/// Edits that turn `a` into `b`: insert, delete, replace, or swap two neighbours.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![0; width * (a.len() + 1)];
    for (column, cell) in rows.iter_mut().take(width).enumerate() {
        *cell = column;
    }
    for i in 1..=a.len() {
        rows[i * width] = i;
        for j in 1..=b.len() {
            let replaced = rows[(i - 1) * width + j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let shifted = 1 + rows[(i - 1) * width + j].min(rows[i * width + j - 1]);
            let mut best = replaced.min(shifted);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[(i - 2) * width + j - 2] + 1);
            }
            rows[i * width + j] = best;
        }
    }
    rows[a.len() * width + b.len()]
}
