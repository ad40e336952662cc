//! Mosquitto's persistence file: what Debian's broker is told is what `store::mosquitto_db` reads
//! out of the file that it leaves behind.
//!
//! `tests/data/mosquitto-db` keeps such files of several versions and machines (i386 aligns 64 bits
//! to four bytes, s390x is big-endian), and beside them what they hold, in the words of
//! [`describe`]. To make one, run this test with the broker of that kind in `target/peers` and
//! `MIDGE_KEEP_DB=FILE`.
//!
//! The two texts differ in what 2.0.11 gets wrong: it sends more than the Receive Maximum allows.
//! Neither version writes shared subscriptions.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use midge::store::mosquitto_db::{self, ClientMessage, Database, Message};
use nix::sys::signal::Signal;

use crate::common::encode::encode;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::harness::broker::{Setup, peer_broker};
use crate::harness::raw::Raw;
use crate::harness::{Broker, Kind, Tool};

const CONF: &str = "\
persistence true
persistence_location {dir}/
listener {port} 127.0.0.1
allow_anonymous true
";

const KEPT: &str = "tests/data/mosquitto-db";

#[test]
fn the_file_of_debians_broker_says_what_it_was_told() {
    if !Tool::Mosquitto.ready() {
        return;
    }
    let broker = Broker::start(Kind::Debian, CONF);
    let port = broker.port();
    let before = now_s();
    let connected = fill(&broker);
    let (ended, setup) = broker.stop_with(Signal::SIGTERM);
    ended.ok();
    drop(connected);
    let file = fs::read(setup.dir.file("mosquitto.db")).unwrap();
    if let Some(path) = env::var_os("MIDGE_KEEP_DB") {
        fs::write(path, &file).unwrap();
    }
    let db = mosquitto_db::read(&file).unwrap();
    let found = describe(&db);
    let known = ["2.0.11", "2.0.21"].map(|version| fs::read_to_string(text_of(version)).unwrap());
    assert!(known.contains(&found), "{found}");
    names_and_ports(&db, Some(port));
    // The broker asks time(), whose clock is that of the last tick.
    assert!((before - 1..=now_s()).contains(&start_s(&db)));
}

#[test]
fn kept_files_say_what_their_brokers_were_told() {
    let mut names = Vec::new();
    for entry in fs::read_dir(KEPT).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        if path.extension().is_some_and(|e| e == "db") {
            let file = fs::read(&path).unwrap();
            let db = mosquitto_db::read(&file).unwrap();
            let (version, _) = name.split_once('-').unwrap();
            assert_eq!(
                describe(&db),
                fs::read_to_string(text_of(version)).unwrap(),
                "{name}"
            );
            names_and_ports(&db, None);
            names.push(name);
        }
    }
    names.sort();
    assert_eq!(
        names,
        [
            "2.0.11-amd64",
            "2.0.11-i386",
            "2.0.11-s390x",
            "2.0.21-amd64"
        ]
    );
}

