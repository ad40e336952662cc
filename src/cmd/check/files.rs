//! What the running broker writes: may it?

use super::finding::{Findings, Weight, main_file};
use crate::cmd::broker::folder_of;
use crate::conf::Config;
use crate::host::daemon::Identity;
use nix::unistd::{AccessFlags, access};
use std::path::{Path, PathBuf};

pub(super) fn check(config: &Config, was_root: bool, findings: &mut Findings) {
    let place = |directive: &str| {
        let place = config.place_of(directive);
        place.unwrap_or_else(|| main_file(config))
    };
    let user = Identity::current().name;
    if config.persistence.persistence {
        let folder = folder_of(config);
        let name = folder.display().to_string();
        let mend = format!("mkdir -p {name} && chown {user} {name}");
        let what = if folder.exists() && !folder.is_dir() {
            Some(format!("{name} is no folder"))
        } else if !folder.exists() && was_root {
            // A start makes it, and gives it to the user.
            None
        } else {
            let at = nearest(&folder);
            (!may_write(&at)).then(|| format!("user {user} may not write to {}", at.display()))
        };
        if let Some(what) = what {
            let place = place("persistence_location");
            findings.add(Weight::Error, &place, "persistence_location", what, &mend);
        }
    }
    if let (Some(path), false) = (&config.pid_file, was_root) {
        let folder = folder(path);
        if !may_write(&folder) && !may_write(path) {
            let what = format!("user {user} may not write to {}", folder.display());
            let mend = "name another file, or start as root";
            findings.add(Weight::Error, &place("pid_file"), "pid_file", what, mend);
        }
    }
    let logging = &config.logging;
    for (directive, path) in [
        ("log_dest", &logging.log_dest.file),
        ("capture_file", &logging.capture_file),
    ] {
        let Some(path) = path else { continue };
        let is_fine = match path.exists() && directive == "log_dest" {
            true => may_write(path),
            false => may_write(&folder(path)),
        };
        if !is_fine {
            let shown = path.display();
            let what = format!("user {user} cannot write {shown}: the broker goes on without it");
            let mend = match path.exists() && directive == "log_dest" {
                true => format!("chown {user} {shown}"),
                false => format!("let {user} write to {}", folder(path).display()),
            };
            findings.add(Weight::Warning, &place(directive), directive, what, &mend);
        }
    }
}

/// The folder that a file is in.
fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The path itself, or the first folder above it that is there.
fn nearest(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|at| at.exists());
    found.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn may_write(path: &Path) -> bool {
    let wanted = match path.is_dir() {
        true => AccessFlags::W_OK | AccessFlags::X_OK,
        false => AccessFlags::W_OK,
    };
    access(path, wanted).is_ok()
}
