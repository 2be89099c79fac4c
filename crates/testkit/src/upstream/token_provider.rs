//! A third party's token endpoint that is as strict as the strictest: it rotates refresh tokens, and who uses one twice
//! loses the whole family (RFC 9700 section 4.14.2). It misbehaves on demand.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::listener::{ConnectionEnd, Listener, Outcome};
use super::request_log::{LoggedRequest, RequestLog};

/// What a [`TokenProvider`] answers instead of doing its work.
#[derive(Debug, Clone)]
pub enum ProviderAnswer {
    /// This body with this status.
    Body(u16, &'static str),
    /// Does its work, leaves the refresh token as it is and out of the answer.
    KeepRefreshToken,
    /// Ends the connection without an answer, having done nothing.
    HangUp,
    /// Does its work, and ends the connection all the same.
    HangUpAfter,
    /// Does its work after a while.
    Slow(Duration),
}

/// What every token ends with: one that is looked for everywhere.
const MARK: &str = "canary/of+tests";

#[derive(Debug, Default)]
struct Family {
    revoked: bool,
    refresh_token: String,
    access_token: String,
}

#[derive(Debug)]
struct State {
    families: Vec<Family>,
    /// Every refresh token that ever was, with its family.
    known: HashMap<String, usize>,
    used: HashSet<String>,
    /// Access tokens that came to an upstream and were good.
    seen: HashSet<String>,
    answers: VecDeque<ProviderAnswer>,
    expires_in: Value,
    counter: u64,
    refreshes: usize,
    replays: usize,
    client_grants: usize,
    revoked: Vec<String>,
    /// What came, and where to.
    forms: Vec<(String, HashMap<String, String>)>,
}

impl State {
    /// Tokens that look like real ones: long enough to be found anywhere.
    fn next(&mut self, kind: &str) -> String {
        self.counter += 1;
        format!("{kind}-{:06}-{MARK}", self.counter)
    }

    fn rotate(&mut self, family: usize, keep: bool) -> Value {
        let access_token = self.next("access");
        let mut answer =
            json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": self.expires_in });
        self.families[family].access_token = access_token;
        if !keep {
            let refresh_token = self.next("refresh");
            let before = std::mem::replace(&mut self.families[family].refresh_token, refresh_token.clone());
            self.used.insert(before);
            self.known.insert(refresh_token.clone(), family);
            answer["refresh_token"] = refresh_token.into();
        }
        answer
    }

    fn family(&mut self) -> usize {
        self.families.push(Family::default());
        self.families.len() - 1
    }

    fn refresh(&mut self, refresh_token: &str, keep: bool) -> (u16, Value) {
        let Some(&family) = self.known.get(refresh_token) else {
            return (400, json!({ "error": "invalid_grant" }));
        };
        if self.used.contains(refresh_token) {
            self.replays += 1;
            self.families[family].revoked = true;
        }
        if self.families[family].revoked {
            return (400, json!({ "error": "invalid_grant", "error_description": "the family is revoked" }));
        }
        self.refreshes += 1;
        (200, self.rotate(family, keep))
    }
}

/// Runs until it is dropped. Clones share it.
#[derive(Debug, Clone)]
pub struct TokenProvider {
    state: Arc<Mutex<State>>,
    log: RequestLog,
    listener: Arc<Listener>,
}

impl TokenProvider {
    pub async fn start() -> Self {
        crate::canary::remember(MARK);
        let state = Arc::new(Mutex::new(State {
            families: Vec::new(),
            known: HashMap::new(),
            used: HashSet::new(),
            seen: HashSet::new(),
            answers: VecDeque::new(),
            expires_in: json!(3600),
            counter: 0,
            refreshes: 0,
            replays: 0,
            client_grants: 0,
            revoked: Vec::new(),
            forms: Vec::new(),
        }));
        let log = RequestLog::default();
        let (serving, logging) = (Arc::clone(&state), log.clone());
        let listener = Listener::bind(Arc::new(move |request, _reset| {
            let (state, log) = (Arc::clone(&serving), logging.clone());
            Box::pin(async move { handle(&state, &log, request).await })
        }))
        .await;
        Self { state, log, listener: Arc::new(listener) }
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.listener.address)
    }

    pub fn log(&self) -> &RequestLog {
        &self.log
    }

    /// What was sent to one of its endpoints, in order.
    pub fn forms(&self, path: &str) -> Vec<HashMap<String, String>> {
        let state = self.state.lock();
        state.forms.iter().filter(|(to, _)| to == path).map(|(_, form)| form.clone()).collect()
    }

