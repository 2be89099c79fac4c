//! An MCP server that wants a token, with the authorization server that issues it: discovery, registration, a person
//! who always agrees, tokens for one audience. Each part can be made to say something else.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::listener::{ConnectionEnd, Listener, Outcome};
use super::polite::{self, MODERN};
use super::script::Script;

const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// A request as it arrived; query and form are read.
#[derive(Debug, Clone)]
pub struct ProviderRequest {
    pub method: String,
    pub path: String,
    pub parameters: HashMap<String, String>,
    pub authorization: Option<String>,
    pub body: Value,
}

/// An answer in place of the usual one.
#[derive(Debug, Clone)]
pub struct Says {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Says {
    pub fn json(body: &Value) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "application/json".into())],
            body: body.to_string(),
        }
    }

    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

#[derive(Debug, Clone)]
struct Code {
    client: String,
    redirect_uri: String,
    challenge: String,
    resource: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    says: HashMap<String, Says>,
    requests: Vec<ProviderRequest>,
    clients: HashMap<String, Option<String>>,
    codes: HashMap<String, Code>,
    tokens: Vec<String>,
    /// Members to put over the metadata of the authorization server; `null` takes one away.
    metadata: Value,
    count: usize,
}

impl State {
    fn next(&mut self, what: &str) -> String {
        self.count += 1;
        let made = format!("{what}-{}-canary", self.count);
        // A client's id is no secret.
        if what != "client" {
            crate::canary::remember(&made);
        }
        made
    }
}

#[derive(Debug)]
struct Server {
    origin: std::sync::OnceLock<String>,
    state: Mutex<State>,
}

/// See the module. It stops when it is dropped.
#[derive(Debug)]
pub struct ProtectedUpstream {
    server: Arc<Server>,
    _listener: Listener,
}

impl ProtectedUpstream {
    pub async fn start() -> Self {
        let server = Arc::new(Server { origin: std::sync::OnceLock::new(), state: Mutex::default() });
        let serving = Arc::clone(&server);
        let listener = Listener::bind(Arc::new(move |request, _| {
            let server = Arc::clone(&serving);
            Box::pin(async move { server.handle(request).await })
        }))
        .await;
        server.origin.set(format!("http://{}", listener.address)).expect("the origin is set once");
        Self { server, _listener: listener }
    }

    pub fn origin(&self) -> &str {
        self.server.origin()
    }

    /// Of the MCP server.
    pub fn url(&self) -> String {
        format!("{}/mcp", self.origin())
    }

    /// From now on this path answers so.
    pub fn says(&self, path: &str, says: Says) {
        self.server.state.lock().says.insert(path.to_owned(), says);
    }

    pub fn says_as_usual(&self, path: &str) {
        self.server.state.lock().says.remove(path);
    }

    /// Members to put over the authorization server's metadata; `null` takes one away.
    pub fn metadata(&self, members: Value) {
        self.server.state.lock().metadata = members;
    }

    /// A client that somebody made there.
    pub fn add_client(&self, id: &str, secret: Option<&str>) {
        secret.into_iter().for_each(crate::canary::remember);
        self.server.state.lock().clients.insert(id.to_owned(), secret.map(str::to_owned));
    }

    pub fn forget_clients(&self) {
        self.server.state.lock().clients.clear();
    }

    pub fn requests(&self, path: &str) -> Vec<ProviderRequest> {
        self.server.state.lock().requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Every token that was issued: none of them may be seen anywhere.
    pub fn tokens(&self) -> Vec<String> {
        self.server.state.lock().tokens.clone()
    }
}

impl Server {
    fn origin(&self) -> &str {
        self.origin.get().expect("the server is bound")
    }

    async fn handle(&self, request: Request<Incoming>) -> Outcome {
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.map_err(|_| ConnectionEnd)?.to_bytes();
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(&bytes));
        let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
        let asked = ProviderRequest {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            parameters: pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
            authorization: authorization.map(str::to_owned),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        };
        let modern = parts.headers.get("mcp-protocol-version").is_some_and(|it| it == MODERN);
        let mut state = self.state.lock();
        state.requests.push(asked.clone());
        let says = state.says.get(&asked.path).cloned();
        let says = says.unwrap_or_else(|| self.usual(&mut state, &asked, modern));
        drop(state);
        let mut response = Response::builder().status(says.status);
        for (name, value) in says.headers {
            response = response.header(name, value);
        }
        let body = Full::new(Bytes::from(says.body)).map_err(|never| match never {}).boxed_unsync();
        Ok(response.body(body).expect("a response"))
    }

