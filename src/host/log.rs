//! Where log lines go: Mosquitto's `log_dest`, `log_type` and `log_timestamp` behind the `log`
//! crate.
//!
//! Every room says what it has to say through the `log` macros; each line belongs to one of
//! Mosquitto's classes ([`LogType`]), told by its level and, for informational lines, its target. A
//! class that is off costs one look at an atomic: `log::max_level` follows the classes.
//!
//! `env_logger` sits in the middle. It owns the filter, which lets everything through and leaves
//! the choice to the classes, unless `RUST_LOG` is set: then that decides alone, for debugging. And
//! it owns the buffer of each thread in which a line is put together, so that a line costs no
//! allocation. What leaves it goes through one lock into the sinks: the time stamp, the escapes,
//! the cut at 1000 bytes, and every destination.
//!
//! There is one logger for the life of the process, as the `log` crate wants it, but everything
//! about it may change while it runs: SIGHUP brings new [`Settings`], SIGRTMIN [`reopen`]s the
//! file. Before the first [`configure`] errors, warnings, notices and information go to standard
//! error.
//!
//! Bounds: one line of at most 1000 bytes; 64 KiB of lines waiting for `$SYS/broker/log`. Nothing
//! here waits, except for a standard stream that the other end does not read.

mod file;
mod line;
mod sinks;
mod syslog;
mod topic;
mod types;

#[cfg(test)]
mod tests;

use std::env;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use env_logger::Target;
use log::{Level, LevelFilter, Log, Metadata, Record};

use sinks::Sinks;

pub use line::{LINE_BYTES_MAX, Timestamp, escaped};
pub use syslog::{Facility, Syslog};
pub use types::{LogType, Types};

/// Which lines are written, where, and with which time in front.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The classes that are on (`log_type`).
    pub types: Types,
    /// `log_dest stderr`.
    pub stderr: bool,
    /// `log_dest stdout`.
    pub stdout: bool,
    /// `log_dest topic`: lines wait for [`drain_topic_lines`].
    pub topic: bool,
    /// `log_dest syslog`.
    pub syslog: Option<Syslog>,
    /// `log_dest file PATH`.
    pub file: Option<PathBuf>,
    /// When the file has grown beyond this many bytes it becomes `PATH.1`, in place of a former
    /// one, and a new one begins; 0 lets it grow.
    pub file_bytes_max: u64,
    /// What stands in front of each line (`log_timestamp`, `log_timestamp_format`).
    pub timestamp: Timestamp,
}

impl Default for Settings {
    /// Mosquitto's: errors, warnings, notices and information, to standard error.
    fn default() -> Self {
        Self {
            types: Types::default(),
            stderr: true,
            stdout: false,
            topic: false,
            syslog: None,
            file: None,
            file_bytes_max: 0,
            timestamp: Timestamp::default(),
        }
    }
}

/// Makes this the process's logger, with the default [`Settings`]; `RUST_LOG` is read here.
///
/// To be called first in `main`. Further calls do nothing.
pub fn install() {
    global();
}

/// Changes classes, destinations and time stamps, now and whenever the configuration changes.
///
/// A log file is opened here, so privileges should have been dropped before. One that cannot be
/// opened gives way to standard error, for errors only, until it can be; an error line says so. The
/// file of a former call stays open if the path is the same: to reopen it is [`reopen`]'s affair.
pub fn configure(settings: &Settings) {
    let logger = global();
    logger.configure(settings);
    log::set_max_level(logger.max_level());
}

/// Closes the log file and opens it by its name again, after a log rotation has moved it away.
///
/// If that fails, an error line says so and the old file stays in use.
pub fn reopen() {
    global().reopen();
}

/// From now on lines go to standard error as well.
pub fn add_stderr() {
    global().shared.with_sinks(Sinks::add_stderr);
}

/// Hands over the lines for `$SYS/broker/log/...` that have come up since the last call.
///
/// Lines that this thread logs meanwhile go to the other destinations only: publishing a log line
/// can never lead to the next one. When nothing waits it costs a look at an atomic.
pub fn drain_topic_lines(publish: &mut impl FnMut(LogType, &str)) {
    global().drain_topic_lines(publish);
}

fn global() -> &'static Logger {
    static LOGGER: OnceLock<Logger> = OnceLock::new();
    let mut first = false;
    let logger = LOGGER.get_or_init(|| {
        first = true;
        Logger::new(env::var("RUST_LOG").ok().as_deref(), Sinks::default())
    });
    // An error means that the process has another logger, as a test of something else may.
    if first && log::set_logger(logger).is_ok() {
        log::set_max_level(logger.max_level());
    }
    logger
}

