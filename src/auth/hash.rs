//! The secrets of a password file: parsing, checking and making them.
//!
//! | form | what is hashed |
//! |---|---|
//! | `$6$SALT$HASH` | SHA-512 of the password followed by the salt |
//! | `$7$ROUNDS$SALT$HASH` | PBKDF2 with HMAC-SHA-512, 64 bytes |
//! | `$argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$HASH` | Argon2id 1.3, a PHC string |
//!
//! Salts and hashes are base64: padded in the first two, unpadded in the third. Padding may be
//! there or missing when a secret is read.
//!
//! Whoever writes the password file decides how long one check takes, so it is bounded here, when
//! a line is read: at most [`ROUNDS_MAX`] rounds, [`ARGON2_MEMORY_KIB_MAX`] of memory,
//! [`ARGON2_PASSES_MAX`] passes, [`ARGON2_LANES_MAX`] lanes, and [`ARGON2_WORK_KIB_MAX`] for memory
//! times passes. The dearest secrets were measured at 0.7 s on a 2-core x86-64 machine.
//!
//! A password is any bytes, the empty one and those with NUL in them included; all of them count.
//! HMAC, however, fills its key with NULs, so that it alone would take `pw\0` for `pw`. Therefore
//! no password that ends in a NUL opens a `$7$` secret, nor is one made of it.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq as _;

/// Rounds of PBKDF2 that are accepted in a file.
pub const ROUNDS_MAX: u32 = 1_000_000;
/// Rounds of PBKDF2 that `passwd` writes when nobody asks for others.
///
/// A hundred times what Mosquitto 2.0 writes and ten times what 2.1 does, and NIST's floor for
/// stored passwords (SP 800-63B, 2017). Not more, because both brokers on a gateway must live with
/// it: Mosquitto hashes on its own loop, and after a power cut all clients sign in at once. It was
/// measured at 8 ms on a 2-core x86-64 machine; a small ARM core takes several times that.
/// Mosquitto 2.0.11 and later read it.
pub const ROUNDS_DEFAULT: u32 = 10_000;
/// Memory of Argon2id that is accepted in a file, in KiB.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Passes of Argon2id that are accepted in a file.
pub const ARGON2_PASSES_MAX: u32 = 1_000;
/// Lanes of Argon2id that are accepted in a file.
pub const ARGON2_LANES_MAX: u32 = 16;
/// Memory in KiB times passes of Argon2id that is accepted in a file.
pub const ARGON2_WORK_KIB_MAX: u32 = 1024 * 1024;
/// Bytes of the longest salt that is accepted.
pub const SALT_MAX: usize = 64;
/// Bytes of the longest hash that is accepted.
pub const HASH_MAX: usize = 64;

/// Bytes of the shortest Argon2 hash that is accepted: less could be guessed.
const ARGON2_HASH_MIN: usize = 16;
/// Bytes of the shortest salt that Argon2 allows.
const ARGON2_SALT_MIN: usize = 8;

/// Reads base64 with or without padding, writes it with.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a password is hashed, and how dear that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `$6$`: one SHA-512, cheap to guess at; Mosquitto 1.x wrote it.
    Sha512,
    /// `$7$`: PBKDF2 with HMAC-SHA-512.
    Pbkdf2 {
        /// `1 <= rounds <= ROUNDS_MAX`
        rounds: u32,
    },
    /// `$argon2id$`, version 1.3.
    Argon2id {
        /// `8 * lanes <= memory_kib <= ARGON2_MEMORY_KIB_MAX`
        memory_kib: u32,
        /// `1 <= passes`, and `memory_kib * passes <= ARGON2_WORK_KIB_MAX`
        passes: u32,
        /// `1 <= lanes <= ARGON2_LANES_MAX`
        lanes: u32,
    },
}

impl Kind {
    /// What `passwd` writes by default.
    pub const DEFAULT: Kind = Kind::Pbkdf2 {
        rounds: ROUNDS_DEFAULT,
    };

