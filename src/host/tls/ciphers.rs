//! OpenSSL's lists of ciphers, as far as they name ciphers that rustls has.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite::*;

/// OpenSSL's name of each cipher of TLS 1.2.
const TLS_12: [(&str, SupportedCipherSuite); 6] = [
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The same for TLS 1.3.
const TLS_13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", TLS13_AES_128_GCM_SHA256),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        TLS13_CHACHA20_POLY1305_SHA256,
    ),
];

/// The ciphers of both lists, in their order.
///
/// A list that names none of ours is meant for OpenSSL (`DEFAULT`, `HIGH:!aNULL`), whose words all
/// mean "the good ones": those are all that there are here.
///
/// # Errors
/// A list that names ciphers, but none that Midge has.
pub(super) fn chosen(
    ciphers: Option<&str>,
    ciphers_13: Option<&str>,
) -> Result<Vec<SupportedCipherSuite>, String> {
    let mut chosen = of_list("ciphers_tls1.3", ciphers_13, &TLS_13)?;
    chosen.extend(of_list("ciphers", ciphers, &TLS_12)?);
    Ok(chosen)
}

fn of_list(
    directive: &str,
    list: Option<&str>,
    known: &[(&str, SupportedCipherSuite)],
) -> Result<Vec<SupportedCipherSuite>, String> {
    let words: Vec<&str> = list.unwrap_or_default().split([':', ',', ' ']).collect();
    let find = |word: &str| known.iter().find(|(name, _)| *name == word);
    let named: Vec<SupportedCipherSuite> = (words.iter())
        .filter_map(|&word| find(word).map(|&(_, suite)| suite))
        .collect();
    let is_name = |word: &&&str| word.contains('-') && !word.starts_with(['!', '-', '+', '@']);
    if named.is_empty()
        && words
            .iter()
            .any(|word| is_name(&word) || word.starts_with("TLS_"))
    {
        let names: Vec<&str> = known.iter().map(|&(name, _)| name).collect();
        let names = names.join(":");
        return Err(format!(
            "{directive}: none of these ciphers is known: there are {names}"
        ));
    }
    if named.is_empty() {
        return Ok(known.iter().map(|&(_, suite)| suite).collect());
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssls_lists_choose_among_ours() {
        let len = |a, b| chosen(a, b).map(|suites| suites.len());
        assert_eq!(len(None, None), Ok(9));
        assert_eq!(len(Some("DEFAULT:!aNULL:!SHA1"), None), Ok(9));
        let one = "DHE-RSA-AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256";
        assert_eq!(len(Some(one), None), Ok(4));
        assert_eq!(len(Some(one), Some("TLS_AES_128_GCM_SHA256")), Ok(2));
        let error = len(Some("DHE-RSA-AES256-SHA"), None).expect_err("an old one");
        assert!(error.starts_with("ciphers: none of these"), "{error}");
        assert!(len(None, Some("TLS_NONE")).is_err());
    }
}
