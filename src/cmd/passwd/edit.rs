//! Changes to the text of a password file, as text in, text out.
//!
//! Whatever is not the line in question stays byte for byte: comments, blank lines, line ends, a
//! byte order mark, a missing newline at the end. A line without a name and a colon is a fault that
//! stops every change, because nobody knows what it was meant to be.

use std::fmt;

use crate::auth::check_username;
use crate::auth::hash::{Refusal, Secret};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The first line that is neither `name:…`, nor a comment, nor blank.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Corrupt {
    line: usize,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Corrupt password file at line {}.", self.line)
    }
}

/// What [`hash_all`] made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) text: Vec<u8>,
    /// Lines that have a new secret.
    pub(super) changed: usize,
    /// Lines whose secret was hashed before.
    pub(super) kept: usize,
}

/// Gives the user this secret, in the first line of that name or in a new one at the end. Later
/// lines of the same name would hold in its place and are taken out; returns their number, too.
pub(super) fn set(text: &[u8], user: &str, secret: &str) -> Result<(Vec<u8>, usize), Corrupt> {
    let (mark, lines) = lines(text);
    let mut out = mark.to_vec();
    let mut found = 0;
    for (number, line) in lines {
        if name_of(number, line)? != Some(user.as_bytes()) {
            out.extend_from_slice(line);
            continue;
        }
        found += 1;
        if found == 1 {
            out.extend_from_slice(format!("{user}:{secret}").as_bytes());
            out.extend_from_slice(line_end(line));
        }
    }
    if found == 0 {
        if out.len() > mark.len() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend_from_slice(format!("{user}:{secret}\n").as_bytes());
    }
    Ok((out, usize::max(found, 1) - 1))
}

/// Takes out all lines of a user; `None` when there is none.
pub(super) fn delete(text: &[u8], user: &str) -> Result<Option<Vec<u8>>, Corrupt> {
    let (mark, lines) = lines(text);
    let mut out = mark.to_vec();
    let mut found = false;
    for (number, line) in lines {
        if name_of(number, line)? == Some(user.as_bytes()) {
            found = true;
        } else {
            out.extend_from_slice(line);
        }
    }
    Ok(found.then_some(out))
}

/// Puts a hash in the place of every password in plain text. The password is all that follows the
/// first colon, without blanks around it. A secret that is hashed already stays: hashing it once
/// more would lock its user out.
pub(super) fn hash_all(
    text: &[u8],
    hash: &mut dyn FnMut(&[u8]) -> Result<String, String>,
) -> Result<Hashed, String> {
    let (mark, lines) = lines(text);
    let mut hashed = Hashed {
        text: mark.to_vec(),
        changed: 0,
        kept: 0,
    };
    for (number, line) in lines {
        let Some(name) = name_of(number, line).map_err(|corrupt| corrupt.to_string())? else {
            hashed.text.extend_from_slice(line);
            continue;
        };
        let name = std::str::from_utf8(name)
            .map_err(|_| format!("line {number}: the user name is not UTF-8."))?;
        check_username(name).map_err(|what| format!("line {number}: {what}."))?;
        let colon = line.iter().position(|byte| *byte == b':');
        // name_of has found a colon.
        let password = line[colon.map_or(line.len(), |at| at + 1)..].trim_ascii();
        match Secret::parse(password) {
            Ok(_) => {
                hashed.kept += 1;
                hashed.text.extend_from_slice(line);
            }
            Err(Refusal::Bad(what)) => {
                return Err(format!(
                    "line {number}: this looks like a hash, but {what}; nothing was changed."
                ));
            }
            Err(Refusal::NotHashed) => {
                let secret = hash(password).map_err(|what| format!("line {number}: {what}"))?;
                hashed.changed += 1;
                hashed
                    .text
                    .extend_from_slice(format!("{name}:{secret}").as_bytes());
                hashed.text.extend_from_slice(line_end(line));
            }
        }
    }
    Ok(hashed)
}

/// The byte order mark, and the lines with their ends, counted from 1.
fn lines(text: &[u8]) -> (&[u8], impl Iterator<Item = (usize, &[u8])>) {
    let (mark, text) = match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (BYTE_ORDER_MARK, rest),
        None => (&[][..], text),
    };
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    (mark, (1..).zip(lines))
}

/// The name that a line is about; `None` for comments and blank lines.
fn name_of(number: usize, line: &[u8]) -> Result<Option<&[u8]>, Corrupt> {
    if line.starts_with(b"#") || line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let colon = line.iter().position(|byte| *byte == b':');
    match colon.map(|colon| line[..colon].trim_ascii()) {
        Some(name) if !name.is_empty() => Ok(Some(name)),
        _ => Err(Corrupt { line: number }),
    }
}

