//! What the flags of TLS mean: the functions behind their rows of the table.
//!
//! In their errors `{flag}` stands for the flag as it was written.

// The table has one shape for all, those that cannot fail too.
#![allow(clippy::unnecessary_wraps)]

use super::settings::Settings;

/// Whether a flag is about TLS, so that a build without it must refuse the flag.
pub(super) fn is_flag(word: &str) -> bool {
    const OTHERS: [&str; 8] = [
        "--cafile",
        "--capath",
        "--cert",
        "--key",
        "--keyform",
        "--ciphers",
        "--insecure",
        "--psk",
    ];
    OTHERS.contains(&word) || word == "--psk-identity" || word.starts_with("--tls-")
}

pub(super) fn cafile(settings: &mut Settings, path: &str) -> Result<(), String> {
    settings.tls.cafile = Some(path.into());
    Ok(())
}

pub(super) fn capath(settings: &mut Settings, path: &str) -> Result<(), String> {
    settings.tls.capath = Some(path.into());
    Ok(())
}

pub(super) fn cert(settings: &mut Settings, path: &str) -> Result<(), String> {
    settings.tls.cert = Some(path.into());
    Ok(())
}

pub(super) fn key(settings: &mut Settings, path: &str) -> Result<(), String> {
    settings.tls.key = Some(path.into());
    Ok(())
}

pub(super) fn keyform(settings: &mut Settings, form: &str) -> Result<(), String> {
    match form {
        "pem" => {}
        "engine" => {
            return Err(
                "{flag}: engines of OpenSSL are not supported: keep the key in a PEM file.".into(),
            );
        }
        _ => return Err("Problem setting key form, it must be one of 'pem' or 'engine'.".into()),
    }
    settings.tls.keyform = true;
    Ok(())
}

pub(super) fn ciphers(settings: &mut Settings, list: &str) -> Result<(), String> {
    settings.tls.ciphers = Some(list.to_owned());
    Ok(())
}

pub(super) fn insecure(settings: &mut Settings) {
    settings.tls.insecure = true;
}

pub(super) fn alpn(settings: &mut Settings, protocol: &str) -> Result<(), String> {
    if protocol.is_empty() || protocol.len() > 255 {
        return Err("{flag}: the name of a protocol has 1 to 255 bytes.".into());
    }
    settings.tls.alpn = Some(protocol.to_owned());
    Ok(())
}

pub(super) fn use_os_certs(settings: &mut Settings) {
    settings.tls.use_os_certs = true;
}

/// The version is the least one, as in Mosquitto; there is none below 1.2 any more.
pub(super) fn version(settings: &mut Settings, version: &str) -> Result<(), String> {
    settings.tls.only_1_3 = match version {
        "tlsv1.3" => true,
        "tlsv1.2" | "tlsv1.1" => false,
        _ => {
            return Err(format!(
                "Problem setting TLS options, check the options are valid.\n\
                 {{flag}}: '{version}' is not tlsv1.2 or tlsv1.3."
            ));
        }
    };
    Ok(())
}
