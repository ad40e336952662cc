//! Midge from outside: the real binary, real sockets and files, Debian's mosquitto clients and
//! broker beside it, tshark's reading of the frames, and client libraries of the ecosystem.
//!
//! The modules `walk_*` go through the walk-through that Midge is made for, step by step; most
//! steps in three constellations (`constellations!`). The others take one chapter of the manual
//! each. `bash tests/setup.sh` brings what is needed; see `harness` for running the suite against
//! a peer.

mod acl;
mod capture;
mod check;
mod client_flags;
mod client_odd;
#[path = "../common/mod.rs"]
mod common;
mod conf_errors;
mod ephemeral;
mod explain;
mod format;
mod harness;
mod journal_tool;
mod limits;
mod listeners;
mod log_words;
mod mosquitto_db;
mod paho;
mod rumqttc_v4;
mod rumqttc_v5;
mod service;
mod signals;
mod starts;
mod sys;
#[cfg(feature = "tls")]
mod tls_client;
#[cfg(feature = "tls")]
mod tls_client_odd;
mod wait;
mod walk_around;
mod walk_basic;
mod walk_frames;
mod walk_passwd;
mod walk_qos;
mod walk_retain;
mod walk_session;
mod walk_signin;
mod walk_start;
mod walk_will;
