//! The lines of the log that other tools match on, and where the log goes.

use crate::harness::broker::{OPEN, Setup, peer_broker};
use crate::harness::raw::{Connect, Raw, packet, publish, string, subscribe};
use crate::harness::{Broker, Kind};
use nix::sys::signal::Signal;
use std::net::TcpStream;
use std::time::Duration;

/// The first log line with `text` in it.
#[track_caller]
fn line(broker: &Broker, text: &str) -> String {
    broker.logs(text);
    let log = broker.process.err.text();
    log.lines().find(|l| l.contains(text)).unwrap().to_string()
}

#[test]
fn the_start_and_the_end() {
    let broker = Broker::open(Kind::Midge);
    let port = broker.port();
    let name = broker.dir().at("midge.conf");
    for text in [
        " starting",
        &format!("Config loaded from {name}."),
        &format!("Opening ipv4 listen socket on port {port}."),
        &format!("Opening ipv6 listen socket on port {port}."),
        " running",
    ] {
        broker.logs(text);
    }
    let ended = broker.stop();
    assert!(ended.err.contains(" terminating"), "{ended:?}");
}

#[test]
fn local_only_mode_is_said() {
    let broker = Setup::new(Kind::Midge).start();
    broker.logs("Starting in local only mode.");
}

#[test]
fn clients_come_and_go() {
    let broker = Broker::open(Kind::Midge);
    let port = broker.port();
    let connect = Connect::new("anna-1").user(Some("anna"), Some("x"));
    let mut raw = Raw::welcome(&broker, &connect);
    let came = line(&broker, "New connection from 127.0.0.1:");
    assert!(came.ends_with(&format!(" on port {port}.")), "{came}");
    let known = line(&broker, "New client connected from 127.0.0.1:");
    assert!(known.contains(" as anna-1 (p"), "{known}");
    assert!(known.ends_with(", c1, k60, u'anna')."), "{known}");
    raw.send(&[0xe0, 0]);
    raw.closed();
    line(&broker, "Client anna-1 disconnected.");
    let durable = Connect::new("bert-1").keep_session().keep_alive(17);
    drop(Raw::welcome(&broker, &durable));
    let known = line(&broker, " as bert-1 (p");
    assert!(known.ends_with(", c0, k17)."), "{known}");
    line(&broker, "Client bert-1 closed its connection.");
}

#[test]
fn a_client_that_falls_silent() {
    let broker = Broker::open(Kind::Midge);
    let raw = Raw::welcome(&broker, &Connect::new("silent").keep_alive(1));
    line(
        &broker,
        "Client silent has exceeded timeout, disconnecting.",
    );
    raw.closed();
}

#[test]
fn a_client_that_comes_twice() {
    let broker = Broker::open(Kind::Midge);
    let first = Raw::welcome(&broker, &Connect::new("twin"));
    let mut second = Raw::welcome(&broker, &Connect::new("twin"));
    line(
        &broker,
        "Client twin already connected, closing old connection.",
    );
    first.closed();
    second.send(&[0xc0, 0]);
    assert_eq!(second.receive(), [0xd0, 0]);

    if peer_broker("2.0.11 closes without DISCONNECT") {
        return;
    }
    let (mut first, _) = Raw::sign_in(&broker, &Connect::new("five").v5());
    let _second = Raw::sign_in(&broker, &Connect::new("five").v5());
    assert_eq!(first.receive()[..3], [0xe0, 1, 0x8e]);
    first.closed();
}

#[test]
fn clients_that_break_the_rules() {
    let broker = Broker::open_with(Kind::Midge, "max_packet_size 1000\n");
    let mut raw = Raw::welcome(&broker, &Connect::new("twice"));
    raw.send(&Connect::new("twice").bytes());
    raw.closed();
    line(&broker, "Client twice disconnected due to protocol error.");

    let mut raw = Raw::welcome(&broker, &Connect::new("broken"));
    raw.send(&packet(0x82, &[0, 1, 0, 9, b'a']));
    raw.closed();
    line(
        &broker,
        "Client broken disconnected due to malformed packet.",
    );

    // A Remaining Length that does not end, before anybody is known and after.
    let mut raw = Raw::to(&broker);
    raw.send(&[0x10, 0xff, 0xff, 0xff, 0xff, 0xff]);
    raw.closed();
    let mut raw = Raw::welcome(&broker, &Connect::new("endless"));
    raw.send(&[0x30, 0xff, 0xff, 0xff, 0xff, 0xff]);
    raw.closed();

    let mut raw = Raw::welcome(&broker, &Connect::new("big"));
    raw.try_send(&publish(0x30, "a", 0, &[0; 2000]));
    raw.closed();
    line(&broker, "Client big disconnected due to oversize packet.");
    let _the_broker_is_well = Raw::welcome(&broker, &Connect::new("next"));
}

