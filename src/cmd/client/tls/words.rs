//! What went wrong in TLS, in sentences that say what to look at.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::cmd::client::exit;

/// The broker says nothing.
pub(super) const SILENCE: &str =
    "It accepted the connection and does not answer the TLS handshake: is this its TLS port?";
/// The broker has gone.
pub(super) const CLOSED: &str =
    "The broker closed the connection during the TLS handshake: is this its TLS port?";

/// The system broke the handshake off.
pub(super) fn cut(error: &io::Error) -> String {
    let what = exit::system_words(error);
    format!("The connection broke during the TLS handshake ({what}): is this its TLS port?")
}

/// An error of rustls; `host` is the name that was asked for.
pub(super) fn of(error: &Error, host: &str) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error, host),
        Error::AlertReceived(alert) => refusal(*alert),
        Error::InvalidMessage(_) => {
            "The broker's answer is not TLS: is this its TLS port?".to_owned()
        }
        Error::PeerIncompatible(why) => {
            format!("The broker and this client have no TLS version or cipher in common: {why:?}.")
        }
        other => format!("TLS: {other}."),
    }
}

fn certificate(error: &CertificateError, host: &str) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "The broker's certificate is not signed by a trusted one (--cafile, --capath).".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "The broker's certificate has expired (or this machine's clock is wrong).".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "The broker's certificate is not valid yet (or this machine's clock is wrong).".into()
        }
        CertificateError::NotValidForName => {
            format!("The broker's certificate is not for the host name '{host}'.")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            // Names are a stranger's words.
            let names: Vec<String> = presented.iter().take(8).map(|n| plain(n)).collect();
            let names = match names.is_empty() {
                true => String::new(),
                false => format!(" but for {}", names.join(", ")),
            };
            format!("The broker's certificate is not for the host name '{host}'{names}.")
        }
        other => format!(
            "The broker's certificate is of no use: {}.",
            escape(&other.to_string())
        ),
    }
}

fn refusal(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "The broker wants a certificate of this client (--cert, --key).".into()
        }
        AlertDescription::NoApplicationProtocol => {
            "The broker does not know the protocol of --tls-alpn.".into()
        }
        AlertDescription::ProtocolVersion => {
            "The broker and this client have no version of TLS in common.".into()
        }
        AlertDescription::HandshakeFailure => {
            "The broker refused the TLS handshake: no common cipher, or it wants a certificate \
             of this client (--cert, --key)."
                .into()
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown => {
            format!("The broker refused this client's certificate: {alert:?}.")
        }
        other => format!("The broker ended TLS: {other:?}."),
    }
}

/// A name as people write it, out of `DnsName("name")` or `IpAddress(address)`.
fn plain(name: &str) -> String {
    let quoted = name
        .split_once('"')
        .and_then(|(_, rest)| rest.split_once('"'));
    let address = name
        .strip_prefix("IpAddress(")
        .and_then(|rest| rest.split_once(')'));
    escape(quoted.or(address).map_or(name, |(inner, _)| inner))
}

fn escape(text: &str) -> String {
    text.escape_debug().take(200).collect()
}
