//! The README against the program: its tables, flags, commands, limits, topics and log lines.
//!
//! Parts between two comments (`<!-- NAME: begin -->`, `<!-- NAME: end -->`) are known by name. Two
//! of them are made by the code; with `UPDATE_README` in the environment the tests write them anew.
//! The broker here has no sockets: a client machine and a broker machine hand each other bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use midge::auth::{SignIn, hash};
use midge::broker::{Broker, ConnId, Now, Peer, Settings};
use midge::client::{Client, Event, Options};
use midge::cmd::client::Tool;
use midge::cmd::client::flags::{self, Asked, Flag};
use midge::conf::table::{self, Directive};
use midge::conf::{Config, Level, Texts};
use midge::wire::{Publish, SubscribeFilter, SubscriptionOptions};

const TOOLS: [Tool; 3] = [Tool::Publish, Tool::Subscribe, Tool::Request];

fn path() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))
}

/// Tests run side by side: who reads must not see half of what another writes.
static FILE: Mutex<()> = Mutex::new(());

fn readme() -> String {
    let _whole = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    fs::read_to_string(path()).expect("there is a README.md")
}

/// What stands between the two comments of this name.
#[track_caller]
fn part<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, after) = text
        .split_once(&format!("<!-- {name}: begin -->\n"))
        .unwrap_or_else(|| panic!("README.md has no comment '{name}: begin'"));
    let (inside, _) = after
        .split_once(&format!("<!-- {name}: end -->"))
        .unwrap_or_else(|| panic!("README.md has no comment '{name}: end'"));
    inside
}

/// Compares a part with what the code makes, or writes it.
#[track_caller]
fn made(name: &str, wanted: &str) {
    let _whole = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = fs::read_to_string(path()).expect("there is a README.md");
    let is = part(&text, name);
    if is == wanted {
        return;
    }
    if env::var_os("UPDATE_README").is_some() {
        let begin = format!("<!-- {name}: begin -->\n");
        let new = text.replacen(&[&begin, is].concat(), &[&begin, wanted].concat(), 1);
        return fs::write(path(), new).expect("README.md can be written");
    }
    let lacks = wanted.lines().find(|line| !is.contains(line));
    let much = is.lines().find(|line| !wanted.contains(line));
    panic!(
        "'{name}' in README.md is not what the code makes: lacks {lacks:?}, has {much:?}; \
         UPDATE_README=1 cargo test --test readme writes it anew"
    );
}

/// The cells of a table's rows, without heading and rule.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The code blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(is) = line.trim_start().strip_prefix("```") {
            let body: Vec<&'a str> = lines
                .by_ref()
                .take_while(|line| line.trim_start() != "```")
                .collect();
            if is == language {
                found.push(body.join("\n") + "\n");
            }
        }
    }
    found
}

#[test]
fn the_drop_in_table_is_the_codes() {
    made("drop-in table", &midge::conf::drop_in_table());
}

