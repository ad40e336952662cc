//! `$SYS`: what the broker says about itself, as retained messages, only when a value changed.

use super::load::{Load, WINDOWS};
use super::publish::Publisher;
use super::timer::{At, Timer};
use super::{Broker, Now};
use crate::store::Tally;
use crate::wire::{Publish, QoS};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

/// What is counted as it happens.
#[derive(Default)]
pub(super) struct Stats {
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) messages_received: u64,
    pub(super) messages_sent: u64,
    pub(super) publish_received: u64,
    pub(super) publish_sent: u64,
    pub(super) publish_dropped: u64,
    pub(super) publish_bytes_received: u64,
    pub(super) publish_bytes_sent: u64,
    pub(super) clients_maximum: usize,
    pub(super) clients_expired: u64,
    pub(super) sockets_opened: u64,
    pub(super) memory: u64,
    pub(super) memory_maximum: u64,
    pub(super) connections: u64,
    pub(super) turns: Turns,
    /// How often each limit was reached that closes, refuses or delays, the latest to be reached
    /// for the first time last.
    pub(super) limits: Vec<(&'static str, u64)>,
}

/// How long the turns of the caller's loop took.
#[derive(Default)]
pub(super) struct Turns {
    /// How many up to each of [`TURNS_US`], and longer.
    counts: [u64; TURNS_US.len() + 1],
    longest_us: u64,
}

/// Microseconds that turns are sorted by.
const TURNS_US: [u64; 5] = [100, 500, 1000, 2000, 5000];

impl Stats {
    /// A client has got its session; `clients` there are now.
    pub(super) fn connected(&mut self, clients: usize) {
        self.connections += 1;
        self.clients_maximum = self.clients_maximum.max(clients);
    }

    /// A PUBLISH has left its queue, or a bundle of them, which was counted as one packet.
    #[inline]
    pub(super) fn published(&mut self, is_dropped: bool, tally: Tally) {
        let messages = u64::from(tally.messages);
        if is_dropped {
            self.publish_dropped += messages;
        } else {
            self.messages_sent += messages - 1;
            self.publish_sent += messages;
            self.publish_bytes_sent += u64::from(tally.payload_bytes);
        }
    }
}

