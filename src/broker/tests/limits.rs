//! What peers may ask for, and what becomes of more.

use super::*;

const V5: Version = Version::V5;

#[test]
fn an_answer_that_the_client_has_no_room_for_ends_the_connection_only() {
    let mut world = World::new(Settings::default());
    let limits = properties(&[(PropertyId::MaximumPacketSize, 30)]);
    let connect = Connect {
        properties: Properties::from_encoded(&limits),
        ..hello(V5, "c")
    };
    let client = world.connect(&connect);
    let filter = SubscribeFilter {
        filter: "t",
        options: SubscriptionOptions::default(),
    };
    let filters = [filter; 40];
    let packet = bytes(|out| Subscribe::encode(V5, 9, Properties::default(), &filters, out));
    world.send(client, &packet);
    assert_eq!(world.packets(client), ["DISCONNECT 0x95"]);
    assert!(world.links[client].is_closed);
}
