//! What the test binaries share: a naive MQTT codec, hex files and a naive model of a broker.
//!
//! Everything here is written to be obviously right: owned values, one allocation per field, no
//! part of Midge. It is the slow twin that the quick code is compared with.

#![allow(dead_code)] // each test binary uses a part of it

pub mod decode;
pub mod encode;
pub mod hex;
pub mod model;
pub mod mutate;
pub mod packet;
pub mod property;
pub mod random;
