//! The parts that record bodies are made of: numbers of one to ten bytes, and runs of bytes behind
//! their length.

/// Appends a number: seven bits a byte, lowest first, the top bit says that more follow.
pub fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes behind their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends bytes that may be missing: the length is one more, 0 says that there are none.
pub fn put_option(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.push(0),
        Some(bytes) => {
            put_number(out, bytes.len() as u64 + 1);
            out.extend_from_slice(bytes);
        }
    }
}

/// The largest count that is believed.
pub const COUNT_MAX: u64 = 1 << 62;

/// Reads what the functions above wrote; `None` where a body ends too early or says nonsense.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of a body.
    pub fn new(body: &'a [u8]) -> Fields<'a> {
        Fields { rest: body }
    }

    /// Everything that was not read yet.
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A moment, or a number that counts something: nothing here gets as far as [`COUNT_MAX`], so
    /// that whoever adds to it need not fear an overflow.
    pub fn count(&mut self) -> Option<u64> {
        self.number().filter(|&count| count <= COUNT_MAX)
    }

    /// A count that begins with 1.
    pub fn ordinal(&mut self) -> Option<u64> {
        self.count().filter(|&ordinal| ordinal > 0)
    }

    /// A number that fits 32 bits.
    pub fn number32(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    /// A number that fits 16 bits.
    pub fn number16(&mut self) -> Option<u16> {
        self.number()?.try_into().ok()
    }

    /// So many bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        if len > self.rest.len() {
            return None;
        }
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(bytes)
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?.try_into().ok()?;
        self.take(len)
    }

    /// Text behind its length.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// Text that may be missing; the outer `None` is an error.
    pub fn option_text(&mut self) -> Option<Option<&'a str>> {
        let len: usize = self.number()?.try_into().ok()?;
        let Some(len) = len.checked_sub(1) else {
            return Some(None);
        };
        Some(Some(std::str::from_utf8(self.take(len)?).ok()?))
    }
}
