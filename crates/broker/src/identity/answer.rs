//! What a token endpoint's answer says: its tokens, if that is what they are, and the ID token's claims, if all of it is
//! in order.

use std::time::Duration;

use chrono::{DateTime, Utc};
use openidconnect::{
    AccessTokenHash, ClientId, Nonce, OAuth2TokenResponse as _, TokenResponse as _,
    core::{CoreIdTokenVerifier, CoreJwsSigningAlgorithm, CoreTokenType},
};
use switchboard_domain::{SecretValue, Timestamp};

use super::{
    SignInError,
    protocol::Known,
    wire::{Answer, Claims, Metadata, chain},
};

/// Longest access or refresh token that is kept.
const MAX_TOKEN: usize = 32 * 1024;
/// How far a provider's clock may be from ours.
pub(super) const SKEW: Duration = Duration::from_secs(60);
/// A token's life is taken for this at most, whatever the provider says.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// What signs an ID token: nothing that a public key could be mistaken for a secret of, and nothing unsigned.
pub(super) const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// Tokens of a provider, checked to be tokens.
#[derive(Debug)]
pub(super) struct ProviderTokens {
    pub(super) access: SecretValue,
    pub(super) refresh: Option<SecretValue>,
    pub(super) id: Option<SecretValue>,
    pub(super) expires_at: Option<Timestamp>,
}

pub(super) enum Unchecked {
    NoKey,
    Wrong(String),
}

impl From<Unchecked> for SignInError {
    fn from(unchecked: Unchecked) -> Self {
        Self::Untrusted(match unchecked {
            Unchecked::NoKey => "its ID token is signed with a key that it does not publish".into(),
            Unchecked::Wrong(text) => format!("its ID token can't be believed: {text}"),
        })
    }
}

/// The claims of the ID token, if all of it is in order (Core section 3.1.3.7).
pub(super) fn checked_claims<'a>(
    known: &Known,
    metadata: &Metadata,
    answer: &'a Answer,
    nonce: &Nonce,
    now: Timestamp,
) -> Result<&'a Claims, Unchecked> {
    use openidconnect::{ClaimsVerificationError as Failure, SignatureVerificationError as Signature};
    let wrong = |text: &str| Unchecked::Wrong(text.to_owned());
    let token = answer.id_token().ok_or_else(|| wrong("there is none"))?;
    let client_id = known.provider.client_id.as_str();
    let (latest, earliest) = (instant(now.plus(SKEW)), instant(now.minus(SKEW)));
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(client_id.to_owned()),
        metadata.issuer().clone(),
        metadata.jwks().clone(),
    )
    .set_allowed_algs(ALGORITHMS)
    .set_time_fn(move || earliest)
    .set_issue_time_verifier_fn(move |at| match at <= latest {
        true => Ok(()),
        false => Err("it was issued in the future".into()),
    });
    let claims = token.claims(&verifier, nonce).map_err(|failure| match failure {
        Failure::SignatureVerification(Signature::NoMatchingKey) => Unchecked::NoKey,
        failure => Unchecked::Wrong(chain(&failure)),
    })?;
    if claims.authorized_party().is_some_and(|party| party.as_str() != client_id) {
        return Err(wrong("it was made for another client"));
    }
    if claims.subject().as_str().is_empty() || claims.subject().as_str().len() > 255 {
        return Err(wrong("its subject is empty or too long"));
    }
    if let Some(said) = claims.access_token_hash() {
        let algorithm = token.signing_alg().map_err(|_| wrong("it is not signed"))?;
        let key = token.signing_key(&verifier).map_err(|_| Unchecked::NoKey)?;
        let hash = AccessTokenHash::from_token(answer.access_token(), algorithm, key)
            .map_err(|error| Unchecked::Wrong(chain(&error)))?;
        if hash != *said {
            return Err(wrong("it belongs to another access token"));
        }
    }
    Ok(claims)
}

/// The tokens of an answer, if that is what they are (RFC 6749 section 5.1, RFC 6750 section 2.1).
pub(super) fn tokens_of(answer: &Answer, now: Timestamp) -> Result<ProviderTokens, SignInError> {
    let wrong = |text: &str| SignInError::Untrusted(format!("its token endpoint answered with {text}"));
    if *answer.token_type() != CoreTokenType::Bearer {
        return Err(wrong("a token of an unknown type"));
    }
    let token = |text: &str| {
        let plain = text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        let usable = plain && !text.is_empty() && text.len() <= MAX_TOKEN;
        usable.then(|| SecretValue::new(text)).ok_or_else(|| wrong("something that is no token"))
    };
    let expires_in = answer.expires_in().map(|life| life.min(LONGEST));
    Ok(ProviderTokens {
        access: token(answer.access_token().secret())?,
        refresh: answer.refresh_token().map(|refresh| token(refresh.secret())).transpose()?,
        id: answer.id_token().map(|id| SecretValue::new(id.to_string())),
        expires_at: expires_in.map(|life| now.plus(life)),
    })
}

fn instant(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.as_micros()).unwrap_or_default()
}
