//! What values become: defaults, kinds, the rest of a line, included files.

use super::*;
use crate::conf::{LogDest, LogType};
use std::path::{Path, PathBuf};

#[test]
fn defaults_are_those_of_mosquitto_2_1() {
    let config = Config::default();
    assert_eq!(config.user, "mosquitto");
    assert_eq!(config.pid_file, None);
    assert!(config.allow_duplicate_messages);
    assert!(config.check_retain_source);
    assert!(!config.queue_qos0_messages);
    assert!(config.retain_available);
    assert_eq!(config.retain_expiry_interval, None);
    assert!(config.sandbox);
    assert!(!config.set_tcp_nodelay);
    assert_eq!(config.sys_interval, Some(10));
    assert!(!config.upgrade_outgoing_qos);
    assert!(!config.acl_suback_deny);
    assert!(!config.per_listener_settings);
    let limits = config.limits;
    assert_eq!(limits.connect_timeout, 10);
    assert_eq!(limits.global_max_clients, None);
    assert_eq!(limits.global_max_connections, None);
    assert_eq!(limits.max_inbound_qos2, 1000);
    assert_eq!(limits.max_inflight_bytes, None);
    assert_eq!(limits.max_inflight_messages, Some(20));
    assert_eq!(limits.max_keepalive, None);
    assert_eq!(limits.max_output_bytes, 262_144);
    assert_eq!(limits.max_packet_size, 2_000_000);
    assert_eq!(limits.max_queued_bytes, None);
    assert_eq!(limits.max_queued_messages, Some(1000));
    assert_eq!(limits.max_subscriptions_per_client, 10_000);
    assert_eq!(limits.max_topic_levels, 201);
    assert_eq!(limits.memory_limit, None);
    assert_eq!(limits.message_size_limit, None);
    assert_eq!(limits.persistent_client_expiration, None);
    assert!(!config.persistence.persistence);
    assert_eq!(config.persistence.persistence_location, None);
    assert_eq!(config.persistence.persistence_file, "mosquitto.db");
    let logging = config.logging;
    assert!(logging.log_dest.stderr && !logging.log_dest.stdout && !logging.log_dest.syslog);
    assert!(logging.log_type.error && logging.log_type.information && !logging.log_type.debug);
    assert!(logging.log_timestamp && logging.connection_messages);
    let listener = &config.listeners[0];
    assert_eq!(listener.max_connections, None);
    assert_eq!((listener.max_qos, listener.max_topic_alias), (2, 10));
    assert_eq!(listener.max_topic_alias_broker, 10);
    assert_eq!(listener.mount_point, None);
    let versions = listener.accept_protocol_versions;
    assert!(versions.v31 && versions.v311 && versions.v5);
    assert!(!listener.use_username_as_clientid);
    assert_eq!(listener.security.auto_id_prefix, "auto-");
    assert!(listener.security.allow_zero_length_clientid);
}

#[test]
fn zero_and_minus_one_mean_no_limit() {
    let config = good(
        "max_inflight_messages 0\nmax_queued_messages 0\nmax_keepalive 0\nsys_interval 0\n\
         global_max_clients -1\nlistener 1\nmax_connections -1",
    );
    assert_eq!(config.limits.max_inflight_messages, None);
    assert_eq!(config.limits.max_queued_messages, None);
    assert_eq!(config.limits.max_keepalive, None);
    assert_eq!(config.sys_interval, None);
    assert_eq!(config.limits.global_max_clients, None);
    assert_eq!(config.listeners[0].max_connections, None);
    let config = good("max_queued_messages -1\nmax_inflight_messages -1\nmax_queued_bytes -1");
    assert_eq!(config.limits.max_queued_messages, None);
    assert_eq!(config.limits.max_inflight_messages, None);
    assert_eq!(config.limits.max_queued_bytes, None);
    let config =
        good("global_max_clients 0\nlistener 1\nmax_connections 0\nglobal_max_connections 0");
    assert_eq!(config.listeners[0].max_connections, None);
    assert_eq!(config.limits.global_max_connections, None);
    assert_eq!(config.limits.global_max_clients, None);
}

