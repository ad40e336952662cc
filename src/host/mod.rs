//! The operating system: everything that the other rooms must not know.
//!
//! - [`poll`] is the loop: it feeds bytes and time to the broker and carries out what it asks;
//! - [`link`], [`listen`] and [`ring`] are its sockets and buffers;
//! - [`access`] reads password and ACL files;
//! - [`journal`] keeps what must survive in files, on a thread of its own;
//! - [`channel`] is a queue between two threads;
//! - `memory` asks how much of it the process uses;
//! - [`worker`] hashes passwords beside the loop;
//! - [`sandbox`] keeps the running broker from writing and starting what it need not;
//! - [`signal`], [`daemon`], [`clock`] and [`log`] are what their names say.

pub mod access;
pub mod calendar;
pub mod capture;
pub mod channel;
pub mod clock;
pub mod daemon;
pub mod journal;
pub mod link;
pub mod listen;
pub mod log;
pub mod memory;
pub mod poll;
pub mod probe;
pub mod ring;
pub mod sandbox;
pub mod signal;
pub mod tap;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub mod tls;
#[cfg(feature = "tls")]
pub mod tls;
pub mod worker;

#[cfg(test)]
mod testing;
