//! Going through the records of one segment, and through what is damaged between them.
//!
//! The same records are found as by [`mod@scan`](mod@crate::store::journal::scan), which the broker
//! uses at its start; here the places that are damaged count as well.

use crate::store::journal::scan::{RECORD_HEADER, check, next_candidate};
use crate::store::journal::{Place, Placed, Record};

/// What is found at a place.
pub(super) enum Item<'a> {
    /// A good record.
    Record(Record<'a>),
    /// A good record that says nothing that this program knows; its kind.
    Unknown(u8),
    /// Bytes that are no record.
    Damage,
    /// Bytes behind the last record of the log that were not written to their end.
    Torn,
}

/// What a segment turned out to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Records that are good.
    pub(super) records: u64,
    /// Their bytes, with headers.
    pub(super) record_bytes: u64,
    /// Damaged stretches; records that say nothing known count, too.
    pub(super) damaged: u64,
    /// Their bytes.
    pub(super) damaged_bytes: u64,
    /// Bytes of a torn tail.
    pub(super) torn_bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Tally) {
        self.records += other.records;
        self.record_bytes += other.record_bytes;
        self.damaged += other.damaged;
        self.damaged_bytes += other.damaged_bytes;
        self.torn_bytes += other.torn_bytes;
    }

    fn count(&mut self, len: u64, item: &Item<'_>) {
        match item {
            Item::Record(_) => {
                self.records += 1;
                self.record_bytes += len;
            }
            Item::Unknown(_) | Item::Damage => {
                self.damaged += 1;
                self.damaged_bytes += len;
            }
            Item::Torn => self.torn_bytes += len,
        }
    }
}

/// Goes through the bytes that lie at `begin`; `each` gets what is found, in order.
///
/// `is_newest`: nothing of the log is behind these bytes, so an end that is no record is a torn
/// tail. `each` may end the walk with an error.
pub(super) fn walk<'a, E>(
    salt: u64,
    begin: Place,
    bytes: &'a [u8],
    is_newest: bool,
    mut each: impl FnMut(Placed, Item<'a>) -> Result<(), E>,
) -> Result<Tally, E> {
    let mut tally = Tally::default();
    let mut tell = |at: usize, len: usize, item: Item<'a>| {
        let place = begin.after(at as u32);
        let len = len as u32;
        tally.count(len.into(), &item);
        each(Placed { place, len }, item)
    };
    let (mut at, mut end) = (0, 0);
    while at < bytes.len() {
        let place = begin.after(at as u32);
        let Some((kind, body)) = check(salt, place, &bytes[at..]) else {
            at += next_candidate(salt, place, &bytes[at..]);
            continue;
        };
        if at > end {
            tell(end, at - end, Item::Damage)?;
        }
        let len = RECORD_HEADER + body.len();
        let known = Record::decode(kind, body);
        tell(at, len, known.map_or(Item::Unknown(kind), Item::Record))?;
        at += len;
        end = at;
    }
    // What was never written is zeros.
    if let Some(last) = bytes[end..].iter().rposition(|&byte| byte != 0) {
        let item = match is_newest {
            true => Item::Torn,
            false => Item::Damage,
        };
        tell(end, last + 1, item)?;
    }
    Ok(tally)
}
