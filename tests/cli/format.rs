//! What `sub` prints: its own formats, held against Debian's mosquitto_sub on the same messages.

use crate::harness::client::{constellations, peer_clients};
use crate::harness::frame::From;
use crate::harness::{Broker, Clients, Kind, Pair, Process, Sub, Tool};

/// Messages of every kind, each a list of arguments of `pub`.
fn messages() -> Vec<Vec<&'static str>> {
    vec![
        vec!["-t", "f/plain", "-m", "some text"],
        vec!["-t", "f/empty", "-n"],
        vec!["-t", "f/qos1", "-m", "one", "-q", "1"],
        vec!["-t", "f/qos2", "-m", "two", "-q", "2"],
        vec!["-t", "f/unicode", "-m", "Grüße, 世界 🦟"],
        vec![
            "-t",
            "f/json",
            "-m",
            r#"{"b":[1,2.50,{"c":null}],"a":"x\"y\u00e9"}"#,
        ],
        vec!["-t", "f/number", "-m", "-12.5e3"],
        vec![
            "-t",
            "f/control",
            "-m",
            "tab\there \"quoted\" back\\slash\nline",
        ],
        vec!["-t", "f/long", "-m", "0123456789abcdefghijklmnopqrstuvwxyz"],
    ]
}

/// The same with MQTT 5 properties.
fn messages_5() -> Vec<Vec<&'static str>> {
    let mut all = messages();
    let publish = ["-D", "publish"];
    let property = |name: &'static [&'static str]| {
        [
            &["-t", "f/property", "-m", "x", "-V", "5"][..],
            &publish,
            name,
        ]
        .concat()
    };
    all.push(property(&["content-type", "text/plain"]));
    all.push(property(&["response-topic", "answers/here"]));
    all.push(property(&["correlation-data", "abc 123"]));
    all.push(property(&["payload-format-indicator", "1"]));
    all.push(property(&["user-property", "name", "value one"]));
    all.push(
        [
            &property(&["user-property", "a", "1"])[..],
            &publish,
            &["user-property", "b", "2"],
            &publish,
            &["content-type", "x/y"],
        ]
        .concat(),
    );
    all
}

/// Prints with both clients and holds the outputs against each other, once the end has come.
fn both_print_the_same(broker: &Broker, args: &[&str], messages: &[Vec<&str>]) {
    let end = |sub: &mut Sub| {
        crate::wait::until_true("the last message", || {
            sub.process.out.text().contains("the-very-end")
        });
    };
    let start = |pair: Pair| pair.sub(broker, args);
    let mut theirs = start(Pair::DEBIAN_ON_MIDGE);
    let mut ours = start(Pair::MIDGE_ON_MIDGE);
    publish_in_turn(broker, messages, &[&theirs, &ours]);
    Pair::DEBIAN_ON_MIDGE.publish(broker, &["-t", "f/the-very-end", "-m", "the-very-end"]);
    end(&mut theirs);
    end(&mut ours);
    let (theirs, ours) = (theirs.process.out.text(), ours.process.out.text());
    // Line by line first: the difference is easier to see.
    for (theirs, ours) in theirs.lines().zip(ours.lines()) {
        assert_eq!(ours, theirs, "{args:?}");
    }
    assert_eq!(ours, theirs, "{args:?}");
}

/// Publishes one after the other has arrived: a QoS 2 message is printed when its PUBREL is there,
/// and a later one of QoS 0 may be faster.
fn publish_in_turn(broker: &Broker, messages: &[Vec<&str>], subs: &[&Sub]) {
    let mut released = 0;
    for (n, message) in messages.iter().enumerate() {
        Pair::DEBIAN_ON_MIDGE.publish(broker, message);
        let mut at_qos_2 = false;
        for sub in subs {
            let frame = sub.proxy.wait_kind(From::Broker, 3, n + 1);
            at_qos_2 = frame.header() & 0x06 == 0x04;
        }
        if at_qos_2 {
            released += 1;
            for sub in subs {
                sub.proxy.wait_kind(From::Client, 7, released);
            }
        }
    }
}

const SHOWN: &str = "t=%t q=%q r=%r l=%l m=%m p=%p x=%x X=%X %% %A %C %D %E %F %P %R %S";

