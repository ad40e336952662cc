//! `passwd`: step 22 of the walk-through.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::harness::broker::{OPEN, Setup};
use crate::harness::client::peer_clients;
use crate::harness::raw::{Connect, Raw};
use crate::harness::terminal::Terminal;
use crate::harness::{Clients, Dir, Ended, Kind, Process, Tool};

fn passwd(args: &[&str]) -> Command {
    let mut command = Clients::Midge.command("passwd");
    command.args(args);
    command
}

fn run(args: &[&str]) -> Ended {
    Process::run(&mut passwd(args))
}

/// The return codes that a broker with this password file gives.
fn codes(kind: Kind, file: &str, who: &[(&str, &str)]) -> Vec<u8> {
    let conf = OPEN.replace("true", "false");
    let broker = Setup::new(kind)
        .conf(&format!("password_file {file}\n{conf}"))
        .start();
    who.iter()
        .map(|(user, password)| {
            let connect = Connect::new("x").user(Some(user), Some(password));
            Raw::sign_in(&broker, &connect).1[3]
        })
        .collect()
}

/// Section 9 of the document: two prompts, no echo.
#[test]
fn prompts_twice_without_echo() {
    let dir = Dir::new();
    let file = dir.at("passwd");
    let mut terminal = Terminal::run(&passwd(&["-c", &file, "test"]));
    terminal.expect("Password: ");
    terminal.type_line("s3cret word");
    terminal.expect("Reenter password: ");
    terminal.type_line("s3cret word");
    let (code, shown) = terminal.finish();
    assert_eq!(code, 0, "{shown}");
    // 2.0.11 turns echo off after it has prompted: who types at once is shown.
    assert!(
        !shown.contains("s3cret") || Clients::Midge.is_peer(),
        "{shown}"
    );
    assert!(dir.read("passwd").starts_with("test:$7$"));
    let who = [("test", "s3cret word"), ("test", "s3cret"), ("test", "")];
    assert_eq!(codes(Kind::Midge, &file, &who), [0, 5, 5]);
}

/// A mismatch is refused and leaves no file.
#[test]
fn a_mismatch_is_refused() {
    let dir = Dir::new();
    let file = dir.at("passwd");
    let mut terminal = Terminal::run(&passwd(&["-c", &file, "test"]));
    terminal.expect("Password: ");
    terminal.type_line("one");
    terminal.expect("Reenter password: ");
    terminal.type_line("two");
    let (code, shown) = terminal.finish();
    assert!(
        code == 1 || (code == 2 && Clients::Midge.is_peer()),
        "{code}: {shown}"
    );
    assert!(shown.contains("do not match"), "{shown}");
    assert!(!dir.read_if("passwd").contains("test"));
}

/// An empty password is refused at the prompt.
#[test]
fn an_empty_password_is_refused_at_the_prompt() {
    let dir = Dir::new();
    let mut terminal = Terminal::run(&passwd(&["-c", &dir.at("passwd"), "test"]));
    terminal.expect("Password: ");
    terminal.type_line("");
    let (code, shown) = terminal.finish();
    assert_eq!(code, 1, "{shown}");
    assert!(!dir.read_if("passwd").contains("test"));
}

/// `-b` adds and changes without prompts; other lines stay byte for byte.
#[test]
fn batch_mode_adds_and_changes() {
    let dir = Dir::new();
    let file = dir.at("passwd");
    run(&["-b", "-c", &file, "anna", "one"]).ok();
    let first = dir.read("passwd");
    run(&["-b", &file, "bert", "two"]).ok();
    let both = dir.read("passwd");
    assert!(both.starts_with(&first), "{both}");
    assert_eq!(both.lines().count(), 2);
    run(&["-b", &file, "anna", "three"]).ok();
    let changed = dir.read("passwd");
    assert_eq!(changed.lines().count(), 2);
    assert_eq!(changed.lines().nth(1), both.lines().nth(1));
    let who = [
        ("anna", "one"),
        ("anna", "three"),
        ("bert", "two"),
        ("cleo", "two"),
    ];
    assert_eq!(codes(Kind::Midge, &file, &who), [5, 0, 0, 5]);
}

/// `-D` removes; who is not there is a warning and exit 1.
#[test]
fn delete() {
    let dir = Dir::new();
    let file = dir.at("passwd");
    run(&["-b", "-c", &file, "anna", "one"]).ok();
    run(&["-b", &file, "bert", "two"]).ok();
    run(&["-D", &file, "anna"]).ok();
    let left = dir.read("passwd");
    assert!(
        left.starts_with("bert:") && left.lines().count() == 1,
        "{left}"
    );
    let ended = run(&["-D", &file, "anna"]).with(1);
    assert!(
        ended.all().contains("User anna not found in password file"),
        "{ended:?}"
    );
    assert_eq!(dir.read("passwd"), left);
}

