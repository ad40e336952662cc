//! One table of flags: it drives the command line, the option files and the help.
//!
//! getopts cannot read Mosquitto's command lines: its clients know no bundled flags (`-dv`), no
//! attached values (`-p1883`, `--port=1883`), no end of flags (`--`), take a value that starts with
//! a dash (`-x -1`), and `-D` takes three words or four. So this walks over the words itself: each
//! is looked up in the table, and the entry says how many words follow and what they mean.

use std::ffi::OsStr;
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
    /// A value of any bytes.
    Bytes(fn(&mut Settings, &OsStr)),
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
pub fn apply(settings: &mut Settings, words: &[&OsStr]) -> Result<Asked, String> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let word = &*word.to_string_lossy();
        let flag = find(settings.tool, word).ok_or_else(|| unknown(settings.tool, word))?;
        let rest = &words[at + 1..];
        at += 1;
        if set_tls::is_flag(word) {
            settings.tls.flag.get_or_insert_with(|| word.to_owned());
        }
        match &flag.action {
            Action::Switch(set) => set(settings),
            Action::Property => {
                let rest = rest.iter().take(4).map(|value| text(word, value));
                let rest: Vec<&str> = rest.collect::<Result<_, _>>()?;
                at += settings.properties.add(&rest)?;
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
                    Action::Bytes(set) => set(settings, value),
                    Action::Value(set) => {
                        let value = text(word, value)?;
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
pub fn options_file(tool: Tool, words: &[&OsStr]) -> Option<PathBuf> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        // What is wrong with the line is told when it is applied.
        let flag = find(tool, &word.to_string_lossy())?;
        at += match &flag.action {
            Action::OptionsFile => return words.get(at + 1).map(PathBuf::from),
            Action::Property if words.get(at + 2) == Some(&OsStr::new("user-property")) => 5,
            Action::Property => 4,
            _ if flag.value.is_empty() => 1,
            _ => 2,
        };
    }
    None
}

fn text<'a>(flag: &str, value: &'a OsStr) -> Result<&'a str, String> {
    let text = value.to_str();
    text.ok_or_else(|| format!("Malformed UTF-8 in {flag} argument."))
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

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::super::settings::Input;
    use super::*;

    #[test]
    fn a_payload_and_a_password_may_be_any_bytes() {
        let bytes = OsStr::from_bytes(b"\xff\xa0\x01");
        let apply = |flags: &[&str]| {
            let mut settings = Settings::new(Tool::Publish);
            for flag in flags {
                let asked = super::apply(&mut settings, &[flag.as_ref(), bytes])?;
                assert!(matches!(asked, Asked::Run));
            }
            Ok::<_, String>(settings)
        };
        let settings = apply(&["-m", "-P", "--will-payload"]).unwrap();
        assert_eq!(settings.input, Some(Input::Message(b"\xff\xa0\x01".into())));
        assert_eq!(settings.password.as_deref(), Some(bytes.as_bytes()));
        assert_eq!(settings.will_payload.as_deref(), Some(bytes.as_bytes()));
        let settings = apply(&["-f"]).unwrap();
        assert_eq!(settings.input, Some(Input::File(bytes.into())));
        for flag in ["-t", "-u", "-i", "--will-topic"] {
            let error = apply(&[flag]).unwrap_err();
            assert_eq!(error, format!("Malformed UTF-8 in {flag} argument."));
        }
        let words = ["-D", "publish", "content-type"].map(OsStr::new);
        let mut settings = Settings::new(Tool::Publish);
        let asked = super::apply(&mut settings, &[&words[..], &[bytes]].concat());
        assert_eq!(asked.err().unwrap(), "Malformed UTF-8 in -D argument.");
    }

    #[test]
    fn an_empty_client_id_keeps_no_session() {
        for version in ["311", "5"] {
            let mut settings = Settings::new(Tool::Subscribe);
            let words = ["-t", "a", "-c", "-i", "", "-V", version].map(OsStr::new);
            assert!(apply(&mut settings, &words).is_ok());
            let error = settings.complete().unwrap_err();
            assert!(error.contains("client id"), "{error}");
        }
    }

    #[test]
    fn what_connect_cannot_carry_is_refused() {
        for (flag, most) in [("-i", 65535), ("-I", 65525), ("-u", 65535), ("-P", 65535)] {
            for len in [most, most + 1] {
                let mut settings = Settings::new(Tool::Subscribe);
                let value = "x".repeat(len);
                let words = ["-t", "a", "-u", "me", flag, &value].map(OsStr::new);
                assert!(apply(&mut settings, &words).is_ok());
                assert_eq!(settings.complete().is_ok(), len == most, "{flag}");
            }
        }
    }
}
