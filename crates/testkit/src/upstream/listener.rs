//! A loopback HTTP/1.1 server whose connections end when its handle is dropped.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, io::Error>;

/// What becomes of one request: an answer, or the end of the connection without one.
pub(crate) type Outcome = Result<Response<ResponseBody>, ConnectionEnd>;

#[derive(Debug, thiserror::Error)]
#[error("the script ends this connection")]
pub(crate) struct ConnectionEnd;

impl From<Infallible> for ConnectionEnd {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Set by an answer that wants its connection reset (TCP RST) instead of closed.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResetSwitch(Arc<AtomicBool>);

impl ResetSwitch {
    pub(super) fn reset(&self) {
        self.0.store(true, Ordering::Release);
    }
}

pub(crate) type Handler = Arc<
    dyn Fn(Request<Incoming>, ResetSwitch) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync,
>;

/// Accepts until dropped; dropping it also ends every connection it accepted.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn bind(handler: Handler) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { break };
                        connections.spawn(serve(stream, handler.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self { address, task }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, handler: Handler) {
    // Nagle's algorithm and delayed acknowledgements together stall small SSE events for 40 ms.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let switch = ResetSwitch::default();
    let service = service_fn({
        let switch = switch.clone();
        move |request| handler(request, switch.clone())
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    if ended.is_err() && switch.0.load(Ordering::Acquire) {
        // A zero linger time turns the close into a reset.
        drop(stream.set_zero_linger());
    }
}
