//! Certificates over time: new ones are found without a signal, and ends are told in time.

use crate::authority::Authority;
use crate::common::packet::*;
use crate::harness::Client;
use crate::port::Port;
use crate::wait::until_within;
use crate::{debians_as, encrypted, run, shakes_hands};
use nix::sys::signal::Signal;
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The broker looks once a minute when nothing else happens.
const LOOKS: Duration = Duration::from_secs(150);

#[test]
fn files_that_change_are_read_anew_without_a_signal() {
    let broker = encrypted("sys_interval 1", |_| {});
    let old = broker.dir().read("server.key");
    // Half of a renewal: the certificate has come, the key has not.
    let renewed = crate::dir::Dir::new();
    let authority = Authority::new(&renewed);
    authority.server("server", "localhost");
    broker.dir().write("ca.crt", renewed.read("ca.crt"));
    broker.dir().write("server.crt", renewed.read("server.crt"));
    until_within(LOOKS, "it tells what is wrong", || {
        broker
            .log()
            .contains("is not the key of the certificate")
            .then_some(())
    });
    broker.logs("the certificates of before stay");
    assert!(
        !shakes_hands(&broker, &[]),
        "the old one is of another authority"
    );
    assert_ne!(old, renewed.read("server.key"));
    broker.dir().write("server.key", renewed.read("server.key"));
    until_within(LOOKS, "the new certificate", || {
        shakes_hands(&broker, &[]).then_some(())
    });
    broker.logs("were read anew");
    assert_eq!(
        broker
            .log()
            .matches("is not the key of the certificate")
            .count(),
        1
    );
}

#[test]
fn a_new_list_of_the_revoked_counts_without_a_signal() {
    let conf = "sys_interval 1\ncafile DIR/ca.crt\nrequire_certificate true\ncrlfile DIR/crl.pem";
    let broker = encrypted(conf, |authority| {
        authority.client("anna", "/CN=anna");
        authority.client("bert", "/CN=bert");
        authority.revoke("bert");
    });
    let publishes = |who| {
        let mut command = debians_as(&broker, "mosquitto_pub", who);
        run(command.args(["-t", "a", "-q", "1", "-m", "x"]))
            .status
            .success()
    };
    assert!(publishes("anna") && !publishes("bert"));
    Authority::again(broker.dir()).revoke("anna");
    until_within(LOOKS, "anna is not let in any more", || {
        (!publishes("anna")).then_some(())
    });
}

/// Seconds from now as `openssl ca` wants it.
fn moment(seconds: u64) -> (u64, String) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let at = jiff::Timestamp::from_second((now + seconds) as i64).unwrap();
    (now + seconds, at.strftime("%Y%m%d%H%M%SZ").to_string())
}

#[test]
fn an_end_that_comes_near_is_told_in_the_log_and_in_sys() {
    const DAY: u64 = 24 * 60 * 60;
    let plain = Port::lease();
    let (end_s, end) = moment(6 * DAY + 3600);
    let conf = format!("listener {} 127.0.0.1", plain.number);
    let broker = encrypted(&conf, |authority| authority.server_until("server", &end));
    broker.logs("expires in 6 days");
    let topic = |what: &str| {
        let stream = TcpStream::connect(("127.0.0.1", plain.number)).unwrap();
        let mut client = Client::new(stream);
        client.say(Packet::Connect(Connect::new(Version::V311, "watcher")));
        client.hear();
        let listener = broker.port();
        client.subscribe(
            &format!("$SYS/broker/listeners/{listener}/certificate/{what}"),
            0,
        );
        match client.hear() {
            Some(Packet::Publish(publish)) => publish.text(),
            other => panic!("{other:?}"),
        }
    };
    let date: jiff::Timestamp = topic("expires").parse().unwrap();
    assert_eq!(date.as_second() as u64, end_s);
    assert_eq!(topic("days"), "6");
    // Told once, however often it looks; a new one is fine, and nothing is said.
    Authority::again(broker.dir()).server("server", "localhost");
    broker.signal(Signal::SIGHUP);
    let (_, expired) = moment(0);
    crate::wait::until_true("the new end", || {
        topic("days").parse::<u32>().unwrap() > 1000
    });
    Authority::again(broker.dir()).server_until("server", &expired);
    broker.signal(Signal::SIGHUP);
    broker.logs("has expired");
    crate::wait::until_true("the end in $SYS", || topic("days") == "0");
    assert_eq!(
        broker.log().matches("expires in").count(),
        1,
        "{}",
        broker.log()
    );
    assert_eq!(
        broker.log().matches("has expired").count(),
        1,
        "{}",
        broker.log()
    );
}
