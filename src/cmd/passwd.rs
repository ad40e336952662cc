//! `midge passwd`, also called `mosquitto_passwd`: makes and changes password files.
//!
//! The flags are Mosquitto's, and so are the files: either broker reads what either tool writes
//! (Argon2id needs Mosquitto 2.1). Where Mosquitto's tool can damage a file, this one does not:
//! comments and blank lines are kept, a line that cannot be understood ends the run before
//! anything is written, `-U` leaves alone what is hashed already, and the file is replaced in one
//! step. The parts: this file has the flags, `edit` turns one text into another, `replace` puts
//! a text in the place of a file, `prompt` asks for the password.

mod edit;
mod prompt;
mod replace;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use getopts::{Options, ParsingStyle};

use crate::auth::hash::{Kind, ROUNDS_DEFAULT, Refusal, Secret};
use crate::auth::{STRING_MAX, check_username};
use replace::Target;

/// Runs the command and returns its exit code: 0 when all was done, else 1.
///
/// `program` is how the user called it, for the usage text (`midge passwd`, `mosquitto_passwd`);
/// `args` is what followed. Messages go to stderr, prompts and `-c -` to stdout.
pub fn run(program: &str, args: &[OsString]) -> u8 {
    let args: Option<Vec<String>> = args.iter().map(|arg| Some(arg.to_str()?.into())).collect();
    let Some(args) = args else {
        eprintln!("Error: an argument is not UTF-8; without -b a password may be any bytes.");
        return 1;
    };
    let order = match Order::parse(&args) {
        Ok(order) => order,
        Err(Misuse::Help) => {
            // 1, as Mosquitto's tools answer --help.
            let _ = write!(std::io::stdout(), "{}", usage(program));
            return 1;
        }
        Err(Misuse::Wrong(what)) => {
            eprintln!("Error: {what}");
            return 1;
        }
        Err(Misuse::Usage(what)) => {
            eprintln!("Error: {what}\n\n{}", usage(program));
            return 1;
        }
    };
    match order.carry_out(&mut random_salt) {
        Ok(warnings) => {
            for warning in warnings {
                eprintln!("Warning: {warning}");
            }
            0
        }
        Err(Failure::Error(what)) => {
            eprintln!("Error: {what}");
            1
        }
        Err(Failure::Warning(what)) => {
            eprintln!("Warning: {what}");
            1
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    file: String,
    /// How new passwords are hashed.
    kind: Kind,
    task: Task,
    /// Flags that are accepted but do nothing here.
    warnings: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Task {
    Set {
        user: String,
        /// From the command line; asked for when it is not there.
        password: Option<String>,
        create: bool,
    },
    Delete {
        user: String,
    },
    HashAll,
}

/// Why there is nothing to carry out.
#[derive(Debug, PartialEq, Eq)]
enum Misuse {
    Help,
    /// A wrong value, said in one line.
    Wrong(String),
    /// The shape is wrong: the usage follows.
    Usage(String),
}

/// Why the file is as it was before (or, with `Error`, what went wrong at the very end).
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Error(String),
    Warning(String),
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Failure::Error(what)
    }
}

impl From<edit::Corrupt> for Failure {
    fn from(corrupt: edit::Corrupt) -> Self {
        Failure::Error(corrupt.to_string())
    }
}

impl Order {
    fn parse(args: &[String]) -> Result<Order, Misuse> {
        let matches = options()
            .parse(args)
            .map_err(|fail| Misuse::Usage(fail.to_string()))?;
        let flag = |name| matches.opt_present(name);
        if flag("h") {
            return Err(Misuse::Help);
        }
        for (one, other) in [("c", "D"), ("c", "U"), ("D", "U"), ("b", "D"), ("b", "U")] {
            if flag(one) && flag(other) {
                return Err(Misuse::Wrong(format!(
                    "-{one} and -{other} cannot be used together."
                )));
            }
        }
        let mut warnings = Vec::new();
        let kind = parse_kind(
            matches.opt_str("H").as_deref(),
            matches.opt_str("I"),
            &mut warnings,
        )?;

        let mut free = matches.free.iter().cloned();
        let Some(file) = free.next() else {
            return Err(Misuse::Usage("the password file is missing".into()));
        };
        let mut user = || free.next().ok_or(missing("the user name is missing"));
        let task = if flag("U") {
            Task::HashAll
        } else if flag("D") {
            Task::Delete { user: user()? }
        } else {
            Task::Set {
                user: user()?,
                password: if flag("b") {
                    Some(free.next().ok_or(missing("the password is missing"))?)
                } else {
                    None
                },
                create: flag("c"),
            }
        };
        if let Some(more) = free.next() {
            return Err(Misuse::Usage(format!("'{more}' is one argument too many")));
        }
        let order = Order {
            file,
            kind,
            task,
            warnings,
        };
        order.check()?;
        Ok(order)
    }

    /// What can be refused before anything is asked or opened.
    fn check(&self) -> Result<(), Misuse> {
        let wrong = |what: &str| Err(Misuse::Wrong(what.to_owned()));
        let creates = matches!(self.task, Task::Set { create: true, .. });
        if self.file == "-" && !creates {
            return wrong("'-' stands for the standard output and needs -c.");
        }
        let (Task::Set { user, .. } | Task::Delete { user }) = &self.task else {
            return Ok(());
        };
        if let Err(what) = check_username(user) {
            return wrong(&format!("{what}."));
        }
        if user.starts_with(['#', '\u{feff}']) {
            return wrong("a user name that starts with '#' would be a comment in the file.");
        }
        if user.trim_ascii() != user {
            return wrong("blanks around a user name would be lost in the file.");
        }
        match &self.task {
            Task::Set {
                password: Some(password),
                ..
            } => check_password(password.as_bytes()).map_err(Misuse::Wrong),
            _ => Ok(()),
        }
    }

    fn carry_out(self, salt: &mut Salt<'_>) -> Result<Vec<String>, Failure> {
        let mut warnings = self.warnings;
        match self.task {
            Task::Set {
                user,
                password,
                create,
            } => {
                if !create {
                    // Before anybody types a password in vain.
                    let is_missing = Path::new(&self.file).try_exists().is_ok_and(|is| !is);
                    Target::open(&self.file).map_err(|what| match is_missing {
                        true => format!("{what}; -c makes a new one"),
                        false => what,
                    })?;
                }
                let password = match password {
                    Some(password) => password.into_bytes(),
                    None => prompt::ask_twice(self.file == "-")?,
                };
                let secret = hash(self.kind, &password, salt)?;
                let removed = set(&self.file, &user, &secret, create)?;
                if removed > 0 {
                    warnings.push(format!(
                        "later lines of user {user} were taken out: {removed}."
                    ));
                }
            }
            Task::Delete { user } => {
                let target = Target::open(&self.file)?;
                let Some(text) = edit::delete(target.text(), &user)? else {
                    return Err(Failure::Warning(format!(
                        "User {user} not found in password file."
                    )));
                };
                target.replace(&text)?;
            }
            Task::HashAll => {
                let target = Target::open(&self.file)?;
                let hashed = edit::hash_all(target.text(), &mut |password| {
                    check_password(password)?;
                    hash(self.kind, password, salt)
                })?;
                if hashed.kept > 0 {
                    warnings.push(format!(
                        "hashed already, therefore unchanged: {} passwords.",
                        hashed.kept
                    ));
                }
                if hashed.changed > 0 {
                    target.replace(&hashed.text)?;
                }
            }
        }
        Ok(warnings)
    }
}

/// Fills its argument with random bytes.
type Salt<'a> = dyn FnMut(&mut [u8]) -> Result<(), String> + 'a;

fn random_salt(salt: &mut [u8]) -> Result<(), String> {
    getrandom::fill(salt).map_err(|error| format!("no random numbers from the system: {error}"))
}

fn hash(kind: Kind, password: &[u8], random: &mut Salt<'_>) -> Result<String, String> {
    let mut salt = vec![0; kind.salt_len()];
    random(&mut salt)?;
    match Secret::create(kind, password, &salt) {
        Ok(secret) => Ok(secret.to_string()),
        Err(refusal) => Err(format!("{refusal}.")),
    }
}

/// Puts one line into the file; returns how many other lines of the same user had to go.
fn set(file: &str, user: &str, secret: &str, create: bool) -> Result<usize, Failure> {
    let line = format!("{user}:{secret}\n");
    if create && file == "-" {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        return match written {
            Ok(()) => Ok(0),
            Err(error) => Err(Failure::Error(format!(
                "cannot write the standard output: {error}"
            ))),
        };
    }
    if create {
        Target::create(file)?.replace(line.as_bytes())?;
        return Ok(0);
    }
    let target = Target::open(file)?;
    let (text, removed) = edit::set(target.text(), user, secret)?;
    target.replace(&text)?;
    Ok(removed)
}

fn check_password(password: &[u8]) -> Result<(), String> {
    if password.is_empty() {
        return Err("Empty password.".to_owned());
    }
    if password.len() > STRING_MAX {
        return Err(format!(
            "the password is longer than {STRING_MAX} bytes, which MQTT cannot carry."
        ));
    }
    Ok(())
}

fn missing(what: &str) -> Misuse {
    Misuse::Usage(what.to_owned())
}

fn parse_kind(
    name: Option<&str>,
    iterations: Option<String>,
    warnings: &mut Vec<String>,
) -> Result<Kind, Misuse> {
    let iterations = match iterations {
        None => None,
        Some(text) => Some(text.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(|| {
            Misuse::Wrong(format!(
                "-I wants a number of iterations > 0, not '{text}'."
            ))
        })?),
    };
    let kind = match (name, Kind::ARGON2ID) {
        (None | Some("sha512-pbkdf2"), _) => Kind::Pbkdf2 {
            rounds: iterations.unwrap_or(ROUNDS_DEFAULT),
        },
        (Some("sha512"), _) => {
            if iterations.is_some() {
                warnings.push("-I does nothing with -H sha512.".to_owned());
            }
            Kind::Sha512
        }
        (
            Some("argon2id"),
            Kind::Argon2id {
                memory_kib,
                passes,
                lanes,
            },
        ) => Kind::Argon2id {
            memory_kib,
            passes: iterations.unwrap_or(passes),
            lanes,
        },
        (Some(other), _) => {
            return Err(Misuse::Wrong(format!(
                "Unknown hash type '{other}', expected sha512-pbkdf2, sha512 or argon2id."
            )));
        }
    };
    match kind.check() {
        Ok(()) => Ok(kind),
        Err(Refusal::Bad(what)) => Err(Misuse::Wrong(format!("-I: {what}."))),
        Err(Refusal::NotHashed) => unreachable!("said of texts only"),
    }
}

fn options() -> Options {
    let mut options = Options::new();
    // A password may start with '-': flags end where the file name is.
    options.parsing_style(ParsingStyle::StopAtFirstFree);
    options
        .optflag("b", "", "take the password from the command line")
        .optflag("c", "", "create the file, or overwrite it")
        .optflag("D", "", "delete the user")
        .optflag("U", "", "hash the passwords of a plain text file")
        .optopt("H", "", "how to hash", "NAME")
        .optopt("I", "", "iterations", "N")
        .optflag("h", "help", "show this text");
    options
}

fn usage(program: &str) -> String {
    format!(
        "{program} makes and changes password files for Midge and Mosquitto.

Usage: {program} [-H HASH] [-I N] [-c | -D] FILE USER
       {program} [-H HASH] [-I N] [-c] -b FILE USER PASSWORD
       {program} [-H HASH] [-I N] -U FILE

Sets the password of USER in FILE, which it asks for twice; from a pipe it reads two lines.

 -b       take the PASSWORD from the command line, where others on this machine may see it
 -c       make a new FILE with this user only, overwriting an old one; with '-' as the FILE
          write to the standard output
 -D       delete USER
 -U       hash every password of a FILE in plain text; those that are hashed already stay
 -H HASH  sha512-pbkdf2 (the default, read by Mosquitto 2.0 and later), argon2id (Mosquitto
          2.1 and later; takes 46 MiB of memory at each sign-in) or sha512 (Mosquitto 1.x, weak)
 -I N     iterations: {ROUNDS_DEFAULT} for sha512-pbkdf2, 1 for argon2id; more make guessing and
          each sign-in slower
 --help   show this text

Exit code: 0 when all was done, else 1 (as for this text).
"
    )
}

#[cfg(test)]
mod tests;