/// In the forms of Mosquitto's, 2.0 for faults in packets and 2.1 for what is refused.
#[test]
fn closes_are_told_in_known_words() {
    if peer_broker("2.0.11 has other words for some of them") {
        return;
    }
    let broker = Broker::open_with(Kind::Midge, "retain_available false\n");
    let mut raw = Raw::welcome(&broker, &Connect::new("keeper"));
    raw.send(&publish(0x31, "a", 0, b"x"));
    raw.closed();
    let told = line(&broker, "Client keeper [127.0.0.1:");
    assert!(
        told.contains("] disconnected: retain not supported. ("),
        "{told}"
    );
    let mut raw = Raw::welcome(&broker, &Connect::new("wild"));
    raw.send(&publish(0x30, "a/+", 0, b"x"));
    raw.closed();
    line(&broker, "Client wild disconnected due to malformed packet.");
    let mut raw = Raw::to(&broker);
    raw.send(&packet(
        0x10,
        &[0, 4, b'M', b'Q', b'T', b'T', 4, 1, 0, 60, 0, 1, b'a'],
    ));
    raw.closed();
    let told = line(
        &broker,
        "Client <unknown> disconnected due to protocol error.",
    );
    assert!(told.contains(": bad CONNECT: "), "{told}");
}

/// To reset a connection is one way to close it.
#[test]
fn a_reset_is_told_as_the_end_that_it_is() {
    if peer_broker("2.0.11 may read the reset as an error") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let stream = TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
    let abrupt = Some(Duration::ZERO);
    socket2::SockRef::from(&stream).set_linger(abrupt).unwrap();
    let mut raw = Raw::accepted(stream);
    raw.send(&Connect::new("abrupt").bytes());
    raw.receive();
    drop(raw);
    line(&broker, "Client abrupt closed its connection.");
}

/// A message that its receiver does not want so large is dropped, and that is said once.
#[test]
fn a_message_that_is_too_large_for_its_receiver_is_told() {
    if peer_broker("mosquitto says it each time") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let mut small = Raw::to(&broker);
    let properties = [5, 0x27, 0, 0, 0, 64];
    let start = [
        &[0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60],
        &properties[..],
    ]
    .concat();
    small.send(&packet(0x10, &[start, string("small")].concat()));
    small.receive();
    small.send(&packet(0x82, &[0, 1, 0, 0, 1, b'a', 0]));
    small.receive();
    let mut writer = Raw::welcome(&broker, &Connect::new("writer"));
    for _ in 0..3 {
        writer.send(&publish(0x30, "a", 0, &[b'x'; 100]));
    }
    writer.send(&publish(0x30, "a", 0, b"end"));
    assert!(small.receive().ends_with(b"end"));
    let said = "Dropping too large outgoing PUBLISH for small (106 bytes)";
    line(&broker, said);
    let log = broker.process.err.text();
    assert_eq!(log.matches(said).count(), 1, "{log}");
}

#[test]
fn without_connection_messages_nobody_comes_or_goes() {
    let broker = Broker::open_with(Kind::Midge, "connection_messages false\n");
    let first = Raw::welcome(&broker, &Connect::new("twin"));
    let second = Raw::welcome(&broker, &Connect::new("twin").keep_alive(1));
    first.closed();
    second.closed();
    let ended = broker.stop();
    assert!(ended.err.contains(" running"), "{ended:?}");
    for text in ["twin", "New connection"] {
        assert!(!ended.err.contains(text), "{text} in {ended:?}");
    }
}

