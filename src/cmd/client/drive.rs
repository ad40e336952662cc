//! The loop of a client command: link, machine, script, signals and time.
//!
//! A command is a [`Script`]: it sees what happens and says what to do next. Everything that can
//! end the work is one `End`, and [`run`] turns it into the exit code and the words that
//! Mosquitto's clients have for it.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::link::{ConnectError, Link};
use super::settings::Settings;
use super::tls::Tls;
use super::tls_fault::{Stage, TlsFault};
use super::{Tool, exit, session, trace};
use crate::client::{Client, Event, Fault};
use crate::wire::{QoS, ReasonCode, Version};

/// What a command does with its connection.
pub trait Script {
    /// Something happened. The machine is lent out with the event: act on it in `act`.
    fn event(&mut self, event: &Event<'_>);

    /// Called after every event and whenever output was written, a waker woke or a deadline passed:
    /// do what is to be done now. An error ends the work with this exit code, once what was said
    /// before is sent.
    fn act(&mut self, client: &mut Client, now_ms: u64) -> Result<(), u8>;

    /// When `act` wants to be called at the latest.
    fn deadline_ms(&self) -> Option<u64> {
        None
    }

    /// Whether a lost connection is opened again.
    fn reconnects(&self) -> bool;

    /// Whether the message of the last event may be acknowledged. One that is not stays with the
    /// broker, which sends it again when the session goes on.
    fn has_taken(&self) -> bool {
        true
    }

    /// A handle that wakes the loop, for a script that has a thread.
    fn set_waker(&mut self, _waker: Arc<Waker>) {}
}

/// Why the work is over, or a connection is.
#[derive(Debug)]
enum End {
    /// We said DISCONNECT, and meant it.
    Finished,
    /// The script gave up with this exit code.
    Stopped(u8),
    Refused(ReasonCode),
    Lost,
    /// The broker said DISCONNECT.
    Dismissed(ReasonCode),
    Fault(Fault),
    Connect(ConnectError),
    /// TLS failed on an open connection.
    Tls(TlsFault),
    TimedOut,
    Signal,
}

const LINK: Token = Token(0);
const SIGNALS: Token = Token(1);
const WAKER: Token = Token(2);
/// Pause before a lost connection is opened again.
const RECONNECT_MS: u64 = 1000;
/// How long our last words may take on their way out.
const CLOSING_MS: u64 = 5000;
/// How long the broker may take to close after them.
const LINGER_MS: u64 = 1000;
/// How long a broker may be silent when somebody waits for us to end; more and it hangs.
const SILENCE_MS: u64 = 100;
const READ_SIZE: usize = 1 << 16;
/// Reads in a row before time and signals are looked at again.
const READS_MAX: usize = 16;

/// Connects, works through the script, and returns the exit code.
pub fn run(settings: &Settings, script: &mut dyn Script) -> u8 {
    if settings.debug {
        trace::start();
    }
    warn_of_plain(settings);
    let tls = match Tls::new(settings) {
        Ok(tls) => tls,
        Err(fault) => {
            complain(settings, &fault.to_string());
            return fault.code();
        }
    };
    match Drive::new(settings, tls, script) {
        Ok(mut drive) => drive.run(),
        Err(error) => {
            complain(settings, &format!("Error: {}", exit::system_words(&error)));
            exit::USAGE
        }
    }
}

struct Drive<'a> {
    settings: &'a Settings,
    tls: Option<Tls>,
    script: &'a mut dyn Script,
    client: Client,
    poll: Poll,
    events: Events,
    signals: Option<Signals>,
    haste: Haste,
    start: Instant,
    /// When `-W` runs out.
    deadline: Option<Instant>,
    /// What was read and not used up: at most one packet that is not whole yet.
    inbound: Vec<u8>,
    scratch: Box<[u8]>,
}

