//! Sessions that outlive their connection: steps 18 to 20 of the walk-through.

use nix::sys::signal::Signal;

use crate::harness::client::constellations;
use crate::harness::frame::From;
use crate::harness::{Broker, Clients, Pair, Process, Sub};

const TEST: [&str; 7] = ["-t", "usr/id/", "-q", "1", "-c", "--id", "test"];

/// CONNECT flags and the two bytes of the CONNACK.
fn signed_in(sub: &Sub) -> (u8, [u8; 2]) {
    let connect = sub.proxy.wait_kind(From::Client, 1, 1);
    let answer = sub.proxy.wait_kind(From::Broker, 2, 1);
    (connect.bytes[9], [answer.bytes[2], answer.bytes[3]])
}

fn ctrl_c(mut sub: Sub) {
    assert_eq!(sub.stop(Signal::SIGINT).code, 0);
}

constellations! {
    /// Steps 18 and 19, section 8 of the document, in the order in which it was published.
    fn section_8_of_the_document(pair) {
        let broker = Broker::open(pair.broker);
        let first = pair.sub(&broker, &TEST);
        assert_eq!(signed_in(&first), (0x00, [0, 0]));
        ctrl_c(first);
        for text in ["test", "bonjour"] {
            pair.publish(&broker, &["-t", "usr/id/", "-q", "1", "-m", text]);
        }
        let mut second = pair.sub(&broker, &TEST);
        assert_eq!(signed_in(&second), (0x00, [1, 0]));
        second.process.expect_all(["test", "bonjour"]);
        let delivered: Vec<_> = second.proxy.sent_by(From::Broker);
        let delivered: Vec<_> = delivered.iter().filter(|f| f.kind() == 3).collect();
        for (frame, id) in delivered.iter().zip(1..) {
            assert_eq!(frame.header(), 0x32);
            assert_eq!(frame.id_and_payload().0, Some(id), "packet ids start at 1");
        }
        // Both acknowledgements have to be out before the client goes.
        second.proxy.wait_kind(From::Client, 4, 2);
        ctrl_c(second);

        // Once only: nothing is left but what comes now.
        let mut third = pair.sub(&broker, &TEST);
        assert_eq!(signed_in(&third), (0x00, [1, 0]));
        pair.publish(&broker, &["-t", "usr/id/", "-q", "1", "-m", "end"]);
        third.expect("end");
    }

    /// Step 19: fifty in a row, at QoS 1 and 2, in order.
    fn fifty_wait_in_order(pair) {
        let broker = Broker::open(pair.broker);
        for qos in ["1", "2"] {
            let args = ["-t", "usr/id/", "-q", qos, "-c", "-i", "test"];
            ctrl_c(pair.sub(&broker, &args));
            let lines: Vec<_> = (1..=50).map(|n| format!("{qos}: {n}")).collect();
            let input = lines.join("\n") + "\n";
            let publish = ["-t", "usr/id/", "-q", qos, "-l"];
            pair.run_with("pub", &broker, &publish, input.as_bytes()).ok();
            let mut back = pair.sub(&broker, &args);
            for line in &lines {
                back.expect(line);
            }
            pair.publish(&broker, &["-t", "usr/id/", "-q", qos, "-m", "end"]);
            back.expect("end");
            back.proxy.wait_kind(From::Client, if qos == "1" { 4 } else { 7 }, 51);
            ctrl_c(back);
        }
    }

    /// Messages at QoS 0 are not kept for who is away.
    fn qos_0_does_not_wait(pair) {
        let broker = Broker::open(pair.broker);
        ctrl_c(pair.sub(&broker, &TEST));
        pair.publish(&broker, &["-t", "usr/id/", "-q", "0", "-m", "gone"]);
        pair.publish(&broker, &["-t", "usr/id/", "-q", "1", "-m", "kept"]);
        let mut back = pair.sub(&broker, &TEST);
        back.expect("kept");
    }

    /// Step 20: without `-c` the session is wiped.
    fn a_clean_session_wipes_it(pair) {
        let broker = Broker::open(pair.broker);
        ctrl_c(pair.sub(&broker, &TEST));
        pair.publish(&broker, &["-t", "usr/id/", "-q", "1", "-m", "lost"]);
        let clean = pair.sub(&broker, &["-t", "other", "-i", "test"]);
        assert_eq!(signed_in(&clean), (0x02, [0, 0]));
        ctrl_c(clean);
        let mut back = pair.sub(&broker, &TEST);
        assert_eq!(signed_in(&back), (0x00, [0, 0]));
        pair.publish(&broker, &["-t", "usr/id/", "-q", "1", "-m", "end"]);
        back.expect("end");
    }

    /// MQTT 5: `-x` says how long the session stays.
    fn session_expiry_of_mqtt_5(pair) {
        let broker = Broker::open(pair.broker);
        let args = ["-t", "usr/id/", "-q", "1", "-V", "5", "-c", "-i", "five", "-x", "100"];
        ctrl_c(pair.sub(&broker, &args));
        pair.publish(&broker, &["-t", "usr/id/", "-q", "1", "-m", "kept"]);
        let mut back = pair.sub(&broker, &args);
        assert_eq!(back.proxy.wait_kind(From::Broker, 2, 1).bytes[2], 1);
        back.expect("kept");
        ctrl_c(back);

        let args = ["-t", "usr/id/", "-q", "1", "-V", "5", "-c", "-i", "zero", "-x", "0"];
        ctrl_c(pair.sub(&broker, &args));
        let back = pair.sub(&broker, &args);
        assert_eq!(back.proxy.wait_kind(From::Broker, 2, 1).bytes[2], 0);
    }
}

/// Step 20: `-c` without an id is refused by the client.
#[test]
fn a_kept_session_needs_an_id() {
    for name in ["sub", "pub"] {
        let mut command = Clients::Midge.command(name);
        command.args(["-t", "x", "-c"]);
        if name == "pub" {
            command.args(["-m", "x"]);
        }
        let ended = Process::run(&mut command).with(1);
        assert!(ended.err.contains("client id"), "{ended:?}");
    }
}
