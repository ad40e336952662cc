//! A broker for a test run: `--ephemeral`, and what `--log-type packets` shows.

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::broker::{OPEN, Setup};
use crate::harness::port::has_ipv6;
use crate::harness::raw::{Connect, Raw, publish, subscribe};
use crate::harness::{Broker, Dir, Kind, Process, net, tools};
use crate::wait;

struct Ephemeral {
    process: Process,
    port: u16,
    dir: Dir,
}

/// Starts it and reads its one line.
fn start(dir: Dir, args: &[&str]) -> Ephemeral {
    let mut command = Command::new(tools::midge());
    command
        .arg("--ephemeral")
        .args(args)
        .current_dir(dir.path());
    let mut process = Process::spawn(&mut command);
    let line = process.line();
    let port = line.strip_prefix("{\"host\":\"127.0.0.1\",\"port\":");
    let (port, pid) = port
        .and_then(|rest| rest.split_once(",\"pid\":"))
        .expect(&line);
    assert!(pid.strip_suffix('}').unwrap().parse::<u32>().is_ok());
    let port = port.parse().unwrap();
    Ephemeral { process, port, dir }
}

fn welcome(host: &str, port: u16, connect: &Connect) -> Raw {
    let mut raw = Raw::tcp(host, port);
    raw.send(&connect.bytes());
    assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
    raw
}

#[test]
fn it_says_where_it_listens_and_leaves_nothing_behind() {
    let first = start(Dir::new(), &[]);
    let second = start(Dir::new(), &[]);
    assert_ne!(first.port, second.port);
    let mut sub = welcome("127.0.0.1", first.port, &Connect::new("s").keep_session());
    sub.send(&subscribe("a", 1));
    sub.receive();
    let host = if has_ipv6() { "::1" } else { "127.0.0.1" };
    let mut publisher = welcome(
        host,
        first.port,
        &Connect::new("p").user(Some("u"), Some("p")),
    );
    publisher.send(&publish(0x33, "a", 1, b"x"));
    assert_eq!(sub.receive()[0], 0x32);
    let Ephemeral { process, dir, .. } = first;
    let ended = process.stop(Signal::SIGTERM).ok();
    assert_eq!((ended.err.as_str(), ended.out.lines().count()), ("", 1));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "no file");
    second.process.stop(Signal::SIGINT).ok();
}

/// Many containers have no IPv6: then 127.0.0.1 is enough, and nothing to complain about.
#[test]
fn it_starts_without_ipv6() {
    if !net::ready() {
        return;
    }
    let mut program = Command::new("sh");
    let start = "ip addr del ::1/128 dev lo; exec \"$0\" --ephemeral -v";
    program.args(["-c", start]).arg(tools::midge());
    let mut process = Process::spawn(&mut net::apart(&program));
    assert!(process.line().starts_with("{\"host\":\"127.0.0.1\","));
    let ended = process.stop(Signal::SIGTERM).ok();
    assert!(!ended.err.contains("Warning"), "{}", ended.err);
}

#[test]
fn it_ends_by_itself_after_a_while() {
    let broker = start(Dir::new(), &["--exit-after", "1", "-v"]);
    let ended = broker.process.finish().ok();
    assert!(
        ended.err.contains("The time of --exit-after is over."),
        "{ended:?}"
    );
}

#[test]
fn it_ends_with_the_process_that_started_it() {
    let dir = Dir::new();
    let script = "\"$0\" --ephemeral >line & while ! [ -s line ]; do sleep 0.05; done; kill -9 $$";
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .arg(tools::midge())
        .current_dir(dir.path());
    let mut process = Process::spawn(&mut command);
    wait::until_true("the shell's end", || !process.is_running());
    let line = dir.read("line");
    let port = line
        .split([':', ','])
        .nth(3)
        .unwrap()
        .parse::<u16>()
        .unwrap();
    wait::until_true("the broker's end", || {
        TcpStream::connect(("127.0.0.1", port)).is_err()
    });
}

