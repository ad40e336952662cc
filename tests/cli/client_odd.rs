//! `pub`, `sub` and `rr` where little is as it should be: names that no broker takes, places
//! without room, brokers that are away or of another time.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::iter;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::harness::client::peer_clients;
use crate::harness::raw::Raw;
use crate::harness::{Broker, Clients, Dir, Kind, Pair, Process};
use crate::wait;

/// A listener on a free port of this machine, and the port.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (listener, port)
}

/// A broker hangs up on names with control characters or non-characters and says nothing: `pub`
/// called it a lost connection, or success at QoS 0, and `sub` tried again for ever.
#[test]
fn names_that_no_broker_takes_are_refused() {
    if peer_clients("they have no words for some of them") {
        return;
    }
    for flag in ["-i", "-I", "-u", "-t", "-T", "-U", "--will-topic"] {
        for name in ["a\tb", "a\u{7f}", "\u{fffe}", "\u{fdd0}", "\u{1ffff}"] {
            let mut command = Clients::Midge.command("sub");
            command.args(["-t", "a", "-p", "1", flag, name]);
            let ended = Process::run(&mut command).with(1);
            assert!(ended.err.starts_with("Error: "), "{flag}: {ended:?}");
            assert!(ended.err.contains("--help"), "{flag}: {ended:?}");
        }
    }
}

/// How deep topics may be is for the broker to say.
#[test]
fn topics_are_as_deep_as_the_broker_lets_them() {
    let broker = Broker::open_with(Kind::Midge, "max_topic_levels 300\n");
    let deep = vec!["a"; 300].join("/");
    let pair = Pair::MIDGE_ON_MIDGE;
    pair.publish(&broker, &["-t", &deep, "-m", "down here", "-q", "1", "-r"]);
    let args = ["-t", &deep, "-C", "1"];
    assert_eq!(pair.run("sub", &broker, &args).ok().out, "down here\n");
}

/// An empty `$XDG_CONFIG_HOME` or `$HOME` is as good as none: the working directory, which may
/// be that of the program called mosquitto_pub, is no place for options.
#[test]
fn options_do_not_come_from_the_working_directory() {
    if peer_clients("they look in the root directory") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let dir = Dir::new();
    dir.write("mosquitto_pub", b"\x7fELF\xff\n");
    std::fs::create_dir(dir.file(".config")).unwrap();
    dir.write(".config/mosquitto_pub", b"\x7fELF\xff\n");
    for home in ["/nonexistent", ""] {
        let args = ["-t", "a", "-m", "x", "-q", "1"];
        let pair = Pair::MIDGE_ON_MIDGE;
        let mut command = pair.command("pub", "127.0.0.1", broker.port(), &args);
        command.env("XDG_CONFIG_HOME", "").env("HOME", home);
        Process::run(command.current_dir(dir.path())).ok();
    }
}

/// What cannot be printed is not acknowledged: it stays in the session.
#[test]
fn a_message_that_has_no_room_on_the_output_is_not_lost() {
    if peer_clients("they acknowledge first") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let pair = Pair::MIDGE_ON_MIDGE;
    for qos in ["1", "2"] {
        let session = ["-c", "-i", "me", "-t", qos, "-q", qos];
        let end = [&session[..], &["-E"]].concat();
        pair.run("sub", &broker, &end).ok();
        pair.publish(&broker, &["-t", qos, "-m", "first", "-q", qos]);
        pair.publish(&broker, &["-t", qos, "-m", "second", "-q", qos]);
        let mut command = pair.command("sub", "127.0.0.1", broker.port(), &session);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = command.stdout(full).stdin(Stdio::null()).status().unwrap();
        assert!(ended.success(), "{ended:?}");
        let two = [&session[..], &["-C", "2"]].concat();
        let ended = pair.run("sub", &broker, &two).ok();
        assert_eq!(ended.out, "first\nsecond\n", "QoS {qos}");
    }
}

/// The first message that is not retained ends `--retained-only`, and is not used up by it.
#[test]
fn a_message_that_only_ends_the_work_is_not_lost() {
    if peer_clients("they acknowledge it") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let pair = Pair::MIDGE_ON_MIDGE;
    let session = ["-c", "-i", "me", "-t", "a", "-q", "1"];
    pair.run("sub", &broker, &[&session[..], &["-E"]].concat())
        .ok();
    pair.publish(&broker, &["-t", "a", "-m", "x", "-q", "1"]);
    let ended = pair.run(
        "sub",
        &broker,
        &[&session[..], &["--retained-only"]].concat(),
    );
    assert_eq!(ended.ok().out, "");
    let ended = pair.run("sub", &broker, &[&session[..], &["-C", "1"]].concat());
    assert_eq!(ended.ok().out, "x\n");
}

