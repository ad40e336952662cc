//! A network of one's own: a namespace whose addresses and interfaces a test may come and go with.
//!
//! As root, or where everybody may make namespaces; elsewhere tests say that they are skipped.

use std::process::Command;
use std::sync::OnceLock;

use nix::unistd::{Pid, geteuid};

use super::Process;
use super::tools;

/// Whether this machine lets us have one; false, loudly, when not.
pub fn ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    let is_ready = *READY.get_or_init(|| {
        let mut command = unshare();
        command.args([
            "sh",
            "-c",
            "ip link set lo up && ip addr add 192.0.2.1/32 dev lo",
        ]);
        command.status().is_ok_and(|status| status.success())
    });
    !tools::excused(!is_ready, "needs ip and unshare, and the right to use them")
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg(if geteuid().is_root() { "-n" } else { "-rn" });
    command
}

/// The same program with the same arguments in a new network that has the loopback interface.
pub fn apart(program: &Command) -> Command {
    let mut command = unshare();
    command.args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]);
    command.arg(program.get_program()).args(program.get_args());
    if let Some(dir) = program.get_current_dir() {
        command.current_dir(dir);
    }
    let set = program.get_envs();
    command.envs(set.filter_map(|(name, value)| Some((name, value?))));
    command
}

/// A command that runs in the network of a process.
pub fn beside(pid: Pid, words: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid.to_string(), "-n"]);
    if !geteuid().is_root() {
        command.args(["-U", "--preserve-credentials"]);
    }
    command.args(words);
    command
}

/// Does something there, which has to work.
#[track_caller]
pub fn act(pid: Pid, words: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    Process::run(&mut beside(pid, &words)).ok();
}
