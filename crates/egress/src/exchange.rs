//! One request and its answer.
//!
//! **Nothing runs twice.** The pooled client may find a kept connection closed under it. It then tries again
//! by itself (`retry_canceled_requests`), but only with a request that it got back whole: hyper returns a
//! request only if it still lay in the connection's queue, before one byte of it was written. A request that
//! was begun is never sent again, whatever its method, and the error says that it may have arrived.
//!
//! **Redirects are followed by hand**, each hop judged like a first URL, never for a request with effects. At
//! the first change of origin all of the caller's headers go and never come back.

use std::{
    error::Error as StdError,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{self, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, LOCATION},
};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    Egress,
    body::{Body, Overdue, Timer},
    connect::Peer,
    error::EgressError,
    guard::{GuardedUrl, Reason, Scheme},
    limits::{ByteLimit, Deadlines},
};

/// What to send and how much may come back.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub url: GuardedUrl,
    /// Framing and connection headers among these are dropped: they are ours.
    pub headers: HeaderMap,
    pub body: Bytes,
    pub deadlines: Deadlines,
    pub max_wire_bytes: ByteLimit,
    pub max_inflated_bytes: ByteLimit,
    pub redirects: Redirects,
    /// Asks for gzip. An answer in gzip is inflated in any case.
    pub accept_gzip: bool,
}

/// Which redirects are followed. Only GET and HEAD ever follow one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    Refuse,
    /// The redirect is the answer: whoever asked looks at it and goes nowhere.
    Show,
    SameOrigin {
        max: usize,
    },
    /// For public resources such as logos: headers and body stay behind at the first change of origin.
    AnyOrigin {
        max: usize,
    },
}

/// An answer whose header section has arrived.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    /// Claims of a stranger. To be read, never to be passed on whole.
    pub headers: HeaderMap,
    /// The judged address that was dialled; with an egress proxy that resolves names, the proxy's.
    pub peer: std::net::SocketAddr,
    /// Where the answer came from after redirects.
    pub url: GuardedUrl,
    pub body: Body,
}

/// The request's body, which also tells whether a connection has begun to write the request.
pub(crate) struct Payload {
    data: Option<Bytes>,
    begun: Arc<AtomicBool>,
}

impl http_body::Body for Payload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.data.take().map(|data| Ok(Frame::data(data))))
    }

    /// hyper asks this once it has taken the request out of the queue, before it writes the header section.
    fn is_end_stream(&self) -> bool {
        self.begun.store(true, Ordering::Relaxed);
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}

/// Headers that belong to the connection (RFC 9110 section 7.6.1) or to the framing.
static OWN_HEADERS: [HeaderName; 11] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

impl Egress {
    /// Sends `request` and waits for the header section of the answer. Dropping the future, or later the
    /// body, ends the exchange and closes its connection.
    pub async fn send(&self, request: Request) -> Result<Response, EgressError> {
        let started = Instant::now();
        let Request { method, mut url, mut headers, mut body, redirects, .. } = request;
        for name in &OWN_HEADERS {
            headers.remove(name);
        }
        let mut followed = 0;
        loop {
            let timer = Timer::start(request.deadlines, started);
            let outgoing = if matches!(redirects, Redirects::Refuse | Redirects::Show) {
                std::mem::take(&mut headers)
            } else {
                headers.clone()
            };
            let hop = Hop { method: &method, url: &url, headers: outgoing, body: body.clone() };
            let (answer, timer) = self.exchange(hop, timer, request.accept_gzip).await?;
            if !is_redirect(answer.status()) || redirects == Redirects::Show {
                return self.response(answer, timer, url, request.max_wire_bytes, request.max_inflated_bytes);
            }
            let next = self.next_hop(&method, &url, answer.headers(), redirects, followed)?;
            followed += 1;
            if !next.same_origin(&url) {
                headers.clear();
                body.clear();
            }
            url = next;
        }
    }

    async fn exchange(
        &self,
        hop: Hop<'_>,
        mut timer: Timer,
        accept_gzip: bool,
    ) -> Result<(http::Response<Incoming>, Timer), EgressError> {
        let begun = Arc::new(AtomicBool::new(false));
        let request = self.outgoing(hop, accept_gzip, &begun)?;
        let answer = tokio::select! {
            biased;
            answer = self.shared.client.request(request) => answer,
            overdue = timer.header_overdue() => {
                let sent = begun.load(Ordering::Relaxed);
                return Err(match overdue {
                    Overdue::Total => EgressError::DeadlineExceeded { within: timer.total(), sent },
                    Overdue::FirstByte => {
                        EgressError::FirstByteTimeout { within: timer.deadlines.first_byte, sent }
                    }
                });
            }
        };
        timer.header_arrived();
        let answer = answer.map_err(|error| self.failure(&error, begun.load(Ordering::Relaxed)))?;
        self.check_header(&answer)?;
        Ok((answer, timer))
    }

