//! What is sealed in a credential, and the headers it becomes.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use switchboard_domain::{AuthType, Connection, SecretValue, Timestamp};
use switchboard_oauth::upstream::TokenAnswer;
use zeroize::{Zeroize as _, Zeroizing};

use super::{CredentialError, tokens::SealedTokens};
use crate::upstream::UpstreamAuth;

/// A secret that a person gives.
#[derive(Debug)]
pub enum NewSecret {
    ApiKey(SecretValue),
    Headers(Vec<(String, SecretValue)>),
    /// Of our client at the provider (RFC 6749 section 4.4).
    ClientSecret(SecretValue),
}

/// What is sealed, as JSON.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct Plain {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    /// What tokens are got with, where no person signs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tokens: Option<SealedTokens>,
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.api_key.zeroize();
        self.client_secret.zeroize();
        self.headers.values_mut().for_each(|value| value.zeroize());
    }
}

impl From<&NewSecret> for Plain {
    fn from(secret: &NewSecret) -> Self {
        let mut plain = Self::default();
        match secret {
            NewSecret::ApiKey(key) => plain.api_key = Some(key.expose().to_owned()),
            NewSecret::ClientSecret(secret) => plain.client_secret = Some(secret.expose().to_owned()),
            NewSecret::Headers(headers) => {
                plain.headers =
                    headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
            }
        }
        plain
    }
}

impl Plain {
    pub(super) fn of_tokens(tokens: SealedTokens) -> Self {
        let mut plain = Self::default();
        plain.tokens = Some(tokens);
        plain
    }

    pub(super) fn renew(&mut self, answer: &TokenAnswer, issued_at: Timestamp) {
        if let Some(tokens) = &mut self.tokens {
            tokens.renew(answer, issued_at);
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, CredentialError> {
        serde_json::from_slice(bytes).map_err(|_| CredentialError::Unreadable)
    }

    pub(super) fn write(&self) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        serde_json::to_vec(self).map(Zeroizing::new).map_err(|_| CredentialError::Unreadable)
    }

    /// The headers that authenticate us at this connection.
    pub(super) fn authenticate(&self, connection: &Connection) -> Result<UpstreamAuth, CredentialError> {
        let mut auth = UpstreamAuth::default();
        match connection.auth_type {
            AuthType::ApiKey => {
                let place = connection.auth.api_key.clone().unwrap_or_default();
                let secret = self.api_key.as_deref().ok_or(CredentialError::Unreadable)?;
                let value = match place.scheme.as_deref().filter(|scheme| !scheme.is_empty()) {
                    Some(scheme) => format!("{scheme} {secret}"),
                    None => secret.to_owned(),
                };
                add(&mut auth, &place.header, &value, secret)?;
            }
            AuthType::Headers => {
                for (name, value) in &self.headers {
                    add(&mut auth, name, value, value)?;
                }
            }
            // None yet: the first call gets them.
            AuthType::ClientCredentials if self.tokens.is_none() && self.client_secret.is_some() => {}
            AuthType::OAuth | AuthType::ClientCredentials => {
                let tokens = self.tokens.as_ref().ok_or(CredentialError::Unreadable)?;
                let secret = tokens.access_token();
                add(&mut auth, "Authorization", &format!("Bearer {secret}"), secret)?;
            }
            AuthType::None | AuthType::UserOidc => return Err(CredentialError::Unreadable),
        }
        Ok(auth)
    }
}

pub(super) fn add(
    auth: &mut UpstreamAuth,
    name: &str,
    value: &str,
    secret: &str,
) -> Result<(), CredentialError> {
    let refuse = || CredentialError::NotAHeader(name.to_owned());
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse())?;
    let mut header_value = HeaderValue::from_str(value).map_err(|_| refuse())?;
    header_value.set_sensitive(true);
    auth.headers.push((header, header_value));
    // Very short values would redact half of every answer.
    if secret.len() >= 8 {
        auth.secrets.push(SecretValue::new(secret));
        auth.secrets.push(SecretValue::new(STANDARD.encode(secret)));
    }
    Ok(())
}
