//! `%j` and `%J`: a message as a JSON object, in the layout that scripts know from Mosquitto.
//!
//! Keys come in a fixed order and user properties keep their order and their duplicates, so this
//! writes the object itself; only payloads are parsed, and written as they are read (`json_text`).

use super::clock;
use super::format::Unprintable;
use super::json_text::Reader;
use crate::host::calendar::Moment;
use crate::wire::{PropertyId, Publish, QoS, Value};

/// How deep a payload may be nested: a stranger's must not exhaust the stack.
const DEPTH_MAX: usize = 128;

/// `%j`: the payload as a string, whatever it is.
pub fn text_payload(message: &Publish<'_>, at: &Moment, pretty: bool, out: &mut Vec<u8>) {
    let mut writer = Writer::new(pretty, out);
    writer.begin(message, at);
    match message.payload {
        b"" => writer.out.extend_from_slice(b"null"),
        payload => writer.string(&String::from_utf8_lossy(payload)),
    }
    writer.close(b'}');
}

/// `%J`: the payload as the JSON that it is; nothing is printed if it is not.
pub fn json_payload(
    message: &Publish<'_>,
    at: &Moment,
    pretty: bool,
    out: &mut Vec<u8>,
) -> Result<(), Unprintable> {
    let start = out.len();
    let mut writer = Writer::new(pretty, out);
    writer.begin(message, at);
    if writer.payload(message.payload).is_none() {
        out.truncate(start);
        return Err(Unprintable::Json);
    }
    writer.close(b'}');
    Ok(())
}

/// Writes JSON without blanks, or in the layout of cJSON: a tab for each level, a tab behind each
/// colon, objects over several lines and arrays in one.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    pretty: bool,
    depth: usize,
}

impl<'a> Writer<'a> {
    fn new(pretty: bool, out: &'a mut Vec<u8>) -> Self {
        let depth = 0;
        Self { out, pretty, depth }
    }

    /// Everything before the payload.
    fn begin(&mut self, message: &Publish<'_>, at: &Moment) {
        let topic = String::from_utf8_lossy(message.topic);
        self.open(b'{');
        let mut first = true;
        self.string_member(&mut first, "tst", &clock::iso_8601_micros(at));
        self.string_member(&mut first, "topic", &topic);
        self.integer_member(&mut first, "qos", message.qos as usize);
        self.integer_member(&mut first, "retain", usize::from(message.retain));
        self.integer_member(&mut first, "payloadlen", message.payload.len());
        if message.qos > QoS::AtMostOnce {
            self.integer_member(&mut first, "mid", usize::from(message.packet_id));
        }
        if !message.properties.is_empty() {
            self.key(&mut first, "properties");
            self.properties(message);
        }
        self.key(&mut first, "payload");
    }

    /// A payload that is JSON; none if it is not, and then half of it may have been written.
    fn payload(&mut self, payload: &[u8]) -> Option<()> {
        if payload.is_empty() {
            self.out.extend_from_slice(b"null");
            return Some(());
        }
        let mut reader = Reader::new(std::str::from_utf8(payload).ok()?);
        self.value(&mut reader)?;
        reader.is_at_end().then_some(())
    }

    fn properties(&mut self, message: &Publish<'_>) {
        self.open(b'{');
        let (mut first, mut users_written) = (true, false);
        for property in message.properties.iter() {
            let name = property.id.name();
            match property.value {
                Value::Integer(value) => self.integer_member(&mut first, name, value as usize),
                Value::Text(text) => self.string_member(&mut first, name, text),
                Value::Binary(bytes) => {
                    self.string_member(&mut first, name, &String::from_utf8_lossy(bytes));
                }
                Value::Pair(..) if users_written => {}
                Value::Pair(..) => {
                    users_written = true;
                    self.key(&mut first, "user-properties");
                    self.user_properties(message);
                }
            }
        }
        self.close(b'}');
    }

