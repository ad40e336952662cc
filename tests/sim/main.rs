//! The deterministic simulator: the broker, its journal and its files in a world where the power
//! goes at any moment, the disk fails and fills up, and the calendar jumps.
//!
//! One seed is one world: it decides who does what when, how long the disk takes, at which of its
//! operations the power goes, and which of the unsynced sectors and names are still there
//! afterwards. Publishers and subscribers keep books; in the end, after everybody could say all,
//! the books must agree: nothing acknowledged is lost, QoS 2 is never twice, the order holds, what
//! was promised of sessions and subscriptions is so.
//!
//! `make test` runs a number of worlds; `make sim` as many as fit into `SIM_SECONDS`; `SIM_SEED`
//! runs one of them again, and tells what happens with `SIM_TRACE=1`.

mod books;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod fickle;
mod host;
mod line;
mod mourner;
mod publisher;
mod reader;
mod subscriber;
mod world;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use books::Report;
use midge::wire::PacketType;
use world::run;

/// Worlds that `make test` looks at.
const WORLDS: u64 = 2000;

/// Runs worlds with these seeds; panics with the seed of the first that fails.
fn worlds(seeds: impl Iterator<Item = u64>) -> Report {
    let mut sum = Report::default();
    for seed in seeds {
        match run(seed, None) {
            Ok(report) => sum.add(report),
            Err(what) => panic!("SIM_SEED={seed}: {what}"),
        }
    }
    sum
}

/// Says what happens, to who looks at one world closely: with `SIM_TRACE=1`.
fn note(what: impl FnOnce() -> String) {
    static IS_WANTED: OnceLock<bool> = OnceLock::new();
    if *IS_WANTED.get_or_init(|| number("SIM_TRACE").is_some()) {
        println!("{}", what());
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn what_was_acknowledged_survives_every_crash() {
    if let Some(seed) = number("SIM_SEED") {
        println!("{}", worlds(std::iter::once(seed)));
        return;
    }
    let seconds = Duration::from_secs(number("SIM_SECONDS").unwrap_or(0));
    let start = Instant::now();
    let first = number("SIM_FIRST").unwrap_or(1);
    let report =
        worlds((first..).take_while(|seed| seed - first < WORLDS || start.elapsed() < seconds));
    println!("{report}");
    assert!(report.crashes > WORLDS, "too few crashes: {report}");
    assert!(report.cleaned > WORLDS / 4, "too little cleaning: {report}");
}

/// Each gate is there for a reason: without any one of them some world falls apart.
fn fails_without(gate: PacketType) {
    const PATIENCE: u64 = 3000;
    for seed in 1..PATIENCE {
        if let Err(what) = run(seed, Some(gate)) {
            println!("without the gate of {}, seed {seed}: {what}", gate.name());
            return;
        }
    }
    panic!("nobody misses the gate of {}", gate.name());
}

#[test]
fn without_the_gate_of_puback_messages_are_lost() {
    fails_without(PacketType::PubAck);
}

#[test]
fn without_the_gate_of_pubrec_messages_are_lost() {
    fails_without(PacketType::PubRec);
}

#[test]
fn without_the_gate_of_pubrel_messages_come_twice() {
    fails_without(PacketType::PubRel);
}

#[test]
fn without_the_gate_of_pubcomp_messages_are_lost() {
    fails_without(PacketType::PubComp);
}

#[test]
fn without_the_gate_of_the_first_publish_qos_2_breaks() {
    fails_without(PacketType::Publish);
}

#[test]
fn without_the_gate_of_suback_subscriptions_are_lost() {
    fails_without(PacketType::SubAck);
}

#[test]
fn without_the_gate_of_connack_sessions_are_lost() {
    fails_without(PacketType::ConnAck);
}