#[test]
fn durations_in_seconds() {
    for (text, seconds) in [
        ("1s", 1),
        ("2h", 7_200),
        ("3d", 259_200),
        ("1w", 604_800),
        ("1m", 2_592_000),
        ("1y", 31_536_000),
        ("1000000y", u64::from(u32::MAX)),
    ] {
        let config = good(&format!("persistent_client_expiration {text}"));
        assert_eq!(
            config.limits.persistent_client_expiration,
            Some(seconds),
            "{text}"
        );
    }
    for text in [
        "",
        "d",
        "0d",
        "-1d",
        "1",
        "1x",
        "1D",
        "9223372036854775807y",
    ] {
        bad(format!("persistent_client_expiration {text}"));
    }
}

#[test]
fn one_word_values_leave_comments_alone() {
    let config = good("max_keepalive 60 # seconds\nlog_timestamp false #\nmax_qos 1 2\n");
    assert_eq!(config.limits.max_keepalive, Some(60));
    assert!(!config.logging.log_timestamp);
    let about_words: Vec<&str> = warnings(&config)
        .into_iter()
        .filter(|text| text.contains("behind the value"))
        .collect();
    assert_eq!(
        about_words,
        ["m.conf:3: max_qos: '2' behind the value is ignored"]
    );
}

#[test]
fn a_text_keeps_what_looks_like_a_comment_and_a_warning_says_so() {
    let config = good("listener 1\npid_file /run/m.pid # the pid");
    assert_eq!(config.pid_file, Some(PathBuf::from("/run/m.pid # the pid")));
    assert_eq!(
        warnings(&config),
        ["m.conf:2: pid_file: the value is '/run/m.pid # the pid': \
             a comment must begin its line, so '#' belongs to the value"]
    );
    let config = good("listener 1\npid_file /run/m#1.pid");
    assert_eq!(warnings(&config), [""; 0]);
}

#[test]
fn blanks_inside_a_text_stay() {
    let config = good("log_timestamp_format  %d.%m.%Y  %H:%M \t\r\n");
    let format = config.logging.log_timestamp_format;
    assert_eq!(format.as_deref(), Some("%d.%m.%Y  %H:%M"));
}

#[test]
fn log_destinations_add_up_and_none_resets() {
    let dest = |text: &str| good(text).logging.log_dest;
    let all = dest(
        "log_dest stdout\nlog_dest stderr\nlog_dest syslog\nlog_dest topic\nlog_dest file /l g",
    );
    let expected = LogDest {
        stdout: true,
        stderr: true,
        syslog: true,
        topic: true,
        file: Some("/l g".into()),
    };
    assert_eq!(all, expected);
    let only = |change: fn(&mut LogDest)| {
        let mut dest = LogDest::default();
        change(&mut dest);
        dest
    };
    assert_eq!(dest("log_dest syslog"), only(|dest| dest.syslog = true));
    assert_eq!(dest("log_dest syslog\nlog_dest none"), LogDest::default());
    assert_eq!(
        dest("log_dest file /l\nlog_dest none\nlog_dest topic"),
        only(|dest| dest.topic = true)
    );
    assert_eq!(dest("log_dest dlt"), only(|dest| dest.stderr = true));
    assert_eq!(
        notices(&good("listener 1\nlog_dest dlt")),
        ["m.conf:2: log_dest: has no effect: Midge does not log to dlt"]
    );
}

#[test]
fn a_capture_is_off_and_bounded_unless_asked_for() {
    let logging = good("").logging;
    let kept = (logging.capture_file, logging.capture_file_max_size);
    assert_eq!(kept, (None, 10_000_000));
    let logging = good("capture_file /tmp/c\ncapture_file_max_size 1000000").logging;
    assert_eq!(logging.capture_file, Some("/tmp/c".into()));
    assert_eq!(logging.capture_file_max_size, 1_000_000);
}

#[test]
fn log_types_add_up() {
    let types = |text: &str| good(text).logging.log_type;
    assert_eq!(types("log_type all"), LogType::ALL);
    assert_eq!(types("log_type all\nlog_type none"), LogType::NONE);
    let packets = LogType {
        packets: true,
        ..LogType::ALL
    };
    assert_eq!(types("log_type packets\nlog_type all"), packets);
    assert_eq!(types("log_type all\nlog_type packets"), packets);
    let both = LogType {
        debug: true,
        subscribe: true,
        ..LogType::NONE
    };
    assert_eq!(types("log_type debug\nlog_type subscribe"), both);
    assert_eq!(
        types("log_type none\nlog_type debug\nlog_type subscribe"),
        both
    );
}

