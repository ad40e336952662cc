//! Retained messages: steps 14 and 15 of the walk-through.

use crate::harness::client::constellations;
use crate::harness::decode::decode;
use crate::harness::frame::From;
use crate::harness::{Broker, Pair, Tool};

constellations! {
    /// Step 14, section 6 of the document, with the true bytes: `-q 2 -r` is 0x35 and 19 long; at
    /// QoS 0 it is 0x31 and 17.
    fn section_6_of_the_document(pair) {
        if !Tool::Tshark.ready() {
            return;
        }
        let broker = Broker::open(pair.broker);
        let args = ["-t", "usr/test/", "-m", "retain", "-q", "2", "-r"];
        let (ended, proxy) = pair.record("pub", "127.0.0.1", &broker, &args);
        ended.ok();
        let frames = decode(&proxy);
        frames[2].has(&[
            ("mqtt.hdrflags", "0x35"),
            ("mqtt.len", "19"),
            ("mqtt.retain", "1"),
            ("mqtt.msg", "retain"),
        ]);
        let shape: Vec<_> = frames[3..].iter().map(|f| f.get("mqtt.hdrflags")).collect();
        assert_eq!(shape, ["0x50", "0x62", "0x70", "0xe0"]);

        let mut sub = pair.sub(&broker, &["-t", "usr/test/", "-q", "0"]);
        sub.expect("retain");
        let frames = decode(&sub.proxy);
        frames[2].has(&[("mqtt.hdrflags", "0x82"), ("mqtt.len", "14"), ("mqtt.sub.qos", "0")]);
        frames[3].has(&[("mqtt.hdrflags", "0x90"), ("mqtt.len", "3"), ("mqtt.suback.qos", "0")]);
        frames[4].has(&[
            ("mqtt.hdrflags", "0x31"),
            ("mqtt.len", "17"),
            ("mqtt.topic", "usr/test/"),
            ("mqtt.msg", "retain"),
        ]);

        let args = ["-t", "usr/test/", "-m", "retain", "-q", "0", "-r"];
        let (ended, proxy) = pair.record("pub", "127.0.0.1", &broker, &args);
        ended.ok();
        decode(&proxy)[2].has(&[("mqtt.hdrflags", "0x31"), ("mqtt.len", "17")]);
    }

    /// Step 14: the last value, to each new subscriber, with the flag, at the smaller QoS.
    fn the_last_value_at_the_smaller_qos(pair) {
        let broker = Broker::open(pair.broker);
        for published in 0..=2_u8 {
            for text in ["old", "new"] {
                let q = published.to_string();
                pair.publish(&broker, &["-t", "value", "-m", text, "-q", &q, "-r"]);
            }
            for asked in 0..=2_u8 {
                let q = asked.to_string();
                let mut sub = pair.sub(&broker, &["-t", "value", "-q", &q]);
                sub.expect("new");
                let frame = sub.proxy.wait_kind(From::Broker, 3, 1);
                let qos = published.min(asked);
                assert_eq!(frame.header(), 0x31 | (qos << 1), "{published} to {asked}");
            }
        }
    }

    /// Step 15: who was there gets it without the flag.
    fn who_was_there_sees_no_flag(pair) {
        let broker = Broker::open(pair.broker);
        let mut sub = pair.sub(&broker, &["-t", "value", "-q", "2"]);
        for (qos, header) in [("0", 0x30), ("1", 0x32), ("2", 0x34)] {
            pair.publish(&broker, &["-t", "value", "-m", qos, "-q", qos, "-r"]);
            sub.expect(qos);
            let last = sub.proxy.sent_by(From::Broker);
            let last = last.iter().rfind(|f| f.kind() == 3).unwrap();
            assert_eq!(last.header(), header);
        }
    }

    /// Step 15: filters with wildcards get every retained message that matches, once.
    fn wildcards_get_retained_messages(pair) {
        let broker = Broker::open(pair.broker);
        for topic in ["house/a/t", "house/b/t", "house/b/h", "house", "garden/t"] {
            pair.publish(&broker, &["-t", topic, "-m", "x", "-r"]);
        }
        let seen = |filter: &str| {
            let mut sub = pair.sub(&broker, &["-v", "-t", filter, "-t", "end"]);
            pair.publish(&broker, &["-t", "end", "-m", "x"]);
            let mut lines = Vec::new();
            loop {
                let line = sub.line();
                if line == "end x" {
                    break;
                }
                lines.push(line);
            }
            lines.sort();
            lines
        };
        assert_eq!(seen("house/+/t"), ["house/a/t x", "house/b/t x"]);
        assert_eq!(seen("house/#"), ["house x", "house/a/t x", "house/b/h x", "house/b/t x"]);
        assert_eq!(seen("+/t"), ["garden/t x"]);
        assert_eq!(seen("house/b/t"), ["house/b/t x"]);
        assert_eq!(seen("house/c/t"), Vec::<String>::new());
    }

    /// Step 15: an empty payload removes it, and is itself delivered to who is there.
    fn an_empty_payload_removes_it(pair) {
        let broker = Broker::open(pair.broker);
        pair.publish(&broker, &["-t", "value", "-m", "here", "-r"]);
        let mut there = pair.sub(&broker, &["-v", "-t", "value"]);
        there.expect("value here");
        pair.publish(&broker, &["-t", "value", "-n", "-r"]);
        there.expect("value (null)");
        let last = there.proxy.sent_by(From::Broker).pop().unwrap();
        assert_eq!(last.bytes, [&[0x30, 7, 0, 5][..], b"value"].concat());

        let mut late = pair.sub(&broker, &["-v", "-t", "value"]);
        pair.publish(&broker, &["-t", "value", "-m", "next"]);
        late.expect("value next");
        there.expect("value next");
    }
}
