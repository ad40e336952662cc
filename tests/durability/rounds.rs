//! The random rounds, and the proof that they find what is lost.

use crate::broker::Program;
use crate::ledger::Rule;
use crate::tools::Tool;
use crate::world;
use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// Rounds in all, unless the environment says otherwise.
const ROUNDS: u64 = 10;

/// Plays every other round, so that two tests share them.
fn play(half: u64) {
    let number = |name: &str| Some(env::var(name).ok()?.parse::<u64>().unwrap());
    let (first, rounds) = match number("DURABILITY_SEED") {
        Some(seed) => (seed, 1),
        None => (now(), number("DURABILITY_ROUNDS").unwrap_or(ROUNDS)),
    };
    for seed in (first..first + rounds).filter(|seed| (seed - first) % 2 == half) {
        let report = world::round(seed, Program::from_environment(), "");
        println!("seed {seed}: {report}");
        assert!(report.is_clean(), "DURABILITY_SEED={seed}: {report}");
    }
}

fn now() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.expect("it is later than 1970").as_millis() as u64
}

#[test]
fn killed_at_random_instants() {
    play(0);
}

#[test]
fn killed_at_other_random_instants() {
    play(1);
}

/// A broker that saves every half an hour loses everything that a second brought: the ledger has
/// to say so.
#[test]
fn the_ledger_finds_what_another_broker_loses() {
    if !Tool::Mosquitto.ready() {
        return;
    }
    let report = world::round(1, Program::peer(Tool::Mosquitto.path(), ""), "");
    println!("{report}");
    assert!(report.count(Rule::Session) > 0, "{report}");
    assert!(report.count(Rule::Lost) > 0, "{report}");
}
