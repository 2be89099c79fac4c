//! Documents of strangers: GET, JSON, status 200, within the limits of `egress`; and the two POSTs of OAuth.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use switchboard_egress::{ByteLimit, Deadlines, EgressError, Redirects, Request, Response};

use crate::{Broker, connect::ConnectFailure};

/// For one exchange with a provider. The lease of a renewal is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// Servers of 2025-03-26 are told which revision asks for their metadata.
const REVISION: HeaderValue = HeaderValue::from_static("2025-11-25");

/// What was read, or what is not there.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Broker {
    /// Whether a URL may be asked.
    pub(super) fn may_ask(&self, url: &str) -> bool {
        self.0.egress.check_url(url).is_ok()
    }

    /// The JSON document at an address; `None` when there is none. Sites that answer every path with a page have none.
    pub(super) async fn document(&self, url: &str) -> Result<Option<Bytes>, ConnectFailure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert("mcp-protocol-version", REVISION);
        let limits = self.0.egress.limits();
        let redirects = Redirects::SameOrigin { max: limits.discovery_redirects };
        let most = limits.metadata_document_bytes();
        let sent = self.exchange(Method::GET, url, (headers, Bytes::new()), (most, redirects)).await;
        let response = match sent {
            Ok(response) if response.status == StatusCode::OK && is_json(&response.headers) => response,
            Ok(_) | Err(EgressError::RedirectRefused) => return Ok(None),
            Err(error) => return Err(ConnectFailure::egress(url, &error)),
        };
        let body = response.body.collect_bytes().await;
        body.map(Some).map_err(|error| ConnectFailure::egress(url, &error))
    }

    /// Sends a body and reads the answer whole, whatever its status. Nothing is followed.
    pub(super) async fn send_body(
        &self,
        method: Method,
        url: &str,
        sent: (HeaderMap, Bytes),
        most: ByteLimit,
    ) -> Result<Answer, EgressError> {
        let response = self.exchange(method, url, sent, (most, Redirects::Show)).await?;
        let status = response.status.as_u16();
        Ok(Answer { status, body: response.body.collect_bytes().await? })
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        (headers, body): (HeaderMap, Bytes),
        (most, redirects): (ByteLimit, Redirects),
    ) -> Result<Response, EgressError> {
        let egress = &self.0.egress;
        egress
            .send(Request {
                method,
                url: egress.check_url(url)?,
                headers,
                body,
                deadlines: Deadlines { total: PATIENCE, first_byte: PATIENCE, idle: PATIENCE },
                max_wire_bytes: most,
                max_inflated_bytes: most,
                redirects,
                accept_gzip: false,
            })
            .await
    }
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}
