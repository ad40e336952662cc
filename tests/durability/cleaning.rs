//! What is old and still owed is written anew when its journal file goes; it must not get lost,
//! come twice or come back on that way.

use crate::broker::{Broker, Program};
use crate::client::Client;
use crate::common::packet::*;

const VERSION: Version = Version::V5;

/// Sends messages to somebody who takes them at once, until the oldest file of the journal is gone.
#[track_caller]
fn fill(broker: &Broker) {
    let oldest = broker.segments().first().cloned().expect("a journal");
    // A new one each time: the last PUBACK may have come too late for the kill.
    let (mut taker, _) = broker.lasting(VERSION, &format!("taker of {oldest}"));
    taker.subscribe("fill", 1);
    let mut publisher = broker.client(VERSION, "filler");
    let payload = "x".repeat(100_000);
    // A gigabyte is a limit for a test that would never end.
    for _ in 0..10_000 {
        publisher.publish(Publish::new("fill", &payload));
        taker.take(&payload);
        if !broker.segments().contains(&oldest) {
            return;
        }
    }
    panic!("{oldest} is still there: {:?}", broker.segments());
}

/// Everything that a journal can hold, and things that are over.
fn prepare(broker: &Broker) {
    let (mut client, _) = broker.lasting(VERSION, "client");
    client.subscribe("t", 2);
    client.subscribe("dropped", 2);
    client.unsubscribe("dropped");
    client.leave();
    let (mut publisher, _) = broker.lasting(VERSION, "publisher");
    publisher.publish(Publish::new("t", "one"));
    publisher.publish_2(Publish::new("t", "two").retain(), 2);
    publisher.say(Publish::new("t", "three").qos(2).id(3));
    publisher.received(3);
    for payload in ["old", "new"] {
        publisher.publish(Publish::new("r", payload).retain());
        publisher.publish(Publish::new("cleared", payload).retain());
    }
    publisher.publish(Publish::new("cleared", "").retain());
    // Two that are half way.
    let (mut half, _) = broker.lasting(VERSION, "half");
    half.subscribe("half", 2);
    publisher.publish_2(Publish::new("half", "released"), 4);
    publisher.publish_2(Publish::new("half", "sent"), 4);
    let released = half.message("released").packet_id;
    half.message("sent");
    half.say(Packet::PubRec(Ack::new(released)));
    half.expect(Packet::PubRel(Ack::new(released)));
    half.leave();
}

#[track_caller]
fn check(broker: &Broker) {
    let (mut half, is_present) = broker.lasting(VERSION, "half");
    assert!(is_present);
    half.expect(Packet::PubRel(Ack::new(1)));
    assert!(half.message("sent").dup);
    half.leave();

    let mut probe = broker.client(VERSION, "probe");
    for (topic, payload) in [("r", "new"), ("t", "two")] {
        probe.subscribe(topic, 0);
        assert!(probe.message(payload).retain, "{topic}");
        probe.unsubscribe(topic);
    }
    probe.subscribe("cleared", 0);
    probe.say(Publish::new("cleared", "live"));
    assert!(!probe.message("live").retain);
    // If the client were still subscribed, this would be in its queue.
    probe.publish(Publish::new("dropped", "not for anybody"));
}

/// Takes what is left, and is not sent it again.
#[track_caller]
fn finish(broker: &Broker) {
    let (mut publisher, is_present) = broker.lasting(VERSION, "publisher");
    assert!(is_present);
    publisher.release(3);
    let (mut client, is_present) = broker.lasting(VERSION, "client");
    assert!(is_present);
    for (payload, qos) in [("one", 1), ("two", 2), ("three", 2)] {
        let publish = until_publish(&mut client);
        assert_eq!((publish.text().as_str(), publish.qos), (payload, qos));
        let ack = Ack::new(publish.packet_id);
        client.say(if qos == 1 {
            Packet::PubAck(ack)
        } else {
            Packet::PubRec(ack)
        });
    }
    publisher.publish(Publish::new("t", "last"));
    until_publish(&mut client);
}

/// The next message; PUBREL on the way is answered.
#[track_caller]
fn until_publish(client: &mut Client) -> Publish {
    loop {
        match client.hear() {
            Packet::PubRel(ack) => client.say(Packet::PubComp(Ack::new(ack.packet_id))),
            Packet::Publish(publish) => return publish,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_old_outlives_its_file() {
    if !Program::from_environment().is_midge() {
        return;
    }
    let mut broker = Broker::start("");
    prepare(&broker);
    for _ in 0..2 {
        fill(&broker);
        broker.crash();
        check(&broker);
    }
    finish(&broker);
}
