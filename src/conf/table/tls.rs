//! Directives of encryption and of client certificates.

use super::*;

const NO_TLS: &str = "this build has no TLS, and a listener meant to be encrypted must not open as \
                      a plain one: remove the TLS directives of this listener, or take a build \
                      with the feature tls";
const NO_PSK: &str = "pre-shared keys are not supported, and ignoring them would open the \
                      listener: use password_file";
const NO_ENGINE: &str = "engines of OpenSSL are not supported: keep the key in a PEM file";
const UNUSED: Status = Status::Harmless("Midge has only ciphers that need no such parameters");

/// What holds where TLS is built in, and else.
const fn with_tls(without: Status) -> Status {
    match cfg!(feature = "tls") {
        true => Status::Implemented,
        false => without,
    }
}
const CIPHERS: Status = with_tls(Status::Harmless(
    "this build has no TLS, so it has no effect",
));

const fn refused(name: &'static str, kind: Kind, about: &'static str) -> Entry {
    listener(name, kind, "", about).status(with_tls(Status::Refused(NO_TLS)))
}

const fn unless_false(name: &'static str, about: &'static str) -> Entry {
    listener(name, Kind::Bool, "false", about).status(with_tls(Status::DefaultOnly(NO_TLS)))
}

pub(super) const ENTRIES: &[Entry] = &[
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
    listener(
        "ciphers",
        TEXT,
        "",
        "The ciphers of TLS 1.2, as OpenSSL names them; its words (`HIGH`) mean all there are.",
    )
    .status(CIPHERS),
    listener("ciphers_tls1.3", TEXT, "", "The ciphers of TLS 1.3.").status(CIPHERS),
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
    .status(CIPHERS),
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
        "Accept only TLS of this version or newer; 1.2 is the oldest that there is.",
    )
    .status(CIPHERS),
    unless_false(
        "use_identity_as_username",
        "Take the common name of the client's certificate as user name.",
    ),
    unless_false(
        "use_subject_as_username",
        "Take the whole subject of the client's certificate as user name.",
    ),
];
