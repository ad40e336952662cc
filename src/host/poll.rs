//! The loop: one thread, one poll, all sockets in a slab.
//!
//! A turn has a fixed order: wait; hear the journal; read what is readable, each link once; obey
//! signals; let the broker's time pass; give verdicts; let each connection with output write once;
//! feed the journal; close what is to be closed; look for room; free what is gone. Nothing in it
//! calls back into an earlier step.
//!
//! After reading from many links it looks again, and reads what has come meanwhile, before it
//! writes: messages under way would else go round in two groups, one on its way to the subscribers
//! while the other is answered, with half as many in each write. (Measured, a message at QoS 1 of 1
//! publisher to 100 subscribers with 50 under way: 0.27 µs of CPU time without, 0.21 with it.)

mod accept;
mod certificates;
mod checks;
mod handshakes;
mod journal;
mod late;
mod starved;
mod turns;

use super::clock;
use super::link::{Life, Link};
use super::memory;
use super::ring::Rings;
use super::signal::{Signal, Signals};
use super::tap::{Taps, Viewers};
use super::tls::{self, Acceptor};
use crate::auth::Passwords;
use crate::broker::{Broker, ConnId, Now, Settings};
use crate::conf::Sync;
use accept::Accepting;
pub use accept::Doors;
use certificates::Certificates;
use checks::Checks;
use handshakes::Handshakes;
use journal::Keeping;
pub use late::{Awaited, Wanted};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use starved::Starved;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use turns::Slice;

/// Everything that a start or a reload brings.
pub struct Setup {
    /// What the broker is told.
    pub settings: Settings,
    /// The password file of each listener that has one.
    pub passwords: Vec<Option<Arc<Passwords>>>,
    /// The sockets that the listeners get, and those that they lose.
    pub doors: Doors,
    /// What the connections of each encrypted listener begin with.
    pub acceptors: Vec<Option<Arc<Acceptor>>>,
    /// Who wants to see what goes over connections.
    pub taps: Viewers,
    /// `set_tcp_nodelay`.
    pub nodelay: bool,
    /// `persistence_sync`.
    pub sync: Sync,
}

/// Who decides what signals mean.
pub trait Owner {
    /// SIGHUP: reads everything anew; `None` keeps what was before.
    fn reload(&mut self) -> Option<Setup>;
    /// Reads certificates anew whose files have changed; `None` if there are no other ones.
    fn renew(&mut self) -> Option<Vec<Option<Arc<Acceptor>>>>;
    /// SIGRTMIN, and SIGHUP after [`Owner::reload`].
    fn reopen_logs(&mut self);
    /// SIGUSR1.
    fn save(&mut self);
    /// The broker is about to end.
    fn stopping(&mut self);
    /// The loop is alive, and it is so late on a clock that only goes forward; called at least as
    /// often as this asks for. All in milliseconds.
    fn alive(&mut self, now_ms: u64) -> Option<u64>;
}

/// The loop and all that it owns.
pub struct Loop {
    poll: Poll,
    events: Events,
    signals: Option<Signals>,
    waker: Arc<Waker>,
    checks: Checks,
    accepting: Accepting,
    links: Slab<Link>,
    /// The link of each connection, by the connection's slot.
    by_conn: Vec<usize>,
    readable: Vec<usize>,
    gone: Vec<usize>,
    lingering: Vec<usize>,
    inbound: Box<[u8]>,
    outbound: Box<[u8]>,
    rings: Rings,
    starved: Starved,
    passwords: Vec<Option<Arc<Passwords>>>,
    acceptors: Vec<Option<Arc<Acceptor>>>,
    certificates: Certificates,
    handshakes: Handshakes,
    taps: Taps,
    nodelay: bool,
    /// When the memory of the process is to be read again.
    memory_due_ms: u64,
    /// When the last turn ended, on the broker's clock.
    turned_ms: u64,
    keeping: Keeping,
    broker: Broker,
}

const WAKER: Token = Token(0);
const SIGNALS: Token = Token(1);
const FIRST_LISTENING: usize = 2;
const FIRST_LINK: usize = 1 << 16;

/// The shared buffers: what one link may read or write in one go. Only large messages touch the
/// most of them, see [`Link`].
pub(super) const BUFFER_BYTES: usize = 256 * 1024;
const EVENTS: usize = 1024;
/// From so many readable links on another look costs next to nothing.
const MANY: usize = 16;
/// How often a turn looks at most before it writes.
const LOOKS: usize = 3;
/// Links that linger at a time; one more closes at once.
const LINGERING_MAX: usize = 256;