#[test]
fn formats() {
    if !Tool::Clients.ready() {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let end = " %t"; // so that the end shows in every format
    for format in [
        SHOWN,
        "%t|%20t|%-20t|%.3t|%20.3t|%-20.3t|%3t",
        "%p|%20p|%-20p|%.3p|%5.3p",
        "%l|%8l|%-8l|%08l",
        "%m|%6m|%06m|%q|%3q|%r|%4r",
        "%x",
        "%X",
        "\\\\ \\t \\n \\a \\e \\v \\r \\0 @@ %%",
    ] {
        let format = format!("{format}{end}");
        let args = ["-t", "f/#", "-q", "2", "-F", &format];
        both_print_the_same(&broker, &args, &messages());
    }
}

#[test]
fn formats_of_mqtt_5() {
    if !Tool::Clients.ready() {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let format = format!("{SHOWN}|%10C|%-12C|%.4C|%F|%20R|%.3R %t");
    let args = ["-V", "5", "-t", "f/#", "-q", "2", "-F", &format];
    both_print_the_same(&broker, &args, &messages_5());
    let subscription = ["-D", "subscribe", "subscription-identifier", "42"];
    let args = [&args[..], &subscription].concat();
    both_print_the_same(&broker, &args, &messages_5());
}

/// Without `-F`: payloads, with and without topics and line ends.
#[test]
fn plain_output() {
    if !Tool::Clients.ready() {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    for flags in [&[][..], &["-v"], &["-N"], &["-v", "-N"], &["--pretty"]] {
        let args = [&["-t", "f/#", "-q", "1"][..], flags].concat();
        both_print_the_same(&broker, &args, &messages());
    }
}

/// `%j` and `%J`: the same JSON, apart from the time, which is only of the same shape.
#[test]
fn json() {
    if !Tool::Clients.ready() {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    // User properties are an array from 2.1 on.
    let mut alike = messages_5();
    alike.retain(|message| !message.contains(&"user-property"));
    for (format, version, messages) in [
        ("%j", "311", messages()),
        ("%j", "5", alike),
        ("%J", "5", json_messages()),
        ("%J", "311", json_messages()),
    ] {
        for pretty in [false, true] {
            let mut args = vec!["-V", version, "-t", "f/#", "-q", "2", "-F", format];
            if pretty {
                args.push("--pretty");
            }
            both_print_the_same_json(&broker, &args, &messages);
        }
    }
}

/// With `%J` a payload has to be JSON.
fn json_messages() -> Vec<Vec<&'static str>> {
    [
        "1",
        "-2.5",
        "true",
        "null",
        r#""text""#,
        r#"{"a":{"b":[1,2,3],"c":"d"},"z":1,"y":0}"#,
        "[]",
    ]
    .map(|text| vec!["-t", "f/json", "-m", text, "-q", "1"])
    .to_vec()
}

fn both_print_the_same_json(broker: &Broker, args: &[&str], messages: &[Vec<&str>]) {
    let mut outputs = Vec::new();
    let mut subs = [Pair::DEBIAN_ON_MIDGE, Pair::MIDGE_ON_MIDGE].map(|p| p.sub(broker, args));
    publish_in_turn(broker, messages, &[&subs[0], &subs[1]]);
    let end = r#""the-very-end""#;
    Pair::DEBIAN_ON_MIDGE.publish(broker, &["-t", "f/the-very-end", "-m", end]);
    for sub in &mut subs {
        crate::wait::until_true("the last message", || {
            sub.process.out.text().contains("f/the-very-end")
        });
        Pair::DEBIAN_ON_MIDGE.publish(broker, &["-t", "f/after", "-m", "1"]);
        crate::wait::until_true("the whole last message", || {
            sub.process.out.text().contains("f/after")
        });
        let text = sub.process.out.text();
        outputs.push(without_times(&text[..text.find("f/after").unwrap()]));
    }
    for (theirs, ours) in outputs[0].lines().zip(outputs[1].lines()) {
        assert_eq!(ours, theirs, "{args:?}");
    }
    assert_eq!(outputs[1], outputs[0], "{args:?}");
}

/// Each digit of the values of `tst` becomes a 0: what differs is the time, not the shape. The
/// stray Z of 2.0.11 (a local time with its offset, and Z behind the seconds) is dropped.
fn without_times(text: &str) -> String {
    let mut parts = text.split("\"tst\"");
    let mut out = parts.next().unwrap().to_string();
    for part in parts {
        let end = part.find(',').unwrap();
        let time: String = part[..end]
            .replace('Z', "")
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        out += "\"tst\"";
        out += &time;
        out += &part[end..];
    }
    out
}

constellations! {
    /// Times, local ones: seconds with nine decimals, ISO 8601, strftime's letters after `@`.
    fn times(pair) {
        let broker = Broker::open(pair.broker);
        pair.publish(&broker, &["-t", "a", "-m", "x", "-r"]);
        let format = "%U|%I|@Y-@m-@d @H:@M:@S|@N|@z|@@";
        let ended = pair.run("sub", &broker, &["-t", "a", "-C", "1", "-F", format]).ok();
        let fields: Vec<_> = ended.out.trim_end().split('|').collect();
        let shape = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_ascii_digit() { '0' } else { c })
                .collect()
        };
        assert_eq!(shape(fields[0]), "0000000000.000000000");
        assert!(shape(fields[1]).starts_with("0000-00-00T00:00:00+00"), "{fields:?}");
        assert_eq!(shape(fields[2]), "0000-00-00 00:00:00");
        assert_eq!(shape(fields[3]), "000000000");
        // The harness puts the clients in Paris: an hour or two ahead.
        assert!(matches!(fields[4], "+0100" | "+0200"), "{fields:?}");
        assert_eq!(fields[5], "@");
    }

    /// Binary payloads come through as they are.
    fn bytes_are_bytes(pair) {
        let broker = Broker::open(pair.broker);
        let payload: Vec<u8> = (0..=255).collect();
        pair.run_with("pub", &broker, &["-t", "a", "-s", "-r"], &payload).ok();
        let args = ["-t", "a", "-C", "1", "-N"];
        let mut command = pair.command("sub", "127.0.0.1", broker.port(), &args);
        let mut process = Process::spawn(&mut command);
        process.ended();
        assert_eq!(process.out.bytes(), payload);
    }
}

/// New in 2.1: numbers in a payload, and a separator between hexadecimal digits.
#[test]
fn what_2_1_brought() {
    if peer_clients("new in 2.1") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let pair = Pair {
        clients: Clients::Midge,
        broker: Kind::Midge,
    };
    let value = 1.5_f32.to_le_bytes();
    pair.run_with("pub", &broker, &["-t", "f", "-s", "-r"], &value)
        .ok();
    let ended = pair
        .run("sub", &broker, &["-t", "f", "-C", "1", "-F", "%f"])
        .ok();
    assert!(ended.out.starts_with("1.5"), "{ended:?}");
}
