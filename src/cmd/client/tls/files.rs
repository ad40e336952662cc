//! The PEM files of the flags: whom to trust, the client's certificate, its key.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::cmd::client::exit;
use crate::cmd::client::settings::Settings;
use crate::cmd::client::tls_fault::{Stage, TlsFault};

/// A file with more bytes is no collection of certificates.
const FILE_MAX: u64 = 16 << 20;

/// Where systems keep the certificates that they trust, in one file.
const SYSTEM_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/share/ssl/certs/ca-bundle.crt",
];

/// The certificates to trust: of `--cafile`, `--capath` and the system.
pub(super) fn trusted(settings: &Settings) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let mut all = Vec::new();
    if let Some(path) = &settings.tls.cafile {
        all.extend(certificates(path, "--cafile")?);
    }
    if let Some(path) = &settings.tls.capath {
        all.extend(directory(path)?);
    }
    if settings.trusts_system() {
        all.extend(system()?);
    }
    Ok(all)
}

/// The certificates in the file of a flag: at least one.
pub(super) fn certificates(
    path: &Path,
    flag: &str,
) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let fault = |why: String| TlsFault::new(Stage::SetUp, why);
    let pem = read_named(path, flag)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| fault(format!("{flag}: {}: {error}.", path.display())))?;
    if found.is_empty() {
        let path = path.display();
        return Err(fault(format!("{flag}: {path} holds no certificate (PEM).")));
    }
    Ok(found)
}

/// The client's key.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFault> {
    let pem = read_named(path, "--key")?;
    let has = |words: &[u8]| memchr::memmem::find(&pem, words).is_some();
    let path = path.display();
    let why = if has(b"-----BEGIN ENCRYPTED PRIVATE KEY") || has(b"\nProc-Type: 4,ENCRYPTED") {
        format!(
            "--key: {path} has a pass phrase, and that is not supported. \
             openssl pkey -in {path} -out FILE writes the key without it."
        )
    } else {
        match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(key) => return Ok(key),
            Err(rustls::pki_types::pem::Error::NoItemsFound) => {
                format!("--key: {path} holds no private key (PEM).")
            }
            Err(error) => format!("--key: {path}: {error}."),
        }
    };
    Err(TlsFault::new(Stage::SetUp, why))
}

/// The certificates of a directory that `openssl rehash` prepared: files with names of eight
/// hexadecimal digits, a dot and a number. Others are not meant. OpenSSL misses them in the
/// handshake only, and so the fault is one of it.
fn directory(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let fault = |error: io::Error| {
        let what = exit::system_words(&error);
        TlsFault::new(
            Stage::Handshake,
            format!("--capath: {}: {what}.", path.display()),
        )
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        if !entry.file_name().to_str().is_some_and(is_hashed) {
            continue;
        }
        let Ok(pem) = read(&entry.path()) else {
            continue;
        };
        found.extend(CertificateDer::pem_slice_iter(&pem).flatten());
    }
    if found.is_empty() {
        let path = path.display();
        let why = format!("--capath: {path} has no certificates, or openssl rehash was not run.");
        return Err(TlsFault::new(Stage::Handshake, why));
    }
    Ok(found)
}

fn is_hashed(name: &str) -> bool {
    let Some((hash, number)) = name.split_once('.') else {
        return false;
    };
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()) && is_number
}

/// The certificates of the system: `SSL_CERT_FILE` if that is set, else the first usual file.
fn system() -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let fault = |why: String| TlsFault::new(Stage::SetUp, why);
    if let Some(path) = env::var_os("SSL_CERT_FILE") {
        return certificates(&PathBuf::from(path), "SSL_CERT_FILE");
    }
    let path = SYSTEM_FILES
        .iter()
        .map(Path::new)
        .find(|path| path.is_file());
    let path = path.ok_or_else(|| {
        fault("This system has no file of trusted certificates (ca-certificates).".into())
    })?;
    certificates(path, "the system's certificates")
}

fn read_named(path: &Path, flag: &str) -> Result<Vec<u8>, TlsFault> {
    read(path).map_err(|error| {
        let what = exit::system_words(&error);
        TlsFault::new(Stage::Files, format!("{flag}: {}: {what}.", path.display()))
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
