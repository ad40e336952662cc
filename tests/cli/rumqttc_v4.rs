//! rumqttc, a client library of the ecosystem, in MQTT 3.1.1.

use std::time::{Duration, Instant};

use rumqttc::{Client, Connection, Event, LastWill, MqttOptions, Packet, Publish, QoS};

use crate::harness::broker::peer_broker;
use crate::harness::{Broker, Kind};
use crate::wait::LIMIT;

/// One client and its connection, which moves only while it is asked.
struct Party {
    client: Client,
    connection: Connection,
}

impl Party {
    fn new(broker: &Broker, id: &str, set: impl FnOnce(&mut MqttOptions)) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", broker.port());
        options.set_keep_alive(Duration::from_secs(60));
        set(&mut options);
        let (client, connection) = Client::new(options, 500);
        Self { client, connection }
    }

    /// Connects; the session that was there, or not.
    fn start(broker: &Broker, id: &str, set: impl FnOnce(&mut MqttOptions)) -> (Self, bool) {
        let mut party = Self::new(broker, id, set);
        let present = party.until(|packet| match packet {
            Packet::ConnAck(answer) => Some(answer.session_present),
            _ => None,
        });
        (party, present)
    }

    fn subscribed(broker: &Broker, id: &str, filter: &str, qos: QoS) -> Self {
        let (mut party, _) = Self::start(broker, id, |_| {});
        party.subscribe(filter, qos);
        party
    }

    fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.client.subscribe(filter, qos).unwrap();
        self.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(()));
    }

    /// Moves until a packet comes in which `look` finds something.
    #[track_caller]
    fn until<T>(&mut self, mut look: impl FnMut(&Packet) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self
                .connection
                .recv_timeout(left)
                .expect("an event")
                .unwrap();
            if let Event::Incoming(packet) = event {
                if let Some(found) = look(&packet) {
                    return found;
                }
            }
        }
    }

    #[track_caller]
    fn message(&mut self) -> Publish {
        self.until(|packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })
    }

    /// Publishes and waits for the last acknowledgement.
    #[track_caller]
    fn publish(&mut self, topic: &str, qos: QoS, retain: bool, text: &str) {
        self.client.publish(topic, qos, retain, text).unwrap();
        if qos == QoS::AtMostOnce {
            // What was asked of the library goes out while it is moved: until a later answer.
            self.subscribe("nothing/at/all", QoS::AtMostOnce);
            return;
        }
        self.until(|packet| matches!(packet, Packet::PubAck(_) | Packet::PubComp(_)).then_some(()));
    }
}

const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

#[test]
fn every_qos_to_every_qos() {
    let broker = Broker::open(Kind::Midge);
    let (mut writer, _) = Party::start(&broker, "writer", |_| {});
    for granted in ALL {
        let mut reader = Party::subscribed(&broker, "reader", "a/+", granted);
        for published in ALL {
            writer.publish("a/b", published, false, "text");
            let message = reader.message();
            assert_eq!(message.payload, "text");
            assert_eq!(message.topic, "a/b");
            assert_eq!(message.qos as u8, (published as u8).min(granted as u8));
            assert!(!message.retain);
        }
    }
}

/// A hundred QoS 2 messages on their way at once: all arrive, once, in order.
#[test]
fn a_hundred_in_flight_stay_in_order() {
    if peer_broker("2.0.11 loses the order beyond twenty") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let mut reader = Party::subscribed(&broker, "reader", "many", QoS::ExactlyOnce);
    let (mut writer, _) = Party::start(&broker, "writer", |options| {
        options.set_inflight(100);
    });
    for n in 0..300 {
        let text = n.to_string();
        writer
            .client
            .publish("many", QoS::ExactlyOnce, false, text)
            .unwrap();
    }
    let mut left = 300;
    writer.until(|packet| {
        left -= u32::from(matches!(packet, Packet::PubComp(_)));
        (left == 0).then_some(())
    });
    for n in 0..300 {
        assert_eq!(reader.message().payload, n.to_string());
    }
    writer.publish("many", QoS::ExactlyOnce, false, "end");
    assert_eq!(reader.message().payload, "end");
}

