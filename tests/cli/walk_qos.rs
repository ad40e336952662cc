//! QoS and its negotiation: steps 12 and 13 of the walk-through.

use crate::harness::client::constellations;
use crate::harness::decode::decode;
use crate::harness::frame::From;
use crate::harness::{Broker, Frame, Pair, Process, Tool};

/// What the subscriber has to see of one message: header bytes in order, all with the same id.
fn handshake(qos: u8) -> &'static [(From, u8)] {
    match qos {
        0 => &[(From::Broker, 0x30)],
        1 => &[(From::Broker, 0x32), (From::Client, 0x40)],
        _ => &[
            (From::Broker, 0x34),
            (From::Client, 0x50),
            (From::Broker, 0x62),
            (From::Client, 0x70),
        ],
    }
}

/// The packet id of any packet of the handshake.
fn id(frame: &Frame) -> u16 {
    if frame.kind() == 3 {
        frame.id_and_payload().0.unwrap()
    } else {
        u16::from_be_bytes([frame.body()[0], frame.body()[1]])
    }
}

constellations! {
    /// Step 12: delivered at the smaller of the two, for all nine pairs, with the whole handshake
    /// and packet ids from 1 in each session.
    fn delivered_at_the_smaller_qos(pair) {
        let broker = Broker::open(pair.broker);
        for granted in 0..=2_u8 {
            let q = granted.to_string();
            let mut sub = pair.sub(&broker, &["-t", "usr/test/", "-q", &q]);
            let mut next_id = 1;
            for published in 0..=2_u8 {
                let before = sub.proxy.frames().len();
                let text = format!("{published} to {granted}");
                let p = published.to_string();
                pair.publish(&broker, &["-t", "usr/test/", "-m", &text, "-q", &p]);
                sub.expect(&text);
                let wanted = handshake(granted.min(published));
                let frames = sub.proxy.wait("the handshake", |all| {
                    (all.len() >= before + wanted.len()).then(|| all[before..].to_vec())
                });
                let got: Vec<_> = frames.iter().map(|f| (f.from, f.header())).collect();
                assert_eq!(got, wanted, "published at {published}, granted {granted}");
                assert_eq!(frames[0].topic(), "usr/test/");
                assert_eq!(frames[0].id_and_payload().1, text.as_bytes());
                if wanted.len() > 1 {
                    for frame in &frames {
                        assert_eq!(id(frame), next_id);
                    }
                    next_id += 1;
                }
            }
        }
    }

    /// Step 13, section 5 of the document: published at 2, subscribed at 0. Both clients go through
    /// one recorder, so that the order of all frames shows.
    fn section_5_of_the_document(pair) {
        if !Tool::Tshark.ready() {
            return;
        }
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-i", "reader", "-t", "usr/test/", "-q", "0"]);
        let port = sub.proxy.port();
        let args = ["-i", "writer", "-t", "usr/test/", "-m", "QoS2", "-q", "2"];
        Process::run(&mut pair.command("pub", "127.0.0.1", port, &args)).ok();
        sub.expect("QoS2");
        let frames = decode(&sub.proxy);
        let at = |header: &str| {
            frames
                .iter()
                .position(|f| f.get("mqtt.hdrflags") == header)
                .unwrap_or_else(|| panic!("no {header} in {frames:?}"))
        };
        frames[at("0x34")].has(&[("mqtt.len", "17"), ("mqtt.msgid", "1"), ("mqtt.msg", "QoS2")]);
        let delivered = at("0x30");
        frames[delivered].has(&[
            ("mqtt.len", "15"),
            ("mqtt.topic", "usr/test/"),
            ("mqtt.msg", "QoS2"),
            ("mqtt.qos", "0"),
            ("mqtt.retain", "0"),
            ("mqtt.msgid", ""),
        ]);
        assert!(at("0x50") < at("0x62") && at("0x62") < delivered, "delivered after PUBREL");
    }

    /// Many messages at QoS 2 and 1 arrive complete and in order.
    fn many_stay_in_order(pair) {
        let broker = Broker::open(pair.broker);
        for qos in ["1", "2"] {
            let mut sub = pair.sub(&broker, &["-t", "many", "-q", qos]);
            let lines: Vec<_> = (0..300).map(|n| format!("message {n}")).collect();
            let input = lines.join("\n") + "\n";
            pair.run_with("pub", &broker, &["-t", "many", "-q", qos, "-l"], input.as_bytes()).ok();
            for line in &lines {
                sub.expect(line);
            }
        }
    }
}
