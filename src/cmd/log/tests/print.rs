//! `--list` and `--stats`: what is printed of the records.

use super::super::text::{preview, quoted};
use super::*;
use crate::wire::RetainHandling;

/// What each record is expected to look like behind its place and length.
fn kinds_without_contents() -> Vec<(Record<'static>, &'static str)> {
    vec![
        (Record::Back { key: 3 }, "back key=3"),
        (
            Record::Left {
                key: 3,
                expiry_s: 60,
                at_ms: 500,
                has_will: true,
            },
            "left key=3 expiry_s=60 at_ms=500 (2023-11-14T22:13:19.500Z) will",
        ),
        (
            Record::Clock(Clock {
                boot: 1,
                boot_ms: 10,
                wall_ms: 1_700_000_000_000,
                log_ms: 1000,
            }),
            "clock boot=0000000000000001 boot_ms=10 log_ms=1000 wall_ms=1700000000000 \
             (2023-11-14T22:13:20.000Z)",
        ),
        (Record::SessionEnd { key: 3 }, "session-end key=3"),
        (
            Record::Unsubscribe {
                key: 3,
                filter: "é/+",
                share: None,
            },
            "unsubscribe key=3 filter=\"é/+\"",
        ),
        (
            Record::Forget {
                key: 3,
                packet_id: 1,
            },
            "forget key=3 packet_id=1",
        ),
        (Record::Sent { key: 3, through: 8 }, "sent key=3 through=8"),
        (
            Record::Received { key: 3, ordinal: 1 },
            "received key=3 ordinal=1 packet_id=1",
        ),
        (
            Record::Done {
                key: 3,
                ordinal: 65_536,
                first: 2,
            },
            "done key=3 ordinal=65536 packet_id=1 first=2",
        ),
        (Record::Cleared { topic: b"t" }, "cleared topic=\"t\""),
    ]
}

fn objects() -> Vec<(Record<'static>, &'static str)> {
    let will = record::Will {
        topic: "gone",
        payload: &[0, 255],
        properties: &[],
        qos: QoS::AtLeastOnce,
        retain: true,
        expiry_s: None,
        delay_s: 5,
    };
    vec![
        (
            Record::Session(Session {
                username: Some("me"),
                mount_point: "m/",
                left_ms: Some(61_000),
                will: Some(will),
                is_bridge: true,
                is_unowned: true,
                ..session(3, "a\x1b[2J\"")
            }),
            "session key=3 client_id=\"a\\u{1b}[2J\\\"\" username=\"me\" listener=\"1883\" \
             mount_point=\"m/\" version=3.1.1 bridge unowned expiry_s=4294967295 silence_ms=90000 \
             left_ms=61000 (2023-11-14T22:14:20.000Z) next_ordinal=1 sent_before=1 will=\"gone\" \
             will_qos=1 will_retain will_delay_s=5 will_properties=0 will_payload=2 \"\\0\\xff\"",
        ),
        (
            Record::Subscribe(Subscription {
                key: 3,
                filter: "é/+",
                share: Some("g"),
                options: SubscriptionOptions {
                    qos: QoS::ExactlyOnce,
                    no_local: true,
                    retain_as_published: true,
                    retain_handling: RetainHandling::Never,
                },
                identifier: 9,
                is_owed: true,
            }),
            "subscribe key=3 filter=\"é/+\" share=\"g\" qos=2 no_local retain_as_published \
             retain_handling=never owed identifier=9",
        ),
    ]
}

fn messages(raw: &[u8]) -> Vec<(Record<'_>, &'static str)> {
    let source = record::Source {
        hash: 0xab,
        publisher: Some(("pump", Some("u\n"), "1883")),
    };
    let body = Message {
        is_body: true,
        ..message(5, "t", &[b'x'; 100], b"")
    };
    vec![
        (
            Record::Message(Message {
                expires_ms: Some(2000),
                keeps: Some(source),
                held: Some((3, 7)),
                retain: true,
                properties: &[1, 1],
                ..message(5, "t", b"it's 21.5", raw)
            }),
            "message slot=5 topic=\"t\" qos=1 retain expires_ms=2000 (2023-11-14T22:13:21.000Z) \
             kept=(publisher=00000000000000ab client_id=\"pump\" username=\"u\\n\" \
             listener=\"1883\") held=(key=3 packet_id=7) for=(key=3 ordinal=1 qos=1, key=4 \
             ordinal=65536 qos=1) properties=2 payload=9 \"it's 21.5\"",
        ),
        (
            Record::Message(body),
            "body slot=5 topic=\"t\" qos=1 payload=100 \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"...",
        ),
        (
            Record::Release(Release {
                key: 3,
                packet_id: 7,
                body: Place::new(1, 300),
                slot: 5,
                keeps: None,
                topic: b"",
                recipients: Recipients::new(raw),
            }),
            "release key=3 packet_id=7 slot=5 body=1:300 for=(key=3 ordinal=1 qos=1, key=4 \
             ordinal=65536 qos=1)",
        ),
    ]
}

