//! SOCKS5 (RFC 1928, RFC 1929): asking a proxy to connect to the broker for us.
//!
//! The proxy resolves the host name. The stream is blocking; how long it may take is the caller's.

use std::io::{self, Read, Write};
use std::net::IpAddr;

use super::url::Proxy;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USERNAME_PASSWORD: u8 = 2;

/// Asks the proxy at the other end of `stream` for a connection to `host`.
pub fn handshake(
    stream: &mut (impl Read + Write),
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> io::Result<()> {
    greet(stream, proxy)?;
    let mut request = vec![VERSION, 1, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let len = u8::try_from(host.len())
                .map_err(|_| other("the host name is too long for a proxy"))?;
            request.extend_from_slice(&[3, len]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request)?;
    read_reply(stream)
}

fn greet(stream: &mut (impl Read + Write), proxy: &Proxy) -> io::Result<()> {
    let method = match proxy.username {
        Some(_) => USERNAME_PASSWORD,
        None => NO_AUTHENTICATION,
    };
    stream.write_all(&[VERSION, 1, method])?;
    let [version, chosen] = read(stream)?;
    if version != VERSION || chosen != method {
        return Err(other("the proxy does not accept this kind of sign-in"));
    }
    let Some(username) = &proxy.username else {
        return Ok(());
    };
    let password = proxy.password.as_deref().unwrap_or("");
    // `Proxy::parse` has seen to it that both fit a byte.
    let mut request = vec![1, username.len() as u8];
    request.extend_from_slice(username.as_bytes());
    request.push(password.len() as u8);
    request.extend_from_slice(password.as_bytes());
    stream.write_all(&request)?;
    match read(stream)? {
        [_, 0] => Ok(()),
        [_, _] => Err(other("the proxy refuses the user name or password")),
    }
}

fn read_reply(stream: &mut impl Read) -> io::Result<()> {
    let [version, code, _, address_type] = read(stream)?;
    if version != VERSION {
        return Err(other("the proxy does not speak SOCKS5"));
    }
    if code != 0 {
        return Err(other(match code {
            2 => "the proxy does not allow the connection",
            3 => "the proxy cannot reach the broker's network",
            4 => "the proxy cannot reach the broker's host",
            5 => "the broker refused the proxy's connection",
            6 => "the proxy ran out of time",
            _ => "the proxy failed",
        }));
    }
    let len = match address_type {
        1 => 4,
        4 => 16,
        3 => {
            let [len] = read(stream)?;
            usize::from(len)
        }
        _ => return Err(other("the proxy answers with an unknown kind of address")),
    };
    // The address it bound, and its port: of no use to us.
    let mut rest = [0; 257];
    stream.read_exact(&mut rest[..len + 2])
}

fn read<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn other(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that answers with `answers` and keeps what was written.
    struct Script {
        answers: io::Cursor<Vec<u8>>,
        written: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.answers.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.written.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn run(url: &str, host: &str, answers: &[u8]) -> (io::Result<()>, Vec<u8>) {
        let mut stream = Script {
            answers: io::Cursor::new(answers.to_vec()),
            written: Vec::new(),
        };
        let result = handshake(&mut stream, &Proxy::parse(url).unwrap(), host, 1883);
        (result, stream.written)
    }

    #[test]
    fn a_name_is_left_to_the_proxy() {
        let answers = b"\x05\0\x05\0\0\x01\x7f\0\0\x01\x12\x34";
        let (result, written) = run("socks5h://proxy", "broker", answers);
        assert!(result.is_ok());
        assert_eq!(written, b"\x05\x01\0\x05\x01\0\x03\x06broker\x07\x5b");
    }

    #[test]
    fn user_name_and_password_are_sent_when_there_are_any() {
        let answers = b"\x05\x02\x01\0\x05\0\0\x03\x01x\x12\x34";
        let (result, written) = run("socks5h://me:pw@proxy", "10.0.0.1", answers);
        assert!(result.is_ok());
        let expected = b"\x05\x01\x02\x01\x02me\x02pw\x05\x01\0\x01\x0a\0\0\x01\x07\x5b";
        assert_eq!(written, expected);
    }

    #[test]
    fn every_refusal_is_an_error() {
        for answers in [
            &b"\x05\xff"[..],
            b"\x04\0",
            b"\x05\0\x05\x05\0\x01\0\0\0\0\0\0",
            b"\x05\0\x05\0\0\x07",
            b"\x05\0\x05\0\0\x01\0",
            b"",
        ] {
            assert!(run("socks5h://proxy", "broker", answers).0.is_err());
        }
        assert!(
            run("socks5h://me@proxy", "broker", b"\x05\x02\x01\x01")
                .0
                .is_err()
        );
    }
}
