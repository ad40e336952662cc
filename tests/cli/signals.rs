//! What the broker does when it is told something by a signal.

use std::fs;

use nix::libc::SIGRTMIN;
use nix::sys::signal::Signal;

use crate::harness::broker::{OPEN, Setup, peer_broker};
use crate::harness::raw::{Connect, Raw, publish, subscribe};
use crate::harness::{Broker, Clients, Kind, Process};

/// A file with one user.
fn user(file: &str, name: &str, password: &str) {
    let args = ["-b", "-c", file, name, password];
    Process::run(Clients::Midge.command("passwd").args(args)).ok();
}

/// HUP reads password and ACL files again.
#[test]
fn hup_reads_passwords_again() {
    let setup = Setup::new(Kind::Midge);
    let file = setup.dir.at("passwd");
    user(&file, "anna", "one");
    let conf = format!("{}password_file {file}\n", OPEN.replace("true", "false"));
    let broker = setup.conf(&conf).start();
    let code = |name: &str| {
        let connect = Connect::new("x").user(Some(name), Some("one"));
        Raw::sign_in(&broker, &connect).1[3]
    };
    assert_eq!((code("anna"), code("bert")), (0, 5));
    user(&file, "bert", "one");
    broker.signal(Signal::SIGHUP);
    broker.logs("Reloading config.");
    crate::wait::until_true("the new user", || code("bert") == 0);
    assert_eq!(code("anna"), 5);
}

/// HUP disconnects who may not be there any more, and leaves the others alone.
#[test]
fn hup_disconnects_who_is_no_longer_known() {
    let setup = Setup::new(Kind::Midge);
    let file = setup.dir.at("passwd");
    user(&file, "anna", "one");
    let args = ["-b", &file, "bert", "two"];
    Process::run(Clients::Midge.command("passwd").args(args)).ok();
    let conf = format!("{}password_file {file}\n", OPEN.replace("true", "false"));
    let broker = setup.conf(&conf).start();
    let anna = Raw::welcome(&broker, &Connect::new("a").user(Some("anna"), Some("one")));
    let mut bert = Raw::welcome(&broker, &Connect::new("b").user(Some("bert"), Some("two")));
    let args = ["-D", &file, "anna"];
    Process::run(Clients::Midge.command("passwd").args(args)).ok();
    broker.signal(Signal::SIGHUP);
    anna.closed();
    bert.send(&[0xc0, 0]);
    assert_eq!(bert.receive(), [0xd0, 0]);
}

/// HUP closes and opens the log file again: a file that was moved away gets no more lines.
#[test]
fn hup_opens_the_log_again() {
    let broker = Broker::open_with(Kind::Midge, "log_dest file {dir}/log\n");
    let dir = broker.dir();
    broker.file_has("log", " running");
    fs::rename(dir.file("log"), dir.file("log.1")).unwrap();
    let _a = Raw::welcome(&broker, &Connect::new("before"));
    broker.file_has("log.1", "as before (");
    broker.signal(Signal::SIGHUP);
    crate::wait::until_true("a new log", || dir.file("log").exists());
    let _b = Raw::welcome(&broker, &Connect::new("after"));
    broker.file_has("log", "as after (");
    assert!(!dir.read("log.1").contains("as after ("));
}

/// HUP takes new values from the configuration, and new files of conf.d.
#[test]
fn hup_takes_new_values() {
    let mut broker = Broker::open_with(Kind::Midge, "message_size_limit 0\n");
    let send = |broker: &Broker| {
        let mut raw = Raw::welcome(broker, &Connect::new("x"));
        raw.send(&subscribe("#", 0));
        raw.receive();
        raw.send(&publish(0x30, "big", 0, &[b'x'; 100]));
        raw.send(&publish(0x30, "end", 0, b""));
        raw.receive()[4]
    };
    assert_eq!(send(&broker), b'b');
    broker.rewrite(&format!("message_size_limit 50\n{OPEN}"));
    broker.signal(Signal::SIGHUP);
    crate::wait::until_true("the new limit", || send(&broker) == b'e');
}

/// A configuration that is wrong at HUP changes nothing at all, and the broker stays.
#[test]
fn a_wrong_configuration_at_hup_changes_nothing() {
    let mut broker = Broker::open(Kind::Midge);
    let mut here = Raw::welcome(&broker, &Connect::new("here"));
    broker.rewrite(&format!(
        "{}no_such_directive 1\n",
        OPEN.replace("true", "false")
    ));
    broker.signal(Signal::SIGHUP);
    broker.logs("no_such_directive");
    let place = format!("{}:4", broker.dir().at("midge.conf"));
    broker.logs(&place);
    here.send(&[0xc0, 0]);
    assert_eq!(here.receive(), [0xd0, 0]);
    if peer_broker("mosquitto applies what it read before the wrong line") {
        return;
    }
    let _still_open = Raw::welcome(&broker, &Connect::new("another"));
}

