//! The few fields of an X.509 certificate that rustls does not hand out (RFC 5280, 4.1).
//!
//! Every length is checked against what is there; what does not fit is no certificate.

/// What `legacy` and `verify` look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate<'a> {
    /// What the issuer signed, with its header.
    pub(super) signed: &'a [u8],
    /// 1 or 3, as people count.
    pub(super) version: u8,
    /// The names of issuer and subject, as they are encoded.
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// Seconds since 1970.
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// `SubjectPublicKeyInfo`, with its header.
    pub(super) key_info: &'a [u8],
    /// The signature's algorithm, without its header, and the signature.
    pub(super) algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Values one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next value: its tag, its contents, and all of it.
    fn next(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (len, header) = match first {
            0..=0x7f => (usize::from(first), 2),
            0x81..=0x83 => {
                let digits = rest.get(..usize::from(first & 0x7f))?;
                let len = digits.iter().fold(0, |n, &d| n << 8 | usize::from(d));
                (len, 2 + digits.len())
            }
            _ => return None,
        };
        let (all, rest) = self.0.split_at_checked(header + len)?;
        self.0 = rest;
        Some((tag, &all[header..], all))
    }

    /// The contents of the next value, which has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, contents, _) = self.next()?;
        (found == tag).then_some(contents)
    }

    /// The next value with its header, which has this tag.
    fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, _, all) = self.next()?;
        (found == tag).then_some(all)
    }
}

/// Reads a certificate.
pub(super) fn parse(der: &[u8]) -> Option<Certificate<'_>> {
    let mut certificate = Reader(Reader(der).take(SEQUENCE)?);
    let (_, fields, signed) = certificate.next()?;
    let algorithm = certificate.take(SEQUENCE)?;
    let signature = bits(certificate.take(BIT_STRING)?)?;
    let mut fields = Reader(fields);
    let mut version = 1;
    if fields.0.first() == Some(&VERSION) {
        let mut number = Reader(fields.take(VERSION)?);
        version = number.take(INTEGER)?.first()?.checked_add(1)?;
    }
    fields.take(INTEGER)?;
    // The algorithm stands inside and outside, and both must be the same.
    if fields.take(SEQUENCE)? != algorithm {
        return None;
    }
    let issuer = fields.whole(SEQUENCE)?;
    let mut validity = Reader(fields.take(SEQUENCE)?);
    Some(Certificate {
        signed,
        version,
        issuer,
        not_before: time(&mut validity)?,
        not_after: time(&mut validity)?,
        subject: fields.whole(SEQUENCE)?,
        key_info: fields.whole(SEQUENCE)?,
        algorithm,
        signature,
    })
}

/// The algorithm of a `SubjectPublicKeyInfo`, without its header, and the key.
pub(super) fn key(info: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = Reader(Reader(info).take(SEQUENCE)?);
    Some((info.take(SEQUENCE)?, bits(info.take(BIT_STRING)?)?))
}

/// The last common name of a subject.
pub(super) fn common_name(subject: &[u8]) -> Option<&[u8]> {
    let mut sets = Reader(Reader(subject).take(SEQUENCE)?);
    let mut found = None;
    while !sets.0.is_empty() {
        let mut attributes = Reader(sets.take(SET)?);
        while !attributes.0.is_empty() {
            let mut attribute = Reader(attributes.take(SEQUENCE)?);
            if attribute.take(OID)? == COMMON_NAME {
                found = Some(attribute.next()?.1);
            }
        }
    }
    found
}

/// A bit string of whole bytes.
fn bits(contents: &[u8]) -> Option<&[u8]> {
    match contents.split_first()? {
        (0, bytes) => Some(bytes),
        _ => None,
    }
}

/// `YYMMDDhhmmssZ`, or with four digits for the year.
fn time(fields: &mut Reader<'_>) -> Option<u64> {
    let (tag, text, _) = fields.next()?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = digits(year)?;
            (year + if year < 50 { 2000 } else { 1900 }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (digits(year)?, rest)
        }
        _ => return None,
    };
    let (rest, zone) = rest.split_at_checked(10)?;
    if zone != b"Z" {
        return None;
    }
    let part = |at: usize| digits(&rest[at..at + 2]);
    let (month, day) = (part(0)?, part(2)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = part(4)? * 3600 + part(6)? * 60 + part(8)?;
    Some(days(year, month, day) * 86_400 + seconds)
}

fn digits(text: &[u8]) -> Option<u64> {
    let is_digit = |c: &u8| c.is_ascii_digit();
    if !text.iter().all(is_digit) {
        return None;
    }
    Some(text.iter().fold(0, |n, c| n * 10 + u64::from(c - b'0')))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, 1970 or later.
fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years that begin in March end with the day that leap years add.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719,468 days lie between March 1 of the year 0 and 1970.
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl x509 -req` without extensions.
    const VERSION_1: &[u8] = include_bytes!("../../../../tests/data/tls/version1.der");

    #[test]
    fn a_certificate_of_version_1_is_read() {
        let certificate = parse(VERSION_1).unwrap();
        assert_eq!(certificate.version, 1);
        assert_eq!(certificate.not_before, 1_795_438_201);
        assert_eq!(certificate.not_after, 1_795_438_201 + 3650 * 86_400);
        assert_eq!(
            common_name(certificate.subject),
            Some(&b"gateway.example"[..])
        );
        assert_eq!(common_name(certificate.issuer), Some(&b"Test-CA"[..]));
        assert_eq!(
            key(certificate.key_info).map(|(_, key)| key.len()),
            Some(65)
        );
    }

    #[test]
    fn damage_is_refused_or_read_and_never_a_panic() {
        for len in 0..VERSION_1.len() {
            assert_eq!(parse(&VERSION_1[..len]), None);
        }
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..100_000 {
            let mut bytes = VERSION_1.to_vec();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            if let Some(parsed) = parse(&bytes) {
                let _ = (common_name(parsed.subject), key(parsed.key_info));
            }
        }
    }

    #[test]
    fn days_are_counted_over_leap_years() {
        for (date, expected) in [
            ((1970, 1, 1), 0),
            ((1970, 3, 1), 59),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 23), 20_780),
            ((2100, 3, 1), 47_541),
        ] {
            let (year, month, day) = date;
            assert_eq!(days(year, month, day), expected, "{date:?}");
        }
    }

    #[test]
    fn times_are_read_or_refused() {
        let read = |bytes: &[u8]| time(&mut Reader(bytes));
        assert_eq!(read(b"\x17\x0d700101000001Z"), Some(1));
        assert_eq!(read(b"\x18\x0f20260101000000Z"), Some(1_767_225_600));
        assert_eq!(read(b"\x17\x0d261301000000Z"), None);
        assert_eq!(read(b"\x17\x0d260101000000+"), None);
        assert_eq!(read(b"\x17\x0b2601010000Z"), None);
        assert_eq!(read(b"\x04\x0d260101000000Z"), None);
        assert_eq!(read(b"\x17\x0d26010"), None);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert!(Reader(b"\x30\x81").next().is_none());
        assert!(Reader(b"\x30\x80").next().is_none());
        assert!(Reader(b"\x30\x83\xff\xff\xff").next().is_none());
        assert!(Reader(b"\x30").next().is_none());
        assert_eq!(Reader(b"\x30\x81\x01x").take(SEQUENCE), Some(&b"x"[..]));
    }
}
