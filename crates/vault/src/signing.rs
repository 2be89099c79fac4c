//! Keys that sign for others to verify: Ed25519 (RFC 8032).

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use switchboard_domain::Random;
use zeroize::Zeroizing;

/// A private key. What is stored of it is its seed, sealed.
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// `None` only for a seed of another length.
    pub fn from_seed(seed: &[u8]) -> Option<Self> {
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).ok()?);
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).ok()?;
        Some(Self { seed, pair })
    }

    pub fn generate(random: &dyn Random) -> Option<Self> {
        Self::from_seed(&*Zeroizing::new(random.bytes::<32>()))
    }

    /// To be sealed.
    pub fn seed(&self) -> &[u8] {
        &self.seed[..]
    }

    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::SigningKey;

    /// RFC 8032 section 7.1, test 2.
    #[test]
    fn it_signs_as_the_standard_says() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = SigningKey::from_seed(&seed).unwrap();
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(key.public_key(), &public[..]);
        let signature = hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
        assert_eq!(key.sign(&[0x72]), signature);
        assert!(SigningKey::from_seed(&seed[1..]).is_none());
        assert_eq!(format!("{key:?}"), "SigningKey");
    }
}
