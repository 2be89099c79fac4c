//! `/oauth/token`, `/oauth/revoke` and `/oauth/introspect`: forms in, JSON out.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt as _, Limited};
use serde_json::json;
use switchboard_broker::authorization::{
    ActiveToken, ClientCredentials, CodeExchange, PresentedClient, Refresh, TokenAnswer,
};
use switchboard_domain::SecretValue;
use switchboard_oauth::{ErrorCode, OauthError, Parameters};
use url::form_urlencoded;

use super::{failed, json_answer, refused};
use crate::{ServerState, attempts};

const MAX_FORM: usize = 64 * 1024;

/// A form with whoever says they sent it.
struct Form {
    parameters: Parameters,
    client_id: String,
    secret: Option<SecretValue>,
}

impl Form {
    async fn read(state: &ServerState, request: Request) -> Result<Self, OauthError> {
        if request.uri().query().is_some_and(|query| query.contains("client_secret=")) {
            return Err(OauthError::invalid_request(
                "a secret has no place in an address: send it in the body",
            ));
        }
        let headers = request.headers().clone();
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = kind.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(OauthError::invalid_request("send a form (application/x-www-form-urlencoded)"));
        }
        let reading = Limited::new(request.into_body(), MAX_FORM).collect();
        let body = match tokio::time::timeout(state.config.request_body_timeout, reading).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => {
                return Err(OauthError::invalid_request(
                    "the body did not arrive, or is larger than 65536 bytes",
                ));
            }
        };
        let pairs =
            form_urlencoded::parse(&body).map(|(name, value)| (name.into_owned(), value.into_owned()));
        let parameters = Parameters::new(pairs)
            .ok_or_else(|| OauthError::invalid_request("a parameter was sent twice"))?;
        let (client_id, secret) = presented(&headers, &parameters)?;
        Ok(Self { parameters, client_id, secret })
    }

    fn client(&self) -> PresentedClient<'_> {
        PresentedClient { client_id: &self.client_id, secret: self.secret.as_ref() }
    }

    fn get(&self, name: &str) -> Result<&str, OauthError> {
        self.parameters.get(name).ok_or_else(|| OauthError::invalid_request(format!("`{name}` is missing")))
    }
}

/// One way of saying who it is, not two (RFC 6749 section 2.3).
fn presented(
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<(String, Option<SecretValue>), OauthError> {
    let named = parameters.get("client_id");
    let posted = parameters.get("client_secret");
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let id = named.ok_or_else(|| OauthError::new(ErrorCode::InvalidClient, "`client_id` is missing"))?;
        return Ok((id.to_owned(), posted.map(SecretValue::new)));
    };
    let wrong =
        || OauthError::new(ErrorCode::InvalidClient, "the `Authorization` header is not of this client");
    let pair = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, pair)| STANDARD.decode(pair.trim()).ok())
        .and_then(|pair| String::from_utf8(pair).ok())
        .ok_or_else(wrong)?;
    let (id, secret) = pair.split_once(':').ok_or_else(wrong)?;
    if posted.is_some() || named.is_some_and(|named| named != id) {
        return Err(OauthError::invalid_request("say who the client is in one way, not in two"));
    }
    Ok((id.to_owned(), Some(SecretValue::new(secret)).filter(|secret| !secret.expose().is_empty())))
}

pub(super) async fn token(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent_by = attempts::stranger(&request);
    let form = match Form::read(&state, request).await {
        Ok(form) => form,
        Err(error) => return refused(&error),
    };
    let client = match state.broker.authenticate_oauth_client(&form.client()).await {
        Ok(client) => client,
        Err(error) => return failed(&error),
    };
    let resources: Vec<&str> = form.parameters.all("resource").collect();
    let answer = match form.parameters.get("grant_type") {
        Some("authorization_code") => {
            let (code, verifier) = match (form.get("code"), form.get("code_verifier")) {
                (Ok(code), Ok(verifier)) => (code, verifier),
                (Err(error), _) | (_, Err(error)) => return refused(&error),
            };
            let redirect_uri = form.parameters.get("redirect_uri");
            let exchange = CodeExchange { code, redirect_uri, verifier, resources: &resources, sent_by };
            state.broker.exchange_code(&client, &exchange).await
        }
        Some("refresh_token") => {
            let token = match form.get("refresh_token") {
                Ok(token) => token,
                Err(error) => return refused(&error),
            };
            let scope = form.parameters.get("scope");
            state.broker.refresh(&client, &Refresh { token, scope, resources: &resources }).await
        }
        Some("client_credentials") => {
            let scope = form.parameters.get("scope");
            let asked = ClientCredentials { scope, resources: &resources };
            state.broker.client_credentials(&client, &asked).await
        }
        None => return refused(&OauthError::invalid_request("`grant_type` is missing")),
        Some(_) => {
            let text = "`grant_type` has to be authorization_code, refresh_token or client_credentials";
            return refused(&OauthError::new(ErrorCode::UnsupportedGrantType, text));
        }
    };
    match answer {
        Ok(answer) => granted(&answer),
        Err(error) => failed(&error),
    }
}

fn granted(answer: &TokenAnswer) -> Response<Body> {
    let mut body = json!({
        "access_token": answer.access_token.expose(),
        "token_type": "Bearer",
        "expires_in": answer.expires_in,
        "scope": answer.scopes.to_string(),
    });
    if let Some(token) = &answer.refresh_token {
        body["refresh_token"] = json!(token.expose());
    }
    json_answer(StatusCode::OK, &body)
}

/// RFC 7009: whatever the token was, afterwards it is of no use, and that is all that is said.
pub(super) async fn revoke(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let form = match Form::read(&state, request).await {
        Ok(form) => form,
        Err(error) => return refused(&error),
    };
    let client = match state.broker.authenticate_oauth_client(&form.client()).await {
        Ok(client) => client,
        Err(error) => return failed(&error),
    };
    let token = match form.get("token") {
        Ok(token) => token,
        Err(error) => return refused(&error),
    };
    match state.broker.revoke_oauth_token(&client, token).await {
        Ok(()) => json_answer(StatusCode::OK, &json!({})),
        Err(error) => failed(&error),
    }
}

/// RFC 7662: a client with a secret asks about its own tokens. All others are not active, and nothing more is said.
pub(super) async fn introspect(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let form = match Form::read(&state, request).await {
        Ok(form) => form,
        Err(error) => return refused(&error),
    };
    let client = match state.broker.authenticate_oauth_client(&form.client()).await {
        Ok(client) => client,
        Err(error) => return failed(&error),
    };
    let token = match form.get("token") {
        Ok(token) => token,
        Err(error) => return refused(&error),
    };
    match state.broker.introspect(&client, token).await {
        Ok(None) => json_answer(StatusCode::OK, &json!({ "active": false })),
        Ok(Some(token)) => {
            json_answer(StatusCode::OK, &facts(&token, &client.client_id, state.config.origin()))
        }
        Err(error) => failed(&error),
    }
}

fn facts(token: &ActiveToken, client_id: &str, origin: &str) -> serde_json::Value {
    let mut facts = json!({
        "active": true,
        "iss": origin,
        "client_id": client_id,
        "sub": token.subject,
        "aud": format!("{origin}{}", token.resource),
        "scope": token.scopes.to_string(),
        "iat": token.issued_at.as_secs(),
    });
    if let Some(expires_at) = token.expires_at {
        facts["exp"] = json!(expires_at.as_secs());
    }
    if token.is_access_token {
        facts["token_type"] = json!("Bearer");
    }
    facts
}
