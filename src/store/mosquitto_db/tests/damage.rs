//! Files cut at every byte, with every byte flipped, and made of noise: nothing panics, what was
//! good before the damage stands, and no file gives more than it has bytes for.

use super::*;

const KEPT: [&[u8]; 4] = [
    include_bytes!("../../../../tests/data/mosquitto-db/2.0.11-amd64.db"),
    include_bytes!("../../../../tests/data/mosquitto-db/2.0.11-i386.db"),
    include_bytes!("../../../../tests/data/mosquitto-db/2.0.11-s390x.db"),
    include_bytes!("../../../../tests/data/mosquitto-db/2.0.21-amd64.db"),
];

/// Hand-made files of every version, and the kept ones.
fn files() -> Vec<File> {
    let mut files: Vec<File> = KEPT.map(kept).into();
    files.extend([2, 3, 4].map(old_file));
    files.extend([5, 6].map(new_file));
    files
}

/// Finds the edges of a kept file by the lengths of its chunks.
fn kept(bytes: &[u8]) -> File {
    let mut edges = vec![HEADER];
    while edges[edges.len() - 1] < bytes.len() {
        let at = edges[edges.len() - 1];
        let len = u32::from_be_bytes(bytes[at + 4..at + 8].try_into().unwrap());
        edges.push(at + 8 + len as usize);
    }
    assert_eq!(edges.last(), Some(&bytes.len()));
    File {
        version: 6,
        bytes: bytes.to_vec(),
        edges,
    }
}

/// How many chunks were read, one way or another. Those that configure leave no entry.
fn count(db: &Database<'_>) -> usize {
    db.clients.len()
        + db.messages.len()
        + db.client_messages.len()
        + db.retained.len()
        + db.subscriptions.len()
        + db.unknown
        + db.refused
}

/// Requires that nothing in `part` stands before what `whole` has in its place.
fn begins_like(part: &Database<'_>, whole: &Database<'_>) {
    assert!(whole.clients.starts_with(&part.clients));
    assert!(whole.messages.starts_with(&part.messages));
    assert!(whole.client_messages.starts_with(&part.client_messages));
    assert!(whole.retained.starts_with(&part.retained));
    assert!(whole.subscriptions.starts_with(&part.subscriptions));
}

#[test]
fn cut_at_every_byte() {
    for file in files() {
        let whole = file.read_whole();
        for cut in HEADER..file.bytes.len() {
            let part = read(&file.bytes[..cut]).unwrap();
            let edge = file.edges.partition_point(|&edge| edge <= cut) - 1;
            if file.edges[edge] == cut {
                assert_eq!(part.damage, None);
            } else {
                let damage = part.damage.unwrap();
                assert_eq!(damage.chunk_at, file.edges[edge]);
                assert!(damage.misfit.at <= cut);
                assert!(damage.misfit.expected > damage.misfit.there);
            }
            // The first chunk configures.
            assert_eq!(count(&part), edge.saturating_sub(1));
            begins_like(&part, &whole);
        }
        for cut in 0..HEADER {
            assert_eq!(
                read(&file.bytes[..cut]),
                Err(Unreadable::NoHeader { len: cut })
            );
        }
    }
}

#[test]
fn every_bit_flipped() {
    for file in files() {
        let mut bytes = file.bytes.clone();
        let chunks = count(&file.read_whole());
        for at in 0..bytes.len() {
            for mask in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                bytes[at] ^= mask;
                if let Ok(db) = read(&bytes) {
                    flipped(&file, &bytes, &db, at, chunks);
                } else {
                    assert!(at < HEADER);
                }
                bytes[at] ^= mask;
            }
        }
    }
}

fn flipped(file: &File, bytes: &[u8], db: &Database<'_>, at: usize, chunks: usize) {
    if at < HEADER {
        bounded(db, bytes.len());
        return;
    }
    let chunk = file.edges.partition_point(|&edge| edge <= at) - 1;
    let before = read(&bytes[..file.edges[chunk]]).unwrap();
    assert_eq!(before.damage, None);
    begins_like(&before, db);
    if let Some(damage) = db.damage {
        assert!(damage.chunk_at >= file.edges[chunk]);
        assert!(damage.misfit.at <= bytes.len());
    }
    let in_body = at - file.edges[chunk] >= 8;
    if file.version >= 5 && in_body && db.damage.is_none() {
        let refused_config = usize::from(chunk == 0) * db.refused;
        assert_eq!(
            count(db),
            chunks + refused_config,
            "the others are all there"
        );
        assert!(db.refused <= 1);
    }
    bounded(db, bytes.len());
}