/// With nothing but `-U` there is no SUBACK to wait for: `-E` never ended.
#[test]
fn unsubscribing_may_be_all_there_is_to_do() {
    if peer_clients("they need a topic to subscribe to") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let pair = Pair::MIDGE_ON_MIDGE;
    let session = ["-c", "-i", "me", "-q", "1"];
    let subscribe = ["-t", "a", "-t", "b", "-t", "c", "-E"];
    pair.run("sub", &broker, &[&session[..], &subscribe].concat())
        .ok();
    let unsubscribe = ["-U", "a", "-U", "b", "-E"];
    pair.run("sub", &broker, &[&session[..], &unsubscribe].concat())
        .ok();
    for topic in ["a", "b", "c"] {
        pair.publish(&broker, &["-t", topic, "-m", topic, "-q", "1"]);
    }
    let rest = [&session[..], &["-t", "x", "-C", "1"]].concat();
    assert_eq!(pair.run("sub", &broker, &rest).ok().out, "c\n");
}

/// `--watch`: a topic keeps to its line, whatever its messages hold, and the screen never scrolls,
/// which would put all lines out of place.
#[test]
fn watched_topics_keep_to_their_lines() {
    if peer_clients("new in 2.1") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let pair = Pair::MIDGE_ON_MIDGE;
    pair.publish(&broker, &["-t", "a", "-m", "one\r\ntwo", "-r"]);
    let ended = pair.run("sub", &broker, &["-t", "a", "-w", "-C", "1"]).ok();
    let screen = "\x1b[2J\x1b[1;1HBroker: 127.0.0.1\n";
    let line = "\x1b[2;1H\x1b[K\x1b[?7lone  two\x1b[?7h\x1b[3;1H";
    assert_eq!(ended.out, format!("{screen}{line}"));
    for n in 1..30 {
        pair.publish(&broker, &["-t", &format!("a/{n}"), "-m", "x", "-r"]);
    }
    let args = ["-t", "a/#", "-v", "-w", "-C", "30"];
    let ended = pair.run("sub", &broker, &args).ok();
    let rest = ended.out.strip_prefix(screen).unwrap();
    assert!(!rest.contains('\n'), "{rest:?}");
    assert!(rest.ends_with("\x1b[?7h\x1b[32;1H"), "{rest:?}");
}

/// `--watch`: what a terminal would obey is taken out of messages, so that none of them can write
/// into the line of another; what the user's own format has of it stays.
#[test]
fn watched_messages_do_not_move_the_cursor() {
    if peer_clients("they let messages do that") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let pair = Pair::MIDGE_ON_MIDGE;
    // U+009B is a control character as well; of the letter U+06DB 9b is the second byte.
    let evil = "x\x1b[1;1Hy\x07\x08\u{9b}2J\u{6db}";
    pair.publish(&broker, &["-t", "a", "-m", evil, "-r"]);
    let run = |more: &[&str]| {
        let args = [&["-t", "a", "-w", "-C", "1"], more].concat();
        let ended = pair.run("sub", &broker, &args).ok();
        let from = ended.out.find("\x1b[?7l").unwrap();
        ended.out[from..].to_string()
    };
    let tame = "x [1;1Hy  \u{fffd} 2J\u{6db}";
    assert_eq!(run(&["-v"]), format!("\x1b[?7la {tame}\x1b[?7h\x1b[3;1H"));
    let format = ["-F", "\\e[1m%t\\e[0m %p %x"];
    let hex = "781b5b313b3148790708c29b324adb9b";
    let line = format!("\x1b[1ma\x1b[0m {tame} {hex}");
    assert_eq!(run(&format), format!("\x1b[?7l{line}\x1b[?7h\x1b[3;1H"));
}

