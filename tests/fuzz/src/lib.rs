//! What the fuzz targets do with bytes; `fuzz_targets/` puts libFuzzer around it, and
//! `tests/fuzz_replay.rs` of the broker includes it to run all that is in `corpus/`.
//!
//! A target takes any bytes and returns, or panics where something does not hold that must: not
//! only that nothing crashes, but also what the code under it promises. Where there is a naive
//! twin (`tests/common`, or a few lines here), its answer has to be the same.

#[path = "../../common/mod.rs"]
pub mod common;
#[path = "../../seam/mod.rs"]
pub mod seam;

pub mod acl;
pub mod client;
pub mod conf;
pub mod decode;
pub mod input;
pub mod journal;
pub mod mosquitto_db;
pub mod passwords;
pub mod receive;
pub mod seeds;
pub mod topics;
pub mod world;

/// A target: its name, which is that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All there are.
pub const TARGETS: [Target; 9] = [
    ("acl", acl::run),
    ("client", client::run),
    ("conf", conf::run),
    ("decode", decode::run),
    ("journal", journal::run),
    ("mosquitto_db", mosquitto_db::run),
    ("passwords", passwords::run),
    ("receive", receive::run),
    ("topics", topics::run),
];
