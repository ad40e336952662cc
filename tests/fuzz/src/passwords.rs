//! A password file: nobody gets in by a line that is not a name and a secret, and a good line
//! lets its user in whatever stands around it.

use midge::auth::hash::{Kind, Secret};
use midge::auth::{PROBLEMS_MAX, Passwords, SignIn};
use std::sync::OnceLock;

/// Work that a run may take: `Kind::cost` of all secrets.
const COST_MAX: u32 = 2000;

const USER: &str = "good";
const PASSWORD: &[u8] = b"right";

pub fn run(data: &[u8]) {
    let (file, problems) = Passwords::parse(data, "file");
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    assert!(file.users() <= lines.len());
    assert!(problems.len() <= PROBLEMS_MAX + 1);
    for problem in problems {
        assert!(!problem.to_string().contains(char::is_control), "{problem}");
        assert!(
            (1..=lines.len()).contains(&(problem.line as usize)),
            "{problem}"
        );
    }
    let mut cost = 0_u32;
    for line in &lines {
        let Some(at) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        if let Ok(secret) = Secret::parse(line[at + 1..].trim_ascii()) {
            secret.kind().check().expect("a secret within bounds");
            let shown = secret.to_string();
            assert!(
                Secret::parse(shown.as_bytes()) == Ok(secret.clone()),
                "{shown}"
            );
            cost = cost.saturating_add(secret.kind().cost());
        }
    }
    if cost > COST_MAX {
        return;
    }
    for line in &lines {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let Ok(name) = std::str::from_utf8(name.trim_ascii()) else {
            continue;
        };
        assert_eq!(file.check(name, None), SignIn::NoPassword);
        assert_ne!(
            file.check(name, Some(b"\xffno password at all")),
            SignIn::Granted
        );
        // A file of many lines is not worth more.
        if cost > 100 {
            break;
        }
    }
    assert_eq!(
        file.check("\u{1}nobody", Some(PASSWORD)),
        SignIn::UnknownUser
    );
    let whole = [data, b"\n", good_line().as_bytes()].concat();
    let (file, _) = Passwords::parse(&whole, "file");
    assert_eq!(file.check(USER, Some(PASSWORD)), SignIn::Granted);
    assert_eq!(file.check(USER, Some(b"wrong")), SignIn::WrongPassword);
    assert!(file.agrees_with(&file, USER));
}

fn good_line() -> &'static str {
    static LINE: OnceLock<String> = OnceLock::new();
    LINE.get_or_init(|| {
        let secret = Secret::create(Kind::Pbkdf2 { rounds: 1 }, PASSWORD, b"twelve bytes");
        let secret = secret.expect("it is in bounds");
        format!("{USER}:{secret}\n")
    })
}
