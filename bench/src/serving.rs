//! HTTP/1.1 around an rmcp handler, with the switches that make it fast: TCP_NODELAY, JSON answers
//! instead of one-event streams, no sessions.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rmcp::handler::server::ServerHandler;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

pub type ResponseBody = BoxBody<Bytes, Infallible>;
pub type Service<H> = StreamableHttpService<H, LocalSessionManager>;

pub fn service<H: ServerHandler + Clone + Send + Sync + 'static>(handler: H) -> Service<H> {
    let configuration =
        StreamableHttpServerConfig::default().with_json_response(true).with_legacy_session_mode(false);
    StreamableHttpService::new(
        move || Ok(handler.clone()),
        Arc::new(LocalSessionManager::default()),
        configuration,
    )
}

pub fn block_on<F: Future<Output = Result<(), String>>>(future: F) -> Result<(), String> {
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(future)
}

/// Serves until the process is ended. Prints `listening on ADDRESS` as its first line: whoever started it
/// reads the port there.
pub async fn serve<F, R>(listen: &str, handler: F) -> Result<(), String>
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Response<ResponseBody>, Infallible>> + Send + 'static,
{
    let listener =
        TcpListener::bind(listen).await.map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    announce(&listener)?;
    loop {
        let (stream, _) = listener.accept().await.map_err(|error| format!("cannot accept: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("cannot set TCP_NODELAY: {error}"))?;
        let handler = handler.clone();
        tokio::spawn(async move {
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(handler));
            // A client that went away is no failure of the server.
            drop(connection.await);
        });
    }
}

fn announce(listener: &TcpListener) -> Result<(), String> {
    use std::io::Write as _;
    let address = listener.local_addr().map_err(|error| format!("no address: {error}"))?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {address}")
        .and_then(|()| stdout.flush())
        .map_err(|error| error.to_string())
}
