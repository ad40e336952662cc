//! `midge explain`: what it says, and that the running broker says the same.

use std::fmt::Write as _;
use std::process::Command;

use crate::harness::broker::{Setup, peer_broker};
use crate::harness::raw::{Connect, Raw, packet, string};
use crate::harness::{Broker, Ended, Kind, Process, tools};

fn explain(broker: &Setup, args: &[&str]) -> Ended {
    let mut command = Command::new(tools::midge());
    command.args(["explain", "-c", &broker.dir.at("midge.conf")]);
    Process::run(command.args(args))
}

const ACL: &str = "\
topic read open/#
user bob
topic deny s/secret
topic readwrite s/#
pattern write own/%c/#
";

#[test]
fn it_names_the_line_that_decides() {
    let setup = Setup::new(Kind::Midge).file("acl", ACL).conf(
        "allow_anonymous true\nacl_file {dir}/acl\n\
         listener {port} 127.0.0.1\nlistener {port2} 127.0.0.1\nmount_point m/\n",
    );
    let acl = setup.dir.at("acl");
    let second = setup.dir.read("midge.conf");
    let second = second.lines().nth(3).unwrap();
    let second = second.split(' ').nth(1).unwrap();
    for (args, code, says) in [
        (
            &["-u", "bob", "-i", "d", "pub", "s/x"][..],
            0,
            format!("  rule: {acl}:4: topic readwrite s/#\n"),
        ),
        (
            &["-u", "bob", "-i", "d", "pub", "s/secret"],
            1,
            format!("  rule: {acl}:3: topic deny s/secret\n"),
        ),
        (
            &["-u", "bob", "-i", "d", "deliver", "own/d/x"],
            1,
            "  mend: below 'user bob': topic read own/d/x\n".to_string(),
        ),
        (
            &["-i", "d", "pub", "own/d/x"],
            0,
            format!("  rule: {acl}:5: pattern write own/%c/#\n"),
        ),
        (
            &["-i", "d/e", "pub", "own/d/x"],
            1,
            "because the client id contains '/' and a pattern contains %c\n".to_string(),
        ),
        (
            &["sub", "open/+"],
            0,
            format!("  rule: {acl}:1: topic read open/#\n"),
        ),
        (&["sub", "s/#"], 1, "nothing will come".to_string()),
        (
            &["pub", "$SYS/x"],
            1,
            "comes from the broker alone".to_string(),
        ),
        (
            &["pub", "$SYS/broker/connection/x/state"],
            1,
            "no line of the access list".to_string(),
        ),
        (&["pub", "a/+"], 1, "stand in filters only".to_string()),
        (
            &["-P", second, "-u", "bob", "pub", "a\x1b[1m"],
            1,
            "may not publish to 'a\\u{1b}[1m'".to_string(),
        ),
        (&["pub", "a\u{fffe}"], 1, "or a non-character".to_string()),
        (&["sub", "a\u{1}/+"], 1, "a control character".to_string()),
        (
            &["-i", "d\n", "pub", "open/x"],
            1,
            "client id 'd\\n', may not come in\n".to_string(),
        ),
        (
            &["deliver", "$share/g/open/x"],
            1,
            "gets messages of FILTER".to_string(),
        ),
        (
            &["sub", "$share/g/open/x"],
            0,
            "topic read open/#".to_string(),
        ),
        (
            &["-P", second, "-u", "bob", "pub", "s/x"],
            1,
            "  mend: below 'user bob': topic write m/s/x\n".to_string(),
        ),
        (
            &["-P", "1", "pub", "x"],
            3,
            "there is no listener '1'".to_string(),
        ),
        (
            &["pbu", "x"],
            3,
            "'pbu' is none of pub, sub and deliver.".to_string(),
        ),
    ] {
        let ended = explain(&setup, args).with(code);
        assert!(
            ended.all().contains(&says),
            "{args:?}: {says} in {}",
            ended.all()
        );
    }
}

