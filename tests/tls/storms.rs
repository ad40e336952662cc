//! Storms of handshakes, while a good pair works at a plain listener: see `pair`.

use crate::harness::Broker;
use crate::pair::withstands_at;
use crate::port::Port;
use crate::{debians, encrypted_by, run};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it blows.
const STORM: Duration = Duration::from_secs(4);

/// The first message of a client that means well: it makes the server sign.
fn client_hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Connections that say hello and are gone when some more have come, as fast as they get in.
fn blow(broker: &Broker) -> usize {
    let address = SocketAddr::from(([127, 0, 0, 1], broker.port()));
    let hello = client_hello();
    let until = Instant::now() + STORM;
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let hello = hello.clone();
            std::thread::spawn(move || {
                let (mut count, mut open) = (0, VecDeque::new());
                while Instant::now() < until {
                    let patience = Duration::from_millis(200);
                    let Ok(mut stream) = TcpStream::connect_timeout(&address, patience) else {
                        continue;
                    };
                    if stream.write_all(&hello).is_ok() {
                        count += 1;
                    }
                    open.push_back(stream);
                    if open.len() > 100 {
                        open.pop_front();
                    }
                }
                count
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum()
}

/// With a key that takes long to sign with, as a small board does with any.
#[test]
fn handshakes_take_half_of_the_time_at_most() {
    let plain = Port::lease();
    let more = format!(
        "listener {} 127.0.0.1\nconnection_messages false",
        plain.number
    );
    let broker = encrypted_by(&more, |authority| {
        authority.slow_server("server", "localhost");
    });
    let mut count = 0;
    withstands_at(broker, plain.number, |broker| {
        let ticks = broker.ticks();
        count = blow(broker);
        println!(
            "{count} handshakes begun, {} ticks of work",
            broker.ticks() - ticks
        );
        // Who means well gets in all the same.
        let mut publisher = debians(broker, "mosquitto_pub");
        let begun = Instant::now();
        let done = run(publisher.args(["-t", "a", "-q", "1", "-m", "x"]));
        println!("who means well gets in after {:?}", begun.elapsed());
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    });
    assert!(count > 100, "{count} are no storm");
}
