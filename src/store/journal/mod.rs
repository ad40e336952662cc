//! The journal: what must survive, as records in numbered segments. Formats and bookkeeping only;
//! `host` owns the files.
//!
//! - [`place`]: where a record lies; the log's only order.
//! - [`record`]: what can be said, and its encoding ([`fields`]).
//! - [`segment`]: the header of a segment, twice, since everything in it hangs on the header.
//! - [`writer`]: appends records to the batch that the journal thread gets next, decides where
//!   segments end, and counts what is live.
//! - [`report`]: what else passes between the broker and the owner of the files.
//! - [`mod@scan`]: finds the records in what came back from the disk, also behind damage.
//!
//! # A record
//!
//! Kind, length, a check of these two, CRC-32, body. The CRC covers the log's salt, the place, the
//! kind, the length and the body, the check all but the body: what was left behind by an earlier
//! life of a file can never pass for a record, and a stranger's payload that looks like one cannot
//! know the salt.
//!
//! # Objects and changes
//!
//! A record either describes a whole object (session, subscription, message) or a change to one.
//! An object remembers the place of its latest description, so a description that is found in the
//! log is live if its object says so. A change is never live when its segment is cleaned: segments
//! are cleaned oldest first, so the description that it changes was written anew before, with the
//! change in it, or is gone.
//!
//! # Deliveries
//!
//! Each delivery to a lasting session gets an ordinal when it is queued: the session's number for
//! it, counted up without end. Its packet identifier follows from the ordinal, so that neither a
//! crash nor a lost record can give an identifier to another message. A description of a message
//! lists who is to get it, with ordinals; what was sent, received and done is told by ordinal, too.
//! Ordinals are never used again, so reading the log does not depend on the order in which
//! deliveries are told of.

mod bodies;
pub mod fields;
pub mod place;
pub mod record;
pub mod report;
pub mod scan;
pub mod segment;
pub mod writer;

pub use place::{Place, Placed};
pub use record::{Record, packet_id_of};
pub use report::{Opened, Read, Report, SPARES, State};
pub use scan::scan;
pub use writer::{Batch, Step, Writer};

#[cfg(test)]
mod tests;
