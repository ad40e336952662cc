//! `midge check`: what a start would find, without starting.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use crate::harness::broker::{Setup, peer_broker};
use crate::harness::{Dir, Ended, Kind, Process, tools};

fn check(dir: &Dir) -> Ended {
    let mut command = Command::new(tools::midge());
    command
        .args(["check", "-c", "midge.conf"])
        .current_dir(dir.path());
    Process::run(&mut command)
}

/// A file that only its owner may read, with one user for each name.
fn passwords(setup: Setup, names: &[&str]) -> Setup {
    let file = setup.dir.write("pw", "");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for name in names {
        let mut command = Command::new(tools::midge());
        command.args(["passwd", "-H", "sha512", "-b", &file, name, "pw"]);
        Process::run(&mut command).ok();
    }
    setup
}

/// Nothing is wrong: what is said are the notes, the listeners and the verdict.
#[test]
fn a_good_file_is_called_one() {
    let setup = passwords(Setup::new(Kind::Midge), &["bob"])
        .file("acl", "user bob\ntopic readwrite a/#\n")
        .conf(
            "listener {port} 127.0.0.1\npassword_file pw\nacl_file acl\nmax_packet_size 100000\n",
        );
    let ended = check(&setup.dir).ok();
    let port = setup.dir.read("midge.conf");
    let port = port.split(' ').nth(1).unwrap();
    let line = format!(
        "Listener 127.0.0.1:{port} (midge.conf:1): mqtt, plain, anonymous refused, passwords 1 \
         user from pw, rights from acl.\nno errors, no warnings: midge would start.\n"
    );
    assert!(ended.out.ends_with(&line), "{ended:?}");
    assert!(
        !ended.out.contains("Warnings:") && ended.err.is_empty(),
        "{ended:?}"
    );
    let mut names: Vec<_> = fs::read_dir(setup.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["acl", "midge.conf", "pw"], "it writes nothing");
}

