//! What an authorization server says of itself: RFC 8414, or OpenID Connect Discovery 1.0.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{Allowed, is_object, scopes};

/// Under which of its two names a document was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataKind {
    Oauth,
    OpenId,
}

/// The part of the metadata that counts. Every URL in it was allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetadata {
    /// As written: never normalised, since answers are compared with it byte by byte.
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub registration_endpoint: Option<String>,
    pub revocation_endpoint: Option<String>,
    pub scopes_supported: Vec<String>,
    /// How clients may prove who they are, best first.
    pub authentication: Vec<Authentication>,
    /// What the assertions of clients may be signed with (`private_key_jwt`); empty when it does not say.
    #[serde(default)]
    pub signing_algorithms: Vec<String>,
    /// It reads client metadata documents.
    pub reads_client_documents: bool,
    /// It names itself in its answers (RFC 9207).
    pub sends_issuer: bool,
    /// It gives refresh tokens as far as it says.
    pub refreshes: bool,
}

/// How our client proves itself at an authorization server (RFC 6749 section 2.3, RFC 7591 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    ClientSecretBasic,
    ClientSecretPost,
    /// A public client: it names itself and proves nothing.
    None,
    /// An assertion that it signs (RFC 7523); its secret is the private key.
    PrivateKeyJwt,
}

impl Authentication {
    /// Best first. A key comes last: it takes somebody to tell the provider of it.
    const ALL: [Self; 4] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None, Self::PrivateKeyJwt];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == word)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerMetadataError {
    #[error("it is no JSON object as RFC 8414 describes it")]
    Shape,
    #[error("it is of another issuer than the one that was asked (RFC 8414 section 3.3)")]
    OtherIssuer,
    #[error("its `authorization_endpoint` or `token_endpoint` is missing")]
    NoEndpoint,
    #[error("an address in it may not be asked from here")]
    NotAllowed,
    #[error(
        "it does not say that it takes PKCE with S256 (`code_challenge_methods_supported`), which MCP asks for"
    )]
    NoPkce,
    #[error("it does not offer the authorization code flow")]
    NoCodeFlow,
    #[error("it offers no way of client authentication that is known here")]
    NoAuthentication,
    #[error("it does not say with which keys it signs")]
    NoKeys,
}

/// A member that is known is there once or the document is refused; one that is not known is nobody's.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    registration_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    jwks_uri: Option<String>,
    scopes_supported: Option<Vec<Value>>,
    response_types_supported: Option<Vec<Value>>,
    grant_types_supported: Option<Vec<Value>>,
    code_challenge_methods_supported: Option<Vec<Value>>,
    token_endpoint_auth_methods_supported: Option<Vec<Value>>,
    token_endpoint_auth_signing_alg_values_supported: Option<Vec<Value>>,
    id_token_signing_alg_values_supported: Option<Vec<Value>>,
    client_id_metadata_document_supported: Option<Value>,
    authorization_response_iss_parameter_supported: Option<Value>,
}

/// Whether a text can be an issuer identifier: http(s), no query, no fragment, no user (RFC 8414 section 2).
pub(super) fn is_issuer(text: &str) -> bool {
    is_endpoint(text) && !text.contains('?')
}

/// Whether a text can be an endpoint: http(s), no fragment (RFC 6749 section 3.1), nothing hidden in it.
fn is_endpoint(text: &str) -> bool {
    let plain = text.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\');
    let Ok(url) = Url::parse(text) else { return false };
    let authority = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    plain
        && text.len() <= 2048
        && !text.contains('#')
        && !authority.is_empty()
        && !authority.contains('@')
        && matches!(url.scheme(), "http" | "https")
}

