//! The random rounds, and the proof that they find what is lost.

use crate::bell::Moment;
use crate::broker::Program;
use crate::ledger::Rule;
use crate::tools::Tool;
use crate::world::{self, Plan};
use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Rounds in all, unless the environment says otherwise.
const ROUNDS: u64 = 10;

/// Plays every other round, so that two tests share them.
fn play(half: u64) {
    let number = |name: &str| Some(env::var(name).ok()?.parse::<u64>().unwrap());
    let (first, rounds) = match number("DURABILITY_SEED") {
        Some(seed) => (seed, 1),
        None => (now(), number("DURABILITY_ROUNDS").unwrap_or(ROUNDS)),
    };
    let mut bad = Vec::new();
    for seed in (first..first + rounds).filter(|seed| (seed - first) % 2 == half) {
        let report = world::round(Plan::random(seed));
        println!("seed {seed}: {}", report.summary());
        if !report.is_clean() {
            bad.push((seed, report));
        }
    }
    let Some((seed, report)) = bad.first() else {
        return;
    };
    let seeds: Vec<u64> = bad.iter().map(|(seed, _)| *seed).collect();
    panic!("seeds {seeds:?} fail; DURABILITY_SEED={seed}: {report}");
}

/// One round where an acknowledgement does not wait for the disk: the kernel keeps what was
/// written, so that a kill loses nothing.
fn play_without_waiting(conf: &str) {
    if !Program::from_environment().is_midge() {
        return;
    }
    let seed = now();
    let report = world::round(Plan {
        conf,
        ..Plan::random(seed)
    });
    println!("{conf}, seed {seed}: {}", report.summary());
    assert!(report.is_clean(), "{conf}, seed {seed}: {report}");
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

#[test]
fn killed_while_it_syncs_now_and_then() {
    play_without_waiting("persistence_sync 200");
}

#[test]
fn killed_though_it_never_syncs() {
    play_without_waiting("persistence_sync never");
}

/// A broker that saves every half an hour loses everything that a second brought: the ledger has
/// to say so.
#[test]
fn the_ledger_finds_what_another_broker_loses() {
    if !Tool::Mosquitto.ready() {
        return;
    }
    let report = world::round(Plan {
        program: Program::peer(Tool::Mosquitto.path(), ""),
        moments: vec![Moment::After(Duration::from_millis(400))],
        ..Plan::random(1)
    });
    println!("{}", report.summary());
    for rule in [
        Rule::Lost,
        Rule::Session,
        Rule::Subscription,
        Rule::Retained,
    ] {
        assert!(report.count(rule) > 0, "no {rule:?}: {report}");
    }
}
