//! Files as they are found in the field, under `tests/data/conf`: what each means stands beside it.

use std::fmt::Write;
use std::path::Path;

use super::*;

/// The error, or what the configuration says about its listeners, files and log.
fn summary(result: Result<Config, Error>) -> String {
    let config = match result {
        Ok(config) => config,
        Err(error) => return format!("error {error}\n"),
    };
    let mut out = String::new();
    for listener in &config.listeners {
        let security = &listener.security;
        let _ = writeln!(
            out,
            "listener {} anonymous={} passwords={:?} acl={:?} prefix={} connections={:?} qos={}",
            listener.bind,
            security.allow_anonymous,
            security.password_file.as_deref().unwrap_or(Path::new("")),
            security.acl_file.as_deref().unwrap_or(Path::new("")),
            security.auto_id_prefix,
            listener.max_connections,
            listener.max_qos,
        );
    }
    let _ = writeln!(out, "user {} pid {:?}", config.user, config.pid_file);
    let _ = writeln!(out, "{:?}", config.persistence);
    let _ = writeln!(out, "{:?}", config.logging);
    let _ = writeln!(out, "{:?}", config.limits);
    for message in &config.messages {
        let _ = writeln!(out, "{:?} {}", message.level, message.text);
    }
    out
}

#[track_caller]
fn check(name: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conf");
    let read = |ending: &str| {
        let path = directory.join(format!("{name}.{ending}"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let main = format!("/etc/{name}.conf");
    let files = Texts::default()
        .with(&main, read("conf"))
        .with("/etc/mosquitto/conf.d/README", "Put *.conf files here.\n")
        .with(
            "/etc/mosquitto/conf.d/local.conf",
            "listener 1883\nallow_anonymous true\n",
        );
    let seen = summary(Config::load(Some(main.as_ref()), &[], &files));
    let expected = String::from_utf8(read("expected")).expect("UTF-8");
    assert!(
        seen == expected,
        "{name} means\n{seen}\nexpected was\n{expected}"
    );
}

#[test]
fn debian() {
    check("debian");
}

#[test]
fn the_walk_through() {
    check("walkthrough");
}

#[test]
fn openwrt() {
    check("openwrt");
}

#[test]
fn home_assistant_with_its_plugin() {
    check("homeassistant");
}

#[test]
fn home_assistant_with_files() {
    check("homeassistant-files");
}

#[test]
fn docker() {
    check("docker");
}

#[test]
fn zigbee2mqtt_with_websockets() {
    check("zigbee2mqtt");
}

#[test]
fn from_a_windows_editor() {
    check("windows");
}

#[test]
fn a_bridge_to_the_cloud() {
    check("thin-edge");
}

#[test]
fn settings_per_listener() {
    check("per-listener");
}

#[test]
fn from_mosquitto_1_4() {
    check("old-style");
}

#[test]
fn every_fixture_is_tested() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conf");
    let source = include_str!("fixtures.rs");
    for entry in std::fs::read_dir(directory).expect("the fixtures are there") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|ending| ending != "conf") {
            continue;
        }
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("a plain name");
        assert!(source.contains(&format!("check(\"{name}\")")), "{name}");
    }
}
