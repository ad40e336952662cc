//! Instructions of the broker's parts on their own (see `crate::parts`), and of the start on a
//! journal.
//!
//! An operation's count is that of twice as many operations less that of so many, so that the
//! process around them cancels out.

use std::path::Path;
use std::process::{Command, Stdio};

use super::tool::Tool;
use super::{LIMIT, QUIET};
use crate::broker::{Broker, Contestant};
use crate::client;
use crate::flow::{self, Flow, Publishing};
use crate::net::Net;
use crate::rows::{AWAY, drain, join, tables};

/// Name of the figure, name of the part, operations of the shorter run.
pub const PARTS: &[(&str, &str, u64)] = &[
    ("instructions part decode", "decode", 100_000),
    ("instructions part decode v5", "decode v5", 100_000),
    ("instructions part encode", "encode", 100_000),
    ("instructions part encode v5", "encode v5", 100_000),
    ("instructions part match 10k", "match 10k", 100_000),
    ("instructions part match 100k", "match 100k", 100_000),
];

/// Name of the figure, and whether the records are of retained messages or of queued ones.
pub const REPLAYS: &[(&str, bool)] = &[
    ("instructions part replay queued", false),
    ("instructions part replay retained", true),
];

/// Messages in the shorter of two journals.
const RECORDS: u64 = 20_000;
/// The publisher of a replay's messages has so many under way.
const WINDOW: u64 = 200;

/// Instructions of one operation of this part.
pub fn per_operation(dir: &Path, part: &str, operations: u64) -> Result<f64, String> {
    let total = |operations: u64| {
        let out = super::fresh(dir)?;
        let own = std::env::current_exe().map_err(|e| format!("own program: {e}"))?;
        let mut words = Tool::Instructions.command(&out);
        words.push(own.display().to_string());
        words.extend(["part".into(), part.into(), operations.to_string()]);
        let status = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .status()
            .map_err(|e| format!("{}: {e}", words[0]))?;
        match status.success() {
            true => Tool::Instructions.total(&out),
            false => Err(format!("it ended, {status}")),
        }
    };
    let (short, long) = (total(operations)?, total(2 * operations)?);
    Ok((long as f64 - short as f64) / operations as f64)
}

/// Instructions from the start to the end of a broker, for each message that its journal has: as
/// many records are replayed, each with the message and who waits for it.
pub fn per_record(dir: &Path, contestant: &Contestant, retained: bool) -> Result<f64, String> {
    let short = replay(dir, contestant, retained, RECORDS)?;
    let long = replay(dir, contestant, retained, 2 * RECORDS)?;
    Ok((long as f64 - short as f64) / RECORDS as f64)
}

/// The total of one start; every message must still be there.
fn replay(
    dir: &Path,
    contestant: &Contestant,
    retained: bool,
    messages: u64,
) -> Result<u64, String> {
    let place = dir.join("data");
    let settings = format!(
        "persistence true\npersistence_location {}/\n{QUIET}",
        place.display()
    );
    let broker = Broker::start(contestant, dir, &settings)?;
    let (mut net, mut flow) = (Net::new()?, Flow::default());
    if !retained {
        client::lasting_session(broker.port, AWAY, "bench/away/+", 1)?;
        flow.subscriber_away(1);
    }
    let peer = join(&mut net, &broker, "bench-pub")?;
    let plan = match retained {
        true => tables::publishing("bench/one/#/value", messages as usize, true, 1, false),
        false => Publishing {
            topic: "bench/away/value",
            topics: 0,
            retain: false,
            qos: 1,
            payload_bytes: 64,
            window: WINDOW,
            copies: 1,
            closed_loop: false,
        },
    };
    flow.publisher(peer, &plan);
    flow.publishers[0].limit = messages;
    flow::run_for(&mut net, &mut flow, LIMIT)?;
    flow::settle(&mut net, &mut flow)?;
    drop(net);

    let out = super::fresh(dir)?;
    let (mut watched, _) = broker.restart_under(&Tool::Instructions.command(&out))?;
    watched.stop()?;
    let total = Tool::Instructions.total(&out)?;

    let (broker, _) = watched.restart_under(&[])?;
    if retained {
        let mut missing = messages;
        client::listen(broker.port, "bench/one/+/value", |_, _| {
            missing -= 1;
            Ok(missing > 0)
        })?;
    } else {
        drain(&mut Net::new()?, &mut flow, &broker)?;
    }
    Ok(total)
}
