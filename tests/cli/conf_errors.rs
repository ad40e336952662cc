//! The command line and the configuration file when something is wrong: FILE:LINE, exit code 3.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::broker::{Setup, peer_broker};
use crate::harness::{Kind, Process, tools};

/// Each wrong file, the line that is wrong and what the message has to name.
const WRONG: [(&str, usize, &str); 22] = [
    ("no_such_directive 1\n", 1, "no_such_directive"),
    ("\n\n# comment\nListener 1883\n", 4, "Listener"),
    ("allow_anonymous yes\n", 1, "allow_anonymous"),
    ("allow_anonymous TRUE\n", 1, "allow_anonymous"),
    ("allow_anonymous\n", 1, "allow_anonymous"),
    ("persistence 2\n", 1, "persistence"),
    ("pid_file /a\npid_file /b\n", 2, "pid_file"),
    ("password_file\n", 1, "password_file"),
    ("listener\n", 1, "listener"),
    ("listener 65536\n", 1, "listener"),
    ("listener -1\n", 1, "listener"),
    ("log_dest nowhere\n", 1, "log_dest"),
    ("log_type gossip\n", 1, "log_type"),
    ("max_qos 3\n", 1, "max_qos"),
    (
        "allow_anonymous false\nper_listener_settings true\n",
        2,
        "per_listener_settings",
    ),
    ("include_dir /no/such/dir\n", 1, "/no/such/dir"),
    ("max_inflight_messages 70000\n", 1, "max_inflight_messages"),
    ("sys_interval -1\n", 1, "sys_interval"),
    ("try_private true\n", 1, "try_private"),
    ("listener 1 127.0.0.1\nmount_point a/#\n", 2, "mount_point"),
    (
        "persistent_client_expiration 3x\n",
        1,
        "persistent_client_expiration",
    ),
    ("protocol carrier_pigeon\n", 1, "protocol"),
];

#[test]
fn errors_name_file_line_and_directive() {
    if peer_broker("mosquitto finds other words, and takes some of these") {
        return;
    }
    for (text, line, word) in WRONG {
        let setup = Setup::new(Kind::Midge).file("wrong.conf", text);
        let file = setup.dir.at("wrong.conf");
        let ended = setup.arg("-c").arg(&file).run();
        assert_eq!(ended.code, 3, "{text:?}: {ended:?}");
        let place = format!("{file}:{line}");
        assert!(ended.all().contains(&place), "no {place}: {ended:?}");
        assert!(ended.all().contains(word), "no {word}: {ended:?}");
    }
}

/// A near miss comes with a suggestion.
#[test]
fn a_near_miss_is_suggested() {
    if peer_broker("mosquitto makes no suggestions") {
        return;
    }
    let setup = Setup::new(Kind::Midge).file("wrong.conf", "allow_anonymos true\n");
    let file = setup.dir.at("wrong.conf");
    setup
        .arg("-c")
        .arg(&file)
        .run()
        .with(3)
        .says("allow_anonymous");
}

/// Security that midge does not have must never be passed over in silence.
#[test]
fn what_would_change_security_is_refused() {
    if peer_broker("mosquitto has these") {
        return;
    }
    for text in [
        "listener 0 {dir}/s\npsk_hint hint\n",
        "plugin /usr/lib/some_auth.so\n",
        "auth_plugin /usr/lib/some_auth.so\n",
        "listener 0 {dir}/s\nprotocol websockets\n",
        "connection bridge\naddress 127.0.0.1\ntopic # both\n",
    ] {
        let mut setup = Setup::new(Kind::Midge);
        let text = setup.fill(text);
        let setup = setup.file("wrong.conf", &text);
        let file = setup.dir.at("wrong.conf");
        let ended = setup.arg("-c").arg(&file).run();
        assert_eq!(ended.code, 3, "{text:?}: {ended:?}");
        assert!(ended.all().contains(&format!("{file}:")), "{ended:?}");
    }
}

/// A file that is not there, is a directory, or is no text.
#[test]
fn files_that_cannot_be_read() {
    let setup = Setup::new(Kind::Midge);
    let ended = setup.arg("-c").arg("{dir}/not-here.conf").run().with(3);
    assert!(ended.all().contains("not-here.conf"), "{ended:?}");
    let ended = Setup::new(Kind::Midge).arg("-c").arg("{dir}").run();
    assert_eq!(ended.code, 3, "{ended:?}");
}