/// On a gateway with little memory, the first start must not be the one that the kernel ends.
#[test]
fn a_file_is_taken_over_in_less_memory_than_it_has() {
    if peer_broker("what is taken over from the file is told by Midge") {
        return;
    }
    let (count, bytes) = (40_000, 1000);
    let setup = Setup::new(Kind::Midge).conf(CONF);
    setup.dir.write("mosquitto.db", long_queue(count, bytes));
    let broker = setup.start();
    broker.logs("40000 messages for them, 0 retained messages; 0 left out");
    let status = fs::read_to_string(format!("/proc/{}/status", broker.process.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u32 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 32_000, "{peak} kB for a file of 42 MB");
    let mut party = Party::sign_in(&broker, connect(Version::V311, "attic", None, None));
    for id in 1..=20 {
        assert!(party.expect(0x30).ends_with(&payload(id, bytes)), "{id}");
    }
}

/// Who published a retained message is taken over with it: what one may no longer write is not
/// handed on, and No Local holds.
#[test]
fn who_published_what_is_retained_is_taken_over() {
    if peer_broker("what is taken over from the file is told by Midge") {
        return;
    }
    let conf = format!("{CONF}acl_file {{dir}}/acl\n");
    let setup = Setup::new(Kind::Midge).conf(&conf);
    let acl = "topic readwrite own\nuser anna\ntopic readwrite may\ntopic read may-not\n";
    setup.dir.write("acl", acl);
    let mut file = empty_file();
    let kept: [(&str, &str); 3] = [("anna", "may"), ("anna", "may-not"), ("", "own")];
    for (id, (user, topic)) in (1_u64..).zip(kept) {
        let lens = [4, user.len() as u8, topic.len() as u8].map(|len| [0, len]);
        let numbers = [lens.concat(), vec![0x07, 0x5b, 1, 1]].concat();
        let names = format!("unit{user}{topic}");
        let id = id.to_le_bytes();
        let expiry_and_len = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
        let parts: [&[u8]; 5] = [&id, &expiry_and_len, &numbers, names.as_bytes(), b"x"];
        chunk(&mut file, 2, &parts);
        chunk(&mut file, 4, &[&id]);
    }
    setup.dir.write("mosquitto.db", file);
    let broker = setup.start();
    let read = |id: &str, user, topic: &str, options| {
        let mut party = Party::sign_in(&broker, connect(Version::V5, id, user, None));
        party.subscribe(Subscribe::new(1).filter(topic, options));
        party.send(Packet::PingReq);
        party.raw.receive()[0] == 0x31
    };
    assert!(read("hall", Some("anna"), "may", 0));
    assert!(!read("hall", Some("anna"), "may-not", 0));
    assert!(read("hall", None, "own", 4));
    assert!(!read("unit", None, "own", 4));
}

/// Midge was started before the file was copied, as a package does: nobody is to wait in vain for
/// what is in it.
#[test]
fn a_file_that_comes_too_late_is_told() {
    if peer_broker("Midge takes a file over once only") {
        return;
    }
    let too_late = "mosquitto.db is newer than the last start and is not taken over";
    let broker = Broker::start(Kind::Midge, CONF);
    let (_, setup) = broker.stop_with(Signal::SIGTERM);
    setup.dir.write("mosquitto.db", long_queue(1, 1));
    let broker = setup.start();
    broker.logs(too_late);
    let (_, setup) = broker.stop_with(Signal::SIGTERM);
    let (ended, _) = setup.start().stop_with(Signal::SIGTERM);
    assert!(!ended.err.contains(too_late), "{}", ended.err);
}

fn payload(id: u64, bytes: usize) -> Vec<u8> {
    format!("{id:>bytes$}").into_bytes()
}

/// The beginning of a file of 2.0's.
fn empty_file() -> Vec<u8> {
    [mosquitto_db::MAGIC.as_slice(), &[0, 0, 0, 0, 0, 0, 0, 6]].concat()
}

fn chunk(file: &mut Vec<u8>, kind: u32, parts: &[&[u8]]) {
    let body = parts.concat();
    file.extend(kind.to_be_bytes());
    file.extend((body.len() as u32).to_be_bytes());
    file.extend(body);
}

/// A file of 2.0's with a queue of so many messages of so many bytes for the client "attic".
fn long_queue(count: u64, bytes: usize) -> Vec<u8> {
    let mut file = empty_file();
    for id in 1..=count {
        let len = (bytes as u32).to_be_bytes();
        let numbers = [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0];
        let payload = payload(id, bytes);
        let id = id.to_le_bytes();
        chunk(
            &mut file,
            2,
            &[&id, &[0; 8], &len, &numbers, b"a", &payload],
        );
    }
    let numbers = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];
    chunk(&mut file, 6, &[&[0; 8], &numbers, b"attic"]);
    for id in 1..=count {
        let numbers = [0, 0, 0, 5, 1, 11, 0, 1];
        chunk(&mut file, 3, &[&id.to_le_bytes(), &numbers, b"attic"]);
    }
    file
}

fn text_of(version: &str) -> String {
    format!("{KEPT}/{version}.txt")
}

