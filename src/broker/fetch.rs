//! Bodies that are on the disk only and are needed now.
//!
//! Who needs a cold message asks for it and is looked at again when it is there. A read brings
//! what lies behind the message, too: the next ones of the same queue, as a rule. Bounds: one read
//! for each connection, which wakes nobody else; a read warms no more than [`READ_BYTES`] besides
//! the message asked for.

use super::connection::PutOff;
use super::journal::Journal;
use super::{Broker, ConnId, Now};
use crate::store::MessageId;
use crate::store::journal::scan::{RECORD_HEADER, check, read_header};
use crate::store::journal::{Place, Read, Record, Writer};
use crate::wire::{Ack, Properties, ReasonCode};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// What one read asks for at least.
const READ_BYTES: u32 = 64 * 1024;
/// How often lost messages are worth a log line.
const QUIET_MS: u64 = 60_000;

/// Reads that are wanted or under way.
#[derive(Default)]
pub(super) struct Fetches {
    wanted: VecDeque<Read>,
    under_way: HashMap<Place, Fetch, FixedState>,
    /// Until then nothing is told of lost messages: there may be very many.
    quiet_until_ms: u64,
}

/// A read under way: the message whose body begins there, and who waits for it.
struct Fetch {
    message: MessageId,
    waiting: Vec<ConnId>,
}

impl Fetches {
    pub(super) fn ask(&mut self, read: Read) {
        self.wanted.push_back(read);
    }
}

impl Broker {
    /// Bytes of the journal that are to be read; answer by [`Broker::fetched`].
    ///
    /// What cleaning moved may be asked for before it is written at its new place: that waits.
    pub fn poll_fetch(&mut self) -> Option<Read> {
        let written = self.journal.report.written;
        let wanted = &mut self.journal.fetches.wanted;
        let ready = wanted.iter().position(|read| read.place < written)?;
        wanted.remove(ready)
    }

    /// Asks for the body of a cold message on behalf of a connection.
    pub(super) fn fetch(&mut self, message: MessageId, id: ConnId) {
        let Some((place, len)) = self.messages.body_place(message) else {
            return;
        };
        let Some(conn) = self.conn(id) else { return };
        if std::mem::replace(&mut conn.is_fetching, true) {
            // It asks again when it has what it waits for.
            return;
        }
        let fetches = &mut self.journal.fetches;
        if let Some(fetch) = fetches.under_way.get_mut(&place) {
            return fetch.waiting.push(id);
        }
        let waiting = vec![id];
        let fetch = Fetch { message, waiting };
        fetches.under_way.insert(place, fetch);
        let len = READ_BYTES.max(len + RECORD_HEADER as u32);
        fetches.ask(Read { place, len });
    }

    /// What was read; `None` if it could not be.
    pub fn fetched(&mut self, read: Read, bytes: Option<&[u8]>, now: Now) {
        self.now = now;
        if self.clean_with(read, bytes) {
            return;
        }
        if !(self.journal.fetches.under_way).contains_key(&read.place) {
            return;
        }
        let longer = bytes.and_then(|bytes| self.journal.longer_read(read, bytes));
        let fetches = &mut self.journal.fetches;
        if let Some(longer) = longer {
            return fetches.ask(longer);
        }
        let Some(Fetch { message, waiting }) = fetches.under_way.remove(&read.place) else {
            return;
        };
        self.warm_from(read.place, bytes.unwrap_or_default());
        let is_there = self.messages.is_at(message, read.place);
        if is_there && !self.messages.is_hot(message) {
            self.lose(message);
        }
        for id in waiting {
            self.wake_fetcher(id);
        }
    }

    /// Puts the bodies of the messages back that these bytes have.
    fn warm_from(&mut self, mut place: Place, mut bytes: &[u8]) {
        let Some(salt) = self.journal.writer.as_ref().map(Writer::salt) else {
            return;
        };
        let most = self.messages.evictable_bytes() + READ_BYTES as usize;
        while let Some((kind, body)) = check(salt, place, bytes) {
            if let Some(Record::Message(known)) = Record::decode(kind, body) {
                let found = (self.messages.at(known.slot, place))
                    .or_else(|| self.messages.body_at(known.slot, place));
                if let Some(id) = found {
                    self.messages
                        .warm(id, known.topic, known.properties, known.payload);
                }
            }
            if self.messages.evictable_bytes() > most {
                return;
            }
            let len = RECORD_HEADER + body.len();
            (place, bytes) = (place.after(len as u32), &bytes[len..]);
        }
    }

    /// The disk does not have the message any more: better none than a damaged one.
    fn lose(&mut self, message: MessageId) {
        self.journal.damaged += 1;
        if self.now.mono_ms >= self.journal.fetches.quiet_until_ms {
            self.journal.fetches.quiet_until_ms = self.now.mono_ms + QUIET_MS;
            log::error!(
                "Error: a stored message could not be read back and is lost. The next minute's are \
                 only counted ($SYS/broker/persistence/records/damaged)."
            );
        }
        self.messages.lose(message);
    }

    fn wake_fetcher(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        conn.is_fetching = false;
        let put_off = std::mem::take(&mut conn.put_off);
        if let (Some(session), true) = (conn.session(), put_off != PutOff::Nothing) {
            conn.is_paused = false;
            if let PutOff::Release(packet_id) = put_off {
                self.journal.promise = Place::START;
                let ack = Ack {
                    packet_id,
                    reason: ReasonCode::SUCCESS,
                    properties: Properties::default(),
                };
                self.pubrel(id, session, ack);
            }
            if self.takes_input(id) {
                self.outputs.resume.push_back(id);
            }
        }
        self.mark_writable(id);
    }
}

impl Journal {
    /// What to read when a record turns out to be longer than what was read of it.
    pub(super) fn longer_read(&self, read: Read, bytes: &[u8]) -> Option<Read> {
        let salt = self.writer.as_ref()?.salt();
        let (_, len) = read_header(salt, read.place, bytes)?;
        let whole = len.checked_add(RECORD_HEADER as u32)?;
        let is_whole = whole as usize <= bytes.len() || whole <= read.len || whole > LONGEST;
        (!is_whole).then_some(Read { len: whole, ..read })
    }
}

/// No record is longer: a packet has at most 256 MiB.
const LONGEST: u32 = 300 * 1024 * 1024;
