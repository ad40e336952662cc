//! A disk without room: nothing is acknowledged that is not kept, QoS 0 flows, and everything goes
//! on by itself when there is room again.

use std::fs;
use std::process::Command;

use crate::broker::Broker;
use crate::client::Client;
use crate::common::packet::*;
use crate::wait::until;

const QUOTA_EXCEEDED: u8 = 0x97;

/// A file system of 12 MB in memory, mounted over a folder until this is dropped.
struct SmallDisk {
    folder: String,
}

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount(folder: String) -> Option<SmallDisk> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=12m", "tmpfs", &folder]);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then_some(SmallDisk { folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let umount = Command::new("umount").args(["-l", &self.folder]).status();
        assert!(umount.is_ok_and(|status| status.success()));
    }
}

fn try_publish(client: &mut Client, topic: &str, text: &str) -> u8 {
    client.say(Publish::new(topic, text).qos(1).id(9));
    match client.hear() {
        Packet::PubAck(ack) => ack.code,
        other => panic!("{other:?}"),
    }
}

fn text_of(number: usize) -> String {
    format!("{number:06}{}", "x".repeat(16_000))
}

/// Publishes until there is no room; how many messages were acknowledged.
fn fill(publisher: &mut Client) -> usize {
    let mut acknowledged = 0;
    loop {
        match try_publish(publisher, "queue/1", &text_of(acknowledged)) {
            QUOTA_EXCEEDED => return acknowledged,
            code => assert!(code <= 0x10, "{code}"),
        }
        acknowledged += 1;
        assert!(acknowledged < 10_000, "it is never full");
    }
}

/// While there is no room: 3.1.1 gets no answer, the others are served, QoS 0 flows.
fn check_the_rest(broker: &Broker) {
    let mut old = broker.client(Version::V311, "old");
    old.say(Publish::new("queue/2", text_of(0)).qos(1).id(5));
    assert_eq!(old.ping(), []);
    let mut watcher = broker.client(Version::V311, "watcher");
    watcher.subscribe("news", 0);
    old.say(Publish::new("news", "flows"));
    watcher.message("flows");
    // Who would not miss it after a crash gets QoS 1, too.
    watcher.subscribe("live", 1);
    let mut other = broker.client(Version::V5, "other");
    assert_eq!(try_publish(&mut other, "live", "now"), 0);
    watcher.take("now");
}

/// All that was acknowledged is there after a kill, in order.
fn check_the_queue(broker: &mut Broker, acknowledged: usize) {
    broker.kill();
    broker.start_again();
    let (mut sleeper, is_present) = broker.lasting(Version::V5, "sleeper");
    assert!(is_present);
    for number in 0..acknowledged {
        sleeper.take(&text_of(number));
    }
}

#[test]
fn a_full_disk_refuses_keeps_its_word_and_gets_over_it() {
    let mut broker = Broker::start("");
    assert_eq!(broker.stop().code(), Some(0));
    let Some(disk) = SmallDisk::mount(broker.folder()) else {
        // Without the right to mount, the limit of our own is what can be filled: see below.
        return println!("not run: this process may not mount a file system");
    };
    let ballast = format!("{}/ballast", disk.folder);
    fs::write(&ballast, vec![0; 5_000_000]).unwrap();
    broker.start_again();
    let (mut sleeper, _) = broker.lasting(Version::V5, "sleeper");
    sleeper.subscribe("queue/#", 1);
    sleeper.leave();
    let mut publisher = broker.client(Version::V5, "publisher");
    let acknowledged = fill(&mut publisher);
    assert!(acknowledged > 50, "{acknowledged}");
    check_the_rest(&broker);
    fs::remove_file(ballast).unwrap();
    let text = text_of(acknowledged);
    until("there is room again", || {
        (try_publish(&mut publisher, "queue/1", &text) <= 0x10).then_some(())
    });
    check_the_queue(&mut broker, acknowledged + 1);
    assert_eq!(broker.stop().code(), Some(0));
    drop(disk);
}

#[test]
fn the_limit_of_the_disk_is_kept_and_a_drained_queue_makes_room() {
    let mut broker = Broker::start("persistence_max_bytes 16777216");
    let (mut sleeper, _) = broker.lasting(Version::V5, "sleeper");
    sleeper.subscribe("queue/#", 1);
    sleeper.leave();
    let mut publisher = broker.client(Version::V5, "publisher");
    let acknowledged = fill(&mut publisher);
    assert!(acknowledged > 500, "{acknowledged}");
    let files = fs::read_dir(broker.folder()).unwrap().map(Result::unwrap);
    let kept = files.filter(|file| file.file_name() != "midge.lock");
    let used: u64 = kept.map(|file| file.metadata().unwrap().len()).sum();
    assert!(used <= 16_777_216, "{used}, with what is set aside");
    check_the_rest(&broker);
    check_the_queue(&mut broker, acknowledged);
    let mut publisher = broker.client(Version::V5, "publisher");
    until("there is room again", || {
        (try_publish(&mut publisher, "queue/1", "more") <= 0x10).then_some(())
    });
}
