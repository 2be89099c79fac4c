//! MCP servers to test against: one that behaves and one that does not.
//!
//! [`ReferenceUpstream`] is a real MCP server built on the SDK that most Rust servers use. Whatever
//! works with it works with an implementation that we did not write.
//!
//! [`ScriptedUpstream`] is a plain HTTP server that speaks enough MCP to be connected, and then answers
//! what its [`Script`] says: redirects, bodies without end, answers for another request, expired
//! sessions. [`bad_upstream_cases`] turns the hostile-upstream vectors of this repository into scripts.
//!
//! [`TokenProvider`] is the token endpoint in front of a server that wants OAuth.
//!
//! All write down every request they receive in a [`RequestLog`], so that a test asserts at the far end
//! what was really sent, not what the code under test believes it sent.
//!
//! The wire is MCP's Streamable HTTP transport of revisions 2025-03-26 to 2026-07-28 and the HTTP+SSE
//! transport of 2024-11-05: <https://modelcontextprotocol.io/specification/2026-07-28/basic/transports>.

mod answer;
mod body;
pub(crate) mod listener;
mod polite;
mod protected;
mod reference;
mod reference_tools;
mod request_log;
mod script;
mod scripted;
mod streams;
mod token_provider;
mod vectors;

pub use answer::{Answer, Finish};
pub use body::Body;
pub use protected::{ProtectedUpstream, ProviderRequest, Says};
pub use reference::{ReferenceUpstream, ReferenceUpstreamBuilder};
pub use request_log::{LoggedRequest, RequestLog};
pub use script::{Eras, Match, Script};
pub use scripted::ScriptedUpstream;
pub use token_provider::{ProviderAnswer, TokenProvider};
pub use vectors::{BadUpstreamCase, bad_upstream_cases};
