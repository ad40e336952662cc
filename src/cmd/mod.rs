//! Commands: flags, and the glue of one command each.

pub mod broker;
pub mod check;
pub mod client;
pub mod explain;
pub mod log;
pub mod passwd;
pub mod publish;
pub mod request;
pub mod subscribe;

use std::ffi::OsString;

/// How Mosquitto's programs are called, and which of our commands they are.
const LINK_NAMES: [(&str, &str); 5] = [
    ("mosquitto", "broker"),
    ("mosquitto_pub", "pub"),
    ("mosquitto_sub", "sub"),
    ("mosquitto_rr", "rr"),
    ("mosquitto_passwd", "passwd"),
];

/// Runs the command that the arguments name, and returns the exit code.
///
/// `midge pub ...` is a command; so is a link to the program with the name of one of Mosquitto's.
/// Everything else is the broker.
pub fn run(argv: &[OsString]) -> u8 {
    let called = argv
        .first()
        .map_or("midge".into(), |arg| arg.to_string_lossy());
    let name = called.rsplit('/').next().unwrap_or(&called);
    let linked = LINK_NAMES
        .iter()
        .find(|(link, _)| *link == name)
        .map(|(_, command)| *command);
    let args = argv.get(1..).unwrap_or_default();
    if let Some(command) = linked {
        return run_command(command, name, args);
    }
    match args.split_first().map(|(word, rest)| (word.to_str(), rest)) {
        Some((Some(command), rest)) if is_command(command) => {
            run_command(command, &format!("midge {command}"), rest)
        }
        _ => run_command("broker", "midge", args),
    }
}

fn is_command(word: &str) -> bool {
    // Mosquitto has no such programs.
    matches!(word, "check" | "explain" | "log")
        || LINK_NAMES
            .iter()
            .any(|(_, command)| *command == word && word != "broker")
}

fn run_command(command: &str, program: &str, args: &[OsString]) -> u8 {
    // What is not UTF-8 can only be a file name, except for clients and passwords; it comes out
    // with replacements and is told to be missing.
    let texts = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    let texts: Vec<String> = texts.collect();
    match command {
        "check" => check::run(program, &texts),
        "explain" => explain::run(program, &texts),
        "log" => log::run(program, &texts),
        "passwd" => passwd::run(program, args),
        "pub" => publish::run(program, args),
        "sub" => subscribe::run(program, args),
        "rr" => request::run(program, args),
        _ => broker::run(program, &texts),
    }
}
