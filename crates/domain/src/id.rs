//! Ids: UUID version 7 (RFC 9562) behind one type each, written as `prefix_` and 26 characters of
//! lower-case Crockford base32 (the TypeID form), so that an id says what it is an id of.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::{Clock, Random, Timestamp};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Why a text is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no such id: it would be `{prefix}_` and 26 characters")]
pub struct IdError {
    given: String,
    prefix: &'static str,
}

/// Encodes 128 bits as 26 base32 characters, most significant first.
fn encode(uuid: Uuid) -> String {
    let value = uuid.as_u128();
    (0..26).rev().map(|digit| ALPHABET[((value >> (digit * 5)) & 31) as usize] as char).collect()
}

fn decode(text: &str) -> Option<Uuid> {
    if text.len() != 26 || !matches!(text.as_bytes()[0], b'0'..=b'7') {
        return None;
    }
    text.bytes()
        .try_fold(0u128, |value, byte| {
            let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
            Some((value << 5) | digit as u128)
        })
        .map(Uuid::from_u128)
}

/// A version 7 UUID from the two parameters: milliseconds of `clock`, the rest from `random`.
pub(crate) fn new_uuid(clock: &dyn Clock, random: &dyn Random) -> Uuid {
    let mut bytes = [0u8; 10];
    random.fill(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis(clock.now().as_millis().max(0) as u64, &bytes).into_uuid()
}

fn made_at(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    let micros = seconds.checked_mul(1_000_000)?.checked_add(u64::from(nanoseconds) / 1_000)?;
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this kind starts with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            pub fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
                Self(new_uuid(clock, random))
            }

            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn as_uuid(self) -> Uuid {
                self.0
            }

            /// The instant that is in the id (RFC 9562 section 5.7), to the millisecond; `None` when it was not made here.
            pub fn made_at(self) -> Option<Timestamp> {
                made_at(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_")).and_then(decode).map(Self).ok_or_else(|| IdError {
                    given: text.chars().take(64).collect(),
                    prefix: $prefix,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// The tenant.
    OrganizationId "org";
    /// A person in an organization.
    MemberId "mem";
    /// A named set of members.
    TeamId "team";
    /// A program that acts for itself.
    ServiceAccountId "svc";
    /// One third-party MCP server, added once.
    ConnectionId "con";
    /// What a connection is called with.
    CredentialId "cred";
    /// A scoped endpoint.
    ToolkitId "tk";
    /// A token that we issued (not its secret).
    TokenId "tok";
    /// A stored request for a person's decision.
    ApprovalId "apr";
    /// One call through the pipeline; both of its audit entries carry it, errors show it as `reference_id`.
    CallId "call";
    /// A task that runs at an upstream, as its client knows it.
    McpTaskId "task";
    /// What one process tells another about a client's request.
    McpLetterId "let";
    /// One process that writes audit entries.
    WriterId "wr";
    /// One organization's data-encryption key.
    DataKeyId "dek";
    /// One key-encryption key, named in the database by its digest and never stored there.
    KeyEncryptionKeyId "kek";
    /// A single-use link that makes the first owner.
    SetupLinkId "setup";
    /// An address that an organization has told what happens.
    WebhookId "whk";
    /// Who is asked about an organization's calls.
    GuardrailId "grl";
    /// Something that happened, as webhooks are told of it.
    EventId "evt";
    /// Asks somebody into an organization, once.
    InvitationId "inv";
    /// A person signed in at the console, in one browser.
    SessionId "ses";
    /// A company's OpenID provider, as one organization configured it.
    IdentityProviderId "idp";
    /// A member's account at an identity provider.
    IdentityId "idn";
    /// An AI client that members sign in with.
    OauthClientId "ocl";
    /// What a member allowed an AI client.
    OauthGrantId "ogr";
    /// One refresh token of a grant (not its secret).
    RefreshTokenId "rft";
    /// One sign-in at a third-party server (not the state it is tied to the browser with).
    AuthorizationId "aut";
    /// A form that waits for its member to sign in again.
    KeptFormId "kfm";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FixedClock, SeededRandom};

    #[test]
    fn an_id_reads_back_and_sorts_by_time() {
        let random = SeededRandom::new(7);
        let early = ConnectionId::new(&FixedClock::at_micros(1_000_000), &random);
        let late = ConnectionId::new(&FixedClock::at_micros(2_000_000), &random);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<ConnectionId>().unwrap(), early);
        assert_eq!(early.as_uuid().get_version_num(), 7);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = MemberId::new(&FixedClock::at_micros(1), &SeededRandom::new(1)).to_string();
        assert!(id.parse::<ConnectionId>().is_err());
        assert!("con_".parse::<ConnectionId>().is_err());
        assert!("con_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<ConnectionId>().is_err(), "more than 128 bits");
        assert!(id.to_uppercase().parse::<MemberId>().is_err(), "one spelling only");
    }
}