/// With `--message-rate` only the printing is another: what is to be left out, to be cleared or
/// to be the last one is as without.
#[test]
fn messages_are_counted_as_they_are_printed() {
    if peer_clients("new in 2.1") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let pair = Pair::MIDGE_ON_MIDGE;
    for topic in ["a/1", "a/2"] {
        pair.publish(&broker, &["-t", topic, "-m", "old", "-r"]);
    }
    let rate = ["-t", "a/#", "--message-rate"];
    let run = |more: &[&str]| pair.run("sub", &broker, &[&rate[..], more].concat());
    run(&["-C", "2"]).ok();
    for more in [&["-T", "a/1"][..], &["-R"]] {
        let mut sub = pair.sub(&broker, &[&rate[..], more].concat());
        if more == ["-R"] {
            pair.publish(&broker, &["-t", "a/1", "-m", "new"]);
        }
        // It may take them more than a second.
        let first = iter::repeat_with(|| sub.line()).find(|line| line != "0 msgs/s");
        assert_eq!(first.as_deref(), Some("1 msgs/s"), "{more:?}");
    }
    run(&["--remove-retained", "-C", "2"]).ok();
    run(&["-E"]).ok();
    let ended = pair.run("sub", &broker, &["-t", "a/#", "-W", "1"]);
    assert_eq!(ended.with(27).out, "");
}