/// No more entries than the bytes of the smallest chunks allow.
fn bounded(db: &Database<'_>, len: usize) {
    assert!(count(db) <= len / 6);
    let entries = count(db) - db.unknown - db.refused;
    assert!(entries <= len / 11);
}

#[test]
fn entries_are_as_small_as_promised() {
    assert!(size_of::<Message<'_>>() <= 128);
    assert!(size_of::<Client<'_>>() <= 128);
    assert!(size_of::<ClientMessage<'_>>() <= 128);
    assert!(size_of::<Subscription<'_>>() <= 128);
}

#[test]
fn noise() {
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..20_000 {
        let mut file = File::new(rng.u32(2..=6));
        for _ in 0..rng.usize(0..8) {
            let body: Vec<u8> = (0..rng.usize(0..64)).map(|_| small(&mut rng)).collect();
            let len = if rng.u8(..) < 200 {
                body.len() as u32
            } else {
                rng.u32(..)
            };
            file = file.chunk_of(rng.u16(0..8), len, &[&body]);
        }
        let db = file.read();
        bounded(&db, file.bytes.len());
        if let Some(damage) = db.damage {
            assert!(damage.misfit.at <= file.bytes.len(), "round {round}");
            assert!(HEADER <= damage.chunk_at && damage.chunk_at <= damage.misfit.at);
        }
    }
}

/// Mostly such a number as makes a length that fits.
fn small(rng: &mut fastrand::Rng) -> u8 {
    match rng.u8(..) {
        0..150 => 0,
        150..240 => rng.u8(0..12),
        _ => rng.u8(..),
    }
}

#[test]
fn lengths_beyond_all_bounds_are_told() {
    let said = |file: &File| file.read().damage.unwrap().to_string();
    assert_eq!(
        said(&File::new(6).chunk_of(9, u32::MAX, &[b"abc"])),
        "byte 31: the body of a chunk of 4294967295 bytes expected, 3 there"
    );
    let huge: &[&[u8]] = &[&eight(1), &eight(0), &[0xff; 4], &[0; 12]];
    assert_eq!(
        said(&File::new(6).chunk(2, huge)),
        "byte 63: a payload of 4294967295 bytes expected, 0 there"
    );
    let id: &[&[u8]] = &[&[0xff; 2], b"abc"];
    assert_eq!(
        said(&File::new(3).chunk(6, id)),
        "byte 31: a client id of 65535 bytes expected, 3 there"
    );
    assert_eq!(
        said(&File::new(6).chunk(4, &[&eight(1), &[0]])),
        "byte 39: the end of a chunk expected, 1 there"
    );
    let other_size: &[&[u8]] = &[&eight(1), &[1], &[4], &[0; 6]];
    assert_eq!(
        said(&File::new(6).chunk(1, other_size)),
        "byte 47: store ids of 8 bytes expected, 4 there"
    );
    assert_eq!(
        said(&File::new(6).chunk(4, &[&eight(1)]).chunk_of(4, 1, &[])),
        "byte 47: the body of a chunk of 1 bytes expected, 0 there"
    );
}

#[test]
fn properties_fill_the_rest_of_their_chunk() {
    let fixed: &[u8] = &[[0; 8].as_slice(), &two(1), &two(1), &[1, 3, 0, 1], b"x"].concat();
    let read = |properties: &[u8]| {
        let file = File::new(6).chunk(3, &[fixed, properties]);
        file.read().damage.map(|damage| damage.to_string())
    };
    assert_eq!(read(&[]), None);
    assert_eq!(read(&[0]), None);
    assert_eq!(read(&[2, 0x0b, 1]), None);
    let misfit = |expected, there| {
        Some(format!(
            "byte 48: properties{expected} expected, {there} there"
        ))
    };
    assert_eq!(read(&[1, 0x0b, 1]), misfit(" of 1 bytes", 2));
    assert_eq!(read(&[3, 0x0b, 1]), misfit(" of 3 bytes", 2));
    assert_eq!(read(&[0x80]), misfit("", 1));
}
