//! Certificates as gateways really have them, brokers that go and come back, flags without TLS.

use nix::sys::signal::Signal;

use crate::harness::broker::Setup;
use crate::harness::pki::{Pki, VALID};
use crate::harness::{Clients, Kind, Process, Tool};

const LISTENER: &str = "\
listener {port} 127.0.0.1
allow_anonymous true
certfile {dir}/server.pem
keyfile {dir}/server.key
";

fn ready() -> bool {
    Tool::Openssl.ready() && Tool::Mosquitto.ready() && Tool::Clients.ready()
}

/// Certificates that signed themselves, those of version 1, those without alternative names:
/// `midge pub` takes and refuses what Debian's does.
#[test]
fn certificates_as_openssl_makes_them() {
    if !ready() {
        return;
    }
    type Make = fn(&Pki);
    let makes: [(&str, Make); 4] = [
        ("signed by itself", |pki| {
            pki.authority("server", "/CN=localhost");
            pki.0.write("trusted.pem", pki.0.read("server.pem"));
        }),
        ("of version 1", |pki| {
            pki.leaf_version_1("server", "/CN=localhost");
            pki.0.write("trusted.pem", pki.0.read("ca.pem"));
        }),
        ("of version 1 with an RSA key", |pki| {
            let rsa = ["-newkey", "rsa:2048", "-nodes"];
            let ca = ["req", "-x509", "-subj", "/CN=RSA", "-keyout", "ca.key"];
            pki.openssl(&[&ca[..], &rsa, &["-out", "ca.pem"]].concat());
            let request = ["req", "-subj", "/CN=localhost", "-keyout", "server.key"];
            pki.openssl(&[&request[..], &rsa, &["-out", "server.csr"]].concat());
            pki.0.write("none.ext", "[none]\n");
            let sign = ["x509", "-req", "-in", "server.csr", "-out", "server.pem"];
            let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
            let plain = ["-extfile", "none.ext", "-extensions", "none"];
            pki.openssl(&[&sign[..], &by, &plain].concat());
            pki.0.write("trusted.pem", pki.0.read("ca.pem"));
        }),
        ("without other names", |pki| {
            pki.leaf("server", "/O=Works/CN=localhost", "", VALID);
            pki.0.write("trusted.pem", pki.0.read("ca.pem"));
        }),
    ];
    for (what, make) in makes {
        let setup = Setup::new(Kind::Debian);
        let pki = Pki(&setup.dir);
        pki.authority("ca", "/CN=The authority");
        // Another authority of the same name: its signature would be another one.
        pki.authority("other", "/CN=The authority");
        make(&pki);
        let broker = setup.conf(LISTENER).start();
        let port = broker.port().to_string();
        for clients in [Clients::Debian, Clients::Midge] {
            for version in ["tlsv1.2", "tlsv1.3"] {
                for (host, trusted, more, good) in [
                    ("localhost", "trusted.pem", None, true),
                    ("127.0.0.1", "trusted.pem", None, false),
                    ("127.0.0.1", "trusted.pem", Some("--insecure"), true),
                    ("localhost", "other.pem", None, false),
                    ("localhost", "other.pem", Some("--insecure"), false),
                ] {
                    let mut command = clients.command("pub");
                    command.args(["-h", host, "-p", &port, "-t", "a", "-m", "x"]);
                    command.args(["--cafile", &broker.dir().at(trusted)]);
                    command.args(["--tls-version", version]).args(more);
                    let ended = Process::run(&mut command);
                    let case = (what, clients, version, host, trusted, more);
                    let codes: &[i32] = match (good, clients.is_peer()) {
                        (true, _) => &[0],
                        (false, false) => &[8],
                        (false, true) => &[1, 8],
                    };
                    assert!(codes.contains(&ended.code), "{case:?}: {ended:?}");
                }
            }
        }
    }
}

/// A server that has TLS 1.2 only and a certificate of version 1: its signature in the handshake
/// is checked in another way.
#[test]
fn version_1_and_tls_1_2() {
    if !ready() {
        return;
    }
    let setup = Setup::new(Kind::Debian);
    let pki = Pki(&setup.dir);
    pki.authority("ca", "/CN=The authority");
    pki.leaf_version_1("server", "/CN=localhost");
    let conf = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n";
    let setup = setup.file("openssl.cnf", &format!("{conf}MaxProtocol = TLSv1.2\n"));
    let setup = setup.env("OPENSSL_CONF", "{dir}/openssl.cnf");
    let broker = setup.conf(LISTENER).start();
    for clients in [Clients::Debian, Clients::Midge] {
        let mut command = clients.command("pub");
        command.args(["-h", "localhost", "-p", &broker.port().to_string()]);
        command.args(["--cafile", &broker.dir().at("ca.pem")]);
        Process::run(command.args(["-t", "a", "-m", "x"])).ok();
    }
}

/// A subscriber comes back when its broker does.
#[test]
fn a_lost_connection_is_opened_again() {
    if !ready() {
        return;
    }
    let setup = Setup::new(Kind::Debian);
    let pki = Pki(&setup.dir);
    pki.authority("ca", "/CN=The authority");
    pki.leaf("server", "/CN=localhost", "IP:127.0.0.1", VALID);
    let broker = setup.conf(LISTENER).start();
    let port = broker.port().to_string();
    let ca = broker.dir().at("ca.pem");
    let aim = ["-h", "127.0.0.1", "-p", &port, "--cafile", &ca, "-t", "a"];
    let mut sub = Clients::Midge.command("sub");
    let sub = Process::spawn(sub.args(aim).args(["-C", "1", "-d"]));
    let subscribed = |count: usize| {
        crate::wait::until_true("a SUBACK", || {
            sub.out.text().matches("Subscribed (mid").count() == count
        });
    };
    subscribed(1);
    let (_, setup) = broker.stop_with(Signal::SIGKILL);
    let broker = setup.start();
    subscribed(2);
    let mut command = Clients::Midge.command("pub");
    Process::run(command.args(aim).args(["-m", "again"])).ok();
    sub.finish().ok().says("again");
    broker.stop();
}

/// Without a word about whom to trust there is no TLS, as with Mosquitto; midge says so.
#[test]
fn flags_without_trust_are_told() {
    if !ready() {
        return;
    }
    let setup = Setup::new(Kind::Debian);
    let broker = setup
        .conf("listener {port} 127.0.0.1\nallow_anonymous true\n")
        .start();
    let port = broker.port().to_string();
    for clients in [Clients::Debian, Clients::Midge] {
        for flags in [&["--insecure"][..], &["--tls-alpn", "mqtt"]] {
            let mut command = clients.command("pub");
            command.args(["-h", "127.0.0.1", "-p", &port, "-t", "a", "-m", "x"]);
            let ended = Process::run(command.args(flags)).ok();
            let told = ended
                .err
                .starts_with(&format!("Warning: {} has no effect", flags[0]));
            assert_eq!(told, !clients.is_peer(), "{ended:?}");
        }
    }
}
