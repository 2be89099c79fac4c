//! Streamable HTTP, as a client, for both generations.

mod listening;
mod stream;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use parking_lot::RwLock;
use switchboard_egress::{
    ByteLimit, Deadlines, Egress, EgressError, GuardedUrl, Redirects, Request, Response,
};
use switchboard_mcp::{
    Answer, ErrorObject, Incoming, LATEST_LEGACY, MODERN, Outcome, RequestId, encode_header_value, names,
    parse_upstream,
};
use tokio::sync::{broadcast, watch};

use super::{
    Ask, Hint, RawResult, UpstreamAuth, UpstreamError, UpstreamLimits,
    side::Sides,
    wire::{Subject, modern_meta, params, share, with_call},
};

/// What the upstream assigned to a legacy session.
#[derive(Debug, Clone)]
struct LegacySession {
    version: HeaderValue,
    id: Option<HeaderValue>,
}

/// Every challenge of an answer in one text, bounded: several headers are one list (RFC 9110 section 5.3).
pub(super) fn challenge(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let text = all.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then(|| text.chars().take(4000).collect())
}

/// One upstream reached over streamable HTTP with one credential.
#[derive(Debug)]
pub(crate) struct HttpWire {
    egress: Egress,
    url: GuardedUrl,
    auth: UpstreamAuth,
    limits: Arc<UpstreamLimits>,
    next_id: AtomicI64,
    /// `None` while the upstream is spoken to in the modern generation.
    legacy: RwLock<Option<LegacySession>>,
    modern_meta: String,
    hints: broadcast::Sender<Hint>,
    sides: Sides,
    /// What the stream of changes tells of beside lists; it is opened anew when that changes.
    watched: watch::Sender<BTreeSet<Subject>>,
}

impl HttpWire {
    pub(crate) fn new(
        egress: Egress,
        url: GuardedUrl,
        auth: UpstreamAuth,
        limits: Arc<UpstreamLimits>,
        (hints, sides): (broadcast::Sender<Hint>, Sides),
    ) -> Self {
        Self {
            egress,
            url,
            auth,
            limits,
            next_id: AtomicI64::new(1),
            legacy: RwLock::new(None),
            modern_meta: modern_meta(),
            hints,
            sides,
            watched: watch::Sender::default(),
        }
    }

    /// Adds something to what the stream of changes tells of, or takes it out.
    pub(crate) fn watch(&self, subject: &Subject, begins: bool) {
        self.watched.send_if_modified(|watched| match begins {
            true => watched.insert(subject.clone()),
            false => watched.remove(subject),
        });
    }

    /// Sends `initialize` and keeps what it assigned; the raw result is the caller's to read.
    pub(crate) async fn initialize(&self, ask: &Ask<'_>) -> Result<RawResult, UpstreamError> {
        *self.legacy.write() =
            Some(LegacySession { version: HeaderValue::from_static(LATEST_LEGACY), id: None });
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = switchboard_mcp::request(id, ask.method, params(ask.members, None).as_deref());
        let mut headers = self.headers(ask);
        headers.remove(names::PROTOCOL_VERSION);
        let response = self.post(headers, body, ask).await?;
        let session = response.headers.get(names::SESSION_ID).cloned();
        let result = self.answer(response, id, ask).await?;
        let version = negotiated(&result)?;
        *self.legacy.write() = Some(LegacySession { version, id: session });
        self.notify(ask, "notifications/initialized").await?;
        Ok(result)
    }

    pub(crate) async fn request(&self, ask: &Ask<'_>) -> Result<RawResult, UpstreamError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let is_modern = self.legacy.read().is_none();
        let _listening = self.sides.add(id, ask.side);
        let meta = match ask.side {
            Some(side) => with_call(side.meta(id, is_modern).as_deref(), ask.identity),
            None => with_call(is_modern.then_some(self.modern_meta.as_str()), ask.identity),
        };
        let params = params(&ask.members(is_modern), meta.as_deref());
        let body = switchboard_mcp::request(id, ask.method, params.as_deref());
        let headers = self.headers(ask);
        let mut unanswered = (!is_modern).then(|| self.unanswered(id, headers.clone()));
        let outcome = match self.post(headers, body, ask).await {
            Ok(response) => self.answer(response, id, ask).await,
            Err(error) => Err(error),
        };
        // Only a caller that went away, or our own deadline, ends it without an outcome.
        if let Some(unanswered) = &mut unanswered {
            unanswered.answered();
        }
        outcome
    }

