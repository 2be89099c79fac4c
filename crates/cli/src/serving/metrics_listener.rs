//! `/metrics` on a listener of its own: for a network that only the monitoring reaches.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

pub(super) async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    allowed_hosts: Vec<String>,
    stop: CancellationToken,
) {
    let hosts: Arc<[String]> = allowed_hosts.into();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (metrics, hosts) = (metrics.clone(), Arc::clone(&hosts));
        let service = service_fn(move |request: Request<Incoming>| {
            let known = named_host(&request).is_some_and(|host| is_ours(&host, &hosts));
            answer(request, known, metrics.clone())
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // A scraper that goes away early has nobody to tell.
            let _ = connection.await;
        });
    }
}

/// The one host that a request names.
fn named_host<B>(request: &Request<B>) -> Option<String> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    let alone = hosts.next().is_none();
    let named = request.uri().authority().is_none_or(|named| named.as_str().eq_ignore_ascii_case(host));
    (alone && named).then(|| host.to_ascii_lowercase())
}

/// A page of another site that had its name point here (DNS rebinding) names its own host, never an address. A scraper
/// names the address, or a name that the operator allows.
fn is_ours(host: &str, allowed: &[String]) -> bool {
    let is_address = host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok();
    let is_local = host.split(':').next() == Some("localhost");
    is_address || is_local || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
}

async fn answer(
    request: Request<Incoming>,
    known: bool,
    metrics: Metrics,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    if !known {
        *response.status_mut() = StatusCode::FORBIDDEN;
        *response.body_mut() = Full::new(Bytes::from_static(
            b"This host name is not one that /metrics answers to: use the address, or name it in server.allowed_hosts.\n",
        ));
    } else if request.uri().path() == "/metrics" {
        let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        *response.body_mut() = Full::new(metrics.render().into());
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_what_the_operator_allows_are_answered() {
        let allowed = ["metrics.internal:9464".to_owned()];
        let ours = ["127.0.0.1:9464", "10.0.0.7", "[::1]:9464", "localhost:9464", "metrics.internal:9464"];
        let foreign = [
            "evil.example",
            "evil.example:9464",
            "metrics.internal",
            "localhost.evil.example",
            "",
            "1.2.3.4.evil.example:9464",
        ];
        assert!(ours.iter().all(|host| is_ours(host, &allowed)));
        assert!(!foreign.iter().any(|host| is_ours(host, &allowed)));
        let request = |build: http::request::Builder| build.body(()).unwrap();
        let twice = Request::builder().header("host", "a:1").header("host", "a:1");
        let other = Request::builder().uri("http://b:1/metrics").header("host", "a:1");
        for refused in [Request::builder(), twice, other] {
            assert_eq!(named_host(&request(refused)), None);
        }
        let one = Request::builder().uri("http://A:1/metrics").header("host", "a:1");
        assert_eq!(named_host(&request(one)).as_deref(), Some("a:1"));
    }
}
