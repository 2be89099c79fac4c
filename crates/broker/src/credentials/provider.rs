//! The forms that a provider's endpoints take from us as their client (RFC 6749 section 3.2, RFC 7009 section 2).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use switchboard_domain::SecretValue;
use switchboard_egress::{Deadlines, Egress, EgressError, Redirects, Request};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::{ClientAuthMethod, UpstreamClient};

/// For one exchange with a provider. The lease of a renewal is longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct FormAnswer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Sends a form, authenticated as this client. Nothing is followed: a redirect is an answer like any other.
pub(super) async fn send_form(
    egress: &Egress,
    endpoint: &str,
    client: &UpstreamClient,
    fields: &[(&str, &str)],
) -> Result<FormAnswer, EgressError> {
    let (headers, body) = authenticated(client, fields);
    let most = egress.limits().token_response_bytes();
    let response = egress
        .send(Request {
            method: Method::POST,
            url: egress.check_url(endpoint)?,
            headers,
            body,
            deadlines: Deadlines { total: PATIENCE, first_byte: PATIENCE, idle: PATIENCE },
            max_wire_bytes: most,
            max_inflated_bytes: most,
            redirects: Redirects::Show,
            accept_gzip: false,
        })
        .await?;
    Ok(FormAnswer { status: response.status.as_u16(), body: response.body.collect_bytes().await? })
}

/// The client's authentication in the place that its method says, and in no other (RFC 6749 section 2.3.1).
fn authenticated(client: &UpstreamClient, fields: &[(&str, &str)]) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form_type);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    match (client.method, client.secret.as_ref().map(SecretValue::expose)) {
        (ClientAuthMethod::ClientSecretBasic, Some(secret)) => {
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = Zeroizing::new(format!("{}:{}", encoded(&client.id), encoded(secret)));
            let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
            if let Ok(mut value) = HeaderValue::from_str(&basic) {
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
        }
        (ClientAuthMethod::ClientSecretPost, Some(secret)) => {
            form.append_pair("client_id", &client.id).append_pair("client_secret", secret);
        }
        (ClientAuthMethod::None, _) | (_, None) => {
            form.append_pair("client_id", &client.id);
        }
    }
    (headers, form.finish().into())
}
