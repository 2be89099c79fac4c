//! The operator's egress proxy: a second layer behind the guard, never instead of it.
//!
//! A tunnel is asked for with CONNECT (RFC 9110 section 9.3.6) to the address that was judged, so that the
//! proxy cannot come to another answer for the name. A proxy that decides by host name needs
//! `egress.proxy_resolves_names`; then it gets the name, and plain http goes to it in absolute form.
//! Proxies named by environment variables are never used.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::{Host, Url};

use crate::error::EgressError;

const MAX_ANSWER: usize = 8 * 1024;

/// Where the proxy is and what it wants to see.
pub(crate) struct Proxy {
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
    pub(crate) resolves_names: bool,
    /// `Proxy-Authorization`, ready to send.
    authorization: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

impl Proxy {
    pub(crate) fn new(url: &Url, resolves_names: bool) -> Result<Self, String> {
        if url.scheme() != "http" {
            return Err(format!("the scheme `{}` is not supported; use http://", url.scheme()));
        }
        if url.path() != "/" || url.query().is_some() {
            return Err("it must not have a path or a query".into());
        }
        let host = url.host().ok_or("it has no host")?.to_owned();
        let port = url.port_or_known_default().ok_or("it has no port")?;
        let authorization = (!url.username().is_empty()).then(|| {
            let user = percent_decoded(url.username());
            let password = percent_decoded(url.password().unwrap_or_default());
            let pair = [user.as_slice(), b":", password.as_slice()].concat();
            format!("Basic {}", BASE64_STANDARD.encode(pair))
        });
        Ok(Self { host, port, resolves_names, authorization })
    }

    /// Asks for a tunnel to `authority` (`host:port`) and leaves the stream at its first byte.
    pub(crate) async fn connect(&self, stream: &mut TcpStream, authority: &str) -> Result<(), EgressError> {
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        let broken = |_| EgressError::ProxyFailed { status: None };
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut answer = BytesMut::with_capacity(1024);
        // Nobody speaks through the tunnel before we do, so reading past the header takes nothing away.
        while !answer.ends_with(b"\r\n\r\n") {
            let read = stream.read_buf(&mut answer).await.map_err(broken)?;
            if read == 0 || answer.len() > MAX_ANSWER {
                return Err(EgressError::ProxyFailed { status: status(&answer) });
            }
            if status(&answer).is_some_and(|status| !(200..300).contains(&status)) {
                return Err(EgressError::ProxyFailed { status: status(&answer) });
            }
        }
        match status(&answer) {
            Some(200..=299) => Ok(()),
            status => Err(EgressError::ProxyFailed { status }),
        }
    }

    /// The header a plain request in absolute form needs.
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}
