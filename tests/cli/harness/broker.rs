//! A broker under guard: midge, or Debian's mosquitto as its peer.
//!
//! In configurations `{port}`, `{port2}` … `{port9}` stand for leased ports and `{dir}` for the
//! test's directory.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use super::port::{Port, has_ipv6};
use super::tools::{self, Tool};
use super::{Dir, Ended, Process};
use crate::wait;

/// Anonymous access on both loopback addresses: what most tests want.
pub const OPEN: &str = "\
listener {port} 127.0.0.1
listener {port} ::1
allow_anonymous true
";

/// How long an end is waited for before the connection is tried anew.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// The broker under test.
    Midge,
    /// Debian's mosquitto.
    Debian,
}

impl Kind {
    /// True when this is not midge: the peer, or a peer in midge's place.
    pub fn is_peer(self) -> bool {
        self == Self::Debian || env::var_os("MIDGE_TEST_BROKER").is_some()
    }

    pub fn command(self) -> Command {
        let mut command = match (self, env::var_os("MIDGE_TEST_BROKER")) {
            (Self::Midge, None) => Command::new(tools::midge()),
            (Self::Midge, Some(path)) => tools::unpacked(&PathBuf::from(path)),
            (Self::Debian, _) => tools::unpacked(&Tool::Mosquitto.path()),
        };
        command.env("TZ", "UTC").env_remove("NOTIFY_SOCKET");
        command
    }
}

/// True when a peer stands in midge's place and differs here on purpose: the test is skipped, with
/// the reason.
pub fn peer_broker(why: &str) -> bool {
    tools::excused(Kind::Midge.is_peer(), why)
}

/// What a broker is to be started with.
pub struct Setup {
    kind: Kind,
    pub dir: Dir,
    ports: BTreeMap<String, Port>,
    conf: Option<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Setup {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            dir: Dir::new(),
            ports: BTreeMap::new(),
            conf: None,
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Puts ports and the directory into a text.
    pub fn fill(&mut self, text: &str) -> String {
        let mut text = text.replace("{dir}", self.dir.path().to_str().unwrap());
        for name in ["port", "port2", "port3", "port4", "port5"] {
            let mark = format!("{{{name}}}");
            if text.contains(&mark) {
                text = text.replace(&mark, &self.port(name).to_string());
            }
        }
        text
    }

    /// The leased port of this name.
    pub fn port(&mut self, name: &str) -> u16 {
        self.ports
            .entry(name.to_string())
            .or_insert_with(Port::lease)
            .number
    }

    /// The main configuration file.
    pub fn conf(mut self, text: &str) -> Self {
        self.conf = Some(self.fill(text));
        self.write_conf();
        self
    }

    fn write_conf(&self) {
        if let Some(conf) = &self.conf {
            self.dir.write("midge.conf", as_root(conf));
        }
    }

    /// Another file in the test's directory.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        let text = self.fill(text);
        self.dir.write(name, text);
        self
    }

    pub fn arg(mut self, arg: &str) -> Self {
        let arg = self.fill(arg);
        self.args.push(arg);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        let value = self.fill(value);
        self.env.push((name.to_string(), value));
        self
    }

    pub fn command(&mut self) -> Command {
        let mut command = self.kind.command();
        command.current_dir(self.dir.path());
        if self.conf.is_some() {
            command.args(["-c", &self.dir.at("midge.conf")]);
        }
        if self.is_local_only() && !self.args.iter().any(|a| a == "-p") {
            let port = self.port("port");
            command.args(["-p", &port.to_string()]);
        }
        command.args(&self.args);
        command.envs(self.env.iter().map(|(n, v)| (n, v)));
        command
    }

    /// Without any listener the port comes from the command line.
    fn is_local_only(&self) -> bool {
        self.listeners().is_empty() && !self.mentions("port ") && !self.mentions("bind_address ")
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.conf.iter().flat_map(|conf| conf.lines())
    }

    fn mentions(&self, start: &str) -> bool {
        self.lines().any(|line| line.starts_with(start))
    }

    fn listeners(&self) -> Vec<(String, Option<String>)> {
        self.lines()
            .filter_map(|line| line.strip_prefix("listener "))
            .map(|rest| {
                let mut words = rest.split_whitespace().map(str::to_string);
                (words.next().unwrap(), words.next())
            })
            .collect()
    }

