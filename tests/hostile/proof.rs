//! Every attack that is not a bomb, while a good pair works: see `pair`. Bombs are in `bombs`.

use crate::common::encode::encode;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::dir::Dir;
use crate::harness::{Broker, Client};
use crate::pair::withstands;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::process::Command;
use std::time::{Duration, Instant};

/// What memory may grow by: the budget, an eighth for connecting, and what an allocator wastes.
const LIMIT_BYTES: u64 = 16_000_000;
const GROWN_MAX: u64 = LIMIT_BYTES + LIMIT_BYTES / 8 + 14_000_000;

fn broker(conf: &str) -> Broker {
    Broker::start(&format!("memory_limit {LIMIT_BYTES}\n{conf}"))
}

fn v311(broker: &Broker, client_id: &str) -> Client {
    broker.client(Version::V311, client_id)
}

fn publish(topic: &str, len: usize, qos: u8, id: u16) -> Vec<u8> {
    let publish = Publish::new(topic, vec![b'x'; len]);
    let publish = match qos {
        0 => publish,
        qos => publish.qos(qos).id(id),
    };
    encode(Version::V311, &publish.into())
}

/// Sends until nothing is taken any more, or enough was sent.
fn stuff(client: &mut Client, bytes: &[u8], times: usize) {
    for _ in 0..times {
        if client.throw_for(bytes, Duration::from_millis(20)).is_err() {
            return;
        }
    }
}

/// They subscribe to everything and read nothing.
#[test]
fn subscribers_who_never_read() {
    let attacked = withstands(broker(""), |broker| {
        let mut readers: Vec<_> = (0..30)
            .map(|n| v311(broker, &format!("deaf-{n}")))
            .collect();
        for (n, reader) in readers.iter_mut().enumerate() {
            reader.subscribe("flood/#", (n % 3) as u8);
        }
        let mut flood = v311(broker, "flood");
        for n in 0..600_u16 {
            flood.throw(&publish("flood/x", 20_000, (n % 2) as u8, n + 1));
            if n % 2 == 1 {
                flood.hear();
            }
        }
        (readers, flood)
    });
    assert!(attacked.grown < GROWN_MAX, "{} bytes", attacked.grown);
    assert!(attacked.log.contains("being dropped for client deaf-"));
}

/// They ask and ask, and never read an answer.
#[test]
fn askers_who_never_read() {
    let attacked = withstands(broker(""), |broker| {
        let mut subscribe = Subscribe::new(1);
        for n in 0..200 {
            subscribe = subscribe.filter(&format!("a/{n}"), 1);
        }
        let questions = [
            [0xc0, 0].repeat(5000),
            encode(Version::V311, &Packet::Subscribe(subscribe)).repeat(10),
            publish("nobody", 10, 1, 7).repeat(2000),
            publish("nobody", 10, 2, 7).repeat(2000),
        ];
        let ask = |n: usize| {
            let mut client = v311(broker, &format!("asker-{n}"));
            stuff(&mut client, &questions[n % questions.len()], 200);
            client
        };
        (0..12).map(ask).collect::<Vec<_>>()
    });
    assert!(attacked.grown < GROWN_MAX, "{} bytes", attacked.grown);
}

/// They send a byte now and then, of packets and of CONNECTs.
#[test]
fn slow_writers() {
    let attacked = withstands(broker("connect_timeout 2"), |broker| {
        let packet = publish("slow", 100_000, 0, 0);
        let mut writers: Vec<_> = (0..150)
            .map(|n| v311(broker, &format!("slow-{n}")))
            .collect();
        for writer in &mut writers {
            writer.throw(&packet[..9000]);
        }
        let hello = encode(Version::V311, &Connect::new(Version::V311, "slow").into());
        let mut comers: Vec<_> = (0..150).map(|_| broker.connection()).collect();
        for at in 0..hello.len() {
            for client in &mut writers {
                client.throw(&packet[9000 + at..9001 + at]);
            }
            for client in &mut comers {
                client.throw(&hello[at..=at]);
            }
            if at == hello.len() / 2 {
                // The rest comes too late for all of them.
                comers.iter_mut().for_each(Client::is_closed);
            }
        }
        (writers, comers)
    });
    assert!(attacked.grown < GROWN_MAX, "{} bytes", attacked.grown);
    assert!(attacked.log.contains("no CONNECT in time"));
}

