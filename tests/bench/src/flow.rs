//! The load: publishers in a closed loop, subscribers that verify, and both at any QoS.
//!
//! Every message carries its publisher and a number. A subscriber that gets another number than
//! the next one has seen loss, a duplicate or another order, and so has a publisher that gets
//! another acknowledgement than the next one: either ends the run. A publisher sends while fewer
//! than `window` of its messages are under way: not yet acknowledged or (in a closed loop) not yet
//! with every subscriber.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::net::{Load, Net, Outs};
use crate::packet::{self, Packet, Template};
use crate::ping::Ping;
use crate::stop;

/// A run in which nothing at all arrives for so long has failed.
const STALLED: Duration = Duration::from_secs(60);

/// Who publishes, who subscribes, and the state of both.
#[derive(Default)]
pub struct Flow {
    pub publishers: Vec<Publisher>,
    pub subscribers: Vec<Subscriber>,
    /// A pair that measures latency on the same broker.
    pub ping: Option<Ping>,
    /// What each peer is.
    roles: Vec<Role>,
    /// Whether publishers may send.
    pub open: bool,
    /// Messages that were acknowledged; at QoS 0: sent.
    pub done: u64,
    /// Messages that reached a subscriber.
    pub delivered: u64,
    /// Topic and payload of all that was sent.
    pub content_bytes: u64,
}

#[derive(Clone, Copy)]
enum Role {
    Publisher(usize),
    Subscriber(usize),
    Ping,
    Gone,
}

/// One publisher.
pub struct Publisher {
    template: Template,
    qos: u8,
    window: u64,
    /// Sends no more than this.
    pub limit: u64,
    pub sent: u64,
    /// At QoS 2: how many were received, so that PUBREL went out. `acked <= received <= sent`.
    received: u64,
    acked: u64,
    /// How many subscribers get each message.
    copies: u16,
    /// Whether a message counts as under way until all subscribers have it.
    closed_loop: bool,
    /// How many messages all subscribers have.
    reached: u64,
    /// Copies still missing, from message `reached` on; unused for a single subscriber.
    missing: VecDeque<u16>,
    topics: Option<Topics>,
}

/// Topics `0..last.len()`, one of which each message of the publisher goes to.
struct Topics {
    random: fastrand::Rng,
    /// The first round goes through all of them in order.
    next: u64,
    /// The number of the latest message for each.
    last: Vec<u64>,
}

/// What a publisher does.
pub struct Publishing<'a> {
    /// `#` in it stands for the number of one of `topics` topics.
    pub topic: &'a str,
    pub topics: usize,
    pub retain: bool,
    pub qos: u8,
    pub payload_bytes: usize,
    pub window: u64,
    /// How many subscribers get each message.
    pub copies: u16,
    pub closed_loop: bool,
}

/// One subscriber.
pub struct Subscriber {
    qos: u8,
    /// The number that must come next, for each publisher.
    next: Vec<u64>,
}

impl Flow {
    /// Adds a publisher that signed in as `peer`.
    pub fn publisher(&mut self, peer: usize, plan: &Publishing<'_>) {
        let index = self.publishers.len();
        self.role(peer, Role::Publisher(index));
        self.publishers.push(Publisher {
            template: Template::new(
                plan.topic,
                plan.qos,
                plan.retain,
                plan.payload_bytes,
                index as u32,
            ),
            qos: plan.qos,
            window: plan.window,
            limit: u64::MAX,
            sent: 0,
            received: 0,
            acked: 0,
            copies: plan.copies,
            closed_loop: plan.closed_loop,
            reached: 0,
            missing: VecDeque::new(),
            topics: (plan.topics > 0).then(|| Topics {
                random: fastrand::Rng::with_seed(plan.topics as u64),
                next: 0,
                last: vec![u64::MAX; plan.topics],
            }),
        });
    }

    /// Adds a subscriber that subscribed as `peer`, with this QoS.
    pub fn subscriber(&mut self, peer: usize, qos: u8) {
        self.role(peer, Role::Subscriber(self.subscribers.len()));
        self.subscribers.push(Subscriber {
            qos,
            next: Vec::new(),
        });
    }

    /// Adds a subscriber that has a session and is not there yet.
    pub fn subscriber_away(&mut self, qos: u8) {
        self.subscribers.push(Subscriber {
            qos,
            next: Vec::new(),
        });
    }

    /// The first subscriber is away from now on.
    pub fn subscriber_left(&mut self, peer: usize) {
        self.roles[peer] = Role::Gone;
    }

