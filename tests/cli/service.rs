//! What a service manager says and hears: sockets that it passes, and how the broker is.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::harness::broker::{Setup, peer_broker};
use crate::harness::port::has_ipv6;
use crate::harness::raw::{Connect, Raw};
use crate::harness::{Kind, Process};
use crate::wait;

const WHY: &str = "2.0 takes no sockets from the service manager";

/// Starts a broker as systemd does that has one socket for it: as descriptor 3.
fn passed(setup: &mut Setup, socket: OwnedFd) -> Process {
    let command = setup.command();
    let mut start = Command::new("sh");
    let script = "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=x; \
                  exec \"$0\" \"$@\" 3<&0 0</dev/null";
    start.args(["-c", script]);
    start.arg(command.get_program()).args(command.get_args());
    Process::spawn_with_stdin(&mut start, Stdio::from(socket))
}

fn welcome(stream: &mut (impl Read + Write)) {
    stream.write_all(&Connect::new("x").bytes()).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0]);
}

/// A passed socket takes the place of the listener with its address: it is ours still, so the
/// broker could not open it itself. Who connected before the start is served.
#[test]
fn a_passed_socket_takes_the_listeners_place() {
    if peer_broker(WHY) {
        return;
    }
    let mut setup =
        Setup::new(Kind::Midge).conf("listener {port} 127.0.0.1\nallow_anonymous true\n");
    let port = setup.port("port");
    let socket = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut early = TcpStream::connect(("127.0.0.1", port)).unwrap();
    early.set_read_timeout(Some(wait::LIMIT)).unwrap();
    let broker = passed(&mut setup, socket.try_clone().unwrap().into());
    welcome(&mut early);
    broker.err_has(&format!("passed the socket of 127.0.0.1:{port}."));
    let ended = broker.stop(Signal::SIGTERM).ok();
    assert!(!ended.err.contains("cannot listen"), "{ended:?}");
    assert!(!ended.err.contains("is closed"), "{ended:?}");
    // It was not the broker's to close: the next one goes on with it.
    let mut between = TcpStream::connect(("127.0.0.1", port)).unwrap();
    between.set_read_timeout(Some(wait::LIMIT)).unwrap();
    let broker = passed(&mut setup, socket.into());
    welcome(&mut between);
    broker.stop(Signal::SIGTERM).ok();
}

/// systemd's usual socket is one for both families; a listener without an address is two of ours.
#[test]
fn one_socket_for_both_families_is_enough() {
    if peer_broker(WHY) || !has_ipv6() {
        return;
    }
    let mut setup = Setup::new(Kind::Midge).conf("listener {port}\nallow_anonymous true\n");
    let port = setup.port("port");
    let socket = TcpListener::bind(("::", port)).unwrap();
    let broker = passed(&mut setup, socket.into());
    broker.err_has(" running");
    for host in ["127.0.0.1", "::1"] {
        let mut raw = Raw::tcp(host, port);
        raw.send(&Connect::new("x").bytes());
        assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
    }
    broker.err_has("New connection from 127.0.0.1:");
    let ended = broker.stop(Signal::SIGTERM).ok();
    assert!(!ended.err.contains("cannot listen"), "{ended:?}");
    assert!(!ended.err.contains("is closed"), "{ended:?}");
}

/// A passed unix socket; its file stays, as it is the manager's.
#[test]
fn a_passed_unix_socket_stays_the_managers() {
    if peer_broker(WHY) {
        return;
    }
    let mut setup = Setup::new(Kind::Midge).conf("listener 0 {dir}/socket\nallow_anonymous true\n");
    let path = setup.dir.file("socket");
    let socket = UnixListener::bind(&path).unwrap();
    let mut early = UnixStream::connect(&path).unwrap();
    early.set_read_timeout(Some(wait::LIMIT)).unwrap();
    let broker = passed(&mut setup, socket.into());
    welcome(&mut early);
    broker.stop(Signal::SIGTERM).ok();
    assert!(path.exists());
}

/// What no listener wants is closed, and told; the configuration alone says where we listen.
#[test]
fn a_socket_that_nobody_wants_is_closed() {
    if peer_broker(WHY) {
        return;
    }
    let mut setup =
        Setup::new(Kind::Midge).conf("listener {port} 127.0.0.1\nallow_anonymous true\n");
    let other = setup.port("port2");
    let socket = TcpListener::bind(("127.0.0.1", other)).unwrap();
    let broker = passed(&mut setup, socket.into());
    broker.err_has(&format!("passed a socket of 127.0.0.1:{other}"));
    broker.err_has(" running");
    wait::until_true("it is closed", || {
        TcpStream::connect(("127.0.0.1", other)).is_err()
    });
    let mut raw = Raw::tcp("127.0.0.1", setup.port("port"));
    raw.send(&Connect::new("x").bytes());
    assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
}

/// A unit with `Accept=yes` passes a connection, from which nobody can be accepted: it was taken
/// for the listener of its address, and the broker tried without end.
#[test]
fn a_connection_is_no_socket_that_listens() {
    if peer_broker(WHY) {
        return;
    }
    let mut setup =
        Setup::new(Kind::Midge).conf("listener {port} 127.0.0.1\nallow_anonymous true\n");
    let port = setup.port("port");
    let socket = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let connection = socket.accept().unwrap().0;
    drop(socket);
    let broker = passed(&mut setup, connection.into());
    broker.err_has("cannot be used: number 1: a socket that does not listen");
    broker.err_has(" running");
    let mut raw = Raw::tcp("127.0.0.1", port);
    raw.send(&Connect::new("x").bytes());
    assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
    broker.stop(Signal::SIGTERM).ok();
}

/// The next datagram, as text. A time limit of the socket's own would end early with EINTR when
/// the process is stopped for a moment, by a debugger or by job control.
pub(crate) fn datagram(socket: &UnixDatagram) -> String {
    socket.set_nonblocking(true).unwrap();
    let mut message = [0; 2000];
    let n = wait::until("a datagram", || socket.recv(&mut message).ok());
    String::from_utf8_lossy(&message[..n]).into_owned()
}

/// systemd hears of the start, of reloads with their time, of life, and of the end, in this order.
#[test]
fn the_service_manager_hears_how_it_goes() {
    if peer_broker("2.0 says READY=1 alone") {
        return;
    }
    let setup = Setup::new(Kind::Midge);
    let path = setup.dir.file("notify");
    let ear = UnixDatagram::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let hear = || datagram(&ear);
    // The next that is no sign of life, and how many of those came before it.
    let next = || {
        let mut lives = 0;
        loop {
            match hear() {
                life if life == "WATCHDOG=1" => lives += 1,
                other => return (other, lives),
            }
        }
    };
    let broker = setup
        .conf("listener {port} 127.0.0.1\n")
        .env("NOTIFY_SOCKET", "{dir}/notify")
        .env("WATCHDOG_USEC", "400000")
        .start();
    assert_eq!(next().0, "READY=1");
    // Signs of life come by themselves, from a broker that has nothing to do.
    for _ in 0..3 {
        assert_eq!(hear(), "WATCHDOG=1");
    }
    broker.signal(Signal::SIGHUP);
    let reloading = next().0;
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(
        since.is_some_and(|us| us.parse::<u64>().is_ok()),
        "{reloading}"
    );
    assert_eq!(next().0, "READY=1");
    broker.signal(Signal::SIGTERM);
    assert_eq!(next().0, "STOPPING=1");
    broker.process.finish().ok();
}