    fn outgoing(
        &self,
        hop: Hop<'_>,
        accept_gzip: bool,
        begun: &Arc<AtomicBool>,
    ) -> Result<http::Request<Payload>, EgressError> {
        // A URL that another set of rules let through is judged again by ours.
        let url = if hop.url.passed(&self.shared.guard) {
            hop.url.clone()
        } else {
            self.check_url(hop.url.as_str())?
        };
        let data = (!hop.body.is_empty()).then_some(hop.body);
        let mut request = http::Request::new(Payload { data, begun: Arc::clone(begun) });
        *request.method_mut() = hop.method.clone();
        *request.uri_mut() = url.uri().clone();
        *request.headers_mut() = hop.headers;
        let coding = HeaderValue::from_static(if accept_gzip { "gzip" } else { "identity" });
        request.headers_mut().insert(ACCEPT_ENCODING, coding);
        if url.target().scheme == Scheme::Http
            && let Some(proxy) = self.shared.connections.proxy.as_ref().filter(|proxy| proxy.resolves_names)
            && let Some(authorization) = proxy.authorization()
            && let Ok(mut value) = HeaderValue::from_str(authorization)
        {
            value.set_sensitive(true);
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, value);
        }
        Ok(request)
    }

    fn check_header(&self, answer: &http::Response<Incoming>) -> Result<(), EgressError> {
        // Nobody here speaks another protocol on this connection.
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(EgressError::Protocol { sent: true });
        }
        let limits = &self.shared.connections.limits;
        let bytes: usize =
            answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if bytes as u64 > limits.header_bytes || answer.headers().len() > limits.header_count {
            return Err(self.headers_too_large());
        }
        Ok(())
    }

    fn headers_too_large(&self) -> EgressError {
        let limits = &self.shared.connections.limits;
        EgressError::HeadersTooLarge { count: limits.header_count, bytes: limits.header_bytes }
    }

    fn response(
        &self,
        answer: http::Response<Incoming>,
        timer: Timer,
        url: GuardedUrl,
        wire: ByteLimit,
        inflated: ByteLimit,
    ) -> Result<Response, EgressError> {
        let (mut parts, incoming) = answer.into_parts();
        let gzip = is_gzip(&parts.headers)?;
        let Some(Peer(peer)) = parts.extensions.get().copied() else {
            return Err(EgressError::Protocol { sent: true });
        };
        let body = Body::new(incoming, timer, wire, inflated, gzip)?;
        if gzip {
            parts.headers.remove(CONTENT_ENCODING);
            parts.headers.remove(CONTENT_LENGTH);
        }
        Ok(Response { status: parts.status, headers: parts.headers, peer, url, body })
    }

    /// Where a redirect leads, if it may be followed.
    fn next_hop(
        &self,
        method: &Method,
        url: &GuardedUrl,
        headers: &HeaderMap,
        redirects: Redirects,
        followed: usize,
    ) -> Result<GuardedUrl, EgressError> {
        let (max, any_origin) = match redirects {
            Redirects::Refuse | Redirects::Show => return Err(EgressError::RedirectRefused),
            Redirects::SameOrigin { max } => (max, false),
            Redirects::AnyOrigin { max } => (max, true),
        };
        if followed >= max || !matches!(*method, Method::GET | Method::HEAD) {
            return Err(EgressError::RedirectRefused);
        }
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // What a URL parser would strip or read differently is not even joined.
        if location.is_empty() || location.contains(|c: char| c.is_control() || c == ' ' || c == '\\') {
            return Err(Reason::Characters.refuse(&url).into());
        }
        let next = url.url().join(location).map_err(|_| Reason::Unparsable.refuse(&url))?;
        let next = self.check_url(next.as_str())?;
        if any_origin || next.same_origin(url) { Ok(next) } else { Err(EgressError::RedirectRefused) }
    }

    fn failure(&self, error: &hyper_util::client::legacy::Error, begun: bool) -> EgressError {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(own) = current.downcast_ref::<EgressError>() {
                return own.clone();
            }
            if let Some(http) = current.downcast_ref::<hyper::Error>() {
                if http.is_parse_too_large() {
                    return self.headers_too_large();
                }
                if http.is_parse() {
                    return EgressError::Protocol { sent: begun };
                }
            }
            cause = current.source();
        }
        tracing::debug!(error = error as &dyn StdError, "exchange failed");
        EgressError::ConnectionLost { sent: begun }
    }
}

struct Hop<'a> {
    method: &'a Method,
    url: &'a GuardedUrl,
    headers: HeaderMap,
    body: Bytes,
}

const fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 300..=303 | 305..=308)
}

/// Identity or gzip once; everything else is refused, because stacked codings multiply a bomb.
fn is_gzip(headers: &HeaderMap) -> Result<bool, EgressError> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(false) };
    if codings.next().is_some() {
        return Err(EgressError::UnsupportedEncoding);
    }
    match coding.as_bytes() {
        b"" => Ok(false),
        name if name.eq_ignore_ascii_case(b"identity") => Ok(false),
        name if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => Ok(true),
        _ => Err(EgressError::UnsupportedEncoding),
    }
}
