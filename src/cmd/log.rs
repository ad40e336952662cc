//! `midge log`: looks into the journal that a broker keeps in its folder, and saves what it can of
//! a damaged one.
//!
//! The format is that of [`store::journal`](crate::store::journal). Everything but `--salvage` only
//! reads and takes no lock, so it works beside a running broker: a segment that vanishes meanwhile
//! was cleaned, and what seems damaged is read again, since it may just have been written. The
//! parts: this file has the flags, `files` finds and reads the segments, `walk` finds the records
//! in one, `verify`, `list`, `stats` and `salvage` do what their flags say, `replay` works out for
//! `stats` what is live, `text` makes strings of strangers safe to print.
//!
//! Bounds: one segment is in memory at a time (two while it is read again); `--stats` also keeps a
//! few numbers for each message, and so does `--salvage`.

mod files;
mod list;
mod replay;
mod salvage;
mod stats;
mod text;
mod verify;
mod walk;

use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use getopts::Options;

use files::Log;

/// Runs the command and returns its exit code: 0 when nothing is damaged, else 1.
///
/// `program` is how the user called it, for the usage text; `args` is what followed. What was found
/// goes to stdout, errors and warnings to stderr. A reader that closes stdout early ends the run.
pub fn run(program: &str, args: &[String]) -> u8 {
    let order = match Order::parse(args) {
        Ok(order) => order,
        Err(Misuse::Help) => {
            // Who does not read the help does not want it.
            let _ = write!(io::stdout(), "{}", usage(program));
            return 0;
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
    let mut out = BufWriter::new(io::stdout().lock());
    let done = order.carry_out(&mut out).and_then(|verdict| {
        out.flush()?;
        Ok(verdict)
    });
    match done {
        Ok(Verdict::Fine) => 0,
        Ok(Verdict::Damaged) => 1,
        Err(Failure::Error(what)) => {
            // What was found so far comes first.
            let _ = out.flush();
            eprintln!("Error: {what}");
            1
        }
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(Failure::Output(error)) => {
            eprintln!("Error: cannot write the standard output: {error}");
            1
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    task: Task,
    /// Folders and files.
    sources: Vec<PathBuf>,
    salt: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Task {
    Verify,
    List,
    Stats,
    Salvage(PathBuf),
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

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Damaged,
}

/// Why the run ended early.
#[derive(Debug)]
enum Failure {
    Error(String),
    /// Writing what was found.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Failure {
        Failure::Error(what)
    }
}

impl Verdict {
    fn damaged_if(is_damaged: bool) -> Verdict {
        match is_damaged {
            true => Verdict::Damaged,
            false => Verdict::Fine,
        }
    }
}

impl Order {
    fn parse(args: &[String]) -> Result<Order, Misuse> {
        let matches = options()
            .parse(args)
            .map_err(|fail| Misuse::Usage(fail.to_string()))?;
        if matches.opt_present("h") {
            return Err(Misuse::Help);
        }
        let tasks = ["verify", "list", "stats", "salvage"];
        let given: Vec<&str> = (tasks.into_iter())
            .filter(|task| matches.opt_present(task))
            .collect();
        if let [one, other, ..] = given[..] {
            return Err(Misuse::Wrong(format!(
                "--{one} and --{other} cannot be used together."
            )));
        }
        let task = match given.first() {
            None | Some(&"verify") => Task::Verify,
            Some(&"list") => Task::List,
            Some(&"stats") => Task::Stats,
            Some(_) => Task::Salvage(matches.opt_str("salvage").unwrap_or_default().into()),
        };
        let salt = match matches.opt_str("salt") {
            None => None,
            Some(hex) => Some(parse_salt(&hex).ok_or_else(|| {
                Misuse::Wrong(format!("--salt wants up to 16 hex digits, not '{hex}'."))
            })?),
        };
        if matches.free.is_empty() {
            return Err(Misuse::Usage("the folder of the log is missing".into()));
        }
        Ok(Order {
            task,
            sources: matches.free.into_iter().map(PathBuf::from).collect(),
            salt,
        })
    }

    fn carry_out(&self, out: &mut dyn io::Write) -> Result<Verdict, Failure> {
        // A broker that cleaned meanwhile would have taken away what was found here.
        let _locks = match self.task {
            Task::Salvage(_) => salvage::keep_brokers_out(&self.sources)?,
            _ => Vec::new(),
        };
        let log = Log::find(&self.sources, self.salt)?;
        for warning in &log.warnings {
            eprintln!("Warning: {warning}");
        }
        match &self.task {
            Task::Verify => verify::verify(&log, out),
            Task::List => list::list(&log, out),
            Task::Stats => stats::stats(&log, out),
            Task::Salvage(to) => salvage::salvage(&log, to, out),
        }
    }
}

fn parse_salt(hex: &str) -> Option<u64> {
    let digits = hex.strip_prefix("0x").unwrap_or(hex);
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

fn options() -> Options {
    let mut options = Options::new();
    options
        .optflag("", "verify", "check every record")
        .optflag("", "list", "print every record")
        .optflag("", "stats", "say what is live and whose it is")
        .optopt("", "salvage", "save what can be read", "TO")
        .optopt("", "salt", "the salt of the log", "HEX")
        .optflag("h", "help", "show this text");
    options
}

fn usage(program: &str) -> String {
    format!(
        "{program} looks into the log in which a broker keeps sessions and messages.

Usage: {program} [--verify | --list | --stats] [--salt HEX] DIR
       {program} --salvage TO [--salt HEX] DIR

DIR is the persistence_location of a broker, which may be running, or NAME.journal in it, if its
persistence_file has a NAME of its own. Files may be given instead, also such as a broker kept aside
because of damage: 00000012.log.bad.

 --verify      check every record (the default): a line for each segment, with what is damaged
               where, and a summary
 --list        print every record in a line: segment:offset, length, kind, content
 --stats       live bytes and garbage; for each session its bytes (of messages that it is still
               to get or that are held), messages queued, in flight and held, and subscriptions
 --salvage TO  write every record that can be read, also behind damage, into a fresh log in the
               folder TO, which must be empty or missing; no broker may be running in DIR, which
               is not changed
 --salt HEX    the log's salt, without which no record can be believed; needed only when the
               headers of all segments are damaged. --verify prints it: a log that is fine may
               tell it beforehand
 --help        show this text

A torn tail, at the end of the newest segment only, is what a kill or a power cut left of records
that were promised to nobody: no damage.

Exit code: 0 when nothing is damaged, 1 when something is or cannot be read. --salvage: 0 when TO
has everything that could be read, also if something was lost, else 1.
"
    )
}

#[cfg(test)]
mod tests;
