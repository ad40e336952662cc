//! A pair, at QoS 0 unless said, that measures how long the broker lets a message wait: one message
//! each millisecond (unless said), whether the one before arrived or not, so that a stall is seen
//! by every message that falls into it.
//!
//! A wait goes from the turn that gave the message to the kernel until the loop has read it: one
//! pass through the broker, the kernel's loopback twice, the generator's own turn (which is
//! reported beside it), and whatever else the machine does on both cores. Two more figures tell
//! the broker's part from that of other processes: the wait less what the broker's loop and the
//! generator spent waiting for their core meanwhile (what is left holds blocking calls, too, but
//! not what the journal thread or anybody else did on the broker's core), and the CPU time that
//! all threads of the broker used meanwhile, which the kernel brings up to date once in a tick (1
//! to 10 ms).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::net::Outs;
use crate::packet::{self, Packet, Template};
use crate::proc;

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
    qos: u8,
    every: Duration,
    next: Instant,
    broker: Pid,
    /// The kernel's scheduling figures of the broker's first thread, and of the generator.
    delays: [File; 2],
    sent: Vec<Moment>,
    /// What each message that arrived had waited.
    waits: Vec<Wait>,
    /// Messages before this one belong to an earlier phase.
    since: usize,
}

/// Clocks at one instant.
#[derive(Clone, Copy)]
struct Moment {
    wall: Instant,
    /// CPU time of the broker.
    cpu: Duration,
    /// Time that its loop and the generator were ready to run and did not.
    delay: Duration,
}

/// What a message waited.
#[derive(Clone, Copy)]
pub struct Wait {
    pub wall: Duration,
    /// Without the time in which loop or generator waited for their core.
    pub undelayed: Duration,
    /// The broker's CPU time meanwhile.
    pub cpu: Duration,
}

/// Quantiles of one kind of figure, in milliseconds.
pub struct Quantiles {
    pub median: f64,
    pub p99: f64,
    pub p999: f64,
    pub most: f64,
}

impl Ping {
    /// A pair of peers on the broker with this process id.
    pub fn new(from: usize, to: usize, broker: Pid) -> Result<Self, String> {
        let open = |path: String| File::open(&path).map_err(|e| format!("{path}: {e}"));
        let delays = [
            open(format!("/proc/{broker}/task/{broker}/schedstat"))?,
            open("/proc/self/schedstat".into())?,
        ];
        Ok(Self {
            from,
            to,
            template: Template::new(TOPIC, 0, false, 64, 0),
            qos: 0,
            every: EVERY,
            next: Instant::now(),
            broker,
            delays,
            sent: Vec::new(),
            waits: Vec::new(),
            since: 0,
        })
    }

    /// The same at QoS 0 or 1, with another time from one message to the next.
    pub fn paced(self, qos: u8, every: Duration) -> Self {
        Self {
            template: Template::new(TOPIC, qos, false, 64, 0),
            qos,
            every,
            ..self
        }
    }

    /// How long nothing is to be sent.
    pub fn wait(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    pub fn fill(&mut self, outs: &mut Outs) -> Result<(), String> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        // A generator that is late does not make up for it: its delay is not the broker's.
        self.next = (self.next + self.every).max(now);
        self.template
            .put(self.sent.len() as u64, None, outs.of(self.from));
        let moment = self.moment()?;
        self.sent.push(moment);
        Ok(())
    }

    pub fn packet(&mut self, packet: &Packet<'_>, outs: &mut Outs) -> Result<(), String> {
        // PUBACK: the message arrives, or does not, where it counts.
        if (packet.kind(), self.qos) == (4, 1) {
            return Ok(());
        }
        let publish = packet.publish()?;
        let (_, number) = publish.stamp()?;
        let expected = self.waits.len();
        if number != expected as u64 {
            return Err(format!("LOSS: ping {number} came, {expected} was next"));
        }
        let (now, sent) = (self.moment()?, self.sent[expected]);
        let wall = now.wall - sent.wall;
        self.waits.push(Wait {
            wall,
            undelayed: wall.saturating_sub(now.delay.saturating_sub(sent.delay)),
            cpu: now.cpu.saturating_sub(sent.cpu),
        });
        if self.qos == 1 {
            packet::acknowledge(0x40, publish.packet_id, outs.of(self.to));
        }
        Ok(())
    }

    /// The waits of all messages that arrived since this was last asked.
    pub fn take(&mut self) -> Vec<Wait> {
        let phase = self.waits[self.since..].to_vec();
        self.since = self.waits.len();
        phase
    }

    fn moment(&self) -> Result<Moment, String> {
        let mut delay = Duration::ZERO;
        for file in &self.delays {
            let mut text = [0; 96];
            let len = file
                .read_at(&mut text, 0)
                .map_err(|e| format!("schedstat: {e}"))?;
            // Time on the core, time waiting for it, slices.
            let nanos = String::from_utf8_lossy(&text[..len])
                .split_whitespace()
                .nth(1)
                .and_then(|word| word.parse().ok());
            delay += Duration::from_nanos(nanos.ok_or("schedstat has no second number")?);
        }
        Ok(Moment {
            wall: Instant::now(),
            cpu: proc::cpu(self.broker)?,
            delay,
        })
    }
}

/// The quantiles of one figure of at least one wait.
pub fn quantiles(waits: &[Wait], figure: impl Fn(&Wait) -> Duration) -> Quantiles {
    let mut millis: Vec<f64> = waits
        .iter()
        .map(|wait| figure(wait).as_secs_f64() * 1e3)
        .collect();
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| millis[((millis.len() - 1) as f64 * share).ceil() as usize];
    Quantiles {
        median: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        most: at(1.0),
    }
}
