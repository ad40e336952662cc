//! The text of `mosquitto.conf` -> a typed [`Config`]; the differences between two for a reload.
//!
//! One table of directives drives everything: parsing, defaults, reload classes, the README's
//! drop-in table, the tests. A load goes through three steps, each a room of its own:
//!
//! 1. `read` (with `lines`, `value`, `plugins`): files -> what they say. The first mistake ends the
//!    load with an [`Error`] that names file, line and directive; what is merely odd becomes a
//!    [`Message`].
//! 2. `resolve` (with `listeners`): what they say -> what it means: defaults, local only mode, the
//!    default listener, security for each listener.
//! 3. The caller uses the [`Config`], logs its messages, and compares it at a reload with the next
//!    one.
//!
//! ```
//! use midge::conf::{Config, Texts};
//!
//! let files = Texts::default().with("m.conf", "listener 1884\nmax_qos 1\n");
//! let config = Config::load(Some("m.conf".as_ref()), &[], &files).unwrap();
//! assert_eq!(config.listeners[0].max_qos, 1);
//! assert!(!config.listeners[0].security.allow_anonymous);
//! ```
//!
//! The room starts nothing and opens nothing but the configuration files, through a [`Source`].
//! Memory is bounded by the length of those files ([`FILE_MAX`] each).

mod config;
mod difference;
mod lines;
mod listeners;
mod plugins;
mod read;
mod readme;
mod report;
mod resolve;
mod source;
pub mod table;
#[cfg(test)]
mod tests;
mod tls;
mod value;
mod written;

use std::path::Path;

pub use config::{
    Bind, Config, Identity, Limits, Listener, LogDest, LogType, Logging, Persistence,
    ProtocolVersions, Security, SocketDomain, Stores, Sync, Tls, WhenFull, stores,
};
pub use difference::Difference;
pub use readme::drop_in_table;
pub use report::{Error, Level, Message};
pub use source::{Disk, FILE_MAX, Source, Texts};
pub use table::Reload;

impl Config {
    /// Loads the file at `path` and what it includes, or the defaults without a file.
    ///
    /// `ports` are those of `-p`, which count in local only mode only. An error means that nothing
    /// of the files may be used: the broker ends with exit code 3, a reload keeps its old
    /// configuration.
    pub fn load(path: Option<&Path>, ports: &[u16], source: &dyn Source) -> Result<Self, Error> {
        let outcome = match path {
            Some(path) => read::read(path, source)?,
            None => read::Outcome::default(),
        };
        resolve::resolve(outcome, ports)
    }

    /// The same, as if the files named no listener: local only mode on this port.
    pub fn load_local(path: Option<&Path>, port: u16, source: &dyn Source) -> Result<Self, Error> {
        let mut outcome = match path {
            Some(path) => read::read(path, source)?,
            None => read::Outcome::default(),
        };
        outcome.written.listeners.clear();
        outcome.written.default_listener.options = written::Block::default();
        resolve::resolve(outcome, &[port])
    }
}

impl Default for Config {
    /// The configuration without a file: local only mode on port 1883.
    fn default() -> Self {
        let outcome = read::Outcome::default();
        // Only files and ports can be wrong, and there are none.
        resolve::resolve(outcome, &[]).expect("the defaults are a valid configuration")
    }
}
