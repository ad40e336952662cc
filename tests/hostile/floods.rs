//! Very many of a thing.

use crate::common::packet::*;
use crate::harness::Broker;

#[test]
fn a_packet_full_of_refused_filters_is_one_log_line() {
    let broker = Broker::start("max_subscriptions_per_client 10");
    let mut client = broker.client(Version::V311, "greedy");
    let mut subscribe = Subscribe::new(1);
    for n in 0..1000 {
        subscribe = subscribe.filter(&format!("filter/{n}"), 0);
    }
    client.say(Packet::Subscribe(subscribe));
    let Some(Packet::SubAck(answer)) = client.hear() else {
        panic!("no SUBACK");
    };
    let granted = answer.codes.iter().filter(|&&code| code < 0x80).count();
    assert_eq!((granted, answer.codes.len()), (10, 1000));
    let log = broker.log();
    assert_eq!(
        log.matches("max_subscriptions_per_client").count(),
        1,
        "{log}"
    );
}
