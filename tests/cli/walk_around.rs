//! What is around the walk-through: steps 25 and 26, the habits of the clients.

use std::time::Instant;

use crate::harness::client::constellations;
use crate::harness::frame::From;
use crate::harness::port::Port;
use crate::harness::{Broker, Clients, Kind, Pair, Process};

constellations! {
    /// Step 25: `$SYS/broker/version` tells a name and a version.
    fn the_broker_says_its_version(pair) {
        let broker = Broker::open(pair.broker);
        let args = ["-t", "$SYS/broker/version", "-C", "1"];
        let ended = pair.run("sub", &broker, &args).ok();
        assert!(ended.out.contains("version ") || ended.out.contains("midge"), "{ended:?}");
        assert_eq!(ended.out.lines().count(), 1);
    }

    /// Step 25: `-v` prints topic and payload; step 26: `-W` ends with 27.
    fn a_time_out_ends_with_27(pair) {
        let broker = Broker::open(pair.broker);
        pair.publish(&broker, &["-t", "a/b", "-m", "some text", "-r"]);
        let before = Instant::now();
        let (ended, proxy) =
            pair.record("sub", "127.0.0.1", &broker, &["-v", "-t", "a/b", "-W", "1"]);
        assert_eq!(ended.code, 27, "{ended:?}");
        assert_eq!(ended.out, "a/b some text\n");
        assert!(ended.err.contains("Timed out"), "{ended:?}");
        assert!(before.elapsed().as_secs_f32() >= 0.9);
        assert_eq!(proxy.sent_by(From::Client).pop().unwrap().bytes, [0xe0, 0]);
    }

    /// Step 26: an empty client id is normal in 3.1.1; ids given are sent as given.
    fn client_ids(pair) {
        let broker = Broker::open(pair.broker);
        for (args, wanted) in [
            (&["-t", "a"][..], Some("")),
            (&["-t", "a", "-i", "me"], Some("me")),
            (&["-t", "a", "-I", "me-"], None),
        ] {
            let sub = pair.sub(&broker, args);
            let connect = sub.proxy.frames().remove(0);
            let id = String::from_utf8(connect.bytes[14..].to_vec()).unwrap();
            match wanted {
                Some(wanted) => assert_eq!(id, wanted),
                None => assert_eq!(id, format!("me-{}", sub.process.pid())),
            }
        }
        // MQTT 3.1 knows no empty id: the client makes one.
        let sub = pair.sub(&broker, &["-t", "a", "-V", "mqttv31"]);
        let connect = sub.proxy.frames().remove(0);
        assert_eq!(connect.bytes[2..11], *b"\0\x06MQIsdp\x03");
        let id = String::from_utf8(connect.bytes[16..].to_vec()).unwrap();
        assert!(id.starts_with("mosq") && (5..=23).contains(&id.len()), "{id}");
    }

    /// Each version on the wire, from `-V`.
    fn protocol_versions(pair) {
        let broker = Broker::open(pair.broker);
        for (flag, level) in [
            ("mqttv31", 3),
            ("31", 3),
            ("mqttv311", 4),
            ("311", 4),
            ("mqttv5", 5),
            ("5", 5),
        ] {
            let mut sub = pair.sub(&broker, &["-t", "a", "-q", "1", "-V", flag]);
            let connect = sub.proxy.frames().remove(0);
            let name_length = usize::from(connect.bytes[3]);
            assert_eq!(connect.bytes[4 + name_length], level, "{flag}");
            pair.publish(&broker, &["-t", "a", "-m", flag, "-q", "1", "-V", flag]);
            sub.expect(flag);
        }
    }

    /// Keep alive as given, 60 otherwise.
    fn keep_alive(pair) {
        let broker = Broker::open(pair.broker);
        for (args, wanted) in [(&["-t", "a"][..], 60_u16), (&["-t", "a", "-k", "5"], 5)] {
            let sub = pair.sub(&broker, args);
            let connect = sub.proxy.frames().remove(0);
            assert_eq!(connect.bytes[10..12], wanted.to_be_bytes());
        }
    }

    /// A client of 5 seconds keep alive speaks up by itself, and is answered.
    fn pings_keep_the_connection(pair) {
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-t", "a", "-k", "5"]);
        assert_eq!(sub.proxy.wait_kind(From::Client, 12, 1).bytes, [0xc0, 0]);
        assert_eq!(sub.proxy.wait_kind(From::Broker, 13, 1).bytes, [0xd0, 0]);
        pair.publish(&broker, &["-t", "a", "-m", "x"]);
        sub.expect("x");
    }

    /// A subscriber whose connection is cut comes back by itself and subscribes again.
    fn a_subscriber_comes_back(pair) {
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-t", "a"]);
        sub.proxy.cut();
        sub.proxy.wait_kind(From::Broker, 9, 2);
        pair.publish(&broker, &["-t", "a", "-m", "x"]);
        sub.expect("x");
    }
}

/// Step 26: nobody listens there: exit 1, "Connection refused".
#[test]
fn an_unreachable_broker_is_exit_1() {
    let port = Port::lease();
    let at = port.number.to_string();
    for (name, more) in [
        ("pub", &["-t", "x", "-m", "x"][..]),
        ("sub", &["-t", "x"]),
        ("rr", &["-t", "x", "-e", "y", "-m", "x"]),
    ] {
        for host in ["127.0.0.1", "::1"] {
            let mut command = Clients::Midge.command(name);
            command.args(["-h", host, "-p", &at]).args(more);
            let ended = Process::run(&mut command);
            assert_eq!(ended.code, 1, "{name}: {ended:?}");
            assert!(ended.err.contains("Connection refused"), "{ended:?}");
        }
    }
}

