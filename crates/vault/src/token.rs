//! Tokens that we issue: a prefix that says what it is, 256 random bits, a checksum.
//!
//! ```text
//! swb_pat_ 3kq…(43 characters: 32 random bytes in base62)… 1Zx9aB(6: CRC-32 of everything before, in base62)
//! ```
//!
//! The prefix and the checksum let a scanner find a leaked token in a repository with next to no false
//! alarm ([`SECRET_SCANNER_REGEX`]), and let us refuse a mistyped or made-up one before the database is asked.
//! At rest there is only SHA-256 of the whole token: 256 random bits need no slow hash.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use switchboard_domain::{Random, SecretValue};
use zeroize::{Zeroize, Zeroizing};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256
const RANDOM_CHARACTERS: usize = 43;
/// 62^6 > 2^32
const CHECKSUM_CHARACTERS: usize = 6;
/// Longest prefix of an opaque secret.
const MAX_PREFIX: usize = 16;

/// Finds our tokens in text: for secret scanners. The last six characters are the checksum (see the module).
pub const SECRET_SCANNER_REGEX: &str = r"\bswb_(?:pat|svc|ses|set|inv|oac|oat|ort|ocs)_[0-9A-Za-z]{49}\b";

/// What an issued token is for; its prefix says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A person's access token.
    Personal,
    /// A service account's access token.
    Service,
    /// A console session.
    Session,
    /// The single-use link that makes the first owner.
    SetupLink,
    /// An invitation to an organization.
    Invitation,
    /// An OAuth authorization code.
    AuthorizationCode,
    /// An OAuth access token.
    AccessToken,
    /// An OAuth refresh token.
    RefreshToken,
    /// The secret of an OAuth client.
    ClientSecret,
}

impl TokenKind {
    pub const ALL: [Self; 9] = [
        Self::Personal,
        Self::Service,
        Self::Session,
        Self::SetupLink,
        Self::Invitation,
        Self::AuthorizationCode,
        Self::AccessToken,
        Self::RefreshToken,
        Self::ClientSecret,
    ];

    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Personal => "swb_pat_",
            Self::Service => "swb_svc_",
            Self::Session => "swb_ses_",
            Self::SetupLink => "swb_set_",
            Self::Invitation => "swb_inv_",
            Self::AuthorizationCode => "swb_oac_",
            Self::AccessToken => "swb_oat_",
            Self::RefreshToken => "swb_ort_",
            Self::ClientSecret => "swb_ocs_",
        }
    }
}

/// SHA-256 of a whole token: what the database holds and looks up. Whoever reads it can't make the token.
#[derive(Clone, Copy, Hash)]
#[expect(clippy::derived_hash_with_manual_eq, reason = "equality compares the same bytes, in constant time")]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// In constant time, so that comparing a looked-up row tells nothing.
impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A new token. `secret` is shown once and kept nowhere; the rest is stored.
#[derive(Debug)]
pub struct IssuedToken {
    pub secret: SecretValue,
    pub hash: TokenHash,
    /// `swb_pat_`: shown with `last_four` so that people recognise a token in a list.
    pub prefix: String,
    /// The end of the token; part of its checksum.
    pub last_four: String,
}

/// What a well-formed token says of itself. It has yet to be found in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedToken {
    pub kind: TokenKind,
    pub hash: TokenHash,
}

/// Why a text can't be one of our tokens. Says nothing about the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFormatError {
    #[error("this is not a token of Switchboard: those start with `swb_`")]
    Prefix,
    #[error("this token is cut off or has characters that don't belong to it: copy it again, whole")]
    Shape,
    #[error("this token was mistyped or changed: its checksum does not fit")]
    Checksum,
}

#[must_use]
pub fn issue(kind: TokenKind, random: &dyn Random) -> IssuedToken {
    issue_opaque(kind.prefix(), random)
}

/// A secret in the same form with a prefix of the caller's, for what is no [`TokenKind`]: states, nonces,
/// cookie values. The prefix may be empty; it has at most 16 characters.
#[must_use]
pub fn issue_opaque(prefix: &'static str, random: &dyn Random) -> IssuedToken {
    debug_assert!(prefix.len() <= MAX_PREFIX, "prefixes are short");
    let mut bytes: [u8; 32] = random.bytes();
    // Sized beforehand: a text that grows leaves copies behind.
    let mut text =
        Zeroizing::new(String::with_capacity(MAX_PREFIX + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS));
    text.push_str(prefix);
    push_base62(&mut text, &mut bytes);
    let checksum = checksum(text.as_bytes());
    text.extend(checksum.map(char::from));
    IssuedToken {
        hash: TokenHash::of(&text),
        prefix: prefix.into(),
        last_four: text[text.len() - 4..].into(),
        secret: SecretValue::new(text.as_str()),
    }
}

/// Reads any [`TokenKind`]. The caller decides whether the kind is welcome: a setup link is no bearer token.
pub fn parse(text: &str) -> Result<ParsedToken, TokenFormatError> {
    let kind = TokenKind::ALL
        .into_iter()
        .find(|kind| text.starts_with(kind.prefix()))
        .ok_or(TokenFormatError::Prefix)?;
    parse_opaque(kind.prefix(), text).map(|hash| ParsedToken { kind, hash })
}

/// Reads what [`issue_opaque`] made with the same prefix. Letters count as written: there is one spelling.
pub fn parse_opaque(prefix: &str, text: &str) -> Result<TokenHash, TokenFormatError> {
    let body = text.strip_prefix(prefix).ok_or(TokenFormatError::Prefix)?;
    if body.len() != RANDOM_CHARACTERS + CHECKSUM_CHARACTERS
        || !body.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return Err(TokenFormatError::Shape);
    }
    let (signed, given) = text.as_bytes().split_at(text.len() - CHECKSUM_CHARACTERS);
    if checksum(signed).as_slice() != given {
        return Err(TokenFormatError::Checksum);
    }
    Ok(TokenHash::of(text))
}

/// CRC-32 in base62, most significant first. It guards against typing errors, not against forgery.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_CHARACTERS] {
    let mut rest = crc32fast::hash(bytes);
    let mut digits = [0; CHECKSUM_CHARACTERS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

/// The bytes as one big-endian number in base62, at fixed width; wipes them.
fn push_base62(text: &mut String, bytes: &mut [u8; 32]) {
    let mut digits = Zeroizing::new([0u8; RANDOM_CHARACTERS]);
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0;
        for byte in bytes.iter_mut() {
            let value = remainder * 256 + u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = ALPHABET[remainder as usize];
    }
    text.extend(digits.iter().map(|&digit| char::from(digit)));
    bytes.zeroize();
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