impl ServerMetadata {
    /// Where the metadata of an issuer may be, in order (RFC 8414 section 3.1, MCP authorization: discovery).
    pub fn locations(issuer: &str) -> Vec<(MetadataKind, String)> {
        const OAUTH: &str = "/.well-known/oauth-authorization-server";
        const OPENID: &str = "/.well-known/openid-configuration";
        let Ok(url) = Url::parse(issuer) else { return Vec::new() };
        let origin = url.origin().ascii_serialization();
        let path = url.path().trim_end_matches('/');
        let mut locations = vec![
            (MetadataKind::Oauth, format!("{origin}{OAUTH}{path}")),
            (MetadataKind::OpenId, format!("{origin}{OPENID}{path}")),
        ];
        if !path.is_empty() {
            locations.push((MetadataKind::OpenId, format!("{origin}{path}{OPENID}")));
        }
        locations
    }

    /// What is assumed of a server of the revision 2025-03-26 that has no metadata at all: endpoints at its origin.
    pub fn assumed(origin: &str) -> Self {
        Self {
            issuer: origin.to_owned(),
            authorization_endpoint: format!("{origin}/authorize"),
            token_endpoint: format!("{origin}/token"),
            registration_endpoint: Some(format!("{origin}/register")),
            revocation_endpoint: None,
            scopes_supported: Vec::new(),
            authentication: vec![Authentication::None, Authentication::ClientSecretPost],
            signing_algorithms: Vec::new(),
            reads_client_documents: false,
            sends_issuer: false,
            refreshes: true,
        }
    }

    /// An authorization server that an admin described by hand.
    pub fn by_hand(issuer: &str, authorization_endpoint: &str, token_endpoint: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: authorization_endpoint.to_owned(),
            token_endpoint: token_endpoint.to_owned(),
            registration_endpoint: None,
            authentication: vec![
                Authentication::ClientSecretBasic,
                Authentication::ClientSecretPost,
                Authentication::None,
                Authentication::PrivateKeyJwt,
            ],
            ..Self::assumed(issuer)
        }
    }

    pub fn parse(
        body: &[u8],
        kind: MetadataKind,
        issuer: &str,
        allowed: Allowed<'_>,
    ) -> Result<Self, ServerMetadataError> {
        Self::read(body, kind, issuer, allowed, Purpose::People)
    }

    /// The same of a server where nobody signs in (RFC 6749 section 4.4): it needs no page for that, and no PKCE.
    pub fn parse_for_clients(
        body: &[u8],
        kind: MetadataKind,
        issuer: &str,
        allowed: Allowed<'_>,
    ) -> Result<Self, ServerMetadataError> {
        Self::read(body, kind, issuer, allowed, Purpose::Clients)
    }

    fn read(
        body: &[u8],
        kind: MetadataKind,
        issuer: &str,
        allowed: Allowed<'_>,
        purpose: Purpose,
    ) -> Result<Self, ServerMetadataError> {
        use ServerMetadataError as E;
        if !is_object(body) {
            return Err(E::Shape);
        }
        let document: Document = serde_json::from_slice(body).map_err(|_| E::Shape)?;
        if document.issuer != issuer {
            return Err(E::OtherIssuer);
        }
        let people = purpose == Purpose::People;
        if document.token_endpoint.is_none() || (people && document.authorization_endpoint.is_none()) {
            return Err(E::NoEndpoint);
        }
        document.check_addresses(allowed)?;
        if people {
            document.check_flow(kind)?;
        }
        let says = |value: &Option<Value>| value.as_ref() == Some(&Value::Bool(true));
        let words = document.scopes_supported.as_deref().unwrap_or_default();
        let algorithms = document.token_endpoint_auth_signing_alg_values_supported.iter().flatten();
        Ok(Self {
            authentication: document.authentication()?,
            signing_algorithms: algorithms.filter_map(Value::as_str).map(str::to_owned).take(50).collect(),
            reads_client_documents: says(&document.client_id_metadata_document_supported),
            sends_issuer: says(&document.authorization_response_iss_parameter_supported),
            refreshes: lists(document.grant_types_supported.as_deref(), "refresh_token", true),
            scopes_supported: scopes(words.iter().filter_map(Value::as_str)),
            issuer: document.issuer,
            authorization_endpoint: document.authorization_endpoint.unwrap_or_default(),
            token_endpoint: document.token_endpoint.ok_or(E::NoEndpoint)?,
            registration_endpoint: document.registration_endpoint,
            revocation_endpoint: document.revocation_endpoint,
        })
    }

    pub fn offers_scope(&self, scope: &str) -> bool {
        self.scopes_supported.iter().any(|known| known == scope)
    }
}