/// Ctrl-C while the broker is away is the same good end as at any other time.
#[test]
fn sub_ends_well_between_two_attempts() {
    if peer_clients("they give up after a proxy that fails") {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (proxy, port) = listener();
        let url = format!("socks5h://127.0.0.1:{port}");
        let mut command = Clients::Midge.command("sub");
        let sub = Process::spawn(command.args(["--proxy", &url, "-t", "a"]));
        // What a proxy is asked: how to sign in, and for a connection to localhost.
        let greeted = || {
            let mut stream = proxy.accept().unwrap().0;
            stream.read_exact(&mut [0; 3]).unwrap();
            stream.write_all(&[5, 0]).unwrap();
            stream.read_exact(&mut [0; 3 + 1 + 1 + 9 + 2]).unwrap();
            Raw::accepted(stream)
        };
        let mut raw = greeted();
        raw.send(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(raw.receive()[0], 0x10);
        drop(raw);
        let mut raw = greeted();
        raw.send(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
        raw.closed();
        wait::until_true("sub waits for its next attempt", || sub.is_asleep());
        sub.stop(signal).ok();
    }
}

/// The same while it waits for a host that does not answer: nothing but the system looks at
/// signals then.
#[test]
fn sub_ends_well_during_an_attempt() {
    if peer_clients("they cannot be stopped then") {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let local = "127.0.0.1:0".parse::<SocketAddr>().unwrap();
        socket.bind(&local.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut command = Clients::Midge.command("sub");
        let port = address.port().to_string();
        let sub = Process::spawn(command.args(["-h", "127.0.0.1", "-p", &port, "-t", "a"]));
        let mut raw = Raw::accepted(socket.accept().unwrap().0.into());
        assert_eq!(raw.receive()[0], 0x10);
        raw.send(&[0x20, 2, 0, 0]);
        // It waits to be accepted, and nobody else may.
        let _first = TcpStream::connect(address).unwrap();
        drop(raw);
        // Its state, SYN_SENT.
        let unanswered = format!(" 0100007F:{:04X} 02 ", address.port());
        wait::until_true("sub knocks again", || {
            let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
            sockets.contains(&unanswered)
        });
        sub.stop(signal).ok();
    }
}

/// A broker that is silent does not hold up the end: there it took a second.
#[test]
fn a_broker_that_hangs_does_not_hold_up_ctrl_c() {
    for connack in [&[][..], &[0x20, 2, 0, 0]] {
        let times = (0..5).map(|_| {
            let (listener, port) = listener();
            let mut command = Clients::Midge.command("sub");
            let sub = Process::spawn(command.args(["-h", "127.0.0.1", "-p", &port, "-t", "a"]));
            let mut raw = Raw::accepted(listener.accept().unwrap().0);
            assert_eq!(raw.receive()[0], 0x10);
            raw.send(connack);
            if !connack.is_empty() {
                assert_eq!(raw.receive()[0], 0x82);
            }
            let start = Instant::now();
            sub.stop(Signal::SIGINT);
            if !connack.is_empty() {
                assert_eq!(raw.receive(), [0xe0, 0], "and a good-bye");
            }
            start.elapsed()
        });
        // A machine with much to do may be slow once, or twice.
        let mut times = times.take_while(|&time| time >= Duration::from_secs(1));
        assert!(times.nth(4).is_none(), "{connack:02x?}: a second each time");
    }
}

/// Return codes that MQTT 3 does not have are refusals all the same, and exit codes.
#[test]
fn refusals_of_a_broker_s_own() {
    for code in [6, 128, 255] {
        let (listener, port) = listener();
        let broker = thread::spawn(move || {
            let mut raw = Raw::accepted(listener.accept().unwrap().0);
            assert_eq!(raw.receive()[0], 0x10);
            raw.send(&[0x20, 2, 0, code]);
            raw.closed();
        });
        let mut command = Clients::Midge.command("pub");
        command.args(["-h", "127.0.0.1", "-p", &port, "-t", "a", "-m", "x"]);
        let ended = Process::run(&mut command).with(code.into());
        assert!(ended.err.contains("unknown reason"), "{ended:?}");
        broker.join().unwrap();
    }
}

/// A proxy that says a little at a time has no more time than one that says nothing.
#[test]
fn time_runs_out_at_a_proxy_that_trickles() {
    if peer_clients("they give up in other ways") {
        return;
    }
    let (proxy, port) = listener();
    let proxy = thread::spawn(move || {
        let mut stream = proxy.accept().unwrap().0;
        stream.read_exact(&mut [0; 3]).unwrap();
        // An answer with a long name in it.
        stream.write_all(&[5, 0, 5, 0, 0, 3, 255]).unwrap();
        // For as long as it is there, one byte after the other, far apart.
        let apart = Duration::from_millis(300);
        stream.set_read_timeout(Some(apart)).unwrap();
        while !matches!(stream.read(&mut [0; 256]), Ok(0)) && stream.write_all(b"x").is_ok() {}
    });
    let url = format!("socks5h://127.0.0.1:{port}");
    let mut command = Clients::Midge.command("sub");
    command.args(["-t", "a", "-W", "1", "--proxy", &url]);
    let ended = Process::run(&mut command).with(27);
    assert_eq!(ended.err, "Timed out\n");
    proxy.join().unwrap();
}

/// `-W` is kept also where it takes long to get to the broker at all.
#[test]
fn time_runs_out_on_the_way_to_the_broker() {
    if peer_clients("they give up in other ways") {
        return;
    }
    let dir = Dir::new();
    let path = dir.at("socket");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    // It waits to be accepted, and nobody else may.
    let _first = Raw::unix(&path);
    let (_deaf, port) = listener();
    let url = format!("socks5h://127.0.0.1:{port}");
    for way in [["--unix", &path], ["--proxy", &url]] {
        let mut command = Clients::Midge.command("sub");
        command.args(["-t", "a", "-W", "1"]).args(way);
        let ended = Process::run(&mut command).with(27);
        assert_eq!(ended.err, "Timed out\n", "{way:?}");
    }
}

/// A broker of MQTT 3 answers 5.0 in its own form, and one of 5.0 alone does so with 3.1.1.
#[test]
fn a_broker_of_another_version_is_told() {
    if peer_clients("they know one of the two") {
        return;
    }
    for (version, connack, words) in [
        ("5", &b"\x20\x02\0\x01"[..], "Unsupported Protocol Version"),
        ("311", b"\x20\x03\0\x84\0", "Connection Refused"),
    ] {
        let (listener, port) = listener();
        let broker = thread::spawn(move || {
            let mut raw = Raw::accepted(listener.accept().unwrap().0);
            assert_eq!(raw.receive()[0], 0x10);
            raw.send(connack);
            raw.closed();
        });
        let mut command = Clients::Midge.command("rr");
        command.args(["-h", "127.0.0.1", "-p", &port, "-V", version]);
        command.args(["-t", "a", "-e", "b", "-m", "x"]);
        let ended = Process::run(&mut command).with(0x84);
        assert!(ended.err.contains(words), "{ended:?}");
        broker.join().unwrap();
    }
}

/// What a broker gives as its reason does nothing to the terminal.
#[test]
fn a_reason_of_the_broker_s_is_harmless() {
    if peer_clients("they call it malformed") {
        return;
    }
    let (listener, port) = listener();
    let broker = thread::spawn(move || {
        let mut raw = Raw::accepted(listener.accept().unwrap().0);
        assert_eq!(raw.receive()[0], 0x10);
        raw.send(&[0x20, 3, 0, 0, 0]);
        let publish = raw.receive();
        raw.send(&[0x40, 10, publish[5], publish[6], 0x87, 6, 0x1f, 0, 3]);
        raw.send(b"\x1b[m");
        raw.closed();
    });
    let mut command = Clients::Midge.command("pub");
    command.args(["-h", "127.0.0.1", "-p", &port, "-V", "5", "-q", "1"]);
    let ended = Process::run(command.args(["-t", "a", "-m", "x"])).ok();
    assert!(
        ended.err.ends_with("Not authorized.\n\u{fffd}[m\n"),
        "{ended:?}"
    );
    broker.join().unwrap();
}
