//! The broker starts, whatever is missing, and serves what has come as soon as it has.
//!
//! Networks are namespaces of the tests' own; a broker among them is a client's other machine.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use crate::harness::broker::{OPEN, Setup, peer_broker};
use crate::harness::port::Port;
use crate::harness::raw::{Connect, Raw};
use crate::harness::{Broker, Clients, Dir, Kind, Pair, Process, net, tools};
use crate::wait;

const WHY: &str = "mosquitto does not start without its addresses";

/// A broker in a network of its own, once it runs.
fn apart(conf: &str) -> (Process, Setup) {
    // Who makes a namespace is root in it.
    let conf = format!("{conf}user root\n");
    let mut setup = Setup::new(Kind::Midge).conf(&conf);
    let process = Process::spawn(&mut net::apart(&setup.command()));
    process.err_has(" running");
    (process, setup)
}

/// Whether a client in the network of `at` gets a message through to this address.
fn is_served(at: &Process, host: &str, setup: &mut Setup) -> bool {
    let program = Clients::Midge.command("pub");
    let program = program.get_program().to_str().unwrap().to_string();
    let port = setup.port("port").to_string();
    let words = [
        "pub", "-h", host, "-p", &port, "-t", "t", "-m", "x", "-q", "1",
    ];
    let words: Vec<&str> = std::iter::once(program.as_str()).chain(words).collect();
    Process::run(&mut net::beside(at.pid(), &words)).code == 0
}

/// An address that no interface has yet: the broker runs, serves it once it is there, and again
/// after it was away.
#[test]
fn an_address_that_comes_later_is_served() {
    if peer_broker(WHY) || !net::ready() {
        return;
    }
    let conf = "listener {port} 192.0.2.7\nallow_anonymous true\n";
    let (broker, mut setup) = apart(conf);
    broker.err_has("no interface has the address 192.0.2.7 yet");
    assert!(!is_served(&broker, "192.0.2.7", &mut setup));
    net::act(broker.pid(), "ip addr add 192.0.2.7/32 dev lo");
    assert!(is_served(&broker, "192.0.2.7", &mut setup));
    broker.err_has("192.0.2.7:");
    broker.err_has("has its address now.");
    net::act(broker.pid(), "ip addr del 192.0.2.7/32 dev lo");
    assert!(!is_served(&broker, "192.0.2.7", &mut setup));
    net::act(broker.pid(), "ip addr add 192.0.2.7/32 dev lo");
    assert!(is_served(&broker, "192.0.2.7", &mut setup));
    let ended = broker.stop(Signal::SIGTERM).ok();
    assert_eq!(
        ended.err.matches("no interface has").count(),
        1,
        "{ended:?}"
    );
}

/// An interface that is not there yet: the same; and one that is made anew is another one to the
/// kernel, not to the broker.
#[test]
fn an_interface_that_comes_later_is_served() {
    if peer_broker(WHY) || !net::ready() {
        return;
    }
    // The other machine; it has a broker only to stay.
    let (other, _others_setup) = apart("listener {port} 127.0.0.1\n");
    let conf = "listener {port}\nbind_interface tunnel0\nallow_anonymous true\n";
    let (broker, mut setup) = apart(conf);
    broker.err_has("No such device");
    let connect = || {
        let peer = other.pid();
        let link = format!("ip link add tunnel0 type veth peer name far0 netns {peer}");
        net::act(broker.pid(), &link);
        net::act(broker.pid(), "ip addr add 198.51.100.1/24 dev tunnel0");
        net::act(broker.pid(), "ip link set tunnel0 up");
        net::act(other.pid(), "ip addr add 198.51.100.2/24 dev far0");
        net::act(other.pid(), "ip link set far0 up");
    };
    connect();
    broker.err_has("can be opened now.");
    wait::until_true("the first interface is served", || {
        is_served(&other, "198.51.100.1", &mut setup)
    });
    net::act(broker.pid(), "ip link del tunnel0");
    connect();
    broker.err_has("its interface was made anew");
    wait::until_true("the second interface is served", || {
        is_served(&other, "198.51.100.1", &mut setup)
    });
    broker.stop(Signal::SIGTERM).ok();
}

