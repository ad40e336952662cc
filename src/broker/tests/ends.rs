//! How connections and sessions end.

use super::*;

#[test]
fn a_header_that_is_none_ends_the_connection_and_not_the_broker() {
    // Remaining Length of five bytes, packet type 0, a packet above max_packet_size.
    for bad in [
        &b"\x10\xff\xff\xff\xff\x01"[..],
        b"\0\0",
        b"\x30\xff\xff\xff\x7f",
    ] {
        let mut world = World::new(Settings::default());
        let stranger = world.dial(Version::V311, 0);
        world.send(stranger, bad);
        assert!(world.links[stranger].is_closed);
        let client = world.connect(&hello(Version::V311, "c"));
        world.send(client, bad);
        assert!(world.links[client].is_closed);
    }
}
