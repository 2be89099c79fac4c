//! The provider's side of OAuth 2.1, small: metadata (RFC 8414), registration (RFC 7591), authorization with S256,
//! tokens with rotation, revocation (RFC 7009). A refresh token that comes twice ends what it belongs to.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use switchboard_domain::Random;
use url::{Url, form_urlencoded};

use super::{Answer, json_answer, of, plain};

/// Who may sign in; there are no passwords.
const ACCOUNTS: [&str; 2] = ["ada", "ben"];
/// More than a demo needs.
const MOST: usize = 10_000;

struct Code {
    client: String,
    redirect_uri: String,
    challenge: String,
    account: &'static str,
}

/// What one sign-in led to.
struct Grant {
    account: &'static str,
    client: String,
    access: String,
    refresh: String,
}

#[derive(Default)]
struct State {
    /// Redirect URI by client.
    clients: HashMap<String, String>,
    codes: HashMap<String, Code>,
    grants: Vec<Grant>,
    used: Vec<(String, String)>,
}

pub(super) struct Provider {
    origin: String,
    resource: String,
    random: Arc<dyn Random>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("origin", &self.origin).finish_non_exhaustive()
    }
}

type Fields = HashMap<String, String>;

fn fields(bytes: &[u8]) -> Fields {
    form_urlencoded::parse(bytes).into_owned().collect()
}

fn refused(error: &str) -> Answer {
    json_answer(StatusCode::BAD_REQUEST, &json!({ "error": error }))
}

impl Provider {
    pub(super) fn new(origin: String, resource: String, random: Arc<dyn Random>) -> Self {
        Self { origin, resource, random, state: Mutex::default() }
    }

    fn secret(&self) -> String {
        URL_SAFE_NO_PAD.encode((*self.random).bytes::<32>())
    }

    pub(super) fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.origin);
        json!({
            "issuer": self.origin, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "registration_endpoint": at("/register"), "revocation_endpoint": at("/revoke"),
            "response_types_supported": ["code"], "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"], "scopes_supported": ["mail"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    pub(super) fn account_of(&self, access: &str) -> Option<&'static str> {
        self.state.lock().grants.iter().find(|grant| grant.access == access).map(|grant| grant.account)
    }

    pub(super) fn register(&self, body: &Bytes) -> Answer {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(redirect_uri) = asked["redirect_uris"][0].as_str() else {
            return refused("invalid_redirect_uri");
        };
        let mut state = self.state.lock();
        if state.clients.len() >= MOST {
            return refused("invalid_client_metadata");
        }
        let id = self.secret();
        state.clients.insert(id.clone(), redirect_uri.to_owned());
        let made = json!({
            "client_id": id, "redirect_uris": [redirect_uri], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        });
        json_answer(StatusCode::CREATED, &made)
    }

    /// A page that asks which account, and the way back once that is said.
    pub(super) fn authorize(&self, query: &str) -> Answer {
        let asked = fields(query.as_bytes());
        let field = |name: &str| asked.get(name).map_or("", String::as_str);
        let known = self.state.lock().clients.get(field("client_id")).cloned();
        let Some(redirect_uri) = known.filter(|known| known == field("redirect_uri")) else {
            return plain(StatusCode::BAD_REQUEST, "This client or its redirect URI is not known here.");
        };
        let Ok(mut back) = Url::parse(&redirect_uri) else { return refused("invalid_request") };
        let is_whole = field("response_type") == "code"
            && field("code_challenge_method") == "S256"
            && field("resource") == self.resource;
        let account = ACCOUNTS.into_iter().find(|account| *account == field("account"));
        let outcome = match (is_whole, account) {
            (false, _) => ("error", "invalid_request".to_owned()),
            (true, None) => return page(query),
            (true, Some(account)) => {
                let code = self.secret();
                let kept = Code {
                    client: field("client_id").to_owned(),
                    redirect_uri,
                    challenge: field("code_challenge").to_owned(),
                    account,
                };
                let mut state = self.state.lock();
                if state.codes.len() < MOST {
                    state.codes.insert(code.clone(), kept);
                }
                ("code", code)
            }
        };
        back.query_pairs_mut()
            .append_pair(outcome.0, &outcome.1)
            .append_pair("state", field("state"))
            .append_pair("iss", &self.origin);
        let mut response = plain(StatusCode::SEE_OTHER, "");
        if let Ok(location) = HeaderValue::from_str(back.as_str()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }

    pub(super) fn token(&self, body: &Bytes) -> Answer {
        let asked = fields(body);
        let field = |name: &str| asked.get(name).map_or("", String::as_str);
        let mut state = self.state.lock();
        let (account, client) = match field("grant_type") {
            "authorization_code" => {
                let Some(code) = state.codes.remove(field("code")) else { return refused("invalid_grant") };
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
                let fits = code.client == field("client_id")
                    && code.redirect_uri == field("redirect_uri")
                    && code.challenge == challenge;
                if !fits {
                    return refused("invalid_grant");
                }
                (code.account, code.client)
            }
            "refresh_token" => {
                let (token, client) = (field("refresh_token"), field("client_id"));
                let found =
                    state.grants.iter().position(|grant| grant.refresh == token && grant.client == client);
                let Some(index) = found else {
                    // Used before: somebody else may have it.
                    if let Some((_, newer)) = state.used.iter().find(|(used, _)| used == token).cloned() {
                        state.grants.retain(|grant| grant.client != newer);
                    }
                    return refused("invalid_grant");
                };
                let grant = state.grants.swap_remove(index);
                state.used.push((grant.refresh, grant.client.clone()));
                (grant.account, grant.client)
            }
            _ => return refused("unsupported_grant_type"),
        };
        if state.grants.len() >= MOST {
            return refused("temporarily_unavailable");
        }
        let (access, refresh) = (self.secret(), self.secret());
        state.grants.push(Grant { account, client, access: access.clone(), refresh: refresh.clone() });
        json_answer(
            StatusCode::OK,
            &json!({
                "access_token": access, "token_type": "Bearer", "expires_in": 300, "refresh_token": refresh,
                "scope": "mail",
            }),
        )
    }

    pub(super) fn revoke(&self, body: &Bytes) -> Answer {
        let asked = fields(body);
        let token = asked.get("token").map_or("", String::as_str);
        self.state.lock().grants.retain(|grant| grant.access != token && grant.refresh != token);
        plain(StatusCode::OK, "")
    }
}

fn page(query: &str) -> Answer {
    let query = query.replace('&', "&amp;").replace(['"', '<', '>'], "");
    let links: String = ACCOUNTS
        .iter()
        .map(|account| {
            format!("<p><a href=\"/authorize?{query}&amp;account={account}\">Continue as {account}</a></p>")
        })
        .collect();
    of(
        StatusCode::OK,
        "text/html; charset=utf-8",
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Demo Mail</title>\
             <body style=\"font: 1rem system-ui; max-width: 30rem; margin: 4rem auto\"><h1>Demo Mail</h1>\
             <p>Somebody else's service, with accounts of its own. Switchboard asks to read and send mail for you.</p>\
             {links}</body></html>"
        ),
    )
}
