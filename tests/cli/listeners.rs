//! Listeners: several of them, unix sockets, addresses, and the settings that are theirs.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::harness::broker::{OPEN, Setup, peer_broker};
use crate::harness::client::constellations;
use crate::harness::port::has_ipv6;
use crate::harness::raw::{Connect, Raw, publish, subscribe};
use crate::harness::{Broker, Clients, Dir, Kind, Pair, Process, tools};
use crate::wait;

fn code(host: &str, port: u16, connect: &Connect) -> u8 {
    let mut raw = Raw::tcp(host, port);
    raw.send(&connect.bytes());
    raw.receive()[3]
}

fn passwd(dir: &Dir, name: &str, user: &str) {
    let args = ["-b", "-c", &dir.at(name), user, user];
    Process::run(Clients::Midge.command("passwd").args(args)).ok();
}

/// Messages go from one listener to the other.
#[test]
fn several_listeners_are_one_broker() {
    let broker = Broker::start(
        Kind::Midge,
        "allow_anonymous true\nlistener {port} 127.0.0.1\nlistener {port2} 127.0.0.1\n\
         listener {port3} ::1\n",
    );
    let mut reader = Raw::welcome(&broker, &Connect::new("reader"));
    reader.send(&subscribe("a", 0));
    reader.receive();
    for (host, name) in [("127.0.0.1", "port2"), ("::1", "port3")] {
        if host == "::1" && !has_ipv6() {
            continue;
        }
        let mut writer = Raw::tcp(host, broker.port_named(name));
        writer.send(&Connect::new("writer").bytes());
        assert_eq!(writer.receive()[3], 0);
        writer.send(&publish(0x30, "a", 0, name.as_bytes()));
        assert_eq!(reader.receive(), publish(0x30, "a", 0, name.as_bytes()));
    }
}

constellations! {
    /// A unix socket, from both sides; its file is gone after a stop.
    fn unix_sockets(pair) {
        let broker = Setup::new(pair.broker)
            .conf("listener 0 {dir}/socket\nallow_anonymous true\n")
            .start();
        let path = broker.dir().at("socket");
        let mut raw = Raw::unix(&path);
        raw.send(&Connect::new("raw").bytes());
        assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
        raw.send(&subscribe("a", 1));
        raw.receive();
        let mut command = pair.clients.command("pub");
        command.args(["--unix", &path, "-t", "a", "-m", "x", "-q", "1", "-r"]);
        Process::run(&mut command).ok();
        assert_eq!(raw.receive(), publish(0x32, "a", 1, b"x"));
        let mut command = pair.clients.command("sub");
        command.args(["--unix", &path, "-t", "a", "-C", "1"]);
        assert_eq!(Process::run(&mut command).ok().out, "x\n");
        let (ended, setup) = broker.stop_with(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(ended.code, 0);
        assert!(!setup.dir.file("socket").exists());
    }
}

/// A socket file that a killed broker left behind does not stop the next one.
#[test]
fn a_left_unix_socket_is_replaced() {
    let setup = Setup::new(Kind::Midge).conf("listener 0 {dir}/socket\nallow_anonymous true\n");
    drop(std::os::unix::net::UnixListener::bind(setup.dir.file("socket")).unwrap());
    assert!(setup.dir.file("socket").exists());
    let broker = setup.start();
    let mut raw = Raw::unix(&broker.dir().at("socket"));
    raw.send(&Connect::new("raw").bytes());
    assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
}

constellations! {
    /// Who may come by a unix socket: the user and the group that the broker became.
    fn unix_sockets_belong_to_user_and_group(pair) {
        let is_root = nix::unistd::geteuid().is_root();
        if tools::excused(!is_root, "needs root") {
            return;
        }
        let setup = Setup::new(pair.broker)
            .conf("user daemon\nlistener 0 {dir}/socket\nallow_anonymous true\n");
        fs::set_permissions(setup.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let broker = setup.start();
        broker.logs(" running");
        let socket = fs::metadata(broker.dir().at("socket")).unwrap();
        assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o777), (1, 1, 0o770));
    }
}

