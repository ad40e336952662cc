//! In place of `tls` where that is not built in: there are no encrypted connections.

use crate::conf::Tls;
use mio::net::TcpStream;
use std::io::{self, Read, Write};

/// See `tls`.
pub const CONNECTION_BYTES: usize = 0;

/// There is none.
pub enum Acceptor {}

/// There is none.
pub enum Encrypted {}

impl Acceptor {
    /// # Errors
    /// Always: the configuration refuses such listeners before.
    pub fn new(_: &Tls) -> Result<Acceptor, String> {
        Err("this build has no TLS".to_string())
    }

    /// See `tls`.
    pub fn accept(&self, _: TcpStream) -> io::Result<Box<Encrypted>> {
        match *self {}
    }

    /// See `tls`.
    pub fn expires_s(&self) -> Option<u64> {
        match *self {}
    }
}

impl Encrypted {
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        match *self {}
    }

    /// See `tls`.
    pub fn is_handshaking(&self) -> bool {
        match *self {}
    }

    /// See `tls`.
    pub fn identify(&mut self) -> Option<Box<str>> {
        match *self {}
    }

    /// See `tls`.
    pub fn has_ended(&self) -> bool {
        match *self {}
    }

    /// See `tls`.
    pub fn has_output(&self) -> bool {
        match *self {}
    }

    /// See `tls`.
    pub fn finish(&mut self) {
        match *self {}
    }
}

impl Read for Encrypted {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }
}

impl Write for Encrypted {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }
}
