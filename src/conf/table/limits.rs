//! Directives that bound what clients may use.

use super::*;

/// A limit that old files also turn off by -1; Mosquitto takes that for 0.
const OR_LESS: Kind = int(-1, i64::MAX);

pub(super) const ENTRIES: &[Entry] = &[
    global(
        "connect_timeout",
        int(1, 3_600),
        "10",
        "Midge's own: close a connection whose CONNECT is not complete after so many seconds.",
    ),
    global(
        "global_max_clients",
        int(-1, i64::MAX),
        "-1",
        "Keep at most so many sessions, of connected and absent clients together; 0 and \
         -1 set no limit.",
    ),
    global(
        "global_max_connections",
        int(-1, i64::MAX),
        "-1",
        "Keep at most so many connections over all listeners; 0 and -1 set no limit.",
    ),
    global(
        "max_inbound_qos2",
        int(1, 65_535),
        "1000",
        "Midge's own: hold at most so many QoS 2 messages of one client that wait for its PUBREL.",
    ),
    global(
        "max_inflight_bytes",
        OR_LESS,
        "0",
        "Have at most so many bytes of QoS 1 and 2 messages under way to one client; 0 sets no \
         limit.",
    ),
    global(
        "max_inflight_messages",
        int(-1, 65_535),
        "20",
        "Have at most so many QoS 1 and 2 messages under way to one client; 0 sets no limit, 1 \
         keeps strict order.",
    ),
    global(
        "max_keepalive",
        U16,
        "0",
        "Allow no longer Keep Alive than so many seconds, and none without end; 0 sets no limit.",
    ),
    global(
        "max_output_bytes",
        int(1_024, 1 << 40),
        "262144",
        "Midge's own: let at most so many bytes of QoS 0 messages wait for one client that does \
         not read.",
    ),
    global(
        "max_packet_size",
        int(20, u32::MAX as i64),
        "2000000",
        "Close the connection at a packet of more bytes; MQTT 5 clients are told the limit.",
    ),
    global(
        "max_queued_bytes",
        OR_LESS,
        "0",
        "Queue at most so many bytes of QoS 1 and 2 messages for one client; 0 sets no limit.",
    ),
    global(
        "max_queued_messages",
        OR_LESS,
        "1000",
        "Queue at most so many QoS 1 and 2 messages for one client beyond those under way; 0 \
         sets no limit.",
    ),
    global(
        "max_subscriptions_per_client",
        int(1, u32::MAX as i64),
        "10000",
        "Midge's own: refuse further subscriptions of a client that has so many; a filter counts \
         once for each ten levels and each KiB.",
    ),
    global(
        "max_property_bytes",
        int(1, 268_435_455),
        "8192",
        "Midge's own: refuse messages with more bytes of properties.",
    ),
    global(
        "max_topic_levels",
        int(1, 65_535),
        "201",
        "Midge's own: refuse topics of more levels.",
    ),
    global(
        "max_user_properties",
        int(0, 65_535),
        "64",
        "Midge's own: refuse messages with more User Properties.",
    ),
    global(
        "memory_limit",
        COUNT,
        "0",
        "Let what clients make the broker hold use at most so many bytes of memory; 0: a quarter \
         of the machine's, 16 MB to 256 MB.",
    ),
    global(
        "min_packet_rate",
        int(0, u32::MAX as i64),
        "256",
        "Midge's own: close a connection whose packet, once begun, comes slower than so many bytes \
         a second over half a minute; 0 sets no limit.",
    ),
    global(
        "message_size_limit",
        int(0, 268_435_455),
        "0",
        "Acknowledge and drop messages with a payload of more bytes; 0 sets no limit.",
    )
    .status(Status::Deprecated("max_packet_size does the same better")),
];
