//! Being a service: into the background, the pid file, another user, limits, the service manager.
//!
//! **Into the background (`-d`).** A fork is unsafe code, and a fork that leaves the terminal
//! before the listeners are bound can only lie about success. So the program starts itself again
//! with the same arguments, as a child in a session of its own, and stays until the child has told
//! how the start went: the exit code of `midge -d` is that of the start. The child's standard input
//! is one end of a socket pair; a byte from it means "running", its end means that the child has
//! died. Standard error stays the terminal until then, so that what goes wrong can be read. Once
//! all is well the three standard streams become `/dev/null`.
//!
//! The child finds its mark in the environment: the pid of the process that started it, so that a
//! mark that was merely inherited counts for nothing.
//!
//! The order of a start is the caller's: flags, [`detach`], configuration, [`tighten_umask`],
//! [`raise_file_limit`], what needs root, [`drop_privileges`], [`PidFile::create`], logs, what is
//! stored, listeners, [`Readiness::report`], [`Notifier::ready`].

mod account;
mod notify;
mod pid_file;
mod user;

#[cfg(test)]
mod tests;

use std::env;
use std::ffi::{CStr, CString, NulError};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{self, Pid};

pub use account::is_user;
pub use notify::Notifier;
pub use pid_file::PidFile;
pub use user::{
    Identity, UserSettings, drop_privileges, drop_privileges_with, explain_denied, make_folder_of,
    missing_folder, quoted,
};

/// The environment variable that tells the child who started it.
const MARK: &str = "MIDGE_DAEMON_OF";

/// What the child says when it runs.
const RUNNING: u8 = b'+';

/// Open files beyond this many are never needed and cost the kernel memory.
const FILES_MAX: u64 = 1_048_576;

/// Which of the two processes of `-d` this is.
pub enum Detached {
    /// The one that was started: it is done, and ends with this exit code. 0 means that the broker
    /// runs in the background; anything else is how the child ended (128 + n for signal n).
    Parent(u8),
    /// The one in the background: it goes on with the start and reports when it runs.
    Child(Readiness),
}

/// The child's duty to say that it runs. Without a report, its end is what the parent hears.
pub struct Readiness(UnixStream);

/// Starts the program again in the background, or finds that this is where we are.
///
/// Call it before any thread is started and anything is opened: all of that happens again in the
/// child. The parent waits here until the child runs or has ended. Errors tell what was being done.
pub fn detach() -> io::Result<Detached> {
    if is_child() {
        return enter_background().map(Detached::Child);
    }
    let (ours, theirs) = UnixStream::pair().map_err(|error| {
        context(
            "cannot make a socket pair for the background process",
            &error,
        )
    })?;
    let child = start_again(theirs)
        .map_err(|error| context("cannot start the background process", &error))?;
    await_report(ours, child).map(Detached::Parent)
}

impl Readiness {
    /// Tells the parent that configuration and listeners are in order, and lets go of the terminal.
    ///
    /// A parent that is gone already does not matter. An error means that `/dev/null` cannot be
    /// opened; the report has been made all the same.
    pub fn report(mut self) -> io::Result<()> {
        // Nobody may be left to hear it: then nobody waits for it either.
        let _ = self.0.write_all(&[RUNNING]);
        let null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(|error| context("cannot open /dev/null", &error))?;
        unistd::dup2_stdin(&null)?;
        unistd::dup2_stdout(&null)?;
        unistd::dup2_stderr(&null)?;
        Ok(())
    }
}

/// Raises the number of files (and so of connections) this process may have open as far as the
/// system allows without privileges, at most to 1,048,576. Gives the number that holds from now on.
pub fn raise_file_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(FILES_MAX);
    if soft >= wanted {
        return Ok(soft);
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    Ok(wanted)
}

/// Makes sure that no file we create can be written by others, whatever mask we were started with
/// (some init scripts leave it at 0). Bits that were set stay set. Gives the mask from now on.
pub fn tighten_umask() -> u32 {
    let others_write = Mode::S_IWGRP | Mode::S_IWOTH;
    // There is no way to read the mask but to set it.
    let wanted = umask(others_write) | others_write;
    umask(wanted);
    wanted.bits()
}

fn context(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn is_child() -> bool {
    env::var(MARK).is_ok_and(|pid| pid == unistd::getppid().to_string())
}

fn enter_background() -> io::Result<Readiness> {
    unistd::setsid().map_err(|error| context("cannot start a session", &error.into()))?;
    restore_name();
    let channel = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(Readiness(UnixStream::from(channel)))
}

/// Gives the process the name it was called by again, for killall and its like: the kernel named it
/// after the file, which differs when it was called through a link.
fn restore_name() {
    let Some(called) = env::args_os().next() else {
        return;
    };
    let Some(name) = Path::new(&called).file_name() else {
        return;
    };
    // Only a nicety: without /proc there is no name to see either.
    let _ = fs::write("/proc/self/comm", name.as_bytes());
}

/// Takes the child's end of the channel, since we hear of its end only when ours is gone.
fn start_again(channel: UnixStream) -> io::Result<Pid> {
    let exe = CString::new(env::current_exe()?.into_os_string().into_vec())?;
    match again(&exe, &channel) {
        // The file was replaced while we were starting; the kernel still has ours.
        Err(error) if error.kind() == io::ErrorKind::NotFound => again(c"/proc/self/exe", &channel),
        started => started,
    }
}

/// Starts this process again, with this standard input. (The standard library's way to do so made
/// the aarch64 program without TLS 14 KB larger.)
fn again(exe: &CStr, stdin: &UnixStream) -> io::Result<Pid> {
    let args: Result<Vec<CString>, NulError> = (env::args_os())
        .map(|arg| CString::new(arg.into_vec()))
        .collect();
    let mark = format!("{MARK}={}", process::id());
    let env: Result<Vec<CString>, NulError> = (env::vars_os())
        .filter(|(name, _)| name != MARK)
        .map(|(name, value)| CString::new([&name.into_vec()[..], b"=", value.as_bytes()].concat()))
        .chain([CString::new(mark)])
        .collect();
    let mut streams = PosixSpawnFileActions::init()?;
    streams.add_dup2(stdin.as_raw_fd(), 0)?;
    streams.add_open(1, "/dev/null", OFlag::O_WRONLY, Mode::empty())?;
    let as_usual = PosixSpawnAttr::init()?;
    Ok(posix_spawn(exe, &streams, &as_usual, &args?, &env?)?)
}

fn await_report(mut channel: UnixStream, child: Pid) -> io::Result<u8> {
    let mut report = [0];
    if channel.read_exact(&mut report).is_ok() && report == [RUNNING] {
        return Ok(0);
    }
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            ended => return Ok(exit_code(ended?)),
        }
    }
}

/// The exit code as a shell would show it; a start that ended without a report is never a success.
fn exit_code(ended: WaitStatus) -> u8 {
    let code = match ended {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => 1,
    };
    match u8::try_from(code) {
        Ok(0) | Err(_) => 1,
        Ok(code) => code,
    }
}
