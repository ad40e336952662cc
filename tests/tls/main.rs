//! Encrypted listeners: the real binary, Debian's clients, the openssl command, and strangers.
#![cfg(feature = "tls")]

mod authority;
#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // made for other suites, which use all of it
#[path = "../cli/harness/dir.rs"]
mod dir;
#[allow(dead_code)]
#[path = "../hostile/harness.rs"]
mod harness;
mod paho;
#[allow(dead_code)]
#[path = "../hostile/pair.rs"]
mod pair;
#[allow(dead_code)]
#[path = "../cli/harness/port.rs"]
mod port;
mod renewal;
mod storms;
mod strangers;
mod talk;
#[allow(dead_code)]
#[path = "../cli/harness/tools.rs"]
mod tools;
#[path = "../cli/wait.rs"]
mod wait;
mod who;

use authority::Authority;
use dir::Dir;
use harness::Broker;
use std::process::{Command, Output, Stdio};

/// A broker whose listener is encrypted, for `localhost`, with more about it in `conf`.
fn encrypted(conf: &str, prepare: impl FnOnce(&Authority)) -> Broker {
    encrypted_by(conf, |authority| {
        authority.server("server", "localhost");
        prepare(authority);
    })
}

/// The same, with whatever certificate `prepare` makes for it.
fn encrypted_by(conf: &str, prepare: impl FnOnce(&Authority)) -> Broker {
    let dir = Dir::new();
    prepare(&Authority::new(&dir));
    let conf = format!("certfile DIR/server.crt\nkeyfile DIR/server.key\n{conf}");
    Broker::start_in(dir, &conf, |command| command)
}

/// One of Debian's clients, pointed at the broker, that trusts its authority.
fn debians(broker: &Broker, name: &str) -> Command {
    let mut command = Command::new(name);
    command.args(["-h", "localhost", "-p", &broker.port().to_string()]);
    command.args(["--cafile", &broker.dir().at("ca.crt")]);
    command.stdin(Stdio::null());
    command
}

/// The same with the certificate of a client.
fn debians_as(broker: &Broker, name: &str, who: &str) -> Command {
    let mut command = debians(broker, name);
    let file = |kind: &str| broker.dir().at(&format!("{who}.{kind}"));
    command.args(["--cert", &file("crt"), "--key", &file("key")]);
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// Whether the openssl command gets through a handshake with these arguments.
fn shakes_hands(broker: &Broker, args: &[&str]) -> bool {
    let done = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &format!("localhost:{}", broker.port()),
        ])
        .args([
            "-CAfile",
            &broker.dir().at("ca.crt"),
            "-verify_return_error",
        ])
        .args(args)
        .stdin(Stdio::null())
        .output();
    done.unwrap().status.success()
}
