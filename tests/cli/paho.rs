//! paho-mqtt, the Python client library, in 3.1.1 and 5.0: the scripts in `paho/` tell line by line
//! what they did, and end with `done`.

use std::path::Path;
use std::process::Command;

use crate::harness::broker::peer_broker;
use crate::harness::{Broker, Kind, Process, Tool};
use crate::wait::LIMIT;

fn run(script: &str) {
    if !Tool::Paho.ready() {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/paho")
        .join(script);
    let mut command = Command::new(Tool::Paho.path());
    command.arg(path).arg(broker.port().to_string());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    // A script has many steps, each with its own limit.
    let mut process = Process::spawn(&mut command);
    process.patience = LIMIT * 4;
    let ended = process.finish();
    assert_eq!(ended.code, 0, "{}\n{}", ended.out, ended.err);
    assert_eq!(ended.out.lines().last(), Some("done"), "{ended:?}");
}

#[test]
fn mqtt_3_1_1() {
    if peer_broker("2.0.11 mixes up what waits at QoS 1 and 2") {
        return;
    }
    run("v311.py");
}

#[test]
fn mqtt_5() {
    run("v5.py");
}
