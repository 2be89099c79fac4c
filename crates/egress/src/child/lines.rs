//! Messages over pipes: one JSON-RPC message a line (MCP, stdio transport).

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, ChildStdout},
};

use crate::limits::ByteLimit;

const READ_SIZE: usize = 64 * 1024;

/// What can go wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line was skipped; the next one can be read.
    #[error("the process sent a line of more than {limit} bytes (setting `{limit_name}`)")]
    TooLong { limit_name: &'static str, limit: u64 },
    #[error("the pipe to the process is closed")]
    Closed,
}

/// Reads lines without copying them; each is handed out as a part of the read buffer.
#[derive(Debug)]
pub struct LineReader {
    stdout: ChildStdout,
    buffer: BytesMut,
    limit: ByteLimit,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    /// In the middle of a line that was too long.
    skipping: bool,
}

impl LineReader {
    pub(super) fn new(stdout: ChildStdout, limit: ByteLimit) -> Self {
        Self { stdout, buffer: BytesMut::new(), limit, searched: 0, skipping: false }
    }

    /// The next line without its end; empty lines are skipped; `None` once the child closed its output. A
    /// last line without an end is no message and is dropped. Safe to cancel: nothing read is lost.
    pub async fn next_line(&mut self) -> Option<Result<Bytes, LineError>> {
        loop {
            match self.buffered_line() {
                Some(Ok(line)) if line.is_empty() => continue,
                Some(outcome) => return Some(outcome),
                None => {}
            }
            self.buffer.reserve(READ_SIZE);
            match self.stdout.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    fn buffered_line(&mut self) -> Option<Result<Bytes, LineError>> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
                self.searched = self.buffer.len();
                if self.skipping {
                    self.buffer.clear();
                    self.searched = 0;
                    return None;
                }
                let too_long = self.buffer.len() as u64 > self.limit.bytes;
                return too_long.then(|| {
                    self.skipping = true;
                    Err(self.too_long())
                });
            };
            let mut line = self.buffer.split_to(self.searched + end);
            self.buffer.advance(1);
            self.searched = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if line.len() as u64 > self.limit.bytes {
                return Some(Err(self.too_long()));
            }
            if line.ends_with(b"\r") {
                line.truncate(line.len() - 1);
            }
            return Some(Ok(line.freeze()));
        }
    }

    const fn too_long(&self) -> LineError {
        LineError::TooLong { limit_name: self.limit.name, limit: self.limit.bytes }
    }
}

/// Writes lines. Dropping it closes the child's input, which asks the child to leave.
#[derive(Debug)]
pub struct LineWriter {
    stdin: ChildStdin,
}

impl LineWriter {
    pub(super) const fn new(stdin: ChildStdin) -> Self {
        Self { stdin }
    }

    /// Writes one JSON text and ends the line. A line end inside the text can only be white space between
    /// tokens (RFC 8259 section 2) and is written as a space: nothing that is carried through unread can
    /// become two messages. Not safe to cancel: a message that was begun has to be finished.
    pub async fn write_line(&mut self, json: &[u8]) -> Result<(), LineError> {
        let one_line = memchr::memchr2(b'\n', b'\r', json).map(|_| {
            let space = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
            json.iter().map(space).collect::<Vec<_>>()
        });
        let json = one_line.as_deref().unwrap_or(json);
        let write = async {
            self.stdin.write_all_buf(&mut bytes::Buf::chain(json, &b"\n"[..])).await?;
            self.stdin.flush().await
        };
        write.await.map_err(|_| LineError::Closed)
    }
}
