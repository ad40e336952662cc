//! Certificates, keys and revocation lists: do they fit, and how long do they hold?

use super::finding::{Findings, Weight, split_hint};
use crate::conf::{Config, Listener, Tls};
use crate::host::tls::{self, Acceptor, Dated};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY_S: u64 = 86_400;
/// Days before the end of a certificate from which on it is told.
const SOON: u64 = 30;
/// A clock that says less was never set: 2024.
const CLOCK_MIN_S: u64 = 1_704_067_200;

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.unwrap_or_default().as_secs();
    for listener in &config.listeners {
        let Some(tls) = &listener.tls else { continue };
        if let Err(what) = Acceptor::new(tls) {
            tell(listener, &what, findings);
            continue;
        }
        check_key(listener, tls, findings);
        if now_s < CLOCK_MIN_S {
            let what = "the clock was never set: dates of certificates cannot be judged";
            let mend = "date -s, or a time server";
            findings.add(Weight::Note, &listener.origin, "certfile", what, mend);
            continue;
        }
        check_dates(listener, tls, now_s, findings);
    }
}

fn place(listener: &Listener, directive: &str) -> String {
    let place = listener.place_of(directive);
    place.unwrap_or_else(|| listener.origin.clone())
}

/// What is wrong with the files: it begins with the directive.
fn tell(listener: &Listener, what: &str, findings: &mut Findings) {
    let (directive, what) = what.split_once(": ").unwrap_or(("certfile", what));
    let (what, command) = split_hint(what);
    let mend = match (command, what.split_once(": openssl ")) {
        (Some(command), _) => command.to_string(),
        (None, Some((what, command))) => {
            let place = place(listener, directive);
            let mend = format!("openssl {command}");
            return findings.add(Weight::Error, &place, directive, what, &mend);
        }
        (None, None) if directive.starts_with("cipher") => {
            "name other ciphers, or none".to_string()
        }
        (None, None) => "name the right file, in PEM".to_string(),
    };
    let place = place(listener, directive);
    findings.add(Weight::Error, &place, directive, what, &mend);
}

fn check_key(listener: &Listener, tls: &Tls, findings: &mut Findings) {
    let mode = std::fs::metadata(&tls.keyfile).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o007 != 0 {
        let name = tls.keyfile.display();
        let what = format!("{name}: every user of this machine may use the key");
        let mend = format!("chmod o= {name}");
        findings.add(
            Weight::Warning,
            &place(listener, "keyfile"),
            "keyfile",
            what,
            &mend,
        );
    }
}

fn check_dates(listener: &Listener, tls: &Tls, now_s: u64, findings: &mut Findings) {
    let mut look = |directive: &str, path: &Path, is_own: bool| {
        let Ok(found) = tls::dates(directive, path) else {
            return;
        };
        // Of the listener's own chain the first is the one that clients see expire.
        let of_all = found.iter().enumerate();
        let dead = of_all
            .clone()
            .filter(|(_, dated)| !holds(dated, now_s))
            .count();
        for (at, dated) in of_all {
            let Some((what, is_over)) = judge(dated, now_s) else {
                continue;
            };
            let refuses_all = match is_own {
                true => at == 0,
                // Authorities: one that is good lets its clients in.
                false => directive == "cafile" && dead == found.len() && !tls.any_date,
            };
            let weight = match is_over && refuses_all && tls_matters(directive, tls) {
                true => Weight::Error,
                false => Weight::Warning,
            };
            let name = path.display();
            let whose = match dated.subject.as_str() {
                "" => String::new(),
                subject => format!(" ({subject})"),
            };
            let what = format!("{name}{whose} {what}");
            let mend = match directive {
                "crlfile" => "have a new list made by the authority",
                _ => "have a new certificate made, put it there, and reload",
            };
            findings.add(weight, &place(listener, directive), directive, what, mend);
        }
    };
    look("certfile", &tls.certfile, true);
    if let Some(cafile) = &tls.cafile {
        look("cafile", cafile, false);
    }
    if let Some(crlfile) = &tls.crlfile {
        look("crlfile", crlfile, false);
    }
}

/// Whether nobody gets in with what this directive names out of date.
fn tls_matters(directive: &str, tls: &Tls) -> bool {
    directive == "certfile" || tls.require_certificate
}

fn holds(dated: &Dated, now_s: u64) -> bool {
    dated.from_s <= now_s && dated.until_s.is_none_or(|until_s| now_s <= until_s)
}

/// What is to be said of its time, and whether it does not hold now.
fn judge(dated: &Dated, now_s: u64) -> Option<(String, bool)> {
    if dated.from_s > now_s {
        let days = (dated.from_s - now_s).div_ceil(DAY_S);
        return Some((
            format!("holds in {days} days only: is the clock right?"),
            true,
        ));
    }
    let until_s = dated.until_s?;
    if until_s < now_s {
        let days = (now_s - until_s) / DAY_S;
        return Some((format!("expired {days} days ago"), true));
    }
    let days = (until_s - now_s) / DAY_S;
    (until_s - now_s <= SOON * DAY_S).then(|| (format!("expires in {days} days"), false))
}
