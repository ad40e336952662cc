//! `capture_file`: what clients and broker say to each other, as a file for Wireshark (pcapng).
//!
//! What is written is plain also where the connection is encrypted, and secrets are blanked before
//! it gets here. A link's bytes are put into packets of IP and TCP that never were on a network:
//! real addresses of both ends, the broker's port always 1883 so that Wireshark knows MQTT without
//! being told, the listener's name as that of the interface. A connection begins with a TCP
//! handshake in each file that it occurs in, see [`super::tap`].
//!
//! A file that has reached its size becomes `FILE.1`, in place of a former one. So does one that is
//! there at a start. Only its owner may read it. A disk that is full costs the capture, not the
//! broker: one line in the log, and another try every ten seconds.
//!
//! Bounds: twice `capture_file_max_size` on the disk, one packet over; a buffer of one read or
//! write in memory.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The flags of a TCP segment.
pub(super) mod flags {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const PUSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
}

/// How long nothing is tried after a failure.
const PAUSE: Duration = Duration::from_secs(10);
/// Bytes of a connection in one segment: what IP can carry, and a bit less.
const SEGMENT_MAX: usize = 60_000;
/// The port of the broker in the file.
pub(super) const MQTT_PORT: u16 = 1883;

/// Where to write, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `capture_file`.
    pub path: PathBuf,
    /// `capture_file_max_size`.
    pub bytes_max: u64,
}

/// The two ends of a connection, and what it came in by.
pub(super) struct Flow {
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub listener: String,
}

/// One direction of a connection: who sends, where it is, and what it has heard.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub from_client: bool,
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
}

/// The capture of all connections.
#[derive(Default)]
pub struct Capture {
    target: Option<Target>,
    file: Option<File>,
    /// Bytes that are in the file.
    len: u64,
    /// Counts the files, and the holes in them: a connection introduces itself in each.
    generation: u32,
    /// The listeners that this file knows, by number of the interface.
    interfaces: Vec<String>,
    /// How many of them are in the file already.
    interfaces_written: usize,
    /// Blocks on their way to the file.
    blocks: Vec<u8>,
    paused_until: Option<Instant>,
    connections: u32,
}

impl Capture {
    /// Writes to this file from now on, or nowhere.
    pub fn change(&mut self, target: Option<Target>) {
        if target == self.target {
            return;
        }
        *self = Capture {
            generation: self.generation,
            connections: self.connections,
            target,
            ..Capture::default()
        };
        self.ready(0);
    }

    /// Whether anything is to be written at all.
    pub fn is_on(&self) -> bool {
        self.target.is_some()
    }