/// An address that is valid on one link only goes with the interface in it.
#[test]
fn a_link_local_address_is_served_on_an_interface_that_was_made_anew() {
    if peer_broker(WHY) || !net::ready() {
        return;
    }
    let conf = "listener {port} fe80::7%link0\nallow_anonymous true\n";
    let (broker, mut setup) = apart(conf);
    broker.err_has("fe80::7%link0");
    let make = || {
        net::act(broker.pid(), "ip link add link0 type veth peer name link1");
        net::act(broker.pid(), "ip link set link0 up");
        net::act(broker.pid(), "ip link set link1 up");
        net::act(broker.pid(), "ip addr add fe80::7/64 dev link0 nodad");
    };
    make();
    wait::until_true("the first interface is served", || {
        is_served(&broker, "fe80::7%link0", &mut setup)
    });
    net::act(broker.pid(), "ip link del link0");
    make();
    wait::until_true("the second interface is served", || {
        is_served(&broker, "fe80::7%link0", &mut setup)
    });
    broker.stop(Signal::SIGTERM).ok();
}

/// A reload moves a listener whose old socket is in the way: it is waited for as at a start.
#[test]
fn a_listener_that_was_moved_is_waited_for_by_its_name() {
    if peer_broker(WHY) {
        return;
    }
    let conf = "allow_anonymous true\nlistener {port}";
    let mut broker = Broker::start(Kind::Midge, &format!("{conf} 127.0.0.1\n"));
    let port = broker.port();
    let there = TcpListener::bind(("127.0.0.2", port)).unwrap();
    broker.rewrite(conf);
    broker.signal(Signal::SIGHUP);
    broker.logs(&format!("listener *:{port} cannot be opened yet: 0.0.0.0:"));
    drop(there);
    broker.logs(&format!("Listener *:{port} can be opened now."));
    Raw::welcome(&broker, &Connect::new("x"));
    if !net::ready() {
        return;
    }
    let (broker, setup) = apart("listener {port}\n");
    let _setup = setup.conf("listener {port} 192.0.2.7\nuser root\n");
    broker.signal(Signal::SIGHUP);
    broker.err_has("no interface has the address 192.0.2.7 yet");
    net::act(broker.pid(), "ip addr add 192.0.2.7/32 dev lo");
    broker.err_has("has its address now.");
    broker.stop(Signal::SIGTERM).ok();
}

/// A name that means nothing yet, and the folder of a unix socket that is not there yet.
#[test]
fn a_folder_and_a_name_may_come_later() {
    if peer_broker(WHY) {
        return;
    }
    let mut setup = Setup::new(Kind::Midge).conf(
        "listener {port} no-such-name.invalid\nlistener 0 {dir}/later/socket\n\
         allow_anonymous true\n",
    );
    let broker = Process::spawn(&mut setup.command());
    broker.err_has(" running");
    broker.err_has("no-such-name.invalid");
    fs::create_dir(setup.dir.file("later")).unwrap();
    broker.err_has("/later/socket can be opened now.");
    let mut raw = Raw::unix(&setup.dir.at("later/socket"));
    raw.send(&Connect::new("x").bytes());
    assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
    broker.stop(Signal::SIGTERM).ok();
    assert!(!setup.dir.file("later/socket").exists());
}

/// A port that somebody else has ends the start only if nothing else is left to serve (that is
/// `a_taken_port_is_a_failed_start`); it is served when it is free.
#[test]
fn a_taken_port_is_waited_for_beside_others() {
    if peer_broker(WHY) {
        return;
    }
    let taken = Port::lease();
    let there = TcpListener::bind(("127.0.0.1", taken.number)).unwrap();
    let number = taken.number.to_string();
    let mut setup = Setup::new(Kind::Midge).conf(&format!(
        "listener {{port}} 127.0.0.1\nlistener {number} 127.0.0.1\nallow_anonymous true\n"
    ));
    let broker = Process::spawn(&mut setup.command());
    broker.err_has(" running");
    broker.err_has(&format!("cannot listen on 127.0.0.1:{number}"));
    let code = |port: u16| {
        let mut raw = Raw::tcp("127.0.0.1", port);
        raw.send(&Connect::new("x").bytes());
        raw.receive()
    };
    assert_eq!(code(setup.port("port")), [0x20, 2, 0, 0]);
    drop(there);
    broker.err_has(&format!("127.0.0.1:{number} can be opened now."));
    assert_eq!(code(taken.number), [0x20, 2, 0, 0]);
    broker.stop(Signal::SIGTERM).ok();
}

