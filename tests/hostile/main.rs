//! Midge under attack: the real binary, and peers that keep to nothing.
//!
//! Every test starts a broker of its own. Where the order of events in the kernel matters, the
//! broker is stopped (SIGSTOP) while they pile up, and goes on when all are there.

mod attack;
mod bombs;
#[path = "../common/mod.rs"]
mod common;
mod descriptors;
#[allow(dead_code)] // made for another suite, which uses all of it
#[path = "../cli/harness/dir.rs"]
mod dir;
mod ends;
mod faults;
mod fights;
mod floods;
#[allow(dead_code)] // tests/tls uses the rest
mod harness;
mod listeners;
mod mutations;
mod pair;
mod passwords;
#[allow(dead_code)]
#[path = "../cli/harness/port.rs"]
mod port;
mod proof;
mod sandbox;
mod signals;
#[path = "../cli/wait.rs"]
mod wait;
