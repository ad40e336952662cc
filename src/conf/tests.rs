//! The room's tests: what they share.

mod errors;
mod fixtures;
mod fuzz;
mod listeners;
mod persistence;
mod plugins;
mod reload;
mod table;
mod values;

use super::{Config, Error, Level, Texts};

const FILE: &str = "m.conf";

/// Loads `text` as the file `m.conf`.
fn load(text: impl Into<Vec<u8>>) -> Result<Config, Error> {
    load_from(&Texts::default().with(FILE, text))
}

/// Loads `m.conf` out of several files.
fn load_from(files: &Texts) -> Result<Config, Error> {
    Config::load(Some(FILE.as_ref()), &[], files)
}

/// Loads a text that has to be good.
#[track_caller]
fn good(text: &str) -> Config {
    load(text).unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

/// The error of a text that has to be bad.
#[track_caller]
fn bad(text: impl Into<Vec<u8>>) -> String {
    load(text)
        .expect_err("the text should be refused")
        .to_string()
}

/// The warnings of a configuration.
fn warnings(config: &Config) -> Vec<&str> {
    texts(config, Level::Warning)
}

/// The notices of a configuration.
fn notices(config: &Config) -> Vec<&str> {
    texts(config, Level::Notice)
}

fn texts(config: &Config, level: Level) -> Vec<&str> {
    let messages = config.messages.iter();
    messages
        .filter(|message| message.level == level)
        .map(|message| message.text.as_str())
        .collect()
}
