//! Directives of encryption and of client certificates.

use super::*;

const NO_TLS: &str = "this build has no TLS yet, and a listener meant to be encrypted must not \
                      open as a plain one: remove the TLS directives of this listener, or wait \
                      for TLS";
const NO_PSK: &str = "pre-shared keys are not supported, and ignoring them would open the \
                      listener: use password_file";
const NO_ENGINE: &str = "engines of OpenSSL are not supported: keep the key in a PEM file";
const UNUSED: Status = Status::Harmless("this build has no TLS yet, so it has no effect");

const fn refused(name: &'static str, kind: Kind, about: &'static str) -> Directive {
    listener(name, kind, "", about)
        .restart()
        .status(Status::Refused(NO_TLS))
}

const fn unless_false(name: &'static str, about: &'static str) -> Directive {
    listener(name, Kind::Bool, "false", about)
        .restart()
        .status(Status::DefaultOnly(NO_TLS))
}

pub(super) const DIRECTIVES: &[Directive] = &[
    refused(
        "cafile",
        Kind::Path,
        "The certificates of the authorities whose clients are trusted.",
    ),
    refused(
        "capath",
        Kind::Path,
        "The same as a directory of hashed names.",
    ),
    refused("certfile", Kind::Path, "The listener's certificate."),
    listener("ciphers", TEXT, "", "The ciphers up to TLS 1.2.")
        .restart()
        .status(UNUSED),
    listener("ciphers_tls1.3", TEXT, "", "The ciphers of TLS 1.3.")
        .restart()
        .status(UNUSED),
    refused(
        "crlfile",
        Kind::Path,
        "The certificates that have been revoked.",
    ),
    listener("dhparamfile", Kind::Path, "", "Parameters of old ciphers.")
        .restart()
        .status(UNUSED),
    listener(
        "disable_client_cert_date_checks",
        Kind::Bool,
        "false",
        "Take client certificates whatever the date.",
    )
    .restart()
    .status(UNUSED),
    refused("keyfile", Kind::Path, "The listener's private key."),
    security(
        "psk_file",
        Kind::Path,
        "",
        "The pre-shared keys of clients.",
    )
    .status(Status::Refused(NO_PSK)),
    listener(
        "psk_hint",
        TEXT,
        "",
        "Encrypt with pre-shared keys and announce this hint.",
    )
    .restart()
    .status(Status::Refused(NO_PSK)),
    unless_false(
        "require_certificate",
        "Let in only clients with a certificate.",
    ),
    listener("tls_engine", TEXT, "", "The engine that holds the key.")
        .restart()
        .status(Status::Refused(NO_ENGINE)),
    listener(
        "tls_engine_kpass_sha1",
        TEXT,
        "",
        "The hash of that engine's password.",
    )
    .restart()
    .status(Status::Refused(NO_ENGINE)),
    listener(
        "tls_keyform",
        Kind::Choice(&["pem", "engine"]),
        "pem",
        "Whether the key is a PEM file or in an engine.",
    )
    .restart()
    .status(Status::DefaultOnly(NO_ENGINE)),
    listener(
        "tls_version",
        Kind::Choice(&["tlsv1.3", "tlsv1.2", "tlsv1.1"]),
        "",
        "The oldest version of TLS that is accepted.",
    )
    .restart()
    .status(UNUSED),
    unless_false(
        "use_identity_as_username",
        "Take the common name of the client's certificate as user name.",
    ),
    unless_false(
        "use_subject_as_username",
        "Take the whole subject of the client's certificate as user name.",
    ),
];
