//! Records come back as they went out, and damage costs what it hits.

use super::fields::COUNT_MAX;
use super::record::{self, Recipient, Recipients};
use super::scan::{Scanned, scan};
use super::segment::{Found, HEADER_LEN, Header};
use super::writer::{SEGMENT_BYTES, Segment};
use super::*;
use crate::wire::{QoS, RetainHandling, SubscriptionOptions, Version};
use std::collections::VecDeque;

const SALT: u64 = 0x5a17;

/// One record of each kind.
fn one_of_each(recipients: &[u8]) -> Vec<Record<'_>> {
    [objects(), messages(recipients), changes()].concat()
}

/// Clocks, a session and a subscription.
fn objects() -> Vec<Record<'static>> {
    vec![
        Record::Clock(record::Clock {
            boot: u64::MAX,
            boot_ms: 1,
            wall_ms: 2,
            log_ms: 3,
        }),
        Record::Session(record::Session {
            key: 3,
            client_id: "sensor",
            username: Some(""),
            listener: "1883",
            mount_point: "",
            version: Version::V5,
            is_bridge: true,
            is_unowned: true,
            expiry_s: u32::MAX,
            silence_ms: 90_000,
            left_ms: Some(99),
            next_ordinal: 70_000,
            sent_before: 69_000,
            will: Some(record::Will {
                topic: "gone",
                payload: &[0, 255],
                properties: &[],
                qos: QoS::AtLeastOnce,
                retain: true,
                expiry_s: Some(0),
                delay_s: 5,
            }),
        }),
        Record::Subscribe(record::Subscription {
            key: 3,
            filter: "a/+",
            share: Some("group"),
            options: SubscriptionOptions {
                qos: QoS::ExactlyOnce,
                no_local: false,
                retain_as_published: true,
                retain_handling: RetainHandling::Never,
            },
            identifier: 268_435_455,
            is_owed: true,
        }),
    ]
}

/// A message whole, its body alone, and what became of it.
fn messages(recipients: &[u8]) -> Vec<Record<'_>> {
    let source = record::Source {
        hash: u64::MAX,
        publisher: Some(("pump", None, "1883")),
    };
    let message = record::Message {
        slot: 7,
        qos: QoS::ExactlyOnce,
        retain: true,
        expires_ms: Some(123_456),
        keeps: Some(source),
        held: Some((3, 65_535)),
        is_body: false,
        recipients: Recipients::new(recipients),
        topic: b"a/b",
        properties: &[1, 1],
        payload: b"21.5",
    };
    vec![
        Record::Message(message),
        Record::Message(record::Message {
            expires_ms: None,
            keeps: None,
            held: None,
            is_body: true,
            recipients: Recipients::default(),
            payload: b"",
            ..message
        }),
        Record::Release(record::Release {
            key: 3,
            packet_id: 9,
            body: Place::new(2, 128),
            slot: 7,
            keeps: Some(source),
            topic: b"a/b",
            recipients: Recipients::new(recipients),
        }),
    ]
}

/// Changes, which mean something in their place only.
fn changes() -> Vec<Record<'static>> {
    vec![
        Record::SessionEnd { key: 4 },
        Record::Back { key: 3 },
        Record::Left {
            key: 3,
            expiry_s: 60,
            at_ms: 100,
            has_will: false,
        },
        Record::Unsubscribe {
            key: 3,
            filter: "a/+",
            share: None,
        },
        Record::Forget {
            key: 3,
            packet_id: 1,
        },
        Record::Sent { key: 3, through: 8 },
        Record::Received { key: 3, ordinal: 8 },
        Record::Done {
            key: 3,
            ordinal: 8,
            first: 6,
        },
        Record::Cleared { topic: b"a/b" },
        Record::Mark,
    ]
}

