//! The tokens that a provider issued for a connection, with all that using, renewing and revoking them takes.
//!
//! They are sealed together: whoever could change the token endpoint of a stored refresh token would be sent it.
//! Only the expiry is kept in clear beside them, so that what must be renewed can be found without opening anything.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_domain::{AuthType, Connection, Random, SecretValue, Timestamp};
use switchboard_oauth::upstream::{AssertionTerms, Authentication, TokenAnswer};
use zeroize::Zeroize as _;

/// A fifth of their life ahead of the end tokens are due, and at most so long; each process at a time of its own.
const LONGEST_AHEAD: Duration = Duration::from_secs(300);
/// Clocks differ, and a call takes a while: the last so much of a token's life is not used.
const LEEWAY: Duration = Duration::from_secs(10);

/// Our client at a provider: tokens are bound to the one they were issued to.
#[derive(Debug, Clone)]
pub struct UpstreamClient {
    pub id: String,
    /// Its private key, where it proves itself with assertions.
    pub secret: Option<SecretValue>,
    pub method: Authentication,
    /// What its assertions have to be like there; only of a client with a private key.
    pub terms: Option<AssertionTerms>,
}

/// Tokens of one owner at one provider.
#[derive(Debug, Clone)]
pub struct UpstreamTokens {
    pub access_token: SecretValue,
    /// As the provider wrote it; only `Bearer`, in any case, is stored.
    pub token_type: String,
    pub refresh_token: Option<SecretValue>,
    /// What was granted.
    pub scopes: Vec<String>,
    /// The authorization server; its tokens and our client there go to no other (THREATS O6).
    pub issuer: String,
    pub token_endpoint: String,
    /// RFC 7009; `None` when the provider has none.
    pub revocation_endpoint: Option<String>,
    pub client: UpstreamClient,
    /// RFC 8707: sent again with each refresh.
    pub resource: Option<String>,
    /// Of the access token; `None` when the provider does not say.
    pub expires_at: Option<Timestamp>,
}

/// The same as JSON, only ever within a sealed envelope.
#[derive(Serialize, Deserialize)]
pub(super) struct SealedTokens {
    access_token: String,
    token_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    issuer: String,
    token_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revocation_endpoint: Option<String>,
    client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    client_auth_method: Authentication,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assertion_terms: Option<AssertionTerms>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    /// Microseconds; with the expiry it says how long they live.
    #[serde(default)]
    issued_at: i64,
}

impl Drop for SealedTokens {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
        self.client_secret.zeroize();
    }
}

impl Life {
    /// Of what has yet to be got.
    pub(super) const OVER: Self =
        Self { renew_at: Timestamp::from_micros(0), ends_at: Timestamp::from_micros(0) };
}

impl SealedTokens {
    pub(super) fn new(tokens: &UpstreamTokens, issued_at: Timestamp) -> Self {
        let exposed = |secret: &Option<SecretValue>| secret.as_ref().map(|secret| secret.expose().to_owned());
        Self {
            access_token: tokens.access_token.expose().to_owned(),
            token_type: tokens.token_type.clone(),
            refresh_token: exposed(&tokens.refresh_token),
            scopes: tokens.scopes.clone(),
            issuer: tokens.issuer.clone(),
            token_endpoint: tokens.token_endpoint.clone(),
            revocation_endpoint: tokens.revocation_endpoint.clone(),
            client_id: tokens.client.id.clone(),
            client_secret: exposed(&tokens.client.secret),
            client_auth_method: tokens.client.method,
            assertion_terms: tokens.client.terms.clone(),
            resource: tokens.resource.clone(),
            issued_at: issued_at.as_micros(),
        }
    }

    pub(super) fn access_token(&self) -> &str {
        &self.access_token
    }

    pub(super) fn token_endpoint(&self) -> &str {
        &self.token_endpoint
    }

    /// As OAuth writes scopes.
    pub(super) fn scope(&self) -> String {
        self.scopes.join(" ")
    }

    pub(super) fn client(&self) -> UpstreamClient {
        UpstreamClient {
            id: self.client_id.clone(),
            secret: self.client_secret.as_deref().map(SecretValue::new),
            method: self.client_auth_method,
            terms: self.assertion_terms.clone(),
        }
    }

    /// The authorization server that issued them.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// From now on this is how our client proves itself for them.
    pub(super) fn prove_as(&mut self, client: &UpstreamClient) {
        self.client_secret.zeroize();
        self.client_secret = client.secret.as_ref().map(|secret| secret.expose().to_owned());
        self.client_auth_method = client.method;
        self.assertion_terms.clone_from(&client.terms);
    }

    pub(super) fn revocation_endpoint(&self) -> Option<&str> {
        self.revocation_endpoint.as_deref()
    }

    /// Each with what it is, the one that makes others first.
    pub(super) fn to_revoke(&self) -> Vec<(&'static str, &str)> {
        let refresh_token = self.refresh_token.as_deref().map(|token| ("refresh_token", token));
        refresh_token.into_iter().chain([("access_token", self.access_token())]).collect()
    }

    /// What is sent for the next ones; `None` when only their owner can get any.
    pub(super) fn grant<'t>(
        &'t self,
        connection: &Connection,
        scope: &'t str,
    ) -> Option<Vec<(&'static str, &'t str)>> {
        let mut fields = if connection.auth_type == AuthType::ClientCredentials {
            let scope = Some(("scope", scope)).filter(|(_, scope)| !scope.is_empty());
            std::iter::once(("grant_type", "client_credentials")).chain(scope).collect()
        } else {
            let refresh_token = self.refresh_token.as_deref()?;
            vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)]
        };
        fields.extend(self.resource.as_deref().map(|resource| ("resource", resource)));
        Some(fields)
    }

    /// Takes over what was issued. What the answer leaves out stays (RFC 6749 section 6).
    pub(super) fn renew(&mut self, answer: &TokenAnswer, issued_at: Timestamp) {
        self.access_token.zeroize();
        self.access_token = answer.access_token.expose().to_owned();
        if let Some(refresh_token) = &answer.refresh_token {
            self.refresh_token.zeroize();
            self.refresh_token = Some(refresh_token.expose().to_owned());
        }
        if let Some(scopes) = &answer.scopes {
            self.scopes.clone_from(scopes);
        }
        self.issued_at = issued_at.as_micros();
    }

    /// When they are due and when they end; `None` when the provider did not say.
    pub(super) fn life(&self, expires_at: Option<Timestamp>, random: &dyn Random) -> Option<Life> {
        let expires_at = expires_at?;
        let whole = expires_at.since(Timestamp::from_micros(self.issued_at));
        let ahead = (whole / 5).min(LONGEST_AHEAD).mul_f64(0.75 + 0.5 * random.unit());
        let ends_at = expires_at.minus((whole / 20).min(LEEWAY));
        Some(Life { renew_at: expires_at.minus(ahead).min(ends_at), ends_at })
    }
}

/// How long an opened access token serves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    /// From here on its successor is fetched.
    pub(super) renew_at: Timestamp,
    /// From here on it is not sent any more.
    pub(super) ends_at: Timestamp,
}
