//! The service manager's ear: short datagrams to the socket that `NOTIFY_SOCKET` names.
//!
//! systemd starts a `Type=notify` unit only when it hears `READY=1`, and so do the managers that
//! speak its protocol. Nothing here ever fails loudly or waits: who does not listen is not told.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;

use nix::time::ClockId;

use crate::host::clock;

/// Tells the service manager how we are. Without one, all calls do nothing.
#[derive(Debug, Default)]
pub struct Notifier {
    ear: Option<(UnixDatagram, SocketAddr)>,
    watchdog_us: Option<u64>,
    /// When the manager is to hear of us again.
    due_ms: u64,
}

impl Notifier {
    /// Looks for a service manager in the environment (`NOTIFY_SOCKET`, `WATCHDOG_USEC`,
    /// `WATCHDOG_PID`).
    pub fn from_env() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET");
        let mine = env::var("WATCHDOG_PID").map_or(true, |pid| pid == process::id().to_string());
        let watchdog = env::var("WATCHDOG_USEC").ok().filter(|_| mine);
        Self::new(socket, watchdog.as_deref())
    }

    /// As [`from_env`](Self::from_env), from the two values themselves.
    ///
    /// `socket` is a path or, after a leading `@`, an abstract name; anything else is not
    /// understood and counts as none. `watchdog` is a number of microseconds.
    pub fn new(socket: Option<OsString>, watchdog: Option<&str>) -> Self {
        let ear = socket.and_then(|name| {
            open(&name)
                .inspect_err(|error| {
                    let name = name.to_string_lossy();
                    log::warn!("Unable to use NOTIFY_SOCKET '{name}': {error}.");
                })
                .ok()
        });
        let watchdog_us = watchdog
            .and_then(|text| text.parse().ok())
            .filter(|us| *us > 0);
        Self {
            ear,
            watchdog_us,
            due_ms: 0,
        }
    }

    /// The start is over, or a reload is.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// A reload has begun; [`ready`](Self::ready) ends it. The manager orders the two by the time.
    pub fn reloading(&self) {
        let now_us = clock::read(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.as_micros());
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
    }

    /// One line about how things go, for people; a line end in it would end it.
    pub fn status(&self, text: &str) {
        let line = text.lines().next().unwrap_or_default();
        self.send(&format!("STATUS={line}"));
    }

    /// We are alive, and it is so late: says so if it is time to. Gives how many milliseconds there
    /// are until the next time; `None` if the manager does not watch us.
    pub fn alive(&mut self, now_ms: u64) -> Option<u64> {
        let interval_ms = self.watchdog_interval_ms()?;
        if now_ms >= self.due_ms {
            self.send("WATCHDOG=1");
            self.due_ms = now_ms + interval_ms;
        }
        Some(self.due_ms - now_ms)
    }

    /// How often to say so in milliseconds, at least 1: half of what the manager allows.
    fn watchdog_interval_ms(&self) -> Option<u64> {
        self.ear.as_ref()?;
        Some((self.watchdog_us? / 2000).max(1))
    }

    fn send(&self, text: &str) {
        let Some((socket, address)) = &self.ear else {
            return;
        };
        if let Err(error) = socket.send_to_addr(text.as_bytes(), address) {
            log::debug!("The service manager does not listen: {error}.");
        }
    }
}

fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}