/// Lists that must not be searched from end to end, and topics that go very deep.
#[test]
fn packets_full_of_trifles() {
    let attacked = withstands(broker(""), |broker| {
        let mut client = broker.client(Version::V5, "trifles");
        let mut laden = Publish::new("t", "x").qos(1).id(1);
        for _ in 0..500 {
            laden = laden.with(Property::UserProperty("k".into(), "v".repeat(20)));
        }
        let laden = encode(Version::V5, &laden.into());
        let deep = Publish::new(&"/".repeat(60_000), "x").qos(1).id(2);
        let deep = encode(Version::V5, &deep.into());
        for _ in 0..20 {
            client.throw(&laden);
            client.throw(&deep);
            for (id, code) in [(1, 0x97), (2, 0x90)] {
                let heard = client.hear();
                let is_it = |ack: &Ack| ack.packet_id == id && ack.code == code;
                assert!(
                    matches!(&heard, Some(Packet::PubAck(ack)) if is_it(ack)),
                    "{heard:?}"
                );
            }
        }
        let mut filters = Subscribe::new(3);
        for n in 0..9 {
            filters = filters.filter(&"+/".repeat(100 * n + 1), 1);
        }
        client.say(Packet::Subscribe(filters));
        client.hear();
        client
    });
    let log = attacked.log;
    assert_eq!(
        log.matches("goes beyond max_property_bytes").count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("goes beyond max_topic_levels").count(),
        1,
        "{log}"
    );
}

/// All of a large site comes back at once after the network did.
#[test]
fn five_thousand_come_back_at_once() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    // Each has a descriptor here as well.
    let crowd = 5000.min(hard as usize - 200);
    if crowd < 5000 {
        eprintln!("\n\nONLY {crowd} clients: the limit of open files is {hard}\n\n");
    }
    let broker = Broker::start("max_keepalive 0");
    withstands(broker, |broker| {
        let come = |n: usize| {
            let mut client = broker.connection();
            let connect = Connect::new(Version::V311, &format!("crowd-{n}"));
            client.say(Packet::Connect(connect));
            client
        };
        let welcome = |client: &mut Client| {
            let heard = client.hear();
            assert!(
                matches!(&heard, Some(Packet::ConnAck(ack)) if ack.code == 0),
                "{heard:?}"
            );
        };
        let mut first: Vec<_> = (0..crowd).map(come).collect();
        first.iter_mut().for_each(welcome);
        first.into_iter().for_each(Client::reset);
        let begun = Instant::now();
        let mut again: Vec<_> = (0..crowd).map(come).collect();
        again.iter_mut().for_each(welcome);
        println!("{crowd} clients are back after {:?}", begun.elapsed());
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{:?}",
            begun.elapsed()
        );
        again
    });
}

/// A user name that would put another address, and another line, into the log.
const FORGED: &str = "nobody\u{2028}[192.0.2.9:1] disconnected: not authorised.";

