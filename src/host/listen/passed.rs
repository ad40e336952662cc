//! Sockets that the service manager opened and passed to us (socket activation).
//!
//! systemd tells of them by `LISTEN_PID` and `LISTEN_FDS`. One that listens where a listener of the
//! configuration does takes its place, so that the manager may open a port that we may not, and
//! hold connections while we restart. One that belongs to no listener is closed, and the log says
//! so: the configuration alone decides where we listen.

use listenfd::ListenFd;
use mio::net::{TcpListener, UnixListener};
use socket2::SockRef;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The passed sockets that no listener has taken yet.
#[derive(Default)]
pub struct Passed {
    tcp: Vec<(SocketAddr, TcpListener)>,
    unix: Vec<(PathBuf, UnixListener)>,
    taken: Vec<String>,
    /// What cannot be used at all.
    odd: Vec<String>,
}

impl Passed {
    /// Takes what was passed to this process; nothing most of the time.
    ///
    /// To be called once, before anything else is opened and before there are threads: it clears
    /// the variables.
    pub fn from_env() -> Self {
        let mut passed = Self::default();
        let mut all = ListenFd::from_env();
        for index in 0..all.len() {
            let added = match all.take_tcp_listener(index) {
                Ok(Some(listener)) => passed.add_tcp(listener),
                _ => match all.take_unix_listener(index) {
                    Ok(Some(listener)) => passed.add_unix(listener),
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = added {
                let number = index + 1;
                passed.odd.push(format!("number {number}: {error}"));
            }
        }
        passed
    }

    /// The passed socket of this address.
    pub(super) fn take_tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.tcp.iter().position(|(a, _)| *a == address)?;
        self.taken.push(address.to_string());
        Some(self.tcp.swap_remove(at).1)
    }

    /// The passed socket of this path.
    pub(super) fn take_unix(&mut self, path: &Path) -> Option<UnixListener> {
        let at = self.unix.iter().position(|(p, _)| p == path)?;
        self.taken.push(path.display().to_string());
        Some(self.unix.swap_remove(at).1)
    }

    /// Whether a passed socket serves this port of all addresses, IPv4 and IPv6.
    pub(super) fn has_both(&self, port: u16) -> bool {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let socket = self.tcp.iter().find(|(address, _)| *address == all);
        socket.is_some_and(|(_, listener)| {
            let only_v6 = SockRef::from(listener).only_v6();
            only_v6.is_ok_and(|only_v6| !only_v6)
        })
    }

    /// Says which were taken, and closes the others.
    pub fn settle(&mut self) {
        for name in self.taken.drain(..) {
            log::info!("The service manager passed the socket of {name}.");
        }
        let tcp = self.tcp.drain(..).map(|(address, _)| address.to_string());
        let unix = self.unix.drain(..);
        for name in tcp.chain(unix.map(|(path, _)| path.display().to_string())) {
            log::warn!(
                "Warning: the service manager passed a socket of {name}, where no listener of the \
                 configuration is: it is closed"
            );
        }
        for what in self.odd.drain(..) {
            log::warn!("Warning: the service manager passed something that cannot be used: {what}");
        }
    }

    fn add_tcp(&mut self, listener: std::net::TcpListener) -> std::io::Result<()> {
        check_listens(SockRef::from(&listener))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        self.tcp.push((address, TcpListener::from_std(listener)));
        Ok(())
    }

    fn add_unix(&mut self, listener: std::os::unix::net::UnixListener) -> std::io::Result<()> {
        check_listens(SockRef::from(&listener))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let Some(path) = address.as_pathname() else {
            return Err(std::io::Error::other("a unix socket without a path"));
        };
        let listener = UnixListener::from_std(listener);
        self.unix.push((path.to_path_buf(), listener));
        Ok(())
    }
}

/// A connection has an address, too, and whoever accepts from it gets an error each time.
fn check_listens(socket: SockRef<'_>) -> std::io::Result<()> {
    match socket.is_listener()? {
        true => Ok(()),
        false => Err(std::io::Error::other(
            "a socket that does not listen (the socket's unit wants Accept=no)",
        )),
    }
}
