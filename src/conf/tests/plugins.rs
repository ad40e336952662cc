//! Plugins that stand for something built in, and those that do not.

use super::*;
use crate::conf::stores;
use std::path::PathBuf;

#[test]
fn the_password_plugin_is_the_password_file() {
    for directive in ["plugin", "auth_plugin", "global_plugin"] {
        for option in ["plugin_opt_", "auth_opt_"] {
            let config = good(&format!(
                "listener 1\n{directive} \
                 /usr/lib/mosquitto_password_file.so\n{option}password_file /p"
            ));
            assert_eq!(config.security.password_file, Some("/p".into()));
            assert_eq!(
                config.listeners[0].security.password_file,
                Some("/p".into())
            );
            assert_eq!(
                notices(&config),
                [format!(
                    "m.conf:2: {directive}: is not loaded: Midge's own password_file does its work"
                )]
            );
        }
    }
}

#[test]
fn the_acl_plugin_is_the_acl_file() {
    let config = good("plugin mosquitto_acl_file.so\nplugin_opt_acl_file /a");
    assert_eq!(config.security.acl_file, Some("/a".into()));
    assert!(config.local_only);
}

#[test]
fn the_database_plugin_is_persistence() {
    let config = good(
        "listener 1\nplugin /x/mosquitto_persist_sqlite.so\nplugin_opt_sync normal\n\
         plugin_opt_flush_period 5",
    );
    assert!(config.persistence.persistence);
    let told = warnings(&config);
    assert_eq!(
        told[0],
        "m.conf:3: plugin_opt_sync: is ignored: Midge has no such database"
    );
    assert_eq!(
        notices(&config),
        ["m.conf:2: plugin: is not loaded: Midge's own persistence does its work"]
    );
}

#[test]
fn what_is_kept_is_where_the_database_was_to_be() {
    let plugin = "plugin mosquitto_persist_sqlite.so\nplugin_opt_db_file";
    for (text, folder) in [
        (format!("{plugin} /var/lib/m/m.sqlite3"), "/var/lib/m"),
        (format!("{plugin} /m.sqlite3"), "/"),
        (format!("{plugin} m.sqlite3"), "."),
        (format!("{plugin} /a/m\npersistence_location /b"), "/b"),
        (format!("persistence_location /b\n{plugin} /a/m"), "/b"),
    ] {
        let config = good(text.as_str());
        assert!(config.persistence.persistence);
        assert_eq!(
            stores(&config, None).journal,
            PathBuf::from(folder),
            "{text}"
        );
    }
}

#[test]
fn a_plugin_of_one_listener() {
    let config = good(
        "per_listener_settings true\nlistener 1\nplugin a/mosquitto_password_file.so\n\
         plugin_opt_password_file /p\nlistener 2\nglobal_plugin mosquitto_acl_file.so\n\
         plugin_opt_acl_file /a",
    );
    let [one, two] = &config.listeners[..] else {
        panic!("two listeners are written")
    };
    assert_eq!(one.security.password_file, Some("/p".into()));
    assert_eq!(two.security.password_file, None);
    assert_eq!(one.security.acl_file, Some("/a".into()));
    assert_eq!(two.security.acl_file, Some("/a".into()));
}

/// "For all listeners" is broken by a file of the listener's own, which would hold in its place.
#[test]
fn a_file_for_all_listeners_is_not_replaced_by_that_of_one() {
    let all = "global_plugin mosquitto_acl_file.so\nplugin_opt_acl_file /all\n";
    let loaded = "plugin_load u mosquitto_acl_file.so\nplugin_opt_acl_file /one\n";
    let twice = |here: u32, there: u32| {
        format!(
            "m.conf:{here}: acl_file: Duplicate value: expected only one for a listener, and for \
             this one it is set at m.conf:{there} too"
        )
    };
    let own = format!("per_listener_settings true\n{all}listener 1\nacl_file /one\n");
    assert_eq!(bad(own), twice(5, 3));
    let used = format!("{all}{loaded}listener 1\nplugin_use u\nlistener 2\n");
    assert_eq!(bad(used), twice(4, 2));
    let used = format!("{loaded}acl_file /all\nlistener 1\nplugin_use u\n");
    assert_eq!(bad(used), twice(2, 3));
    let own = "listener 1\nplugin_use u\nacl_file /two\n";
    let both = format!("per_listener_settings true\n{loaded}{own}");
    assert_eq!(bad(both), twice(3, 6));
}

