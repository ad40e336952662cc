//! `capture_file` through tshark's eyes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use crate::harness::broker::{OPEN, Setup, peer_broker};
use crate::harness::decode::fields;
use crate::harness::raw::{Connect, Raw, packet, publish, string, subscribe};
use crate::harness::{Broker, Kind, Tool, loopbacks};
use crate::wait;

/// False, loudly, where it cannot be tried.
fn ready() -> bool {
    Tool::Tshark.ready() && !peer_broker("capture_file is midge's own")
}

const CAPTURE: &str = "capture_file {dir}/c.pcapng\n";

/// What no good capture holds: holes, repetitions, packets that are none.
#[track_caller]
fn assert_clean(file: &str) {
    let odd = fields(
        file,
        "tcp.analysis.flags || _ws.malformed",
        &["frame.number", "_ws.col.Info"],
    );
    assert!(odd.is_empty(), "{file}: {odd:?}");
}

fn holds(file: &str, text: &str) -> bool {
    let bytes = fs::read(file).unwrap();
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn tshark_reads_what_was_said() {
    if !ready() {
        return;
    }
    for host in loopbacks() {
        let broker = Broker::open_with(Kind::Midge, CAPTURE);
        let mut client = Raw::tcp(host, broker.port());
        let connect = Connect::new("c1").user(Some("bob"), Some("geheim"));
        client.send(&connect.bytes());
        client.receive();
        client.send(&subscribe("t/#", 1));
        client.receive();
        client.send(&publish(0x32, "t/x", 5, b"on"));
        // PUBACK and the message, in any order.
        client.receive();
        client.receive();
        // In crumbs.
        for byte in publish(0x30, "t/y", 0, b"slow") {
            client.send(&[byte]);
        }
        client.receive();
        client.send(&[0xe0, 0]);
        client.closed();
        let file = broker.dir().at("c.pcapng");
        let (log, _setup) = broker.stop_with(Signal::SIGTERM);
        assert_clean(&file);
        let connects = fields(
            &file,
            "mqtt.msgtype == 1",
            &[
                "tcp.srcport",
                "tcp.dstport",
                "mqtt.clientid",
                "mqtt.username",
                "mqtt.passwd",
            ],
        );
        let [port, to, rest @ ..] = connects[0].as_slice() else {
            panic!("{connects:?}");
        };
        assert_eq!(
            (to.as_str(), rest),
            ("1883", ["c1", "bob", "xxxxxx"].map(String::from).as_slice())
        );
        let from = format!("New connection from {host}:{port} on port");
        assert!(log.err.contains(&from), "{from}: {log:?}");
        assert!(!holds(&file, "geheim"));
        let address = if host == "::1" { "ipv6.src" } else { "ip.src" };
        let messages = fields(
            &file,
            "mqtt.msgtype == 3",
            &[address, "tcp.dstport", "mqtt.topic", "mqtt.qos", "mqtt.msg"],
        );
        let said = [
            [host, "1883", "t/x", "1", "6f6e"],
            [host, port, "t/x", "1", "6f6e"],
            [host, "1883", "t/y", "0", "736c6f77"],
            [host, port, "t/y", "0", "736c6f77"],
        ];
        assert_eq!(messages, said.map(|row| row.map(String::from).to_vec()));
        let kinds = fields(&file, "mqtt", &["mqtt.msgtype"]).concat().join(",");
        for kind in ["1", "2", "8", "9", "4", "14"] {
            assert!(kinds.split(',').any(|is| is == kind), "{kind} in {kinds}");
        }
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let ends = fields(
            &file,
            "tcp.flags.syn == 1 || tcp.flags.fin == 1",
            &["tcp.stream"],
        );
        // The harness looked at each address once before.
        let of_client = ends.iter().filter(|row| row[0] == ends.last().unwrap()[0]);
        assert_eq!(of_client.count(), 4, "{ends:?}");
    }
}

/// What goes over TLS is in the file as it was before encryption.
#[cfg(feature = "tls")]
#[test]
fn encrypted_connections_are_plain_in_it() {
    use crate::harness::Clients;
    use crate::harness::Process;
    use crate::harness::pki::{Pki, VALID};
    if !ready() || !Tool::Openssl.ready() {
        return;
    }
    let setup = Setup::new(Kind::Midge);
    let pki = Pki(&setup.dir);
    pki.authority("ca", "/CN=The authority");
    pki.leaf("server", "/CN=localhost", "IP:127.0.0.1", VALID);
    let broker = setup
        .conf(&format!(
            "{CAPTURE}listener {{port}} 127.0.0.1\nallow_anonymous true\n\
             certfile {{dir}}/server.pem\nkeyfile {{dir}}/server.key\n"
        ))
        .start();
    let mut command = Clients::Midge.command("pub");
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &broker.port().to_string(),
        "-V",
        "5",
    ]);
    command.args([
        "--cafile",
        &broker.dir().at("ca.pem"),
        "-i",
        "secure",
        "-q",
        "1",
    ]);
    command.args(["-u", "bob", "-P", "geheim", "-t", "door", "-m", "open"]);
    Process::run(&mut command).ok();
    let file = broker.dir().at("c.pcapng");
    let name = format!("127.0.0.1:{} (TLS)", broker.port());
    let _setup = broker.stop_with(Signal::SIGTERM).1;
    assert_clean(&file);
    let connects = fields(
        &file,
        "mqtt.msgtype == 1",
        &[
            "frame.interface_name",
            "mqtt.ver",
            "mqtt.clientid",
            "mqtt.passwd",
        ],
    );
    assert_eq!(
        connects,
        [[&name, "5", "secure", "xxxxxx"].map(String::from).to_vec()]
    );
    let messages = fields(&file, "mqtt.msgtype == 3", &["mqtt.topic", "mqtt.msg"]);
    assert_eq!(messages, [["door", "6f70656e"].map(String::from).to_vec()]);
    assert!(!holds(&file, "geheim"));
}

