//! Application Messages, each held once however many sessions wait for it.
//!
//! A body is one run of bytes: topic, forwarded properties, payload, as PUBLISH has them. Bodies
//! come from a pool. A message that the journal has may be *cold*: its body is on the disk only and
//! sixteen bytes stay in memory. Who needs it reads it back first ([`Messages::is_hot`],
//! [`Messages::warm`]). A *bundle* is several messages in one body, as the packets that are sent
//! ([`Messages::insert_bundle`]). The counters know every byte, for `$SYS` and for limits.

use super::bodies::Bodies;
use super::entry::{Entry, Slots};
use super::journal::{Place, Placed};
use crate::wire::{Plain, Properties, Publish, QoS};
use hashbrown::HashMap;
use std::collections::VecDeque;

/// A message in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(super) u32);

impl MessageId {
    /// Stands where there is no message any more.
    pub const NOWHERE: MessageId = MessageId(u32::MAX);

    /// The slot that the journal calls it by.
    pub fn slot(self) -> u32 {
        self.0
    }
}

/// The instant that never comes, for messages without an expiry.
pub const NEVER: u64 = u64::MAX;

/// The body of an Application Message: 32 bytes, besides the bytes themselves.
///
/// What most do not have, expiry and properties, is told behind the body, in its `TAIL` bytes.
///
/// Invariants: topic and properties have no more bytes than `len`; `len`, with the tail if there
/// is one, is at most `bytes.len()`.
pub struct Message {
    pub(super) bytes: Box<[u8]>,
    /// Where the journal has it.
    pub(super) place: Place,
    pub(super) len: u32,
    pub(super) topic_len: u16,
    /// Which size of memory `bytes` is.
    pub(super) class: u8,
    /// QoS (2 bits), RETAIN, and the flags below.
    flags: u8,
}

const _: () = assert!(size_of::<Message>() <= 32);

const QOS: u8 = 3;
const RETAIN: u8 = 1 << 2;
/// Somebody looked at it since it was last considered for leaving memory.
const WANTED: u8 = 1 << 3;
/// It has a tail.
const TAILED: u8 = 1 << 4;
/// It is a bundle; what is in it is told behind the body.
const BUNDLE: u8 = 1 << 5;

/// Bytes of a tail: when the message expires (8), how long its properties are (4).
const TAIL: usize = 12;

/// How many messages a bundle has, and bytes of their payloads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages; 1 for what is no bundle.
    pub messages: u32,
    /// Bytes.
    pub payload_bytes: u32,
}

/// Bytes that a bundle has behind its packets for its [`Tally`].
const TALLY: usize = 8;

/// What a tail tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rare {
    pub(super) expires_ms: u64,
    pub(super) properties_len: usize,
}

impl Rare {
    /// Neither expiry nor properties.
    pub(super) const NOTHING: Rare = Rare {
        expires_ms: NEVER,
        properties_len: 0,
    };

    /// Bytes that it takes behind the body.
    pub(super) fn tail(self) -> usize {
        if self == Rare::NOTHING { 0 } else { TAIL }
    }
}

impl Message {
    /// A message without anything, in this memory.
    pub(super) fn nothing(bytes: Box<[u8]>, class: u8) -> Message {
        Message {
            bytes,
            place: Place::START,
            len: 0,
            topic_len: 0,
            class,
            flags: 0,
        }
    }

    #[inline]
    fn rare(&self) -> Rare {
        match self.flags & TAILED {
            0 => Rare::NOTHING,
            _ => self.tail(),
        }
    }

    fn tail(&self) -> Rare {
        let tail = self.bytes.get(self.len as usize..).unwrap_or_default();
        let (expires_ms, rest) = tail.split_first_chunk().unwrap_or((&[0xff; 8], &[]));
        let (properties_len, _) = rest.split_first_chunk().unwrap_or((&[0; 4], &[]));
        Rare {
            expires_ms: u64::from_ne_bytes(*expires_ms),
            properties_len: u32::from_ne_bytes(*properties_len) as usize,
        }
    }

    /// Topic Name.
    #[inline]
    pub fn topic(&self) -> &[u8] {
        &self.bytes[..usize::from(self.topic_len)]
    }