/// Each line says where, what, and what to do.
#[test]
fn findings_say_where_what_and_how() {
    let world = "allow_anonymous true\n";
    let acl = "topic read a/#\nuser ghost\ntopic read b\nuser bob\ntopic read c/d\ntopic deny c/#\n\
               pattern read x\n";
    for (conf, code, line) in [
        (
            "listner 1883\n",
            1,
            "midge.conf:1: listner: unknown directive; mend: write listener",
        ),
        (
            "allow_anonymous maybe\n",
            1,
            "midge.conf:1: allow_anonymous: 'maybe' does not fit; mend: write true or false",
        ),
        (
            "include_dir d\nlistener {port} 127.0.0.1\n",
            1,
            "d/x.conf:2: max_qos: '7' does not fit; mend: write a number from 0 to 2",
        ),
        (
            "listener {port} 127.0.0.1\n",
            1,
            "midge.conf:1: listener: 127.0.0.1:{port} refuses everybody: anonymous clients are not \
             allowed, and no password_file names others; mend: password_file FILE, or \
             allow_anonymous true",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file none\n",
            1,
            "midge.conf:2: password_file: none: No such file or directory (os error 2); mend: \
             midge passwd -c none USER",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file none\n",
            1,
            "anonymous refused, passwords cannot be told from none, rights everything.",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file empty\n",
            1,
            "midge.conf:2: password_file: 127.0.0.1:{port} refuses everybody: empty has no usable \
             line; mend: midge passwd empty USER",
        ),
        (
            "listener {port} 127.0.0.1\nallow_anonymous true\nacl_file wrong\n",
            1,
            "wrong:1: unknown word 'tpoic', expected topic, user or pattern; did you mean \
             'topic'?; mend: correct or remove that line",
        ),
        (
            "listener {port}\nallow_anonymous true\n",
            0,
            "midge.conf:2: allow_anonymous: whoever reaches *:{port} may come in, and may do \
             everything; mend: allow_anonymous false, and password_file FILE",
        ),
        (
            "listener {port} 127.0.0.1\nallow_anonymous true\nretry_interval 5\n",
            0,
            "midge.conf:3: retry_interval: has no effect: ",
        ),
        (
            "port {port}\nbind_address 127.0.0.1\nallow_anonymous true\n",
            0,
            "midge.conf:1: port: is deprecated: ",
        ),
        (
            "listener {port} 127.0.0.1\nallow_anonymous true # yes or no\nmax_qos 1 or 2\n",
            0,
            "midge.conf:3: max_qos: 'or 2' behind the value is ignored; mend: leave only the value \
             there: a comment has a line of its own",
        ),
        (
            "listener {port} 127.0.0.1\nlistener {port} localhost\nsocket_domain ipv4\n\
             allow_anonymous true\n",
            1,
            "midge.conf:2: listener: localhost:{port}: another listener of this configuration has \
             the port already; mend: another port, such as: listener ",
        ),
        (
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location midge.conf\n",
            1,
            "midge.conf:4: persistence_location: midge.conf is no folder; mend: name another path",
        ),
        (
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location midge.conf/x\n",
            1,
            "midge.conf:4: persistence_location: midge.conf/x: Not a directory (os error 20); \
             mend: name another path",
        ),
        (
            "listener 0 {dir}/none/sock\nallow_anonymous true\n",
            0,
            "midge.conf:1: listener: {dir}/none/sock: its folder is not there yet: it is waited \
             for; mend: mkdir -p {dir}/none",
        ),
        (
            "listener {port}\nallow_anonymous true\nbind_interface nonesuch0\n",
            0,
            "midge.conf:3: bind_interface: *:{port}: there is no interface nonesuch0 yet: it is \
             waited for; mend: ip link shows those there are",
        ),
        (
            "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest file {dir}\n",
            0,
            ", so the broker goes on without it: it is a directory; mend: name a file in it",
        ),
        (
            "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest file {dir}/none/x/log\n",
            0,
            ", so the broker goes on without it: there is no folder {dir}/none/x; mend: mkdir -p \
             {dir}/none/x",
        ),
        (
            "listener {port} 127.0.0.1\nallow_anonymous true\ncapture_file {dir}/none/x\n",
            0,
            ", so the broker goes on without it: there is no folder {dir}/none; mend: mkdir -p \
             {dir}/none",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file pw\nacl_file acl\n",
            0,
            "acl:5: acl_file: topic read 'c/d' never allows anything: line 6 denies all of it, and \
             deny lines are asked first; mend: remove this line, or let line 6 deny less",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file pw\nacl_file acl\n",
            0,
            "acl:2: acl_file: user 'ghost' is in no password file: the lines below never count; \
             mend: midge passwd pw ghost, or remove the lines",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file pw\nacl_file acl\n",
            0,
            "acl:1: acl_file: the topic lines before any user line are for clients without a user \
             name, who are not let in; mend: move them below a user line, or write pattern in \
             place of topic",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file pw\nacl_file acl\n",
            0,
            "acl:7: acl_file: pattern 'x' contains neither %c nor %u: it holds for every client \
             alike; mend: put %c or %u into it, or say topic below each user",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file pw\nacl_file plain\n",
            0,
            "pw:2: password_file: user 'ann' can sign in, but has no line in plain and may do \
             nothing; mend: add to plain: user ann, and below it: topic read FILTER",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file pw\nacl_file vain\n",
            0,
            "pw:2: password_file: user 'ann' can sign in, but has no granting line in vain and may \
             do nothing; mend: add to vain: user ann, and below it: topic read FILTER",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file pw\nacl_file vain\n",
            0,
            "vain:2: acl_file: topic read '$share/g/x' is about no message that anybody gets: \
             lines are held against topics, and a subscription to $share/NAME/FILTER gets those of \
             FILTER; mend: write 'x' without $share and the name",
        ),
        (
            "listener {port} 127.0.0.1\nallow_anonymous true\nacl_file vain\n",
            0,
            "midge.conf:3: acl_file: clients without a user name may come in at 127.0.0.1:{port}, \
             but nothing in vain is granted to them; mend: add at its top: topic read FILTER",
        ),
        (
            "listener {port} 127.0.0.1\npassword_file pw\nacl_file plain\nmount_point a b/\n",
            0,
            "plain:2: acl_file: 'a b' never matches: topics begin with mount_point 'a b/' on all \
             listeners with this file; mend: write a b/a b",
        ),
        (
            "listener {port} 127.0.0.1\nallow_anonymous true\npassword_file shared\n",
            0,
            "midge.conf:3: password_file: shared: every user of this machine may look into it; \
             mend: chmod o= shared",
        ),
    ] {
        let setup = passwords(Setup::new(Kind::Midge), &["bob", "ann"])
            .file("acl", acl)
            .file("plain", "user bob\ntopic read a b\n")
            .file("vain", "user bob\ntopic read $share/g/x\npattern deny #\n")
            .file("wrong", "tpoic read a\n")
            .file("empty", "# nobody\n")
            .file("shared", "bob:hash\n")
            .file("d/x.conf", &format!("{world}max_qos 7\n"));
        fs::set_permissions(setup.dir.file("shared"), fs::Permissions::from_mode(0o644)).unwrap();
        let mut setup = setup.conf(conf);
        let line = setup.fill(line);
        let ended = check(&setup.dir);
        assert!(ended.out.contains(&line), "{conf}\n{line}\n{}", ended.out);
        let ended = ended.with(code);
        assert!(
            ended.out.lines().all(|line| !line.ends_with("; mend: ")),
            "{}",
            ended.out
        );
    }
}