    /// Ends a legacy session at the upstream, as a courtesy; failures do not matter.
    pub(crate) async fn close(&self) {
        let Some(LegacySession { version, id: Some(id) }) = self.legacy.read().clone() else { return };
        let mut headers = HeaderMap::new();
        headers.insert(names::PROTOCOL_VERSION, version);
        headers.insert(names::SESSION_ID, id);
        headers.extend(self.auth.headers.iter().cloned());
        let deadline = Duration::from_secs(5);
        let _ =
            self.egress.send(self.exchange(Method::DELETE, headers, Bytes::new(), deadline, 64 * 1024)).await;
    }

    /// Forgets a legacy session that could not be agreed on.
    pub(crate) fn speak_modern(&self) {
        *self.legacy.write() = None;
    }

    async fn notify(&self, ask: &Ask<'_>, method: &str) -> Result<(), UpstreamError> {
        let response = self.post(self.headers(ask), switchboard_mcp::notification(method, None), ask).await?;
        match response.status.as_u16() {
            200..=299 => Ok(()),
            status => Err(UpstreamError::Http { status, retry_after: None }),
        }
    }

    fn headers(&self, ask: &Ask<'_>) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(8 + ask.params.len());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        match &*self.legacy.read() {
            Some(session) => {
                headers.insert(names::PROTOCOL_VERSION, session.version.clone());
                if let Some(id) = &session.id {
                    headers.insert(names::SESSION_ID, id.clone());
                }
            }
            None => self.modern_headers(&mut headers, ask),
        }
        headers.extend(self.auth.headers.iter().cloned());
        headers
    }

    fn modern_headers(&self, headers: &mut HeaderMap, ask: &Ask<'_>) {
        headers.insert(names::PROTOCOL_VERSION, HeaderValue::from_static(MODERN));
        if let Ok(method) = HeaderValue::from_str(ask.method) {
            headers.insert(names::METHOD, method);
        }
        if let Some(Ok(name)) = ask.name.map(|name| HeaderValue::from_str(&encode_header_value(name))) {
            headers.insert(names::NAME, name);
        }
        for (name, value) in ask.params {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
            {
                headers.insert(name, value);
            }
        }
    }

    fn exchange(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        total: Duration,
        max_bytes: u64,
    ) -> Request {
        Request {
            method,
            url: self.url.clone(),
            headers,
            body,
            deadlines: Deadlines {
                total,
                first_byte: total.min(self.limits.first_byte),
                idle: total.min(self.limits.idle),
            },
            max_wire_bytes: ByteLimit { name: "upstream.max_answer_bytes", bytes: max_bytes },
            max_inflated_bytes: ByteLimit { name: "upstream.max_answer_bytes", bytes: max_bytes },
            redirects: Redirects::Refuse,
            accept_gzip: false,
        }
    }

    async fn post(
        &self,
        mut headers: HeaderMap,
        body: Bytes,
        ask: &Ask<'_>,
    ) -> Result<Response, UpstreamError> {
        if let Some(identity) = ask.identity {
            identity.sign(&mut headers, self.url.url(), &body);
        }
        let request = self.exchange(Method::POST, headers, body, ask.deadline, ask.max_bytes);
        self.egress.send(request).await.map_err(|error| in_time(error, ask))
    }

    /// Reads the answer to request `id`, whichever of the two forms the upstream chose.
    async fn answer(&self, response: Response, id: i64, ask: &Ask<'_>) -> Result<RawResult, UpstreamError> {
        if !response.status.is_success() {
            return Err(self.refusal(response).await);
        }
        let content_type = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        match content_type.map(|value| value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()) {
            Some(kind) if kind == "application/json" => {
                let body = response.body.collect_bytes().await.map_err(|error| in_time(error, ask))?;
                match read_answer(&body, id)? {
                    Some(result) => Ok(result),
                    None => {
                        Err(UpstreamError::Protocol("it sent something else instead of an answer".into()))
                    }
                }
            }
            Some(kind) if kind == "text/event-stream" => self.stream(response, id, ask).await,
            Some(kind) => Err(UpstreamError::Protocol(format!("it answered `{kind}` instead of JSON"))),
            None => Err(UpstreamError::Protocol("its answer has no content type".into())),
        }
    }

    /// Reads what an HTTP error says, within a small bound.
    async fn refusal(&self, response: Response) -> UpstreamError {
        let status = response.status;
        let retry_after = retry_after(&response.headers);
        let challenge = challenge(&response.headers);
        let had_session = self.legacy.read().as_ref().is_some_and(|session| session.id.is_some());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return UpstreamError::Unauthorized { status: status.as_u16(), challenge };
            }
            StatusCode::NOT_FOUND if had_session => return UpstreamError::SessionExpired,
            _ => {}
        }
        let rpc = read_at_most(response.body, self.limits.max_error_bytes)
            .await
            .and_then(|body| error_object(&body));
        match rpc {
            // TypeScript servers answer a lost session with 400 and an error without id.
            Some(error)
                if had_session && status == 400 && error.message.to_lowercase().contains("session") =>
            {
                UpstreamError::SessionExpired
            }
            Some(error) => UpstreamError::Rpc(error),
            None => UpstreamError::Http { status: status.as_u16(), retry_after },
        }
    }
}