#[test]
fn of_a_configuration_it_takes_the_rules_but_no_place() {
    let dir = Dir::new();
    dir.write("acl", "topic readwrite good/#\n");
    let conf = "listener 1 192.0.2.1\npersistence true\npersistence_location data\n\
                pid_file pid\nlog_dest file log\ncapture_file capture\nacl_file acl\n";
    dir.write("m.conf", conf);
    let broker = start(dir, &["-c", "m.conf"]);
    let mut client = welcome("127.0.0.1", broker.port, &Connect::new("c"));
    client.send(&subscribe("#", 0));
    client.receive();
    client.send(&publish(0x30, "bad/x", 0, b"x"));
    client.send(&publish(0x30, "good/x", 0, b"x"));
    assert_eq!(client.receive()[4..10], *b"good/x");
    let Ephemeral { process, dir, .. } = broker;
    // A reload keeps the port.
    process.signal(Signal::SIGHUP);
    client.send(&[0xc0, 0]);
    assert_eq!(client.receive(), [0xd0, 0]);
    process.stop(Signal::SIGTERM).ok();
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["acl", "m.conf"]);
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for (args, says) in [
        (
            &["--ephemeral", "-p", "1999"][..],
            "neither with -d nor with -p",
        ),
        (&["--ephemeral", "-d"], "neither with -d nor with -p"),
        (
            &["--exit-after", "soon"],
            "Invalid number of seconds 'soon'.",
        ),
        (&["--log-type", "packet"], "Unknown log type 'packet'."),
    ] {
        let mut command = Command::new(tools::midge());
        Process::run(command.args(args)).with(3).says(says);
    }
}

/// The frames of the document, as lines of the log.
#[test]
fn every_packet_is_a_line() {
    let broker = start(Dir::new(), &["--log-type", "packets"]);
    let connect = Connect::new("mosqsub|1996-202-15").user(Some("bob"), Some("geheim"));
    let mut client = welcome("127.0.0.1", broker.port, &connect.will("w", "gone", 1));
    client.send(&subscribe("usr/test/#", 0));
    client.receive();
    client.send(&publish(0x34, "usr/test/coucou/test/test", 7, b"bon\njour"));
    client.receive();
    client.send(&[0x62, 2, 0, 7]);
    client.receive();
    client.receive();
    client.send(&[0xe0, 0]);
    client.closed();
    let ended = broker.process.stop(Signal::SIGTERM).ok();
    for line in [
        " -> CONNECT 0x10, Remaining Length 53, Protocol Name MQTT, Version MQTT 3.1.1 (4), \
         Connect Flags 0xce (Clean Session), Keep Alive 60, Client Identifier \
         'mosqsub|1996-202-15', Will QoS 1, Will Topic 'w', Will Payload 'gone' (4 bytes), User \
         Name 'bob', Password (6 bytes, not shown)\n",
        " mosqsub|1996-202-15 <- CONNACK 0x20, Remaining Length 2, Session Present 0, Return Code \
         0 (accepted)\n",
        " -> SUBSCRIBE 0x82, Remaining Length 15, Packet Identifier 1, Topic Filter 'usr/test/#' \
         QoS 0\n",
        " <- SUBACK 0x90, Remaining Length 3, Packet Identifier 1, Return Code 0 (granted QoS 0)\n",
        " -> PUBLISH 0x34 (QoS 2), Remaining Length 37, Topic 'usr/test/coucou/test/test', Packet \
         Identifier 7, Payload 'bon\\njour' (8 bytes)\n",
        " <- PUBREC 0x50, Remaining Length 2, Packet Identifier 7\n",
        " -> PUBREL 0x62, Remaining Length 2, Packet Identifier 7\n",
        " <- PUBCOMP 0x70, Remaining Length 2, Packet Identifier 7\n",
        " <- PUBLISH 0x30 (QoS 0), Remaining Length 35, Topic 'usr/test/coucou/test/test', Payload \
         'bon\\njour' (8 bytes)\n",
        " -> DISCONNECT 0xe0, Remaining Length 0\n",
    ] {
        assert!(ended.err.contains(line), "{line} in {}", ended.err);
    }
    assert!(!ended.err.contains("geheim") && !ended.err.contains("New connection"));
}

/// They come only when they are asked for by name, and a reload is enough.
#[test]
fn packets_are_no_part_of_all() {
    let mut broker = Broker::open_with(Kind::Midge, "log_type all\n");
    Raw::welcome(&broker, &Connect::new("first"));
    broker.logs("New client connected");
    broker.rewrite(&format!("log_type packets\nlog_type all\n{OPEN}"));
    broker.signal(Signal::SIGHUP);
    broker.logs("Reloading config.");
    wait::until_true("a line for a packet", || {
        Raw::welcome(&broker, &Connect::new("second"));
        broker.process.err.text().contains("-> CONNECT 0x10")
    });
    let ended = broker.stop().ok();
    assert!(!ended.err.contains("'first'"), "{ended:?}");
    let quiet = Setup::new(Kind::Midge).conf(OPEN).arg("-v").start();
    Raw::welcome(&quiet, &Connect::new("third"));
    quiet.logs("New client connected");
    assert!(!quiet.stop().ok().err.contains("-> CONNECT"));
}
