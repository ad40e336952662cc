//! (to be written)

pub mod clock;
pub mod daemon;
pub mod log;
pub mod signal;
pub mod worker;

#[cfg(test)]
mod testing;
