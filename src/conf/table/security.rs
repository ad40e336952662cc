//! Directives of sign-in and access control.

use super::*;

pub(super) const ENTRIES: &[Entry] = &[
    security(
        "acl_file",
        Kind::Path,
        "",
        "Grant only the topics that this access control list names.",
    ),
    global(
        "acl_suback_deny",
        Kind::Bool,
        "false",
        "Midge's own: refuse a subscription that the access control list can never serve, \
         instead of granting it silently.",
    ),
    security(
        "allow_anonymous",
        Kind::Bool,
        "",
        "Let clients in without a user name; when missing, false with a listener and true in \
         local only mode.",
    ),
    security(
        "allow_zero_length_clientid",
        Kind::Bool,
        "true",
        "Make up a client id for clients that send none.",
    ),
    security(
        "auto_id_prefix",
        Kind::Text { max: 50 },
        "auto-",
        "Begin made-up client ids with this text.",
    ),
    global(
        "clientid_prefixes",
        TEXT,
        "",
        "Let in only clients whose id begins with this text.",
    )
    .status(Status::Deprecated(
        "it goes away in Mosquitto 3; an acl_file with patterns does more",
    )),
    listener(
        "listener_allow_anonymous",
        Kind::Bool,
        "",
        "Replaces allow_anonymous on one listener.",
    ),
    listener(
        "listener_auto_id_prefix",
        Kind::Text { max: 50 },
        "",
        "Replaces auto_id_prefix on one listener.",
    ),
    security(
        "password_file",
        Kind::Path,
        "",
        "Check user names and passwords against this file, which `midge passwd` writes.",
    ),
    listener(
        "use_username_as_clientid",
        Kind::Bool,
        "false",
        "Take the user name as client id; clients without one are refused.",
    ),
];
