//! A broker process and clients of bare sockets.

use crate::common::decode::{From, decode};
use crate::common::encode::encode;
use crate::common::packet::*;
use crate::dir::Dir;
use crate::port::Port;
use crate::wait::{LIMIT, until, until_true};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running broker; killed if nobody stops it.
pub struct Broker {
    child: Child,
    port: Port,
    dir: Dir,
}

impl Broker {
    /// Starts with this configuration behind a listener that lets everybody in.
    pub fn start(conf: &str) -> Broker {
        Broker::start_by(conf, |command| command)
    }

    /// The same, with a say in how the process is started.
    pub fn start_by(conf: &str, change: impl FnOnce(Command) -> Command) -> Broker {
        Broker::start_in(Dir::new(), conf, change)
    }

    /// The same, with files that are there already.
    pub fn start_in(dir: Dir, conf: &str, change: impl FnOnce(Command) -> Command) -> Broker {
        let port = Port::lease();
        let conf = conf.replace("DIR", dir.path().to_str().unwrap());
        let conf = format!(
            "listener {}\nallow_anonymous true\nuser root\n{conf}\n",
            port.number
        );
        let conf = dir.write("midge.conf", conf);
        let log = File::create(dir.file("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_midge"));
        command.args(["-c", &conf]).stdout(Stdio::null());
        let child = change(command)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut broker = Broker { child, port, dir };
        until("the broker runs", || {
            let ended = broker.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", broker.log());
            broker.log().contains("running").then_some(())
        });
        broker
    }

    /// The port of its listener.
    pub fn port(&self) -> u16 {
        self.port.number
    }

    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    pub fn log(&self) -> String {
        self.dir.read_if("log")
    }

    /// Waits for a log line with this text.
    #[track_caller]
    pub fn logs(&self, text: &str) {
        until_true(text, || self.log().contains(text));
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Lets everything that `act` does reach the kernel before the broker sees any of it.
    pub fn asleep<T>(&self, act: impl FnOnce() -> T) -> T {
        self.signal(Signal::SIGSTOP);
        until_true("the broker sleeps", || self.stat(0) == "T");
        let done = act();
        self.signal(Signal::SIGCONT);
        done
    }

    /// A word of `/proc/PID/stat`, counted from the state of the process.
    fn stat(&self, at: usize) -> String {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, words) = stat.rsplit_once(") ").unwrap();
        words.split(' ').nth(at).unwrap().to_string()
    }

    /// Processor time so far, in ticks of the kernel.
    pub fn ticks(&self) -> u64 {
        let number = |at| self.stat(at).parse::<u64>().unwrap();
        number(11) + number(12)
    }

    /// How long its loop has run, and how long it waited for a processor that others had.
    pub fn run_and_wait(&self) -> (Duration, Duration) {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let text = fs::read_to_string(path).unwrap();
        let ns = |at| text.split(' ').nth(at).unwrap().parse().unwrap();
        (Duration::from_nanos(ns(0)), Duration::from_nanos(ns(1)))
    }

    /// Addresses that the process has taken, used or not.
    pub fn virtual_bytes(&self) -> u64 {
        self.statm(0)
    }

    /// Memory that the process uses.
    pub fn resident_bytes(&self) -> u64 {
        self.statm(1)
    }

    fn statm(&self, at: usize) -> u64 {
        let path = format!("/proc/{}/statm", self.child.id());
        let statm = fs::read_to_string(path).unwrap();
        let pages: u64 = statm.split(' ').nth(at).unwrap().parse().unwrap();
        pages * 4096
    }

    pub fn descriptors(&self) -> usize {
        let dir = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        dir.count()
    }

