//! Finding records in bytes that came back from the disk.
//!
//! Reading goes on behind damage: the next record whose header and CRC fit is the next record, so
//! that damage costs the records it hit and no others. The header has a check of its own, keyed
//! with the log's salt: whoever chose the bytes of a payload cannot make them look like headers, so
//! the way through damage is a look at each byte and not a CRC of all that follows it. What was
//! never written is zeros; a stretch of zeros at the end is no damage.
//!
//! The last batch is another matter. If the power went while it was written, any of its sectors may
//! be missing, and a record behind a gap tells of something that came after what is lost: such a
//! batch counts up to the gap. A gap can be told from damage: what was not written is zeros up to
//! the end of a sector.

use super::place::{Place, Placed};
use super::record::Record;

/// Bytes in front of a record's body: kind (1), length (4), check of these (3), CRC of all (4).
pub const RECORD_HEADER: usize = 12;

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

/// The check of a record's kind and length, of which a header has the lowest three bytes.
fn check_header(salt: u64, place: Place, kind: u8, len: u32) -> [u8; 3] {
    let mixed = mix(mix(salt ^ place.to_u64()) ^ (u64::from(kind) << 32 | u64::from(len)));
    [mixed as u8, (mixed >> 8) as u8, (mixed >> 16) as u8]
}

/// Spreads every bit over all others.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits ^ (bits >> 32)
}

/// The CRC-32 of two pieces, one behind the other. Everybody asks here: with one place that does
/// it, the compiler leaves out the tables for processors that the build is not for.
pub(crate) fn crc32(pieces: [&[u8]; 2]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize()
}

/// The CRC of a record.
fn crc(salt: u64, place: Place, kind: u8, body: &[u8]) -> [u8; 4] {
    let mut head = [0; 21];
    head[..8].copy_from_slice(&salt.to_le_bytes());
    head[8..16].copy_from_slice(&place.to_u64().to_le_bytes());
    head[16] = kind;
    head[17..].copy_from_slice(&(body.len() as u32).to_le_bytes());
    crc32([&head, body]).to_le_bytes()
}

/// Writes the header in front of the body of a record, which begins at `place`.
pub(super) fn put_header(salt: u64, place: Place, kind: u8, header: &mut [u8], body: &[u8]) {
    let len = body.len() as u32;
    header[0] = kind;
    header[1..5].copy_from_slice(&len.to_le_bytes());
    header[5..8].copy_from_slice(&check_header(salt, place, kind, len));
    header[8..RECORD_HEADER].copy_from_slice(&crc(salt, place, kind, body));
}

/// The kind and the length of the body that a record's header tells, if it is one.
pub fn read_header(salt: u64, place: Place, bytes: &[u8]) -> Option<(u8, u32)> {
    let header = bytes.get(..RECORD_HEADER)?;
    let kind = header[0];
    let len = u32::from_le_bytes(header[1..5].try_into().ok()?);
    // Kinds count from 1: most of what is no record is zeros.
    (kind != 0 && header[5..8] == check_header(salt, place, kind, len)).then_some((kind, len))
}

/// The record that begins with these bytes, which lie at `place`: kind and body.
pub fn check(salt: u64, place: Place, bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (kind, len) = read_header(salt, place, bytes)?;
    let (header, rest) = bytes.split_at(RECORD_HEADER);
    let body = rest.get(..len as usize)?;
    (header[8..] == crc(salt, place, kind, body)).then_some((kind, body))
}

/// How far it is to the next byte that a record may begin with, when none begins with the first:
/// the next header, or where too few bytes are left to tell.
pub fn next_candidate(salt: u64, place: Place, bytes: &[u8]) -> usize {
    (1..bytes.len())
        .find(|&at| {
            let rest = &bytes[at..];
            rest.len() < RECORD_HEADER || read_header(salt, place.after(at as u32), rest).is_some()
        })
        .unwrap_or(bytes.len())
}

impl Scanned {
    /// What a run and the one right behind it hold together, where the gap between them counts as
    /// damage.
    #[must_use]
    pub fn and_then(self, rest: Scanned) -> Scanned {
        Scanned {
            records: self.records + rest.records,
            damaged: self.damaged + rest.damaged,
            end: self.end + rest.end,
            ..rest
        }
    }
}

/// Whether a part of the bytes ends a sector with zeros.
fn has_gap(bytes: &[u8], from: usize, to: usize) -> bool {
    const SECTOR: usize = 512;
    let header = super::segment::HEADER_LEN as usize;
    let first = (from + header) / SECTOR + 1;
    let ends = (first..).map(|sector| sector * SECTOR - header);
    ends.take_while(|&end| end <= to).any(|end| {
        bytes[from.max(end.saturating_sub(GAP_MIN))..end]
            .iter()
            .all(|&byte| byte == 0)
    })
}

/// Zeros at the end of a sector that make a gap.
const GAP_MIN: usize = 16;

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
            at += next_candidate(salt, place, &bytes[at..]);
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
