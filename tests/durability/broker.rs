//! A broker that is killed and started again on the same directory and port.
//!
//! `DURABILITY_BROKER=/path/to/mosquitto` puts a peer in midge's place, for measuring by hand;
//! `DURABILITY_CONF="autosave_interval 1;autosave_on_changes true"` adds lines to its
//! configuration.
//! A program that boots a whole machine and becomes its emulator is a peer as well, and killing it
//! is a power cut: `make test-cross` does that. `DURABILITY_SLOWER=4` gives it four times as long
//! for everything.
//! `DURABILITY_GENTLY=1` ends it by SIGTERM where a story kills it: what a peer can do then shows
//! that the story is right.

use crate::client::Client;
use crate::common::packet::{Connect, Version};
use crate::dir::Dir;
use crate::port::Port;
use crate::tools;
use crate::wait::{LIMIT, until, until_within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{env, fs};

/// What runs.
#[derive(Clone, Debug)]
pub struct Program {
    /// None is midge.
    peer: Option<PathBuf>,
    lines: String,
    slower: u32,
}

impl Program {
    /// Midge, or what the environment names.
    pub fn from_environment() -> Program {
        let peer = env::var_os("DURABILITY_BROKER").map(PathBuf::from);
        let lines = env::var("DURABILITY_CONF").unwrap_or_default();
        Program {
            peer,
            lines: lines.replace(';', "\n"),
            slower: env::var("DURABILITY_SLOWER").map_or(1, |times| times.parse().unwrap()),
        }
    }

    /// Another broker, with lines of its own.
    pub fn peer(path: PathBuf, lines: &str) -> Program {
        Program {
            peer: Some(path),
            lines: lines.to_string(),
            slower: 1,
        }
    }

    pub fn is_midge(&self) -> bool {
        self.peer.is_none()
    }

    fn command(&self) -> Command {
        match &self.peer {
            None => Command::new(tools::midge()),
            Some(path) if path.starts_with(tools::peers()) => tools::unpacked(path),
            Some(path) => Command::new(path),
        }
    }
}

/// A broker with a directory and a port that outlive its process.
pub struct Broker {
    child: Option<Child>,
    port: Port,
    dir: Dir,
    program: Program,
    /// How often it was started.
    lives: u32,
}

impl Broker {
    /// Midge, or what the environment names, with these lines besides the usual ones.
    pub fn start(conf: &str) -> Broker {
        Broker::run(Program::from_environment(), conf)
    }

    pub fn run(program: Program, conf: &str) -> Broker {
        let dir = Dir::new();
        let port = Port::lease();
        let data = dir.at("data");
        fs::create_dir_all(&data).unwrap();
        let text = format!(
            "listener {}\nallow_anonymous true\nuser root\nmax_queued_messages 0\n\
             persistence true\npersistence_location {data}/\n{}\n{conf}\n",
            port.number, program.lines
        );
        dir.write("broker.conf", text);
        let mut broker = Broker {
            child: None,
            port,
            dir,
            program,
            lives: 0,
        };
        broker.start_again();
        broker
    }

    /// Starts it on what is there; returns when it lets clients in.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.spawn();
        until_within(self.limit(), "the broker runs", || {
            let ended = self.child.as_mut()?.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.log());
            self.log().contains("running").then_some(())
        });
    }

    /// What any single step with it may take at most.
    pub fn limit(&self) -> Duration {
        LIMIT * self.program.slower
    }

    /// How many times slower than a process on this machine it is.
    pub fn slower(&self) -> u32 {
        self.program.slower
    }

    /// Where it keeps what it keeps.
    pub fn folder(&self) -> String {
        self.dir.at("data")
    }

    /// Starts it without waiting for anything.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs");
        self.lives += 1;
        let log = File::create(self.dir.file(&self.log_name())).unwrap();
        let child = self
            .program
            .command()
            .args(["-c", &self.dir.at("broker.conf")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    fn log_name(&self) -> String {
        format!("log.{}", self.lives)
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> String {
        self.dir.read_if(&self.log_name())
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.as_ref().expect("it runs").id() as i32)
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        kill(self.pid(), Signal::SIGKILL).unwrap();
        self.gone();
    }

    /// Killed, and started again.
    #[track_caller]
    pub fn crash(&mut self) {
        if env::var_os("DURABILITY_GENTLY").is_some() {
            self.stop();
        } else {
            self.kill();
        }
        self.start_again();
    }

    /// SIGTERM; returns when it is gone.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        self.gone()
    }

    /// Waits for its end.
    pub fn gone(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        until("the broker ends", || child.try_wait().unwrap())
    }

    /// The journal's files, oldest first; a peer has none.
    pub fn segments(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.file("data")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let logs = paths.filter(|path| path.extension().is_some_and(|end| end == "log"));
        let mut names: Vec<String> = logs.map(|path| path.display().to_string()).collect();
        names.sort();
        names
    }

    pub fn stream(&self) -> io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port.number))
    }

    /// A client that has been let in, and whether its session was there.
    #[track_caller]
    pub fn connect(&self, version: Version, connect: Connect) -> (Client, bool) {
        let mut client = Client::new(self.stream().unwrap(), version);
        let present = client.sign_in(connect);
        (client, present)
    }

    /// A client with a clean start, whose session ends with its connection.
    #[track_caller]
    pub fn client(&self, version: Version, client_id: &str) -> Client {
        self.connect(version, Connect::new(version, client_id)).0
    }

    /// A client with a session that stays.
    #[track_caller]
    pub fn lasting(&self, version: Version, client_id: &str) -> (Client, bool) {
        self.connect(version, crate::client::lasting(version, client_id))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
