//! Directives of what is kept on disk.

use super::*;

/// What Midge does with persistence: the one place to change when it is there.
///
/// While this is [`Status::Later`], `persistence true` leads to one warning with its text.
pub const PERSISTENCE: Status = Status::Later("nothing is stored on disk yet, that comes later");

pub(super) const DIRECTIVES: &[Directive] = &[
    global(
        "autosave_interval",
        int(-1, i64::MAX),
        "1800",
        "Save the database after so many seconds, or so many changes with autosave_on_changes; 0 \
         saves at the end only.",
    )
    .status(PERSISTENCE),
    global(
        "autosave_on_changes",
        Kind::Bool,
        "false",
        "Let autosave_interval count changes instead of seconds.",
    )
    .status(PERSISTENCE),
    global(
        "persistence",
        Kind::Bool,
        "false",
        "Keep sessions, queued and retained messages on disk, so that they survive a restart.",
    )
    .alias(&["retained_persistence"])
    .restart()
    .status(PERSISTENCE),
    global(
        "persistence_file",
        TEXT,
        "mosquitto.db",
        "The name of the database inside persistence_location.",
    )
    .restart()
    .status(PERSISTENCE),
    global(
        "persistence_location",
        Kind::Path,
        "",
        "The directory for what is stored; the current directory when missing.",
    )
    .restart()
    .status(PERSISTENCE),
    global(
        "persistent_client_expiration",
        Kind::Duration,
        "",
        "Forget the session of an MQTT 3 client that has been away for this long.",
    ),
];
