//! What the clients say about themselves: `--help`, `--version`, the way to them.

use std::fmt::Write;

use super::{Tool, flags};

/// Columns of the help's text.
const WIDTH: usize = 80;
/// Where the explanations start.
const INDENT: usize = 8;

/// The help of a client, called `program`.
pub fn help(tool: Tool, program: &str) -> String {
    let mut out = format!("{program}: {}\n\n", purpose(tool));
    let (usage, more) = match tool {
        Tool::Publish => ("-t TOPIC", "{-m MESSAGE | -f FILE | -l | -n | -s}"),
        Tool::Subscribe => ("{-t FILTER | -U FILTER}...", ""),
        Tool::Request => (
            "-t TOPIC",
            "-e RESPONSE_TOPIC {-m MESSAGE | -f FILE | -n | -s}",
        ),
    };
    let more = [more, "[OPTION]..."].join(" ");
    let more = more.trim_start();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "Usage: {program} [-h HOST] [-p PORT] {usage}");
    let _ = writeln!(out, "           {more}");
    let _ = writeln!(out, "       {program} -L URL {more}\n");
    for flag in flags::of(tool) {
        let names = flag.names.join(", ");
        let _ = writeln!(out, "  {names} {}", flag.value);
        wrap(flag.help, &mut out);
    }
    if cfg!(not(feature = "tls")) {
        out.push_str("\nThis build has no TLS: the flags for it are refused.\n");
    }
    let file = tool.file_name();
    let _ = writeln!(
        out,
        "\nOptions are also read from $XDG_CONFIG_HOME/{file} or ~/.config/{file}: one on each\n\
         line, with its value behind it; lines that start with # are comments."
    );
    out.lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// The answer to `--version`.
pub fn version(program: &str) -> String {
    format!("{program} version {} (Midge)\n", env!("CARGO_PKG_VERSION"))
}

fn purpose(tool: Tool) -> &'static str {
    match tool {
        Tool::Publish => "publishes messages to an MQTT broker.",
        Tool::Subscribe => "subscribes to topics of an MQTT broker and prints the messages.",
        Tool::Request => "publishes a request, waits for the answer and prints it.",
    }
}

fn wrap(text: &str, out: &mut String) {
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.len() <= WIDTH {
            out.push(' ');
            column += 1;
        } else {
            if column > 0 {
                out.push('\n');
            }
            out.push_str(&" ".repeat(INDENT));
            column = INDENT;
        }
        out.push_str(word);
        column += word.len();
    }
    out.push('\n');
}
