//! Clients that mean well.

use crate::{debians, encrypted, encrypted_by, run, shakes_hands};
use nix::sys::signal::Signal;
use std::process::Stdio;

#[test]
fn debians_clients_talk_at_every_qos() {
    let broker = encrypted("", |authority| {
        authority.edit("server.crt");
        authority.edit("server.key");
    });
    for qos in ["0", "1", "2"] {
        let mut subscriber = debians(&broker, "mosquitto_sub");
        let subscriber = subscriber.args(["-t", "a", "-q", qos, "-C", "1", "-W", "30"]);
        let subscriber = subscriber.stdout(Stdio::piped()).spawn().unwrap();
        // Retained, so that it does not matter who is first.
        let mut publisher = debians(&broker, "mosquitto_pub");
        assert!(
            run(publisher.args(["-t", "a", "-q", qos, "-r", "-m", "hello"]))
                .status
                .success()
        );
        let heard = subscriber.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&heard.stdout), "hello\n");
    }
}

/// Whoever made his certificate by Mosquitto's manual need not make another one.
#[test]
fn a_certificate_of_version_1_serves() {
    let broker = encrypted_by("", |authority| {
        authority.server_of_version_1("server", "localhost");
    });
    let mut publisher = debians(&broker, "mosquitto_pub");
    let done = run(publisher.args(["-t", "a", "-m", "x", "-q", "1"]));
    assert!(done.status.success(), "{done:?}");
    let mut midge = std::process::Command::new(env!("CARGO_BIN_EXE_midge"));
    let port = broker.port().to_string();
    midge.args(["pub", "-h", "localhost", "-p", &port, "-t", "a", "-m", "x"]);
    let done = run(midge.args(["-q", "1", "--cafile", &broker.dir().at("ca.crt")]));
    assert!(done.status.success(), "{done:?}");
}

/// Both ways, in many records, more than any buffer between holds.
#[test]
fn large_payloads_come_through_whole() {
    let broker = encrypted("max_packet_size 20000000", |_| {});
    let payload: Vec<u8> = (0..5_000_000_u32).map(|n| (n / 7 % 251) as u8).collect();
    let file = broker.dir().write("payload", &payload);
    let mut publisher = debians(&broker, "mosquitto_pub");
    assert!(
        run(publisher.args(["-t", "a", "-q", "1", "-r", "-f", &file]))
            .status
            .success()
    );
    let mut subscriber = debians(&broker, "mosquitto_sub");
    let heard = run(subscriber.args(["-t", "a", "-N", "-C", "1", "-W", "60"]));
    assert!(heard.stdout == payload, "{} bytes", heard.stdout.len());
}

#[test]
fn versions_and_ciphers_are_those_of_the_configuration() {
    let broker = encrypted("", |_| {});
    assert!(shakes_hands(&broker, &["-tls1_2"]));
    assert!(shakes_hands(&broker, &["-tls1_3"]));
    assert!(!shakes_hands(
        &broker,
        &["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"]
    ));
    let broker = encrypted("tls_version tlsv1.3", |_| {});
    assert!(!shakes_hands(&broker, &["-tls1_2"]));
    assert!(shakes_hands(&broker, &["-tls1_3"]));
    let chosen = "ciphers ECDHE-ECDSA-AES128-GCM-SHA256:DHE-RSA-AES256-SHA";
    let broker = encrypted(chosen, |_| {});
    let offers = |cipher| shakes_hands(&broker, &["-tls1_2", "-cipher", cipher]);
    assert!(offers("ECDHE-ECDSA-AES128-GCM-SHA256"));
    assert!(!offers("ECDHE-ECDSA-AES256-GCM-SHA384"));
}

/// A client that checks names finds that it talks to another host.
#[test]
fn a_wrong_name_in_the_certificate_is_the_clients_affair() {
    let broker = encrypted("", |authority| authority.server("server", "elsewhere"));
    let mut publisher = debians(&broker, "mosquitto_pub");
    publisher.args(["-t", "a", "-m", "x"]);
    assert!(!run(&mut publisher).status.success());
    assert!(run(publisher.arg("--insecure")).status.success());
}

