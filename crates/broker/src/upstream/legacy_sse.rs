//! HTTP with SSE of 2024-11-05: a long GET brings the address to POST to, and every answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use switchboard_egress::{ByteLimit, Deadlines, Egress, GuardedUrl, Redirects, Request};
use switchboard_mcp::SseDecoder;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Hint, UpstreamAuth, UpstreamError, UpstreamLimits,
    channel::{ChannelWire, Switch},
    session::check,
    side::Sides,
};

/// The stream may be silent for as long as nobody calls.
const STREAM_LIFE: Duration = Duration::from_secs(24 * 3600);

struct Stream {
    body: switchboard_egress::Body,
    decoder: SseDecoder,
}

impl Stream {
    async fn next(&mut self) -> Result<switchboard_mcp::SseEvent, String> {
        loop {
            if let Some(event) = self.decoder.next_event().map_err(|error| error.to_string())? {
                return Ok(event);
            }
            let piece = self.body.next_piece().await.ok_or("the stream ended")?;
            self.decoder.push(&piece.map_err(|error| error.to_string())?);
        }
    }
}

pub(crate) async fn connect(
    egress: &Egress,
    url: GuardedUrl,
    auth: UpstreamAuth,
    limits: &Arc<UpstreamLimits>,
    (hints, sides): (broadcast::Sender<Hint>, Sides),
) -> Result<ChannelWire, UpstreamError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.extend(auth.headers.iter().cloned());
    let mut request = exchange(Method::GET, url.clone(), headers, Bytes::new(), STREAM_LIFE, u64::MAX);
    request.deadlines.first_byte = limits.first_byte;
    let response = egress.send(request).await?;
    match response.status.as_u16() {
        200..=299 => {}
        status @ (401 | 403) => {
            let challenge = super::http::challenge(&response.headers);
            return Err(UpstreamError::Unauthorized { status, challenge });
        }
        status => return Err(UpstreamError::Http { status, retry_after: None }),
    }
    let mut stream = Stream { body: response.body, decoder: SseDecoder::new(limits.max_event_bytes) };
    let endpoint = tokio::time::timeout(limits.open, endpoint(&mut stream))
        .await
        .map_err(|_| UpstreamError::Timeout { after: limits.open, limit: "upstream.open_timeout" })??;
    let target = url.url().join(&endpoint).ok().filter(|target| target.origin() == url.url().origin());
    let target = target.ok_or_else(|| {
        UpstreamError::Protocol("it wants messages to be sent to another origin, which we refuse".into())
    })?;
    let target = check(egress, target.as_str())?;
    let (wire, switch, queue, stop) = ChannelWire::new(hints, sides);
    tokio::spawn(read(stream, Arc::clone(&switch), stop.clone()));
    tokio::spawn(write(egress.clone(), target, auth, queue, switch, stop, Arc::clone(limits)));
    Ok(wire)
}

fn exchange(
    method: Method,
    url: GuardedUrl,
    headers: HeaderMap,
    body: Bytes,
    total: Duration,
    max_bytes: u64,
) -> Request {
    Request {
        method,
        url,
        headers,
        body,
        deadlines: Deadlines { total, first_byte: total, idle: total },
        max_wire_bytes: ByteLimit { name: "upstream.max_answer_bytes", bytes: max_bytes },
        max_inflated_bytes: ByteLimit { name: "upstream.max_answer_bytes", bytes: max_bytes },
        redirects: Redirects::Refuse,
        accept_gzip: false,
    }
}

/// The first event names where to POST.
async fn endpoint(stream: &mut Stream) -> Result<String, UpstreamError> {
    loop {
        let event =
            stream.next().await.map_err(|reason| UpstreamError::Closed { reason, may_have_run: false })?;
        if event.event == "endpoint" {
            return String::from_utf8(event.data.to_vec())
                .map_err(|_| UpstreamError::Protocol("its endpoint event is not text".into()));
        }
    }
}

async fn read(mut stream: Stream, switch: Arc<Switch>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return switch.close("it was closed"),
            event = stream.next() => match event {
                Ok(event) if event.data.is_empty() => {}
                Ok(event) => switch.receive(&event.data),
                Err(reason) => {
                    stop.cancel();
                    return switch.close(&reason);
                }
            },
        }
    }
}

async fn write(
    egress: Egress,
    target: GuardedUrl,
    auth: UpstreamAuth,
    mut queue: mpsc::Receiver<Bytes>,
    switch: Arc<Switch>,
    stop: CancellationToken,
    limits: Arc<UpstreamLimits>,
) {
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => return,
            message = queue.recv() => message,
        };
        let Some(message) = message else { return };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(auth.headers.iter().cloned());
        let request = exchange(Method::POST, target.clone(), headers, message, limits.first_byte, 64 * 1024);
        let failure = match egress.send(request).await {
            Ok(response) if response.status.is_success() => continue,
            Ok(response) => format!("a message was refused with HTTP {}", response.status.as_u16()),
            Err(error) => error.to_string(),
        };
        switch.close(&failure);
        stop.cancel();
        return;
    }
}
