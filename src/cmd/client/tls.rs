//! TLS for the clients: settings to a rustls configuration, and the stream of an open connection.
//!
//! The handshake blocks, as opening a link does. Once it is done the stream does not block, and it
//! behaves like a socket of its own: [`Read`] gives what the broker said, [`Write`] takes at most
//! `CHUNK` bytes and only when everything before has left, so that nothing piles up; `flush`
//! says whether all has left.

mod ciphers;
mod der;
mod files;
mod legacy;
mod verify;
mod words;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use rustls::client::WantsClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, Error, InconsistentKeys};

use super::settings::Settings;
use super::tls_fault::{Stage, TlsFault};
use crate::host::tls::UNKNOWN_KEY;
use verify::Verifier;

/// Plaintext taken at a time: what fits one record of TLS.
const CHUNK: usize = 1 << 14;

/// What is needed to open encrypted connections: made once, for all of them.
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// An open encrypted connection.
pub struct TlsStream {
    connection: ClientConnection,
    socket: mio::net::TcpStream,
}

impl Tls {
    /// Reads what the settings name; none if they do not ask for TLS.
    pub fn new(settings: &Settings) -> Result<Option<Tls>, TlsFault> {
        if !settings.uses_tls() {
            return Ok(None);
        }
        let set_up = |why: String| TlsFault::new(Stage::SetUp, why);
        let mut provider = rustls::crypto::ring::default_provider();
        if let Some(list) = &settings.tls.ciphers {
            provider.cipher_suites = ciphers::select(list, provider.cipher_suites)
                .ok_or_else(|| set_up(format!("--ciphers: '{list}' names no known cipher.")))?;
        }
        let provider = Arc::new(provider);
        let trusted = files::trusted(settings)?;
        let verifier = Verifier::new(trusted, &provider, settings.tls.insecure)?;
        let versions: &[_] = match settings.tls.only_1_3 {
            true => &[&TLS13],
            false => &[&TLS13, &TLS12],
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| set_up(format!("--ciphers and --tls-version: {error}.")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = with_certificate(builder, settings)?;
        if let Some(protocol) = &settings.tls.alpn {
            config.alpn_protocols = vec![protocol.clone().into_bytes()];
        }
        let host = &settings.host;
        let name = server_name(host, settings.tls.insecure).ok_or_else(|| {
            set_up(format!(
                "'{host}' is no host name that a certificate can have."
            ))
        })?;
        Ok(Some(Tls {
            config: Arc::new(config),
            name,
        }))
    }

    /// Does the handshake, until `deadline`; no answer may take longer than `patience`.
    pub fn open(
        &self,
        mut socket: TcpStream,
        deadline: Option<Instant>,
        patience: Duration,
    ) -> Result<TlsStream, TlsFault> {
        let broken = |error: io::Error| TlsFault::new(Stage::Cut, words::cut(&error));
        let mut connection = ClientConnection::new(self.config.clone(), self.name.clone())
            .map_err(|error| self.fault(Stage::SetUp, &error))?;
        let limit = Instant::now() + patience;
        let limit = deadline.map_or(limit, |deadline| deadline.min(limit));
        while connection.is_handshaking() || connection.wants_write() {
            if connection.wants_write() {
                connection.write_tls(&mut socket).map_err(broken)?;
                continue;
            }
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TlsFault::new(Stage::Silence, words::SILENCE));
            }
            socket.set_read_timeout(Some(left)).map_err(broken)?;
            match connection.read_tls(&mut socket) {
                Ok(0) => return Err(TlsFault::new(Stage::Cut, words::CLOSED)),
                Ok(_) => {}
                Err(error) if is_pause(&error) => continue,
                Err(error) => return Err(broken(error)),
            }
            if let Err(error) = connection.process_new_packets() {
                // The broker may be told why, if it still listens.
                let _ = connection.write_tls(&mut socket);
                return Err(self.fault(Stage::Handshake, &error));
            }
        }
        socket.set_nonblocking(true).map_err(broken)?;
        Ok(TlsStream {
            connection,
            socket: mio::net::TcpStream::from_std(socket),
        })
    }

    fn fault(&self, stage: Stage, error: &Error) -> TlsFault {
        TlsFault::new(stage, words::of(error, &self.name.to_str()))
    }
}

/// What the broker's certificate has to be for, if not for any name.
fn server_name(host: &str, any_name: bool) -> Option<ServerName<'static>> {
    // Behind `%` stands the interface to a link-local address, which only this machine knows.
    let bare = match host.split_once('%') {
        Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => address,
        _ => host,
    };
    match ServerName::try_from(bare.to_owned()) {
        Ok(name) => Some(name),
        // Something that the resolver takes, such as 127.1. The broker is not asked for an address
        // by name, so that any does for none.
        Err(_) if any_name => Some(IpAddr::from(Ipv4Addr::UNSPECIFIED).into()),
        Err(_) => None,
    }
}

/// Adds the client's own certificate and key, if the settings name them.
fn with_certificate(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    settings: &Settings,
) -> Result<ClientConfig, TlsFault> {
    let (Some(cert), Some(key)) = (&settings.tls.cert, &settings.tls.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let fault = |why: String| TlsFault::new(Stage::SetUp, why);
    let chain = files::certificates(cert, "--cert")?;
    let secret = files::private_key(key)?;
    let secret = builder
        .crypto_provider()
        .key_provider
        .load_private_key(secret)
        .map_err(|_| fault(format!("--key: {}: {UNKNOWN_KEY}.", key.display())))?;
    let own = CertifiedKey::new(chain, secret);
    // Certificates that cannot be looked into, such as those of version 1, are the broker's to
    // judge.
    let mismatch = Error::InconsistentKeys(InconsistentKeys::KeyMismatch);
    if own.keys_match() == Err(mismatch) {
        let (cert, key) = (cert.display(), key.display());
        return Err(fault(format!(
            "{key} is not the key of the certificate {cert}."
        )));
    }
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))))
}

/// Whether reading may go on: a signal or the end of a time-out.
fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

impl TlsStream {
    /// Has `registry` watch its socket.
    pub fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        registry.register(&mut self.socket, token, interest)
    }

    /// Tells the broker that nothing more follows.
    pub fn shut_down_writing(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        // What the socket does not take now was only a courtesy.
        let _ = self.flush();
        self.socket.shutdown(Shutdown::Write)
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The end without a good-bye: as with plain TCP, the packets tell what is whole.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            self.connection.read_tls(&mut self.socket)?;
            if let Err(error) = self.connection.process_new_packets() {
                let _ = self.flush();
                let fault = TlsFault::new(Stage::Open, words::of(&error, ""));
                return Err(io::Error::other(fault));
            }
            // Answers of TLS itself; what does not leave now leaves with the next words.
            match self.flush() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let chunk = &bytes[..bytes.len().min(CHUNK)];
        let len = self.connection.writer().write(chunk)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(len),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_the_names_of_certificates_or_need_none() {
        for (host, name) in [
            ("broker.example", Some("broker.example")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("broker%eth0", None),
            ("127.1", None),
        ] {
            let found = server_name(host, false);
            assert_eq!(
                found.map(|found| found.to_str().into_owned()).as_deref(),
                name
            );
            let any = server_name(host, true).unwrap();
            assert!(name.is_some() || matches!(any, ServerName::IpAddress(_)));
        }
    }
}
