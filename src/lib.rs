//! Midge: an MQTT broker for embedded Linux gateways, and the clients that go with it.
#![forbid(unsafe_code)]

pub mod auth;
pub mod broker;
pub mod client;
pub mod cmd;
pub mod conf;
pub mod host;
pub mod store;
pub mod topic;
pub mod wire;