/// A host that nobody knows: exit 1 too, and a word about the name.
#[test]
fn an_unknown_host_is_exit_1() {
    let mut command = Clients::Midge.command("pub");
    command.args(["-h", "no-such-host.invalid", "-t", "x", "-m", "x"]);
    let ended = Process::run(&mut command);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(!ended.err.is_empty());
}

/// `--quiet` says nothing, and the exit code stays.
#[test]
fn quiet_clients() {
    let port = Port::lease();
    let at = port.number.to_string();
    let mut command = Clients::Midge.command("pub");
    command.args(["-p", &at, "-t", "x", "-m", "x", "--quiet"]);
    let ended = Process::run(&mut command).with(1);
    assert_eq!(ended.all(), "");
}

/// Usage and version: 1 for help as mosquitto's clients do, and what the program is called.
#[test]
fn help_and_version() {
    for name in ["pub", "sub", "rr"] {
        let help = Process::run(Clients::Midge.command(name).arg("--help"));
        assert_eq!(help.code, 1, "{help:?}");
        for flag in ["-h", "-t", "-q", "--will-topic", "-i", "--quiet"] {
            assert!(help.all().contains(flag), "{name}: no {flag} in {help:?}");
        }
        let version = Process::run(Clients::Midge.command(name).arg("--version"));
        let code = i32::from(Clients::Midge.is_peer());
        assert_eq!(version.code, code, "{version:?}");
        assert!(version.all().contains("version"), "{version:?}");
    }
}

/// Wrong use of the clients: exit 1, the reason, and where to find help.
#[test]
fn wrong_use_of_the_clients() {
    for (name, args, word) in [
        ("pub", &["-t", "x"][..], "message"),
        ("pub", &["-m", "x"], "topic"),
        (
            "pub",
            &["-t", "x", "-m", "x", "-n"],
            "Only one type of message|-m",
        ),
        (
            "pub",
            &["-t", "x/#", "-m", "x"],
            "Invalid publish topic 'x/#'",
        ),
        ("pub", &["-t", "x", "-m", "x", "-q", "3"], "QoS|-q"),
        ("pub", &["-t", "x", "-m", "x", "-p", "65536"], "port|-p"),
        ("pub", &["-t", "x", "-m"], "-m"),
        (
            "pub",
            &["-t", "x", "-m", "x", "-f", "/nonexistent"],
            "Only one type of message|-m",
        ),
        (
            "pub",
            &["-t", "x", "-f", "/nonexistent/file"],
            "/nonexistent/file",
        ),
        ("pub", &["-t", "x", "-m", "x", "-V", "6"], "version"),
        (
            "pub",
            &["-t", "x", "-m", "x", "--no-such-flag"],
            "--no-such-flag",
        ),
        ("sub", &[], "topic"),
        ("sub", &["-t", "a#"], "Invalid subscription topic|a#"),
        ("sub", &["-t", "x", "-C", "0"], "message count|-C"),
        ("sub", &["-t", "x", "-i", "a", "-I", "b"], "-i and -I"),
        ("sub", &["-t", "x", "-F", "%Z"], "Invalid format|-F"),
        ("sub", &["-t", "x", "-F", "\\q"], "Invalid|-F"),
        ("sub", &["-t", "x", "-k", "4"], "keepalive|-k"),
        ("rr", &["-t", "x", "-m", "x"], "response topic|-e"),
    ] {
        let ended = Process::run(Clients::Midge.command(name).args(args));
        assert_eq!(ended.code, 1, "{name} {args:?}: {ended:?}");
        let said = ended.all().to_lowercase();
        // Midge names the flag where mosquitto uses a word.
        let named = word.split('|').any(|w| said.contains(&w.to_lowercase()));
        assert!(named, "{name} {args:?}: {ended:?}");
    }
}

/// The options of a client's own configuration file come before those of the command line.
#[test]
fn configuration_files_of_the_clients() {
    let broker = Broker::open(Kind::Midge);
    let port = broker.port();
    let dir = crate::harness::Dir::new();
    let lines = format!("# where we publish\n-h 127.0.0.1\n--port {port}\n-q 1\n-i from-file\n");
    dir.write("xdg/mosquitto_pub", &lines);
    dir.write("home/.config/mosquitto_pub", &lines);
    dir.write(
        "xdg/mosquitto_sub",
        format!("-p {port}\n-h 127.0.0.1\n-v\n-C 1\n-t a\n"),
    );
    for (variable, place) in [("XDG_CONFIG_HOME", "xdg"), ("HOME", "home")] {
        let mut command = Clients::Midge.command("pub");
        command
            .env(variable, dir.file(place))
            .args(["-t", "a", "-m", "x", "-r"]);
        Process::run(&mut command).ok();
        broker.logs("as from-file (");
    }
    let mut command = Clients::Midge.command("sub");
    command.env("XDG_CONFIG_HOME", dir.file("xdg"));
    assert_eq!(Process::run(&mut command).ok().out, "a x\n");
}
