//! Taps: what goes over a link, packet by packet, for the eyes of people.
//!
//! A link gets a `Tap` when it is accepted, and only if somebody wants to look: `log_type
//! packets` writes a line for each packet, [`Capture`] keeps them in a file. Without one a link is
//! as fast as ever: one look at an empty pointer for each read and write. A reload that turns this
//! on counts for connections that come afterwards; one that turns it off, or names another file,
//! counts at once.
//!
//! A tap stands behind the encryption, so what it sees is plain. It follows the borders of packets
//! in both directions, because secrets must not get out (a CONNECT is held back until it is whole,
//! then blanked), and because a file must begin with a whole packet to be understood: in each new
//! file a connection introduces itself with a TCP handshake and a copy of its CONNECT.
//!
//! Bounds: `KEPT_MAX` bytes of a packet for each direction of a link.

use super::capture::{Capture, Flow, MQTT_PORT, Segment, Target, flags};
use super::listen::Stream;
use crate::broker::Origin;
use crate::wire::{Connect, FixedHeader, Version, View, blank_secrets};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a start or a reload wants to see of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Viewers {
    /// Lines of the log (`log_type packets`).
    pub lines: bool,
    /// A file (`capture_file`).
    pub capture: Option<Target>,
    /// The names of the listeners.
    pub listeners: Vec<String>,
}

/// Gives taps to links.
#[derive(Default)]
pub struct Taps {
    lines: bool,
    listeners: Vec<String>,
    /// Links come and go on one thread; the lock is what lets them share a file without unsafe.
    capture: Arc<Mutex<Capture>>,
    /// Connections without an address so far.
    unnamed: u16,
}

/// Bytes of a packet that are kept to be shown; a CONNECT that is longer is not.
const KEPT_MAX: usize = 4096;
/// The same for packets with secrets, which are kept until they are whole.
const SECRET_MAX: usize = 256 * 1024;

impl Taps {
    /// Does what a start or a reload asks for.
    pub fn change(&mut self, viewers: Viewers) {
        self.lines = viewers.lines;
        self.listeners = viewers.listeners;
        lock(&self.capture).change(viewers.capture);
    }

    /// The tap for a new connection, if anybody looks.
    pub(super) fn tap(&mut self, stream: &mut Stream, listener: u16, name: &Origin) -> Option<Tap> {
        let is_captured = lock(&self.capture).is_on();
        if !is_captured && !self.lines {
            return None;
        }
        let known = self.listeners.get(usize::from(listener)).cloned();
        let (client, mut server) = stream.ends().unwrap_or_else(|| self.stand_ins());
        server.set_port(MQTT_PORT);
        Some(Tap {
            name: name.to_string(),
            flow: Flow {
                client,
                server,
                listener: known.unwrap_or_default(),
            },
            lines: self.lines,
            capture: Arc::clone(&self.capture),
            version: Version::V311,
            inbound: Side::default(),
            outbound: Side::default(),
            generation: None,
            connect: Vec::new(),
        })
    }

    /// Addresses for a connection over a unix socket: a client and a server that nobody has.
    fn stand_ins(&mut self) -> (SocketAddr, SocketAddr) {
        self.unnamed = self.unnamed.wrapping_add(1);
        let client = (Ipv4Addr::new(127, 1, 0, 1), self.unnamed.max(1));
        (
            client.into(),
            (Ipv4Addr::new(127, 1, 0, 2), MQTT_PORT).into(),
        )
    }
}

fn lock(capture: &Mutex<Capture>) -> MutexGuard<'_, Capture> {
    // Whoever panicked left at worst half a block in the buffer.
    capture.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What looks at one link.
pub(super) struct Tap {
    /// The client's address, and its id once that is known.
    name: String,
    flow: Flow,
    lines: bool,
    capture: Arc<Mutex<Capture>>,
    version: Version,
    inbound: Side,
    outbound: Side,
    /// The file that knows this connection.
    generation: Option<u32>,
    /// Its CONNECT without secrets, to introduce it to the next file.
    connect: Vec<u8>,
}

/// One direction.
#[derive(Default)]
struct Side {
    packet: Partial,
    seq: u32,
    /// The packet under way began in another file: what is left of it is no use.
    is_skipping: bool,
}