    /// An array with an object for each, since names may come again.
    fn user_properties(&mut self, message: &Publish<'_>) {
        self.out.push(b'[');
        self.depth += 1;
        let mut is_first = true;
        for property in message.properties.iter() {
            if let (PropertyId::UserProperty, Value::Pair(name, value)) =
                (property.id, property.value)
            {
                self.separate(&mut is_first);
                self.open(b'{');
                self.string_member(&mut true, name, value);
                self.close(b'}');
            }
        }
        self.depth -= 1;
        self.out.push(b']');
    }

    /// What stands before an element of an array; `is_first` says whether it is the first.
    fn separate(&mut self, is_first: &mut bool) {
        if !std::mem::take(is_first) {
            let separator: &[u8] = if self.pretty { b", " } else { b"," };
            self.out.extend_from_slice(separator);
        }
    }

    fn string_member(&mut self, first: &mut bool, key: &str, value: &str) {
        self.key(first, key);
        self.string(value);
    }

    fn integer_member(&mut self, first: &mut bool, key: &str, value: usize) {
        self.key(first, key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    /// A key and what stands before it; `first` says whether it is the object's first.
    fn key(&mut self, first: &mut bool, key: &str) {
        if !std::mem::take(first) {
            self.out.push(b',');
            if self.pretty {
                self.out.push(b'\n');
            }
        }
        self.indent(self.depth);
        self.string(key);
        self.out.push(b':');
        if self.pretty {
            self.out.push(b'\t');
        }
    }

    /// The value that comes next. Recursion ends, since the layout has a deepest level.
    fn value(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        if self.depth > DEPTH_MAX {
            return None;
        }
        if reader.takes(b'{') {
            self.object(reader)?;
        } else if reader.takes(b'[') {
            self.array(reader)?;
        } else if reader.takes(b'"') {
            self.string(&reader.string()?);
        } else {
            self.out.extend_from_slice(reader.scalar()?.as_bytes());
        }
        Some(())
    }

    fn object(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        self.open(b'{');
        let mut first = true;
        while !reader.takes(b'}') {
            if !first && !reader.takes(b',') || !reader.takes(b'"') {
                return None;
            }
            let key = reader.string()?;
            self.key(&mut first, &key);
            if !reader.takes(b':') {
                return None;
            }
            self.value(reader)?;
        }
        self.close(b'}');
        Some(())
    }

    fn array(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        self.out.push(b'[');
        self.depth += 1;
        let mut first = true;
        while !reader.takes(b']') {
            if !first && !reader.takes(b',') {
                return None;
            }
            self.separate(&mut first);
            self.value(reader)?;
        }
        self.depth -= 1;
        self.out.push(b']');
        Some(())
    }

    /// A string in quotes; only what JSON forbids in one is escaped.
    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        for &byte in text.as_bytes() {
            let letter = match byte {
                b'"' | b'\\' => byte,
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0c => b'f',
                b'\r' => b'r',
                0..0x20 => {
                    let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
                    let escape = [b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)];
                    self.out.extend_from_slice(&escape);
                    continue;
                }
                _ => {
                    self.out.push(byte);
                    continue;
                }
            };
            self.out.extend_from_slice(&[b'\\', letter]);
        }
        self.out.push(b'"');
    }

    fn open(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.depth += 1;
        if self.pretty {
            self.out.push(b'\n');
        }
    }

    fn close(&mut self, bracket: u8) {
        self.depth -= 1;
        if self.pretty {
            if !self.out.ends_with(b"\n") {
                self.out.push(b'\n');
            }
            self.indent(self.depth);
        }
        self.out.push(bracket);
    }

