//! Any bytes give a configuration or an error with a file and a line, never a panic.

use super::*;
use crate::conf::table::{Directive, directives};

/// Loads and checks what must hold for every answer.
fn check(text: &[u8], seed: u64) {
    let files = Texts::default()
        .with(FILE, text)
        .with("conf.d/a.conf", text)
        .with("conf.d/b.conf", "max_qos 1\n");
    let result = load_from(&files);
    let show = || format!("seed {seed}: {:?}", String::from_utf8_lossy(text));
    let config = match result {
        Ok(config) => config,
        Err(error) => {
            let lines = text.split(|&byte| byte == b'\n').count();
            assert!(
                error.line >= 1 && error.line as usize <= lines,
                "{}",
                show()
            );
            let shown = error.to_string();
            let place = format!("{}:{}: ", error.file.display(), error.line);
            assert!(shown.starts_with(&place), "{shown}\n{}", show());
            assert!(!shown.contains(char::is_control), "{shown:?}\n{}", show());
            assert!(shown.len() < 1_000, "{shown}");
            return;
        }
    };
    assert!(!config.listeners.is_empty(), "{}", show());
    assert_eq!(config.differences(&config), [], "{}", show());
    for message in &config.messages {
        assert!(!message.text.contains(char::is_control), "{message:?}");
    }
}

/// Texts to begin with: the fixtures, and a line of each directive.
fn seeds() -> Vec<Vec<u8>> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/conf");
    let mut seeds: Vec<Vec<u8>> = std::fs::read_dir(directory)
        .expect("the fixtures are there")
        .map(|entry| std::fs::read(entry.expect("readable").path()).expect("readable"))
        .collect();
    let names = directives().flat_map(|directive| {
        let value = directive.default;
        directive
            .names()
            .map(move |name| format!("{name} {value}\n").into_bytes())
    });
    seeds.extend(names);
    seeds
}

#[test]
fn random_bytes() {
    for seed in 0..2_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let length = rng.usize(..200);
        let text: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
        check(&text, seed);
    }
}

#[test]
fn directives_with_random_values() {
    const WORDS: &[&str] = &[
        "0",
        "1",
        "-1",
        "65536",
        "9223372036854775808",
        "true",
        "false",
        "#",
        "x",
        "\t",
        "",
        "none",
        "file",
        "/p",
        "::1",
        "\u{feff}",
        "mosquitto_acl_file.so",
        "conf.d",
        "a/+/b",
        "14d",
        "3,4",
        "all",
        "mqtt",
        "ipv4",
        "\0",
        "\u{2028}",
        "\r",
    ];
    let names: Vec<&str> = directives().flat_map(Directive::names).collect();
    for seed in 0..4_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut text = String::new();
        for _ in 0..rng.usize(1..8) {
            let name = names[rng.usize(..names.len())];
            text += &name.replace('*', "acl_file");
            for _ in 0..rng.usize(..4) {
                text += [" ", "\t"][rng.usize(..2)];
                text += WORDS[rng.usize(..WORDS.len())];
            }
            text += ["\n", "\r\n", "\n\n"][rng.usize(..3)];
        }
        check(text.as_bytes(), seed);
    }
}

#[test]
fn good_files_with_a_few_bytes_changed() {
    let seeds = seeds();
    for seed in 0..6_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut text = seeds[rng.usize(..seeds.len())].clone();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..=text.len());
            match rng.u8(..5) {
                0 => text.insert(at, rng.u8(..)),
                1 if at < text.len() => drop(text.remove(at)),
                2 if at < text.len() => text[at] ^= 1 << rng.u8(..8),
                3 => text.truncate(at),
                _ => {
                    let more = &seeds[rng.usize(..seeds.len())];
                    text.splice(at..at, more.iter().copied());
                }
            }
        }
        check(&text, seed);
    }
}
