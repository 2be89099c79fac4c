//! rmcp's HTTP client on hyper: kept connections, TCP_NODELAY, JSON answers. rmcp's default client opens a
//! TCP connection for every request, which would make the yardstick too easy to beat.
//!
//! It does what the bench's own upstream needs: no streams, no sessions, no authentication.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::Sse;

type Failure = StreamableHttpError<std::io::Error>;

#[derive(Clone)]
pub struct HyperClient(Client<HttpConnector, Full<Bytes>>);

impl HyperClient {
    #[expect(clippy::disallowed_methods, reason = "the yardstick is not the product; it has no egress")]
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

fn failure(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    StreamableHttpError::Client(std::io::Error::other(error))
}

impl StreamableHttpClient for HyperClient {
    type Error = std::io::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        _session_id: Option<Arc<str>>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let body = serde_json::to_vec(&message).map_err(failure)?;
        let mut request = Request::post(uri.as_ref())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .body(Full::new(Bytes::from(body)))
            .map_err(failure)?;
        request.headers_mut().extend(custom_headers);
        let response = self.0.request(request).await.map_err(failure)?;
        if response.status() == http::StatusCode::ACCEPTED {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let body = response.into_body().collect().await.map_err(failure)?.to_bytes();
        let message: ServerJsonRpcMessage = serde_json::from_slice(&body).map_err(failure)?;
        Ok(StreamableHttpPostResponse::Json(message, None))
    }

    async fn delete_session(
        &self,
        _uri: Arc<str>,
        _session_id: Arc<str>,
        _auth_header: Option<String>,
        _custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        Err(StreamableHttpError::UnexpectedServerResponse(Cow::from("the bench's upstream has no sessions")))
    }

    async fn get_stream(
        &self,
        _uri: Arc<str>,
        _session_id: Option<Arc<str>>,
        _last_event_id: Option<String>,
        _auth_header: Option<String>,
        _custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        Err(StreamableHttpError::ServerDoesNotSupportSse)
    }
}
