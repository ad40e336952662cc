//! The header of a segment file.
//!
//! It stands there twice, each copy with a CRC of its own, since the salt in it is needed to
//! believe any record behind it.

use super::scan::crc32;

/// Bytes of both copies: records begin here.
pub const HEADER_LEN: u32 = 128;
const COPY_LEN: usize = 64;
const MAGIC: [u8; 8] = *b"MidgeLog";
/// The version of the format that is written here, and the highest that can be read.
pub const VERSION: u16 = 1;

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the segment.
    pub segment: u32,
    /// Where in the segment this file begins: 0, or where a file that failed was given up.
    pub start: u32,
    /// Bytes of the whole segment.
    pub capacity: u32,
    /// A random number that all segments of a log share; part of every record's CRC.
    pub salt: u64,
}

/// What the first bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A header that can be believed; whether one of its copies is damaged.
    Header(Header, bool),
    /// The header of a format that is newer than this program.
    Newer(u16),
    /// Neither copy can be believed.
    Damaged,
}

/// The secret that most headers have.
pub fn common_salt(mut salts: Vec<u64>) -> Option<u64> {
    salts.sort_unstable();
    let of_a_kind = salts.chunk_by(|a, b| a == b);
    of_a_kind
        .max_by_key(|salts| salts.len())
        .map(|salts| salts[0])
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN as usize] {
        let mut copy = [0; COPY_LEN];
        copy[..8].copy_from_slice(&MAGIC);
        copy[8..10].copy_from_slice(&VERSION.to_le_bytes());
        copy[12..16].copy_from_slice(&self.segment.to_le_bytes());
        copy[16..20].copy_from_slice(&self.start.to_le_bytes());
        copy[20..24].copy_from_slice(&self.capacity.to_le_bytes());
        copy[24..32].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32([&copy[..COPY_LEN - 4], &[]]);
        copy[COPY_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        let mut both = [0; HEADER_LEN as usize];
        both[..COPY_LEN].copy_from_slice(&copy);
        both[COPY_LEN..].copy_from_slice(&copy);
        both
    }

    /// Looks at the first bytes of a file.
    pub fn find(bytes: &[u8]) -> Found {
        let copies = [bytes.get(..COPY_LEN), bytes.get(COPY_LEN..2 * COPY_LEN)];
        let [first, second] = copies.map(|copy| copy.and_then(read_copy));
        match (first, second) {
            (Some(Err(version)), _) | (_, Some(Err(version))) => Found::Newer(version),
            (Some(Ok(header)), Some(Ok(_))) => Found::Header(header, false),
            (Some(Ok(header)), None) | (None, Some(Ok(header))) => Found::Header(header, true),
            (None, None) => Found::Damaged,
        }
    }
}

/// One copy, if it can be believed; the error is the version of a newer format.
fn read_copy(copy: &[u8]) -> Option<Result<Header, u16>> {
    let number = |at: usize| {
        copy.get(at..at + 4)?
            .try_into()
            .ok()
            .map(u32::from_le_bytes)
    };
    let crc = number(COPY_LEN - 4)?;
    if copy[..8] != MAGIC || crc32([&copy[..COPY_LEN - 4], &[]]) != crc {
        return None;
    }
    let version = u16::from_le_bytes([copy[8], copy[9]]);
    if version > VERSION {
        return Some(Err(version));
    }
    let salt = copy.get(24..32)?.try_into().ok()?;
    Some(Ok(Header {
        segment: number(12)?,
        start: number(16)?,
        capacity: number(20)?,
        salt: u64::from_le_bytes(salt),
    }))
}
