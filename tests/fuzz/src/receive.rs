//! What strangers send, cut anywhere, on several connections, with time passing, slow sockets and
//! power cuts in between. A good pair exchanges messages before and after.
//!
//! The bytes are a script: a first byte of options, then steps, see [`step`].

use super::input::Input;
use super::world::{World, disk};
use midge::broker::Broker;

/// Connections of one run.
const CONNECTIONS_MAX: usize = 12;

/// Steps of one run.
const STEPS_MAX: usize = 60;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let options = input.byte();
    let disk = (options & 1 != 0).then(disk);
    let mut world = World::new(disk);
    world.check();
    play(&mut world, input.rest());
    world.check();
    world.advance(10_000);
    world.check();
    if options & 2 != 0 {
        world.crash();
        world.check();
    }
    world.broker(Broker::shutdown);
}

/// Carries out the steps of a script.
pub fn play(world: &mut World, script: &[u8]) {
    let mut input = Input::new(script);
    let mut strangers = Vec::new();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        step(world, &mut strangers, &mut input);
    }
}

/// One byte says what happens, and to which of the strangers.
fn step(world: &mut World, strangers: &mut Vec<usize>, input: &mut Input<'_>) {
    let byte = input.byte();
    let (what, which) = (byte & 15, usize::from(byte >> 4));
    if matches!(what, 0..=2) || strangers.is_empty() {
        if strangers.len() == CONNECTIONS_MAX {
            return;
        }
        let Some(at) = world.accept(u16::from(what == 2)) else {
            return;
        };
        strangers.push(at);
        if what == 1 {
            world.input(at, &hello(byte >> 4));
        }
        return;
    }
    let at = strangers[which % strangers.len()];
    match what {
        3..=9 => world.input(at, input.piece()),
        10 => world.hang_up(at),
        11 => world.set_room(at, usize::from(input.byte())),
        12 => world.advance(u64::from(input.number()) * 100),
        13 => world.check(),
        14 => {
            let piece = input.piece();
            for byte in piece {
                world.input(at, &[*byte]);
            }
        }
        _ => {
            world.crash();
            strangers.clear();
        }
    }
}

/// A CONNECT of one of three versions and four names, whose session stays or not.
fn hello(options: u8) -> Vec<u8> {
    let name = [b'h', b'0' + (options & 3)];
    let flags = if options & 4 != 0 { 2 } else { 0 };
    match (options >> 2) % 3 {
        0 => [
            &b"\x10\x10\0\x06MQIsdp\x03"[..],
            &[flags, 0, 0, 0, 2],
            &name,
        ]
        .concat(),
        1 => [&b"\x10\x0e\0\x04MQTT\x04"[..], &[flags, 0, 0, 0, 2], &name].concat(),
        // Session Expiry Interval of 100 s.
        _ => {
            let properties = b"\x05\x11\0\0\0\x64";
            let head = [&b"\x10\x14\0\x04MQTT\x05"[..], &[flags, 0, 0]].concat();
            [&head[..], properties, &[0, 2], &name].concat()
        }
    }
}
