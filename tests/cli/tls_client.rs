//! TLS in `midge pub`, `sub` and `rr`, against Debian's mosquitto, beside Debian's clients.
//!
//! Certificates are made by the openssl command. Debian's clients have two ways to end for one
//! fault, as chance has it: "A TLS error occurred" with 8, or the same in other words with 1; and
//! "Protocol error" with 1, or a lost connection with 7. Midge's have the first one of each.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::harness::broker::Setup;
use crate::harness::client::peer_clients;
use crate::harness::pki::{EXPIRED, NOT_YET, Pki, VALID};
use crate::harness::{Broker, Clients, Dir, Ended, Kind, Process, Tool};

/// Names of this machine.
const HERE: &str = "DNS:localhost, IP:127.0.0.1";
/// A listener with the certificate `server.pem`.
const LISTENER: &str = "\
listener {port} 127.0.0.1
allow_anonymous true
certfile {dir}/server.pem
keyfile {dir}/server.key
";

const FAILED: &str = "Error: A TLS error occurred.";
const UNABLE: &str = "Unable to connect (A TLS error occurred.).";
const REFUSED: &str = "Error: Protocol error";
const LOST: &str = "Error: The connection was lost.";
const NO_FILE: &str = "Error: Problem setting TLS options: File not found.";

fn ready() -> bool {
    Tool::Openssl.ready() && Tool::Mosquitto.ready() && Tool::Clients.ready()
}

/// A mosquitto whose certificate is made by `leaf`, signed by `ca.pem`.
fn broker_with(conf: &str, leaf: impl FnOnce(&Pki)) -> Broker {
    let setup = Setup::new(Kind::Debian);
    let pki = Pki(&setup.dir);
    pki.authority("ca", "/CN=The authority");
    leaf(&pki);
    setup.conf(conf).start()
}

fn broker() -> Broker {
    broker_with(LISTENER, |pki| {
        pki.leaf("server", "/CN=localhost", HERE, VALID);
    })
}

/// `pub -t a -m x`, with the files of the broker's directory where flags say `{dir}`.
fn publish(clients: Clients, dir: &Dir, port: u16, flags: &str) -> Ended {
    let mut command = clients.command("pub");
    command.args(["-p", &port.to_string(), "-t", "a", "-m", "x"]);
    if !flags.contains("-h ") {
        command.args(["-h", "127.0.0.1"]);
    }
    let dir = dir.path().to_str().unwrap();
    let flags = flags.replace("{dir}", dir);
    Process::run(command.args(flags.split_whitespace()))
}

/// Debian's client and midge's end alike: the code, and the first line on standard error. Midge's
/// says more behind it.
#[track_caller]
fn alike(broker: &Broker, flags: &str, code: i32, line: &str, more: &str) {
    for clients in [Clients::Debian, Clients::Midge] {
        let ended = publish(clients, broker.dir(), broker.port(), flags);
        let first = ended.err.lines().next().unwrap_or("");
        let (is, is_right) = ((ended.code, first), (code, line));
        let other = match line {
            FAILED => (1, UNABLE),
            REFUSED => (7, LOST),
            _ => is_right,
        };
        let by_chance = clients.is_peer() && is == other;
        assert!(
            by_chance || is == is_right,
            "{flags}: {clients:?} {ended:?}"
        );
        if !clients.is_peer() {
            assert!(ended.err.contains(more), "{flags}: {ended:?}");
        }
    }
}

/// The three clients do their work through TLS, with messages larger than any buffer of it.
#[test]
fn messages_travel() {
    if !ready() {
        return;
    }
    let broker = broker();
    let port = broker.port().to_string();
    let ca = broker.dir().at("ca.pem");
    let aim = ["-h", "localhost", "-p", &port, "--cafile", &ca];
    let big = "0123456789abcdef".repeat(1 << 16);
    let file = broker.dir().write("big", &big);
    for version in ["311", "5"] {
        let topic = format!("t/{version}");
        let mut sub = Clients::Midge.command("sub");
        sub.args(aim)
            .args(["-t", &topic, "-q", "1", "-V", version, "-C", "302"]);
        let sub = Process::spawn(sub.args(["-F", "%l", "-d"]));
        sub_ready(&sub);
        let mut one = Clients::Midge.command("pub");
        one.args(aim).args(["-t", &topic, "-q", "2", "-f", &file]);
        Process::run(one.args(["--repeat", "2"])).ok();
        let mut many = Clients::Midge.command("pub");
        many.args(aim).args(["-t", &topic, "-q", "1", "-l"]);
        let lines: Vec<String> = (0..300).map(|n| format!("line {n:03}")).collect();
        let lines = lines.join("\n");
        Process::run_with(&mut many, lines.as_bytes()).ok();
        let ended = sub.finish().ok();
        let lengths = |len: &str| ended.out.lines().filter(|line| *line == len).count();
        assert_eq!((lengths("1048576"), lengths("8")), (2, 300));
    }
    let mut server = Clients::Midge.command("sub");
    server
        .args(aim)
        .args(["-t", "ask", "-C", "1", "-V", "5", "-F", "%R %p", "-d"]);
    let server = Process::spawn(&mut server);
    sub_ready(&server);
    let mut ask = Clients::Midge.command("rr");
    ask.args(aim)
        .args(["-t", "ask", "-e", "answer", "-m", "what", "-d"]);
    let ask = Process::spawn(&mut ask);
    server.finish().ok().says("answer what");
    let mut answer = Clients::Midge.command("pub");
    Process::run(answer.args(aim).args(["-t", "answer", "-m", "that"])).ok();
    ask.finish().ok().says("that");
}

