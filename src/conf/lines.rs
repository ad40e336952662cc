//! The outer form of a file: lines, blanks, comments, keywords.
//!
//! A line ends with LF or CRLF, the last one also without. A byte order mark at the start of a file
//! is skipped. Blanks are space and TAB (Mosquitto knows only the space; no file of it changes
//! meaning). A line whose first byte after blanks is `#` is a comment; a `#` further on belongs to
//! the value. Nothing here fails: what a keyword or a value may be is decided later.

/// A line that says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Counted from 1, empty lines and comments included.
    pub(super) number: u32,
    /// The first word; never empty.
    pub(super) keyword: &'a [u8],
    /// What follows it, without blanks at either end.
    pub(super) rest: &'a [u8],
}

/// The lines of `text` that are neither empty nor comments.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.split(|&byte| byte == b'\n')
        .zip(1..)
        .filter_map(|(line, number)| {
            let line = trim(line);
            if line.is_empty() || line[0] == b'#' {
                return None;
            }
            let (keyword, rest) = word(line);
            Some(Line {
                number,
                keyword,
                rest,
            })
        })
}

/// The first word of `text`, which does not begin with a blank, and the trimmed rest.
pub(super) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|&byte| is_blank(byte))
        .unwrap_or(text.len());
    (&text[..end], trim(&text[end..]))
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text {
        if !is_blank(*first) {
            break;
        }
        text = rest;
    }
    while let [rest @ .., last] = text {
        if !is_blank(*last) && *last != b'\r' {
            break;
        }
        text = rest;
    }
    text
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<(u32, &str, &str)> {
        let text = text.as_bytes();
        let show = |bytes| std::str::from_utf8(bytes).expect("the tests' texts are UTF-8");
        lines(text)
            .map(|line| (line.number, show(line.keyword), show(line.rest)))
            .collect()
    }

    #[test]
    fn line_ends_of_both_kinds_and_none() {
        let expected = [(1, "a", "1"), (2, "b", "2"), (3, "c", "")];
        assert_eq!(seen("a 1\nb 2\nc"), expected);
        assert_eq!(seen("a 1\r\nb 2\r\nc\r\n"), expected);
        assert_eq!(seen(""), []);
        assert_eq!(seen("\r\n\n"), []);
    }

    #[test]
    fn a_byte_order_mark_only_at_the_start() {
        assert_eq!(seen("\u{feff}a 1"), [(1, "a", "1")]);
        assert_eq!(seen("a\n\u{feff}b"), [(1, "a", ""), (2, "\u{feff}b", "")]);
    }

    #[test]
    fn tabs_and_spaces_separate_and_are_trimmed() {
        let expected = [(1, "key", "a \t value")];
        assert_eq!(seen("key a \t value"), expected);
        assert_eq!(seen("\t key\t\ta \t value \t\r"), expected);
    }

    #[test]
    fn only_a_leading_hash_begins_a_comment() {
        assert_eq!(
            seen("# a 1\n \t# b 2\nc # d\n#"),
            [(3, "c", "# d")],
            "the value keeps its hash"
        );
    }
}
