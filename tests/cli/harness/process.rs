//! A child process under guard: its output is read as it comes, every wait has a limit, and it is
//! gone when the guard is.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, Once};
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT};
use signal_hook::flag;

use super::read_some;
use crate::wait::{self, LIMIT};

/// The bytes so far, and whether that is all.
type Written = (Vec<u8>, bool);

/// What a child has written to one of its two outputs so far.
#[derive(Clone, Default)]
pub struct Output(Arc<(Mutex<Written>, Condvar)>);

impl Output {
    fn follow(mut pipe: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let writer = output.clone();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                let n = read_some(&mut pipe, &mut chunk).unwrap_or(0);
                let (state, changed) = &*writer.0;
                let mut state = state.lock().unwrap();
                state.0.extend_from_slice(&chunk[..n]);
                state.1 = n == 0;
                changed.notify_all();
                if n == 0 {
                    return;
                }
            }
        });
        output
    }

    /// Waits until `look` finds something in the bytes; it is told whether more can come.
    fn wait<T>(&self, mut look: impl FnMut(&[u8], bool) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + LIMIT;
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        loop {
            if let Some(found) = look(&state.0, state.1) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.1 || left.is_zero() {
                return None;
            }
            state = changed.wait_timeout(state, left).unwrap().0;
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().unwrap().0.clone()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

/// A finished child.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; 128 + the signal's number when one killed it.
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Both outputs: some programs tell their errors on one, some on the other.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        self.with(0)
    }

    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code of a child: {self:?}");
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.all().contains(text), "no {text:?} in {self:?}");
        self
    }
}

/// `nohup` ignores SIGHUP, a shell SIGINT for what runs in the background, and children inherit
/// that; what a process catches is as at first in its children. Both go on ending the tests.
fn let_signals_through() {
    static CAUGHT: Once = Once::new();
    CAUGHT.call_once(|| {
        for signal in [SIGHUP, SIGINT] {
            let at_once = Arc::new(AtomicBool::new(true));
            flag::register_conditional_default(signal, at_once).unwrap();
        }
    });
}

pub struct Process {
    name: String,
    child: Child,
    pub out: Output,
    pub err: Output,
    read: usize,
    /// How long its end may take.
    pub patience: Duration,
}

impl Process {
    /// Starts it with all three standard streams piped.
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_with_stdin(command, Stdio::piped())
    }

    pub fn spawn_with_stdin(command: &mut Command, stdin: Stdio) -> Self {
        let name = format!("{command:?}");
        let_signals_through();
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let out = Output::follow(child.stdout.take().unwrap());
        let err = Output::follow(child.stderr.take().unwrap());
        Self {
            name,
            child,
            out,
            err,
            read: 0,
            patience: LIMIT,
        }
    }

    /// Runs it to its end, with nothing on its standard input.
    pub fn run(command: &mut Command) -> Ended {
        Self::run_with(command, b"")
    }

    /// Runs it to its end, with `input` on its standard input.
    pub fn run_with(command: &mut Command, input: &[u8]) -> Ended {
        let mut process = Self::spawn(command);
        process.feed(input);
        process.finish()
    }

    /// Writes to its standard input and leaves it open.
    pub fn write(&mut self, input: &[u8]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(input).unwrap();
        stdin.flush().unwrap();
    }

    /// Writes to its standard input and closes it. A child that has gone early does not mind.
    pub fn feed(&mut self, input: &[u8]) {
        let _ = self.child.stdin.take().unwrap().write_all(input);
    }

    /// The next line of its standard output.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let from = self.read;
        let end = self.out.wait(|bytes, _| {
            let end = bytes[from..].iter().position(|b| *b == b'\n')?;
            Some(from + end)
        });
        let Some(end) = end else {
            panic!("no further line came: {self}");
        };
        self.read = end + 1;
        String::from_utf8_lossy(&self.out.bytes()[from..end]).into_owned()
    }

    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        let got = self.line();
        assert_eq!(got, line, "next line of {}", self.name);
    }

    #[track_caller]
    pub fn expect_all<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        for line in lines {
            self.expect(line);
        }
    }

    /// Waits until its standard error holds `text`.
    #[track_caller]
    pub fn err_has(&self, text: &str) {
        let found = self
            .err
            .wait(|bytes, _| String::from_utf8_lossy(bytes).contains(text).then_some(()));
        assert!(found.is_some(), "no {text:?} on standard error: {self}");
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// A signal by number, for the real-time ones that `Signal` does not know.
    pub fn signal_number(&self, number: i32) {
        let pid = self.pid().to_string();
        let sent = Process::run(Command::new("kill").args([format!("-{number}"), pid]));
        assert_eq!(sent.code, 0, "{sent:?}");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// True when it waits for something.
    pub fn is_asleep(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit(") ").next().unwrap().starts_with('S')
    }

    /// Waits for its end and for the end of its output.
    #[track_caller]
    pub fn finish(mut self) -> Ended {
        self.ended()
    }

    /// As `finish`, and the guard stays.
    #[track_caller]
    pub fn ended(&mut self) -> Ended {
        drop(self.child.stdin.take());
        let start = Instant::now();
        let status = wait::until_within(self.patience * 2, "a child's end", || {
            let status = self.child.try_wait().unwrap();
            assert!(
                status.is_some() || start.elapsed() < self.patience,
                "still running: {self}"
            );
            status
        });
        for output in [&self.out, &self.err] {
            output.wait(|_, ended| ended.then_some(()));
        }
        Ended {
            code: code_of(status),
            out: self.out.text(),
            err: self.err.text(),
        }
    }

    #[track_caller]
    pub fn stop(self, signal: Signal) -> Ended {
        self.signal(signal);
        self.finish()
    }
}

fn code_of(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        writeln!(f, "--- its standard output:\n{}", self.out.text())?;
        writeln!(f, "--- its standard error:\n{}", self.err.text())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let running = self.is_running();
        if running {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() && running {
            eprintln!("{self}");
        }
    }
}
