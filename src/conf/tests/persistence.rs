//! What is kept on disk: the directives of Mosquitto and Midge's own.

use std::path::{Path, PathBuf};

use super::*;
use crate::conf::{Persistence, Reload, Sync, WhenFull, stores};

fn persistence(text: &str) -> Persistence {
    good(text).persistence
}

#[test]
fn defaults() {
    let expected = Persistence {
        persistence: false,
        persistence_location: None,
        persistence_file: "mosquitto.db".to_owned(),
        persistence_sync: Sync::Always,
        persistence_max_bytes: 1_000_000_000,
        persistence_full: WhenFull::Refuse,
        memory_cache: 8_000_000,
    };
    assert_eq!(Config::default().persistence, expected);
}

#[test]
fn mosquittos_files_turn_it_on_without_a_word() {
    for name in ["persistence", "retained_persistence"] {
        let config = good(&format!(
            "listener 1\n{name} true\npersistence_location /var/lib/mosquitto/\n\
             persistence_file other.db\npersistent_client_expiration 14d"
        ));
        assert!(config.persistence.persistence);
        assert_eq!(config.persistence.persistence_file, "other.db");
        let fourteen_days = Some(14 * 86_400);
        assert_eq!(
            config.limits.persistent_client_expiration, fourteen_days,
            "{name}"
        );
        assert_eq!(warnings(&config), [""; 0]);
        assert_eq!(notices(&config), [""; 0]);
    }
}

#[test]
fn autosave_has_nothing_left_to_do() {
    let config = good("listener 1\nautosave_interval 60\nautosave_on_changes true");
    let words = "has no effect: every change is stored at once; \
                 persistence_sync says what a power cut may cost";
    assert_eq!(
        notices(&config),
        [
            format!("m.conf:2: autosave_interval: {words}"),
            format!("m.conf:3: autosave_on_changes: {words}"),
        ]
    );
    let usual = good("listener 1\nautosave_interval 1800\nautosave_on_changes false");
    assert_eq!(notices(&usual), [""; 0], "a default written out is no news");
    assert_eq!(config.persistence, usual.persistence);
    assert_eq!(
        bad("autosave_interval often"),
        "m.conf:1: autosave_interval: 'often' does not fit: expected a number from -1 up"
    );
}

#[test]
fn when_the_disk_is_synced() {
    for (text, sync) in [
        ("always", Sync::Always),
        ("never", Sync::Never),
        ("1", Sync::Every(1)),
        ("0250 # milliseconds", Sync::Every(250)),
        ("60000", Sync::Every(60_000)),
    ] {
        let read = persistence(&format!("persistence_sync {text}"));
        assert_eq!(read.persistence_sync, sync, "{text}");
    }
    let expected = "expected always, never or a number of milliseconds from 1 to 60000";
    for word in [
        "0",
        "-1",
        "60001",
        "250ms",
        "1.5",
        "Always",
        "sometimes",
        "99999999999999999999",
    ] {
        assert_eq!(
            bad(format!("\npersistence_sync {word}")),
            format!("m.conf:2: persistence_sync: '{word}' does not fit: {expected}")
        );
    }
    assert_eq!(
        bad("persistence_sync"),
        format!("m.conf:1: persistence_sync: no value: {expected}")
    );
}

#[test]
fn how_much_disk_and_what_when_it_is_full() {
    let read = persistence("persistence_max_bytes 16777216\npersistence_full drop_oldest");
    assert_eq!(read.persistence_max_bytes, 16 << 20);
    assert_eq!(read.persistence_full, WhenFull::DropOldest);
    let read = persistence("persistence_max_bytes 9223372036854775807\npersistence_full refuse");
    assert_eq!(read.persistence_max_bytes, i64::MAX as u64);
    assert_eq!(read.persistence_full, WhenFull::Refuse);
    for few in ["0", "-1", "16777215"] {
        assert_eq!(
            bad(format!("persistence_max_bytes {few}")),
            format!(
                "m.conf:1: persistence_max_bytes: '{few}' does not fit: \
                 expected a number from 16777216 up"
            )
        );
    }
    assert_eq!(
        bad("persistence_full drop_newest"),
        "m.conf:1: persistence_full: 'drop_newest' does not fit: expected refuse or drop_oldest"
    );
}

#[test]
fn how_much_memory_for_bodies() {
    assert_eq!(persistence("memory_cache 0").memory_cache, 0);
    assert_eq!(persistence("memory_cache 123").memory_cache, 123);
    let most = persistence("memory_cache 9223372036854775807").memory_cache;
    assert_eq!(
        most,
        usize::try_from(i64::MAX).unwrap_or(usize::MAX),
        "what does not fit the machine is as much as it has"
    );
    assert_eq!(
        bad("memory_cache 8MB"),
        "m.conf:1: memory_cache: '8MB' does not fit: expected a number, 0 or more"
    );
}

#[test]
fn what_a_reload_takes_over() {
    let old = good("listener 1");
    let new = good(
        "listener 1\npersistence true\npersistence_location /data\npersistence_file x.db\n\
         persistence_sync 100\npersistence_max_bytes 20000000\npersistence_full drop_oldest\n\
         memory_cache 1\nautosave_interval 5",
    );
    let differences = old.differences(&new);
    let seen: Vec<(&str, Reload)> = differences
        .iter()
        .map(|difference| (difference.directive, difference.reload))
        .collect();
    assert_eq!(
        seen,
        [
            ("memory_cache", Reload::Live),
            ("persistence", Reload::Restart),
            ("persistence_file", Reload::Restart),
            ("persistence_full", Reload::Live),
            ("persistence_location", Reload::Restart),
            ("persistence_max_bytes", Reload::Live),
            ("persistence_sync", Reload::Live),
        ]
    );
    let same = good("listener 1\npersistence_sync always\nmemory_cache 8000000");
    assert_eq!(old.differences(&same), []);
}

#[test]
fn the_folder_is_the_environments_or_else_the_one_configured() {
    let folder = |text: &str, env: Option<&str>| stores(&good(text), env.map(Into::into)).journal;
    let with_slash = folder("persistence_location /var/lib/mosquitto/", None);
    let without = folder("persistence_location /var/lib/mosquitto", Some(""));
    assert_eq!(with_slash, without);
    let location = "persistence_location /var/lib/mosquitto";
    assert_eq!(folder(location, Some("/env")), PathBuf::from("/env"));
    assert_eq!(
        with_slash.join("mosquitto.db"),
        Path::new("/var/lib/mosquitto/mosquitto.db")
    );
    assert_eq!(without.join("a"), with_slash.join("a"));
    assert_eq!(folder("listener 1", Some("/env")), PathBuf::from("/env"));
    assert_eq!(folder("listener 1", Some("")), PathBuf::from("."));
    assert_eq!(folder("listener 1", None), PathBuf::from("."));
    assert_eq!(
        folder("persistence_location data", None),
        PathBuf::from("data")
    );
}

#[test]
fn brokers_that_name_their_database_may_share_a_location() {
    let of = |name: &str| {
        let text = format!("persistence_location /data\npersistence_file {name}");
        let stores = stores(&good(text.as_str()), None);
        (stores.journal, stores.database)
    };
    assert_eq!(
        of("mosquitto.db"),
        ("/data".into(), "/data/mosquitto.db".into())
    );
    assert_eq!(
        of("inside.db"),
        ("/data/inside.db.journal".into(), "/data/inside.db".into())
    );
}
