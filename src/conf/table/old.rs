//! Directives that Mosquitto itself has stopped using, still found in old files.

use super::*;

const fn old(name: &'static str, about: &'static str, notice: &'static str) -> Directive {
    global(name, Kind::Anything, "", about).status(Status::Harmless(notice))
}

const RSMB: &str = "it belongs to another broker, and Mosquitto ignores it as well";

pub(super) const DIRECTIVES: &[Directive] = &[
    old("ffdc_output", "Where RSMB wrote its dumps.", RSMB),
    old(
        "max_log_entries",
        "How many log lines RSMB kept in memory.",
        RSMB,
    ),
    old(
        "retry_interval",
        "How long to wait before a message was sent again.",
        "messages are sent again at a reconnection only, as MQTT asks",
    ),
    old(
        "store_clean_interval",
        "How often stored messages without a receiver were removed.",
        "they are removed at once",
    ),
    old("trace_level", "How much RSMB traced.", RSMB),
    old("trace_output", "Where RSMB traced to.", RSMB),
];