/// One plain line for each listener says where it is, what is spoken there and who may come in;
/// without any listener, what to write to have one.
#[test]
fn each_listener_has_a_plain_line() {
    if peer_broker("the lines are ours") {
        return;
    }
    let setup = Setup::new(Kind::Midge);
    let args = ["-b", "-c", &setup.dir.at("passwd"), "anna", "anna"];
    Process::run(Clients::Midge.command("passwd").args(args)).ok();
    let broker = setup
        .conf(
            "per_listener_settings true\n\
             listener {port} 127.0.0.1\nallow_anonymous true\n\
             listener {port2} 127.0.0.1\npassword_file {dir}/passwd\n",
        )
        .start();
    let (first, second) = (broker.port(), broker.port_named("port2"));
    broker.logs(&format!("Listener 127.0.0.1:{first} ("));
    broker.logs("mqtt, plain, anonymous allowed, passwords not checked, rights everything.");
    broker.logs(&format!("Listener 127.0.0.1:{second} ("));
    let passwd = broker.dir().at("passwd");
    broker.logs(&format!(
        "mqtt, plain, anonymous refused, passwords 1 user from {passwd}, rights everything."
    ));
    let local = Setup::new(Kind::Midge).start();
    local.logs("Only clients on this machine can connect.");
    local.logs("for example: listener 1883");
    local.logs("anonymous allowed");
}

/// What root alone may read is read before root is given up. Where it cannot be read, at a reload
/// or from the start, the message says whose it is, its mode, who asks, and what to do.
#[test]
fn files_that_cannot_be_read_are_explained() {
    if !geteuid().is_root() {
        return tools::skipped("files_that_cannot_be_read_are_explained", "needs root");
    }
    if peer_broker("the words are ours") {
        return;
    }
    let setup = Setup::new(Kind::Midge);
    fs::set_permissions(setup.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let passwd = setup.dir.at("passwd");
    let args = ["-b", "-c", &passwd, "anna", "anna"];
    Process::run(Clients::Midge.command("passwd").args(args)).ok();
    fs::set_permissions(&passwd, fs::Permissions::from_mode(0o600)).unwrap();
    let mut broker = setup
        .conf("user daemon\nlistener {port} 127.0.0.1\npassword_file {dir}/passwd\n")
        .start();
    let who = Connect::new("x").user(Some("anna"), Some("anna"));
    let _welcome = Raw::welcome(&broker, &who);
    broker.signal(Signal::SIGHUP);
    let words = [
        "owner root",
        "mode 0600",
        "running as daemon (uid 1",
        &format!("chown daemon {passwd}"),
        "nothing was reloaded",
    ];
    for words in words {
        broker.logs(words);
    }
    let _still = Raw::welcome(&broker, &who);
    // The same from the start, as the user that it would become.
    let mut start = Command::new("setpriv");
    start.args(["--reuid=1", "--regid=1", "--clear-groups"]);
    let command = broker.setup.command();
    start.arg(command.get_program()).args(command.get_args());
    let ended = Process::run(&mut start).with(13);
    for words in &words[..4] {
        assert!(ended.err.contains(words), "{words} in {ended:?}");
    }
}

/// A backup that root put back: the folder is the broker's, a file in it is not. The command that
/// is named mends that.
#[test]
fn files_of_the_journal_that_are_roots_are_told() {
    let is_root = nix::unistd::geteuid().is_root();
    if peer_broker("it is about midge") || tools::excused(!is_root, "needs root") {
        return;
    }
    let mut setup = Setup::new(Kind::Midge).conf(
        "user daemon\nlistener {port} 127.0.0.1\npersistence true\n\
         persistence_location {dir}/kept\n",
    );
    fs::set_permissions(setup.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(setup.dir.file("kept")).unwrap();
    let kept = setup.dir.at("kept");
    let chown = format!("chown -R 1 {kept}");
    let give = || Process::run(Command::new("sh").args(["-c", &chown])).ok();
    give();
    fs::write(setup.dir.file("kept/midge.lock"), "").unwrap();
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(setup.dir.file("kept/midge.lock"), private).unwrap();
    let ended = Process::run(&mut setup.command()).with(1);
    let words = format!("{kept} cannot be used by user 1: midge.lock: Permission denied");
    for words in [&words, &format!("mkdir -p {kept} && {chown}")] {
        assert!(ended.err.contains(words), "{words} in {ended:?}");
    }
    give();
    let broker = Process::spawn(&mut setup.command());
    broker.err_has(" running");
    broker.stop(Signal::SIGTERM).ok();
}

/// `/run` is empty after each boot, and nobody may have made the log's folder yet: the start makes
/// either, for the user whom the broker becomes, who can so remove the pid file at the end.
#[test]
fn the_folders_of_pid_file_and_log_need_not_be_there() {
    if peer_broker("mosquitto wants both") {
        return;
    }
    let setup = Setup::new(Kind::Midge).conf(
        "user daemon\nlistener {port} 127.0.0.1\npid_file {dir}/run/pid\n\
         log_dest file {dir}/log/log\n",
    );
    fs::set_permissions(setup.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let broker = setup.start();
    assert_eq!(
        broker.dir().read("run/pid"),
        broker.process.pid().to_string()
    );
    broker.file_has("log/log", " running");
    let (ended, setup) = broker.stop_with(Signal::SIGTERM);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!setup.dir.file("run/pid").exists());
    let owner = if geteuid().is_root() {
        1
    } else {
        geteuid().as_raw()
    };
    for folder in ["run", "log"] {
        let made = fs::metadata(setup.dir.file(folder)).unwrap();
        assert_eq!(
            (made.uid(), made.mode() & 0o777),
            (owner, 0o755),
            "{folder}"
        );
    }
}

/// A script in a tree of mounts of its own.
fn unshared(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]);
    command
}

