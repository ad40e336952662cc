//! ACL files: who may publish and read what, through real clients and at the edges.

use crate::harness::broker::{OPEN, Setup, peer_broker};
use crate::harness::client::constellations;
use crate::harness::raw::{Connect, Raw, publish, subscribe};
use crate::harness::{Broker, Clients, Dir, Kind, Pair, Process};

const ACL: &str = "\
# before any user: clients without a name only
topic read news/#
topic write inbox

user anna
topic house/#
topic deny house/safe
topic read weather

user bert
topic read house/+/temperature
topic write house/orders
topic readwrite with space/x

pattern readwrite home/%u/#
pattern write devices/%c/state
";

fn passwd(dir: &Dir, users: &[&str]) -> String {
    let file = dir.write("passwd", "");
    for user in users {
        let args = ["-b", &file, user, user];
        Process::run(Clients::Midge.command("passwd").args(args)).ok();
    }
    file
}

fn broker_with(kind: Kind, acl: &str) -> Broker {
    let setup = Setup::new(kind).file("acl", acl);
    passwd(&setup.dir, &["anna", "bert", "cleo"]);
    setup
        .conf(&format!(
            "{OPEN}password_file {{dir}}/passwd\nacl_file {{dir}}/acl\n"
        ))
        .start()
}

fn client(broker: &Broker, id: &str, user: Option<&str>) -> Raw {
    Raw::welcome(broker, &Connect::new(id).user(user, user))
}

/// Whether what `writer` publishes to `topic` reaches `reader`, who subscribed to everything.
struct Room {
    broker: Broker,
}

impl Room {
    fn reaches(
        &self,
        writer: (&str, Option<&str>),
        reader: (&str, Option<&str>),
        topic: &str,
    ) -> bool {
        let mut reading = client(&self.broker, reader.0, reader.1);
        reading.send(&subscribe(topic, 0));
        assert_eq!(
            reading.receive()[0],
            0x90,
            "a subscription is never refused"
        );
        let mut writing = client(&self.broker, writer.0, writer.1);
        writing.send(&publish(0x32, topic, 1, b"x"));
        assert_eq!(
            writing.receive(),
            [0x40, 2, 0, 1],
            "MQTT 3 cannot be told of a refusal"
        );
        // The answer to a ping comes after the message, if there is one.
        reading.send(&[0xc0, 0]);
        let first = reading.receive();
        if first[0] == 0xd0 {
            return false;
        }
        assert_eq!(first, publish(0x30, topic, 0, b"x"));
        assert_eq!(reading.receive(), [0xd0, 0]);
        true
    }
}

const ANNA: (&str, Option<&str>) = ("a1", Some("anna"));
const BERT: (&str, Option<&str>) = ("b1", Some("bert"));
const CLEO: (&str, Option<&str>) = ("c1", Some("cleo"));
const NOBODY: (&str, Option<&str>) = ("n1", None);

#[test]
fn who_may_write_and_who_may_read() {
    let room = Room {
        broker: broker_with(Kind::Midge, ACL),
    };
    let anna2 = ("a2", Some("anna"));
    let bert2 = ("b2", Some("bert"));
    for (writer, reader, topic, wanted) in [
        (ANNA, anna2, "house/kitchen/temperature", true),
        (ANNA, BERT, "house/kitchen/temperature", true),
        (ANNA, BERT, "house/kitchen/humidity", false),
        (BERT, ANNA, "house/kitchen/temperature", false),
        (BERT, ANNA, "house/orders", true),
        (ANNA, anna2, "house/safe", false),
        (ANNA, anna2, "house", true),
        (ANNA, anna2, "weather", false),
        (ANNA, anna2, "elsewhere", false),
        (BERT, bert2, "with space/x", true),
        (NOBODY, ANNA, "inbox", false),
        (NOBODY, ("n2", None), "inbox", false),
        (NOBODY, ("n2", None), "news/today", false),
        (ANNA, anna2, "home/anna/lamp", true),
        (ANNA, anna2, "home/bert/lamp", false),
        (CLEO, ("c2", Some("cleo")), "home/cleo/lamp", true),
        (
            CLEO,
            ("c2", Some("cleo")),
            "house/kitchen/temperature",
            false,
        ),
        (NOBODY, ("n2", None), "home//lamp", false),
    ] {
        let got = room.reaches(writer, reader, topic);
        assert_eq!(got, wanted, "{writer:?} to {reader:?} at {topic}");
    }
}

/// `%c` is the client's id; such a pattern holds for every client, in this broker's own words.
#[test]
fn patterns_with_client_ids() {
    let acl = format!("{ACL}user watcher\ntopic read devices/#\n");
    let setup = Setup::new(Kind::Midge).file("acl", &acl);
    passwd(&setup.dir, &["anna", "watcher"]);
    let broker = setup
        .conf(&format!(
            "{OPEN}password_file {{dir}}/passwd\nacl_file {{dir}}/acl\n"
        ))
        .start();
    let room = Room { broker };
    let watcher = ("w", Some("watcher"));
    assert!(room.reaches(("d1", Some("anna")), watcher, "devices/d1/state"));
    assert!(room.reaches(("d1", None), watcher, "devices/d1/state"));
    assert!(!room.reaches(("d2", Some("anna")), watcher, "devices/d1/state"));
    assert!(!room.reaches(("d1", Some("anna")), watcher, "devices/d1/other"));
}

