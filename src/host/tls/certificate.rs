//! The few things of an X.509 certificate that rustls does not tell: names and dates.
//!
//! A walk through its DER (X.690): each value is a tag, a length and its content. Everything is
//! bounded by the slice; what is not as expected is `None`, never a panic. Certificates have been
//! verified, or are the owner's, before they get here.

use crate::conf::Identity;
use std::fmt::Write;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const BMP_STRING: u8 = 0x1e;
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// The version in front of a certificate's fields.
const VERSION: u8 = 0xa0;
/// The extensions behind them, two kinds of which tell of keys.
const EXTENSIONS: u8 = 0xa3;
const OWN_KEY: &[u8] = &[0x55, 29, 14];
const ISSUER_KEY: &[u8] = &[0x55, 29, 35];
const KEY_ID: u8 = 0x80;

/// The name of the subject that is to be a user name; `None` if there is none, or it is not good
/// for one.
pub(super) fn name(der: &[u8], part: Identity) -> Option<Box<str>> {
    let parts = attributes(fields(der)?.subject)?;
    let name = match part {
        Identity::CommonName => {
            let common = parts.iter().find(|part| part.oid == COMMON_NAME);
            common?.value.clone()
        }
        Identity::Subject => rfc2253(&parts),
    };
    (!name.is_empty() && !name.contains('\0')).then(|| name.into())
}

/// The public key of a certificate, as it stands there, with what kind of key it is.
pub(super) fn public_key(der: &[u8]) -> Option<&[u8]> {
    let behind = fields(der)?.behind;
    let mut rest = behind;
    content_of(&mut rest)?;
    Some(&behind[..behind.len() - rest.len()])
}

/// When a certificate ends, in seconds since 1970.
pub(super) fn not_after_s(der: &[u8]) -> Option<u64> {
    let mut rest = fields(der)?.validity;
    next(&mut rest)?;
    let (tag, time) = next(&mut rest)?;
    time_s(tag, time)
}

/// From when to when a certificate holds, in seconds since 1970, and whose it is.
pub(super) fn validity(der: &[u8]) -> Option<(u64, u64, String)> {
    let Fields {
        validity: mut rest,
        subject,
        ..
    } = fields(der)?;
    let (tag, from) = next(&mut rest)?;
    let from_s = time_s(tag, from)?;
    let subject = attributes(subject).map(|parts| rfc2253(&parts));
    Some((from_s, not_after_s(der)?, subject.unwrap_or_default()))
}

/// From when to when a revocation list holds: the second only if it says so.
pub(super) fn list_validity(der: &[u8]) -> Option<(u64, Option<u64>)> {
    let list = content(der, SEQUENCE)?.0;
    let mut rest = content(list, SEQUENCE)?.0;
    if rest.first() == Some(&INTEGER) {
        next(&mut rest)?;
    }
    // Signature algorithm, issuer.
    for _ in 0..2 {
        next(&mut rest)?;
    }
    let (tag, from) = next(&mut rest)?;
    let from_s = time_s(tag, from)?;
    let until = next(&mut rest).and_then(|(tag, until)| time_s(tag, until));
    Some((from_s, until))
}

/// One attribute of a subject.
struct Attribute<'a> {
    oid: &'a [u8],
    /// With its tag and length.
    der: &'a [u8],
    value: String,
    /// It stands in one set with the attribute before it.
    is_joined: bool,
}

impl Attribute<'_> {
    /// What OpenSSL calls it; `None` where it has no name here.
    fn label(&self) -> Option<&'static str> {
        let name = match self.oid {
            [0x55, 4, kind] => match kind {
                3 => "CN",
                4 => "SN",
                5 => "serialNumber",
                6 => "C",
                7 => "L",
                8 => "ST",
                9 => "street",
                10 => "O",
                11 => "OU",
                12 => "title",
                13 => "description",
                15 => "businessCategory",
                17 => "postalCode",
                41 => "name",
                42 => "GN",
                43 => "initials",
                44 => "generationQualifier",
                46 => "dnQualifier",
                65 => "pseudonym",
                97 => "organizationIdentifier",
                _ => return None,
            },
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress",
            [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, kind] => match kind {
                1 => "UID",
                25 => "DC",
                _ => return None,
            },
            _ => return None,
        };
        Some(name)
    }
}

/// Whether a certificate says that it was issued by somebody else than its owner.
pub(super) fn has_issuer(der: &[u8]) -> bool {
    fields(der).is_some_and(|it| it.issuer != it.subject)
}

