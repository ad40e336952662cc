//! The exact words of errors, and what is an error at all.

use super::*;
use crate::conf::Source;
use std::path::Path;

#[test]
fn golden_texts() {
    for (text, expected) in GOLDEN {
        assert_eq!(bad(*text), *expected, "\n{text}");
    }
}

#[test]
fn the_fields_of_an_error() {
    let error = load("\n\nmax_qos 3").expect_err("there is no QoS 3");
    assert_eq!(error.file, Path::new(FILE));
    assert_eq!(error.line, 3);
    assert_eq!(error.directive, "max_qos");
    assert_eq!(
        error.what,
        "'3' does not fit: expected a number from 0 to 2"
    );
}

#[test]
fn an_alias_is_named_as_it_is_written() {
    let expected = "m.conf:1: maximum_qos: '3' does not fit: expected a number from 0 to 2";
    assert_eq!(bad("maximum_qos 3"), expected);
}

#[test]
fn suggestions_for_near_misses_only() {
    for (written, meant) in [
        ("password_fil", "password_file"),
        ("pasword_file", "password_file"),
        ("passwrod_file", "password_file"),
        ("PASSWORD_FILE", "password_file"),
        ("max_inflight_message", "max_inflight_messages"),
        ("listner", "listener"),
        ("listeners", "listener"),
        ("log_destination", ""),
        ("prot", "port"),
        ("persistance", "persistence"),
        ("a", ""),
        ("=", ""),
        ("anything_else", ""),
    ] {
        let suggestion = crate::conf::table::near_miss(written).unwrap_or_default();
        assert_eq!(suggestion, meant, "for {written}");
    }
}

#[test]
fn strange_bytes_are_named_and_escaped() {
    assert_eq!(
        bad(b"password_file \xff".to_vec()),
        "m.conf:1: password_file: '\u{fffd}' is not UTF-8: expected UTF-8"
    );
    assert_eq!(
        bad("password_file a\0b"),
        "m.conf:1: password_file: the value holds the control character '\\u{0}': \
         expected a text without it"
    );
    assert_eq!(
        bad("user a\rb"),
        "m.conf:1: user: the value holds the control character '\\r': \
         expected a text without it"
    );
    let error = bad("\u{1b}[31m x");
    assert!(
        error.starts_with("m.conf:1: \\u{1b}[31m: unknown"),
        "{error}"
    );
    let error = bad(vec![b'x'; 100_000]);
    assert!(error.len() < 300, "a long word is cut: {error}");
}

#[test]
fn the_longest_text() {
    let longest = "x".repeat(65_535);
    let config = good(&format!("user {longest}"));
    assert_eq!(config.user, longest);
    assert_eq!(
        bad(format!("user {longest}x")),
        "m.conf:1: user: the value is 65536 bytes long: expected at most 65535"
    );
}

#[test]
fn a_latin_1_comment_does_no_harm() {
    let config = load(b"# gr\xfc\xdfe\nmax_qos 1\n".to_vec());
    assert!(config.is_ok(), "{config:?}");
}

#[test]
fn files_that_cannot_be_read() {
    let files = Texts::default().with("conf.d/x.conf", "");
    let error = Config::load(Some("none.conf".as_ref()), &[], &files);
    assert_eq!(
        error.expect_err("no such file").to_string(),
        "none.conf: cannot be read: entity not found"
    );
    let error = Config::load(Some("conf.d".as_ref()), &[], &files);
    assert_eq!(
        error.expect_err("a directory").to_string(),
        "conf.d: is a directory: expected a file"
    );
}

#[test]
fn a_directory_on_disk_and_a_file_on_disk() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let error = Config::load(Some(&here.join("src")), &[], &crate::conf::Disk);
    let error = error.expect_err("a directory");
    assert_eq!(error.what, "is a directory: expected a file");
    assert_eq!(error.line, 0);

    let data = here.join("tests/data/conf");
    let mut names = crate::conf::Disk.list(&data).expect("it is there");
    names.retain(|name| name == Path::new("per-listener.conf"));
    assert_eq!(names.len(), 1);
    let config = Config::load(Some(&data.join(&names[0])), &[], &crate::conf::Disk);
    assert_eq!(config.expect("it is good").listeners.len(), 3);
}

