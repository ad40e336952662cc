//! SIGINT and SIGTERM: a run that is cut short returns, so that its brokers end with it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static STOPPED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Catches both from now on.
pub fn listen() -> Result<(), String> {
    let flag = STOPPED.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag))
            .map_err(|e| format!("signals: {e}"))?;
    }
    Ok(())
}

/// An error once a signal has come.
pub fn check() -> Result<(), String> {
    match STOPPED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Relaxed))
    {
        true => Err("stopped by a signal".into()),
        false => Ok(()),
    }
}
