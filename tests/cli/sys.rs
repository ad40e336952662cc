//! The `$SYS` tree: names and values that monitoring tools rely on.

use std::collections::HashMap;

use crate::harness::broker::peer_broker;
use crate::harness::frame::remaining_length;
use crate::harness::raw::{Connect, Raw, publish, subscribe};
use crate::harness::{Broker, Kind};

/// A reader of the whole tree, who remembers the last value of each topic.
struct Tree {
    raw: Raw,
    values: HashMap<String, String>,
}

impl Tree {
    fn read(broker: &Broker) -> Self {
        let mut raw = Raw::welcome(broker, &Connect::new("tree"));
        raw.send(&subscribe("$SYS/#", 0));
        assert_eq!(raw.receive()[0], 0x90);
        Self {
            raw,
            values: HashMap::new(),
        }
    }

    fn next(&mut self) {
        let packet = self.raw.receive();
        assert_eq!(packet[0] & 0xf0, 0x30, "{packet:02x?}");
        let (_, start) = remaining_length(&packet).unwrap();
        let body = &packet[start..];
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let (topic, value) = body[2..].split_at(length);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let topic = text(topic);
        let topic = topic.strip_prefix("$SYS/broker/").unwrap_or(&topic);
        self.values.insert(topic.to_string(), text(value));
    }

    /// Reads on until the topic has this value.
    #[track_caller]
    fn until(&mut self, topic: &str, wanted: impl Fn(&str) -> bool) -> String {
        let start = std::time::Instant::now();
        loop {
            if let Some(value) = self.values.get(topic).filter(|value| wanted(value)) {
                return value.clone();
            }
            let values = &self.values;
            assert!(
                start.elapsed() < crate::wait::LIMIT,
                "{topic} never came so far: {values:?}"
            );
            self.next();
        }
    }
}

/// Every topic of the table is there.
#[test]
fn the_whole_tree() {
    let broker = Broker::open_with(Kind::Midge, "sys_interval 1\n");
    let mut tree = Tree::read(&broker);
    let mut other = Raw::welcome(&broker, &Connect::new("other").keep_session());
    other.send(&subscribe("a", 0));
    other.receive();
    other.send(&publish(0x31, "kept", 0, b"12345"));
    other.send(&publish(0x30, "a", 0, b"12345"));
    other.receive();
    tree.until("clients/connected", |v| v == "2");
    tree.until("subscriptions/count", |v| v == "2");
    for topic in [
        "version",
        "uptime",
        "bytes/received",
        "bytes/sent",
        "messages/received",
        "messages/sent",
        "messages/stored",
        "store/messages/count",
        "store/messages/bytes",
        "publish/messages/received",
        "publish/messages/sent",
        "publish/messages/dropped",
        "publish/bytes/received",
        "publish/bytes/sent",
        "clients/total",
        "clients/maximum",
        "clients/active",
        "clients/inactive",
        "clients/disconnected",
        "clients/expired",
        "retained messages/count",
        "shared_subscriptions/count",
        "load/messages/received/1min",
        "load/publish/sent/5min",
        "load/bytes/sent/15min",
        "load/connections/1min",
        "load/sockets/1min",
    ] {
        tree.until(topic, |value| !value.is_empty());
    }
    tree.until("bytes/received", |v| v.parse::<u64>().unwrap() > 0);
    tree.until("uptime", |v| v.ends_with(" seconds"));
    tree.until("load/connections/1min", |v| v.contains('.'));
}

