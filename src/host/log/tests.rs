//! Each test has a logger of its own, with its own streams and clock; only `process` uses the
//! process's, in a child.

mod destinations;
mod lines;
mod process;

use std::sync::atomic::AtomicI64;

use log::{Level, Log as _, MetadataBuilder};

use super::*;

const NOW_S: i64 = 1_700_000_000;

fn now_s() -> i64 {
    NOW_S
}

/// A stream that the test can look into.
#[derive(Clone, Default)]
struct Stream(Arc<Mutex<Vec<u8>>>);

impl Stream {
    /// What was written since the last look.
    fn take(&self) -> String {
        let mut bytes = self.0.lock().expect("no panics while held");
        String::from_utf8(std::mem::take(&mut *bytes)).expect("lines are UTF-8")
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panics while held").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A logger with both standard streams caught.
struct Caught {
    logger: Logger,
    stderr: Stream,
    stdout: Stream,
}

impl Caught {
    fn new() -> Self {
        Self::with(None, now_s)
    }

    fn with(rust_log: Option<&str>, now_s: fn() -> i64) -> Self {
        let (stderr, stdout) = (Stream::default(), Stream::default());
        let sinks = Sinks::new(Box::new(stderr.clone()), Box::new(stdout.clone()), now_s);
        Self {
            logger: Logger::new(rust_log, sinks),
            stderr,
            stdout,
        }
    }

    fn configured(settings: &Settings) -> Self {
        let this = Self::new();
        this.logger.configure(settings);
        this
    }

    fn log(&self, level: Level, target: &str, text: &str) {
        let metadata = MetadataBuilder::new().level(level).target(target).build();
        self.logger.log(
            &Record::builder()
                .metadata(metadata)
                .args(format_args!("{text}"))
                .build(),
        );
    }

    fn info(&self, text: &str) {
        self.log(Level::Info, "midge", text);
    }

    fn error(&self, text: &str) {
        self.log(Level::Error, "midge", text);
    }

    fn drained(&self) -> Vec<(LogType, String)> {
        let mut lines = Vec::new();
        self.logger
            .drain_topic_lines(&mut |class, line| lines.push((class, line.to_owned())));
        lines
    }
}

/// Nothing but a log file, without time stamps.
fn to_file(path: &std::path::Path) -> Settings {
    Settings {
        stderr: false,
        file: Some(path.to_path_buf()),
        timestamp: Timestamp::None,
        ..Settings::default()
    }
}

/// A level and target for each class, as the rooms log.
const WAYS: [(LogType, Level, &str); 10] = [
    (LogType::Error, Level::Error, "midge::broker"),
    (LogType::Warning, Level::Warn, "midge::broker"),
    (LogType::Notice, Level::Info, "notice"),
    (LogType::Information, Level::Info, "midge::broker"),
    (LogType::Debug, Level::Debug, "midge::broker"),
    (LogType::Subscribe, Level::Info, "subscribe"),
    (LogType::Unsubscribe, Level::Info, "unsubscribe"),
    (LogType::Websockets, Level::Info, "websockets"),
    (LogType::Internal, Level::Trace, "midge::broker"),
    (LogType::Packets, Level::Info, "packets"),
];

#[test]
fn unconfigured_lines_go_to_stderr_in_the_usual_form() {
    let caught = Caught::new();
    caught.info("mosquitto version 2.0 starting");
    caught.log(Level::Debug, "midge", "detail");
    caught.log(Level::Info, "subscribe", "who");
    caught.error("Error: no");
    assert_eq!(
        caught.stderr.take(),
        "1700000000: mosquitto version 2.0 starting\n1700000000: Error: no\n"
    );
    assert_eq!(caught.stdout.take(), "");
}

#[test]
fn each_class_passes_when_it_is_on_and_only_then() {
    for (on, level, _) in WAYS {
        let caught = Caught::configured(&Settings {
            types: Types::NONE.with(on),
            timestamp: Timestamp::None,
            ..Settings::default()
        });
        for (class, level, target) in WAYS {
            caught.log(level, target, class.name());
        }
        assert_eq!(caught.stderr.take(), format!("{}\n", on.name()));
        assert_eq!(caught.logger.max_level(), level.to_level_filter());
    }
}

#[test]
fn all_and_none_mean_what_they_say() {
    for (types, count, level) in [
        (Types::ALL, 9, LevelFilter::Trace),
        (Types::default(), 4, LevelFilter::Info),
        (Types::NONE, 0, LevelFilter::Off),
    ] {
        let caught = Caught::configured(&Settings {
            types,
            ..Settings::default()
        });
        for (class, level, target) in WAYS {
            caught.log(level, target, class.name());
        }
        assert_eq!(caught.stderr.take().lines().count(), count);
        assert_eq!(caught.logger.max_level(), level);
    }
}

#[test]
fn classes_have_their_names_and_topics() {
    for (index, class) in LogType::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(class.byte()), index);
        assert_eq!(LogType::from_byte(class.byte()), class);
        assert_eq!(LogType::from_name(class.name()), Some(class));
        let silent = matches!(class, LogType::Debug | LogType::Internal | LogType::Packets);
        assert_eq!(class.topic().is_none(), silent);
    }
    assert_eq!(LogType::from_name("all"), None);
    assert_eq!(LogType::from_name("Error"), None);
}

#[test]
fn what_libraries_say_while_debugging_is_left_out() {
    let caught = Caught::configured(&Settings {
        types: Types::ALL,
        timestamp: Timestamp::None,
        ..Settings::default()
    });
    caught.log(Level::Trace, "mio::poll", "registering");
    caught.log(Level::Debug, "midgets", "not ours");
    caught.log(Level::Warn, "rustls", "a warning");
    assert_eq!(caught.stderr.take(), "a warning\n");
}

#[test]
fn rust_log_decides_alone() {
    let caught = Caught::with(Some("mio=trace,midge::broker=debug,notice=info"), now_s);
    caught.logger.configure(&Settings {
        types: Types::NONE.with(LogType::Error),
        timestamp: Timestamp::None,
        ..Settings::default()
    });
    assert_eq!(caught.logger.max_level(), LevelFilter::Trace);
    caught.log(Level::Trace, "mio::poll", "registering");
    caught.log(Level::Debug, "midge::broker", "detail");
    caught.log(Level::Trace, "midge::broker", "more detail");
    caught.log(Level::Info, "notice", "came");
    caught.log(Level::Error, "midge::host", "not asked for");
    assert_eq!(caught.stderr.take(), "registering\ndetail\ncame\n");

    let caught = Caught::with(Some(" "), now_s);
    caught.info("an empty RUST_LOG is none");
    assert_eq!(
        caught.stderr.take(),
        "1700000000: an empty RUST_LOG is none\n"
    );
}

#[test]
fn everything_can_change_while_running() {
    let caught = Caught::new();
    caught.logger.configure(&Settings {
        types: Types::ALL,
        stderr: false,
        stdout: true,
        timestamp: Timestamp::None,
        ..Settings::default()
    });
    caught.log(Level::Debug, "midge", "to stdout");
    caught.logger.configure(&Settings::default());
    caught.log(Level::Debug, "midge", "off again");
    caught.info("to stderr");
    caught.logger.configure(&Settings {
        stderr: false,
        ..Settings::default()
    });
    caught.error("log_dest none: to nowhere");
    assert_eq!(caught.stdout.take(), "to stdout\n");
    assert_eq!(caught.stderr.take(), "1700000000: to stderr\n");
}