/// A full file gives way to a new one that can be read alone: who is connected still introduces
/// itself there, with the version that it speaks.
#[test]
fn a_full_file_is_followed_by_one_that_stands_alone() {
    if !ready() {
        return;
    }
    let directives = format!("{CAPTURE}capture_file_max_size 1000000\n");
    let broker = Broker::open_with(Kind::Midge, &directives);
    let (file, old) = (broker.dir().at("c.pcapng"), broker.dir().at("c.pcapng.1"));
    let mut sub = Raw::to(&broker);
    sub.send(
        &Connect::new("reader")
            .v5()
            .user(Some("u"), Some("geheim"))
            .bytes(),
    );
    sub.receive();
    let filter = [&[0, 1, 0][..], &string("t"), &[0]].concat();
    sub.send(&packet(0x82, &filter));
    sub.receive();
    let mut source = Raw::to(&broker);
    source.send(
        &Connect::new("writer")
            .user(Some("u"), Some("geheim"))
            .bytes(),
    );
    source.receive();
    let payload = vec![b'p'; 30_000];
    for _ in 0..50 {
        source.send(&publish(0x30, "t", 0, &payload));
        assert_eq!(sub.receive()[0], 0x30);
    }
    let _setup = broker.stop_with(Signal::SIGTERM).1;
    for file in [&file, &old] {
        let len = fs::metadata(file).unwrap().len();
        assert!(len <= 1_000_000, "{file}: {len}");
        assert_clean(file);
        assert!(!holds(file, "geheim"));
        let connects = fields(file, "mqtt.msgtype == 1", &["mqtt.clientid", "mqtt.ver"]);
        for who in [["reader", "5"], ["writer", "4"]] {
            let who = who.map(String::from).to_vec();
            assert!(connects.contains(&who), "{file}: {connects:?}");
        }
        let topics = fields(file, "mqtt.msgtype == 3", &["mqtt.topic"]);
        assert!(
            !topics.is_empty() && topics.iter().all(|row| row[0] == "t"),
            "{topics:?}"
        );
    }
}

