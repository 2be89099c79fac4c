//! OpenID Connect on the wire: the provider's metadata, the code for tokens, the ID token and what it says.
//! <https://openid.net/specs/openid-connect-core-1_0.html>, <https://openid.net/specs/openid-connect-discovery-1_0.html>
//!
//! The protocol is the `openidconnect` crate's; the way out is `egress`, so that a provider's metadata leads nowhere
//! that the operator closed. What the crate leaves open is decided here: which algorithms sign, that `azp` is us, that a
//! token is a token.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use openidconnect::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken, DiscoveryError, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope,
    core::{CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType},
};
use serde_json::{Map, Value};
use switchboard_domain::{SecretValue, Timestamp};
use switchboard_egress::{Deadlines, Egress, Redirects, Request};
use switchboard_oauth::upstream::Authentication;
use switchboard_storage::IdentityProvider;
use url::Url;

use super::{
    ProviderSettings, SignInError,
    answer::{ALGORITHMS, ProviderTokens, Unchecked, checked_claims, tokens_of},
    wire::{Claims, Client, Metadata, Unanswered, chain, is_basic, metadata_wrong, token_error},
};
use crate::{connect::authenticated_form, credentials::UpstreamClient};

/// For one request to a provider.
const WITHIN: Duration = Duration::from_secs(10);
/// How long metadata and keys are believed before they are read again.
const FRESH: Duration = Duration::from_secs(600);

/// What a provider is known by, with the secret to talk to it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) provider: IdentityProvider,
    pub(super) settings: ProviderSettings,
    pub(super) secret: Option<SecretValue>,
}

/// The part of a sign-in that is different each time.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) state: SecretValue,
    pub(super) nonce: SecretValue,
    pub(super) verifier: SecretValue,
}

/// Who the provider says it is.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) subject: String,
    pub(super) email: Option<String>,
    pub(super) email_verified: bool,
    pub(super) name: Option<String>,
    pub(super) authenticated_at: Option<i64>,
    /// Every claim, the user info endpoint's after the ID token's.
    pub(super) claims: Map<String, Value>,
}

/// Why a refresh brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefreshFailure {
    /// `invalid_grant`: the person has to sign in again.
    #[error("the provider no longer takes the refresh token")]
    Refused,
    #[error(transparent)]
    Other(#[from] SignInError),
}

/// Reads providers' metadata and keeps it for a while.
#[derive(Debug)]
pub(crate) struct Providers {
    egress: Egress,
    known: moka::future::Cache<String, Arc<Metadata>>,
}

impl Providers {
    pub(crate) fn new(egress: Egress) -> Self {
        let known = moka::future::Cache::builder().max_capacity(1_000).time_to_live(FRESH).build();
        Self { egress, known }
    }

    /// Whether a provider of this issuer could be used at all.
    pub(crate) async fn can_be_used(&self, issuer: &str) -> Result<(), SignInError> {
        self.known.invalidate(issuer).await;
        self.metadata(issuer).await.map(drop)
    }

    /// The metadata of this issuer and of no other: compared byte for byte (Discovery section 4.3).
    async fn metadata(&self, issuer: &str) -> Result<Arc<Metadata>, SignInError> {
        let read = async {
            let url = IssuerUrl::new(issuer.to_owned()).map_err(|error| metadata_wrong(&error))?;
            let found =
                Metadata::discover_async(url, &self.way_out()).await.map_err(|error| match error {
                    DiscoveryError::Request(error) => SignInError::Unreachable(chain(&error)),
                    error => metadata_wrong(&chain(&error)),
                })?;
            self.check(&found)?;
            Ok(Arc::new(found))
        };
        let known = self.known.try_get_with(issuer.to_owned(), read).await;
        known.map_err(|error: Arc<SignInError>| (*error).clone())
    }

    fn check(&self, found: &Metadata) -> Result<(), SignInError> {
        let token = found.token_endpoint().ok_or_else(|| metadata_wrong(&"it names no token endpoint"))?;
        let userinfo = found.userinfo_endpoint().map(|url| url.as_str());
        let urls = [found.authorization_endpoint().as_str(), token.as_str(), found.jwks_uri().as_str()];
        for url in urls.into_iter().chain(userinfo) {
            self.egress
                .check_url(url)
                .map_err(|_| metadata_wrong(&format!("it names {url}, where nothing may be sent")))?;
        }
        let methods = found.additional_metadata().code_challenge_methods_supported.as_ref();
        if methods.is_some_and(|methods| !methods.iter().any(|method| method == "S256")) {
            return Err(metadata_wrong(&"it does not take PKCE with S256"));
        }
        let signs = found.id_token_signing_alg_values_supported();
        if !signs.iter().any(|algorithm| ALGORITHMS.contains(algorithm)) {
            return Err(metadata_wrong(&"it signs ID tokens with nothing that can be trusted"));
        }
        Ok(())
    }

