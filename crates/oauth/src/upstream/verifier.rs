//! Our side of PKCE (RFC 7636): 256 random bits, and what may be seen of them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use switchboard_domain::{Random, SecretValue};

/// A `code_verifier`.
#[derive(Debug, Clone)]
pub struct Verifier(SecretValue);

impl Verifier {
    pub fn new(random: &dyn Random) -> Self {
        let bytes: [u8; 32] = random.bytes();
        Self(SecretValue::new(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// One that was kept.
    pub fn kept(text: SecretValue) -> Self {
        Self(text)
    }

    pub fn secret(&self) -> &SecretValue {
        &self.0
    }

    /// The `code_challenge` of the method `S256`.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_what_a_server_checks() {
        let verifier = Verifier::new(&switchboard_domain::SeededRandom::new(1));
        assert!(crate::verify_challenge(&verifier.challenge(), verifier.secret().expose()));
    }
}