#[test]
fn a_unix_socket_has_addresses_that_nobody_has() {
    if !ready() {
        return;
    }
    let conf = format!("{CAPTURE}listener 0 {{dir}}/s\nallow_anonymous true\n");
    let broker = Setup::new(Kind::Midge).conf(&conf).start();
    let path = broker.dir().at("s");
    let mut client = Raw::unix(&path);
    client.send(&Connect::new("local").bytes());
    client.receive();
    let file = broker.dir().at("c.pcapng");
    let _setup = broker.stop_with(Signal::SIGTERM).1;
    let wanted = ["ip.src", "ip.dst", "mqtt.clientid", "frame.interface_name"];
    let connects = fields(&file, "mqtt.msgtype == 1", &wanted);
    assert_eq!(
        connects,
        [["127.1.0.1", "127.1.0.2", "local", &path]
            .map(String::from)
            .to_vec()]
    );
}

/// A reload turns it on for those who come, goes on in another file, and turns it off.
#[test]
fn a_reload_changes_it() {
    if !ready() {
        return;
    }
    // The sandbox lets a reload name files only where the broker writes anyway.
    let mut broker = Broker::open_with(Kind::Midge, "sandbox false\n");
    let file = |name: &str| broker.dir().at(name);
    let (first, second) = (file("1.pcapng"), file("2.pcapng"));
    let reload = |conf: &str, broker: &mut Broker| {
        let reloads = |broker: &Broker| {
            broker
                .process
                .err
                .text()
                .matches("Reloading config.")
                .count()
        };
        let before = reloads(broker);
        broker.rewrite(&format!("sandbox false\n{conf}{OPEN}"));
        broker.signal(Signal::SIGHUP);
        wait::until_true("a reload", || reloads(broker) > before);
        // It is over when the next packet is answered.
        Raw::welcome(broker, &Connect::new("after"));
    };
    let ping = |client: &mut Raw| {
        client.send(&[0xc0, 0]);
        assert_eq!(client.receive(), [0xd0, 0]);
    };
    let ids = |file: &str| {
        let ids = fields(file, "mqtt.msgtype == 1", &["mqtt.clientid"]).concat();
        ids.into_iter()
            .filter(|id| id != "after")
            .collect::<Vec<_>>()
    };
    let mut early = Raw::welcome(&broker, &Connect::new("early"));
    reload("capture_file {dir}/1.pcapng\n", &mut broker);
    let mut client = Raw::welcome(&broker, &Connect::new("client"));
    ping(&mut client);
    ping(&mut early);
    reload("capture_file {dir}/2.pcapng\n", &mut broker);
    ping(&mut client);
    reload("", &mut broker);
    let len = fs::metadata(&second).unwrap().len();
    ping(&mut client);
    let _setup = broker.stop_with(Signal::SIGTERM).1;
    assert_eq!(fs::metadata(&second).unwrap().len(), len);
    for file in [&first, &second] {
        assert_clean(file);
        assert_eq!(ids(file), ["client"], "{file}");
        assert!(!fields(file, "mqtt.msgtype == 12", &["mqtt.msgtype"]).is_empty());
    }
}

/// One that cannot be written costs a line of the log, no more.
#[test]
fn without_a_file_the_broker_goes_on() {
    if peer_broker("capture_file is midge's own") {
        return;
    }
    let broker = Broker::open_with(Kind::Midge, "capture_file {dir}/no/such/folder/c.pcapng\n");
    for _ in 0..3 {
        Raw::welcome(&broker, &Connect::new("c"));
    }
    let ended = broker.stop().ok();
    let lines = ended
        .err
        .lines()
        .filter(|line| line.contains("Error: capture_file"));
    assert_eq!(lines.count(), 1, "{ended:?}");
}
