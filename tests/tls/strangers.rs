//! What else comes to an encrypted port, and what encrypted comes to a plain one.

use crate::common::packet::*;
use crate::harness::{Broker, Peers};
use crate::port::Port;
use crate::{debians, encrypted, run, shakes_hands};

/// The beginning of a handshake, as any client sends it: a record header and less than it says.
const BEGUN: [u8; 11] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

#[test]
fn what_is_no_tls_is_told_and_closed() {
    let broker = encrypted("", |_| {});
    let mut plain = broker.connection();
    plain.say(Packet::Connect(Connect::new(Version::V311, "plain")));
    // An alert that says what is wrong, which is no MQTT packet.
    plain.is_closed();
    broker.logs("TLS: it does not speak TLS");
    for seed in 0..50 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut stranger = broker.connection();
        let mut bytes: Vec<u8> = (0..rng.usize(1..3000)).map(|_| rng.u8(..)).collect();
        if seed % 2 == 0 {
            bytes.splice(0..0, BEGUN);
        }
        stranger.throw(&bytes);
    }
    assert!(shakes_hands(&broker, &[]));
}

#[test]
fn tls_on_a_plain_port_is_told_and_closed() {
    let broker = Broker::start("");
    let mut stranger = broker.connection();
    stranger.throw(&BEGUN);
    stranger.throw(&[0; 600]);
    assert_eq!(stranger.hear(), None);
    broker.logs("it speaks TLS, and this listener does not");
}

/// Thousands who begin a handshake and never go on: neither those who are there nor those who
/// come feel it, and the descriptors do not run out.
#[test]
fn half_handshakes_by_the_thousand() {
    let plain = Port::lease();
    let more = format!("listener {} 127.0.0.1", plain.number);
    let broker = encrypted(&more, |_| {});
    let mut peers = Peers::at(plain.number);
    let before = broker.descriptors();
    let mut strangers = Vec::new();
    for n in 0..2000 {
        let mut stranger = broker.connection();
        stranger.throw(&BEGUN);
        strangers.push(stranger);
        if n % 200 == 0 {
            peers.check();
            let mut publisher = debians(&broker, "mosquitto_pub");
            assert!(
                run(publisher.args(["-t", "a", "-q", "1", "-m", "x"]))
                    .status
                    .success()
            );
        }
    }
    peers.check();
    crate::wait::until_true("most have gone", || broker.descriptors() < before + 300);
    broker.logs("too many TLS handshakes are under way");
}