/// A start makes the folders of these, so there is nothing to mind.
#[test]
fn folders_that_a_start_makes() {
    if peer_broker("mosquitto wants them to be there") {
        return;
    }
    let setup = Setup::new(Kind::Midge).conf(
        "listener {port} 127.0.0.1\nallow_anonymous true\npid_file {dir}/run/pid\n\
         log_dest file {dir}/log/log\npersistence true\npersistence_location {dir}/x/kept\n",
    );
    let ended = check(&setup.dir).with(0);
    assert!(
        ended.out.contains("\nno errors, no warnings"),
        "{}",
        ended.out
    );
}

/// Where a start fails for a file or folder that it cannot make, the check says so.
#[test]
fn what_a_start_cannot_make() {
    if peer_broker("mosquitto makes what it can") {
        return;
    }
    for (conf, line) in [
        (
            "pid_file {dir}/none/x/p\n",
            "cannot write {dir}/none/x/p: there is no folder {dir}/none/x; mend: mkdir -p \
             {dir}/none/x",
        ),
        (
            "pid_file /proc/none/p\n",
            "cannot write /proc/none/p: the kernel lets nobody make files in /proc; mend: name \
             another path",
        ),
        (
            "pid_file {dir}\n",
            "cannot write {dir}: it is a directory; mend: name a file in it",
        ),
        (
            "pid_file {dir}/link\n",
            "cannot write {dir}/link: it is a symbolic link; mend: rm {dir}/link",
        ),
        (
            "pid_file {dir}/link/p\n",
            "cannot write {dir}/link/p: {dir}/link is a symbolic link to nothing; mend: mkdir -p \
             \"$(readlink -m {dir}/link)\"",
        ),
        // What is to be copied is safe to copy.
        (
            "pid_file {dir}/my own/x/p\n",
            "there is no folder {dir}/my own/x; mend: mkdir -p '{dir}/my own/x'",
        ),
        (
            "persistence true\npersistence_location /proc/x\n",
            "persistence_location: the kernel lets nobody make files in /proc; mend: name another",
        ),
    ] {
        let mut setup = Setup::new(Kind::Midge).conf(&format!(
            "listener {{port}} 127.0.0.1\nallow_anonymous true\n{conf}"
        ));
        std::os::unix::fs::symlink("/none", setup.dir.file("link")).unwrap();
        let line = setup.fill(line);
        let ended = check(&setup.dir).with(1);
        assert!(ended.out.contains(&line), "{line}\n{}", ended.out);
        setup.run().with(1);
    }
}

/// One folder has one broker; that it is the running one with this very file is no error.
#[test]
fn a_folder_that_a_broker_has() {
    if peer_broker("only midge knows itself") {
        return;
    }
    let conf = "allow_anonymous true\npersistence true\npersistence_location {dir}/kept\n\
                pid_file {dir}/pid\n";
    let broker = Setup::new(Kind::Midge)
        .conf(&format!("listener {{port}} 127.0.0.1\n{conf}"))
        .start();
    let ended = check(broker.dir()).ok();
    assert!(!ended.out.contains("persistence_location"), "{}", ended.out);
    let kept = broker.dir().at("kept");
    let pid = broker.dir().read("pid");
    let other = Setup::new(Kind::Midge).conf(&format!(
        "listener {{port}} 127.0.0.1\nallow_anonymous true\npersistence true\n\
         persistence_location {kept}\n"
    ));
    let ended = check(&other.dir).with(1);
    let line = format!(
        "persistence_location: another broker (process {pid}) keeps its messages in {kept}; mend: \
         kill {pid}, or name another folder"
    );
    assert!(ended.out.contains(&line), "{line}\n{}", ended.out);
    other.run().with(1);
    broker.stop().ok();
}

