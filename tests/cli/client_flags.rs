//! The flags of `pub`, `sub` and `rr`, one after the other.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::client::{constellations, peer_clients};
use crate::harness::frame::From;
use crate::harness::raw::Raw;
use crate::harness::{Broker, Clients, Dir, Kind, Pair, Process};

constellations! {
    /// `-l`: each line of standard input is a message, as it comes; blank ones are not sent.
    fn pub_lines(pair) {
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-t", "a", "-q", "1"]);
        let args = ["-t", "a", "-l", "-q", "1"];
        let mut command = pair.command("pub", "127.0.0.1", broker.port(), &args);
        let mut writer = Process::spawn(&mut command);
        for line in ["first", "second line", "  blanks  "] {
            writer.write(format!("\n{line}\n").as_bytes());
            sub.expect(line);
        }
        writer.finish().ok();
    }

    /// `-s`: all of standard input is one message; `-f`: a file is.
    fn pub_input_and_files(pair) {
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-t", "a", "-F", "%l %p"]);
        pair.run_with("pub", &broker, &["-t", "a", "-s"], b"one two\n").ok();
        sub.expect("8 one two");
        sub.expect("");
        let dir = Dir::new();
        let big = "x".repeat(100_000);
        let file = dir.write("payload", &big);
        pair.publish(&broker, &["-t", "a", "-f", &file]);
        sub.expect(&format!("100000 {big}"));
        let empty = dir.write("empty", "");
        let ended = pair.run("pub", &broker, &["-t", "a", "-f", &empty]);
        assert!(ended.code == 0 || pair.clients.is_peer(), "{ended:?}");
    }

    /// `-m` takes any bytes that the system lets through.
    fn pub_bytes(pair) {
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-t", "a", "-F", "%x"]);
        let mut command = pair.command("pub", "127.0.0.1", broker.port(), &["-t", "a", "-m"]);
        Process::run(command.arg(OsStr::from_bytes(b"\xff\xa0\x01"))).ok();
        sub.expect("ffa001");
    }

    /// A HOME that is no folder has no option file, which is no fault.
    fn home_is_nowhere(pair) {
        let broker = Broker::open(pair.broker);
        let args = ["-t", "a", "-m", "x", "-q", "1"];
        let mut command = pair.command("pub", "127.0.0.1", broker.port(), &args);
        Process::run(command.env("HOME", "/dev/null")).ok();
    }

    /// What is no file of this user's is no option file, and no fault.
    fn options_that_are_none(pair) {
        let broker = Broker::open(pair.broker);
        let dir = Dir::new();
        let send = || {
            let args = ["-t", "a", "-m", "x", "-q", "1"];
            let mut command = pair.command("pub", "127.0.0.1", broker.port(), &args);
            Process::run(command.env("XDG_CONFIG_HOME", dir.path())).ok();
        };
        let path = dir.file("mosquitto_pub");
        fs::create_dir(&path).unwrap();
        send();
        fs::remove_dir(&path).unwrap();
        // Root reads it all the same.
        dir.write("mosquitto_pub", "--nodelay\n");
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        send();
    }

    /// `-n`: nothing, which is something.
    fn pub_null(pair) {
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-t", "a", "-F", "[%l|%p]"]);
        pair.publish(&broker, &["-t", "a", "-n"]);
        sub.expect("[0|]");
    }

    /// `--repeat`, and `--repeat-delay` between.
    fn pub_repeat(pair) {
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-t", "a"]);
        pair.publish(&broker, &["-t", "a", "-m", "x", "--repeat", "3", "-q", "1"]);
        sub.process.expect_all(["x", "x", "x"]);
        let before = Instant::now();
        let args = ["-t", "a", "-m", "y", "--repeat", "3", "--repeat-delay", "0.3"];
        pair.publish(&broker, &args);
        assert!(before.elapsed() >= Duration::from_millis(600));
        sub.process.expect_all(["y", "y", "y"]);
        pair.publish(&broker, &["-t", "a", "-m", "end"]);
        sub.expect("end");
    }

    /// `-d` traces packets on standard output.
    fn debug_trace(pair) {
        let broker = Broker::open(pair.broker);
        let ended = pair.publish(&broker, &["-t", "a", "-m", "x", "-q", "2", "-d", "-i", "me"]);
        for text in [
            "Client me sending CONNECT",
            "Client me received CONNACK (0)",
            "Client me sending PUBLISH (d0, q2, r0, m1, 'a', ... (1 bytes))",
            "Client me received PUBREC (Mid: 1)",
            "Client me sending PUBREL (m1)",
            "Client me received PUBCOMP (Mid: 1, RC:0)",
            "Client me sending DISCONNECT",
        ] {
            assert!(ended.out.contains(text), "no {text:?} in {ended:?}");
        }
        pair.publish(&broker, &["-t", "a", "-m", "x", "-r"]);
        let ended = pair.run("sub", &broker, &["-t", "a", "-C", "1", "-d", "-i", "me"]).ok();
        for text in [
            "Client me sending SUBSCRIBE (Mid: 1, Topic: a, QoS: 0, Options: 0x00)",
            "Client me received SUBACK",
            "Subscribed (mid: 1): 0",
            "Client me received PUBLISH (d0, q0, r1, m0, 'a', ... (1 bytes))",
        ] {
            assert!(ended.out.contains(text), "no {text:?} in {ended:?}");
        }
    }

    /// `-L`: everything in one address.
    fn urls(pair) {
        let broker = Broker::open(pair.broker);
        let url = format!("mqtt://anna:secret@127.0.0.1:{}/a/b", broker.port());
        let mut command = pair.clients.command("pub");
        Process::run(command.args(["-L", &url, "-m", "x", "-r"])).ok();
        broker.logs("u'anna'");
        let mut command = pair.clients.command("sub");
        let ended = Process::run(command.args(["-L", &url, "-C", "1", "-v"])).ok();
        assert_eq!(ended.out, "a/b x\n");
    }

    /// `-A`: from which address.
    fn bind_address(pair) {
        let broker = Broker::open(pair.broker);
        pair.publish(&broker, &["-t", "a", "-m", "x", "-A", "127.0.0.3", "-i", "bound"]);
        broker.logs("New client connected from 127.0.0.3:");
    }

    /// `-C`: so many messages and no more.
    fn sub_count(pair) {
        let broker = Broker::open(pair.broker);
        let sub = pair.sub(&broker, &["-t", "a", "-q", "1", "-C", "2"]);
        let lines = "1\n2\n3\n4\n";
        pair.run_with("pub", &broker, &["-t", "a", "-q", "1", "-l"], lines.as_bytes()).ok();
        let ended = sub.process.finish().ok();
        assert_eq!(ended.out, "1\n2\n");
        sub.proxy.closed();
        // Mosquitto's sometimes goes without a word.
        let goodbye = sub.proxy.headers().contains(&0xe0);
        assert!(goodbye || pair.clients.is_peer(), "it says goodbye");
    }

    /// `-E`: gone as soon as the subscription stands.
    fn sub_exit_after_suback(pair) {
        let broker = Broker::open(pair.broker);
        let args = ["-t", "a", "-q", "1", "-E", "-i", "x", "-c"];
        let (ended, proxy) = pair.record("sub", "127.0.0.1", &broker, &args);
        ended.ok();
        assert_eq!(proxy.headers(), [0x10, 0x20, 0x82, 0x90, 0xe0]);
        pair.publish(&broker, &["-t", "a", "-q", "1", "-m", "kept"]);
        let ended = pair.run("sub", &broker, &["-t", "a", "-q", "1", "-C", "1", "-i", "x", "-c"]);
        assert_eq!(ended.ok().out, "kept\n");
    }

    /// `-T` hides topics, `-U` takes a subscription back.
    fn sub_filter_out_and_unsubscribe(pair) {
        let broker = Broker::open(pair.broker);
        let args = ["-v", "-t", "a/#", "-T", "a/b/#", "-T", "+/c"];
        let mut sub = pair.sub(&broker, &args);
        for topic in ["a/b", "a/b/x", "a/c", "a/d"] {
            pair.publish(&broker, &["-t", topic, "-m", "x"]);
        }
        sub.expect("a/d x");

        let mut sub = pair.sub(&broker, &["-v", "-t", "a", "-t", "b", "-U", "a"]);
        let unsubscribed = sub.proxy.wait_kind(From::Client, 10, 1);
        assert_eq!(unsubscribed.bytes[4..], *b"\0\x01a");
        sub.proxy.wait_kind(From::Broker, 11, 1);
        for topic in ["a", "b"] {
            pair.publish(&broker, &["-t", topic, "-m", "x"]);
        }
        sub.expect("b x");
    }

    /// `-R` hides what is retained; `--retained-only` leaves with the first that is not.
    fn sub_and_retained(pair) {
        let broker = Broker::open(pair.broker);
        for topic in ["a/1", "a/2"] {
            pair.publish(&broker, &["-t", topic, "-m", "old", "-r"]);
        }
        let mut sub = pair.sub(&broker, &["-v", "-t", "a/#", "-R"]);
        pair.publish(&broker, &["-t", "a/3", "-m", "new"]);
        sub.expect("a/3 new");

        let mut sub = pair.sub(&broker, &["-v", "-t", "a/#", "--retained-only"]);
        let mut lines = [sub.line(), sub.line()];
        lines.sort();
        assert_eq!(lines, ["a/1 old", "a/2 old"]);
        pair.publish(&broker, &["-t", "a/3", "-m", "new"]);
        let ended = sub.process.finish().ok();
        assert!(!ended.out.contains("a/3"), "{ended:?}");
    }

    /// `--remove-retained` clears what it sees.
    fn sub_remove_retained(pair) {
        let broker = Broker::open(pair.broker);
        for topic in ["a/1", "a/2", "b/1"] {
            pair.publish(&broker, &["-t", topic, "-m", "old", "-r"]);
        }
        let args = ["-t", "a/#", "--remove-retained", "--retained-only", "-W", "2"];
        pair.run("sub", &broker, &args);
        let mut sub = pair.sub(&broker, &["-v", "-t", "+/1", "-t", "+/2", "-t", "end"]);
        pair.publish(&broker, &["-t", "end", "-m", "x"]);
        sub.process.expect_all(["b/1 old", "end x"]);
    }

    /// `--retain-as-published` and no local, the subscription options of MQTT 5.
    fn sub_options_of_mqtt_5(pair) {
        let broker = Broker::open(pair.broker);
        let args = ["-V", "5", "-t", "a", "--retain-as-published", "-F", "%r %p"];
        let mut sub = pair.sub(&broker, &args);
        pair.publish(&broker, &["-t", "a", "-m", "x", "-r"]);
        sub.expect("1 x");
        let mut sub = pair.sub(&broker, &["-V", "5", "-t", "a", "-F", "%r %p"]);
        sub.expect("1 x");
        pair.publish(&broker, &["-t", "a", "-m", "y", "-r"]);
        sub.expect("0 y");
    }

    /// `-D`: properties of each packet.
    fn properties(pair) {
        let broker = Broker::open(pair.broker);
        let args = [
            "-V", "5", "-t", "a", "-F", "%p|%C|%R|%D|%E|%F|%P|%S",
            "-D", "subscribe", "subscription-identifier", "7",
            "-D", "connect", "user-property", "who", "me",
        ];
        let mut sub = pair.sub(&broker, &args);
        let args = [
            "-V", "5", "-t", "a", "-m", "x",
            "-D", "publish", "content-type", "text/plain",
            "-D", "publish", "response-topic", "back",
            "-D", "publish", "correlation-data", "id-1",
            "-D", "publish", "message-expiry-interval", "1000",
            "-D", "publish", "payload-format-indicator", "1",
            "-D", "publish", "user-property", "k", "v",
        ];
        pair.publish(&broker, &args);
        assert_eq!(sub.line(), "x|text/plain|back|id-1|1000|1|k:v|7");
    }

    /// Shared subscriptions: each message goes to one of the group.
    fn shared_subscriptions(pair) {
        let broker = Broker::open(pair.broker);
        let args = ["-V", "5", "-t", "$share/group/a", "-q", "1"];
        let first = pair.sub(&broker, &args);
        let second = pair.sub(&broker, &args);
        let lines = (0..40).map(|n| n.to_string()).collect::<Vec<_>>().join("\n") + "\n";
        pair.run_with("pub", &broker, &["-t", "a", "-q", "1", "-l"], lines.as_bytes()).ok();
        let seen = |text: String| text.lines().map(String::from).collect::<Vec<_>>();
        crate::wait::until_true("all forty", || {
            seen(first.process.out.text()).len() + seen(second.process.out.text()).len() == 40
        });
        let mut all = seen(first.process.out.text());
        assert!((10..=30).contains(&all.len()), "a fair share: {}", all.len());
        all.extend(seen(second.process.out.text()));
        all.sort_by_key(|n| n.parse::<u32>().unwrap());
        assert_eq!(all.join("\n") + "\n", lines);
    }

    /// A question and its answer.
    fn request_and_response(pair) {
        let broker = Broker::open(pair.broker);
        let args = ["-V", "5", "-t", "question", "-F", "%R|%D|%p"];
        let mut answerer = pair.sub(&broker, &args);
        let args = [
            "-t", "question", "-e", "answer/here", "-m", "how much?", "-v",
            "-D", "publish", "correlation-data", "id-9",
        ];
        let mut asker = Process::spawn(&mut pair.command("rr", "127.0.0.1", broker.port(), &args));
        assert_eq!(answerer.line(), "answer/here|id-9|how much?");
        assert!(asker.is_running());
        pair.publish(&broker, &["-t", "answer/here", "-m", "42"]);
        assert_eq!(asker.finish().ok().out, "answer/here 42\n");
    }

    /// Nobody answers: 27.
    fn a_question_without_answer(pair) {
        let broker = Broker::open(pair.broker);
        let args = ["-t", "question", "-e", "answer", "-m", "x", "-W", "1"];
        let ended = pair.run("rr", &broker, &args);
        assert_eq!(ended.code, 27, "{ended:?}");
    }

    /// Large payloads come through, at every QoS.
    fn large_payloads(pair) {
        let broker = Broker::open(pair.broker);
        let big: String = (0..150_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
        for qos in ["0", "1", "2"] {
            let mut sub = pair.sub(&broker, &["-t", "a", "-q", qos]);
            pair.run_with("pub", &broker, &["-t", "a", "-q", qos, "-s"], big.as_bytes()).ok();
            assert_eq!(sub.line(), big);
        }
    }
}

/// All subscriptions refused: said, and the end. Neither broker refuses one for its ACL file, so
/// this one is made of two packets.
#[test]
fn refused_subscriptions() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let broker = thread::spawn(move || {
        let mut raw = Raw::accepted(listener.accept().unwrap().0);
        assert_eq!(raw.receive()[0], 0x10);
        raw.send(&[0x20, 2, 0, 0]);
        let subscribe = raw.receive();
        raw.send(&[0x90, 4, subscribe[2], subscribe[3], 0x80, 0x80]);
        raw.closed();
    });
    let mut command = Clients::Midge.command("sub");
    command.args(["-h", "127.0.0.1", "-p", &port, "-t", "a", "-t", "b"]);
    let ended = Process::run(&mut command);
    assert!(
        ended.err.contains("All subscription requests were denied."),
        "{ended:?}"
    );
    assert_ne!(ended.code, 27, "{ended:?}");
    broker.join().unwrap();
}