/// The packet that is under way.
#[derive(Default)]
struct Partial {
    /// Its first bytes.
    kept: Vec<u8>,
    /// How many of it came.
    len: usize,
    /// How many there will be; not known before the header is whole.
    total: Option<usize>,
}

impl Partial {
    /// Takes what belongs to this packet from the front of `bytes`; whether it is whole then.
    fn take<'b>(&mut self, bytes: &mut &'b [u8]) -> (&'b [u8], bool) {
        let all = *bytes;
        let mut used = 0;
        while self.total.is_none() && used < all.len() {
            self.kept.push(all[used]);
            used += 1;
            self.total = match FixedHeader::read(&self.kept) {
                Ok(None) => None,
                Ok(Some(header)) => Some(header.total()),
                // No MQTT: the rest of the connection is one packet.
                Err(_) => Some(usize::MAX),
            };
        }
        self.len += used;
        let wanted = self.total.map_or(0, |total| total - self.len);
        let more = wanted.min(all.len() - used);
        let max = if self.is_secret() {
            SECRET_MAX
        } else {
            KEPT_MAX
        };
        let kept = more.min(max.saturating_sub(self.kept.len()));
        self.kept.extend_from_slice(&all[used..used + kept]);
        self.len += more;
        let (taken, rest) = all.split_at(used + more);
        *bytes = rest;
        (taken, self.total == Some(self.len))
    }

    /// CONNECT and AUTH.
    fn is_secret(&self) -> bool {
        matches!(self.kept.first().map(|first| first >> 4), Some(1 | 15))
    }

    fn clear(&mut self) {
        self.kept.clear();
        self.kept.shrink_to(KEPT_MAX);
        (self.len, self.total) = (0, None);
    }
}

impl Tap {
    /// The client sent this.
    pub(super) fn received(&mut self, bytes: &[u8]) {
        self.follow(true, bytes);
    }

    /// The kernel took this for the client.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        self.follow(false, bytes);
    }

    fn follow(&mut self, from_client: bool, bytes: &[u8]) {
        let capture = Arc::clone(&self.capture);
        let mut capture = lock(&capture);
        let is_captured = self.introduce(&mut capture, bytes.len());
        let mut out = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let side = self.side(from_client);
            let (part, is_whole) = side.packet.take(&mut rest);
            let is_secret = side.packet.is_secret();
            let is_wanted = is_captured && !side.is_skipping;
            if is_wanted && !is_secret {
                out.extend_from_slice(part);
            }
            if is_whole {
                side.is_skipping = false;
                self.finish_packet(from_client);
                let packet = &mut self.side(from_client).packet;
                if is_wanted && is_secret {
                    blanked(packet, &mut out);
                }
                packet.clear();
            }
        }
        if !out.is_empty() {
            self.add(&mut capture, from_client, &out);
            capture.flush();
        }
    }

    /// A packet is whole: it is shown, and a CONNECT tells who speaks.
    fn finish_packet(&mut self, from_client: bool) {
        let side = match from_client {
            true => &mut self.inbound,
            false => &mut self.outbound,
        };
        let bytes = &side.packet.kept;
        let is_connect = from_client && bytes.first() == Some(&0x10);
        if let (true, Ok(Some(header))) = (is_connect, FixedHeader::read(bytes)) {
            let body = &bytes[usize::from(header.len)..];
            match Connect::decode(header.first, body) {
                Ok(connect) => {
                    self.version = connect.version;
                    if !connect.client_id.is_empty() && self.connect.is_empty() {
                        self.name = format!("{} {}", self.name, connect.client_id);
                    }
                    if bytes.len() <= KEPT_MAX && self.connect.is_empty() {
                        self.connect.clone_from(bytes);
                        blank_secrets(&mut self.connect);
                    }
                }
                Err(error) => self.version = error.version.unwrap_or(self.version),
            }
        }
        if self.lines {
            let view = View {
                version: self.version,
                bytes,
                from_server: !from_client,
            };
            let arrow = if from_client { "->" } else { "<-" };
            log::info!(target: "packets", "{} {arrow} {view}", self.name);
        }
    }

    /// Makes sure that the file knows this connection; whether there is a file.
    fn introduce(&mut self, capture: &mut Capture, bytes: usize) -> bool {
        // Room for what introduces it, and for headers.
        let Some(generation) = capture.ready(2 * bytes + 2 * KEPT_MAX) else {
            self.generation = None;
            return false;
        };
        if self.generation == Some(generation) {
            return true;
        }
        self.generation = Some(generation);
        self.inbound.seq = capture.first_seq();
        self.outbound.seq = !self.inbound.seq;
        for (from_client, bits) in [
            (true, flags::SYN),
            (false, flags::SYN | flags::ACK),
            (true, flags::ACK),
        ] {
            let segment = self.segment(from_client, bits);
            capture.add_segment(&self.flow, segment, b"");
            if bits & flags::SYN != 0 {
                let side = self.side(from_client);
                side.seq = side.seq.wrapping_add(1);
            }
        }
        for side in [&mut self.inbound, &mut self.outbound] {
            side.is_skipping = side.packet.len > 0 && !side.packet.is_secret();
        }
        let connect = std::mem::take(&mut self.connect);
        self.add(capture, true, &connect);
        self.connect = connect;
        capture.flush();
        true
    }

    fn add(&mut self, capture: &mut Capture, from_client: bool, bytes: &[u8]) {
        let segment = self.segment(from_client, 0);
        capture.add(&self.flow, segment, bytes);
        let side = self.side(from_client);
        side.seq = side.seq.wrapping_add(bytes.len() as u32);
    }

    fn segment(&self, from_client: bool, bits: u8) -> Segment {
        let (own, other) = match from_client {
            true => (&self.inbound, &self.outbound),
            false => (&self.outbound, &self.inbound),
        };
        Segment {
            from_client,
            flags: bits,
            seq: own.seq,
            ack: if bits == flags::SYN { 0 } else { other.seq },
        }
    }

    fn side(&mut self, from_client: bool) -> &mut Side {
        match from_client {
            true => &mut self.inbound,
            false => &mut self.outbound,
        }
    }
}

