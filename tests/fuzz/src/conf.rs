//! A configuration and a file that it may include: a `Config`, or an error that names file and
//! line.
//!
//! A NUL ends the first file; the second one is `conf.d/a.conf`.

use midge::conf::{Config, Source, Texts};
use std::path::Path;

pub fn run(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let (main, included) = (next(), next());
    let files = Texts::default()
        .with("midge.conf", main)
        .with("conf.d/a.conf", included)
        .with("conf.d/b.conf", "max_qos 1\n");
    let config = match Config::load(Some(Path::new("midge.conf")), &[], &files) {
        Ok(config) => config,
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.contains(char::is_control), "{shown:?}");
            assert!(shown.len() < 2000, "{shown}");
            let text = files.read(&error.file).expect("a file that there is");
            let lines = text.split(|&byte| byte == b'\n').count();
            assert!(error.line as usize <= lines, "{shown}");
            let place = format!("{}:", error.file.display());
            assert!(shown.starts_with(&place), "{shown}");
            return;
        }
    };
    assert!(!config.listeners.is_empty());
    assert_eq!(config.differences(&config), []);
    for message in &config.messages {
        assert!(!message.text.contains(char::is_control), "{message:?}");
    }
    let again = Config::load(Some(Path::new("midge.conf")), &[], &files);
    assert_eq!(again.expect("it was good").differences(&config), []);
}
