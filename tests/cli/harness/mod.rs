//! What every test of this suite stands on: directories, ports, processes, brokers, clients, a
//! recording proxy, and tshark's eyes.
//!
//! Environment, for work on the suite itself: `MIDGE_TEST_BROKER=/path/to/mosquitto` and
//! `MIDGE_TEST_CLIENTS=/usr/bin/mosquitto_` put a peer in midge's place; tests that midge alone
//! can pass then say so and pass (`Pair::peer`, `peer_broker`).

use std::io::{self, Read};

pub mod broker;
pub mod client;
pub mod decode;
pub mod dir;
pub mod frame;
pub mod net;
#[cfg(feature = "tls")]
pub mod pki;
pub mod port;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod terminal;
pub mod tools;

pub use broker::{Broker, Kind};
pub use client::{Clients, Pair, Sub};
pub use dir::Dir;
pub use frame::Frame;
pub use process::{Ended, Process};
pub use proxy::Proxy;
pub use tools::Tool;

/// Reads once. A process that is stopped and goes on finds some reads interrupted.
pub fn read_some(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The two loopback addresses. Machines without IPv6 have one.
pub fn loopbacks() -> Vec<&'static str> {
    if port::has_ipv6() {
        vec!["127.0.0.1", "::1"]
    } else {
        tools::skipped("::1", "this machine has no IPv6");
        vec!["127.0.0.1"]
    }
}