#[test]
fn a_full_queue_is_said_once() {
    let broker = Broker::open_with(
        Kind::Midge,
        "max_queued_messages 2\nmax_inflight_messages 1\n",
    );
    let mut away = Raw::welcome(&broker, &Connect::new("away").keep_session());
    away.send(&subscribe("a", 1));
    away.receive();
    away.send(&[0xe0, 0]);
    away.closed();
    let mut writer = Raw::welcome(&broker, &Connect::new("writer"));
    for id in 1..=20 {
        writer.send(&publish(0x32, "a", id, b"x"));
        assert_eq!(writer.receive()[0], 0x40, "acknowledged all the same");
    }
    let said = "Outgoing messages are being dropped for client away.";
    line(&broker, said);
    let log = broker.process.err.text();
    assert_eq!(log.matches(said).count(), 1, "{log}");
}

/// Debug lines: what came and what went.
#[test]
fn packets_are_traced() {
    let broker = Broker::open_with(Kind::Midge, "log_type all\n");
    let mut raw = Raw::welcome(&broker, &Connect::new("me"));
    raw.send(&subscribe("a/#", 2));
    raw.receive();
    raw.send(&publish(0x33, "a/b", 7, b"hello"));
    raw.receive();
    raw.receive();
    raw.send(&publish(0x34, "b", 8, b"hello"));
    raw.receive();
    raw.send(&[0x62, 2, 0, 8]);
    raw.receive();
    raw.send(&[0x50, 2, 0, 9]);
    raw.receive();
    raw.send(&[0xc0, 0]);
    raw.receive();
    raw.send(&packet(0xa2, &[&[0, 2][..], &string("a/#")].concat()));
    raw.receive();
    line(&broker, "Sending UNSUBACK to me");
    let log = broker.process.err.text();
    let mut rest = log
        .lines()
        .map(|line| line.split_once(": ").map_or("", |(_, said)| said));
    // In this order, with others between them.
    for text in [
        "No will message specified.",
        "Sending CONNACK to me (0, 0)",
        "Received SUBSCRIBE from me",
        "\ta/# (QoS 2)",
        "me 2 a/#",
        "Sending SUBACK to me",
        "Received PUBLISH from me (d0, q1, r1, m7, 'a/b', ... (5 bytes))",
        "Sending PUBACK to me (m7, rc0)",
        "Sending PUBLISH to me (d0, q1, r0, m1, 'a/b', ... (5 bytes))",
        "Received PUBLISH from me (d0, q2, r0, m8, 'b', ... (5 bytes))",
        "Sending PUBREC to me (m8, rc0)",
        "Received PUBREL from me (Mid: 8)",
        "Sending PUBCOMP to me (m8)",
        "Received PUBREC from me (Mid: 9)",
        "Warning: Received PUBREC from me for an unknown packet identifier 9.",
        "Sending PUBREL to me (m9)",
        "Received PINGREQ from me",
        "Sending PINGRESP to me",
        "Received UNSUBSCRIBE from me",
        "\ta/#",
        "me a/#",
        "Sending UNSUBACK to me",
    ] {
        assert!(
            rest.any(|line| line == text),
            "no {text:?} at its place in\n{log}"
        );
    }
}

/// Debug lines of what is not let in, or not passed on; and wills.
#[test]
fn refusals_are_traced() {
    let conf = "log_type all\nacl_file {dir}/acl\nacl_suback_deny true\nmessage_size_limit 10\n";
    let broker = Setup::new(Kind::Midge)
        .conf(&format!("{OPEN}{conf}"))
        .file("acl", "topic write a\n")
        .start();
    Raw::sign_in(&broker, &Connect::new("").keep_session());
    let connect = Connect::new("me").will("gone/me", "bye", 1);
    let mut raw = Raw::welcome(&broker, &connect);
    raw.send(&subscribe("b", 1));
    raw.receive();
    raw.send(&publish(0x32, "b", 7, b"hello"));
    raw.receive();
    raw.send(&publish(0x32, "a", 8, b"hello hello"));
    raw.receive();
    for text in [
        "Sending CONNACK to 127.0.0.1 (0, 2)",
        "Will message specified (3 bytes) (r0, q1).",
        "\tgone/me",
        "\tb (denied)",
        "Denied PUBLISH from me (d0, q1, r0, m7, 'b', ... (5 bytes))",
        "Dropped too large PUBLISH from me (d0, q1, r0, m8, 'a', ... (11 bytes))",
    ] {
        line(&broker, text);
    }
    assert!(!broker.process.err.text().contains("Received PUBLISH"));
}