/// Whether this may be the certificate of the one who issued another: by the names in them, and by
/// the keys, where both say which those are.
pub(super) fn is_issuer_of(issuer: &[u8], der: &[u8]) -> bool {
    let names = fields(issuer).zip(fields(der));
    let same_key = issuer_key(der)
        .zip(own_key(issuer))
        .is_none_or(|(a, b)| a == b);
    same_key && names.is_some_and(|(from, of)| from.subject == of.issuer)
}

/// The number of a certificate's own key.
fn own_key(der: &[u8]) -> Option<&[u8]> {
    Some(content(extension(der, OWN_KEY)?, OCTET_STRING)?.0)
}

/// The number of the key that signed it.
fn issuer_key(der: &[u8]) -> Option<&[u8]> {
    let (parts, _) = content(extension(der, ISSUER_KEY)?, SEQUENCE)?;
    Some(content(parts, KEY_ID)?.0)
}

/// What a certificate's extension of this kind holds.
fn extension<'a>(der: &'a [u8], kind: &[u8]) -> Option<&'a [u8]> {
    let mut rest = fields(der)?.behind;
    while let Some((tag, found)) = next(&mut rest) {
        if tag != EXTENSIONS {
            continue;
        }
        let mut all = content(found, SEQUENCE)?.0;
        while let Some((_, mut one)) = next(&mut all) {
            let (_, oid) = next(&mut one)?;
            // Whether it is critical may stand between.
            let value = std::iter::from_fn(|| next(&mut one)).last()?.1;
            if oid == kind {
                return Some(value);
            }
        }
    }
    None
}

/// Some fields of a certificate.
struct Fields<'a> {
    /// The content of each.
    issuer: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
    /// What comes behind them.
    behind: &'a [u8],
}

fn fields(der: &[u8]) -> Option<Fields<'_>> {
    let certificate = content(der, SEQUENCE)?.0;
    let mut rest = content(certificate, SEQUENCE)?.0;
    if rest.first() == Some(&VERSION) {
        next(&mut rest)?;
    }
    rest = content(rest, INTEGER)?.1;
    // Signature algorithm.
    next(&mut rest)?;
    Some(Fields {
        issuer: content_of(&mut rest)?,
        validity: content_of(&mut rest)?,
        subject: content_of(&mut rest)?,
        behind: rest,
    })
}

/// Takes the sequence in front.
fn content_of<'a>(der: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (content, behind) = content(der, SEQUENCE)?;
    *der = behind;
    Some(content)
}

/// The content of the value in front, which has this tag, and what is behind it.
fn content(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let mut rest = der;
    let (found, content) = next(&mut rest)?;
    (found == tag).then_some((content, rest))
}

/// Takes the value in front: tag and content.
fn next<'a>(der: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut len = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 3 {
            return None;
        }
        let (bytes, behind) = rest.split_at_checked(count)?;
        len = bytes.iter().fold(0, |len, &b| len << 8 | usize::from(b));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(len)?;
    *der = behind;
    Some((tag, content))
}

/// The attributes of a subject, in their order.
fn attributes(mut sets: &[u8]) -> Option<Vec<Attribute<'_>>> {
    let mut found = Vec::new();
    while !sets.is_empty() {
        let (_, mut set) = next(&mut sets)?;
        let mut is_joined = false;
        while !set.is_empty() {
            let (_, mut pair) = next(&mut set)?;
            let (tag, oid) = next(&mut pair)?;
            let der = pair;
            let (kind, value) = next(&mut pair)?;
            if tag != OBJECT_IDENTIFIER {
                return None;
            }
            let value = match kind {
                BMP_STRING => {
                    let units = value
                        .chunks_exact(2)
                        .map(|c| u16::from_be_bytes([c[0], c[1]]));
                    String::from_utf16(&units.collect::<Vec<_>>()).ok()?
                }
                _ => std::str::from_utf8(value).ok()?.to_string(),
            };
            found.push(Attribute {
                oid,
                der,
                value,
                is_joined,
            });
            is_joined = true;
        }
    }
    Some(found)
}

