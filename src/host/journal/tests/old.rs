//! What Mosquitto left is taken over whole or, when the power goes meanwhile, by the next start.

use super::fake::Fake;
use super::*;
use crate::broker::{Broker, Now, Settings};
use crate::host::journal::import::{forget_unfinished, import};
use crate::host::testing::TempDir;
use fastrand::Rng;
use std::path::Path;

/// A start beside such a file: what the broker has then, in its own words.
fn start(disk: &Fake, old: &Path) -> io::Result<String> {
    let mut disk = disk.clone();
    let now = Now {
        mono_ms: 1000,
        wall_ms: NOW.wall_ms,
    };
    let mut broker = Broker::new(Settings::default(), 1, now);
    forget_unfinished(&mut disk)?;
    let (mut files, opened) = open(disk, NOW, SALT, &mut |placed, record| {
        broker.restore(placed, record);
    })?;
    let is_first = opened.segments.is_empty();
    let inventory = broker.start_journal(opened, now);
    if is_first {
        import(&mut broker, &mut files, old, now)?;
    }
    Ok(inventory)
}

/// A file of 2.0 with so many messages of so many bytes, all for the client "attic".
fn old_file(count: u64, bytes: usize) -> Vec<u8> {
    let mut file = b"\x00\xb5\x00mosquitto db\0\0\0\0\0\0\0\x06".to_vec();
    let mut chunk = |kind: u32, parts: &[&[u8]]| {
        let body = parts.concat();
        file.extend(kind.to_be_bytes());
        file.extend((body.len() as u32).to_be_bytes());
        file.extend(body);
    };
    let payload = vec![7; bytes];
    for id in 1..=count {
        let len = (bytes as u32).to_be_bytes();
        let id = id.to_le_bytes();
        let numbers = [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0];
        chunk(2, &[&id, &[0; 8], &len, &numbers, b"a", &payload]);
    }
    let numbers = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];
    chunk(6, &[&[0; 8], &numbers, b"attic"]);
    for id in 1..=count {
        chunk(
            3,
            &[&id.to_le_bytes(), &[0, 0, 0, 5, 1, 11, 0, 1], b"attic"],
        );
    }
    file
}

#[test]
fn the_power_may_go_at_any_moment_while_it_is_taken_over() {
    let dir = TempDir::new();
    let old = dir.path().join("mosquitto.db");
    // More than is written at once.
    std::fs::write(&old, old_file(200, 3000)).expect("it is written");
    let whole = Fake::seeded(1);
    start(&whole, &old).expect("a first start");
    let expected = start(&whole, &old).expect("the next one");
    assert!(expected.contains("200 messages"), "{expected}");
    let steps = whole.state().done.len() as u64;
    let mut rng = Rng::with_seed(5);
    for power in 0..steps {
        let disk = Fake::seeded(power);
        disk.state().power_left = Some(power);
        let _ = start(&disk, &old);
        let disk = disk.cut(&mut rng);
        start(&disk, &old).unwrap_or_else(|error| panic!("after {power} steps: {error}"));
        let found = start(&disk, &old).expect("one more start");
        assert_eq!(found, expected, "after {power} steps");
    }
}
