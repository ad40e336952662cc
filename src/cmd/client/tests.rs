//! Flags, option files, properties, formats and JSON, without a network.

use std::ffi::OsStr;

use super::files::apply_text;
use super::flags::{self, Asked};
use super::format::{Format, Unprintable};
use super::settings::{Input, Settings};
use super::{Tool, exit, session, usage};
use crate::client::{Fault, RequestError};
use crate::host::calendar::{Moment, Zone};
use crate::wire::{
    Malformed, Properties, PropertyId, Publish, QoS, ReasonCode, RetainHandling, Value, Version,
};

fn parse(tool: Tool, line: &str) -> Result<Settings, String> {
    let words = line.split(' ').filter(|word| !word.is_empty());
    let words: Vec<&OsStr> = words.map(OsStr::new).collect();
    let mut settings = Settings::new(tool);
    assert!(matches!(flags::apply(&mut settings, &words)?, Asked::Run));
    settings.complete()?;
    Ok(settings)
}

fn publisher(line: &str) -> Result<Settings, String> {
    parse(Tool::Publish, line)
}

fn subscriber(line: &str) -> Result<Settings, String> {
    parse(Tool::Subscribe, line)
}

#[test]
fn the_defaults_are_mosquitto_s() {
    let settings = publisher("-t a -m x").unwrap();
    assert_eq!(settings.host, "localhost");
    assert_eq!(settings.port(), 1883);
    assert_eq!(settings.keep_alive_s, 60);
    assert_eq!(settings.inflight_max, 20);
    assert_eq!(settings.version, Version::V311);
    assert!(settings.clean_start && settings.newline);
    let request = parse(Tool::Request, "-t a -m x -e b").unwrap();
    assert_eq!(request.version, Version::V5);
    assert_eq!(session::options(&settings).unwrap().client_id, "");
}

#[test]
fn a_value_may_look_like_a_flag() {
    let settings = subscriber("-x -1 -i me -t -t").unwrap();
    assert_eq!(settings.session_expiry_s, Some(u32::MAX));
    assert_eq!(settings.version, Version::V5);
    assert_eq!(settings.topics, ["-t"]);
}

#[test]
fn flags_are_words_of_their_own() {
    for line in [
        "-dv -t a",
        "-t a -p1883",
        "-t a --port=1883",
        "-t a -- b",
        "a",
        "-t a -m x",
        "-t a --retain",
    ] {
        let error = subscriber(line).unwrap_err();
        assert!(error.starts_with("Unknown option"), "{line}: {error}");
    }
}