    /// The properties that are forwarded.
    pub fn properties(&self) -> Properties<'_> {
        let start = usize::from(self.topic_len);
        Properties::from_encoded(&self.bytes[start..start + self.rare().properties_len])
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        let start = usize::from(self.topic_len) + self.rare().properties_len;
        &self.bytes[start..self.len as usize]
    }

    /// Bytes of the payload.
    #[inline]
    pub fn payload_len(&self) -> usize {
        self.len as usize - usize::from(self.topic_len) - self.rare().properties_len
    }

    /// Topic and payload in one, of a message that has neither properties nor an expiry.
    #[inline]
    pub fn text(&self) -> Option<(&[u8], u16)> {
        let text = &self.bytes[..self.len as usize];
        (self.flags & (TAILED | BUNDLE) == 0).then_some((text, self.topic_len))
    }

    /// The packets of a bundle, whole, one behind the other.
    #[inline]
    pub fn bundle(&self) -> Option<&[u8]> {
        (self.flags & BUNDLE != 0).then(|| &self.bytes[..self.len as usize])
    }

    /// How many messages this is, and how large their payloads are.
    #[inline]
    pub fn tally(&self) -> Tally {
        if self.flags & BUNDLE == 0 {
            let payload_bytes = self.payload_len() as u32;
            return Tally {
                messages: 1,
                payload_bytes,
            };
        }
        let tally = self.bytes.get(self.len as usize..).unwrap_or_default();
        let (messages, rest) = tally.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let (payload_bytes, _) = rest.split_first_chunk().unwrap_or((&[0; 4], &[]));
        Tally {
            messages: u32::from_ne_bytes(*messages),
            payload_bytes: u32::from_ne_bytes(*payload_bytes),
        }
    }

    /// The QoS it was published with.
    #[inline]
    pub fn qos(&self) -> QoS {
        QoS::from_bits(self.flags & QOS).unwrap_or_default()
    }

    /// Whether it was published with RETAIN.
    #[inline]
    pub fn retain(&self) -> bool {
        self.flags & RETAIN != 0
    }

    /// When it expires, in monotonic milliseconds; [`NEVER`] without an expiry.
    #[inline]
    pub fn expires_ms(&self) -> u64 {
        self.rare().expires_ms
    }

    /// Somebody looks at it.
    #[inline]
    pub(super) fn want(&mut self) {
        self.flags |= WANTED;
    }

    /// Whether somebody looked at it since this was asked last.
    pub(super) fn take_wanted(&mut self) -> bool {
        let was = self.flags & WANTED != 0;
        self.flags &= !WANTED;
        was
    }

    /// Sets everything but the bytes of the body, for a message that the journal does not have.
    #[inline]
    pub(super) fn describe(
        &mut self,
        (len, topic_len): (usize, usize),
        (qos, retain): (QoS, bool),
        rare: Rare,
    ) {
        self.len = len as u32;
        self.topic_len = topic_len as u16;
        self.place = Place::START;
        self.flags = qos as u8 | if retain { RETAIN } else { 0 };
        if rare != Rare::NOTHING {
            self.flags |= TAILED;
            let tail = &mut self.bytes[len..len + TAIL];
            tail[..8].copy_from_slice(&rare.expires_ms.to_ne_bytes());
            tail[8..].copy_from_slice(&(rare.properties_len as u32).to_ne_bytes());
        }
    }

    /// Bytes of topic, properties and payload together.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether topic, properties and payload are all empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The parts that a new message is put together from.
#[derive(Clone, Copy)]
pub struct Body<'a> {
    /// Put in front of the topic, for a listener's `mount_point`.
    pub topic_prefix: &'a [u8],
    /// The publication: topic, properties, payload, QoS and RETAIN are used.
    pub publish: &'a Publish<'a>,
    /// When it expires, in monotonic milliseconds; [`NEVER`] without an expiry.
    pub expires_ms: u64,
}

/// What the journal says of a message when it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The record that says who gets it.
    pub placed: Placed,
    /// Bytes of topic, properties and payload together.
    pub len: u32,
    /// The QoS it was published with.
    pub qos: QoS,
    /// Whether it was published with RETAIN.
    pub retain: bool,
    /// When it expires.
    pub expires_ms: Option<u64>,
}

