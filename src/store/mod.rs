//! What the broker holds: message bodies, delivery queues and windows. Memory only, no files.
//!
//! - [`message`]: a body is copied once, into pooled memory, in the form it has on the wire; who
//!   still needs it is counted.
//! - [`delivery`]: one 16-byte entry for each message and session, linked into queues through one
//!   slab shared by all sessions: thousands of queues, one allocation.
//! - [`window`]: which QoS 1 and 2 deliveries are under way, by packet identifier.
//! - [`journal`]: the records of what must survive, and the end of the log that they go to; `cold`
//!   tells which bodies leave memory because the log has them.
//! - [`mosquitto_db`]: the file that Mosquitto keeps the same in, to be read once.
//!
//! Freed bodies and deliveries are used again, so that a message in steady state allocates nothing;
//! [`spare`] has the memory of large ones.

mod bodies;
mod cold;
pub mod delivery;
mod entry;
mod grow;
pub mod journal;
pub mod message;
pub mod mosquitto_db;
pub mod spare;
pub mod window;

pub use delivery::{Deliveries, Delivery, DeliveryId, Queue, Stage};
pub use message::{Body, Known, Message, MessageId, Messages, Tally};
pub use window::Window;

#[cfg(test)]
mod tests;
