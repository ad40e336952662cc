//! A file of Mosquitto's: read, taken over into a broker with a disk, sent to whom it was for, and
//! found again on the disk.

use super::world::{World, disk};
use midge::store::mosquitto_db::read;

pub fn run(data: &[u8]) {
    let Ok(db) = read(data) else { return };
    let mut world = World::new(Some(disk()));
    world.import(&db);
    world.check();
    for client in db.clients.iter().take(4) {
        world.resume(client.id);
    }
    world.resume(b"witness");
    world.check();
    world.crash();
    world.check();
    world.advance(1000);
    world.check();
}