    /// An access token and a refresh token, as a person's sign-in would give them.
    pub fn sign_in(&self) -> (String, String) {
        let mut state = self.state.lock();
        let family = state.family();
        let answer = state.rotate(family, false);
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        (text("access_token"), text("refresh_token"))
    }

    /// Whether an upstream should take it: the newest of a family that is not revoked.
    pub fn accepts(&self, access_token: &str) -> bool {
        let mut state = self.state.lock();
        let good = state.families.iter().any(|family| !family.revoked && family.access_token == access_token);
        if good {
            state.seen.insert(access_token.to_owned());
        }
        good
    }

    /// Whether the newest access token was used at an upstream.
    pub fn newest_was_used(&self) -> bool {
        let state = self.state.lock();
        state.families.last().is_some_and(|family| state.seen.contains(&family.access_token))
    }

    /// Ends every access token before its time.
    pub fn end_access(&self) {
        self.state.lock().families.iter_mut().for_each(|family| family.access_token.clear());
    }

    /// Ends everything, as a person does who takes the access away at the provider.
    pub fn revoke_all(&self) {
        self.state.lock().families.iter_mut().for_each(|family| family.revoked = true);
    }

    /// For the next requests, in this order, instead of the usual.
    pub fn answer(&self, answers: impl IntoIterator<Item = ProviderAnswer>) {
        self.state.lock().answers.extend(answers);
    }

    /// What it says of how long access tokens live.
    pub fn set_expires_in(&self, expires_in: Value) {
        self.state.lock().expires_in = expires_in;
    }

    /// Refresh tokens that were taken.
    pub fn refreshes(&self) -> usize {
        self.state.lock().refreshes
    }

    /// Refresh tokens that came a second time.
    pub fn replays(&self) -> usize {
        self.state.lock().replays
    }

    pub fn client_grants(&self) -> usize {
        self.state.lock().client_grants
    }

    /// Tokens that were sent to the revocation endpoint.
    pub fn revoked(&self) -> Vec<String> {
        self.state.lock().revoked.clone()
    }
}

async fn handle(state: &Mutex<State>, log: &RequestLog, request: Request<Incoming>) -> Outcome {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| ConnectionEnd)?.to_bytes();
    log.record(LoggedRequest::new(&parts, &body));
    if parts.uri.path().starts_with("/.well-known/") {
        let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        return match parts.uri.path() {
            "/.well-known/oauth-authorization-server" => answer(200, &metadata(host).to_string()),
            _ => answer(404, "{}"),
        };
    }
    let scripted = state.lock().answers.pop_front();
    match scripted {
        Some(ProviderAnswer::Body(status, text)) => return answer(status, text),
        Some(ProviderAnswer::HangUp) => return Err(ConnectionEnd),
        Some(ProviderAnswer::Slow(pause)) => tokio::time::sleep(pause).await,
        _ => {}
    }
    let keep = matches!(scripted, Some(ProviderAnswer::KeepRefreshToken));
    let (status, said) = work(&mut state.lock(), &parts, &body, keep);
    if matches!(scripted, Some(ProviderAnswer::HangUpAfter)) {
        return Err(ConnectionEnd);
    }
    answer(status, &said.to_string())
}

/// RFC 8414.
fn metadata(host: &str) -> Value {
    json!({
        "issuer": format!("http://{host}"),
        "authorization_endpoint": format!("http://{host}/authorize"),
        "token_endpoint": format!("http://{host}/token"),
        "revocation_endpoint": format!("http://{host}/revoke"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    })
}

fn work(state: &mut State, parts: &Parts, body: &Bytes, keep: bool) -> (u16, Value) {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    state.forms.push((parts.uri.path().to_owned(), form.clone()));
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    match (parts.uri.path(), field("grant_type")) {
        ("/token", "refresh_token") => state.refresh(field("refresh_token"), keep),
        ("/token", "client_credentials") => {
            state.client_grants += 1;
            let family = state.family();
            let mut answer = state.rotate(family, true);
            answer["scope"] = field("scope").into();
            (200, answer)
        }
        ("/token", _) => (400, json!({ "error": "unsupported_grant_type" })),
        ("/revoke", _) => {
            let token = field("token").to_owned();
            for family in &mut state.families {
                family.revoked |= family.refresh_token == token || family.access_token == token;
            }
            state.revoked.push(token);
            (200, json!({}))
        }
        _ => (404, json!({})),
    }
}

fn answer(status: u16, body: &str) -> Outcome {
    let body =
        Full::new(Bytes::copy_from_slice(body.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body)
        .map_err(|_| ConnectionEnd)
}
