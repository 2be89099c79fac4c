//! One request, one answer: for setting up, not for measuring.

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the bench is a client of its own; there is no egress to go through"
)]
async fn connect(authority: &str) -> std::io::Result<TcpStream> {
    TcpStream::connect(authority).await
}

pub async fn request(
    method: &str,
    url: &str,
    bearer: Option<&str>,
    body: Option<&Value>,
) -> Result<Answer, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{method} {url}: {error}");
    let uri: Uri = url.parse().map_err(|error| failed(&error))?;
    let authority = uri.authority().ok_or_else(|| failed(&"no host"))?.as_str();
    let stream = connect(authority).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str))
        .header("host", authority);
    if let Some(token) = bearer {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let request = request.body(Full::new(body)).map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
    connection.abort();
    Ok(Answer { status, body })
}