/// The connection is over, as far as the file goes.
impl Drop for Tap {
    fn drop(&mut self) {
        let capture = Arc::clone(&self.capture);
        let mut capture = lock(&capture);
        if self.generation.is_none() || !self.introduce(&mut capture, 0) {
            return;
        }
        if self.inbound.packet.is_secret() {
            // It never became whole.
            let mut out = Vec::new();
            blanked(&mut self.inbound.packet, &mut out);
            self.add(&mut capture, true, &out);
        }
        for from_client in [true, false] {
            let segment = self.segment(from_client, flags::FIN | flags::ACK);
            capture.add_segment(&self.flow, segment, b"");
            let side = self.side(from_client);
            side.seq = side.seq.wrapping_add(1);
        }
        capture.flush();
    }
}

/// A packet without its secrets; of what was too long to be kept nothing is told.
fn blanked(packet: &mut Partial, out: &mut Vec<u8>) {
    blank_secrets(&mut packet.kept);
    out.extend_from_slice(&packet.kept);
    out.resize(out.len() + packet.len - packet.kept.len(), b'x');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However bytes are cut, the packets are the same.
    #[test]
    fn packets_are_found_whatever_the_pieces() {
        let long = [&b"\x30\xac\x02\x00\x01t"[..], &[b'p'; 297]].concat();
        let stream = [&b"\x10\x02ab\xc0\x00"[..], &long, b"\xe0\x00"].concat();
        let mut random = fastrand::Rng::with_seed(8);
        for _ in 0..500 {
            let mut packet = Partial::default();
            let mut found = Vec::new();
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let (mut piece, later) = rest.split_at(random.usize(1..=rest.len()));
                rest = later;
                while !piece.is_empty() {
                    if packet.take(&mut piece).1 {
                        found.push(packet.kept.clone());
                        packet.clear();
                    }
                }
            }
            let expected = [&b"\x10\x02ab"[..], b"\xc0\x00", &long, b"\xe0\x00"];
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_is_no_packet_has_no_end() {
        let mut packet = Partial::default();
        let mut bytes = &[0xff; 9000][..];
        assert!(!packet.take(&mut bytes).1);
        assert!(bytes.is_empty() && packet.kept.len() <= SECRET_MAX);
    }
}
