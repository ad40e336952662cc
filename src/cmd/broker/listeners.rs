//! The listeners over the life of the process: a reload adds, moves and removes them.
//!
//! The broker knows a listener by its number, and so do connections and sessions; so a listener
//! keeps its number for good. One that is not in the configuration any more is closed: who came in
//! by it may stay, under the rules that held when it went. Should it come back, it is the same
//! again. One that listens elsewhere, or puts other text in front of its topics, is another one.
//!
//! Sockets are opened before anything changes, so that a reload that cannot open one changes
//! nothing. Only where an old socket is in the way is it closed first.

use super::setup;
use crate::conf::{Bind, Config, Listener};
use crate::host::listen::Listening;
use crate::host::poll::Doors;
use std::io;

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
    /// What could not be opened.
    pub(super) fn change(&self, config: &Config) -> Result<(Listeners, Doors), String> {
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
        let mut errors = Vec::new();
        for listener in &config.listeners {
            let known = next.all.iter().position(|(l, _)| is_same(l, listener));
            let number = known.unwrap_or(next.all.len());
            match next.all.get_mut(number) {
                Some((_, true)) => continue,
                Some((_, is_open)) => *is_open = true,
                None => next.all.push((listener.clone(), true)),
            }
            let number = number as u16;
            match setup::address(listener).open() {
                Ok(sockets) => doors
                    .opened
                    .extend(sockets.into_iter().map(|s| (number, s))),
                Err(e) if e.kind() == io::ErrorKind::AddrInUse && self.blocks(&doors, listener) => {
                    doors.moved.push((number, setup::address(listener)));
                }
                Err(error) => {
                    let what = format!("cannot listen on {}: {error}", listener.bind);
                    // A machine without IPv6 is nothing to complain about, a second broker is.
                    if config.local_only && error.kind() == io::ErrorKind::AddrInUse {
                        log::warn!("Warning: {what}");
                    }
                    errors.push(what);
                }
            }
        }
        // In local only mode one address of a port is enough.
        let is_enough = config.local_only && !doors.opened.is_empty();
        match errors.into_iter().next() {
            Some(error) if !is_enough => Err(error),
            _ => Ok((next, doors)),
        }
    }

    /// Whether one of those that are to be closed is in the way.
    fn blocks(&self, doors: &Doors, listener: &Listener) -> bool {
        let mut closed = doors.closed.iter();
        closed.any(|&number| is_in_the_way(&self.all[usize::from(number)].0, listener))
    }
}

/// What the log says of the sockets that are open now.
pub(super) fn announce(opened: &[(u16, Listening)]) {
    for (_, socket) in opened {
        log::info!("{}", socket.announcement());
    }
}
