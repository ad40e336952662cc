//! A message in steady state allocates nothing: counted on the thread of the real loop, with real
//! sockets, for QoS 0, 1 and 2, in 3.1.1 and 5.0, also where all of it is kept on a real disk.
//!
//! The allocator counts on threads that ask for it only. The loop runs on one; clients on another
//! keep it busy, first until everything has its working size, then while it is counted.

use midge::broker::{ListenerSettings, Settings};
use midge::host::listen::{Address, Bind, Listening, Passed};
use midge::host::poll::{Doors, Loop, Owner, Setup};
use midge::host::tap::Viewers;
use midge::host::tls::Acceptor;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

struct Counting;

thread_local! {
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn count() {
    // A thread that is ending has no such variable any more, and is not ours.
    if IS_COUNTED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is handed on to the system's allocator as it comes; counting touches an
// atomic and a thread-local of const initialisation without destructor, neither of which allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with `layout`, see `alloc` and `realloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as in `dealloc`; the caller's promise about `size` is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Nobody;

impl Owner for Nobody {
    fn reload(&mut self) -> Option<Setup> {
        None
    }
    fn renew(&mut self) -> Option<Vec<Option<Arc<Acceptor>>>> {
        None
    }
    fn reopen_logs(&mut self) {}
    fn save(&mut self) {}
    fn stopping(&mut self) {}
    fn alive(&mut self, _now_ms: u64) -> Option<u64> {
        None
    }
}

/// The loop on a thread of its own that is counted.
struct Running {
    port: u16,
    stop: Arc<AtomicBool>,
    waker: Arc<mio::Waker>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// With a folder, what must survive is kept there.
    fn start(folder: Option<&Path>) -> Running {
        let bind = Bind::Tcp {
            host: Some("127.0.0.1".to_string()),
            port: 0,
        };
        let listening: Vec<Listening> = Address {
            bind,
            interface: None,
            only_ipv6: None,
        }
        .open(&mut Passed::default(), None)
        .expect("loopback")
        .sockets;
        let port = listening[0].port().expect("a TCP socket");
        let settings = Settings {
            // The averages of $SYS are worth an allocation now and then; they are not messages.
            sys_interval: 0,
            listeners: vec![ListenerSettings::default()],
            ..Settings::default()
        };
        let setup = Setup {
            settings,
            passwords: vec![None],
            acceptors: Vec::new(),
            taps: Viewers::default(),
            doors: Doors {
                opened: listening.into_iter().map(|l| (0, l)).collect(),
                ..Doors::default()
            },
            sync: midge::conf::Sync::Always,
            nodelay: true,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut event_loop = Loop::new(setup, None, 1).expect("a poll");
        if let Some(folder) = folder {
            let sync = midge::conf::Sync::Always;
            let kept = event_loop.keep(folder, &folder.join("mosquitto.db"), sync);
            kept.expect("a folder of its own");
        }
        let waker = event_loop.waker();
        let thread = std::thread::spawn(move || {
            IS_COUNTED.with(|counted| counted.set(true));
            event_loop
                .run(&mut Nobody, &|| stopped.load(Ordering::Acquire))
                .expect("the loop");
            IS_COUNTED.with(|counted| counted.set(false));
        });
        Running {
            port,
            stop,
            waker,
            thread: Some(thread),
        }
    }

    /// A client, whose session stays if it `is_lasting`.
    fn client(&self, level: u8, id: &str, is_lasting: bool) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the loop listens");
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket option");
        let mut body = b"\0\x04MQTT".to_vec();
        body.extend_from_slice(&[level, if is_lasting { 0 } else { 2 }, 0, 0]);
        body.extend_from_slice(match (level, is_lasting) {
            (5, true) => &[5, 0x11, 0xff, 0xff, 0xff, 0xff],
            (5, false) => &[0],
            _ => &[],
        });
        body.extend_from_slice(&[0, id.len() as u8]);
        body.extend_from_slice(id.as_bytes());
        send(&mut stream, 0x10, &[&body]);
        assert_eq!(packet(&mut stream).0, 0x20);
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake().expect("the loop's waker");
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the loop ends");
        }
    }
}

/// Sends packets in one write, so that the loop gets them in one read.
fn send(stream: &mut TcpStream, first: u8, bodies: &[&[u8]]) {
    let mut bytes = Vec::new();
    for body in bodies {
        assert!(
            body.len() < 128,
            "one byte of Remaining Length is enough here"
        );
        bytes.extend_from_slice(&[first, body.len() as u8]);
        bytes.extend_from_slice(body);
    }
    stream.write_all(&bytes).expect("the broker reads");
}

fn packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut header = [0; 2];
    stream.read_exact(&mut header).expect("the broker answers");
    assert!(header[1] < 128, "packets here are short");
    let mut body = vec![0; usize::from(header[1])];
    stream.read_exact(&mut body).expect("the broker answers");
    (header[0], body)
}

