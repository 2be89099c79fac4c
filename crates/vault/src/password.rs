//! Passwords of console users: argon2id (RFC 9106) with the parameters of the OWASP password storage cheat
//! sheet (19 MiB, 2 passes, 1 lane), stored as a PHC string that carries its own parameters and salt.
//!
//! Hashing and verifying take tens of milliseconds and 19 MiB on purpose. **Call them on a blocking thread**
//! (`tokio::task::spawn_blocking`), behind a limit on how many run at once.

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use switchboard_domain::{Random, SecretValue};
use zxcvbn::{Score, zxcvbn};

/// Shortest password, in characters.
pub const MIN_PASSWORD_CHARACTERS: usize = 12;
/// Longest password, in bytes: more only costs time.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// A password that a patient attacker with the hash finds in fewer guesses than this stands for is not taken (zxcvbn's scale).
const LEAST_SCORE: Score = Score::Three;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A stored hash asking for more than this was not made by us, and would be a way to stop the process.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 8;

/// Verified against when there is no such user, so that the answer takes as long. Nobody has its password:
/// the digest part is random.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$wG1fMbu2VQx1V0f6QZ8K7rUu1i3PjM9m0YxB4sJqk2E";

/// Why a password can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error(
        "the password is too short: use at least {MIN_PASSWORD_CHARACTERS} characters; a few unrelated words work well"
    )]
    TooShort,
    #[error("the password is too long: use at most {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
    #[error("the password is easily guessed: {0}; a few unrelated words work well")]
    Guessable(String),
    #[error("the password could not be hashed: the machine is out of memory; try again")]
    OutOfMemory,
}

/// Whether a new password can be taken. What else is known of the person (`about`: address, name, organization) is what
/// somebody who guesses tries first.
pub fn check_password(password: &SecretValue, about: &[&str]) -> Result<(), PasswordError> {
    let text = password.expose();
    if text.chars().count() < MIN_PASSWORD_CHARACTERS {
        return Err(PasswordError::TooShort);
    }
    if text.len() > MAX_PASSWORD_BYTES {
        return Err(PasswordError::TooLong);
    }
    let known: Vec<&str> = about.iter().flat_map(|text| [*text].into_iter().chain(words(text))).collect();
    let estimate = zxcvbn(text, &known);
    if estimate.score() >= LEAST_SCORE {
        return Ok(());
    }
    let warning = estimate.feedback().and_then(|feedback| feedback.warning());
    let why = warning
        .map_or_else(|| "it has too little in it".to_owned(), |warning| sentence(&warning.to_string()));
    Err(PasswordError::Guessable(why))
}

/// The words of an address or a name, each of which may stand in a password.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 2)
}

/// As a part of another sentence.
fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_lowercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

/// Hashes a new password into a PHC string. Blocking: see the module.
pub fn hash_password(password: &SecretValue, random: &dyn Random) -> Result<String, PasswordError> {
    check_password(password, &[])?;
    let salt: [u8; 16] = random.bytes();
    argon2()
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|_| PasswordError::OutOfMemory)
}

/// Whether the password is the one. Pass `None` when there is no such user: the work is the same, the
/// answer is no. A stored text that is no hash of ours is a no as well. Blocking: see the module.
#[must_use]
pub fn verify_password(password: &SecretValue, stored: Option<&str>) -> bool {
    let stored = stored.filter(|text| parameters(text).is_some());
    let too_long = password.expose().len() > MAX_PASSWORD_BYTES;
    let given = if too_long { b"".as_slice() } else { password.expose().as_bytes() };
    let fits = argon2().verify_password(given, stored.unwrap_or(NOBODY)).is_ok();
    fits && stored.is_some() && !too_long
}

/// Whether a hash was made with weaker parameters than today's: hash again at the next sign-in.
#[must_use]
pub fn needs_rehash(stored: &str) -> bool {
    parameters(stored).is_none_or(|params| params.m_cost() < MEMORY_KIB || params.t_cost() < PASSES)
}

/// Parameters of an argon2id hash, if they are ones to spend time on.
fn parameters(stored: &str) -> Option<Params> {
    let hash = PasswordHash::new(stored).ok().filter(|hash| hash.algorithm == argon2::ARGON2ID_IDENT)?;
    hash.hash.as_ref().zip(hash.salt.as_ref())?;
    Params::try_from(&hash).ok().filter(|params| {
        params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES && params.p_cost() <= MAX_LANES
    })
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are in argon2's range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
#[path = "password_tests.rs"]
mod tests;