    /// A request on the way out: bounded, and never redirected.
    fn way_out(
        &self,
    ) -> impl Fn(HttpRequest) -> futures_util::future::BoxFuture<'static, Result<HttpResponse, Unanswered>>
    {
        let egress = self.egress.clone();
        move |request| {
            let egress = egress.clone();
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                // What is sent by POST goes to a token endpoint.
                let most = match parts.method {
                    Method::POST => egress.limits().token_response_bytes(),
                    _ => egress.limits().metadata_document_bytes(),
                };
                let request = Request {
                    method: parts.method,
                    url: egress.check_url(&parts.uri.to_string())?,
                    headers: parts.headers,
                    body: Bytes::from(body),
                    deadlines: Deadlines { total: WITHIN, first_byte: WITHIN, idle: WITHIN },
                    max_wire_bytes: most,
                    max_inflated_bytes: most,
                    redirects: Redirects::Refuse,
                    accept_gzip: false,
                };
                let response = egress.send(request).await?;
                let mut answer = HttpResponse::new(Vec::new());
                *answer.status_mut() = response.status;
                *answer.headers_mut() = response.headers;
                *answer.body_mut() = response.body.collect_bytes().await?.to_vec();
                Ok(answer)
            })
        }
    }

    fn client(&self, known: &Known, metadata: &Metadata, redirect_uri: &str) -> Result<Client, SignInError> {
        let secret = known.secret.as_ref().map(|secret| ClientSecret::new(secret.expose().to_owned()));
        let id = ClientId::new(known.provider.client_id.clone());
        let redirect_uri =
            RedirectUrl::new(redirect_uri.to_owned()).map_err(|error| metadata_wrong(&error))?;
        let auth_type = if is_basic(metadata) { AuthType::BasicAuth } else { AuthType::RequestBody };
        Ok(Client::from_provider_metadata(metadata.clone(), id, secret)
            .set_redirect_uri(redirect_uri)
            .set_auth_type(auth_type))
    }

    /// Where to send the browser.
    pub(super) async fn authorization_url(
        &self,
        known: &Known,
        redirect_uri: &str,
        secrets: &Secrets,
        again: bool,
    ) -> Result<Url, SignInError> {
        let metadata = self.metadata(&known.provider.issuer).await?;
        let client = self.client(known, &metadata, redirect_uri)?;
        let verifier = PkceCodeVerifier::new(secrets.verifier.expose().to_owned());
        let (state, nonce) = (secrets.state.expose().to_owned(), secrets.nonce.expose().to_owned());
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(
                known.settings.scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new),
            );
        if again {
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(Duration::ZERO);
        }
        Ok(request.url().0)
    }

    /// Whether the provider's answer names its issuer as it has to (RFC 9207 section 2.4).
    pub(super) async fn check_issuer(&self, known: &Known, said: Option<&str>) -> Result<(), SignInError> {
        let issuer = known.provider.issuer.as_str();
        match said {
            Some(said) if said == issuer => Ok(()),
            Some(_) => Err(SignInError::Untrusted("its answer names another issuer".into())),
            None => {
                let metadata = self.metadata(issuer).await?;
                match metadata.additional_metadata().authorization_response_iss_parameter_supported {
                    true => Err(SignInError::Untrusted("its answer does not name its issuer".into())),
                    false => Ok(()),
                }
            }
        }
    }

    /// The code for tokens, and who the ID token says it is.
    pub(super) async fn exchange(
        &self,
        known: &Known,
        redirect_uri: &str,
        code: &str,
        secrets: &Secrets,
        now: Timestamp,
    ) -> Result<(ProviderTokens, Account), SignInError> {
        let metadata = self.metadata(&known.provider.issuer).await?;
        let client = self.client(known, &metadata, redirect_uri)?;
        let request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|error| metadata_wrong(&error))?
            .set_pkce_verifier(PkceCodeVerifier::new(secrets.verifier.expose().to_owned()));
        let answer = request.request_async(&self.way_out()).await.map_err(token_error)?;
        let tokens = tokens_of(&answer, now)?;
        let nonce = Nonce::new(secrets.nonce.expose().to_owned());
        let claims = match checked_claims(known, &metadata, &answer, &nonce, now) {
            Err(Unchecked::NoKey) => {
                // Its keys may have changed since we read them.
                self.known.invalidate(known.provider.issuer.as_str()).await;
                let metadata = self.metadata(&known.provider.issuer).await?;
                checked_claims(known, &metadata, &answer, &nonce, now)
            }
            checked => checked,
        };
        let claims = claims.map_err(SignInError::from)?;
        let account = self.account(&metadata, claims, &tokens.access).await?;
        Ok((tokens, account))
    }

    /// New tokens for a refresh token.
    pub(super) async fn refresh(
        &self,
        known: &Known,
        refresh: &SecretValue,
        now: Timestamp,
    ) -> Result<ProviderTokens, RefreshFailure> {
        let metadata = self.metadata(&known.provider.issuer).await?;
        let client = self.client(known, &metadata, known.provider.issuer.as_str())?;
        let refresh = RefreshToken::new(refresh.expose().to_owned());
        let request = client.exchange_refresh_token(&refresh).map_err(|error| metadata_wrong(&error))?;
        let answer = request.request_async(&self.way_out()).await.map_err(|error| match &error {
            RequestTokenError::ServerResponse(refusal)
                if *refusal.error() == CoreErrorResponseType::InvalidGrant =>
            {
                RefreshFailure::Refused
            }
            _ => RefreshFailure::Other(token_error(error)),
        })?;
        Ok(tokens_of(&answer, now)?)
    }

    /// Whether the provider took the word that a token is over (RFC 7009); `None` where it takes none.
    pub(super) async fn revoke(
        &self,
        known: &Known,
        kind: &str,
        token: &SecretValue,
    ) -> Result<Option<bool>, SignInError> {
        let metadata = self.metadata(&known.provider.issuer).await?;
        let Some(endpoint) = &metadata.additional_metadata().revocation_endpoint else { return Ok(None) };
        let method = match is_basic(&metadata) {
            true => Authentication::ClientSecretBasic,
            false => Authentication::ClientSecretPost,
        };
        let client = UpstreamClient {
            id: known.provider.client_id.clone(),
            secret: known.secret.clone(),
            method,
            terms: None,
        };
        let form = [("token", token.expose()), ("token_type_hint", kind)];
        let (headers, body) = authenticated_form(&client, &form);
        let mut request = HttpRequest::new(body.to_vec());
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        *request.uri_mut() =
            endpoint.parse().map_err(|_| metadata_wrong(&"its revocation endpoint is no URL"))?;
        let answer = self.way_out()(request).await.map_err(|error| match error {
            Unanswered::Refused(_) => metadata_wrong(&"nothing may be sent to its revocation endpoint"),
            error => SignInError::Unreachable(chain(&error)),
        })?;
        match answer.status().as_u16() {
            200..300 => Ok(Some(true)),
            status if (400..500).contains(&status) && ![408, 429].contains(&status) => Ok(Some(false)),
            status => Err(SignInError::Unreachable(format!("it answered {status}"))),
        }
    }

    /// What the ID token leaves out (Core section 5.4) is asked at the user info endpoint, which has to speak of the
    /// same subject (section 5.3.2).
    async fn account(
        &self,
        metadata: &Metadata,
        claims: &Claims,
        access: &SecretValue,
    ) -> Result<Account, SignInError> {
        let Ok(Value::Object(mut all)) = serde_json::to_value(claims) else {
            return Err(SignInError::Untrusted("its ID token's claims can't be read".into()));
        };
        if all.get("email").is_none()
            && let Some(endpoint) = metadata.userinfo_endpoint()
        {
            for (name, value) in self.user_info(endpoint.url(), access, claims.subject().as_str()).await? {
                all.entry(name).or_insert(value);
            }
        }
        let text = |name: &str| all.get(name).and_then(Value::as_str).map(str::to_owned);
        let verified = all.get("email_verified");
        Ok(Account {
            subject: claims.subject().as_str().to_owned(),
            email: text("email"),
            email_verified: verified == Some(&Value::Bool(true)) || verified == Some(&Value::from("true")),
            name: text("name").or_else(|| text("preferred_username")),
            authenticated_at: claims.auth_time().map(|at| at.timestamp()),
            claims: all,
        })
    }

    async fn user_info(
        &self,
        endpoint: &Url,
        access: &SecretValue,
        subject: &str,
    ) -> Result<Map<String, Value>, SignInError> {
        let wrong = |text: &str| SignInError::Untrusted(format!("its user info endpoint {text}"));
        let mut request = HttpRequest::new(Vec::new());
        *request.uri_mut() = endpoint.as_str().parse().map_err(|_| wrong("has no usable address"))?;
        let bearer =
            format!("Bearer {}", access.expose()).parse().map_err(|_| wrong("takes no such token"))?;
        request.headers_mut().insert(http::header::AUTHORIZATION, bearer);
        request
            .headers_mut()
            .insert(http::header::ACCEPT, http::HeaderValue::from_static("application/json"));
        let answer =
            self.way_out()(request).await.map_err(|error| SignInError::Unreachable(chain(&error)))?;
        if answer.status() != http::StatusCode::OK {
            return Err(wrong(&format!("answers with status {}", answer.status().as_u16())));
        }
        let claims: Map<String, Value> =
            serde_json::from_slice(answer.body()).map_err(|_| wrong("does not answer in JSON"))?;
        match claims.get("sub").and_then(Value::as_str) {
            Some(sub) if sub == subject => Ok(claims),
            _ => Err(wrong("speaks of somebody else")),
        }
    }
}
