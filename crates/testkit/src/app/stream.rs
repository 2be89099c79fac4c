//! An answer that comes as a stream of events, read while it comes.

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use switchboard_egress::{Body, Response};
use switchboard_mcp::SseDecoder;

/// Events with a message, in their order.
#[derive(Debug)]
pub struct McpStream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Body,
    decoder: SseDecoder,
    /// Of the last event that had one.
    pub last_id: Option<String>,
}

impl McpStream {
    pub(super) fn new(response: Response) -> Self {
        let Response { status, headers, body, .. } = response;
        Self { status, headers, body, decoder: SseDecoder::new(1024 * 1024), last_id: None }
    }

    /// The next message; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(event) = self.decoder.next_event().expect("an event") {
                self.last_id = event.id.or(self.last_id.take());
                if !event.data.is_empty() {
                    return Some(serde_json::from_slice(&event.data).expect("JSON"));
                }
            }
            let piece = self.body.next_piece().await?.expect("a piece");
            self.decoder.push(&piece);
        }
    }
}
