//! From a listener's files to what its connections begin with.

use super::dates::Timeless;
use super::{Encrypted, OUTPUT_MAX, certificate, ciphers};
use crate::conf::{Identity, Tls};
use mio::net::TcpStream;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What the connections of an encrypted listener begin with.
pub struct Acceptor {
    config: Arc<ServerConfig>,
    identity: Option<Identity>,
    expires_s: Option<u64>,
}

/// Files of certificates are small.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What to say of a key that rustls does not take.
pub const UNKNOWN_KEY: &str = "the key is damaged, or none of those that are taken: RSA from 2048 \
                               bits on, P-256, P-384, Ed25519";

impl Acceptor {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// The directive, the file, and what is wrong with it.
    pub fn new(tls: &Tls) -> Result<Acceptor, String> {
        let chain = completed(certificates("certfile", &tls.certfile)?, tls);
        let key = private_key(&tls.keyfile)?;
        let suites = ciphers::chosen(tls.ciphers.as_deref(), tls.ciphers_13.as_deref())?;
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites,
            ..ring::default_provider()
        });
        let versions: &[_] = match tls.only_13 {
            true => &[&rustls::version::TLS13],
            false => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| format!("ciphers: {error}"))?;
        let builder = match tls.require_certificate {
            false => {
                check_idle(tls)?;
                builder.with_no_client_auth()
            }
            true => builder.with_client_cert_verifier(verifier(tls, provider)?),
        };
        let expires_s = chain.first().and_then(|der| certificate::not_after_s(der));
        let own = SingleCertAndKey::from(certified(chain, key, builder.crypto_provider(), tls)?);
        let config = builder.with_cert_resolver(Arc::new(own));
        Ok(Acceptor {
            config: Arc::new(config),
            identity: tls.identity,
            expires_s,
        })
    }

    /// When the listener's certificate ends, in seconds since 1970; `None` if that is not clear.
    pub fn expires_s(&self) -> Option<u64> {
        self.expires_s
    }

    /// An encrypted connection over a socket.
    pub fn accept(&self, socket: TcpStream) -> io::Result<Box<Encrypted>> {
        let mut tls = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(OUTPUT_MAX));
        Ok(Box::new(Encrypted {
            socket,
            tls,
            has_ended: false,
            identity: self.identity,
            is_identified: false,
        }))
    }
}

/// A certificate or revocation list with its time, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    /// Whose certificate; empty for a list.
    pub subject: String,
    /// It does not hold before.
    pub from_s: u64,
    /// It does not hold after; `None` for a list that does not say.
    pub until_s: Option<u64>,
}

/// The times of what is in a file of certificates, or of lists if the directive is `crlfile`. What
/// cannot be understood is left out.
///
/// # Errors
/// The directive, the file, and what is wrong with it.
pub fn dates(directive: &str, path: &Path) -> Result<Vec<Dated>, String> {
    if directive != "crlfile" {
        let found = certificates(directive, path)?;
        let dated = found.iter().filter_map(|der| certificate::validity(der));
        let dated = dated.map(|(from_s, until_s, subject)| Dated {
            subject,
            from_s,
            until_s: Some(until_s),
        });
        return Ok(dated.collect());
    }
    let text = read(directive, path)?;
    let lists = CertificateRevocationListDer::pem_slice_iter(&text).filter_map(Result::ok);
    let dated = lists.filter_map(|der| certificate::list_validity(&der));
    let dated = dated.map(|(from_s, until_s)| Dated {
        subject: String::new(),
        from_s,
        until_s,
    });
    Ok(dated.collect())
}

/// What the listener shows, with the key to it.
///
/// rustls would look into the certificate as one who is to trust it does, and takes none of X.509
/// version 1, as `openssl x509 -req` makes them. Whether it is to be trusted is for clients to say.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
    tls: &Tls,
) -> Result<CertifiedKey, String> {
    let (certfile, keyfile) = (tls.certfile.display(), tls.keyfile.display());
    let key = (provider.key_provider.load_private_key(key))
        .map_err(|_| format!("keyfile: {keyfile}: {UNKNOWN_KEY}"))?;
    let Some(public) = chain.first().and_then(|der| certificate::public_key(der)) else {
        return Err(format!("certfile: {certfile}: the certificate is damaged"));
    };
    if key
        .public_key()
        .is_some_and(|of_key| of_key.as_ref() != public)
    {
        return Err(format!(
            "keyfile: {keyfile} is not the key of the certificate in certfile {certfile}"
        ));
    }
    Ok(CertifiedKey::new(chain, key))
}

