//! A publisher that floods a broker, as a process of its own.
//!
//! It writes messages at QoS 0 as fast as the broker takes them, to a topic of its own, and may
//! have a subscriber that reads them all. Both run on the generator's core, in the kernel's idle
//! class: whenever the generator has something to do it comes first, at once, and the flood gets
//! the rest, which is nearly all of the core. So the broker is flooded and the generator is not.
//!
//! The process says `on` once messages flow, ends when its input ends (also with the bench), and
//! says then how many messages it sent and received.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::client;
use crate::packet::Template;

const TOPIC: &str = "flood/value";
const PAYLOAD_BYTES: usize = 64;
/// Messages in one write: some 16 KiB, so that no call keeps the core for long.
const BATCH: u64 = 200;
/// So many messages sent: the flood is on.
const ON: u64 = 10_000;

/// A flood that goes on until it is stopped or dropped.
pub struct Flood {
    child: Child,
    output: BufReader<ChildStdout>,
}

/// Messages that a flood has sent, and those that came back to its subscriber.
pub struct Flooded {
    pub sent: u64,
    pub received: u64,
}

impl Flood {
    /// Floods the broker on this port from now on.
    pub fn start(port: u16, is_read: bool) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|e| format!("own program: {e}"))?;
        let mut child = Command::new("chrt")
            .args(["-i", "0"])
            .arg(own)
            .args(["flood", &port.to_string(), &u8::from(is_read).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("chrt (of util-linux): {e}"))?;
        let output = child.stdout.take().map(BufReader::new);
        let mut flood = Self {
            child,
            output: output.ok_or("the flood has no output")?,
        };
        match flood.line()?.as_str() {
            "on" => Ok(flood),
            other => Err(format!("the flood said {other:?}")),
        }
    }

    /// Ends it.
    pub fn stop(mut self) -> Result<Flooded, String> {
        drop(self.child.stdin.take());
        let line = self.line()?;
        let mut numbers = line.split(' ').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(sent)), Some(Ok(received))) => Ok(Flooded { sent, received }),
            _ => Err(format!("the flood said {line:?}")),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(_) => Ok(line.trim_end().to_string()),
            Err(e) => Err(format!("the flood: {e}")),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process does: floods until its input ends.
pub fn run(port: u16, is_read: bool) -> Result<(), String> {
    let mut messages = Vec::new();
    let mut template = Template::new(TOPIC, 0, false, PAYLOAD_BYTES, 0);
    template.put(0, None, &mut messages);
    let each = messages.len() as u64;
    for number in 1..BATCH {
        template.put(number, None, &mut messages);
    }
    let (sent, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    if is_read {
        let reader = client::subscriber(port, "bench-flood-sub", TOPIC, 0)?;
        let bytes = Arc::clone(&bytes);
        thread::spawn(move || read(reader, &bytes));
    }
    let writer = client::sign_in(port, "bench-flood-pub", true)?.socket;
    let socket = writer.try_clone().map_err(|e| format!("dup: {e}"))?;
    let counted = Arc::clone(&sent);
    let publisher = thread::spawn(move || write(writer, &messages, &counted));
    // What its input says is of no interest, only that it ends.
    let ended = std::io::stdin().read_to_end(&mut Vec::new());
    // A write that waits for the broker ends with the socket.
    let _ = socket.shutdown(Shutdown::Both);
    let _ = publisher.join();
    let received = bytes.load(Ordering::Relaxed) / each;
    println!("{} {received}", sent.load(Ordering::Relaxed));
    ended.map(|_| ()).map_err(|e| format!("its input: {e}"))
}

/// Until the socket is shut down or the broker closes it.
fn write(mut socket: TcpStream, messages: &[u8], sent: &AtomicU64) {
    while socket.write_all(messages).is_ok() {
        if sent.fetch_add(BATCH, Ordering::Relaxed) + BATCH == ON {
            println!("on");
        }
    }
}

fn read(mut socket: TcpStream, bytes: &AtomicU64) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(came @ 1..) = socket.read(&mut buffer) {
        bytes.fetch_add(came as u64, Ordering::Relaxed);
    }
}
