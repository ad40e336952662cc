//! Topic names and filters (section 4.7), and the strings they are made of (section 1.5).

use crate::common::encode::{binary, frame};
use crate::common::packet::*;
use crate::world::World;

/// Which of the topics a filter finds, by publishing all of them.
fn found(version: Version, filter: &str, topics: &[&str]) -> Vec<String> {
    let world = World::new();
    let sub = world.client(version, "sub").connect();
    assert!(sub.subscribe(filter, 0) < 0x80, "{filter}");
    let p = world.client(version, "p").connect();
    for topic in topics {
        p.say(topic, topic, 0);
    }
    sub.payloads()
}

#[test]
fn a_hash_matches_its_parent_and_everything_below() {
    for version in Version::ALL {
        let topics = [
            "sport",
            "sport/",
            "sport/tennis",
            "sport/tennis/p1",
            "sports",
            "a/sport",
        ];
        let expected = ["sport", "sport/", "sport/tennis", "sport/tennis/p1"];
        assert_eq!(found(version, "sport/#", &topics), expected);
        assert_eq!(found(version, "#", &topics), topics);
    }
}

#[test]
fn a_plus_matches_exactly_one_level() {
    for version in Version::ALL {
        let topics = [
            "sport",
            "sport/",
            "sport/tennis",
            "sport/tennis/p1",
            "/sport",
            "/",
        ];
        assert_eq!(
            found(version, "sport/+", &topics),
            ["sport/", "sport/tennis"]
        );
        assert_eq!(found(version, "+", &topics), ["sport"]);
        assert_eq!(
            found(version, "+/+", &topics),
            ["sport/", "sport/tennis", "/sport", "/"]
        );
        assert_eq!(found(version, "/+", &topics), ["/sport", "/"]);
        assert_eq!(
            found(version, "+/tennis/#", &topics),
            ["sport/tennis", "sport/tennis/p1"]
        );
        assert_eq!(found(version, "+/+/p1", &topics), ["sport/tennis/p1"]);
    }
}

#[test]
fn wildcards_at_the_front_do_not_find_topics_with_a_dollar() {
    proves!["3.1.1:MQTT-4.7.2-1", "5.0:MQTT-4.7.2-1"];
    for version in Version::ALL {
        let topics = ["$dev/monitor", "dev/monitor", "$dev", "a/$dev"];
        assert_eq!(found(version, "#", &topics), ["dev/monitor", "a/$dev"]);
        assert_eq!(found(version, "+/monitor", &topics), ["dev/monitor"]);
        assert_eq!(found(version, "+/#", &topics), ["dev/monitor", "a/$dev"]);
        assert_eq!(found(version, "$dev/#", &topics), ["$dev/monitor", "$dev"]);
        assert_eq!(found(version, "$dev/+", &topics), ["$dev/monitor"]);
        assert_eq!(found(version, "a/+", &topics), ["a/$dev"]);
    }
}

#[test]
fn retained_messages_below_a_dollar_hide_from_wildcards_too() {
    proves!["3.1.1:MQTT-4.7.2-1", "5.0:MQTT-4.7.2-1"];
    for version in Version::ALL {
        let world = World::new();
        world
            .client(version, "p")
            .connect()
            .retain("$dev/x", "kept", 0);
        let sub = world.client(version, "sub").connect();
        sub.subscribe("#", 0);
        sub.subscribe("+/x", 0);
        sub.expect_nothing();
        sub.subscribe("$dev/+", 0);
        sub.hear("$dev/x", "kept");
    }
}

#[test]
fn characters_are_compared_as_they_are() {
    proves!["3.1.1:MQTT-4.7.3-4", "5.0:MQTT-4.7.3-4"];
    // Composed and decomposed, upper and lower case, with and without space: all different.
    let topics = [
        "é",
        "e\u{301}",
        "É",
        "e",
        " e",
        "e ",
        "\u{FEFF}e",
        "ℯ",
        "a//b",
        "a/b",
        "%65",
    ];
    for version in Version::ALL {
        for topic in topics {
            assert_eq!(found(version, topic, &topics), [topic], "{topic:?}");
        }
    }
}