/// What tokens are to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    People,
    Clients,
}

impl Document {
    fn check_addresses(&self, allowed: Allowed<'_>) -> Result<(), ServerMetadataError> {
        let all = [
            &self.authorization_endpoint,
            &self.token_endpoint,
            &self.registration_endpoint,
            &self.revocation_endpoint,
            &self.introspection_endpoint,
            &self.userinfo_endpoint,
            &self.jwks_uri,
        ];
        let good = all.into_iter().flatten().all(|url| is_endpoint(url) && allowed(url));
        if good { Ok(()) } else { Err(ServerMetadataError::NotAllowed) }
    }

    fn check_flow(&self, kind: MetadataKind) -> Result<(), ServerMetadataError> {
        use ServerMetadataError as E;
        if !lists(self.response_types_supported.as_deref(), "code", true)
            || !lists(self.grant_types_supported.as_deref(), "authorization_code", true)
        {
            return Err(E::NoCodeFlow);
        }
        if !lists(self.code_challenge_methods_supported.as_deref(), "S256", false) {
            return Err(E::NoPkce);
        }
        // Of an OpenID provider it is required (Discovery 1.0 section 3); one that signs nothing is not believed.
        let unsigned = self
            .id_token_signing_alg_values_supported
            .as_ref()
            .is_some_and(|algorithms| algorithms.iter().all(|algorithm| algorithm == "none"));
        if kind == MetadataKind::OpenId && (self.jwks_uri.is_none() || unsigned) {
            return Err(E::NoKeys);
        }
        Ok(())
    }

    /// Without a word on it, `client_secret_basic` (RFC 8414 section 2); public clients are tried all the same, since
    /// most servers that say nothing take them.
    fn authentication(&self) -> Result<Vec<Authentication>, ServerMetadataError> {
        let Some(named) = &self.token_endpoint_auth_methods_supported else {
            return Ok(vec![Authentication::ClientSecretBasic, Authentication::None]);
        };
        let known: Vec<_> = Authentication::ALL
            .into_iter()
            .filter(|method| named.iter().any(|it| it == method.as_str()))
            .collect();
        if known.is_empty() { Err(ServerMetadataError::NoAuthentication) } else { Ok(known) }
    }
}

/// Whether a list has a word; `otherwise` when there is no list.
fn lists(list: Option<&[Value]>, word: &str, otherwise: bool) -> bool {
    list.map_or(otherwise, |list| list.iter().any(|it| it == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_for_where_the_specification_says() {
        let locations = |issuer| -> Vec<String> {
            ServerMetadata::locations(issuer).into_iter().map(|(_, url)| url).collect()
        };
        assert_eq!(
            locations("https://auth.example.com/realms/a"),
            [
                "https://auth.example.com/.well-known/oauth-authorization-server/realms/a",
                "https://auth.example.com/.well-known/openid-configuration/realms/a",
                "https://auth.example.com/realms/a/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            locations("https://auth.example.com/"),
            [
                "https://auth.example.com/.well-known/oauth-authorization-server",
                "https://auth.example.com/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn nothing_odd_is_an_issuer() {
        for good in ["https://a.example", "https://a.example/", "http://127.0.0.1:9000/x"] {
            assert!(is_issuer(good), "{good}");
        }
        for bad in [
            "",
            "a.example",
            "https://",
            "https://a.example?x",
            "https://a.example#x",
            "https://u@a.example",
            "ftp://a.example",
            "javascript:alert(1)",
            "https://a.example/ b",
            "https:\\\\a.example",
        ] {
            assert!(!is_issuer(bad), "{bad}");
        }
    }
}
