//! `midge pub`: publishes a message, a file, or each line of standard input.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use mio::Waker;

use super::client::drive::{self, Script, complain};
use super::client::settings::{Input, Settings};
use super::client::{Tool, exit, files, trace};
use crate::client::{Client, Event, RequestError};
use crate::host::channel::{Got, Receiver, Sender, channel};
use crate::wire::{Properties, Publish, QoS, REMAINING_LENGTH_MAX, ReasonCode};

/// Lines that are read ahead.
const LINES_AHEAD: usize = 64;
/// Output that may wait before no more QoS 0 messages are added, in bytes.
const OUTPUT_MAX: usize = 1 << 16;

/// Runs the command and returns its exit code; `program` is what the user called it.
pub fn run(program: &str, args: &[OsString]) -> u8 {
    let settings = match files::settings(Tool::Publish, program, args) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let payload = match payload(&settings) {
        Ok(payload) => payload,
        Err(what) => {
            complain(&settings, &what);
            return exit::USAGE;
        }
    };
    let mut script = Publisher::new(&settings, payload);
    drive::run(&settings, &mut script)
}

/// The payload that the settings name; empty for `-n` and for `-l`, which has many. The error is
/// what to tell the user.
pub fn payload(settings: &Settings) -> Result<Vec<u8>, String> {
    match &settings.input {
        Some(Input::Message(payload)) => Ok(payload.clone()),
        Some(Input::File(path)) => read_file(path).map_err(|error| {
            let what = exit::system_words(&error);
            format!("Error: Unable to read file \"{}\": {what}.", path.display())
        }),
        Some(Input::Stdin) => {
            let payload = read_whole(io::stdin().lock()).map_err(|error| {
                let what = exit::system_words(&error);
                format!("Error: Unable to read standard input: {what}.")
            })?;
            if payload.is_empty() {
                return Err("Error: Zero length input.".into());
            }
            Ok(payload)
        }
        Some(Input::Null | Input::Lines) | None => Ok(Vec::new()),
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    read_whole(File::open(path)?)
}

fn read_whole(from: impl Read) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    from.take(REMAINING_LENGTH_MAX as u64 + 1)
        .read_to_end(&mut payload)?;
    if payload.len() > REMAINING_LENGTH_MAX {
        return Err(too_long());
    }
    Ok(payload)
}

fn too_long() -> io::Error {
    io::Error::other(format!(
        "no message is longer than {REMAINING_LENGTH_MAX} bytes"
    ))
}

/// Where the publisher is.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Something is to be published at this time (any, when it is 0).
    Publish { at_ms: u64 },
    /// A message of QoS 0 is in the output.
    Drain,
    /// A message of QoS 1 or 2 waits for its acknowledgement.
    Acknowledge,
    /// Everything was published.
    Finish,
}

struct Publisher<'a> {
    settings: &'a Settings,
    payload: Vec<u8>,
    step: Step,
    /// Messages published and acknowledged.
    published: u32,
    lines: Option<Receiver<io::Result<Vec<u8>>>>,
    /// A line that the window has no room for yet.
    held_line: Option<Vec<u8>>,
    waker: Option<Arc<Waker>>,
}

impl<'a> Publisher<'a> {
    fn new(settings: &'a Settings, payload: Vec<u8>) -> Publisher<'a> {
        Publisher {
            settings,
            payload,
            step: Step::Publish { at_ms: 0 },
            published: 0,
            lines: None,
            held_line: None,
            waker: None,
        }
    }

    fn is_lines(&self) -> bool {
        self.settings.input == Some(Input::Lines)
    }

    fn send(&self, client: &mut Client, payload: &[u8]) -> Result<u16, RequestError> {
        client.publish(&message(self.settings, payload))
    }

    fn act_once(&mut self, client: &mut Client, now_ms: u64) -> Result<(), u8> {
        if self.step == Step::Drain && client.transmit().is_empty() {
            self.count(now_ms);
        }
        // What is due goes now: nothing may come that calls us again.
        if matches!(self.step, Step::Publish { at_ms } if at_ms <= now_ms) {
            self.send(client, &self.payload)
                .map_err(|error| give_up(self.settings, error))?;
            self.step = match self.settings.qos {
                QoS::AtMostOnce => Step::Drain,
                _ => Step::Acknowledge,
            };
        }
        // The last message of QoS 0 need not have left before DISCONNECT follows it.
        let is_last = self.step == Step::Drain && self.published + 1 == self.settings.repeat;
        if self.step == Step::Finish || is_last {
            client.finish(ReasonCode::SUCCESS, &self.settings.properties.disconnect);
        }
        Ok(())
    }

    /// A message is out of our hands.
    fn count(&mut self, now_ms: u64) {
        self.published += 1;
        self.step = if self.published < self.settings.repeat {
            let delay_ms = self.settings.repeat_delay.as_millis() as u64;
            Step::Publish {
                at_ms: now_ms.saturating_add(delay_ms),
            }
        } else {
            Step::Finish
        };
    }

    fn act_lines(&mut self, client: &mut Client) -> Result<(), u8> {
        let waker = &self.waker;
        let lines = self.lines.get_or_insert_with(|| read_lines(waker.clone()));
        while client.transmit().len() < OUTPUT_MAX {
            if self.settings.qos > QoS::AtMostOnce && !client.has_room() {
                return Ok(());
            }
            let line = match self.held_line.take() {
                Some(line) => line,
                None => match lines.try_recv() {
                    Got::Item(Ok(line)) => line,
                    Got::Item(Err(error)) => {
                        let what = exit::system_words(&error);
                        complain(
                            self.settings,
                            &format!("Error: Unable to read standard input: {what}."),
                        );
                        return Err(exit::USAGE);
                    }
                    Got::Nothing => return Ok(()),
                    Got::Ended => {
                        let properties = &self.settings.properties.disconnect;
                        client.finish(ReasonCode::SUCCESS, properties);
                        return Ok(());
                    }
                },
            };
            match client.publish(&message(self.settings, &line)) {
                Ok(_) => {}
                Err(RequestError::Busy) => self.held_line = Some(line),
                Err(error) => return Err(give_up(self.settings, error)),
            }
        }
        Ok(())
    }
}

impl Script for Publisher<'_> {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Published {
            packet_id,
            reason,
            reason_string,
        } = event
        {
            warn_if_failed(self.settings, *packet_id, *reason, *reason_string);
            if !self.is_lines() {
                self.step = Step::Drain;
            }
        }
    }

    fn act(&mut self, client: &mut Client, now_ms: u64) -> Result<(), u8> {
        if !client.is_open() {
            return Ok(());
        }
        if self.is_lines() {
            return self.act_lines(client);
        }
        self.act_once(client, now_ms)
    }

    fn deadline_ms(&self) -> Option<u64> {
        match self.step {
            Step::Publish { at_ms } if at_ms > 0 => Some(at_ms),
            _ => None,
        }
    }

    fn reconnects(&self) -> bool {
        self.is_lines()
    }

    fn set_waker(&mut self, waker: Arc<Waker>) {
        self.waker = Some(waker);
    }
}

