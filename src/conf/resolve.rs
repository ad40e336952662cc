//! What the files say -> what it means.
//!
//! Takes the blocks of `written` through the table's defaults into the fields of [`Config`]. How
//! listeners come to be stands in `listeners`.

use std::path::PathBuf;

use super::config::{
    Config, Limits, LogDest, LogType, Logging, Persistence, Security, Sync, WhenFull,
};
use super::listeners;
use super::read::Outcome;
use super::report::{Error, Level, Message};
use super::value::Value;
use super::written::View;

/// Makes the configuration of what was read; `ports` are those of `-p`.
pub(super) fn resolve(outcome: Outcome, ports: &[u16]) -> Result<Config, Error> {
    let Outcome {
        written,
        files,
        mut messages,
    } = outcome;
    let (listeners, local_only) = listeners::resolve(&written, ports, &mut messages)?;
    let global = View(vec![&written.global]);
    let logging = logging(&global, &mut messages);
    tell(&global, &mut messages);
    Ok(Config {
        local_only,
        listeners,
        per_listener_settings: global.bool("per_listener_settings"),
        security: security(&global, local_only),
        user: global.text("user").unwrap_or_default(),
        pid_file: path(&global, "pid_file"),
        allow_duplicate_messages: global.bool("allow_duplicate_messages"),
        check_retain_source: global.bool("check_retain_source"),
        clientid_prefixes: global.text("clientid_prefixes"),
        queue_qos0_messages: global.bool("queue_qos0_messages"),
        retain_available: global.bool("retain_available"),
        retain_expiry_interval: optional(&global, "retain_expiry_interval"),
        sandbox: global.bool("sandbox"),
        set_tcp_nodelay: global.bool("set_tcp_nodelay"),
        sys_interval: global.limit("sys_interval"),
        upgrade_outgoing_qos: global.bool("upgrade_outgoing_qos"),
        acl_suback_deny: global.bool("acl_suback_deny"),
        limits: limits(&global),
        persistence: persistence(&global),
        logging,
        files,
        messages,
        written: listeners::with_anonymous(written.global, local_only),
    })
}

/// The security directives as `view` sees them.
pub(super) fn security(view: &View<'_>, local_only: bool) -> Security {
    let prefix = view.text("listener_auto_id_prefix");
    let anonymous = ["listener_allow_anonymous", "allow_anonymous"]
        .into_iter()
        .find_map(|name| view.setting(name).map(|_| view.bool(name)));
    Security {
        allow_anonymous: anonymous.unwrap_or(local_only),
        password_file: path(view, "password_file"),
        acl_file: path(view, "acl_file"),
        allow_zero_length_clientid: view.bool("allow_zero_length_clientid"),
        auto_id_prefix: prefix
            .or_else(|| view.text("auto_id_prefix"))
            .unwrap_or_default(),
    }
}

/// A number for which the table has no default.
pub(super) fn optional<T: TryFrom<i64>>(view: &View<'_>, name: &str) -> Option<T> {
    view.setting(name).map(|_| view.int(name))
}

fn path(view: &View<'_>, name: &str) -> Option<PathBuf> {
    view.text(name).map(PathBuf::from)
}

fn limits(view: &View<'_>) -> Limits {
    let expiration = view.setting("persistent_client_expiration").map(|_| {
        let seconds: u64 = view.int("persistent_client_expiration");
        seconds.min(u64::from(u32::MAX))
    });
    Limits {
        connect_timeout: view.int("connect_timeout"),
        global_max_clients: view.limit("global_max_clients"),
        global_max_connections: view.limit("global_max_connections"),
        max_inbound_qos2: view.int("max_inbound_qos2"),
        max_inflight_bytes: view.limit("max_inflight_bytes"),
        max_inflight_messages: view.limit("max_inflight_messages"),
        max_keepalive: view.limit("max_keepalive"),
        max_output_bytes: view.limit("max_output_bytes").unwrap_or(usize::MAX),
        max_packet_size: view.int("max_packet_size"),
        max_property_bytes: view.int("max_property_bytes"),
        max_queued_bytes: view.limit("max_queued_bytes"),
        max_queued_messages: view.limit("max_queued_messages"),
        max_subscriptions_per_client: view.int("max_subscriptions_per_client"),
        max_topic_levels: view.int("max_topic_levels"),
        max_user_properties: view.int("max_user_properties"),
        min_packet_rate: view.int("min_packet_rate"),
        memory_limit: view.limit("memory_limit"),
        message_size_limit: view.limit("message_size_limit"),
        persistent_client_expiration: expiration,
    }
}