#[test]
fn it_says_why_a_client_does_not_come_in() {
    let setup = Setup::new(Kind::Midge).file("pw", "").conf(
        "password_file {dir}/pw\nlistener {port} 127.0.0.1\n\
         clientid_prefixes dev-\n",
    );
    for (args, says) in [
        (&["-i", "dev-1", "pub", "x"][..], "(allow_anonymous)"),
        (&["-i", "dev-1", "-u", "", "pub", "x"], "(allow_anonymous)"),
        (&["-i", "other", "pub", "x"], "(clientid_prefixes)"),
        (&["pub", "x"], "(clientid_prefixes)"),
        (
            &["-i", "dev-1", "-u", "bob", "pub", "x"],
            "'bob' is not in the password file",
        ),
    ] {
        let ended = explain(&setup, args).with(1);
        assert!(
            ended.out.contains(says) && ended.out.contains("may not come in"),
            "{ended:?}"
        );
    }
}

/// One question, as chance wants it.
#[derive(Debug)]
struct Case {
    user: Option<&'static str>,
    id: &'static str,
    /// The second listener has a mount point.
    is_mounted: bool,
    wish: &'static str,
    topic: String,
}

const LEVELS: [&str; 5] = ["a", "b", "bob", "dev1", "$x"];

fn topic(random: &mut fastrand::Rng) -> String {
    let levels = 0..random.usize(1..4);
    let levels: Vec<&str> = levels.map(|_| LEVELS[random.usize(..5)]).collect();
    levels.join("/")
}

fn filter(random: &mut fastrand::Rng, names: &[&str]) -> String {
    let mut levels: Vec<String> = topic(random).split('/').map(str::to_string).collect();
    for level in &mut levels {
        match random.usize(..6) {
            0 => *level = "+".to_string(),
            1 if !names.is_empty() => *level = names[random.usize(..names.len())].to_string(),
            _ => {}
        }
    }
    if random.usize(..3) == 0 {
        levels.push("#".to_string());
    }
    levels.join("/")
}

fn access_list(random: &mut fastrand::Rng) -> String {
    let mut text = String::new();
    let words = ["", "read ", "write ", "readwrite ", "", "deny "];
    for block in ["", "user bob\n", "user ann\n"] {
        text += block;
        for _ in 0..random.usize(3..9) {
            let mount = ["", "m/"][random.usize(..2)];
            let filter = filter(random, &[]);
            let word = words[random.usize(..6)];
            writeln!(text, "topic {word}{mount}{filter}").unwrap();
        }
    }
    for _ in 0..random.usize(..4) {
        let filter = filter(random, &["%c", "%u", "x%c"]);
        let mount = ["", "m/"][random.usize(..2)];
        let word = words[random.usize(..6)];
        writeln!(text, "pattern {word}{mount}{filter}").unwrap();
    }
    // Who sends what others are to get.
    text + "user admin\ntopic readwrite #\ntopic readwrite $x/#\n"
}

fn case(random: &mut fastrand::Rng, acl: &str) -> Case {
    let wish = ["pub", "deliver", "sub"][random.usize(..3)];
    let user = [None, Some("bob"), Some("ann"), Some("bob"), Some("carol")][random.usize(..5)];
    let id = ["dev1", "dev1", "bob", "a/b", "x+", ""][random.usize(..6)];
    let topic = match (wish, random.usize(..3)) {
        ("sub", 0) => filter(random, &[]),
        (_, 0) => topic(random),
        _ => topic_of_a_line(random, acl, user, id),
    };
    Case {
        user,
        id,
        is_mounted: random.bool(),
        wish,
        topic,
    }
}

/// A topic that some line of the access list is about.
fn topic_of_a_line(random: &mut fastrand::Rng, acl: &str, user: Option<&str>, id: &str) -> String {
    let is_rule = |line: &&str| line.starts_with("topic") || line.starts_with("pattern");
    let lines: Vec<&str> = acl.lines().filter(is_rule).collect();
    let line = lines[random.usize(..lines.len())];
    let filter = line.split(' ').next_back().unwrap();
    let filter = filter.strip_prefix("m/").unwrap_or(filter);
    let filter = filter.replace("%u", user.unwrap_or("bob"));
    let filter = filter.replace("%c", if id.contains('+') { "dev1" } else { id });
    let levels = filter.split('/').map(|level| match level {
        "+" | "#" => LEVELS[random.usize(..5)],
        level => level,
    });
    let topic = levels.collect::<Vec<_>>().join("/");
    if topic.is_empty() {
        "a".to_string()
    } else {
        topic
    }
}

fn publish_v5(topic: &str) -> Vec<u8> {
    packet(0x32, &[&string(topic), &[0, 9, 0][..], b"x"].concat())
}

