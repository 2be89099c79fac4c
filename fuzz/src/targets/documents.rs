//! What clients and authorization servers say of themselves.

use switchboard_oauth::{
    Audience, ClientDocument, RedirectUri, Registration, ResourceIndicator, is_client_document_url,
    upstream::{
        Authentication, BearerChallenge, IssuedClient, MetadataKind, ProtectedResource, ServerMetadata,
        TokenAnswer,
    },
};
use url::Url;

use super::Target;
use crate::corpus;

const CLIENT: &str = "https://app.example.net/client.json";
const ISSUER: &str = "https://auth.example.com";
const SERVER: &str = "https://mcp.example.com/mcp";

fn documents() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for file in ["bad_oauth_metadata.jsonl", "good_oauth_metadata.jsonl"] {
        corpus.extend(corpus::members(file, &["document", "document_raw", "header", "www_authenticate"]));
    }
    let own = [
        r#"{"client_id":"https://app.example.net/client.json","client_name":"App","redirect_uris":["https://app.example.net/cb","http://127.0.0.1/cb"]}"#,
        r#"{"issuer":"https://auth.example.com","authorization_endpoint":"https://auth.example.com/authorize","token_endpoint":"https://auth.example.com/token","response_types_supported":["code"],"code_challenge_methods_supported":["S256"]}"#,
        r#"{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://auth.example.com"]}"#,
        r#"{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"b","scope":"c d"}"#,
        r#"{"client_id":"a","client_secret":"b","client_secret_expires_at":0}"#,
        r#"Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource", scope="a b", error="invalid_token""#,
        "http://127.0.0.1:33418/callback?a=b",
        "cursor://anysphere.cursor-retrieval/oauth/user-abc/callback",
    ];
    corpus.extend(own.map(|text| text.as_bytes().to_vec()));
    corpus
}

const WORDS: &[&str] = &[
    "redirect_uris",
    "client_id",
    "client_name",
    "issuer",
    "token_endpoint",
    "authorization_endpoint",
    "https://",
    "http://",
    "javascript:",
    "data:",
    "127.0.0.1",
    "localhost",
    "[::1]",
    "169.254.169.254",
    "auth.example.com",
    "S256",
    "plain",
    "null",
    "[]",
    "{}",
    "Bearer ",
    "scope=",
    "error=",
    "resource_metadata=",
    "expires_in",
    "access_token",
    "@",
    "#",
];

pub(super) const CLIENT_DOCUMENTS: Target =
    Target { name: "client_documents", corpus: documents, words: WORDS, check: check_client };

pub(super) const SERVER_DOCUMENTS: Target =
    Target { name: "server_documents", corpus: documents, words: WORDS, check: check_server };

fn check_client(bytes: &[u8]) {
    assert!(is_client_document_url(CLIENT));
    if let Ok(document) = ClientDocument::parse(CLIENT, bytes) {
        assert!(!document.redirect_uris.is_empty() && !document.name.trim().is_empty());
        document.redirect_uris.iter().for_each(check_redirect);
    }
    if let Ok(registration) = Registration::parse(bytes) {
        registration.redirect_uris.iter().for_each(check_redirect);
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(uri) = RedirectUri::parse(&text) {
        assert_eq!(uri.as_str(), text, "kept as written, because it is compared as written");
        check_redirect(&uri);
    }
    if is_client_document_url(&text) {
        let url = Url::parse(&text).expect("a URL");
        assert_eq!((url.scheme(), url.fragment(), url.username()), ("https", None, ""));
    }
    for audience in [Audience::Agent, Audience::FirstParty] {
        let _ = ResourceIndicator::parse(audience, ISSUER, &[&text]);
    }
}

/// A browser is sent there: nothing that runs in it, nothing that hides where it goes.
fn check_redirect(uri: &RedirectUri) {
    let url = Url::parse(uri.as_str()).expect("a URL");
    let runs = ["javascript", "data", "vbscript", "file", "blob", "about", "view-source", "filesystem"];
    assert!(!runs.contains(&url.scheme()), "{url}");
    assert!(url.fragment().is_none() && url.username().is_empty() && url.password().is_none(), "{url}");
    if url.scheme() == "http" {
        let host = url.host_str().unwrap_or_default();
        assert!(["127.0.0.1", "[::1]", "localhost"].contains(&host), "{url}");
    }
}

fn check_server(bytes: &[u8]) {
    // As the guard would: a URL that is no https is never asked.
    let allowed = |url: &str| url.starts_with("https://");
    for kind in [MetadataKind::Oauth, MetadataKind::OpenId] {
        if let Ok(metadata) = ServerMetadata::parse(bytes, kind, ISSUER, &allowed) {
            assert_eq!(metadata.issuer, ISSUER);
            let optional =
                [&metadata.registration_endpoint, &metadata.revocation_endpoint].into_iter().flatten();
            for endpoint in
                [&metadata.authorization_endpoint, &metadata.token_endpoint].into_iter().chain(optional)
            {
                assert!(allowed(endpoint), "{endpoint}");
            }
        }
    }
    let server = Url::parse(SERVER).expect("a URL");
    if let Ok(resource) = ProtectedResource::parse(bytes, &server, &allowed) {
        assert!(resource.authorization_servers.iter().all(|server| allowed(server)), "{resource:?}");
    }
    let _ = IssuedClient::parse(bytes, Authentication::ClientSecretBasic, 1_700_000_000, &allowed);
    for status in [200, 400, 500] {
        let _ = TokenAnswer::parse(status, bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = BearerChallenge::parse([&*text]);
    // An issuer is one that may be asked, before anybody looks for its metadata.
    if allowed(&text) {
        for (_, location) in ServerMetadata::locations(&text) {
            Url::parse(&location).expect("a place to look is a URL");
        }
    }
}
