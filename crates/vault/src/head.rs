//! Signed statements about an audit chain: where a writer's chain ends (a *head*), and up to where it was deleted because
//! its time was over (a *checkpoint*).
//!
//! A chain by itself does not tell that its end is missing. A head does: whoever keeps one elsewhere can show that the
//! entry it names was there. Heads are signed with Ed25519 (RFC 8032), so that they can be checked with the public key
//! alone; the signing key is derived from the organization's data key as the chain's key is.

use std::fmt;

use ring::signature::{ED25519, UnparsedPublicKey};
use switchboard_domain::{OrganizationId, Timestamp, WriterId};
use zeroize::Zeroizing;

use crate::{SigningKey, chain::derived, key::DataKey};

const SALT: &[u8] = b"switchboard audit head v1";

/// What a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatementKind {
    /// The last entry of a writer's chain.
    Head,
    /// The last entry that was deleted: what is left begins after it.
    Checkpoint,
}

impl StatementKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Checkpoint => "checkpoint",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Head, Self::Checkpoint].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What is signed: that this entry of this writer has this hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadStatement {
    pub kind: StatementKind,
    pub organization: OrganizationId,
    pub writer: WriterId,
    pub seq: i64,
    pub hash: [u8; 32],
    pub at: Timestamp,
}

impl HeadStatement {
    /// The signed text: one line, its parts separated by spaces, so that anybody can put it together again.
    pub fn text(&self) -> String {
        let hash: String = self.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "switchboard-audit-{} v1 {} {} {} {hash} {}",
            self.kind.as_str(),
            self.organization,
            self.writer,
            self.seq,
            self.at.as_micros()
        )
    }

    /// Whether this signature of this public key is for exactly this statement.
    #[must_use]
    pub fn is_signed(&self, public_key: &[u8; 32], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key).verify(self.text().as_bytes(), signature).is_ok()
    }
}

/// Signs one organization's statements.
pub struct HeadKey(SigningKey);

impl HeadKey {
    #[must_use]
    pub fn derive(key: &DataKey, organization: OrganizationId) -> Self {
        let seed = Zeroizing::new(derived(SALT, key, organization));
        Self(SigningKey::from_seed(&*seed).expect("a seed of 32 bytes"))
    }

    pub fn public(&self) -> [u8; 32] {
        self.0.public_key().try_into().expect("32 bytes (RFC 8032)")
    }

    #[must_use]
    pub fn sign(&self, statement: &HeadStatement) -> [u8; 64] {
        self.0.sign(statement.text().as_bytes()).try_into().expect("64 bytes (RFC 8032)")
    }
}

impl fmt::Debug for HeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadKey")
    }
}

#[cfg(test)]
mod tests {
    use switchboard_domain::SeededRandom;
    use uuid::Uuid;

    use super::*;
    use crate::key::SecretKey;

    fn statement() -> HeadStatement {
        HeadStatement {
            kind: StatementKind::Head,
            organization: OrganizationId::from_uuid(Uuid::from_u128(1)),
            writer: WriterId::from_uuid(Uuid::from_u128(2)),
            seq: 7,
            hash: [9; 32],
            at: Timestamp::from_micros(11),
        }
    }

    #[test]
    fn a_signature_is_for_one_statement_of_one_organization() {
        let random = SeededRandom::new(1);
        let data_key = DataKey::generate(&random);
        let said = statement();
        let key = HeadKey::derive(&data_key, said.organization);
        let signature = key.sign(&said);
        assert!(said.is_signed(&key.public(), &signature));
        let other = OrganizationId::from_uuid(Uuid::from_u128(3));
        for changed in [
            HeadStatement { kind: StatementKind::Checkpoint, ..said },
            HeadStatement { organization: other, ..said },
            HeadStatement { writer: WriterId::from_uuid(Uuid::from_u128(4)), ..said },
            HeadStatement { seq: 6, ..said },
            HeadStatement { hash: [8; 32], ..said },
            HeadStatement { at: Timestamp::from_micros(12), ..said },
        ] {
            assert!(!changed.is_signed(&key.public(), &signature), "{changed:?}");
        }
        assert!(!said.is_signed(&HeadKey::derive(&data_key, other).public(), &signature));
        assert!(!said.is_signed(&key.public(), &[0; 64]));
        let again = HeadKey::derive(&data_key, said.organization);
        assert_eq!(again.public(), key.public());
        assert_ne!(HeadKey::derive(&DataKey::generate(&random), said.organization).public(), key.public());
    }

    /// Made by an independent implementation: data key 00…1f, organization 1. Heads that are stored stay good.
    #[test]
    fn known_answer() {
        let key = SecretKey::from_slice(&(0..32).collect::<Vec<u8>>()).unwrap();
        let key = HeadKey::derive(&DataKey(key), statement().organization);
        let public: String = key.public().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(public, "5f17166961a36fa335f05e2375ffd524883af3310f3b9eb231dcea2e2951a280");
    }

    #[test]
    fn the_signed_text_can_be_put_together_by_anybody() {
        let text = statement().text();
        let parts: Vec<&str> = text.split(' ').collect();
        assert_eq!((parts[0], parts[1], parts[4], parts[6]), ("switchboard-audit-head", "v1", "7", "11"));
        assert!(
            !format!(
                "{:?}",
                HeadKey::derive(&DataKey::generate(&SeededRandom::new(2)), statement().organization)
            )
            .contains('[')
        );
    }
}
