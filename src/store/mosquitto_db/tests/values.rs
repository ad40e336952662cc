//! Values that cannot be: the chunk is left out, and the next one is read.

use super::*;

/// Puts `byte` at this offset of the body of the only chunk; another good one follows.
fn refusal(file: &File, offset: usize, byte: u8) -> String {
    let header = if file.version >= 5 { 8 } else { 6 };
    let mut file = file.clone();
    file.bytes[HEADER + header + offset] = byte;
    let file = file.chunk(4, &[&eight(3)]);
    let db = file.read();
    assert_eq!((db.damage, db.unknown), (None, 0), "{offset} {byte}");
    assert_eq!(db.retained, [3]);
    assert!(db.messages.is_empty() && db.client_messages.is_empty());
    assert!(db.subscriptions.is_empty() && db.clients.is_empty());
    assert_eq!(db.refused, 1);
    db.first_refused.unwrap().to_string()
}

/// The only chunk of this kind of a file that has one of each.
fn alone(file: &File, kind: u8) -> File {
    let width = if file.version >= 5 { 4 } else { 2 };
    for edges in file.edges.windows(2) {
        let chunk = &file.bytes[edges[0]..edges[1]];
        if chunk[width - 1] == kind {
            let body = &chunk[width + 4..];
            return File::new(file.version).chunk(kind.into(), &[body]);
        }
    }
    unreachable!("every kind is there");
}

#[test]
fn in_new_files() {
    let file = new_file(6);
    let message = alone(&file, 2);
    assert_eq!(refusal(&message, 30, 3), "byte 23: a QoS above 2");
    let not_a_flag = "byte 23: a flag that is neither 0 nor 1";
    assert_eq!(refusal(&message, 31, 2), not_a_flag);
    assert_eq!(refusal(&message, 46, 0x7f), "byte 23: an unknown property");
    let other = "byte 23: a property that does not belong to the packet";
    assert_eq!(refusal(&message, 46, 0x11), other);
    let delivery = alone(&file, 3);
    assert_eq!(refusal(&delivery, 12, 0xff), "byte 23: a QoS above 2");
    for state in [0, 12, 255] {
        let said = refusal(&delivery, 13, state);
        assert_eq!(said, "byte 23: a state that does not exist");
    }
    assert_eq!(refusal(&delivery, 14, 0x20), not_a_flag);
    assert_eq!(refusal(&delivery, 14, 0x02), not_a_flag);
    let nowhere = "byte 23: a direction that is neither in nor out";
    assert_eq!(refusal(&delivery, 15, 2), nowhere);
    let subscription = alone(&file, 5);
    let large = "byte 23: a subscription identifier too large";
    assert_eq!(refusal(&subscription, 0, 0x10), large);
    assert_eq!(refusal(&subscription, 8, 3), "byte 23: a QoS above 2");
    let said = refusal(&subscription, 9, 0x30);
    assert_eq!(said, "byte 23: a retain handling of 3");
    let said = refusal(&subscription, 9, 0x40);
    assert_eq!(
        said,
        "byte 23: reserved bits of the subscription options are set"
    );
    assert_eq!(refusal(&alone(&file, 1), 8, 2), not_a_flag);
}

#[test]
fn in_old_files() {
    let file = old_file(3);
    let not_a_flag = "byte 23: a flag that is neither 0 nor 1";
    let message = alone(&file, 2);
    assert_eq!(refusal(&message, 22, 3), "byte 23: a QoS above 2");
    assert_eq!(refusal(&message, 23, 3), not_a_flag);
    let delivery = alone(&file, 3);
    assert_eq!(refusal(&delivery, 15, 3), "byte 23: a QoS above 2");
    assert_eq!(refusal(&delivery, 16, 3), not_a_flag);
    let nowhere = "byte 23: a direction that is neither in nor out";
    assert_eq!(refusal(&delivery, 17, 2), nowhere);
    let said = refusal(&delivery, 18, 0);
    assert_eq!(said, "byte 23: a state that does not exist");
    assert_eq!(refusal(&delivery, 19, 2), not_a_flag);
    let said = refusal(&alone(&file, 5), 10, 3);
    assert_eq!(said, "byte 23: a QoS above 2");
}

#[test]
fn every_state_has_its_meaning() {
    let delivery = alone(&new_file(6), 3);
    let stages = [
        (1, Stage::SendPublish),
        (2, Stage::SendPublish),
        (3, Stage::AwaitPubAck),
        (4, Stage::SendPublish),
        (5, Stage::AwaitPubRec),
        (6, Stage::SendPubRel),
        (7, Stage::AwaitPubRel),
        (8, Stage::SendPubComp),
        (9, Stage::AwaitPubComp),
        (10, Stage::SendPubRec),
        (11, Stage::Queued),
    ];
    for (state, stage) in stages {
        let mut file = delivery.clone();
        file.bytes[HEADER + 8 + 13] = state;
        assert_eq!(file.read_whole().client_messages[0].stage, stage);
    }
}

#[test]
fn only_the_first_refusal_is_told_and_all_are_counted() {
    let mut file = File::new(6);
    for store_id in 0..1000 {
        let bad: &[&[u8]] = &[&eight(store_id), &two(1), &two(1), &[1, 99, 0, 1], b"x"];
        file = file.chunk(3, bad);
    }
    let db = file.read();
    assert_eq!(db.refused, 1000);
    assert_eq!(db.first_refused.unwrap().chunk_at, HEADER);
}
