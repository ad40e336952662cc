//! Files made by hand, byte by byte, and damage done to them and to kept files of Mosquitto's.
//! What the kept files say is compared in `tests/cli/mosquitto_db.rs`.

mod damage;
mod values;
mod versions;

use super::*;

/// A file in the making. Numbers are given as the bytes they take; `number(5_u16)` is big-endian.
#[derive(Clone)]
struct File {
    version: u32,
    bytes: Vec<u8>,
    /// Where each chunk begins, and the end.
    edges: Vec<usize>,
}

impl File {
    fn new(version: u32) -> File {
        let mut bytes = b"\x00\xb5\x00mosquitto db".to_vec();
        bytes.extend([0; 4]); // unused
        bytes.extend(version.to_be_bytes());
        File {
            version,
            edges: vec![bytes.len()],
            bytes,
        }
    }

    /// Adds a chunk of these parts, with the length it has.
    fn chunk(self, kind: u16, parts: &[&[u8]]) -> File {
        let len = parts.concat().len();
        self.chunk_of(kind, len as u32, parts)
    }

    /// Adds a chunk that says that it has this length.
    fn chunk_of(mut self, kind: u16, len: u32, parts: &[&[u8]]) -> File {
        if self.version >= 5 {
            self.bytes.extend([0, 0]);
        }
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(len.to_be_bytes());
        self.bytes.extend(parts.concat());
        self.edges.push(self.bytes.len());
        self
    }

    fn read(&self) -> Database<'_> {
        read(&self.bytes).unwrap()
    }

    /// Reads it, and requires that nothing was wrong.
    #[track_caller]
    fn read_whole(&self) -> Database<'_> {
        let db = self.read();
        assert_eq!((db.damage, db.first_refused, db.refused), (None, None, 0));
        assert_eq!(db.unknown, 0);
        db
    }
}

/// Reads a file whole, and once more with as little of it at hand as will do, which is the same.
fn read(file: &[u8]) -> Result<Database<'_>, Unreadable> {
    let db = super::read(file)?;
    let mut scan = Scan::new(&file[..HEADER], file.len())?;
    let mut pieces = Database {
        version: scan.version,
        ..Database::default()
    };
    let mut until = HEADER;
    loop {
        match scan.next(&file[scan.at()..until.max(scan.at())]) {
            Step::Entry(entry) => pieces.add(entry),
            Step::More(end) => {
                assert!(until.max(scan.at()) < end && end <= file.len());
                until = end;
            }
            Step::End => break,
        }
    }
    pieces.damage = scan.damage;
    (pieces.refused, pieces.first_refused) = (scan.refused, scan.first_refused);
    assert_eq!(pieces, db);
    Ok(db)
}

/// Two bytes, big-endian.
fn two(n: u16) -> [u8; 2] {
    n.to_be_bytes()
}

/// Four bytes, big-endian.
fn four(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

/// Eight bytes as most machines have them.
fn eight(n: u64) -> [u8; 8] {
    n.to_le_bytes()
}

/// A string of the old versions: its length in front.
fn string(text: &str) -> Vec<u8> {
    [&two(text.len() as u16), text.as_bytes()].concat()
}

/// A file of version 5 or 6 with one chunk of every kind.
fn new_file(version: u32) -> File {
    File::new(version)
        .chunk(1, &[&eight(77), &[1], &[8], &[0; 6]])
        .chunk(
            2,
            &[
                &eight(77),            // store id
                &eight(1_700_000_300), // expiry
                &four(5),              // payload's length
                &two(321),             // publisher's packet identifier
                &two(3),               // its client id's length
                &two(2),               // its user name's length
                &two(3),               // topic's length
                &two(8883),            // port
                &[2],                  // QoS
                &[1],                  // retain
                b"pub",
                b"me",
                b"t/1",
                b"hello",
                &[5, 0x09, 0, 2, 7, 8], // properties: correlation data 7 8
            ],
        )
        .chunk(6, &[&new_client(version)])
        .chunk(
            3,
            &[
                &eight(77), // store id
                &two(9),    // packet identifier
                &two(3),    // client id's length
                &[1],       // QoS
                &[3],       // state: PUBACK is awaited
                &[0x11],    // retain and dup
                &[1],       // out
                b"abc",
                &[2, 0x0b, 4], // properties: subscription identifier 4
            ],
        )
        .chunk(
            5,
            &[
                &four(4), // subscription identifier
                &two(3),  // client id's length
                &two(3),  // filter's length
                &[1],     // QoS
                &[0x2c],  // retain handling 2, retain as published, no local
                &[0, 0],  // padding
                b"abc",
                b"t/#",
            ],
        )
        .chunk(4, &[&eight(77)])
}

/// The session in it.
fn new_client(version: u32) -> Vec<u8> {
    let parts: &[&[u8]] = match version {
        5 => &[
            &eight(1_700_000_000), // the session ends
            &four(3600),           // its expiry interval
            &two(9),               // last packet identifier
            &two(3),               // client id's length
            b"abc",
        ],
        _ => &[
            &eight(1_700_000_000),
            &four(3600),
            &two(9),
            &two(3),
            &two(1883), // listener's port
            &two(4),    // user name's length
            &[0; 4],    // padding
            b"abc",
            b"anna",
        ],
    };
    parts.concat()
}

/// A file of version 2, 3 or 4 with one chunk of every kind; 32-bit time in version 3.
fn old_file(version: u32) -> File {
    let publisher: &[&[u8]] = match version {
        4 => &[&string("me"), &two(8883)],
        _ => &[],
    };
    let left: &[u8] = match version {
        4 => &eight(1_500_000_000),
        3 => &1_400_000_000_u32.to_le_bytes(),
        _ => &[],
    };
    File::new(version)
        .chunk(1, &[&[0], &[8], &eight(77)])
        .chunk(
            2,
            &[
                &eight(77),          // store id
                &string("pub"),      // publisher's client id
                &publisher.concat(), // its user name and port
                &two(321),           // its packet identifier
                &two(0),             // unused
                &string("t/1"),      // topic
                &[2],                // QoS
                &[1],                // retain
                &four(5),            // payload's length
                b"hello",
            ],
        )
        .chunk(6, &[&string("abc"), &two(9), left])
        .chunk(
            3,
            &[
                &string("abc"), // client id
                &eight(77),     // store id
                &two(9),        // packet identifier
                &[2],           // QoS
                &[0],           // retain
                &[0],           // in
                &[7],           // state: PUBREL is awaited
                &[1],           // dup
            ],
        )
        .chunk(5, &[&string("abc"), &string("t/#"), &[1]])
        .chunk(4, &[&eight(77)])
}
