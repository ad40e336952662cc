//! Where encoded bytes go: a `Vec`, or a window of a packet that fits what a socket takes.

/// Something that encoded bytes can be put into, in order.
pub trait Put {
    /// Puts `bytes`.
    fn put(&mut self, bytes: &[u8]);

    /// Puts one byte.
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Puts a Two Byte Integer.
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    /// Puts a Four Byte Integer.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// Puts a Variable Byte Integer; `value` is at most 268,435,455.
    fn put_var_int(&mut self, mut value: usize) {
        debug_assert!(value <= super::REMAINING_LENGTH_MAX);
        let mut bytes = [0; 4];
        let mut len = 0;
        loop {
            bytes[len] = (value % 128) as u8 | if value >= 128 { 0x80 } else { 0 };
            value /= 128;
            len += 1;
            if value == 0 || len == 4 {
                break;
            }
        }
        self.put(&bytes[..len]);
    }

    /// Puts a string or binary data behind its two length bytes; `bytes` has at most 65,535.
    fn put_field(&mut self, bytes: &[u8]) {
        self.put_u16(bytes.len() as u16);
        self.put(bytes);
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// How many bytes a Variable Byte Integer takes.
pub fn var_int_len(value: usize) -> usize {
    match value {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    }
}

/// The part of a run of bytes that starts `skip` bytes in and ends where the buffer is full.
///
/// A packet whose front a socket has already taken is encoded again through such a window, so that
/// the only thing to remember about it is a number. Invariant: `at <= buffer.len()`.
pub struct Window<'a> {
    buffer: &'a mut [u8],
    at: usize,
    skip: usize,
}

impl<'a> Window<'a> {
    /// A window into what is put, leaving out the first `skip` bytes.
    pub fn new(buffer: &'a mut [u8], skip: usize) -> Window<'a> {
        Window {
            buffer,
            at: 0,
            skip,
        }
    }

    /// How many bytes the buffer holds.
    pub fn len(&self) -> usize {
        self.at
    }

    /// Whether the buffer holds nothing.
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// How many more bytes fit.
    pub fn room(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Room for a packet of `len` bytes that is to be put as a whole, if nothing of it is cut off.
    #[inline]
    pub fn whole(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.at + len;
        if self.skip > 0 || end > self.buffer.len() {
            return None;
        }
        let room = &mut self.buffer[self.at..end];
        self.at = end;
        Some(room)
    }

    /// Takes away what is still to be left out, as far as it lies in the next `len` bytes, which go
    /// out another way; returns how many.
    pub fn skip(&mut self, len: usize) -> usize {
        let skipped = self.skip.min(len);
        self.skip -= skipped;
        skipped
    }

    /// Puts what of `bytes` lies in the window.
    #[cold]
    fn put_part(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let bytes = &bytes[skipped..];
        let taken = bytes.len().min(self.room());
        self.buffer[self.at..self.at + taken].copy_from_slice(&bytes[..taken]);
        self.at += taken;
    }
}

impl Put for Window<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        // Nearly always all of it does; a length that is known then makes no call of the copying.
        let end = self.at + bytes.len();
        match self.buffer.get_mut(self.at..end) {
            Some(room) if self.skip == 0 => {
                room.copy_from_slice(bytes);
                self.at = end;
            }
            _ => self.put_part(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_byte_integer_takes_as_few_bytes_as_possible() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 1]),
            (2_097_152, &[0x80, 0x80, 0x80, 1]),
            (268_435_455, &[0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut out = Vec::new();
            out.put_var_int(value);
            assert_eq!((out.as_slice(), var_int_len(value)), (bytes, bytes.len()));
        }
    }

    #[test]
    fn every_window_shows_its_part() {
        let whole: Vec<u8> = (0..40).collect();
        for skip in 0..45 {
            for size in 0..45 {
                let mut buffer = vec![0; size];
                let mut window = Window::new(&mut buffer, skip);
                whole.chunks(7).for_each(|chunk| window.put(chunk));
                let len = window.len();
                let start = skip.min(40);
                assert_eq!(&buffer[..len], &whole[start..(start + size).min(40)]);
            }
        }
    }
}