/// Fifty who try passwords as fast as they are answered.
#[test]
fn floods_of_sign_ins() {
    let dir = Dir::new();
    dir.write("passwords", "");
    for user in ["pair", "admin"] {
        let done = Command::new(env!("CARGO_BIN_EXE_midge"))
            .args([
                "passwd",
                "-b",
                "-I",
                "10000",
                &dir.at("passwords"),
                user,
                user,
            ])
            .status();
        assert!(done.unwrap().success());
    }
    let broker = Broker::start_in(dir, "password_file DIR/passwords", |command| command);
    let attacked = withstands(broker, |broker| {
        let attackers: Vec<_> = (0..50)
            .map(|n| {
                let port = broker.port();
                std::thread::spawn(move || {
                    for round in 0..4 {
                        let address = ("127.0.0.1", port);
                        let stream = std::net::TcpStream::connect(address).unwrap();
                        let mut client = Client::new(stream);
                        let mut connect = Connect::new(Version::V311, &format!("guess-{n}"));
                        let user = ["admin", FORGED][n % 2];
                        connect.user_name = Some(user.to_string());
                        // The right one for its first half: a password does not end at a NUL.
                        let password = ["admin\0x".to_string(), format!("{n}-{round}")];
                        connect.password = Some(password[round % 2].clone().into_bytes());
                        client.say(Packet::Connect(connect));
                        let heard = client.hear();
                        let is_refused = |ack: &ConnAck| ack.code == 5;
                        assert!(
                            matches!(&heard, Some(Packet::ConnAck(ack)) if is_refused(ack)),
                            "{heard:?}"
                        );
                    }
                })
            })
            .collect();
        for attacker in attackers {
            attacker.join().unwrap();
        }
    });
    let log = attacked.log;
    assert_eq!(log.matches("wrong password").count(), 100, "{log}");
    assert_eq!(log.matches("unknown user").count(), 100, "{log}");
    assert!(
        !log.contains("[192.0.2.9") && !log.contains('\u{2028}'),
        "{log}"
    );
}

/// Whatever it tries, it gets only what is its own, and nobody hears of the rest.
#[test]
fn tries_to_get_around_the_rights() {
    let dir = Dir::new();
    dir.write(
        "acl",
        "user pair\ntopic readwrite pair\nuser spy\ntopic readwrite spy/#\n\
         pattern readwrite own/%c/#\npattern readwrite name/%u/#\n",
    );
    let broker = Broker::start_in(dir, "acl_file DIR/acl", |command| command);
    let attacked = withstands(broker, |broker| {
        let come = |client_id: &str, user: &str, will: Option<&str>| {
            let mut connect = Connect::new(Version::V311, client_id);
            connect.user_name = Some(user.to_string());
            connect.will = will.map(|topic| Will::new(topic, "will"));
            broker.client_by(connect, Version::V311)
        };
        for (client_id, user) in [("+", "spy"), ("#", "spy"), ("a/b", "spy"), ("spy-1", "+")] {
            let mut spy = come(client_id, user, Some("pair"));
            for filter in [
                "#", "pair", "+", "own/#", "own/+/x", "name/#", "$SYS/#", "p+",
            ] {
                spy.say(Packet::Subscribe(Subscribe::new(1).filter(filter, 1)));
                if filter == "p+" {
                    // Badly formed: the end.
                    spy.is_closed();
                    break;
                }
                assert!(matches!(spy.hear(), Some(Packet::SubAck(_))));
            }
        }
        let mut spy = come("spy", "spy", Some("pair"));
        spy.subscribe("#", 1);
        for (n, topic) in ["pair", "$SYS/broker/uptime", "own/other/x", "name/pair/x"]
            .into_iter()
            .enumerate()
        {
            let id = n as u16 + 1;
            for qos in 0..3 {
                spy.throw(&publish(topic, 5, qos, id));
            }
            assert_eq!(spy.hear(), Some(Packet::PubAck(Ack::new(id))));
            assert_eq!(spy.hear(), Some(Packet::PubRec(Ack::new(id))));
            spy.say(Packet::PubRel(Ack::new(id)));
            assert_eq!(spy.hear(), Some(Packet::PubComp(Ack::new(id))));
        }
        // The pair is busy all the while: had one of its messages come, it stood here.
        spy.throw(&publish("own/spy/x", 5, 0, 0));
        let heard = spy.hear();
        let is_own = |publish: &Publish| publish.topic == "own/spy/x";
        assert!(
            matches!(&heard, Some(Packet::Publish(p)) if is_own(p)),
            "{heard:?}"
        );
        spy.reset();
    });
    assert!(!attacked.log.contains("panicked"));
}
