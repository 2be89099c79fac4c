//! The forms that a provider's endpoints take from us as their client (RFC 6749 section 3.2, RFC 7009 section 2).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use switchboard_domain::SecretValue;
use switchboard_egress::EgressError;
use switchboard_oauth::upstream::{Authentication, CLIENT_ASSERTION_TYPE, TokenAnswer, TokenError};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::fetch::Answer;
use crate::{Broker, UpstreamClient, redact::redact_text};

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenRequestError {
    #[error(transparent)]
    Answer(#[from] TokenError),
    #[error(transparent)]
    Egress(#[from] EgressError),
}

impl Broker {
    /// One grant for tokens. `fields` without what says who we are.
    pub(crate) async fn request_tokens(
        &self,
        endpoint: &str,
        client: &UpstreamClient,
        fields: &[(&str, &str)],
    ) -> Result<TokenAnswer, TokenRequestError> {
        let answer = self.send_form(endpoint, client, fields).await?;
        TokenAnswer::parse(answer.status, &answer.body)
            .map_err(|error| without_secrets(error, client, fields).into())
    }

    /// Sends a form, authenticated as this client. Nothing is followed: a redirect is an answer like any other.
    pub(crate) async fn send_form(
        &self,
        endpoint: &str,
        client: &UpstreamClient,
        fields: &[(&str, &str)],
    ) -> Result<Answer, EgressError> {
        let mut fields = fields.to_vec();
        let assertion = self.assertion(client);
        if let Some(assertion) = &assertion {
            fields.push(("client_assertion_type", CLIENT_ASSERTION_TYPE));
            fields.push(("client_assertion", assertion.expose()));
        }
        let form = authenticated_form(client, &fields);
        let most = self.0.egress.limits().token_response_bytes();
        self.send_body(Method::POST, endpoint, form, most).await
    }
}

/// What the form says that nobody else may read.
const SECRET_FIELDS: [&str; 3] = ["code", "code_verifier", "refresh_token"];

/// Some providers repeat what they refuse: their words are shown and logged without what they were sent.
fn without_secrets(error: TokenError, client: &UpstreamClient, fields: &[(&str, &str)]) -> TokenError {
    let TokenError::Refused { code, description } = error else { return error };
    let sent = fields.iter().filter(|(name, _)| SECRET_FIELDS.contains(name));
    let mut secrets: Vec<SecretValue> = sent.map(|(_, value)| SecretValue::new(*value)).collect();
    secrets.extend(client.secret.clone());
    let clean = |text: String| redact_text(&text, &secrets);
    TokenError::Refused { code: clean(code), description: description.map(clean) }
}

/// A form with the client's authentication in the place its method says (RFC 6749 section 2.3.1).
pub(crate) fn authenticated_form(client: &UpstreamClient, fields: &[(&str, &str)]) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    match (client.method, client.secret.as_ref().map(SecretValue::expose)) {
        (Authentication::ClientSecretBasic, Some(secret)) => {
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = Zeroizing::new(format!("{}:{}", encode(&client.id), encode(secret)));
            let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
            if let Ok(mut value) = HeaderValue::from_str(&basic) {
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
        }
        (Authentication::ClientSecretPost, Some(secret)) => {
            form.append_pair("client_id", &client.id).append_pair("client_secret", secret);
        }
        (Authentication::None | Authentication::PrivateKeyJwt, _) | (_, None) => {
            form.append_pair("client_id", &client.id);
        }
    }
    (headers, form.finish().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(method: Authentication) -> (Option<String>, String) {
        let client =
            UpstreamClient { id: "a b".into(), secret: Some(SecretValue::new("s:ü")), method, terms: None };
        let (headers, body) = authenticated_form(&client, &[("grant_type", "refresh_token")]);
        let basic = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        (basic, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn the_client_proves_itself_in_one_place() {
        let (basic, body) = form(Authentication::ClientSecretBasic);
        let expected = format!("Basic {}", STANDARD.encode("a+b:s%3A%C3%BC"));
        assert_eq!((basic.as_deref(), body.as_str()), (Some(expected.as_str()), "grant_type=refresh_token"));
        let (basic, body) = form(Authentication::ClientSecretPost);
        assert_eq!(basic, None);
        assert_eq!(body, "grant_type=refresh_token&client_id=a+b&client_secret=s%3A%C3%BC");
        for method in [Authentication::None, Authentication::PrivateKeyJwt] {
            let (basic, body) = form(method);
            assert_eq!((basic, body.as_str()), (None, "grant_type=refresh_token&client_id=a+b"));
        }
    }
}
