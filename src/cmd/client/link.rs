//! The byte stream to the broker: TCP, through a proxy or not, encrypted or not, or a unix socket.
//!
//! Opening blocks (and is bounded by `-W` if given); the open stream does not.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::settings::Settings;
use super::tls::{Tls, TlsStream};
use super::tls_fault::{Stage, TlsFault};
use super::{exit, socks};

/// How long a proxy may take for all of its answers.
const PROXY_PATIENCE: Duration = Duration::from_secs(30);

/// An open stream; reads and writes do not block.
pub enum Link {
    /// TCP
    Tcp(mio::net::TcpStream),
    /// TLS over TCP
    Tls(Box<TlsStream>),
    /// A unix domain socket
    Unix(mio::net::UnixStream),
}

/// Why there is no stream.
#[derive(Debug)]
pub enum ConnectError {
    /// The host name could not be resolved.
    Lookup(String),
    /// `-W` ran out.
    TimedOut,
    /// The proxy does not help.
    Proxy(io::Error),
    /// TLS says so.
    Tls(TlsFault),
    /// The system says so, for the last address tried.
    System(io::Error),
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConnectError::Lookup(host) => {
                write!(f, "Unable to connect (Lookup error: {host}).")
            }
            ConnectError::TimedOut => f.write_str("Timed out"),
            ConnectError::Proxy(error) => {
                write!(
                    f,
                    "Unable to connect (Proxy error: {}).",
                    exit::system_words(error)
                )
            }
            ConnectError::Tls(fault) => fault.fmt(f),
            ConnectError::System(error) => write!(f, "Error: {}", exit::system_words(error)),
        }
    }
}

impl Link {
    /// Opens the stream that the settings describe, until `deadline` at most. A host name with
    /// several addresses is tried address by address.
    pub fn open(
        settings: &Settings,
        tls: Option<&Tls>,
        deadline: Option<Instant>,
    ) -> Result<Link, ConnectError> {
        if let Some(path) = &settings.unix {
            let stream = open_unix(path, deadline)?;
            stream.set_nonblocking(true).map_err(ConnectError::System)?;
            return Ok(Link::Unix(mio::net::UnixStream::from_std(stream)));
        }
        let stream = open_any(settings, deadline)?;
        if let Some(tls) = tls {
            // As patient as with the answer to CONNECT.
            let patience = Duration::from_secs(u64::from(settings.keep_alive_s));
            let stream = tls.open(stream, deadline, patience);
            let stream = stream.map_err(|fault| match (fault.stage, deadline) {
                (Stage::Silence, Some(end)) if Instant::now() >= end => ConnectError::TimedOut,
                _ => ConnectError::Tls(fault),
            })?;
            return Ok(Link::Tls(Box::new(stream)));
        }
        stream.set_nonblocking(true).map_err(ConnectError::System)?;
        Ok(Link::Tcp(mio::net::TcpStream::from_std(stream)))
    }

    /// Has `registry` watch it.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Link::Tcp(stream) => registry.register(stream, token, interest),
            Link::Tls(stream) => stream.register(registry, token, interest),
            Link::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// Tells the broker that nothing more follows.
    pub fn shut_down_writing(&mut self) -> io::Result<()> {
        match self {
            Link::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Link::Tls(stream) => stream.shut_down_writing(),
            Link::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Tcp(stream) => stream.read(buffer),
            Link::Tls(stream) => stream.read(buffer),
            Link::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Link::Tcp(stream) => stream.write(bytes),
            Link::Tls(stream) => stream.write(bytes),
            Link::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Tls(stream) => stream.flush(),
            // What was written has left.
            Link::Tcp(_) | Link::Unix(_) => Ok(()),
        }
    }
}

