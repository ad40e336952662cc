//! Password and ACL files: can they be read, and are their lines in order?

use super::finding::{Findings, Weight, split_hint};
use crate::auth::{Acl, Passwords, Problem};
use crate::conf::{Config, Listener};
use crate::host::access;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The files that could be read.
#[derive(Default)]
pub(super) struct Tables {
    pub passwords: BTreeMap<PathBuf, Passwords>,
    pub acls: BTreeMap<PathBuf, Acl>,
}

impl Tables {
    /// The password file of a listener, if it has a good one.
    pub(super) fn passwords_of(&self, listener: &Listener) -> Option<&Passwords> {
        self.passwords
            .get(listener.security.password_file.as_ref()?)
    }

    /// Its users.
    pub(super) fn users_of(&self, listener: &Listener) -> Option<usize> {
        self.passwords_of(listener).map(Passwords::users)
    }
}

/// The files as a start reads them.
pub(super) fn check(config: &Config, findings: &mut Findings) -> Tables {
    let mut tables = Tables::default();
    for listener in &config.listeners {
        let security = &listener.security;
        if let Some(path) = &security.password_file {
            if !tables.passwords.contains_key(path) {
                match access::passwords(path) {
                    Ok((table, problems)) => {
                        tell_problems("password_file", problems, findings);
                        check_mode(listener, path, findings);
                        tables.passwords.insert(path.clone(), table);
                    }
                    Err(what) => {
                        unreadable(
                            Weight::Error,
                            listener,
                            "password_file",
                            path,
                            &what,
                            findings,
                        );
                    }
                }
            }
        }
        if let Some(path) = &security.acl_file {
            if !tables.acls.contains_key(path) {
                match access::acl(path) {
                    Ok((table, problems)) => {
                        tell_problems("acl_file", problems, findings);
                        tables.acls.insert(path.clone(), table);
                    }
                    Err(what) => {
                        unreadable(Weight::Error, listener, "acl_file", path, &what, findings);
                    }
                }
            }
        }
    }
    tables
}

/// The files as a reload reads them, when root is left behind.
pub(super) fn check_reload(config: &Config, findings: &mut Findings) {
    for listener in &config.listeners {
        let security = &listener.security;
        let tls = listener.tls.as_ref();
        let files = [
            ("password_file", security.password_file.as_ref()),
            ("acl_file", security.acl_file.as_ref()),
            ("certfile", tls.map(|tls| &tls.certfile)),
            ("keyfile", tls.map(|tls| &tls.keyfile)),
            ("cafile", tls.and_then(|tls| tls.cafile.as_ref())),
            ("capath", tls.and_then(|tls| tls.capath.as_ref())),
            ("crlfile", tls.and_then(|tls| tls.crlfile.as_ref())),
        ];
        for (directive, path) in files {
            let Some(path) = path else { continue };
            // What is missing was told already.
            let is_denied = std::fs::File::open(path)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
            if let (true, Err(what)) = (is_denied, access::read(directive, path, u64::MAX)) {
                let what = format!("a start as root can read it, a reload cannot: {what}");
                unreadable(Weight::Warning, listener, directive, path, &what, findings);
            }
        }
    }
}

fn unreadable(
    weight: Weight,
    listener: &Listener,
    directive: &str,
    path: &Path,
    what: &str,
    findings: &mut Findings,
) {
    let place = listener.place_of(directive);
    let place = place.as_deref().unwrap_or(&listener.origin);
    // Errors of lines name file and line themselves.
    if !what.contains(&format!("{directive}: ")) {
        return findings.add_line(weight, what, "correct or remove that line");
    }
    let what = what.replacen(&format!("{directive}: "), "", 1);
    let (what, command) = split_hint(&what);
    let name = path.display();
    let mend = match (command, directive, path.exists()) {
        (Some(command), _, _) => command.to_string(),
        (None, "password_file", false) => format!("midge passwd -c {name} USER"),
        (None, _, false) => format!("write {name}, or remove the line"),
        _ => "name another file".to_string(),
    };
    findings.add(weight, place, directive, what, &mend);
}

/// The rights of everybody else in a file's mode.
const OTHERS: u32 = 0o007;

/// Hashes that everybody may read can be tried out at leisure.
fn check_mode(listener: &Listener, path: &Path, findings: &mut Findings) {
    let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    if mode & OTHERS == 0 {
        return;
    }
    let place = listener.place_of("password_file");
    let place = place.as_deref().unwrap_or(&listener.origin);
    let name = path.display();
    let what = format!("{name}: every user of this machine may look into it");
    let mend = format!("chmod o= {name}");
    findings.add(Weight::Warning, place, "password_file", what, &mend);
}

fn tell_problems(directive: &str, problems: Vec<Problem>, findings: &mut Findings) {
    for problem in problems {
        let place = format!("{}:{}", problem.file, problem.line);
        let mend = mend_of(&problem);
        findings.add(Weight::Warning, &place, directive, &problem.what, &mend);
    }
}

/// What mends an odd line of a password or ACL file.
fn mend_of(problem: &Problem) -> String {
    let what = problem.what.as_str();
    let file = &problem.file;
    for (sign, mend) in [
        (
            "contains neither %c nor %u",
            "put %c or %u into it, or say topic below each user",
        ),
        (
            "stand for names in pattern lines",
            "write pattern in place of topic",
        ),
        (
            "the filter may be missing",
            "write a filter behind the word",
        ),
        (
            "has no topic line",
            "add a line below it, such as: topic read FILTER",
        ),
        ("is not UTF-8", "save the file as UTF-8"),
        (
            "this line holds, that one does not",
            "remove the earlier line",
        ),
        (
            "more problems up to this line",
            "mend those above, and check again",
        ),
    ] {
        if what.contains(sign) {
            return mend.to_string();
        }
    }
    match what.contains("midge passwd -U") {
        true => format!("midge passwd -U {file}"),
        false => format!("midge passwd {file} USER writes such a line"),
    }
}