    /// Ends it by SIGTERM.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    pub fn ended(&mut self) -> ExitStatus {
        until("the broker ends", || self.child.try_wait().unwrap())
    }

    /// A connection that has said nothing yet.
    pub fn connection(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port.number)).unwrap();
        Client::new(stream)
    }

    /// A client that has been let in.
    #[track_caller]
    pub fn client(&self, version: Version, client_id: &str) -> Client {
        self.client_by(Connect::new(version, client_id), version)
    }

    #[track_caller]
    pub fn client_by(&self, connect: Connect, version: Version) -> Client {
        let mut client = self.connection();
        client.version = version;
        client.say(Packet::Connect(connect));
        let answer = client.hear();
        let is_welcome = matches!(&answer, Some(Packet::ConnAck(ack)) if ack.code == 0);
        assert!(is_welcome, "{answer:?}");
        client
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One end of a connection.
pub struct Client {
    stream: TcpStream,
    pub version: Version,
    heard: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            version: Version::V311,
            heard: Vec::new(),
        }
    }

    /// Sends bytes; a broker that has closed already is no failure.
    pub fn throw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends bytes as long as the other end takes some within this time.
    pub fn throw_for(&mut self, bytes: &[u8], patience: Duration) -> std::io::Result<()> {
        self.stream.set_write_timeout(Some(patience))?;
        let sent = self.stream.write_all(bytes);
        self.stream.set_write_timeout(Some(LIMIT))?;
        sent
    }

    pub fn say(&mut self, packet: Packet) {
        let bytes = encode(self.version, &packet);
        self.throw(&bytes);
    }

    /// The next packet; none when the broker has closed.
    #[track_caller]
    pub fn hear(&mut self) -> Option<Packet> {
        loop {
            let decoded = decode(self.version, From::Server, &self.heard);
            if let Some((packet, len)) = decoded.expect("the broker sends valid packets") {
                self.heard.drain(..len);
                return Some(packet);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(n) => self.heard.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
                Err(e) => panic!("the broker keeps silent: {e}"),
            }
        }
    }

    /// Waits until the broker closes, whatever it says before.
    #[track_caller]
    pub fn is_closed(&mut self) {
        let mut rest = Vec::new();
        let end = self.stream.read_to_end(&mut rest);
        let reset = ErrorKind::ConnectionReset;
        assert!(end.is_ok() || end.is_err_and(|e| e.kind() == reset));
    }

    /// Everything until the broker closes.
    #[track_caller]
    pub fn hear_out(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.hear()).collect()
    }

    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        self.say(Packet::Subscribe(Subscribe::new(1).filter(filter, qos)));
        let answer = self.hear();
        assert!(matches!(answer, Some(Packet::SubAck(_))), "{answer:?}");
    }

    /// Goes without a good bye, so that the other end gets a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// Two clients that do nothing wrong and must never feel what others do.
pub struct Peers {
    publisher: Client,
    subscriber: Client,
    count: u16,
}

impl Peers {
    pub fn new(broker: &Broker) -> Peers {
        Peers::at(broker.port())
    }

    /// The same at a port of their own.
    pub fn at(port: u16) -> Peers {
        let come = |client_id: &str| {
            let mut client = Client::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
            client.say(Packet::Connect(Connect::new(Version::V311, client_id)));
            assert!(matches!(client.hear(), Some(Packet::ConnAck(ack)) if ack.code == 0));
            client
        };
        let mut subscriber = come("good-subscriber");
        subscriber.subscribe("good/#", 1);
        Peers {
            publisher: come("good-publisher"),
            subscriber,
            count: 0,
        }
    }

    /// A message of QoS 1 gets through.
    #[track_caller]
    pub fn check(&mut self) {
        self.count += 1;
        let publish = Publish::new("good/x", self.count.to_string());
        self.publisher
            .say(Packet::Publish(publish.qos(1).id(self.count)));
        let acked = self.publisher.hear();
        assert_eq!(acked, Some(Packet::PubAck(Ack::new(self.count))));
        let heard = self.subscriber.hear();
        let Some(Packet::Publish(publish)) = heard else {
            panic!("no message but {heard:?}");
        };
        assert_eq!(publish.text(), self.count.to_string());
        self.subscriber
            .say(Packet::PubAck(Ack::new(publish.packet_id)));
    }
}
