//! `midge check`: what a start would find, without starting.
//!
//! Everything that a start reads is read, in its order and with its rights: the configuration, the
//! addresses, the files that are opened before root is left behind; then the check leaves root
//! behind as well and looks at what the running broker needs. Nothing is written or changed. What
//! is found is told line by line as `FILE:LINE: directive: what; mend: how`, worst first, and then
//! what each listener would be. Exit code 1 if a start would fail, or if a listener could not be
//! opened or would refuse everybody.

mod access;
#[cfg(feature = "tls")]
mod certificates;
mod files;
mod finding;
mod ports;
mod rules;

use crate::conf::{Config, Level};
use crate::host::access::Disk;
use crate::host::daemon;
use crate::host::log::{self as host_log, escaped};
use finding::{Findings, Weight};
use getopts::{Options, ParsingStyle};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const WRONG: u8 = 1;
const MISUSED: u8 = 3;

/// Runs the command and returns its exit code.
pub fn run(program: &str, args: &[String]) -> u8 {
    // What a start would log is found here in other ways.
    host_log::install();
    host_log::configure(&host_log::Settings {
        types: host_log::Types::NONE,
        ..host_log::Settings::default()
    });
    let config_file = match parse(program, args) {
        Ok(config_file) => config_file,
        Err(code) => return code,
    };
    let mut findings = Findings::default();
    let summary = check(config_file.as_deref(), &mut findings);
    let text = format!("{findings}{summary}{}\n", verdict(&findings));
    // Nobody may be reading: the exit code tells, too.
    let _ = io::stdout().write_all(text.as_bytes());
    match findings.count(Weight::Error) {
        0 => 0,
        _ => WRONG,
    }
}

fn parse(program: &str, args: &[String]) -> Result<Option<PathBuf>, u8> {
    let mut options = Options::new();
    options.parsing_style(ParsingStyle::StopAtFirstFree);
    options.optopt("c", "config-file", "check this configuration file", "FILE");
    options.optflag("h", "help", "show this text");
    let usage = || {
        options.usage(&format!(
            "Usage: {program} -c FILE\n\nReads everything as a start would, without starting, and \
             says what is wrong or odd and\nhow to mend it. Run it as the user who starts the \
             broker, mostly root.\nExit code 0: it would start, perhaps with warnings; 1: it would \
             not, or a listener\nwould serve nobody; 3: this command line is wrong."
        ))
    };
    let misused = |what: String| {
        let _ = writeln!(io::stderr(), "Error: {what}\n\n{}", usage());
        MISUSED
    };
    let matches = options
        .parse(args)
        .map_err(|fail| misused(format!("{fail}.")))?;
    if matches.opt_present("help") {
        let _ = write!(io::stdout(), "{}", usage());
        return Err(0);
    }
    match matches.free.first() {
        Some(word) => Err(misused(format!("Unknown option '{word}'."))),
        None => Ok(matches.opt_str("config-file").map(PathBuf::from)),
    }
}

/// Looks at everything; returns a line for each listener.
fn check(config_file: Option<&Path>, findings: &mut Findings) -> String {
    let config = match Config::load(config_file, &[], &Disk) {
        Ok(config) => config,
        Err(error) => {
            findings.of_configuration(&error);
            return String::new();
        }
    };
    for message in &config.messages {
        let weight = match message.level {
            Level::Warning if message.mend.is_empty() => Weight::Note,
            Level::Warning => Weight::Warning,
            Level::Notice | Level::Information => Weight::Note,
        };
        if !message.mend.is_empty() || message.level == Level::Warning {
            findings.add_line(weight, &message.text, message.mend);
        }
    }
    ports::check(&config, findings);
    let tables = access::check(&config, findings);
    #[cfg(feature = "tls")]
    certificates::check(&config, findings);
    rules::check(&config, &tables, findings);
    files::check_start(&config, findings);
    let was_root = nix::unistd::geteuid().is_root();
    become_user(&config, findings);
    if was_root && !nix::unistd::geteuid().is_root() {
        access::check_reload(&config, findings);
        if let Err(error) = Config::load(config_file, &[], &Disk) {
            findings.of_reload(&error);
        }
    }
    files::check(&config, findings);
    let mut summary = String::new();
    for listener in &config.listeners {
        let users = tables.users_of(listener);
        summary.push_str(&escaped(&super::broker::setup::describe(listener, users)));
        summary.push('\n');
    }
    summary
}

/// The check goes on as the user whom a start would become.
fn become_user(config: &Config, findings: &mut Findings) {
    let place = config.place_of("user");
    let place = place.unwrap_or_else(|| finding::main_file(config));
    if !nix::unistd::geteuid().is_root() {
        let name = daemon::Identity::current().name;
        findings.add(
            Weight::Note,
            &place,
            "user",
            format!("checked as user {name}, who may see less than root"),
            "check as the user who starts the broker",
        );
        return;
    }
    let is_there = daemon::is_user(&config.user);
    let mend = format!("adduser --system --group {}", config.user);
    if !is_there && config.place_of("user").is_none() {
        let what = format!("there is no user {}: nobody is taken", config.user);
        findings.add(Weight::Warning, &place, "user", what, &mend);
    }
    if let Err(error) = daemon::drop_privileges(&super::broker::user_settings(config)) {
        let what = error.to_string();
        let what = what.strip_prefix("user: ").unwrap_or(&what);
        findings.add(Weight::Error, &place, "user", what, &mend);
    }
}

fn verdict(findings: &Findings) -> String {
    let count = |weight, word: &str| match findings.count(weight) {
        0 => format!("no {word}s"),
        1 => format!("1 {word}"),
        many => format!("{many} {word}s"),
    };
    let (errors, warnings) = (
        count(Weight::Error, "error"),
        count(Weight::Warning, "warning"),
    );
    match findings.count(Weight::Error) {
        0 => format!("{errors}, {warnings}: midge would start."),
        _ => format!(
            "{errors}, {warnings}: midge would not start, or a listener would serve nobody."
        ),
    }
}
