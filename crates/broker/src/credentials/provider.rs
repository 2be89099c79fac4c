//! The forms that a provider's endpoints take from us as their client (RFC 6749 section 3.2, RFC 7009 section 2).

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use switchboard_egress::{Deadlines, Egress, EgressError, Redirects, Request};

use super::UpstreamClient;
use crate::connect::authenticated_form;

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
    let (headers, body) = authenticated_form(client, fields);
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
