//! `midge`: argument vector to command, command to exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // Arguments that are not UTF-8 can only be file names; they come out with replacements and are
    // told to be missing.
    let argv: Vec<String> = std::env::args_os()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    ExitCode::from(midge::cmd::run(&argv))
}
