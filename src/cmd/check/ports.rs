//! Can the listeners be opened, and who is in the way?

use super::files::give;
use super::finding::{Findings, Weight};
use crate::cmd::broker::{setup, user_settings};
use crate::conf::{Bind, Config, Listener};
use crate::host::access::folder_above;
use crate::host::daemon::{Identity, quoted};
use crate::host::listen::interface_number;
use crate::host::probe::{Holder, Probe, holder_of, process};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let mut probe = Probe::default();
    let mut opened = 0;
    let mut obstacles = Vec::new();
    for listener in &config.listeners {
        let errors = probe.try_address(&setup::address(listener));
        opened += usize::from(errors.is_empty());
        obstacles.extend(errors.into_iter().map(|error| (listener, error)));
    }
    for (listener, error) in obstacles {
        // In local only mode one of the two addresses is enough; there may be no IPv6.
        let is_spare = config.local_only && opened > 0;
        if !is_spare || error.kind() == io::ErrorKind::AddrInUse {
            tell(config, listener, &error, is_spare, findings);
        }
    }
}

fn tell(
    config: &Config,
    listener: &Listener,
    error: &io::Error,
    is_spare: bool,
    findings: &mut Findings,
) {
    let bind = &listener.bind;
    if let Some(name) = missing_interface(listener) {
        let place = listener.place_of("bind_interface");
        let place = place.as_deref().unwrap_or(&listener.origin);
        let what = format!("{bind}: there is no interface {name} yet: it is waited for");
        let mend = "ip link shows those there are";
        return findings.add(Weight::Warning, place, "bind_interface", what, mend);
    }
    let (weight, what, mend) = match (error.kind(), bind) {
        (io::ErrorKind::AddrInUse, Bind::Tcp { port, .. }) => in_use(config, *port),
        (io::ErrorKind::AddrInUse, Bind::Unix(_)) => (
            Weight::Error,
            "another process answers there".to_string(),
            "stop it, or name another path".to_string(),
        ),
        (io::ErrorKind::AddrNotAvailable, _) => (
            Weight::Warning,
            "no interface has that address yet: it is waited for".to_string(),
            "ip address shows those there are; without an address it listens on all".to_string(),
        ),
        (io::ErrorKind::PermissionDenied, Bind::Tcp { .. }) => (
            Weight::Error,
            format!("not allowed: {error}"),
            "start as root, or choose a port from 1024 up".to_string(),
        ),
        (io::ErrorKind::PermissionDenied, Bind::Unix(path)) => (
            Weight::Error,
            "no socket can be made in that folder".to_string(),
            match path.parent() {
                Some(folder) => format!("let its user write to {}", folder.display()),
                None => "name another path".to_string(),
            },
        ),
        (io::ErrorKind::NotFound, Bind::Unix(path)) => (
            Weight::Warning,
            "its folder is not there yet: it is waited for".to_string(),
            give(folder_above(path), &future_user(config)),
        ),
        (io::ErrorKind::AlreadyExists, Bind::Unix(path)) => (
            Weight::Error,
            error.to_string(),
            format!("mv {0} {0}.old", quoted(path)),
        ),
        (_, Bind::Unix(_)) => (
            Weight::Warning,
            format!("{error}: it is tried again every second"),
            "name another path".to_string(),
        ),
        _ => (
            Weight::Warning,
            format!("{error}: it is tried again every second"),
            "name an address of this machine, or leave it out to listen on all".to_string(),
        ),
    };
    let what = format!("{bind}: {what}");
    let weight = match is_spare {
        true => weight.max(Weight::Warning),
        false => weight,
    };
    findings.add(weight, &listener.origin, "listener", what, &mend);
}

fn missing_interface(listener: &Listener) -> Option<&str> {
    let name = listener.bind_interface.as_deref()?;
    interface_number(name).is_none().then_some(name)
}

fn future_user(config: &Config) -> String {
    match Identity::future(&user_settings(config)) {
        Ok(future) => future.name,
        Err(_) => config.user.clone(),
    }
}

/// A port that is taken: by this very broker, which a reload leaves alone, or by somebody else.
fn in_use(config: &Config, port: u16) -> (Weight, String, String) {
    let free = format!("another port, such as: listener {}", other_port(port));
    let Some(holder) = holder_of(port) else {
        let what = "the port is in use by a process of another user".to_string();
        return (Weight::Error, what, free);
    };
    let Holder { pid, name, .. } = &holder;
    if *pid == std::process::id() {
        let what = "another listener of this configuration has the port already".to_string();
        return (Weight::Error, what, free);
    }
    // Mosquitto may run with the same file, and we may be called by its name.
    if *name == process(std::process::id()).name && is_own(config, &holder) {
        let what = format!("the port is that of the running broker ({name}, process {pid})");
        let mend = format!("nothing, if that one is to be reloaded (kill -HUP {pid})");
        return (Weight::Note, what, mend);
    }
    let what = format!("the port is in use by process {pid} ({name})");
    let mend = match name.as_str() {
        "mosquitto" => format!("systemctl disable --now mosquitto, or {free}"),
        _ => format!("kill {pid}, or {free}"),
    };
    (Weight::Error, what, mend)
}

fn other_port(port: u16) -> u16 {
    port.checked_add(1).unwrap_or(1883)
}

/// Whether this is the number of a broker that runs with the same configuration file.
pub(super) fn is_running(config: &Config, pid: &str) -> bool {
    pid.parse().is_ok_and(|pid| is_own(config, &process(pid)))
}

/// Whether a broker runs with the same configuration file, or with the same pid file.
fn is_own(config: &Config, holder: &Holder) -> bool {
    let folder = PathBuf::from(format!("/proc/{}/cwd", holder.pid));
    let has_file = config.files.first().is_some_and(|file| {
        let real = fs::canonicalize(file).ok();
        let is_file = |argument: &str| {
            let there = fs::canonicalize(folder.join(argument)).ok();
            Path::new(argument) == file || there.is_some() && there == real
        };
        holder.arguments.split(' ').any(is_file)
    });
    let pid_file = config.pid_file.as_ref();
    let has_pid = pid_file.and_then(|path| fs::read_to_string(path).ok());
    has_file || has_pid.is_some_and(|text| text.trim() == holder.pid.to_string())
}
