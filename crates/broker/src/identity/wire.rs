//! The `openidconnect` crate's types as they are used here, and its failures in our words.

use openidconnect::{
    AdditionalClaims, AdditionalProviderMetadata, EmptyExtraTokenFields, IdTokenFields, ProviderMetadata,
    RequestTokenError, StandardErrorResponse, StandardTokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod,
        CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm,
        CoreResponseMode, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
        CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use switchboard_egress::{EgressError, Refused};

use super::SignInError;

/// Members of the metadata that the crate does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MoreMetadata {
    /// RFC 9207.
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    /// RFC 8414. Some providers take PKCE and do not say so.
    pub(super) code_challenge_methods_supported: Option<Vec<String>>,
    /// RFC 7009.
    #[serde(default)]
    pub(super) revocation_endpoint: Option<String>,
}

impl AdditionalProviderMetadata for MoreMetadata {}

/// Claims beside the standard ones: groups, for one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MoreClaims {
    #[serde(flatten)]
    pub(super) claims: Map<String, Value>,
}

impl AdditionalClaims for MoreClaims {}

pub(super) type Metadata = ProviderMetadata<
    MoreMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;
type Fields = IdTokenFields<
    MoreClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
pub(super) type Answer = StandardTokenResponse<Fields, CoreTokenType>;
pub(super) type Claims = openidconnect::IdTokenClaims<MoreClaims, CoreGenderClaim>;
type Refusal = StandardErrorResponse<CoreErrorResponseType>;
pub(super) type Client = openidconnect::Client<
    MoreClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    Refusal,
    Answer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    openidconnect::EndpointSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointMaybeSet,
    openidconnect::EndpointMaybeSet,
>;

/// An exchange with a provider that did not come to an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Egress(#[from] EgressError),
}

/// How the provider wants to know that it is us. Basic is what is meant when nothing is said (Discovery section 3).
pub(super) fn is_basic(metadata: &Metadata) -> bool {
    let methods = metadata.token_endpoint_auth_methods_supported();
    methods.is_none_or(|all| all.contains(&CoreClientAuthMethod::ClientSecretBasic))
}

pub(super) fn token_error(error: RequestTokenError<Unanswered, Refusal>) -> SignInError {
    match error {
        RequestTokenError::Request(error) => SignInError::Unreachable(chain(&error)),
        // Only the code: what else it says is a stranger's text.
        RequestTokenError::ServerResponse(refusal) => {
            SignInError::Untrusted(format!("its token endpoint refuses: {}", short(refusal.error().as_ref())))
        }
        RequestTokenError::Parse(error, _) => {
            SignInError::Untrusted(format!("its token endpoint's answer can't be read: {}", error.path()))
        }
        RequestTokenError::Other(_) => {
            SignInError::Untrusted("its token endpoint answers with something that is no token".into())
        }
    }
}

/// An error code of somebody else's: letters, and not many.
pub(super) fn short(code: &str) -> String {
    code.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').take(64).collect()
}

pub(super) fn metadata_wrong(error: &impl std::fmt::Display) -> SignInError {
    SignInError::Untrusted(format!("its metadata can't be used: {error}"))
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