/// The message that the settings describe, with this payload.
pub fn message<'a>(settings: &'a Settings, payload: &'a [u8]) -> Publish<'a> {
    let properties = &settings.properties;
    Publish {
        qos: settings.qos,
        retain: settings.retain,
        topic: settings
            .topics
            .first()
            .map_or(b"", |topic| topic.as_bytes()),
        topic_alias: properties.topic_alias,
        expiry_s: properties.expiry_s,
        properties: Properties::from_encoded(&properties.publish),
        payload,
        ..Publish::default()
    }
}

/// Tells that a request was not taken, and with which code to end.
pub fn give_up(settings: &Settings, error: RequestError) -> u8 {
    let (code, what) = exit::request(error);
    complain(settings, &format!("Error: {what}"));
    code
}

/// Warns about a message that the broker refused.
pub fn warn_if_failed(
    settings: &Settings,
    packet_id: u16,
    reason: ReasonCode,
    reason_string: Option<&str>,
) {
    if !reason.is_error() {
        return;
    }
    let words = reason.words();
    complain(
        settings,
        &format!("Warning: Publish {packet_id} failed: {words}."),
    );
    if let Some(text) = reason_string {
        complain(settings, &trace::harmless(text));
    }
}

/// Reads lines of standard input on a thread of its own, a few ahead: the loop cannot wait for a
/// terminal or a file, and standard input must not be made non-blocking, for others share it.
fn read_lines(waker: Option<Arc<Waker>>) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = channel(LINES_AHEAD);
    thread::spawn(move || {
        send_lines(&sender, waker.as_deref());
        drop(sender);
        wake(waker.as_deref());
    });
    receiver
}

fn send_lines(sender: &Sender<io::Result<Vec<u8>>>, waker: Option<&Waker>) {
    let mut stdin = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let limit = REMAINING_LENGTH_MAX as u64 + 2;
        let read = stdin.by_ref().take(limit).read_until(b'\n', &mut line);
        let message = match read {
            Ok(0) => return,
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                match line.len() > REMAINING_LENGTH_MAX {
                    true => Err(too_long()),
                    false => Ok(line),
                }
            }
            Err(error) => Err(error),
        };
        let failed = message.is_err();
        if sender.send(message).is_err() || failed {
            return;
        }
        wake(waker);
    }
}

fn wake(waker: Option<&Waker>) {
    // A loop that is gone needs no waking.
    let _ = waker.map(Waker::wake);
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::client::{flags, session};
    use super::*;

    /// However fast the broker is: within the first millisecond, too.
    #[test]
    fn repetitions_without_a_delay_follow_at_once() {
        for (qos, puback) in [("0", &[][..]), ("1", b"\x40\x02\0\x01")] {
            let mut settings = Settings::new(Tool::Publish);
            let words = ["-t", "a", "-m", "x", "--repeat", "2", "-q", qos].map(OsStr::new);
            assert!(flags::apply(&mut settings, &words).is_ok());
            let mut script = Publisher::new(&settings, b"x".to_vec());
            let mut client = Client::new(session::options(&settings).unwrap());
            client.opened(0);
            for answer in [&[0x20, 2, 0, 0][..], puback] {
                client.sent(client.transmit().len(), 0);
                if let Some(event) = client.receive(answer, 0).unwrap().event {
                    script.event(&event);
                }
                script.act(&mut client, 0).unwrap();
                assert_eq!(client.transmit()[0] >> 4, 3, "a PUBLISH at QoS {qos}");
            }
        }
    }
}
