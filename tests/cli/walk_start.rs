//! Installing and configuring: steps 1 to 3 of the walk-through, and 21's clean stop.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::{fs, process::Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::harness::broker::{Setup, peer_broker};
use crate::harness::raw::{Connect, Raw};
use crate::harness::{Broker, Ended, Kind, Process, loopbacks};
use crate::wait;

/// The document's own file, with this test's directory for /var and /etc.
const DOCUMENT: &str = "\
pid_file {dir}/run/mosquitto.pid

persistence true
persistence_location {dir}/lib/

log_dest file {dir}/log/mosquitto.log

include_dir {dir}/conf.d
";

fn document() -> Setup {
    let setup = Setup::new(Kind::Midge);
    for dir in ["run", "lib", "log", "conf.d"] {
        fs::create_dir(setup.dir.file(dir)).unwrap();
    }
    setup
        .file(
            "conf.d/README",
            "Any files placed in this directory that have a .conf ending\nare loaded.\n",
        )
        .conf(DOCUMENT)
}

/// Steps 1 and 3: it starts as it is, listens on both addresses, and leaves what it promises.
#[test]
fn the_documents_configuration_starts_as_it_is() {
    let broker = document().start();
    for host in loopbacks() {
        let mut raw = Raw::tcp(host, broker.port());
        raw.send(&Connect::new("here").bytes());
        assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
    }
    assert!(
        !reaches_another_address(broker.port()),
        "local-only mode listens on loopback addresses only"
    );
    let pid = broker.process.pid().to_string();
    assert_eq!(broker.dir().read("run/mosquitto.pid"), pid);
    broker.file_has("log/mosquitto.log", " version ");
    broker.file_has("log/mosquitto.log", " running");
    broker.file_has("log/mosquitto.log", "New client connected from 127.0.0.1:");

    let (ended, setup) = broker.stop_with(Signal::SIGTERM);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!setup.dir.file("run/mosquitto.pid").exists());
    assert!(setup.dir.read("log/mosquitto.log").contains(" terminating"));
}

/// 127.0.0.2 is this machine too, but not one of the two addresses of local-only mode.
fn reaches_another_address(port: u16) -> bool {
    TcpStream::connect(("127.0.0.2", port)).is_ok()
}

/// Without any file at all, the same two addresses.
#[test]
fn no_configuration_at_all_is_local_only_too() {
    let broker = Setup::new(Kind::Midge).start();
    for host in loopbacks() {
        let mut raw = Raw::tcp(host, broker.port());
        raw.send(&Connect::new("here").bytes());
        assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
    }
    assert!(!reaches_another_address(broker.port()));
    assert_eq!(broker.stop().code, 0);
}

/// Several `-p` give several ports.
#[test]
fn several_ports_on_the_command_line() {
    if peer_broker("2.0.11 ends without a word when given two ports") {
        return;
    }
    let broker = Setup::new(Kind::Midge)
        .arg("-p")
        .arg("{port}")
        .arg("-p")
        .arg("{port2}")
        .start();
    for port in [broker.port(), broker.port_named("port2")] {
        let mut raw = Raw::tcp("127.0.0.1", port);
        raw.send(&Connect::new("here").bytes());
        assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
    }
}

/// Step 2: `*.conf` in name order, a capital letter before the same small one; everything else is
/// ignored.
#[test]
fn conf_d_is_read_in_name_order() {
    let mut setup = document();
    for (name, text) in [
        ("conf.d/b.conf", "allow_anonymous false\n"),
        ("conf.d/A.conf", "sys_interval 3\n"),
        ("conf.d/c.conf", "sys_interval 4\n"),
        ("conf.d/B2.conf", "sys_interval 5\n"),
        ("conf.d/10.conf", "sys_interval 6\n"),
        ("conf.d/x.conf.bak", "rubbish\n"),
        ("conf.d/.conf", "rubbish\n"),
        ("conf.d/deeper/d.conf", "rubbish\n"),
    ] {
        setup = setup.file(name, text);
    }
    let broker = setup.file("password", "").start();
    let log = "log/mosquitto.log";
    broker.file_has(log, " running");
    let text = broker.process.err.text() + &broker.process.out.text() + &broker.dir().read(log);
    let places: Vec<_> = ["10.conf", "A.conf", "B2.conf", "b.conf", "c.conf"]
        .iter()
        .filter_map(|name| {
            let path = broker.dir().at(&format!("conf.d/{name}"));
            text.find(&format!("Loading config file {path}"))
        })
        .collect();
    assert_eq!(places.len(), 5, "{text}");
    assert!(places.is_sorted(), "{text}");
    assert!(!text.contains("deeper"), "{text}");
}

/// Step 2: an error names the file, the line and the directive.
#[test]
fn an_error_in_conf_d_names_file_line_and_directive() {
    let setup = document()
        .file("conf.d/a.conf", "sys_interval 3\n")
        .file("conf.d/b.conf", "# fine\n\nallow_anonimous false\n");
    let place = format!("{}:3", setup.dir.at("conf.d/b.conf"));
    let ended = setup.run().with(3);
    assert!(ended.all().contains(&place), "{ended:?}");
    assert!(ended.all().contains("allow_anonimous"), "{ended:?}");

    let setup = document().file("conf.d/z.conf", "allow_anonymous perhaps\n");
    let place = format!("{}:1", setup.dir.at("conf.d/z.conf"));
    let ended = setup.run().with(3);
    assert!(ended.all().contains(&place), "{ended:?}");
    assert!(ended.all().contains("allow_anonymous"), "{ended:?}");
}

