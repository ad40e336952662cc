//! The README's drop-in table, made from the table of directives.

use std::fmt::Write;

use super::table::{CHAPTERS, Directive, Kind, Reload, Status, about};
use super::value::expectation;

/// The drop-in table as Markdown: a heading and a table for each chapter, ending in a line end.
pub fn drop_in_table() -> String {
    let mut out = String::new();
    for (index, chapter) in CHAPTERS.iter().enumerate() {
        let gap = if index == 0 { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{gap}### {}\n", chapter.title);
        out.push_str("| directive | values | default | in Midge | on SIGHUP | what it does |\n");
        out.push_str("|---|---|---|---|---|---|\n");
        for directive in chapter.directives {
            row(&mut out, directive);
        }
    }
    out
}

fn row(out: &mut String, directive: &Directive) {
    let names: Vec<String> = directive.names().map(|name| format!("`{name}`")).collect();
    let default = match directive.default {
        "" => String::new(),
        text => format!("`{text}`"),
    };
    let _ = writeln!(
        out,
        "| {} | {} | {default} | {} | {} | {} |",
        names.join(", "),
        values(directive.kind),
        status(directive),
        reload(directive),
        about(directive),
    );
}

fn values(kind: Kind) -> String {
    match kind {
        Kind::Text { max } if max < 65_535 => format!("a text of at most {max} bytes"),
        Kind::TextList => "a text, repeatable".to_owned(),
        Kind::LogDest | Kind::LogType => format!("{}, repeatable", expectation(kind)),
        _ => expectation(kind),
    }
}

fn status(directive: &Directive) -> String {
    match directive.status {
        Status::Implemented => "yes".to_owned(),
        Status::Deprecated(better) => format!("yes, with a notice: {better}"),
        Status::Harmless(why) => format!("accepted without effect: {why}"),
        Status::Later(missing) => format!("read only: {missing}"),
        Status::DefaultOnly(reason) => format!("only `{}`: {reason}", directive.default),
        Status::Refused(reason) => format!("refused: {reason}"),
    }
}

fn reload(directive: &Directive) -> &'static str {
    match (directive.status, directive.reload) {
        (Status::Refused(_) | Status::Harmless(_) | Status::DefaultOnly(_), _) => "",
        (_, Reload::Live) => "taken over",
        (_, Reload::Restart) => "needs a restart",
    }
}
