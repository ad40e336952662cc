//! Listening sockets: from addresses to sockets that accept.
//!
//! A listener without a host gets a socket for each address family, the IPv6 one for IPv6 only. A
//! socket file that nobody serves any more is replaced; ours is gone after a stop. An address that
//! no interface has yet is listened on all the same (IP_FREEBIND): it is served as soon as one has
//! it. What cannot be opened now may work later: see [`is_refusal`].

mod passed;

pub use passed::Passed;

use super::channel::{Got, channel};
use super::tls::{Acceptor, Encrypted};
use crate::broker::Origin;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fs::Permissions;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What to listen on.
#[derive(Clone, Debug)]
pub struct Address {
    /// Where.
    pub bind: Bind,
    /// Only through this network interface.
    pub interface: Option<String>,
    /// Only IPv4 (`Some(false)`) or only IPv6 (`Some(true)`).
    pub only_ipv6: Option<bool>,
}

/// The kind of place.
#[derive(Clone, Debug)]
pub enum Bind {
    /// A TCP port, on one host or on all addresses.
    Tcp {
        /// Name or address.
        host: Option<String>,
        /// Port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// A socket that accepts connections.
pub enum Listening {
    /// TCP.
    Tcp(TcpListener),
    /// Unix, with the path to remove at the end.
    Unix(UnixListener, PathBuf),
    /// Unix, passed by the service manager, whose file it is.
    PassedUnix(UnixListener, PathBuf),
}

/// What an address came to.
#[derive(Default)]
pub struct Opened {
    /// The sockets that accept.
    pub sockets: Vec<Listening>,
    /// Those of their addresses that no interface has yet.
    pub absent: Vec<SocketAddr>,
}

/// A connection, of either kind.
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
    /// TCP with TLS.
    Tls(Box<Encrypted>),
}

/// Connections that the kernel completes before we accept them.
const BACKLOG: i32 = 1024;

/// How long others wait for the address of a host's name.
pub const PATIENCE: Duration = Duration::from_secs(2);

impl Address {
    /// The network interface whose number its sockets remember: that of `bind_interface`, or the
    /// scope of an address that is valid on one link only (`fe80::1%eth0`).
    pub fn device(&self) -> Option<&str> {
        let scope = match &self.bind {
            Bind::Tcp { host, .. } => host.as_deref().and_then(|host| host.split_once('%')),
            Bind::Unix(_) => None,
        };
        self.interface.as_deref().or(scope.map(|(_, name)| name))
    }

    /// Opens the sockets of this address, or takes those that the service manager passed for it.
    ///
    /// Fails with the first error if none could be opened; errors of single addresses of a host
    /// that has several are logged. A host's name is looked up for `patience` at most; without
    /// that, as long as the system takes.
    pub fn open(&self, passed: &mut Passed, patience: Option<Duration>) -> io::Result<Opened> {
        let (host, port) = match &self.bind {
            Bind::Unix(path) => {
                let socket = match passed.take_unix(path) {
                    Some(listener) => Listening::PassedUnix(listener, path.clone()),
                    None => open_unix(path)?,
                };
                let sockets = vec![socket];
                return Ok(Opened {
                    sockets,
                    ..Opened::default()
                });
            }
            Bind::Tcp { host, port } => (host, *port),
        };
        let mut addresses = match (host, patience) {
            (Some(name), Some(time)) if name.parse::<IpAddr>().is_err() => {
                let name = name.clone();
                within(time, move || resolve(Some(&name), port))?
            }
            _ => resolve(host.as_deref(), port)?,
        };
        addresses.retain(|a| {
            self.only_ipv6
                .is_none_or(|only_ipv6| a.is_ipv6() == only_ipv6)
        });
        let mut opened = Opened::default();
        let mut first_error = None;
        let has_both = host.is_none() && self.only_ipv6.is_none() && passed.has_both(port);
        for address in addresses {
            if address.is_ipv4() && has_both {
                continue;
            }
            if let Some(listener) = passed.take_tcp(address) {
                opened.sockets.push(Listening::Tcp(listener));
                continue;
            }
            match self.open_tcp(address) {
                Ok((listener, is_absent)) => {
                    opened.sockets.push(Listening::Tcp(listener));
                    opened.absent.extend(is_absent.then_some(address));
                }
                // A kernel without IPv6 is no reason to complain where nobody asked for it.
                Err(error) if host.is_none() && is_unsupported(&error) => {}
                Err(error) => {
                    let what = io::Error::new(error.kind(), format!("{address}: {error}"));
                    first_error.get_or_insert(what);
                }
            }
        }
        match (opened.sockets.is_empty(), first_error) {
            (true, Some(error)) => Err(error),
            (true, None) => Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "no address to listen on",
            )),
            (false, Some(error)) if host.is_none() => Err(error),
            (false, Some(error)) => {
                log::warn!("Warning: cannot listen on {error}");
                Ok(opened)
            }
            (false, None) => Ok(opened),
        }
    }

    /// A socket for one of its addresses, which is not bound yet.
    pub(super) fn socket(&self, address: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if let Some(interface) = &self.interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        Ok(socket)
    }

    /// A socket, and whether no interface has its address yet.
    fn open_tcp(&self, address: SocketAddr) -> io::Result<(TcpListener, bool)> {
        let socket = self.socket(address)?;
        let is_absent = match socket.bind(&address.into()) {
            Err(error) if is_absent(&error) && !address.ip().is_unspecified() => {
                match address {
                    SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
                    SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
                }
                socket.bind(&address.into())?;
                true
            }
            result => {
                result?;
                false
            }
        };
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok((TcpListener::from_std(socket.into()), is_absent))
    }
}

