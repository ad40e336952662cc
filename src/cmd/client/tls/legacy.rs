//! Certificates that OpenSSL takes and webpki does not, as many a gateway has them.
//!
//! Two kinds: the broker's certificate is itself among the trusted ones (made with
//! `openssl req -x509`, and named by `--cafile`), or it is of version 1 and was signed by a
//! trusted one (made with `openssl x509 -req` without extensions, as Mosquitto's manual has it).
//! Neither widens whom the user trusts: the first is the very certificate that was named, the
//! second bears a signature of a named one. There are no chains here, and no revocation.

use rustls::CertificateError;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::der::{self, Certificate};

/// Judges a certificate of these kinds; none for all others.
pub(super) fn judge(
    certificate: &CertificateDer<'_>,
    trusted: &[CertificateDer<'static>],
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<Result<(), CertificateError>> {
    let parsed = der::parse(certificate)?;
    let named = || trusted.iter().any(|other| other == certificate);
    let signed = || parsed.version == 1 && is_signed_by_any(&parsed, trusted, now, algorithms);
    if !named() && !signed() {
        return None;
    }
    Some(check_dates(&parsed, now))
}

fn check_dates(certificate: &Certificate<'_>, now: UnixTime) -> Result<(), CertificateError> {
    if now.as_secs() < certificate.not_before {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > certificate.not_after {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

fn is_signed_by_any(
    certificate: &Certificate<'_>,
    trusted: &[CertificateDer<'static>],
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let mut issuers = trusted.iter().filter_map(|issuer| der::parse(issuer));
    issuers.any(|issuer| {
        issuer.subject == certificate.issuer
            && check_dates(&issuer, now).is_ok()
            && is_signed_by(certificate, &issuer, algorithms).is_some()
    })
}

/// Something if the signature is the issuer's.
fn is_signed_by(
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<()> {
    let (kind, key) = der::key(issuer.key_info)?;
    let suits = algorithms.all.iter().find(|algorithm| {
        algorithm.signature_alg_id().as_ref() == certificate.algorithm
            && algorithm.public_key_alg_id().as_ref() == kind
    })?;
    let signed = suits.verify_signature(key, certificate.signed, certificate.signature);
    signed.ok()
}

/// Whether the host has the name that a certificate without alternative names bears: its common
/// name, with `*.` for one label.
pub(super) fn has_common_name(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let name = der::parse(certificate).and_then(|parsed| der::common_name(parsed.subject));
    let Some(name) = name else {
        return false;
    };
    if name.eq_ignore_ascii_case(host.as_bytes()) {
        return true;
    }
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    match (name.strip_prefix(b"*."), host.split_once('.')) {
        (Some(rest), Some((label, domain))) if !is_address && !label.is_empty() => {
            rest.contains(&b'.') && rest.eq_ignore_ascii_case(domain.as_bytes())
        }
        _ => false,
    }
}