#[test]
fn each_kind_of_record_has_its_line() {
    let folder = Folder::new();
    let mut maker = Maker::new(&folder);
    let raw = recipients(&[(3, 1), (4, 65_536)]);
    let mut all = kinds_without_contents();
    all.extend(objects());
    all.extend(messages(&raw));
    for (record, _) in &all {
        maker.append(record);
    }
    maker.write();
    let (verdict, out) = run_well(&["--list", &folder.path("")]);
    assert_eq!(verdict, Verdict::Fine);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), all.len());
    for (at, placed) in maker.placed.iter().enumerate() {
        let (offset, len) = (placed.place.offset(), placed.len);
        let expected = format!("1:{offset} len={len} {}", all[at].1);
        assert_eq!(lines[at], expected);
    }
}

#[test]
fn damage_stands_in_the_list_where_it_is() {
    let folder = Folder::new();
    let placed = small_log(&folder);
    folder.flip("00000001.log", placed[3].place.offset() + 10);
    folder.flip("00000001.log", placed[8].place.offset());
    let (verdict, out) = run_well(&["--list", &folder.path("")]);
    assert_eq!(verdict, Verdict::Damaged);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 9);
    let line = |at: usize, what: &str| {
        let (offset, len) = (placed[at].place.offset(), placed[at].len);
        format!("1:{offset} len={len} {what}")
    };
    assert_eq!(lines[3], line(3, "damaged"));
    assert_eq!(lines[8], line(8, "torn"));
}

#[test]
fn a_long_string_is_cut_between_letters() {
    let shown = |text: &str| preview(text.as_bytes()).to_string();
    let text = "é".repeat(20);
    assert_eq!(shown(&text), format!("\"{}\"...", "é".repeat(16)));
    let text = format!("a{text}");
    assert_eq!(shown(&text), format!("\"a{}\"...", "é".repeat(15)));
    let shown = preview(&[0x80; 33]).to_string();
    assert_eq!(shown, format!("\"{}\"...", "\\x80".repeat(32)));
    let shown = quoted("é\u{202e}\u{85}").to_string();
    assert_eq!(shown, "\"é\\u{202e}\\u{85}\"");
    let text = "x".repeat(2000);
    assert_eq!(quoted(&text).to_string().len(), 1024 + 5);
}

/// The numbers in a line of the statistics.
#[track_caller]
fn numbers(out: &str, name: &str) -> Vec<u64> {
    let line = out.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no line {name} in {out}"));
    let words = line.split(|c: char| !c.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

/// The row of a session.
#[track_caller]
fn row<'a>(out: &'a str, client: &str) -> Vec<&'a str> {
    let line = out.lines().find(|line| line.ends_with(client));
    let line = line.unwrap_or_else(|| panic!("no line {client} in {out}"));
    line.split_whitespace().collect()
}

/// Appends sessions and subscriptions; the bytes of those that are live.
fn append_sessions(maker: &mut Maker<'_>) -> [u64; 2] {
    maker.append(&Record::Session(session(1, "old life")));
    maker.append(&Record::SessionEnd { key: 1 });
    maker.append(&Record::Session(session(2, "pump")));
    let pump = maker.append(&Record::Session(Session {
        sent_before: 2,
        ..session(2, "pump")
    }));
    let valve = maker.append(&Record::Session(session(3, "valve")));
    maker.append(&subscribe(2, "a"));
    let latest = maker.append(&subscribe(2, "a"));
    maker.append(&subscribe(2, "b"));
    maker.append(&Record::Unsubscribe {
        key: 2,
        filter: "b",
        share: None,
    });
    [u64::from(pump.len + valve.len), latest.len.into()]
}

/// Appends messages that were delivered, sent and that wait; the bytes of those that are live.
fn append_queue(maker: &mut Maker<'_>) -> u64 {
    let first = recipients(&[(2, 1), (3, 1)]);
    maker.append(&Record::Message(message(4, "t", b"over", &first)));
    maker.append(&Record::Done {
        key: 2,
        ordinal: 1,
        first: 1,
    });
    // The slot is used again.
    let second = recipients(&[(2, 2), (3, 2)]);
    let second = maker.append(&Record::Message(message(4, "t", b"two!", &second)));
    let third = recipients(&[(2, 3)]);
    let third = maker.append(&Record::Message(message(5, "t", b"three", &third)));
    maker.append(&Record::Sent { key: 2, through: 2 });
    maker.append(&Record::Received { key: 3, ordinal: 5 });
    u64::from(second.len + third.len)
}

