//! The secrets against vectors of independent implementations (Python's hashlib and libargon2),
//! against themselves, and against bad input.

use super::*;

const SALT_12: &[u8] = b"twelve bytes";
const SALT_16: &[u8] = b"sixteen byte slt";

fn salt_64() -> [u8; 64] {
    std::array::from_fn(|at| at as u8)
}

fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}

/// The text of a refusal; panics when the secret was accepted.
fn refusal(text: &str) -> String {
    match Secret::parse(text.as_bytes()) {
        Ok(_) => panic!("accepted: {text}"),
        Err(refusal) => refusal.to_string(),
    }
}

/// (password, kind, salt, text for the file)
fn vectors() -> Vec<(Vec<u8>, Kind, Vec<u8>, &'static str)> {
    let horse = b"correct horse".to_vec();
    let pbkdf2 = |rounds| Kind::Pbkdf2 { rounds };
    vec![
        (
            horse.clone(),
            Kind::Sha512,
            SALT_12.to_vec(),
            "$6$dHdlbHZlIGJ5dGVz$YYM06ssfmQH9NV69YjPqpNXGPKzgBzqazj7DavYb1aEG8UUkAToyJ8azRLUtfRmNtH\
             Cy4Ojw0B8kg4wPIp/p0Q==",
        ),
        (
            b"a\0b".to_vec(),
            Kind::Sha512,
            SALT_12.to_vec(),
            "$6$dHdlbHZlIGJ5dGVz$Rqp6KjhvbLeWZX0HQCpl+pSXLkrwCRBW+AuNUZw4vHrJa4SDHHr+8fEX3ta9ahpPq/\
             aZVnUBRFmxYQfDY7NLxg==",
        ),
        (
            horse,
            pbkdf2(1),
            vec![0],
            "$7$1$AA==$tW9No6IhkSWgnj0mVjPVFKCgcJq8DhJH/6JvAdvbRFRIppldJRFWxDuYfLrnZqIR8d7+t+AVN8NL\
             6zIdM3LbGQ==",
        ),
        (
            b"a\0b".to_vec(),
            pbkdf2(101),
            SALT_12.to_vec(),
            "$7$101$dHdlbHZlIGJ5dGVz$C7j9FetwOgO6ZgWus5+gqu0QVJQjM3slpTAs+AQBaXP/TM4uboQ6Fo5VPpWDej\
             ac0+wlfTnr8oyeBKjOwndm6A==",
        ),
        (
            all_bytes(),
            pbkdf2(1000),
            salt_64().to_vec(),
            "$7$1000$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OT\
             o7PD0+Pw==$ricMm+o5VNYmqBzfsM8HK+Zh2wlwcMnhOtUuNnYO/zTjD593v72BfOh4BpaIf9p7Y3S1Tg3lDpD\
             tH2m5Gbcv9g==",
        ),
    ]
}

fn argon2id_vectors() -> Vec<(Vec<u8>, Kind, Vec<u8>, &'static str)> {
    let small = Kind::Argon2id {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
    };
    vec![
        (
            all_bytes(),
            small,
            salt_64().to_vec(),
            "$argon2id$v=19$m=64,t=1,p=1$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKi\
             ssLS4vMDEyMzQ1Njc4OTo7PD0+Pw$COe9PpPDxWLmFeDmjbZRjYB1IyLRjOMouJNxnG4swlF9yE3hKNx4cBwVQ\
             LCy3+HLC+KVQXWmbFbv3D6lgXgYYg",
        ),
        (
            b"correct horse".to_vec(),
            Kind::ARGON2ID,
            salt_64().to_vec(),
            "$argon2id$v=19$m=47104,t=1,p=1$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJyg\
             pKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw$aVo1St5PsxylF7NjjIPOOE5jxNbeUNweT/LEl8ONyxYqiqflWO7Bot\
             CdzcmTPqR4fg0oMZSzDQFY9PDfbH+biw",
        ),
    ]
}

#[test]
fn vectors_of_other_implementations_are_written_and_verified() {
    for (password, kind, salt, text) in vectors().into_iter().chain(argon2id_vectors()) {
        let made = Secret::create(kind, &password, &salt).expect("in bounds");
        assert_eq!(made.to_string(), text);
        let read = Secret::parse(text.as_bytes()).expect("a good secret");
        assert!(read == made);
        assert_eq!(read.kind(), kind);
        assert_eq!(read.verify(&password), Ok(true));
    }
}

