//! What the journal can say.
//!
//! `decode` borrows from the bytes, like a packet. The bodies are made of
//! [`fields`](super::fields); what a later version adds goes to the end of a body or into a new
//! kind.

use super::fields::{Fields, put_bytes, put_number, put_option};
use super::place::Place;
use crate::wire::{QoS, SubscriptionOptions, Version};

/// The packet identifier of a session's delivery.
pub fn packet_id_of(ordinal: u64) -> u16 {
    ((ordinal - 1) % 65_535 + 1) as u16
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Record<'a> {
    /// What the clocks said.
    Clock(Clock),
    /// A session, whole.
    Session(Session<'a>),
    /// A session is no more, with all it had.
    SessionEnd {
        /// Its key.
        key: u64,
    },
    /// The client of a session has a connection again, with nothing else changed.
    Back {
        /// The session.
        key: u64,
    },
    /// The connection of a session ended.
    Left {
        /// The session.
        key: u64,
        /// Session Expiry Interval from then on.
        expiry_s: u32,
        /// When, on the log's clock.
        at_ms: u64,
        /// Whether the will is still to be published.
        has_will: bool,
    },
    /// A subscription, whole.
    Subscribe(Subscription<'a>),
    /// A subscription is no more.
    Unsubscribe {
        /// The session.
        key: u64,
        /// The filter behind the mount point, without the share.
        filter: &'a str,
        /// Share Name.
        share: Option<&'a str>,
    },
    /// A message, whole.
    Message(Message<'a>),
    /// A message that was held until PUBREL goes its way.
    Release(Release<'a>),
    /// A message that was held is given up.
    Forget {
        /// The session that sent it.
        key: u64,
        /// The packet identifier it was sent with.
        packet_id: u16,
    },
    /// Deliveries were sent for the first time, all up to an ordinal.
    Sent {
        /// The session.
        key: u64,
        /// The last one.
        through: u64,
    },
    /// PUBREC came for a delivery.
    Received {
        /// The session.
        key: u64,
        /// The delivery.
        ordinal: u64,
    },
    /// A delivery is done.
    Done {
        /// The session.
        key: u64,
        /// The delivery.
        ordinal: u64,
        /// All deliveries with smaller ordinals are done, too.
        first: u64,
    },
    /// A batch begins: everything before it was durable when it was written.
    Mark,
    /// A topic has no retained message any more.
    Cleared {
        /// The topic.
        topic: &'a [u8],
    },
}

/// What the clocks said at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Which run of the machine: the same number, the same boot.
    pub boot: u64,
    /// The boot clock.
    pub boot_ms: u64,
    /// Since 1970, if the calendar was right.
    pub wall_ms: u64,
    /// The log's own clock, on which all other times are.
    pub log_ms: u64,
}

/// A session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Session<'a> {
    /// A number that no other session of this log ever had.
    pub key: u64,
    /// Client Identifier.
    pub client_id: &'a str,
    /// User Name.
    pub username: Option<&'a str>,
    /// What its listener is called.
    pub listener: &'a str,
    /// What stands in front of all its topics.
    pub mount_point: &'a str,
    /// Of its last connection.
    pub version: Version,
    /// Whether the client is a bridge.
    pub is_bridge: bool,
    /// Nobody knows which user it belongs to: the first to come has it.
    pub is_unowned: bool,
    /// Session Expiry Interval.
    pub expiry_s: u32,
    /// Milliseconds of silence after which a connection counts as lost; 0 for none.
    pub silence_ms: u64,
    /// When its connection ended, on the log's clock; `None` while there is one.
    pub left_ms: Option<u64>,
    /// The ordinal that the next delivery gets.
    pub next_ordinal: u64,
    /// Deliveries with smaller ordinals were sent.
    pub sent_before: u64,
    /// Its will.
    pub will: Option<Will<'a>>,
}

/// A will.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Will<'a> {
    /// Will Topic, behind the mount point.
    pub topic: &'a str,
    /// Will Payload.
    pub payload: &'a [u8],
    /// The properties that are forwarded, encoded.
    pub properties: &'a [u8],
    /// Will QoS.
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// Message Expiry Interval.
    pub expiry_s: Option<u32>,
    /// Will Delay Interval.
    pub delay_s: u32,
}

/// A subscription.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subscription<'a> {
    /// The session.
    pub key: u64,
    /// The filter behind the mount point, without the share.
    pub filter: &'a str,
    /// Share Name.
    pub share: Option<&'a str>,
    /// Its options.
    pub options: SubscriptionOptions,
    /// Subscription Identifier; 0 for none.
    pub identifier: u32,
    /// Retained messages are still to come.
    pub is_owed: bool,
}

