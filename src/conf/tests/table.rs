//! The table itself, and a walk over all its directives.

use std::collections::BTreeSet;

use super::*;
use crate::conf::drop_in_table;
use crate::conf::table::{CHAPTERS, Directive, Kind, Scope, Status, about, directives, find};
use crate::conf::value::{Value, default};
use crate::conf::written::Block;

/// Lines that must stand above a directive of this kind.
fn above(directive: &Directive) -> &'static str {
    match directive.name {
        "mount_point" => "listener 1884\n",
        "plugin_use" => {
            "plugin_load name mosquitto_acl_file.so\nplugin_opt_acl_file /a\nlistener 1884\n"
        }
        "plugin_opt_*" => "plugin mosquitto_password_file.so\n",
        _ => "",
    }
}

/// Lines that must stand below it.
fn below(directive: &Directive) -> &'static str {
    match directive.name {
        "plugin" | "global_plugin" | "plugin_load" => "plugin_opt_acl_file /a\n",
        _ => "",
    }
}

/// How a name is written: a `*` needs an ending.
fn spelled(name: &str) -> String {
    name.replace('*', "password_file")
}

/// A good value, another than the default.
fn good_value(directive: &Directive) -> String {
    match directive.name {
        "include_dir" => return "conf.d".to_owned(),
        "plugin" | "global_plugin" => return "/lib/mosquitto_acl_file.so".to_owned(),
        "plugin_load" => return "other mosquitto_acl_file.so".to_owned(),
        "plugin_use" => return "name".to_owned(),
        _ => {}
    }
    let usual = default(directive);
    match directive.kind {
        Kind::Bool => (usual != Some(Value::Bool(true))).to_string(),
        Kind::Int { min, max } => {
            let other = if usual == Some(Value::Int(max)) {
                min
            } else {
                max
            };
            other.to_string()
        }
        Kind::Choice(words) => {
            let mut words = words.iter();
            let other = words.find(|word| **word != directive.default);
            other.expect("a choice has two words").to_string()
        }
        Kind::Duration => "14d".to_owned(),
        Kind::Versions => "5".to_owned(),
        Kind::Sync => "250".to_owned(),
        Kind::LogDest => "stdout".to_owned(),
        Kind::LogType => "debug".to_owned(),
        Kind::Listener => "1884 localhost".to_owned(),
        Kind::Text { .. } | Kind::Path | Kind::TextList | Kind::NamedPath | Kind::Anything => {
            "other".to_owned()
        }
    }
}

/// A value that must be refused; none for directives that take anything.
fn bad_value(directive: &Directive) -> Option<&'static str> {
    match directive.kind {
        Kind::Anything => None,
        Kind::Bool => Some("True"),
        Kind::Int { min, .. } if min < 0 => Some("-2"),
        Kind::Int { .. } => Some("-1"),
        Kind::Text { .. } | Kind::TextList => Some(""),
        Kind::Path => Some("\u{7}"),
        Kind::Choice(_) | Kind::LogDest | Kind::LogType => Some("no such word"),
        Kind::Duration => Some("14"),
        Kind::Versions => Some("6"),
        Kind::Sync => Some("60001"),
        Kind::Listener => Some("65536"),
        Kind::NamedPath => Some("lonely"),
    }
}

fn files(text: &str) -> Texts {
    Texts::default().with(FILE, text).with("conf.d/README", "")
}

/// What a configuration means, without how it was said.
fn meaning(mut config: Config) -> Config {
    config.written = Block::default();
    config.messages.clear();
    for listener in &mut config.listeners {
        listener.written = Block::default();
        listener.origin.clear();
    }
    config
}

#[test]
fn names_are_unique_and_orderly() {
    let mut seen = BTreeSet::new();
    for directive in directives() {
        for name in directive.names() {
            assert!(seen.insert(name), "{name} is there twice");
            let found = find(&spelled(name)).expect("it is in the table");
            assert_eq!(found.name, directive.name, "{name} is found");
        }
        assert!(
            about(directive).ends_with('.'),
            "{}: a sentence",
            directive.name
        );
    }
    assert!(find("plugin_opt_").is_none() && find("").is_none() && find("*").is_none());
}

/// The list was made by asking Mosquitto 2.0.11 itself, word by word.
#[test]
fn every_directive_of_mosquitto_2_0_is_known() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/conf/directives-2.0.txt"
    );
    let list = std::fs::read_to_string(path).expect("the list is there");
    assert!(list.lines().count() > 100);
    for name in list.lines() {
        assert!(find(&spelled(name)).is_some(), "{name}");
    }
}

/// What Mosquitto 2.1 has beyond 2.0.
#[test]
fn every_directive_of_mosquitto_2_1_is_known() {
    for name in [
        "accept_protocol_versions bridge_ciphers bridge_ciphers_tls1.3 bridge_max_topic_alias",
        "bridge_receive_maximum bridge_reload_type bridge_session_expiry_interval",
        "bridge_tcp_keepalive bridge_tcp_user_timeout bridge_tls_use_os_certs",
        "disable_client_cert_date_checks enable_control_api enable_proxy_protocol",
        "global_max_clients global_max_connections global_plugin listener_allow_anonymous",
        "listener_auto_id_prefix max_topic_alias_broker packet_buffer_size plugin_load plugin_use",
        "proxy_protocol_v2_require_tls retain_expiry_interval websockets_origin",
    ]
    .join(" ")
    .split(' ')
    {
        assert!(find(name).is_some(), "{name}");
    }
}

