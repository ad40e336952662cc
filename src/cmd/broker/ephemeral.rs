//! `midge --ephemeral`: a broker for a test run, on a port that nobody else has.
//!
//! It listens on 127.0.0.1 and, where there is IPv6, on ::1, both with the same free port, and says
//! so in one line of JSON. It keeps nothing, writes no file that the command line does not name,
//! stays the user who started it, and ends with the process that started it. Of a configuration
//! file everything holds but where it listens, what it keeps and where it logs to.

use super::listeners::Listeners;
use super::{FAILED, Failure, Flags, MISUSED, failed, setup};
use crate::conf::{Config, LogDest, LogType};
use crate::host::access::Disk;
use crate::host::listen::Passed;
use crate::host::log::{self as host_log, LogType as HostType};
use crate::host::poll::Doors;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};

/// Ports that are tried: another process may take one between two of our calls.
const TRIES: usize = 32;
/// How often the parent process is looked for.
const WATCH_MS: u64 = 200;

/// The configuration of such a broker, listening on this port.
pub(super) fn config(flags: &Flags, port: u16) -> Result<Config, Failure> {
    let mut config = Config::load_local(flags.config_file.as_deref(), port, &Disk)
        .map_err(|error| failed(MISUSED, error))?;
    config.persistence.persistence = false;
    config.pid_file = None;
    config.logging.capture_file.clone_from(&flags.capture_file);
    config.logging.log_dest = LogDest {
        stderr: true,
        ..LogDest::default()
    };
    if !flags.verbose {
        config.logging.log_type = LogType {
            error: true,
            ..LogType::NONE
        };
    }
    config.logging.log_type.packets |= flags.log_types.contains(&HostType::Packets);
    Ok(config)
}

/// Finds a port and opens it; from then on it is the one of `-p`.
pub(super) fn open(
    program: &str,
    flags: &mut Flags,
) -> Result<(Config, Listeners, Doors), Failure> {
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let wanted = if has_ipv6 { 2 } else { 1 };
    for _ in 0..TRIES {
        let port = free_port().map_err(|e| failed(FAILED, format!("127.0.0.1: {e}")))?;
        let config = config(flags, port)?;
        host_log::configure(&setup::log_settings(&config.logging, program, flags));
        match Listeners::default().change(&config, &mut Passed::default()) {
            // Without IPv6 there may be a socket for ::1 all the same; nobody comes by it.
            Ok((listeners, doors)) if doors.opened.len() >= wanted => {
                flags.ports = vec![port];
                return Ok((config, listeners, doors));
            }
            _ => {}
        }
    }
    Err(failed(FAILED, "no free port on 127.0.0.1 and ::1"))
}

fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// The line of JSON that a test waits for.
pub(super) fn announce(port: u16) -> Result<(), Failure> {
    let pid = std::process::id();
    let line = format!("{{\"host\":\"127.0.0.1\",\"port\":{port},\"pid\":{pid}}}\n");
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| failed(FAILED, format!("standard output: {error}")))
}

/// What ends the broker besides a signal.
#[derive(Clone, Copy)]
pub(super) struct Watch {
    parent: Option<u32>,
    deadline: Option<Instant>,
}

impl Watch {
    /// What these flags ask for, counted from now: before anybody knows of the broker, since who
    /// started it may end as soon as he does.
    pub(super) fn new(flags: &Flags) -> Watch {
        // The first process of a system or a container does not end before us.
        let parent = std::os::unix::process::parent_id();
        let deadline = (flags.exit_after_s)
            .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
        Watch {
            parent: (flags.ephemeral && parent > 1).then_some(parent),
            deadline,
        }
    }

    /// Whether it is time to stop.
    pub(super) fn is_over(&self) -> bool {
        if self.deadline.is_some_and(|at| Instant::now() >= at) {
            log::info!("The time of --exit-after is over.");
            return true;
        }
        // An orphan gets another parent. (A signal at the parent's end would come with the end of
        // the thread that started us, too, and test runners have many.)
        let is_orphan = (self.parent).is_some_and(|id| id != std::os::unix::process::parent_id());
        if is_orphan {
            log::info!("The process that started this one has ended.");
        }
        is_orphan
    }

    /// How often to ask.
    pub(super) fn interval_ms(&self) -> Option<u64> {
        (self.parent.is_some() || self.deadline.is_some()).then_some(WATCH_MS)
    }
}
