//! Datagrams to the system's logger, in the words of RFC 3164 as C libraries speak them to
//! `/dev/log`: `<PRI>Mmm dd hh:mm:ss TAG[PID]: line`, without a host name.
//!
//! Never waits: a logger that is busy loses lines (they are counted and told later), one that was
//! restarted is found again with the next line.

use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process;

use super::LogType;
use super::line::{Stamp, Timestamp};

/// Which part of the system speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Facility {
    /// System daemons.
    #[default]
    Daemon,
    /// local0 to local7 (`log_facility`); more counts as 7.
    Local(u8),
}

impl Facility {
    fn code(self) -> u8 {
        match self {
            Self::Daemon => 3,
            Self::Local(n) => 16 + n.min(7),
        }
    }
}

/// How to speak to the system's logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Which part of the system we are.
    pub facility: Facility,
    /// The name in front of the pid.
    pub tag: String,
    /// The logger's socket.
    pub path: PathBuf,
}

impl Default for Syslog {
    fn default() -> Self {
        Self {
            facility: Facility::default(),
            tag: "midge".to_owned(),
            path: PathBuf::from("/dev/log"),
        }
    }
}

/// The connection to the system's logger.
#[derive(Debug)]
pub(super) struct SyslogSink {
    settings: Syslog,
    socket: Option<UnixDatagram>,
    stamp: Stamp,
    /// The datagram under construction.
    text: String,
    /// Lines that could not be sent since the last that could.
    lost: u64,
}

impl SyslogSink {
    pub(super) fn new(settings: Syslog) -> Self {
        Self {
            settings,
            socket: None,
            // Local time; the day is padded with a blank.
            stamp: Stamp::new(Timestamp::Format("%b %e %H:%M:%S".to_owned()), " "),
            text: String::new(),
            lost: 0,
        }
    }

    pub(super) fn settings(&self) -> &Syslog {
        &self.settings
    }

    /// Sends a line without its line end; an error means that it is lost.
    pub(super) fn write(&mut self, class: LogType, line: &str, now_s: i64) -> io::Result<()> {
        self.compose(class, line, now_s);
        let sent = self.send();
        if sent.is_err() {
            self.lost += 1;
        }
        sent
    }

    /// How many lines were lost before the last one that was sent, told once.
    pub(super) fn recovered(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    fn compose(&mut self, class: LogType, line: &str, now_s: i64) {
        let priority = self.settings.facility.code() * 8 + class.severity();
        let stamp = self.stamp.at(now_s);
        let tag = &self.settings.tag;
        let pid = process::id();
        self.text.clear();
        // Writing to a String does not fail.
        let _ = write!(self.text, "<{priority}>{stamp}{tag}[{pid}]: {line}");
    }

    fn send(&mut self) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(self.text.as_bytes()) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // The logger was restarted: its new socket has the same name.
                Err(_) => self.socket = None,
            }
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.settings.path)?;
        let socket = self.socket.insert(socket);
        socket.send(self.text.as_bytes()).map(drop)
    }
}
