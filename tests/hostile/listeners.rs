//! Listeners that come, go and move with a reload, under clients who stay.

use crate::common::packet::*;
use crate::harness::{Broker, Client};
use crate::port::Port;
use crate::wait::until_true;
use nix::sys::signal::Signal;
use std::net::{TcpListener, TcpStream};

/// Reloads with these lines about listeners.
fn reload(broker: &Broker, listeners: &str) {
    let conf = format!("user root\nallow_anonymous true\n{listeners}\n");
    broker.dir().write("midge.conf", conf);
    broker.signal(Signal::SIGHUP);
}

fn is_served(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut client = Client::new(stream);
    client.say(Packet::Connect(Connect::new(Version::V311, "visitor")));
    matches!(client.hear(), Some(Packet::ConnAck(ack)) if ack.code == 0)
}

#[track_caller]
fn is_alive(client: &mut Client) {
    client.say(Packet::PingReq);
    assert_eq!(client.hear(), Some(Packet::PingResp));
}

#[test]
fn a_listener_is_added_and_removed() {
    let broker = Broker::start("");
    let (first, second) = (broker.port(), Port::lease());
    let mut early = broker.client(Version::V311, "early");
    early.subscribe("news", 0);
    let both = format!("listener {first}\nlistener {}", second.number);
    reload(&broker, &both);
    until_true("the second listener", || is_served(second.number));
    assert!(is_served(first));
    is_alive(&mut early);
    reload(&broker, &format!("listener {}", second.number));
    until_true("the first listener is gone", || !is_served(first));
    // Who came in by it stays, and hears of those who come in by the other.
    let stream = TcpStream::connect(("127.0.0.1", second.number)).unwrap();
    let mut late = Client::new(stream);
    late.say(Packet::Connect(Connect::new(Version::V311, "late")));
    late.hear();
    late.say(Packet::Publish(Publish::new("news", "hello")));
    let heard = early.hear();
    assert!(matches!(&heard, Some(Packet::Publish(p)) if p.text() == "hello"));
    // It may come back.
    reload(&broker, &format!("listener {first}"));
    until_true("the first listener is back", || is_served(first));
    until_true("the second listener is gone", || !is_served(second.number));
    is_alive(&mut early);
    is_alive(&mut late);
}

/// To another address of the same port: the old socket is in the way of the new one.
#[test]
fn a_listener_moves() {
    let broker = Broker::start("");
    let port = broker.port();
    let mut early = broker.client(Version::V311, "early");
    reload(&broker, &format!("listener {port} 127.0.0.1"));
    until_true("the socket has moved", || {
        broker.log().matches("Opening ipv4 listen socket").count() == 2
    });
    assert!(is_served(port));
    assert!(TcpStream::connect(("::1", port)).is_err(), "on IPv6 still");
    is_alive(&mut early);
}

/// What clients of a listener called a topic yesterday is not another topic today.
#[test]
fn another_mount_point_is_for_those_who_come_anew() {
    let broker = Broker::start("");
    let port = broker.port();
    let mut early = broker.client(Version::V311, "early");
    early.subscribe("#", 0);
    reload(&broker, &format!("listener {port}\nmount_point m/"));
    // Who comes at the moment of the change may find nobody.
    until_true("the listener is another one", || {
        broker.log().matches("Opening ipv4 listen socket").count() == 2
    });
    let mut late = broker.client(Version::V311, "late");
    late.say(Packet::Publish(Publish::new("topic", "x")));
    let heard = early.hear();
    assert!(
        matches!(&heard, Some(Packet::Publish(publish)) if publish.topic == "m/topic"),
        "{heard:?}"
    );
}

#[test]
fn a_listener_that_cannot_be_opened_keeps_everything_as_it_was() {
    let broker = Broker::start("");
    let port = broker.port();
    let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    reload(&broker, &format!("listener {taken_port}\nmax_qos 0"));
    broker.logs("nothing was reloaded");
    broker.logs(&format!("{taken_port}: Address already in use"));
    assert!(is_served(port));
    let mut client = broker.client(Version::V311, "client");
    client.say(Packet::Publish(Publish::new("t", "x").qos(1).id(3)));
    assert_eq!(client.hear(), Some(Packet::PubAck(Ack::new(3))));
}

/// Who comes at the moment that another one goes is not turned away for that.
#[test]
fn who_goes_makes_room_for_who_comes_in_the_same_turn() {
    let broker = Broker::start("max_connections 3");
    let mut clients: Vec<Client> = (0..3)
        .map(|n| broker.client(Version::V311, &format!("c{n}")))
        .collect();
    for round in 0..20 {
        let mut late = broker.asleep(|| {
            // The new one is noticed first.
            let stream = TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
            let mut late = Client::new(stream);
            let id = format!("late{round}");
            late.say(Packet::Connect(Connect::new(Version::V311, &id)));
            drop(clients.remove(0));
            late
        });
        assert!(matches!(late.hear(), Some(Packet::ConnAck(ack)) if ack.code == 0));
        clients.push(late);
    }
}
