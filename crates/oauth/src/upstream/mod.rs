//! OAuth as a client: what third-party MCP servers and their authorization servers say, read strictly.
//!
//! The order is the one of the MCP specification (authorization): a server answers 401 with a [`BearerChallenge`]; its
//! [`ProtectedResource`] metadata (RFC 9728) names authorization servers; the [`ServerMetadata`] of one of them (RFC
//! 8414, OpenID Connect Discovery) names endpoints; a client becomes known there (RFC 7591, [`IssuedClient`]); a person
//! is sent to it with an [`AuthorizationUrl`] and comes back with an [`AuthorizationAnswer`] (RFC 9207), whose code
//! becomes tokens ([`TokenAnswer`]). A client with a key of its own proves itself with a [`ClientAssertion`].
//!
//! Everything read here is the word of strangers. Whether a URL in it may be asked at all is the network guard's
//! decision, which is passed in as [`Allowed`]: a document with a URL that may not be asked is refused whole.

mod authorization;
mod challenge;
mod client_assertion;
mod issued_client;
mod protected_resource;
mod server_metadata;
mod token_answer;
#[cfg(test)]
mod vectors;
mod verifier;

pub use authorization::{AnswerError, AuthorizationAnswer, AuthorizationUrl};
pub use challenge::BearerChallenge;
pub use client_assertion::{AssertionTerms, CLIENT_ASSERTION_TYPE, ClientAssertion};
pub use issued_client::{ClientRequest, IssuedClient, IssuedClientError};
pub use protected_resource::{ProtectedResource, ResourceError};
pub use server_metadata::{Authentication, MetadataKind, ServerMetadata, ServerMetadataError};
pub use token_answer::{TokenAnswer, TokenError};
pub use verifier::Verifier;

/// Whether a URL, as written, may be asked (or a browser sent to it).
pub type Allowed<'a> = &'a dyn Fn(&str) -> bool;

/// Whether a body is a JSON object at all: serde would read a list into a struct too.
fn is_object(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// Visible ASCII, as client ids and secrets are (RFC 6749 appendix A).
fn is_visible(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// The scopes of a text or list, each once, in the order given; what is no scope (RFC 6749 section 3.3) is left out.
fn scopes<'t>(words: impl IntoIterator<Item = &'t str>) -> Vec<String> {
    let is_scope = |word: &str| {
        let plain = |byte: u8| byte == 0x21 || (0x23..=0x5b).contains(&byte) || (0x5d..=0x7e).contains(&byte);
        !word.is_empty() && word.len() <= 512 && word.bytes().all(plain)
    };
    let mut kept: Vec<String> = Vec::new();
    for word in words.into_iter().filter(|word| is_scope(word)).take(MAX_SCOPES) {
        if !kept.iter().any(|known| known == word) {
            kept.push(word.to_owned());
        }
    }
    kept
}

/// More are never asked for: the address would get too long for browsers.
const MAX_SCOPES: usize = 200;