    /// Makes room for so many bytes more; the number of the file, or of its part behind a hole.
    pub(super) fn ready(&mut self, bytes: usize) -> Option<u32> {
        let target = self.target.as_ref()?;
        if let Some(until) = self.paused_until {
            if Instant::now() < until {
                return None;
            }
        }
        let is_full = self.len + bytes as u64 > target.bytes_max;
        let begun = match (&self.file, self.paused_until) {
            (Some(_), None) if !is_full => return Some(self.generation),
            (Some(_), Some(_)) if !is_full => Ok(()),
            _ => self.begin(),
        };
        self.generation += 1;
        match begun {
            Ok(()) => Some(self.generation),
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    /// Begins a new file; the one that is there is kept beside it.
    fn begin(&mut self) -> io::Result<()> {
        let Some(target) = &self.target else {
            return Ok(());
        };
        (self.file, self.len) = (None, 0);
        self.interfaces.clear();
        self.interfaces_written = 0;
        set_aside(&target.path)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&target.path)?;
        let head = section_header();
        file.write_all_at(&head, 0)?;
        (self.file, self.len) = (Some(file), head.len() as u64);
        Ok(())
    }

    /// A number that no other connection's bytes begin with.
    pub(super) fn first_seq(&mut self) -> u32 {
        self.connections = self.connections.wrapping_add(1);
        self.connections.wrapping_mul(0x0100_0193)
    }

    /// Puts bytes of a connection into segments, the last of them to be pushed.
    pub(super) fn add(&mut self, flow: &Flow, mut segment: Segment, bytes: &[u8]) {
        for part in bytes.chunks(SEGMENT_MAX) {
            segment.flags = flags::ACK | flags::PUSH;
            self.add_segment(flow, segment, part);
            segment.seq = segment.seq.wrapping_add(part.len() as u32);
        }
    }

    /// Puts one segment into the buffer.
    pub(super) fn add_segment(&mut self, flow: &Flow, segment: Segment, bytes: &[u8]) {
        let interface = self.interface(&flow.listener);
        let packet = ip_packet(flow, segment, bytes);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = now.unwrap_or_default().as_micros() as u64;
        block(&mut self.blocks, 6, |out| {
            put32(out, interface);
            put32(out, (micros >> 32) as u32);
            put32(out, micros as u32);
            put32(out, packet.len() as u32);
            put32(out, packet.len() as u32);
            out.extend_from_slice(&packet);
        });
    }

    /// The number of the interface that stands for a listener.
    fn interface(&mut self, listener: &str) -> u32 {
        let known = self.interfaces.iter().position(|name| name == listener);
        if let Some(number) = known {
            return number as u32;
        }
        block(&mut self.blocks, 1, |out| {
            // Packets begin with their IP header (LINKTYPE_RAW); of any length.
            put32(out, 101);
            put32(out, 0);
            option(out, 2, listener.as_bytes());
            option(out, 0, b"");
        });
        self.interfaces.push(listener.to_string());
        self.interfaces.len() as u32 - 1
    }

    /// Writes what has gathered.
    pub(super) fn flush(&mut self) {
        let Some(file) = &self.file else {
            self.blocks.clear();
            return;
        };
        let written = file.write_all_at(&self.blocks, self.len);
        match written {
            Ok(()) => {
                self.len += self.blocks.len() as u64;
                self.interfaces_written = self.interfaces.len();
                if self.paused_until.take().is_some() {
                    log::info!(target: "notice", "capture_file {} goes on.", self.name());
                }
            }
            Err(error) => {
                // Half a block would be the end of the file for its readers.
                let _ = file.set_len(self.len);
                self.interfaces.truncate(self.interfaces_written);
                self.fail(&error);
            }
        }
        self.blocks.clear();
        self.blocks.shrink_to(SEGMENT_MAX);
    }

    fn fail(&mut self, error: &io::Error) {
        if self.paused_until.is_none() {
            log::error!(
                "Error: capture_file {} is interrupted: {error}",
                self.name()
            );
        }
        self.paused_until = Some(Instant::now() + PAUSE);
    }

    fn name(&self) -> std::path::Display<'_> {
        let path = self.target.as_ref().map(|target| target.path.as_path());
        path.unwrap_or(Path::new("")).display()
    }
}

/// Renames a file that is there to `PATH.1`.
fn set_aside(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            let mut old = path.as_os_str().to_owned();
            old.push(".1");
            fs::rename(path, old)
        }
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something else than a file is there",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The first block of a file: the byte order, the version 1.0, who wrote it.
fn section_header() -> Vec<u8> {
    let mut bytes = Vec::new();
    block(&mut bytes, 0x0a0d_0d0a, |out| {
        put32(out, 0x1a2b_3c4d);
        put32(out, 1);
        // The length of the section is not known.
        out.extend_from_slice(&[0xff; 8]);
        let writer = concat!("midge ", env!("CARGO_PKG_VERSION"));
        option(out, 4, writer.as_bytes());
        option(out, 0, b"");
    });
    bytes
}

