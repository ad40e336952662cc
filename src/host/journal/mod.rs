//! The journal's files and threads: the operating system's side of
//! [`store::journal`](crate::store::journal).
//!
//! - [`disk`]: what is needed of a file system, and the real one;
//! - [`files`]: which file holds what; doing what a batch says, also when writing fails;
//! - [`mod@open`]: the start;
//! - [`import`]: what Mosquitto left;
//! - [`patience`]: reading where the disk gives errors;
//! - [`lock`]: one broker for each folder;
//! - [`thread`]: the thread that writes, and the one that reads back.

pub mod disk;
pub mod files;
pub mod import;
pub mod lock;
pub mod open;
pub mod patience;
pub mod thread;

pub use disk::{Disk, Folder};
pub use files::Files;
pub use open::{look, open};
pub use patience::Patience;
pub use thread::Journal;

#[cfg(test)]
mod tests;
