//! What a start and the running broker write: may they?

use super::finding::{Findings, Weight, main_file, split_hint};
use super::ports;
use crate::cmd::broker::{NAME_A_FOLDER, folder_of, has_no_folder};
use crate::conf::Config;
use crate::host::access::folder_above;
use crate::host::daemon::{Identity, explain_denied, missing_folder, quoted};
use crate::host::journal::{self, Folder, lock};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What is in the way, and what mends it.
type Obstacle = (String, String);

const ELSEWHERE: &str = "name another path";

/// What is written before root is left behind: the pid file, and the folders for what is stored and
/// for the log if there are none yet.
pub(super) fn check_start(config: &Config, findings: &mut Findings) {
    let user = Identity::current().name;
    if let Some(path) = &config.pid_file {
        let shown = path.display();
        let found = match missing_folder(path) {
            _ if path.is_symlink() => {
                Some(("it is a symbolic link".to_string(), format!("rm {shown}")))
            }
            Some(folders) => cannot_make_folder(folders, &user),
            None => cannot_write(path, &user),
        };
        if let Some((why, mend)) = found {
            let what = format!("user {user} cannot write {shown}: {why}");
            add(config, Weight::Error, "pid_file", &(what, mend), findings);
        }
    }
    let log = config.logging.log_dest.file.as_ref();
    if let Some((log, folders)) = log.and_then(|log| Some((log, missing_folder(log)?))) {
        if let Some(found) = cannot_make_folder(folders, &user) {
            add_loss(config, "log_dest", (log, &user), found, findings);
        }
    }
    if config.persistence.persistence {
        let folder = folder_of(config);
        let found = match nearest(&folder) {
            Ok(at) if at == folder => None,
            Ok(at) => no_room(&at, &user).map(|(what, is_denied)| match is_denied {
                true => (what, give(&folder, &user)),
                false => (what, ELSEWHERE.to_string()),
            }),
            Err(error) => Some(explained(&folder, &error)),
        };
        if let Some(found) = found {
            add_store(config, found, findings);
        }
    }
}

/// What is in the way of storing anything.
fn add_store(config: &Config, (what, mend): Obstacle, findings: &mut Findings) {
    let mend = match has_no_folder(config) {
        true => NAME_A_FOLDER.to_string(),
        false => mend,
    };
    let directive = "persistence_location";
    add(config, Weight::Error, directive, &(what, mend), findings);
}

/// What the running broker writes, as the user whom it has become.
pub(super) fn check(config: &Config, findings: &mut Findings) {
    let user = Identity::current().name;
    if config.persistence.persistence {
        if let Some(found) = cannot_keep(config, &user) {
            add_store(config, found, findings);
        }
    }
    let logging = &config.logging;
    for (directive, path) in [
        ("log_dest", &logging.log_dest.file),
        ("capture_file", &logging.capture_file),
    ] {
        let Some(path) = path else { continue };
        let is_capture = directive == "capture_file";
        let found = match is_capture && path.is_file() {
            // It is put aside.
            true => cannot_make(path, &user),
            // The start has made it.
            false if !is_capture && missing_folder(path).is_some() => None,
            false => cannot_write(path, &user),
        };
        if let Some(found) = found {
            add_loss(config, directive, (path, &user), found, findings);
        }
    }
}

/// A file without which the broker goes on.
fn add_loss(
    config: &Config,
    directive: &str,
    (path, user): (&Path, &str),
    (why, mend): Obstacle,
    findings: &mut Findings,
) {
    let shown = path.display();
    let what = format!("user {user} cannot write {shown}, so the broker goes on without it: {why}");
    add(config, Weight::Warning, directive, &(what, mend), findings);
}

fn add(
    config: &Config,
    weight: Weight,
    directive: &str,
    (what, mend): &Obstacle,
    findings: &mut Findings,
) {
    let place = config.place_of(directive);
    let place = place.unwrap_or_else(|| main_file(config));
    findings.add(weight, &place, directive, what, mend);
}

