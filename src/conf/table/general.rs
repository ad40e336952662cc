//! Directives of the broker as a whole.

use super::*;

pub(super) const ENTRIES: &[Entry] = &[
    global(
        "allow_duplicate_messages",
        Kind::Bool,
        "true",
        "With overlapping subscriptions, deliver one copy for each of them (true), or one for \
         each client below MQTT 5.0 (false).",
    )
    .status(Status::Deprecated(
        "it goes away in Mosquitto 3; clients should not rely on false",
    )),
    global(
        "check_retain_source",
        Kind::Bool,
        "true",
        "Deliver a retained message only while its publisher may still write to the topic.",
    ),
    global(
        "enable_control_api",
        Kind::Bool,
        "false",
        "Answer requests on `$CONTROL/broker/v1`.",
    )
    .status(Status::Harmless(
        "Midge has no `$CONTROL` topics to ask about plugins",
    )),
    global(
        "include_dir",
        Kind::Path,
        "",
        "Read every `*.conf` of a directory at this point, in name order; the main file only.",
    ),
    global(
        "per_listener_settings",
        Kind::Bool,
        "false",
        "Give each listener its own security directives; it must stand before the first of them.",
    ),
    global(
        "pid_file",
        Kind::Path,
        "",
        "Write the process id to this file, and remove it at the end.",
    )
    .restart(),
    global(
        "queue_qos0_messages",
        Kind::Bool,
        "false",
        "Queue QoS 0 messages, too, for sessions whose client is away.",
    ),
    global(
        "retain_available",
        Kind::Bool,
        "true",
        "Take retained messages; when false, a publish with the retain flag ends the connection.",
    ),
    global(
        "retain_expiry_interval",
        int(1, 10_000_000),
        "",
        "Look every so many minutes for expired retained messages that nobody asks for, and free \
         them.",
    ),
    global(
        "retry_interval",
        Kind::Anything,
        "",
        "Wait so many seconds before a message is sent again.",
    )
    .status(Status::Harmless(
        "messages are sent again at a reconnection only, as MQTT asks",
    )),
    global(
        "sandbox",
        Kind::Bool,
        "true",
        "Midge's own: let the kernel (Landlock) keep the running broker from starting programs and \
         from writing anything but what it stores, its log, pid file and sockets.",
    )
    .restart(),
    global(
        "set_tcp_nodelay",
        Kind::Bool,
        "false",
        "Send small packets at once (TCP_NODELAY) rather than collecting them.",
    ),
    global(
        "sys_interval",
        U16,
        "10",
        "Refresh the `$SYS` topics every so many seconds; 0 turns them off.",
    ),
    global(
        "upgrade_outgoing_qos",
        Kind::Bool,
        "false",
        "Deliver at the subscription's QoS even when the message came with a lower one.",
    ),
    global(
        "user",
        TEXT,
        "mosquitto",
        "Become this user when started as root; `root` stays root.",
    )
    .restart(),
];