/// Whether an address that was not opened was refused by what others have or by rights, so that
/// time alone is not likely to mend it. Everything else may come: addresses, interfaces, names,
/// folders.
pub fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

/// Whether an interface has this address.
pub fn is_present(address: SocketAddr) -> bool {
    let mut any_port = address;
    any_port.set_port(0);
    match UdpSocket::bind(any_port) {
        Ok(_) => true,
        Err(error) => !is_absent(&error),
    }
}

/// The number that the kernel gave a network interface; another one when it was made anew.
pub fn interface_number(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Whether the kernel has no such kind of address.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL))
}

pub(super) fn resolve(host: Option<&str>, port: u16) -> io::Result<Vec<SocketAddr>> {
    let Some(host) = host else {
        return Ok(vec![
            (Ipv4Addr::UNSPECIFIED, port).into(),
            (Ipv6Addr::UNSPECIFIED, port).into(),
        ]);
    };
    let error = |e: io::Error| io::Error::new(e.kind(), format!("{host}: {e}"));
    Ok((host, port).to_socket_addrs().map_err(error)?.collect())
}

/// What a job on a thread of its own comes to, if it does in time.
fn within<T: Send + 'static>(
    time: Duration,
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, result) = channel(1);
    thread::Builder::new().spawn(move || tell.send(job()).is_ok())?;
    match result.recv_within(time) {
        Got::Item(result) => result,
        Got::Nothing | Got::Ended => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the name server has not answered yet",
        )),
    }
}

/// Whether somebody listens at a socket file. Who has no room for one more connection does, too: to
/// wait for that could take for ever.
pub(super) fn is_served(path: &Path) -> bool {
    let connected = Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    });
    connected.map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |()| true)
}

fn open_unix(path: &Path) -> io::Result<Listening> {
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if metadata.file_type().is_socket() && !is_served(path) {
            std::fs::remove_file(path)?;
        }
    }
    let listener = UnixListener::bind(path).and_then(|listener| {
        // Who may write to it may connect: its user and group, as with Mosquitto.
        std::fs::set_permissions(path, Permissions::from_mode(0o770))?;
        Ok(listener)
    });
    let listener =
        listener.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    Ok(Listening::Unix(listener, path.to_path_buf()))
}