/// A reload asks for debug lines: messages that wait already are told when they are sent, also
/// those that came together and are kept as one.
#[test]
fn what_waits_at_a_reload_is_traced() {
    let mut broker = Broker::open_with(Kind::Midge, "max_output_bytes 20000000\n");
    let mut slow = Raw::welcome(&broker, &Connect::new("slow"));
    slow.send(&subscribe("a", 0));
    slow.receive();
    let mut publisher = Raw::welcome(&broker, &Connect::new("publisher"));
    // More than the kernel holds for who does not read.
    let many = publish(0x30, "a", 0, &[b'.'; 1000]).repeat(12_000);
    let last: Vec<Vec<u8>> = (201..=220)
        .map(|len| publish(0x30, "a", 0, &vec![b'.'; len]))
        .collect();
    publisher.send(&[many, last.concat(), vec![0xc0, 0]].concat());
    publisher.receive();
    broker.rewrite(&format!("max_output_bytes 20000000\nlog_type all\n{OPEN}"));
    broker.signal(Signal::SIGHUP);
    broker.logs("Reloading config.");
    while slow.receive() != last[19] {}
    for len in 201..=220 {
        line(
            &broker,
            &format!("Sending PUBLISH to slow (d0, q0, r0, m0, 'a', ... ({len} bytes))"),
        );
    }
}

/// `-v` shows the same without a word in the file.
#[test]
fn verbose() {
    let broker = Setup::new(Kind::Midge).arg("-v").start();
    let _raw = Raw::welcome(&broker, &Connect::new("me"));
    line(&broker, "Sending CONNACK to me (0, 0)");
}

/// Without it nothing of that kind is said.
#[test]
fn debug_is_off_otherwise() {
    let broker = Broker::open(Kind::Midge);
    let _raw = Raw::welcome(&broker, &Connect::new("me"));
    let ended = broker.stop();
    assert!(!ended.err.contains("CONNACK"), "{ended:?}");
}

#[test]
fn log_types_choose() {
    let broker = Broker::open_with(Kind::Midge, "log_type error\nlog_type subscribe\n");
    let mut raw = Raw::welcome(&broker, &Connect::new("me"));
    raw.send(&subscribe("a/#", 1));
    raw.receive();
    line(&broker, "me 1 a/#");
    let ended = broker.stop();
    for text in ["New client", " running", "SUBSCRIBE"] {
        assert!(!ended.err.contains(text), "{ended:?}");
    }
    let broker = Broker::open_with(Kind::Midge, "connection_messages false\n");
    let _raw = Raw::welcome(&broker, &Connect::new("me"));
    let ended = broker.stop();
    assert!(!ended.err.contains("New client connected"), "{ended:?}");
    assert!(ended.err.contains(" running"));
}

/// Seconds since 1970, a format of one's own, or nothing before the words.
#[test]
fn time_stamps() {
    let stamp = |conf: &str| {
        let broker = Broker::open_with(Kind::Midge, conf);
        let line = line(&broker, " running");
        line[..line
            .find("mosquitto version")
            .or(line.find("midge"))
            .unwrap()]
            .to_string()
    };
    let seconds = stamp("");
    assert!(seconds.ends_with(": "), "{seconds:?}");
    let seconds: u64 = seconds.trim_end_matches(": ").parse().unwrap();
    assert!(seconds > 1_700_000_000);
    assert_eq!(stamp("log_timestamp false\n"), "");
    let day = stamp("log_timestamp_format %Y-%m-%dT%H:%M:%S\n");
    assert_eq!(day.len(), "2026-01-01T00:00:00: ".len(), "{day:?}");
    assert_eq!(
        (&day[4..5], &day[10..11], &day[19..]),
        ("-", "T", ": "),
        "{day:?}"
    );
}

