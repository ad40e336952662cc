//! Reads a JSON text piece by piece, for a writer that lays it out anew.
//!
//! Nothing is kept: numbers stay the text that they are, whatever their size, members stay in their
//! order, twins included. What it takes is the grammar of RFC 8259 and no more; the tests hold it
//! against serde_json.

use std::iter::Peekable;
use std::str::Bytes;

/// A text and how much of it was read.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What was not read yet, without blanks before it.
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.at = self.text.len() - rest.len();
        rest
    }

    /// True when nothing but blanks is left.
    pub fn is_at_end(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// Goes on behind this byte when it comes next, blanks aside.
    pub fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.rest().as_bytes().first() == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// A number, `true`, `false` or `null`, as it stands.
    pub fn scalar(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let len = rest
            .bytes()
            .position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'E' | b'+' | b'-' | b'.'))
            .unwrap_or(rest.len());
        let word = &rest[..len];
        self.at += len;
        let is_scalar = matches!(word, "true" | "false" | "null") || is_number(word);
        is_scalar.then_some(word)
    }

    /// A string behind its opening quote, with its escapes resolved.
    pub fn string(&mut self) -> Option<String> {
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            let len = rest.find(|c| matches!(c, '"' | '\\' | '\0'..='\x1f'))?;
            string.push_str(&rest[..len]);
            self.at += len + 1;
            match rest.as_bytes()[len] {
                b'"' => return Some(string),
                b'\\' => string.push(self.escape()?),
                _ => return None,
            }
        }
    }

    /// The character that an escape behind its backslash stands for.
    fn escape(&mut self) -> Option<char> {
        let letter = *self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => match self.unit()? {
                high @ 0xd800..0xdc00 => {
                    if !self.text[self.at..].starts_with("\\u") {
                        return None;
                    }
                    self.at += 2;
                    let low = self
                        .unit()?
                        .checked_sub(0xdc00)
                        .filter(|low| *low < 0x400)?;
                    char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?
                }
                unit => char::from_u32(unit)?,
            },
            _ => return None,
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        // `from_str_radix` would take a sign.
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    }
}

/// `-`, digits without a leading zero, a fraction, an exponent.
fn is_number(word: &str) -> bool {
    let mut bytes = word.strip_prefix('-').unwrap_or(word).bytes().peekable();
    let is_zero = bytes.peek() == Some(&b'0');
    match digits(&mut bytes) {
        0 => return false,
        1 => {}
        _ if is_zero => return false,
        _ => {}
    }
    if bytes.next_if_eq(&b'.').is_some() && digits(&mut bytes) == 0 {
        return false;
    }
    if bytes.next_if(|byte| matches!(byte, b'e' | b'E')).is_some() {
        bytes.next_if(|byte| matches!(byte, b'+' | b'-'));
        if digits(&mut bytes) == 0 {
            return false;
        }
    }
    bytes.next().is_none()
}

/// How many digits come next; they are gone then.
fn digits(bytes: &mut Peekable<Bytes<'_>>) -> usize {
    let mut count = 0;
    while bytes.next_if(u8::is_ascii_digit).is_some() {
        count += 1;
    }
    count
}
