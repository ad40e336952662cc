//! The generator's end of TLS, and the certificate for the broker's.
//!
//! rustls over a socket of the loop, as plain for its users as a socket. Nothing is resumed: each
//! connection that is counted makes a whole handshake.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, Ipv4Addr, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// What a listener with TLS needs, and what its clients do.
pub struct Tls {
    /// Lines of mosquitto.conf: one more listener.
    pub settings: String,
    /// Its port.
    pub port: u16,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Makes a certificate (ECDSA on P-256, as a gateway would have) in this folder.
    pub fn new(dir: &Path) -> Result<Tls, String> {
        let (cert, key) = (dir.with_file_name("tls.crt"), dir.with_file_name("tls.key"));
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
                     -subj /CN=bench -addext subjectAltName=IP:127.0.0.1 \
                     -addext basicConstraints=critical,CA:FALSE -keyout";
        let made = Command::new("openssl")
            .args(words.split_whitespace())
            .args([&key, "-out", &cert])
            .output()
            .map_err(|e| format!("openssl: {e}"))?;
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr);
            return Err(format!("openssl: {why}"));
        }
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_file(&cert).map_err(|e| format!("{cert}: {e}"))?;
        roots.add(der).map_err(|e| format!("{cert}: {e}"))?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|e| format!("a free port: {e}"))?
            .port();
        let settings = format!("listener {port} 127.0.0.1\ncertfile {cert}\nkeyfile {key}\n");
        Ok(Tls {
            settings,
            port,
            config: Arc::new(config),
        })
    }

    /// One more connection, to be driven over a socket.
    pub fn connection(&self) -> Result<Box<ClientConnection>, String> {
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])));
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        connection.map(Box::new).map_err(|e| e.to_string())
    }
}

/// A socket of the loop that is encrypted, or not.
pub struct Socket {
    pub tcp: mio::net::TcpStream,
    pub tls: Option<Box<ClientConnection>>,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.tcp.read(buffer);
        };
        loop {
            match tls.reader().read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            tls.read_tls(&mut self.tcp)?;
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.tcp.write(bytes);
        };
        while tls.wants_write() {
            tls.write_tls(&mut self.tcp)?;
        }
        let taken = tls.writer().write(bytes)?;
        match self.flush() {
            // What is encrypted already goes out before anything else does.
            Err(e) if e.kind() != ErrorKind::WouldBlock => Err(e),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        while tls.wants_write() {
            tls.write_tls(&mut self.tcp)?;
        }
        Ok(())
    }
}
