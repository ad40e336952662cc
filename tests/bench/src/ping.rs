//! A pair at QoS 0 that measures how long the broker lets a message wait: one message each
//! millisecond, whether the one before arrived or not, so that a stall is seen by every message
//! that falls into it.
//!
//! A latency goes from the call that gave the message to the kernel until the loop has read it: one
//! pass through the broker, the kernel's loopback twice, and the generator's own turn (which is
//! reported beside it).

use std::time::{Duration, Instant};

use crate::net::Outs;
use crate::packet::{Packet, Template};

/// The pair's topic.
pub const TOPIC: &str = "ping";
/// From one message to the next.
const EVERY: Duration = Duration::from_millis(1);

/// The pair and what it measured.
pub struct Ping {
    /// The peer that publishes, and the one that subscribed.
    pub from: usize,
    pub to: usize,
    template: Template,
    next: Instant,
    sent_at: Vec<Instant>,
    /// How long each message took, in nanoseconds.
    latencies: Vec<u64>,
    /// Messages before this one belong to an earlier phase.
    since: usize,
}

/// What a phase measured, in milliseconds.
#[derive(Default)]
pub struct Latency {
    pub count: usize,
    pub median_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Ping {
    pub fn new(from: usize, to: usize) -> Self {
        Self {
            from,
            to,
            template: Template::new(TOPIC, 0, false, 64, 0),
            next: Instant::now(),
            sent_at: Vec::new(),
            latencies: Vec::new(),
            since: 0,
        }
    }

    /// How long nothing is to be sent.
    pub fn wait(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    pub fn fill(&mut self, outs: &mut Outs) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        // A generator that is late does not make up for it: its delay is not the broker's.
        self.next = (self.next + EVERY).max(now);
        self.template
            .put(self.sent_at.len() as u64, None, outs.of(self.from));
        self.sent_at.push(now);
    }

    pub fn packet(&mut self, packet: &Packet<'_>) -> Result<(), String> {
        let (_, number) = packet.publish()?.stamp()?;
        let expected = self.latencies.len();
        if number != expected as u64 {
            return Err(format!("LOSS: ping {number} came, {expected} was next"));
        }
        let took = self.sent_at[expected].elapsed();
        self.latencies.push(took.as_nanos() as u64);
        Ok(())
    }

    /// The figures of all messages that arrived since this was last asked.
    pub fn take(&mut self) -> Latency {
        let mut phase = self.latencies[self.since..].to_vec();
        self.since = self.latencies.len();
        if phase.is_empty() {
            return Latency::default();
        }
        phase.sort_unstable();
        let at =
            |share: f64| phase[((phase.len() - 1) as f64 * share).ceil() as usize] as f64 / 1e6;
        Latency {
            count: phase.len(),
            median_ms: at(0.5),
            p999_ms: at(0.999),
            max_ms: at(1.0),
        }
    }
}
