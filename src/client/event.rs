//! What a client tells its caller: events, faults of the server, requests it cannot take.

use crate::wire::{ConnAck, Disconnect, Malformed, Publish, ReasonCode, SubAck};

/// The outcome of [`super::Client::receive`].
#[derive(Debug)]
pub struct Received<'a> {
    /// How many bytes were used up; 0 when the front packet has not arrived whole.
    pub consumed: usize,
    /// What happened, if the caller needs to know.
    pub event: Option<Event<'a>>,
}

/// Something that the server did.
#[derive(Debug)]
pub enum Event<'a> {
    /// The connection was accepted.
    Connected(ConnAck<'a>),
    /// The connection was refused; the stream is to be closed.
    Refused(ConnAck<'a>),
    /// A message. Its topic is always there, also when an alias stood for it. At QoS 1 and 2 the
    /// caller answers with [`super::Client::acknowledge`].
    Message(Publish<'a>),
    /// A message of ours was taken or refused; nothing more will happen to it.
    Published {
        /// Its Packet Identifier.
        packet_id: u16,
        /// Success, or why it was refused (5.0).
        reason: ReasonCode,
        /// The Reason String, if the server gave one.
        reason_string: Option<&'a str>,
    },
    /// A SUBSCRIBE was answered, with one code for each filter.
    Subscribed(SubAck<'a>),
    /// An UNSUBSCRIBE was answered.
    Unsubscribed(SubAck<'a>),
    /// The server ends the connection (5.0).
    Disconnected(Disconnect<'a>),
}

/// Why a connection cannot go on. In 5.0 the DISCONNECT that says so is already in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server broke the rules of the protocol.
    Packet(Malformed),
    /// No PINGRESP came in time.
    KeepAlive,
    /// No CONNACK came in time.
    NoConnAck,
    /// The server makes us answer without ever reading what we say.
    Backlog,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Packet(malformed) => malformed.fmt(f),
            Fault::KeepAlive => f.write_str("no PINGRESP came within the keep alive"),
            Fault::NoConnAck => f.write_str("no CONNACK came in time"),
            Fault::Backlog => f.write_str("the server does not read its acknowledgements"),
        }
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Fault {
        Fault::Packet(malformed)
    }
}

/// Why a request was not taken. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The connection is not accepted yet, or ending.
    NotConnected,
    /// The window is full: try again after the next [`Event::Published`].
    Busy,
    /// The QoS is above what the server allows.
    QosNotSupported,
    /// The server keeps no retained messages.
    RetainNotSupported,
    /// The packet is larger than the server or the protocol allows.
    TooLarge,
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RequestError::NotConnected => "the client is not connected",
            RequestError::Busy => "too many messages are in flight",
            RequestError::QosNotSupported => "the server does not support this QoS",
            RequestError::RetainNotSupported => "the server does not keep retained messages",
            RequestError::TooLarge => "the packet is larger than the server allows",
        })
    }
}

impl std::error::Error for RequestError {}