/// Counting: clients, sessions, retained messages, shared subscriptions, dropped messages.
#[test]
fn counts() {
    let broker = Broker::open_with(Kind::Midge, "sys_interval 1\nmax_queued_messages 1\n");
    let mut tree = Tree::read(&broker);
    let mut durable = Raw::welcome(&broker, &Connect::new("durable").keep_session());
    durable.send(&subscribe("$share/group/a", 1));
    durable.receive();
    tree.until("shared_subscriptions/count", |v| v == "1");
    tree.until("clients/connected", |v| v == "2");
    let before: u64 = tree
        .until("retained messages/count", |_| true)
        .parse()
        .unwrap();
    durable.send(&publish(0x31, "kept", 0, b"x"));
    tree.until("retained messages/count", |v| {
        v.parse::<u64>().unwrap() > before
    });
    durable.send(&[0xe0, 0]);
    durable.closed();
    tree.until("clients/disconnected", |v| v == "1");
    tree.until("clients/inactive", |v| v == "1");
    tree.until("clients/total", |v| v == "2");
    tree.until("clients/maximum", |v| v == "2");
    if peer_broker("2.0.11 counts what waits for a shared subscription differently") {
        return;
    }
    let mut writer = Raw::welcome(&broker, &Connect::new("writer"));
    for id in 1..=60 {
        writer.send(&publish(0x32, "a", id, b"x"));
        writer.receive();
    }
    tree.until("publish/messages/dropped", |v| {
        v.parse::<u64>().unwrap() > 0
    });
}

/// Values are retained and sent again only when they change.
#[test]
fn only_when_changed() {
    let broker = Broker::open_with(Kind::Midge, "sys_interval 1\n");
    let mut tree = Tree::read(&broker);
    tree.until("uptime", |v| v != "0 seconds");
    let mut versions = 0;
    for _ in 0..200 {
        let before = tree.values.remove("version");
        tree.next();
        versions += usize::from(tree.values.contains_key("version"));
        if let (Some(value), false) = (before, tree.values.contains_key("version")) {
            tree.values.insert("version".into(), value);
        }
        let seconds = tree.values["uptime"]
            .trim_end_matches(" seconds")
            .to_string();
        if seconds.parse::<u64>().unwrap() >= 4 {
            break;
        }
    }
    assert!(versions <= 1, "the version was sent {versions} times");
    let mut late = Raw::welcome(&broker, &Connect::new("late"));
    late.send(&subscribe("$SYS/broker/version", 0));
    late.receive();
    assert_eq!(late.receive()[0], 0x31);
}

/// Who asks before the first interval is over finds every value too, as with Mosquitto.
#[test]
fn all_of_it_is_there_from_the_start() {
    let broker = Broker::open_with(Kind::Midge, "sys_interval 60000\n");
    let _turns = Raw::welcome(&broker, &Connect::new("first"));
    let mut tree = Tree::read(&broker);
    tree.until("load/bytes/received/15min", |v| v == "0.00");
    tree.until("load/sockets/1min", |v| v == "0.00");
    tree.until("heap/current", |v| v.parse::<u64>().unwrap() > 0);
    tree.until("heap/maximum", |v| v.parse::<u64>().unwrap() > 0);
}

/// A limit goes by its directive's name, also where two limit the same.
#[test]
fn a_limit_is_counted_by_its_directive() {
    if peer_broker("2.0.11 has no such limit") {
        return;
    }
    let broker = Broker::open_with(Kind::Midge, "sys_interval 1\nglobal_max_connections 1\n");
    let mut tree = Tree::read(&broker);
    Raw::to(&broker).closed();
    tree.until("limits/global_max_connections", |v| v == "1");
    broker.logs("denied: global_max_connections exceeded.");
}

/// `sys_interval 0` turns it off.
#[test]
fn off() {
    let broker = Broker::open_with(Kind::Midge, "sys_interval 0\n");
    let mut raw = Raw::welcome(&broker, &Connect::new("x"));
    raw.send(&subscribe("$SYS/broker/uptime", 0));
    raw.receive();
    raw.send(&[0xc0, 0]);
    assert_eq!(raw.receive(), [0xd0, 0]);
}

/// Clients may not write there.
#[test]
fn nobody_else_writes_there() {
    let broker = Broker::open_with(Kind::Midge, "sys_interval 1\n");
    let mut raw = Raw::welcome(&broker, &Connect::new("x"));
    raw.send(&subscribe("$SYS/broker/version", 0));
    raw.receive();
    let version = raw.receive();
    raw.send(&publish(0x31, "$SYS/broker/version", 0, b"mine"));
    raw.send(&[0xc0, 0]);
    assert_eq!(raw.receive(), [0xd0, 0]);
    let mut late = Raw::welcome(&broker, &Connect::new("late"));
    late.send(&subscribe("$SYS/broker/version", 0));
    late.receive();
    assert_eq!(late.receive(), version);
}