    fn usual(&self, state: &mut State, asked: &ProviderRequest, modern: bool) -> Says {
        let origin = self.origin();
        match (asked.method.as_str(), asked.path.as_str()) {
            (_, "/mcp") => self.mcp(state, asked, modern),
            ("GET", RESOURCE) => Says::json(&json!({
                "resource": format!("{origin}/mcp"), "authorization_servers": [origin],
                "scopes_supported": ["read", "write"],
            })),
            ("GET", METADATA) => Says::json(&self.server_metadata(state)),
            ("POST", "/register") => register(state, origin, &asked.body),
            ("DELETE", path) if path.starts_with("/register/") => {
                state.clients.remove(path.trim_start_matches("/register/"));
                Says::status(204)
            }
            ("GET", "/authorize") => self.authorize(state, asked),
            ("POST", "/token") => token(state, asked),
            _ => Says::status(404),
        }
    }

    fn server_metadata(&self, state: &State) -> Value {
        let origin = self.origin();
        let mut metadata = json!({
            "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"), "registration_endpoint": format!("{origin}/register"),
            "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "scopes_supported": ["read", "write", "offline_access"],
            "authorization_response_iss_parameter_supported": true,
        });
        for (name, value) in state.metadata.as_object().into_iter().flatten() {
            if value.is_null() {
                metadata.as_object_mut().expect("an object").remove(name);
            } else {
                metadata[name] = value.clone();
            }
        }
        metadata
    }

    fn mcp(&self, state: &State, asked: &ProviderRequest, modern: bool) -> Says {
        let token = asked.authorization.as_deref().and_then(|it| it.strip_prefix("Bearer "));
        if !token.is_some_and(|token| state.tokens.iter().any(|known| known == token)) {
            let challenge =
                format!("Bearer resource_metadata=\"{}{RESOURCE}\", scope=\"read\"", self.origin());
            return Says::status(401).with_header("www-authenticate", &challenge);
        }
        if asked.body.get("id").is_none() {
            return Says::status(if asked.method == "POST" { 202 } else { 405 });
        }
        let message = polite::answer(&Script::default(), &asked.body, modern).into_message(&asked.body["id"]);
        Says { status: 200, headers: vec![("content-type", "application/json".into())], body: message }
    }

    /// The person always agrees.
    fn authorize(&self, state: &mut State, asked: &ProviderRequest) -> Says {
        let parameter = |name: &str| asked.parameters.get(name).cloned().unwrap_or_default();
        let code = state.next("code");
        let known = Code {
            client: parameter("client_id"),
            redirect_uri: parameter("redirect_uri"),
            challenge: parameter("code_challenge"),
            resource: asked.parameters.get("resource").cloned(),
        };
        let Ok(mut back) = Url::parse(&known.redirect_uri) else { return Says::status(400) };
        let issuer = self.server_metadata(state)["issuer"].as_str().unwrap_or_default().to_owned();
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &parameter("state"))
            .append_pair("iss", &issuer);
        state.codes.insert(code, known);
        Says::status(StatusCode::FOUND.as_u16()).with_header("location", back.as_str())
    }
}

fn register(state: &mut State, origin: &str, asked: &Value) -> Says {
    let id = state.next("client");
    let method = asked["token_endpoint_auth_method"].as_str().unwrap_or("client_secret_basic");
    let secret = method.starts_with("client_secret").then(|| state.next("secret"));
    state.clients.insert(id.clone(), secret.clone());
    let mut answer = asked.clone();
    answer["client_id"] = json!(id);
    answer["registration_client_uri"] = json!(format!("{origin}/register/{id}"));
    answer["registration_access_token"] = json!(state.next("management"));
    if let Some(secret) = secret {
        answer["client_secret"] = json!(secret);
        answer["client_secret_expires_at"] = json!(0);
    }
    Says { status: 201, ..Says::json(&answer) }
}

fn token(state: &mut State, asked: &ProviderRequest) -> Says {
    let refuse = |status, error: &str| Says { status, ..Says::json(&json!({ "error": error })) };
    let parameter = |name: &str| asked.parameters.get(name).map(String::as_str);
    let Some(code) = parameter("code").and_then(|code| state.codes.remove(code)) else {
        return refuse(400, "invalid_grant");
    };
    let documented = code.client.starts_with("http");
    let known = state.clients.get(&code.client);
    let basic = asked.authorization.is_some();
    let proven = match known {
        None => documented,
        Some(None) => parameter("client_id") == Some(code.client.as_str()),
        Some(Some(secret)) => basic || parameter("client_secret") == Some(secret.as_str()),
    };
    if !proven {
        return refuse(401, "invalid_client");
    }
    let verified = parameter("code_verifier")
        .is_some_and(|verifier| switchboard_oauth::verify_challenge(&code.challenge, verifier));
    let same = parameter("redirect_uri") == Some(code.redirect_uri.as_str())
        && parameter("resource") == code.resource.as_deref();
    if !verified || !same {
        return refuse(400, "invalid_grant");
    }
    let (access, refresh) = (state.next("access"), state.next("refresh"));
    state.tokens.extend([access.clone(), refresh.clone()]);
    Says::json(&json!({
        "access_token": access, "token_type": "bearer", "expires_in": 3600, "refresh_token": refresh, "scope": "read",
    }))
}