impl<'a> Drive<'a> {
    fn new(
        settings: &'a Settings,
        tls: Option<Tls>,
        script: &'a mut dyn Script,
    ) -> io::Result<Drive<'a>> {
        let poll = Poll::new()?;
        let haste = Haste::default();
        // pub and rr leave signals to the system, as Mosquitto's do: their will fires.
        let signals = match settings.tool {
            Tool::Subscribe => Some(watch_signals(&poll, &haste)?),
            _ => None,
        };
        script.set_waker(Arc::new(Waker::new(poll.registry(), WAKER)?));
        let start = Instant::now();
        let seconds = settings.timeout_s.map(u64::from);
        Ok(Drive {
            settings,
            tls,
            script,
            client: Client::new(session::options(settings)?),
            poll,
            events: Events::with_capacity(8),
            signals,
            haste,
            start,
            deadline: seconds.and_then(|s| start.checked_add(Duration::from_secs(s))),
            inbound: Vec::new(),
            scratch: vec![0; READ_SIZE].into_boxed_slice(),
        })
    }

    fn run(&mut self) -> u8 {
        let mut first = true;
        loop {
            let end = self.connect_and_work(first);
            let reconnect = match &end {
                End::Lost => true,
                // sub takes the broker's word for it, as Mosquitto's does.
                End::Dismissed(_) => self.settings.tool == Tool::Publish,
                End::Fault(Fault::KeepAlive | Fault::NoConnAck) => true,
                // It took lines before; it may be starting, or full for a while.
                End::Refused(reason) if !first && self.settings.tool == Tool::Publish => {
                    complain(self.settings, &self.refusal(*reason));
                    true
                }
                End::Connect(ConnectError::TimedOut) => false,
                // A broker that starts again; what it is will not change by itself.
                End::Connect(ConnectError::Tls(fault)) => {
                    !first && matches!(fault.stage, Stage::Cut | Stage::Silence)
                }
                End::Connect(_) => !first,
                _ => false,
            };
            if !reconnect || !self.script.reconnects() {
                return self.report(end);
            }
            first = false;
            self.client.closed();
            if let Some(end) = self.pause() {
                return self.report(end);
            }
        }
    }

    /// One connection, from opening to end.
    fn connect_and_work(&mut self, first: bool) -> End {
        let at_once = match first {
            true => &self.haste.die,
            false => &self.haste.leave,
        };
        at_once.store(true, Ordering::Relaxed);
        let opened = Link::open(self.settings, self.tls.as_ref(), self.deadline);
        // From here on the loop looks at signals, also in the pause before the next attempt.
        at_once.store(false, Ordering::Relaxed);
        let mut link = match opened {
            Ok(link) => link,
            Err(error) => return End::Connect(error),
        };
        if link.register(self.poll.registry(), LINK).is_err() {
            return End::Lost;
        }
        self.inbound.clear();
        self.client.opened(self.now_ms());
        let end = self.work(&mut link);
        self.close(&mut link, &end);
        end
    }

    /// Works until something ends the connection.
    fn work(&mut self, link: &mut Link) -> End {
        let mut more_to_read = false;
        loop {
            let now_ms = self.now_ms();
            if let Err(code) = self.script.act(&mut self.client, now_ms) {
                return End::Stopped(code);
            }
            if let Err(fault) = self.client.timeout(now_ms) {
                return End::Fault(fault);
            }
            let written = self.write(link);
            if self.client.is_ended() && self.client.transmit().is_empty() {
                return End::Finished;
            }
            if more_to_read || written.is_err() {
                // Even when writing fails, the broker may have told us why.
                more_to_read = match self.read(link) {
                    Ok(more) => more,
                    Err(end) => return end,
                };
                if written.is_err() && !more_to_read {
                    return End::Lost;
                }
                if more_to_read {
                    // A broker that never pauses must not keep us from signals and time.
                    if let Err(end) = self.wait(Some(Duration::ZERO)) {
                        return end;
                    }
                }
                continue;
            }
            let wait = match written {
                // Whoever waited for the output to drain goes on.
                Ok(true) => Some(Duration::ZERO),
                _ => self.patience(),
            };
            match self.wait(wait) {
                Err(end) => return end,
                Ok(readable) => more_to_read = readable,
            }
        }
    }

    /// Waits for the link, a signal, the waker or time; says whether the link has something.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<bool, End> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            Err(_) => return Err(End::Lost),
        }
        let has = |token| self.events.iter().any(|event| event.token() == token);
        if has(SIGNALS)
            && self
                .signals
                .as_mut()
                .is_some_and(|s| s.pending().next().is_some())
        {
            return Err(End::Signal);
        }
        if self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            return Err(End::TimedOut);
        }
        let mut link = self.events.iter().filter(|event| event.token() == LINK);
        Ok(link.any(|event| event.is_readable() || event.is_read_closed() || event.is_error()))
    }

    /// Writes what there is, as far as the link takes it; says whether that was something and all.
    fn write(&mut self, link: &mut Link) -> io::Result<bool> {
        let mut drained = false;
        while !self.client.transmit().is_empty() {
            match link.write(self.client.transmit()) {
                Ok(len) => {
                    let now_ms = self.now_ms();
                    self.client.sent(len, now_ms);
                    drained = self.client.transmit().is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match link.flush() {
            Ok(()) => Ok(drained),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads for a while; says whether there may be more.
    fn read(&mut self, link: &mut Link) -> Result<bool, End> {
        for _ in 0..READS_MAX {
            match link.read(&mut self.scratch) {
                Ok(0) => return Err(End::Lost),
                Ok(len) => {
                    self.inbound.extend_from_slice(&self.scratch[..len]);
                    self.take_packets()?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
            if self.client.is_ended() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hands each whole packet to the machine and each event to the script.
    fn take_packets(&mut self) -> Result<(), End> {
        let now_ms = self.now_ms();
        let mut at = 0;
        let mut end = None;
        while end.is_none() {
            let received = self.client.receive(&self.inbound[at..], now_ms);
            let received = received.map_err(End::Fault)?;
            if received.consumed == 0 {
                break;
            }
            at += received.consumed;
            let mut acknowledge = None;
            if let Some(event) = &received.event {
                self.script.event(event);
                match event {
                    Event::Message(message) if message.qos > QoS::AtMostOnce => {
                        acknowledge = Some((message.packet_id, message.qos));
                    }
                    Event::Refused(connack) => end = Some(End::Refused(connack.reason)),
                    Event::Disconnected(packet) => end = Some(End::Dismissed(packet.reason)),
                    _ => {}
                }
            }
            if let Some((packet_id, qos)) = acknowledge.filter(|_| self.script.has_taken()) {
                self.client.acknowledge(packet_id, qos, ReasonCode::SUCCESS);
            }
            if let Err(code) = self.script.act(&mut self.client, now_ms) {
                end = Some(End::Stopped(code));
            }
        }
        self.inbound.drain(..at);
        end.map_or(Ok(()), Err)
    }

    /// Says good-bye as the end asks for, sends it, and waits for the broker to close.
    fn close(&mut self, link: &mut Link, end: &End) {
        let v5 = self.client.version() == Version::V5;
        let properties = &self.settings.properties.disconnect;
        match end {
            End::Lost | End::Tls(_) | End::Connect(_) => return,
            End::Refused(_) | End::Dismissed(_) => return,
            // Who does not answer will not listen.
            End::Fault(Fault::NoConnAck | Fault::KeepAlive) => return,
            // Before 5.0 the only way to have the will published is to say nothing.
            End::Signal if !v5 && self.settings.will_topic.is_some() => return,
            End::Signal | End::TimedOut if v5 => {
                self.client
                    .disconnect(ReasonCode::DISCONNECT_WITH_WILL, properties);
            }
            End::Signal | End::TimedOut | End::Stopped(_) => {
                self.client.disconnect(ReasonCode::SUCCESS, properties);
            }
            End::Finished | End::Fault(_) => {}
        }
        // Ctrl-C and the end of `-W` are to be felt at once, also where a broker hangs.
        let (patience_ms, silence_ms) = match end {
            End::Signal | End::TimedOut => (SILENCE_MS, SILENCE_MS),
            _ => (CLOSING_MS, LINGER_MS),
        };
        let closing_ms = self.now_ms() + CLOSING_MS;
        let mut until_ms = self.now_ms() + patience_ms;
        loop {
            let written = match self.client.transmit() {
                [] => link.flush().map(|()| None),
                bytes => link.write(bytes).map(Some),
            };
            match written {
                Ok(None) => break,
                Ok(Some(len)) => {
                    self.client.sent(len, self.now_ms());
                    until_ms = closing_ms.min(self.now_ms() + patience_ms);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.wait_until(until_ms) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
        self.linger(link, silence_ms);
    }

    /// Reads on until the broker closes or is silent, for a moment: closing with unread bytes
    /// would make the system throw away our last words, and those that come later may, too.
    fn linger(&mut self, link: &mut Link, silence_ms: u64) {
        if link.shut_down_writing().is_err() {
            return;
        }
        let until_ms = self.now_ms() + LINGER_MS;
        let mut silent_ms = self.now_ms() + silence_ms;
        while self.now_ms() < until_ms {
            match link.read(&mut self.scratch) {
                Ok(0) => return,
                Ok(_) => silent_ms = self.now_ms() + silence_ms,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.wait_until(silent_ms.min(until_ms)) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Waits for the link; `false` once the time has come.
    fn wait_until(&mut self, until_ms: u64) -> bool {
        let Some(left) = until_ms.checked_sub(self.now_ms()).filter(|&ms| ms > 0) else {
            return false;
        };
        // A signal that comes again ends the process by itself.
        let _ = self
            .poll
            .poll(&mut self.events, Some(Duration::from_millis(left)));
        true
    }

    /// The pause before connecting again, unless something else ends the work.
    fn pause(&mut self) -> Option<End> {
        let until_ms = self.now_ms() + RECONNECT_MS;
        while let Some(left) = until_ms.checked_sub(self.now_ms()).filter(|&ms| ms > 0) {
            let left = Duration::from_millis(left);
            let left = self
                .deadline_left()
                .map_or(left, |deadline| left.min(deadline));
            match self.wait(Some(left)) {
                Ok(_) | Err(End::Lost) => {}
                Err(end) => return Some(end),
            }
        }
        None
    }

    /// How long there is nothing to do but wait.
    fn patience(&self) -> Option<Duration> {
        let now_ms = self.now_ms();
        let due_ms = [self.client.poll_timeout(), self.script.deadline_ms()];
        let due = due_ms.into_iter().flatten().min();
        // One more, because milliseconds are rounded down.
        let due = due.map(|ms| Duration::from_millis(ms.saturating_sub(now_ms).saturating_add(1)));
        [due, self.deadline_left()].into_iter().flatten().min()
    }

    fn deadline_left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    fn now_ms(&self) -> u64 {
        // Half a billion years fit.
        self.start.elapsed().as_millis() as u64
    }

    fn refusal(&self, reason: ReasonCode) -> String {
        let why = exit::refusal(self.settings.version, reason);
        format!("Connection error: {why}")
    }

    /// Says what is to be said and returns the exit code.
    fn report(&self, end: End) -> u8 {
        let (code, words) = match end {
            End::Finished | End::Signal => return exit::SUCCESS,
            End::Stopped(code) => return code,
            End::Refused(reason) => {
                let mut words = self.refusal(reason);
                if self.settings.tool == Tool::Publish {
                    words.push_str("\nError: The connection was refused.");
                }
                (reason.0, words)
            }
            End::Lost => (
                exit::CONNECTION_LOST,
                "Error: The connection was lost.".to_owned(),
            ),
            End::Dismissed(reason) => {
                let code = match self.settings.tool {
                    Tool::Subscribe => exit::SUCCESS,
                    _ => exit::NO_CONNECTION,
                };
                let why = reason.words();
                (code, format!("The broker ended the connection: {why}."))
            }
            End::Fault(fault) => {
                let (code, words) = exit::fault(fault);
                (code, format!("Error: {words}"))
            }
            End::Connect(ConnectError::TimedOut) | End::TimedOut => {
                (exit::TIMED_OUT, "Timed out".to_owned())
            }
            End::Connect(ConnectError::Tls(fault)) | End::Tls(fault) => {
                (fault.code(), fault.to_string())
            }
            End::Connect(error) => (exit::USAGE, error.to_string()),
        };
        complain(self.settings, &words);
        code
    }
}

/// Tells the user, unless `--quiet`.
pub fn complain(settings: &Settings, words: &str) {
    if !settings.quiet {
        exit::complain(words);
    }
}

/// Mosquitto's clients take flags of TLS along with a connection that has none; so do we, but the
/// user should know.
fn warn_of_plain(settings: &Settings) {
    let Some(flag) = &settings.tls.flag else {
        return;
    };
    if !settings.uses_tls() && !settings.no_tls {
        let words = format!(
            "Warning: {flag} has no effect, the connection is not encrypted: TLS needs --cafile, \
             --capath, --tls-use-os-certs, -L mqtts:// or port 8883."
        );
        complain(settings, &words);
    }
}

/// Why nothing more can be read.
fn broken(error: &io::Error) -> End {
    let fault = error.get_ref().and_then(|inner| inner.downcast_ref());
    fault.map_or(End::Lost, |fault: &TlsFault| End::Tls(fault.clone()))
}

/// How a signal ends the process while it can only wait for the system.
#[derive(Default)]
struct Haste {
    /// At once, as one that does not look at signals.
    die: Arc<AtomicBool>,
    /// At once, and well: the broker that we had is away, which is no fault.
    leave: Arc<AtomicBool>,
}

/// SIGINT and SIGTERM wake the loop; the second one, or one while connecting, ends the process.
fn watch_signals(poll: &Poll, haste: &Haste) -> io::Result<Signals> {
    for signal in [SIGINT, SIGTERM] {
        let (killed, well) = (128 + signal, i32::from(exit::SUCCESS));
        // In this order: the first signal only sets what the second one looks at.
        signal_hook::flag::register_conditional_shutdown(signal, well, haste.leave.clone())?;
        signal_hook::flag::register_conditional_shutdown(signal, killed, haste.die.clone())?;
        signal_hook::flag::register(signal, haste.die.clone())?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    poll.registry()
        .register(&mut signals, SIGNALS, mio::Interest::READABLE)?;
    Ok(signals)
}
