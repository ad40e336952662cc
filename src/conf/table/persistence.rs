//! Directives of what is kept on disk.

use super::*;
use crate::conf::config::DATABASE;

const NOTHING_TO_SAVE: &str =
    "every change is stored at once; persistence_sync says what a power cut may cost";

pub(super) const ENTRIES: &[Entry] = &[
    global(
        "autosave_interval",
        int(-1, i64::MAX),
        "1800",
        "Save the database after so many seconds, or so many changes with autosave_on_changes; 0 \
         saves at the end only.",
    )
    .status(Status::Harmless(NOTHING_TO_SAVE)),
    global(
        "autosave_on_changes",
        Kind::Bool,
        "false",
        "Let autosave_interval count changes instead of seconds.",
    )
    .status(Status::Harmless(NOTHING_TO_SAVE)),
    global(
        "memory_cache",
        COUNT,
        "8000000",
        "Midge's own: of the messages that are on disk, keep at most so many bytes in memory as \
         well; 0 reads each of them back when it is sent.",
    ),
    global(
        "persistence",
        Kind::Bool,
        "false",
        "Keep sessions, queued and retained messages on disk, so that they survive a restart, a \
         kill and a power cut.",
    )
    .alias(&["retained_persistence"])
    .restart(),
    global(
        "persistence_file",
        TEXT,
        DATABASE,
        "The name of Mosquitto's database inside persistence_location: a first start imports it. \
         With another one than mosquitto.db the journal is in a folder NAME.journal beside it.",
    )
    .restart(),
    global(
        "persistence_full",
        Kind::Choice(&["refuse", "drop_oldest"]),
        "refuse",
        "Midge's own: when the disk or persistence_max_bytes is full, refuse new QoS 1 and 2 \
         messages for lasting sessions, or drop the oldest of the largest queue.",
    ),
    global(
        "persistence_location",
        Kind::Path,
        "",
        "The directory for what is stored; the current directory when missing.",
    )
    .restart(),
    global(
        "persistence_max_bytes",
        int(16 << 20, i64::MAX),
        "1000000000",
        "Midge's own: use at most so many bytes of the disk for what is kept.",
    ),
    global(
        "persistence_sync",
        Kind::Sync,
        "always",
        "Midge's own: what was acknowledged is on the disk before the acknowledgement leaves \
         (always), at most so many milliseconds later, or when the kernel likes (never).",
    ),
    global(
        "persistent_client_expiration",
        Kind::Duration,
        "",
        "Forget the session of an MQTT 3 client that has been away for this long.",
    ),
];