#[test]
fn too_many_ports() {
    let load = |ports: &[u16]| Config::load(None, ports, &Texts::default());
    assert_eq!(load(&[7; 10]).map(|config| config.listeners.len()), Ok(2));
    let error = load(&[7; 11]).expect_err("one too many").to_string();
    assert_eq!(error, "command line: -p: 11 ports: expected at most 10");
    let error = load(&[0]).expect_err("not a port").to_string();
    assert_eq!(
        error,
        "command line: -p: port 0: expected a number from 1 to 65535"
    );
}

#[test]
fn included_files_name_themselves() {
    let files = Texts::default()
        .with(FILE, "max_qos 1\ninclude_dir conf.d\n")
        .with("conf.d/a.conf", "# fine\n")
        .with("conf.d/b.conf", "\n\nmax_qos 7\n");
    assert_eq!(
        load_from(&files).expect_err("b is bad").to_string(),
        "conf.d/b.conf:3: max_qos: '7' does not fit: expected a number from 0 to 2"
    );
}

/// Files, and their errors to the letter.
const GOLDEN: &[(&str, &str)] = &[
    (
        "\nalow_anonymous true",
        "m.conf:2: alow_anonymous: unknown directive: did you mean 'allow_anonymous'?",
    ),
    (
        "Listener 1883",
        "m.conf:1: Listener: unknown directive: did you mean 'listener'?",
    ),
    (
        "allow_anonymous=true",
        "m.conf:1: allow_anonymous=true: unknown directive: \
             did you mean 'allow_anonymous', followed by a blank?",
    ),
    (
        "xyzzy on",
        "m.conf:1: xyzzy: unknown directive: expected one of Mosquitto's or Midge's",
    ),
    (
        "# one\r\n# two\r\nallow_anonymous yes\r\n",
        "m.conf:3: allow_anonymous: 'yes' does not fit: expected true or false",
    ),
    (
        "persistence",
        "m.conf:1: persistence: no value: expected true or false",
    ),
    (
        "max_keepalive 65536",
        "m.conf:1: max_keepalive: '65536' does not fit: expected a number from 0 to 65535",
    ),
    (
        "max_packet_size 19",
        "m.conf:1: max_packet_size: '19' does not fit: \
             expected a number from 20 to 4294967295",
    ),
    (
        "memory_limit much",
        "m.conf:1: memory_limit: 'much' does not fit: expected a number, 0 or more",
    ),
    (
        "sys_interval 10s",
        "m.conf:1: sys_interval: '10s' does not fit: expected a number from 0 to 65535",
    ),
    (
        "password_file",
        "m.conf:1: password_file: no value: expected a path",
    ),
    (
        "password_file a\n\npassword_file b",
        "m.conf:3: password_file: Duplicate value: expected only one, and it is set at \
             m.conf:1",
    ),
    (
        "log_dest file a\nlog_dest stdout\nlog_dest file b",
        "m.conf:3: log_dest: Duplicate value: expected only one file, \
             and log_dest is first set at m.conf:1",
    ),
    (
        "log_dest printer",
        "m.conf:1: log_dest: 'printer' does not fit: expected none, stdout, stderr, syslog, \
             topic, file PATH, dlt or android",
    ),
    (
        "log_dest file",
        "m.conf:1: log_dest: file: no value: expected a text",
    ),
    (
        "persistent_client_expiration 14 d",
        "m.conf:1: persistent_client_expiration: '14' does not fit: \
             expected a number and one of the units s h d w m y, such as 14d",
    ),
    (
        "accept_protocol_versions 2,3",
        "m.conf:1: accept_protocol_versions: '2,3' does not fit: expected some of 3,4,5",
    ),
    (
        "listener",
        "m.conf:1: listener: no value: expected a port and perhaps an address, or 0 and a path",
    ),
    (
        "listener mqtt",
        "m.conf:1: listener: 'mqtt' does not fit: \
             expected a port and perhaps an address, or 0 and a path",
    ),
    (
        "listener 70000",
        "m.conf:1: listener: '70000' does not fit: \
             expected a port and perhaps an address, or 0 and a path",
    ),
    (
        "listener 0",
        "m.conf:1: listener: port 0 without a path: \
             expected a port and perhaps an address, or 0 and a path",
    ),
    (
        "listener 1883 /run/m.sock",
        "m.conf:1: listener: '/run/m.sock' is not an address: \
             expected a host name or an IP address, or port 0 for a unix socket",
    ),
    (
        "listener 1883\n\nlistener 1883",
        "m.conf:3: listener: *:1883 is opened already at m.conf:1: \
             expected another port or address",
    ),
    (
        "listener 1883\nport 1883",
        "m.conf:2: port: *:1883 is opened already at m.conf:1: expected another port or address",
    ),
    (
        "max_connections 10\nlistener 1883",
        "m.conf:1: max_connections: stands before any listener line of its file, so it would \
             open *:1883 a second time, after m.conf:2: expected below that line",
    ),
    (
        "mount_point a/\nlistener 1883",
        "m.conf:1: mount_point: no listener line above it in this file: expected one",
    ),
    (
        "listener 1883\nmount_point a/#",
        "m.conf:2: mount_point: 'a/#' holds a wildcard: expected the beginning of a topic",
    ),
    (
        "listener 1883\nmount_point a\tb/",
        r"m.conf:2: mount_point: 'a\tb/' holds a TAB: expected the beginning of a topic",
    ),
    (
        "password_file a\nper_listener_settings true",
        "m.conf:2: per_listener_settings: stands behind password_file at m.conf:1: \
             expected before all security directives",
    ),
    (
        "include_dir /nowhere",
        "m.conf:1: include_dir: '/nowhere' cannot be read: entity not found",
    ),
    (
        "connection cloud",
        "m.conf:1: connection: bridges come later, and without this one messages would \
             silently stay away: remove the connection section",
    ),
    (
        "listener 9001\nprotocol websockets",
        "m.conf:2: protocol: WebSockets and the HTTP interface come later: \
             use protocol mqtt, or remove this listener",
    ),
    (
        "listener 8883\ncertfile /etc/ssl/me.pem",
        "m.conf:2: certfile: stands without keyfile: name the file of its private key",
    ),
    (
        "listener 8883\nkeyfile /etc/ssl/me.key",
        "m.conf:2: keyfile: stands without certfile: name the file of the listener's certificate",
    ),
    (
        "listener 8883\nrequire_certificate true",
        "m.conf:2: require_certificate: stands without certfile: name the file of the \
             listener's certificate",
    ),
    (
        "listener 8883\ncertfile a\nkeyfile b\nrequire_certificate true",
        "m.conf:4: require_certificate: stands without cafile or capath: name the authorities \
             whose clients may come",
    ),
    (
        "auto_id_prefix 123456789-123456789-123456789-123456789-123456789-1",
        "m.conf:1: auto_id_prefix: the value is 51 bytes long: expected at most 50",
    ),
    (
        "auto_id_prefix gate\t-",
        r"m.conf:1: auto_id_prefix: 'gate\t-' holds a TAB: expected the beginning of a client id",
    ),
    (
        "listener 1\nlistener_auto_id_prefix a\u{fffe}-",
        "m.conf:2: listener_auto_id_prefix: 'a\u{fffe}-' holds U+FFFE, which is no character: \
             expected the beginning of a client id",
    ),
    (
        "listener 1\nmount_point a\u{fdd0}/",
        "m.conf:2: mount_point: 'a\u{fdd0}/' holds U+FDD0, which is no character: expected the \
             beginning of a topic",
    ),
];
