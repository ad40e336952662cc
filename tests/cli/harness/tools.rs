//! Where the tools of other projects are, and what to do when one is not here.
//!
//! `tests/setup.sh` brings them. What it could not bring it writes to `target/peers/missing`; only
//! then a test may be skipped, and it says so past libtest's capture. Without that file a missing
//! tool is a failure: a test that quietly does nothing would be worse.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io, thread};

#[derive(Clone, Copy, PartialEq)]
pub enum Tool {
    /// `mosquitto_pub`, `mosquitto_sub`, `mosquitto_rr` of the distribution.
    Clients,
    /// The distribution's broker, and its `mosquitto_passwd`, unpacked.
    Mosquitto,
    Tshark,
    /// A Python with paho-mqtt.
    Paho,
    /// The openssl command.
    #[cfg(feature = "tls")]
    Openssl,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Clients => "mosquitto-clients",
            Self::Mosquitto => "mosquitto",
            Self::Tshark => "tshark",
            Self::Paho => "paho-mqtt",
            #[cfg(feature = "tls")]
            Self::Openssl => "openssl",
        }
    }

    /// The program: for the clients the prefix to which `pub`, `sub` or `rr` is added.
    pub fn path(self) -> PathBuf {
        match self {
            Self::Clients => in_path("mosquitto_pub").map(|p| p.with_file_name("mosquitto_")),
            Self::Mosquitto => Some(peers().join("mosquitto/usr/sbin/mosquitto")),
            Self::Tshark => in_path("tshark"),
            Self::Paho => Some(peers().join("python/bin/python3")),
            #[cfg(feature = "tls")]
            Self::Openssl => in_path("openssl"),
        }
        .unwrap_or_else(|| PathBuf::from(self.name()))
    }

    fn is_here(self) -> bool {
        match self {
            Self::Clients => in_path("mosquitto_pub").is_some(),
            _ => self.path().exists(),
        }
    }

    /// True when it can be used; false, loudly, when set-up said that it cannot be had here.
    pub fn ready(self) -> bool {
        if self.is_here() {
            return true;
        }
        let missing = fs::read_to_string(peers().join("missing")).unwrap_or_default();
        assert!(
            missing.lines().any(|line| line == self.name()),
            "{} is not here: run `make test`, or bash tests/setup.sh",
            self.name()
        );
        !excused(true, &format!("needs {}", self.name()))
    }
}

/// A line on the real standard error: libtest captures only what its macros print.
pub fn skipped(what: &str, why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED {what}: {why}");
}

/// For a test that a peer in midge's place cannot pass: true, and a word about it, when one is.
pub fn excused(peer: bool, why: &str) -> bool {
    if peer {
        skipped(thread::current().name().unwrap_or("a test"), why);
    }
    peer
}

pub fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// A program out of an unpacked package, with the libraries that were unpacked beside it.
pub fn unpacked(program: &Path) -> Command {
    let mut command = Command::new(program);
    let mut libraries = Vec::new();
    for dir in ["mosquitto/usr/lib", "mosquitto/lib"] {
        let Ok(entries) = fs::read_dir(peers().join(dir)) else {
            continue;
        };
        libraries.extend(entries.map(|entry| entry.unwrap().path()));
    }
    command.env("LD_LIBRARY_PATH", env::join_paths(libraries).unwrap());
    command
}

/// The binary under test: what cargo built, or `MIDGE_BINARY=`, a script that runs one for another
/// machine in an emulator.
pub fn midge() -> PathBuf {
    env::var_os("MIDGE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_midge").into(), PathBuf::from)
}
