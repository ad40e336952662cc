//! `midge rr`: publishes a request, waits for the first answer and prints it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::client::drive::{self, Script, complain};
use super::client::output::Printer;
use super::client::settings::{Input, Settings};
use super::client::{Tool, exit, files};
use super::publish::{give_up, message, payload, warn_if_failed};
use super::subscribe::options;
use crate::client::{Client, Event};
use crate::wire::{ReasonCode, SubscribeFilter};

/// Runs the command and returns its exit code; `program` is what the user called it.
pub fn run(program: &str, args: &[OsString]) -> u8 {
    let settings = match files::settings(Tool::Request, program, args) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    debug_assert_ne!(settings.input, Some(Input::Lines), "-l is not a flag of rr");
    let payload = match payload(&settings) {
        Ok(payload) => payload,
        Err(what) => {
            complain(&settings, &what);
            return exit::USAGE;
        }
    };
    let Ok(printer) = Printer::new(&settings) else {
        return exit::SUCCESS;
    };
    let mut script = Requester {
        settings: &settings,
        payload,
        printer,
        step: Step::Subscribe,
        published_at: None,
        latency: None,
    };
    let code = drive::run(&settings, &mut script);
    if let Some(latency) = script.latency {
        report(latency);
    }
    code
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Subscribe,
    AwaitSubAck,
    Publish,
    AwaitAnswer,
    Finish,
}

struct Requester<'a> {
    settings: &'a Settings,
    payload: Vec<u8>,
    printer: Printer<'a>,
    step: Step,
    published_at: Option<Instant>,
    latency: Option<Duration>,
}

impl Script for Requester<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Subscribed(ack) => match ack.codes.first() {
                Some(code) if *code >= 0x80 => {
                    complain(self.settings, &denial(ReasonCode(*code)));
                    self.step = Step::Finish;
                }
                _ => self.step = Step::Publish,
            },
            Event::Published {
                packet_id,
                reason,
                reason_string,
            } => warn_if_failed(self.settings, *packet_id, *reason, *reason_string),
            Event::Message(message) if self.step != Step::Finish => {
                if message.retain && self.settings.skip_retained {
                    return;
                }
                self.latency = self
                    .published_at
                    .filter(|_| self.settings.latency)
                    .map(|at| at.elapsed());
                // Who does not read the answer does not want it.
                let _ = self.printer.print(message);
                self.step = Step::Finish;
            }
            _ => {}
        }
    }

    fn act(&mut self, client: &mut Client, _now_ms: u64) -> Result<(), u8> {
        if !client.is_open() {
            return Ok(());
        }
        let properties = &self.settings.properties;
        match self.step {
            Step::Subscribe => {
                let filter = SubscribeFilter {
                    // `Settings::complete` has seen to it that there is one.
                    filter: self.settings.response_topic.as_deref().unwrap_or(""),
                    options: options(self.settings),
                };
                client
                    .subscribe(&[filter], &properties.subscribe)
                    .map_err(|error| give_up(self.settings, error))?;
                self.step = Step::AwaitSubAck;
            }
            Step::Publish => {
                client
                    .publish(&message(self.settings, &self.payload))
                    .map_err(|error| give_up(self.settings, error))?;
                self.published_at = Some(Instant::now());
                self.step = Step::AwaitAnswer;
            }
            Step::Finish => client.finish(ReasonCode::SUCCESS, &properties.disconnect),
            Step::AwaitSubAck | Step::AwaitAnswer => {}
        }
        Ok(())
    }

    fn reconnects(&self) -> bool {
        false
    }
}

fn denial(reason: ReasonCode) -> String {
    format!(
        "The subscription to the response topic was denied: {}.",
        reason.words()
    )
}

/// Prints how long the answer took, in the unit that suits.
fn report(latency: Duration) {
    let (seconds, nanos) = (latency.as_secs(), latency.subsec_nanos());
    let words = match (seconds, nanos) {
        (1.., _) => format!("{seconds}.{nanos:09}"),
        (_, ..1_000) => format!("{nanos}ns"),
        (_, ..1_000_000) => format!("{}.{:03}000µs", nanos / 1_000, nanos % 1_000),
        _ => format!("{}.{:06}ms", nanos / 1_000_000, nanos % 1_000_000),
    };
    let _ = writeln!(io::stdout(), "Latency: {words}");
}
