//! Finding records in bytes that came back from the disk.
//!
//! Reading goes on behind damage: the next record whose magic, length and CRC fit is the next
//! record, so that damage costs the records it hit and no others. What was never written is zeros;
//! a stretch of zeros at the end is no damage.
//!
//! The last batch is another matter. If the power went while it was written, any of its sectors may
//! be missing, and a record behind a gap tells of something that came after what is lost: such a
//! batch counts up to the gap. A gap can be told from damage: what was not written is zeros up to
//! the end of a sector.

use super::place::{Place, Placed};
use super::record::Record;

/// Bytes in front of a record's body: magic (2), kind (1), length (4), CRC (4).
pub const RECORD_HEADER: usize = 11;
/// What a record begins with.
pub const MAGIC: [u8; 2] = [0xd7, 0x3a];

/// What a run of bytes turned out to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Records that were good.
    pub records: u64,
    /// Stretches between records that were not, and records that say nothing known.
    pub damaged: u64,
    /// Where the last good record ends, in bytes of the run.
    pub end: usize,
    /// Whether something that is not zero lies behind it.
    pub has_torn_tail: bool,
    /// The reading ended at a gap: nothing behind it counts.
    pub has_gap: bool,
}

/// The CRC of a record.
pub(super) fn crc(salt: u64, place: Place, kind: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut head = [0; 21];
    head[..8].copy_from_slice(&salt.to_le_bytes());
    head[8..16].copy_from_slice(&place.to_u64().to_le_bytes());
    head[16] = kind;
    head[17..].copy_from_slice(&(body.len() as u32).to_le_bytes());
    hasher.update(&head);
    hasher.update(body);
    hasher.finalize()
}

/// The record that begins with these bytes, which lie at `place`: kind and body.
pub fn check(salt: u64, place: Place, bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (header, rest) = bytes.split_at_checked(RECORD_HEADER)?;
    if header[..2] != MAGIC {
        return None;
    }
    let kind = header[2];
    let len = u32::from_le_bytes(header[3..7].try_into().ok()?);
    let expected = u32::from_le_bytes(header[7..].try_into().ok()?);
    let body = rest.get(..len as usize)?;
    (crc(salt, place, kind, body) == expected).then_some((kind, body))
}

/// Whether a part of the bytes ends a sector with zeros.
fn has_gap(bytes: &[u8], from: usize, to: usize) -> bool {
    const SECTOR: usize = 512;
    let header = super::segment::HEADER_LEN as usize;
    let first = (from + header) / SECTOR + 1;
    let ends = (first..).map(|sector| sector * SECTOR - header);
    ends.take_while(|&end| end <= to).any(|end| {
        bytes[end - GAP_MIN.min(end)..end]
            .iter()
            .all(|&byte| byte == 0)
    })
}

/// Zeros at the end of a sector that make a gap.
const GAP_MIN: usize = 16;

/// How far it is to the next byte that a record may begin with, when none begins with the first.
pub fn next_candidate(bytes: &[u8]) -> usize {
    let rest = bytes.get(1..).unwrap_or_default();
    memchr::memchr(MAGIC[0], rest).map_or(bytes.len(), |next| next + 1)
}

/// Goes through the records of a run of bytes that lies at `start`; `each` gets every good one.
///
/// A record that is good but says nothing that this program knows counts as damaged. Behind `last`,
/// where the last batch begins, a gap ends the reading; the first of the bytes is
/// [`HEADER_LEN`](super::segment::HEADER_LEN) bytes into its file.
pub fn scan<'a>(
    salt: u64,
    start: Place,
    bytes: &'a [u8],
    last: Option<Place>,
    mut each: impl FnMut(Placed, Record<'a>),
) -> Scanned {
    let mut scanned = Scanned::default();
    let mut at = 0;
    while at < bytes.len() {
        let place = start.after(at as u32);
        let Some((kind, body)) = check(salt, place, &bytes[at..]) else {
            at += next_candidate(&bytes[at..]);
            continue;
        };
        if at > scanned.end {
            let is_last = last.is_some_and(|last| start.after(scanned.end as u32) >= last);
            if is_last && has_gap(bytes, scanned.end, at) {
                scanned.has_gap = true;
                break;
            }
            scanned.damaged += 1;
        }
        let len = RECORD_HEADER + body.len();
        match Record::decode(kind, body) {
            Some(record) => {
                scanned.records += 1;
                let len = len as u32;
                each(Placed { place, len }, record);
            }
            None => scanned.damaged += 1,
        }
        at += len;
        scanned.end = at;
    }
    scanned.has_torn_tail = bytes[scanned.end..].iter().any(|&byte| byte != 0);
    scanned
}
