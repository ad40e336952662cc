//! MQTT as stories: what a server does, told through the bytes that its clients see.
//!
//! Each file is a chapter of the specification, each test a sentence of it. The broker has no
//! sockets and no clock, so a story says what happens and when, and nothing has to be waited for.
//! `proves!` at the top of a test names the normative statements that it proves, with the version
//! whose numbering is meant; `coverage.rs` holds these names against the vendored list of all of
//! them. Start with `connect.rs`.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod seam;
mod watch;
mod world;

/// Names the statements that a test proves, as `version:id`. `coverage.rs` reads it from the
/// source; in the program it is nothing.
macro_rules! proves {
    ($($statement:literal),+ $(,)?) => {
        const _: &[&str] = &[$($statement),+];
    };
}

mod acl;
mod alias;
mod auth;
mod chaos;
mod connack;
mod connect;
mod coverage;
mod cut;
mod disconnect;
mod flow_control;
mod kept;
mod limits;
mod malformed;
mod naive_broker;
mod order;
mod ping_keepalive;
mod properties;
mod publish;
mod qos;
mod retain;
mod session;
mod shared;
mod size_limits;
mod subscribe;
mod topics;
mod twin;
mod unsubscribe;
mod will;
