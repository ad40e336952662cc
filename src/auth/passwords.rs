//! The password file as a table: who signs in with what.
//!
//! One user per line, `name:secret`. Comments (`#` as the first byte) and blank lines are passed
//! over; every other line that is not a name and a secret of a known kind is left out with a
//! [`Problem`], so that it can never let anybody in. Blanks around the name and around the secret
//! do not count, nor does what follows a second colon. When a name comes twice, the last line
//! holds.
//!
//! [`Passwords::check`] is slow by design: it belongs on a worker thread, shared through an `Arc`.

use std::collections::HashMap;
use std::hint::black_box;

use super::hash::{Kind, OutOfMemory, Refusal, Secret};
use super::{Problem, Problems, lines, quoted};

/// Bytes of the longest user name and the longest password: MQTT has no room for more.
pub const STRING_MAX: usize = 65_535;

/// A password file, parsed. No password is in it, but what guards them is: it has no `Debug`.
pub struct Passwords {
    users: HashMap<String, User>,
    /// Checked in place of the secret that an unknown user does not have; `None` without users.
    decoy: Option<Secret>,
}

/// What came of a user name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// The password is that user's.
    Granted,
    /// No line of the file holds for this name.
    UnknownUser,
    /// The user is known, the password is another. Also when the machine had not the memory to
    /// check it, which is logged as an error.
    WrongPassword,
    /// A name alone is not enough, known or not.
    NoPassword,
}

struct User {
    secret: Secret,
    line: u32,
}

impl Passwords {
    /// Parses a password file; `file` is its name for messages. What cannot be used is left out
    /// and told, so that this never fails: in the worst case nobody can sign in.
    pub fn parse(text: &[u8], file: &str) -> (Passwords, Vec<Problem>) {
        let mut problems = Problems::new(file);
        let mut users: HashMap<String, User> = HashMap::new();
        for (line, text) in lines(text) {
            if text.starts_with(b"#") || text.trim_ascii().is_empty() {
                continue;
            }
            let (name, secret) = match parse_line(text) {
                Ok(parsed) => parsed,
                Err(what) => {
                    problems.add(line, what);
                    continue;
                }
            };
            let Some(earlier) = users.insert(name.to_owned(), User { secret, line }) else {
                continue;
            };
            problems.add(
                line,
                format!(
                    "user {} has a password in line {} already; this line holds, that one does not",
                    quoted(name.as_bytes()),
                    earlier.line
                ),
            );
        }
        let decoy = decoy(&users);
        (Passwords { users, decoy }, problems.finish())
    }

    /// Whether there is a usable line for this name.
    pub fn knows(&self, username: &str) -> bool {
        self.users.contains_key(username)
    }

    /// The names of those who can sign in, each with its line; in the file's order.
    pub fn names(&self) -> Vec<(&str, u32)> {
        let users = self.users.iter();
        let mut names: Vec<(&str, u32)> = users
            .map(|(name, user)| (name.as_str(), user.line))
            .collect();
        names.sort_unstable_by_key(|(_, line)| *line);
        names
    }

    /// How many users can sign in.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// Whether both files have the same line for this user: then a password that was right by the
    /// one is right by the other.
    pub fn agrees_with(&self, other: &Passwords, username: &str) -> bool {
        match (self.users.get(username), other.users.get(username)) {
            (Some(a), Some(b)) => a.secret == b.secret,
            _ => false,
        }
    }

    /// Whether this user signs in with this password; `None` is a CONNECT without one. An empty one
    /// opens nothing either, whatever the file says: `mosquitto_passwd -b` hashes it without a
    /// word, and Mosquitto lets nobody in with it.
    ///
    /// An unknown user costs the same work as a known one: a secret of the kind that is the most
    /// common in the file is checked in vain. (In a file with several kinds, users with another
    /// kind can still be told from unknown ones by time: `passwd` makes them alike again.)
    pub fn check(&self, username: &str, password: Option<&[u8]>) -> SignIn {
        self.check_within(username, password, || u64::MAX)
    }