#[test]
fn a_value_set_again_replaces_and_a_warning_says_so() {
    let config = good("listener 1\nmax_keepalive 10\nmax_keepalive 10\nmax_keepalive 20");
    assert_eq!(config.limits.max_keepalive, Some(20));
    assert_eq!(
        warnings(&config),
        ["m.conf:4: max_keepalive: replaces the value set at m.conf:3"]
    );
}

/// Which of two files holds in the end hangs on it: an underscore stands behind letters, and where
/// two letters differ by case only, nothing behind them counts. Debian's 2.0.11 read these so.
#[test]
fn names_of_included_files_are_compared_as_mosquitto_does() {
    let names = [
        "0.conf",
        "Ac.conf",
        "aB.conf",
        "ab.conf",
        "a_.conf",
        "B2.conf",
        "b.conf",
        "bridges.conf",
        "bridge_a.conf",
        "_.conf",
        "\u{e9}.conf",
    ];
    let mut files = Texts::default().with(FILE, "listener 1\ninclude_dir /c\n");
    for name in names {
        files = files.with(format!("/c/{name}"), "");
    }
    let config = load_from(&files).expect("nothing is in them");
    let read: Vec<_> = (config.files.iter().skip(1))
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(read, names);
}

#[test]
fn included_files_in_their_order() {
    let files = Texts::default()
        .with(FILE, "listener 1\ninclude_dir /c/\nmax_qos 1\n")
        .with("/c/b.conf", "max_keepalive 4")
        .with("/c/B.conf", "max_keepalive 3")
        .with("/c/A.conf", "max_keepalive 1")
        .with("/c/a.conf", "max_keepalive 2\ninclude_dir /nowhere")
        .with("/c/.conf", "not a directive")
        .with("/c/README", "not a directive")
        .with("/c/x.conf.bak", "not a directive")
        .with("/c/00.conf", "listener 2");
    let config = load_from(&files).expect("only *.conf is read");
    let expected = [
        "m.conf",
        "/c/00.conf",
        "/c/A.conf",
        "/c/a.conf",
        "/c/B.conf",
        "/c/b.conf",
    ];
    assert_eq!(config.files, expected.map(PathBuf::from));
    assert_eq!(config.limits.max_keepalive, Some(4), "the last one counts");
    assert_eq!(
        config.listeners[0].max_qos, 1,
        "the main file's listener goes on"
    );
    assert_eq!(
        config.listeners[1].max_qos, 2,
        "and the included one has ended"
    );
    assert_eq!(notices(&config)[0], "Loading config file /c/00.conf");
    assert_eq!(notices(&config).len(), 5);
    assert!(
        warnings(&config).contains(
            &"/c/a.conf:2: include_dir: is ignored: only the main file may include a directory"
        ),
        "{:?}",
        warnings(&config)
    );
}

#[test]
fn several_directories_are_included_where_they_stand() {
    let files = Texts::default()
        .with(FILE, "include_dir one\nmax_keepalive 5\ninclude_dir two")
        .with("one/b.conf", "max_keepalive 1")
        .with("two/a.conf", "user x");
    let config = load_from(&files).expect("both exist");
    assert_eq!(config.limits.max_keepalive, Some(5));
    assert_eq!(
        config.files,
        [FILE, "one/b.conf", "two/a.conf"].map(Path::new)
    );
}

#[test]
fn messages_of_old_and_useless_directives() {
    let config = good("retry_interval whatever\nlistener 1\nhttp_dir /srv\nmessage_size_limit 9");
    assert_eq!(
        notices(&config),
        [
            "m.conf:1: retry_interval: has no effect: \
             messages are sent again at a reconnection only, as MQTT asks",
            "m.conf:3: http_dir: has no effect: \
             only WebSockets and HTTP listeners serve files, and those come later",
            "m.conf:4: message_size_limit: is deprecated: max_packet_size does the same better",
        ]
    );
}

#[test]
fn the_packet_limit_is_told_unless_it_is_chosen() {
    let told = |text: &str| {
        let config = good(text);
        texts(&config, Level::Information).iter().any(|text| {
            text.starts_with("max_packet_size is not set: packets of more than 2000000 ")
        })
    };
    assert!(told("listener 1"));
    assert!(!told("listener 1\nmax_packet_size 2000000"));
}