#[test]
fn argon2id_of_another_shape_is_verified() {
    // 16 bytes of salt, 32 of hash, 2 passes, 4 lanes: what other tools write.
    let text = "$argon2id$v=19$m=128,t=2,p=4$c2l4dGVlbiBieXRlIHNsdA$\
                mrszfbjFiCwuvZM1MHWhd60mftynYoAEIHkp/4X/YpA";
    let secret = Secret::parse(text.as_bytes()).expect("a good secret");
    assert_eq!(&*secret.salt, SALT_16);
    assert_eq!(secret.to_string(), text);
    assert_eq!(secret.verify(b"a\0b"), Ok(true));
    assert_eq!(secret.verify(b"a"), Ok(false));
}

#[test]
fn every_byte_of_a_password_counts() {
    let argon2id = Kind::Argon2id {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    for kind in [Kind::Sha512, Kind::Pbkdf2 { rounds: 2 }, argon2id] {
        let secret = Secret::create(kind, b"m-pass\0x", SALT_12).expect("in bounds");
        assert_eq!(secret.verify(b"m-pass\0x"), Ok(true));
        for wrong in [
            &b""[..],
            b"m-pass",
            b"m-pass\0",
            b"m-pass\0y",
            b"m-pass\0x\0",
            b"M-pass\0x",
            b" m-pass\0x",
        ] {
            assert_eq!(secret.verify(wrong), Ok(false), "{kind:?} {wrong:?}");
        }
    }
}

#[test]
fn one_changed_bit_of_the_hash_is_enough_to_refuse() {
    let secret = Secret::create(Kind::Sha512, b"pw", SALT_12).expect("in bounds");
    for at in 0..HASH_MAX {
        for bit in 0..8 {
            let mut changed = secret.clone();
            changed.hash[at] ^= 1 << bit;
            assert_eq!(changed.verify(b"pw"), Ok(false), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_decoy_has_the_same_cost_and_opens_to_nobody() {
    for (password, ..) in vectors().into_iter().chain(argon2id_vectors()) {
        let secret =
            Secret::create(Kind::Pbkdf2 { rounds: 3 }, &password, SALT_12).expect("in bounds");
        let decoy = secret.decoy();
        assert_eq!(decoy.kind(), secret.kind());
        assert_eq!(decoy.salt.len(), secret.salt.len());
        assert_eq!(decoy.hash.len(), secret.hash.len());
        assert_eq!(decoy.verify(&password), Ok(false));
    }
}

#[test]
fn padding_may_be_there_or_missing() {
    let padded = vectors()[2].3;
    let bare = padded.replace('=', "");
    assert_ne!(padded, bare);
    let secret = Secret::parse(bare.as_bytes()).expect("a good secret");
    assert_eq!(secret.to_string(), padded);
}

#[test]
fn costs_are_bounded_when_a_line_is_read() {
    let hash = BASE64.encode([1; 64]);
    let seven = |rounds: &str| format!("$7${rounds}$AAAA${hash}");
    assert!(Secret::parse(seven("1").as_bytes()).is_ok());
    assert!(Secret::parse(seven("1000000").as_bytes()).is_ok());
    for rounds in ["0", "1000001", "100000000000000", "4294967297"] {
        assert!(refusal(&seven(rounds)).starts_with("the number of rounds is "));
    }
    for rounds in ["", "-1", "+1", " 1", "0x10", "1e3"] {
        assert_eq!(
            refusal(&seven(rounds)),
            "the number of rounds must be a decimal number"
        );
    }

    let argon = |costs: &str| format!("$argon2id$v=19${costs}$AAECAwQFBgcI${hash}");
    assert!(Secret::parse(argon("m=262144,t=4,p=16").as_bytes()).is_ok());
    assert!(Secret::parse(argon("m=8,t=1000,p=1").as_bytes()).is_ok());
    for (costs, what) in [
        ("m=262145,t=1,p=1", "the memory in KiB (m) is 262145"),
        ("m=7,t=1,p=1", "the memory in KiB (m) is 7, expected 8 to"),
        ("m=15,t=1,p=2", "the memory in KiB (m) is 15, expected 16"),
        ("m=8,t=0,p=1", "the number of passes (t) is 0"),
        ("m=8,t=1001,p=1", "the number of passes (t) is 1001"),
        ("m=262144,t=5,p=1", "memory times passes (m * t) is 1310720"),
        ("m=64,t=1,p=0", "the number of lanes (p) is 0"),
        ("m=64,t=1,p=17", "the number of lanes (p) is 17"),
        ("m=64,t=1,p=99999999999", "the cost p of argon2id is far"),
        ("m=64,t=1", "expected the costs of argon2id as"),
        ("t=1,m=64,p=1", "expected the costs of argon2id as"),
        ("m=64,t=1,p=1,data=AAAA", "argon2id with more than"),
        ("m=64,t=1,p=1,", "argon2id with more than"),
        ("", "expected the costs of argon2id as"),
    ] {
        let refusal = refusal(&argon(costs));
        assert!(refusal.starts_with(what), "{costs}: {refusal}");
    }
}

#[test]
fn broken_secrets_are_refused_with_what_is_wrong_and_never_shown() {
    let hash = BASE64.encode([1; 64]);
    let long = "A".repeat(1_000_000);
    for (text, what) in [
        (String::new(), "not a $6$"),
        ("secret".into(), "not a $6$"),
        ("$".into(), "not a $6$"),
        ("$$$$$$$$$$".into(), "not a $6$"),
        ("$5$AAAA$AAAA".into(), "not a $6$"),
        ("$2y$10$abcdefghijklmnopqrstuv".into(), "not a $6$"),
        ("$6".into(), "expected $6$SALT$HASH"),
        ("$6$AAAA".into(), "expected $6$SALT$HASH"),
        (format!("$6$AAAA${hash}$"), "expected $6$SALT$HASH"),
        (format!("$6$${hash}"), "the salt has 0 bytes, expected 1 to"),
        (format!("$6$!!!!${hash}"), "the salt is not base64"),
        ("$6$AAAA$AAAA".into(), "the hash has 3 bytes, expected at"),
        ("$6$AAAA$".into(), "the hash has 0 bytes, expected at"),
        (format!("$6$AAAA${hash}A"), "the hash has more than 64"),
        (format!("$6${long}${hash}"), "the salt has more than 64"),
        (format!("$6$AAAA${long}"), "the hash has more than 64"),
        (format!("$6$AAAA${hash}\0"), "the hash has more than 64"),
        (format!("$7$AAAA${hash}"), "expected $7$ROUNDS$SALT$HASH"),
        (format!("$argon2i$v=19$m=8,t=1,p=1$AAAA${hash}"), "of the A"),
        (format!("$argon2id$v=16$m=8,t=1,p=1$AAAA${hash}"), "only ve"),
        (format!("$argon2id$m=8,t=1,p=1$AAAA${hash}"), "only version"),
        ("$argon2id".into(), "expected $argon2id$v=19$"),
        (
            format!("$argon2id$v=19$m=8,t=1,p=1$AAAA${hash}"),
            "the salt has 3 bytes, expected 8 to 64",
        ),
        (
            "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgcI$AAAA".into(),
            "the hash has 3 bytes, expected at least 16",
        ),
    ] {
        let refusal = refusal(&text);
        assert!(refusal.starts_with(what), "{text:.80}: {refusal}");
    }
}

#[test]
fn a_cut_or_changed_line_never_panics_and_a_cut_one_never_passes() {
    for (.., text) in vectors().into_iter().chain(argon2id_vectors()) {
        for end in 0..text.len() {
            let cut = &text.as_bytes()[..end];
            // Padding is optional, so the two last bytes may be missing.
            let only_padding = text.as_bytes()[end..].iter().all(|byte| *byte == b'=');
            let shorter_argon2 = text.starts_with("$argon2id") && end > text.len() - 64;
            if !only_padding && !shorter_argon2 {
                assert!(Secret::parse(cut).is_err(), "{text} cut at {end}");
            }
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let mut changed = text.as_bytes().to_vec();
            let at = random.usize(..changed.len());
            changed[at] = random.u8(..);
            // Parsed only: a changed cost may be anything up to the bounds.
            let _ = Secret::parse(&changed);
        }
    }
}

#[test]
fn creation_refuses_what_could_not_be_read_again() {
    let create = |kind, salt: &[u8]| {
        Secret::create(kind, b"pw", salt)
            .err()
            .map(|refusal| refusal.to_string())
    };
    let nul = Secret::create(Kind::DEFAULT, b"pw\0", SALT_12).err();
    let nul = nul.map(|refusal| refusal.to_string()).unwrap_or_default();
    assert_eq!(nul, "$7$ cannot hold a password that ends in a NUL");
    for rounds in [0, ROUNDS_MAX + 1] {
        let refusal = create(Kind::Pbkdf2 { rounds }, SALT_12).expect("refused");
        assert!(refusal.starts_with("the number of rounds is"), "{refusal}");
    }
    let passes = |passes| Kind::Argon2id {
        memory_kib: 47_104,
        passes,
        lanes: 1,
    };
    assert!(create(passes(23), SALT_16).is_some_and(|what| what.starts_with("memory times")));
    assert!(create(passes(u32::MAX), SALT_16).is_some_and(|what| what.starts_with("the number")));
    assert!(create(Kind::Sha512, b"").is_some_and(|what| what.starts_with("the salt has 0")));
    assert!(create(Kind::Sha512, &[0; 65]).is_some_and(|what| what.starts_with("the salt has")));
}
