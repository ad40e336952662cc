//! A recording proxy between a client and a broker: what a capture on the loopback interface would
//! show, without its privileges. A packet is recorded before it is passed on, so the order of the
//! record never contradicts cause and effect.

use std::io::Write;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use super::frame::{Frame, From, cut};
use super::port::Port;
use super::read_some;
use crate::wait::{self, LIMIT};

#[derive(Default)]
struct State {
    frames: Vec<Frame>,
    /// Every socket, to end the threads with.
    sockets: Vec<TcpStream>,
    links: usize,
    /// Links whose client has not closed yet.
    open: usize,
    /// Chunks recorded and not yet passed on.
    on_the_way: usize,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

pub struct Proxy {
    at: SocketAddr,
    shared: Arc<Shared>,
    _port: Port,
}

impl Proxy {
    /// Stands on `host`, a loopback address, in front of the broker's `port` on the same address.
    pub fn new(host: &str, port: u16) -> Self {
        let ip: IpAddr = host.parse().unwrap();
        let own = Port::lease();
        let at = SocketAddr::new(ip, own.number);
        let listener = TcpListener::bind(at).unwrap();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.state.lock().unwrap().stopped {
                    return;
                }
                let Ok(client) = client else { continue };
                let Ok(broker) = TcpStream::connect((ip, port)) else {
                    continue; // dropped: the client sees a close, as from a broker that is gone
                };
                accepting.serve(client, broker);
            }
        });
        Self {
            at,
            shared,
            _port: own,
        }
    }

    pub fn port(&self) -> u16 {
        self.at.port()
    }

    pub fn host(&self) -> String {
        self.at.ip().to_string()
    }

    pub fn frames(&self) -> Vec<Frame> {
        self.shared.state.lock().unwrap().frames.clone()
    }

    /// Packets sent by one side, in order.
    pub fn sent_by(&self, from: From) -> Vec<Frame> {
        let mut frames = self.frames();
        frames.retain(|f| f.from == from);
        frames
    }

    /// The header bytes of all packets, in order: the shape of a conversation.
    pub fn headers(&self) -> Vec<u8> {
        self.frames().iter().map(Frame::header).collect()
    }

    /// Waits until `look` finds something in the record.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&[Frame]) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        let mut state = self.shared.state.lock().unwrap();
        loop {
            if let Some(found) = look(&state.frames) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let frames = state.frames.clone();
                drop(state);
                panic!("waited in vain for {what}; recorded: {frames:02x?}");
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits for the `n`-th packet with this type from this side.
    #[track_caller]
    pub fn wait_kind(&self, from: From, kind: u8, n: usize) -> Frame {
        self.wait(&format!("packet {n} of type {kind} from {from:?}"), |all| {
            all.iter()
                .filter(|f| f.from == from && f.kind() == kind)
                .nth(n - 1)
                .cloned()
        })
    }

    /// Waits until every client that came has closed: the record is whole then.
    #[track_caller]
    pub fn closed(&self) {
        wait::until_true("the clients' close", || {
            self.shared.state.lock().unwrap().open == 0
        });
    }

    /// True when everything recorded has been passed on.
    pub fn is_quiet(&self) -> bool {
        self.shared.state.lock().unwrap().on_the_way == 0
    }

    /// Cuts every connection, in both directions, as a network that goes away.
    pub fn cut(&self) {
        for socket in self.shared.state.lock().unwrap().sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().stopped = true;
        self.cut();
        let _ = TcpStream::connect(self.at); // wakes the accepting thread
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, client: TcpStream, broker: TcpStream) {
        let link = {
            let mut state = self.state.lock().unwrap();
            for socket in [&client, &broker] {
                let _ = socket.set_nodelay(true);
                state.sockets.push(socket.try_clone().unwrap());
            }
            state.links += 1;
            state.open += 1;
            state.links - 1
        };
        let other = (client.try_clone().unwrap(), broker.try_clone().unwrap());
        for (from, input, output) in [
            (From::Client, client, broker),
            (From::Broker, other.1, other.0),
        ] {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                shared.copy(from, link, input, output);
                if from == From::Client {
                    shared.state.lock().unwrap().open -= 1;
                }
            });
        }
    }

    fn copy(&self, from: From, link: usize, mut input: TcpStream, mut output: TcpStream) {
        let mut pending = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let n = read_some(&mut input, &mut chunk).unwrap_or(0);
            if n == 0 {
                let _ = output.shutdown(Shutdown::Write);
                return;
            }
            pending.extend_from_slice(&chunk[..n]);
            {
                let mut state = self.state.lock().unwrap();
                while let Some(bytes) = cut(&mut pending) {
                    state.frames.push(Frame { from, link, bytes });
                }
                state.on_the_way += 1;
                self.changed.notify_all();
            }
            let written = output.write_all(&chunk[..n]);
            self.state.lock().unwrap().on_the_way -= 1;
            if written.is_err() {
                let _ = input.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}
