//! The calendar against its twin, jiff: random moments in real zones and in rules.

use super::*;
use fastrand::Rng;
use jiff::tz::TimeZone;

const LETTERS: &str = "aAbBCdDeFgGhHIjklmMpRsSTuUVwWyY";

/// Moments from 1900 to 2200, and some around the changes of the clocks.
fn moments(rng: &mut Rng) -> i64 {
    rng.i64(-2_208_988_800..7_258_118_400)
}

fn compare(name: &str, zone: &Zone, twin: &TimeZone, unix_s: i64) {
    let theirs = jiff::Timestamp::from_second(unix_s).unwrap();
    let info = twin.to_offset_info(theirs);
    let ours = Moment::new(unix_s, 0, zone).unwrap();
    let what = format!("{name} at {unix_s}");
    assert_eq!(ours.offset_s, info.offset().seconds(), "{what}");
    assert_eq!(ours.abbreviation(), info.abbreviation(), "{what}");
    let zoned = theirs.to_zoned(twin.clone());
    for letter in LETTERS.chars() {
        let format = format!("%{letter}");
        let theirs = zoned.strftime(&format).to_string();
        assert_eq!(ours.text(&format), theirs, "{format}, {what}");
    }
}

/// Many moments, and where the clocks change to the second.
fn compare_all(name: &str, zone: &Zone, twin: &TimeZone) {
    let mut rng = Rng::with_seed(1);
    for _ in 0..300 {
        let at = moments(&mut rng);
        compare(name, zone, twin, at);
        let start = jiff::Timestamp::from_second(at).unwrap();
        if let Some(change) = twin.following(start).next() {
            let change = change.timestamp().as_second();
            compare(name, zone, twin, change);
            compare(name, zone, twin, change - 1);
        }
    }
}

#[test]
fn zone_files_say_what_they_say_to_jiff() {
    let mut found = 0;
    for name in [
        "Europe/Berlin",
        "Europe/Dublin",
        "America/New_York",
        "America/St_Johns",
        "America/Sao_Paulo",
        "Africa/Casablanca",
        "Asia/Kolkata",
        "Asia/Gaza",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Etc/GMT+12",
        "UTC",
    ] {
        let Ok(bytes) = std::fs::read(format!("/usr/share/zoneinfo/{name}")) else {
            continue;
        };
        found += 1;
        let zone = Zone::named(name).expect(name);
        let twin = TimeZone::tzif(name, &bytes).unwrap();
        compare_all(name, &zone, &twin);
        for at in 0..bytes.len() {
            // Whatever is left of a file, nothing breaks.
            let _ = Zone::parse(&bytes[..at]);
            let mut bad = bytes.clone();
            bad[at] ^= 0xff;
            if let Some(zone) = Zone::parse(&bad) {
                zone.at(0);
                zone.at(i64::from(u32::MAX));
            }
        }
    }
    if found == 0 {
        println!("SKIPPED: no zone files here (Debian: tzdata)");
    }
}

/// What counts as nothing takes no more than its own bytes, and no clock is 68 years off.
#[test]
fn numbers_beyond_all_bounds_make_no_zone() {
    let zone_file = |version: u8, counts: [i32; 6], offset_s: i32| {
        let mut bytes = [b"TZif", &[version; 1][..], &[0; 15]].concat();
        for count in counts {
            bytes.extend(count.to_be_bytes());
        }
        bytes.extend(offset_s.to_be_bytes());
        bytes.extend(b"\0\0ABC\0");
        bytes
    };
    let one_kind = [0, 0, 0, 0, 1, 4];
    assert!(Zone::parse(&zone_file(0, one_kind, 3600)).is_some());
    for offset_s in [i32::MIN, i32::MAX] {
        assert!(Zone::parse(&zone_file(0, one_kind, offset_s)).is_none());
    }
    for version in [0, b'2'] {
        assert!(Zone::parse(&zone_file(version, [-1, 0, 0, 0, 0, 0], 0)).is_none());
    }
}

#[test]
fn rules_say_what_they_say_to_jiff() {
    for rule in [
        "XST-2",
        "UTC0",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "EST5EDT,M3.2.0,M11.1.0",
        "IST-1GMT0,M10.5.0,M3.5.0/1",
        "<-03>3<-02>,M3.5.0/-1,M10.5.0/0",
        "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
        "AAA3BBB,J60/1:30,J300",
        "AAA3BBB,59,299/26",
        "AAA-12BBB,M12.5.6,M1.1.1",
    ] {
        let zone = Zone::named(rule).expect(rule);
        compare_all(rule, &zone, &TimeZone::posix(rule).unwrap());
    }
    for bad in [
        "",
        "A",
        "AB1",
        "ABC",
        "ABC1DEF,",
        "ABC1DEF,M13.1.1,M1.1.1",
        "ABC1DEF,J0,J1",
        "ABC25",
        "<AB",
        "ABC1DEF,M1.1.1,M2.2.2x",
        "../etc/passwd",
        "ABC1DEF,M1.0.1,M2.2.2",
    ] {
        assert!(Zone::named(bad).is_none(), "{bad}");
    }
}

#[test]
fn flags_and_widths_are_gnu_s() {
    let at = Moment::new(1_609_646_829, 12, &Zone::utc()).unwrap();
    for (format, expected) in [
        (
            "%-d|%_d|%0e|%^a|%10Y|%_10Y|%5a",
            "3| 3|03|SUN|0000002021|      2021|  Sun",
        ),
        (
            "%N %z %Z %c",
            "000000012 +0000 UTC Sun Jan  3 04:07:09 2021",
        ),
        ("%r %x %X %P %%", "04:07:09 AM 01/03/21 04:07:09 am %"),
        ("%! %E %256Y %", "%! %E %256Y %"),
        (
            "%EY %Ex %-Od %3OH %EH %Oj %O",
            "2021 01/03/21 3 004 %EH %Oj %O",
        ),
    ] {
        assert_eq!(at.text(format), expected);
    }
    assert_eq!(unknown_conversion("%d %Y %%!"), None);
    assert_eq!(unknown_conversion("%d %!x"), Some("%!x"));
    assert_eq!(unknown_conversion("100%"), Some("%"));
    assert_eq!(unknown_conversion("%EY-%Om %EZ"), Some("%EZ"));
}

#[test]
fn the_calendar_has_ends() {
    for (unix_s, expected) in [
        (-377_705_116_800, Some("-9999-01-01 00:00:00")),
        (-62_167_219_200, Some("0000-01-01 00:00:00")),
        (253_402_300_799, Some("9999-12-31 23:59:59")),
        (253_402_300_800, None),
        (i64::MAX, None),
        (i64::MIN, None),
    ] {
        let moment = Moment::new(unix_s, 0, &Zone::utc());
        assert_eq!(
            moment.map(|m| m.text("%F %T")).as_deref(),
            expected,
            "{unix_s}"
        );
    }
}
