//! Exit codes and the words that go with them, as scripts know them from Mosquitto's clients.

use std::io::{self, Write};

use crate::client::{Fault, RequestError};
use crate::wire::{ReasonCode, Version};

/// All went well.
pub const SUCCESS: u8 = 0;
/// Wrong usage, `--help`, no connection at all, or a file that cannot be read.
pub const USAGE: u8 = 1;
/// The broker broke the protocol.
pub const PROTOCOL: u8 = 2;
/// The broker ended the connection.
pub const NO_CONNECTION: u8 = 4;
/// The connection was lost.
pub const CONNECTION_LOST: u8 = 7;
/// TLS failed.
pub const TLS: u8 = 8;
/// The broker did not answer in time.
pub const KEEP_ALIVE: u8 = 19;
/// The broker sent bytes that are no packet.
pub const MALFORMED: u8 = 21;
/// The broker does not do this QoS.
pub const QOS_NOT_SUPPORTED: u8 = 24;
/// A packet is larger than allowed.
pub const OVERSIZE: u8 = 25;
/// `-W` ran out.
pub const TIMED_OUT: u8 = 27;
/// The broker keeps no retained messages.
pub const RETAIN_NOT_SUPPORTED: u8 = 28;

/// Writes a line to standard error.
pub fn complain(line: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Why the broker refused the connection.
pub fn refusal(version: Version, reason: ReasonCode) -> String {
    if version == Version::V5 {
        return match reason {
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => {
                format!(
                    "{}. The broker may speak MQTT 3.1.1: try -V 311.",
                    reason.words()
                )
            }
            _ => reason.words().to_owned(),
        };
    }
    let why = match reason.0 {
        1 => "unacceptable protocol version",
        2 => "identifier rejected",
        3 => "broker unavailable",
        4 => "bad user name or password",
        5 => "not authorised",
        // A broker of MQTT 5.0 alone answers in its own form.
        0x84 => "the broker may speak MQTT 5.0 only: try -V 5",
        _ => "unknown reason",
    };
    format!("Connection Refused: {why}.")
}

/// The exit code of a fault of the broker, and what to say.
pub fn fault(fault: Fault) -> (u8, String) {
    match fault {
        Fault::Packet(malformed) => {
            let code = match malformed.reason {
                ReasonCode::MALFORMED_PACKET => MALFORMED,
                ReasonCode::PACKET_TOO_LARGE => OVERSIZE,
                _ => PROTOCOL,
            };
            (code, format!("The broker broke the protocol: {fault}."))
        }
        Fault::KeepAlive | Fault::NoConnAck => {
            (KEEP_ALIVE, format!("The broker does not answer: {fault}."))
        }
        Fault::Backlog => (PROTOCOL, format!("The broker does not read: {fault}.")),
    }
}

/// The exit code of a request that was not taken, and what to say.
pub fn request(error: RequestError) -> (u8, &'static str) {
    match error {
        RequestError::QosNotSupported => (
            QOS_NOT_SUPPORTED,
            "Message QoS not supported on broker, try a lower QoS.",
        ),
        RequestError::RetainNotSupported => (
            RETAIN_NOT_SUPPORTED,
            "The broker does not keep retained messages.",
        ),
        RequestError::TooLarge => (OVERSIZE, "The packet is larger than the broker allows."),
        RequestError::NotConnected | RequestError::Busy => {
            (CONNECTION_LOST, "The client is not connected.")
        }
    }
}

/// What the system says about an error, without Rust's addition of its number.
pub fn system_words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