#[test]
fn a_byte_order_mark_is_a_character_like_others() {
    proves!["3.1.1:MQTT-1.5.3-3", "5.0:MQTT-1.5.4-3"];
    for version in Version::ALL {
        let topics = ["\u{FEFF}", "\u{FEFF}a", "a\u{FEFF}b", "a"];
        for topic in topics {
            assert_eq!(found(version, topic, &topics), [topic], "{topic:?}");
        }
    }
}

#[test]
fn a_hash_stands_alone_and_last() {
    proves!["3.1.1:MQTT-4.7.1-2", "5.0:MQTT-4.7.1-1"];
    for filter in ["sport#", "sport/#/x", "#/", "##", "#a", "a/#b", "#/#"] {
        refused_filter(filter);
    }
}

#[test]
fn a_plus_takes_a_whole_level() {
    proves!["3.1.1:MQTT-4.7.1-3", "5.0:MQTT-4.7.1-2"];
    for filter in ["sport+", "+sport", "a/b+/c", "a/+b", "++", "a/++"] {
        refused_filter(filter);
    }
    for version in Version::ALL {
        let client = World::new().client(version, "c").connect();
        for filter in ["+", "+/+", "/+", "+/", "a/+/b", "+/a/+", "+/#", "/+/#"] {
            assert_eq!(client.subscribe(filter, 1), 1, "{filter}");
        }
    }
}

#[track_caller]
fn refused_filter(filter: &str) {
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").connect();
        client.send(Subscribe::new(1).filter(filter, 0));
        refused(&client, 0x8F);
        let client = world.client(version, "d").connect();
        client.send(Unsubscribe::new(1).filter(filter));
        refused(&client, 0x8F);
    }
}

