//! OAuth as a protocol: what is said, read strictly, without a clock, a database or a network.
//!
//! Switchboard's own authorization server speaks through these types (OAuth 2.1, RFC 6749, 7591, 7636, 8414, 8707,
//! 9207, Client ID Metadata Documents). What a real client needs beyond the letter is a rule here with a test of its
//! own; the use cases are in `broker::authorization`.

mod client_document;
mod error;
mod metadata;
mod pkce;
mod redirect_uri;
mod registration;
mod request;
mod resource;
mod scopes;
pub mod upstream;
#[cfg(test)]
mod vectors;
mod well_known_clients;

pub use client_document::{ClientDocument, DocumentError, fingerprint, is_client_document_url};
pub use error::{ErrorCode, OauthError};
pub use metadata::authorization_server_metadata;
pub use pkce::{Challenge, verify_challenge};
pub use redirect_uri::{RedirectUri, RedirectUriError};
pub use registration::{ClientAuthentication, Registration};
pub use request::{AuthorizationRequest, ClientPart, Parameters};
pub use resource::{ResourceIndicator, loopback_spellings};
pub use scopes::{Audience, narrowed_scopes, requested_scopes};
pub use well_known_clients::well_known_client;
