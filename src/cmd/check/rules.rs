//! Who may come in and what he may do then: listeners that refuse everybody or nobody, rules that
//! never count, users without rules and rules without users.

use super::access::Tables;
use super::finding::{Findings, Weight};
use crate::auth::{Acl, Passwords};
use crate::conf::{Bind, Config, Listener};
use std::path::Path;

pub(super) fn check(config: &Config, tables: &Tables, findings: &mut Findings) {
    for listener in &config.listeners {
        check_entrance(listener, tables, findings);
    }
    for (path, acl) in &tables.acls {
        let users: Vec<&Listener> = (config.listeners.iter())
            .filter(|listener| listener.security.acl_file.as_ref() == Some(path))
            .collect();
        let name = path.display().to_string();
        for remark in acl.review() {
            let place = format!("{name}:{}", remark.line);
            findings.add(
                Weight::Warning,
                &place,
                "acl_file",
                remark.what,
                &remark.mend,
            );
        }
        check_users(&name, acl, &users, tables, findings);
        check_anonymous(&name, acl, &users, findings);
        check_mount_points(&name, acl, &users, findings);
    }
}

fn names_by_certificate(listener: &Listener) -> bool {
    (listener.tls.as_ref()).is_some_and(|tls| tls.identity.is_some())
}

/// Nobody, or everybody: both are worth a word.
fn check_entrance(listener: &Listener, tables: &Tables, findings: &mut Findings) {
    let security = &listener.security;
    let mut add = |weight, directive: &str, what: String, mend: &str| {
        let place = listener.place_of(directive);
        let place = place.as_deref().unwrap_or(&listener.origin);
        findings.add(weight, place, directive, what, mend);
    };
    let bind = &listener.bind;
    if security.allow_anonymous {
        let is_local = match bind {
            Bind::Unix(_) => true,
            Bind::Tcp { host, .. } => (host.as_deref()).is_some_and(|host| {
                host.starts_with("127.") || ["::1", "localhost"].contains(&host)
            }),
        };
        let has_certificates = (listener.tls.as_ref()).is_some_and(|tls| tls.require_certificate);
        if !is_local && !has_certificates {
            let rights = match &security.acl_file {
                None => ", and may do everything",
                Some(_) => "",
            };
            let what = format!("whoever reaches {bind} may come in{rights}");
            let mend = "allow_anonymous false, and password_file FILE";
            add(Weight::Warning, "allow_anonymous", what, mend);
        }
        return;
    }
    if names_by_certificate(listener) {
        return;
    }
    match (&security.password_file, tables.users_of(listener)) {
        (None, _) => {
            let what = format!(
                "{bind} refuses everybody: anonymous clients are not allowed, and no password_file \
                 names others"
            );
            let mend = "password_file FILE, or allow_anonymous true";
            add(Weight::Error, "listener", what, mend);
        }
        (Some(path), Some(0)) => {
            let path = path.display();
            let what = format!("{bind} refuses everybody: {path} has no usable line");
            add(
                Weight::Error,
                "password_file",
                what,
                &format!("midge passwd {path} USER"),
            );
        }
        _ => {}
    }
}

/// The users of the access list beside those who can sign in.
fn check_users(
    name: &str,
    acl: &Acl,
    listeners: &[&Listener],
    tables: &Tables,
    findings: &mut Findings,
) {
    // Names in certificates, and those of listeners that ask no password, are known to nobody.
    let is_open = |listener: &&&Listener| {
        names_by_certificate(listener) || listener.security.password_file.is_none()
    };
    let known: Vec<&Passwords> = (listeners.iter())
        .filter_map(|listener| tables.passwords_of(listener))
        .collect();
    if listeners.iter().any(|listener| is_open(&listener)) || known.is_empty() {
        return;
    }
    for (user, line) in acl.users() {
        if !known.iter().any(|passwords| passwords.knows(user)) {
            let what = format!("user '{user}' is in no password file: the lines below never count");
            let mend = match listeners[0].security.password_file.as_deref() {
                Some(file) => format!(
                    "midge passwd {} {user}, or remove the lines",
                    file.display()
                ),
                None => "remove the lines".to_string(),
            };
            let place = format!("{name}:{line}");
            findings.add(Weight::Warning, &place, "acl_file", what, &mend);
        }
    }
    for listener in listeners {
        let Some(passwords) = tables.passwords_of(listener) else {
            continue;
        };
        let file = listener.security.password_file.as_deref();
        let file = file.unwrap_or(Path::new("password_file")).display();
        for (user, line) in passwords.names() {
            if !acl.grants(Some(user)) {
                let lacking = match acl.has_rules(Some(user)) || acl.has_patterns() {
                    true => "granting line",
                    false => "line",
                };
                let what = format!(
                    "user '{user}' can sign in, but has no {lacking} in {name} and may do nothing"
                );
                let mend = format!("add to {name}: user {user}, and below it: topic read FILTER");
                let place = format!("{file}:{line}");
                findings.add(Weight::Warning, &place, "password_file", what, &mend);
            }
        }
    }
}

/// The lines for clients without a user name, where there are none of those.
fn check_anonymous(name: &str, acl: &Acl, listeners: &[&Listener], findings: &mut Findings) {
    let are_allowed = |l: &&Listener| l.security.allow_anonymous;
    match acl.first_anonymous_line() {
        Some(line) if !listeners.iter().any(are_allowed) => {
            let what = "the topic lines before any user line are for clients without a user name, \
                        who are not let in";
            let mend = "move them below a user line, or write pattern in place of topic";
            let place = format!("{name}:{line}");
            findings.add(Weight::Warning, &place, "acl_file", what, mend);
        }
        _ if !acl.grants(None) => {
            for listener in listeners.iter().copied().filter(|l| are_allowed(l)) {
                let place = listener.place_of("acl_file");
                let place = place.as_deref().unwrap_or(&listener.origin);
                let what = format!(
                    "clients without a user name may come in at {}, but nothing in {name} is \
                     granted to them",
                    listener.bind
                );
                let mend = "add at its top: topic read FILTER";
                findings.add(Weight::Warning, place, "acl_file", what, mend);
            }
        }
        _ => {}
    }
}

/// Filters are held against topics behind the mount point.
fn check_mount_points(name: &str, acl: &Acl, listeners: &[&Listener], findings: &mut Findings) {
    let mounts: Option<Vec<&str>> = (listeners.iter())
        .map(|listener| listener.mount_point.as_deref())
        .collect();
    let Some(mounts) = mounts else {
        return;
    };
    for (line, filter) in acl.filters() {
        let filter = String::from_utf8_lossy(filter);
        let may_match = |mount: &&str| {
            // Up to the first wildcard or name the two have to agree.
            let fixed = filter.split(['+', '#', '%']).next().unwrap_or_default();
            mount.starts_with(fixed) && fixed != filter || fixed.starts_with(mount)
        };
        if !mounts.iter().any(may_match) {
            let mount = mounts.first().copied().unwrap_or_default();
            let what = format!(
                "'{filter}' never matches: topics begin with mount_point '{mount}' on all \
                 listeners with this file"
            );
            let mend = format!("write {mount}{filter}");
            findings.add(
                Weight::Warning,
                &format!("{name}:{line}"),
                "acl_file",
                what,
                &mend,
            );
        }
    }
}
