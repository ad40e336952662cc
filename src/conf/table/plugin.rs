//! Directives of plugins, of which a few well-known ones stand for something built in.

use super::*;

/// A reload takes over what it stands for, as far as that directive can be.
const fn plugin(name: &'static str, kind: Kind, about: &'static str) -> Entry {
    Entry::new(Scope::Plugin, name, kind, "", about)
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry::new(
        Scope::Plugin,
        "auth_plugin_deny_special_chars",
        Kind::Bool,
        "true",
        "Keep client ids and user names with `+` or `#` away from the plugin.",
    )
    .status(Status::Harmless(
        "Midge never lets such names into the patterns of an acl_file",
    )),
    plugin(
        "global_plugin",
        Kind::Path,
        "As plugin, for all listeners even with per_listener_settings.",
    ),
    plugin(
        "plugin",
        Kind::Path,
        "Load a plugin: `mosquitto_password_file.so`, `mosquitto_acl_file.so` and \
         `mosquitto_persist_sqlite.so` stand for password_file, acl_file and persistence; any \
         other is refused.",
    )
    .alias(&["auth_plugin"]),
    plugin(
        "plugin_load",
        Kind::NamedPath,
        "Load a plugin under a name, for plugin_use.",
    ),
    plugin(
        "plugin_opt_*",
        TEXT,
        "An option of the plugin above: plugin_opt_password_file and plugin_opt_acl_file name \
         the files.",
    )
    .alias(&["auth_opt_*"]),
    plugin(
        "plugin_use",
        TEXT,
        "Use a plugin of plugin_load for the listener above.",
    ),
];
