//! rumqttc, a client library of the ecosystem, in MQTT 5.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, LastWill, LastWillProperties, Packet, Publish, PublishProperties,
    SubscribeProperties,
};
use rumqttc::v5::{Client, Connection, Event, MqttOptions};

use crate::harness::broker::peer_broker;
use crate::harness::{Broker, Kind};
use crate::wait::LIMIT;

struct Party {
    client: Client,
    connection: Connection,
}

impl Party {
    fn start(broker: &Broker, id: &str, set: impl FnOnce(&mut MqttOptions)) -> (Self, ConnAck) {
        let mut options = MqttOptions::new(id, "127.0.0.1", broker.port());
        options.set_keep_alive(Duration::from_secs(60));
        set(&mut options);
        let (client, connection) = Client::new(options, 500);
        let mut party = Self { client, connection };
        let answer = party.until(|packet| match packet {
            Packet::ConnAck(answer) => Some(answer.clone()),
            _ => None,
        });
        (party, answer)
    }

    fn subscribed(broker: &Broker, id: &str, filter: &str) -> Self {
        let (mut party, _) = Self::start(broker, id, |_| {});
        party.subscribe(Filter::new(filter, QoS::ExactlyOnce), None);
        party
    }

    fn subscribe(&mut self, filter: Filter, id: Option<usize>) {
        let properties = SubscribeProperties {
            id,
            user_properties: Vec::new(),
        };
        self.client
            .subscribe_many_with_properties([filter], properties)
            .unwrap();
        self.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(()));
    }

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

    #[track_caller]
    fn publish(&mut self, topic: &str, retain: bool, text: &str, with: PublishProperties) {
        self.client
            .publish_with_properties(topic, QoS::AtLeastOnce, retain, text.to_string(), with)
            .unwrap();
        self.until(|packet| matches!(packet, Packet::PubAck(_)).then_some(()));
    }

    #[track_caller]
    fn say(&mut self, topic: &str, text: &str) {
        self.publish(topic, false, text, PublishProperties::default());
    }
}

fn text(message: &Publish) -> (&str, &str) {
    (
        std::str::from_utf8(&message.topic).unwrap(),
        std::str::from_utf8(&message.payload).unwrap(),
    )
}

#[test]
fn every_property_is_forwarded() {
    let broker = Broker::open(Kind::Midge);
    let (mut reader, _) = Party::start(&broker, "reader", |_| {});
    reader.subscribe(Filter::new("a/#", QoS::ExactlyOnce), Some(77));
    let (mut writer, _) = Party::start(&broker, "writer", |_| {});
    let with = PublishProperties {
        payload_format_indicator: Some(1),
        message_expiry_interval: Some(1000),
        response_topic: Some("answers".into()),
        correlation_data: Some(b"id \0\xff".to_vec().into()),
        user_properties: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
        content_type: Some("text/plain".into()),
        ..PublishProperties::default()
    };
    writer.publish("a/b", false, "x", with.clone());
    let message = reader.message();
    assert_eq!(text(&message), ("a/b", "x"));
    let got = message.properties.unwrap();
    let left = got.message_expiry_interval.unwrap();
    assert!((990..=1000).contains(&left), "{left}");
    let wanted = PublishProperties {
        subscription_identifiers: vec![77],
        message_expiry_interval: got.message_expiry_interval,
        ..with
    };
    assert_eq!(got, wanted);
}

#[test]
fn topic_aliases_both_ways() {
    if peer_broker("2.0.11 makes no aliases of its own") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let (mut reader, _) = Party::start(&broker, "reader", |options| {
        options.set_topic_alias_max(Some(5));
    });
    reader.subscribe(Filter::new("alias/#", QoS::ExactlyOnce), None);
    let (mut writer, answer) = Party::start(&broker, "writer", |_| {});
    let properties = answer.properties.unwrap();
    assert_eq!(properties.topic_alias_max, Some(10));
    let alias = |alias| PublishProperties {
        topic_alias: Some(alias),
        ..PublishProperties::default()
    };
    writer.publish("alias/one", false, "1", alias(1));
    writer.publish("alias/two", false, "2", alias(2));
    writer.publish("", false, "3", alias(1));
    writer.publish("", false, "4", alias(2));
    let mut aliases = HashMap::new();
    for wanted in [
        ("alias/one", "1"),
        ("alias/two", "2"),
        ("alias/one", "3"),
        ("alias/two", "4"),
    ] {
        let message = reader.message();
        let (topic, payload) = text(&message);
        let alias = message.properties.as_ref().unwrap().topic_alias.unwrap();
        assert!((1..=5).contains(&alias));
        if topic.is_empty() {
            assert_eq!((aliases[&alias], payload), wanted);
        } else {
            aliases.insert(alias, wanted.0);
            assert_eq!((topic, payload), wanted);
        }
    }
    assert_eq!(aliases.len(), 2);
}

