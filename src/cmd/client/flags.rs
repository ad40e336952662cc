//! One table of flags: it drives the command line, the option files and the help.
//!
//! getopts cannot read Mosquitto's command lines: its clients know no bundled flags (`-dv`), no
//! attached values (`-p1883`, `--port=1883`), no end of flags (`--`), take a value that starts with
//! a dash (`-x -1`), and `-D` takes three words or four. So this walks over the words itself: each
//! is looked up in the table, and the entry says how many words follow and what they mean.

use std::path::PathBuf;

use super::Tool;
use super::set_tls;
use super::settings::Settings;
use super::table::FLAGS;
use crate::wire::Version;

/// One flag.
pub struct Flag {
    /// Its names: `-h` and `--host`, or one of the two.
    pub names: &'static [&'static str],
    /// What stands for its value in the help; empty for a switch.
    pub value: &'static str,
    /// The clients that know it.
    pub tools: &'static [Tool],
    /// What it does, in one sentence or a few.
    pub help: &'static str,
    pub(super) action: Action,
}

/// What reading a flag does.
pub(super) enum Action {
    Switch(fn(&mut Settings)),
    Value(fn(&mut Settings, &str) -> Result<(), String>),
    Property,
    Missing(&'static str),
    /// Known, and not supported for this reason.
    Refused(&'static str),
    /// Read before all others, see [`options_file`].
    OptionsFile,
    Help,
    Version,
}

/// What the command line asks for.
pub enum Asked {
    /// Do the work that the settings say.
    Run,
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Applies `words`, a command line without the program's name or a line of an option file.
pub fn apply(settings: &mut Settings, words: &[&str]) -> Result<Asked, String> {
    let mut at = 0;
    while let Some(&word) = words.get(at) {
        let flag = find(settings.tool, word).ok_or_else(|| unknown(settings.tool, word))?;
        let rest = &words[at + 1..];
        at += 1;
        if set_tls::is_flag(word) {
            settings.tls.flag.get_or_insert_with(|| word.to_owned());
        }
        match &flag.action {
            Action::Switch(set) => set(settings),
            Action::Property => {
                at += settings.properties.add(rest)?;
                settings.version = Version::V5;
            }
            Action::Help => return Ok(Asked::Help),
            Action::Version => return Ok(Asked::Version),
            Action::Missing(what) if flag.value.is_empty() => settings.missing = Some(what),
            action => {
                let &value = rest
                    .first()
                    .ok_or_else(|| format!("{word} needs a value: {}.", flag.value))?;
                at += 1;
                match action {
                    Action::Value(set) => {
                        set(settings, value).map_err(|what| what.replacen("{flag}", word, 1))?;
                    }
                    Action::Refused(why) => {
                        let refused = || format!("{word}: {why}.");
                        settings.tls.refused.get_or_insert_with(refused);
                    }
                    Action::Missing(what) => settings.missing = Some(what),
                    _ => {}
                }
            }
        }
    }
    Ok(Asked::Run)
}

/// The file named by `-o`, if the command line has that flag.
pub fn options_file(tool: Tool, words: &[&str]) -> Option<PathBuf> {
    let mut at = 0;
    while let Some(&word) = words.get(at) {
        // What is wrong with the line is told when it is applied.
        let flag = find(tool, word)?;
        at += match &flag.action {
            Action::OptionsFile => return words.get(at + 1).map(PathBuf::from),
            Action::Property if words.get(at + 2) == Some(&"user-property") => 5,
            Action::Property => 4,
            _ if flag.value.is_empty() => 1,
            _ => 2,
        };
    }
    None
}

/// The flags that a client knows, in the order of the help.
pub fn of(tool: Tool) -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(move |flag| flag.tools.contains(&tool))
}

fn find(tool: Tool, word: &str) -> Option<&'static Flag> {
    of(tool).find(|flag| flag.names.contains(&word))
}

fn unknown(tool: Tool, word: &str) -> String {
    let elsewhere = FLAGS.iter().find(|flag| flag.names.contains(&word));
    match elsewhere {
        Some(_) => format!(
            "Unknown option '{word}'. It is not an option of {}.",
            tool.name()
        ),
        None => format!("Unknown option '{word}'."),
    }
}

pub(super) const fn flag(
    names: &'static [&'static str],
    value: &'static str,
    tools: &'static [Tool],
    help: &'static str,
    action: Action,
) -> Flag {
    Flag {
        names,
        value,
        tools,
        help,
        action,
    }
}

pub(super) const fn switch(
    names: &'static [&'static str],
    tools: &'static [Tool],
    help: &'static str,
    set: fn(&mut Settings),
) -> Flag {
    flag(names, "", tools, help, Action::Switch(set))
}

pub(super) const fn value(
    names: &'static [&'static str],
    value: &'static str,
    tools: &'static [Tool],
    help: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), String>,
) -> Flag {
    flag(names, value, tools, help, Action::Value(set))
}