/// `-U` hashes what stands there as plain text.
#[test]
fn upgrade_hashes_plain_text() {
    let dir = Dir::new();
    let file = dir.write("passwd", "anna:one\nbert:two words\n");
    run(&["-U", &file]).ok();
    let text = dir.read("passwd");
    assert!(
        text.starts_with("anna:$7$") && text.contains("\nbert:$7$"),
        "{text}"
    );
    let who = [("anna", "one"), ("bert", "two words"), ("bert", "two")];
    assert_eq!(codes(Kind::Midge, &file, &who), [0, 0, 5]);
}

/// `-H` chooses the hash and `-I` the number of rounds.
#[test]
fn hashes_and_rounds() {
    let dir = Dir::new();
    let file = dir.at("passwd");
    run(&["-H", "sha512", "-b", "-c", &file, "anna", "one"]).ok();
    run(&["-H", "sha512-pbkdf2", "-b", &file, "bert", "two"]).ok();
    run(&[
        "-H",
        "sha512-pbkdf2",
        "-I",
        "1234",
        "-b",
        &file,
        "cleo",
        "three",
    ])
    .ok();
    let text = dir.read("passwd");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("anna:$6$"), "{text}");
    assert!(lines[1].starts_with("bert:$7$"), "{text}");
    assert!(lines[2].starts_with("cleo:$7$1234$"), "{text}");
    let who = [
        ("anna", "one"),
        ("bert", "two"),
        ("cleo", "three"),
        ("anna", "two"),
    ];
    assert_eq!(codes(Kind::Midge, &file, &who), [0, 0, 0, 5]);
    assert_eq!(run(&["-H", "md5", "-b", &file, "anna", "one"]).code, 1);
}

/// The files work in both brokers, both ways.
#[test]
fn the_files_work_in_both_brokers() {
    if !Tool::Mosquitto.ready() {
        return;
    }
    let who = [
        ("anna", "one"),
        ("bert", "two"),
        ("anna", "two"),
        ("bert", "one"),
    ];
    for clients in [Clients::Midge, Clients::Debian] {
        let dir = Dir::new();
        let file = dir.at("passwd");
        for args in [
            &["-b", "-c", &file, "anna", "one"][..],
            &["-H", "sha512", "-b", &file, "bert", "two"],
        ] {
            Process::run(clients.command("passwd").args(args)).ok();
        }
        for kind in [Kind::Midge, Kind::Debian] {
            assert_eq!(
                codes(kind, &file, &who),
                [0, 0, 5, 5],
                "{clients:?}'s in {kind:?}"
            );
        }
    }
}

/// A file that the program does not understand is left alone.
#[test]
fn a_corrupt_file_is_left_alone() {
    if peer_clients("2.0.11 says what is wrong, loses that line and ends with 0") {
        return;
    }
    let dir = Dir::new();
    let file = dir.write("passwd", "anna:$7$101$x$y\nno colon here\n");
    let before = dir.read("passwd");
    let ended = run(&["-b", &file, "bert", "two"]).with(1);
    assert!(
        ended.all().contains("Corrupt password file at line 2"),
        "{ended:?}"
    );
    assert_eq!(dir.read("passwd"), before);
}

/// Nobody else may read a new file; an old one keeps its mode.
#[test]
fn modes() {
    let dir = Dir::new();
    let file = dir.at("passwd");
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    run(&["-b", "-c", &file, "anna", "one"]).ok();
    if !peer_clients("2.0.11 makes files that everybody can read") {
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        run(&["-b", &file, "anna", "two"]).ok();
        assert_eq!(mode(), 0o640);
    }
    // Nothing else is left in the directory.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Wrong use: exit 1 and a word about it.
#[test]
fn wrong_use() {
    let dir = Dir::new();
    let file = dir.at("passwd");
    let bad = dir.at("no/such/dir/passwd");
    for args in [
        &[][..],
        &["-c", "-D", &file, "anna"],
        &["-c", "-U", &file],
        &["-b", "-D", &file, "anna"],
        &["-b", &file, "anna"],
        &["-b", "-c", &file, "an:na", "x"],
        &["-b", "-c", &bad, "anna", "x"],
        &["-D", &bad, "anna"],
        &["--no-such-flag", &file],
    ] {
        let ended = run(args);
        assert_eq!(ended.code, 1, "{args:?}: {ended:?}");
        assert!(!ended.all().is_empty(), "{args:?}");
    }
    assert!(!dir.file("passwd").exists());
    let ended = run(&["-b", &file, "anna", "x"]).with(1);
    if !peer_clients("2.0.11 does not say what helps") {
        assert!(ended.all().contains("; -c makes a new one"), "{ended:?}");
    }
}