/// The state of the tree.
pub(super) struct Sys {
    started_ms: u64,
    updated_ms: u64,
    due_at: At,
    /// What was published last.
    values: HashMap<&'static str, String>,
    loads: [Load; LOADS.len()],
    load_texts: [[String; WINDOWS.len()]; LOADS.len()],
    limits: Vec<(&'static str, u64)>,
    scratch: String,
}

impl Sys {
    pub(super) fn new(now: Now) -> Sys {
        Sys {
            started_ms: now.mono_ms,
            updated_ms: now.mono_ms,
            due_at: At::NEVER,
            values: HashMap::new(),
            loads: [Load::default(); LOADS.len()],
            load_texts: Default::default(),
            limits: Vec::new(),
            scratch: String::new(),
        }
    }
}

type Gauge = fn(&Broker) -> u64;

/// Topics under `$SYS/broker/` whose value is a number.
const GAUGES: &[(&str, Gauge)] = &[
    ("bytes/received", |b| b.stats.bytes_received),
    ("bytes/sent", |b| b.stats.bytes_sent),
    ("messages/received", |b| b.stats.messages_received),
    ("messages/sent", |b| b.stats.messages_sent),
    ("publish/messages/received", |b| b.stats.publish_received),
    ("publish/messages/sent", |b| b.stats.publish_sent),
    ("publish/messages/dropped", |b| b.stats.publish_dropped),
    ("publish/bytes/received", |b| b.stats.publish_bytes_received),
    ("publish/bytes/sent", |b| b.stats.publish_bytes_sent),
    ("clients/total", |b| b.sessions.count() as u64),
    ("clients/maximum", |b| b.stats.clients_maximum as u64),
    ("clients/connected", Broker::connected),
    ("clients/active", Broker::connected),
    ("clients/disconnected", |b| {
        b.sessions.count() as u64 - b.connected()
    }),
    ("clients/inactive", |b| {
        b.sessions.count() as u64 - b.connected()
    }),
    ("clients/expired", |b| b.stats.clients_expired),
    ("messages/stored", |b| b.messages.count() as u64),
    ("store/messages/count", |b| b.messages.count() as u64),
    ("store/messages/bytes", |b| b.messages.bytes() as u64),
    ("retained messages/count", |b| b.retained.count() as u64),
    ("subscriptions/count", |b| b.subscriptions.slab.len() as u64),
    ("shared_subscriptions/count", |b| {
        b.subscriptions.shared_count as u64
    }),
    ("heap/current", |b| b.stats.memory),
    ("heap/maximum", |b| b.stats.memory_maximum),
    ("connections/socket/count", |b| b.connections.len() as u64),
    ("packet/out/count", |b| b.deliveries.count() as u64),
    ("turns/100us", |b| b.stats.turns.counts[0]),
    ("turns/500us", |b| b.stats.turns.counts[1]),
    ("turns/1ms", |b| b.stats.turns.counts[2]),
    ("turns/2ms", |b| b.stats.turns.counts[3]),
    ("turns/5ms", |b| b.stats.turns.counts[4]),
    ("turns/longer", |b| b.stats.turns.counts[5]),
    ("turns/longest", |b| b.stats.turns.longest_us),
    ("persistence/bytes/written", |b| {
        b.journal.report.bytes_written
    }),
    ("persistence/syncs", |b| b.journal.report.syncs),
    ("persistence/sync/last_us", |b| {
        b.journal.report.last_sync_us
    }),
    ("persistence/bytes/live", Broker::live_bytes),
    ("persistence/bytes/disk", |b| b.journal.disk_bytes()),
    ("persistence/segments", |b| b.journal.segment_count()),
    ("persistence/records/damaged", |b| b.journal.damaged),
    ("persistence/refused", |b| b.journal.refused),
    ("memory/held", |b| b.held_bytes() as u64),
    ("memory/limit", |b| b.settings.memory_limit as u64),
    ("memory/refused", |b| b.ledger.refused),
];

/// Topics under `$SYS/broker/load/`, each with a moving average for each window.
const LOADS: [(&str, Gauge); 9] = [
    ("messages/received", |b| b.stats.messages_received),
    ("messages/sent", |b| b.stats.messages_sent),
    ("publish/received", |b| b.stats.publish_received),
    ("publish/sent", |b| b.stats.publish_sent),
    ("publish/dropped", |b| b.stats.publish_dropped),
    ("bytes/received", |b| b.stats.bytes_received),
    ("bytes/sent", |b| b.stats.bytes_sent),
    ("sockets", |b| b.stats.sockets_opened),
    ("connections", |b| b.stats.connections),
];

impl Broker {
    fn connected(&self) -> u64 {
        self.connections
            .iter()
            .filter(|(_, conn)| conn.session().is_some())
            .count() as u64
    }

    /// How much memory the process uses, in bytes: only the operating system knows. It goes out
    /// with the next update of the tree, the first time at once.
    pub fn note_memory(&mut self, bytes: u64) {
        let is_first = self.stats.memory_maximum == 0;
        self.stats.memory = bytes;
        self.stats.memory_maximum = self.stats.memory_maximum.max(bytes);
        if is_first && self.settings.sys_interval != 0 {
            self.publish_gauges();
        }
    }

    /// How many packets came since the start.
    pub fn packets_received(&self) -> u64 {
        self.stats.messages_received
    }

    /// How long the caller's last turn took, from its events to its last output.
    pub fn note_turn(&mut self, took: Duration) {
        let us = took.as_micros().try_into().unwrap_or(u64::MAX);
        let turns = &mut self.stats.turns;
        turns.longest_us = turns.longest_us.max(us);
        let at = TURNS_US.iter().position(|&limit| us <= limit);
        turns.counts[at.unwrap_or(TURNS_US.len())] += 1;
    }

    fn publish_limits(&mut self) {
        if self.sys.limits == self.stats.limits {
            return;
        }
        let now = self.stats.limits.clone();
        let before = std::mem::replace(&mut self.sys.limits, now.clone());
        for (at, limit @ (name, count)) in now.iter().enumerate() {
            if before.get(at) != Some(limit) {
                self.publish_sys(&format!("limits/{name}"), &count.to_string());
            }
        }
    }

