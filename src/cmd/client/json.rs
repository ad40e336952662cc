//! `%j` and `%J`: a message as a JSON object, in the layout that scripts know from Mosquitto.
//!
//! Keys come in a fixed order and user properties keep their order and their duplicates, so this
//! writes the object itself; only payloads are parsed.

use jiff::Zoned;
use serde_json::Value as Json;

use super::clock;
use super::format::Unprintable;
use crate::wire::{PropertyId, Publish, QoS, Value};

/// `%j`: the payload as a string, whatever it is.
pub fn text_payload(message: &Publish<'_>, at: &Zoned, pretty: bool, out: &mut Vec<u8>) {
    let payload = match message.payload {
        b"" => Json::Null,
        payload => Json::String(String::from_utf8_lossy(payload).into_owned()),
    };
    write(message, at, &payload, pretty, out);
}

/// `%J`: the payload as the JSON that it is; nothing is printed if it is not.
pub fn json_payload(
    message: &Publish<'_>,
    at: &Zoned,
    pretty: bool,
    out: &mut Vec<u8>,
) -> Result<(), Unprintable> {
    let payload = match message.payload {
        b"" => Json::Null,
        payload => serde_json::from_slice(payload).map_err(|_| Unprintable::Json)?,
    };
    write(message, at, &payload, pretty, out);
    Ok(())
}

fn write(message: &Publish<'_>, at: &Zoned, payload: &Json, pretty: bool, out: &mut Vec<u8>) {
    let mut writer = Writer {
        out,
        pretty,
        depth: 0,
    };
    let topic = String::from_utf8_lossy(message.topic);
    writer.open(b'{');
    let mut first = true;
    writer.string_member(&mut first, "tst", &clock::iso_8601_micros(at));
    writer.string_member(&mut first, "topic", &topic);
    writer.integer_member(&mut first, "qos", message.qos as usize);
    writer.integer_member(&mut first, "retain", usize::from(message.retain));
    writer.integer_member(&mut first, "payloadlen", message.payload.len());
    if message.qos > QoS::AtMostOnce {
        writer.integer_member(&mut first, "mid", usize::from(message.packet_id));
    }
    if !message.properties.is_empty() {
        writer.key(&mut first, "properties");
        writer.properties(message);
    }
    writer.key(&mut first, "payload");
    writer.value(payload);
    writer.close(b'}');
}

/// Writes JSON without blanks, or in the layout of cJSON: a tab for each level, a tab behind each
/// colon, objects over several lines and arrays in one.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    pretty: bool,
    depth: usize,
}

impl Writer<'_> {
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

    fn user_properties(&mut self, message: &Publish<'_>) {
        self.open(b'{');
        let mut first = true;
        for property in message.properties.iter() {
            if let (PropertyId::UserProperty, Value::Pair(name, value)) =
                (property.id, property.value)
            {
                self.string_member(&mut first, name, value);
            }
        }
        self.close(b'}');
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

    /// Recursion ends: serde_json parses no more than 128 levels.
    fn value(&mut self, value: &Json) {
        match value {
            Json::Object(members) => {
                self.open(b'{');
                let mut first = true;
                for (key, value) in members {
                    self.key(&mut first, key);
                    self.value(value);
                }
                self.close(b'}');
            }
            Json::Array(items) => {
                self.out.push(b'[');
                self.depth += 1;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        let separator: &[u8] = if self.pretty { b", " } else { b"," };
                        self.out.extend_from_slice(separator);
                    }
                    self.value(item);
                }
                self.depth -= 1;
                self.out.push(b']');
            }
            Json::String(text) => self.string(text),
            scalar => self.out.extend_from_slice(scalar.to_string().as_bytes()),
        }
    }

    fn string(&mut self, text: &str) {
        // Writing to a Vec cannot fail, and a string can always be encoded.
        let quoted = Json::from(text).to_string();
        self.out.extend_from_slice(quoted.as_bytes());
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
