//! The listeners over the life of the process: a reload adds, moves and removes them.
//!
//! The broker knows a listener by its number, and so do connections and sessions; so a listener
//! keeps its number for good. One that is not in the configuration any more is closed: who came in
//! by it may stay, under the rules that held when it went. Should it come back, it is the same
//! again. One that listens elsewhere, or puts other text in front of its topics, is another one.
//!
//! Sockets are opened before anything changes, so that a reload that is refused one changes
//! nothing. Only where an old socket is in the way is it closed first.
//!
//! A start does what it can: what cannot be opened yet, for want of an address, an interface, a
//! name or a folder, is waited for. It fails when all that there is to open is refused, because
//! somebody else has it or for want of rights.

use super::setup;
use crate::conf::{Bind, Config, Listener};
use crate::host::listen::{PATIENCE, Passed, is_refusal};
use crate::host::poll::{Awaited, Doors, Wanted};
use std::io;
use std::net::SocketAddr;

/// All listeners that there ever were, by number.
#[derive(Clone, Default)]
pub(super) struct Listeners {
    all: Vec<(Listener, bool)>,
}

/// Whether clients of one find what they had with the other.
fn is_same(a: &Listener, b: &Listener) -> bool {
    (&a.bind, &a.bind_interface, a.socket_domain, &a.mount_point)
        == (&b.bind, &b.bind_interface, b.socket_domain, &b.mount_point)
}

/// Whether the socket of one may keep the other from being opened.
fn is_in_the_way(a: &Listener, b: &Listener) -> bool {
    match (&a.bind, &b.bind) {
        (Bind::Tcp { port: a, .. }, Bind::Tcp { port: b, .. }) => a == b,
        (Bind::Unix(a), Bind::Unix(b)) => a == b,
        _ => false,
    }
}

impl Listeners {
    /// All of them; `false` for those that are closed.
    pub(super) fn all(&self) -> &[(Listener, bool)] {
        &self.all
    }

    /// Those of a configuration as if all were open.
    pub(super) fn rehearsed(config: &Config) -> Listeners {
        let all = config.listeners.iter();
        Listeners {
            all: all.map(|listener| (listener.clone(), true)).collect(),
        }
    }

    /// What becomes of them with a new configuration, and the sockets that this takes.
    ///
    /// # Errors
    /// What was refused, at a reload or when nothing else is left.
    pub(super) fn change(
        &self,
        config: &Config,
        passed: &mut Passed,
    ) -> Result<(Listeners, Doors), String> {
        let mut next = self.clone();
        let mut doors = Doors::default();
        for (number, (listener, is_open)) in next.all.iter_mut().enumerate() {
            match config.listeners.iter().find(|l| is_same(l, listener)) {
                Some(changed) => *listener = changed.clone(),
                None if *is_open => {
                    *is_open = false;
                    doors.closed.push(number as u16);
                }
                None => {}
            }
        }
        let mut refused = Vec::new();
        for listener in &config.listeners {
            let known = next.all.iter().position(|(l, _)| is_same(l, listener));
            let number = known.unwrap_or(next.all.len());
            match next.all.get_mut(number) {
                Some((_, true)) => continue,
                Some((_, is_open)) => *is_open = true,
                None => next.all.push((listener.clone(), true)),
            }
            let address = setup::address(listener);
            let entry = |wanted| Awaited {
                listener: number as u16,
                name: listener.bind.to_string(),
                wanted,
            };
            match address.open(passed, Some(PATIENCE)) {
                Ok(mut opened) => {
                    // In local only mode one address of a port is enough: a machine without IPv6
                    // is nothing to complain about.
                    let is_needed = |a: &SocketAddr| a.is_ipv4() || !config.local_only;
                    opened.absent.retain(is_needed);
                    let sockets = opened.sockets.into_iter().map(|s| (number as u16, s));
                    doors.opened.extend(sockets);
                    let later = Wanted::afterwards(&address, opened.absent);
                    doors.awaited.extend(later.into_iter().map(entry));
                }
                Err(e) if e.kind() == io::ErrorKind::AddrInUse && self.blocks(&doors, listener) => {
                    doors.moved.push(entry(Wanted::Sockets(address)));
                }
                Err(error) if config.local_only && !is_refusal(&error) => {}
                Err(error) => {
                    let what = format!("cannot listen on {}: {error}", listener.bind);
                    if is_refusal(&error) {
                        refused.push(what.clone());
                    }
                    doors.troubles.push(what);
                    doors.awaited.push(entry(Wanted::Sockets(address)));
                }
            }
        }
        let is_reload = !self.all.is_empty();
        let is_hopeless = doors.opened.is_empty() && refused.len() == doors.troubles.len();
        match refused.into_iter().next() {
            Some(what) if is_reload || is_hopeless => Err(what),
            _ => Ok((next, doors)),
        }
    }

    /// Whether one of those that are to be closed is in the way.
    fn blocks(&self, doors: &Doors, listener: &Listener) -> bool {
        let mut closed = doors.closed.iter();
        closed.any(|&number| is_in_the_way(&self.all[usize::from(number)].0, listener))
    }
}

/// What the log says of the sockets that are open now, and of those that are not.
pub(super) fn announce(doors: &Doors) {
    for (_, socket) in &doors.opened {
        log::info!("{}", socket.announcement());
    }
    for what in &doors.troubles {
        log::warn!("Warning: {what}. It is tried again every second.");
    }
    for one in &doors.awaited {
        one.announce();
    }
}
