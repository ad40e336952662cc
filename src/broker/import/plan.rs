//! What is known of a file's messages before their bodies are taken over.
//!
//! Bounds: 32 bytes for each message of the file, 32 for each that a client is to get.

use crate::store::MessageId;
use crate::store::journal::record::Recipient;
use crate::wire::QoS;

/// What is known of a message whose body is in the file.
pub(super) struct Known {
    pub(super) store_id: u64,
    /// Which of the file's messages it is.
    pub(super) number: u32,
    /// Bytes of its topic, properties and payload.
    pub(super) len: u32,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) has_payload: bool,
    pub(super) is_of_broker: bool,
    /// Nobody may be given it: its topic cannot be, or its time is over.
    pub(super) is_useless: bool,
    pub(super) is_kept: bool,
    pub(super) id: Option<MessageId>,
}

const _: () = assert!(size_of::<Known>() <= 32 && size_of::<Recipient>() <= 24);

/// The messages of a file, and who waits for them.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) messages: Vec<Known>,
    /// Who is to get one of them.
    recipients: Vec<Recipient>,
    /// Which message each is to get.
    to: Links,
    /// Who has begun to send one of them: key of the session and packet identifier.
    held: Vec<(u64, u16)>,
    /// Which message each has begun to send.
    from: Links,
}

impl Plan {
    /// All messages are known: from now on they can be found.
    pub(super) fn sort_messages(&mut self) {
        self.messages
            .sort_unstable_by_key(|known| (known.store_id, known.number));
    }

    /// Where a message is in the list. Of two with one id the last holds.
    pub(super) fn find(&self, store_id: u64) -> Option<usize> {
        let behind = (self.messages).partition_point(|known| known.store_id <= store_id);
        let index = behind.checked_sub(1)?;
        (self.messages[index].store_id == store_id).then_some(index)
    }

    pub(super) fn add_recipient(&mut self, index: u32, recipient: Recipient) {
        self.to.add(index, self.recipients.len());
        self.recipients.push(recipient);
    }

    /// A session has begun to send a message.
    pub(super) fn hold(&mut self, index: u32, key: u64, packet_id: u16) {
        self.from.add(index, self.held.len());
        self.held.push((key, packet_id));
    }

    /// All who wait are known: from now on they can be found by message.
    pub(super) fn sort_waiting(&mut self) {
        self.to.0.sort_unstable();
        self.from.0.sort_unstable();
    }

    /// Who is to get a message.
    pub(super) fn recipients_of(&self, index: u32) -> impl Iterator<Item = &Recipient> {
        self.to.of(index).map(|place| &self.recipients[place])
    }

    /// Who has begun to send a message.
    pub(super) fn held_of(&self, index: u32) -> impl Iterator<Item = (u64, u16)> {
        self.from.of(index).map(|place| self.held[place])
    }
}

/// A message's index above a place in another list: in order they stand by message, and only
/// numbers have to be sorted.
#[derive(Default)]
struct Links(Vec<u64>);

impl Links {
    fn add(&mut self, index: u32, place: usize) {
        self.0.push(u64::from(index) << 32 | place as u64);
    }

    fn of(&self, index: u32) -> impl Iterator<Item = usize> {
        let first = (self.0).partition_point(|link| link >> 32 < u64::from(index));
        let its = self.0[first..].iter();
        let its = its.take_while(move |&&link| link >> 32 == u64::from(index));
        its.map(|&link| link as u32 as usize)
    }
}