/// The connection ended, or the filter was answered with a failure.
#[track_caller]
fn refused(client: &crate::client::Client, code: u8) {
    if client.is_closed() {
        for packet in client.inbox() {
            let Packet::Disconnect(disconnect) = packet else {
                panic!("{packet:?}")
            };
            assert!(
                [0x81, 0x82, 0x8F].contains(&disconnect.code),
                "{disconnect:?}"
            );
        }
        return;
    }
    match client.next() {
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => {
            let code = if client.version == Version::V5 {
                code
            } else {
                0x80
            };
            assert_eq!(ack.codes, [code]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn topic_names_have_no_wildcards() {
    proves![
        "3.1.1:MQTT-4.7.1-1",
        "3.1.1:MQTT-3.3.2-2",
        "5.0:MQTT-4.7.0-1",
        "5.0:MQTT-3.3.2-2"
    ];
    for version in Version::ALL {
        for topic in ["a/+", "+", "#", "a/#", "a+b", "a#"] {
            for qos in 0..=2 {
                let world = World::new();
                let witness = world.client(version, "w").connect();
                witness.subscribe("#", 0);
                let client = world.client(version, "c").connect();
                client.send(Publish::new(topic, "x").qos(qos).id(1));
                assert!(client.is_closed(), "{topic}");
                witness.expect_nothing();
            }
        }
    }
}

#[test]
fn topic_names_and_filters_have_at_least_one_character() {
    proves!["3.1.1:MQTT-4.7.3-1", "5.0:MQTT-4.7.3-1"];
    for version in Version::ALL {
        let world = World::new();
        let client = world.client(version, "c").connect();
        client.send(Publish::new("", "x"));
        client.expect_end(0x82);
    }
    refused_filter("");
    for version in Version::ALL {
        assert_eq!(
            found(version, "/", &["/", "a/", " ", "a"]),
            ["/"],
            "a lone slash is enough"
        );
        assert_eq!(
            found(version, " ", &["/", "a/", " ", "a"]),
            [" "],
            "so is a space"
        );
    }
}

/// A packet with a string of any bytes in each place that takes a topic or filter.
fn packets_with(version: Version, text: &[u8]) -> Vec<Vec<u8>> {
    let none = if version == Version::V5 {
        vec![0]
    } else {
        vec![]
    };
    let id_and_none = [vec![0, 1], none.clone()].concat();
    vec![
        frame(0x30, &[binary(text), none, b"x".to_vec()].concat()),
        frame(0x82, &[id_and_none.clone(), binary(text), vec![0]].concat()),
        frame(0xA2, &[id_and_none, binary(text)].concat()),
    ]
}

#[test]
fn strings_have_no_null_character() {
    proves![
        "3.1.1:MQTT-1.5.3-2",
        "3.1.1:MQTT-4.7.3-2",
        "5.0:MQTT-1.5.4-2",
        "5.0:MQTT-4.7.3-2"
    ];
    ends_the_connection(&[b"\0", b"a\0b", b"a\0"]);
}

#[test]
fn strings_are_well_formed_utf_8() {
    proves![
        "3.1.1:MQTT-1.5.3-1",
        "5.0:MQTT-1.5.4-1",
        "3.1.1:MQTT-3.3.2-1",
        "5.0:MQTT-3.3.2-1",
        "3.1.1:MQTT-4.7.3-3",
        "5.0:MQTT-4.7.3-3"
    ];
    ends_the_connection(&[
        b"\xED\xA0\x80",         // a surrogate
        b"\xED\xBF\xBF",         // another
        b"\xC0\x80",             // U+0000 in two bytes
        b"\xC3\x28",             // a sequence broken off
        b"\xFF",                 // never in UTF-8
        b"a\x80",                // a continuation out of place
        b"\xF4\x90\x80\x80",     // beyond U+10FFFF
        b"\xF8\x88\x80\x80\x80", // five bytes
    ]);
}

fn ends_the_connection(texts: &[&[u8]]) {
    for version in Version::ALL {
        for text in texts {
            for bytes in packets_with(version, text) {
                let world = World::new();
                let client = world.client(version, "c").connect();
                client.raw(&bytes);
                client.expect_end(0x81);
            }
        }
    }
}

#[test]
fn names_of_65_535_bytes_are_names() {
    proves!["3.1.1:MQTT-4.7.3-3", "5.0:MQTT-4.7.3-3"];
    for version in Version::ALL {
        let longest = "x".repeat(65_535);
        assert_eq!(
            found(version, &longest, &[&longest, "x"]),
            std::slice::from_ref(&longest)
        );
    }
}

#[test]
fn a_path_of_very_many_levels_is_refused_and_hurts_nobody() {
    for version in Version::ALL {
        let world = World::new();
        let healthy = world.client(version, "healthy").connect();
        healthy.subscribe("a", 0);
        let deep = "/".repeat(65_535);
        let client = world.client(version, "c").connect();
        client.send(Subscribe::new(1).filter(&deep, 0));
        refused(&client, 0x8F);
        let client = world.client(version, "d").connect();
        client.send(Publish::new(&deep, "x"));
        healthy.say("a", "x", 0);
        healthy.hear("a", "x");
    }
}

#[test]
fn user_properties_are_strings_too() {
    proves!["5.0:MQTT-1.5.7-1"];
    for (key, value) in [
        (&b"k\0"[..], &b"v"[..]),
        (b"k", b"\xFF"),
        (b"\xC0\x80", b""),
    ] {
        let client = World::new().v5("c").connect();
        let pair = [vec![0x26], binary(key), binary(value)].concat();
        let body = [binary("a"), vec![pair.len() as u8], pair].concat();
        client.raw(&frame(0x30, &body));
        client.expect_end(0x81);
    }
}

#[test]
fn content_type_and_response_topic_are_strings_too() {
    proves![
        "5.0:MQTT-3.3.2-13",
        "5.0:MQTT-3.3.2-19",
        "5.0:MQTT-3.3.2-14"
    ];
    let with = |property: Vec<u8>| {
        let client = World::new().v5("c").connect();
        let body = [binary("a"), vec![property.len() as u8], property].concat();
        client.raw(&frame(0x30, &body));
        client
    };
    with([vec![0x03], binary(b"\xFF")].concat()).expect_end(0x81);
    with([vec![0x08], binary(b"\xC3")].concat()).expect_end(0x81);
    for topic in ["reply/+", "#", ""] {
        let client = with([vec![0x08], binary(topic)].concat());
        assert!(
            matches!(client.next(), Packet::Disconnect(d) if [0x81, 0x82, 0x90].contains(&d.code))
        );
        client.expect_closed();
    }
}