/// A container that holds one program has no accounts, nor any other file in /etc.
#[test]
fn a_machine_without_accounts_is_enough() {
    let works = unshared("mount -t tmpfs none /etc").output();
    let works = works.is_ok_and(|o| o.status.success());
    if peer_broker("it wants a user") || tools::excused(!works, "needs root and mount") {
        return;
    }
    let mut setup = Setup::new(Kind::Midge).conf(
        "user mosquitto\nlistener {port} 127.0.0.1\npersistence true\n\
         persistence_location {dir}/made/kept/\n",
    );
    fs::set_permissions(setup.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let command = setup.command();
    let mut start = unshared("mount -t tmpfs none /etc && exec \"$0\" \"$@\"");
    start.arg(command.get_program()).args(command.get_args());
    let broker = Process::spawn(&mut start);
    broker.err_has("Trying '65534' instead.");
    broker.err_has(" running");
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    for line in ["Uid", "Gid"].map(|name| format!("{name}:\t65534\t65534\t65534\t65534")) {
        assert!(status.contains(&line), "{status}");
    }
    broker.stop(Signal::SIGTERM).ok();
}

/// A root file system that cannot be written: only what is kept and the log are.
#[test]
fn a_read_only_system_is_enough() {
    let probe = "mount -o bind,remount,ro / && ! touch /x-midge 2>/dev/null";
    let works = unshared(probe).output().is_ok_and(|o| o.status.success());
    if peer_broker("it is about midge") || tools::excused(!works, "needs root and mount") {
        return;
    }
    let mut setup = Setup::new(Kind::Midge).conf(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
         persistence_location {dir}/kept/\nlog_dest file {dir}/log/log\n",
    );
    for name in ["kept", "log"] {
        fs::create_dir(setup.dir.file(name)).unwrap();
    }
    let script = format!(
        "cd '{0}' && mount --bind kept kept && mount --bind log log && \
         mount -o bind,remount,ro / && ! touch x 2>/dev/null && exec \"$0\" \"$@\"",
        setup.dir.path().display()
    );
    let command = setup.command();
    let mut start = unshared(&script);
    start.arg(command.get_program()).args(command.get_args());
    let broker = Process::spawn(&mut start);
    wait::until_true("it runs", || {
        setup.dir.read_if("log/log").contains(" running")
    });
    let mut raw = Raw::tcp("127.0.0.1", setup.port("port"));
    raw.send(&Connect::new("x").keep_session().bytes());
    assert_eq!(raw.receive(), [0x20, 2, 0, 0]);
    raw.send(&crate::harness::raw::publish(0x33, "t", 1, b"x"));
    assert_eq!(raw.receive(), [0x40, 2, 0, 1]);
    let ended = broker.stop(Signal::SIGTERM).ok();
    assert!(!ended.err.contains("rror"), "{ended:?}");
    assert!(!setup.dir.read("log/log").contains("Error"));
}

/// The number of open files is raised as far as it may be.
#[test]
fn the_file_limit_is_raised() {
    if peer_broker("it is about midge") {
        return;
    }
    let mut setup = Setup::new(Kind::Midge).conf("listener {port} 127.0.0.1\n");
    let command = setup.command();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -Sn 64; ulimit -Hn 2000; exec \"$0\" \"$@\""]);
    limited.arg(command.get_program()).args(command.get_args());
    let broker = Process::spawn(&mut limited);
    broker.err_has(" running");
    let limits = fs::read_to_string(format!("/proc/{}/limits", broker.pid())).unwrap();
    let line = limits
        .lines()
        .find(|l| l.starts_with("Max open files"))
        .unwrap();
    let numbers: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["2000", "2000"]);
}

