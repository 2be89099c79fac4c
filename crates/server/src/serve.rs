//! The listener: HTTP/1.1 with bounds on headers, time and connections, TCP_NODELAY, and an orderly end.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, Uri, header},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    ServerState,
    places::Places,
    problem,
    request_head::{InTime, Stage},
    router,
    stalled::Stalled,
};

/// Bound on the header section, and on what is read ahead of a body.
const READ_BUFFER: usize = 64 * 1024;
/// For the head of a request on one of the few places beyond the bound on connections.
const RESERVED_HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_HEADERS: usize = 100;

/// Where a request comes from: the peer of its connection, or the client that a trusted proxy names. The port is the
/// connection's in either case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the listener failed: {0}")]
    Listener(#[from] std::io::Error),
}

/// Serves until `stop`, then lets running requests finish within the drain time.
pub async fn serve(
    listener: TcpListener,
    state: ServerState,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let (drain, write_timeout) = (state.config.drain, state.config.write_timeout);
    let places = Places::new(Arc::clone(&state.config));
    let readiness = Arc::clone(&state.readiness);
    let config = Arc::clone(&state.config);
    let app = router(state);
    let graceful = GracefulShutdown::new();
    loop {
        let mut place = tokio::select! {
            () = stop.cancelled() => break,
            place = places.next() => place,
        };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Out of file descriptors, or the peer was gone already: the next one may fare better.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        if !places.admit(&mut place, peer.ip()) {
            metrics::counter!("switchboard_connections_refused_total", "limit" => "server.max_connections_per_source")
                .increment(1);
            tracing::debug!(%peer, "too many connections of one source (limit `server.max_connections_per_source`)");
            continue;
        }
        // Small answers must not wait for an acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let stage = Arc::new(Stage::default());
        let reserved = place.reserved;
        let head_timeout = if reserved { RESERVED_HEAD_TIMEOUT } else { config.request_head_timeout };
        let stream = Stalled::new(InTime::new(stream, head_timeout, Arc::clone(&stage)), write_timeout);
        let keep_alive = config.keep_alive;
        let app = app.clone();
        let config = Arc::clone(&config);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            stage.asked();
            let client = config.trusted_proxies.client(peer.ip(), request.headers());
            let app = (!reserved || is_sign_of_life(request.uri())).then(|| app.clone());
            let answer = answer(app, request, Peer(SocketAddr::new(client, peer.port())));
            let stage = Arc::clone(&stage);
            async move { answer.await.inspect(|_| stage.answered()) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            // Who took one of the few places beyond the bound asks once.
            .keep_alive(!reserved)
            .timer(TokioTimer::new())
            // Runs from the end of one request: it is how long a connection may wait for the next.
            .header_read_timeout(keep_alive)
            .max_buf_size(READ_BUFFER)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    readiness.stopping();
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = drain.as_secs(), "requests were still running when the drain time ended");
    }
    Ok(())
}

/// What is answered however busy it is.
fn is_sign_of_life(uri: &Uri) -> bool {
    matches!(uri.path(), "/livez" | "/readyz" | "/metrics")
}

/// `None`: there are too many connections for this one to be served.
async fn answer(
    app: Option<Router>,
    request: hyper::Request<Incoming>,
    peer: Peer,
) -> Result<axum::response::Response, Infallible> {
    let Some(app) = app else {
        metrics::counter!("switchboard_connections_refused_total", "limit" => "server.max_connections")
            .increment(1);
        let text = "There are too many connections (limit `server.max_connections`). Try again in a moment.";
        let mut response = problem::plain(StatusCode::SERVICE_UNAVAILABLE, text);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        return Ok(response);
    };
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    app.oneshot(request).await
}
