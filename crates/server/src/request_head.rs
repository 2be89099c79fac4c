//! The head of a request has to arrive in time, however slowly its bytes trickle in: who sends one a second would hold
//! a connection for as long as they like ("slowloris").
//!
//! HTTP libraries count from the end of the request before, so that a client that keeps a connection for later and one that
//! dawdles look the same. Here they don't: a head's time begins with its first byte, and until then the connection
//! waits for as long as `server.keep_alive` says (RFC 9112 section 9.5). The first head has its time from the start.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// Where one connection is, from a request to the next.
#[derive(Debug, Default)]
pub(crate) struct Stage(Mutex<At>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// What arrives is a head.
    #[default]
    Head,
    /// A request is being worked on; what arrives is its body.
    Asked,
    /// It was answered: what arrives next begins another.
    Answered,
}

impl Stage {
    pub(crate) fn asked(&self) {
        *self.0.lock() = At::Asked;
    }

    pub(crate) fn answered(&self) {
        *self.0.lock() = At::Answered;
    }

    /// Whether what arrived begins a head.
    fn begins(&self) -> bool {
        let mut at = self.0.lock();
        let begins = *at == At::Answered;
        if begins {
            *at = At::Head;
        }
        begins
    }

    fn is_head(&self) -> bool {
        *self.0.lock() == At::Head
    }
}

/// A stream that fails when a head takes too long.
#[derive(Debug)]
pub(crate) struct InTime<S> {
    stream: S,
    limit: Duration,
    stage: Arc<Stage>,
    /// Set once a head was waited for.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> InTime<S> {
    pub(crate) fn new(stream: S, limit: Duration, stage: Arc<Stage>) -> Self {
        Self { stream, limit, stage, deadline: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for InTime<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before && this.stage.begins() {
                this.deadline = None;
            }
            return read;
        }
        if !this.stage.is_head() {
            this.deadline = None;
            return Poll::Pending;
        }
        let limit = this.limit;
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InTime<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