    /// The same with no more memory than `available` says, which is asked for dear secrets only.
    pub fn check_within(
        &self,
        username: &str,
        password: Option<&[u8]>,
        available: impl FnOnce() -> u64,
    ) -> SignIn {
        let Some(password) = password else {
            return SignIn::NoPassword;
        };
        let user = self.users.get(username);
        let Some(secret) = user.map(|user| &user.secret).or(self.decoy.as_ref()) else {
            return SignIn::UnknownUser;
        };
        let memory = secret.kind().memory();
        let right = match memory > 0 && memory > available() {
            true => Err(OutOfMemory),
            // The black box keeps the work of a decoy, whose result nobody looks at.
            false => black_box(secret.verify(black_box(password))),
        };
        match (user, right) {
            (None, _) => SignIn::UnknownUser,
            (Some(_), Ok(true)) if !password.is_empty() => SignIn::Granted,
            (Some(_), Ok(_)) => SignIn::WrongPassword,
            (Some(user), Err(OutOfMemory)) => {
                log::error!(
                    "Error: Out of memory for the password hash of line {}: it takes {} KiB.",
                    user.line,
                    memory / 1024
                );
                SignIn::WrongPassword
            }
        }
    }
}

/// What is wrong with a user name, if anything: such a name can neither stand in a password file
/// nor, in part, come over MQTT.
pub fn check_username(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the user name is empty");
    }
    if name.contains(':') {
        return Err("the user name contains ':'");
    }
    if name.chars().any(char::is_control) {
        return Err("the user name contains control characters");
    }
    if name.len() > STRING_MAX {
        return Err("the user name is longer than 65535 bytes");
    }
    Ok(())
}

/// Messages never show what stands behind the colon, nor a line without one: a password in plain
/// text, perhaps.
fn parse_line(line: &[u8]) -> Result<(&str, Secret), String> {
    let Some(colon) = memchr::memchr(b':', line) else {
        return Err("line left out: no ':' in it, expected name:secret".to_owned());
    };
    let name = line[..colon].trim_ascii();
    let Ok(name) = std::str::from_utf8(name) else {
        return Err(format!(
            "line left out: the user name {} is not UTF-8",
            quoted(name)
        ));
    };
    if let Err(what) = check_username(name) {
        return Err(format!("line left out: {what}"));
    }
    // Mosquitto reads up to the next colon, so that there are files with remarks behind it.
    let behind = &line[colon + 1..];
    let end = memchr::memchr(b':', behind).unwrap_or(behind.len());
    let secret = behind[..end].trim_ascii();
    let who = quoted(name.as_bytes());
    if secret.is_empty() {
        return Err(format!("user {who} left out: no password"));
    }
    match Secret::parse(secret) {
        Ok(secret) => Ok((name, secret)),
        Err(Refusal::NotHashed) => Err(format!(
            "user {who} left out: the password is not hashed in a way that is known, expected \
             $6$, $7$ or $argon2id$; 'midge passwd -U' hashes a file of plain text passwords"
        )),
        Err(Refusal::Bad(what)) => Err(format!("user {who} left out: {what}")),
    }
}

