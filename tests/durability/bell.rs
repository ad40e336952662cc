//! When the broker is killed, or asked to end: after a random time, or the moment something was
//! heard.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What the clients of the load hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    ConnAck,
    PubAck,
    PubRec,
    PubComp,
    SubAck,
    UnsubAck,
    /// A message of QoS 1 or 2 reaches a subscriber.
    Publish,
    /// PUBREL reaches a subscriber.
    PubRel,
}

/// When to kill.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    After(Duration),
    /// The moment this was heard for so many times.
    Heard(Sound, u32),
}

impl Moment {
    pub fn random(rng: &mut fastrand::Rng) -> Moment {
        const SOUNDS: [(Sound, u32); 8] = [
            (Sound::ConnAck, 60),
            (Sound::PubAck, 400),
            (Sound::PubRec, 400),
            (Sound::PubComp, 400),
            (Sound::SubAck, 40),
            (Sound::UnsubAck, 20),
            (Sound::Publish, 2000),
            (Sound::PubRel, 600),
        ];
        if rng.bool() {
            return Moment::After(Duration::from_micros(rng.u64(1_000..700_000)));
        }
        let (sound, most) = SOUNDS[rng.usize(..SOUNDS.len())];
        Moment::Heard(sound, rng.u32(1..=most))
    }
}

/// Rings once, and the broker is dead.
pub struct Bell {
    pid: Pid,
    signal: Signal,
    heard: Option<(Sound, u32)>,
    is_dead: Arc<AtomicBool>,
    timer: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Bell {
    /// The moment comes within `limit`: what is waited for may never be heard.
    pub fn set(pid: Pid, signal: Signal, moment: Moment, limit: Duration) -> Bell {
        let (after, heard) = match moment {
            Moment::After(time) => (time, None),
            Moment::Heard(sound, times) => (limit, Some((sound, times))),
        };
        let is_dead = Arc::new(AtomicBool::new(false));
        let (cancel, cancelled) = channel();
        let shared = is_dead.clone();
        // A thread of its own, so that the instant has nothing to do with what the load does.
        let timer = thread::spawn(move || {
            if cancelled.recv_timeout(after) == Err(RecvTimeoutError::Timeout) {
                strike(pid, signal, &shared);
            }
        });
        Bell {
            pid,
            signal,
            heard,
            is_dead,
            timer: Some((cancel, timer)),
        }
    }

    /// A bell that never rings.
    pub fn silent(pid: Pid) -> Bell {
        Bell {
            pid,
            signal: Signal::SIGKILL,
            heard: None,
            is_dead: Arc::new(AtomicBool::new(false)),
            timer: None,
        }
    }

    pub fn hear(&mut self, sound: Sound) {
        let Some((awaited, left)) = &mut self.heard else {
            return;
        };
        if *awaited != sound {
            return;
        }
        *left -= 1;
        if *left == 0 {
            self.heard = None;
            strike(self.pid, self.signal, &self.is_dead);
        }
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }
}

/// The process was not waited for yet, so its number is still its own.
fn strike(pid: Pid, signal: Signal, is_dead: &AtomicBool) {
    if !is_dead.swap(true, Ordering::SeqCst) {
        let _ = kill(pid, signal);
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some((cancel, timer)) = self.timer.take() {
            let _ = cancel.send(());
            let _ = timer.join();
        }
    }
}
