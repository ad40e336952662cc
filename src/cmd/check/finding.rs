//! What a check found, and how it is told.

use crate::conf::{self, Config};
use crate::host::log::escaped;
use std::fmt;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// A start fails, or a listener refuses everybody.
    Error,
    /// It does not do what somebody probably meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// One line for the reader.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    weight: Weight,
    text: String,
}

/// All lines, each once.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// A finding at a place (`FILE:LINE`, or a file) about a directive.
    pub(super) fn add(
        &mut self,
        weight: Weight,
        place: &str,
        directive: &str,
        what: impl fmt::Display,
        mend: &str,
    ) {
        self.add_line(weight, &format!("{place}: {directive}: {what}"), mend);
    }

    /// A finding that says its place and directive itself.
    pub(super) fn add_line(&mut self, weight: Weight, text: &str, mend: &str) {
        let text = match mend {
            "" => text.to_string(),
            mend => format!("{text}; mend: {mend}"),
        };
        let finding = Finding { weight, text };
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// The mistake that ends the reading of a configuration.
    pub(super) fn of_configuration(&mut self, error: &conf::Error) {
        let text = error.to_string();
        let (what, command) = split_hint(&text);
        let line = match text.split_once(": expected ") {
            Some((what, expected)) => (what.to_string(), format!("write {expected}")),
            None => match text.split_once(": did you mean '") {
                Some((what, meant)) => {
                    let word = meant.split('\'').next().unwrap_or_default();
                    (what.to_string(), format!("write {word}"))
                }
                None if command.is_some() || error.line > 0 => {
                    let mend = command.unwrap_or("correct or remove the line");
                    (what.to_string(), mend.to_string())
                }
                None => (text.clone(), "name another file behind -c".to_string()),
            },
        };
        self.add_line(Weight::Error, &line.0, &line.1);
    }

    /// The same of a file that only root could read.
    pub(super) fn of_reload(&mut self, error: &conf::Error) {
        let text = error.to_string();
        let (what, command) = split_hint(&text);
        let what = what.replacen("cannot be read", "cannot be read again by a reload", 1);
        self.add_line(Weight::Warning, &what, command.unwrap_or_default());
    }

    pub(super) fn count(&self, weight: Weight) -> usize {
        let found = self.0.iter();
        found.filter(|finding| finding.weight == weight).count()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (weight, title) in [
            (Weight::Error, "Errors:"),
            (Weight::Warning, "Warnings:"),
            (Weight::Note, "Notes:"),
        ] {
            if self.count(weight) == 0 {
                continue;
            }
            writeln!(f, "{title}")?;
            for finding in self.0.iter().filter(|finding| finding.weight == weight) {
                // Filters and names are whatever stands in the files.
                writeln!(f, "{}", escaped(&finding.text))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The place of what no line says.
pub(super) fn main_file(config: &Config) -> String {
    match config.files.first() {
        Some(file) => file.display().to_string(),
        None => "default configuration".to_string(),
    }
}

/// What the system says of a file, and what mends it: our own messages end with a command.
pub(super) fn split_hint(what: &str) -> (&str, Option<&str>) {
    match what.split_once("for instance: ") {
        Some((what, command)) => (what.trim_end_matches([' ', ';', ',']), Some(command)),
        None => (what, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_file_talks_to_no_terminal() {
        let mut findings = Findings::default();
        findings.add(
            Weight::Note,
            "acl:1",
            "acl_file",
            "'a\x1b[2J\rb' is odd",
            "",
        );
        assert_eq!(
            findings.to_string(),
            "Notes:\nacl:1: acl_file: 'a\\u{1b}[2J\\rb' is odd\n\n"
        );
    }

    /// A file that cannot be read has no line that is wrong.
    #[test]
    fn what_mends_an_unreadable_configuration() {
        for (line, directive, what, said) in [
            (
                0,
                "",
                "cannot be read: denied (owner root); for instance: chown bob m.conf",
                "m.conf: cannot be read: denied (owner root); mend: chown bob m.conf",
            ),
            (
                3,
                "include_dir",
                "'d/x.conf' cannot be read: denied; for instance: chown bob d/x.conf",
                "m.conf:3: include_dir: 'd/x.conf' cannot be read: denied; mend: chown bob \
                 d/x.conf",
            ),
            (
                0,
                "",
                "cannot be read: gone",
                "m.conf: cannot be read: gone; mend: name another file behind -c",
            ),
            (
                3,
                "x",
                "is wrong",
                "m.conf:3: x: is wrong; mend: correct or remove the line",
            ),
        ] {
            let mut findings = Findings::default();
            findings.of_configuration(&conf::Error {
                file: "m.conf".into(),
                line,
                directive: directive.to_string(),
                what: what.to_string(),
            });
            assert_eq!(findings.0[0].text, said);
        }
    }
}
