//! What the broker acknowledged survives `kill -9`: the real binary under load, killed at random
//! instants and started again on the same directory, and a ledger of who was promised what.
//!
//! `DURABILITY_ROUNDS=500` plays longer, `DURABILITY_SEED=7` plays that one round again (the load
//! is the same, the machine's timing is not). `DURABILITY_BROKER` and `DURABILITY_CONF` measure
//! another broker: see `broker.rs`.

mod bell;
mod broker;
mod churn;
mod cleaning;
mod client;
#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // made for another suite, which uses all of it
#[path = "../cli/harness/dir.rs"]
mod dir;
mod expiry;
mod full;
mod handshake;
mod ledger;
mod link;
#[allow(dead_code)]
#[path = "../cli/harness/port.rs"]
mod port;
mod publisher;
mod retain;
mod rounds;
mod sessions;
mod subscriber;
#[allow(dead_code)]
#[path = "../cli/harness/tools.rs"]
mod tools;
#[path = "../cli/wait.rs"]
mod wait;
mod will;
mod world;