/// Why nothing can be stored in the folder, if it is there: a start would have made it.
fn cannot_keep(config: &Config, user: &str) -> Option<Obstacle> {
    let folder = folder_of(config);
    let name = folder.display();
    match nearest(&folder) {
        Ok(at) if at != folder => return None,
        Ok(_) if !folder.is_dir() => {
            return Some((format!("{name} is no folder"), ELSEWHERE.to_string()));
        }
        Ok(_) => {}
        Err(error) => return Some(explained(&folder, &error)),
    }
    if let Some((what, _)) = no_room(&folder, user) {
        return Some((what, give(&folder, user)));
    }
    let looked = match lock::holder(&folder) {
        Ok(None) => Folder::open(&folder).and_then(|mut disk| journal::look(&mut disk)),
        // What the running broker has open may come and go.
        Ok(Some(pid)) if ports::is_running(config, &pid) => return None,
        Ok(Some(pid)) => {
            let what = format!("another broker (process {pid}) keeps its messages in {name}");
            return Some((what, format!("kill {pid}, or name another folder")));
        }
        Err(error) => Err(error),
    };
    let error = looked.err()?;
    let mend = match error.kind() {
        ErrorKind::PermissionDenied => format!("chown -R {user} {}", quoted(&folder)),
        _ => ELSEWHERE.to_string(),
    };
    Some((format!("user {user} cannot use {name}: {error}"), mend))
}

/// Why we could not write a file, or make it.
fn cannot_write(path: &Path, user: &str) -> Option<Obstacle> {
    match fs::metadata(path) {
        Ok(is) if is.is_dir() => Some((
            "it is a directory".to_string(),
            "name a file in it".to_string(),
        )),
        Ok(_) => {
            let errno = access(path, AccessFlags::W_OK).err()?;
            let mend = match errno {
                Errno::EACCES => format!("chown {user} {}", quoted(path)),
                _ => ELSEWHERE.to_string(),
            };
            Some((errno.desc().to_string(), mend))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => cannot_make(path, user),
        Err(error) => Some(explained(path, &error)),
    }
}

/// Why we could not make a file.
fn cannot_make(path: &Path, user: &str) -> Option<Obstacle> {
    let folder = folder_above(path);
    let name = folder.display();
    if !folder.exists() && folder.is_symlink() {
        let what = format!("{name} is a symbolic link to nothing");
        return Some((
            what,
            format!("mkdir -p \"$(readlink -m {})\"", quoted(folder)),
        ));
    }
    if !folder.exists() {
        return Some((format!("there is no folder {name}"), give(folder, user)));
    }
    let (why, is_denied) = no_room(folder, user)?;
    let mend = match is_denied {
        true => format!("let {user} write to {name}, or {ELSEWHERE}"),
        false => ELSEWHERE.to_string(),
    };
    Some((why, mend))
}

/// Why we could not make a folder in the one above it.
fn cannot_make_folder((folder, above): (&Path, &Path), user: &str) -> Option<Obstacle> {
    let (why, is_denied) = no_room(above, user)?;
    let mend = match is_denied {
        true => give(folder, user),
        false => ELSEWHERE.to_string(),
    };
    Some((why, mend))
}

/// Why we could make nothing in a folder, and whether that is for want of rights.
fn no_room(folder: &Path, user: &str) -> Option<(String, bool)> {
    let name = folder.display();
    let real = fs::canonicalize(folder).unwrap_or_default();
    if ["/proc", "/sys"].iter().any(|top| real.starts_with(top)) {
        // Their rights promise root more than there is.
        return Some((
            format!("the kernel lets nobody make files in {name}"),
            false,
        ));
    }
    match access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => None,
        Err(Errno::EACCES) => Some((format!("user {user} may not write to {name}"), true)),
        Err(errno) => Some((format!("{name}: {}", errno.desc()), false)),
    }
}

/// What makes a folder and gives it to a user.
pub(super) fn give(folder: &Path, user: &str) -> String {
    let name = quoted(folder);
    match user {
        "root" => format!("mkdir -p {name}"),
        _ => format!("mkdir -p {name} && chown {user} {name}"),
    }
}

fn explained(path: &Path, error: &io::Error) -> Obstacle {
    let what = explain_denied(path, error);
    let (what, command) = split_hint(&what);
    (what.to_string(), command.unwrap_or(ELSEWHERE).to_string())
}

/// The path itself, or the first folder above it that is there. What cannot be looked at is no
/// reason to look further up: it would be in the way.
fn nearest(path: &Path) -> io::Result<PathBuf> {
    for at in path.ancestors().filter(|at| !at.as_os_str().is_empty()) {
        match fs::metadata(at) {
            Ok(_) => return Ok(at.to_path_buf()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(PathBuf::from("."))
}
