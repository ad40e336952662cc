//! `-d`: what the client machine logs becomes lines on standard output.

use std::io::{self, Write};

struct Trace;

/// Turns tracing on, once for the process.
pub fn start() {
    static TRACE: Trace = Trace;
    // Only a second logger is an error, and the first one is as good.
    if log::set_logger(&TRACE).is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
}

/// What comes from the broker may hold control characters: they do nothing to the terminal.
pub fn harmless(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

impl log::Log for Trace {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("midge::client")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = harmless(&record.args().to_string());
            let _ = writeln!(io::stdout(), "{line}");
        }
    }

    fn flush(&self) {}
}