#[test]
fn a_plugin_loaded_by_name() {
    let config = good(
        "plugin_load users /x/mosquitto_password_file.so\nplugin_opt_password_file /p\n\
         listener 1\nplugin_use users\nlistener 2\n",
    );
    assert_eq!(
        config.listeners[0].security.password_file,
        Some("/p".into())
    );
    assert_eq!(config.listeners[1].security.password_file, None);
    assert_eq!(config.security.password_file, None);
    let config = good("plugin_load u mosquitto_acl_file.so\nplugin_opt_acl_file /a");
    assert_eq!(config.security.acl_file, None);
    assert_eq!(
        warnings(&config)[0],
        "m.conf:1: plugin_load: is not used: expected plugin_use below a listener"
    );
}

#[test]
fn what_is_refused() {
    for (text, expected) in REFUSED {
        assert_eq!(bad(*text), *expected, "\n{text}");
    }
}

#[test]
fn an_option_that_the_plugin_does_not_know() {
    let config = good("plugin mosquitto_acl_file.so\nplugin_opt_acl_file /a\nplugin_opt_cache 1");
    let expected = "m.conf:3: plugin_opt_cache: is ignored: the plugin has no such option";
    assert!(
        warnings(&config).contains(&expected),
        "{:?}",
        config.messages
    );
}

#[test]
fn a_plugin_does_not_reach_into_the_next_file() {
    let files = Texts::default()
        .with(
            FILE,
            "plugin mosquitto_acl_file.so\ninclude_dir d\nplugin_opt_acl_file /a",
        )
        .with("d/x.conf", "# nothing");
    assert!(load_from(&files).is_ok());
    let files = files.with("d/x.conf", "plugin_opt_acl_file /a");
    let error = load_from(&files).expect_err("the option has lost its plugin");
    assert_eq!(error.line, 1);
}

/// Files, and their errors to the letter.
const REFUSED: &[(&str, &str)] = &[
    (
        "plugin /usr/lib/mosquitto_dynamic_security.so",
        "m.conf:1: plugin: dynamic security is not supported, and without it the broker would \
             be open: expected password_file and acl_file instead",
    ),
    (
        "auth_plugin /usr/share/go-auth.so",
        "m.conf:1: auth_plugin: '/usr/share/go-auth.so' cannot be loaded, and without it the \
             broker might be open: expected no plugin, or password_file and acl_file instead",
    ),
    (
        "plugin x_mosquitto_password_file.so",
        "m.conf:1: plugin: 'x_mosquitto_password_file.so' cannot be loaded, and without it the \
             broker might be open: expected no plugin, or password_file and acl_file instead",
    ),
    (
        "plugin mosquitto_password_file.so\n",
        "m.conf:1: plugin: no file is named: expected plugin_opt_password_file below it",
    ),
    (
        "plugin_opt_password_file /p",
        "m.conf:1: plugin_opt_password_file: no plugin line above it in this file: expected \
             one",
    ),
    (
        "plugin_load users",
        "m.conf:1: plugin_load: no path: expected a name and a path",
    ),
    (
        "listener 1\nplugin_use users",
        "m.conf:2: plugin_use: 'users' is not loaded: \
             expected the name of a plugin_load line above it",
    ),
    (
        "plugin_load u mosquitto_acl_file.so\nplugin_use u",
        "m.conf:2: plugin_use: no listener line above it in this file: expected one",
    ),
    (
        "password_file /a\nplugin mosquitto_password_file.so\nplugin_opt_password_file /b",
        "m.conf:3: password_file: Duplicate value: \
             expected only one, and it is set at m.conf:1",
    ),
    (
        "plugin mosquitto_acl_file.so\nplugin_opt_acl_file /a\nplugin_opt_acl_file /b",
        "m.conf:3: plugin_opt_acl_file: Duplicate value: \
             expected only one, and it is set at m.conf:2",
    ),
    (
        "plugin mosquitto_acl_file.so\nplugin_opt_acl_file /a\nper_listener_settings true",
        "m.conf:3: per_listener_settings: stands behind plugin at m.conf:1: \
             expected before all security directives",
    ),
];
