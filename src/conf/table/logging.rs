//! Directives of the log.

use super::*;

pub(super) const ENTRIES: &[Entry] = &[
    global(
        "capture_file",
        Kind::Path,
        "",
        "Write what goes over new connections to this file for Wireshark (pcapng), in plain text \
         also where it is encrypted, without passwords.",
    ),
    global(
        "capture_file_max_size",
        int(1_000_000, i64::MAX),
        "10000000",
        "Bytes of that file; a full one is renamed to `FILE.1`, in place of a former one.",
    ),
    global(
        "connection_messages",
        Kind::Bool,
        "true",
        "Log clients that come and go; faults and refusals are logged all the same.",
    ),
    global(
        "log_dest",
        Kind::LogDest,
        "stderr",
        "Where log lines go; every line adds a destination, and `none` takes back those before it.",
    ),
    global(
        "log_facility",
        int(0, 7),
        "",
        "Use syslog's facility local0 to local7 instead of daemon.",
    ),
    global(
        "log_file_max_size",
        COUNT,
        "10000000",
        "A log file that has grown beyond so many bytes becomes FILE.1, in place of a former one, \
         and a new one begins; 0 sets no limit.",
    ),
    global(
        "log_timestamp",
        Kind::Bool,
        "true",
        "Begin each log line with the time.",
    ),
    global(
        "log_timestamp_format",
        TEXT,
        "",
        "How that time is written, in strftime's terms; when missing, seconds since 1970.",
    ),
    global(
        "log_type",
        Kind::LogType,
        "error warning notice information",
        "Which lines are logged; every line adds a kind. `packets` shows every packet of new \
         connections field by field, and is not part of `all`.",
    ),
];
