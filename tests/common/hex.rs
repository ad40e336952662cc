//! Packets as annotated hex: the files below `tests/data/packets`.
//!
//! An entry begins with `= name | sender`, and for a packet that breaks the rules `| codes`, the
//! reason codes that may answer it. Bytes follow in hex; `#` begins a comment.

use std::fs;
use std::path::Path;

use super::packet::Version;

/// One packet of a file.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub is_from_client: bool,
    /// Reason codes that may answer it; none for a well-formed packet.
    pub codes: Vec<u8>,
    pub bytes: Vec<u8>,
}

/// The well-formed packets of a version.
pub fn valid(version: Version) -> Vec<Entry> {
    read(version, "valid")
}

/// The packets of a version that break the rules.
pub fn malformed(version: Version) -> Vec<Entry> {
    read(version, "malformed")
}

fn read(version: Version, kind: &str) -> Vec<Entry> {
    read_below(Path::new(env!("CARGO_MANIFEST_DIR")), version, kind)
}

/// The packets of one of the two kinds, in a repository that lies elsewhere.
pub fn read_below(root: &Path, version: Version, kind: &str) -> Vec<Entry> {
    let number = match version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5.0",
    };
    let path = root.join(format!("tests/data/packets/{number}-{kind}.hex"));
    let text = fs::read_to_string(&path).expect("the file of packets");
    let entries = parse(&text);
    assert!(entries.len() > 20, "{}: hardly any packets", path.display());
    entries
}

fn parse(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("= ") {
            let fields: Vec<&str> = heading.split('|').map(str::trim).collect();
            let codes = fields.get(2).copied().unwrap_or_default();
            entries.push(Entry {
                name: fields[0].to_string(),
                is_from_client: fields[1] == "client",
                codes: codes.split_whitespace().map(byte).collect(),
                bytes: Vec::new(),
            });
            continue;
        }
        let code = line.split('#').next().unwrap_or_default();
        if let Some(entry) = entries.last_mut() {
            entry.bytes.extend(code.split_whitespace().map(byte));
        }
    }
    entries
}

fn byte(text: &str) -> u8 {
    u8::from_str_radix(text, 16).expect("two hex digits")
}