/// All messages.
#[derive(Default)]
pub struct Messages {
    pub(super) slots: Slots,
    pub(super) bodies: Bodies,
    /// Bytes of all messages, cold ones too.
    pub(super) bytes: usize,
    /// Bytes of those whose body is on the disk only.
    pub(super) cold_bytes: usize,
    /// Bytes of bodies in memory that could leave it.
    pub(super) evictable: usize,
    /// Bodies that nobody needs soon; they leave as soon as they can be read back.
    pub(super) leaving: VecDeque<(MessageId, Place)>,
    /// Bodies that leave when there are too many, in the order in which they came.
    pub(super) warm: VecDeque<(MessageId, Place)>,
    /// When cold messages expire, for those that do.
    pub(super) expiries: HashMap<u32, u64, foldhash::fast::FixedState>,
    /// Where the body of a message is that has another record besides.
    pub(super) apart: HashMap<u32, Place, foldhash::fast::FixedState>,
    /// Bytes of records that live messages have in the journal.
    pub(super) recorded_bytes: u64,
}

impl Messages {
    /// Keeps a message, counted once.
    pub fn insert(&mut self, body: Body<'_>) -> MessageId {
        let (slot, len) = self.put_together(body);
        let publish = body.publish;
        let entry = Entry::new(slot, len as u32, publish.qos, publish.retain);
        self.bytes += entry.len() as usize;
        MessageId(self.slots.insert(entry))
    }

    /// Makes room for a message that is known but not at hand, counted once. Until
    /// [`Messages::fill`] brings its body, nobody may look at it.
    pub fn reserve(&mut self, len: u32, qos: QoS, retain: bool) -> MessageId {
        let entry = Entry::reserved(len, qos, retain);
        self.bytes += entry.len() as usize;
        self.cold_bytes += entry.len() as usize;
        MessageId(self.slots.insert(entry))
    }

    /// Brings the body of a message that room was made for.
    pub fn fill(&mut self, id: MessageId, body: Body<'_>) {
        let (slot, _) = self.put_together(body);
        let entry = self.slots.get_mut(id.0);
        debug_assert!(!entry.is_hot() && !entry.is_recorded());
        entry.set_hot(slot);
        self.cold_bytes -= entry.len() as usize;
    }

    /// Puts a body together: the slot it is in, and bytes of it.
    fn put_together(&mut self, body: Body<'_>) -> (u32, usize) {
        let Body {
            topic_prefix,
            publish,
            expires_ms,
        } = body;
        let topic_len = topic_prefix.len() + publish.topic.len();
        let properties_len = publish.forwarded_len();
        let len = topic_len + properties_len + publish.payload.len();
        let rare = Rare {
            expires_ms,
            properties_len,
        };
        let (slot, message) = self.bodies.take(len + rare.tail());
        let mut rest = &mut message.bytes[..len];
        let mut put = |part: &[u8]| {
            let (into, left) = std::mem::take(&mut rest).split_at_mut(part.len());
            into.copy_from_slice(part);
            rest = left;
        };
        if !topic_prefix.is_empty() {
            put(topic_prefix);
        }
        put(publish.topic);
        if properties_len > 0 {
            publish.forwarded().for_each(&mut put);
        }
        put(publish.payload);
        let flags = (publish.qos, publish.retain);
        message.describe((len, topic_len), flags, rare);
        (slot, len)
    }

    /// Keeps a plain message, counted once.
    #[inline(always)]
    pub fn insert_plain(&mut self, plain: &Plain<'_>) -> MessageId {
        let (topic, payload) = (plain.topic(), plain.payload());
        let len = topic.len() + payload.len();
        let (body, message) = self.bodies.take(len);
        if let Some(text) = plain.joined() {
            message.bytes[..len].copy_from_slice(text);
        } else {
            let (front, rest) = message.bytes.split_at_mut(topic.len());
            front.copy_from_slice(topic);
            rest[..payload.len()].copy_from_slice(payload);
        }
        message.describe((len, topic.len()), (plain.qos, false), Rare::NOTHING);
        self.bytes += len;
        let entry = Entry::new(body, len as u32, plain.qos, false);
        MessageId(self.slots.insert(entry))
    }

    /// Keeps a bundle, counted once: whole QoS 0 packets of one version, which count for `len`
    /// bytes together.
    pub fn insert_bundle(&mut self, packets: &[u8], tally: Tally, len: usize) -> MessageId {
        let (body, message) = self.bodies.take(packets.len() + TALLY);
        message.bytes[..packets.len()].copy_from_slice(packets);
        message.describe((packets.len(), 0), (QoS::AtMostOnce, false), Rare::NOTHING);
        message.flags |= BUNDLE;
        let behind = &mut message.bytes[packets.len()..packets.len() + TALLY];
        behind[..4].copy_from_slice(&tally.messages.to_ne_bytes());
        behind[4..].copy_from_slice(&tally.payload_bytes.to_ne_bytes());
        self.bytes += len;
        let entry = Entry::new(body, len as u32, QoS::AtMostOnce, false);
        MessageId(self.slots.insert(entry))
    }

