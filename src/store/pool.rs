//! Memory for message bodies, used again.
//!
//! Bodies of up to 64 KiB come from free lists by size; a free list keeps at most 256 KiB.

/// Free bodies by size.
#[derive(Default)]
pub struct Pool {
    classes: [Vec<Box<[u8]>>; CLASSES],
}

/// 32-byte steps up to 256, then two sizes for each power of two up to 64 KiB.
const CLASSES: usize = 8 + 16;
const POOLED_MAX: usize = 64 * 1024;
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// The size class that holds `len` bytes (1 to [`POOLED_MAX`]), and its size.
fn class_of(len: usize) -> (usize, usize) {
    if len <= 256 {
        let class = len.max(1).div_ceil(32) - 1;
        return (class, (class + 1) * 32);
    }
    let power = usize::BITS - (len - 1).leading_zeros(); // 2^(power-1) < len <= 2^power, power >= 9
    let size = 1 << power;
    let class = 8 + (power as usize - 9) * 2;
    match len <= size / 4 * 3 {
        true => (class, size / 4 * 3),
        false => (class + 1, size),
    }
}

impl Pool {
    /// Memory for a body of `len` bytes; what is in it is left from before.
    pub fn take(&mut self, len: usize) -> Box<[u8]> {
        if len > POOLED_MAX {
            return vec![0; len].into_boxed_slice();
        }
        let (class, size) = class_of(len);
        self.classes[class]
            .pop()
            .unwrap_or_else(|| vec![0; size].into_boxed_slice())
    }

    /// Takes memory back.
    pub fn give_back(&mut self, bytes: Box<[u8]>) {
        if bytes.is_empty() || bytes.len() > POOLED_MAX {
            return;
        }
        let (class, size) = class_of(bytes.len());
        let class = &mut self.classes[class];
        if (class.len() + 1) * size <= KEPT_BYTES_MAX {
            class.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_a_class_that_holds_it_and_wastes_little() {
        let mut sizes = std::collections::BTreeMap::new();
        for len in 0..=POOLED_MAX {
            let (class, size) = class_of(len);
            assert!(
                class < CLASSES && len <= size,
                "{len}: class {class} of {size}"
            );
            assert!(
                size <= len + len / 2 + 32,
                "{len} wastes too much in {size}"
            );
            assert_eq!(*sizes.entry(class).or_insert(size), size);
            assert_eq!(
                class_of(size),
                (class, size),
                "a body goes back where it came from"
            );
        }
        assert_eq!(sizes.len(), CLASSES);
    }
}
