//! Brokers side by side: `make bench`.
//!
//! Each scenario starts each broker in turn (A B A B), a fresh process on an empty folder, pinned
//! to core 0; this process is the load generator, one thread on core 1. What counts is the broker's
//! CPU time per message, in and out, user and system, of all its threads: it holds on a noisy
//! machine; rates and latencies are reported beside it. Near 100 % of its core the generator was
//! the bottleneck, and rates say nothing. Everything that is counted is verified: a message that is
//! lost, comes twice or out of order fails the run.
//!
//! - `broker`: who is compared, and starting and ending them. `proc`: what the kernel says of them.
//! - `packet`, `net`, `tls`, `client`: enough MQTT for a load. `flow`: the load, which verifies.
//!   `ping`: latency beside it. `flood`: a load in the way of others. `stop`: a run that is cut
//!   short.
//! - `exact`: what does not move with the machine: instructions, calls, allocations, bytes.
//!   `parts`: the broker's own code, for some of these.
//! - `rows`: the scenarios. `table`: what came of them. `disk`: what a sync costs here.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use broker::{Contestant, Places};
use rows::{ALL, Context, Scenario};
use table::{Results, Sink};

mod broker;
mod client;
mod disk;
mod exact;
mod flood;
mod flow;
mod net;
mod packet;
#[cfg(feature = "parts")]
mod parts;
mod ping;
mod proc;
mod relay;
mod rows;
mod stop;
mod table;
mod tls;

/// What the command line asks for.
struct Options {
    full: bool,
    /// Empty: all.
    scenarios: Vec<String>,
    /// Empty: those that each scenario names.
    brokers: Vec<String>,
    runs: Option<u32>,
    /// Exact counts instead: only instructions, or all of them with their limits.
    exact: Option<Exact>,
    midge: PathBuf,
    peers: PathBuf,
    dir: PathBuf,
}

/// Which exact counts.
enum Exact {
    Instructions,
    /// All, against the limits in this file.
    Limits(PathBuf),
}

fn main() -> ExitCode {
    let result = as_part().unwrap_or_else(as_bench);
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// What this process is when the bench itself has started it: a part of its work.
fn as_part() -> Option<Result<bool, String>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [role, name, count] = &args[..] else {
        return None;
    };
    let count = count.parse().map_err(|_| format!("{count}: not a number"));
    match role.as_str() {
        "part" => Some(count.and_then(|count| part(name, count)).map(|()| true)),
        "flood" => {
            let port = name.parse().map_err(|_| format!("{name}: not a port"));
            let ran = port.and_then(|port| flood::run(port, count? > 0));
            Some(ran.map(|()| true))
        }
        "relay" => {
            let port = name.parse().map_err(|_| format!("{name}: not a port"));
            Some(port.and_then(relay::run).map(|()| true))
        }
        _ => None,
    }
}

#[cfg(feature = "parts")]
fn part(name: &str, operations: usize) -> Result<(), String> {
    parts::run(name, operations)
}

#[cfg(not(feature = "parts"))]
fn part(name: &str, _: usize) -> Result<(), String> {
    Err(format!(
        "{name}: this bench was built without --features parts"
    ))
}

fn as_bench() -> Result<bool, String> {
    options()?.map_or(Ok(true), |options| run(&options))
}

fn options() -> Result<Option<Options>, String> {
    let mut flags = getopts::Options::new();
    flags
        .optflag("h", "help", "show this text")
        .optflag("f", "full", "the whole sizes; takes an hour")
        .optopt(
            "s",
            "scenario",
            "only these, with commas or blanks between",
            "NAMES",
        )
        .optopt(
            "b",
            "brokers",
            "compare these, the first with each other one",
            "NAMES",
        )
        .optflag(
            "m",
            "micro",
            "instructions per message instead, under valgrind",
        )
        .optopt(
            "l",
            "limits",
            "every exact count, against the limits in FILE",
            "FILE",
        )
        .optopt("r", "runs", "run each broker so often", "N")
        .optopt("", "midge", "the program (target/release/midge)", "FILE")
        .optopt(
            "",
            "peers",
            "where tests/setup.sh unpacked them (target/peers)",
            "DIR",
        )
        .optopt(
            "d",
            "dir",
            "the brokers' files (target/bench/data): a real disk",
            "DIR",
        );
    let args: Vec<String> = std::env::args().skip(1).collect();
    let found = flags.parse(args).map_err(|e| e.to_string())?;
    if found.opt_present("help") {
        print!("{}", help(&flags));
        return Ok(None);
    }
    let names = |flag: &str| -> Vec<String> {
        let text = found.opt_str(flag).unwrap_or_default();
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        words.map(String::from).collect()
    };
    let path = |flag: &str, otherwise: &str| {
        PathBuf::from(found.opt_str(flag).unwrap_or_else(|| otherwise.into()))
    };
    let runs = match found.opt_str("runs").filter(|text| !text.is_empty()) {
        Some(text) => Some(
            text.parse()
                .map_err(|_| format!("--runs {text}: not a number"))?,
        ),
        None => None,
    };
    let options = Options {
        full: found.opt_present("full"),
        scenarios: names("scenario"),
        brokers: names("brokers"),
        runs,
        exact: match (found.opt_str("limits"), found.opt_present("micro")) {
            (Some(file), _) => Some(Exact::Limits(file.into())),
            (None, true) => Some(Exact::Instructions),
            (None, false) => None,
        },
        midge: path("midge", "target/release/midge"),
        peers: path("peers", "target/peers"),
        dir: path("dir", "target/bench/data"),
    };
    for name in &options.scenarios {
        if options.exact.is_none() && !ALL.iter().any(|scenario| scenario.name == *name) {
            return Err(format!("no scenario is called {name}: see --help"));
        }
    }
    Ok(Some(options))
}