/// A broker that never pauses does not keep `sub` from its time and from signals.
#[test]
fn sub_ends_in_a_flood() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let broker = thread::spawn(move || {
        let flood = b"\x30\x05\0\x01axx".repeat(100_000);
        for _ in 0..2 {
            let mut stream = listener.accept().unwrap().0;
            let mut raw = Raw::accepted(stream.try_clone().unwrap());
            assert_eq!(raw.receive()[0], 0x10);
            raw.send(&[0x20, 2, 0, 0]);
            let subscribe = raw.receive();
            raw.send(&[0x90, 3, subscribe[2], subscribe[3], 0]);
            raw.send(&flood);
            raw.send(b"\x30\x05\0\x01bgo");
            while stream.write_all(&flood).is_ok() {}
        }
    });
    let mut command = Clients::Midge.command("sub");
    command.args(["-h", "127.0.0.1", "-p", &port, "-t", "#", "-T", "a"]);
    let mut sub = Process::spawn(&mut command);
    sub.expect("go");
    sub.stop(Signal::SIGTERM).ok();
    Process::run(command.args(["-W", "1"])).with(27);
    broker.join().unwrap();
}

/// A broker that starts again may refuse at first: `pub -l` waits for it, with what it has to say.
#[test]
fn pub_lines_go_on_after_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut command = Clients::Midge.command("pub");
    command.args(["-h", "127.0.0.1", "-p", &port, "-t", "a", "-q", "1", "-l"]);
    let mut lines = Process::spawn(&mut command);
    let answer = |code| {
        let mut raw = Raw::accepted(listener.accept().unwrap().0);
        assert_eq!(raw.receive()[0], 0x10);
        raw.send(&[0x20, 2, 0, code]);
        raw
    };
    drop(answer(0));
    drop(answer(3));
    lines.err_has("Connection error: Connection Refused: broker unavailable.");
    let mut raw = answer(0);
    lines.write(b"line\n");
    let publish = raw.receive();
    assert!(publish.ends_with(b"line"), "{publish:?}");
    raw.send(&[0x40, 2, publish[5], publish[6]]);
    lines.finish().ok();
}