#[test]
fn the_table_of_the_clients_flags_is_the_codes() {
    let mut all: Vec<&Flag> = TOOLS.into_iter().flat_map(flags::of).collect();
    // All are entries of one table: their addresses are its order.
    all.sort_by_key(|flag| std::ptr::from_ref(*flag) as usize);
    all.dedup_by_key(|flag| std::ptr::from_ref(*flag) as usize);
    let names = |flag: &Flag| {
        let names: Vec<String> = flag.names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let mut table = "| flag | of | what it does |\n|---|---|---|\n".to_owned();
    let mut missing = Vec::new();
    for flag in all {
        let is_missing = ["(not yet)", "not in this build"];
        if is_missing.iter().any(|words| flag.help.contains(words)) {
            missing.push(names(flag));
            continue;
        }
        let value = match flag.value {
            "" => String::new(),
            value => format!(" {value}"),
        };
        let tools: Vec<&str> = flag.tools.iter().map(|tool| tool.name()).collect();
        let tools = match tools.len() {
            3 => "all".to_owned(),
            _ => tools.join(", "),
        };
        let (names, help) = (names(flag), flag.help.replace('|', "\\|"));
        writeln!(table, "| {names}{value} | {tools} | {help} |").expect("a String takes it");
    }
    let missing = missing.join(", ");
    let words = "Known, but not in this build: refused.";
    writeln!(table, "| {missing} | all | {words} |").expect("a String takes it");
    made("client flags", &table);
}

/// The flags at the beginning of a help text's lines.
fn flags_of_help(command: &[&str]) -> BTreeSet<String> {
    let mut process = Command::new(env!("CARGO_BIN_EXE_midge"));
    let output = process.args(command).arg("--help").output().expect("runs");
    let help = String::from_utf8(output.stdout).expect("the help is UTF-8");
    let mut found = BTreeSet::new();
    for line in help.lines() {
        for word in line.split_whitespace() {
            if !word.starts_with('-') || word.len() < 2 {
                break;
            }
            found.insert(word.trim_end_matches(',').to_owned());
        }
    }
    found
}

/// The flags in the first cells of a part's table.
fn flags_of_part(text: &str, name: &str) -> BTreeSet<String> {
    rows(part(text, name))
        .iter()
        .flat_map(|row| quoted(row[0]))
        .filter_map(|name| name.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_flags_of_broker_and_passwd_are_those_of_their_help() {
    let text = readme();
    assert_eq!(flags_of_part(&text, "broker flags"), flags_of_help(&[]));
    let mut passwd = flags_of_help(&["passwd"]);
    // The help leaves the short form out.
    passwd.insert("-h".to_owned());
    assert_eq!(flags_of_part(&text, "passwd flags"), passwd);
}

#[test]
fn the_limits_and_their_defaults_are_the_codes() {
    let text = readme();
    let settings = Settings::default();
    let listener = &settings.listeners[0];
    let count = |limit: Option<usize>| limit.map_or("-1".to_owned(), |limit| limit.to_string());
    let broker: BTreeMap<&str, String> = [
        ("connect_timeout", settings.connect_timeout.to_string()),
        ("global_max_clients", count(settings.global_max_clients)),
        (
            "global_max_connections",
            count(settings.global_max_connections),
        ),
        ("max_connections", count(listener.max_connections)),
        ("max_inbound_qos2", settings.max_inbound_qos2.to_string()),
        (
            "max_inflight_bytes",
            settings.max_inflight_bytes.to_string(),
        ),
        (
            "max_inflight_messages",
            settings.max_inflight_messages.to_string(),
        ),
        ("max_keepalive", settings.max_keepalive.to_string()),
        ("max_output_bytes", settings.max_output_bytes.to_string()),
        ("max_packet_size", settings.max_packet_size.to_string()),
        ("max_queued_bytes", settings.max_queued_bytes.to_string()),
        (
            "max_queued_messages",
            settings.max_queued_messages.to_string(),
        ),
        (
            "max_subscriptions_per_client",
            settings.max_subscriptions_per_client.to_string(),
        ),
        (
            "max_property_bytes",
            settings.max_property_bytes.to_string(),
        ),
        (
            "max_user_properties",
            settings.max_user_properties.to_string(),
        ),
        ("max_topic_levels", settings.max_topic_levels.to_string()),
        ("min_packet_rate", settings.min_packet_rate.to_string()),
        ("max_topic_alias", listener.max_topic_alias.to_string()),
        (
            "message_size_limit",
            settings.message_size_limit.to_string(),
        ),
    ]
    .into();
    let rows = rows(part(&text, "limits"));
    let mut seen = BTreeSet::new();
    for row in &rows {
        let name = quoted(row[0])[0];
        let default = quoted(row[1]).concat();
        let directive: &Directive = table::find(name).expect(name);
        assert_eq!(directive.default, default, "{name} in conf's table");
        if let Some(broker) = broker.get(name) {
            assert_eq!(*broker, default, "{name} in the broker's settings");
        }
        seen.insert(name);
    }
    let chapter = table::CHAPTERS.iter().find(|c| c.title == "Limits");
    for directive in chapter.expect("a chapter").directives {
        assert!(
            seen.contains(directive.name),
            "no row of {}",
            directive.name
        );
    }
    assert!(broker.keys().all(|name| seen.contains(name)), "{seen:?}");
}

#[test]
fn the_numbers_in_the_prose_are_the_codes() {
    let text = readme().split_whitespace().collect::<Vec<_>>().join(" ");
    let mib = |bytes: u64| bytes >> 20;
    let thousands = |n: u32| format!("{},{:03}", n / 1000, n % 1000);
    let large = mib(midge::host::ring::LARGE_BYTES_MAX as u64);
    let ring = midge::host::ring::RING_BYTES / 1024;
    let line = midge::host::log::LINE_BYTES_MAX;
    let file = mib(midge::conf::FILE_MAX);
    let rounds = hash::ROUNDS_MAX / 1000;
    let argon = hash::ARGON2_MEMORY_KIB_MAX / 1024;
    let passes = hash::ARGON2_PASSES_MAX;
    let default = thousands(hash::ROUNDS_DEFAULT);
    let salt = hash::SALT_MAX;
    let segment = mib(midge::store::journal::writer::SEGMENT_BYTES.into());
    for words in [
        format!("{large} MiB for all packets together that are larger than {ring} KiB"),
        format!("{line} bytes for a line of the log"),
        format!("{file} MiB for a configuration file"),
        format!("numbered `*.log` files of {segment} MiB each"),
        format!(
            "salts of 1 to {salt} bytes; at most {} rounds",
            thousands(rounds) + ",000"
        ),
        format!("argon2id ({argon} MiB, {passes} passes)"),
        format!("Iterations: {default} unless given"),
    ] {
        assert!(text.contains(&words), "README.md does not say: {words}");
    }
}

/// A client and the broker, with everything that each has to say handed to the other at once.
struct Pair {
    broker: Broker,
    id: ConnId,
    client: Client,
    now: Now,
}

impl Pair {
    fn new(settings: Settings, options: Options) -> Pair {
        let now = Now {
            mono_ms: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let mut broker = Broker::new(settings, 1, now);
        let peer = Peer {
            address: "192.0.2.7:53970".into(),
            listener: 0,
        };
        let id = broker.accept(peer, now).expect("the broker has room");
        let mut client = Client::new(options);
        client.opened(now.mono_ms);
        Pair {
            broker,
            id,
            client,
            now,
        }
    }

    /// Hands bytes over until nobody has any; the topics of the messages that came.
    fn talk(&mut self) -> Vec<(String, String)> {
        let mut messages = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let said = self.client.transmit().to_vec();
            let taken = self.broker.receive(self.id, &said, self.now);
            assert_eq!(taken, said.len(), "the broker takes whole packets");
            self.client.sent(said.len(), self.now.mono_ms);
            let mut answer = Vec::new();
            while let Some(id) = self.broker.poll_writable() {
                let len = self.broker.transmit(id, &mut buffer, self.now);
                answer.extend_from_slice(&buffer[..len]);
                self.broker.sent(id, len, self.now);
            }
            if said.is_empty() && answer.is_empty() {
                return messages;
            }
            self.hear(&answer, &mut messages);
        }
    }

    fn hear(&mut self, mut answer: &[u8], messages: &mut Vec<(String, String)>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        while !answer.is_empty() {
            let received = self.client.receive(answer, self.now.mono_ms);
            let received = received.expect("the broker keeps to the protocol");
            if let Some(Event::Message(message)) = &received.event {
                messages.push((text(message.topic), text(message.payload)));
            }
            assert!(received.consumed > 0, "the broker wrote half a packet");
            answer = &answer[received.consumed..];
        }
    }
}

#[test]
fn the_topics_of_sys_are_those_that_the_broker_publishes() {
    let text = readme();
    let mut pair = Pair::new(Settings::default(), Options::default());
    pair.talk();
    let filter = SubscribeFilter {
        filter: "$SYS/#",
        options: SubscriptionOptions::default(),
    };
    pair.client.subscribe(&[filter], &[]).expect("it is open");
    let mut messages = pair.talk();
    pair.now.mono_ms += 60_000;
    pair.broker.timeout(pair.now);
    // What only the host knows, and what needs a client that goes too far.
    for topic in [
        "listeners/PORT/certificate/expires",
        "listeners/PORT/certificate/days",
    ] {
        pair.broker.publish_state(topic, "1", pair.now);
    }
    let deep = "/".repeat(Settings::default().max_topic_levels);
    let message = Publish {
        topic: deep.as_bytes(),
        ..Publish::default()
    };
    pair.client.publish(&message).expect("it is open");
    messages.extend(pair.talk());
    pair.now.mono_ms += 60_000;
    pair.broker.timeout(pair.now);
    messages.extend(pair.talk());
    let published: BTreeMap<&str, &str> = (messages.iter())
        .filter_map(|(topic, value)| Some((topic.strip_prefix("$SYS/broker/")?, value.as_str())))
        .collect();

    let mut told = BTreeSet::new();
    for row in rows(part(&text, "sys")) {
        for topic in quoted(row[0]) {
            told.insert(topic.to_owned());
            if let Some(start) = topic.strip_suffix("/1min") {
                told.extend([format!("{start}/5min"), format!("{start}/15min")]);
            }
        }
        if quoted(row[0]) == ["version"] {
            assert_eq!(quoted(row[1]), [published["version"]]);
        }
    }
    let name = |topic: &&str| match topic.starts_with("limits/") {
        true => "limits/NAME".to_owned(),
        false => (*topic).to_owned(),
    };
    let published: BTreeSet<String> = published.keys().map(name).collect();
    assert_eq!(told, published);
}

/// The lines of refused sign-ins; there is one logger for all tests of this process.
static REFUSALS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        if line.contains("not authorised") {
            REFUSALS.lock().expect("nobody fails here").push(line);
        }
    }

    fn flush(&self) {}
}

#[test]
fn refused_sign_ins_are_logged_as_the_readme_shows() {
    log::set_logger(&Listener).expect("the only logger");
    log::set_max_level(log::LevelFilter::Info);
    let cases = [
        (Some("bob"), Some("x"), SignIn::UnknownUser),
        (Some("anna"), Some("x"), SignIn::WrongPassword),
        (Some("anna"), None, SignIn::NoPassword),
        (None, None, SignIn::Granted),
    ];
    for (username, password, sign_in) in cases {
        let mut settings = Settings::default();
        settings.listeners[0].has_passwords = true;
        settings.listeners[0].allow_anonymous = false;
        let options = Options {
            client_id: "attic".to_owned(),
            username: username.map(str::to_owned),
            password: password.map(|password| password.as_bytes().to_vec()),
            ..Options::default()
        };
        let mut pair = Pair::new(settings, options);
        pair.talk();
        if let Some(request) = pair.broker.poll_auth() {
            pair.broker.verdict(request.conn, sign_in, pair.now);
        }
    }
    let refusals = REFUSALS.lock().expect("nobody fails here").join("\n");
    assert_eq!(refusals.lines().count(), 4, "{refusals}");
    let shown = blocks(part(&readme(), "refusals"), "text").concat();
    assert_eq!(shown.trim_end(), refusals);
}

#[test]
fn configurations_load_without_a_warning() {
    let text = readme();
    let blocks = blocks(&text, "conf");
    assert!(!blocks.is_empty());
    for block in blocks {
        let files = Texts::default().with("m.conf", block.clone());
        let config = Config::load(Some("m.conf".as_ref()), &[], &files);
        let config = config.unwrap_or_else(|error| panic!("{error}\n{block}"));
        let warning = config.messages.iter().find(|m| m.level == Level::Warning);
        assert_eq!(warning, None, "{block}");
    }
}

#[test]
fn mistakes_read_as_the_readme_shows() {
    let text = readme();
    for line in ["alow_anonymous true", "max_qos 3"] {
        let files = Texts::default().with("m.conf", format!("listener 1884\n{line}\n"));
        let error = Config::load(Some("m.conf".as_ref()), &[], &files).expect_err(line);
        let shown = format!("\nError: {error}\n");
        assert!(text.contains(&shown), "README.md does not show:{shown}");
    }
}

/// Words of a shell's line: blanks part them, single quotes and double quotes hold them together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '#') if word.is_none() => break,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_with(String::new);
            }
            (Some(end), _) if c == end => quote = None,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    words
}

