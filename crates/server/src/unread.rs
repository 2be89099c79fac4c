//! What of a request's body nobody read, because it was refused by its head.
//!
//! Clients send head and body apart, and after a 401 they try again on the same connection: a server that answers and
//! closes because the body is still on its way looks like one that failed. So a short rest is read and thrown away; with a
//! longer one the answer says that the connection ends here (RFC 9112 section 9.3).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, Version, header},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

/// The most that is thrown away, and how long it may take to come.
const MOST_BYTES: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// A body that whoever handles the request and whoever answers it hold together.
struct Shared(Arc<Mutex<Body>>);

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}

/// Sees to the rest of a body once the request is answered.
pub(crate) struct Rest {
    body: Shared,
    /// The client has not sent the body: it waits to be asked for it (RFC 9110 section 10.1.1).
    held_back: bool,
    version: Version,
}

/// The body for the handler, and what is left of it for later.
pub(crate) fn keep(body: Body, headers: &HeaderMap, version: Version) -> (Body, Rest) {
    let body = Arc::new(Mutex::new(body));
    let rest =
        Rest { body: Shared(Arc::clone(&body)), held_back: headers.contains_key(header::EXPECT), version };
    (Body::new(Shared(body)), rest)
}

impl Rest {
    /// Before the answer goes out.
    pub(crate) async fn settle(mut self, response: &mut Response<Body>) {
        let ended = http_body::Body::is_end_stream(&self.body);
        let whole = ended || (!self.held_back && self.throw_away().await);
        if !whole && self.version < Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Whether that was all of it.
    async fn throw_away(&mut self) -> bool {
        let reading = async {
            let mut left = MOST_BYTES;
            while let Some(frame) = self.body.frame().await {
                let read = frame.ok().and_then(|frame| frame.data_ref().map(Bytes::len));
                match left.checked_sub(read.unwrap_or(0)) {
                    Some(less) if read.is_some() => left = less,
                    _ => return false,
                }
            }
            true
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or(false)
    }
}
