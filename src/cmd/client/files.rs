//! From the arguments to settings: the option file first, then the command line over it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::flags::{self, Asked};
use super::settings::Settings;
use super::{Tool, exit, usage};

/// An option file larger than this is none.
const FILE_MAX: u64 = 1 << 20;

/// Reads everything that the user said; `Err` is the exit code when there is nothing to run.
///
/// `program` is what the user called us, for the words.
pub fn settings(tool: Tool, program: &str, args: &[OsString]) -> Result<Settings, u8> {
    let words: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
    let mut settings = Settings::new(tool);
    let read = read_file(&mut settings, &words)
        .and_then(|asked| match asked {
            Asked::Run => flags::apply(&mut settings, &words),
            other => Ok(other),
        })
        .and_then(|asked| {
            if matches!(asked, Asked::Run) {
                settings.complete()?;
            }
            Ok(asked)
        });
    match read {
        Ok(Asked::Run) => Ok(settings),
        Ok(Asked::Help) => {
            // A reader that has seen enough may close the pipe.
            let _ = io::stdout().write_all(usage::help(tool, program).as_bytes());
            Err(exit::USAGE)
        }
        Ok(Asked::Version) => {
            let _ = io::stdout().write_all(usage::version(program).as_bytes());
            Err(exit::SUCCESS)
        }
        Err(what) => {
            exit::complain(&format!(
                "Error: {what}\n\nUse '{program} --help' to see usage."
            ));
            Err(exit::USAGE)
        }
    }
}

/// Applies the option file: the one that `-o` names, or the user's own if there is one.
fn read_file(settings: &mut Settings, words: &[&OsStr]) -> Result<Asked, String> {
    let named = flags::options_file(settings.tool, words);
    let must_exist = named.is_some();
    let Some(path) = named.or_else(|| usual_place(settings.tool)) else {
        return Ok(Asked::Run);
    };
    let text = match read(&path) {
        Ok(text) => text,
        // Not there, or no file of this user's: HOME is not always that of the user.
        Err(error) if !must_exist && (path.metadata().is_err() || is_of_others(&error)) => {
            return Ok(Asked::Run);
        }
        Err(error) => {
            let what = exit::system_words(&error);
            return Err(format!("Unable to read {}: {what}.", path.display()));
        }
    };
    apply_text(settings, &text).map_err(|(line, what)| format!("{}:{line}: {what}", path.display()))
}

/// Applies the lines of an option file; an error comes with the number of its line.
pub(super) fn apply_text(settings: &mut Settings, text: &[u8]) -> Result<Asked, (usize, String)> {
    for (i, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if line.starts_with(b"#") {
            continue;
        }
        let line =
            std::str::from_utf8(line).map_err(|_| (i + 1, "The line is not UTF-8.".into()))?;
        let line = line.trim_start_matches(' ').trim_end_matches('\r');
        let Some((name, value)) = line
            .split_once(' ')
            .or((!line.is_empty()).then_some((line, "")))
        else {
            continue;
        };
        // The value is the rest of the line, blanks and all, but a property has several words.
        let words: Vec<&OsStr> = match name {
            "-D" | "--property" => {
                let words = line.split(' ').filter(|word| !word.is_empty());
                words.map(OsStr::new).collect()
            }
            _ if value.is_empty() => vec![name.as_ref()],
            _ => vec![name.as_ref(), value.as_ref()],
        };
        match flags::apply(settings, &words).map_err(|what| (i + 1, what))? {
            Asked::Run => {}
            other => return Ok(other),
        }
    }
    Ok(Asked::Run)
}

fn usual_place(tool: Tool) -> Option<PathBuf> {
    // An empty one names no place: what lies in the working directory is not the user's options.
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    let directory = match variable("XDG_CONFIG_HOME") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(&variable("HOME")?).join(".config"),
    };
    Some(directory.join(tool.file_name()))
}

/// Whether what has the name of the option file is none for this user.
fn is_of_others(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, PermissionDenied};
    matches!(error.kind(), IsADirectory | PermissionDenied)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_MAX).read_to_end(&mut text)?;
    Ok(text)
}
