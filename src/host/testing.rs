//! What the tests of this room share: a directory that goes away, and themselves as a child
//! process.
//!
//! Signals, sessions, user ids and standard streams belong to a whole process, so tests about them
//! run in one of their own: the test starts this very test binary again with its own name and a
//! role in the environment, finds the role there, and plays it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

const ROLE: &str = "MIDGE_TEST_ROLE";

/// The exit code of a child that found everything right.
pub const PASSED: i32 = 42;

/// A fresh directory, removed with all that is in it when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes the directory; its name holds the process id and a counter.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("midge-host-{}-{count}", process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // What is left behind lies in the temporary directory; a test need not fail for it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Gives the command that runs the test `name` (its full path) again, alone, in the given role.
pub fn child(name: &str, role: &str) -> Command {
    let exe = env::current_exe().expect("the test binary knows where it is");
    let mut command = Command::new(exe);
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROLE, role);
    command
}

/// Runs the test `name` in the given role and fails unless it comes to its [`pass`].
pub fn expect_pass(name: &str, role: &str) {
    let status = child(name, role).status();
    let code = status.expect("the test binary starts again").code();
    assert_eq!(code, Some(PASSED), "{name} as {role}");
}

/// Ends a child that found everything right, with a code that no mistake comes to by itself (a
/// misspelt name would run no test, and that is a success).
pub fn pass() -> ! {
    process::exit(PASSED)
}

/// The role this process was started in, if it is a child.
pub fn role() -> Option<String> {
    env::var(ROLE).ok()
}
