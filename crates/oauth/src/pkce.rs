//! Proof key for code exchange (RFC 7636): `S256` and nothing else.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::OauthError;

/// A `code_challenge` of the method `S256`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    pub fn parse(challenge: Option<&str>, method: Option<&str>) -> Result<Self, OauthError> {
        let challenge =
            challenge.ok_or_else(|| OauthError::invalid_request("`code_challenge` is missing (PKCE)"))?;
        // Without a method it would be `plain` (section 4.3).
        if method != Some("S256") {
            return Err(OauthError::invalid_request("`code_challenge_method` has to be S256"));
        }
        let decoded = URL_SAFE_NO_PAD.decode(challenge).ok().filter(|digest| digest.len() == 32);
        decoded.map(|_| Self(challenge.to_owned())).ok_or_else(|| {
            OauthError::invalid_request("`code_challenge` is no SHA-256 in base64url without padding")
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether the verifier is what the challenge was made of.
pub fn verify_challenge(challenge: &str, verifier: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(unreserved)
        && URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == challenge
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_standard_fits() {
        assert!(Challenge::parse(Some(CHALLENGE), Some("S256")).is_ok());
        assert!(verify_challenge(CHALLENGE, VERIFIER));
        for wrong in
            ["", "short", CHALLENGE, &VERIFIER[..42], &format!("{VERIFIER}x"), &format!("{VERIFIER}é")]
        {
            assert!(!verify_challenge(CHALLENGE, wrong), "{wrong}");
        }
    }

    #[test]
    fn there_is_no_way_around_it() {
        let long = "a".repeat(44);
        for (challenge, method) in [
            (None, Some("S256")),
            (Some(CHALLENGE), None),
            (Some(CHALLENGE), Some("plain")),
            (Some(CHALLENGE), Some("s256")),
            (Some(""), Some("S256")),
            (Some("short"), Some("S256")),
            (Some(&long), Some("S256")),
            (Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"), Some("S256")),
        ] {
            assert!(Challenge::parse(challenge, method).is_err(), "{challenge:?} {method:?}");
        }
    }
}
