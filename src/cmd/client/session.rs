//! From settings to what the client machine needs to know.

use std::io;

use super::settings::Settings;
use crate::client::{Options, Will};
use crate::wire::Version;

/// The options of CONNECT. The error is the system's, which gives no randomness.
pub fn options(settings: &Settings) -> io::Result<Options> {
    let will = settings.will_topic.as_ref().map(|topic| Will {
        topic: topic.clone(),
        payload: settings.will_payload.clone().unwrap_or_default(),
        qos: settings.will_qos,
        retain: settings.will_retain,
        properties: settings.properties.will.clone(),
    });
    Ok(Options {
        version: settings.version,
        client_id: client_id(settings)?,
        clean_start: settings.clean_start,
        keep_alive_s: settings.keep_alive_s,
        username: settings.username.clone(),
        password: settings.password.clone(),
        will,
        properties: settings.properties.connect.clone(),
        inflight_max: settings.inflight_max,
        connack_timeout_ms: u64::from(settings.keep_alive_s) * 1000,
        ..Options::default()
    })
}

fn client_id(settings: &Settings) -> io::Result<String> {
    match (&settings.id, &settings.id_prefix) {
        (Some(id), _) => Ok(id.clone()),
        (None, Some(prefix)) => Ok(format!("{prefix}{}", std::process::id())),
        // MQTT 3.1 knows no empty Client Identifier.
        _ if settings.version == Version::V31 => Ok(format!("mosq-{}", random_letters()?)),
        _ => Ok(String::new()),
    }
}

/// Eighteen letters and digits.
fn random_letters() -> io::Result<String> {
    const SYMBOLS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let symbol = |byte: &u8| char::from(SYMBOLS[usize::from(*byte) % SYMBOLS.len()]);
    Ok(bytes.iter().map(symbol).collect())
}
