//! The captures of the walk-through: steps 7 to 11, every frame as tshark dissects it.

use nix::sys::signal::Signal;

use crate::harness::client::constellations;
use crate::harness::decode::{Decoded, decode};
use crate::harness::{Broker, Pair, Tool, loopbacks};

const SUB_ID: &str = "mosqsub|1996-202-15";
const PUB_ID: &str = "mosqpub|4769-202-15";
const LONG_ID: &str = "mosqsub|10332-202-15";

/// The first two frames of every capture: CONNECT with the id of the document, and its answer.
fn assert_sign_in(frames: &[Decoded], id: &str) {
    frames[0].has(&[
        ("mqtt.hdrflags", "0x10"),
        ("mqtt.msgtype", "1"),
        ("mqtt.len", &(12 + id.len()).to_string()),
        ("mqtt.proto_len", "4"),
        ("mqtt.protoname", "MQTT"),
        ("mqtt.ver", "4"),
        ("mqtt.conflags", "0x02"),
        ("mqtt.conflag.cleansess", "1"),
        ("mqtt.kalive", "60"),
        ("mqtt.clientid_len", &id.len().to_string()),
        ("mqtt.clientid", id),
    ]);
    frames[1].has(&[
        ("mqtt.hdrflags", "0x20"),
        ("mqtt.len", "2"),
        ("mqtt.conack.flags", "0x00"),
        ("mqtt.conack.val", "0"),
    ]);
}

