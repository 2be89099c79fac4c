//! A server that is part of this process: the sample of `switchboard demo`.

use std::fmt;

use bytes::Bytes;
use switchboard_mcp::ErrorObject;

/// Answers requests without a socket.
pub trait InProcessServer: Send + Sync + fmt::Debug {
    fn instructions(&self) -> Option<String>;

    /// `members` are the members of `params`, without the braces.
    fn handle(&self, method: &str, members: &str) -> Result<Bytes, ErrorObject>;
}
