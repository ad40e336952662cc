//! All stories again, through a keyhole (input cut into single bytes, output taken byte by byte),
//! and with everything on a disk.
//!
//! A story does not say how its bytes arrive, so it has to come out the same. The test binary runs
//! itself with the environment variables that the world reads.

use std::process::Command;

use crate::seam::JOURNAL;
use crate::world::{PIECE, ROOM};

fn all_stories(variables: &[(&str, &str)]) {
    let binary = std::env::current_exe().expect("this test binary");
    let mut command = Command::new(binary);
    command.args(["--skip", "cut::", "--skip", "coverage::", "--quiet"]);
    // These count bytes of their own or take very many of them.
    command.args([
        "--skip",
        "malformed::",
        "--skip",
        "a_large_message",
        "--skip",
        "twin::",
    ]);
    command.args(["--skip", "65_535"]);
    let output = command
        .envs(variables.iter().copied())
        .output()
        .expect("it runs");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "with {variables:?}: {report}");
}

#[test]
fn every_story_holds_when_input_comes_byte_by_byte() {
    all_stories(&[(PIECE, "1")]);
}

#[test]
fn every_story_holds_when_input_is_cut_into_small_pieces() {
    all_stories(&[(PIECE, "7")]);
}

#[test]
fn every_story_holds_when_the_socket_takes_few_bytes_at_a_time() {
    all_stories(&[(ROOM, "3")]);
}

#[test]
fn every_story_holds_when_everything_is_kept_on_a_disk() {
    all_stories(&[(JOURNAL, "1")]);
}

#[test]
fn every_story_holds_with_a_disk_and_small_pieces() {
    all_stories(&[(JOURNAL, "1"), (PIECE, "7"), (ROOM, "3")]);
}
