//! Mosquitto's persistence file, `mosquitto.db`, read once when Midge takes a broker's place.
//!
//! [`Scan`] goes through the file, chunk by chunk, and needs no more of it at hand than one chunk
//! at a time; nothing is copied, every name and payload borrows from what is at hand. [`read`]
//! takes the whole file and gives back what it holds. What it means for sessions, topics and queues
//! is the importer's business.
//!
//! # The file
//!
//! 15 bytes of magic, 4 unused ones, the format's version in 4 bytes, then chunks: kind, length,
//! body. Numbers are big-endian, but store ids and times stand in the byte order of the machine
//! that wrote them; a time is therefore read in the order that gives the smaller number, which is
//! right for every second before the year 2106. Structures of C are padded as that machine does it.
//!
//! | version | brokers | known from |
//! |---|---|---|
//! | 6 | 2.0, 2.1 | files of 2.0.11 (amd64, i386, s390x) and 2.0.21: `tests/data/mosquitto-db` |
//! | 5 | 1.6 | knowledge: as 6, but a client has neither user name nor port |
//! | 4 | 1.5 | knowledge: a message has its publisher's user name and port |
//! | 3 | 1.2 to 1.4 | knowledge: a client has the time at which it left |
//! | 2 | 1.0, 1.1 | knowledge |
//!
//! # Strictness
//!
//! The format has no checksum. What can be checked is:
//!
//! - Lengths: every one is held against the bytes there are. The first that does not fit ends the
//!   reading, since nothing behind it can be trusted: [`Database::damage`] says where and what was
//!   expected, and all that was read before stands.
//! - Values: a QoS of 3, a state or direction that does not exist, properties that PUBLISH may not
//!   carry. Such a chunk is left out alone and counted in [`Database::refused`].
//! - Chunks of a kind that is not known are skipped by their length and counted.
//!
//! Client ids, user names, topics and filters come out as bytes, unchecked, and may be empty; ids
//! of messages may lead nowhere or stand there twice. The importer checks that.
//!
//! Bounds: one pass; an entry of at most 128 bytes for every chunk of at least 11.

mod chunk;
mod new;
mod old;
mod scan;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::wire::{Properties, QoS, SubscriptionOptions};
pub use chunk::Entry;
pub use scan::{Scan, Step};

/// The first bytes of every such file.
pub const MAGIC: &[u8; 15] = b"\x00\xb5\x00mosquitto db";

/// Bytes in front of the first chunk: magic, four unused, version.
pub const HEADER: usize = 23;

/// Reads a whole file.
///
/// Fails only if it is no such file, or one of a version not known; a file that is damaged further
/// on gives everything up to there, see [`Database::damage`].
pub fn read(file: &[u8]) -> Result<Database<'_>, Unreadable> {
    let mut scan = Scan::new(file, file.len())?;
    let mut db = Database {
        version: scan.version,
        ..Database::default()
    };
    while let Step::Entry(entry) = scan.next(&file[scan.at()..]) {
        db.add(entry);
    }
    (db.refused, db.first_refused) = (scan.refused, scan.first_refused);
    db.damage = scan.damage;
    Ok(db)
}

/// What a file holds, each list in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Database<'a> {
    /// The version of the format, 2 to 6.
    pub version: u32,
    /// Whether the broker wrote it when it stopped; otherwise it is a copy saved on the way, and
    /// may be older than what the broker promised last.
    pub at_stop: bool,
    /// Sessions that outlive their connection, and those of clients that were connected.
    pub clients: Vec<Client<'a>>,
    /// Messages that somebody still needs, a queue or the retained ones; in no order.
    pub messages: Vec<Message<'a>>,
    /// Which client is to get, or has begun to send, which message. Of one client and direction
    /// they stand in the order of their arrival; 2.0 skips some when it sends, so that one which is
    /// queued may come before one which is under way.
    pub client_messages: Vec<ClientMessage<'a>>,
    /// The store ids of the messages that are retained.
    pub retained: Vec<u64>,
    /// Subscriptions of the sessions above. Mosquitto 2.0 leaves out the shared ones.
    pub subscriptions: Vec<Subscription<'a>>,
    /// Chunks of a kind that is not known.
    pub unknown: usize,
    /// Chunks that were left out because a value in them cannot be.
    pub refused: usize,
    /// The first of these.
    pub first_refused: Option<Refused>,
    /// Where the reading ended, if not at the end of the file.
    pub damage: Option<Damage>,
}

impl<'a> Database<'a> {
    /// Everything in it, clients and messages first.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + '_ {
        let clients = self.clients.iter().copied().map(Entry::Client);
        let messages = self.messages.iter().copied().map(Entry::Message);
        let subscriptions = self.subscriptions.iter().copied().map(Entry::Subscription);
        let queued = self
            .client_messages
            .iter()
            .copied()
            .map(Entry::ClientMessage);
        let retained = self.retained.iter().copied().map(Entry::Retained);
        (clients.chain(messages)).chain(subscriptions.chain(queued).chain(retained))
    }

    fn add(&mut self, entry: Entry<'a>) {
        match entry {
            Entry::Config(at_stop) => self.at_stop = at_stop,
            Entry::Message(message) => self.messages.push(message),
            Entry::ClientMessage(message) => self.client_messages.push(message),
            Entry::Retained(store_id) => self.retained.push(store_id),
            Entry::Subscription(subscription) => self.subscriptions.push(subscription),
            Entry::Client(client) => self.clients.push(client),
            Entry::Unknown => self.unknown += 1,
        }
    }
}