/// Opens a stream to the first address that answers; it blocks.
fn open_any(
    settings: &Settings,
    deadline: Option<Instant>,
) -> Result<std::net::TcpStream, ConnectError> {
    let (host, port) = match &settings.proxy {
        Some(proxy) => (proxy.host.as_str(), proxy.port),
        None => (settings.host.as_str(), settings.port()),
    };
    let local = match &settings.bind_address {
        Some(address) => resolve(address, 0)?,
        None => Vec::new(),
    };
    let mut failure = None;
    for address in resolve(host, port)? {
        match open_tcp(address, &local, settings, deadline) {
            Ok(stream) => return Ok(stream),
            Err(ConnectError::TimedOut) => return Err(ConnectError::TimedOut),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| ConnectError::Lookup(host.to_owned())))
}

fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    match (host, port).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        // A system without /etc/hosts or a resolver still has its loopback.
        Err(_) if host == "localhost" => Ok(vec![
            (Ipv4Addr::LOCALHOST, port).into(),
            (Ipv6Addr::LOCALHOST, port).into(),
        ]),
        Err(_) => Err(ConnectError::Lookup(host.to_owned())),
    }
}

/// A listener whose queue is full makes us wait until it has room.
fn open_unix(path: &Path, deadline: Option<Instant>) -> Result<UnixStream, ConnectError> {
    let left = remaining(deadline)?;
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Linux bounds connecting by it, too.
        socket.set_write_timeout(left)?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    match open() {
        Ok(socket) => Ok(socket.into()),
        Err(_) if remaining(deadline).is_err() => Err(ConnectError::TimedOut),
        Err(error) => Err(ConnectError::System(error)),
    }
}

fn open_tcp(
    address: SocketAddr,
    local: &[SocketAddr],
    settings: &Settings,
    deadline: Option<Instant>,
) -> Result<std::net::TcpStream, ConnectError> {
    let stream = connect(address, local, settings.nodelay, deadline)?;
    let stream = std::net::TcpStream::from(stream);
    if let Some(proxy) = &settings.proxy {
        let limit = Instant::now() + PROXY_PATIENCE;
        let limit = deadline.map_or(limit, |deadline| deadline.min(limit));
        let mut hurried = Hurried(&stream, limit);
        let made = socks::handshake(&mut hurried, proxy, &settings.host, settings.port());
        made.map_err(|error| match remaining(deadline) {
            Ok(_) => ConnectError::Proxy(error),
            Err(ran_out) => ran_out,
        })?;
    }
    Ok(stream)
}

fn connect(
    address: SocketAddr,
    local: &[SocketAddr],
    nodelay: bool,
    deadline: Option<Instant>,
) -> Result<Socket, ConnectError> {
    let open = || -> io::Result<Socket> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if !local.is_empty() {
            let same = local.iter().find(|own| own.is_ipv4() == address.is_ipv4());
            let own = same.ok_or(nix::errno::Errno::EADDRNOTAVAIL)?;
            socket.bind(&(*own).into())?;
        }
        if nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(socket)
    };
    let socket = open().map_err(ConnectError::System)?;
    let connected = match remaining(deadline)? {
        Some(left) => socket.connect_timeout(&address.into(), left),
        None => socket.connect(&address.into()),
    };
    match connected {
        Ok(()) => Ok(socket),
        // The system's own patience may end before ours.
        Err(_) if remaining(deadline).is_err() => Err(ConnectError::TimedOut),
        Err(error) => Err(ConnectError::System(error)),
    }
}

/// A blocking stream that is read from until a time, however few bytes come at once.
struct Hurried<'a>(&'a std::net::TcpStream, Instant);

impl Read for Hurried<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Hurried(stream, limit) = self;
        let left = limit.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(nix::errno::Errno::ETIMEDOUT.into());
        }
        stream.set_read_timeout(Some(left))?;
        stream.read(buffer)
    }
}

impl Write for Hurried<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What is left until the deadline; an error when nothing is.
fn remaining(deadline: Option<Instant>) -> Result<Option<Duration>, ConnectError> {
    let Some(deadline) = deadline else {
        return Ok(None);
    };
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(Some(left)),
        _ => Err(ConnectError::TimedOut),
    }
}
