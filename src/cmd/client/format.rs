//! `-F`: how a message is printed, read once and followed for each message.
//!
//! A format is text with three kinds of escapes: `%` fields of the message, `@` parts of the time
//! it arrived, and `\` characters. A bad format is an error at start, never a surprise later.

use super::{clock, decimal, json};
use crate::host::calendar::Moment;
use crate::wire::{PropertyId, Publish, Value};

/// A format, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Field(Field),
    Time(char),
}

/// A `%` escape: `%[-][0][WIDTH][.PRECISION][SEPARATOR]LETTER`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Field {
    letter: u8,
    left: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    separator: Option<u8>,
}

const LETTERS: &[u8] = b"%ACDEFIJPRSUXdfjlmpqrtx";
/// What may stand between the hexadecimal digits of `%x` and `%X`.
const SEPARATORS: &[u8] = b"!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~ ";
/// Wider fields than this are refused: nobody reads them, and they cost memory.
const WIDTH_MAX: usize = 65_535;

/// What could not be printed of a message; the rest of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprintable {
    /// `%J` and the payload is not JSON.
    Json,
    /// `%f` or `%d` and the payload has another length than such a number.
    Number,
}

impl Format {
    /// Reads a format; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Format, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let piece = match c {
                '%' => Piece::Field(Field::parse(&mut chars)?),
                '@' => match chars.next() {
                    None => return Err("Incomplete format specifier.".into()),
                    Some('@') => Piece::Text(vec![b'@']),
                    Some(letter) => Piece::Time(letter),
                },
                '\\' => Piece::Text(vec![escape(chars.next())?]),
                c => Piece::Text(c.encode_utf8(&mut [0; 4]).as_bytes().to_vec()),
            };
            match piece {
                Piece::Text(bytes) => literal.extend_from_slice(&bytes),
                other => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    pieces.push(other);
                }
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Format { pieces })
    }

    /// Adds the message, received at `at`, to `out`. What cannot be printed is left out and told.
    /// What is `tamed` has no control characters but those of the format itself.
    pub fn render(
        &self,
        message: &Publish<'_>,
        at: &Moment,
        pretty: bool,
        tamed: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Unprintable> {
        let mut result = Ok(());
        for piece in &self.pieces {
            match piece {
                Piece::Text(bytes) => out.extend_from_slice(bytes),
                Piece::Time(letter) => out.extend_from_slice(clock::part(at, *letter).as_bytes()),
                Piece::Field(field) => {
                    let start = out.len();
                    if let Err(error) = field.render(message, at, pretty, out) {
                        result = Err(error);
                    }
                    if tamed {
                        tame(&mut out[start..]);
                    }
                }
            }
        }
        result
    }
}

/// Takes out of a message what a terminal would obey: control characters become blanks.
pub fn tame(bytes: &mut [u8]) {
    // Before these bytes may stand anything.
    let mut may_be_c1 = true;
    for byte in bytes {
        // In UTF-8 the upper control characters are 0xc2 and one of these.
        let is_control = byte.is_ascii_control() || may_be_c1 && matches!(*byte, 0x80..=0x9f);
        may_be_c1 = *byte == 0xc2;
        if is_control {
            *byte = b' ';
        }
    }
}

