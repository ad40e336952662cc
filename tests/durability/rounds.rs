//! The random rounds, and the proof that they find what is lost.

use crate::bell::Moment;
use crate::broker::Program;
use crate::ledger::Rule;
use crate::tools::Tool;
use crate::world::{self, Plan};
use nix::sys::signal::Signal;
use std::env;
use std::sync::OnceLock;
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
            println!("seed {seed} fails: {report}");
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

/// The same for all tests of a run: two that share the rounds count from it.
fn now() -> u64 {
    static NOW: OnceLock<u64> = OnceLock::new();
    *NOW.get_or_init(|| {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        time.expect("it is later than 1970").as_millis() as u64
    })
}

/// What the other rounds find has to do with the kill.
#[test]
fn nothing_is_wrong_without_a_kill() {
    let report = world::round(Plan {
        kills: Some(Vec::new()),
        peace: Duration::from_millis(400),
        ..Plan::random(now())
    });
    assert!(report.is_clean() && report.owed > 0, "{report}");
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
    let moment = Moment::After(Duration::from_millis(400));
    let report = world::round(Plan {
        program: Program::peer(Tool::Mosquitto.path(), ""),
        kills: Some(vec![(Signal::SIGKILL, moment)]),
        ..Plan::random(1)
    });
    println!("{}", report.summary());
    for rule in [Rule::Lost, Rule::Session, Rule::Retained] {
        assert!(report.count(rule) > 0, "no {rule:?}: {report}");
    }
}