/// `per_listener_settings`: each listener has its own passwords and its own rule for strangers.
#[test]
fn per_listener_settings() {
    let setup = Setup::new(Kind::Midge);
    passwd(&setup.dir, "one", "anna");
    passwd(&setup.dir, "two", "bert");
    let broker = setup
        .conf(
            "per_listener_settings true\n\
             listener {port} 127.0.0.1\npassword_file {dir}/one\n\
             listener {port2} 127.0.0.1\npassword_file {dir}/two\nallow_anonymous true\n\
             listener {port3} 127.0.0.1\n",
        )
        .start();
    let who = |name: Option<&str>| Connect::new("x").user(name, name);
    let at = |name: &str| {
        let port = broker.port_named(name);
        [None, Some("anna"), Some("bert")].map(|n| code("127.0.0.1", port, &who(n)))
    };
    assert_eq!(at("port"), [5, 0, 5]);
    assert_eq!(at("port2"), [0, 5, 0]);
    assert_eq!(at("port3"), [5, 5, 5]);
}

/// Without it, security options hold for all listeners, wherever they stand.
#[test]
fn settings_are_global_otherwise() {
    let setup = Setup::new(Kind::Midge);
    passwd(&setup.dir, "one", "anna");
    let broker = setup
        .conf(
            "listener {port} 127.0.0.1\nlistener {port2} 127.0.0.1\n\
             password_file {dir}/one\nallow_anonymous false\n",
        )
        .start();
    for name in ["port", "port2"] {
        let port = broker.port_named(name);
        let anna = Connect::new("x").user(Some("anna"), Some("anna"));
        assert_eq!(code("127.0.0.1", port, &anna), 0);
        assert_eq!(code("127.0.0.1", port, &Connect::new("x")), 5);
    }
}

/// The old way: `port` and `bind_address`.
#[test]
fn port_and_bind_address() {
    let broker = Broker::start(
        Kind::Midge,
        "port {port}\nbind_address 127.0.0.1\nallow_anonymous true\n",
    );
    assert_eq!(code("127.0.0.1", broker.port(), &Connect::new("x")), 0);
    assert!(TcpStream::connect(("127.0.0.2", broker.port())).is_err());
    assert!(!has_ipv6() || TcpStream::connect(("::1", broker.port())).is_err());
}

/// A listener without an address is for all of them; `socket_domain` keeps it to one family.
#[test]
fn all_addresses_and_one_family() {
    let broker = Broker::start(Kind::Midge, "listener {port}\nallow_anonymous true\n");
    assert_eq!(code("127.0.0.2", broker.port(), &Connect::new("x")), 0);
    for (family, host, other) in [("ipv4", "127.0.0.1", "::1"), ("ipv6", "::1", "127.0.0.1")] {
        if !has_ipv6() {
            continue;
        }
        let broker = Broker::start(
            Kind::Midge,
            &format!("listener {{port}}\nsocket_domain {family}\nallow_anonymous true\n"),
        );
        assert_eq!(code(host, broker.port(), &Connect::new("x")), 0);
        assert!(
            TcpStream::connect((other, broker.port())).is_err(),
            "{family}"
        );
    }
}

/// A listener named by a host name.
#[test]
fn a_listener_on_localhost() {
    let broker = Broker::start(
        Kind::Midge,
        "listener {port} localhost\nallow_anonymous true\n",
    );
    assert_eq!(code("127.0.0.1", broker.port(), &Connect::new("x")), 0);
    assert!(TcpStream::connect(("127.0.0.2", broker.port())).is_err());
}

/// `max_connections`: one too many is closed, and there is room again when one has gone.
#[test]
fn max_connections() {
    if peer_broker("2.0.11 lets one more in") {
        return;
    }
    let broker = Broker::start(
        Kind::Midge,
        "listener {port} 127.0.0.1\nmax_connections 2\nallow_anonymous true\n",
    );
    // The harness has been there itself: wait until its own connection is forgotten.
    let sign_in = |id: &str| {
        let mut raw = Raw::to(&broker);
        raw.try_send(&Connect::new(id).bytes());
        raw.try_receive().map(|_| raw)
    };
    let first = wait::until("room for one", || sign_in("first"));
    let second = wait::until("room for two", || sign_in("second"));
    assert!(sign_in("third").is_none());
    drop(first);
    let third = wait::until("room again", || sign_in("third"));
    drop((second, third));
}

