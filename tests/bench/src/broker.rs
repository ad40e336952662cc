//! The brokers that are compared, and one of them as a running process.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{client, proc, stop};

/// The longest that a broker may take to start or to end.
const LIMIT: Duration = Duration::from_secs(300);

/// A broker with its settings: a column of the table.
#[derive(Clone)]
pub struct Contestant {
    /// Its column.
    pub name: String,
    /// Program and arguments; `{conf}`, `{port}` and `{dir}` stand for what each start has.
    command: Vec<String>,
    /// Where the loader finds what the program needs besides.
    libraries: Vec<PathBuf>,
    /// Lines of its mosquitto.conf besides those that all have.
    settings: String,
    /// Whether its `$SYS` tells of syncs and bytes written.
    pub tells: bool,
    /// Whether it keeps anything over a restart.
    pub lasting: bool,
}

/// Names that `--brokers` takes, with what they stand for.
pub const KNOWN: [(&str, &str); 9] = [
    (
        "midge",
        "this tree, persistence true: synced before it is acknowledged",
    ),
    ("midge-1000", "the same with persistence_sync 1000"),
    ("midge-never", "the same with persistence_sync never"),
    ("midge-memory", "this tree without persistence"),
    (
        "mosquitto",
        "Debian's, persistence true: saved every half hour and at the end",
    ),
    (
        "mosquitto-save1",
        "the same with autosave_interval 1 and autosave_on_changes true",
    ),
    ("mosquitto-memory", "Debian's, without persistence"),
    (
        "relay",
        "no broker: moves the bytes of the throughput rows, for what the kernel takes",
    ),
    (
        "peer",
        "the command in $PEER, where {port}, {dir} and {conf} are replaced",
    ),
];

/// Where the programs are.
pub struct Places {
    pub midge: PathBuf,
    /// The folder into which tests/setup.sh unpacked Debian's packages.
    pub mosquitto: PathBuf,
}

impl Contestant {
    /// The broker of this name, or why there is none.
    pub fn named(name: &str, places: &Places) -> Result<Self, String> {
        let lasting = "persistence true\npersistence_location {dir}/\n";
        let more = match name {
            "midge-1000" => "persistence_sync 1000\n",
            "midge-never" => "persistence_sync never\n",
            "mosquitto-save1" => "autosave_interval 1\nautosave_on_changes true\n",
            "midge" | "mosquitto" | "midge-memory" | "mosquitto-memory" | "relay" | "peer" => "",
            _ => return Err(format!("no broker is called {name}: see --help")),
        };
        let is_lasting = !name.ends_with("-memory") && !matches!(name, "relay" | "peer");
        let mut settings = match is_lasting {
            true => format!("{lasting}{more}"),
            false => String::new(),
        };
        if name.starts_with("midge") {
            // Limits that Mosquitto does not have: QoS 0 for slow clients, filters of one client.
            settings
                .push_str("max_output_bytes 1000000000\nmax_subscriptions_per_client 4000000\n");
        }
        let tells = name.starts_with("midge") && is_lasting;
        if tells {
            settings.push_str("sys_interval 1\n");
        }
        let mut libraries = Vec::new();
        let command = match name.split('-').next() {
            Some("midge") => format!("{} -c {{conf}}", present(&places.midge)?),
            Some("mosquitto") => {
                for dir in ["usr/lib", "lib"] {
                    libraries.extend(folders(&places.mosquitto.join(dir)));
                }
                let program = places.mosquitto.join("usr/sbin/mosquitto");
                format!("{} -c {{conf}}", present(&program)?)
            }
            Some("relay") => {
                let own = std::env::current_exe().map_err(|e| format!("own program: {e}"))?;
                format!("{} relay {{port}} 0", present(&own)?)
            }
            _ => std::env::var("PEER").map_err(|_| "PEER is not set in the environment")?,
        };
        Ok(Self {
            name: name.to_string(),
            command: command.split_whitespace().map(String::from).collect(),
            libraries,
            settings,
            tells,
            lasting: is_lasting,
        })
    }

    /// What it says about its version.
    pub fn version(&self) -> String {
        let flag = match self.name.as_str() {
            "relay" => return "moves bytes only".into(),
            name if name.starts_with("midge") => "--version",
            _ => "-h",
        };
        let output = self.program().arg(flag).output();
        let text = output.map(|o| o.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().next().unwrap_or("?").trim().to_string()
    }

    /// The same broker, watched by the tool that this command line begins with. The process must
    /// stay the broker's own: signals are meant for it.
    pub fn under(&self, tool: &[String]) -> Self {
        Self {
            command: [tool, &self.command].concat(),
            ..self.clone()
        }
    }

    fn program(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        if !self.libraries.is_empty() {
            let mut paths = OsString::new();
            for dir in &self.libraries {
                paths.push(dir);
                paths.push(":");
            }
            command.env("LD_LIBRARY_PATH", paths);
        }
        command
    }
}

fn present(program: &Path) -> Result<&str, String> {
    if !program.is_file() {
        return Err(format!("{} is missing", program.display()));
    }
    program
        .to_str()
        .filter(|path| !path.contains(' '))
        .ok_or_else(|| "a path with blanks or without UTF-8".into())
}

/// The folder itself and those right in it: Debian's libraries lie in one named for the machine.
fn folders(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_path_buf()];
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    found.extend(entries.map(|e| e.path()).filter(|p| p.is_dir()));
    found
}