/// A deadline of ours that egress enforced is the call's time-out; the rest stays what it is.
fn in_time(error: EgressError, ask: &Ask<'_>) -> UpstreamError {
    match error {
        EgressError::DeadlineExceeded { .. } => {
            UpstreamError::Timeout { after: ask.deadline, limit: ask.deadline_name }
        }
        error => UpstreamError::Egress(error),
    }
}

/// The result for request `id` in one message; `None` when the message is something else that may be skipped.
pub(crate) fn read_answer(message: &Bytes, id: i64) -> Result<Option<RawResult>, UpstreamError> {
    match parse_upstream(message).map_err(UpstreamError::Protocol)? {
        Incoming::Response(Answer { id: Some(RequestId::Number(number)), outcome }) if number == id => {
            match outcome {
                Outcome::Result(raw) => Ok(Some(share(message, raw))),
                Outcome::Error(error) => Err(UpstreamError::Rpc(error)),
            }
        }
        // An error without id can only concern the one request of this exchange.
        Incoming::Response(Answer { id: None, outcome: Outcome::Error(error) }) => {
            Err(UpstreamError::Rpc(error))
        }
        Incoming::Response(_) => {
            Err(UpstreamError::Protocol("it answered a request that was not asked here".into()))
        }
        Incoming::Notification { .. } | Incoming::Request(_) => Ok(None),
    }
}

/// An error's text, when it is short; the rest is of no use.
async fn read_at_most(mut body: switchboard_egress::Body, most: usize) -> Option<Bytes> {
    let mut read = Vec::new();
    while let Some(Ok(piece)) = body.next_piece().await {
        if read.len() + piece.len() > most {
            return None;
        }
        read.extend_from_slice(&piece);
    }
    Some(read.into())
}

fn error_object(body: &Bytes) -> Option<ErrorObject> {
    match parse_upstream(body).ok()? {
        Incoming::Response(Answer { outcome: Outcome::Error(error), .. }) => Some(error),
        _ => None,
    }
}

/// Seconds to wait, bounded: dates and nonsense are read as nothing.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.min(3600))
}

fn negotiated(result: &RawResult) -> Result<HeaderValue, UpstreamError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialized {
        protocol_version: String,
    }
    let version = serde_json::from_slice::<Initialized>(result)
        .map_err(|error| UpstreamError::Protocol(format!("its initialize result can't be read: {error}")))?
        .protocol_version;
    HeaderValue::from_str(&version)
        .map_err(|_| UpstreamError::Protocol("its protocol version is not a header value".into()))
}
