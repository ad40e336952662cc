//! The command as a whole: flags, and what becomes of the files.

use super::*;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use crate::auth::{Passwords, SignIn};

/// A folder of its own for one test, removed with all that is in it.
pub(super) struct Folder {
    path: std::path::PathBuf,
}

impl Folder {
    pub(super) fn new() -> Folder {
        let number = getrandom::u64().expect("random numbers");
        let path = std::env::temp_dir().join(format!("midge-test-{number:016x}"));
        fs::create_dir(&path).expect("a folder for temporary files");
        Folder { path }
    }

    pub(super) fn path(&self, name: &str) -> String {
        let path = self.path.join(name);
        path.to_str().expect("made of UTF-8").to_owned()
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("is there")
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).expect("is there");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("readable").file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn args(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

fn parse(line: &[&str]) -> Result<Order, Misuse> {
    Order::parse(&args(line))
}

/// Carries an order out with a known salt.
fn carry_out(line: &[&str]) -> Result<Vec<String>, Failure> {
    let order = parse(line).expect("good flags");
    order.carry_out(&mut |salt| {
        salt.fill(b's');
        Ok(())
    })
}

fn set_order(kind: Kind, password: Option<&str>, create: bool) -> Order {
    Order {
        file: "f".into(),
        kind,
        task: Task::Set {
            user: "u".into(),
            password: password.map(str::to_owned),
            create,
        },
        warnings: Vec::new(),
    }
}

#[test]
fn flags_make_orders() {
    let pbkdf2 = |rounds| Kind::Pbkdf2 { rounds };
    for (line, order) in [
        (&["f", "u"][..], set_order(Kind::DEFAULT, None, false)),
        (&["-c", "f", "u"], set_order(Kind::DEFAULT, None, true)),
        (
            &["-b", "f", "u", "p"],
            set_order(Kind::DEFAULT, Some("p"), false),
        ),
        (
            &["-b", "f", "u", "-c"],
            set_order(Kind::DEFAULT, Some("-c"), false),
        ),
        (
            &["-cb", "f", "u", "p"],
            set_order(Kind::DEFAULT, Some("p"), true),
        ),
        (
            &["-I", "101", "f", "u"],
            set_order(pbkdf2(101), None, false),
        ),
        (
            &["-H", "sha512", "f", "u"],
            set_order(Kind::Sha512, None, false),
        ),
        (
            &["-H", "sha512-pbkdf2", "-I", "7", "f", "u"],
            set_order(pbkdf2(7), None, false),
        ),
        (
            &["-H", "argon2id", "f", "u"],
            set_order(Kind::ARGON2ID, None, false),
        ),
        (
            &["-I", "3", "-H", "argon2id", "f", "u"],
            set_order(
                Kind::Argon2id {
                    memory_kib: 47_104,
                    passes: 3,
                    lanes: 1,
                },
                None,
                false,
            ),
        ),
    ] {
        assert_eq!(parse(line), Ok(order), "{line:?}");
    }
    let delete = Task::Delete { user: "u".into() };
    assert_eq!(parse(&["-D", "f", "u"]).map(|order| order.task), Ok(delete));
    let order = parse(&["-U", "-I", "5", "f"]).expect("good flags");
    assert_eq!((order.task, order.kind), (Task::HashAll, pbkdf2(5)));
    let order = parse(&["-H", "sha512", "-I", "5", "f", "u"]).expect("good flags");
    assert_eq!(order.warnings, ["-I does nothing with -H sha512."]);
}

#[test]
fn wrong_flags_are_told() {
    for (line, expected) in [
        (
            &["-c", "-D", "f", "u"][..],
            "-c and -D cannot be used together.",
        ),
        (&["-c", "-U", "f"], "-c and -U cannot be used together."),
        (&["-D", "-U", "f"], "-D and -U cannot be used together."),
        (
            &["-D", "-b", "f", "u", "p"],
            "-b and -D cannot be used together.",
        ),
        (&["-b", "-U", "f"], "-b and -U cannot be used together."),
        (
            &["-H", "md5", "f", "u"],
            "Unknown hash type 'md5', expected sha512-pbkdf2, sha512 or argon2id.",
        ),
        (
            &["-I", "0", "f", "u"],
            "-I wants a number of iterations > 0, not '0'.",
        ),
        (
            &["-I", "x", "f", "u"],
            "-I wants a number of iterations > 0, not 'x'.",
        ),
        (
            &["-I", "1000001", "f", "u"],
            "-I: the number of rounds is 1000001, expected 1 to 1000000.",
        ),
        (&["f", "a:b"], "the user name contains ':'."),
        (&["f", "a\tb"], "the user name contains control characters."),
        (&["-D", "f", ""], "the user name is empty."),
        (
            &["f", "#u"],
            "a user name that starts with '#' would be a comment in the file.",
        ),
        (
            &["f", " u"],
            "blanks around a user name would be lost in the file.",
        ),
        (&["-b", "f", "u", ""], "Empty password."),
        (
            &["-", "u"],
            "'-' stands for the standard output and needs -c.",
        ),
        (
            &["-D", "-", "u"],
            "'-' stands for the standard output and needs -c.",
        ),
    ] {
        assert_eq!(
            parse(line),
            Err(Misuse::Wrong(expected.to_owned())),
            "{line:?}"
        );
    }
}

#[test]
fn a_wrong_number_of_arguments_shows_the_usage() {
    for line in [
        &[][..],
        &["f"],
        &["-D", "f"],
        &["-U"],
        &["-U", "f", "u"],
        &["f", "u", "p"],
        &["-b", "f", "u"],
        &["-b", "f", "u", "p", "x"],
        &["-x", "f", "u"],
        &["-H"],
        &["-c", "-c", "f", "u"],
    ] {
        assert!(matches!(parse(line), Err(Misuse::Usage(_))), "{line:?}");
    }
    assert_eq!(parse(&["--help"]), Err(Misuse::Help));
    for line in usage("mosquitto_passwd").lines() {
        assert!(line.len() <= 100, "{line}");
    }
}

#[test]
fn a_file_is_made_changed_and_emptied() {
    let folder = Folder::new();
    let file = &folder.path("pw");
    let check = |user: &str, password: &str| {
        let (passwords, problems) = Passwords::parse(folder.read("pw").as_bytes(), "pw");
        assert_eq!(problems, []);
        passwords.check(user, Some(password.as_bytes()))
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(
        carry_out(&["-c", "-b", file, "ann", "one"]),
        Ok(none.clone())
    );
    // The vector is from Python's hashlib: 10,000 rounds, twelve times 's' as the salt.
    assert_eq!(folder.read("pw"), ANN_ONE);
    assert_eq!(
        carry_out(&["-b", "-I", "2", file, "bob", "two"]),
        Ok(none.clone())
    );
    assert_eq!(
        carry_out(&["-b", "-H", "sha512", file, "ann", "three"]),
        Ok(none.clone())
    );
    assert_eq!(check("ann", "one"), SignIn::WrongPassword);
    assert_eq!(check("ann", "three"), SignIn::Granted);
    assert_eq!(check("bob", "two"), SignIn::Granted);
    assert_eq!(carry_out(&["-D", file, "ann"]), Ok(none.clone()));
    assert_eq!(check("ann", "three"), SignIn::UnknownUser);
    let before = folder.read("pw");
    assert_eq!(
        carry_out(&["-D", file, "ann"]),
        Err(Failure::Warning(
            "User ann not found in password file.".into()
        ))
    );
    assert_eq!(folder.read("pw"), before);
    assert_eq!(carry_out(&["-c", "-b", file, "eve", "x"]), Ok(none.clone()));
    assert_eq!(check("bob", "two"), SignIn::UnknownUser);
    assert_eq!(carry_out(&["-D", file, "eve"]), Ok(none));
    assert_eq!(folder.read("pw"), "");
    assert_eq!(folder.names(), ["pw"]);
}

const ANN_ONE: &str = "ann:$7$10000$c3Nzc3Nzc3Nzc3Nz$LIB75WEsDhUAvxeSJn7bM7r/63S1zeVZkHbnLS88\
    mYZLUSKgWZkv8L+5zxPwKHN1oNeJe2VIsUfvB2HwquaGpQ==\n";

#[test]
fn plain_text_becomes_hashes() {
    let folder = Folder::new();
    let file = &folder.path("pw");
    fs::write(file, "# users\nann:one\n\nbob: t:wo \n").expect("own folder");
    assert_eq!(carry_out(&["-U", "-I", "3", file]), Ok(vec![]));
    let hashed = folder.read("pw");
    let (passwords, problems) = Passwords::parse(hashed.as_bytes(), "pw");
    assert_eq!(problems, []);
    assert_eq!(passwords.check("ann", Some(b"one")), SignIn::Granted);
    assert_eq!(passwords.check("bob", Some(b"t:wo")), SignIn::Granted);
    // A second time it does no harm, and says why.
    assert_eq!(
        carry_out(&["-U", "-I", "3", file]),
        Ok(vec![
            "hashed already, therefore unchanged: 2 passwords.".into()
        ])
    );
    assert_eq!(folder.read("pw"), hashed);
}

#[test]
fn nothing_is_written_when_something_is_wrong() {
    let folder = Folder::new();
    let file = &folder.path("pw");
    let broken = "ann:x\nnocolon\n";
    fs::write(file, broken).expect("own folder");
    let corrupt = || Err(Failure::Error("Corrupt password file at line 2.".into()));
    assert_eq!(carry_out(&["-b", file, "ann", "y"]), corrupt());
    assert_eq!(carry_out(&["-D", file, "ann"]), corrupt());
    assert_eq!(carry_out(&["-U", "-I", "1", file]), corrupt());
    assert_eq!(folder.read("pw"), broken);

    let no_random = parse(&["-c", "-b", file, "ann", "y"])
        .expect("good flags")
        .carry_out(&mut |_| Err("no random numbers".into()));
    assert_eq!(no_random, Err(Failure::Error("no random numbers".into())));
    assert_eq!(folder.read("pw"), broken);

    fs::write(file, "ann:x\nbob:\n").expect("own folder");
    assert_eq!(
        carry_out(&["-U", "-I", "1", file]),
        Err(Failure::Error("line 2: Empty password.".into()))
    );
    assert_eq!(folder.read("pw"), "ann:x\nbob:\n");
    assert_eq!(folder.names(), ["pw"]);
    assert!(matches!(
        carry_out(&["-b", &folder.path("none"), "ann", "y"]),
        Err(Failure::Error(_))
    ));
    assert_eq!(folder.names(), ["pw"]);
}

#[test]
fn later_lines_of_the_same_user_go() {
    let folder = Folder::new();
    let file = &folder.path("pw");
    fs::write(file, "ann:1\nbob:2\nann:3\n").expect("own folder");
    assert_eq!(
        carry_out(&["-b", "-I", "1", file, "ann", "y"]),
        Ok(vec!["later lines of user ann were taken out: 1.".into()])
    );
    let text = folder.read("pw");
    assert_eq!(text.matches("ann:").count(), 1);
    assert!(text.ends_with("\nbob:2\n"), "{text}");
}

#[test]
fn exit_codes_are_zero_or_one() {
    let folder = Folder::new();
    let file = &folder.path("pw");
    let run = |line: &[&str]| {
        let line: Vec<OsString> = line.iter().map(OsString::from).collect();
        run("midge passwd", &line)
    };
    assert_eq!(run(&["-c", "-b", "-I", "1", file, "ann", "x"]), 0);
    assert_eq!(run(&["-D", file, "bob"]), 1);
    assert_eq!(run(&["-D", file, "ann"]), 0);
    assert_eq!(run(&["-b", "-D", file, "ann"]), 1);
    assert_eq!(run(&["--help"]), 1);
    assert_eq!(run(&[]), 1);
    // Whose bytes would be others in the hash.
    let password = OsString::from_vec(b"p\xe9".into());
    let line = ["-c", "-b", "-I", "1", file, "ann"].map(OsString::from);
    assert_eq!(
        super::run("midge passwd", &[&line[..], &[password]].concat()),
        1
    );
    assert_eq!(folder.read("pw"), "");
}
