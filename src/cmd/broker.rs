//! `midge`, also called `mosquitto`: the broker as a process.
//!
//! The start has an order: flags, into the background, configuration, files and sockets that root
//! may have to open, another user, pid file, log, loop. What goes wrong before the log is
//! configured is told on standard error. Exit codes are Mosquitto's: 0 for a stop, 1 for a start
//! that failed, 3 for wrong arguments or configuration, 13 for a password or ACL file that cannot
//! be used.

mod ephemeral;
mod listeners;
pub(super) mod setup;

use crate::auth::Passwords;
use crate::broker::Settings;
use crate::conf::{Bind, Config, Reload, Stores, stores};
use crate::host::access::Disk;
use crate::host::daemon::{self, Detached, Notifier, PidFile, Readiness, UserSettings};
use crate::host::listen::Passed;
use crate::host::log::LogType;
use crate::host::poll::{Doors, Loop, Owner, Setup};
use crate::host::sandbox::{self, Place, Purpose, Sandbox};
use crate::host::signal::Signals;
use crate::host::tls::Acceptor;
use crate::host::{daemon::Identity, log as host_log};
use getopts::{Matches, Options, ParsingStyle};
use listeners::Listeners;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FAILED: u8 = 1;
const MISUSED: u8 = 3;
const UNREADABLE: u8 = 13;

/// A start that ended, and what to say about it.
struct Failure {
    code: u8,
    what: String,
}

fn failed(code: u8, what: impl std::fmt::Display) -> Failure {
    Failure {
        code,
        what: what.to_string(),
    }
}

/// What the command line asks for.
#[derive(Clone, Debug, Default)]
struct Flags {
    config_file: Option<PathBuf>,
    ports: Vec<u16>,
    verbose: bool,
    quiet: bool,
    daemon: bool,
    test_config: bool,
    ephemeral: bool,
    exit_after_s: Option<u64>,
    log_types: Vec<LogType>,
    capture_file: Option<PathBuf>,
}

