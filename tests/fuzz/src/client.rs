//! What a server may send to `midge sub`, `pub` and `rr`: the state machine of the client, and the
//! formats that print its messages.
//!
//! A first byte of options, then pieces of the stream, each behind a byte that says what happens
//! before it, see [`step`].

use super::common::decode::{From, decode as naive};
use super::input::Input;
use midge::client::{Client, Event, Options};
use midge::cmd::client::format::Format;
use midge::host::calendar::{Moment, Zone};
use midge::wire::{
    PropertyId, Publish, QoS, ReasonCode, SubscribeFilter, SubscriptionOptions, Value, Version,
};
use std::sync::OnceLock;

const STEPS_MAX: usize = 40;

/// What the client may have to say beyond what its caller asked for.
const OUTPUT_MAX: usize = 8 << 20;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let version = [Version::V31, Version::V311, Version::V5][usize::from(flags & 3) % 3];
    let mut run = Run {
        client: Client::new(options(version, flags)),
        version,
        now_ms: 1000,
        unread: Vec::new(),
        output: Vec::new(),
    };
    run.client.opened(run.now_ms);
    if flags & 4 != 0 {
        // So that the bytes need not begin with a good CONNACK.
        let connack: &[u8] = match version {
            Version::V5 => b"\x20\x06\0\0\x03\x22\0\x05",
            _ => b"\x20\x02\0\0",
        };
        run.receive(connack);
        assert!(run.client.is_open());
    }
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        step(&mut run, &mut input);
    }
    run.sent();
}

fn options(version: Version, flags: u8) -> Options {
    let mut options = Options {
        version,
        client_id: "h1".to_string(),
        clean_start: flags & 8 != 0,
        inflight_max: 3,
        packet_max: 10_000,
        ..Options::default()
    };
    if flags & 16 != 0 && version == Version::V5 {
        let properties = &mut options.properties;
        PropertyId::TopicAliasMaximum.encode(Value::Integer(4), properties);
        PropertyId::ReceiveMaximum.encode(Value::Integer(3), properties);
    }
    options
}

struct Run {
    client: Client,
    version: Version,
    now_ms: u64,
    /// What the server sent and the client did not consume.
    unread: Vec<u8>,
    output: Vec<u8>,
}

/// What the caller does, and the next piece of what the server says.
fn step(run: &mut Run, input: &mut Input<'_>) {
    let byte = input.byte();
    let client = &mut run.client;
    let qos = QoS::from_bits(byte >> 4 & 3).unwrap_or_default();
    // A request that cannot be made now is refused, and nothing is sent.
    match byte & 15 {
        0 => {
            let filter = SubscribeFilter {
                filter: "a/#",
                options: SubscriptionOptions::default(),
            };
            let _ = client.subscribe(&[filter, filter], &[]);
        }
        1 => drop(client.unsubscribe(&["a/#"], &[])),
        2 | 3 => {
            let message = Publish {
                topic: b"a/b",
                payload: b"hello",
                qos,
                topic_alias: (byte & 1 != 0 && run.version == Version::V5).then_some(1),
                ..Publish::default()
            };
            let _ = client.publish(&message);
        }
        4 => run.sent(),
        5 => {
            run.now_ms += u64::from(input.number());
            let _ = client.timeout(run.now_ms);
        }
        6 => client.finish(ReasonCode::SUCCESS, &[]),
        7 => client.disconnect(ReasonCode::SUCCESS, &[]),
        8 => {
            run.sent();
            run.client.closed();
            run.unread.clear();
            run.output.clear();
            run.client.opened(run.now_ms);
        }
        _ => {}
    }
    run.receive(input.piece());
}

impl Run {
    fn receive(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        loop {
            let Ok(received) = self.client.receive(&self.unread, self.now_ms) else {
                assert!(self.client.is_ended());
                self.unread.clear();
                break;
            };
            let consumed = received.consumed;
            assert!(consumed <= self.unread.len(), "more than there was");
            let mut answer = None;
            match received.event {
                Some(Event::Message(message)) => {
                    assert!(!message.topic.is_empty(), "a message without its topic");
                    show(&message);
                    answer = Some((message.packet_id, message.qos));
                }
                Some(_) => assert!(consumed > 0, "an event out of nothing"),
                None => {}
            }
            if let Some((packet_id, qos)) = answer {
                self.client.acknowledge(packet_id, qos, ReasonCode::SUCCESS);
            }
            self.unread.drain(..consumed);
            if consumed == 0 || self.unread.is_empty() {
                break;
            }
        }
        assert!(self.client.transmit().len() < OUTPUT_MAX);
    }

    /// The socket takes all; what the client says has to be well formed.
    fn sent(&mut self) {
        self.output.extend_from_slice(self.client.transmit());
        self.client.sent(self.client.transmit().len(), self.now_ms);
        let version = super::decode::naive_version(self.version);
        let mut at = 0;
        while at < self.output.len() {
            match naive(version, From::Client, &self.output[at..]) {
                Ok(Some((_, len))) => at += len,
                other => panic!("the client said {:02x?}: {other:?}", &self.output[at..]),
            }
        }
        self.output.clear();
    }
}

/// Prints the message in every way that there is.
fn show(message: &Publish<'_>) {
    static FORMATS: OnceLock<Vec<Format>> = OnceLock::new();
    let formats = FORMATS.get_or_init(|| {
        let all = "%% %A %C %D %E %F %I %j %J %l %m %p %P %q %R %r %S %t %T %U %x %X";
        let words = all
            .split(' ')
            .chain(["%020.3x", "%-9t|", "%.2:X", "@Y-@m-@dT@H:@M:@S\\n"]);
        words.filter_map(|word| Format::parse(word).ok()).collect()
    });
    assert!(formats.len() > 15, "most of them are known");
    let at = Moment::new(0, 0, &Zone::utc()).expect("1970");
    for format in formats {
        for is_pretty in [false, true] {
            let mut out = Vec::new();
            // A payload that is no JSON is told, not printed.
            let _ = format.render(message, &at, is_pretty, !is_pretty, &mut out);
        }
    }
}