    /// Argon2id as Mosquitto 2.1 writes it.
    pub const ARGON2ID: Kind = Kind::Argon2id {
        memory_kib: 47_104,
        passes: 1,
        lanes: 1,
    };

    /// Bytes of salt for a new secret of this kind: what Mosquitto's own tool writes, and for
    /// `$6$` and `$7$` the only length that Mosquitto 2.0 reads.
    pub fn salt_len(self) -> usize {
        match self {
            Kind::Sha512 | Kind::Pbkdf2 { .. } => 12,
            Kind::Argon2id { .. } => 64,
        }
    }

    /// A measure to compare kinds by: compressions of SHA-512 or blocks of Argon2, about equally
    /// dear.
    pub fn cost(self) -> u32 {
        match self {
            Kind::Sha512 => 1,
            Kind::Pbkdf2 { rounds } => rounds.saturating_mul(2),
            Kind::Argon2id {
                memory_kib, passes, ..
            } => memory_kib.saturating_mul(passes),
        }
    }

    /// Bytes of memory that a check takes; 0 where it is next to nothing.
    pub fn memory(self) -> u64 {
        match self {
            Kind::Sha512 | Kind::Pbkdf2 { .. } => 0,
            Kind::Argon2id { memory_kib, .. } => u64::from(memory_kib) * 1024,
        }
    }

    /// Refuses costs that are out of bounds, with what is wrong.
    pub fn check(self) -> Result<(), Refusal> {
        match self {
            Kind::Sha512 => Ok(()),
            Kind::Pbkdf2 { rounds } => within("the number of rounds", rounds, 1, ROUNDS_MAX),
            Kind::Argon2id {
                memory_kib,
                passes,
                lanes,
            } => {
                within("the number of lanes (p)", lanes, 1, ARGON2_LANES_MAX)?;
                within(
                    "the memory in KiB (m)",
                    memory_kib,
                    8 * lanes,
                    ARGON2_MEMORY_KIB_MAX,
                )?;
                within("the number of passes (t)", passes, 1, ARGON2_PASSES_MAX)?;
                // No overflow: 2^18 * 1000 < 2^32.
                let work = memory_kib * passes;
                within("memory times passes (m * t)", work, 1, ARGON2_WORK_KIB_MAX)
            }
        }
    }
}

/// Why a secret cannot be used: a phrase for people that never holds any part of the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not look like any hash; plain text perhaps.
    NotHashed,
    /// It looks like a hash, and this is wrong with it.
    Bad(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotHashed => f.write_str("not a $6$, $7$ or $argon2id$ hash"),
            Refusal::Bad(what) => f.write_str(what),
        }
    }
}

/// There was not enough memory for a check; Argon2 alone needs much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// A hashed password as it stands in a file, known to be within the bounds of this module.
///
/// Its `Display` is the text for the file. There is no `Debug`, so that it cannot get into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    kind: Kind,
    /// `1 <= salt.len() <= SALT_MAX`
    salt: Box<[u8]>,
    /// 64 bytes for `$6$` and `$7$`, 16 to 64 for Argon2.
    hash: Box<[u8]>,
}

