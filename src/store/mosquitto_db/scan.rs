//! The way through a file, of which only a part is at hand.

use super::chunk::{Cursor, Entry, Stop};
use super::{Damage, HEADER, MAGIC, Refused, Unreadable, new, old};

/// What comes next in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step<'a> {
    /// A chunk.
    Entry(Entry<'a>),
    /// Not enough is at hand: ask again with the bytes up to this offset of the file, or more.
    More(usize),
    /// Nothing; [`Scan::damage`] tells whether that is the end of the file.
    End,
}

/// A place in a file, and what was found before it.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The version of the format, 2 to 6.
    pub version: u32,
    /// As [`Database::refused`](super::Database::refused).
    pub refused: usize,
    /// The first of these.
    pub first_refused: Option<Refused>,
    /// Where the reading ended, if not at the end of the file.
    pub damage: Option<Damage>,
    at: usize,
    len: usize,
}

impl Scan {
    /// Begins with a file of `len` bytes, of which the first ones are at hand.
    ///
    /// # Errors
    /// It is no such file, or one of a version not known.
    pub fn new(front: &[u8], len: usize) -> Result<Scan, Unreadable> {
        Ok(Scan {
            version: version(front)?,
            refused: 0,
            first_refused: None,
            damage: None,
            at: HEADER,
            len,
        })
    }

    /// The offset in the file of what comes next.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What comes next; `window` is the file from [`Scan::at`] on, as far as it is at hand.
    pub fn next<'a>(&mut self, window: &'a [u8]) -> Step<'a> {
        let mut skipped = 0;
        while self.damage.is_none() && self.at < self.len {
            let window = &window[skipped..];
            let beyond = (self.len - self.at).saturating_sub(window.len());
            let mut rest = Cursor::new(window, self.at, beyond);
            let result = match self.version {
                5.. => new::chunk(&mut rest, self.version),
                _ => old::chunk(&mut rest, self.version),
            };
            let chunk_at = self.at;
            match result {
                Err(Stop::More(until)) => return Step::More(until),
                Err(Stop::Misfit(misfit)) => self.damage = Some(Damage { chunk_at, misfit }),
                Err(Stop::Refused(what)) => {
                    self.refused += 1;
                    self.first_refused.get_or_insert(Refused { chunk_at, what });
                }
                Ok(_) => {}
            }
            self.at = rest.at();
            skipped += self.at - chunk_at;
            if let Ok(entry) = result {
                return Step::Entry(entry);
            }
        }
        Step::End
    }
}

fn version(front: &[u8]) -> Result<u32, Unreadable> {
    let Some(header) = front.first_chunk::<HEADER>() else {
        return Err(Unreadable::NoHeader { len: front.len() });
    };
    if !header.starts_with(MAGIC) {
        return Err(Unreadable::Foreign);
    }
    let version = u32::from_be_bytes([header[19], header[20], header[21], header[22]]);
    if !(2..=6).contains(&version) {
        return Err(Unreadable::Version(version));
    }
    Ok(version)
}