impl Listening {
    /// The next connection, and the name of its other end for log lines.
    pub fn accept(&self) -> io::Result<(Stream, Origin)> {
        match self {
            Listening::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                let name = match address.ip().to_canonical() {
                    IpAddr::V4(ip) => Origin::V4(ip.octets(), address.port()),
                    ip @ IpAddr::V6(_) => format!("{ip}:{}", address.port()).as_str().into(),
                };
                Ok((Stream::Tcp(stream), name))
            }
            Listening::Unix(listener, path) | Listening::PassedUnix(listener, path) => {
                let (stream, _) = listener.accept()?;
                Ok((
                    Stream::Unix(stream),
                    path.display().to_string().as_str().into(),
                ))
            }
        }
    }

    /// The part that a poll can watch.
    pub fn source(&mut self) -> &mut dyn mio::event::Source {
        match self {
            Listening::Tcp(listener) => listener,
            Listening::Unix(listener, _) | Listening::PassedUnix(listener, _) => listener,
        }
    }

    /// What the log says of it, in Mosquitto's words.
    pub fn announcement(&self) -> String {
        let address = match self {
            Listening::Tcp(listener) => listener.local_addr(),
            Listening::Unix(_, path) | Listening::PassedUnix(_, path) => {
                return format!("Opening unix listen socket on path {}.", path.display());
            }
        };
        let family = if address.as_ref().is_ok_and(SocketAddr::is_ipv6) {
            "ipv6"
        } else {
            "ipv4"
        };
        let port = address.map_or(0, |address| address.port());
        format!("Opening {family} listen socket on port {port}.")
    }

    /// The file of a unix socket that we made.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Listening::Unix(_, path) => Some(path),
            Listening::Tcp(_) | Listening::PassedUnix(..) => None,
        }
    }

    /// The port that was bound, for a TCP listener.
    pub fn port(&self) -> Option<u16> {
        match self {
            Listening::Tcp(listener) => listener.local_addr().ok().map(|a| a.port()),
            Listening::Unix(..) | Listening::PassedUnix(..) => None,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Listening::Unix(_, path) = self {
            // It may be gone already, or not ours to remove.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Stream {
    /// The part that a poll can watch.
    pub fn source(&mut self) -> &mut dyn mio::event::Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
            Stream::Tls(stream) => stream.socket(),
        }
    }

    /// The addresses of client and broker; `None` for a unix socket.
    pub fn ends(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        let socket = match self {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => stream.socket(),
            Stream::Unix(_) => return None,
        };
        Some((socket.peer_addr().ok()?, socket.local_addr().ok()?))
    }

    /// The same connection, encrypted from its first byte on.
    pub fn encrypt(self, acceptor: &Acceptor) -> io::Result<Stream> {
        match self {
            Stream::Tcp(stream) => Ok(Stream::Tls(acceptor.accept(stream)?)),
            other => Ok(other),
        }
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Whether it is to be encrypted, and the handshake is not over.
    pub fn is_handshaking(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.is_handshaking())
    }

    /// The name in the other end's certificate, once, where that is to be its user name.
    pub fn identify(&mut self) -> Option<Box<str>> {
        match self {
            Stream::Tls(stream) => stream.identify(),
            _ => None,
        }
    }

    /// Whether the end of the stream has come, and the next read tells of it.
    pub fn has_ended(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.has_ended())
    }

    /// Whether it took bytes that wait for the network still.
    pub fn has_output(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.has_output())
    }

    /// Whether many pieces are as well written in one go as one is.
    pub fn takes_pieces(&self) -> bool {
        !self.is_encrypted()
    }

    /// Sends small packets at once (`set_tcp_nodelay`).
    pub fn set_nodelay(&self) {
        let Stream::Tcp(stream) = self else { return };
        // Speed, not correctness: a socket that cannot do it works all the same.
        let _ = stream.set_nodelay(true);
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        // The other end may have closed before; then there is nobody to tell.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
            Stream::Tls(stream) => return stream.finish(),
        };
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(pieces),
            Stream::Unix(stream) => stream.write_vectored(pieces),
            Stream::Tls(stream) => stream.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tls(stream) => stream.flush(),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::TempDir;

    #[test]
    fn nobody_waits_longer_for_a_name_than_the_patience_lasts() {
        let quick = within(Duration::MAX, || Ok(1));
        assert_eq!(quick.ok(), Some(1));
        // A name server that never answers.
        let (end, never) = channel::<()>(1);
        let slow = within(Duration::from_millis(1), move || Ok(never.recv()));
        let kind = slow.map_err(|error| error.kind());
        assert_eq!(kind, Err(io::ErrorKind::TimedOut));
        drop(end);
    }

    #[test]
    fn nobody_waits_for_who_listens_at_a_socket_file_and_accepts_nothing() {
        let folder = TempDir::new();
        let path = folder.path().join("socket");
        let _hung = std::os::unix::net::UnixListener::bind(&path).expect("the folder is new");
        let mut waiting = Vec::new();
        let full = loop {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("any can be");
            let address = SockAddr::unix(&path).expect("it is short");
            match socket.connect(&address) {
                Ok(()) => waiting.push(socket),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let opened = within(Duration::from_secs(30), move || open_unix(&path).map(drop));
        let kind = opened.map_err(|error| error.kind());
        assert_eq!(kind, Err(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn a_name_of_this_machine_is_opened_with_patience_or_without() {
        for patience in [None, Some(PATIENCE)] {
            let address = Address {
                bind: Bind::Tcp {
                    host: Some("localhost".into()),
                    port: 0,
                },
                interface: None,
                only_ipv6: Some(false),
            };
            let opened = address.open(&mut Passed::default(), patience);
            let opened = opened.expect("localhost is always there");
            assert!(opened.sockets[0].port().is_some());
        }
    }
}
