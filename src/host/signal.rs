//! Signals as events of the poll loop.
//!
//! The handlers, which signal-hook installs, only write a byte into a socket pair that the loop
//! watches. A signal that comes twice before the loop looks is seen once. The handlers stay for the
//! rest of the process: a second SIGTERM while the broker is already stopping ends in that socket
//! and changes nothing.
//!
//! SIGPIPE needs no handler: the Rust runtime ignores it before `main`, and a test here holds that,
//! so writing to a socket that the peer has closed is an error value and not the end of the
//! process.

use std::io;

use mio::{Interest, Registry, Token, event::Source};
use nix::libc;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

/// What a signal asks the broker to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGINT, SIGTERM: send the wills, save, close, exit with 0.
    Stop,
    /// SIGHUP: read the configuration and the password and ACL files again, reopen the log file.
    Reload,
    /// SIGUSR1: save what is to survive now.
    Save,
    /// SIGUSR2: print the subscriptions.
    Dump,
    /// SIGRTMIN, or the number that it has with musl: reopen the log file and do nothing else.
    ReopenLogs,
}

/// SIGRTMIN in programs that are linked with musl. Who is told to send it to those does no harm to
/// others, which it would end.
const RTMIN_OF_MUSL: libc::c_int = 35;

impl Signal {
    fn from_number(number: libc::c_int) -> Option<Self> {
        match number {
            SIGINT | SIGTERM => Some(Self::Stop),
            SIGHUP => Some(Self::Reload),
            SIGUSR1 => Some(Self::Save),
            SIGUSR2 => Some(Self::Dump),
            // Not a constant: the C library keeps the first few real-time signals for itself.
            number if [libc::SIGRTMIN(), RTMIN_OF_MUSL].contains(&number) => Some(Self::ReopenLogs),
            _ => None,
        }
    }
}

/// The signals that have come in, as a source the loop can register for `READABLE`.
pub struct Signals(signal_hook_mio::v1_0::Signals);

impl Signals {
    /// Installs the handlers.
    ///
    /// From here on none of these signals ends the process by itself. An error means that the
    /// system gives no socket pair.
    pub fn new() -> io::Result<Self> {
        let reopen = [libc::SIGRTMIN(), RTMIN_OF_MUSL];
        let numbers = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2];
        signal_hook_mio::v1_0::Signals::new(numbers.into_iter().chain(reopen)).map(Self)
    }

    /// Gives what came in since the last call, each once, without waiting; the order means nothing.
    pub fn pending(&mut self) -> impl Iterator<Item = Signal> + use<> {
        self.0.pending().filter_map(Signal::from_number)
    }
}

impl Source for Signals {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.0.register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.0.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.0.deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;
    use crate::host::testing;

    /// Polls until each of `expected` has come, and fails if another or none comes.
    fn collect(poll: &mut Poll, signals: &mut Signals, expected: &[Signal]) {
        let mut missing: HashSet<_> = expected.iter().copied().collect();
        let mut events = Events::with_capacity(4);
        while !missing.is_empty() {
            match poll.poll(&mut events, Some(Duration::from_secs(60))) {
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::Interrupted),
                Ok(()) => assert!(!events.is_empty(), "{missing:?} did not come"),
            }
            for signal in signals.pending() {
                assert!(missing.remove(&signal), "{signal:?} came unasked");
            }
        }
    }

    fn raise(number: libc::c_int) {
        signal_hook::low_level::raise(number).expect("a process may signal itself");
    }

    /// All of them are sent to a whole process, so it must be one of our own.
    #[test]
    fn every_signal_reaches_the_loop_and_none_ends_the_process() {
        const NAME: &str =
            "host::signal::tests::every_signal_reaches_the_loop_and_none_ends_the_process";
        if testing::role().is_none() {
            return testing::expect_pass(NAME, "target");
        }
        let mut poll = Poll::new().expect("the system gives a poll");
        let mut signals = Signals::new().expect("and handlers");
        poll.registry()
            .register(&mut signals, Token(1), Interest::READABLE)
            .expect("and registers them");
        let each = [
            (SIGINT, Signal::Stop),
            (SIGTERM, Signal::Stop),
            (SIGTERM, Signal::Stop),
            (SIGHUP, Signal::Reload),
            (SIGUSR1, Signal::Save),
            (SIGUSR2, Signal::Dump),
            (libc::SIGRTMIN(), Signal::ReopenLogs),
            (RTMIN_OF_MUSL, Signal::ReopenLogs),
        ];
        for (number, signal) in each {
            raise(number);
            collect(&mut poll, &mut signals, &[signal]);
        }
        // Several at once are one turn's work.
        raise(SIGHUP);
        raise(SIGUSR1);
        raise(SIGUSR1);
        collect(&mut poll, &mut signals, &[Signal::Reload, Signal::Save]);
        assert_eq!(signals.pending().next(), None);
        // A source that is dropped leaves the handlers behind.
        drop(signals);
        raise(SIGTERM);
        testing::pass()
    }

    #[test]
    fn sigpipe_is_ignored() {
        let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
        let ignored = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))
            .expect("the kernel lists ignored signals");
        let mask = u64::from_str_radix(ignored.trim(), 16).expect("as a hexadecimal mask");
        assert_ne!(mask & (1 << (libc::SIGPIPE - 1)), 0);
    }

    #[test]
    fn other_numbers_mean_nothing() {
        assert_eq!(Signal::from_number(0), None);
        assert_eq!(Signal::from_number(libc::SIGCHLD), None);
        assert_eq!(Signal::from_number(libc::SIGRTMIN() + 2), None);
    }
}
