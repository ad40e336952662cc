//! Whether the broker is who it says it is.

use std::fmt;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, RootCertStore, SignatureScheme,
};

use super::{der, legacy};
use crate::cmd::client::tls_fault::{Stage, TlsFault};

/// Checks the chain up to a trusted certificate, the dates, and the name unless told otherwise.
pub(super) struct Verifier {
    trusted: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
    /// `--insecure`: any name will do. The chain is checked all the same, as Mosquitto does.
    any_name: bool,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// Trusts these certificates and what they signed.
    pub(super) fn new(
        trusted: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
        any_name: bool,
    ) -> Result<Verifier, TlsFault> {
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(trusted.iter().cloned());
        if usable == 0 {
            let why = "None of the certificates to trust can be read.";
            return Err(TlsFault::new(Stage::SetUp, why));
        }
        Ok(Verifier {
            trusted,
            roots,
            algorithms: provider.signature_verification_algorithms,
            any_name,
        })
    }

    fn check_chain(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let algorithms = self.algorithms.all;
        let checked = ParsedCertificate::try_from(certificate).and_then(|parsed| {
            let (roots, others) = (&self.roots, intermediates);
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, now, algorithms)
        });
        let Err(error) = checked else {
            return Ok(());
        };
        match legacy::judge(certificate, &self.trusted, now, &self.algorithms) {
            Some(judged) => judged.map_err(Error::from),
            None => Err(error),
        }
    }

    fn check_name(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
        let checked = ParsedCertificate::try_from(certificate);
        let error = match checked.map(|parsed| verify_server_name(&parsed, name)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            // Version 1: there are no alternative names.
            Err(_) => CertificateError::NotValidForName.into(),
        };
        let has_names = match &error {
            Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented,
                ..
            }) => !presented.is_empty(),
            Error::InvalidCertificate(CertificateError::NotValidForName) => false,
            _ => true,
        };
        if !has_names && legacy::has_common_name(certificate, &name.to_str()) {
            return Ok(());
        }
        Err(error)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_chain(certificate, intermediates, now)?;
        if !self.any_name {
            Verifier::check_name(certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match version_1_key(certificate) {
            Some(key_info) => verify_with_key(message, key_info, signature, &self.algorithms),
            None => verify_tls12_signature(message, certificate, signature, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(key_info) = version_1_key(certificate) else {
            return verify_tls13_signature(message, certificate, signature, &self.algorithms);
        };
        let key_info = SubjectPublicKeyInfoDer::from(key_info);
        verify_tls13_signature_with_raw_key(message, &key_info, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The key of a certificate that rustls does not look into.
fn version_1_key<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let parsed = der::parse(certificate)?;
    (parsed.version == 1).then_some(parsed.key_info)
}

/// The signature of TLS 1.2, by any algorithm of its scheme that suits the key.
fn verify_with_key(
    message: &[u8],
    key_info: &[u8],
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let (_, candidates) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signature.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let (kind, key) = der::key(key_info).ok_or(CertificateError::BadEncoding)?;
    let valid = candidates.iter().any(|algorithm| {
        algorithm.public_key_alg_id().as_ref() == kind
            && algorithm
                .verify_signature(key, message, signature.signature())
                .is_ok()
    });
    match valid {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}