/// Waits until a subscriber with `-d` has its SUBACK.
fn sub_ready(process: &Process) {
    crate::wait::until_true("a SUBACK", || {
        process.out.text().contains("Subscribed (mid")
    });
}

#[test]
fn trust_decides() {
    if !ready() {
        return;
    }
    let broker = broker_with(LISTENER, |pki| {
        pki.leaf("server", "/CN=localhost", HERE, VALID);
        pki.authority("other", "/CN=Another authority");
        pki.0.write("nonsense", "no certificate\n");
        for dir in ["good", "unnamed"] {
            pki.0.write(&format!("{dir}/ca.pem"), pki.0.read("ca.pem"));
        }
        pki.0.write("bad/other.pem", pki.0.read("other.pem"));
        pki.openssl(&["rehash", "good"]);
        pki.openssl(&["rehash", "bad"]);
    });
    alike(&broker, "--cafile {dir}/ca.pem", 0, "", "");
    alike(&broker, "--cafile {dir}/ca.pem -h localhost", 0, "", "");
    alike(&broker, "--capath {dir}/good", 0, "", "");
    alike(
        &broker,
        "--capath {dir}/bad --cafile {dir}/ca.pem",
        0,
        "",
        "",
    );
    let why = "not signed by a trusted one";
    alike(&broker, "--cafile {dir}/other.pem", 8, FAILED, why);
    alike(&broker, "--capath {dir}/bad", 8, FAILED, why);
    alike(&broker, "--capath {dir}/unnamed", 8, FAILED, "rehash");
    // --insecure is about the name only.
    alike(
        &broker,
        "--cafile {dir}/other.pem --insecure",
        8,
        FAILED,
        why,
    );
    alike(&broker, "--cafile {dir}/none", 1, NO_FILE, "No such file");
    alike(
        &broker,
        "--cafile {dir}/nonsense",
        1,
        UNABLE,
        "no certificate",
    );
    alike(&broker, "--capath {dir}/none", 8, FAILED, "No such file");
    alike(&broker, "", 7, LOST, "");
}

/// `--tls-use-os-certs` and `mqtts://` trust the system; `SSL_CERT_FILE` says where that is.
#[test]
fn the_systems_certificates() {
    if !ready() {
        return;
    }
    let broker = broker();
    let port = broker.port().to_string();
    let url = format!("mqtts://127.0.0.1:{port}/a");
    for clients in [Clients::Debian, Clients::Midge] {
        for (file, code) in [("ca.pem", 0), ("server.key", 8)] {
            let flags = [
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-t",
                "a",
                "--tls-use-os-certs",
            ];
            for flags in [&flags[..], &["-L", &url]] {
                let mut command = clients.command("pub");
                command.args(flags).args(["-m", "x"]);
                command.env("SSL_CERT_FILE", broker.dir().at(file));
                let ended = Process::run(&mut command);
                // A file without certificates: midge sees that before it connects.
                let bad = code != 0 && (ended.code == 1 || ended.code == 8);
                assert!(bad || ended.code == code, "{clients:?} {flags:?} {ended:?}");
            }
        }
    }
}