/// A client whose name or id holds a wildcard could widen a pattern: it gets nothing.
#[test]
fn wildcards_in_names_widen_no_pattern() {
    let room = Room {
        broker: broker_with(
            Kind::Midge,
            "pattern readwrite a/#\npattern read home/%c/#\n",
        ),
    };
    assert!(room.reaches(("plain", None), ("other", None), "a/b"));
    assert!(!room.reaches(("plain", None), ("#", None), "a/b"));
    assert!(!room.reaches(("+", None), ("other", None), "a/b"));
}

/// A filter with `$` has to say so; `#` is not enough.
#[test]
fn dollar_topics_need_dollar_filters() {
    let conf = format!("sys_interval 1\n{OPEN}acl_file {{dir}}/acl\n");
    for (acl, wanted) in [
        ("topic read #\n", false),
        ("topic read $SYS/#\ntopic read #\n", true),
    ] {
        let broker = Setup::new(Kind::Midge).file("acl", acl).conf(&conf).start();
        let mut raw = client(&broker, "x", None);
        raw.send(&subscribe("$SYS/broker/version", 0));
        raw.receive();
        raw.send(&[0xc0, 0]);
        assert_eq!(raw.receive()[0] == 0x31, wanted, "{acl:?}");
    }
}

/// A will is a publish like any other.
#[test]
fn wills_are_checked() {
    let broker = broker_with(Kind::Midge, ACL);
    let mut watcher = client(&broker, "w", Some("anna"));
    watcher.send(&subscribe("#", 0));
    watcher.receive();
    let bert = || Connect::new("b").user(Some("bert"), Some("bert"));
    drop(Raw::welcome(
        &broker,
        &bert().will("house/kitchen", "forbidden", 0),
    ));
    broker.logs("Client b closed its connection.");
    drop(Raw::welcome(
        &broker,
        &bert().will("house/orders", "allowed", 0),
    ));
    assert_eq!(
        watcher.receive(),
        publish(0x30, "house/orders", 0, b"allowed")
    );
}

/// Retained messages are checked when they are read.
#[test]
fn retained_messages_are_checked() {
    let broker = broker_with(Kind::Midge, ACL);
    let mut anna = client(&broker, "a", Some("anna"));
    for topic in ["house/kitchen/temperature", "house/kitchen/humidity"] {
        anna.send(&publish(0x33, topic, 1, b"21"));
        anna.receive();
    }
    let mut bert = client(&broker, "b", Some("bert"));
    bert.send(&subscribe("#", 0));
    bert.receive();
    bert.send(&[0xc0, 0]);
    let wanted = publish(0x31, "house/kitchen/temperature", 0, b"21");
    assert_eq!(bert.receive(), wanted);
    assert_eq!(bert.receive(), [0xd0, 0]);
}

constellations! {
    /// A refused publish: MQTT 5 is told and warns, MQTT 3 is silent; both end with 0.
    fn a_refused_publish(pair) {
        let broker = broker_with(pair.broker, ACL);
        let who = ["-u", "bert", "-P", "bert", "-t", "weather", "-m", "x", "-q", "1"];
        let ended = pair.publish(&broker, &who);
        assert_eq!(ended.all(), "");
        let ended = pair.publish(&broker, &[&who[..], &["-V", "5"]].concat());
        assert!(ended.err.contains("Publish 1 failed: "), "{ended:?}");
        assert!(ended.err.to_lowercase().contains("not authorized"), "{ended:?}");
    }

    /// The clients of a house.
    fn a_house(pair) {
        let broker = broker_with(pair.broker, ACL);
        let anna = ["-u", "anna", "-P", "anna"];
        let bert = ["-u", "bert", "-P", "bert"];
        let mut sub = pair.sub(&broker, &[&bert[..], &["-v", "-t", "#"]].concat());
        for topic in ["house/kitchen/humidity", "house/safe", "house/kitchen/temperature"] {
            pair.publish(&broker, &[&anna[..], &["-t", topic, "-m", "21"]].concat());
        }
        sub.expect("house/kitchen/temperature 21");
    }
}

/// HUP reads the file again.
#[test]
fn hup_reads_it_again() {
    let conf = format!("{OPEN}acl_file {{dir}}/acl\n");
    let broker = Setup::new(Kind::Midge)
        .file("acl", "topic a\n")
        .conf(&conf)
        .start();
    let room = Room { broker };
    assert!(room.reaches(NOBODY, ("n2", None), "a"));
    assert!(!room.reaches(NOBODY, ("n2", None), "b"));
    room.broker.dir().write("acl", "topic b\n");
    room.broker.signal(nix::sys::signal::Signal::SIGHUP);
    crate::wait::until_true("the new file", || room.reaches(NOBODY, ("n2", None), "b"));
    assert!(!room.reaches(NOBODY, ("n2", None), "a"));
}

/// `check_retain_source`: what its publisher may no longer write is not handed on.
#[test]
fn the_source_of_a_retained_message_is_checked() {
    if peer_broker("2.0.11 does not do what its manual says by default") {
        return;
    }
    let conf = format!("{OPEN}acl_file {{dir}}/acl\n");
    let broker = Setup::new(Kind::Midge)
        .file("acl", "topic #\n")
        .conf(&conf)
        .start();
    let mut raw = client(&broker, "writer", None);
    raw.send(&publish(0x33, "a", 1, b"x"));
    raw.receive();
    broker.dir().write("acl", "topic read #\ntopic write b\n");
    broker.signal(nix::sys::signal::Signal::SIGHUP);
    let reads = || {
        let mut reader = client(&broker, "reader", None);
        reader.send(&subscribe("a", 0));
        reader.receive();
        reader.send(&[0xc0, 0]);
        reader.receive()[0] == 0x31
    };
    crate::wait::until_true("the retained message to be withheld", || !reads());
}