fn help(flags: &getopts::Options) -> String {
    let mut text =
        flags.usage("Usage: make bench [SCENARIO=NAMES] [BROKERS=NAMES] [FULL=1] [RUNS=N]");
    text.push_str("\nScenarios (in brackets: the quick size):\n");
    for scenario in ALL {
        let _ = writeln!(text, "    {:18}{}", scenario.name, scenario.about);
    }
    text.push_str("\nBrokers:\n");
    for (name, about) in broker::KNOWN {
        let _ = writeln!(text, "    {name:18}{about}");
    }
    text
}

/// Runs what is asked for and prints a table for each set of brokers; false if any run failed.
fn run(options: &Options) -> Result<bool, String> {
    if !proc::can_pin() {
        return Err("two cores are needed: one for the broker, one for the load".into());
    }
    proc::pin(proc::GENERATOR_CORE);
    stop::listen()?;
    std::fs::create_dir_all(&options.dir).map_err(|e| format!("{}: {e}", options.dir.display()))?;
    let dir = options
        .dir
        .canonicalize()
        .map_err(|e| format!("{}: {e}", options.dir.display()))?;
    let places = Places {
        midge: absolute(&options.midge)?,
        mosquitto: absolute(&options.peers)?.join("mosquitto"),
    };
    let context = Context {
        dir: &dir.join("broker"),
        full: options.full,
    };
    if let Some(exact) = &options.exact {
        let name = options.brokers.first().map_or("midge-memory", |name| name);
        let contestant = Contestant::named(name, &places)?;
        let limits = match exact {
            Exact::Instructions => None,
            Exact::Limits(file) => Some(exact::Limits::read(file)?),
        };
        return exact::run(
            context.dir,
            &contestant,
            &options.scenarios,
            limits.as_ref(),
        );
    }
    println!("{}", machine(&dir)?);
    let mut tables: Vec<(Vec<String>, Results)> = Vec::new();
    for scenario in ALL {
        if !options.scenarios.is_empty() && !options.scenarios.iter().any(|s| s == scenario.name) {
            continue;
        }
        let names = match options.brokers.is_empty() {
            true => scenario
                .brokers
                .iter()
                .map(|name| (*name).to_string())
                .collect(),
            false => options.brokers.clone(),
        };
        if tables.last().is_none_or(|(columns, _)| *columns != names) {
            tables.push((names.clone(), Results::default()));
        }
        let Some((_, results)) = tables.last_mut() else {
            continue;
        };
        compare(scenario, options, &context, &places, &names, results)?;
    }
    let mut good = true;
    for (names, results) in &tables {
        println!();
        for name in names {
            let contestant = Contestant::named(name, &places)?;
            println!("{name}: {}", contestant.version());
        }
        println!("\n{}", results.table(names));
        for failure in &results.failures {
            println!("FAILED: {failure}");
            good = false;
        }
    }
    Ok(good)
}

fn compare(
    scenario: &Scenario,
    options: &Options,
    context: &Context<'_>,
    places: &Places,
    names: &[String],
    results: &mut Results,
) -> Result<(), String> {
    let usual = if options.full {
        scenario.runs.1
    } else {
        scenario.runs.0
    };
    let runs = options.runs.unwrap_or(usual);
    for run in 1..=runs {
        for name in names {
            eprintln!("bench: {} {run}/{runs} {name}", scenario.name);
            let contestant = Contestant::named(name, places)?;
            let mut sink = Sink {
                results,
                scenario: scenario.name.to_string(),
                broker: name.clone(),
            };
            stop::check()?;
            if let Err(problem) = (scenario.run)(context, &contestant, &mut sink) {
                eprintln!("bench: {} {name}: FAILED: {problem}", scenario.name);
                results
                    .failures
                    .push(format!("{} {name}, run {run}: {problem}", scenario.name));
            }
        }
    }
    Ok(())
}

/// The machine, in a line or two.
fn machine(dir: &Path) -> Result<String, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name")
                .or(line.strip_prefix("Model"))
        })
        .map_or("unknown", |rest| rest.trim_start_matches(['\t', ' ', ':']));
    let cores = cpus.matches("processor\t").count();
    Ok(format!(
        "{cores} cores, {model}, Linux {}, fdatasync of 4 KiB: {:.2} ms (median), load {}",
        read("/proc/sys/kernel/osrelease").trim(),
        disk::sync_ms(dir)?,
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
    ))
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|e| format!("{}: {e}", path.display()))
}