#[test]
fn retained_messages() {
    let broker = Broker::open(Kind::Midge);
    let (mut writer, _) = Party::start(&broker, "writer", |_| {});
    writer.publish("kept", QoS::AtLeastOnce, true, "old");
    writer.publish("kept", QoS::AtLeastOnce, true, "new");
    let mut reader = Party::subscribed(&broker, "reader", "#", QoS::ExactlyOnce);
    let message = reader.message();
    assert_eq!(
        (message.payload.as_ref(), message.retain),
        (&b"new"[..], true)
    );
    writer.publish("kept", QoS::AtLeastOnce, true, "");
    assert!(reader.message().payload.is_empty());
    let mut late = Party::subscribed(&broker, "late", "#", QoS::ExactlyOnce);
    writer.publish("end", QoS::AtLeastOnce, false, "x");
    assert_eq!(late.message().topic, "end");
}

#[test]
fn wills() {
    let broker = Broker::open(Kind::Midge);
    let mut watcher = Party::subscribed(&broker, "watcher", "will", QoS::ExactlyOnce);
    let will = || LastWill::new("will", "gone", QoS::ExactlyOnce, false);
    let (mortal, _) = Party::start(&broker, "mortal", |options| {
        options.set_last_will(will());
    });
    drop(mortal);
    let message = watcher.message();
    assert_eq!(
        (message.payload.as_ref(), message.qos),
        (&b"gone"[..], QoS::ExactlyOnce)
    );

    // With DISCONNECT there is none.
    let (mut polite, _) = Party::start(&broker, "polite", |options| {
        options.set_last_will(will());
    });
    polite.client.disconnect().unwrap();
    while let Ok(Ok(_)) = polite.connection.recv_timeout(LIMIT) {}
    let (mut writer, _) = Party::start(&broker, "writer", |_| {});
    writer.publish("will", QoS::AtLeastOnce, false, "end");
    assert_eq!(watcher.message().payload, "end");
}

#[test]
fn a_session_waits() {
    let broker = Broker::open(Kind::Midge);
    let keep = |options: &mut MqttOptions| {
        options.set_clean_session(false);
    };
    let (mut away, present) = Party::start(&broker, "away", keep);
    assert!(!present);
    away.subscribe("a", QoS::ExactlyOnce);
    drop(away);
    let (mut writer, _) = Party::start(&broker, "writer", |_| {});
    for n in 0..50 {
        let qos = if n % 2 == 0 {
            QoS::AtLeastOnce
        } else {
            QoS::ExactlyOnce
        };
        writer.publish("a", qos, false, &n.to_string());
    }
    let (mut back, present) = Party::start(&broker, "away", keep);
    assert!(present);
    for n in 0..50 {
        assert_eq!(back.message().payload, n.to_string());
    }
}

/// Shared subscriptions work in 3.1.1 too, as an extension.
#[test]
fn a_shared_subscription() {
    let broker = Broker::open(Kind::Midge);
    let mut first = Party::subscribed(&broker, "first", "$share/g/a", QoS::AtLeastOnce);
    let (mut writer, _) = Party::start(&broker, "writer", |_| {});
    for n in 0..10 {
        writer.publish("a", QoS::AtLeastOnce, false, &n.to_string());
        assert_eq!(first.message().payload, n.to_string());
    }
}

/// Signing in with a name and a password that nobody asks for.
#[test]
fn large_messages() {
    let broker = Broker::open(Kind::Midge);
    let room = |options: &mut MqttOptions| {
        options.set_max_packet_size(2_000_000, 2_000_000);
    };
    let (mut reader, _) = Party::start(&broker, "reader", room);
    reader.subscribe("big", QoS::ExactlyOnce);
    let (mut writer, _) = Party::start(&broker, "writer", room);
    let big: String = (0..1_000_000)
        .map(|n| char::from(b'a' + (n % 26) as u8))
        .collect();
    for qos in ALL {
        writer.publish("big", qos, false, &big);
        assert!(reader.message().payload == big, "{qos:?}");
    }
}
