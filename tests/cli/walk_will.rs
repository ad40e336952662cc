//! The last will: steps 16 and 17 of the walk-through.

use nix::sys::signal::Signal;

use crate::harness::client::constellations;
use crate::harness::frame::From;
use crate::harness::{Broker, Clients, Pair, Sub};

const WILL: [&str; 6] = [
    "--will-payload",
    "mort",
    "--will-qos",
    "2",
    "--will-topic",
    "usr/test/mort/",
];

/// The document's second terminal: a subscriber with a last will.
fn mortal(pair: Pair, broker: &Broker, more: &[&str]) -> Sub {
    let args = [&WILL[..], &["-t", "usr/test/"], more].concat();
    pair.sub(broker, &args)
}

/// Nothing but `lines` has arrived when a message that is published now does.
#[track_caller]
fn expect_then_nothing(pair: Pair, broker: &Broker, watcher: &mut Sub, lines: &[&str]) {
    watcher.process.expect_all(lines.iter().copied());
    pair.publish(broker, &["-t", "usr/test/mort/", "-m", "end", "-q", "2"]);
    watcher.expect("end");
}

constellations! {
    /// Step 16, section 7 of the document: once, at QoS 2, when the client is killed.
    fn section_7_of_the_document(pair) {
        let broker = Broker::open(pair.broker);
        let mut watcher = pair.sub(&broker, &["-t", "usr/test/mort/", "-q", "2"]);
        for signal in [Signal::SIGKILL, Signal::SIGHUP] {
            let mut mortal = mortal(pair, &broker, &[]);
            let connect = mortal.proxy.frames().remove(0);
            assert_eq!(connect.bytes[2..10], *b"\0\x04MQTT\x04\x16", "flags 0x16");
            // SIGHUP is what a terminal sends that closes.
            mortal.stop(signal);
            watcher.expect("mort");
            let frame = watcher.proxy.sent_by(From::Broker);
            let frame = frame.iter().rfind(|f| f.kind() == 3).unwrap();
            assert_eq!(frame.header(), 0x34);
            assert_eq!(mortal.proxy.sent_by(From::Client).pop().unwrap().kind(), 8);
        }
        expect_then_nothing(pair, &broker, &mut watcher, &[]);
        watcher.proxy.wait_kind(From::Client, 7, 3);
    }

    /// Step 16: a network that goes away is a death too.
    fn a_lost_connection_is_a_death(pair) {
        let broker = Broker::open(pair.broker);
        let mut watcher = pair.sub(&broker, &["-t", "usr/test/mort/", "-q", "2"]);
        let mortal = mortal(pair, &broker, &[]);
        mortal.proxy.cut();
        expect_then_nothing(pair, &broker, &mut watcher, &["mort"]);
        drop(mortal);
    }

    /// Step 16: with MQTT 3 midge's own `sub` dies at Ctrl-C, as the document shows it; Debian's
    /// says DISCONNECT, and no will is sent. With MQTT 5 both ask for the will.
    fn ctrl_c(pair) {
        let broker = Broker::open(pair.broker);
        let mut watcher = pair.sub(&broker, &["-t", "usr/test/mort/", "-q", "2"]);
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let mut client = mortal(pair, &broker, &[]);
            assert_eq!(client.stop(signal).code, 0);
            let last = client.proxy.sent_by(From::Client).pop().unwrap();
            if pair.clients.is_peer() {
                assert_eq!(last.bytes, [0xe0, 0]);
                expect_then_nothing(pair, &broker, &mut watcher, &[]);
            } else {
                assert_eq!(last.kind(), 8, "no DISCONNECT");
                expect_then_nothing(pair, &broker, &mut watcher, &["mort"]);
            }
        }
        let mut client = mortal(pair, &broker, &["-V", "5"]);
        assert_eq!(client.stop(Signal::SIGINT).code, 0);
        let last = client.proxy.sent_by(From::Client).pop().unwrap();
        assert_eq!(last.bytes[..1], [0xe0]);
        assert_eq!(last.bytes[2], 0x04, "disconnect with will");
        expect_then_nothing(pair, &broker, &mut watcher, &["mort"]);
    }

    /// Step 17: no will after a DISCONNECT.
    fn no_will_after_a_disconnect(pair) {
        let broker = Broker::open(pair.broker);
        let mut watcher = pair.sub(&broker, &["-t", "usr/test/mort/", "-q", "2"]);
        let args = [&WILL[..], &["-t", "elsewhere", "-m", "x", "-q", "1"]].concat();
        let (ended, proxy) = pair.record("pub", "127.0.0.1", &broker, &args);
        ended.ok();
        assert_eq!(proxy.frames()[0].bytes[9], 0x16);
        assert_eq!(proxy.sent_by(From::Client).pop().unwrap().bytes, [0xe0, 0]);
        expect_then_nothing(pair, &broker, &mut watcher, &[]);
    }

    /// Step 17: `--will-retain` keeps the will for later subscribers.
    fn a_will_can_be_retained(pair) {
        let broker = Broker::open(pair.broker);
        let mut watcher = pair.sub(&broker, &["-t", "usr/test/mort/", "-q", "1"]);
        let mut mortal = mortal(pair, &broker, &["--will-retain"]);
        assert_eq!(mortal.proxy.frames()[0].bytes[9], 0x36);
        mortal.stop(Signal::SIGKILL);
        watcher.expect("mort");
        assert_eq!(watcher.proxy.wait_kind(From::Broker, 3, 1).header(), 0x32);
        let mut late = pair.sub(&broker, &["-t", "usr/test/mort/", "-q", "2"]);
        late.expect("mort");
        assert_eq!(late.proxy.wait_kind(From::Broker, 3, 1).header(), 0x35);
    }

    /// A will at each QoS reaches a subscriber at the smaller of the two.
    fn a_will_has_a_qos(pair) {
        let broker = Broker::open(pair.broker);
        for (asked, granted, header) in [("0", "2", 0x30), ("1", "2", 0x32), ("2", "1", 0x32)] {
            let mut watcher = pair.sub(&broker, &["-t", "w", "-q", granted]);
            let will = ["--will-topic", "w", "--will-payload", "gone", "--will-qos", asked];
            let mut mortal = pair.sub(&broker, &[&["-t", "x"][..], &will].concat());
            mortal.stop(Signal::SIGKILL);
            watcher.expect("gone");
            assert_eq!(watcher.proxy.wait_kind(From::Broker, 3, 1).header(), header);
        }
    }
}

/// A will needs a topic; the clients say so and go.
#[test]
fn a_will_without_topic_is_refused_by_the_clients() {
    for name in ["pub", "sub"] {
        let mut command = Clients::Midge.command(name);
        command.args(["-t", "x", "--will-payload", "mort"]);
        if name == "pub" {
            command.args(["-m", "x"]);
        }
        let ended = crate::harness::Process::run(&mut command);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains("will topic"), "{ended:?}");
    }
}
