//! Publishing and subscribing, and the two wildcards: steps 4 to 6 of the walk-through.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::client::constellations;
use crate::harness::tools;
use crate::harness::{Broker, Clients, Dir, Kind, Pair, Process, loopbacks};

constellations! {
    /// Each line is there as soon as it is published, into a pipe too; Ctrl-C ends with 0.
    fn a_subscriber_prints_what_is_published(pair) {
        for host in loopbacks() {
            let broker = Broker::open(pair.broker);
            let mut sub = pair.sub_at(host, &broker, &["-t", "yeet-piano.sh"]);
            for text in ["test", "test2"] {
                Process::run(&mut pair.command(
                    "pub",
                    host,
                    broker.port(),
                    &["-t", "yeet-piano.sh", "-m", text],
                ))
                .ok();
                sub.expect(text);
            }
            let ended = sub.stop(Signal::SIGINT);
            assert_eq!((ended.code, ended.out.as_str()), (0, "test\ntest2\n"));
        }
    }

    /// `-h localhost` reaches a broker that was started without any configuration.
    fn localhost_is_the_default(pair) {
        let broker = crate::harness::broker::Setup::new(pair.broker).start();
        let port = broker.port().to_string();
        let proxy_free = |name: &str, args: &[&str]| {
            let mut command = pair.clients.command(name);
            command.args(["-p", &port]).args(args);
            command
        };
        // A retained message needs no subscriber that is already there.
        Process::run(&mut proxy_free("pub", &["-t", "a", "-m", "x", "-r"])).ok();
        let ended = Process::run(&mut proxy_free("sub", &["-t", "a", "-C", "1"])).ok();
        assert_eq!(ended.out, "x\n");
        let at_localhost = &["-h", "localhost", "-t", "a", "-C", "1"];
        assert_eq!(Process::run(&mut proxy_free("sub", at_localhost)).ok().out, "x\n");
    }

    /// `+` stands for exactly one level, and the slash at the end counts.
    fn plus_is_one_level(pair) {
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-v", "-t", "usr/+/dconf/", "-t", "end"]);
        for topic in [
            "usr/toto/dconf/",
            "usr/toto/dconf",
            "usr/toto/dconf/x",
            "usr/toto/titi/dconf/",
            "usr/dconf/",
            "usr//dconf/",
            "usr/toto/dconfig/",
            "xusr/toto/dconf/",
            "end",
        ] {
            pair.publish(&broker, &["-t", topic, "-m", "bonjour"]);
        }
        sub.process.expect_all(["usr/toto/dconf/ bonjour", "usr//dconf/ bonjour", "end bonjour"]);
    }

    /// `#` stands for everything below and for the level itself.
    fn hash_is_everything_below(pair) {
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-v", "-t", "usr/test/#", "-t", "end"]);
        for topic in [
            "usr/test/coucou/",
            "usr/test/coucou/test/test",
            "usr/test",
            "usr/test/",
            "usr/testing",
            "usr",
            "end",
        ] {
            pair.publish(&broker, &["-t", topic, "-m", "bonjour"]);
        }
        sub.process.expect_all([
            "usr/test/coucou/ bonjour",
            "usr/test/coucou/test/test bonjour",
            "usr/test bonjour",
            "usr/test/ bonjour",
            "end bonjour",
        ]);
    }

    /// A filter that begins with a wildcard does not match topics that begin with `$`.
    fn leading_wildcards_see_no_dollar_topics(pair) {
        let broker = Broker::open_with(pair.broker, "sys_interval 1\n");
        let mut all = pair.sub(&broker, &["-v", "-t", "#"]);
        let mut one = pair.sub(&broker, &["-v", "-t", "+/broker/version", "-t", "end"]);
        let mut sys = pair.sub(&broker, &["-v", "-t", "$SYS/broker/version"]);
        assert!(sys.line().starts_with("$SYS/broker/version "));
        // Two rounds of $SYS have been and gone when its uptime has changed twice.
        let mut uptime = pair.sub(&broker, &["-t", "$SYS/broker/uptime"]);
        for _ in 0..3 {
            assert!(uptime.line().ends_with(" seconds"));
        }
        pair.publish(&broker, &["-t", "end", "-m", "x"]);
        all.expect("end x");
        one.expect("end x");
    }
}

/// The clients are also themselves when called by the names that scripts know.
#[test]
fn links_with_mosquittos_names_are_the_clients() {
    if Clients::Midge.is_peer() {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let dir = Dir::new();
    let port = broker.port().to_string();
    let linked = |name: &str, args: &[&str]| {
        let link = dir.file(name);
        if !link.exists() {
            std::os::unix::fs::symlink(tools::midge(), &link).unwrap();
        }
        let mut command = Command::new(link);
        command.args(args).env("HOME", "/nonexistent");
        Process::run(&mut command)
    };
    linked("mosquitto_pub", &["-p", &port, "-t", "a", "-m", "x", "-r"]).ok();
    let sub = linked("mosquitto_sub", &["-p", &port, "-t", "a", "-C", "1"]).ok();
    assert_eq!(sub.out, "x\n");
    linked("mosquitto_passwd", &["-b", "-c", &dir.at("pw"), "u", "p"]).ok();
    assert!(dir.read("pw").starts_with("u:$"));
    assert!(linked("mosquitto_rr", &["--version"]).all().contains("rr"));
    let started = linked(
        "mosquitto",
        &["--test-config", "-c", &dir.write("c.conf", "")],
    );
    assert_eq!(started.code, 0, "{started:?}");
}