constellations! {
    /// Steps 7 to 9: CONNECT, SUBSCRIBE, PUBLISH at QoS 0 in and out, DISCONNECT; also their
    /// lengths 31 and 32 with ids of 19 and 20 characters, 15 and 14 for the two filters.
    fn section_3_of_the_document(pair) {
        if !Tool::Tshark.ready() {
            return;
        }
        for host in loopbacks() {
            let broker = Broker::open(pair.broker);
            let sub = pair.sub_at(host, &broker, &["-i", SUB_ID, "-t", "usr/test/#"]);
            let args = ["-i", PUB_ID, "-t", "usr/test/coucou/test/test", "-m", "bonjour"];
            let (ended, publisher) = pair.record("pub", host, &broker, &args);
            ended.ok();
            let mut sub = sub;
            sub.expect("bonjour");

            let frames = decode(&sub.proxy);
            assert_sign_in(&frames, SUB_ID);
            frames[2].has(&[
                ("mqtt.hdrflags", "0x82"),
                ("mqtt.len", "15"),
                ("mqtt.msgid", "1"),
                ("mqtt.topic_len", "10"),
                ("mqtt.topic", "usr/test/#"),
                ("mqtt.sub.qos", "0"),
            ]);
            frames[3].has(&[
                ("mqtt.hdrflags", "0x90"),
                ("mqtt.len", "3"),
                ("mqtt.msgid", "1"),
                ("mqtt.suback.qos", "0"),
            ]);
            assert_publish_of_34_bytes(&frames[4]);
            assert_eq!(frames.len(), 5);
            assert_eq!(sub.proxy.frames()[1].bytes, [0x20, 2, 0, 0]);
            assert_eq!(sub.proxy.frames()[3].bytes, [0x90, 3, 0, 1, 0]);

            let frames = decode(&publisher);
            assert_sign_in(&frames, PUB_ID);
            assert_publish_of_34_bytes(&frames[2]);
            frames[3].has(&[("mqtt.hdrflags", "0xe0"), ("mqtt.len", "0")]);
            assert_eq!(frames.len(), 4);
        }
    }

    /// The second capture of a sign-in: an id of 20 characters, a filter of 9.
    fn section_5_of_the_document_begins(pair) {
        if !Tool::Tshark.ready() {
            return;
        }
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-i", LONG_ID, "-t", "usr/test/", "-q", "0"]);
        let frames = decode(&sub.proxy);
        assert_sign_in(&frames, LONG_ID);
        assert_eq!(frames[0].get("mqtt.len"), "32");
        frames[2].has(&[("mqtt.hdrflags", "0x82"), ("mqtt.len", "14"), ("mqtt.topic_len", "9")]);
        frames[3].has(&[("mqtt.hdrflags", "0x90"), ("mqtt.len", "3"), ("mqtt.suback.qos", "0")]);
        // Ctrl-C says goodbye.
        assert_eq!(sub.stop(Signal::SIGINT).code, 0);
        let last = sub.proxy.frames().pop().unwrap();
        assert_eq!(last.bytes, [0xe0, 0]);
    }

    /// Step 8: the QoS asked for is granted, for each of the three.
    fn suback_grants_what_was_asked(pair) {
        let broker = Broker::open(pair.broker);
        for qos in 0..=2_u8 {
            let sub = pair.sub(&broker, &["-t", "usr/test/", "-q", &qos.to_string()]);
            let frames = sub.proxy.frames();
            assert_eq!(frames[2].bytes[..4], [0x82, 14, 0, 1]);
            assert_eq!(frames[2].bytes.last(), Some(&qos));
            assert_eq!(frames[3].bytes, [0x90, 3, 0, 1, qos]);
        }
        // Several filters in one SUBSCRIBE, each with its own return code.
        let sub = pair.sub(&broker, &["-t", "a", "-t", "b/#", "-t", "+", "-q", "1"]);
        assert_eq!(sub.proxy.frames()[3].bytes, [0x90, 5, 0, 1, 1, 1, 1]);
    }

    /// Steps 9 to 11: one PUBLISH at each QoS and what answers it.
    fn section_4_of_the_document(pair) {
        if !Tool::Tshark.ready() {
            return;
        }
        let broker = Broker::open(pair.broker);
        let record = |qos: &str| {
            let text = format!("QoS{qos}");
            let args = ["-t", "usr/test/", "-m", &text, "-q", qos];
            let (ended, proxy) = pair.record("pub", "127.0.0.1", &broker, &args);
            ended.ok();
            decode(&proxy)
        };

        let frames = record("0");
        frames[2].has(&[
            ("mqtt.hdrflags", "0x30"),
            ("mqtt.len", "15"),
            ("mqtt.topic_len", "9"),
            ("mqtt.topic", "usr/test/"),
            ("mqtt.msgid", ""),
            ("mqtt.msg", "QoS0"),
        ]);
        assert_eq!(shape(&frames), ["0x10", "0x20", "0x30", "0xe0"]);

        let frames = record("1");
        assert_eq!(shape(&frames), ["0x10", "0x20", "0x32", "0x40", "0xe0"]);
        frames[2].has(&[("mqtt.len", "17"), ("mqtt.msgid", "1"), ("mqtt.msg", "QoS1")]);
        frames[3].has(&[("mqtt.len", "2"), ("mqtt.msgid", "1")]);

        let frames = record("2");
        let handshake = ["0x10", "0x20", "0x34", "0x50", "0x62", "0x70", "0xe0"];
        assert_eq!(shape(&frames), handshake);
        frames[2].has(&[("mqtt.len", "17"), ("mqtt.msgid", "1"), ("mqtt.msg", "QoS2")]);
        for frame in &frames[3..6] {
            frame.has(&[("mqtt.len", "2"), ("mqtt.msgid", "1")]);
        }
    }
}

fn assert_publish_of_34_bytes(frame: &Decoded) {
    frame.has(&[
        ("mqtt.hdrflags", "0x30"),
        ("mqtt.len", "34"),
        ("mqtt.topic_len", "25"),
        ("mqtt.topic", "usr/test/coucou/test/test"),
        ("mqtt.msg", "bonjour"),
        ("mqtt.qos", "0"),
        ("mqtt.retain", "0"),
    ]);
}

fn shape(frames: &[Decoded]) -> Vec<&str> {
    frames.iter().map(|f| f.get("mqtt.hdrflags")).collect()
}
