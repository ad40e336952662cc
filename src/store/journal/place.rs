//! Where records lie.

/// A position in the log: a segment, and the bytes in front of it there. Later is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

impl Place {
    /// Before everything.
    pub const START: Place = Place(0);

    /// The position `offset` bytes into a segment.
    pub fn new(segment: u32, offset: u32) -> Place {
        Place(u64::from(segment) << 32 | u64::from(offset))
    }

    /// The number of the segment.
    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Bytes from the beginning of the segment.
    pub fn offset(self) -> u32 {
        self.0 as u32
    }

    /// The position `len` bytes further on in the same segment.
    #[must_use]
    pub fn after(self, len: u32) -> Place {
        Place(self.0 + u64::from(len))
    }

    /// The place as one number.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The place that [`Place::to_u64`] made a number of.
    pub fn from_u64(number: u64) -> Place {
        Place(number)
    }
}

/// A record that was written: where it begins, and its bytes with header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Where it begins.
    pub place: Place,
    /// How many bytes it takes; 0 if nothing was written.
    pub len: u32,
}

impl Placed {
    /// Where it ends: it is durable when everything before this is.
    pub fn end(self) -> Place {
        self.place.after(self.len)
    }

    /// Whether nothing was written.
    pub fn is_none(self) -> bool {
        self.len == 0
    }
}