/// The lexer's leniences: what a working file may look like.
#[test]
fn odd_but_right_files() {
    for text in [
        "allow_anonymous true\r\nsys_interval 5\r\n",
        "   allow_anonymous   true   # yes\n",
        "# only a comment",
        "",
        "   \n\n",
        "sys_interval 5",
        "max_keepalive 100\nretry_interval 20\n",
    ] {
        let broker = Setup::new(Kind::Midge).conf(text).start();
        assert_eq!(broker.stop().code, 0);
    }
    if peer_broker("midge also takes a byte order mark and tabs") {
        return;
    }
    for text in [
        "\u{feff}allow_anonymous true\n",
        "allow_anonymous\ttrue\n",
        "\tsys_interval 5\n",
    ] {
        let broker = Setup::new(Kind::Midge).conf(text).start();
        assert_eq!(broker.stop().code, 0);
    }
}

/// `-h` and `--help` show the usage, with exit code 3 as in 2.0; an unknown flag too.
#[test]
fn usage() {
    for flag in ["-h", "--help", "--no-such-flag", "-Z"] {
        let mut command = Kind::Midge.command();
        let ended = Process::run(command.arg(flag)).with(3);
        for word in ["-c", "-d", "-p", "-v"] {
            assert!(ended.all().contains(word), "{flag}: no {word} in {ended:?}");
        }
        if flag.starts_with("--no") {
            assert!(ended.all().contains("no-such-flag"), "{ended:?}");
        }
    }
    for args in [
        &["-c"][..],
        &["-p"],
        &["-p", "0"],
        &["-p", "65536"],
        &["-p", "x"],
    ] {
        let ended = Process::run(Kind::Midge.command().args(args));
        assert_eq!(ended.code, 3, "{args:?}: {ended:?}");
    }
}

/// `--version` names the program and a version.
#[test]
fn version() {
    if peer_broker("--version is new in 2.1") {
        return;
    }
    let ended = Process::run(Kind::Midge.command().arg("--version")).ok();
    assert!(ended.out.contains(env!("CARGO_PKG_VERSION")), "{ended:?}");
    assert_eq!(ended.out.lines().count(), 1, "{ended:?}");
}

/// `--test-config` reads everything, says what is wrong, and starts nothing.
#[test]
fn test_config() {
    if peer_broker("--test-config is new in 2.1") {
        return;
    }
    let good = Setup::new(Kind::Midge)
        .conf("listener {port} 127.0.0.1\nlog_dest file {dir}/log\npid_file {dir}/pid\n")
        .arg("--test-config");
    let dir = good.dir.path().to_path_buf();
    good.run().ok();
    assert!(!dir.join("pid").exists());
    let bad = Setup::new(Kind::Midge)
        .conf("listener {port} 127.0.0.1\nrubbish\n")
        .arg("--test-config");
    bad.run().with(3).says("midge.conf:2");
}

/// Password and ACL files that cannot be read are exit code 13, a wrong ACL file too or 3; never an
/// open door.
#[test]
fn files_of_security() {
    for (text, acl) in [
        ("acl_file {dir}/not-here\n", ""),
        ("acl_file {dir}/acl\n", "rubbish line\n"),
        ("acl_file {dir}/acl\n", "topic sing a/b\n"),
        ("acl_file {dir}/acl\n", "topic read a/#/b\n"),
    ] {
        let ended = Setup::new(Kind::Midge)
            .file("acl", acl)
            .conf(&format!("listener {{port}} 127.0.0.1\n{text}"))
            .run();
        assert!(matches!(ended.code, 1 | 3 | 13), "{acl:?}: {ended:?}");
        if !acl.is_empty() && !Kind::Midge.is_peer() {
            assert!(ended.all().contains("/acl:1"), "{ended:?}");
        }
    }
}