#[test]
fn a_client_shows_its_certificate() {
    if !ready() {
        return;
    }
    let conf = "require_certificate true\nuse_identity_as_username true\ncafile {dir}/ca.pem\n";
    let broker = broker_with(&format!("{LISTENER}{conf}"), |pki| {
        pki.leaf("server", "/CN=localhost", HERE, VALID);
        pki.leaf("anna", "/CN=anna", "DNS:anna", VALID);
        pki.leaf("late", "/CN=late", "DNS:late", EXPIRED);
        pki.leaf_version_1("old", "/CN=old");
        let secret = ["-aes128", "-passout", "pass:x"];
        for (out, more) in [("pkcs8.key", &[][..]), ("secret.key", &secret)] {
            let args = ["pkey", "-in", "anna.key", "-out", out];
            pki.openssl(&[&args, more].concat());
        }
        pki.openssl(&["ec", "-in", "anna.key", "-out", "sec1.key"]);
        let args = ["ec", "-in", "anna.key", "-out", "secret1.key"];
        pki.openssl(&[&args, &secret[..]].concat());
    });
    let with = |cert: &str, key: &str| {
        format!("--cafile {{dir}}/ca.pem --cert {{dir}}/{cert} --key {{dir}}/{key}")
    };
    for key in ["anna.key", "pkcs8.key", "sec1.key"] {
        alike(&broker, &with("anna.pem", key), 0, "", "");
    }
    broker.logs("u'anna'");
    alike(&broker, &with("old.pem", "old.key"), 0, "", "");
    broker.logs("u'old'");
    alike(
        &broker,
        &with("anna.pem", "server.key"),
        1,
        UNABLE,
        "not the key of",
    );
    alike(&broker, &with("none", "anna.key"), 1, NO_FILE, "--cert");
    alike(&broker, &with("anna.pem", "none"), 1, NO_FILE, "--key");
    alike(
        &broker,
        &with("anna.key", "anna.key"),
        1,
        UNABLE,
        "no certificate",
    );
    alike(
        &broker,
        &with("anna.pem", "anna.pem"),
        1,
        UNABLE,
        "no private key",
    );
    let one = "Error: Both certfile and keyfile must be provided if one of them is set.";
    alike(
        &broker,
        "--cafile {dir}/ca.pem --cert {dir}/anna.pem",
        1,
        one,
        "",
    );
    alike(
        &broker,
        "--cafile {dir}/ca.pem --key {dir}/anna.key",
        1,
        one,
        "",
    );
    // In TLS 1.3 the broker says no when the handshake is over.
    alike(
        &broker,
        "--cafile {dir}/ca.pem",
        1,
        REFUSED,
        "wants a certificate",
    );
    alike(
        &broker,
        &with("late.pem", "late.key"),
        1,
        REFUSED,
        "CertificateExpired",
    );
    for key in ["secret.key", "secret1.key"] {
        let flags = with("anna.pem", key);
        let ended = publish(Clients::Midge, broker.dir(), broker.port(), &flags);
        assert!(peer_clients("it asks for the pass phrase") || ended.code == 1);
        ended.says(UNABLE).says("has a pass phrase");
    }
}

#[test]
fn the_name_must_fit() {
    if !ready() {
        return;
    }
    let broker = broker_with(LISTENER, |pki| {
        pki.leaf("server", "/CN=localhost", "DNS:broker.example", VALID);
    });
    let why = "not for the host name '127.0.0.1' but for broker.example";
    alike(&broker, "--cafile {dir}/ca.pem", 8, FAILED, why);
    // The common name counts only where there are no other names.
    alike(
        &broker,
        "--cafile {dir}/ca.pem -h localhost",
        8,
        FAILED,
        "'localhost'",
    );
    alike(&broker, "--cafile {dir}/ca.pem --insecure", 0, "", "");
    // Another way to write 127.0.0.1, which no certificate has.
    let other = "--cafile {dir}/ca.pem --insecure -h 127.1";
    alike(&broker, other, 0, "", "");

    let broker = broker_with(LISTENER, |pki| {
        pki.leaf("server", "/CN=localhost", "IP:127.0.0.2", VALID);
    });
    let why = "not for the host name '127.0.0.1' but for 127.0.0.2.";
    alike(&broker, "--cafile {dir}/ca.pem", 8, FAILED, why);
}

#[test]
fn the_dates_must_fit() {
    if !ready() {
        return;
    }
    for (dates, why) in [(EXPIRED, "has expired"), (NOT_YET, "not valid yet")] {
        let broker = broker_with(LISTENER, |pki| {
            pki.leaf("server", "/CN=localhost", HERE, dates);
        });
        alike(&broker, "--cafile {dir}/ca.pem", 8, FAILED, why);
        alike(&broker, "--cafile {dir}/ca.pem --insecure", 8, FAILED, why);
    }
}