    /// The subscriber that was away came back as `peer`, and goes on where it was.
    pub fn subscriber_returned(&mut self, peer: usize) {
        self.role(peer, Role::Subscriber(0));
    }

    /// Adds the pair that measures latency.
    pub fn ping(&mut self, ping: Ping) {
        self.role(ping.from, Role::Ping);
        self.role(ping.to, Role::Ping);
        self.ping = Some(ping);
    }

    /// Whether every publisher has all acknowledgements.
    pub fn acknowledged(&self) -> bool {
        self.publishers
            .iter()
            .all(|p| p.acked == p.sent || p.qos == 0)
    }

    /// Whether also every subscriber has every message.
    pub fn complete(&self) -> bool {
        self.acknowledged()
            && self
                .publishers
                .iter()
                .all(|p| p.copies == 0 || p.reached == p.sent)
    }

    /// Whether every publisher has sent all it may.
    pub fn exhausted(&self) -> bool {
        self.publishers.iter().all(|p| p.sent >= p.limit)
    }

    /// The last message to each topic of this publisher; `u64::MAX` for none.
    pub fn last_numbers(&self, publisher: usize) -> &[u64] {
        match &self.publishers[publisher].topics {
            Some(topics) => &topics.last,
            None => &[],
        }
    }

    fn role(&mut self, peer: usize, role: Role) {
        if self.roles.len() <= peer {
            self.roles.resize(peer + 1, Role::Gone);
        }
        self.roles[peer] = role;
    }

    fn answer_publisher(
        &mut self,
        at: usize,
        packet: &Packet<'_>,
        out: Answer<'_>,
    ) -> Result<(), String> {
        let publisher = &mut self.publishers[at];
        let id = packet.packet_id()?;
        let (expected, what) = match (packet.kind(), publisher.qos) {
            (4, 1) => (publisher.acked, "PUBACK"),
            (5, 2) => (publisher.received, "PUBREC"),
            (7, 2) => (publisher.acked, "PUBCOMP"),
            (kind, _) => return Err(format!("a publisher got packet type {kind}")),
        };
        if packet::packet_id_of(expected) != id || expected >= publisher.sent {
            let next = packet::packet_id_of(expected);
            return Err(format!(
                "publisher {at} got {what} {id} where {next} was next"
            ));
        }
        if packet.kind() == 5 {
            publisher.received += 1;
            packet::acknowledge(0x62, id, out.buffer());
        } else {
            publisher.acked += 1;
            self.done += 1;
        }
        Ok(())
    }

    fn answer_subscriber(
        &mut self,
        at: usize,
        packet: &Packet<'_>,
        out: Answer<'_>,
    ) -> Result<(), String> {
        match packet.kind() {
            3 => {}
            6 => {
                packet::acknowledge(0x70, packet.packet_id()?, out.buffer());
                return Ok(());
            }
            kind => return Err(format!("a subscriber got packet type {kind}")),
        }
        let publish = packet.publish()?;
        let subscriber = &mut self.subscribers[at];
        if publish.qos != subscriber.qos || publish.dup {
            return Err(format!(
                "subscriber {at} got QoS {} (DUP {}) instead of QoS {}",
                publish.qos, publish.dup, subscriber.qos
            ));
        }
        let (from, number) = publish.stamp()?;
        let publisher = self
            .publishers
            .get_mut(from)
            .ok_or_else(|| format!("a message of publisher {from}, which there is not"))?;
        if subscriber.next.len() <= from {
            subscriber.next.resize(from + 1, 0);
        }
        let next = &mut subscriber.next[from];
        if number != *next || number >= publisher.sent {
            return Err(format!(
                "LOSS, ORDER OR DUPLICATE: subscriber {at} got message {number} of publisher \
                 {from}, {next} was next, {} were sent",
                publisher.sent
            ));
        }
        *next += 1;
        publisher.delivered(number);
        self.delivered += 1;
        match publish.qos {
            1 => packet::acknowledge(0x40, publish.packet_id, out.buffer()),
            2 => packet::acknowledge(0x50, publish.packet_id, out.buffer()),
            _ => {}
        }
        Ok(())
    }
}

/// The buffer of the peer that a packet came from, touched only if something is to be answered.
struct Answer<'a> {
    outs: &'a mut Outs,
    who: usize,
}

impl<'a> Answer<'a> {
    fn buffer(self) -> &'a mut Vec<u8> {
        self.outs.of(self.who)
    }
}

impl Publisher {
    /// How many messages may be sent now.
    fn room(&self) -> u64 {
        let mut settled = self.sent;
        if self.qos > 0 {
            settled = settled.min(self.acked);
        }
        if self.closed_loop {
            settled = settled.min(self.reached);
        }
        (self.window - (self.sent - settled)).min(self.limit - self.sent)
    }