/// What a directive names and the start cannot use is told with the line of that directive, as a
/// mistake in the line itself is.
#[test]
fn what_the_start_cannot_use_is_told_with_its_line() {
    if peer_broker("mosquitto's words are others") {
        return;
    }
    for (text, code, says) in [
        ("acl_file {dir}/none", 13, "acl_file: "),
        ("password_file {dir}/none", 13, "password_file: "),
        ("pid_file /proc/none/p", 1, "pid_file: "),
        ("user nosuchuser", 1, "user: Invalid user 'nosuchuser'"),
        (
            "persistence_location /proc/none\npersistence true",
            1,
            "persistence_location: /proc/none cannot be ",
        ),
    ] {
        let is_root = nix::unistd::geteuid().is_root();
        if text.starts_with("user") && tools::excused(!is_root, "needs root") {
            continue;
        }
        let ended = Setup::new(Kind::Midge)
            .conf(&format!("listener {{port}} 127.0.0.1\n\n{text}\n"))
            .run()
            .with(code);
        let words = format!("midge.conf:3: {says}");
        assert!(ended.err.contains(&words), "{words} in {ended:?}");
    }
}

/// Without a `persistence_location` it is the directory in which the broker is started, which may
/// be `/`: nobody is told to give that away.
#[test]
fn the_directory_of_the_start_is_not_to_be_given_away() {
    let is_root = nix::unistd::geteuid().is_root();
    if peer_broker("it is about midge") || tools::excused(!is_root, "needs root") {
        return;
    }
    let mut setup = Setup::new(Kind::Midge)
        .conf("user daemon\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n");
    fs::set_permissions(setup.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let conf = setup.dir.at("midge.conf");
    let start = Process::run(setup.command().current_dir(setup.dir.path())).with(1);
    let mut check = Kind::Midge.command();
    let check = check
        .args(["check", "-c", &conf])
        .current_dir(setup.dir.path());
    let checked = Process::run(check).with(1);
    for said in [start.err, checked.out] {
        let mend = "name a folder of its own, with a line such as: persistence_location ";
        assert!(said.contains(mend) && !said.contains("chown"), "{said}");
    }
}

/// A start that fails says why where whoever started it looks, also when the log is set up already
/// and goes elsewhere, and in the background.
#[test]
fn a_failed_start_says_why_beside_the_log() {
    if peer_broker("mosquitto says it in the log alone") {
        return;
    }
    for flags in [&["-v"][..], &["-v", "-d"]] {
        let mut setup = Setup::new(Kind::Midge)
            .file("kept", "in the way")
            .file("log", "")
            .conf(
                "user root\nlistener {port} 127.0.0.1\nlog_dest file {dir}/log\n\
                 persistence true\npersistence_location {dir}/kept\n",
            );
        let ended = Process::run(setup.command().args(flags)).with(1);
        let words = format!(
            "midge.conf:5: persistence_location: {}",
            setup.dir.at("kept")
        );
        assert!(ended.err.contains(&words), "{words} in {ended:?}");
        assert!(!ended.err.contains("starting"), "{ended:?}");
        let log = setup.dir.read("log");
        assert!(log.contains(&words) && log.contains("starting"), "{log}");
    }
}

/// The configuration and what it includes, where root may read it, but not the user whom the broker
/// becomes: a reload would fail.
#[test]
fn a_configuration_that_a_reload_could_not_read() {
    let is_root = nix::unistd::geteuid().is_root();
    if peer_broker("it is about midge check") || tools::excused(!is_root, "needs root") {
        return;
    }
    for (of_conf, of_include, line) in [
        (
            0o600,
            0o644,
            "midge.conf: cannot be read again by a reload: Permission denied ",
        ),
        (
            0o644,
            0o600,
            "midge.conf:4: include_dir: '{dir}/d/more.conf' cannot be read again by a reload: ",
        ),
    ] {
        let mut setup = Setup::new(Kind::Midge).conf(
            "user nobody\nlistener {port} 127.0.0.1\nallow_anonymous true\ninclude_dir {dir}/d\n",
        );
        let mode = |name: &str, mode| {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(setup.dir.file(name), mode).unwrap();
        };
        fs::create_dir(setup.dir.file("d")).unwrap();
        fs::write(setup.dir.file("d/more.conf"), "max_queued_messages 1\n").unwrap();
        mode("", 0o755);
        mode("d", 0o755);
        mode("d/more.conf", of_include);
        mode("midge.conf", of_conf);
        let mut check = Kind::Midge.command();
        let check = check.args(["check", "-c", "midge.conf"]);
        let ended = Process::run(check.current_dir(setup.dir.path())).with(0);
        let line = setup.fill(line);
        assert!(ended.out.contains(&line), "{line}\n{}", ended.out);
    }
}