/// A certificate that stands alone in its file, with the authorities between it and the root, as
/// far as `cafile` and `capath` have them: so does OpenSSL, and clients trust the root only.
fn completed(mut chain: Vec<CertificateDer<'static>>, tls: &Tls) -> Vec<CertificateDer<'static>> {
    if chain.len() != 1 || !certificate::has_issuer(&chain[0]) {
        return chain;
    }
    // What cannot be read is told elsewhere, and is not needed here.
    let mut known = Vec::new();
    if let Some(cafile) = &tls.cafile {
        known.extend(certificates("cafile", cafile).unwrap_or_default());
    }
    for entry in tls.capath.iter().filter_map(|path| fs::read_dir(path).ok()) {
        for entry in entry.flatten() {
            known.extend(certificates("capath", &entry.path()).unwrap_or_default());
        }
    }
    // Clients have the root.
    known.retain(|der| certificate::has_issuer(der));
    while let Some(last) = chain.last() {
        let of_last = known.iter().enumerate();
        let of_last = of_last.filter(|(_, der)| certificate::is_issuer_of(der, last));
        // One that was renewed may lie beside the former one.
        let newest = of_last.max_by_key(|(_, der)| certificate::not_after_s(der));
        let Some((at, _)) = newest else {
            break;
        };
        chain.push(known.swap_remove(at));
    }
    chain
}

fn verifier(
    tls: &Tls,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    if let Some(cafile) = &tls.cafile {
        for certificate in certificates("cafile", cafile)? {
            let added = roots.add(certificate);
            added.map_err(|error| format!("cafile: {}: {error}", cafile.display()))?;
        }
    }
    if let Some(capath) = &tls.capath {
        let entries = fs::read_dir(capath);
        let entries = entries.map_err(|e| format!("capath: {}: {e}", capath.display()))?;
        for entry in entries.flatten() {
            // Whatever else lies there is no authority.
            let found = certificates("capath", &entry.path()).unwrap_or_default();
            roots.add_parsable_certificates(found);
        }
    }
    if roots.is_empty() {
        let folder = tls
            .capath
            .as_ref()
            .map_or_else(String::new, |p| p.display().to_string());
        return Err(format!(
            "capath: {folder}: no certificate of an authority is there"
        ));
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(crlfile) = &tls.crlfile {
        let lists = revoked(crlfile)?;
        // An authority without a list has revoked nothing, as with OpenSSL's check of the leaf.
        builder = builder
            .with_crls(lists)
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status();
    }
    let verifier = builder.build().map_err(|error| {
        let file = tls.crlfile.as_deref().unwrap_or(Path::new("cafile"));
        format!("crlfile: {}: {error}", file.display())
    })?;
    Ok(match tls.any_date {
        true => Arc::new(Timeless(verifier)),
        false => verifier,
    })
}

/// Files that are named, but count for nothing as long as clients need no certificate: one that
/// cannot be used is a mistake all the same, and had better come out before it matters.
fn check_idle(tls: &Tls) -> Result<(), String> {
    if let Some(cafile) = &tls.cafile {
        certificates("cafile", cafile)?;
    }
    if let Some(crlfile) = &tls.crlfile {
        revoked(crlfile)?;
    }
    Ok(())
}

fn revoked(crlfile: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let name = crlfile.display();
    let lists = CertificateRevocationListDer::pem_slice_iter(&read("crlfile", crlfile)?)
        .collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(|e| format!("crlfile: {name}: {e}"))?;
    if lists.is_empty() {
        return Err(format!("crlfile: {name}: there is no list in it"));
    }
    Ok(lists)
}

fn certificates(directive: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = path.display();
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&read(directive, path)?).collect();
    let found = found.map_err(|error| format!("{directive}: {name}: {error}"))?;
    if found.is_empty() {
        return Err(format!(
            "{directive}: {name}: there is no certificate (PEM) in it"
        ));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let name = path.display();
    let text = read("keyfile", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        if memchr::memmem::find(&text, b"ENCRYPTED").is_some() {
            return format!(
                "keyfile: {name}: the key has a pass phrase, and nobody is there to type it at a \
                 start: openssl pkey -in {name} -out NEW writes it without"
            );
        }
        format!("keyfile: {name}: there is no private key (PEM) in it: {error}")
    })
}

/// A byte order mark in front would hide the first line.
fn read(directive: &str, path: &Path) -> Result<Vec<u8>, String> {
    let mut text = crate::host::access::read(directive, path, FILE_BYTES_MAX)?;
    if text.starts_with(b"\xef\xbb\xbf") {
        text.drain(..3);
    }
    Ok(text)
}
