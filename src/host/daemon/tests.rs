//! The start in the background, the pid file, users and limits, in real child processes.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{self, Uid, User};

use super::*;
use crate::host::testing::{self, TempDir};

const TESTS: &str = "host::daemon::tests";
const DIR: &str = "MIDGE_TEST_DIR";

fn full_name(test: &str) -> String {
    format!("{TESTS}::{test}")
}

/// What a background process finds about itself, one item a line.
fn describe_self() -> String {
    let stream = |n: u8| fs::read_link(format!("/proc/self/fd/{n}")).unwrap_or_default();
    let comm = fs::read_to_string("/proc/self/comm").unwrap_or_default();
    let session_leader = unistd::getsid(None) == Ok(unistd::getpid());
    format!(
        "{}\n{session_leader}\n{}\n{}\n{}\n{comm}",
        process::id(),
        stream(0).display(),
        stream(1).display(),
        stream(2).display(),
    )
}

/// Plays both processes of `-d`: the one that is started (again), and its child.
fn play_daemon(role: &str) -> ! {
    let readiness = match detach().expect("the test binary starts again") {
        Detached::Parent(code) => process::exit(code.into()),
        Detached::Child(readiness) => readiness,
    };
    match role {
        "runs" => {
            readiness.report().expect("there is a /dev/null");
            // The test waits for this: it must not come before the report.
            let dir = env::var(DIR).expect("the test names a directory");
            let mut tell = UnixStream::connect(Path::new(&dir).join("tell")).expect("it listens");
            let text = describe_self();
            tell.write_all(text.as_bytes()).expect("it reads");
            process::exit(0)
        }
        "refuses" => process::exit(3),
        "ends early" => process::exit(0),
        "dies" => process::abort(),
        other => panic!("unknown role {other}"),
    }
}

#[test]
fn the_parent_ends_well_once_the_child_runs() {
    if let Some(role) = testing::role() {
        play_daemon(&role);
    }
    let dir = TempDir::new();
    let listener = UnixListener::bind(dir.path().join("tell")).expect("a fresh path can be bound");
    let mut command = testing::child(
        &full_name("the_parent_ends_well_once_the_child_runs"),
        "runs",
    );
    let mut parent = command
        .env(DIR, dir.path())
        .arg0("/nowhere/midge-by-a-link")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the test binary starts again");
    let parent_id = parent.id();
    let status = parent.wait().expect("our child can be waited for");
    assert_eq!(status.code(), Some(0));

    let (mut tell, _) = listener.accept().expect("the daemon connects");
    let mut text = String::new();
    tell.read_to_string(&mut text).expect("it says UTF-8");
    let lines: Vec<_> = text.lines().collect();
    let daemon: u32 = lines[0].parse().expect("its pid");
    assert_ne!(daemon, parent_id);
    assert_eq!(lines[1..5], ["true", "/dev/null", "/dev/null", "/dev/null"]);
    // The kernel cuts a name at 15 bytes.
    assert_eq!(lines[5], "midge-by-a-link");
}

#[test]
fn the_parent_ends_as_a_child_that_fails_to_start() {
    if let Some(role) = testing::role() {
        play_daemon(&role);
    }
    // Code 0 without a report is no success, 134 is 128 and SIGABRT.
    for (role, code) in [("refuses", 3), ("ends early", 1), ("dies", 134)] {
        let name = full_name("the_parent_ends_as_a_child_that_fails_to_start");
        let status = testing::child(&name, role)
            .stdout(Stdio::null())
            .status()
            .expect("the test binary starts again");
        assert_eq!(status.code(), Some(code), "{role}");
    }
}

#[test]
fn an_inherited_mark_is_not_believed() {
    if testing::role().is_some() {
        assert!(!is_child());
        testing::pass();
    }
    let status = testing::child(&full_name("an_inherited_mark_is_not_believed"), "any")
        .env(MARK, "999999999") // beyond any pid
        .status()
        .expect("the test binary starts again");
    assert_eq!(status.code(), Some(42));
}

#[test]
fn the_file_limit_and_the_mask_belong_to_the_process() {
    if testing::role().is_none() {
        let name = full_name("the_file_limit_and_the_mask_belong_to_the_process");
        return testing::expect_pass(&name, "any");
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).expect("it may be lowered");
    let wanted = hard.min(FILES_MAX);
    assert_eq!(raise_file_limit().expect("it may be raised"), wanted);
    assert_eq!(
        getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit"),
        (wanted, hard)
    );
    assert_eq!(raise_file_limit().expect("and raised again"), wanted);

    umask(Mode::empty());
    assert_eq!(tighten_umask(), 0o022);
    umask(Mode::from_bits_truncate(0o077));
    assert_eq!(tighten_umask(), 0o077);
    assert_eq!(umask(Mode::empty()).bits(), 0o077);
    testing::pass()
}

