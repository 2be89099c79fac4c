//! From a host to a connection: resolve, judge, dial, secure. The connector of the pooled HTTP client.
//!
//! The order is the defence against DNS rebinding: one lookup, all of its answers judged, and only those
//! addresses are dialled. A connector of our own sees literal addresses too, which never reach the resolver
//! hook of a ready-made HTTP client.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use switchboard_domain::Stage;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::Host;

use crate::{
    dial::{Dial, dial_any, interleave, is_own_interface},
    error::{EgressError, TlsFailure},
    guard::{Guard, Reason, Scheme, Target},
    limits::Limits,
    proxy::Proxy,
    resolve::{Resolve, ResolveError},
    tls,
};

/// Everything needed to open a connection; shared by all clones of `Egress`.
pub(crate) struct Connections {
    pub(crate) guard: Arc<Guard>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) dialer: Arc<dyn Dial>,
    pub(crate) tls: TlsConnector,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) limits: Limits,
    pub(crate) opened: AtomicU64,
}

/// An open TCP connection, perhaps through the proxy.
pub(crate) struct Opened {
    stream: TcpStream,
    peer: SocketAddr,
    /// Requests go to the proxy in absolute form.
    absolute_form: bool,
}

impl Connections {
    /// The judged addresses of a target, in the order to try them.
    pub(crate) async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, EgressError> {
        self.guard.judge_target(target).map_err(|reason| reason.refuse(&target.host))?;
        let addresses = match &target.host {
            Host::Ipv4(v4) => vec![IpAddr::V4(*v4)],
            Host::Ipv6(v6) => vec![IpAddr::V6(*v6)],
            Host::Domain(name) => {
                let answers = self.look_up(name).await?;
                self.judge_answers(target, &answers).map_err(|reason| reason.refuse(&name))?;
                answers
            }
        };
        if self.guard.listens_everywhere_on(target.port) && addresses.iter().any(|a| is_own_interface(*a)) {
            return Err(Reason::OwnListener.refuse(&target.host).into());
        }
        Ok(interleave(&addresses, target.port))
    }

    fn judge_answers(&self, target: &Target, answers: &[IpAddr]) -> Result<(), Reason> {
        if answers.len() > self.limits.name_addresses {
            return Err(Reason::TooManyAddresses);
        }
        self.guard.judge_answers(target, answers)
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, EgressError> {
        let name = name.strip_suffix('.').unwrap_or(name);
        match timeout(self.limits.name_resolution_timeout, self.resolver.resolve(name)).await {
            Ok(Ok(answers)) if answers.is_empty() => Err(EgressError::NameNotFound),
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(ResolveError::NotFound)) => Err(EgressError::NameNotFound),
            Ok(Err(ResolveError::Failed)) | Err(_) => Err(EgressError::NameResolutionFailed),
        }
    }

    /// TCP to one of the judged `addresses`, or a tunnel to one of them.
    pub(crate) async fn open(
        &self,
        target: &Target,
        addresses: &[SocketAddr],
    ) -> Result<Opened, EgressError> {
        let opening = async {
            match &self.proxy {
                None => dial_any(&*self.dialer, addresses).await.map(|dialled| Opened {
                    stream: dialled.stream,
                    peer: dialled.peer,
                    absolute_form: false,
                }),
                Some(proxy) => self.open_through(proxy, target, addresses).await,
            }
        };
        let within = self.limits.connect_timeout;
        let opened = timeout(within, opening)
            .await
            .map_err(|_| timed_out(Stage::Tcp, "egress.limits.connect_timeout", within))??;
        self.opened.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("switchboard_egress_connections_opened_total").increment(1);
        Ok(opened)
    }

    async fn open_through(
        &self,
        proxy: &Proxy,
        target: &Target,
        addresses: &[SocketAddr],
    ) -> Result<Opened, EgressError> {
        // The operator chose the proxy; it usually has a private address.
        let proxy_addresses = match &proxy.host {
            Host::Ipv4(v4) => vec![IpAddr::V4(*v4)],
            Host::Ipv6(v6) => vec![IpAddr::V6(*v6)],
            Host::Domain(name) => self.look_up(name).await?,
        };
        let dialled = dial_any(&*self.dialer, &interleave(&proxy_addresses, proxy.port)).await?;
        let mut opened = Opened { stream: dialled.stream, peer: dialled.peer, absolute_form: false };
        if proxy.resolves_names {
            opened.absolute_form = target.scheme == Scheme::Http;
            if !opened.absolute_form {
                let authority = format!("{}:{}", target.host, target.port);
                proxy.connect(&mut opened.stream, &authority).await?;
            }
            return Ok(opened);
        }
        let judged = addresses.first().ok_or(EgressError::NameNotFound)?;
        proxy.connect(&mut opened.stream, &judged.to_string()).await?;
        opened.peer = *judged;
        Ok(opened)
    }

    pub(crate) async fn secure(
        &self,
        target: &Target,
        opened: Opened,
    ) -> Result<TlsStream<TcpStream>, EgressError> {
        let name =
            tls::server_name(&target.host).ok_or(EgressError::TlsFailed { kind: TlsFailure::WrongHost })?;
        let within = self.limits.tls_timeout;
        match timeout(within, self.tls.connect(name, opened.stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                tracing::debug!(host = ?target.host, %error, "TLS handshake failed");
                Err(EgressError::TlsFailed { kind: tls::failure(&error) })
            }
            Err(_) => Err(timed_out(Stage::Tls, "egress.limits.tls_timeout", within)),
        }
    }

    async fn connect(&self, target: &Target) -> Result<Transport, EgressError> {
        let addresses = self.resolve(target).await?;
        let opened = self.open(target, &addresses).await?;
        let (peer, absolute_form) = (opened.peer, opened.absolute_form);
        let stream = match target.scheme {
            Scheme::Http => Stream::Plain(opened.stream),
            Scheme::Https => Stream::Tls(Box::new(self.secure(target, opened).await?)),
        };
        Ok(Transport { stream, peer, absolute_form })
    }
}

fn timed_out(stage: Stage, setting: &'static str, within: Duration) -> EgressError {
    EgressError::ConnectTimeout { stage, setting, within }
}

/// The pooled client's way to a new connection.
#[derive(Clone)]
pub(crate) struct Connector(pub(crate) Arc<Connections>);

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Transport>;
    type Error = EgressError;
    type Future = BoxFuture<'static, Result<Self::Response, EgressError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connections = Arc::clone(&self.0);
        Box::pin(async move {
            let target = Target::of_uri(&uri).ok_or_else(|| Reason::Unparsable.refuse(&uri.host()))?;
            connections.connect(&target).await.map(TokioIo::new)
        })
    }
}

/// The checked address at the other end, carried to the response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// One connection as the HTTP client sees it.
pub(crate) struct Transport {
    stream: Stream,
    peer: SocketAddr,
    absolute_form: bool,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Transport {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.absolute_form).extra(Peer(self.peer));
        match &self.stream {
            Stream::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => connected.negotiated_h2(),
            _ => connected,
        }
    }
}

/// Calls the same method on whichever stream it is.
macro_rules! delegate {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match &mut $self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tls(stream) => Pin::new(&mut **stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown(cx))
    }
}