/// Runs the broker until it is told to stop; returns the exit code.
pub fn run(program: &str, args: &[String]) -> u8 {
    host_log::install();
    let flags = match parse(program, args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    match start(program, &flags) {
        Ok(code) => code,
        Err(failure) => {
            // Whoever started it reads there, be it a person, an init script or systemd.
            host_log::add_stderr();
            log::error!("Error: {}", failure.what);
            failure.code
        }
    }
}

fn options() -> Options {
    let mut options = Options::new();
    options.parsing_style(ParsingStyle::StopAtFirstFree);
    let capture = "write what goes over connections to this file for Wireshark; beats the \
                   configuration";
    options.optopt("", "capture-file", capture, "FILE");
    options.optopt("c", "config-file", "read this configuration file", "FILE");
    options.optflag("d", "daemon", "run in the background");
    let ephemeral = "listen on a free port of 127.0.0.1 and ::1 and print it as JSON; keep \
                     nothing, end with the parent process";
    options.optflag("", "ephemeral", ephemeral);
    options.optopt("", "exit-after", "end after so many seconds", "SECONDS");
    options.optflag("h", "help", "show this text");
    let log_type = "log this kind of lines as well, see log_type; packets shows every packet \
                    (may be given again)";
    options.optmulti("", "log-type", log_type, "TYPE");
    let port = "listen on this port of 127.0.0.1 and ::1; only without a listener in the \
                configuration (up to ten times)";
    options.optmulti("p", "port", port, "PORT");
    options.optflag("q", "quiet", "log nothing; beats the configuration");
    options.optflag("v", "verbose", "log everything; beats the configuration");
    options.optflag(
        "",
        "test-config",
        "read the configuration, say what is wrong, and end",
    );
    options.optflag("", "version", "show the version");
    options
}

/// The flags, or the exit code where they already say everything.
fn parse(program: &str, args: &[String]) -> Result<Flags, u8> {
    let usage = || {
        let brief = format!(
            "midge version {}\n\nUsage: {program} [-c FILE] [-d] [-p PORT]... [-q | -v]\n       \
             {program} --ephemeral [-c FILE] [--exit-after SECONDS] [-v]\n       \
             midge check|explain|pub|sub|rr|passwd|log --help",
            env!("CARGO_PKG_VERSION")
        );
        options().usage(&brief)
    };
    let misused = |what: &str| {
        // Nobody may be reading: the exit code tells, too.
        let _ = writeln!(io::stderr(), "Error: {what}\n\n{}", usage());
        MISUSED
    };
    let matches = options().parse(args).map_err(|fail| match fail {
        getopts::Fail::UnrecognizedOption(option) => {
            misused(&format!("Unknown option '{option}'."))
        }
        other => misused(&format!("{other}.")),
    })?;
    if matches.opt_present("help") {
        let _ = writeln!(io::stdout(), "{}", usage());
        return Err(MISUSED);
    }
    if matches.opt_present("version") {
        let _ = writeln!(io::stdout(), "midge version {}", env!("CARGO_PKG_VERSION"));
        return Err(0);
    }
    if let Some(word) = matches.free.first() {
        return Err(misused(&format!("Unknown option '{word}'.")));
    }
    let ports = ports(&matches).map_err(|what| misused(&what))?;
    let exit_after_s = exit_after_s(&matches).map_err(|what| misused(&what))?;
    let log_types = log_types(&matches).map_err(|what| misused(&what))?;
    let ephemeral = matches.opt_present("ephemeral");
    if ephemeral && (matches.opt_present("daemon") || !ports.is_empty()) {
        return Err(misused("--ephemeral goes neither with -d nor with -p."));
    }
    Ok(Flags {
        ephemeral,
        exit_after_s,
        log_types,
        capture_file: matches.opt_str("capture-file").map(PathBuf::from),
        config_file: matches.opt_str("config-file").map(PathBuf::from),
        ports,
        verbose: matches.opt_present("verbose"),
        quiet: matches.opt_present("quiet"),
        daemon: matches.opt_present("daemon"),
        test_config: matches.opt_present("test-config"),
    })
}

fn ports(matches: &Matches) -> Result<Vec<u16>, String> {
    let port = |text: String| match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!(
            "Invalid port '{text}': give a number from 1 to 65535."
        )),
    };
    matches.opt_strs("port").into_iter().map(port).collect()
}

fn exit_after_s(matches: &Matches) -> Result<Option<u64>, String> {
    let seconds = matches.opt_str("exit-after").map(|text| {
        let seconds = text.parse();
        seconds.map_err(|_| format!("Invalid number of seconds '{text}'."))
    });
    seconds.transpose()
}

fn log_types(matches: &Matches) -> Result<Vec<LogType>, String> {
    let class = |name: String| {
        let class = LogType::from_name(&name);
        class.ok_or_else(|| format!("Unknown log type '{name}'."))
    };
    matches
        .opt_strs("log-type")
        .into_iter()
        .map(class)
        .collect()
}

fn start(program: &str, flags: &Flags) -> Result<u8, Failure> {
    let readiness = match flags.daemon && !flags.test_config {
        false => None,
        true => match daemon::detach().map_err(|e| failed(FAILED, e))? {
            Detached::Parent(code) => return Ok(code),
            Detached::Child(readiness) => Some(readiness),
        },
    };
    let watch = ephemeral::Watch::new(flags);
    if flags.ephemeral && !flags.test_config {
        let mut flags = flags.clone();
        let (config, listeners, doors) = ephemeral::open(program, &mut flags)?;
        let opened = Some((listeners, doors));
        return serve(program, &flags, config, opened, readiness, watch);
    }
    let config = load(flags)?;
    if flags.test_config {
        config.messages.iter().for_each(crate::conf::Message::log);
        return Ok(0);
    }
    serve(program, flags, config, None, readiness, watch)
}

fn load(flags: &Flags) -> Result<Config, Failure> {
    let mut config = match (flags.ephemeral, flags.ports.first()) {
        (true, Some(&port)) => ephemeral::config(flags, port)?,
        _ => Config::load(flags.config_file.as_deref(), &flags.ports, &Disk)
            .map_err(|error| failed(MISUSED, error))?,
    };
    if flags.capture_file.is_some() {
        config.logging.capture_file.clone_from(&flags.capture_file);
    }
    config.logging.log_type.packets |= flags.log_types.contains(&LogType::Packets);
    Ok(config)
}