/// A subject in one line, the last attribute first (RFC 2253), byte for byte as OpenSSL writes it:
/// beyond ASCII in hexadecimal digits, and so all of an attribute without a name.
fn rfc2253(parts: &[Attribute<'_>]) -> String {
    let mut line = String::new();
    let mut separator = "";
    for part in parts.iter().rev() {
        line.push_str(separator);
        separator = if part.is_joined { "+" } else { "," };
        let Some(label) = part.label() else {
            let _ = write!(line, "{}=#", dotted(part.oid));
            for byte in part.der {
                let _ = write!(line, "{byte:02X}");
            }
            continue;
        };
        let _ = write!(line, "{label}=");
        let last = part.value.len().saturating_sub(1);
        for (at, byte) in part.value.bytes().enumerate() {
            let is_edge = at == 0 && matches!(byte, b'#' | b' ') || at == last && byte == b' ';
            match byte {
                b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => line.push('\\'),
                _ if is_edge => line.push('\\'),
                b' '..=b'~' => {}
                _ => {
                    let _ = write!(line, "\\{byte:02X}");
                    continue;
                }
            }
            line.push(char::from(byte));
        }
    }
    line
}

fn dotted(oid: &[u8]) -> String {
    let mut text = String::new();
    let mut number = 0_u64;
    for &byte in oid {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            let first = (number / 40).min(2);
            let _ = write!(text, "{first}.{}", number - first * 40);
        } else {
            let _ = write!(text, ".{number}");
        }
        number = 0;
    }
    text
}

/// UTCTime `YYMMDDHHMMSSZ` or GeneralizedTime `YYYYMMDDHHMMSSZ`.
fn time_s(tag: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: u64 = text.get(..2)?.parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                text.get(2..)?,
            )
        }
        _ => (text.get(..4)?.parse().ok()?, text.get(4..)?),
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let (hour, minute, second) = (part(4)?, part(6)?, part(8)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970, of a calendar whose years begin in March.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_kinds() {
        assert_eq!(time_s(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(time_s(UTC_TIME, b"261123123456Z"), Some(1_795_437_296));
        assert_eq!(time_s(0x18, b"20500229000000Z"), Some(2_529_705_600));
        assert_eq!(time_s(0x18, b"21000301000000Z"), Some(4_107_542_400));
        assert_eq!(time_s(UTC_TIME, b"261323123456Z"), None);
        assert_eq!(time_s(UTC_TIME, b"2611"), None);
    }

    #[test]
    fn a_subject_reads_backwards_and_escapes_what_has_a_meaning() {
        let part = |oid, value: &str| Attribute {
            oid,
            der: b"\x0c\x01y",
            value: value.to_string(),
            is_joined: false,
        };
        let mut parts = [
            part(&[0x55, 4, 6], "DE"),
            part(&[0x55, 4, 10], "A, B + C"),
            part(COMMON_NAME, " x\\ "),
            part(&[0x55, 4, 11], "W\u{f6}\n"),
            part(&[0x2a, 3, 0x81, 0x01], "y"),
        ];
        parts[3].is_joined = true;
        assert_eq!(
            rfc2253(&parts),
            "1.2.3.129=#0C0179,OU=W\\C3\\B6\\0A+CN=\\ x\\\\\\ ,O=A\\, B \\+ C,C=DE"
        );
    }

    /// A value whose content is short.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        assert!(content.len() < 0x80);
        [&[tag, content.len() as u8][..], &content].concat()
    }

    #[test]
    fn of_two_common_names_the_first_counts_and_sets_are_joined() {
        let part = |oid, value: &str| {
            let pair = [der(OBJECT_IDENTIFIER, &[oid]), der(12, &[value.as_bytes()])];
            der(SEQUENCE, &[&pair[0], &pair[1]])
        };
        let both = der(
            0x31,
            &[&part(COMMON_NAME, "first"), &part(&[0x55, 4, 11], "x")],
        );
        let second = der(0x31, &[&part(COMMON_NAME, "second")]);
        let subject = der(SEQUENCE, &[&both, &second]);
        let before = [INTEGER, 0, SEQUENCE, 0, SEQUENCE, 0, SEQUENCE, 0];
        let certificate = der(SEQUENCE, &[&der(SEQUENCE, &[&before, &subject])]);
        let name = |part| name(&certificate, part).expect("a name");
        assert_eq!(&*name(Identity::CommonName), "first");
        assert_eq!(&*name(Identity::Subject), "CN=second,OU=x+CN=first");
    }

    #[test]
    fn no_bytes_are_too_odd() {
        for len in 0..300 {
            let mut rng = fastrand::Rng::with_seed(len);
            let mut bytes: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
            for tag in bytes.iter_mut().step_by(5) {
                *tag = [SEQUENCE, INTEGER, VERSION, 4][rng.usize(..4)];
            }
            let _ = (name(&bytes, Identity::Subject), not_after_s(&bytes));
        }
    }
}