/// Standard output, a file, nowhere, and several places at once.
#[test]
fn destinations() {
    let broker = Broker::open_with(Kind::Midge, "log_dest stdout\nlog_dest file {dir}/log\n");
    broker.file_has("log", " running");
    let ended = broker.stop();
    assert!(ended.out.contains(" running"), "{ended:?}");
    assert!(!ended.err.contains(" running"), "{ended:?}");

    let broker = Broker::open_with(Kind::Midge, "log_dest none\n");
    let _raw = Raw::welcome(&broker, &Connect::new("me"));
    let ended = broker.stop();
    assert!(!ended.all().contains("New client"), "{ended:?}");
}

/// `log_dest topic`: the log is published, by kind.
#[test]
fn to_a_topic() {
    let broker = Broker::open_with(Kind::Midge, "log_dest topic\nlog_type all\n");
    let mut raw = Raw::welcome(&broker, &Connect::new("reader"));
    raw.send(&subscribe("$SYS/broker/log/#", 0));
    raw.receive();
    let mut seen = Vec::new();
    let _other = Raw::welcome(&broker, &Connect::new("other"));
    while !seen.iter().any(|s: &String| s.contains("as other (")) {
        let packet = raw.receive();
        seen.push(String::from_utf8_lossy(&packet[4..]).into_owned());
    }
    let line = seen.last().unwrap();
    assert!(line.starts_with("$SYS/broker/log/N"), "{line}");
    assert!(
        !seen.iter().any(|s| s.contains("/log/D")),
        "never debug lines: {seen:?}"
    );
}

/// A log file that cannot be written is said on standard error, and the broker runs.
#[test]
fn a_log_file_that_cannot_be_opened() {
    let conf = format!("log_dest file {{dir}}/no/such/dir/log\n{OPEN}");
    let broker = Broker::start(Kind::Midge, &conf);
    broker.logs("/no/such/dir/log");
    let _raw = Raw::welcome(&broker, &Connect::new("me"));
}

/// fail2ban bans whose address stands in the line of a refused sign-in, so no name may push the
/// address out of that line, or make another line look like it.
#[test]
fn names_cannot_mislead_who_bans_by_the_log() {
    if peer_broker("2.0.11 tells no address there") {
        return;
    }
    let broker = Setup::new(Kind::Midge)
        .file("passwd", "")
        .conf(&format!(
            "{OPEN}password_file {{dir}}/passwd\nlog_type all\n"
        ))
        .start();
    let long = "[x".repeat(800);
    for (client_id, user) in [(&*long, "anna"), ("guess", &*long), (&*long, &*long)] {
        let connect = Connect::new(client_id).user(Some(user), Some("x"));
        let (raw, _) = Raw::sign_in(&broker, &connect);
        raw.closed();
    }
    let forged = "x [192.0.2.9:1] disconnected: not authorised. (wrong password; user 'y";
    for (name, length) in [("first", 979), ("second", 980)] {
        // Its line would end with this bracket, were it just cut.
        let client_id = format!("{forged:z<length$}')tail");
        let mut raw = Raw::welcome(&broker, &Connect::new(&client_id));
        raw.send(&[0xe0, 0]);
        raw.closed();
        drop(Raw::welcome(&broker, &Connect::new(name)));
        line(&broker, &format!("Client {name} closed its connection."));
    }
    // Mosquitto's line about a subscription begins with the Client Identifier.
    let mut raw = Raw::welcome(&broker, &Connect::new("Client"));
    raw.send(&subscribe(&format!("{forged}')"), 0));
    raw.receive();
    for filter in [format!("{forged}')"), format!("Client {forged}')")] {
        raw.send(&packet(0xa2, &[&[0, 2][..], &string(&filter)].concat()));
        raw.receive();
    }
    line(&broker, "Sending UNSUBACK to Client");
    let log = broker.process.err.text();
    let banned: Vec<&str> = log.lines().filter_map(banned_by).collect();
    assert_eq!(banned.len(), 3, "{banned:?}");
    assert!(banned.iter().all(|a| a.starts_with("127.0.0.1:")), "{log}");
}

/// Whom the README's filter for fail2ban finds in a line.
fn banned_by(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(": ")?;
    let (_, rest) = rest.trim_start().strip_prefix("Client ")?.split_once('[')?;
    let (address, rest) = rest.split_once("] disconnected: not authorised. (")?;
    (rest.ends_with(')') && !rest.contains('[')).then_some(address)
}