fn recipients() -> (Vec<Recipient>, Vec<u8>) {
    let list = [(1, 1, 0), (300, COUNT_MAX, 268_435_455)].map(|(key, ordinal, id)| Recipient {
        key,
        ordinal,
        qos: QoS::AtLeastOnce,
        retain: id != 0,
        subscription_id: id,
    });
    let mut raw = Vec::new();
    for recipient in &list {
        recipient.put(&mut raw);
    }
    (list.to_vec(), raw)
}

/// The image of the first segment that a writer makes of these records.
fn image(records: &[Record<'_>]) -> (Vec<u8>, Vec<Placed>) {
    let mut writer = Writer::new(SALT, VecDeque::new());
    let placed: Vec<Placed> = records.iter().map(|r| writer.append(r)).collect();
    let mut batch = Batch::default();
    assert!(writer.take(&mut batch));
    assert_eq!(batch.end, placed[placed.len() - 1].end());
    assert_eq!(
        batch.steps,
        [
            Step::Open {
                segment: 1,
                capacity: SEGMENT_BYTES
            },
            Step::Write {
                segment: 1,
                offset: HEADER_LEN,
                len: batch.bytes.len() as u32
            }
        ]
    );
    (batch.bytes, placed)
}

fn read(bytes: &[u8]) -> (Vec<(Placed, Record<'_>)>, Scanned) {
    let mut found = Vec::new();
    let start = Place::new(1, HEADER_LEN);
    let scanned = scan(SALT, start, bytes, None, |placed, record| {
        found.push((placed, record));
    });
    (found, scanned)
}

#[test]
fn every_record_comes_back_from_its_bytes_and_place() {
    let (list, raw) = recipients();
    assert_eq!(Recipients::new(&raw).iter().collect::<Vec<_>>(), list);
    let records = one_of_each(&raw);
    let (mut bytes, placed) = image(&records);
    let expected: Vec<_> = placed.into_iter().zip(records.iter().copied()).collect();
    bytes.resize(bytes.len() + 1000, 0);
    let (found, scanned) = read(&bytes);
    assert_eq!(found, expected);
    assert_eq!((scanned.damaged, scanned.has_torn_tail), (0, false));
    // The same bytes in another place are no records.
    let elsewhere = scan(
        SALT,
        Place::new(2, HEADER_LEN),
        &bytes,
        None,
        |_, _| panic!(),
    );
    assert_eq!((elsewhere.records, elsewhere.has_torn_tail), (0, true));
}

/// Whoever goes back to an older version keeps the subscription, and sees no damage.
#[test]
fn what_a_subscription_is_owed_stands_behind_what_older_versions_read() {
    let Record::Subscribe(owed) = objects()[2] else {
        panic!("it is a subscription");
    };
    let encoded = |subscription| {
        let (mut body, record) = (Vec::new(), Record::Subscribe(subscription));
        record.encode(&mut body);
        (record.kind(), body)
    };
    let (_, body) = encoded(owed);
    let is_owed = false;
    let (kind, mut plain) = encoded(record::Subscription { is_owed, ..owed });
    assert!(body.starts_with(&plain));
    // Other versions had it among the options.
    let options = plain.len() - 5;
    plain[options] |= 0x40;
    assert_eq!(Record::decode(kind, &plain), Some(Record::Subscribe(owed)));
}

#[test]
fn a_flipped_byte_costs_one_record_and_a_cut_those_behind_it() {
    let (_, raw) = recipients();
    let records = one_of_each(&raw);
    let (bytes, placed) = image(&records);
    for at in 0..bytes.len() {
        let hit = (placed.iter())
            .position(|p| p.end().offset() - HEADER_LEN > at as u32)
            .expect("every byte belongs to a record");
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x41;
        let (found, scanned) = read(&flipped);
        let mut rest = records.clone();
        rest.remove(hit);
        let found: Vec<_> = found.into_iter().map(|(_, record)| record).collect();
        assert_eq!(found, rest, "byte {at}");
        assert!(scanned.damaged > 0 || scanned.has_torn_tail);
        let (found, _) = read(&bytes[..at]);
        assert_eq!(found.len(), hit, "cut at {at}");
    }
}

#[test]
fn bytes_of_strangers_are_no_records_and_no_panic() {
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let kind = rng.u8(0..20);
        let body: Vec<u8> = (0..rng.usize(0..40)).map(|_| rng.u8(..)).collect();
        if let Some(record) = Record::decode(kind, &body) {
            let mut again = Vec::new();
            record.encode(&mut again);
            assert_eq!(Record::decode(kind, &again), Some(record));
        }
    }
}

/// Such a record was not written by a broker: adding to its numbers would overflow.
#[test]
fn counts_that_nobody_gets_to_are_no_record() {
    let is_record = |record: Record<'_>| {
        let mut body = Vec::new();
        record.encode(&mut body);
        Record::decode(record.kind(), &body).is_some()
    };
    for (key, ordinal, is_good) in [
        (1, 1, true),
        (COUNT_MAX, COUNT_MAX, true),
        (1, 0, false),
        (1, COUNT_MAX + 1, false),
        (u64::MAX, 1, false),
    ] {
        let received = Record::Received { key, ordinal };
        assert_eq!(is_record(received), is_good, "{received:?}");
        let mut list = Vec::new();
        let recipient = Recipient {
            key,
            ordinal,
            qos: QoS::AtLeastOnce,
            retain: false,
            subscription_id: 0,
        };
        recipient.put(&mut list);
        let found = Recipients::new(&list).iter().count();
        assert_eq!(found, usize::from(is_good), "{recipient:?}");
    }
    let left = |at_ms| Record::Left {
        key: 1,
        expiry_s: u32::MAX,
        at_ms,
        has_will: true,
    };
    assert!(is_record(left(COUNT_MAX)) && !is_record(left(u64::MAX)));
}