/// `-d`: the command returns, the broker goes on, and the pid file tells which it is.
#[test]
fn as_a_daemon() {
    let mut setup = document().arg("-d");
    let port = setup.port("port");
    let ended: Ended = Process::run(&mut setup.command());
    ended.with(0);
    let pid = wait::until("the pid file", || {
        fs::read_to_string(setup.dir.file("run/mosquitto.pid"))
            .ok()
            .filter(|text| !text.is_empty())
    });
    let pid = Pid::from_raw(pid.parse().unwrap());
    let stopper = Stopper(pid);
    wait::until_true("an answer", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let mut raw = Raw::tcp("127.0.0.1", port);
    raw.send(&Connect::new("here").bytes());
    assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(
        status.contains("PPid:\t1\n"),
        "it left its parent: {status}"
    );
    drop(stopper);
    wait::until_true("the pid file's end", || {
        !setup.dir.file("run/mosquitto.pid").exists()
    });
}

/// Ends a process that is not our child, also when the test fails.
struct Stopper(Pid);

impl Drop for Stopper {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGTERM);
    }
}

/// As root, the broker runs as somebody else once it has started: `user`, or nobody.
#[test]
fn root_is_given_up() {
    if !geteuid().is_root() {
        return crate::harness::tools::skipped("root_is_given_up", "needs root");
    }
    let mut setup = Setup::new(Kind::Midge);
    let mode = fs::Permissions::from_mode(0o777);
    fs::set_permissions(setup.dir.path(), mode).unwrap();
    // The ports are open before root is given up, so that this is a matter of waiting.
    let becomes = |setup: Setup, wanted: &str| {
        let broker = setup.start();
        let status = format!("/proc/{}/status", broker.process.pid());
        crate::wait::until_true(&format!("the broker runs as {wanted}"), || {
            let status = fs::read_to_string(&status).unwrap();
            let line = status.lines().find(|l| l.starts_with("Uid:")).unwrap();
            line.split_whitespace().nth(1) == Some(wanted)
        });
    };
    setup = setup.conf("user daemon\nlog_dest file {dir}/log\n");
    // daemon's number on Debian
    becomes(setup, "1");
    let text = Process::run(Command::new("id").args(["-u", "nobody"])).ok();
    let nobody = text.out.trim().to_string();
    let mosquitto = Process::run(Command::new("id").args(["-u", "mosquitto"]));
    let wanted = if mosquitto.code == 0 {
        mosquitto.out.trim().to_string()
    } else {
        nobody
    };
    becomes(Setup::new(Kind::Midge), &wanted);
    becomes(Setup::new(Kind::Midge).conf("user root\n"), "0");
}

/// A user who does not exist is an error at start.
#[test]
fn an_unknown_user_is_an_error() {
    if !geteuid().is_root() {
        return crate::harness::tools::skipped("an_unknown_user", "needs root");
    }
    let ended = Setup::new(Kind::Midge)
        .conf("user no-such-user-here\n")
        .run();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.all().contains("no-such-user-here"), "{ended:?}");
}

/// Step 21: the subscriber of before is told of the end by a closed connection; SIGTERM and SIGINT
/// end with 0.
#[test]
fn sigterm_and_sigint_end_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let broker = Broker::open(Kind::Midge);
        let raw = Raw::welcome(&broker, &Connect::new("here"));
        let (ended, _) = broker.stop_with(signal);
        assert_eq!(ended.code, 0, "{ended:?}");
        raw.closed();
    }
}

/// Step 25: under systemd the service is ready when it says READY=1, and not before it listens.
#[test]
fn systemd_is_told_when_it_is_ready() {
    let mut setup = Setup::new(Kind::Midge);
    let path = setup.dir.file("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(setup.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let port = setup.port("port");
    let broker = setup.env("NOTIFY_SOCKET", "{dir}/notify").start();
    let text = crate::service::datagram(&socket);
    assert!(text.lines().any(|line| line == "READY=1"), "{text}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert_eq!(broker.stop().code, 0);
}

/// A port that somebody else has: exit 1, and the log says which.
#[test]
fn a_taken_port_is_a_failed_start() {
    let first = Setup::new(Kind::Midge)
        .conf("listener {port} 127.0.0.1\n")
        .start();
    let port = first.port();
    let second = Setup::new(Kind::Midge).conf(&format!("listener {port} 127.0.0.1\n"));
    let ended = second.run().with(1);
    // "Address already in use" in the words of glibc, "Address in use" in those of musl.
    assert!(ended.all().contains("in use"), "{ended:?}");
}

/// `-p` beside a `listener` line is not an error, and does not open that port.
#[test]
fn a_port_beside_a_listener_is_ignored() {
    let mut setup = Setup::new(Kind::Midge);
    let spare = setup.port("port2");
    let broker = setup
        .conf("listener {port} 127.0.0.1\n")
        .arg("-p")
        .arg(&spare.to_string())
        .start();
    assert!(TcpStream::connect(("127.0.0.1", spare)).is_err());
    if !peer_broker("mosquitto ignores -p beside a listener silently") {
        broker.logs(&spare.to_string());
    }
}