/// A folder of the user's own does not help where another one is in the way, or what is in it
/// belongs to somebody else.
#[test]
fn what_the_user_cannot_reach() {
    if !geteuid().is_root() {
        return tools::skipped("what_the_user_cannot_reach", "needs root");
    }
    if peer_broker("mosquitto keeps other files") {
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    for (file, mode, line) in [
        (
            "deep/x/none",
            0o700,
            "{dir}/deep/x: Permission denied (os error 13) (directory {dir}/deep: owner root, \
             group root, mode 0700; running as nobody",
        ),
        ("deep/x/none", 0o700, "; mend: chmod o+x {dir}/deep"),
        (
            "deep/x/midge.lock",
            0o755,
            "user nobody cannot use {dir}/deep/x: midge.lock: Permission denied (os error 13); \
             mend: chown -R nobody {dir}/deep/x",
        ),
        (
            "deep/x/00000001.log",
            0o755,
            "user nobody cannot use {dir}/deep/x: 00000001.log: Permission denied (os error 13); \
             mend: chown -R nobody {dir}/deep/x",
        ),
    ] {
        let mut setup = Setup::new(Kind::Midge).file(file, "x").conf(
            "user nobody\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location {dir}/deep/x\n",
        );
        let set_mode = |name: &str, mode| {
            fs::set_permissions(setup.dir.file(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        set_mode(file, 0o600);
        set_mode("deep", mode);
        std::os::unix::fs::chown(setup.dir.file("deep/x"), Some(nobody.uid.as_raw()), None)
            .unwrap();
        let line = setup.fill(line);
        let ended = check(&setup.dir).with(1);
        assert!(ended.out.contains(&line), "{line}\n{}", ended.out);
        setup.run().with(1);
    }
}

/// A port in use by somebody else is an error; one of the running broker with this file is none.
#[test]
fn ports_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let setup = Setup::new(Kind::Midge).conf(&format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\n"
    ));
    let pid = std::process::id();
    let ended = check(&setup.dir).with(1);
    let line =
        format!("midge.conf:1: listener: 127.0.0.1:{port}: the port is in use by process {pid} (");
    assert!(ended.out.contains(&line), "{line} {}", ended.out);
    let verdict = ": midge would not start, or a listener would serve nobody.\n";
    assert!(ended.out.ends_with(verdict), "{}", ended.out);
    if peer_broker("only midge knows itself") {
        return;
    }
    let broker = Setup::new(Kind::Midge)
        .conf("pid_file {dir}/pid\nlistener {port} 127.0.0.1\nallow_anonymous true\n")
        .start();
    let ended = check(broker.dir()).ok();
    let says = "the port is that of the running broker (midge, process ";
    assert!(ended.out.contains(says), "{}", ended.out);
    broker.stop().ok();
    // It may be called by Mosquitto's name, and the file by another one.
    let conf = "listener {port} 127.0.0.1\nallow_anonymous true\n";
    let mut setup = Setup::new(Kind::Midge).conf(conf);
    let link = setup.dir.file("mosquitto");
    std::os::unix::fs::symlink(setup.command().get_program(), &link).unwrap();
    let file = setup.dir.path().join("./midge.conf");
    let broker = Process::spawn(Command::new(link).arg("-c").arg(file));
    broker.err_has(" running");
    let ended = check(&setup.dir).ok();
    assert!(ended.out.contains(says), "{}", ended.out);
    broker.stop(Signal::SIGTERM).ok();
    // What is called so may be Mosquitto.
    if !tools::Tool::Mosquitto.ready() {
        return;
    }
    let peer = Setup::new(Kind::Debian)
        .conf(&format!("pid_file {{dir}}/pid\n{conf}"))
        .start();
    let ended = check(peer.dir()).with(1);
    let mend = "(mosquitto); mend: systemctl disable --now mosquitto, or another port";
    assert!(ended.out.contains(mend), "{}", ended.out);
}

/// What root may read, but not the user whom the broker becomes.
#[test]
fn files_that_the_broker_could_not_read_again() {
    if !geteuid().is_root() {
        return tools::skipped("files_that_the_broker_could_not_read_again", "needs root");
    }
    let setup = passwords(Setup::new(Kind::Midge), &["bob"]).conf(
        "user nobody\nlistener {port} 127.0.0.1\npassword_file {dir}/pw\npersistence true\n\
         persistence_location {dir}\nlog_dest file {dir}/log\n",
    );
    let dir = setup.dir.path().display().to_string();
    let ended = check(&setup.dir).with(1);
    for line in [
        format!(
            "midge.conf:3: password_file: a start as root can read it, a reload cannot: \
             {dir}/pw: Permission denied (os error 13) (owner root, group root, mode 0600; \
             running as nobody"
        ),
        format!("; mend: chown nobody {dir}/pw"),
        format!(
            "midge.conf:5: persistence_location: user nobody may not write to {dir}; mend: mkdir \
             -p {dir} && chown nobody {dir}"
        ),
        format!("midge.conf:6: log_dest: user nobody cannot write {dir}/log"),
    ] {
        assert!(ended.out.contains(&line), "{line}\n{}", ended.out);
    }
    let setup = Setup::new(Kind::Midge)
        .conf("user nosuchuser\nlistener {port} 127.0.0.1\nallow_anonymous true\n");
    let ended = check(&setup.dir).with(1);
    let says = "midge.conf:1: user: Invalid user 'nosuchuser': no such account; mend: adduser ";
    assert!(ended.out.contains(says), "{}", ended.out);
}

#[cfg(feature = "tls")]
#[test]
fn certificates_and_their_dates() {
    use crate::harness::Tool;
    use crate::harness::pki::{EXPIRED, NOT_YET, Pki, VALID};
    if !Tool::Openssl.ready() {
        return;
    }
    let setup = Setup::new(Kind::Midge);
    let pki = Pki(&setup.dir);
    pki.authority("ca", "/CN=The authority");
    for (name, dates) in [("good", VALID), ("old", EXPIRED), ("new", NOT_YET)] {
        pki.leaf(name, &format!("/CN={name}"), "", dates);
    }
    let books = "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ncrlnumber = crlnumber\n\
                 default_md = sha256\n";
    setup.dir.write("crl.cnf", books);
    setup.dir.write("crlnumber", "01\n");
    let list = [
        "ca", "-gencrl", "-config", "crl.cnf", "-cert", "ca.pem", "-keyfile", "ca.key",
    ];
    pki.openssl(&[&list[..], &["-crldays", "10", "-out", "crl.pem"]].concat());
    let mut setup = setup.conf("");
    for (cert, key, more, code, line) in [
        (
            "good.pem",
            "good.key",
            "cafile ca.pem\nrequire_certificate true\ncrlfile crl.pem\n",
            0,
            "midge.conf:7: crlfile: crl.pem expires in ",
        ),
        ("good.pem", "good.key", "", 0, "TLS, anonymous allowed"),
        (
            "old.pem",
            "old.key",
            "",
            1,
            "midge.conf:3: certfile: old.pem (CN=old) expired ",
        ),
        (
            "new.pem",
            "new.key",
            "",
            1,
            "midge.conf:3: certfile: new.pem (CN=new) holds in ",
        ),
        (
            "ca.pem",
            "ca.key",
            "",
            0,
            "midge.conf:3: certfile: ca.pem (CN=The authority) expires in ",
        ),
        (
            "good.pem",
            "old.key",
            "",
            1,
            "midge.conf:4: keyfile: old.key is not the key of the certificate in certfile \
             good.pem; mend: ",
        ),
        (
            "none.pem",
            "good.key",
            "",
            1,
            "midge.conf:3: certfile: none.pem: No such file or directory",
        ),
        (
            "good.pem",
            "good.key",
            "cafile old.pem\nrequire_certificate true\n",
            1,
            "midge.conf:5: cafile: old.pem (CN=old) expired ",
        ),
        (
            "good.pem",
            "open.key",
            "",
            0,
            "midge.conf:4: keyfile: open.key: every user of this machine may use the key; mend: \
             chmod o= open.key",
        ),
    ] {
        fs::copy(setup.dir.file("good.key"), setup.dir.file("open.key")).unwrap();
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(setup.dir.file("open.key"), open).unwrap();
        let conf = setup.fill(&format!(
            "listener {{port}} 127.0.0.1\nallow_anonymous true\ncertfile {cert}\nkeyfile {key}\n\
             {more}user root\n"
        ));
        setup.dir.write("midge.conf", conf);
        let ended = check(&setup.dir);
        assert!(
            ended.out.contains(line),
            "{cert} {key}: {line}\n{}",
            ended.out
        );
        ended.with(code);
    }
}