/// Commands of the README are understood: flags, make's targets, files of the repository.
#[test]
fn commands_are_understood() {
    let text = readme();
    let makefile = fs::read_to_string(path().with_file_name("Makefile")).expect("a Makefile");
    let (broker, passwd) = (flags_of_help(&[]), flags_of_help(&["passwd"]));
    let mut understood = 0;
    for line in blocks(&text, "sh").concat().lines() {
        let words = words(line.trim());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (command, rest) = match words.as_slice() {
            ["target/release/midge" | "midge", rest @ ..] => ("midge", rest),
            [first, rest @ ..] => (*first, rest),
            [] => continue,
        };
        let tool = TOOLS
            .into_iter()
            .find(|tool| rest.first() == Some(&tool.name()));
        match (command, tool) {
            ("midge", Some(tool)) => {
                let mut settings = midge::cmd::client::settings::Settings::new(tool);
                let rest: Vec<&OsStr> = rest[1..].iter().map(OsStr::new).collect();
                let asked = flags::apply(&mut settings, &rest);
                assert!(matches!(asked, Ok(Asked::Run)), "{line}: {:?}", asked.err());
                assert_eq!(settings.complete(), Ok(()), "{line}");
            }
            ("midge", None) => {
                let known = match rest.first() {
                    Some(&"passwd") => &passwd,
                    _ => &broker,
                };
                let mut used = rest.iter().filter(|word| word.starts_with('-'));
                assert!(used.all(|flag| known.contains(*flag)), "{line}");
            }
            ("make", _) => {
                let target = format!("\n{}:", rest[0]);
                assert!(makefile.contains(&target), "no target in: {line}");
            }
            _ => continue,
        }
        understood += 1;
    }
    assert!(understood > 8, "only {understood} commands were found");
}

#[test]
fn links_lead_somewhere() {
    let text = readme();
    let slugs: Vec<String> = (text.lines())
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '))
        .map(|title| {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-');
            title
                .to_lowercase()
                .chars()
                .filter(kept)
                .collect::<String>()
        })
        .map(|title| title.replace(' ', "-"))
        .collect();
    let targets: Vec<&str> = (text.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
        .collect();
    assert!(!targets.is_empty());
    for target in targets {
        match target.strip_prefix('#') {
            Some(slug) => assert!(slugs.iter().any(|s| s == slug), "no heading for #{slug}"),
            None => assert!(path().with_file_name(target).exists(), "no file {target}"),
        }
    }
}
