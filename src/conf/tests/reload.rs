//! The differences between two configurations.

use super::*;
use crate::conf::Reload;
use crate::conf::table::{self, Scope};

fn differences(old: &str, new: &str) -> Vec<(&'static str, Reload)> {
    let differences = good(old).differences(&good(new));
    differences
        .into_iter()
        .map(|difference| (difference.directive, difference.reload))
        .collect()
}

#[test]
fn the_same_said_otherwise_is_no_difference() {
    for (old, new) in [
        ("", ""),
        (
            "",
            "max_qos 2\nsys_interval 10\nlog_dest stderr\n# a comment",
        ),
        ("", "persistence false"),
        ("persistence true", "retained_persistence 1"),
        (
            "listener 1\nlistener 2",
            "\n\nlistener 1\nmax_qos 2\nlistener 2",
        ),
        ("listener 1", "listener 1\nallow_anonymous false"),
        ("allow_anonymous true", ""),
        (
            "plugin mosquitto_acl_file.so\nplugin_opt_acl_file /a",
            "acl_file /a",
        ),
    ] {
        assert_eq!(differences(old, new), [], "{old:?} and {new:?}");
    }
}

#[test]
fn a_load_differs_from_itself_in_nothing() {
    let config = good("listener 1\nmax_qos 1\npassword_file p\nuser x");
    assert_eq!(config.differences(&config.clone()), []);
}

#[test]
fn each_directive_is_named_once_in_the_tables_order() {
    assert_eq!(
        differences(
            "listener 1\nlistener 2",
            "user x\nlistener 1\nmax_qos 1\nlistener 2\nmax_qos 0\nmax_keepalive 9\npassword_file p"
        ),
        [
            ("user", Reload::Restart),
            ("password_file", Reload::Live),
            ("max_keepalive", Reload::Live),
            ("max_qos", Reload::Live),
        ]
    );
}

#[test]
fn listeners_that_come_go_or_move() {
    let moved = [("listener", Reload::Live)];
    assert_eq!(differences("listener 1", "listener 2"), moved);
    assert_eq!(differences("listener 1", "listener 1 ::1"), moved);
    assert_eq!(differences("listener 1", "listener 1\nlistener 2"), moved);
    assert_eq!(
        differences("listener 1\nlistener 2", "listener 2\nlistener 1"),
        moved
    );
    assert_eq!(differences("port 1", "port 2"), moved);
    assert_eq!(
        differences("listener 1\nlistener 2", "listener 2\nmax_qos 1"),
        [("listener", Reload::Live), ("max_qos", Reload::Live)],
        "what stayed is still compared"
    );
}

#[test]
fn from_local_only_mode_to_the_same_addresses() {
    assert_eq!(
        differences("", "listener 1883 127.0.0.1\nlistener 1883 ::1"),
        [("allow_anonymous", Reload::Live)],
        "the default of allow_anonymous depends on the mode"
    );
}

#[test]
fn own_settings_of_one_listener() {
    assert_eq!(
        differences(
            "per_listener_settings true\nlistener 1\nlistener 2\npassword_file a",
            "per_listener_settings true\nlistener 1\nlistener 2\npassword_file b"
        ),
        [("password_file", Reload::Live)]
    );
    assert_eq!(
        differences(
            "listener 1\nacl_file a",
            "per_listener_settings true\nlistener 1\nacl_file a"
        ),
        [
            ("per_listener_settings", Reload::Live),
            ("acl_file", Reload::Live)
        ],
        "the broker as a whole has none any more"
    );
}

#[test]
fn a_plugin_is_taken_over_like_what_it_stands_for() {
    let plugins = "listener 1\nplugin mosquitto_acl_file.so\nplugin_opt_acl_file a\n\
                   plugin mosquitto_persist_sqlite.so";
    assert_eq!(
        differences("listener 1", plugins),
        [("acl_file", Reload::Live), ("persistence", Reload::Restart)]
    );
    let mut named = table::directives().filter(|directive| directive.scope == Scope::Plugin);
    assert!(named.all(|directive| directive.reload == Reload::Live));
}
