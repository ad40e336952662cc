//! Midge: an MQTT broker for embedded Linux gateways, and the clients that go with it.
//!
//! It takes Eclipse Mosquitto's place: the same configuration, files, flags, signals, exit codes
//! and log lines, for MQTT 3.1, 3.1.1 and 5.0. One thread serves all clients; no message costs a
//! heap allocation; nothing that a peer sends makes memory grow beyond a limit.
//!
//! # The rooms
//!
//! | room | one sentence | may use |
//! |---|---|---|
//! | [`wire`] | bytes to borrowed packets and back, in every version | nothing |
//! | [`topic`] | names and filters, interned levels, "who matches" | nothing |
//! | [`store`] | message bodies, delivery queues, windows, the journal's records | wire |
//! | [`auth`] | may this client do this? from parsed tables | topic |
//! | [`broker`] | the Server of the specification, limits, `$SYS` | wire topic store auth |
//! | [`client`] | the other end, for pub, sub and rr | wire topic |
//! | [`conf`] | one table of directives; text to a typed `Config` | auth |
//! | [`host`] | the operating system: loop, sockets, signals, log | all but cmd |
//! | [`cmd`] | flags to exit code, the glue of one command each | all |
//!
//! `tests/tidy.rs` holds this table against the `use` lines. The first six rooms never touch a
//! socket, a file, a clock or a thread, so that everything the specification says can be tested
//! with bytes and a number for the time.
//!
//! # The seam
//!
//! [`broker::Broker`] is the Server of the specification without an operating system. Inputs
//! (`accept`, `receive`, `sent`, `gone`, `verdict`, `durable`, `fetched`, `timeout`) return at
//! once; outputs (`poll_writable` and `transmit`, `poll_resume`, `poll_close`, `poll_auth`,
//! `poll_journal`, `poll_fetch`, `poll_timeout`) are drained after any input. Time is an argument,
//! randomness a seed. [`host::poll::Loop`] drives it in production, `tests/spec` with a virtual
//! clock.
//!
//! Three slabs, three lifetimes: a connection lives as long as its socket, a session as long as the
//! specification says, a message while somebody needs it. Everything crosses rooms as a small
//! number; a [`broker::ConnId`] also carries a generation, so that a slot used again is never
//! mistaken. There is no `Rc` and no `RefCell`.
//!
//! # One PUBLISH, forward only
//!
//! 1. `host::poll` finds a link readable and reads into one inbound buffer shared by all links;
//!    only a link with part of a packet holds a ring of its own, borrowed from a pool.
//! 2. `Broker::receive` decodes it: the packet borrows from that buffer.
//! 3. `broker::publish` checks alias, limits and rights; `store` copies topic, properties and
//!    payload once, into a pooled body, as they are on the wire. A QoS 2 message is held until
//!    PUBREL and routed then.
//! 4. `broker::route` walks the topic table and queues one 16-byte delivery per match.
//! 5. At the end of the turn each connection with output is transmitted to once: its packets are
//!    encoded into one outbound buffer, written with one system call, and leave their queues when
//!    `Broker::sent` says that the socket took them. Of a packet that was cut only the number of
//!    bytes taken is remembered; it is encoded again for the rest.
//!
//! Ordinary packets come in long runs, and take a short way through steps 2 to 5 that looks at what
//! holds for all of a run once (`broker::run`, `broker::run_out`); what is out of the ordinary
//! takes the long one, and either leads to the same. A run of QoS 0 messages to one topic stays one
//! run of bytes, with one delivery for each who gets it (`broker::bundle`).
//!
//! No step calls back into an earlier one; a client that publishes to itself is no special case.
//!
//! # Choices that differ from what one might expect
//!
//! - The matching table is a trie in flat arrays: nodes in one `Vec`, literal edges in one
//!   open-addressing table keyed by (parent, level). The tables are `hashbrown`'s with a keyed
//!   hash, since strangers choose topics. Publishing looks up and never interns.
//! - QoS 0 and QoS 1/2 wait in two queues of a session, so that a full window does not hold up
//!   QoS 0; a 16-bit count in the QoS 0 entry keeps them in the order of arrival otherwise.
//! - Retained messages reach a new subscriber by a walk in slices that stops where the client's
//!   queue is full, so that a subscription to `#` neither overflows it nor holds up the loop.
//! - Timers are one ordered set with one entry per owner: nothing is left behind by connections
//!   that come and go, whatever Keep Alive they ask for. Keep Alive itself is lazy: a packet notes
//!   when it came, the timer looks at that when it rings.
//! - Passwords are hashed on a thread of their own, with a bounded number under way.
//! - `-d` starts the program again instead of forking, and its exit code is that of the start.
//! - A listener whose address, interface or name is not there yet is no failed start: a thread that
//!   lives while something is missing looks once a second (`host::poll`, `late`).
//!
//! # What must survive
//!
//! [`store::journal`] tells what a record is, `broker::record` when one is written, `broker::qos`
//! and `broker::journal` what waits for it (the gate), [`host::journal`] how it gets to the disk:
//! one thread writes and syncs what has gathered while it was busy. `broker::restore` makes the
//! state of the records again, `broker::clean` writes what is live in the oldest segment anew.
//!
//! - Packet identifiers follow from a session's count of deliveries, given when a message is queued
//!   and told in its record, so that no crash and no lost record gives one to another message.
//! - The body of a message that only absent clients wait for leaves memory once it can be read
//!   back: a queued message takes 32 bytes then. Bodies are read by a thread of their own.
//! - A batch begins with a mark that says that everything before it is durable. Behind the last
//!   mark a gap ends the log, before it damage costs the record it hit.
//! - The broker's clock is the log's: it goes on over restarts, so times on disk need no calendar.
//! - `tests/sim` runs all of it on a disk that crashes at any operation; `tests/durability` kills
//!   the real program.
//!
//! # Memory and encryption
//!
//! - The broker's ledger bounds what clients make it hold: new things are refused, what was
//!   accepted stays. Everything that clients can make grow is counted there, or has a limit of its
//!   own that is small beside it.
//! - Links know streams only; one kind of them is encrypted (rustls, in the loop's own thread). A
//!   handshake costs a signature, so handshakes have a budget of time and go last in a turn; a
//!   thread for them would be another way round the order of a turn.
//! - Once everything is open, [`host::sandbox`] closes: the broker starts no program, and writes
//!   only where it keeps things.
//!
//! # Looking at it
//!
//! - [`cmd::check`] and [`cmd::explain`] read what a start reads, by the same functions, and ask
//!   the same access list; a test holds their answers against running brokers.
//! - [`host::tap`] stands behind the encryption of a link and follows the borders of packets:
//!   [`wire::View`] shows them, [`host::capture`] keeps them for Wireshark. A link without a tap
//!   pays one look at an empty pointer for each read and write.
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate self as midge; // for the modules of tests/seam, which unit tests share

pub mod auth;
pub mod broker;
pub mod client;
pub mod cmd;
pub mod conf;
pub mod host;
pub mod store;
pub mod topic;
pub mod wire;
