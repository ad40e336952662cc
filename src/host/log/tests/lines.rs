//! What a line looks like: escapes, the cut, time stamps.

use std::fmt::Write as _;

use super::super::line::{Line, Stamp};
use super::*;
use crate::host::testing;

fn line_of(stamp: &str, message: &str) -> String {
    let mut line = Line::default();
    line.set(stamp, message);
    line.text().to_owned()
}

#[test]
fn what_does_not_print_is_escaped() {
    for (said, written) in [
        (
            "plain text, 'quoted' \\ back",
            "plain text, 'quoted' \\ back",
        ),
        ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"),
        ("\u{1b}[31mred\u{0}\u{7f}", "\\u{1b}[31mred\\u{0}\\u{7f}"),
        ("\u{85}\u{9f}", "\\u{85}\\u{9f}"),
        ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
        ("abc\u{202e}cba\u{2066}", "abc\\u{202e}cba\\u{2066}"),
        ("\u{200b}\u{feff}\u{e0041}", "\\u{200b}\\u{feff}\\u{e0041}"),
        ("\u{fffe}\u{10ffff}", "\\u{fffe}\\u{10ffff}"),
        ("Küche/温度 ☂ 🌡", "Küche/温度 ☂ 🌡"),
        ("\n", "\\n"),
        ("", ""),
    ] {
        assert_eq!(line_of("", said), written);
    }
}

/// The slow twin: escapes first, each a piece of its own, and whole pieces while there is room. A
/// tab in front is an indent.
fn naive(text: &str) -> String {
    let whole = naive_start(text, usize::MAX);
    if whole.len() <= LINE_BYTES_MAX {
        return whole;
    }
    naive_start(text, LINE_BYTES_MAX - 3) + "..."
}

fn naive_start(text: &str, bytes_max: usize) -> String {
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        let piece = match c {
            '\t' if at == 0 => "\t".to_owned(),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{202e}' => {
                format!("\\u{{{:x}}}", u32::from(c))
            }
            _ => c.to_string(),
        };
        if out.len() + piece.len() > bytes_max {
            break;
        }
        out.push_str(&piece);
    }
    out
}

#[test]
fn any_text_is_one_printable_line_cut_at_a_whole_piece() {
    const CHARS: &str = "abc /+#é温🌡\n\r\t\u{0}\u{1b}\u{7f}\u{85}\u{2028}\u{2029}\u{202e}";
    let chars: Vec<char> = CHARS.chars().collect();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2000 {
        let length = random.usize(..700);
        let text: String = (0..length)
            .map(|_| chars[random.usize(..chars.len())])
            .collect();
        let line = line_of("", &text);
        assert_eq!(line, naive(&text), "{text:?}");
        assert!(line.len() <= LINE_BYTES_MAX);
        let message = line.strip_prefix('\t').unwrap_or(&line);
        assert!(!message.chars().any(char::is_control));
    }
}

#[test]
fn a_line_is_cut_at_1000_bytes_with_its_stamp() {
    let stamp = "1700000000: ";
    let exact = "x".repeat(LINE_BYTES_MAX - stamp.len());
    assert_eq!(line_of(stamp, &exact).len(), LINE_BYTES_MAX);
    let cut = &exact[..exact.len() - 3];
    assert_eq!(
        line_of(stamp, &format!("{exact}y")),
        format!("{stamp}{cut}...")
    );
    let three_bytes = "温".repeat(400);
    assert_eq!(line_of("", &three_bytes), "温".repeat(332) + "...");
    // Neither half an escape nor what would come behind it.
    let start = "x".repeat(LINE_BYTES_MAX - 4);
    assert_eq!(
        line_of("", &format!("{start}\n{start}")),
        format!("{start}...")
    );
}

#[test]
fn a_message_of_any_length_goes_through_the_logger_cut() {
    let caught = Caught::configured(&Settings {
        timestamp: Timestamp::None,
        ..Settings::default()
    });
    caught.info(&"é".repeat(100_000));
    assert_eq!(caught.stderr.take(), format!("{}...\n", "é".repeat(498)));
    // A cut inside of a character does not make the line look whole.
    for start in 997..=1000 {
        caught.info(&format!("{}🌡", "x".repeat(start)));
        let told = caught.stderr.take();
        assert!(told.ends_with("x...\n"), "{told}");
    }
    caught.info("Client \u{202e}\nforged 1700000000: line closed its connection.");
    let expected = "Client \\u{202e}\\nforged 1700000000: line closed its connection.\n";
    assert_eq!(caught.stderr.take(), expected);
    // Several pieces of formatting come out as one line.
    let mut long = String::new();
    for n in 0..500 {
        write!(long, "{n} ").expect("writing to a String does not fail");
    }
    caught.info(&long);
    assert_eq!(
        caught.stderr.take(),
        format!("{}...\n", &long[..LINE_BYTES_MAX - 3])
    );
}

#[test]
fn unix_stamps_follow_the_second() {
    let mut stamp = Stamp::new(Timestamp::Unix, ": ");
    assert_eq!(stamp.at(1_700_000_000), "1700000000: ");
    assert_eq!(stamp.at(1_700_000_001), "1700000001: ");
    assert_eq!(stamp.at(1_700_000_000), "1700000000: ");
    assert_eq!(Stamp::new(Timestamp::None, ": ").at(5), "");
}

/// The time zone is the process's.
#[test]
fn formats_are_strftime_in_local_time() {
    const NAME: &str = "host::log::tests::lines::formats_are_strftime_in_local_time";
    if testing::role().is_none() {
        let code = testing::child(NAME, "any").env("TZ", "XST-2").status();
        let code = code.expect("the test binary starts again").code();
        assert_eq!(code, Some(testing::PASSED));
        return;
    }
    for (format, expected) in [
        ("%Y-%m-%dT%H:%M:%S", "2023-12-01T05:06:40: "),
        ("%Y-%m-%dT%H:%M:%S%z", "2023-12-01T05:06:40+0200: "),
        ("%b %e %H:%M:%S", "Dec  1 05:06:40: "),
        ("%s %a %j %% %D", "1701400000 Fri 335 % 12/01/23: "),
        // Unknown to us: left as it stands.
        ("%H %!", "05 %!: "),
        ("no conversion", "no conversion: "),
    ] {
        let mut stamp = Stamp::new(Timestamp::Format(format.to_owned()), ": ");
        assert_eq!(stamp.at(1_701_400_000), expected, "{format}");
    }
    testing::pass()
}

#[test]
fn a_format_is_checked_and_bounded() {
    assert_eq!(Timestamp::check("%Y-%m-%dT%H:%M:%S"), Ok(()));
    assert!(Timestamp::check("%H %!").is_err());
    let greedy = Timestamp::Format("%255Y".repeat(1000));
    let mut stamp = Stamp::new(greedy, ": ");
    assert!(stamp.at(NOW_S).len() <= LINE_BYTES_MAX + 2);
    let mut stamp = Stamp::new(Timestamp::Format("%Y".to_owned()), ": ");
    // A clock beyond the calendar gives no date, and no panic.
    assert_eq!(stamp.at(i64::MAX), ": ");
}
