//! What `midge pub`, `sub` and `rr` share: flags, formats, the link and the loop.
//!
//! The way from words to work: [`files`] and [`flags`] read option files and command line through
//! one table (`table`) into [`settings`]; [`drive`] opens a [`link`], through [`tls`] or not, feeds
//! a [`crate::client::Client`] and asks the command's [`drive::Script`] what to do next; [`output`]
//! prints messages; [`exit`] turns every end into Mosquitto's exit code and words.

pub mod clock;
mod decimal;
pub mod drive;
pub mod exit;
pub mod files;
pub mod flags;
pub mod format;
pub mod json;
mod json_text;
pub mod link;
pub mod output;
pub mod properties;
pub mod session;
mod set;
mod set_tls;
pub mod settings;
pub mod socks;
mod table;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
pub mod tls;
pub mod tls_fault;
pub mod topics;
pub mod trace;
pub mod url;
pub mod usage;

#[cfg(test)]
mod tests;

/// One of the three clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `midge pub`, `mosquitto_pub`
    Publish,
    /// `midge sub`, `mosquitto_sub`
    Subscribe,
    /// `midge rr`, `mosquitto_rr`
    Request,
}

impl Tool {
    /// The name behind `midge`.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Publish => "pub",
            Tool::Subscribe => "sub",
            Tool::Request => "rr",
        }
    }

    /// The name of the option file, which is Mosquitto's.
    pub fn file_name(self) -> &'static str {
        match self {
            Tool::Publish => "mosquitto_pub",
            Tool::Subscribe => "mosquitto_sub",
            Tool::Request => "mosquitto_rr",
        }
    }
}
