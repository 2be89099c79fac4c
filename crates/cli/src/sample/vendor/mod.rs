//! The other half of `switchboard demo`: a server as somebody else runs one, with the provider that signs its people in.
//! Everything between it and Switchboard is as real as with a vendor far away: HTTP, discovery, registration, a person
//! who agrees, tokens that rotate and can be revoked. Only its accounts are made up, and need no password.

mod mail;
mod provider;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use switchboard_domain::Random;
use tokio::net::TcpListener;

use provider::Provider;

/// Slug of its connection.
pub(crate) const SLUG: &str = "mail";

const MAX_BODY: usize = 256 * 1024;

/// Runs for as long as the process.
#[derive(Debug)]
pub(crate) struct Vendor {
    origin: String,
    provider: Provider,
    mail: mail::Mail,
}

pub(super) type Answer = Response<Full<Bytes>>;

impl Vendor {
    /// On a port of its own; where its MCP server is.
    pub(crate) async fn start(random: Arc<dyn Random>) -> std::io::Result<String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let url = format!("{origin}/mcp");
        let vendor = Arc::new(Self {
            provider: Provider::new(origin.clone(), url.clone(), random),
            mail: mail::Mail::default(),
            origin,
        });
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let vendor = Arc::clone(&vendor);
                let service = service_fn(move |request| {
                    let vendor = Arc::clone(&vendor);
                    async move { Ok::<_, Infallible>(vendor.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move {
                    // Whoever goes away early has nobody to tell.
                    let _ = connection.await;
                });
            }
        });
        Ok(url)
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "too large");
        };
        let body = body.to_bytes();
        let query = parts.uri.query().unwrap_or_default();
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/.well-known/oauth-protected-resource/mcp") => json_answer(
                StatusCode::OK,
                &json!({
                    "resource": format!("{}/mcp", self.origin), "authorization_servers": [self.origin],
                    "scopes_supported": ["mail"], "resource_name": "Demo Mail",
                }),
            ),
            (&Method::GET, "/.well-known/oauth-authorization-server") => {
                json_answer(StatusCode::OK, &self.provider.metadata())
            }
            (&Method::POST, "/register") => self.provider.register(&body),
            (&Method::GET, "/authorize") => self.provider.authorize(query),
            (&Method::POST, "/token") => self.provider.token(&body),
            (&Method::POST, "/revoke") => self.provider.revoke(&body),
            (_, "/mcp") => self.mcp(&parts, &body),
            _ => plain(StatusCode::NOT_FOUND, "There is nothing here."),
        }
    }

    fn mcp(&self, parts: &http::request::Parts, body: &Bytes) -> Answer {
        let bearer = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let Some(account) = token.and_then(|token| self.provider.account_of(token)) else {
            let mut refused = plain(StatusCode::UNAUTHORIZED, "Sign in first.");
            let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", self.origin);
            let challenge = format!("Bearer resource_metadata=\"{metadata}\", scope=\"mail\"");
            if let Ok(challenge) = challenge.parse() {
                refused.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            return refused;
        };
        if parts.method != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "POST");
        }
        let Ok(message) = serde_json::from_slice::<Value>(body) else {
            return plain(StatusCode::BAD_REQUEST, "no JSON");
        };
        let id = &message["id"];
        if id.is_null() {
            return plain(StatusCode::ACCEPTED, "");
        }
        match self.mail.handle(account, message["method"].as_str().unwrap_or_default(), &message["params"]) {
            Ok(result) => {
                json_answer(StatusCode::OK, &json!({ "jsonrpc": "2.0", "id": id, "result": result }))
            }
            Err((code, text)) => json_answer(
                if code == switchboard_mcp::code::METHOD_NOT_FOUND {
                    StatusCode::NOT_FOUND
                } else {
                    StatusCode::BAD_REQUEST
                },
                &json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": text } }),
            ),
        }
    }
}

fn of(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

fn plain(status: StatusCode, text: &str) -> Answer {
    of(status, "text/plain; charset=utf-8", text.to_owned())
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    of(status, "application/json", body.to_string())
}