/// A block: its type, its length, what `fill` puts there, and its length again.
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put32(out, kind);
    put32(out, 0);
    fill(out);
    out.resize((out.len() - start).next_multiple_of(4) + start, 0);
    let len = (out.len() - start + 4) as u32;
    out[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
    put32(out, len);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(255)];
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    out.resize(out.len() + value.len().next_multiple_of(4) - value.len(), 0);
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// The bytes of an IP packet with one TCP segment.
fn ip_packet(flow: &Flow, segment: Segment, bytes: &[u8]) -> Vec<u8> {
    let (from, to) = match segment.from_client {
        true => (flow.client, flow.server),
        false => (flow.server, flow.client),
    };
    let mut tcp = Vec::with_capacity(20 + bytes.len());
    tcp.extend_from_slice(&from.port().to_be_bytes());
    tcp.extend_from_slice(&to.port().to_be_bytes());
    tcp.extend_from_slice(&segment.seq.to_be_bytes());
    tcp.extend_from_slice(&segment.ack.to_be_bytes());
    tcp.extend_from_slice(&[0x50, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend_from_slice(bytes);
    let len = tcp.len() as u16;
    let mut packet = Vec::with_capacity(40 + tcp.len());
    let addresses: Vec<u8> = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (from, to) => [octets(from), octets(to)].concat(),
    };
    if addresses.len() == 8 {
        packet.extend_from_slice(&[0x45, 0]);
        packet.extend_from_slice(&(len + 20).to_be_bytes());
        // Not to be fragmented; 64 hops; TCP.
        packet.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend_from_slice(&addresses);
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        packet.extend_from_slice(&[0x60, 0, 0, 0]);
        packet.extend_from_slice(&len.to_be_bytes());
        packet.extend_from_slice(&[6, 64]);
        packet.extend_from_slice(&addresses);
    }
    let sum = checksum(&[&addresses, &[0, 6], &len.to_be_bytes(), &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(&tcp);
    packet
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The Internet's checksum (RFC 1071) of parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum = words
        .map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0)))
        .sum::<u64>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_packet_with_its_checksum_is_zero() {
        for [client, server] in [
            ["192.0.2.9:40000", "198.51.100.1:1883"],
            ["[2001:db8::1]:40000", "[2001:db8::2]:1883"],
        ] {
            let flow = Flow {
                client: client.parse().expect("an address"),
                server: server.parse().expect("an address"),
                listener: String::new(),
            };
            let segment = Segment {
                from_client: true,
                flags: flags::ACK,
                seq: 7,
                ack: 9,
            };
            let packet = ip_packet(&flow, segment, b"odd");
            let head = packet.len() - 23;
            if head == 20 {
                assert_eq!(checksum(&[&packet[..20]]), 0);
            }
            let addresses = match head {
                20 => &packet[12..20],
                _ => &packet[8..40],
            };
            assert_eq!(checksum(&[addresses, &[0, 6, 0, 23], &packet[head..]]), 0);
        }
    }

    #[test]
    fn a_full_disk_costs_one_line_and_no_torn_block() {
        // A device that is always full stands in for the disk.
        let mut capture = Capture {
            target: Some(Target {
                path: "/dev/full".into(),
                bytes_max: 1 << 20,
            }),
            file: Some(
                OpenOptions::new()
                    .write(true)
                    .open("/dev/full")
                    .expect("Linux"),
            ),
            ..Capture::default()
        };
        let flow = Flow {
            client: "192.0.2.9:40000".parse().expect("an address"),
            server: "192.0.2.1:1883".parse().expect("an address"),
            listener: "1883".to_string(),
        };
        let segment = Segment {
            from_client: true,
            flags: 0,
            seq: 1,
            ack: 1,
        };
        let first = capture.ready(5).expect("a file");
        capture.add(&flow, segment, b"hello");
        capture.flush();
        assert_eq!((capture.len, capture.interfaces.len()), (0, 0));
        assert!(capture.blocks.is_empty());
        assert_eq!(capture.ready(5), None, "it pauses");
        capture.paused_until = Some(Instant::now());
        let second = capture.ready(5).expect("another try");
        assert_ne!(first, second, "connections introduce themselves again");
    }
}