    /// Publishes the tree for the first time and arms its timer.
    pub(super) fn start_sys(&mut self) {
        if self.settings.sys_interval == 0 {
            return self.timers.set(Timer::Sys, &mut self.sys.due_at, None);
        }
        let version = self.settings.version.clone();
        self.publish_sys("version", &version);
        self.publish_gauges();
        self.publish_loads();
        self.arm_sys();
    }

    /// Begins anew on another clock.
    pub(super) fn restart_sys(&mut self) {
        self.timers.set(Timer::Sys, &mut self.sys.due_at, None);
        self.sys = Sys::new(self.now);
        self.start_sys();
    }

    fn arm_sys(&mut self) {
        let interval = u64::from(self.settings.sys_interval) * 1000;
        let at = (interval > 0).then(|| self.now.mono_ms + interval);
        self.timers.set(Timer::Sys, &mut self.sys.due_at, at);
    }

    pub(super) fn update_sys(&mut self) {
        self.sys.due_at = At::NEVER;
        self.publish_gauges();
        self.publish_loads();
        self.arm_sys();
    }

    fn publish_gauges(&mut self) {
        let state = self.journal.state_name();
        self.publish_if_changed("persistence/state", format_args!("{state}"));
        let uptime = (self.now.mono_ms - self.sys.started_ms) / 1000;
        self.publish_if_changed("uptime", format_args!("{uptime} seconds"));
        for &(topic, gauge) in GAUGES {
            let value = gauge(self);
            self.publish_if_changed(topic, format_args!("{value}"));
        }
        self.publish_limits();
    }

    fn publish_if_changed(&mut self, topic: &'static str, value: std::fmt::Arguments<'_>) {
        let mut text = std::mem::take(&mut self.sys.scratch);
        text.clear();
        let _ = text.write_fmt(value);
        let known = self.sys.values.entry(topic).or_default();
        if *known != text {
            known.clone_from(&text);
            self.publish_sys(topic, &text);
        }
        self.sys.scratch = text;
    }

    fn publish_loads(&mut self) {
        let elapsed_s = (self.now.mono_ms - self.sys.updated_ms) as f64 / 1000.0;
        self.sys.updated_ms = self.now.mono_ms;
        for (which, (name, gauge)) in LOADS.iter().enumerate() {
            let value = gauge(self);
            // At the start no time has gone by: nothing was done in it.
            if elapsed_s > 0.0 {
                self.sys.loads[which].update(value, elapsed_s);
            }
            for (window, average) in self.sys.loads[which].averages().into_iter().enumerate() {
                let hundredths = (average * 100.0 + 0.5) as u64;
                let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
                let known = &mut self.sys.load_texts[which][window];
                if *known == text {
                    continue;
                }
                known.clone_from(&text);
                let minutes = WINDOWS[window];
                self.publish_sys(&format!("load/{name}/{minutes}min"), &text);
            }
        }
    }

    /// Publishes a value below `$SYS/broker/`.
    fn publish_sys(&mut self, topic: &str, value: &str) {
        let publish = Publish {
            qos: QoS::ExactlyOnce,
            retain: true,
            topic: topic.as_bytes(),
            payload: value.as_bytes(),
            ..Publish::default()
        };
        self.publish_now(Publisher::Broker, b"$SYS/broker/", &publish);
    }

    /// Publishes a value that the caller knows, below `$SYS/broker/`; an empty one takes it back.
    pub fn publish_state(&mut self, topic: &str, value: &str, now: Now) {
        self.now = now;
        if self.settings.sys_interval != 0 {
            self.publish_sys(topic, value);
        }
    }

    /// Publishes a log line on a topic below `$SYS/broker/log/`, for `log_dest topic`.
    pub fn publish_log(&mut self, topic: &str, line: &str, now: Now) {
        self.now = now;
        let publish = Publish {
            qos: QoS::ExactlyOnce,
            topic: topic.as_bytes(),
            payload: line.as_bytes(),
            expiry_s: Some(20),
            ..Publish::default()
        };
        self.publish_now(Publisher::Broker, b"", &publish);
    }
}