#[test]
fn defaults_fit_their_kinds() {
    for directive in directives() {
        // Panics when not.
        let value = default(directive);
        assert_eq!(
            value.is_none(),
            directive.default.is_empty(),
            "{}",
            directive.name
        );
    }
}

#[test]
fn every_directive_with_a_good_value() {
    for directive in directives() {
        for name in directive.names() {
            let name = spelled(name);
            let (above, below) = (above(directive), below(directive));
            let value = good_value(directive);
            let text = format!("{above}{name} {value}\n{below}");
            let result = load_from(&files(&text));
            let refused = matches!(
                directive.status,
                Status::Refused(_) | Status::DefaultOnly(_)
            );
            let error = match (result, refused) {
                (Ok(_), false) => continue,
                (Err(error), true) => error,
                (other, _) => panic!("{text}{other:?}"),
            };
            assert_eq!(error.directive, name);
            assert_eq!(error.line as usize, 1 + above.lines().count(), "{text}");
        }
    }
}

#[test]
fn every_directive_with_a_bad_value() {
    for directive in directives() {
        let Some(value) = bad_value(directive) else {
            continue;
        };
        for name in directive.names() {
            let name = spelled(name);
            let above = above(directive);
            let error = load_from(&files(&format!("{above}{name} {value}\n")));
            let error = error.expect_err(&format!("{name} {value}"));
            assert_eq!(error.directive, name);
            assert_eq!(error.line as usize, 1 + above.lines().count());
            assert!(error.what.contains(':'), "wrong and expected: {error}");
        }
    }
}

#[test]
fn the_default_written_out_is_always_accepted_unless_refused() {
    for directive in directives() {
        if directive.default.is_empty() || matches!(directive.status, Status::Refused(_)) {
            continue;
        }
        let above = above(directive);
        for word in directive.default.split(' ') {
            good(&format!("{above}{} {word}\n", directive.name));
        }
    }
}

const ENCRYPTED: &str = "listener 1884\ncertfile a\nkeyfile b\ncafile c\n";
const ENCRYPTED_BOTH_WAYS: &str =
    "listener 1884\ncertfile a\nkeyfile b\ncafile c\nrequire_certificate true\n";

/// Whether a directive means something on an encrypted listener only.
fn is_tls(name: &str) -> bool {
    let tls = CHAPTERS.iter().find(|chapter| chapter.title == "TLS");
    tls.is_some_and(|tls| {
        tls.directives
            .iter()
            .any(|directive| directive.name == name)
    })
}

#[test]
fn every_implemented_directive_reaches_its_field_and_the_reload() {
    for directive in directives() {
        let outside = ["include_dir", "listener", "plugin_load"].contains(&directive.name);
        let implemented = matches!(
            directive.status,
            Status::Implemented | Status::Deprecated(_) | Status::Later(_)
        );
        if outside || !implemented || directive.scope == Scope::Plugin {
            continue;
        }
        // Own settings need a listener; the default listener needs none.
        let start = match directive.name {
            "port" | "bind_address" => "",
            "require_certificate" => ENCRYPTED,
            name if is_tls(name) => ENCRYPTED_BOTH_WAYS,
            _ => "listener 1884\n",
        };
        let old = good(start);
        // A directive may stand only once.
        let is_other = |line: &&str| line.split(' ').next() != Some(directive.name);
        let start: String = start.split_inclusive('\n').filter(is_other).collect();
        let value = good_value(directive);
        let new = good(&format!("{start}{} {value}\n", directive.name));
        let differences = old.differences(&new);
        let name = match directive.name {
            "port" | "bind_address" => "listener",
            name => name,
        };
        let found = differences.iter().find(|found| found.directive == name);
        let found = found.unwrap_or_else(|| panic!("{name}: {differences:?}"));
        assert_eq!(found.reload, directive.reload, "{name}");
        if name != "listener" {
            assert_eq!(differences.len(), 1, "{name}: {differences:?}");
        }
        if directive.name == "per_listener_settings" {
            assert!(new.per_listener_settings);
        }
        assert_ne!(meaning(old), meaning(new), "{name} {value} has no field");
    }
}

#[test]
fn notices_for_what_has_no_effect() {
    for directive in directives() {
        let Status::Harmless(why) = directive.status else {
            continue;
        };
        let name = directive.name;
        let config = good(&format!("listener 1\n{name} {}", good_value(directive)));
        let expected = format!("m.conf:2: {name}: has no effect: {why}");
        assert_eq!(notices(&config), [expected]);
    }
}

#[test]
fn the_readme_table_has_every_name_once() {
    let table = drop_in_table();
    for directive in directives() {
        for name in directive.names() {
            let cell = format!("`{name}`");
            let heads = table.lines().filter_map(|line| line.strip_prefix("| "));
            let cells = heads.filter_map(|line| line.split(" |").next());
            let rows = cells.filter(|names| names.split(", ").any(|known| known == cell));
            assert_eq!(rows.count(), 1, "{name}");
        }
    }
    for line in table.lines().filter(|line| line.starts_with('|')) {
        assert_eq!(line.matches('|').count(), 7, "six cells: {line}");
    }
    let headings = table.lines().filter(|line| line.starts_with("### "));
    assert_eq!(headings.count(), CHAPTERS.len());
    assert!(table.contains(
        "| `max_qos`, `maximum_qos` | a number from 0 to 2 | `2` | yes | taken over | \
         Take messages up to this QoS from clients of this listener. |\n"
    ));
}
