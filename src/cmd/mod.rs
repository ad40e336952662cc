//! (to be written)

pub mod client;
pub mod publish;
pub mod request;
pub mod subscribe;
