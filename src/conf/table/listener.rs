//! Directives of the sockets that clients connect to.

use super::*;

const NO_WEBSOCKETS: &str =
    "WebSockets and the HTTP interface come later: use protocol mqtt, or remove this listener";
const NO_PROXY: &str =
    "the PROXY protocol comes later: remove it, and let clients connect without the proxy";

pub(super) const ENTRIES: &[Entry] = &[
    listener(
        "accept_protocol_versions",
        Kind::Versions,
        "3,4,5",
        "Let in only these protocols: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0.",
    ),
    listener(
        "bind_address",
        TEXT,
        "",
        "The address of the default listener.",
    )
    .status(Status::Deprecated("write `listener PORT ADDRESS` instead")),
    listener(
        "bind_interface",
        Kind::Text { max: 15 },
        "",
        "Serve only this network interface.",
    ),
    listener(
        "enable_proxy_protocol",
        int(1, 2),
        "",
        "Expect the PROXY protocol in this version in front of each connection.",
    )
    .restart()
    .status(Status::Refused(NO_PROXY)),
    listener(
        "http_dir",
        Kind::Path,
        "",
        "Serve the files of a directory over HTTP.",
    )
    .restart()
    .status(Status::Harmless(
        "only WebSockets and HTTP listeners serve files, and those come later",
    )),
    listener(
        "listener",
        Kind::Listener,
        "",
        "Open a listener on a port and address, all addresses when missing, or with port 0 on a \
         unix socket.",
    ),
    listener(
        "max_connections",
        int(-1, i64::MAX),
        "-1",
        "Keep at most so many connections on this listener; 0 and -1 set no limit.",
    ),
    listener(
        "max_qos",
        int(0, 2),
        "2",
        "Take messages up to this QoS from clients of this listener.",
    )
    .alias(&["maximum_qos"]),
    listener(
        "max_topic_alias",
        U16,
        "10",
        "Let an MQTT 5 client use so many topic aliases towards the broker.",
    ),
    listener(
        "max_topic_alias_broker",
        U16,
        "10",
        "Use at most so many topic aliases towards an MQTT 5 client.",
    ),
    listener(
        "mount_point",
        TEXT,
        "",
        "Put this text in front of every topic of this listener's clients.",
    ),
    global(
        "packet_buffer_size",
        U16,
        "4096",
        "The size of a connection's read buffer in bytes.",
    )
    .alias(&["websockets_headers_size"])
    .restart()
    .status(Status::Harmless(
        "Midge shares one read buffer between all connections",
    )),
    listener(
        "port",
        int(1, 65_535),
        "1883",
        "The port of the default listener.",
    )
    .status(Status::Deprecated("write `listener PORT` instead")),
    listener(
        "protocol",
        Kind::Choice(&["mqtt", "websockets", "http_api"]),
        "mqtt",
        "What clients of this listener speak.",
    )
    .restart()
    .status(Status::DefaultOnly(NO_WEBSOCKETS)),
    listener(
        "proxy_protocol_v2_require_tls",
        Kind::Bool,
        "false",
        "Let in only those who reached the proxy over TLS.",
    )
    .restart()
    .status(Status::DefaultOnly(NO_PROXY)),
    listener(
        "socket_domain",
        Kind::Choice(&["ipv4", "ipv6"]),
        "",
        "Use only IPv4 or only IPv6 addresses.",
    ),
    global(
        "websockets_log_level",
        int(0, 1_023),
        "0",
        "How much the WebSockets library logs.",
    )
    .status(Status::Harmless("Midge does not use that library")),
    listener(
        "websockets_origin",
        Kind::TextList,
        "",
        "Let in only WebSockets clients of this origin.",
    )
    .restart()
    .status(Status::Harmless(
        "only WebSockets listeners ask for an origin, and those come later",
    )),
];