/// A message with all that is to become of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Message<'a> {
    /// Where the store keeps it.
    pub slot: u32,
    /// The QoS it was published with.
    pub qos: QoS,
    /// Whether it was published with RETAIN.
    pub retain: bool,
    /// When it expires, on the log's clock.
    pub expires_ms: Option<u64>,
    /// Whether it is its topic's retained message, and who published it.
    pub keeps: Option<Source<'a>>,
    /// The session and packet identifier it is held for, until PUBREL.
    pub held: Option<(u64, u16)>,
    /// This is its body only: a [`Release`] says who gets it.
    pub is_body: bool,
    /// Who is to get it.
    pub recipients: Recipients<'a>,
    /// Topic Name, behind the mount point.
    pub topic: &'a [u8],
    /// The properties that are forwarded, encoded.
    pub properties: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// Who published a retained message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source<'a> {
    /// Stands for the Client Identifier.
    pub hash: u64,
    /// Client Identifier, user name and listener, where rights are checked when it is delivered.
    pub publisher: Option<(&'a str, Option<&'a str>, &'a str)>,
}

/// What becomes of a message that was held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Release<'a> {
    /// The session that sent it.
    pub key: u64,
    /// The packet identifier it was sent with.
    pub packet_id: u16,
    /// The record with its body.
    pub body: Place,
    /// As in [`Message`].
    pub slot: u32,
    /// As in [`Message`].
    pub keeps: Option<Source<'a>>,
    /// Topic Name, if it is kept.
    pub topic: &'a [u8],
    /// As in [`Message`].
    pub recipients: Recipients<'a>,
}

/// One who is to get a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The session.
    pub key: u64,
    /// The session's number for this delivery.
    pub ordinal: u64,
    /// The QoS it is delivered with.
    pub qos: QoS,
    /// The RETAIN flag it is delivered with.
    pub retain: bool,
    /// Subscription Identifier; 0 for none.
    pub subscription_id: u32,
}

impl Recipient {
    /// Appends this one to a list.
    pub fn put(&self, list: &mut Vec<u8>) {
        put_number(list, self.key);
        put_number(list, self.ordinal);
        let meta =
            u64::from(self.subscription_id) << 3 | u64::from(self.retain) << 2 | self.qos as u64;
        put_number(list, meta);
    }
}

/// A list of recipients, encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recipients<'a> {
    raw: &'a [u8],
}

impl<'a> Recipients<'a> {
    /// The list that [`Recipient::put`] made.
    pub fn new(raw: &'a [u8]) -> Recipients<'a> {
        Recipients { raw }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The list as it is encoded.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The recipients in the order in which they were put.
    pub fn iter(self) -> impl Iterator<Item = Recipient> + use<'a> {
        let mut fields = Fields::new(self.raw);
        std::iter::from_fn(move || {
            let (key, ordinal) = (fields.count()?, fields.ordinal()?);
            let meta = fields.number()?;
            Some(Recipient {
                key,
                ordinal,
                qos: QoS::from_bits(meta as u8 & 3)?,
                retain: meta & 4 != 0,
                subscription_id: (meta >> 3).try_into().ok()?,
            })
        })
    }
}

const CLOCK: u8 = 1;
const SESSION: u8 = 2;
const SESSION_END: u8 = 3;
const BACK: u8 = 4;
const LEFT: u8 = 5;
const SUBSCRIBE: u8 = 6;
const UNSUBSCRIBE: u8 = 7;
const MESSAGE: u8 = 8;
const RELEASE: u8 = 9;
const FORGET: u8 = 10;
const SENT: u8 = 11;
const RECEIVED: u8 = 12;
const DONE: u8 = 13;
const CLEARED: u8 = 14;
const MARK: u8 = 15;

impl<'a> Record<'a> {
    /// The number that says what it is.
    pub fn kind(&self) -> u8 {
        match self {
            Record::Clock(_) => CLOCK,
            Record::Session(_) => SESSION,
            Record::SessionEnd { .. } => SESSION_END,
            Record::Back { .. } => BACK,
            Record::Left { .. } => LEFT,
            Record::Subscribe(_) => SUBSCRIBE,
            Record::Unsubscribe { .. } => UNSUBSCRIBE,
            Record::Message(_) => MESSAGE,
            Record::Release(_) => RELEASE,
            Record::Forget { .. } => FORGET,
            Record::Sent { .. } => SENT,
            Record::Received { .. } => RECEIVED,
            Record::Done { .. } => DONE,
            Record::Cleared { .. } => CLEARED,
            Record::Mark => MARK,
        }
    }

