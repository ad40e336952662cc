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

impl log::Log for Trace {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("midge::client")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            // What comes from the broker may hold control characters: they stay harmless.
            let line: String = format!("{}", record.args())
                .chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .collect();
            let _ = writeln!(io::stdout(), "{line}");
        }
    }

    fn flush(&self) {}
}