#[test]
fn a_message_expires_while_it_waits() {
    let broker = Broker::open(Kind::Midge);
    let keep = |options: &mut MqttOptions| {
        options
            .set_clean_start(false)
            .set_session_expiry_interval(Some(300));
    };
    let (mut away, answer) = Party::start(&broker, "away", keep);
    assert!(!answer.session_present);
    away.subscribe(Filter::new("a", QoS::AtLeastOnce), None);
    drop(away);
    let (mut writer, _) = Party::start(&broker, "writer", |_| {});
    let short = PublishProperties {
        message_expiry_interval: Some(1),
        ..PublishProperties::default()
    };
    writer.publish("a", false, "short", short);
    writer.say("a", "long");
    let start = Instant::now();
    crate::wait::until_true("its expiry", || {
        start.elapsed() > Duration::from_millis(2100)
    });
    let (mut back, answer) = Party::start(&broker, "away", keep);
    assert!(answer.session_present);
    assert_eq!(text(&back.message()), ("a", "long"));
}

#[test]
fn a_shared_subscription_is_fair() {
    let broker = Broker::open(Kind::Midge);
    let mut first = Party::subscribed(&broker, "first", "$share/g/a/+");
    let mut second = Party::subscribed(&broker, "second", "$share/g/a/+");
    let mut all = Party::subscribed(&broker, "all", "a/b");
    let (mut writer, _) = Party::start(&broker, "writer", |_| {});
    for n in 0..20 {
        writer.say("a/b", &n.to_string());
    }
    for n in 0..20 {
        assert_eq!(text(&all.message()).1, n.to_string());
    }
    let mut seen: Vec<u32> = Vec::new();
    for party in [&mut first, &mut second] {
        for _ in 0..10 {
            seen.push(text(&party.message()).1.parse().unwrap());
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

#[test]
fn subscription_options() {
    let broker = Broker::open(Kind::Midge);
    let (mut me, _) = Party::start(&broker, "me", |_| {});
    let mut other = Party::subscribed(&broker, "other", "#");
    other.publish("kept", true, "x", PublishProperties::default());
    me.publish("own", true, "x", PublishProperties::default());
    assert!(!other.message().retain);
    // No local: one's own words do not come back, not even the retained ones.
    let mut filter = Filter::new("#", QoS::AtLeastOnce);
    filter.nolocal = true;
    filter.preserve_retain = true;
    me.subscribe(filter, None);
    let message = me.message();
    assert_eq!((text(&message), message.retain), (("kept", "x"), true));
    me.say("mine", "1");
    other.publish("kept", true, "y", PublishProperties::default());
    let message = me.message();
    assert_eq!((text(&message), message.retain), (("kept", "y"), true));
}

#[test]
fn wills_with_delay_and_properties() {
    let broker = Broker::open(Kind::Midge);
    let mut watcher = Party::subscribed(&broker, "watcher", "will/#");
    let will = |delay| {
        let properties = LastWillProperties {
            delay_interval: Some(delay),
            payload_format_indicator: Some(1),
            message_expiry_interval: None,
            content_type: Some("text/plain".into()),
            response_topic: None,
            correlation_data: None,
            user_properties: vec![("why".into(), "gone".into())],
        };
        let topic = format!("will/{delay}");
        LastWill::new(topic, "gone", QoS::AtLeastOnce, false, Some(properties))
    };
    let mortal = |id: &str, delay| {
        Party::start(&broker, id, |options| {
            options
                .set_clean_start(false)
                .set_session_expiry_interval(Some(300));
            options.set_last_will(will(delay));
        })
        .0
    };
    let before = Instant::now();
    drop(mortal("slow", 2));
    drop(mortal("quick", 0));
    // Who returns in time has not died.
    drop(mortal("back", 1));
    let _alive = mortal("back", 1);
    let first = watcher.message();
    assert_eq!(text(&first), ("will/0", "gone"));
    let properties = first.properties.unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(properties.user_properties, [("why".into(), "gone".into())]);
    let second = watcher.message();
    assert_eq!(text(&second), ("will/2", "gone"));
    assert!(before.elapsed() >= Duration::from_secs(2));
}

#[test]
fn what_the_broker_says_of_itself() {
    let broker = Broker::open(Kind::Midge);
    let (_party, answer) = Party::start(&broker, "", |_| {});
    let properties = answer.properties.unwrap();
    assert!(
        properties
            .assigned_client_identifier
            .unwrap()
            .starts_with("auto-")
    );
    assert_eq!(properties.receive_max, Some(20));
    assert_eq!(properties.topic_alias_max, Some(10));
}

/// A publish to nobody is told so; one where nobody may write is refused.
#[test]
fn reason_codes() {
    use rumqttc::v5::mqttbytes::v5::PubAckReason;
    let broker = Broker::open(Kind::Midge);
    let (mut writer, _) = Party::start(&broker, "writer", |_| {});
    let mut reason = |topic: &str| {
        writer
            .client
            .publish(topic, QoS::AtLeastOnce, false, "x")
            .unwrap();
        writer.until(|packet| match packet {
            Packet::PubAck(ack) => Some(ack.reason),
            _ => None,
        })
    };
    assert_eq!(reason("nobody/here"), PubAckReason::NoMatchingSubscribers);
    assert_eq!(reason("$SYS/mine"), PubAckReason::NotAuthorized);
}
