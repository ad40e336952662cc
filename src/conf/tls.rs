//! What a listener's TLS directives come to, and which of them cannot stand alone.

use std::path::PathBuf;

use super::config::{Identity, Tls};
use super::report::Error;
use super::written::View;

/// The TLS settings of a listener; `None` if it is a plain one.
///
/// # Errors
/// A directive without another one that it needs: half of an encryption is none.
pub(super) fn tls(view: &View<'_>) -> Result<Option<Tls>, Error> {
    let path = |name: &str| view.text(name).map(PathBuf::from);
    let needs = |name: &str, what: &str| match view.setting(name) {
        Some(setting) => Err(setting.at.error(name, what)),
        None => Ok(()),
    };
    let (certfile, keyfile) = match (path("certfile"), path("keyfile")) {
        (Some(certfile), Some(keyfile)) => (certfile, keyfile),
        (Some(_), None) => {
            needs(
                "certfile",
                "stands without keyfile: name the file of its private key",
            )?;
            return Ok(None);
        }
        (None, _) => {
            let what = "stands without certfile: name the file of the listener's certificate";
            for name in ["keyfile", "cafile", "capath", "crlfile"] {
                needs(name, what)?;
            }
            for name in ["require_certificate", NAMES[0], NAMES[1]] {
                if view.bool(name) {
                    needs(name, what)?;
                }
            }
            return Ok(None);
        }
    };
    let require_certificate = view.bool("require_certificate");
    let (cafile, capath) = (path("cafile"), path("capath"));
    if require_certificate && cafile.is_none() && capath.is_none() {
        let what = "stands without cafile or capath: name the authorities whose clients may come";
        needs("require_certificate", what)?;
    }
    let identity = match (view.bool(NAMES[0]), view.bool(NAMES[1])) {
        (false, false) => None,
        (true, _) => Some(Identity::CommonName),
        (false, true) => Some(Identity::Subject),
    };
    Ok(Some(Tls {
        certfile,
        keyfile,
        cafile,
        capath,
        crlfile: path("crlfile"),
        require_certificate,
        identity,
        only_13: view.text("tls_version").as_deref() == Some("tlsv1.3"),
        ciphers: view.text("ciphers"),
        ciphers_13: view.text("ciphers_tls1.3"),
        any_date: view.bool("disable_client_cert_date_checks"),
    }))
}

/// The directives that take user names from certificates.
pub(super) const NAMES: [&str; 2] = ["use_identity_as_username", "use_subject_as_username"];