    fn indent(&mut self, depth: usize) {
        if self.pretty {
            self.out.resize(self.out.len() + depth, b'\t');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use serde_json::Value as Json;

    /// What `%J` makes of a payload.
    fn ours(text: &str) -> Option<String> {
        let message = Publish {
            payload: text.as_bytes(),
            ..Publish::default()
        };
        let mut out = b"kept".to_vec();
        let at = Moment::new(0, 0, &crate::host::calendar::Zone::utc()).unwrap();
        let result = json_payload(&message, &at, false, &mut out);
        let out = String::from_utf8(out).unwrap();
        if result.is_err() {
            assert_eq!(out, "kept", "{text:?}");
            return None;
        }
        let (_, value) = out.split_once("\"payload\":").unwrap();
        Some(value.strip_suffix('}').unwrap().to_owned())
    }

    /// A text in JSON, with whatever blanks and escapes are allowed.
    fn invent(rng: &mut Rng, depth: u8, out: &mut String) {
        let blank = |rng: &mut Rng| *rng.choice(&["", "", "", " ", "\t", "\r\n"]).unwrap();
        out.push_str(blank(rng));
        match rng.u8(..if depth == 0 { 8 } else { 12 }) {
            0..3 => {
                let numbers = [
                    "0",
                    "-0",
                    "12",
                    "0.50",
                    "1e5",
                    "2E+07",
                    "-3.1e-2",
                    "99999999999999999999",
                ];
                out.push_str(rng.choice(numbers).unwrap());
            }
            3 => out.push_str(rng.choice(["true", "false", "null"]).unwrap()),
            4..8 => string(rng, out),
            8..10 => {
                out.push('[');
                for i in 0..rng.u8(..4) {
                    out.push_str(if i > 0 { "," } else { "" });
                    invent(rng, depth - 1, out);
                }
                out.push(']');
            }
            _ => {
                out.push('{');
                for i in 0..rng.u8(..4) {
                    // Of twins serde_json keeps the last one only.
                    out.push_str(if i > 0 { "," } else { "" });
                    out.push_str(blank(rng));
                    out.extend(['"', char::from(b'0' + i), '"', ' ', ':']);
                    invent(rng, depth - 1, out);
                }
                out.push('}');
            }
        }
        out.push_str(blank(rng));
    }

    fn string(rng: &mut Rng, out: &mut String) {
        let pieces = [
            "a",
            "é",
            "\u{1f980}",
            "\\n",
            "\\\"",
            "\\\\",
            "\\/",
            "\\b\\f\\r\\t",
            "\\u0007",
            "\\u00e9",
            "\\uD83E\\udd80",
            "\u{7f}",
        ];
        out.push('"');
        for _ in 0..rng.u8(..4) {
            out.push_str(rng.choice(pieces).unwrap());
        }
        out.push('"');
    }

    #[test]
    fn what_is_json_is_written_as_serde_json_writes_it() {
        let mut rng = Rng::with_seed(1);
        for _ in 0..3000 {
            let mut text = String::new();
            invent(&mut rng, 4, &mut text);
            let theirs = serde_json::from_str::<Json>(&text).unwrap().to_string();
            // It writes exponents in a way of its own; a number stays what it was here.
            let plain = theirs.to_lowercase().replace("e+0", "e").replace("e+", "e");
            let ours = ours(&text).unwrap_or_else(|| panic!("{text:?}"));
            let ours = ours.to_lowercase().replace("e+0", "e").replace("e+", "e");
            assert_eq!(ours, plain, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_as_by_serde_json() {
        let mut rng = Rng::with_seed(2);
        let mut refused = 0;
        for _ in 0..20_000 {
            let mut text = String::new();
            invent(&mut rng, 3, &mut text);
            let mut letters: Vec<char> = text.chars().collect();
            for _ in 0..rng.u8(1..3) {
                let at = rng.usize(..=letters.len());
                let odd = *rng
                    .choice(&[
                        '"', '\\', '{', ']', ',', '0', '-', '.', 'e', 'u', '\x01', ' ',
                    ])
                    .unwrap();
                match rng.u8(..3) {
                    0 if at < letters.len() => drop(letters.remove(at)),
                    1 if at < letters.len() => letters[at] = odd,
                    _ => letters.insert(at, odd),
                }
            }
            let text: String = letters.into_iter().collect();
            // An empty payload is null.
            let is_json = text.is_empty() || serde_json::from_str::<Json>(&text).is_ok();
            assert_eq!(ours(&text).is_some(), is_json, "{text:?}");
            refused += usize::from(!is_json);
        }
        assert!(refused > 5000, "{refused}");
    }
}
