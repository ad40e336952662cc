//! `midge sub`: subscribes to topics and prints the messages that come in.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Write};

use super::client::drive::{self, Script, complain};
use super::client::output::Printer;
use super::client::settings::Settings;
use super::client::{Tool, exit, files};
use super::publish::give_up;
use crate::client::{Client, Event, RequestError};
use crate::topic;
use crate::wire::{Publish, QoS, ReasonCode, SubAck, SubscribeFilter, SubscriptionOptions};

/// Retained messages that may wait to be cleared; a broker that sends more without acknowledging
/// what we clear is out to fill our memory.
const TO_CLEAR_MAX: usize = 1 << 20;

/// Runs the command and returns its exit code; `program` is what the user called it.
pub fn run(program: &str, args: &[OsString]) -> u8 {
    let settings = match files::settings(Tool::Subscribe, program, args) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let Ok(printer) = Printer::new(&settings) else {
        return exit::SUCCESS;
    };
    let mut script = Subscriber {
        settings: &settings,
        printer,
        to_subscribe: false,
        finish: None,
        has_taken: true,
        printed: 0,
        to_clear: VecDeque::new(),
        rate: 0,
        next_rate_ms: None,
    };
    drive::run(&settings, &mut script)
}

/// The Subscription Options that the settings ask for.
pub fn options(settings: &Settings) -> SubscriptionOptions {
    if settings.version != crate::wire::Version::V5 {
        return SubscriptionOptions {
            qos: settings.qos,
            ..SubscriptionOptions::default()
        };
    }
    SubscriptionOptions {
        qos: settings.qos,
        no_local: false,
        retain_as_published: settings.retain_as_published,
        retain_handling: settings.retain_handling,
    }
}

/// How the work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    /// Once the handshakes that have begun are done and retained messages are cleared.
    WhenIdle,
    /// Now.
    AtOnce,
}

struct Subscriber<'a> {
    settings: &'a Settings,
    printer: Printer<'a>,
    /// A connection was accepted: subscribe.
    to_subscribe: bool,
    finish: Option<Finish>,
    /// Whether we have done with the last message what is to be done with it.
    has_taken: bool,
    printed: u32,
    /// Topics of retained messages to remove.
    to_clear: VecDeque<Box<[u8]>>,
    /// Messages since the last line of `--message-rate`.
    rate: u64,
    next_rate_ms: Option<u64>,
}

impl Script for Subscriber<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Connected(_) => self.to_subscribe = true,
            Event::Subscribed(ack) => self.subscribed(ack),
            // Nothing else is asked for, and what is asked for more than once goes out together.
            Event::Unsubscribed(_)
                if self.settings.exit_after_subscribe && self.settings.topics.is_empty() =>
            {
                self.finish = Some(Finish::AtOnce);
            }
            Event::Message(message) => self.message(message),
            _ => {}
        }
    }

    fn act(&mut self, client: &mut Client, now_ms: u64) -> Result<(), u8> {
        self.print_rate(now_ms);
        if !client.is_open() {
            return Ok(());
        }
        if std::mem::take(&mut self.to_subscribe) {
            self.subscribe(client)?;
        }
        self.clear_retained(client)?;
        let properties = &self.settings.properties.disconnect;
        match self.finish {
            Some(Finish::AtOnce) => client.disconnect(ReasonCode::SUCCESS, properties),
            Some(Finish::WhenIdle) if self.to_clear.is_empty() => {
                client.finish(ReasonCode::SUCCESS, properties);
            }
            _ => {}
        }
        Ok(())
    }

    fn deadline_ms(&self) -> Option<u64> {
        self.next_rate_ms
    }

    fn reconnects(&self) -> bool {
        self.finish.is_none()
    }

    fn has_taken(&self) -> bool {
        self.has_taken
    }
}

impl Subscriber<'_> {
    fn subscribe(&self, client: &mut Client) -> Result<(), u8> {
        let settings = self.settings;
        let filters: Vec<SubscribeFilter<'_>> = settings
            .topics
            .iter()
            .map(|filter| SubscribeFilter {
                filter,
                options: options(settings),
            })
            .collect();
        if !filters.is_empty() {
            client
                .subscribe(&filters, &settings.properties.subscribe)
                .map_err(|error| give_up(settings, error))?;
        }
        for filter in &settings.unsubscribe {
            client
                .unsubscribe(&[filter], &settings.properties.unsubscribe)
                .map_err(|error| give_up(settings, error))?;
        }
        Ok(())
    }

    fn subscribed(&mut self, ack: &SubAck<'_>) {
        if self.settings.debug && !self.settings.quiet {
            let codes: Vec<String> = ack.codes.iter().map(u8::to_string).collect();
            let (id, codes) = (ack.packet_id, codes.join(", "));
            let _ = writeln!(io::stdout(), "Subscribed (mid: {id}): {codes}");
        }
        if ack.codes.iter().all(|&code| code >= 0x80) {
            complain(self.settings, "All subscription requests were denied.");
            self.finish = Some(Finish::AtOnce);
        }
        if self.settings.exit_after_subscribe {
            self.finish = Some(Finish::AtOnce);
        }
    }

    fn message(&mut self, message: &Publish<'_>) {
        // What comes behind the last one that we want is for who comes back to the session.
        self.has_taken = self.finish.is_none();
        if self.finish.is_some() {
            return;
        }
        if self.settings.retained_only && !message.retain {
            self.finish = Some(Finish::WhenIdle);
            self.has_taken = false;
            return;
        }
        let filtered = |filter: &String| topic::matches(filter.as_bytes(), message.topic);
        if message.retain && self.settings.skip_retained
            || self.settings.filter_out.iter().any(filtered)
        {
            return;
        }
        if self.settings.remove_retained && message.retain {
            self.to_clear.push_back(message.topic.into());
        }
        if self.settings.message_rate {
            self.rate += 1;
        } else if self.printer.print(message).is_err() {
            // Nobody reads any more, or there is no room for it.
            self.finish = Some(Finish::AtOnce);
            self.has_taken = false;
            return;
        }
        self.printed += 1;
        if self.settings.message_count == Some(self.printed) {
            self.finish = Some(Finish::WhenIdle);
        }
    }

    /// Publishes empty retained messages, as far as the window goes.
    fn clear_retained(&mut self, client: &mut Client) -> Result<(), u8> {
        if self.to_clear.len() > TO_CLEAR_MAX {
            complain(
                self.settings,
                "Error: The broker sends retained messages without end.",
            );
            return Err(exit::PROTOCOL);
        }
        while let Some(topic) = self.to_clear.front() {
            let message = Publish {
                qos: QoS::AtLeastOnce,
                retain: true,
                topic,
                ..Publish::default()
            };
            match client.publish(&message) {
                Ok(_) => {}
                Err(RequestError::Busy) => return Ok(()),
                Err(error) => return Err(give_up(self.settings, error)),
            }
            self.to_clear.pop_front();
        }
        Ok(())
    }

    fn print_rate(&mut self, now_ms: u64) {
        if !self.settings.message_rate {
            return;
        }
        let due_ms = *self.next_rate_ms.get_or_insert(now_ms + 1000);
        if now_ms >= due_ms {
            let line = writeln!(io::stdout(), "{} msgs/s", self.rate);
            if line.is_err() {
                self.finish = Some(Finish::AtOnce);
            }
            self.rate = 0;
            // Seconds that were missed, while there was no connection, are not made up for.
            let next_ms = due_ms + 1000;
            self.next_rate_ms = Some(if next_ms > now_ms {
                next_ms
            } else {
                now_ms + 1000
            });
        }
    }
}