    fn send(&mut self, out: &mut Vec<u8>) {
        let topic = self.topics.as_mut().map(|topics| {
            let count = topics.last.len() as u64;
            let topic = match topics.next < count {
                true => topics.next,
                false => topics.random.u64(..count),
            };
            topics.next += 1;
            topics.last[topic as usize] = self.sent;
            topic
        });
        self.template.put(self.sent, topic, out);
        if self.copies > 1 {
            self.missing.push_back(self.copies);
        }
        self.sent += 1;
    }

    /// A subscriber has this message, for which it had waited.
    fn delivered(&mut self, number: u64) {
        if self.copies == 1 {
            self.reached += 1;
            return;
        }
        self.missing[(number - self.reached) as usize] -= 1;
        while self.missing.front() == Some(&0) {
            self.missing.pop_front();
            self.reached += 1;
        }
    }
}

impl Load for Flow {
    fn packet(&mut self, who: usize, packet: &Packet<'_>, outs: &mut Outs) -> Result<(), String> {
        match self.roles[who] {
            Role::Publisher(at) => self.answer_publisher(at, packet, Answer { outs, who }),
            Role::Subscriber(at) => self.answer_subscriber(at, packet, Answer { outs, who }),
            Role::Ping => match &mut self.ping {
                Some(ping) => ping.packet(packet, outs),
                None => Ok(()),
            },
            Role::Gone => Err("a packet came for a client that is gone".into()),
        }
    }

    fn fill(&mut self, outs: &mut Outs) -> Result<(), String> {
        if let Some(ping) = &mut self.ping {
            ping.fill(outs)?;
        }
        if !self.open {
            return Ok(());
        }
        for (peer, role) in self.roles.iter().enumerate() {
            let Role::Publisher(at) = *role else { continue };
            let publisher = &mut self.publishers[at];
            let room = publisher.room();
            if room == 0 {
                continue;
            }
            let out = outs.of(peer);
            for _ in 0..room {
                publisher.send(out);
            }
            self.content_bytes += room * publisher.template.content_bytes();
            if publisher.qos == 0 {
                self.done += room;
            }
        }
        Ok(())
    }
}

/// Turns the loop until `enough` says so. An error when nothing arrives for a minute.
pub fn run(
    net: &mut Net,
    flow: &mut Flow,
    mut enough: impl FnMut(&Flow) -> Result<bool, String>,
) -> Result<(), String> {
    let mut seen = u64::MAX;
    let mut moved = Instant::now();
    let mut turns = 0_u32;
    while !enough(flow)? {
        let wait = flow.ping.as_ref().map_or(STALLED, Ping::wait);
        net.turn(flow, wait.min(Duration::from_millis(100)))?;
        turns = turns.wrapping_add(1);
        stop::check()?;
        let now = flow.done + flow.delivered;
        if now != seen {
            seen = now;
            moved = Instant::now();
        } else if turns % 64 == 0 && moved.elapsed() > STALLED {
            return Err(format!(
                "LOSS OR STALL: nothing came for {} s; {} acknowledged, {} delivered",
                STALLED.as_secs(),
                flow.done,
                flow.delivered
            ));
        }
    }
    Ok(())
}

/// Runs for this long, or until all that may be sent was sent and settled.
pub fn run_for(net: &mut Net, flow: &mut Flow, time: Duration) -> Result<(), String> {
    flow.open = true;
    let end = Instant::now() + time;
    run(net, flow, |flow| {
        Ok(Instant::now() >= end || flow.exhausted() && flow.acknowledged())
    })
}

/// Sends nothing more and waits until every publisher has its acknowledgements.
pub fn settle(net: &mut Net, flow: &mut Flow) -> Result<(), String> {
    flow.open = false;
    run(net, flow, |flow| Ok(flow.acknowledged()))?;
    flush(net, flow)
}

/// Sends nothing more and waits until everybody has everything.
pub fn finish(net: &mut Net, flow: &mut Flow) -> Result<(), String> {
    flow.open = false;
    run(net, flow, |flow| Ok(flow.complete()))?;
    flush(net, flow)
}

fn flush(net: &mut Net, flow: &mut Flow) -> Result<(), String> {
    let end = Instant::now() + STALLED;
    while !net.flushed() {
        net.turn(flow, Duration::from_millis(100))?;
        if Instant::now() > end {
            return Err("the broker reads no more".into());
        }
    }
    Ok(())
}