    /// Starts it and waits until it answers wherever it has to.
    pub fn start(mut self) -> Broker {
        let mut process = Process::spawn(&mut self.command());
        for (port, host) in self.places() {
            wait::until_true(&format!("an answer at {host} {port}"), || {
                assert!(process.is_running(), "the broker ended: {process}");
                answers(&host, &port)
            });
        }
        Broker {
            process,
            setup: self,
        }
    }

    /// Where it has to answer: port and host.
    fn places(&mut self) -> Vec<(String, String)> {
        let mut listeners = self.listeners();
        if listeners.is_empty() {
            let names: Vec<_> = self.ports.values().map(|p| p.number.to_string()).collect();
            listeners.extend(names.into_iter().map(|port| (port, None)));
        }
        let mut places = Vec::new();
        for (port, host) in listeners {
            match host {
                Some(host) if port == "0" || host.parse::<std::net::IpAddr>().is_ok() => {
                    places.push((port, host));
                }
                Some(host) if host == "localhost" => {
                    places.push((port, "127.0.0.1".to_string()));
                }
                _ if self.mentions("bind_address ") || self.mentions("socket_domain ipv4") => {
                    places.push((port, "127.0.0.1".to_string()));
                }
                _ if self.mentions("socket_domain ipv6") => {
                    places.push((port, "::1".to_string()));
                }
                _ => {
                    places.push((port.clone(), "127.0.0.1".to_string()));
                    if has_ipv6() {
                        places.push((port, "::1".to_string()));
                    }
                }
            }
        }
        places
    }

    /// For a start that has to fail, or a command that ends by itself.
    pub fn run(mut self) -> Ended {
        Process::run(&mut self.command())
    }
}

/// As root a broker changes to another user, who may not read the files of a test.
fn as_root(conf: &str) -> String {
    if !geteuid().is_root() || conf.lines().any(|line| line.starts_with("user ")) {
        return conf.to_string();
    }
    let end = if conf.is_empty() || conf.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{conf}{end}user root\n")
}

/// Whether a connection that ends without a word gets an answer. A broker listens a while before
/// its start is done, before it has its signals, its pid file, its folder: only its loop answers.
fn answers(host: &str, port: &str) -> bool {
    let connected = match port {
        "0" => UnixStream::connect(host).map(OwnedFd::from),
        _ => TcpStream::connect((host, port.parse().unwrap())).map(OwnedFd::from),
    };
    // What is asked of the socket from here on is asked of either kind alike.
    let ended = connected.map(TcpStream::from).and_then(|mut stream| {
        stream.shutdown(Shutdown::Write)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read(&mut [0])
    });
    match ended {
        Ok(_) => true, // An end, or what TLS says to one.
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// A running broker; killed when dropped, with its log shown when the test fails.
pub struct Broker {
    pub process: Process,
    pub setup: Setup,
}

impl Broker {
    /// Open to everybody on the loopback addresses.
    pub fn open(kind: Kind) -> Self {
        Self::start(kind, OPEN)
    }

    /// As `open`, with further directives before the listeners.
    pub fn open_with(kind: Kind, directives: &str) -> Self {
        Self::start(kind, &format!("{directives}{OPEN}"))
    }

    pub fn start(kind: Kind, conf: &str) -> Self {
        Setup::new(kind).conf(conf).start()
    }

    pub fn port(&self) -> u16 {
        self.port_named("port")
    }

    pub fn port_named(&self, name: &str) -> u16 {
        self.setup.ports[name].number
    }

    pub fn dir(&self) -> &Dir {
        &self.setup.dir
    }

    /// Waits until its log, on standard error, holds `text`.
    #[track_caller]
    pub fn logs(&self, text: &str) {
        self.process.err_has(text);
    }

    /// Waits until a file in the test's directory holds `text`.
    pub fn file_has(&self, name: &str, text: &str) {
        let path = self.dir().file(name);
        wait::until_true(&format!("{text:?} in {name}"), || {
            fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
        });
    }

    /// Writes another main configuration, for the next reload.
    pub fn rewrite(&mut self, conf: &str) {
        let conf = self.setup.fill(conf);
        self.setup.conf = Some(conf);
        self.setup.write_conf();
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    #[track_caller]
    pub fn stop(self) -> Ended {
        self.stop_with(Signal::SIGTERM).0
    }

    #[track_caller]
    pub fn stop_with(self, signal: Signal) -> (Ended, Setup) {
        let Self { process, setup } = self;
        (process.stop(signal), setup)
    }
}
