//! Application Messages, each held once however many sessions wait for it.
//!
//! A body is one run of bytes: topic, forwarded properties, payload, as PUBLISH has them. Bodies
//! of up to 64 KiB come from free lists by size; a free list keeps at most 256 KiB. The counters
//! know every byte, for `$SYS` and for limits.

use crate::wire::{Properties, Publish, QoS};
use slab::Slab;

/// A message in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u32);

/// The instant that never comes, for messages without an expiry.
pub const NEVER: u64 = u64::MAX;

/// An Application Message.
///
/// Invariant: `topic_len + properties_len <= len <= bytes.len()`.
pub struct Message {
    bytes: Box<[u8]>,
    len: u32,
    properties_len: u32,
    topic_len: u16,
    /// The QoS it was published with.
    pub qos: QoS,
    /// Whether it was published with RETAIN.
    pub retain: bool,
    references: u32,
    /// When it expires, in monotonic milliseconds; [`NEVER`] without an expiry.
    pub expires_ms: u64,
}

impl Message {
    /// Topic Name.
    pub fn topic(&self) -> &[u8] {
        &self.bytes[..usize::from(self.topic_len)]
    }

    /// The properties that are forwarded.
    pub fn properties(&self) -> Properties<'_> {
        let start = usize::from(self.topic_len);
        Properties::from_encoded(&self.bytes[start..start + self.properties_len as usize])
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        let start = usize::from(self.topic_len) + self.properties_len as usize;
        &self.bytes[start..self.len as usize]
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

/// All messages.
#[derive(Default)]
pub struct Messages {
    slab: Slab<Message>,
    pool: Pool,
    bytes: usize,
}

impl Messages {
    /// Keeps a message, counted once.
    pub fn insert(&mut self, body: Body<'_>) -> MessageId {
        let Body {
            topic_prefix,
            publish,
            expires_ms,
        } = body;
        let topic_len = topic_prefix.len() + publish.topic.len();
        let properties_len: usize = publish.forwarded().map(<[u8]>::len).sum();
        let len = topic_len + properties_len + publish.payload.len();
        let mut bytes = self.pool.take(len);
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(topic_prefix);
        put(publish.topic);
        publish.forwarded().for_each(&mut put);
        put(publish.payload);
        self.bytes += len;
        let key = self.slab.insert(Message {
            bytes,
            len: len as u32,
            properties_len: properties_len as u32,
            topic_len: topic_len as u16,
            qos: publish.qos,
            retain: publish.retain,
            references: 1,
            expires_ms,
        });
        MessageId(key as u32)
    }

    /// A message that is held.
    #[inline]
    pub fn get(&self, id: MessageId) -> &Message {
        &self.slab[id.0 as usize]
    }

    /// Counts one more holder.
    #[inline]
    pub fn retain(&mut self, id: MessageId) {
        self.slab[id.0 as usize].references += 1;
    }

    /// Counts one holder less; the last one frees the message.
    #[inline]
    pub fn release(&mut self, id: MessageId) {
        let message = &mut self.slab[id.0 as usize];
        message.references -= 1;
        if message.references == 0 {
            let message = self.slab.remove(id.0 as usize);
            self.bytes -= message.len();
            self.pool.give_back(message.bytes);
        }
    }

    /// How many messages are held.
    pub fn count(&self) -> usize {
        self.slab.len()
    }

    /// How many bytes of topics, properties and payloads are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Free bodies by size.
#[derive(Default)]
struct Pool {
    classes: [Vec<Box<[u8]>>; CLASSES],
}

/// 32-byte steps up to 256, then two sizes for each power of two up to 64 KiB.
const CLASSES: usize = 8 + 16;
const POOLED_MAX: usize = 64 * 1024;
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// The size class that holds `len` bytes (1 to [`POOLED_MAX`]), and its size.
fn class_of(len: usize) -> (usize, usize) {
    if len <= 256 {
        let class = len.max(1).div_ceil(32) - 1;
        return (class, (class + 1) * 32);
    }
    let power = usize::BITS - (len - 1).leading_zeros(); // 2^(power-1) < len <= 2^power, power >= 9
    let size = 1 << power;
    let class = 8 + (power as usize - 9) * 2;
    match len <= size / 4 * 3 {
        true => (class, size / 4 * 3),
        false => (class + 1, size),
    }
}

impl Pool {
    fn take(&mut self, len: usize) -> Box<[u8]> {
        if len > POOLED_MAX {
            return vec![0; len].into_boxed_slice();
        }
        let (class, size) = class_of(len);
        self.classes[class]
            .pop()
            .unwrap_or_else(|| vec![0; size].into_boxed_slice())
    }

    fn give_back(&mut self, bytes: Box<[u8]>) {
        if bytes.len() > POOLED_MAX {
            return;
        }
        let (class, size) = class_of(bytes.len());
        let class = &mut self.classes[class];
        if (class.len() + 1) * size <= KEPT_BYTES_MAX {
            class.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_a_class_that_holds_it_and_wastes_little() {
        let mut sizes = std::collections::BTreeMap::new();
        for len in 0..=POOLED_MAX {
            let (class, size) = class_of(len);
            assert!(
                class < CLASSES && len <= size,
                "{len}: class {class} of {size}"
            );
            assert!(
                size <= len + len / 2 + 32,
                "{len} wastes too much in {size}"
            );
            assert_eq!(*sizes.entry(class).or_insert(size), size);
            assert_eq!(
                class_of(size),
                (class, size),
                "a body goes back where it came from"
            );
        }
        assert_eq!(sizes.len(), CLASSES);
    }
}
