//! OpenSSL's lists of ciphers, for the ciphers that there are.
//!
//! A list is made of words with colons between them. A word is the name of a cipher, OpenSSL's or
//! the standard's, or the names of some of its properties with `+` between them; with `!` or `-`
//! before it the word takes ciphers away. What starts with `@` or names what is unknown has no
//! effect. Ciphers of TLS 1.3 are chosen by name only; a list that names none leaves them all.

use rustls::SupportedCipherSuite;

/// OpenSSL's names, and ours, of the ciphers of TLS 1.2.
const NAMES: [(&str, &str); 6] = [
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
];

/// Those of `suites` that `list` names, in their own order; none if it names none at all.
pub(super) fn select(
    list: &str,
    suites: Vec<SupportedCipherSuite>,
) -> Option<Vec<SupportedCipherSuite>> {
    let names: Vec<String> = suites.iter().map(name).collect();
    let mut chosen = vec![false; suites.len()];
    let words = list.split([':', ',', ' ']).filter(|word| !word.is_empty());
    for word in words {
        let (takes, word) = match word.strip_prefix(['!', '-']) {
            Some(rest) => (false, rest),
            None => (true, word),
        };
        for (name, chosen) in names.iter().zip(&mut chosen) {
            if matches(name, word) {
                *chosen = takes;
            }
        }
    }
    if !chosen.contains(&true) {
        return None;
    }
    let is_1_3 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    let names_1_3 = suites.iter().zip(&chosen).any(|(s, c)| *c && is_1_3(s));
    let keep = |suite: &SupportedCipherSuite, chosen: bool| chosen || (is_1_3(suite) && !names_1_3);
    let kept = suites.into_iter().zip(chosen);
    Some(kept.filter(|(s, c)| keep(s, *c)).map(|(s, _)| s).collect())
}

/// The standard's name.
fn name(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    name.replacen("TLS13_", "TLS_", 1)
}

/// Whether the cipher of this name is the word's, or has all the properties that it names.
fn matches(name: &str, word: &str) -> bool {
    if name.eq_ignore_ascii_case(word) {
        return true;
    }
    let Some((openssl, _)) = NAMES.iter().find(|(_, standard)| *standard == name) else {
        return false;
    };
    openssl.eq_ignore_ascii_case(word) || word.split('+').all(|part| has(name, part))
}

fn has(name: &str, property: &str) -> bool {
    let part = |words: &str| name.contains(words);
    match property {
        "ALL"
        | "DEFAULT"
        | "COMPLEMENTOFDEFAULT"
        | "HIGH"
        | "TLSv1.2"
        | "ECDHE"
        | "EECDH"
        | "kECDHE"
        | "kEECDH"
        | "AEAD"
        | "FIPS" => true,
        "ECDSA" | "aECDSA" => part("_ECDSA_"),
        "RSA" | "aRSA" => part("_RSA_"),
        "AES" | "AESGCM" => part("_AES_"),
        "AES128" => part("_AES_128_"),
        "AES256" => part("_AES_256_"),
        "CHACHA20" => part("_CHACHA20_"),
        "SHA256" => part("GCM_SHA256"),
        "SHA384" => part("_SHA384"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(list: &str) -> Vec<String> {
        let suites = rustls::crypto::ring::default_provider().cipher_suites;
        let chosen = select(list, suites).unwrap_or_default();
        chosen.iter().map(name).collect()
    }

    #[test]
    fn every_cipher_of_tls_1_2_has_its_name() {
        for suite in rustls::crypto::ring::default_provider().cipher_suites {
            let known = NAMES.iter().any(|(_, standard)| *standard == name(&suite));
            assert_eq!(known, suite.tls13().is_none(), "{}", name(&suite));
        }
    }

    #[test]
    fn names_choose_and_leave_tls_1_3() {
        let one = chosen("ECDHE-RSA-AES128-GCM-SHA256:NONSENSE");
        assert_eq!(one.len(), 4, "{one:?}");
        assert_eq!(one[3], "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
        assert_eq!(chosen("TLS_AES_128_GCM_SHA256"), ["TLS_AES_128_GCM_SHA256"]);
    }

    #[test]
    fn properties_choose_and_take_away() {
        assert_eq!(chosen("DEFAULT:!aNULL:@SECLEVEL=2").len(), 9);
        let two = chosen("ECDHE+AESGCM+aRSA");
        assert_eq!(two.len(), 5, "{two:?}");
        assert_eq!(chosen("HIGH:!ECDSA:-CHACHA20").len(), 5);
        assert!(chosen("nonsense").is_empty());
        assert!(chosen("!HIGH").is_empty());
        assert!(chosen("").is_empty());
    }
}
