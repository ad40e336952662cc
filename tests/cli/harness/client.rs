//! Clients under guard, and the constellations in which everything is tried.

use std::env;
use std::ffi::OsString;
use std::process::Command;

use nix::sys::signal::Signal;

use super::frame::From;
use super::tools::{self, Tool};
use super::{Broker, Ended, Kind, Process, Proxy};
use crate::wait;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Clients {
    /// The clients under test: `midge pub`, `midge sub`, `midge rr`.
    Midge,
    /// Debian's mosquitto-clients.
    Debian,
}

impl Clients {
    pub fn is_peer(self) -> bool {
        self == Self::Debian || env::var_os("MIDGE_TEST_CLIENTS").is_some()
    }

    /// `pub`, `sub`, `rr` or `passwd`.
    pub fn command(self, name: &str) -> Command {
        let mut command = match (self, env::var_os("MIDGE_TEST_CLIENTS")) {
            (Self::Midge, None) => {
                let mut command = Command::new(tools::midge());
                command.arg(name);
                command
            }
            _ if name == "passwd" => {
                tools::unpacked(&tools::peers().join("mosquitto/usr/bin/mosquitto_passwd"))
            }
            (Self::Midge, Some(prefix)) => prefixed(prefix, name),
            (Self::Debian, _) => prefixed(Tool::Clients.path().into_os_string(), name),
        };
        // Nobody's own configuration, and one time zone that is not UTC.
        command
            .env_remove("XDG_CONFIG_HOME")
            .env("HOME", "/nonexistent")
            .env("TZ", "Europe/Paris")
            .env("LC_ALL", "C.UTF-8");
        command
    }
}

/// True when a peer's clients stand in for midge's and differ here: the test is skipped.
pub fn peer_clients(why: &str) -> bool {
    tools::excused(Clients::Midge.is_peer(), why)
}

fn prefixed(mut prefix: OsString, name: &str) -> Command {
    prefix.push(name);
    Command::new(prefix)
}

/// Whose clients against whose broker.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub clients: Clients,
    pub broker: Kind,
}

impl Pair {
    pub const DEBIAN_ON_MIDGE: Self = Self {
        clients: Clients::Debian,
        broker: Kind::Midge,
    };
    pub const MIDGE_ON_MIDGE: Self = Self {
        clients: Clients::Midge,
        broker: Kind::Midge,
    };
    pub const MIDGE_ON_DEBIAN: Self = Self {
        clients: Clients::Midge,
        broker: Kind::Debian,
    };

    pub fn ready(self) -> bool {
        (self.clients == Clients::Midge || Tool::Clients.ready())
            && (self.broker == Kind::Midge || Tool::Mosquitto.ready())
    }

    /// A client aimed at a broker.
    pub fn command(self, name: &str, host: &str, port: u16, args: &[&str]) -> Command {
        let mut command = self.clients.command(name);
        command.args(["-h", host, "-p", &port.to_string()]);
        command.args(args);
        command
    }

    /// A subscriber behind a recording proxy, as soon as its subscription is acknowledged.
    #[track_caller]
    pub fn sub(self, broker: &Broker, args: &[&str]) -> Sub {
        self.sub_at("127.0.0.1", broker, args)
    }

    #[track_caller]
    pub fn sub_at(self, host: &str, broker: &Broker, args: &[&str]) -> Sub {
        let sub = self.sub_unready(host, broker, args);
        sub.proxy.wait_kind(From::Broker, 9, 1);
        sub
    }

    /// A subscriber that may never get so far.
    pub fn sub_unready(self, host: &str, broker: &Broker, args: &[&str]) -> Sub {
        let proxy = Proxy::new(host, broker.port());
        let process = Process::spawn(&mut self.command("sub", host, proxy.port(), args));
        Sub {
            process,
            proxy,
            is_peer: self.clients.is_peer(),
        }
    }

    /// Publishes and waits for a good end.
    #[track_caller]
    pub fn publish(self, broker: &Broker, args: &[&str]) -> Ended {
        self.run("pub", broker, args).ok()
    }

    /// Runs a client to its end.
    #[track_caller]
    pub fn run(self, name: &str, broker: &Broker, args: &[&str]) -> Ended {
        Process::run(&mut self.command(name, "127.0.0.1", broker.port(), args))
    }

    #[track_caller]
    pub fn run_with(self, name: &str, broker: &Broker, args: &[&str], input: &[u8]) -> Ended {
        Process::run_with(
            &mut self.command(name, "127.0.0.1", broker.port(), args),
            input,
        )
    }

    /// Runs a client to its end, recorded.
    #[track_caller]
    pub fn record(self, name: &str, host: &str, broker: &Broker, args: &[&str]) -> (Ended, Proxy) {
        let proxy = Proxy::new(host, broker.port());
        let ended = Process::run(&mut self.command(name, host, proxy.port(), args));
        proxy.closed();
        (ended, proxy)
    }
}

/// A running subscriber and the record of what it says and hears.
pub struct Sub {
    pub process: Process,
    pub proxy: Proxy,
    is_peer: bool,
}

impl Sub {
    /// Ends it with a signal that it handles. Mosquitto's `sub` says goodbye inside its signal
    /// handler, and locks up for good when it was just then at work on a packet: a peer is told
    /// while it sleeps. Midge has to hear it at any time.
    #[track_caller]
    pub fn stop(&mut self, signal: Signal) -> Ended {
        if self.is_peer {
            for _ in 0..3 {
                wait::until_true("a quiet subscriber", || {
                    self.proxy.is_quiet() && self.process.is_asleep()
                });
            }
        }
        self.process.signal(signal);
        let ended = self.process.ended();
        self.proxy.closed();
        ended
    }

    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        self.process.expect(line);
    }

    #[track_caller]
    pub fn line(&mut self) -> String {
        self.process.line()
    }
}

/// Makes three tests of one: Debian's clients on midge, midge's on midge, midge's on Debian's
/// mosquitto.
macro_rules! constellations {
    ($($(#[$doc:meta])* fn $name:ident($pair:ident) $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            fn story($pair: Pair) $body

            #[test]
            fn debian_clients_on_midge() {
                if Pair::DEBIAN_ON_MIDGE.ready() {
                    story(Pair::DEBIAN_ON_MIDGE);
                }
            }

            #[test]
            fn midge_clients_on_midge() {
                story(Pair::MIDGE_ON_MIDGE);
            }

            #[test]
            fn midge_clients_on_debian_mosquitto() {
                if Pair::MIDGE_ON_DEBIAN.ready() {
                    story(Pair::MIDGE_ON_DEBIAN);
                }
            }
        }
    )*};
}
pub(crate) use constellations;