fn serve(
    program: &str,
    flags: &Flags,
    config: Config,
    opened: Option<(Listeners, Doors)>,
    readiness: Option<Readiness>,
    watch: ephemeral::Watch,
) -> Result<u8, Failure> {
    let mut passed = Passed::from_env();
    // From here on a signal finds us, even before the loop looks at it.
    let signals = Signals::new().map_err(|e| failed(FAILED, format!("signals: {e}")))?;
    daemon::tighten_umask();
    if let Err(error) = daemon::raise_file_limit() {
        log::warn!("Warning: the limit of open files stays as it is: {error}");
    }
    let mut access = setup::Access::default();
    let checked = access.read(&config.listeners, None);
    checked.map_err(|what| failed(UNREADABLE, what))?;
    let checked = access.read_certificates(&config.listeners);
    checked.map_err(|what| failed(FAILED, what))?;
    let version = env!("CARGO_PKG_VERSION");
    let (listeners, doors) = match opened {
        Some(opened) => opened,
        None => Listeners::default()
            .change(&config, &mut passed)
            .map_err(|what| failed(FAILED, what))?,
    };
    let setup = access.setup(&config, &listeners, doors);
    let files = [&config.pid_file, &config.logging.log_dest.file];
    let made: Vec<&Path> = (files.into_iter().flatten())
        .filter_map(|file| daemon::make_folder_of(file))
        .collect();
    let pid_file = pid_file(&config)?;
    let identity = match flags.ephemeral {
        true => Identity::current(),
        false => become_user(&config, &setup.doors, &made)?,
    };
    host_log::configure(&setup::log_settings(&config.logging, program, flags));
    log::info!("midge version {version} starting");
    match config.files.first() {
        Some(file) => log::info!("Config loaded from {}.", file.display()),
        None => log::info!("Using default config."),
    }
    config.messages.iter().for_each(crate::conf::Message::log);
    access.log_problems();
    log::info!("Running as {identity}.");
    passed.settle();
    let sandbox = close_sandbox(&config);
    listeners::announce(&setup.doors);
    setup::describe_listeners(&listeners, &setup);
    let seed = getrandom::u64().map_err(|e| failed(FAILED, format!("no random numbers: {e}")))?;
    let mut event_loop = Loop::new(setup, Some(signals), seed)
        .map_err(|e| failed(FAILED, format!("the event loop: {e}")))?;
    if config.persistence.persistence {
        keep(&mut event_loop, &config)?;
    }
    log::info!("midge version {version} running");
    let mut process = Process {
        program: program.to_string(),
        flags: flags.clone(),
        started: config,
        listeners,
        access,
        sandbox,
        notifier: Notifier::from_env(),
        watch,
    };
    process.notifier.ready();
    if let Some(readiness) = readiness {
        readiness.report().map_err(|e| failed(FAILED, e))?;
    }
    if let (true, Some(&port)) = (flags.ephemeral, flags.ports.first()) {
        ephemeral::announce(port)?;
    }
    let result = event_loop.run(&mut process, &|| watch.is_over());
    log::info!("midge version {version} terminating");
    drop(pid_file);
    result
        .map(|()| 0)
        .map_err(|e| failed(FAILED, format!("the event loop: {e}")))
}

/// A failed start, with the line of the directive with which its description begins.
fn failed_at(config: &Config, what: String) -> Failure {
    failed(FAILED, setup::placed(|name| config.place_of(name), what))
}

fn pid_file(config: &Config) -> Result<Option<PidFile>, Failure> {
    let created = config.pid_file.as_ref().map(|path| {
        let created = PidFile::create(path);
        created.map_err(|error| failed_at(config, format!("pid_file: {error}")))
    });
    created.transpose()
}

/// What a start would tell the broker.
pub(super) struct Rehearsal {
    pub(super) settings: Settings,
    /// The password file of each listener that has one.
    pub(super) passwords: Vec<Option<Arc<Passwords>>>,
}