/// How often the memory of the process is read at most.
const MEMORY_INTERVAL_MS: u64 = 1000;

impl Loop {
    /// A loop with its broker; `seed` is the broker's randomness.
    ///
    /// `signals` is `None` where the process is not the loop's own.
    pub fn new(setup: Setup, signals: Option<Signals>, seed: u64) -> io::Result<Loop> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let checks = Checks::new(Arc::clone(&waker));
        let names = names_of(&setup.settings);
        let mut this = Loop {
            poll,
            events: Events::with_capacity(EVENTS),
            signals,
            waker,
            checks,
            accepting: Accepting::default(),
            links: Slab::new(),
            by_conn: Vec::new(),
            readable: Vec::new(),
            gone: Vec::new(),
            lingering: Vec::new(),
            inbound: vec![0; BUFFER_BYTES].into_boxed_slice(),
            outbound: vec![0; BUFFER_BYTES].into_boxed_slice(),
            rings: Rings::new(setup.settings.memory_limit),
            starved: Starved::default(),
            passwords: setup.passwords,
            acceptors: setup.acceptors,
            certificates: Certificates::default(),
            handshakes: Handshakes::default(),
            taps: Taps::default(),
            nodelay: setup.nodelay,
            memory_due_ms: 0,
            turned_ms: 0,
            broker: Broker::new(setup.settings, seed, Keeping::default().now()),
            keeping: Keeping::default(),
        };
        let registry = this.poll.registry();
        if let Some(signals) = &mut this.signals {
            registry.register(signals, SIGNALS, Interest::READABLE)?;
        }
        this.accepting.change(registry, &this.waker, setup.doors)?;
        this.taps.change(setup.taps);
        this.certificates.change(names, &this.acceptors);
        Ok(this)
    }

    /// Runs until SIGTERM or SIGINT, or until `stop` says so between two turns.
    pub fn run(&mut self, owner: &mut dyn Owner, stop: &dyn Fn() -> bool) -> io::Result<()> {
        self.accepting.leave_descriptors();
        self.turned_ms = self.now().mono_ms;
        while !stop() {
            if self.turn(owner)? {
                break;
            }
        }
        owner.stopping();
        self.broker.publish_wills(self.now());
        self.await_journal();
        self.write_all(Slice::endless(), self.now());
        self.broker.shutdown(self.now());
        self.write_all(Slice::endless(), self.now());
        self.close_all(Slice::endless(), self.now());
        self.finish_journal();
        Ok(())
    }

    /// Wakes the loop from another thread, so that it looks at `stop` again.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// One turn; `true` when it is time to stop.
    fn turn(&mut self, owner: &mut dyn Owner) -> io::Result<bool> {
        self.look(self.timeout(owner.alive(self.turned_ms)))?;
        let begun = clock::since_boot();
        let now = self.keeping.at(begun);
        let mut slice = Slice::begin();
        let mut has_signals = false;
        for looks_left in (0..LOOKS).rev() {
            has_signals |= self.sort_events();
            self.hear_journal(now);
            let are_many = self.readable.len() >= MANY;
            self.read_all(&mut slice, now);
            if !are_many || looks_left == 0 {
                break;
            }
            self.look(Some(Duration::ZERO))?;
        }
        // Who is gone makes room for who comes: limits count connections.
        self.accept_all(now);
        let is_over = has_signals && self.obey_signals(owner, now);
        self.look_at_certificates(owner, now);
        self.note_memory(now);
        let encrypted = self.handshakes.encrypted * tls::CONNECTION_BYTES;
        self.broker.note_held(self.rings.bytes() + encrypted);
        self.broker.timeout(now);
        self.judge_passwords(now);
        self.publish_log_lines(now);
        self.write_all(Slice::begin(), now);
        self.feed_journal();
        self.close_all(Slice::begin(), now);
        self.feed_starved(now);
        self.free_all(now);
        let took = clock::since_boot().saturating_sub(begun);
        self.broker.note_turn(took);
        self.turned_ms = now.mono_ms + clock::millis(took);
        Ok(is_over)
    }

    /// Asks the kernel what there is to do, waiting for it as long as that.
    fn look(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e),
            _ => Ok(()),
        }
    }

    /// How long the next poll may wait.
    fn timeout(&self, alive_ms: Option<u64>) -> Option<Duration> {
        let is_busy = !self.readable.is_empty()
            || !self.gone.is_empty()
            || self.broker.has_writable()
            || self.broker.has_resume()
            || self.broker.has_close()
            || self.may_accept();
        if is_busy {
            return Some(Duration::ZERO);
        }
        let now_ms = self.turned_ms;
        let linger = self
            .lingering
            .iter()
            .filter_map(|&key| match self.links.get(key)?.life {
                Life::Lingering(until) => Some(until),
                _ => None,
            });
        let alive = alive_ms.map(|ms| now_ms + ms);
        let moments = [
            self.broker.poll_timeout(),
            self.accepting.paused_until,
            self.starved.deadline(),
            self.certificates.deadline(),
            self.handshakes.deadline(now_ms),
            alive,
        ];
        let next = moments.into_iter().flatten().chain(linger).min()?;
        Some(Duration::from_millis(next.saturating_sub(now_ms)))
    }

    /// Notes who is readable and writable; whether there are signals.
    fn sort_events(&mut self) -> bool {
        let mut has_signals = false;
        for event in &self.events {
            match event.token() {
                WAKER => {}
                SIGNALS => has_signals = true,
                Token(token) if token < FIRST_LINK => {
                    self.accepting.note(token - FIRST_LISTENING);
                }
                Token(token) => {
                    let key = token - FIRST_LINK;
                    let Some(link) = self.links.get_mut(key) else {
                        continue;
                    };
                    if event.is_writable() && link.unblock() {
                        if let Life::Open(conn) = link.life {
                            self.broker.writable(conn);
                        }
                    }
                    link.is_ending |= event.is_read_closed();
                    link.is_broken |= event.is_error();
                    if event.is_readable() {
                        link.may_have_more = true;
                        if !link.is_listed {
                            link.is_listed = true;
                            self.readable.push(key);
                        }
                    }
                }
            }
        }
        has_signals
    }

    /// The link that carries a connection.
    fn key_of(&self, conn: ConnId) -> Option<usize> {
        let &key = self.by_conn.get(conn.index())?;
        (self.links.get(key)?.life == Life::Open(conn)).then_some(key)
    }

    /// Reads each readable link once, as far as a slice reaches; those that had to wait are the
    /// first in the next turn.
    fn read_all(&mut self, slice: &mut Slice, now: Now) {
        let mut readable = std::mem::take(&mut self.readable);
        let (mut is_over, mut listed) = (false, 0);
        readable.retain(|&key| {
            is_over = is_over || slice.is_over();
            if is_over {
                return true;
            }
            if self
                .links
                .get(key)
                .is_some_and(|link| link.stream.is_handshaking())
            {
                self.handshakes.put_off(key);
                return false;
            }
            let is_listed = self.read_link(key, now);
            listed += usize::from(is_listed);
            is_listed
        });
        readable.rotate_left(listed);
        self.readable = readable;
        self.shake_hands(now);
        self.resume_all(now);
    }

    /// Reads a link once; whether it is to be read on.
    fn read_link(&mut self, key: usize, now: Now) -> bool {
        let Some(link) = self.links.get_mut(key) else {
            return false;
        };
        match link.life {
            Life::Open(conn) if self.broker.takes_input(conn) => {
                if !link.receive(&mut self.broker, &mut self.inbound, &mut self.rings, now) {
                    link.is_listed = false;
                    self.starved.add(key, link);
                    return false;
                }
            }
            // Nobody is left to take what is held back for him.
            Life::Open(_) if link.is_broken => {
                let why = "Connection reset by peer";
                link.give_up(why, &mut self.broker, &mut self.rings, now);
            }
            Life::Open(_) if self.checks.is_crowded_by(link) => {
                let why = "too many passwords are to be checked";
                link.give_up(why, &mut self.broker, &mut self.rings, now);
            }
            Life::Open(_) | Life::Gone => {}
            Life::Lingering(_) => link.discard(&mut self.inbound, now),
        }
        // Who closed his side while he waited for his client id would only throw out the next one.
        if link.is_ending && matches!(link.life, Life::Open(conn) if self.broker.is_put_off(conn)) {
            let why = "it closed its connection before its client id was free";
            link.give_up(why, &mut self.broker, &mut self.rings, now);
        }
        if link.life == Life::Gone {
            self.gone.push(key);
        }
        let takes_input = match link.life {
            Life::Open(conn) => self.broker.takes_input(conn),
            Life::Lingering(_) => true,
            Life::Gone => false,
        };
        link.is_listed = link.may_have_more && takes_input;
        link.is_listed
    }

    /// Connections that take input again get what they left, and are read on in the next turn.
    fn resume_all(&mut self, now: Now) {
        while let Some(conn) = self.broker.poll_resume() {
            let Some(key) = self.key_of(conn) else {
                continue;
            };
            let link = &mut self.links[key];
            link.resume(&mut self.broker, &mut self.rings, now);
            if link.may_have_more && !link.is_listed {
                link.is_listed = true;
                self.readable.push(key);
            }
        }
    }

    /// Tells the broker now and then how much memory the process uses, for `$SYS`. No turn comes
    /// for this alone.
    fn note_memory(&mut self, now: Now) {
        if now.mono_ms < self.memory_due_ms {
            return;
        }
        self.memory_due_ms = now.mono_ms + MEMORY_INTERVAL_MS;
        if let Some(bytes) = memory::resident_bytes() {
            self.broker.note_memory(bytes);
        }
    }

    fn publish_log_lines(&mut self, now: Now) {
        let broker = &mut self.broker;
        super::log::drain_topic_lines(&mut |class, line| {
            if let Some(topic) = class.topic() {
                broker.publish_log(topic, line, now);
            }
        });
    }

    /// Each connection with output writes once.
    fn write_all(&mut self, mut slice: Slice, now: Now) {
        for _ in 0..self.broker.writable_count() {
            if slice.is_over() {
                break;
            }
            let Some(conn) = self.broker.poll_writable() else {
                break;
            };
            let Some(key) = self.key_of(conn) else {
                continue;
            };
            let link = &mut self.links[key];
            link.transmit(&mut self.broker, &mut self.outbound, &mut self.rings, now);
            if link.life == Life::Gone {
                self.gone.push(key);
            }
        }
        self.resume_all(now);
    }

    fn close_all(&mut self, mut slice: Slice, now: Now) {
        while !slice.is_over() {
            let Some(conn) = self.broker.poll_close() else {
                break;
            };
            let Some(key) = self.key_of(conn) else {
                continue;
            };
            let link = &mut self.links[key];
            link.close(&mut self.broker, &mut self.outbound, &mut self.rings, now);
            if self.lingering.len() >= LINGERING_MAX {
                link.life = Life::Gone;
            }
            match link.life {
                Life::Gone => self.gone.push(key),
                _ => self.lingering.push(key),
            }
        }
    }

    /// Frees the links that are gone, as far as a slice reaches: when all clients go at once,
    /// closing their sockets takes long. The slots are used again from the next turn on.
    fn free_all(&mut self, now: Now) {
        let (links, gone) = (&mut self.links, &mut self.gone);
        self.lingering.retain(|&key| match links.get_mut(key) {
            Some(Link {
                life: Life::Lingering(until),
                ..
            }) if *until > now.mono_ms => true,
            Some(link) => {
                link.life = Life::Gone;
                gone.push(key);
                false
            }
            None => false,
        });
        let mut slice = Slice::begin();
        while let Some(key) = gone.pop() {
            // It may be named twice, and its slot have been given anew in between.
            if links.get(key).is_some_and(|link| link.life == Life::Gone) {
                // Closing the socket takes it out of the poll as well: nobody else holds it.
                let link = links.remove(key);
                self.handshakes.encrypted -= usize::from(link.stream.is_encrypted());
            }
            if slice.is_over() {
                break;
            }
        }
    }

    fn obey_signals(&mut self, owner: &mut dyn Owner, now: Now) -> bool {
        let Some(signals) = &mut self.signals else {
            return false;
        };
        let pending: Vec<Signal> = signals.pending().collect();
        for signal in pending {
            match signal {
                Signal::Stop => return true,
                Signal::Reload => {
                    if let Some(setup) = owner.reload() {
                        let registry = self.poll.registry();
                        let changed = self.accepting.change(registry, &self.waker, setup.doors);
                        if let Err(error) = changed {
                            log::error!("Error: a listener cannot be served: {error}");
                        }
                        self.passwords = setup.passwords;
                        self.acceptors = setup.acceptors;
                        let names = names_of(&setup.settings);
                        self.certificates.change(names, &self.acceptors);
                        self.nodelay = setup.nodelay;
                        self.taps.change(setup.taps);
                        self.set_sync(setup.sync);
                        self.rings.set_limit(setup.settings.memory_limit);
                        self.broker.reload(setup.settings, now);
                    }
                    owner.reopen_logs();
                }
                Signal::ReopenLogs => owner.reopen_logs(),
                Signal::Save => {
                    self.sync_journal();
                    owner.save();
                }
                Signal::Dump => {
                    let mut stdout = io::stdout().lock();
                    // Standard output may be closed or full: its reader's loss, not ours.
                    let _ = writeln!(stdout, "{}", self.broker.dump());
                }
            }
        }
        false
    }
}

/// What the listeners are called, by their number.
fn names_of(settings: &Settings) -> Vec<String> {
    (settings.listeners.iter())
        .map(|listener| listener.name.clone())
        .collect()
}
