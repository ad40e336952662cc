//! (to be written)

pub mod passwd;