/// Some flags of TLS are known and refused, with the reason.
#[test]
fn tls_flags_that_are_refused_say_why() {
    if peer_clients("mosquitto's clients have them") {
        return;
    }
    for flags in [
        &["--psk", "00", "--psk-identity", "i"][..],
        &["--tls-engine", "x"],
        &["--tls-engine-kpass-sha1", "x"],
        &["--keyform", "engine"],
    ] {
        let mut command = Clients::Midge.command("pub");
        let ended = Process::run(command.args(["-t", "x", "-m", "x"]).args(flags)).with(1);
        assert!(ended.err.contains(flags[0]), "{flags:?}: {ended:?}");
        let reason = ended.err.contains("not supported") || ended.err.contains("no TLS");
        assert!(reason, "{flags:?}: {ended:?}");
    }
}

/// New in 2.1: `-o FILE` in place of the own configuration file, `--retain-handling`.
#[test]
fn what_2_1_brought() {
    if peer_clients("new in 2.1") {
        return;
    }
    let broker = Broker::open(Kind::Midge);
    let pair = Pair::MIDGE_ON_MIDGE;
    pair.publish(&broker, &["-t", "a", "-m", "old", "-r"]);
    let dir = Dir::new();
    let port = broker.port();
    let options = dir.write("options", format!("-h 127.0.0.1\n-p {port}\n-v\n"));
    let mut command = Clients::Midge.command("sub");
    command.args(["-o", &options, "-t", "a", "-C", "1"]);
    assert_eq!(Process::run(&mut command).ok().out, "a old\n");
    let args = ["-V", "5", "-t", "a", "--retain-handling", "never"];
    let mut sub = pair.sub(&broker, &args);
    pair.publish(&broker, &["-t", "a", "-m", "new"]);
    sub.expect("new");
}