/// `--tls-version` is the least one; servers that have one version only.
#[test]
fn versions() {
    if !ready() {
        return;
    }
    const ONLY: &str = "\
openssl_conf = own
[own]
ssl_conf = ssl
[ssl]
system_default = limits
[limits]
";
    for only in ["TLSv1.2", "TLSv1.3"] {
        let setup = Setup::new(Kind::Debian);
        let pki = Pki(&setup.dir);
        pki.authority("ca", "/CN=The authority");
        pki.leaf("server", "/CN=localhost", HERE, VALID);
        let limits = format!("{ONLY}MinProtocol = {only}\nMaxProtocol = {only}\n");
        let setup = setup.file("openssl.cnf", &limits);
        let setup = setup.env("OPENSSL_CONF", "{dir}/openssl.cnf");
        let broker = setup.conf(LISTENER).start();
        alike(&broker, "--cafile {dir}/ca.pem", 0, "", "");
        alike(
            &broker,
            "--cafile {dir}/ca.pem --tls-version tlsv1.2",
            0,
            "",
            "",
        );
        let flags = "--cafile {dir}/ca.pem --tls-version tlsv1.3";
        match only {
            "TLSv1.3" => alike(&broker, flags, 0, "", ""),
            _ => alike(&broker, flags, 8, FAILED, "no version of TLS in common"),
        }
        let bad = "Error: Problem setting TLS options, check the options are valid.";
        alike(
            &broker,
            "--cafile {dir}/ca.pem --tls-version tlsv2",
            1,
            bad,
            "tlsv2",
        );
        let flags = "--cafile {dir}/ca.pem --ciphers";
        let one = "ECDHE-ECDSA-AES128-GCM-SHA256";
        alike(&broker, &format!("{flags} {one}"), 0, "", "");
        alike(
            &broker,
            &format!("{flags} nonsense"),
            1,
            UNABLE,
            "'nonsense'",
        );
        if only == "TLSv1.2" {
            // The key of the server is not of this kind.
            let other = "ECDHE-RSA-AES128-GCM-SHA256";
            alike(
                &broker,
                &format!("{flags} {other}"),
                8,
                FAILED,
                "no common cipher",
            );
        }
    }
}

/// A plain broker, and servers that send nonsense, nothing, or close.
#[test]
fn no_tls_at_the_other_end() {
    if !ready() {
        return;
    }
    let broker = broker_with("listener {port} 127.0.0.1\nallow_anonymous true\n", |_| {});
    alike(
        &broker,
        "--cafile {dir}/ca.pem",
        8,
        FAILED,
        "is this its TLS port?",
    );
    let dir = broker.dir();
    for (words, code) in [(&b"HTTP/1.0 400 Bad Request\r\n\r\n"[..], 8), (b"", 8)] {
        for clients in [Clients::Debian, Clients::Midge] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut hello = [0; 5];
                stream.read_exact(&mut hello).unwrap();
                stream.write_all(words).unwrap();
            });
            let ended = publish(clients, dir, port, "--cafile {dir}/ca.pem");
            server.join().unwrap();
            let by_chance = clients.is_peer() && ended.code == 1;
            assert!(by_chance || ended.code == code, "{clients:?} {ended:?}");
        }
    }
    for clients in [Clients::Debian, Clients::Midge] {
        // It accepts, by way of the system, and never says a word.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        publish(clients, dir, port, "--cafile {dir}/ca.pem -k 5").with(19);
    }
    let mut command = Clients::Midge.command("sub");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "--cafile",
        &dir.at("ca.pem"),
    ]);
    Process::run(command.args(["-t", "a", "-W", "1"]))
        .with(27)
        .says("Timed out");
}

/// What `--tls-alpn` names goes out in the first message, and a server may refuse it.
#[test]
fn alpn() {
    if !ready() {
        return;
    }
    let broker = broker();
    alike(&broker, "--cafile {dir}/ca.pem --tls-alpn mqtt", 0, "", "");
    for clients in [Clients::Debian, Clients::Midge] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut header = [0; 5];
            stream.read_exact(&mut header).unwrap();
            let len = u16::from_be_bytes([header[3], header[4]]);
            let mut hello = vec![0; usize::from(len)];
            stream.read_exact(&mut hello).unwrap();
            // The extension 16, its length, the list's length, the name's length, the name.
            let named = b"\x00\x10\x00\x0f\x00\x0d\x0cx-mqtt-test1";
            hello.windows(named.len()).any(|window| window == named)
        });
        let flags = "--cafile {dir}/ca.pem --tls-alpn x-mqtt-test1";
        let ended = publish(clients, broker.dir(), port, flags);
        assert_ne!(ended.code, 0, "{clients:?}");
        assert!(
            server.join().unwrap(),
            "{clients:?} did not name the protocol"
        );
    }
}
