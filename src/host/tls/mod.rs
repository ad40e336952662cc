//! TLS on listeners: rustls between a socket and its link.
//!
//! [`Encrypted`] looks like a socket: what it reads is plain, what is written to it goes out
//! encrypted. It reads until the socket is empty or the buffer full, as the loop expects of a
//! socket, and takes output only while little of it waits for the network. [`Acceptor`] is what
//! the files of a listener come to; a reload makes new ones, and connections keep theirs.
//!
//! Handshakes cost a stranger little and us a signature. They are done in the loop, which bounds
//! how many are under way and what part of the time they get.
//!
//! Bounds: 64 KiB of output for a connection, and what rustls needs for one record or handshake.

mod certificate;
mod ciphers;
mod config;
mod dates;

pub use config::{Acceptor, Dated, UNKNOWN_KEY, dates};

use mio::net::TcpStream;
use rustls::ServerConnection;
use std::io::{self, ErrorKind, Read, Write};

/// Output that waits for the network, for one connection.
const OUTPUT_MAX: usize = 64 * 1024;

/// What an encrypted connection takes of memory besides its link, roughly.
pub const CONNECTION_BYTES: usize = 16 * 1024;

/// A socket whose other end speaks TLS.
pub struct Encrypted {
    socket: TcpStream,
    tls: ServerConnection,
    /// The other end has said its last.
    has_ended: bool,
    /// What of the client's certificate is its user name, and whether that was asked for.
    identity: Option<crate::conf::Identity>,
    is_identified: bool,
}

impl Encrypted {
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Whether the handshake is not over.
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// The name of the other end as its certificate tells it, once, when the handshake is over;
    /// `None` before and afterwards, and where it has no name or names do not matter.
    pub fn identify(&mut self) -> Option<Box<str>> {
        let part = self.identity?;
        if self.is_identified || self.tls.is_handshaking() {
            return None;
        }
        self.is_identified = true;
        let certificate = self.tls.peer_certificates().and_then(<[_]>::first);
        certificate.and_then(|der| certificate::name(der, part))
    }

    /// Whether the end of the stream is known, and the next read tells of it.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether output waits for the network.
    pub fn has_output(&self) -> bool {
        self.tls.wants_write()
    }

    /// Sends what waits, as far as the network takes it.
    fn send(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        self.tls.send_close_notify();
        // The other end may have closed before; then there is nobody to tell.
        let _ = self.send();
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// Takes in what the socket has; `false` when it has no more for now, or ever.
    fn take_in(&mut self) -> io::Result<bool> {
        let mut source = Source {
            socket: &mut self.socket,
            is_drained: false,
        };
        let read = self.tls.read_tls(&mut source);
        let is_drained = source.is_drained;
        match read {
            Ok(0) => {
                self.has_ended = true;
                Ok(false)
            }
            Ok(_) => {
                let state = self.tls.process_new_packets();
                // The answer of a handshake, or the alert that tells what is wrong.
                let flushed = self.send();
                match state {
                    Ok(state) => self.has_ended |= state.peer_has_closed(),
                    Err(error) => return Err(explain(&error)),
                }
                flushed.map(|()| !is_drained)
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(true),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// A socket that says whether it had less than was asked for: then it has no more for now, and the
/// next event tells of what comes.
struct Source<'a> {
    socket: &'a mut TcpStream,
    is_drained: bool,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.socket.read(buffer)?;
        self.is_drained = n < buffer.len();
        Ok(n)
    }
}

/// What the log says, as far as possible in words that an owner can do something with.
fn explain(error: &rustls::Error) -> io::Error {
    use rustls::{AlertDescription, Error, InvalidMessage};
    let what = match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "TLS: it does not speak TLS".to_string()
        }
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown,
        ) => format!("TLS: it does not trust our certificate ({error})"),
        Error::NoCertificatesPresented => {
            "TLS: it has no certificate, and require_certificate is true".to_string()
        }
        other => format!("TLS: {other}"),
    };
    let what = if what.contains("UnsupportedCertVersion") {
        "TLS: its certificate is of X.509 version 1: make it with an extension (openssl x509 -req \
         -extfile ...), and it is version 3"
    } else if what.contains("CaUsedAsEndEntity") {
        "TLS: its certificate is an authority's own (CA:TRUE): make it with the extension \
         basicConstraints=CA:FALSE, signed by an authority"
    } else {
        &what
    };
    io::Error::new(ErrorKind::InvalidData, what)
}

impl Read for Encrypted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut len = 0;
        loop {
            match self.tls.reader().read(&mut buffer[len..]) {
                // Closed without a good bye is closed all the same: MQTT has its own.
                Ok(0) => self.has_ended = true,
                Ok(n) => len += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => self.has_ended = true,
                Err(e) => return Err(e),
            }
            if len == buffer.len() || len == 0 && self.has_ended {
                return Ok(len);
            }
            if !self.has_ended && self.take_in()? {
                continue;
            }
            // What came with the last bytes may be there still.
            return match self.tls.reader().read(&mut buffer[len..]) {
                Ok(n) if len + n > 0 => Ok(len + n),
                _ if len > 0 => Ok(len),
                _ if self.has_ended => Ok(0),
                _ => Err(ErrorKind::WouldBlock.into()),
            };
        }
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send()?;
        let mut taken = 0;
        while taken < bytes.len() {
            let n = self.tls.writer().write(&bytes[taken..])?;
            if n == 0 {
                break;
            }
            taken += n;
            self.send()?;
        }
        if taken == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}
