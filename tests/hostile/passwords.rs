//! Passwords that take long to check, and clients that do not wait for it.

use crate::common::packet::*;
use crate::dir::Dir;
use crate::harness::{Broker, Client, Peers};
use nix::sys::signal::Signal;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Half a second of work for a small machine.
const ROUNDS: &str = "200000";

fn passwd(dir: &Dir, user: &str, password: &str) {
    let done = Command::new(env!("CARGO_BIN_EXE_midge"))
        .args(["passwd", "-b", "-I", ROUNDS, &dir.at("passwords")])
        .args([user, password])
        .status();
    assert!(done.unwrap().success());
}

/// A broker that wants the passwords of these users, who have their name for a password.
fn broker(users: &[&str]) -> Broker {
    let dir = Dir::new();
    dir.write("passwords", "");
    for user in users {
        passwd(&dir, user, user);
    }
    let conf = "sys_interval 0\npassword_file DIR/passwords";
    Broker::start_in(dir, conf, |command| command)
}

fn hello(user: &str) -> Connect {
    let mut connect = Connect::new(Version::V311, user);
    connect.user_name = Some(user.to_string());
    connect.password = Some(user.into());
    connect
}

/// What the flood asks for would take minutes.
#[test]
fn those_who_leave_do_not_keep_others_from_signing_in() {
    let broker = broker(&["user"]);
    for n in 0..400 {
        let mut connect = hello("user");
        connect.client_id = format!("flood-{n}");
        let mut client = broker.connection();
        client.say(Packet::Connect(connect));
        match n % 2 {
            0 => client.reset(),
            _ => drop(client),
        }
    }
    broker.client_by(hello("user"), Version::V311);
}

#[test]
fn what_is_said_behind_connect_waits_for_the_verdict() {
    let broker = broker(&["user"]);
    let words = |client: &mut Client, connect: Connect| {
        client.say(Packet::Connect(connect));
        client.say(Packet::Subscribe(Subscribe::new(1).filter("x", 0)));
        for n in 0..1000 {
            client.say(Packet::Publish(Publish::new("x", n.to_string())));
        }
        client.half_close();
    };
    let mut right = broker.connection();
    words(&mut right, hello("user"));
    let heard = right.hear_out();
    let names: Vec<_> = heard.iter().take(3).map(Packet::name).collect();
    assert_eq!(names, ["CONNACK", "SUBACK", "PUBLISH"]);
    assert_eq!(heard.len(), 1002);
    let mut wrong = broker.connection();
    let mut connect = hello("user");
    connect.password = Some("other".into());
    words(&mut wrong, connect);
    let heard = wrong.hear_out();
    assert!(
        matches!(&heard[..], [Packet::ConnAck(ack)] if ack.code == 5),
        "{heard:?}"
    );
}

#[test]
fn a_reload_sends_away_whose_password_has_changed() {
    let broker = broker(&["stays", "changes"]);
    let mut stays = broker.client_by(hello("stays"), Version::V311);
    let mut changes = broker.client_by(hello("changes"), Version::V311);
    passwd(broker.dir(), "changes", "another");
    broker.signal(Signal::SIGHUP);
    assert_eq!(changes.hear(), None);
    stays.say(Packet::PingReq);
    assert_eq!(stays.hear(), Some(Packet::PingResp));
}

/// Where the limit of processes is reached, passwords wait and everything else goes on; the log is
/// told, but not in each turn.
#[test]
fn a_thread_that_is_not_given_is_told_once() {
    let dir = Dir::new();
    dir.write("passwords", "");
    passwd(&dir, "user", "user");
    for name in [".", "passwords"] {
        let mode = Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.file(name), mode).unwrap();
    }
    let conf = "sys_interval 0\npassword_file DIR/passwords";
    let broker = Broker::start_in(dir, conf, |command| {
        let mut limited = Command::new("setpriv");
        if nix::unistd::geteuid().is_root() {
            // Who has no such limit.
            limited.args(["--reuid=1", "--regid=1", "--clear-groups"]);
        }
        limited.args(["prlimit", "--nproc=1"]);
        limited.arg(command.get_program()).args(command.get_args());
        limited
    });
    let mut waits = broker.connection();
    waits.say(Packet::Connect(hello("user")));
    broker.logs("the system gives no thread");
    let mut peers = Peers::new(&broker);
    for _ in 0..20 {
        peers.check();
    }
    let told = broker.log().matches("the system gives no thread").count();
    assert_eq!(told, 1);
}