/// The logger itself: the classes in front, `env_logger` in the middle, the sinks behind.
struct Logger {
    shared: Arc<Shared>,
    env: env_logger::Logger,
    /// `RUST_LOG` is set: its filter decides, not the classes.
    overridden: bool,
}

/// What the two ends of the logger share.
struct Shared {
    /// The bits of the classes that are on.
    types: AtomicU16,
    /// There may be lines for the topic destination.
    topic_waiting: AtomicBool,
    sinks: Mutex<Sinks>,
}

impl Logger {
    fn new(rust_log: Option<&str>, sinks: Sinks) -> Self {
        let shared = Arc::new(Shared {
            types: AtomicU16::new(Types::default().bits()),
            topic_waiting: AtomicBool::new(false),
            sinks: Mutex::new(sinks),
        });
        let rust_log = rust_log.filter(|directives| !directives.trim().is_empty());
        let mut builder = env_logger::Builder::new();
        match rust_log {
            Some(directives) => builder.parse_filters(directives),
            None => builder.filter_level(LevelFilter::Trace),
        };
        let env = builder
            .format(frame)
            .target(Target::Pipe(Box::new(Pipe(Arc::clone(&shared)))))
            .build();
        Self {
            shared,
            env,
            overridden: rust_log.is_some(),
        }
    }

    fn configure(&self, settings: &Settings) {
        self.shared
            .types
            .store(settings.types.bits(), Ordering::Relaxed);
        self.shared.with_sinks(|sinks| sinks.configure(settings));
    }

    fn reopen(&self) {
        self.shared.with_sinks(Sinks::reopen);
    }

    fn drain_topic_lines(&self, publish: &mut impl FnMut(LogType, &str)) {
        if !self.shared.topic_waiting.swap(false, Ordering::Relaxed) {
            return;
        }
        let batch = self.shared.lock().begin_drain();
        batch.each(publish);
        self.shared.lock().end_drain(batch);
    }

    fn types(&self) -> Types {
        Types::from_bits(self.shared.types.load(Ordering::Relaxed))
    }

    /// The level beyond which no line can be wanted.
    fn max_level(&self) -> LevelFilter {
        if self.overridden {
            return self.env.filter();
        }
        self.types().max_level()
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if self.overridden {
            return self.env.enabled(metadata);
        }
        if metadata.level() >= Level::Debug && !is_ours(metadata.target()) {
            // What libraries tell while debugging helps nobody who turned on Mosquitto's classes.
            return false;
        }
        self.types().contains(LogType::of(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.env.log(record);
        }
    }

    fn flush(&self) {}
}

impl Shared {
    /// The lock; a thread that panicked while it held it left at worst half a line.
    fn lock(&self) -> MutexGuard<'_, Sinks> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_sinks(&self, act: impl FnOnce(&mut Sinks)) {
        let mut sinks = self.lock();
        act(&mut sinks);
        let waiting = sinks.has_topic_lines();
        drop(sinks);
        if waiting {
            self.topic_waiting.store(true, Ordering::Relaxed);
        }
    }
}

/// Where `env_logger` writes finished records to, each in one call: see [`frame`].
struct Pipe(Arc<Shared>);

impl Write for Pipe {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        if let [class, message @ ..] = record {
            let class = LogType::from_byte(*class);
            // Formatted text always is UTF-8; were it not, the good part would do.
            let message = match std::str::from_utf8(message) {
                Ok(message) => message,
                Err(error) => {
                    std::str::from_utf8(&message[..error.valid_up_to()]).unwrap_or_default()
                }
            };
            self.0.with_sinks(|sinks| sinks.write(class, message));
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lays a record out for [`Pipe`]: one byte for its class, then the message as it is.
///
/// No more of the message than can end up in a line: a topic of 64 KiB would stay with this
/// thread's buffer for good.
fn frame(buffer: &mut env_logger::fmt::Formatter, record: &Record<'_>) -> io::Result<()> {
    buffer.write_all(&[LogType::of(record.metadata()).byte()])?;
    let mut start = Start {
        buffer,
        // A character that does not fit is left out whole: the line must still be too long then.
        room: LINE_BYTES_MAX + char::MAX.len_utf8(),
    };
    // An error means that the room is used up, and then the rest is not wanted.
    let _ = fmt::write(&mut start, *record.args());
    Ok(())
}

/// Takes the start of a text and ends the formatting when it has enough.
struct Start<'a> {
    buffer: &'a mut env_logger::fmt::Formatter,
    room: usize,
}

impl fmt::Write for Start<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let part = line::prefix(text, self.room);
        self.buffer
            .write_all(part.as_bytes())
            .map_err(|_| fmt::Error)?;
        self.room -= part.len();
        if part.len() < text.len() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

fn is_ours(target: &str) -> bool {
    target == "midge" || target.starts_with("midge::") || LogType::of_target(target).is_some()
}