impl Secret {
    /// Reads what stands behind the colon of a line, without blanks around it.
    pub fn parse(text: &[u8]) -> Result<Secret, Refusal> {
        let Some(fields) = text.strip_prefix(b"$") else {
            return Err(Refusal::NotHashed);
        };
        let mut fields = fields.split(|byte| *byte == b'$');
        let fields: [Option<&[u8]>; 6] = std::array::from_fn(|_| fields.next());
        match fields {
            [Some(b"6"), Some(salt), Some(hash), None, ..] => {
                Secret::from_parts(Kind::Sha512, salt, hash)
            }
            [Some(b"7"), Some(rounds), Some(salt), Some(hash), None, _] => {
                let rounds = number("the number of rounds", rounds)?;
                Secret::from_parts(Kind::Pbkdf2 { rounds }, salt, hash)
            }
            [
                Some(b"argon2id"),
                Some(b"v=19"),
                Some(costs),
                Some(salt),
                Some(hash),
                None,
            ] => Secret::from_parts(parse_argon2_costs(costs)?, salt, hash),
            [Some(b"6"), ..] => Err(bad("expected $6$SALT$HASH")),
            [Some(b"7"), ..] => Err(bad("expected $7$ROUNDS$SALT$HASH")),
            [Some(b"argon2id"), Some(version), ..] if version != b"v=19" => {
                Err(bad("only version v=19 of argon2id is read"))
            }
            [Some(b"argon2id"), ..] => Err(bad(
                "expected $argon2id$v=19$m=MEMORY,t=PASSES,p=LANES$SALT$HASH",
            )),
            [Some(b"argon2i" | b"argon2d"), ..] => {
                Err(bad("of the Argon2 family only argon2id is read"))
            }
            _ => Err(Refusal::NotHashed),
        }
    }

    /// Hashes a new password. The salt must be random and [`Kind::salt_len`] bytes long; other
    /// lengths are possible for tests. `Err` tells which cost or length is out of bounds, or that
    /// memory is short.
    pub fn create(kind: Kind, password: &[u8], salt: &[u8]) -> Result<Secret, Refusal> {
        kind.check()?;
        if ambiguous(kind, password) {
            return Err(bad("$7$ cannot hold a password that ends in a NUL"));
        }
        let mut secret = Secret {
            kind,
            salt: salt.into(),
            hash: vec![0; HASH_MAX].into(),
        };
        secret.check_lengths()?;
        let mut hash = [0; HASH_MAX];
        secret
            .digest(password, &mut hash)
            .map_err(|OutOfMemory| bad("not enough memory for this hash"))?;
        secret.hash = hash.into();
        Ok(secret)
    }

    /// A secret that no password opens, but that costs as much to check as this one.
    #[must_use]
    pub fn decoy(&self) -> Secret {
        Secret {
            kind: self.kind,
            salt: vec![0; self.salt.len()].into(),
            hash: vec![0; self.hash.len()].into(),
        }
    }

    /// How this secret is hashed.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether this is the password. All bytes of it count, and how much of the hash is right
    /// does not show in the time that it takes. It is slow on purpose: not for a poll loop.
    pub fn verify(&self, password: &[u8]) -> Result<bool, OutOfMemory> {
        let mut hash = [0; HASH_MAX];
        let hash = &mut hash[..self.hash.len()];
        self.digest(password, hash)?;
        let right = bool::from(hash.ct_eq(&self.hash));
        Ok(right && !ambiguous(self.kind, password))
    }

    fn from_parts(kind: Kind, salt: &[u8], hash: &[u8]) -> Result<Secret, Refusal> {
        kind.check()?;
        let secret = Secret {
            kind,
            salt: decode("the salt", salt, SALT_MAX)?,
            hash: decode("the hash", hash, HASH_MAX)?,
        };
        secret.check_lengths()?;
        Ok(secret)
    }

    fn check_lengths(&self) -> Result<(), Refusal> {
        let (salt_min, hash_min) = match self.kind {
            Kind::Sha512 | Kind::Pbkdf2 { .. } => (1, HASH_MAX),
            Kind::Argon2id { .. } => (ARGON2_SALT_MIN, ARGON2_HASH_MIN),
        };
        if !(salt_min..=SALT_MAX).contains(&self.salt.len()) {
            return Err(bad(format!(
                "the salt has {} bytes, expected {salt_min} to {SALT_MAX}",
                self.salt.len()
            )));
        }
        if self.hash.len() < hash_min {
            return Err(bad(format!(
                "the hash has {} bytes, expected at least {hash_min}; the line may be cut off",
                self.hash.len()
            )));
        }
        Ok(())
    }