#[test]
fn the_pid_file_holds_the_bare_number_and_goes_away() {
    let dir = TempDir::new();
    let path = dir.path().join("midge.pid");
    fs::write(&path, "4194304999\nstale and longer").expect("a fresh directory is writable");
    let pid_file = PidFile::create(&path).expect("a stale file is no obstacle");
    let text = fs::read_to_string(&path).expect("it is there");
    assert_eq!(text, process::id().to_string());
    drop(pid_file);
    assert!(!path.exists());

    let pid_file = PidFile::create(&path).expect("nor is none");
    fs::write(&path, "1").expect("another broker writes its own");
    drop(pid_file);
    assert_eq!(fs::read_to_string(&path).expect("which stays"), "1");

    let pid_file = PidFile::create(&path).expect("the file can be overwritten");
    fs::remove_file(&path).expect("somebody removes it");
    drop(pid_file);
}

#[test]
fn a_pid_file_that_cannot_be_written_is_named() {
    let dir = TempDir::new();
    let path = dir.path().join("missing/midge.pid");
    let error = PidFile::create(&path).expect_err("there is no such directory");
    let text = error.to_string();
    assert!(text.starts_with("Unable to write pid file "), "{text}");
    assert!(text.contains("missing/midge.pid"), "{text}");

    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").expect("a fresh directory is writable");
    let link = dir.path().join("link.pid");
    symlink(&victim, &link).expect("links can be made");
    let error = PidFile::create(&link).expect_err("a link is refused");
    assert!(
        error.to_string().ends_with("it is a symbolic link"),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(&victim).expect("it is there"),
        "precious"
    );
}

/// Ids belong to the process, and dropping them is for good. Without root there is nothing to drop,
/// and the child holds exactly that.
#[test]
fn privileges_are_dropped_for_good() {
    let name = full_name("privileges_are_dropped_for_good");
    let Some(role) = testing::role() else {
        for role in ["nobody", "numbers", "root", "default"] {
            testing::expect_pass(&name, role);
        }
        return;
    };
    let before = Identity::current();
    let settings = match role.as_str() {
        "nobody" | "root" => UserSettings {
            user: Some(&role),
            ..UserSettings::default()
        },
        "numbers" => UserSettings {
            user: None,
            uid: Some(12345),
            gid: Some(23456),
        },
        _ => UserSettings::default(),
    };
    let after = drop_privileges(&settings).expect("a root may become anybody");
    assert_eq!(after, Identity::current());
    if before.uid != 0 || role == "root" {
        assert_eq!(after, before);
        testing::pass();
    }
    let named = |name: &str| User::from_name(name).expect("accounts can be read");
    let (uid, gid) = match role.as_str() {
        "numbers" => (12345, 23456),
        "nobody" => named("nobody").map_or((0, 0), |u| (u.uid.as_raw(), u.gid.as_raw())),
        _ => named("mosquitto")
            .or_else(|| named("nobody"))
            .map_or((0, 0), |user| (user.uid.as_raw(), user.gid.as_raw())),
    };
    assert_ne!(uid, 0);
    assert_eq!((after.uid, after.gid), (uid, gid));
    assert!(unistd::setuid(Uid::from_raw(0)).is_err());
    assert!(unistd::getgroups().is_ok_and(|groups| groups.iter().all(|g| g.as_raw() != 0)));
    let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    assert!(
        status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")),
        "{status}"
    );

    let secret = explain_denied(
        Path::new("/etc/shadow"),
        &fs::read("/etc/shadow").expect_err("only root reads it"),
    );
    assert!(
        secret.starts_with("/etc/shadow: Permission denied"),
        "{secret}"
    );
    assert!(secret.contains("owner root"), "{secret}");
    assert!(
        secret.contains(&format!("running as {}", after.name)),
        "{secret}"
    );
    assert!(secret.contains("chown "), "{secret}");
    testing::pass()
}

