//! Memory bombs: strangers who make the broker hold as much as it lets them, one kind at a time.
//! Whatever it is, the process grows by little more than `memory_limit`, the bomber is told, and
//! the good pair goes on.

use crate::common::encode::encode;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::harness::{Broker, Client};
use crate::pair::{Attacked, withstands};

const LIMIT_BYTES: u64 = 16_000_000;

/// What is not counted to the byte: an allocator's waste, freed memory that waits for use, the
/// broker's own buffers once they are in use.
const SLACK: u64 = 14_000_000;

/// Sets off a bomb; the clients that it returns stay connected.
fn survives(conf: &str, bomb: impl FnOnce(&Broker) -> Vec<Client>) {
    let broker = Broker::start(&format!("memory_limit {LIMIT_BYTES}\n{conf}"));
    let Attacked { grown, log } = withstands(broker, bomb);
    assert!(grown < LIMIT_BYTES + SLACK, "{grown} bytes; {log}");
    assert!(grown > LIMIT_BYTES / 4, "{grown} bytes are no bomb");
    assert_eq!(log.matches("Raise memory_limit").count(), 1, "{log}");
}

/// A client whose session outlives its connection.
fn lasting(client_id: &str) -> Connect {
    let mut connect = Connect::new(Version::V5, client_id);
    connect
        .properties
        .push(Property::SessionExpiryInterval(1000));
    connect
}

fn v5(broker: &Broker, client_id: &str) -> Client {
    broker.client(Version::V5, client_id)
}

/// Publishes at QoS 1, many at a time, until one is refused.
fn publish_until_refused(client: &mut Client, make: impl Fn(usize) -> Publish) {
    let mut sent = 0;
    while sent < 1_000_000 {
        let batch = 16;
        let mut bytes = Vec::new();
        for n in sent..sent + batch {
            let publish = make(n).qos(1).id(n as u16 % 60_000 + 1);
            bytes.extend(encode(Version::V5, &publish.into()));
        }
        sent += batch;
        client.throw(&bytes);
        for _ in 0..batch {
            match client.hear() {
                Some(Packet::PubAck(ack)) if ack.code == 0x97 => return,
                Some(Packet::PubAck(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("nothing is refused");
}

#[test]
fn retained_topics_without_end() {
    survives("", |broker| {
        let mut client = v5(broker, "bomber");
        publish_until_refused(&mut client, |n| {
            Publish::new(&format!("bomb/{n}/{n}"), "x".repeat(200)).retain()
        });
        vec![client]
    });
}

#[test]
fn messages_for_somebody_who_never_comes() {
    survives("max_queued_messages 0", |broker| {
        let connect = lasting("sleeper");
        let mut sleeper = broker.client_by(connect, Version::V5);
        sleeper.subscribe("bomb", 1);
        sleeper.reset();
        let mut client = v5(broker, "bomber");
        publish_until_refused(&mut client, |_| Publish::new("bomb", "x".repeat(10_000)));
        vec![client]
    });
}

#[test]
fn filters_without_end() {
    survives("", |broker| {
        let mut clients = Vec::new();
        for n in 0..100 {
            let mut client = v5(broker, &format!("bomber-{n}"));
            for round in 0..10 {
                let mut subscribe = Subscribe::new(1);
                for k in 0..1000 {
                    subscribe = subscribe.filter(&format!("b{n}/{round}/{k}/+"), 1);
                }
                client.say(Packet::Subscribe(subscribe));
                let Some(Packet::SubAck(answer)) = client.hear() else {
                    panic!("no SUBACK");
                };
                if answer.codes.contains(&0x97) {
                    clients.push(client);
                    return clients;
                }
            }
            clients.push(client);
        }
        panic!("a million filters are not refused");
    });
}

#[test]
fn sessions_without_end() {
    survives("", |broker| {
        for n in 0..5000 {
            let name = format!("{n}-{}", "x".repeat(12_000));
            let mut client = broker.connection();
            client.version = Version::V5;
            client.say(Packet::Connect(lasting(&name)));
            match client.hear() {
                Some(Packet::ConnAck(ack)) if ack.code == 0 => client.reset(),
                Some(Packet::ConnAck(ack)) if ack.code == 0x97 => return Vec::new(),
                // The connection itself is refused.
                None => return Vec::new(),
                other => panic!("{other:?}"),
            }
        }
        panic!("sixty megabytes of names are not refused");
    });
}

#[test]
fn aliases_of_many_connections() {
    survives("", |broker| {
        let mut clients = Vec::new();
        for n in 0..100 {
            let mut client = v5(broker, &format!("bomber-{n}"));
            for alias in 1..=10 {
                let topic = format!("{alias}/{}", "x".repeat(60_000));
                let publish = Publish::new(&topic, "").with(Property::TopicAlias(alias));
                client.throw(&encode(Version::V5, &publish.into()));
            }
            client.say(Packet::PingReq);
            match client.hear() {
                Some(Packet::PingResp) => clients.push(client),
                Some(Packet::Disconnect(end)) if end.code == 0x97 => return clients,
                other => panic!("{other:?}"),
            }
        }
        panic!("sixty megabytes of aliases are not refused");
    });
}
