//! Signing in: steps 23 and 24 of the walk-through, and the matrix of configurations behind
//! step 23.

use crate::harness::broker::{Setup, peer_broker};
use crate::harness::client::constellations;
use crate::harness::raw::{Connect, Raw};
use crate::harness::{Broker, Clients, Dir, Kind, Pair, Process, loopbacks};

/// A password file with the document's user, whose password is his name.
fn password_file(dir: &Dir) -> String {
    let file = dir.at("passwd");
    Process::run(
        Clients::Midge
            .command("passwd")
            .args(["-b", "-c", &file, "test", "test"]),
    )
    .ok();
    file
}

/// Section 9 of the document, listener or not.
fn closed(kind: Kind, listener: bool) -> Broker {
    let setup = Setup::new(kind);
    let file = password_file(&setup.dir);
    let listener = if listener {
        "listener {port} 127.0.0.1\nlistener {port} ::1\n"
    } else {
        ""
    };
    setup
        .conf(&format!(
            "password_file {file}\nallow_anonymous false\n{listener}"
        ))
        .start()
}

constellations! {
    /// Step 24: `-u test -P test` is let in, with CONNECT flags 0xc2.
    fn section_9_of_the_document(pair) {
        for listener in [true, false] {
            for host in loopbacks() {
                let broker = closed(pair.broker, listener);
                let who = ["-u", "test", "-P", "test"];
                let args = [&who[..], &["-t", "usr/id/"]].concat();
                let mut sub = pair.sub_at(host, &broker, &args);
                let frames = sub.proxy.frames();
                assert_eq!(frames[0].bytes[9], 0xc2);
                assert_eq!(frames[1].bytes, [0x20, 2, 0, 0]);
                pair.publish(&broker, &[&who[..], &["-t", "usr/id/", "-m", "in"]].concat());
                sub.expect("in");
            }
        }
    }

    /// Steps 23 and 26: no user, a wrong, empty or missing password, an unknown user: return
    /// code 5, exit code 5, and the words that scripts look for.
    fn strangers_are_refused(pair) {
        let broker = closed(pair.broker, true);
        for who in [
            &[][..],
            &["-u", "test", "-P", "wrong"],
            &["-u", "test", "-P", ""],
            &["-u", "test"],
            &["-u", "nobody", "-P", "test"],
            &["-u", "", "-P", "test"],
        ] {
            for (name, more) in [("sub", &["-t", "x"][..]), ("pub", &["-t", "x", "-m", "x"])] {
                let args = [who, more].concat();
                let (ended, proxy) = pair.record(name, "127.0.0.1", &broker, &args);
                assert_eq!(ended.code, 5, "{name} {who:?}: {ended:?}");
                assert!(ended.all().contains("not authorised"), "{ended:?}");
                assert_eq!(proxy.frames()[1].bytes, [0x20, 2, 0, 5]);
            }
        }
        // MQTT 5 has another number for it: Not authorized, 0x87.
        let (ended, proxy) =
            pair.record("sub", "127.0.0.1", &broker, &["-t", "x", "-V", "5"]);
        assert_ne!(ended.code, 0, "{ended:?}");
        assert_eq!(proxy.frames()[1].bytes[3], 0x87);
    }
}

/// Who knocks, and the answers to each: 0 welcome, 5 not authorised.
const KNOCKS: [(&str, Option<&str>, Option<&str>); 7] = [
    ("nobody in particular", None, None),
    ("test with the right password", Some("test"), Some("test")),
    ("test with a wrong password", Some("test"), Some("wrong")),
    ("test with an empty password", Some("test"), Some("")),
    ("test without a password", Some("test"), None),
    ("an unknown user", Some("eve"), Some("test")),
    ("an empty name, which is none", Some(""), Some("test")),
];

const ALL: [u8; 7] = [0; 7];
const NONE: [u8; 7] = [5; 7];
const KNOWN: [u8; 7] = [5, 0, 5, 5, 5, 5, 5];
const KNOWN_OR_NOBODY: [u8; 7] = [0, 0, 5, 5, 5, 5, 0];