/// Reads what a start would read of passwords and rights; nothing is opened.
///
/// # Errors
/// What is wrong with a password or ACL file.
pub(super) fn rehearse(config: &Config) -> Result<Rehearsal, String> {
    let mut access = setup::Access::default();
    access.read(&config.listeners, None)?;
    let setup = access.setup(config, &Listeners::rehearsed(config), Doors::default());
    Ok(Rehearsal {
        settings: setup.settings,
        passwords: setup.passwords,
    })
}

fn stores_of(config: &Config) -> Stores {
    stores(config, std::env::var_os("MOSQUITTO_PERSISTENCE_LOCATION"))
}

/// The folder of the journal.
pub(super) fn folder_of(config: &Config) -> PathBuf {
    stores_of(config).journal
}

/// Whether what is stored goes to the directory in which the broker happens to be started.
pub(super) fn has_no_folder(config: &Config) -> bool {
    stores_of(config).location == Path::new(".")
}

/// What helps then. To give that directory away is no help: it may be `/`, or somebody's home.
pub(super) const NAME_A_FOLDER: &str =
    "name a folder of its own, with a line such as: persistence_location /var/lib/midge";

/// Takes over what is stored, and stores from now on.
fn keep(event_loop: &mut Loop, config: &Config) -> Result<(), Failure> {
    let Stores {
        journal, database, ..
    } = stores_of(config);
    let sync = config.persistence.persistence_sync;
    let kept = event_loop.keep(&journal, &database, sync);
    kept.map_err(|error| {
        let user = nix::unistd::geteuid();
        let name = journal.display();
        let mend = match error.kind() {
            _ if has_no_folder(config) => format!("; {NAME_A_FOLDER}"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => format!(
                ". To give it the folder and what is in it: mkdir -p {0} && chown -R {user} {0}",
                daemon::quoted(&journal),
            ),
            _ => String::new(),
        };
        let what = format!("persistence_location: {name} cannot be used by user {user}: {error}");
        failed_at(config, what + &mend)
    })
}

/// Where the broker writes, as far as a reload changes that.
fn live_places(config: &Config) -> Vec<Place> {
    let place = |directive, path: &PathBuf, purpose| {
        let path = path.clone();
        Place {
            directive,
            path,
            purpose,
        }
    };
    // Those two are streams that we have.
    let is_file = |path: &&PathBuf| {
        !["/dev/stderr", "/dev/stdout"]
            .map(Path::new)
            .contains(&path.as_path())
    };
    let log = config.logging.log_dest.file.iter().filter(is_file);
    let capture = config.logging.capture_file.iter();
    let sockets = config
        .listeners
        .iter()
        .filter_map(|listener| match &listener.bind {
            Bind::Unix(path) => Some(path),
            Bind::Tcp { .. } => None,
        });
    log.map(|path| place("log_dest file", path, Purpose::Log))
        .chain(capture.map(|path| place("capture_file", path, Purpose::Log)))
        .chain(sockets.map(|path| place("listener 0", path, Purpose::Socket)))
        .collect()
}

/// Closes the sandbox, unless the owner or the kernel does not want one.
fn close_sandbox(config: &Config) -> Option<Sandbox> {
    if !config.sandbox {
        return None;
    }
    let mut places = live_places(config);
    let mut add = |directive, path, purpose| {
        places.push(Place {
            directive,
            path,
            purpose,
        });
    };
    if config.persistence.persistence {
        let folder = folder_of(config);
        // It must be there to be let out of the sandbox; should this fail, `keep` tells why.
        let _ = crate::host::journal::Folder::open(&folder);
        add("persistence_location", folder, Purpose::Store);
    }
    if let Some(path) = &config.pid_file {
        add("pid_file", path.clone(), Purpose::Pid);
    }
    match sandbox::close(&places) {
        Ok(sandbox) => {
            let open = sandbox.describe();
            log::info!("Sandbox: it starts no programs and writes {open}.");
            Some(sandbox)
        }
        Err(what) => {
            log::info!(target: "notice", "There is no sandbox around the broker: {what}.");
            None
        }
    }
}

/// Root becomes somebody else, who gets the sockets and the folders that were made.
fn become_user(config: &Config, doors: &Doors, made: &[&Path]) -> Result<Identity, Failure> {
    // What is stored belongs to that user, who may not make a folder wherever root may.
    let stores = (config.persistence.persistence).then(|| stores_of(config));
    // Another broker may come to keep things in the same location.
    let folders = stores.iter().flat_map(|is| [&*is.location, &*is.journal]);
    let sockets = doors.opened.iter().filter_map(|(_, door)| door.file());
    let given = sockets.chain(made.iter().copied());
    daemon::drop_privileges_with(&user_settings(config), folders, given)
        .map_err(|e| failed_at(config, e.to_string()))
}

/// Whom root is to become.
pub(super) fn user_settings(config: &Config) -> UserSettings<'_> {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
    };
    UserSettings {
        user: Some(&config.user),
        uid: number("PUID"),
        gid: number("PGID"),
    }
}