fn persistence(view: &View<'_>) -> Persistence {
    Persistence {
        persistence: view.bool("persistence"),
        persistence_location: path(view, "persistence_location"),
        persistence_file: view.text("persistence_file").unwrap_or_default(),
        persistence_sync: sync(view),
        persistence_max_bytes: view.int("persistence_max_bytes"),
        persistence_full: match view.text("persistence_full").as_deref() {
            Some("drop_oldest") => WhenFull::DropOldest,
            _ => WhenFull::Refuse,
        },
        memory_cache: usize::try_from(view.number("memory_cache")).unwrap_or(usize::MAX),
    }
}

fn sync(view: &View<'_>) -> Sync {
    match view.value("persistence_sync") {
        Some(Value::Int(ms)) => {
            let ms = u32::try_from(ms).expect("Kind::Sync ends at 60000");
            Sync::Every(ms)
        }
        Some(Value::Text(word)) if word == "never" => Sync::Never,
        _ => Sync::Always,
    }
}

fn logging(view: &View<'_>, messages: &mut Vec<Message>) -> Logging {
    Logging {
        log_dest: log_dest(view, messages),
        log_type: log_type(&view.list("log_type")),
        log_facility: optional(view, "log_facility"),
        log_file_max_size: view.int("log_file_max_size"),
        log_timestamp: view.bool("log_timestamp"),
        log_timestamp_format: view.text("log_timestamp_format"),
        capture_file: path(view, "capture_file"),
        capture_file_max_size: view.int("capture_file_max_size"),
        connection_messages: view.bool("connection_messages"),
    }
}

fn log_dest(view: &View<'_>, messages: &mut Vec<Message>) -> LogDest {
    let mut dest = LogDest::default();
    let mut none = false;
    for word in view.list("log_dest") {
        match word.as_str() {
            "none" => {
                dest = LogDest::default();
                none = true;
            }
            "stdout" => dest.stdout = true,
            "stderr" => dest.stderr = true,
            "syslog" => dest.syslog = true,
            "topic" => dest.topic = true,
            other => match (other.strip_prefix("file "), view.setting("log_dest")) {
                (Some(path), _) => dest.file = Some(PathBuf::from(path)),
                (None, Some(setting)) => {
                    let what = format!("has no effect: Midge does not log to {other}");
                    let mend = "remove the line";
                    messages.push((setting.at).message(Level::Notice, "log_dest", &what, mend));
                }
                (None, None) => {}
            },
        }
    }
    if dest == LogDest::default() && !none {
        dest.stderr = true;
    }
    dest
}

fn log_type(words: &[String]) -> LogType {
    let mut types = LogType::NONE;
    for word in words {
        match word.as_str() {
            "none" => types = LogType::NONE,
            "all" => {
                types = LogType {
                    packets: types.packets,
                    ..LogType::ALL
                }
            }
            "error" => types.error = true,
            "warning" => types.warning = true,
            "notice" => types.notice = true,
            "information" => types.information = true,
            "debug" => types.debug = true,
            "subscribe" => types.subscribe = true,
            "unsubscribe" => types.unsubscribe = true,
            "websockets" => types.websockets = true,
            "internal" => types.internal = true,
            "packets" => types.packets = true,
            other => unreachable!("{other} passed the check of log_type's words"),
        }
    }
    types
}

/// What an owner should hear about the whole.
fn tell(global: &View<'_>, messages: &mut Vec<Message>) {
    if global.setting("max_packet_size").is_none() {
        let bytes = global.number("max_packet_size");
        messages.push(Message {
            level: Level::Information,
            mend: "write the limit that you want, such as: max_packet_size 2000000",
            text: format!(
                "max_packet_size is not set: packets of more than {bytes} bytes are refused, \
                 as in Mosquitto 2.1 (2.0 has no limit)"
            ),
        });
    }
}