/// Step 23: each shape of configuration, written in the main file and in conf.d, and who gets in.
/// Without a password file a name is as good as no name: all come in, or none.
const SHAPES: [(&str, [u8; 7]); 12] = [
    ("", ALL),
    ("allow_anonymous true", ALL),
    ("allow_anonymous false", NONE),
    ("password_file {dir}/passwd", KNOWN_OR_NOBODY),
    ("password_file {dir}/passwd\nallow_anonymous false", KNOWN),
    (
        "password_file {dir}/passwd\nallow_anonymous true",
        KNOWN_OR_NOBODY,
    ),
    ("listener {port} 127.0.0.1", NONE),
    ("listener {port} 127.0.0.1\nallow_anonymous true", ALL),
    ("listener {port} 127.0.0.1\nallow_anonymous false", NONE),
    (
        "listener {port} 127.0.0.1\npassword_file {dir}/passwd",
        KNOWN,
    ),
    (
        "listener {port} 127.0.0.1\npassword_file {dir}/passwd\nallow_anonymous false",
        KNOWN,
    ),
    (
        "listener {port} 127.0.0.1\npassword_file {dir}/passwd\nallow_anonymous true",
        KNOWN_OR_NOBODY,
    ),
];

fn answers(broker: &Broker, host: &str) -> [u8; 7] {
    KNOCKS.map(|(_, user, password)| {
        let mut raw = Raw::tcp(host, broker.port());
        raw.send(&Connect::new("x").user(user, password).bytes());
        raw.receive()[3]
    })
}

#[test]
fn who_gets_in_under_each_configuration() {
    let old = Kind::Midge.is_peer();
    for (conf, wanted) in SHAPES {
        for in_conf_d in [false, true] {
            let mut setup = Setup::new(Kind::Midge);
            password_file(&setup.dir);
            if in_conf_d {
                // The port of the listener line has to be known to the main file's reader too.
                let text = setup.fill(conf);
                let listener = text.lines().find(|l| l.starts_with("listener"));
                let rest: Vec<_> = text
                    .lines()
                    .filter(|l| !l.starts_with("listener"))
                    .collect();
                let main = format!("{}\ninclude_dir {{dir}}/conf.d\n", listener.unwrap_or(""));
                setup = setup
                    .file("conf.d/x.conf", &(rest.join("\n") + "\n"))
                    .conf(&main);
            } else {
                setup = setup.conf(&format!("{conf}\n"));
            }
            let broker = setup.start();
            let got = answers(&broker, "127.0.0.1");
            // 2.0.0 to 2.0.20 let everybody without a name in where no listener is written.
            let fault = old && conf.ends_with("allow_anonymous false") && !conf.contains("listen");
            let wanted = match wanted {
                NONE if fault => ALL,
                KNOWN if fault => KNOWN_OR_NOBODY,
                _ => wanted,
            };
            assert_eq!(got, wanted, "{conf:?} in conf.d: {in_conf_d}; {KNOCKS:?}");
        }
    }
}

/// The same over IPv6, for the document's own shape.
#[test]
fn the_documents_shape_over_ipv6() {
    if peer_broker("2.0.0 to 2.0.20 let local clients in") {
        return;
    }
    let broker = closed(Kind::Midge, false);
    for host in loopbacks() {
        assert_eq!(answers(&broker, host), KNOWN, "{host}");
    }
}

/// A wrong password says who came from where, and why he was refused: one line in the log.
#[test]
fn a_refusal_is_in_the_log() {
    let broker = closed(Kind::Midge, true);
    let connect = Connect::new("burglar").user(Some("test"), Some("wrong"));
    let (raw, answer) = Raw::sign_in(&broker, &connect);
    assert_eq!(answer, [0x20, 2, 0, 5]);
    raw.closed();
    broker.logs("New connection from 127.0.0.1:");
    broker.logs("not authorised");
    if !peer_broker("2.0.11 does not say who it was") {
        let text = broker.process.err.text();
        let line = text.lines().find(|l| l.contains("not authorised")).unwrap();
        assert!(line.contains("Client burglar"), "{line}");
        assert!(line.contains("127.0.0.1:"), "{line}");
    }
}

/// A password file that is not there is exit code 13 or 3, never an open door.
#[test]
fn a_missing_password_file_is_a_failed_start() {
    let ended = Setup::new(Kind::Midge)
        .conf("listener {port} 127.0.0.1\npassword_file {dir}/not-here\n")
        .run();
    assert_eq!(ended.code, 13, "{ended:?}");
    assert!(ended.all().contains("not-here"), "{ended:?}");
}
