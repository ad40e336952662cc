//! The other end of the protocol: a Client without sockets, clock or threads.
//!
//! `midge pub`, `sub` and `rr` drive it, and bridges will. It speaks MQTT 3.1, 3.1.1 and 5.0 and
//! treats the broker as a stranger: what comes in is decoded by `wire`, checked against what this
//! client asked for, and answered with a [`Fault`] when it breaks the rules.
//!
//! # The seam
//!
//! - Inputs: [`Client::opened`] (a byte stream exists), [`Client::receive`], [`Client::sent`],
//!   [`Client::timeout`], [`Client::closed`] (the stream is gone), and the requests
//!   [`Client::publish`], [`Client::subscribe`], [`Client::unsubscribe`], [`Client::acknowledge`],
//!   [`Client::finish`], [`Client::disconnect`].
//! - Outputs: [`Client::transmit`] (bytes for the stream), [`Client::poll_timeout`] (when to call
//!   `timeout`), and the [`Event`] that `receive` returns.
//!
//! `receive` handles one packet per call and its event borrows from the bytes it was given: nothing
//! is copied and no queue of events can grow. Time is `now_ms`, milliseconds of any clock that only
//! goes forward.
//!
//! # Bounds
//!
//! A client holds the packets in flight (at most `inflight_max` and the server's Receive Maximum;
//! [`RequestError::Busy`] beyond), the identifiers of incoming QoS 2 messages (at most our Receive
//! Maximum), topic aliases up to the maximum it announced, and its output. Acknowledgements that
//! the server does not take are bounded too. The caller holds the input; [`Client::receive`] tells
//! it from the first bytes when a packet is larger than it will ever accept.
//!
//! # Delivery
//!
//! An incoming message is an event once; the caller acknowledges it when it has done its work.
//! At QoS 2 the identifier is kept from then on until PUBREL, so that a message sent again is
//! answered and not delivered again. Outgoing messages are kept until they are acknowledged, and
//! are sent again, in order, when the stream was lost and opened again [MQTT-4.4.0-1].

mod event;
mod inbound;
mod machine;
mod options;
mod outbound;

#[cfg(test)]
mod tests;

pub use event::{Event, Fault, Received, RequestError};
pub use machine::Client;
pub use options::{Options, Will};