#[test]
fn every_usage_error_is_told() {
    for (line, part) in [
        ("", "A topic"),
        ("-t", "-t needs a value: TOPIC"),
        ("-t a -c", "-c"),
        ("-t a -c -I x", "-c"),
        ("-t a -R --retained-only", "makes no sense"),
        ("-t a -i x -I y", "-i and -I"),
        ("-t a -I x -i y", "-i and -I"),
        ("-t a -q 3", "-q: Invalid QoS given: 3"),
        ("-t a --qos x", "--qos: Invalid QoS given: x"),
        ("-t a -k 4", "-k: '4' is not a number from 5 to 65535"),
        ("-t a -k x", "-k"),
        ("-t a -p 0", "Invalid port given: 0"),
        ("-t a -p 65536", "Invalid port given: 65536"),
        ("-t a -V 4", "-V"),
        ("-t a#", "Invalid subscription topic 'a#'"),
        ("-t a/#/b", "Invalid subscription topic"),
        ("-t $share/x", "Invalid subscription topic"),
        ("-U +a", "Invalid unsubscribe topic"),
        ("-t a -T a+", "Invalid filter topic"),
        ("-t a -C 0", "-C"),
        ("-t a -W 0", "-W"),
        ("-t a -M 0", "-M"),
        ("-t a -x 4294967296", "-x"),
        ("-t a -x -2", "-x"),
        ("-t a -F %", "Incomplete format specifier"),
        ("-t a --random-filter 0", "--random-filter"),
        ("-t a --random-filter 100.1", "--random-filter"),
        ("-t a --retain-handling some", "--retain-handling"),
        ("-t a --will-payload x", "will topic"),
        ("-t a --will-retain", "will topic"),
        ("-t a --will-topic a/+", "Invalid will topic"),
        ("-t a --will-topic w --will-qos 3", "--will-qos"),
        ("-t a -P x", "user name"),
        ("-t a -V 5 -c", "client id"),
        ("-t a -x -1", "client id"),
        ("-t a -L mqtt://h", "topic is missing"),
        ("-t a --proxy http://h", "socks5h://"),
        ("-t a --ws", "no WebSockets yet"),
        ("-L ws://h/t", "no WebSockets yet"),
        ("-t a -S", "no SRV lookup yet"),
    ] {
        let error = subscriber(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
    for (line, part) in [
        ("-t a", "message"),
        ("-m x", "topic"),
        ("-t a -m x -n", "Only one type of message"),
        ("-t a -l -s", "Only one type of message"),
        ("-t a -f x -m y", "Only one type of message"),
        ("-t a/+ -m x", "Invalid publish topic 'a/+'"),
        ("-t a -m x --repeat 0", "--repeat"),
        ("-t a -m x --repeat-delay -1", "--repeat-delay"),
        ("-t a -m x --repeat-delay NaN", "--repeat-delay"),
        ("-t a -m x -t", "-t needs a value"),
    ] {
        let error = publisher(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
    assert!(parse(Tool::Request, "-t a -m x").is_err());
    assert!(parse(Tool::Request, "-t a -m x -e b/#").is_err());
    assert!(parse(Tool::Request, "-t a -l -e b").is_err());
}

#[test]
fn no_tls_goes_without() {
    let settings = subscriber("-t a -p 8883 --cafile x --no-tls").unwrap();
    assert_eq!((settings.port(), settings.uses_tls()), (8883, false));
    assert!(!subscriber("-t a --unix s -p 8883").unwrap().uses_tls());
    assert!(!subscriber("-t a -p 8883 --no-tls").unwrap().uses_tls());
}

#[cfg(not(feature = "tls"))]
#[test]
fn without_the_feature_tls_is_refused() {
    for line in [
        "-t a --cafile x",
        "-t a --tls-use-os-certs",
        "-t a -p 8883",
        "-t a --insecure",
        "-t a --psk 00",
        "-L mqtts://h/t",
    ] {
        let error = subscriber(line).unwrap_err();
        assert!(error.contains("this build has no TLS"), "{line}: {error}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn flags_of_tls_turn_it_on_and_choose_the_port() {
    for (line, port, system) in [
        ("-t a --cafile x", 8883, false),
        ("-t a --capath x --insecure", 8883, false),
        ("-t a --tls-use-os-certs", 8883, true),
        ("-t a --tls-use-os-certs --cafile x -p 9", 9, true),
        ("-t a -p 8883", 8883, true),
        ("-t a -p 8883 --capath x", 8883, false),
        ("-L mqtts://h/t", 8883, true),
        ("-L mqtts://h:7/t --cafile x", 7, false),
    ] {
        let settings = subscriber(line).unwrap();
        let is = (settings.port(), settings.trusts_system());
        assert_eq!(is, (port, system), "{line}");
        assert!(settings.uses_tls(), "{line}");
    }
    for line in [
        "-t a --insecure",
        "-t a --tls-version tlsv1.1",
        "-t a --tls-alpn x",
    ] {
        let settings = subscriber(line).unwrap();
        assert_eq!((settings.port(), settings.uses_tls()), (1883, false));
        assert!(settings.tls.flag.is_some());
    }
}

#[cfg(feature = "tls")]
#[test]
fn flags_of_tls_that_do_not_fit_are_refused() {
    let both = "Both certfile and keyfile must be provided if one of them is set.";
    for (line, part) in [
        ("--cafile x --cert y", both),
        ("--key y", both),
        ("--keyform pem", "If keyform is set, keyfile must be also"),
        ("--keyform engine --cert x --key x", "engines of OpenSSL"),
        ("--keyform der --cert x --key x", "Problem setting key form"),
        ("--psk 00 --psk-identity x", "--psk: pre-shared keys"),
        ("--psk-identity x", "--psk-identity: pre-shared keys"),
        ("--tls-engine x", "--tls-engine: engines of OpenSSL"),
        ("--tls-engine-kpass-sha1 x", "engines of OpenSSL"),
        ("--tls-keylog x", "--tls-keylog: session keys"),
        ("--tls-version tlsv1", "Problem setting TLS options"),
        ("--unix s --cafile x", "does not go with --unix"),
    ] {
        let error = subscriber(&format!("-t a {line}")).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
    assert!(subscriber("-t a --psk 00 --no-tls").is_ok());
}

#[test]
fn flags_mean_what_they_say() {
    let line = "-t a -t b/# -q 2 -R -N -v --retain-as-published -T x -T y/+ -W 3 -C 7 -E \
                --remove-retained --unix /tmp/s -A ::1 -I pre --will-topic w --will-qos 1 \
                --will-payload bye --will-retain -u me -P secret -M 9 -k 77 --nodelay";
    let settings = subscriber(line).unwrap();
    assert_eq!(settings.topics, ["a", "b/#"]);
    assert_eq!(settings.qos, QoS::ExactlyOnce);
    assert!(settings.skip_retained && !settings.newline && settings.verbose);
    assert_eq!(settings.retain_handling, RetainHandling::Never);
    assert_eq!(settings.filter_out, ["x", "y/+"]);
    assert_eq!(settings.timeout_s, Some(3));
    assert_eq!(settings.message_count, Some(7));
    assert_eq!(settings.unix.as_deref(), Some("/tmp/s".as_ref()));
    let options = session::options(&settings).unwrap();
    assert_eq!(options.client_id, format!("pre{}", std::process::id()));
    let will = options.will.unwrap();
    assert_eq!(
        (will.topic.as_str(), will.payload.as_slice()),
        ("w", &b"bye"[..])
    );
    assert!(will.retain && will.qos == QoS::AtLeastOnce);
    assert_eq!((options.keep_alive_s, options.inflight_max), (77, 9));
}

#[test]
fn mqtt_3_1_gets_a_client_id() {
    let settings = subscriber("-t a -V 31").unwrap();
    let id = session::options(&settings).unwrap().client_id;
    assert_eq!(id.len(), 23);
    assert!(id.starts_with("mosq-"));
    assert!(id[5..].bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_ne!(id, session::options(&settings).unwrap().client_id);
}

#[test]
fn a_url_says_it_all() {
    let settings = publisher("-m x -L mqtt://me:pw@example:1999/a/b").unwrap();
    assert_eq!((settings.host.as_str(), settings.port()), ("example", 1999));
    assert_eq!(settings.topics, ["a/b"]);
    assert_eq!(settings.username.as_deref(), Some("me"));
    assert_eq!(settings.password.as_deref(), Some(&b"pw"[..]));
}

#[test]
fn an_option_file_comes_before_the_command_line() {
    let text = b"# comm\xe9nt\n\n-h broker\r\n--will-topic a b\n-q 1 \n-d\n  -p 1999\n\
                -D publish user-property a  b";
    let mut settings = Settings::new(Tool::Publish);
    assert!(apply_text(&mut settings, text).is_ok());
    assert_eq!((settings.host.as_str(), settings.port()), ("broker", 1999));
    assert_eq!(settings.will_topic.as_deref(), Some("a b"));
    assert!(settings.debug);
    let words = ["-q", "2", "-t", "t", "-m", "x"].map(OsStr::new);
    assert!(flags::apply(&mut settings, &words).is_ok());
    assert_eq!(settings.qos, QoS::ExactlyOnce);
    assert_eq!(settings.properties.publish, b"\x26\0\x01a\0\x01b");
    let mut settings = Settings::new(Tool::Publish);
    let error = apply_text(&mut settings, b"-h x\n\n-q 7").err().unwrap();
    assert_eq!(error.0, 3);
    assert!(error.1.contains("Invalid QoS"));
    let error = apply_text(&mut settings, b"-h x\n-m \xe9").err().unwrap();
    assert_eq!(error, (2, "The line is not UTF-8.".to_owned()));
}

#[test]
fn the_option_file_s_flag_is_found_among_the_others() {
    let find = |line: &str| {
        let words: Vec<&OsStr> = line.split(' ').map(OsStr::new).collect();
        flags::options_file(Tool::Subscribe, &words)
    };
    assert_eq!(find("-t a -o file -v"), Some("file".into()));
    assert_eq!(find("-t -o -v -o other"), Some("other".into()));
    assert_eq!(
        find("-D connect user-property -o -o -o file"),
        Some("file".into())
    );
    assert_eq!(find("-t a"), None);
}

#[test]
fn help_names_every_flag_of_its_client() {
    for tool in [Tool::Publish, Tool::Subscribe, Tool::Request] {
        let help = usage::help(tool, "prog");
        for flag in flags::of(tool) {
            assert!(!flag.help.is_empty());
            for name in flag.names {
                let found = help.lines().any(|line| {
                    line.starts_with("  -") && line.split([' ', ',']).any(|word| word == *name)
                });
                assert!(found, "{name} is missing in the help of {tool:?}");
            }
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100));
    }
}

#[test]
fn no_flag_stands_twice() {
    for tool in [Tool::Publish, Tool::Subscribe, Tool::Request] {
        let mut names: Vec<&str> = flags::of(tool).flat_map(|f| f.names).copied().collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

fn with_properties(line: &str) -> Result<Settings, String> {
    subscriber(&format!("-t a {line}"))
}

#[test]
fn properties_go_where_they_belong() {
    let settings = publisher(
        "-t a -m x -D connect session-expiry-interval 9 -D publish content-type text \
         -D publish topic-alias 3 -D publish message-expiry-interval 60 \
         -D will will-delay-interval 7 -D disconnect reason-string bye \
         -D publish user-property a b",
    )
    .unwrap();
    assert_eq!(settings.version, Version::V5);
    let sets = &settings.properties;
    assert_eq!(sets.connect, b"\x11\0\0\0\x09\x21\0\x14");
    assert_eq!(sets.publish, b"\x03\0\x04text\x26\0\x01a\0\x01b");
    assert_eq!((sets.topic_alias, sets.expiry_s), (Some(3), Some(60)));
    assert_eq!(sets.will, b"\x18\0\0\0\x07");
    assert_eq!(sets.disconnect, b"\x1f\0\x03bye");
}

#[test]
fn receive_maximum_follows_the_count() {
    let connect = |line| with_properties(line).unwrap().properties.connect;
    assert_eq!(connect("-V 5"), b"\x21\0\x14");
    assert_eq!(connect("-V 5 -C 4"), b"\x21\0\x04");
    assert_eq!(connect("-V 5 -C 400"), b"\x21\0\x14");
    assert_eq!(connect("-D connect receive-maximum 3"), b"\x21\0\x03");
    assert_eq!(connect("-V 311"), b"");
    assert_eq!(connect("-x 0"), b"\x21\0\x14");
    assert_eq!(connect("-V 5 -c -i me"), b"\x11\xff\xff\xff\xff\x21\0\x14");
    let request = parse(Tool::Request, "-t a -e b -m x").unwrap();
    assert_eq!(request.properties.connect, b"\x21\0\x01");
    assert_eq!(request.properties.publish, b"\x08\0\x01b");
}

#[test]
fn properties_that_make_no_sense_are_refused() {
    for line in [
        "-D",
        "-D connect",
        "-D connect receive-maximum",
        "-D nothing receive-maximum 1",
        "-D puback reason-string x",
        "-D connect nothing 1",
        "-D connect content-type x",
        "-D publish subscription-identifier 1",
        "-D disconnect server-reference x",
        "-D subscribe subscription-identifier 0",
        "-D subscribe subscription-identifier 268435456",
        "-D connect receive-maximum 0",
        "-D connect receive-maximum 65536",
        "-D connect receive-maximum x",
        "-D connect receive-maximum -1",
        "-D connect receive-maximum 1 -D connect receive-maximum 2",
        "-D connect request-problem-information 2",
        "-D publish topic-alias 1 -D publish topic-alias 1",
        "-D publish response-topic a/#",
        "-D connect user-property a",
        "-D connect session-expiry-interval 1 -x 3",
    ] {
        assert!(with_properties(line).is_err(), "{line}");
    }
    let twice = "-t a -m x -e b -D publish response-topic c";
    assert!(parse(Tool::Request, twice).is_err());
}

/// A message with everything, and the moment it came.
fn example(raw: &mut Vec<u8>) -> (Publish<'_>, Moment) {
    PropertyId::ContentType.encode(Value::Text("text"), raw);
    PropertyId::MessageExpiryInterval.encode(Value::Integer(77), raw);
    PropertyId::CorrelationData.encode(Value::Binary(b"\x01\x02"), raw);
    PropertyId::SubscriptionIdentifier.encode(Value::Integer(5), raw);
    PropertyId::UserProperty.encode(Value::Pair("k", "1"), raw);
    PropertyId::UserProperty.encode(Value::Pair("k", "2"), raw);
    let message = Publish {
        qos: QoS::AtLeastOnce,
        retain: true,
        topic: b"a/b",
        packet_id: 42,
        properties: Properties::from_encoded(raw),
        payload: b"{\"z\":1.50,\"a\":[1,{}]}",
        ..Publish::default()
    };
    let zone = Zone::named("<+02>-2").unwrap();
    let at = Moment::new(1_588_794_480, 123_456_789, &zone).unwrap();
    (message, at)
}

fn render(format: &str, payload: Option<&[u8]>) -> Result<String, Unprintable> {
    let mut raw = Vec::new();
    let (mut message, at) = example(&mut raw);
    message.payload = payload.unwrap_or(message.payload);
    let mut out = Vec::new();
    let format = Format::parse(format).unwrap();
    format.render(&message, &at, false, false, &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn every_escape_prints_its_field() {
    for (format, expected) in [
        ("%t %q %r %m %l %%", "a/b 1 1 42 21 %"),
        ("%C|%E|%S|%P", "text|77|5|k:1 k:2"),
        ("%D", "\x01\x02"),
        ("[%A|%F|%R]", "[||]"),
        ("[%3A|%03F|%5R]", "[   |000|]"),
        ("%5l|%-5l|%05l", "   21|21   |00021"),
        (
            "%6t|%-6t|%.2t|%-6.2t|%6.2t",
            "   a/b|a/b   |a/|a/    |    a/",
        ),
        ("%6C|%-6C|", "  text|text  |"),
        ("\\t\\n\\r\\v\\a\\e\\0\\\\", "\t\n\r\x0b\x07\x1b\0\\"),
        ("@Y @@ @N", "2020 @ 123456789"),
        ("%I", "2020-05-06T21:48:00+0200"),
        ("%U", "1588794480.123456789"),
        ("é%té", "éa/bé"),
    ] {
        assert_eq!(render(format, None).as_deref(), Ok(expected), "{format}");
    }
}

#[test]
fn payloads_are_padded_cut_and_separated() {
    for (format, expected) in [
        ("%p", "abc"),
        ("%5p|%-5p|%05p|%2p", "  abc|abc  |00abc|ab"),
        ("%x %X", "616263 616263"),
        ("%8x|%-8x|%08x|%2x", "  616263|616263  |00616263|6162"),
        ("%.2:x", "61:62:63"),
        ("%.4-x", "6162-63"),
        ("%.2 X", "61 62 63"),
        ("%.2x", "61 62 63"),
    ] {
        let got = render(format, Some(b"abc"));
        assert_eq!(got.as_deref(), Ok(expected), "{format}");
    }
    assert_eq!(render("%x%X", Some(b"\x0a\xff")).as_deref(), Ok("0aff0AFF"));
    let float = 1.5_f32.to_ne_bytes();
    assert_eq!(
        render("%f|%.1f|%9.2f|%-6.1f|%06.1f", Some(&float)).as_deref(),
        Ok("1.500000|1.5|     1.50|1.5   |0001.5")
    );
    let double = (-2.25_f64).to_ne_bytes();
    assert_eq!(
        render("%d|%08.2d", Some(&double)).as_deref(),
        Ok("-2.250000|-0002.25")
    );
    assert_eq!(render("%f", Some(b"abc")), Err(Unprintable::Number));
    assert_eq!(render("%d", Some(&float)), Err(Unprintable::Number));
}

#[test]
fn json_has_its_keys_in_order() {
    let head = "{\"tst\":\"2020-05-06T21:48:00.123456+0200\",\"topic\":\"a/b\",\"qos\":1,\
                \"retain\":1,\"payloadlen\":";
    let rest = "\"mid\":42,\"properties\":{\"content-type\":\"text\",\
                \"message-expiry-interval\":77,\"correlation-data\":\"\\u0001\\u0002\",\
                \"subscription-identifier\":5,\"user-properties\":[{\"k\":\"1\"},{\"k\":\"2\"}]},";
    for (format, payload, tail) in [
        ("%j", &b"a\"b"[..], "\"payload\":\"a\\\"b\"}"),
        ("%j", b"", "\"payload\":null}"),
        ("%J", b"", "\"payload\":null}"),
        (
            "%J",
            b"{\"z\":1.50,\"a\":[1,{}]} ",
            "\"payload\":{\"z\":1.50,\"a\":[1,{}]}}",
        ),
        (
            "%J",
            b"12345678901234567890",
            "\"payload\":12345678901234567890}",
        ),
    ] {
        let expected = format!("{head}{},{rest}{tail}", payload.len());
        assert_eq!(render(format, Some(payload)), Ok(expected));
    }
    for payload in [&b"x"[..], b"{", b"\xff", b"{} {}"] {
        assert_eq!(render("%J", Some(payload)), Err(Unprintable::Json));
    }
    let deep = "[".repeat(100_000);
    assert_eq!(render("%J", Some(deep.as_bytes())), Err(Unprintable::Json));
}

/// The layout of Debian's mosquitto_sub 2.0.11, byte for byte.
#[test]
fn pretty_json_has_tabs() {
    let message = Publish {
        topic: b"f",
        payload: b"{\"a\":1,\"b\":[1,2,{\"c\":\"x\"}],\"e\":{},\"f\":[]}",
        ..Publish::default()
    };
    let mut raw = Vec::new();
    let (_, at) = example(&mut raw);
    let mut out = Vec::new();
    let format = Format::parse("%J").unwrap();
    format.render(&message, &at, true, false, &mut out).unwrap();
    let expected = "{\n\t\"tst\":\t\"2020-05-06T21:48:00.123456+0200\",\n\t\"topic\":\t\"f\",\n\t\
                    \"qos\":\t0,\n\t\"retain\":\t0,\n\t\"payloadlen\":\t41,\n\t\"payload\":\t{\n\
                    \t\t\"a\":\t1,\n\t\t\"b\":\t[1, 2, {\n\t\t\t\t\"c\":\t\"x\"\n\t\t\t}],\n\
                    \t\t\"e\":\t{\n\t\t},\n\t\t\"f\":\t[]\n\t}\n}";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_bad_format_is_told_at_once() {
    for (format, expected) in [
        ("%", "Incomplete format specifier."),
        ("%-", "Incomplete format specifier."),
        ("%05", "Incomplete format specifier."),
        ("%5.2", "Incomplete format specifier."),
        ("%*t", "Invalid format specifier '*'."),
        ("%5-t", "Invalid format specifier '-'."),
        ("%.2:p", "Invalid format specifier ':'."),
        ("%#x", "Invalid format specifier '#'."),
        ("%.0:X", "Invalid format specifier ':'."),
        ("x%y", "Invalid format specifier 'y'."),
        ("%é", "Invalid format specifier 'é'."),
        ("@", "Incomplete format specifier."),
        ("\\", "Incomplete escape specifier."),
        ("\\q", "Invalid escape specifier 'q'."),
    ] {
        assert_eq!(Format::parse(format), Err(expected.to_owned()), "{format}");
    }
    assert!(Format::parse("%99999999999999999999p").is_err());
}

#[test]
fn exit_codes_are_the_library_s() {
    let packet = |malformed| exit::fault(Fault::Packet(malformed)).0;
    assert_eq!(packet(Malformed::packet("")), 21);
    assert_eq!(packet(Malformed::protocol("")), 2);
    let large = Malformed {
        reason: ReasonCode::PACKET_TOO_LARGE,
        what: "",
    };
    assert_eq!(packet(large), 25);
    assert_eq!(exit::fault(Fault::KeepAlive).0, 19);
    assert_eq!(exit::request(RequestError::QosNotSupported).0, 24);
    assert_eq!(exit::request(RequestError::TooLarge).0, 25);
    assert_eq!(exit::request(RequestError::RetainNotSupported).0, 28);
}

#[test]
fn a_refusal_is_told_in_the_version_s_words() {
    assert_eq!(
        exit::refusal(Version::V311, ReasonCode(5)),
        "Connection Refused: not authorised."
    );
    assert_eq!(
        exit::refusal(Version::V5, ReasonCode::NOT_AUTHORIZED),
        "Not authorized"
    );
}

#[test]
fn a_message_from_a_line_is_no_flag_of_rr() {
    let settings = publisher("-t a -l").unwrap();
    assert_eq!(settings.input, Some(Input::Lines));
}