/// Appends messages that are held, released and given up; the bytes of those that are live.
fn append_held(maker: &mut Maker<'_>) -> u64 {
    let held = |slot, packet_id, payload| {
        Record::Message(Message {
            held: Some((3, packet_id)),
            ..message(slot, "h", payload, b"")
        })
    };
    let waiting = maker.append(&held(6, 10, b"held"));
    let body = maker.append(&held(7, 11, b"released"));
    maker.append(&held(8, 12, b"given up"));
    maker.append(&Record::Forget {
        key: 3,
        packet_id: 12,
    });
    let raw = recipients(&[(3, 6)]);
    let release = maker.append(&Record::Release(Release {
        key: 3,
        packet_id: 11,
        body: body.place,
        slot: 7,
        keeps: None,
        topic: b"",
        recipients: Recipients::new(&raw),
    }));
    u64::from(waiting.len + body.len + release.len)
}

/// Appends retained messages, one replaced, one cleared; the bytes of the one that is live.
fn append_retained(maker: &mut Maker<'_>) -> u64 {
    let source = record::Source {
        hash: 7,
        publisher: None,
    };
    let kept = |slot, topic, payload| {
        Record::Message(Message {
            keeps: Some(source),
            ..message(slot, topic, payload, b"")
        })
    };
    maker.append(&kept(20, "r", b"old"));
    let newer = maker.append(&kept(21, "r", b"newer"));
    maker.append(&kept(22, "cleared", b"x"));
    maker.append(&Record::Cleared { topic: b"cleared" });
    newer.len.into()
}

#[test]
fn what_is_live_is_what_the_last_descriptions_say() {
    let folder = Folder::new();
    let mut maker = Maker::new(&folder);
    let [sessions, subscriptions] = append_sessions(&mut maker);
    let messages = append_queue(&mut maker) + append_held(&mut maker) + append_retained(&mut maker);
    maker.write();

    let (verdict, out) = run_well(&["--stats", &folder.path("")]);
    assert_eq!(verdict, Verdict::Fine);
    let records: u64 = maker
        .placed
        .iter()
        .map(|placed| u64::from(placed.len))
        .sum();
    let live = sessions + subscriptions + messages;
    let expected = [live, sessions, subscriptions, messages];
    assert_eq!(numbers(&out, "live:"), expected);
    assert_eq!(numbers(&out, "garbage:"), [records - live]);
    assert_eq!(numbers(&out, "messages:"), [5]);
    assert_eq!(numbers(&out, "retained:"), [1, 6]);
    assert_eq!(numbers(&out, "sessions:"), [2]);
    // Of valve: slot 4's second message, the one that was released, the one that is held; and a
    // delivery of which PUBREC is known, but no message any more. Of pump: one sent, one queued.
    let valve = row(&out, "\"valve\"");
    assert_eq!(valve, ["19", "2", "1", "1", "0", "\"valve\""]);
    let pump = row(&out, "\"pump\"");
    assert_eq!(pump, ["11", "1", "1", "0", "1", "\"pump\""]);
    let [valve, pump] = ["\"valve\"", "\"pump\""].map(|name| out.find(name));
    assert!(valve < pump, "the one with more bytes comes first: {out}");
}

#[test]
fn a_body_that_was_written_anew_belongs_to_its_release() {
    let folder = Folder::new();
    let mut maker = Maker::new(&folder);
    maker.append(&Record::Session(session(1, "pump")));
    let raw = recipients(&[(1, 1)]);
    // The segment with the first description of the body was cleaned.
    let released = maker.append(&Record::Release(Release {
        key: 9,
        packet_id: 1,
        body: Place::new(0, 500),
        slot: 2,
        keeps: None,
        topic: b"",
        recipients: Recipients::new(&raw),
    }));
    maker.write();
    let (_, out) = run_well(&["--stats", &folder.path("")]);
    assert_eq!(numbers(&out, "bodiless:"), [1]);
    let body = maker.append(&Record::Message(Message {
        is_body: true,
        ..message(2, "t", b"body", b"")
    }));
    maker.write();
    let (_, out) = run_well(&["--stats", &folder.path("")]);
    assert!(!out.contains("bodiless"), "{out}");
    let messages = u64::from(released.len + body.len);
    assert_eq!(numbers(&out, "live:")[3], messages);
    let expected = ["5", "1", "0", "0", "0", "\"pump\""];
    assert_eq!(row(&out, "\"pump\""), expected);
}

#[test]
fn a_client_has_its_newest_session_only_and_a_lost_one_is_told() {
    let folder = Folder::new();
    let mut maker = Maker::new(&folder);
    let raw = recipients(&[(1, 1), (2, 1), (3, 1)]);
    maker.append(&Record::Session(session(1, "pump")));
    maker.append(&Record::Session(session(2, "pump")));
    maker.append(&Record::Message(message(1, "t", b"1", &raw)));
    maker.write();
    let (_, out) = run_well(&["--stats", &folder.path("")]);
    assert_eq!(numbers(&out, "sessions:"), [1]);
    assert_eq!(numbers(&out, "nameless:"), [1]);
    let expected = ["2", "1", "0", "0", "0", "\"pump\""];
    assert_eq!(row(&out, "\"pump\""), expected);
}