/// Messages from `publisher` to `subscriber` at once, with all their acknowledgements.
fn messages(
    publisher: &mut TcpStream,
    subscriber: &mut TcpStream,
    level: u8,
    qos: u8,
    ids: std::ops::RangeInclusive<u16>,
) {
    let body = |id: u16| {
        let mut body = b"\0\x0csensors/room".to_vec();
        if qos > 0 {
            body.extend_from_slice(&id.to_be_bytes());
        }
        if level == 5 {
            body.push(0);
        }
        body.extend_from_slice(b"21.5 degrees");
        body
    };
    let bodies: Vec<Vec<u8>> = ids.clone().map(body).collect();
    let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    send(publisher, 0x30 | qos << 1, &bodies);
    let answers = |stream: &mut TcpStream, first: u8| {
        if qos > 0 {
            for _ in ids.clone() {
                assert_eq!(packet(stream).0, first);
            }
        }
    };
    answers(publisher, if qos == 1 { 0x40 } else { 0x50 });
    if qos == 2 {
        let released: Vec<[u8; 2]> = ids.clone().map(u16::to_be_bytes).collect();
        let released: Vec<&[u8]> = released.iter().map(<[u8; 2]>::as_slice).collect();
        send(publisher, 0x62, &released);
        answers(publisher, 0x70);
    }
    let mut received_ids = Vec::new();
    for _ in ids.clone() {
        let (first, received) = packet(subscriber);
        assert_eq!(first, 0x30 | qos << 1);
        assert!(received.ends_with(b"21.5 degrees"));
        received_ids.push([received[14], received[15]]);
    }
    let received_ids: Vec<&[u8]> = received_ids.iter().map(<[u8; 2]>::as_slice).collect();
    let acknowledge = |stream: &mut TcpStream, first: u8| send(stream, first, &received_ids);
    match qos {
        1 => acknowledge(subscriber, 0x40),
        2 => {
            acknowledge(subscriber, 0x50);
            answers(subscriber, 0x62);
            acknowledge(subscriber, 0x70);
        }
        _ => {}
    }
}

/// Keeps a broker busy with messages of each kind; `rounds` are how many messages come, and how
/// many at once, first until everything has its working size, then while it is counted.
fn measure(running: &Running, is_lasting: bool, rounds: [&[(u16, u16)]; 2]) {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    drop(running.client(4, "anybody", false));
    assert!(
        ALLOCATIONS.load(Ordering::Relaxed) > before,
        "a connection is not free: it counts"
    );
    for level in [4, 5] {
        for qos in 0..=2 {
            let name = |name: &str| format!("{name}-{level}-{qos}");
            let mut publisher = running.client(level, &name("publisher"), is_lasting);
            let mut subscriber = running.client(level, &name("subscriber"), is_lasting);
            let filter = [&[0, 1][..], b"\0\x09sensors/+", &[qos]];
            let filter5 = [&[0, 1, 0][..], b"\0\x09sensors/+", &[qos]];
            let subscription = if level == 5 { filter5 } else { filter }.concat();
            send(&mut subscriber, 0x82, &[&subscription]);
            assert_eq!(packet(&mut subscriber).0, 0x90);
            let mut run = |rounds: &[(u16, u16)]| {
                for &(count, at_once) in rounds {
                    for first in (1..=count).step_by(usize::from(at_once)) {
                        let ids = first..=first + at_once - 1;
                        messages(&mut publisher, &mut subscriber, level, qos, ids);
                    }
                }
            };
            // Queues and windows grow to the most that is under way here, and stay like that.
            run(rounds[0]);
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            run(rounds[1]);
            let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(allocations, 0, "MQTT level {level}, QoS {qos}");
            // The session goes on without a connection: nobody else's messages are to wait for it.
            let filter = [&[0, 2][..], b"\0\x09sensors/+"];
            let filter5 = [&[0, 2, 0][..], b"\0\x09sensors/+"];
            let subscription = if level == 5 { filter5 } else { filter }.concat();
            send(&mut subscriber, 0xa2, &[&subscription]);
            while packet(&mut subscriber).0 != 0xb0 {}
        }
    }
}

/// One after the other: there is one counter.
#[test]
fn a_message_in_steady_state_allocates_nothing() {
    let running = Running::start(None);
    // What comes at once at QoS 0 is kept as one body: the first of each size finds no memory yet.
    measure(
        &running,
        false,
        [&[(200, 20), (200, 10), (20, 1)], &[(2000, 1), (2000, 10)]],
    );
    drop(running);

    let name = format!("midge-allocations-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).expect("a folder of its own");
    let running = Running::start(Some(&folder));
    // Enough of them that the lists of what may leave memory were tidied once.
    measure(
        &running,
        true,
        [&[(4000, 20), (20, 1)], &[(100, 1), (2000, 20)]],
    );
    drop(running);
    std::fs::remove_dir_all(&folder).expect("it was made above");
}
