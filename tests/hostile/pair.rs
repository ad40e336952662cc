//! A good pair that exchanges messages of QoS 1 all the while, with a watch in its hand.
//!
//! What it may feel of an attack is a number on a quiet machine. On a busy one, be it busy with the
//! attackers themselves, two things make it larger: what another pair feels meanwhile, at a broker
//! that nobody attacks; and how much longer the attacked broker's work took than it would have with
//! a processor of its own, as the kernel counts it.

use crate::common::packet::*;
use crate::harness::{Broker, Client};
use crate::wait::until_within;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two messages.
const PACE: Duration = Duration::from_millis(3);

/// Messages before an attack and after it, at least.
const MESSAGES: usize = 100;

/// What the slowest of a hundred may take on a quiet machine.
const SLOW: Duration = Duration::from_millis(50);

/// How many times what the other pair feels that may be on a busy one.
const TIMES: u32 = 5;

/// A pair at work.
struct Pair {
    count: Arc<AtomicUsize>,
    stop: Sender<()>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Pair {
    fn begin(port: u16) -> Pair {
        let count = Arc::new(AtomicUsize::new(0));
        let (stop, stopped) = mpsc::channel();
        let counter = Arc::clone(&count);
        let mut subscriber = come(port, "pair-subscriber");
        subscriber.subscribe("pair", 1);
        let mut publisher = come(port, "pair-publisher");
        let thread = std::thread::spawn(move || {
            let mut took = Vec::new();
            while stopped.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                exchange(&mut publisher, &mut subscriber, took.len());
                took.push(begun.elapsed());
                counter.fetch_add(1, Ordering::Relaxed);
            }
            took
        });
        Pair {
            count,
            stop,
            thread,
        }
    }

    /// Waits for some more messages.
    fn goes_on(&self) {
        let wanted = self.count.load(Ordering::Relaxed) + MESSAGES;
        until_within(Duration::from_secs(120), "the good pair goes on", || {
            assert!(
                !self.thread.is_finished(),
                "the good pair has lost something"
            );
            (self.count.load(Ordering::Relaxed) >= wanted).then_some(())
        });
    }

    /// How long its messages took, the shortest first.
    fn end(self) -> Vec<Duration> {
        self.stop.send(()).expect("it has lost nothing");
        let mut took = self.thread.join().expect("it has lost nothing");
        took.sort_unstable();
        took
    }
}

fn come(port: u16, client_id: &str) -> Client {
    let mut client = Client::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let mut connect = Connect::new(Version::V311, client_id);
    // Where there are passwords, it has one.
    connect.user_name = Some("pair".to_string());
    connect.password = Some("pair".into());
    client.say(Packet::Connect(connect));
    assert!(matches!(client.hear(), Some(Packet::ConnAck(ack)) if ack.code == 0));
    client
}

/// One message, there and acknowledged on both sides; exactly this one must come.
fn exchange(publisher: &mut Client, subscriber: &mut Client, number: usize) {
    let id = (number % 60_000) as u16 + 1;
    let publish = Publish::new("pair", number.to_string());
    publisher.say(Packet::Publish(publish.qos(1).id(id)));
    let Some(Packet::Publish(heard)) = subscriber.hear() else {
        panic!("no message");
    };
    assert_eq!(heard.text(), number.to_string());
    subscriber.say(Packet::PubAck(Ack::new(heard.packet_id)));
    assert_eq!(publisher.hear(), Some(Packet::PubAck(Ack::new(id))));
}

fn p99(took: &[Duration]) -> Duration {
    took[took.len() * 99 / 100]
}

/// What became of a broker under attack.
pub struct Attacked {
    /// How much its process has grown.
    pub grown: u64,
    pub log: String,
}

/// Attacks a broker while a good pair uses it. The broker must live, and the pair lose nothing and
/// hardly feel it.
pub fn withstands<T>(broker: Broker, attack: impl FnOnce(&Broker) -> T) -> Attacked {
    let port = broker.port();
    withstands_at(broker, port, attack)
}

/// The same with the pair at another listener.
pub fn withstands_at<T>(broker: Broker, port: u16, attack: impl FnOnce(&Broker) -> T) -> Attacked {
    let control = Broker::start("");
    let (pair, other) = (Pair::begin(port), Pair::begin(control.port()));
    pair.goes_on();
    other.goes_on();
    let before = broker.resident_bytes();
    let (ran, waited) = broker.run_and_wait();
    let attackers = attack(&broker);
    pair.goes_on();
    other.goes_on();
    let grown = broker.resident_bytes().saturating_sub(before);
    let (run, wait) = broker.run_and_wait();
    let (ran, waited) = (run.saturating_sub(ran), wait.saturating_sub(waited));
    let stretch = (ran + waited).as_secs_f64() / ran.as_secs_f64();
    let (attacked, quiet) = (pair.end(), other.end());
    drop(attackers);
    let bound = SLOW.mul_f64(stretch).max(p99(&quiet) * TIMES);
    let (felt, count) = (p99(&attacked), attacked.len());
    println!(
        "p99 of {count}: {felt:?}, unattacked {:?}; stretched {stretch:.1} times; grown {grown}",
        p99(&quiet)
    );
    assert!(
        felt < bound,
        "p99 {felt:?}, may be {bound:?}; {}",
        broker.log()
    );
    let log = broker.log();
    assert_eq!(broker.stop().code(), Some(0), "{log}");
    Attacked { grown, log }
}
