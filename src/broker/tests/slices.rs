//! Work that is cut into slices, so that nobody has to wait for one client.

use super::*;

#[test]
fn a_burst_with_many_subscribers_lets_others_have_their_turn() {
    let mut world = World::new(Settings::default());
    let subscribers: Vec<_> = (0..200)
        .map(|n| {
            let client = world.connect(&hello(Version::V311, &format!("s{n}")));
            world.send(client, &subscribe(Version::V311, "x", QoS::AtMostOnce));
            world.packets(client);
            client
        })
        .collect();
    let publisher = world.connect(&hello(Version::V311, "p"));
    let message = Publish {
        topic: b"x",
        ..Publish::default()
    };
    let burst = publish(Version::V311, &message).repeat(300);
    let conn = world.links[publisher].conn;
    let consumed = world.broker.receive(conn, &burst, world.now);
    assert!(consumed < burst.len() / 2, "{consumed}");
    assert!(!world.broker.takes_input(conn));
    world.links[publisher].unread = burst[consumed..].to_vec();
    world.settle();
    assert!(world.links[publisher].unread.is_empty());
    for client in subscribers {
        assert_eq!(world.packets(client).len(), 300);
    }
}