/// A broker that runs, in a folder of its own; killed when dropped.
pub struct Broker {
    child: Child,
    command: Vec<String>,
    contestant: Contestant,
    /// Where it keeps its files.
    pub data: PathBuf,
    pub port: u16,
    /// From the start until it answered a CONNECT.
    pub start_wall: Duration,
    /// Its CPU time by then.
    pub start_cpu: Duration,
}

impl Broker {
    /// Starts it on an empty folder below `dir`.
    pub fn start(contestant: &Contestant, dir: &Path, settings: &str) -> Result<Self, String> {
        let problem = |what: &str, e: std::io::Error| format!("{what} {}: {e}", dir.display());
        if dir.exists() {
            fs::remove_dir_all(dir).map_err(|e| problem("emptying", e))?;
        }
        let data = dir.join("data");
        fs::create_dir_all(&data).map_err(|e| problem("making", e))?;
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|e| format!("a free port: {e}"))?
            .port();
        let conf = dir.join("broker.conf");
        let path = |p: &Path| p.display().to_string();
        let lines = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest stderr\n\
             log_type error\nlog_type warning\nset_tcp_nodelay true\n\
             max_queued_messages 0\nmemory_limit 2000000000\n{}{settings}",
            contestant.settings.replace("{dir}", &path(&data))
        );
        fs::write(&conf, lines).map_err(|e| problem("writing into", e))?;
        let fill = |word: &String| {
            word.replace("{conf}", &path(&conf))
                .replace("{dir}", &path(&data))
                .replace("{port}", &port.to_string())
        };
        let command: Vec<String> = contestant.command.iter().map(fill).collect();
        Self::spawn(contestant.clone(), &[], command, data, port)
    }

    /// Ends it and starts it again on the same folder.
    pub fn restart(self) -> Result<(Self, Duration), String> {
        self.restart_under(&[])
    }

    /// The same, watched this time by the tool that this command line begins with. A broker that
    /// was ended already is only started.
    pub fn restart_under(mut self, tool: &[String]) -> Result<(Self, Duration), String> {
        let stopped = match self.child.try_wait() {
            Ok(Some(_)) => Duration::ZERO,
            _ => self.stop()?,
        };
        let (contestant, command) = (self.contestant.clone(), self.command.clone());
        let broker = Self::spawn(contestant, tool, command, self.data.clone(), self.port)?;
        Ok((broker, stopped))
    }

    fn spawn(
        contestant: Contestant,
        tool: &[String],
        command: Vec<String>,
        data: PathBuf,
        port: u16,
    ) -> Result<Self, String> {
        let words = [tool, &command].concat();
        let log = data.with_file_name("log");
        let output = File::options().create(true).append(true).open(&log);
        let output = output.map_err(|e| format!("{}: {e}", log.display()))?;
        // A process begins where its parent runs: threads and all, it stays on that core.
        proc::pin(proc::BROKER_CORE);
        let began = Instant::now();
        let child = contestant
            .under(tool)
            .program()
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn();
        proc::pin(proc::GENERATOR_CORE);
        let child = child.map_err(|e| format!("{}: {e}", command[0]))?;
        let mut broker = Self {
            child,
            command,
            contestant,
            data,
            port,
            start_wall: Duration::ZERO,
            start_cpu: Duration::ZERO,
        };
        broker.answered()?;
        broker.start_wall = began.elapsed();
        broker.start_cpu = proc::cpu(broker.pid())?;
        Ok(broker)
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Ends it with SIGTERM, and says how long that took.
    pub fn stop(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        kill(self.pid(), Signal::SIGTERM).map_err(|e| format!("SIGTERM: {e}"))?;
        // The generator's core has nothing else to do.
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if began.elapsed() > LIMIT {
                return Err("it does not end".into());
            }
            std::thread::yield_now();
        }
        Ok(began.elapsed())
    }

    /// What it said last, for an error.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.data.with_file_name("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    /// Tries until a CONNECT is answered, without a pause: the wait is measured, and its core is
    /// not the broker's.
    fn answered(&mut self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            if client::sign_in(self.port, "bench-first", true).is_ok() {
                return Ok(());
            }
            let ended = self.child.try_wait().map_err(|e| format!("wait: {e}"))?;
            if let Some(status) = ended {
                return Err(format!("it ended, {status}: {}", self.last_words()));
            }
            if began.elapsed() > LIMIT {
                return Err("it does not answer".into());
            }
            stop::check()?;
            std::thread::yield_now();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