#[test]
fn a_segment_ends_where_the_next_record_does_not_fit() {
    let mut writer = Writer::new(SALT, VecDeque::new());
    let topic = vec![b't'; 300_000];
    let places: Vec<Placed> = (0..4)
        .map(|_| writer.append(&Record::Cleared { topic: &topic }))
        .collect();
    assert_eq!(places.map_segments(), [1, 1, 1, 2]);
    let huge = vec![b't'; 2 * SEGMENT_BYTES as usize];
    let placed = writer.append(&Record::Cleared { topic: &huge });
    assert_eq!(placed.place, Place::new(3, HEADER_LEN));
    writer.append(&Record::Back { key: 1 });
    assert_eq!((writer.segment_count(), writer.end().segment()), (4, 4));
    let oldest = writer.oldest().expect("the first is not written to");
    let used = places[2].end().offset();
    let bytes = SEGMENT_BYTES;
    assert_eq!(
        oldest,
        Segment {
            number: 1,
            bytes,
            used
        }
    );
    let disk_bytes = writer.disk_bytes();
    writer.unlink(1);
    assert_eq!(disk_bytes - writer.disk_bytes(), u64::from(SEGMENT_BYTES));
}

trait Segments {
    fn map_segments(&self) -> Vec<u32>;
}

impl Segments for Vec<Placed> {
    fn map_segments(&self) -> Vec<u32> {
        self.iter().map(|placed| placed.place.segment()).collect()
    }
}

#[test]
fn a_header_survives_one_flipped_byte() {
    let header = Header {
        segment: 5,
        start: 0,
        capacity: SEGMENT_BYTES,
        salt: SALT,
    };
    let bytes = header.encode();
    assert_eq!(Header::find(&bytes), Found::Header(header, false));
    for at in 0..bytes.len() {
        let mut flipped = bytes;
        flipped[at] ^= 1;
        assert_eq!(Header::find(&flipped), Found::Header(header, true));
    }
    assert_eq!(Header::find(&bytes[..20]), Found::Damaged);
}