    /// Appends its body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut numbers = |numbers: &[u64]| {
            for &number in numbers {
                put_number(out, number);
            }
        };
        match *self {
            Record::Clock(clock) => {
                numbers(&[clock.boot, clock.boot_ms, clock.wall_ms, clock.log_ms]);
            }
            Record::Session(session) => session.encode(out),
            Record::SessionEnd { key } | Record::Back { key } => numbers(&[key]),
            Record::Left {
                key,
                expiry_s,
                at_ms,
                has_will,
            } => numbers(&[key, expiry_s.into(), at_ms, has_will.into()]),
            Record::Subscribe(subscription) => subscription.encode(out),
            Record::Unsubscribe { key, filter, share } => {
                put_number(out, key);
                put_bytes(out, filter.as_bytes());
                put_option(out, share.map(str::as_bytes));
            }
            Record::Message(message) => message.encode(out),
            Record::Release(release) => release.encode(out),
            Record::Forget { key, packet_id } => numbers(&[key, packet_id.into()]),
            Record::Sent { key, through } => numbers(&[key, through]),
            Record::Received { key, ordinal } => numbers(&[key, ordinal]),
            // The watermark is near: its distance takes a byte.
            Record::Done {
                key,
                ordinal,
                first,
            } => numbers(&[key, ordinal, ordinal - first.min(ordinal)]),
            Record::Cleared { topic } => out.extend_from_slice(topic),
            Record::Mark => {}
        }
    }

    /// Reads a body; `None` if it says nothing that this program knows.
    pub fn decode(kind: u8, body: &'a [u8]) -> Option<Record<'a>> {
        let mut f = Fields::new(body);
        Some(match kind {
            CLOCK => Record::Clock(Clock {
                boot: f.number()?,
                boot_ms: f.count()?,
                wall_ms: f.count()?,
                log_ms: f.count()?,
            }),
            SESSION => Record::Session(Session::decode(f)?),
            SESSION_END => Record::SessionEnd { key: f.count()? },
            BACK => Record::Back { key: f.count()? },
            LEFT => Record::Left {
                key: f.count()?,
                expiry_s: f.number32()?,
                at_ms: f.count()?,
                has_will: f.number()? != 0,
            },
            SUBSCRIBE => Record::Subscribe(Subscription::decode(f)?),
            UNSUBSCRIBE => Record::Unsubscribe {
                key: f.count()?,
                filter: f.text()?,
                share: f.option_text()?,
            },
            MESSAGE => Record::Message(Message::decode(f)?),
            RELEASE => Record::Release(Release::decode(f)?),
            FORGET => Record::Forget {
                key: f.count()?,
                packet_id: f.number16()?,
            },
            SENT => Record::Sent {
                key: f.count()?,
                through: f.count()?,
            },
            RECEIVED => Record::Received {
                key: f.count()?,
                ordinal: f.ordinal()?,
            },
            DONE => {
                let (key, ordinal) = (f.count()?, f.ordinal()?);
                Record::Done {
                    key,
                    ordinal,
                    first: ordinal.checked_sub(f.number()?)?,
                }
            }
            CLEARED => Record::Cleared { topic: body },
            MARK => Record::Mark,
            _ => return None,
        })
    }
}
