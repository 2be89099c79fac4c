//! An answer that comes as a stream of events: what the upstream says and asks before it, and taking up a stream
//! that was cut (2025-11-25, streamable HTTP: resumability).

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use http::{HeaderMap, HeaderValue, Method, header};
use switchboard_egress::{Deadlines, Response};
use switchboard_mcp::{Incoming, SseDecoder, SseEvent, names, parse_upstream};

use super::{Ask, HttpWire, in_time, read_answer};
use crate::upstream::{Hint, RawResult, UpstreamError, side::Asked};

/// Until a cut stream is taken up again, when the server says nothing of it.
const RETRY: Duration = Duration::from_secs(1);
/// How often a stream is taken up again for one answer.
const MOST_RESUMPTIONS: usize = 100;

/// Where a stream was cut.
#[derive(Debug, Default)]
struct Cut {
    last_id: Option<String>,
    retry: Option<Duration>,
}

/// How reading one stream ended.
enum Ended {
    Answered(Result<RawResult, UpstreamError>),
    Cut,
}

impl HttpWire {
    /// Reads events until the answer to request `id`.
    pub(super) async fn stream(
        &self,
        response: Response,
        id: i64,
        ask: &Ask<'_>,
    ) -> Result<RawResult, UpstreamError> {
        let mut cut = Cut::default();
        let mut response = response;
        for _ in 0..MOST_RESUMPTIONS {
            match self.read_stream(response, id, ask, &mut cut).await? {
                Ended::Answered(result) => return result,
                Ended::Cut => {}
            }
            let Some(last_id) = cut.last_id.clone().filter(|_| self.legacy.read().is_some()) else { break };
            tokio::time::sleep(cut.retry.unwrap_or(RETRY).min(ask.deadline)).await;
            response = self.take_up(&last_id, ask).await?;
        }
        Err(UpstreamError::Closed { reason: "the stream ended before the answer".into(), may_have_run: true })
    }

    async fn read_stream(
        &self,
        response: Response,
        id: i64,
        ask: &Ask<'_>,
        cut: &mut Cut,
    ) -> Result<Ended, UpstreamError> {
        let mut decoder = SseDecoder::new(self.limits.max_event_bytes);
        let mut body = response.body;
        // Answers to what the upstream asked meanwhile: they are sent while its stream is read.
        let mut replies: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        loop {
            let piece = if replies.is_empty() {
                body.next_piece().await
            } else {
                tokio::select! {
                    piece = body.next_piece() => piece,
                    Some(()) = replies.next() => continue,
                }
            };
            let piece = match piece {
                Some(Ok(piece)) => piece,
                Some(Err(_)) if cut.last_id.is_some() => return Ok(Ended::Cut),
                Some(Err(error)) => return Err(in_time(error, ask)),
                None => return Ok(Ended::Cut),
            };
            decoder.push(&piece);
            while let Some(event) = decoder.next_event().map_err(|_| UpstreamError::TooLarge {
                name: "upstream.max_event_bytes",
                limit: self.limits.max_event_bytes as u64,
            })? {
                cut.note(&event);
                if event.data.is_empty() {
                    continue;
                }
                match parse_upstream(&event.data) {
                    Ok(Incoming::Request(request)) => {
                        replies.push(self.reply(Asked::of(&request), Some(id), ask).boxed());
                    }
                    _ => {
                        if let Some(result) = self.event(&event.data, Some(id)).await? {
                            return Ok(Ended::Answered(Ok(result)));
                        }
                    }
                }
            }
        }
    }

    /// Notifications are heard and passed on; anything else must be the answer.
    pub(super) async fn event(
        &self,
        data: &Bytes,
        id: Option<i64>,
    ) -> Result<Option<RawResult>, UpstreamError> {
        if let Ok(Incoming::Notification { method, params }) = parse_upstream(data) {
            if let Some(hint) = Hint::of(&method, params) {
                // Nobody listening is fine.
                let _ = self.hints.send(hint);
            } else if let Some((side, event)) = self.sides.hears(&method, params, id) {
                // A client that has gone hears nothing.
                let _ = side.events.send(event).await;
            }
            return Ok(None);
        }
        match id {
            Some(id) => read_answer(data, id),
            None => Ok(None),
        }
    }

    /// Sends what the client answered to a request of the upstream.
    pub(super) async fn reply(&self, asked: Asked, own: Option<i64>, ask: &Ask<'_>) {
        let answer = self.sides.answer(asked, own).await;
        match self.post(self.headers(ask), answer, ask).await {
            Ok(response) if response.status.is_success() => {}
            Ok(response) => tracing::debug!(status = %response.status, "an upstream refused an answer"),
            Err(error) => tracing::debug!(%error, "an answer did not get to an upstream"),
        }
    }

    /// The rest of a stream after the event with this id.
    async fn take_up(&self, last_id: &str, ask: &Ask<'_>) -> Result<Response, UpstreamError> {
        let mut headers = self.headers(ask);
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Ok(id) = HeaderValue::from_str(last_id) {
            headers.insert(names::LAST_EVENT_ID, id);
        }
        let mut request = self.exchange(Method::GET, headers, Bytes::new(), ask.deadline, ask.max_bytes);
        request.deadlines = Deadlines { total: ask.deadline, first_byte: ask.deadline, idle: ask.deadline };
        let response = self.egress.send(request).await.map_err(|error| in_time(error, ask))?;
        if response.status.is_success() {
            return Ok(response);
        }
        Err(UpstreamError::Closed { reason: "the stream ended before the answer".into(), may_have_run: true })
    }

    /// Tells a session of the older generation that nobody waits for an answer any more. In the newer one the end of the
    /// stream says so.
    pub(super) fn unanswered(&self, id: i64, headers: HeaderMap) -> Unanswered<'_> {
        Unanswered { wire: self, id, headers: Some(headers) }
    }
}

impl Cut {
    fn note(&mut self, event: &SseEvent) {
        if let Some(id) = event.id.clone().filter(|id| !id.is_empty()) {
            self.last_id = Some(id);
        }
        if let Some(retry) = event.retry {
            self.retry = Some(Duration::from_millis(retry));
        }
    }
}

/// A request that has no answer yet.
#[derive(Debug)]
pub(super) struct Unanswered<'w> {
    wire: &'w HttpWire,
    id: i64,
    headers: Option<HeaderMap>,
}

impl Unanswered<'_> {
    pub(super) fn answered(&mut self) {
        self.headers = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Some(headers) = self.headers.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let id = self.id;
        let message = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\
             \"params\":{{\"requestId\":{id},\"reason\":\"the caller went away\"}}}}"
        );
        let deadline = Duration::from_secs(5);
        let request = self.wire.exchange(Method::POST, headers, message.into(), deadline, 64 * 1024);
        let egress = self.wire.egress.clone();
        runtime.spawn(async move { drop(egress.send(request).await) });
    }
}
