//! What the chunks of all versions have in common: a cursor that knows where in the file it is,
//! and the numbers that stand for something.

use super::{Client, ClientMessage, Direction, Message, Misfit, Stage, Subscription};
use crate::wire::{QoS, SubscriptionOptions, Version};

/// The kinds of chunks.
pub(super) mod kind {
    pub(in super::super) const CONFIG: u32 = 1;
    pub(in super::super) const MESSAGE: u32 = 2;
    pub(in super::super) const CLIENT_MESSAGE: u32 = 3;
    pub(in super::super) const RETAINED: u32 = 4;
    pub(in super::super) const SUBSCRIPTION: u32 = 5;
    pub(in super::super) const CLIENT: u32 = 6;
}

/// What a chunk says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry<'a> {
    /// Whether the broker wrote the file when it stopped.
    Config(bool),
    /// A message.
    Message(Message<'a>),
    /// A message on its way to a client, or from it.
    ClientMessage(ClientMessage<'a>),
    /// The store id of a retained message.
    Retained(u64),
    /// A subscription.
    Subscription(Subscription<'a>),
    /// A session.
    Client(Client<'a>),
    /// Of a kind not known, skipped.
    Unknown,
}

/// Why a chunk gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A length does not fit: the end of the reading.
    Misfit(Misfit),
    /// A value cannot be: the end of this chunk only, which was read to its end.
    Refused(&'static str),
    /// The file goes on, but not what is at hand of it: that has to reach to this offset at least.
    More(usize),
}

/// A store id has eight bytes in every version.
pub(super) const STORE_ID: usize = 8;

/// Reads a stretch of the file, front to back.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    at: usize,
    /// Bytes that the file has behind `rest`.
    beyond: usize,
}

impl<'a> Cursor<'a> {
    /// Reads `bytes`, which stand at this offset of the file and are not all that it has.
    pub(super) fn new(bytes: &'a [u8], at: usize, beyond: usize) -> Cursor<'a> {
        let rest = bytes;
        Cursor { rest, at, beyond }
    }

    /// The offset in the file of what comes next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Bytes that there are up to the end of the file, or of the chunk.
    pub(super) fn left(&self) -> usize {
        self.rest.len() + self.beyond
    }

    /// The error that says that `what` should have `expected` bytes from here on.
    pub(super) fn misfit(&self, what: &'static str, expected: usize) -> Stop {
        self.misfit_of(what, expected, self.left())
    }

    /// As `misfit`, where something else than the end of the stretch says how many there are.
    pub(super) fn misfit_of(&self, what: &'static str, expected: usize, there: usize) -> Stop {
        Stop::Misfit(Misfit {
            at: self.at,
            what,
            expected,
            there,
        })
    }

    /// Fewer bytes are at hand than `what` has.
    fn short(&self, what: &'static str, expected: usize) -> Stop {
        match expected <= self.left() {
            true => Stop::More(self.at + expected),
            false => self.misfit(what, expected),
        }
    }

    /// The next `len` bytes, as a stretch of their own.
    pub(super) fn part(&mut self, what: &'static str, len: usize) -> Result<Cursor<'a>, Stop> {
        let at = self.at;
        Ok(Cursor::new(self.take(what, len)?, at, 0))
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], Stop> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.short(what, len));
        };
        self.rest = rest;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Stop> {
        let Some((&bytes, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.short(what, N));
        };
        self.rest = rest;
        self.at += N;
        Ok(bytes)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, Stop> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, Stop> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, Stop> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    /// A number in whatever byte order it was written: good for equality.
    pub(super) fn store_id(&mut self) -> Result<u64, Stop> {
        Ok(u64::from_le_bytes(self.array::<STORE_ID>("a store id")?))
    }

    /// Seconds of the wall clock in eight bytes; none if 0 or negative.
    pub(super) fn time(&mut self, what: &'static str) -> Result<Option<u64>, Stop> {
        let bytes = self.array(what)?;
        Ok(earlier(
            i64::from_le_bytes(bytes),
            i64::from_be_bytes(bytes),
        ))
    }

    /// As `time`, from a broker whose clock had 32 bits.
    pub(super) fn short_time(&mut self, what: &'static str) -> Result<Option<u64>, Stop> {
        let bytes = self.array(what)?;
        let (little, big) = (i32::from_le_bytes(bytes), i32::from_be_bytes(bytes));
        // Both orders can give a time that could be. Only one of them is of this format's days.
        let days = 1_200_000_000..=i32::MAX;
        let time = if days.contains(&big) && !days.contains(&little) {
            big
        } else {
            little
        };
        Ok(u64::try_from(time).ok().filter(|&s| s > 0))
    }

    /// Two bytes of length and that many bytes.
    pub(super) fn string(&mut self, what: &'static str) -> Result<&'a [u8], Stop> {
        let len = self.u16(what)?;
        self.take(what, usize::from(len))
    }

    /// Requires that everything was read.
    pub(super) fn end(&self) -> Result<(), Stop> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.misfit("the end of a chunk", 0))
    }
}

/// The likelier reading of a time in unknown byte order: the smaller of those above 0.
///
/// A number below 2^32 is at least 2^32 when turned round.
fn earlier(little: i64, big: i64) -> Option<u64> {
    [little, big]
        .into_iter()
        .filter_map(|seconds| u64::try_from(seconds).ok())
        .filter(|&seconds| seconds > 0)
        .min()
}

/// None for what stands for "none" by being empty.
pub(super) fn non_empty(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

/// None for what stands for "none" by being zero.
pub(super) fn non_zero(port: u16) -> Option<u16> {
    (port != 0).then_some(port)
}

pub(super) fn qos(number: u8) -> Result<QoS, Stop> {
    QoS::from_bits(number).ok_or(Stop::Refused("a QoS above 2"))
}

pub(super) fn flag(number: u8) -> Result<bool, Stop> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Stop::Refused("a flag that is neither 0 nor 1")),
    }
}

pub(super) fn direction(number: u8) -> Result<Direction, Stop> {
    match number {
        0 => Ok(Direction::In),
        1 => Ok(Direction::Out),
        _ => Err(Stop::Refused("a direction that is neither in nor out")),
    }
}

pub(super) fn stage(number: u8) -> Result<Stage, Stop> {
    Ok(match number {
        1 | 2 | 4 => Stage::SendPublish,
        3 => Stage::AwaitPubAck,
        5 => Stage::AwaitPubRec,
        6 => Stage::SendPubRel,
        7 => Stage::AwaitPubRel,
        8 => Stage::SendPubComp,
        9 => Stage::AwaitPubComp,
        10 => Stage::SendPubRec,
        11 => Stage::Queued,
        _ => return Err(Stop::Refused("a state that does not exist")),
    })
}

/// The options as SUBSCRIBE has them, whose bits for the QoS Mosquitto leaves at 0.
pub(super) fn options(number: u8, qos: QoS) -> Result<SubscriptionOptions, Stop> {
    let options = SubscriptionOptions::from_byte(Version::V5, number & !3)
        .map_err(|malformed| Stop::Refused(malformed.what))?;
    Ok(SubscriptionOptions { qos, ..options })
}