/// What the running broker's signals are answered with.
struct Process {
    program: String,
    flags: Flags,
    /// The configuration of the start: what a reload does not take over holds by this one.
    started: Config,
    listeners: Listeners,
    access: setup::Access,
    sandbox: Option<Sandbox>,
    notifier: Notifier,
    watch: ephemeral::Watch,
}

impl Process {
    fn try_reload(&mut self) -> Result<Setup, String> {
        let config = load(&self.flags).map_err(|failure| failure.what)?;
        let restart: Vec<&str> = (self.started.differences(&config).iter())
            .filter(|difference| difference.reload == Reload::Restart)
            .map(|difference| difference.directive)
            .collect();
        // Everything is read, checked and opened before anything changes.
        let mut access = setup::Access::default();
        access.read(&config.listeners, Some(&self.access))?;
        access.read_certificates(&config.listeners)?;
        if let Some(sandbox) = &self.sandbox {
            sandbox.admits(&live_places(&config))?;
        }
        let (listeners, doors) = self.listeners.change(&config, &mut Passed::default())?;
        let setup = access.setup(&config, &listeners, doors);
        config.messages.iter().for_each(crate::conf::Message::log);
        if !restart.is_empty() {
            let names = restart.join(", ");
            log::info!(target: "notice", "A restart is needed before these take effect: {names}.");
        }
        host_log::configure(&setup::log_settings(
            &config.logging,
            &self.program,
            &self.flags,
        ));
        access.log_problems();
        listeners::announce(&setup.doors);
        if listeners.all().len() > self.listeners.all().len() {
            setup::describe_listeners(&listeners, &setup);
        }
        self.listeners = listeners;
        self.access = access;
        Ok(setup)
    }
}

impl Owner for Process {
    fn reload(&mut self) -> Option<Setup> {
        self.notifier.reloading();
        log::info!("Reloading config.");
        let setup = self.try_reload();
        self.notifier.ready();
        setup
            .map_err(|what| {
                // Who rotated the log looks into the new one.
                host_log::reopen();
                log::error!("Error: {what}");
                log::error!("Error: nothing was reloaded: the configuration of before stays.");
            })
            .ok()
    }

    fn renew(&mut self) -> Option<Vec<Option<Arc<Acceptor>>>> {
        let is_new = self.access.renew();
        is_new.then(|| self.access.acceptors(&self.listeners))
    }

    fn reopen_logs(&mut self) {
        host_log::reopen();
    }

    fn save(&mut self) {
        if self.started.persistence.persistence {
            log::info!("What was acknowledged is saved already; what else was written is synced.");
        } else {
            log::info!("Nothing is waiting to be saved.");
        }
    }

    fn stopping(&mut self) {
        self.notifier.stopping();
    }

    fn alive(&mut self, now_ms: u64) -> Option<u64> {
        let watchdog_ms = self.notifier.alive(now_ms);
        let watched_ms = self.watch.interval_ms();
        [watchdog_ms, watched_ms].into_iter().flatten().min()
    }
}