/// `log_file_max_size`: the full file becomes `.1`, no line is lost, and a reload changes it.
#[test]
fn the_log_file_is_bounded() {
    if peer_broker("log_file_max_size is ours") {
        return;
    }
    let conf = "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest file {dir}/log\n";
    let mut broker = Broker::start(Kind::Midge, &format!("log_file_max_size 3000\n{conf}"));
    let mut comers = 0;
    let mut come = |broker: &Broker| {
        comers += 1;
        let id = format!("client-{comers}-");
        drop(Raw::welcome(broker, &Connect::new(&id)));
        wait::until_true("its line", || {
            let dir = broker.dir();
            (dir.read_if("log.1") + &dir.read_if("log")).contains(&id)
        });
    };
    while !broker.dir().file("log.1").exists() {
        come(&broker);
    }
    let first = broker.dir().read("log.1");
    assert!(first.contains(" starting") && first.len() > 3000, "{first}");
    assert!(first.len() < 3000 + 1000, "{first}");
    while broker.dir().read("log.1") == first {
        come(&broker);
    }
    let second = broker.dir().read("log.1");
    assert!(second.len() > 3000 && second.len() < 4000, "{second}");
    broker.rewrite(&format!("log_file_max_size 0\n{conf}"));
    broker.signal(Signal::SIGHUP);
    broker.file_has("log", "Reloading config.");
    while broker.dir().read("log").len() < 6000 {
        come(&broker);
    }
    assert_eq!(broker.dir().read("log.1"), second);
}

/// A disk that takes nothing is waited for at the end, but once.
#[test]
fn a_disk_that_takes_nothing_does_not_hold_up_the_end() {
    if peer_broker("the journal is ours") {
        return;
    }
    let conf = "persistence true\npersistence_location {dir}/kept\nlistener {port}\n\
                allow_anonymous true\n";
    let broker = Broker::start(Kind::Midge, conf);
    // In the place of the file that the next message needs, which is larger than others.
    fs::create_dir_all(broker.dir().file("kept/00000002.log/within")).unwrap();
    let large = broker.dir().write("large", vec![b'x'; 1_500_000]);
    let message = ["-r", "-t", "large", "-f", &large];
    Pair::MIDGE_ON_MIDGE.publish(&broker, &message).ok();
    broker.logs("no room or no way to write the journal");
    let began = Instant::now();
    broker.stop().ok();
    // Five seconds each for several waits would be more.
    assert!(began.elapsed() < Duration::from_secs(11));
}

/// Also where the start made that folder: the user whom the broker becomes may use it.
#[test]
fn a_broker_that_gets_a_name_for_what_it_keeps_says_where_that_of_before_is() {
    if peer_broker("it is about midge") {
        return;
    }
    let conf = |name| {
        let kept = format!("persistence true\npersistence_location {{dir}}/kept\n{name}");
        format!("{OPEN}user daemon\n{kept}")
    };
    let setup = Setup::new(Kind::Midge).conf(&conf("persistence_file first.db\n"));
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(setup.dir.path(), everybody).unwrap();
    let told = "To go on with it";
    let restart = |setup: Setup| {
        let broker = setup.start();
        let (ended, setup) = broker.stop_with(Signal::SIGTERM);
        (setup, ended.ok().err.contains(told))
    };
    let (setup, is_told) = restart(setup);
    assert!(!is_told);
    let (setup, is_told) = restart(setup.conf(&conf("")));
    assert!(!is_told);
    let (setup, is_told) = restart(setup.conf(&conf("persistence_file name.db\n")));
    assert!(is_told);
    let (setup, is_told) = restart(setup);
    assert!(!is_told, "once is enough");
    assert!(setup.dir.file("kept/name.db.journal/00000001.log").exists());
}

/// As with Mosquitto, brokers share a folder if each has a name of its own for what it keeps.
#[test]
fn two_brokers_share_a_folder() {
    for pair in [Pair::MIDGE_ON_MIDGE, Pair::MIDGE_ON_DEBIAN] {
        if !pair.ready() {
            continue;
        }
        let shared = Dir::new();
        let everybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(shared.path(), everybody).unwrap();
        let conf = "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n";
        let brokers = ["inside", "outside"].map(|name| {
            let kept = format!(
                "persistence_location {}/\npersistence_file {name}.db\n",
                shared.path().display()
            );
            let broker = Broker::start(pair.broker, &(conf.to_string() + &kept));
            let retained = ["-t", "who", "-m", name, "-r", "-q", "1"];
            pair.publish(&broker, &retained).ok();
            (name, broker)
        });
        for (name, broker) in brokers {
            let (ended, setup) = broker.stop_with(Signal::SIGTERM);
            ended.ok();
            let broker = setup.start();
            let mut sub = pair.sub(&broker, &["-t", "who"]);
            sub.expect(name);
        }
    }
}