    /// Keeps a copy of a message that is hot, as a message of its own, counted once.
    pub fn copy(&mut self, id: MessageId) -> MessageId {
        let original = self.get(id);
        let (topic, properties) = (original.topic().len(), original.properties().raw().len());
        let bytes = original.bytes[..original.len()].to_vec();
        let (topic, rest) = bytes.split_at(topic);
        let (properties, payload) = rest.split_at(properties);
        let (qos, retain) = (original.qos(), original.retain());
        let expires_ms = original.expires_ms();
        let publish = Publish {
            qos,
            retain,
            topic,
            properties: Properties::from_encoded(properties),
            payload,
            ..Publish::default()
        };
        self.insert(Body {
            topic_prefix: b"",
            publish: &publish,
            expires_ms,
        })
    }

    /// A message that is hot.
    #[inline]
    pub fn get(&self, id: MessageId) -> &Message {
        let entry = self.slots.get(id.0);
        debug_assert!(entry.is_hot(), "a cold message was not read back");
        self.bodies.get(entry.body())
    }

    /// A message that is going to be sent, if its body is in memory.
    #[inline]
    pub fn wanted(&mut self, id: MessageId) -> Option<&Message> {
        let entry = self.slots.get(id.0);
        if !entry.is_hot() {
            return None;
        }
        let body = self.bodies.get_mut(entry.body());
        body.want();
        Some(body)
    }

    /// Whether the body is in memory.
    #[inline]
    pub fn is_hot(&self, id: MessageId) -> bool {
        self.slots.get(id.0).is_hot()
    }

    /// Bytes of topic, properties and payload together.
    #[inline]
    pub fn len_of(&self, id: MessageId) -> usize {
        self.slots.get(id.0).len() as usize
    }

    /// The QoS it was published with.
    pub fn qos_of(&self, id: MessageId) -> QoS {
        self.slots.get(id.0).qos()
    }

    /// When it expires; [`NEVER`] without an expiry.
    pub fn expires_ms(&self, id: MessageId) -> u64 {
        let entry = self.slots.get(id.0);
        match entry.is_hot() {
            true => self.bodies.get(entry.body()).expires_ms(),
            false => self.expiries.get(&id.0).copied().unwrap_or(NEVER),
        }
    }

    /// Counts one more holder that a client caused; `false` if there are too many already.
    #[inline]
    #[must_use]
    pub fn try_retain(&mut self, id: MessageId) -> bool {
        self.slots.get_mut(id.0).try_add_reference()
    }

    /// Counts one more holder.
    #[inline]
    pub fn retain(&mut self, id: MessageId) {
        self.slots.get_mut(id.0).add_reference();
    }

    /// Counts one holder less; the last one frees the message.
    #[inline]
    pub fn release(&mut self, id: MessageId) {
        if self.slots.get_mut(id.0).remove_reference() {
            self.free(id);
        }
    }

    fn free(&mut self, id: MessageId) {
        let entry = *self.slots.get(id.0);
        if !entry.is_recorded() && entry.is_hot() {
            // Most never get to the disk.
            self.bytes -= entry.len() as usize;
            self.bodies.free(entry.body());
            return self.slots.remove(id.0);
        }
        self.free_recorded(id, entry);
    }

    fn free_recorded(&mut self, id: MessageId, entry: Entry) {
        self.bytes -= entry.len() as usize;
        self.recorded_bytes -= u64::from(entry.record_len());
        if entry.is_apart() {
            self.apart.remove(&id.0);
        }
        if entry.is_hot() {
            self.evictable -= entry.len() as usize;
            self.bodies.free(entry.body());
        } else {
            self.cold_bytes -= entry.len() as usize;
            self.expiries.remove(&id.0);
        }
        self.slots.remove(id.0);
    }

    /// How many messages are held.
    pub fn count(&self) -> usize {
        self.slots.count()
    }

    /// How many bytes of topics, properties and payloads are held, in memory or on the disk.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory they take.
    pub fn memory(&self) -> usize {
        self.slots.count() * size_of::<Entry>()
            + self.bodies.len() * size_of::<Message>()
            + (self.bytes - self.cold_bytes)
    }

    /// How many bytes of records the journal needs for messages.
    pub fn recorded_bytes(&self) -> u64 {
        self.recorded_bytes
    }
}