/// A session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its client id.
    pub id: &'a [u8],
    /// The user name it last connected with, for the log at most: Mosquitto 2.0.11 writes the name
    /// of another client for one that has none. From version 6.
    pub username: Option<&'a [u8]>,
    /// The port of the listener it is connected to, no more reliable than the name. From version
    /// 6.
    pub listener_port: Option<u16>,
    /// Session Expiry Interval in seconds; `u32::MAX` is never, and what clients before 5.0 have
    /// who asked to keep their session. 0 is a session that ended with the connection which was
    /// open when the file was written.
    pub session_expiry_interval_s: u32,
    /// The wall clock's second in which the session ends: Mosquitto has added the interval, or
    /// `persistent_client_expiration` where that is never. None without an end. From version 5.
    pub expires_at_s: Option<u64>,
    /// The wall clock's second in which the client left, or the file was written. Versions 3 and 4.
    pub left_at_s: Option<u64>,
    /// The packet identifier that the broker gave last; 0 if none.
    pub last_packet_id: u16,
}

/// A message, stored once for all who need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Message<'a> {
    /// What client messages and retained entries call it: good for equality only.
    pub store_id: u64,
    /// Topic Name.
    pub topic: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
    /// The QoS it was published with.
    pub qos: QoS,
    /// Whether it was published to be retained.
    pub retain: bool,
    /// The wall clock's second in which it expires. From version 5.
    pub expires_at_s: Option<u64>,
    /// The publisher's client id; empty if it came from the broker itself.
    pub source_id: &'a [u8],
    /// The publisher's user name. From version 4.
    pub source_username: Option<&'a [u8]>,
    /// The port of the listener that the publisher was connected to. From version 4.
    pub source_port: Option<u16>,
    /// The packet identifier that the publisher gave it; 0 at QoS 0.
    pub source_packet_id: u16,
    /// Properties, each one allowed in PUBLISH and well formed. Mosquitto keeps those that are
    /// forwarded. From version 5.
    pub properties: Properties<'a>,
}

/// A message on its way to a client, or from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientMessage<'a> {
    /// Whose queue it is in.
    pub client_id: &'a [u8],
    /// Which message it is.
    pub store_id: u64,
    /// Its packet identifier, also given to what is queued; 0 at QoS 0.
    pub packet_id: u16,
    /// The QoS it is delivered with.
    pub qos: QoS,
    /// The RETAIN flag it is delivered with.
    pub retain: bool,
    /// Whether it was sent before.
    pub dup: bool,
    /// Towards the client or from it.
    pub direction: Direction,
    /// How far it got.
    pub stage: Stage,
    /// The Subscription Identifier to deliver it with. From version 5.
    pub subscription_id: Option<u32>,
}

/// Which way a message goes, seen from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client: a QoS 2 message whose handshake is not complete.
    In,
    /// To the client.
    Out,
}

/// How far a message got: what the broker waits for, or has to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Out: PUBLISH is to be sent.
    SendPublish,
    /// Out, QoS 1: PUBLISH was sent.
    AwaitPubAck,
    /// Out, QoS 2: PUBLISH was sent.
    AwaitPubRec,
    /// Out, QoS 2: PUBREC has come, PUBREL is to be sent again.
    SendPubRel,
    /// Out, QoS 2: PUBREL was sent.
    AwaitPubComp,
    /// In, QoS 2: PUBREC is to be sent.
    SendPubRec,
    /// In, QoS 2: PUBREC was sent; the message is not passed on before PUBREL.
    AwaitPubRel,
    /// In, QoS 2: PUBREL has come, PUBCOMP is to be sent again.
    SendPubComp,
    /// Out: waits for its turn. In: came when too many were under way, nothing was answered.
    Queued,
}

/// A subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Whose it is.
    pub client_id: &'a [u8],
    /// Topic Filter, with `$share/NAME/` in front if it is shared.
    pub filter: &'a [u8],
    /// QoS and, from version 5, the other options.
    pub options: SubscriptionOptions,
    /// Subscription Identifier. From version 5.
    pub id: Option<u32>,
}

/// Why a file cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Shorter than a header.
    NoHeader {
        /// How long the file is.
        len: usize,
    },
    /// Begins with something else.
    Foreign,
    /// A version that is not known.
    Version(u32),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::NoHeader { len } => {
                write!(
                    f,
                    "byte 0: a header of {HEADER} bytes expected, {len} there"
                )
            }
            Unreadable::Foreign => f.write_str("byte 0: not a database of Mosquitto's"),
            Unreadable::Version(version) => {
                write!(f, "byte 19: version 2 to 6 expected, {version} there")
            }
        }
    }
}

impl std::error::Error for Unreadable {}

/// Where reading ended before the end of the file, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where the chunk begins that does not fit: nothing from this byte on was read.
    pub chunk_at: usize,
    /// What does not fit in it.
    pub misfit: Misfit,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Misfit {
            at,
            what,
            expected,
            there,
        } = self.misfit;
        write!(f, "byte {at}: {what}")?;
        if expected != 0 {
            write!(f, " of {expected} bytes")?;
        }
        write!(f, " expected, {there} there")
    }
}

impl std::error::Error for Damage {}

/// A length that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The byte of the file at which it shows.
    pub at: usize,
    /// What was expected there.
    pub what: &'static str,
    /// How many bytes it should have.
    pub expected: usize,
    /// How many bytes there are.
    pub there: usize,
}

/// A chunk that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where the chunk begins.
    pub chunk_at: usize,
    /// What is wrong in it.
    pub what: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.chunk_at, self.what)
    }
}