fn escape(c: Option<char>) -> Result<u8, String> {
    Ok(match c {
        None => return Err("Incomplete escape specifier.".into()),
        Some('\\') => b'\\',
        Some('0') => 0,
        Some('a') => 0x07,
        Some('e') => 0x1b,
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('v') => 0x0b,
        Some(c) => return Err(format!("Invalid escape specifier '{c}'.")),
    })
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

impl Field {
    fn parse(chars: &mut Chars<'_>) -> Result<Field, String> {
        let mut field = Field {
            left: chars.next_if_eq(&'-').is_some(),
            zeros: chars.next_if_eq(&'0').is_some(),
            ..Field::default()
        };
        field.width = number(chars)?.unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            field.precision = Some(number(chars)?.unwrap_or(0));
        }
        let is_separator = |c: &char| u8::try_from(*c).is_ok_and(|b| SEPARATORS.contains(&b));
        let separator = chars.next_if(is_separator);
        field.separator = separator.map(|c| c as u8);
        let letter = chars.next().ok_or("Incomplete format specifier.")?;
        // Nothing else has a place for one.
        if let Some(c) = separator.filter(|_| {
            !matches!(letter, 'x' | 'X') || field.precision.is_none_or(|every| every == 0)
        }) {
            return Err(format!("Invalid format specifier '{c}'."));
        }
        if !u8::try_from(letter).is_ok_and(|b| LETTERS.contains(&b)) {
            return Err(format!("Invalid format specifier '{letter}'."));
        }
        field.letter = letter as u8;
        Ok(field)
    }

    fn render(
        &self,
        message: &Publish<'_>,
        at: &Moment,
        pretty: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Unprintable> {
        use PropertyId::*;
        match self.letter {
            b'%' => out.push(b'%'),
            b'A' => self.property(message, TopicAlias, out),
            b'C' => self.property(message, ContentType, out),
            b'D' => {
                if let Some(Value::Binary(bytes)) = message.properties.find(CorrelationData) {
                    out.extend_from_slice(bytes);
                }
            }
            b'E' => self.property(message, MessageExpiryInterval, out),
            b'F' => self.property(message, PayloadFormatIndicator, out),
            b'I' => self.text(clock::iso_8601(at).as_bytes(), out),
            b'j' => json::text_payload(message, at, pretty, out),
            b'J' => json::json_payload(message, at, pretty, out)?,
            b'l' => self.integer(message.payload.len(), out),
            b'm' => self.integer(usize::from(message.packet_id), out),
            b'P' => user_properties(message, out),
            b'p' => self.payload(message.payload, out),
            b'q' => out.push(b'0' + message.qos as u8),
            b'R' => {
                if let Some(topic) = message.properties.text(ResponseTopic) {
                    self.text(topic.as_bytes(), out);
                }
            }
            b'r' => out.push(b'0' + u8::from(message.retain)),
            b'S' => self.property(message, SubscriptionIdentifier, out),
            b't' => self.text(message.topic, out),
            b'U' => out.extend_from_slice(clock::unix(at).as_bytes()),
            b'x' => self.hex(message.payload, b"0123456789abcdef", out),
            b'X' => self.hex(message.payload, b"0123456789ABCDEF", out),
            // `LETTERS` has nothing else but `f` and `d`.
            _ => self.float(message.payload, out)?,
        }
        Ok(())
    }

    /// A property that is a number or a text; blanks if it is not there.
    fn property(&self, message: &Publish<'_>, id: PropertyId, out: &mut Vec<u8>) {
        match message.properties.find(id) {
            Some(Value::Integer(value)) => self.integer(value as usize, out),
            Some(Value::Text(text)) => self.text(text.as_bytes(), out),
            _ => {
                let zeros = self.zeros && id != PropertyId::ContentType;
                pad(out, self.width, if zeros { b'0' } else { b' ' });
            }
        }
    }

    fn integer(&self, value: usize, out: &mut Vec<u8>) {
        self.number(&value.to_string(), out);
    }

    fn number(&self, digits: &str, out: &mut Vec<u8>) {
        let padding = self.width.saturating_sub(digits.len());
        let sign = usize::from(digits.starts_with('-'));
        if self.left {
            out.extend_from_slice(digits.as_bytes());
            pad(out, padding, b' ');
        } else if self.zeros {
            out.extend_from_slice(&digits.as_bytes()[..sign]);
            pad(out, padding, b'0');
            out.extend_from_slice(&digits.as_bytes()[sign..]);
        } else {
            pad(out, padding, b' ');
            out.extend_from_slice(digits.as_bytes());
        }
    }

    fn text(&self, text: &[u8], out: &mut Vec<u8>) {
        let text = &text[..text.len().min(self.precision.unwrap_or(usize::MAX))];
        let padding = self.width.saturating_sub(text.len());
        if !self.left {
            pad(out, padding, b' ');
        }
        out.extend_from_slice(text);
        if self.left {
            pad(out, padding, b' ');
        }
    }

    /// The payload as it is, cut at the width.
    fn payload(&self, payload: &[u8], out: &mut Vec<u8>) {
        let payload = self.cut(payload);
        let padding = self.width.saturating_sub(payload.len());
        if !self.left {
            pad(out, padding, if self.zeros { b'0' } else { b' ' });
        }
        out.extend_from_slice(payload);
        if self.left {
            pad(out, padding, b' ');
        }
    }

    /// The payload in hexadecimal digits; with a separator, a space unless told, behind every
    /// `precision` of them.
    fn hex(&self, payload: &[u8], digits: &[u8; 16], out: &mut Vec<u8>) {
        let payload = self.cut(payload);
        let padding = self.width.saturating_sub(payload.len() * 2);
        let every = self.precision.unwrap_or(0);
        let separator = self.separator.unwrap_or(b' ');
        let front = if self.left { 0 } else { padding };
        let filler = if self.zeros { b'0' } else { b' ' };
        let nibbles = payload.iter().flat_map(|&byte| [byte >> 4, byte & 0x0f]);
        let symbols = std::iter::repeat_n(filler, front)
            .chain(nibbles.map(|nibble| digits[usize::from(nibble)]));
        let count = front + payload.len() * 2;
        for (i, symbol) in symbols.enumerate() {
            out.push(symbol);
            if every > 0 && (i + 1) % every == 0 && i + 1 < count {
                out.push(separator);
            }
        }
        pad(out, padding - front, b' ');
    }

    fn float(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Unprintable> {
        let value = if self.letter == b'f' {
            let bytes = payload.try_into().map_err(|_| Unprintable::Number)?;
            f64::from(f32::from_ne_bytes(bytes))
        } else {
            f64::from_ne_bytes(payload.try_into().map_err(|_| Unprintable::Number)?)
        };
        let precision = self.precision.unwrap_or(6);
        self.number(&decimal::print(value, precision), out);
        Ok(())
    }

    fn cut<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        match self.width {
            0 => payload,
            width => &payload[..payload.len().min(width)],
        }
    }
}

fn number(chars: &mut Chars<'_>) -> Result<Option<usize>, String> {
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let value = number.unwrap_or(0) * 10 + digit as usize;
        if value > WIDTH_MAX {
            return Err(format!("A field of the format is wider than {WIDTH_MAX}."));
        }
        number = Some(value);
    }
    Ok(number)
}

fn pad(out: &mut Vec<u8>, count: usize, byte: u8) {
    out.resize(out.len() + count, byte);
}

fn user_properties(message: &Publish<'_>, out: &mut Vec<u8>) {
    let mut first = true;
    for property in message.properties.iter() {
        if let Value::Pair(name, value) = property.value {
            if !std::mem::take(&mut first) {
                out.push(b' ');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
    }
}