/// Who rotates the log looks for what went wrong in the new one.
#[test]
fn why_a_reload_failed_stands_in_the_new_log() {
    let log = "log_dest file {dir}/log\n";
    let mut broker = Broker::open_with(Kind::Midge, log);
    broker.file_has("log", " running");
    let dir = broker.dir();
    fs::rename(dir.file("log"), dir.file("log.1")).unwrap();
    broker.rewrite(&format!("{OPEN}{log}no_such_directive 1\n"));
    broker.signal(Signal::SIGHUP);
    crate::wait::until_true("a new log", || broker.dir().file("log").exists());
    broker.file_has("log", "no_such_directive");
}

/// What needs a restart is named as long as it waits, by what runs: not by the reload before.
#[test]
fn hup_names_what_waits_for_a_restart() {
    if peer_broker("mosquitto does not say") {
        return;
    }
    let kept = "persistence true\npersistence_location {dir}/\n";
    let mut broker = Broker::open_with(Kind::Midge, kept);
    let waits = "A restart is needed before these take effect: persistence, persistence_location.";
    let reloads = |broker: &Broker, waiting: usize| {
        broker.signal(Signal::SIGHUP);
        crate::wait::until_true("what waits", || {
            broker.process.err.text().matches(waits).count() == waiting
        });
    };
    broker.rewrite(OPEN);
    reloads(&broker, 1);
    broker.rewrite(&format!("{OPEN}sys_interval 5\n"));
    reloads(&broker, 2);
    broker.signal(Signal::SIGUSR1);
    broker.logs("What was acknowledged is saved already");
    broker.rewrite(&format!("{OPEN}{kept}max_keepalive 30\n"));
    broker.signal(Signal::SIGHUP);
    crate::wait::until_true("the new limit", || {
        let connect = Connect::new("x").v5();
        Raw::sign_in(&broker, &connect)
            .1
            .windows(3)
            .any(|pair| pair == [0x13, 0, 30])
    });
    assert_eq!(
        broker
            .process
            .err
            .text()
            .matches("A restart is needed")
            .count(),
        2
    );
}

/// USR1 and USR2 do not end the broker; USR2 shows the subscriptions on standard output.
#[test]
fn usr1_and_usr2_are_answered() {
    let broker = Broker::open(Kind::Midge);
    let mut raw = Raw::welcome(&broker, &Connect::new("here"));
    raw.send(&subscribe("some/filter/+", 1));
    raw.receive();
    broker.signal(Signal::SIGUSR1);
    broker.signal(Signal::SIGUSR2);
    // Both have been dealt with when the end has: SIGTERM comes after them.
    raw.send(&[0xc0, 0]);
    assert_eq!(raw.receive(), [0xd0, 0]);
    if Kind::Midge.is_peer() {
        return; // 2.0.11 shows it when its standard output has been flushed
    }
    crate::wait::until_true("the subscription tree", || {
        broker.process.out.text().contains("some")
    });
    assert_eq!(broker.stop().code, 0);
}

/// RTMIN, new in 2.1, opens the log file again and does nothing else.
#[test]
fn rtmin_opens_the_log_again() {
    if peer_broker("2.0 ends at SIGRTMIN") {
        return;
    }
    let broker = Broker::open_with(Kind::Midge, "log_dest file {dir}/log\n");
    let dir = broker.dir();
    broker.file_has("log", " running");
    fs::rename(dir.file("log"), dir.file("log.1")).unwrap();
    broker.process.signal_number(SIGRTMIN());
    crate::wait::until_true("a new log", || dir.file("log").exists());
    let _raw = Raw::welcome(&broker, &Connect::new("after"));
    broker.file_has("log", "as after (");
    let both = dir.read("log") + &dir.read("log.1");
    assert!(!both.contains("Reloading config."), "{both}");
}

/// The wills of all who are connected are sent at the end of the broker.
#[test]
fn wills_at_the_end_of_the_broker() {
    if peer_broker("2.0.11 sends them and does not wait for the sockets") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let mut watcher = Raw::welcome(&broker, &Connect::new("watcher"));
    watcher.send(&subscribe("will/#", 0));
    watcher.receive();
    let _mortal = Raw::welcome(&broker, &Connect::new("mortal").will("will/x", "gone", 0));
    broker.signal(Signal::SIGTERM);
    assert_eq!(watcher.receive(), publish(0x30, "will/x", 0, b"gone"));
}
