//! In place of TLS when the program is built without it: nothing of it can exist.
//!
//! `Settings::complete` refuses the flags of TLS, so nobody gets here with them.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};

use super::settings::Settings;
use super::tls_fault::TlsFault;

/// What there is none of.
pub enum Tls {}

/// What there is none of.
pub enum TlsStream {}

impl Tls {
    /// None: this build has no TLS.
    pub fn new(_settings: &Settings) -> Result<Option<Tls>, TlsFault> {
        Ok(None)
    }

    /// Cannot be called.
    pub fn open(
        &self,
        _stream: TcpStream,
        _deadline: Option<Instant>,
        _patience: Duration,
    ) -> Result<TlsStream, TlsFault> {
        match *self {}
    }
}

impl TlsStream {
    /// Cannot be called.
    pub fn register(
        &mut self,
        _registry: &Registry,
        _token: Token,
        _interest: Interest,
    ) -> io::Result<()> {
        match *self {}
    }

    /// Cannot be called.
    pub fn shut_down_writing(&mut self) -> io::Result<()> {
        match *self {}
    }
}

impl Read for TlsStream {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }
}

impl Write for TlsStream {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }
}
