//! A client of bare bytes, for what no well-behaved client would say, and for quick questions.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::Broker;
use super::frame::cut;
use super::read_some;
use crate::wait::LIMIT;

/// A CONNECT in the making.
#[derive(Clone)]
pub struct Connect {
    level: u8,
    id: String,
    flags: u8,
    keep_alive_s: u16,
    will: Vec<u8>,
    user: Option<String>,
    password: Option<String>,
}

impl Connect {
    /// MQTT 3.1.1, clean session, keep alive 60.
    pub fn new(id: &str) -> Self {
        Self {
            level: 4,
            id: id.to_string(),
            flags: 0x02,
            keep_alive_s: 60,
            will: Vec::new(),
            user: None,
            password: None,
        }
    }

    pub fn v5(mut self) -> Self {
        self.level = 5;
        self
    }

    pub fn keep_session(mut self) -> Self {
        self.flags &= !0x02;
        self
    }

    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive_s = seconds;
        self
    }

    pub fn user(mut self, name: Option<&str>, password: Option<&str>) -> Self {
        self.user = name.map(str::to_string);
        self.password = password.map(str::to_string);
        self
    }

    pub fn will(mut self, topic: &str, payload: &str, qos: u8) -> Self {
        self.flags |= 0x04 | (qos << 3);
        self.will = [string(topic), string(payload)].concat();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut flags = self.flags;
        let mut body = string("MQTT");
        flags |= u8::from(self.user.is_some()) << 7 | u8::from(self.password.is_some()) << 6;
        body.extend([self.level, flags]);
        body.extend(self.keep_alive_s.to_be_bytes());
        if self.level == 5 {
            body.push(0);
        }
        body.extend(string(&self.id));
        body.extend(&self.will);
        for text in [&self.user, &self.password].into_iter().flatten() {
            body.extend(string(text));
        }
        packet(0x10, &body)
    }
}

pub fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

pub fn packet(header: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![header];
    let mut left = body.len();
    loop {
        let more = u8::from(left > 127) << 7;
        bytes.push((left % 128) as u8 | more);
        left /= 128;
        if left == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// A SUBSCRIBE of MQTT 3 with one filter and packet id 1.
pub fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 1][..], &string(filter), &[qos]].concat())
}

/// A PUBLISH of MQTT 3; the id counts only above QoS 0.
pub fn publish(header: u8, topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let id: &[u8] = if header & 0x06 == 0 { &[] } else { &id };
    packet(header, &[&string(topic), id, payload].concat())
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub struct Raw {
    stream: Box<dyn Stream>,
    pending: Vec<u8>,
}

impl Raw {
    pub fn tcp(host: &str, port: u16) -> Self {
        Self::accepted(TcpStream::connect((host, port)).unwrap())
    }

    /// The other side's end of a connection, or our own.
    pub fn accepted(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: Box::new(stream),
            pending: Vec::new(),
        }
    }

    pub fn unix(path: &str) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self {
            stream: Box::new(stream),
            pending: Vec::new(),
        }
    }

    pub fn to(broker: &Broker) -> Self {
        Self::tcp("127.0.0.1", broker.port())
    }

    /// Connects and returns it with the CONNACK.
    #[track_caller]
    pub fn sign_in(broker: &Broker, connect: &Connect) -> (Self, Vec<u8>) {
        let mut raw = Self::to(broker);
        raw.send(&connect.bytes());
        let answer = raw.receive();
        (raw, answer)
    }

    /// Connects, and has to be welcome.
    #[track_caller]
    pub fn welcome(broker: &Broker, connect: &Connect) -> Self {
        let (raw, answer) = Self::sign_in(broker, connect);
        assert_eq!(answer[..1], [0x20]);
        assert_eq!(answer[3], 0, "{answer:02x?}");
        raw
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next packet.
    #[track_caller]
    pub fn receive(&mut self) -> Vec<u8> {
        self.try_receive().expect("closed in place of a packet")
    }

    /// Sends to a broker that may have closed.
    pub fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next packet, or none when the broker closes.
    pub fn try_receive(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(packet) = cut(&mut self.pending) {
                return Some(packet);
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// Waits for the broker to close, whatever it still sends.
    #[track_caller]
    pub fn closed(mut self) {
        while self.read() {}
    }

    /// False at the end.
    #[track_caller]
    fn read(&mut self) -> bool {
        let mut chunk = [0; 4096];
        match read_some(&mut self.stream, &mut chunk) {
            Ok(n) => {
                self.pending.extend_from_slice(&chunk[..n]);
                n > 0
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => false,
            Err(e) => panic!("nothing came in {:?}: {e}", Duration::from_secs(40)),
        }
    }
}
