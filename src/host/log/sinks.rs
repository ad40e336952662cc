//! All destinations of a line, behind the logger's one lock.

use std::io::{self, Write};
use std::path::Path;
use std::thread::{self, ThreadId};

use super::file::LogFile;
use super::line::{Line, Stamp, Timestamp};
use super::syslog::SyslogSink;
use super::topic::Batch;
use super::{LogType, Settings};
use crate::host::clock;

/// The destinations that are on, and what they need to make a line.
pub(super) struct Sinks {
    line: Line,
    stamp: Stamp,
    to_stderr: bool,
    to_stdout: bool,
    to_topic: bool,
    stderr: Box<dyn Write + Send>,
    stdout: Box<dyn Write + Send>,
    syslog: Option<SyslogSink>,
    file: Option<LogFile>,
    /// Lines for the next drain.
    waiting: Batch,
    /// The other batch, empty: the two change hands at each drain.
    spare: Batch,
    /// The thread that publishes lines right now, whose own lines are not to be published.
    draining: Option<ThreadId>,
    /// Seconds since 1970.
    now_s: fn() -> i64,
}

impl Default for Sinks {
    fn default() -> Self {
        Self::new(
            Box::new(io::stderr()),
            Box::new(io::stdout()),
            clock::wall_s,
        )
    }
}

impl Sinks {
    /// Lines go to `stderr` until [`configure`](Self::configure) says otherwise.
    pub(super) fn new(
        stderr: Box<dyn Write + Send>,
        stdout: Box<dyn Write + Send>,
        now_s: fn() -> i64,
    ) -> Self {
        Self {
            line: Line::default(),
            stamp: Stamp::new(Timestamp::default(), ": "),
            to_stderr: true,
            to_stdout: false,
            to_topic: false,
            stderr,
            stdout,
            syslog: None,
            file: None,
            waiting: Batch::default(),
            spare: Batch::default(),
            draining: None,
            now_s,
        }
    }

    pub(super) fn configure(&mut self, settings: &Settings) {
        self.stamp = Stamp::new(settings.timestamp.clone(), ": ");
        // Opened as a file these would be a second, refusable way to what we already have.
        let stream = |name: &str| settings.file.as_deref() == Some(Path::new(name));
        let (file_is_err, file_is_out) = (stream("/dev/stderr"), stream("/dev/stdout"));
        self.to_stderr = settings.stderr || file_is_err;
        self.to_stdout = settings.stdout || file_is_out;
        self.to_topic = settings.topic;
        if !self.to_topic {
            self.waiting.clear();
        }
        match &settings.syslog {
            None => self.syslog = None,
            Some(new) if self.syslog.as_ref().map(SyslogSink::settings) == Some(new) => {}
            Some(new) => self.syslog = Some(SyslogSink::new(new.clone())),
        }
        let path = settings.file.as_deref();
        self.set_file(path.filter(|_| !file_is_err && !file_is_out));
        if let Some(file) = &mut self.file {
            file.limit(settings.file_bytes_max);
        }
    }

    pub(super) fn reopen(&mut self) {
        let now_s = (self.now_s)();
        let Some(file) = &mut self.file else {
            return;
        };
        let Err(error) = file.reopen(now_s) else {
            return;
        };
        let path = file.path().display();
        let text = if file.is_open() {
            format!("Unable to reopen log file {path}: {error}. The old one stays in use.")
        } else {
            unopenable(file.path(), &error)
        };
        self.write(LogType::Error, &text);
    }

    pub(super) fn add_stderr(&mut self) {
        self.to_stderr = true;
    }

    /// Writes a line to all destinations, whatever its class.
    pub(super) fn write(&mut self, class: LogType, message: &str) {
        let lost = self.dispatch(class, message);
        if lost > 0 {
            let text = format!("{lost} log lines were lost because they could not be written.");
            self.dispatch(LogType::Warning, &text);
        }
    }

    pub(super) fn has_topic_lines(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Gives the lines that wait; until [`end_drain`](Self::end_drain), this thread adds none.
    pub(super) fn begin_drain(&mut self) -> Batch {
        self.draining = Some(thread::current().id());
        let spare = std::mem::take(&mut self.spare);
        std::mem::replace(&mut self.waiting, spare)
    }

    /// Takes the batch back for its memory.
    pub(super) fn end_drain(&mut self, mut batch: Batch) {
        batch.clear();
        self.spare = batch;
        self.draining = None;
    }

    fn set_file(&mut self, path: Option<&Path>) {
        let Some(path) = path else {
            self.file = None;
            return;
        };
        if self.file.as_ref().is_some_and(|file| file.path() == path) {
            return;
        }
        let (file, opened) = LogFile::new(path, (self.now_s)());
        self.file = Some(file);
        if let Err(error) = opened {
            self.write(LogType::Error, &unopenable(path, &error));
        }
    }

    /// Writes one line and gives the number of lines that some destination lost before it.
    fn dispatch(&mut self, class: LogType, message: &str) -> u64 {
        let now_s = (self.now_s)();
        self.line.set(self.stamp.at(now_s), message);
        if self.to_topic && self.draining.is_none_or(|by| by != thread::current().id()) {
            self.waiting.push(class, self.line.text());
        }
        let mut lost = 0;
        if let Some(syslog) = &mut self.syslog {
            if syslog.write(class, self.line.text(), now_s).is_ok() {
                lost = syslog.recovered();
            }
        }
        let line = self.line.ended();
        let mut unwritten = false;
        if let Some(file) = &mut self.file {
            match file.write(line, now_s) {
                Ok(()) => lost = lost.max(file.recovered()),
                Err(_) => unwritten = true,
            }
        }
        // There is no place left to complain about the standard streams.
        if self.to_stdout {
            let _ = self.stdout.write_all(line.as_bytes());
        }
        if self.to_stderr || (unwritten && class == LogType::Error) {
            let _ = self.stderr.write_all(line.as_bytes());
        }
        lost
    }
}

fn unopenable(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    format!(
        "Unable to open log file {path} for writing: {error}. \
         Errors go to stderr until it can be opened."
    )
}
