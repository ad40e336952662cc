//! Listeners whose place is not there yet: an address, an interface, a name, a folder.
//!
//! A gateway's broker starts before its network, and there nobody is left to start it again. So
//! what cannot be opened at the start is tried again once a second, by a thread of its own, since
//! looking a name up may take long. There is none when nothing is missing. A listener of one
//! interface is watched for good: an interface that is made anew, as a tunnel's may be, is another
//! one to the kernel, and a socket of the former one hears nothing any more.
//!
//! The loop keeps the list. A thread looks for what stands in it, wakes the loop when something has
//! come, and ends; the loop starts the next one with what is left. A reload that changes the list
//! starts another one as well.
//!
//! Bounds: one entry for each listener and each address of one.

use crate::host::channel::{Got, Receiver, Sender, channel};
use crate::host::listen::{Address, Listening, Passed, interface_number, is_present, is_refusal};
use mio::Waker;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a listener waits for.
#[derive(Clone)]
pub struct Awaited {
    /// The listener's number.
    pub listener: u16,
    /// The place, for the log.
    pub name: String,
    /// What is missing.
    pub wanted: Wanted,
}

/// The kind of thing that is missing.
#[derive(Clone)]
pub enum Wanted {
    /// Everything: it could not be opened.
    Sockets(Address),
    /// An interface with this address; there is a socket for it.
    Presence(SocketAddr),
    /// Nothing, as long as the interface keeps the number that it has.
    SameInterface(Address, Option<u32>),
}

impl Wanted {
    /// What is still waited for once an address was opened; some of it may be absent.
    pub fn afterwards(address: &Address, absent: Vec<SocketAddr>) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = absent.into_iter().map(Wanted::Presence).collect();
        if let Some(name) = address.device() {
            let number = interface_number(name);
            wanted.push(Wanted::SameInterface(address.clone(), number));
        }
        wanted
    }
}

impl Awaited {
    /// Warns of an address that no interface has yet.
    pub fn announce(&self) {
        if let Wanted::Presence(address) = self.wanted {
            log::warn!(
                "Warning: no interface has the address {} yet. It is served as soon as one has.",
                address.ip()
            );
        }
    }

    /// What has come: sockets, and what is waited for from now on; `None` if nothing has.
    ///
    /// A host's name is looked up for `patience` at most.
    pub(super) fn look(
        &self,
        patience: Option<Duration>,
    ) -> io::Result<Option<(Vec<Listening>, Vec<Awaited>)>> {
        let address = match &self.wanted {
            Wanted::Sockets(address) => address,
            Wanted::Presence(address) => {
                return Ok(is_present(*address).then(Default::default));
            }
            Wanted::SameInterface(address, number) => {
                match interface_number(address.device().unwrap_or_default()) {
                    Some(now) if Some(now) != *number => address,
                    _ => return Ok(None),
                }
            }
        };
        let opened = address.open(&mut Passed::default(), patience)?;
        let next = Wanted::afterwards(address, opened.absent).into_iter();
        let next = next.map(|wanted| Awaited {
            wanted,
            ..self.clone()
        });
        Ok(Some((opened.sockets, next.collect())))
    }
}

/// Sockets that the loop is to serve from now on.
pub(super) struct Found {
    pub(super) listener: u16,
    pub(super) sockets: Vec<Listening>,
    /// They stand for those that this listener had.
    pub(super) replaces: bool,
}

/// An entry of the list, by its number, and what it has become.
type Came = (u64, Vec<Listening>, Vec<Awaited>);

/// All that is waited for.
#[derive(Default)]
pub(super) struct Late {
    awaited: Vec<(u64, Awaited)>,
    /// What the thread finds; it ends when this is dropped.
    came: Option<Receiver<Came>>,
    next_id: u64,
}

impl Late {
    /// Waits for these too, and no longer for what closed listeners wanted.
    pub(super) fn change(
        &mut self,
        closed: &[u16],
        more: Vec<Awaited>,
        waker: &Arc<Waker>,
    ) -> io::Result<()> {
        if closed.is_empty() && more.is_empty() {
            return Ok(());
        }
        self.awaited
            .retain(|(_, one)| !closed.contains(&one.listener));
        self.add(more);
        self.start(waker)
    }

    /// What has come since the last call, until there is no more.
    pub(super) fn poll(&mut self, waker: &Arc<Waker>) -> Option<Found> {
        let (id, sockets, next) = match self.came.as_ref()?.try_recv() {
            Got::Item(came) => came,
            Got::Nothing => return None,
            Got::Ended => {
                // It waits for what follows on what has come.
                if let Err(error) = self.start(waker) {
                    log::error!("Error: listeners that are missing are not looked for: {error}");
                }
                return None;
            }
        };
        let at = self.awaited.iter().position(|(other, _)| *other == id)?;
        let (_, one) = self.awaited.swap_remove(at);
        self.add(next);
        let replaces = matches!(one.wanted, Wanted::SameInterface(..));
        let what = match one.wanted {
            Wanted::Sockets(_) => "can be opened now",
            Wanted::Presence(_) => "has its address now",
            Wanted::SameInterface(..) => "is opened again: its interface was made anew",
        };
        log::info!(target: "notice", "Listener {} {what}.", one.name);
        for socket in &sockets {
            log::info!("{}", socket.announcement());
        }
        Some(Found {
            listener: one.listener,
            sockets,
            replaces,
        })
    }

    fn add(&mut self, more: Vec<Awaited>) {
        for one in more {
            self.awaited.push((self.next_id, one));
            self.next_id += 1;
        }
    }

    fn start(&mut self, waker: &Arc<Waker>) -> io::Result<()> {
        self.came = None;
        if self.awaited.is_empty() {
            return Ok(());
        }
        let (awaited, waker) = (self.awaited.clone(), Arc::clone(waker));
        // Room for each entry: the thread never waits.
        let (tell, came) = channel(awaited.len());
        thread::Builder::new()
            .name("listeners".to_owned())
            .spawn(move || watch(&awaited, tell, &waker))?;
        self.came = Some(came);
        Ok(())
    }
}

/// Looks once a second until something has come or nobody wants to know.
fn watch(awaited: &[(u64, Awaited)], tell: Sender<Came>, waker: &Waker) {
    let mut is_told = false;
    let mut has_come = false;
    while !has_come && !tell.is_closed_within(INTERVAL) {
        for (id, one) in awaited {
            match one.look(None) {
                Ok(None) => {}
                Ok(Some((sockets, next))) => {
                    has_come = true;
                    // An error means that another thread looks for it already.
                    let _ = tell.send((*id, sockets, next));
                }
                Err(error) if is_refusal(&error) && !is_told => {
                    is_told = true;
                    log::warn!("Warning: cannot listen on {}: {error}", one.name);
                }
                Err(_) => {}
            }
        }
    }
    // The loop takes the end of the channel for the end of this thread.
    drop(tell);
    // It may have ended itself.
    let _ = waker.wake();
}