fn subscribe_v5(filter: &str) -> Vec<u8> {
    packet(0x82, &[&[0, 1, 0][..], &string(filter), &[0]].concat())
}

/// What came for a client until now.
fn messages(client: &mut Raw) -> usize {
    client.send(&[0xc0, 0]);
    let mut count = 0;
    loop {
        match client.receive()[0] {
            0xd0 => return count,
            0x30 => count += 1,
            other => panic!("{other:02x}"),
        }
    }
}

/// What the broker says to a case; for a filter with wildcards also whether it was accepted.
fn live(broker: &Broker, admin: &mut Raw, case: &Case) -> (bool, bool) {
    let port = broker.port_named(if case.is_mounted { "port2" } else { "port" });
    let mut client = Raw::tcp("127.0.0.1", port);
    client.send(
        &Connect::new(case.id)
            .v5()
            .user(case.user, case.user.map(|_| "pw"))
            .bytes(),
    );
    if client.receive()[3] != 0 {
        return (false, false);
    }
    if case.wish == "pub" {
        client.send(&publish_v5(&case.topic));
        let answer = client.receive();
        let code = answer.get(4).copied().unwrap_or(0);
        return (code < 0x80, true);
    }
    client.send(&subscribe_v5(&case.topic));
    let is_granted = *client.receive().last().unwrap() < 0x80;
    let topics: Vec<String> = match case.topic.contains(['+', '#']) {
        false => vec![case.topic.clone()],
        true => (0..LEVELS.len().pow(2))
            .map(|n| format!("{}/{}", LEVELS[n % 5], LEVELS[n / 5]))
            .chain(LEVELS.map(str::to_string))
            .collect(),
    };
    let mount = if case.is_mounted { "m/" } else { "" };
    for topic in topics {
        admin.send(&publish_v5(&format!("{mount}{topic}")));
        admin.receive();
    }
    (messages(&mut client) > 0, is_granted)
}

/// Hundreds of cases: the same decision, whoever asks, wherever it comes in.
#[test]
fn it_agrees_with_the_running_broker() {
    if peer_broker("only midge explains itself") {
        return;
    }
    let (mut allowed, mut denied) = (0, 0);
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let acl = access_list(&mut random);
        let suback = random.bool();
        let setup = Setup::new(Kind::Midge).file("acl", &acl).file("pw", "");
        for user in ["bob", "ann", "admin"] {
            let mut command = Command::new(tools::midge());
            let file = setup.dir.at("pw");
            command.args(["passwd", "-H", "sha512", "-b", &file, user, "pw"]);
            Process::run(&mut command).ok();
        }
        let broker = setup
            .conf(&format!(
                "acl_suback_deny {suback}\npassword_file {{dir}}/pw\nacl_file {{dir}}/acl\n\
                 allow_anonymous true\nlistener {{port}} 127.0.0.1\n\
                 listener {{port2}} 127.0.0.1\nmount_point m/\nlistener_allow_anonymous false\n"
            ))
            .start();
        let connect = Connect::new("admin").v5().user(Some("admin"), Some("pw"));
        let mut admin = Raw::welcome(&broker, &connect);
        for _ in 0..40 {
            let case = case(&mut random, &acl);
            let (works, is_granted) = live(&broker, &mut admin, &case);
            let port = broker.port_named(if case.is_mounted { "port2" } else { "port" });
            let port = port.to_string();
            let mut args = vec!["-P", &port, "-i", case.id];
            args.extend(case.user.iter().flat_map(|user| ["-u", user]));
            args.extend([case.wish, &case.topic]);
            let ended = explain(&broker.setup, &args);
            let says = ended.code == 0;
            let context = format!("seed {seed}: {case:?} {ended:?}\n{acl}");
            assert!([0, 1].contains(&ended.code), "{context}");
            if case.wish == "sub" && case.topic.contains(['+', '#']) {
                // Of a filter it says whether anything may come: what was sent is a sample.
                assert!(says || !works, "{context}");
                assert!(is_granted || !says, "{context}");
            } else {
                assert_eq!(says, works, "{context}");
            }
            *(if says { &mut allowed } else { &mut denied }) += 1;
        }
        broker.stop();
    }
    assert!(allowed > 40 && denied > 100, "{allowed} {denied}");
}