    /// Fills `hash`, whose length is that of `self.hash`.
    fn digest(&self, password: &[u8], hash: &mut [u8]) -> Result<(), OutOfMemory> {
        match self.kind {
            Kind::Sha512 => {
                let digest = Sha512::new()
                    .chain_update(password)
                    .chain_update(&self.salt);
                hash.copy_from_slice(&digest.finalize());
            }
            Kind::Pbkdf2 { rounds } => {
                pbkdf2::pbkdf2_hmac::<Sha512>(password, &self.salt, rounds, hash);
            }
            Kind::Argon2id {
                memory_kib,
                passes,
                lanes,
            } => {
                let params = Params::new(memory_kib, passes, lanes, Some(hash.len()))
                    .expect("Kind::check and check_lengths are stricter than Params::new");
                // The crate would allocate by itself, but end the process when it cannot.
                let mut blocks = Vec::new();
                let count = params.block_count();
                blocks.try_reserve_exact(count).map_err(|_| OutOfMemory)?;
                blocks.resize(count, Block::new());
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into_with_memory(password, &self.salt, hash, &mut blocks)
                    .expect("salt and hash lengths were checked, passwords are below 4 GiB");
            }
        }
        Ok(())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Sha512 => f.write_str("$6")?,
            Kind::Pbkdf2 { rounds } => write!(f, "$7${rounds}")?,
            Kind::Argon2id {
                memory_kib,
                passes,
                lanes,
            } => {
                write!(f, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}")?;
                let unpadded = general_purpose::STANDARD_NO_PAD;
                return write!(
                    f,
                    "${}${}",
                    unpadded.encode(&self.salt),
                    unpadded.encode(&self.hash)
                );
            }
        }
        write!(
            f,
            "${}${}",
            BASE64.encode(&self.salt),
            BASE64.encode(&self.hash)
        )
    }
}

/// Whether a shorter password would have the same hash; see the head of this file.
fn ambiguous(kind: Kind, password: &[u8]) -> bool {
    matches!(kind, Kind::Pbkdf2 { .. }) && password.ends_with(b"\0")
}

fn bad(what: impl Into<String>) -> Refusal {
    Refusal::Bad(what.into())
}

fn within(what: &str, value: u32, least: u32, most: u32) -> Result<(), Refusal> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(bad(format!(
        "{what} is {value}, expected {least} to {most}"
    )))
}

/// A decimal number: digits only, so that no sign, blank or hex slips through.
fn number(what: &str, digits: &[u8]) -> Result<u32, Refusal> {
    let value = std::str::from_utf8(digits)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(text) = value else {
        return Err(bad(format!("{what} must be a decimal number")));
    };
    // Only a number that is too large can fail here, and it is too large for every bound as well.
    text.parse()
        .map_err(|_| bad(format!("{what} is far too large")))
}

fn parse_argon2_costs(costs: &[u8]) -> Result<Kind, Refusal> {
    let mut costs = costs.split(|byte| *byte == b',');
    let mut cost = |name: &str| {
        let digits = costs
            .next()
            .and_then(|cost| cost.strip_prefix(name.as_bytes()))
            .and_then(|cost| cost.strip_prefix(b"="))
            .ok_or_else(|| bad("expected the costs of argon2id as m=MEMORY,t=PASSES,p=LANES"))?;
        number(&format!("the cost {name} of argon2id"), digits)
    };
    let kind = Kind::Argon2id {
        memory_kib: cost("m")?,
        passes: cost("t")?,
        lanes: cost("p")?,
    };
    if costs.next().is_some() {
        return Err(bad("argon2id with more than the costs m, t and p"));
    }
    Ok(kind)
}

/// Base64 of at most `max` bytes.
fn decode(what: &str, text: &[u8], max: usize) -> Result<Box<[u8]>, Refusal> {
    // Before decoding, so that a line of any length costs no memory.
    if text.len() > max.div_ceil(3) * 4 {
        return Err(bad(format!("{what} has more than {max} bytes")));
    }
    let bytes = BASE64
        .decode(text)
        .map_err(|_| bad(format!("{what} is not base64")))?;
    if bytes.len() > max {
        return Err(bad(format!("{what} has more than {max} bytes")));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
