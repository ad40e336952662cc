//! The record of a proxy through tshark's eyes: frames are written as a capture file with Ethernet,
//! IP and TCP headers of our own making, one packet per segment, and tshark dissects that. No
//! privilege, no race with a capture, and a second opinion on every byte.

use std::collections::HashMap;
use std::net::IpAddr;
use std::process::Command;

use super::frame::{Frame, From};
use super::{Dir, Process, Proxy, Tool};

const FIELDS: [&str; 30] = [
    "tcp.srcport",
    "mqtt.hdrflags",
    "mqtt.msgtype",
    "mqtt.len",
    "mqtt.proto_len",
    "mqtt.protoname",
    "mqtt.ver",
    "mqtt.conflags",
    "mqtt.conflag.cleansess",
    "mqtt.conflag.willflag",
    "mqtt.conflag.qos",
    "mqtt.conflag.retain",
    "mqtt.kalive",
    "mqtt.clientid_len",
    "mqtt.clientid",
    "mqtt.willtopic",
    "mqtt.willmsg",
    "mqtt.username",
    "mqtt.passwd",
    "mqtt.conack.flags",
    "mqtt.conack.val",
    "mqtt.msgid",
    "mqtt.topic_len",
    "mqtt.topic",
    "mqtt.sub.qos",
    "mqtt.suback.qos",
    "mqtt.qos",
    "mqtt.retain",
    "mqtt.dupflag",
    "mqtt.msg",
];

/// One packet as tshark reads it.
#[derive(Debug)]
pub struct Decoded(HashMap<&'static str, String>);

impl Decoded {
    /// A field by its display filter name, as printed; empty when the packet has none such.
    pub fn get(&self, field: &str) -> &str {
        assert!(FIELDS.contains(&field), "{field} is not asked of tshark");
        self.0.get(field).map_or("", String::as_str)
    }

    /// Holds several fields against what they have to be.
    #[track_caller]
    pub fn has(&self, wanted: &[(&str, &str)]) -> &Self {
        for (field, value) in wanted {
            assert_eq!(self.get(field), *value, "{field} of {self:?}");
        }
        self
    }
}

/// Dissects what a proxy recorded.
#[track_caller]
pub fn decode(proxy: &Proxy) -> Vec<Decoded> {
    let dir = Dir::new();
    let frames = proxy.frames();
    let port = proxy.port();
    let ip: IpAddr = proxy.host().parse().unwrap();
    let file = dir.write("record.pcap", capture(&frames, ip, port));
    let mut command = Command::new(Tool::Tshark.path());
    command.env("HOME", dir.path()).args(["-n", "-r", &file]);
    command.args(["-d", &format!("tcp.port=={port},mqtt")]);
    command.args(["-T", "fields", "-E", "separator=/t"]);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let out = Process::run(&mut command).ok().out;
    let decoded: Vec<_> = out
        .lines()
        .map(|line| {
            FIELDS
                .into_iter()
                .zip(line.split('\t'))
                .map(value)
                .collect()
        })
        .map(Decoded)
        .collect();
    assert_eq!(decoded.len(), frames.len(), "tshark read:\n{out}");
    decoded
}

/// Fields of the packets in a capture file that a display filter lets through, row by row.
#[track_caller]
pub fn fields(file: &str, filter: &str, wanted: &[&str]) -> Vec<Vec<String>> {
    let dir = Dir::new();
    let mut command = Command::new(Tool::Tshark.path());
    command
        .env("HOME", dir.path())
        .args(["-n", "-r", file, "-Y", filter]);
    command.args(["-T", "fields", "-E", "separator=/t"]);
    for field in wanted {
        command.args(["-e", field]);
    }
    let out = Process::run(&mut command).ok().out;
    let row = |line: &str| line.split('\t').map(str::to_string).collect();
    out.lines().map(row).collect()
}

/// Payloads are printed as hexadecimal digits, with or without colons between them.
fn value((field, printed): (&'static str, &str)) -> (&'static str, String) {
    if field != "mqtt.msg" {
        return (field, printed.to_string());
    }
    let digits: Vec<u8> = printed.bytes().filter(|b| *b != b':').collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    (field, String::from_utf8_lossy(&bytes).into_owned())
}

/// A capture file, classic format, of frames between a client and the broker's `port`.
fn capture(frames: &[Frame], ip: IpAddr, port: u16) -> Vec<u8> {
    let mut file = Vec::new();
    for field in [0xa1b2c3d4_u32, 0x0004_0002, 0, 0, 0x40000, 1] {
        file.extend(field.to_le_bytes());
    }
    let mut sequence: HashMap<(usize, bool), u32> = HashMap::new();
    for (i, frame) in frames.iter().enumerate() {
        let up = frame.from == From::Client;
        let client = 40_000 + frame.link as u16;
        let (source, target) = if up { (client, port) } else { (port, client) };
        let seen = *sequence.entry((frame.link, !up)).or_insert(1);
        let own = sequence.entry((frame.link, up)).or_insert(1);
        let mut tcp = Vec::new();
        tcp.extend(source.to_be_bytes());
        tcp.extend(target.to_be_bytes());
        tcp.extend(own.to_be_bytes());
        tcp.extend(seen.to_be_bytes());
        tcp.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]); // 20 bytes; ACK, PSH; window
        tcp.extend(&frame.bytes);
        *own += frame.bytes.len() as u32;

        let packet = ethernet(ip, &tcp);
        file.extend((i as u32).to_le_bytes());
        file.extend(0_u32.to_le_bytes());
        file.extend((packet.len() as u32).to_le_bytes());
        file.extend((packet.len() as u32).to_le_bytes());
        file.extend(packet);
    }
    file
}

fn ethernet(ip: IpAddr, tcp: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 12];
    match ip {
        IpAddr::V4(ip) => {
            let length = 20 + tcp.len() as u16;
            packet.extend([0x08, 0x00, 0x45, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
            packet.extend(ip.octets());
            packet.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            packet.extend((tcp.len() as u16).to_be_bytes());
            packet.extend([6, 64]);
            packet.extend(ip.octets());
            packet.extend(ip.octets());
        }
    }
    packet.extend(tcp);
    packet
}