fn line_end(line: &[u8]) -> &[u8] {
    if line.ends_with(b"\r\n") {
        b"\r\n"
    } else if line.ends_with(b"\n") {
        b"\n"
    } else {
        b""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("the tests write UTF-8")
    }

    #[test]
    fn a_new_user_goes_to_the_end_and_nothing_else_moves() {
        for (before, after) in [
            ("", "ann:S\n"),
            ("bob:x\n", "bob:x\nann:S\n"),
            ("bob:x", "bob:x\nann:S\n"),
            (
                "# c\r\n\r\n bob : x \r\n",
                "# c\r\n\r\n bob : x \r\nann:S\n",
            ),
            ("\u{feff}bob:x\n", "\u{feff}bob:x\nann:S\n"),
            ("\u{feff}", "\u{feff}ann:S\n"),
            ("#ann:x\nannie:y\n", "#ann:x\nannie:y\nann:S\n"),
        ] {
            let (out, removed) = set(before.as_bytes(), "ann", "S").expect("a good file");
            assert_eq!((text(&out), removed), (after, 0), "{before:?}");
        }
    }

    #[test]
    fn a_known_user_is_changed_in_place_and_only_once() {
        for (before, after, removed) in [
            ("ann:x\nbob:y\n", "ann:S\nbob:y\n", 0),
            ("bob:y\nann:x", "bob:y\nann:S", 0),
            ("bob:y\r\n ann :x:z\r\nc:d", "bob:y\r\nann:S\r\nc:d", 0),
            ("\u{feff}ann:x\n", "\u{feff}ann:S\n", 0),
            ("ann:1\nbob:y\nann:2\nann:3", "ann:S\nbob:y\n", 2),
        ] {
            let (out, gone) = set(before.as_bytes(), "ann", "S").expect("a good file");
            assert_eq!((text(&out), gone), (after, removed), "{before:?}");
        }
    }

    #[test]
    fn all_lines_of_a_user_are_deleted() {
        let delete = |before: &str| delete(before.as_bytes(), "ann").expect("a good file");
        assert_eq!(delete("bob:x\n#ann:y\n"), None);
        assert_eq!(delete(""), None);
        assert_eq!(delete("ann:x").as_deref(), Some(&b""[..]));
        assert_eq!(
            delete("# c\nann:x\n\nbob:y\r\n ann: z\nd:e").as_deref(),
            Some(&b"# c\n\nbob:y\r\nd:e"[..])
        );
    }

    #[test]
    fn a_line_that_cannot_be_understood_stops_every_change() {
        for (before, line) in [
            ("nocolon\n", 1),
            ("a:b\n\n# c\nnocolon\nann:x\n", 4),
            ("ann:x\n:secret\n", 2),
            ("ann:x\n  \t: s\n", 2),
            ("ann:x\n # indented", 2),
        ] {
            let corrupt = Corrupt { line };
            let message = format!("Corrupt password file at line {line}.");
            assert_eq!(corrupt.to_string(), message);
            assert_eq!(delete(before.as_bytes(), "ann").as_ref(), Err(&corrupt));
            let hashed = hash_all(before.as_bytes(), &mut |_| Ok("H".to_owned()));
            assert_eq!(hashed, Err(message), "{before:?}");
            assert_eq!(set(before.as_bytes(), "ann", "S"), Err(corrupt));
        }
    }

    #[test]
    fn plain_text_is_hashed_and_hashes_stay() {
        let ready = Secret::create(crate::auth::hash::Kind::Sha512, b"x", b"salt").expect("good");
        let before = format!("# c\na:one \r\n\nb : p:q r\nc: {ready}\nd:last");
        let mut seen = Vec::new();
        let hashed = hash_all(before.as_bytes(), &mut |password| {
            seen.push(text(password).to_owned());
            Ok(format!("H{}", seen.len()))
        })
        .expect("a good file");
        assert_eq!(seen, ["one", "p:q r", "last"]);
        assert_eq!((hashed.changed, hashed.kept), (3, 1));
        assert_eq!(
            text(&hashed.text),
            format!("# c\na:H1\r\n\nb:H2\nc: {ready}\nd:H3")
        );
    }

    #[test]
    fn a_damaged_hash_is_not_taken_for_a_password() {
        let hashed = hash_all(b"a:one\nb:$6$AAAA$AAAA\n", &mut |_| Ok("H".to_owned()));
        assert_eq!(
            hashed.expect_err("refused"),
            "line 2: this looks like a hash, but the hash has 3 bytes, expected at least 64; the \
             line may be cut off; nothing was changed."
        );
        let hashed = hash_all(b"a:one\nb:\n", &mut |password| {
            if password.is_empty() {
                return Err("Empty password.".to_owned());
            }
            Ok("H".to_owned())
        });
        assert_eq!(hashed.expect_err("refused"), "line 2: Empty password.");
        let hashed = hash_all(b"a\x01:one\n", &mut |_| Ok("H".to_owned()));
        assert_eq!(
            hashed.expect_err("refused"),
            "line 1: the user name contains control characters."
        );
    }
}