/// `mount_point`: what is below is the whole world to the clients of that listener.
#[test]
fn mount_point() {
    if peer_broker("2.0.11 does not take the prefix off again") {
        return;
    }
    let broker = Broker::start(
        Kind::Midge,
        "allow_anonymous true\nlistener {port} 127.0.0.1\n\
         listener {port2} 127.0.0.1\nmount_point room/\n",
    );
    let mut outside = Raw::welcome(&broker, &Connect::new("outside"));
    outside.send(&subscribe("#", 0));
    outside.receive();
    let mut inside = Raw::tcp("127.0.0.1", broker.port_named("port2"));
    inside.send(&Connect::new("inside").will("will", "gone", 0).bytes());
    inside.receive();
    inside.send(&subscribe("#", 0));
    inside.receive();
    inside.send(&publish(0x30, "a", 0, b"x"));
    assert_eq!(outside.receive(), publish(0x30, "room/a", 0, b"x"));
    assert_eq!(inside.receive(), publish(0x30, "a", 0, b"x"));
    outside.send(&publish(0x30, "b", 0, b"x"));
    outside.send(&publish(0x30, "room/b", 0, b"y"));
    assert_eq!(outside.receive(), publish(0x30, "b", 0, b"x"));
    assert_eq!(inside.receive(), publish(0x30, "b", 0, b"y"));
    drop(inside);
    assert_eq!(outside.receive(), publish(0x30, "room/b", 0, b"y"));
    assert_eq!(outside.receive(), publish(0x30, "room/will", 0, b"gone"));
}

/// `max_qos`: MQTT 5 is told; MQTT 3 is closed when it goes beyond.
#[test]
fn max_qos() {
    let broker = Broker::start(
        Kind::Midge,
        "allow_anonymous true\nlistener {port} 127.0.0.1\nmax_qos 1\n",
    );
    let (_five, answer) = Raw::sign_in(&broker, &Connect::new("five").v5());
    let properties = &answer[5..];
    assert!(
        properties.windows(2).any(|w| w == [0x24, 1]),
        "{answer:02x?}"
    );
    let mut three = Raw::welcome(&broker, &Connect::new("three"));
    three.send(&publish(0x34, "a", 1, b"x"));
    three.closed();
}

/// `use_username_as_clientid`: the name is the id, and no name is refused.
#[test]
fn use_username_as_clientid() {
    let broker = Broker::start(
        Kind::Midge,
        "allow_anonymous true\nlistener {port} 127.0.0.1\nuse_username_as_clientid true\n",
    );
    let who = Connect::new("something").user(Some("anna"), Some("x"));
    let _raw = Raw::welcome(&broker, &who);
    broker.logs("as anna (");
    assert_eq!(
        code("127.0.0.1", broker.port(), &Connect::new("something")),
        5
    );
}

/// New in 2.1: a listener may choose its protocol versions and its rule for strangers.
#[test]
fn what_2_1_brought() {
    if peer_broker("new in 2.1") {
        return;
    }
    let broker = Broker::start(
        Kind::Midge,
        "listener {port} 127.0.0.1\naccept_protocol_versions 4\nallow_anonymous true\n\
         listener {port2} 127.0.0.1\nlistener_allow_anonymous false\n",
    );
    assert_eq!(code("127.0.0.1", broker.port(), &Connect::new("x")), 0);
    assert_eq!(
        code("127.0.0.1", broker.port(), &Connect::new("x").v5()),
        0x84
    );
    assert_eq!(
        code("127.0.0.1", broker.port_named("port2"), &Connect::new("x")),
        5
    );
}

/// `bind_interface`: the loopback interface is a fine one. (One that is not there: see `starts`.)
#[test]
fn bind_interface() {
    if !nix::unistd::geteuid().is_root() {
        return crate::harness::tools::skipped("bind_interface", "needs root");
    }
    let broker = Broker::start(
        Kind::Midge,
        "listener {port} 127.0.0.1\nbind_interface lo\nallow_anonymous true\n",
    );
    assert_eq!(code("127.0.0.1", broker.port(), &Connect::new("x")), 0);
}

/// Options before any listener belong to the default listener, which then exists.
#[test]
fn options_in_included_files_are_for_the_default_listener() {
    let broker = Setup::new(Kind::Midge)
        .file("conf.d/x.conf", "sys_interval 1\nmax_inflight_messages 5\n")
        .conf(&format!("{OPEN}include_dir {{dir}}/conf.d\n"))
        .start();
    assert_eq!(code("127.0.0.1", broker.port(), &Connect::new("x")), 0);
}