/// Who had a name has it still; of one who had none, 2.0.11 writes that of another.
fn names_and_ports(db: &Database<'_>, port: Option<u16>) {
    let client = |id: &[u8]| db.clients.iter().find(|c| c.id == id).unwrap();
    let name = |id| {
        client(id)
            .username
            .map(<[u8]>::escape_ascii)
            .map(|name| name.to_string())
    };
    for (id, user) in [("plain", "ann"), ("publisher", "paul"), ("holder", "hal")] {
        assert_eq!(name(id.as_bytes()).as_deref(), Some(user));
    }
    for id in ["modern", "forever", "stages"] {
        let user = name(id.as_bytes());
        assert!(matches!(user.as_deref(), None | Some("ann")), "{user:?}");
    }
    let there = client(b"holder").listener_port;
    assert_eq!(there, port.or(there.filter(|&port| port != 0)));
    assert!(
        db.messages
            .iter()
            .all(|m| m.source_port == there && there.is_some())
    );
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A client under a story's control.
struct Party {
    raw: Raw,
    version: Version,
}

impl Party {
    fn sign_in(broker: &Broker, connect: Connect) -> Party {
        let version = if connect.protocol_level == 5 {
            Version::V5
        } else {
            Version::V311
        };
        let mut party = Party {
            raw: Raw::to(broker),
            version,
        };
        party.send(connect);
        assert_eq!(party.expect(0x20)[3], 0);
        party
    }

    fn send(&mut self, packet: impl Into<Packet>) {
        self.raw.send(&encode(self.version, &packet.into()));
    }

    /// The next packet, which has to be of this type.
    #[track_caller]
    fn expect(&mut self, first: u8) -> Vec<u8> {
        let packet = self.raw.receive();
        assert_eq!(packet[0] & 0xf0, first, "{packet:02x?}");
        packet
    }

    #[track_caller]
    fn subscribe(&mut self, subscribe: Subscribe) {
        self.send(subscribe);
        self.expect(0x90);
    }

    /// Publishes through the whole handshake.
    #[track_caller]
    fn publish(&mut self, publish: Publish) {
        let id = publish.packet_id;
        let qos = publish.qos;
        self.send(publish);
        match qos {
            0 => {}
            1 => drop(self.expect(0x40)),
            _ => {
                self.expect(0x50);
                self.send(Packet::PubRel(Ack::new(id)));
                self.expect(0x70);
            }
        }
    }

    /// Waits until the broker has seen all that was sent, and takes what it says meanwhile.
    fn ping(&mut self) {
        self.send(Packet::PingReq);
        while self.raw.receive()[0] != 0xd0 {}
    }

    /// Says goodbye and waits until the broker has closed.
    fn leave(mut self) {
        self.send(Disconnect::new(0));
        self.raw.closed();
    }
}

fn connect(version: Version, id: &str, user: Option<&str>, expiry_s: Option<u32>) -> Connect {
    let mut connect = Connect::new(version, id);
    connect.clean_start = false;
    connect.user_name = user.map(str::to_string);
    connect
        .properties
        .extend(expiry_s.map(Property::SessionExpiryInterval));
    connect
}

/// Plays every part; returns those who have to be connected when the broker stops.
fn fill(broker: &Broker) -> Vec<Party> {
    absent_subscribers(broker);
    let stages = stages_of_delivery(broker);
    let mut publisher = Party::sign_in(
        broker,
        connect(Version::V5, "publisher", Some("paul"), None),
    );
    for (publish, id) in messages().into_iter().zip(1..) {
        publisher.publish(if publish.qos == 0 {
            publish
        } else {
            publish.id(id)
        });
    }
    let stages = progress(stages);
    let holder = held_inbound(broker);
    let mut passing = Connect::new(Version::V311, "passing");
    passing.clean_start = true;
    let mut passing = Party::sign_in(broker, passing);
    passing.subscribe(Subscribe::new(1).filter("passing", 0));
    vec![publisher, stages, holder, passing]
}

/// 3.1.1 with a kept session; 5.0 with an end, and without.
fn absent_subscribers(broker: &Broker) {
    let mut plain = Party::sign_in(broker, connect(Version::V311, "plain", Some("ann"), None));
    plain.subscribe(
        Subscribe::new(1)
            .filter("a/#", 1)
            .filter("b/+", 2)
            .filter("zero", 0),
    );
    plain.leave();

    let modern = connect(Version::V5, "modern", None, Some(3600));
    let mut modern = Party::sign_in(broker, modern);
    let options = 2 | NO_LOCAL | RETAIN_AS_PUBLISHED | RETAINED_IF_NEW;
    let identified = Subscribe::new(1).with(Property::SubscriptionIdentifier(268_435_455));
    modern.subscribe(identified.filter("a/#", options));
    modern.subscribe(Subscribe::new(2).filter("$share/team/jobs/+", 1 | RETAINED_NEVER));
    modern.leave();

    let mut forever = Party::sign_in(
        broker,
        connect(Version::V5, "forever", None, Some(u32::MAX)),
    );
    forever.subscribe(Subscribe::new(1).filter("été/€/𝄞", 0).filter("zero", 0));
    forever.leave();
}

fn stages_of_delivery(broker: &Broker) -> Party {
    let mut connect = connect(Version::V5, "stages", None, Some(u32::MAX));
    connect.properties.push(Property::ReceiveMaximum(4));
    let mut stages = Party::sign_in(broker, connect);
    stages.subscribe(Subscribe::new(1).filter("s/#", 2));
    stages
}

fn messages() -> Vec<Publish> {
    vec![
        Publish::new("a/1", "one").qos(1),
        Publish::new("b/1", "two").qos(2),
        Publish::new("a/full", "everything")
            .qos(2)
            .with(Property::PayloadFormatIndicator(1))
            .with(Property::MessageExpiryInterval(600))
            .with(Property::ContentType("text/plain".to_string()))
            .with(Property::ResponseTopic("answers/here".to_string()))
            .with(Property::CorrelationData(vec![0, 1, 255]))
            .with(Property::UserProperty(
                "key".to_string(),
                "first".to_string(),
            ))
            .with(Property::UserProperty(
                "key".to_string(),
                "second".to_string(),
            )),
        Publish::new("jobs/7", "work").qos(1),
        Publish::new("zero", "nobody waits for QoS 0"),
        Publish::new("a/empty", "").qos(1),
        Publish::new("a/kept", "kept and queued").qos(1).retain(),
        Publish::new("r/binary", [0, 0xff, 0xfe]).retain(),
        Publish::new("r/gone", "soon replaced").qos(1).retain(),
        Publish::new("r/gone", "").qos(1).retain(),
        Publish::new("r/expires", "not for long")
            .qos(2)
            .retain()
            .with(Property::MessageExpiryInterval(86_400)),
        Publish::new("s/1", "acknowledged").qos(1),
        Publish::new("s/2", "waits for PUBACK").qos(1),
        Publish::new("s/3", "waits for PUBREC").qos(2),
        Publish::new("s/4", "waits for PUBCOMP").qos(2),
        Publish::new("s/5", "waits for PUBACK too").qos(1),
        Publish::new("s/6", "queued").qos(1),
        Publish::new("s/7", "queued too").qos(2),
        Publish::new("s/8", "").qos(1),
    ]
}

/// The first is acknowledged, the fourth received; four are under way, which is all that may be.
fn progress(mut stages: Party) -> Party {
    for _ in 0..4 {
        stages.expect(0x30);
    }
    stages.send(Packet::PubAck(Ack::new(1)));
    stages.send(Packet::PubRec(Ack::new(4)));
    stages.ping();
    stages
}

/// Publishes at QoS 2 and releases nothing.
fn held_inbound(broker: &Broker) -> Party {
    let mut holder = Party::sign_in(broker, connect(Version::V311, "holder", Some("hal"), None));
    for id in [101, 65_535] {
        holder.send(Publish::new("a/held", format!("number {id}")).qos(2).id(id));
    }
    holder.ping();
    holder
}

/// The second in which the story was played, from the one session that has an end.
fn start_s(db: &Database<'_>) -> u64 {
    let modern = db.clients.iter().find(|c| c.id == b"modern").unwrap();
    modern.expires_at_s.unwrap() - 3600
}

/// Everything in it, one line each; sorted, but for the order of a client's messages. Times are
/// told from the start, by the minute.
fn describe(db: &Database<'_>) -> String {
    let start = start_s(db);
    let when = |at: Option<u64>| at.map(|at| (at as i64 - start as i64 + 30) / 60);
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let messages: HashMap<u64, &Message<'_>> =
        db.messages.iter().map(|m| (m.store_id, m)).collect();
    let mut out = format!(
        "version {}, at stop {}, unknown {}, refused {:?}, damage {:?}\n",
        db.version, db.at_stop, db.unknown, db.first_refused, db.damage
    );
    let mut lines: Vec<String> = Vec::new();
    for c in &db.clients {
        lines.push(format!(
            "client {}, {} s, ends {:?}, last {}",
            text(c.id),
            c.session_expiry_interval_s,
            when(c.expires_at_s),
            c.last_packet_id,
        ));
    }
    for s in &db.subscriptions {
        lines.push(format!(
            "filter {} of {}, {:02x}, {:?}",
            text(s.filter),
            text(s.client_id),
            s.options.to_byte(),
            s.id
        ));
    }
    for m in &db.messages {
        lines.push(format!(
            "message {} {}: QoS {}{}, {} from {} ({:?}), expires {:?}, {:?}",
            text(m.topic),
            text(m.payload),
            m.qos as u8,
            if m.retain { " retain" } else { "" },
            m.source_packet_id,
            text(m.source_id),
            m.source_username.map(text),
            when(m.expires_at_s),
            m.properties
                .iter()
                .map(|p| (p.id.name(), p.value))
                .collect::<Vec<_>>(),
        ));
    }
    for id in &db.retained {
        lines.push(format!("retained {}", text(messages[id].topic)));
    }
    lines.sort();
    for line in lines {
        writeln!(out, "{line}").unwrap();
    }
    let mut queued: Vec<&ClientMessage<'_>> = db.client_messages.iter().collect();
    queued.sort_by_key(|m| m.client_id);
    for m in queued {
        writeln!(
            out,
            "{:?} {}: {} {}, QoS {}{}{}, id {}, {:?}, {:?}",
            m.direction,
            text(m.client_id),
            text(messages[&m.store_id].topic),
            text(messages[&m.store_id].payload),
            m.qos as u8,
            if m.retain { " retain" } else { "" },
            if m.dup { " dup" } else { "" },
            m.packet_id,
            m.stage,
            m.subscription_id,
        )
        .unwrap();
    }
    out
}