/// A secret that opens to nobody, of the most common kind; the dearest one when several are.
fn decoy(users: &HashMap<String, User>) -> Option<Secret> {
    let mut counts: HashMap<Kind, (usize, &Secret)> = HashMap::new();
    for user in users.values() {
        let kind = user.secret.kind();
        counts.entry(kind).or_insert((0, &user.secret)).0 += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(kind, (count, _))| (*count, kind.cost()))
        .map(|(_, (_, secret))| secret.decoy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::hash::ROUNDS_MAX;

    fn secret(rounds: u32, password: &[u8]) -> String {
        Secret::create(Kind::Pbkdf2 { rounds }, password, b"twelve bytes")
            .expect("in bounds")
            .to_string()
    }

    fn sha(password: &[u8]) -> String {
        Secret::create(Kind::Sha512, password, b"twelve bytes")
            .expect("in bounds")
            .to_string()
    }

    #[test]
    fn files_agree_on_users_with_the_same_secret_only() {
        let (one, two) = (sha(b"one"), sha(b"two"));
        let (a, _) = parse(&format!("same:{one}\nchanged:{one}\ngone:{one}\n"));
        let (b, _) = parse(&format!("changed:{two}\nnew:{one}\nsame:{one}\n"));
        assert!(a.agrees_with(&b, "same") && b.agrees_with(&a, "same"));
        for name in ["changed", "gone", "new", "nobody"] {
            assert!(!b.agrees_with(&a, name), "{name}");
        }
    }

    fn parse(text: &str) -> (Passwords, Vec<String>) {
        let (passwords, problems) = Passwords::parse(text.as_bytes(), "pw");
        (
            passwords,
            problems.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn a_file_lets_its_users_in_and_nobody_else() {
        let text = format!("bob:{}\n# c:d\n\nann:{}\n", secret(5, b"b"), sha(b"a\0a"));
        let (passwords, problems) = parse(&text);
        assert_eq!(problems, [""; 0]);
        assert_eq!(passwords.users(), 2);
        assert_eq!(passwords.check("bob", Some(b"b")), SignIn::Granted);
        assert_eq!(passwords.check("ann", Some(b"a\0a")), SignIn::Granted);
        assert_eq!(passwords.check("ann", Some(b"a")), SignIn::WrongPassword);
        assert_eq!(passwords.check("bob", Some(b"")), SignIn::WrongPassword);
        assert_eq!(passwords.check("bob", Some(b"a\0a")), SignIn::WrongPassword);
        assert_eq!(passwords.check("bob", None), SignIn::NoPassword);
        assert_eq!(passwords.check("Bob", Some(b"b")), SignIn::UnknownUser);
        assert_eq!(passwords.check("Bob", None), SignIn::NoPassword);
        assert_eq!(passwords.check("", Some(b"b")), SignIn::UnknownUser);
        assert_eq!(passwords.check("# c", Some(b"d")), SignIn::UnknownUser);
    }

    #[test]
    fn a_hash_that_takes_more_memory_than_there_is_is_not_made() {
        let small = Kind::Argon2id {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        };
        let dear = Secret::create(small, b"b", b"salt and pepper").expect("in bounds");
        let (passwords, _) = parse(&format!("bob:{dear}\nann:{}\n", sha(b"a")));
        let check = |name, password, bytes| passwords.check_within(name, Some(password), || bytes);
        assert_eq!(check("bob", b"b", 8192), SignIn::Granted);
        assert_eq!(check("bob", b"b", 8191), SignIn::WrongPassword);
        assert_eq!(check("eve", b"b", 8191), SignIn::UnknownUser);
        assert_eq!(check("ann", b"a", 0), SignIn::Granted);
    }

    #[test]
    fn an_empty_password_lets_nobody_in_even_where_the_file_has_its_hash() {
        for secret in [secret(5, b""), sha(b"")] {
            let (passwords, problems) = parse(&format!("bob:{secret}\n"));
            assert_eq!(problems, [""; 0]);
            assert_eq!(passwords.check("bob", Some(b"")), SignIn::WrongPassword);
            assert_eq!(passwords.check("bob", Some(b"b")), SignIn::WrongPassword);
        }
    }

    #[test]
    fn windows_line_ends_blanks_a_mark_and_no_newline_at_the_end_are_fine() {
        let text = format!("\u{feff}bob:{}\r\n \t\r\n ann : {} ", sha(b"b"), sha(b"a"));
        let (passwords, problems) = parse(&text);
        assert_eq!(problems, [""; 0]);
        assert_eq!(passwords.check("bob", Some(b"b")), SignIn::Granted);
        assert_eq!(passwords.check("ann", Some(b"a")), SignIn::Granted);
    }

    /// As with Mosquitto, to which files like /etc/passwd are no news.
    #[test]
    fn what_stands_behind_a_second_colon_does_not_count() {
        let text = format!(
            "bob:{}:the builder\nann: {} ::\n",
            sha(b"b"),
            secret(5, b"a")
        );
        let (passwords, problems) = parse(&text);
        assert_eq!(problems, [""; 0]);
        assert_eq!(passwords.check("bob", Some(b"b")), SignIn::Granted);
        assert_eq!(passwords.check("ann", Some(b"a")), SignIn::Granted);
        let (passwords, problems) = parse(&format!("bob::{}\n", sha(b"b")));
        assert_eq!((passwords.users(), problems.len()), (0, 1));
    }

    #[test]
    fn bad_lines_are_left_out_and_told_without_their_secrets() {
        let good = sha(b"x");
        let text = format!(
            "nocolon\n:{good}\nann:\nbob:hunter2\na\tb:{good}\ncut:{}\nrounds:$7$1000001$AAAA$A\n",
            &good[..good.len() - 5],
        );
        let (passwords, problems) = parse(&text);
        assert_eq!(passwords.users(), 0);
        let expected = [
            "pw:1: line left out: no ':' in it, expected name:secret",
            "pw:2: line left out: the user name is empty",
            "pw:3: user 'ann' left out: no password",
            "pw:4: user 'bob' left out: the password is not hashed in a way that is known, \
             expected $6$, $7$ or $argon2id$; 'midge passwd -U' hashes a file of plain text \
             passwords",
            "pw:5: line left out: the user name contains control characters",
            "pw:6: user 'cut' left out: the hash is not base64",
            "pw:7: user 'rounds' left out: the number of rounds is 1000001, expected 1 to 1000000",
        ];
        assert_eq!(problems, expected);
        for name in ["nocolon", "", "ann", "bob", "a\tb", "cut", "rounds"] {
            for password in [&b""[..], b"x", b"hunter2"] {
                assert_eq!(passwords.check(name, Some(password)), SignIn::UnknownUser);
            }
        }
        assert_eq!(ROUNDS_MAX, 1_000_000);
    }

    #[test]
    fn names_that_are_not_utf8_or_too_long_are_left_out() {
        let mut text = b"b\xffb:$6$".to_vec();
        text.extend(b"\nc\xc2\x80:x\n");
        text.extend(vec![b'x'; STRING_MAX + 1]);
        text.extend(format!(":{}", sha(b"x")).bytes());
        let (passwords, problems) = Passwords::parse(&text, "pw");
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(passwords.users(), 0);
        assert_eq!(
            problems,
            [
                "pw:1: line left out: the user name 'b\u{fffd}b' is not UTF-8",
                "pw:2: line left out: the user name contains control characters",
                "pw:3: line left out: the user name is longer than 65535 bytes",
            ]
        );
    }

    #[test]
    fn the_last_line_of_a_user_holds() {
        let text = format!("bob:{}\nann:{0}\nbob:{}\n", sha(b"old"), sha(b"new"));
        let (passwords, problems) = parse(&text);
        assert_eq!(passwords.users(), 2);
        assert_eq!(passwords.check("bob", Some(b"new")), SignIn::Granted);
        assert_eq!(passwords.check("bob", Some(b"old")), SignIn::WrongPassword);
        assert_eq!(
            problems,
            [
                "pw:3: user 'bob' has a password in line 1 already; this line holds, \
                 that one does not"
            ]
        );
    }

    #[test]
    fn an_empty_file_lets_nobody_in() {
        for text in ["", "\n", "# nothing\n", "\u{feff}"] {
            let (passwords, problems) = parse(text);
            assert_eq!((passwords.users(), problems.len()), (0, 0), "{text:?}");
            assert_eq!(passwords.check("", Some(b"")), SignIn::UnknownUser);
            assert_eq!(passwords.check("bob", None), SignIn::NoPassword);
        }
    }

    #[test]
    fn the_decoy_is_of_the_most_common_kind_and_the_dearest_of_two() {
        let kind = |text: &str| parse(text).0.decoy.map(|secret| secret.kind());
        let (five, nine, sha) = (secret(5, b"x"), secret(9, b"x"), sha(b"x"));
        assert_eq!(kind(""), None);
        assert_eq!(
            kind(&format!("a:{five}\nb:{nine}\nc:{five}\nd:{sha}\n")),
            Some(Kind::Pbkdf2 { rounds: 5 })
        );
        assert_eq!(
            kind(&format!("a:{five}\nb:{nine}\nc:{sha}\n")),
            Some(Kind::Pbkdf2 { rounds: 9 })
        );
        assert_eq!(kind(&format!("a:{sha}\n")), Some(Kind::Sha512));
    }

    #[test]
    fn tables_may_be_shared_between_threads() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<Passwords>();
    }

    #[test]
    fn a_damaged_file_never_panics_and_never_adds_a_user() {
        let text = format!("bob:{}\nann:{}\n", secret(5, b"b"), sha(b"a"));
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..3_000 {
            let mut damaged = text.clone().into_bytes();
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..damaged.len());
                damaged[at] = random.u8(..);
            }
            let (passwords, _) = Passwords::parse(&damaged, "pw");
            assert!(passwords.users() <= 2);
            assert_ne!(passwords.check("bob", Some(b"a")), SignIn::Granted);
        }
    }
}
