//! Asks for a password, without echo when a person types it.
//!
//! When stdin is a terminal its echo is turned off and put back by all ways out: a returned
//! answer, an error, and the signals that end the process (Ctrl-C among them). When it is a pipe
//! or a file, the password is the first line and must be the second one as well.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::auth::STRING_MAX;

/// Asks for a new password and once more for the same. `Err` is a message for people.
///
/// Prompts go to stdout as Mosquitto's do, or to stderr where stdout is for the result.
pub(super) fn ask_twice(stdout_is_taken: bool) -> Result<Vec<u8>, String> {
    let stdin = io::stdin();
    let quiet = if stdin.is_terminal() {
        let quiet = Quiet::start().map_err(|error| format!("cannot turn off the echo: {error}"))?;
        Some(quiet)
    } else {
        None
    };
    let answer = if stdout_is_taken {
        ask(&mut stdin.lock(), &mut io::stderr())
    } else {
        ask(&mut stdin.lock(), &mut io::stdout())
    };
    drop(quiet);
    answer
}

fn ask(input: &mut dyn BufRead, output: &mut dyn Write) -> Result<Vec<u8>, String> {
    let first = ask_once("Password: ", input, output)?;
    super::check_password(&first)?;
    let second = ask_once("Reenter password: ", input, output)?;
    if first != second {
        return Err("Passwords do not match.".to_owned());
    }
    Ok(first)
}

/// One line without its end.
fn ask_once(
    prompt: &str,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<Vec<u8>, String> {
    // A closed stdout must not keep a script from setting a password: prompts are best effort.
    let _ = write!(output, "{prompt}").and_then(|()| output.flush());
    let mut line = Vec::new();
    // Two more for the line's end, one more to see that it is too long.
    let most = STRING_MAX as u64 + 3;
    let read = input.take(most).read_until(b'\n', &mut line);
    // The newline that was typed was not echoed.
    let _ = writeln!(output).and_then(|()| output.flush());
    read.map_err(|error| format!("cannot read the password: {error}"))?;
    while line.last().is_some_and(|byte| b"\r\n".contains(byte)) {
        line.pop();
    }
    Ok(line)
}

/// The terminal without echo, until this is dropped.
struct Quiet {
    before: Arc<Mutex<Option<Termios>>>,
}

impl Quiet {
    fn start() -> io::Result<Quiet> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        let before = Arc::new(Mutex::new(Some(before)));
        // First the way back, then the way in.
        let shared = Arc::clone(&before);
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
        std::thread::Builder::new().spawn(move || {
            // Lives until the process ends: a handler that is gone would ignore the signal.
            for signal in signals.forever() {
                restore(&mut lock(&shared));
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        })?;
        let guard = Quiet { before };
        termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet)?;
        Ok(guard)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        restore(&mut lock(&self.before));
    }
}

fn restore(before: &mut Option<Termios>) {
    if let Some(before) = before.take() {
        // Nothing is left to do when this fails: the terminal is gone.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &before);
    }
}

/// No code panics while it holds the lock, and if it did the terminal should be restored still.
fn lock(before: &Mutex<Option<Termios>>) -> MutexGuard<'_, Option<Termios>> {
    before.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(input: &[u8]) -> (Result<Vec<u8>, String>, String) {
        let mut shown = Vec::new();
        let answer = ask(&mut &*input, &mut shown);
        (answer, String::from_utf8(shown).expect("prompts are UTF-8"))
    }

    #[test]
    fn two_equal_lines_are_a_password() {
        for input in [
            &b"p w \npw"[..],
            b"",
            b"\n\n",
            b"pw\n",
            b"pw",
            b"pw\nPw\n",
            b"pw\npw \n",
        ] {
            assert!(answer(input).0.is_err(), "{input:?}");
        }
        let (password, shown) = answer(b"p w \np w \n");
        assert_eq!(password.as_deref(), Ok(&b"p w "[..]));
        assert_eq!(shown, "Password: \nReenter password: \n");
        assert_eq!(answer(b"pw\r\npw").0.as_deref(), Ok(&b"pw"[..]));
        assert_eq!(
            answer(b"\xff\0x\n\xff\0x\n").0.as_deref(),
            Ok(&b"\xff\0x"[..])
        );
    }

    #[test]
    fn faults_are_told() {
        let error = |input: &[u8]| answer(input).0.expect_err("no password");
        assert_eq!(error(b"\n\n"), "Empty password.");
        assert_eq!(error(b"a\nb\n"), "Passwords do not match.");
        let long = [vec![b'x'; STRING_MAX + 1], vec![b'\n']].concat().repeat(2);
        assert!(error(&long).starts_with("the password is longer than 65535"));
        let longest = [vec![b'x'; STRING_MAX], vec![b'\r', b'\n']].concat();
        assert_eq!(answer(&longest.repeat(2)).0, Ok(vec![b'x'; STRING_MAX]));
        // Endless input ends.
        let endless = &mut io::BufReader::new(io::repeat(b'x'));
        assert!(ask(endless, &mut io::sink()).is_err());
    }
}