/// What keeps a listener from being encrypted keeps the broker from starting.
#[test]
fn files_that_cannot_be_used_are_told_at_the_start() {
    let dir = crate::dir::Dir::new();
    let authority = crate::authority::Authority::new(&dir);
    authority.server("server", "localhost");
    authority.client("other", "/CN=other");
    authority.write(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n",
    );
    authority.write("empty", "");
    authority.write(
        "odd.key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    let start = |certfile: &str, keyfile: &str, more: &str| {
        let file = |name: &str| dir.at(name);
        let port = crate::port::Port::lease();
        let conf = format!(
            "listener {}\ncertfile {}\nkeyfile {}\n{}\n",
            port.number,
            file(certfile),
            file(keyfile),
            more.replace("DIR", dir.path().to_str().unwrap()),
        );
        let conf = dir.write("m.conf", conf);
        let mut midge = std::process::Command::new(env!("CARGO_BIN_EXE_midge"));
        let done = run(midge.args(["-c", &conf]));
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{told}");
        told
    };
    for (certfile, keyfile, more, told) in [
        ("nowhere", "server.key", "", "m.conf:2: certfile: "),
        (
            "empty",
            "server.key",
            "",
            "there is no certificate (PEM) in it",
        ),
        (
            "server.crt",
            "empty",
            "",
            "there is no private key (PEM) in it",
        ),
        ("server.crt", "locked.key", "", "the key has a pass phrase"),
        ("server.crt", "none.key", "", "m.conf:3: keyfile: "),
        ("server.crt", "odd.key", "", "odd.key: the key is damaged"),
        (
            "server.crt",
            "other.key",
            "",
            "is not the key of the certificate",
        ),
        (
            "server.crt",
            "server.key",
            "ciphers RC4-MD5",
            "none of these ciphers is known",
        ),
        (
            "server.crt",
            "server.key",
            "cafile DIR/empty\nrequire_certificate true",
            "m.conf:4: cafile: ",
        ),
        // What counts for nothing yet is looked at all the same, as Mosquitto does.
        (
            "server.crt",
            "server.key",
            "cafile DIR/empty",
            "m.conf:4: cafile: ",
        ),
        (
            "server.crt",
            "server.key",
            "cafile DIR/ca.crt\ncrlfile DIR/nowhere",
            "m.conf:5: crlfile: ",
        ),
    ] {
        let said = start(certfile, keyfile, more);
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn a_reload_brings_a_new_certificate_and_keeps_connections() {
    let broker = encrypted("", |_| {});
    let mut subscriber = debians(&broker, "mosquitto_sub");
    let subscriber = subscriber.args(["-t", "a", "-C", "1", "-W", "30"]);
    let subscriber = subscriber.stdout(Stdio::piped()).spawn().unwrap();
    broker.logs("as auto-");
    let old = broker.dir().read("server.crt");
    broker.dir().write("server.crt", "no certificate");
    broker.signal(Signal::SIGHUP);
    broker.logs("there is no certificate (PEM) in it");
    broker.logs("nothing was reloaded");
    assert!(shakes_hands(&broker, &[]), "what was before goes on");
    broker.dir().write("server.crt", old);
    let authority = crate::authority::Authority::new(broker.dir());
    authority.server("server", "localhost");
    assert!(
        !shakes_hands(&broker, &[]),
        "the new authority did not sign it"
    );
    broker.signal(Signal::SIGHUP);
    crate::wait::until_true("the new certificate", || shakes_hands(&broker, &[]));
    let mut publisher = debians(&broker, "mosquitto_pub");
    assert!(
        run(publisher.args(["-t", "a", "-r", "-m", "still here"]))
            .status
            .success()
    );
    let heard = subscriber.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "still here\n");
}

/// As OpenSSL does it for Mosquitto: the certificate stands alone, its authorities in `cafile`, and
/// among those others of the same name.
#[test]
fn who_trusts_the_root_is_told_of_the_authorities_below_it() {
    for conf in ["cafile DIR/all.crt", "capath DIR/all"] {
        let broker = encrypted_by(conf, |authority| {
            authority.server_below("server", "localhost");
            let all = ["ca.crt", "ended.crt", "between.crt", "former.crt"];
            authority.bundle("all", &all);
        });
        let mut publisher = debians(&broker, "mosquitto_pub");
        let done = run(publisher.args(["-t", "a", "-q", "1", "-m", "x"]));
        assert!(done.status.success(), "{done:?}");
    }
    let broker = encrypted_by("", |authority| {
        authority.server_below("server", "localhost");
    });
    assert!(!shakes_hands(&broker, &["-verify", "3"]), "without it, no");
}
