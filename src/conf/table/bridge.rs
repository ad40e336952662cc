//! Directives of connections to other brokers, all refused until bridges are there.

use super::*;

const fn bridge(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Entry {
    Entry::new(Scope::Bridge, name, kind, default, about)
        .restart()
        .status(Status::Refused(
            "bridges come later, and without this one messages would silently stay away: \
             remove the connection section",
        ))
}

pub(super) const ENTRIES: &[Entry] = &[
    bridge(
        "connection",
        TEXT,
        "",
        "Begin a bridge to another broker, under this name.",
    ),
    bridge(
        "address",
        Kind::TextList,
        "",
        "The remote broker's host and port; several may follow each other.",
    )
    .alias(&["addresses"]),
    bridge(
        "bridge_alpn",
        TEXT,
        "",
        "The application protocol to offer in TLS.",
    ),
    bridge(
        "bridge_attempt_unsubscribe",
        Kind::Bool,
        "true",
        "Unsubscribe remotely from outgoing topics at each connection.",
    ),
    bridge(
        "bridge_bind_address",
        TEXT,
        "",
        "The local address to connect from.",
    ),
    bridge(
        "bridge_cafile",
        Kind::Path,
        "",
        "The authorities that vouch for the remote broker.",
    ),
    bridge(
        "bridge_capath",
        Kind::Path,
        "",
        "The same as a directory of hashed names.",
    ),
    bridge(
        "bridge_certfile",
        Kind::Path,
        "",
        "The bridge's own certificate.",
    ),
    bridge("bridge_ciphers", TEXT, "", "The ciphers up to TLS 1.2."),
    bridge("bridge_ciphers_tls1.3", TEXT, "", "The ciphers of TLS 1.3."),
    bridge(
        "bridge_identity",
        TEXT,
        "",
        "The name that goes with bridge_psk.",
    ),
    bridge(
        "bridge_insecure",
        Kind::Bool,
        "false",
        "Do not compare the remote host's name with its certificate.",
    ),
    bridge(
        "bridge_keyfile",
        Kind::Path,
        "",
        "The bridge's private key.",
    ),
    bridge(
        "bridge_max_packet_size",
        int(0, u32::MAX as i64),
        "0",
        "Send no larger packets; 0 sets no limit.",
    ),
    bridge(
        "bridge_max_topic_alias",
        U16,
        "10",
        "How many topic aliases the remote broker may use.",
    ),
    bridge(
        "bridge_outgoing_retain",
        Kind::Bool,
        "true",
        "Keep the retain flag on messages sent.",
    ),
    bridge(
        "bridge_protocol_version",
        Kind::Choice(&["mqttv31", "mqttv311", "mqttv50"]),
        "mqttv311",
        "The protocol spoken to the remote broker.",
    ),
    bridge(
        "bridge_psk",
        TEXT,
        "",
        "A pre-shared key in hexadecimal digits.",
    ),
    bridge(
        "bridge_receive_maximum",
        U16,
        "",
        "How many QoS 1 and 2 messages may be under way to the bridge.",
    ),
    bridge(
        "bridge_reload_type",
        Kind::Choice(&["lazy", "immediate"]),
        "lazy",
        "Whether a reload waits for the next connection.",
    ),
    bridge(
        "bridge_require_ocsp",
        Kind::Bool,
        "false",
        "Ask for proof that the remote certificate is still valid.",
    ),
    bridge(
        "bridge_session_expiry_interval",
        int(0, u32::MAX as i64),
        "0",
        "How long the remote broker keeps the session, in seconds.",
    ),
    bridge(
        "bridge_tcp_keepalive",
        Kind::Anything,
        "",
        "Three numbers for TCP's own keep-alive.",
    ),
    bridge(
        "bridge_tcp_user_timeout",
        COUNT,
        "",
        "Milliseconds until unanswered data breaks the connection.",
    ),
    bridge(
        "bridge_tls_use_os_certs",
        Kind::Bool,
        "false",
        "Trust the system's authorities.",
    ),
    bridge(
        "bridge_tls_version",
        Kind::Choice(&["tlsv1.3", "tlsv1.2", "tlsv1.1"]),
        "",
        "The oldest version of TLS accepted.",
    ),
    bridge(
        "cleansession",
        Kind::Bool,
        "false",
        "Begin a new remote session at each connection.",
    ),
    bridge(
        "idle_timeout",
        int(1, i64::MAX),
        "60",
        "Seconds of silence after which a lazy bridge disconnects.",
    ),
    bridge(
        "keepalive_interval",
        int(5, 65_535),
        "60",
        "The bridge's Keep Alive in seconds.",
    ),
    bridge(
        "local_cleansession",
        Kind::Bool,
        "",
        "The same for the local side.",
    ),
    bridge(
        "local_clientid",
        TEXT,
        "",
        "The bridge's client id at this broker.",
    ),
    bridge(
        "local_password",
        TEXT,
        "",
        "The bridge's password at this broker.",
    ),
    bridge(
        "local_username",
        TEXT,
        "",
        "The bridge's user name at this broker.",
    ),
    bridge(
        "notification_topic",
        TEXT,
        "",
        "Where the bridge's state is published.",
    ),
    bridge(
        "notifications",
        Kind::Bool,
        "true",
        "Publish the bridge's state.",
    ),
    bridge(
        "notifications_local_only",
        Kind::Bool,
        "false",
        "Publish it at this broker only.",
    ),
    bridge(
        "remote_clientid",
        TEXT,
        "",
        "The bridge's client id at the remote broker.",
    )
    .alias(&["clientid"]),
    bridge(
        "remote_password",
        TEXT,
        "",
        "The bridge's password at the remote broker.",
    )
    .alias(&["password"]),
    bridge(
        "remote_username",
        TEXT,
        "",
        "The bridge's user name at the remote broker.",
    )
    .alias(&["username"]),
    bridge(
        "restart_timeout",
        Kind::Anything,
        "",
        "Seconds until the next attempt to connect.",
    ),
    bridge(
        "round_robin",
        Kind::Bool,
        "false",
        "Treat all addresses alike instead of returning to the first.",
    ),
    bridge(
        "start_type",
        Kind::Choice(&["automatic", "lazy", "once"]),
        "automatic",
        "When the bridge connects.",
    ),
    bridge(
        "threshold",
        int(1, i64::MAX),
        "10",
        "How many messages wake a lazy bridge.",
    ),
    bridge(
        "topic",
        Kind::TextList,
        "",
        "A pattern of topics to carry, with direction, QoS and prefixes.",
    ),
    bridge(
        "try_private",
        Kind::Bool,
        "true",
        "Tell the remote broker that this is a bridge.",
    ),
];