/// A folder that root makes is the new user's alone, those above it can be passed through, and one
/// that is there stays whose it is. Without root nothing is made.
#[test]
fn a_folder_is_given_to_the_new_user() {
    let name = full_name("a_folder_is_given_to_the_new_user");
    let Some(role) = testing::role() else {
        for role in ["missing", "there"] {
            testing::expect_pass(&name, role);
        }
        return;
    };
    let before = Identity::current();
    let dir = TempDir::new();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let settings = UserSettings {
        user: None,
        uid: Some(12345),
        gid: Some(23456),
    };
    let above = dir.path().join("lib");
    let folder = above.join("kept");
    umask(Mode::from_bits_truncate(0o077));
    if role == "there" {
        fs::create_dir_all(&folder).expect("it is ours");
        fs::set_permissions(&above, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    drop_privileges_with(&settings, [&*folder], []).expect("a root may become anybody");
    if role == "there" {
        assert_eq!(
            fs::metadata(&folder).expect("it is there").uid(),
            before.uid
        );
        testing::pass();
    }
    if before.uid != 0 {
        assert!(!above.exists());
        testing::pass();
    }
    let made = fs::metadata(&folder).expect("it was made");
    assert_eq!(
        (made.uid(), made.gid(), made.mode() & 0o777),
        (12345, 23456, 0o700)
    );
    assert_eq!(
        fs::metadata(&above).expect("it was made").mode() & 0o777,
        0o755
    );
    fs::write(folder.join("file"), "ours").expect("the new user may write there");
    testing::pass()
}

#[test]
fn an_unknown_user_is_an_error_for_root_only() {
    let settings = UserSettings {
        user: Some("no-such-user-here"),
        ..UserSettings::default()
    };
    match drop_privileges(&settings) {
        Ok(identity) => assert_ne!(identity.uid, 0),
        Err(error) => {
            assert!(unistd::geteuid().is_root());
            assert!(error.to_string().contains("'no-such-user-here'"), "{error}");
        }
    }
}

#[test]
fn denials_are_explained_and_other_errors_named() {
    let missing = explain_denied(
        Path::new("/nowhere/at/all"),
        &io::Error::from(io::ErrorKind::NotFound),
    );
    assert!(missing.starts_with("/nowhere/at/all: "), "{missing}");
    assert!(!missing.contains("running as"), "{missing}");

    let dir = TempDir::new();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("it is ours");
    let inside = explain_denied(
        &dir.path().join("file"),
        &io::Error::from(io::ErrorKind::PermissionDenied),
    );
    let directory = format!("directory {}", dir.path().display());
    assert!(inside.contains(&directory), "{inside}");
    assert!(inside.contains("mode 0700"), "{inside}");
}

/// Root may copy the commands that we tell, also for a path with a space in it.
#[test]
fn paths_are_one_word_of_a_command() {
    for (path, word) in [
        ("/var/lib/midge-1.d/", "/var/lib/midge-1.d/"),
        ("/mnt/usb stick/kept", "'/mnt/usb stick/kept'"),
        ("a'b;c", r"'a'\''b;c'"),
    ] {
        assert_eq!(quoted(Path::new(path)), word);
    }
}

fn next_datagram(ear: &UnixDatagram) -> String {
    ear.set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a minute is a time-out");
    let mut buffer = [0; 256];
    let length = ear.recv(&mut buffer).expect("a datagram comes");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn the_service_manager_hears_each_state() {
    let dir = TempDir::new();
    let path = dir.path().join("notify");
    let ear = UnixDatagram::bind(&path).expect("a fresh path can be bound");
    let mut notifier = Notifier::new(Some(path.into_os_string()), Some("30000000"));
    notifier.ready();
    assert_eq!(next_datagram(&ear), "READY=1");
    notifier.reloading();
    let text = next_datagram(&ear);
    let now_us = text
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .expect("with the time")
        .parse::<u64>()
        .expect("as a number");
    assert!(now_us > 0);
    notifier.status("3 clients\nREADY=1");
    assert_eq!(next_datagram(&ear), "STATUS=3 clients");
    // Half of what it allows, however often the loop comes by.
    assert_eq!(notifier.alive(700_000), Some(15_000));
    assert_eq!(next_datagram(&ear), "WATCHDOG=1");
    assert_eq!(notifier.alive(700_001), Some(14_999));
    assert_eq!(notifier.alive(714_999), Some(1));
    notifier.stopping();
    assert_eq!(next_datagram(&ear), "STOPPING=1");
    assert_eq!(notifier.alive(715_000), Some(15_000));
    assert_eq!(next_datagram(&ear), "WATCHDOG=1");
    drop(ear);
    notifier.stopping();
}

#[test]
fn an_abstract_name_is_heard_too() {
    let name = format!("midge-test-{}", process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    let ear = UnixDatagram::bind_addr(&address).expect("a fresh name can be bound");
    let mut notifier = Notifier::new(Some(OsString::from(format!("@{name}"))), None);
    notifier.ready();
    assert_eq!(next_datagram(&ear), "READY=1");
    assert_eq!(notifier.alive(0), None);
}

#[test]
fn without_a_service_manager_nothing_happens() {
    for socket in [None, Some("vsock:2:1234"), Some("")] {
        let mut notifier = Notifier::new(socket.map(OsString::from), Some("1000"));
        notifier.ready();
        assert_eq!(notifier.alive(0), None);
    }
    let dir = TempDir::new();
    let deaf = dir.path().join("nobody-listens").into_os_string();
    let mut notifier = Notifier::new(Some(deaf), Some("nonsense"));
    notifier.ready();
    assert_eq!(notifier.alive(0), None);
}
