//! `/account/access`: everything that acts as a person: AI clients they allowed, browsers they are signed in at, tokens
//! they made. Each can be ended here, and is over within a second.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{
        AllowedClientView, CreatedToken, NewToken, Operation, PageRequest, Refusal, SessionView, TokenView,
    },
};
use switchboard_catalog::displayed;
use switchboard_domain::{OauthGrantId, Scope, SessionId, TokenId};

use super::{
    account::{Sent, person},
    connections::words::Moment,
    kept,
    navigation::Navigation,
    no_page, once,
    refused::{recorded, refused, status_of},
    scripted,
    sign_in::not_the_form,
    user_agent,
};
use crate::{ServerState, browser};

pub(super) const PATH: &str = "/account/access";
/// As many as one request gives.
const SHOWN: usize = 200;
const NAME: usize = 120;
/// What a token may do, and how that is put.
const SCOPES: [(Scope, &str); 4] = [
    (Scope::McpRead, "find tools and read about them"),
    (Scope::McpWrite, "call tools"),
    (Scope::McpPlan, "call tools of connections that are allowed in plan mode, and no others"),
    (Scope::Api, "use the REST API and the command line as you"),
];

fn scope_from(word: &str) -> Option<Scope> {
    SCOPES.into_iter().map(|(scope, _)| scope).find(|scope| scope.as_str() == word)
}

const DAYS: [u32; 4] = [7, 30, 90, 365];

struct Client {
    id: OauthGrantId,
    name: String,
    resource: String,
    is_narrowed: bool,
    first: Moment,
    last: Option<Moment>,
}

struct Session {
    id: SessionId,
    is_current: bool,
    browser: String,
    source: String,
    method: String,
    opened: Moment,
    seen: Moment,
}

struct Token {
    id: TokenId,
    name: String,
    ends: String,
    scopes: String,
    resource: String,
    used: Option<Moment>,
    expires: Option<String>,
    over: Option<&'static str>,
}

struct Choice {
    value: String,
    word: String,
    is_chosen: bool,
}

/// What was typed, to be shown again.
struct Typed {
    name: String,
    scopes: Vec<Scope>,
    resource: String,
    days: u32,
}

impl Default for Typed {
    fn default() -> Self {
        let scopes = vec![Scope::McpRead, Scope::McpWrite];
        Self { name: String::new(), scopes, resource: String::new(), days: 90 }
    }
}

#[derive(Template)]
#[template(path = "access.html")]
struct Access<'a> {
    navigation: Navigation,
    problem: Option<&'a str>,
    made: Option<&'a CreatedToken>,
    clients: Vec<Client>,
    sessions: Vec<Session>,
    tokens: Vec<Token>,
    name: &'a str,
    scopes: Vec<Choice>,
    endpoints: Vec<Choice>,
    days: Vec<Choice>,
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let form_token = browser::form_token(&state, &headers);
    render(&state, (&signed_in, &form_token), (&Typed::default(), None), None).await
}

async fn render(
    state: &ServerState,
    (signed_in, form_token): (&SignedIn, &str),
    (typed, refusal): (&Typed, Option<&Refusal>),
    made: Option<&CreatedToken>,
) -> Response<Body> {
    let principal = &signed_in.principal;
    let all = PageRequest { limit: Some(SHOWN), cursor: None };
    let found = async {
        let clients = state.broker.list_allowed_clients(principal, false, &all).await?.items;
        let sessions = state.broker.list_sessions(principal, &all).await?.items;
        let tokens = state.broker.list_tokens(principal, false, &all).await?.items;
        let toolkits = state.broker.list_toolkits(principal, &all).await?.items;
        Ok::<_, Refusal>((clients, sessions, tokens, toolkits))
    };
    let (clients, sessions, tokens, toolkits) = match found.await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let endpoints = [
        (String::new(), "Every endpoint".to_owned()),
        ("/mcp".to_owned(), "Everything you may use".to_owned()),
    ];
    let of_toolkits = toolkits.into_iter().map(|toolkit| {
        let slug = toolkit.url.rsplit('/').next().unwrap_or_default().to_owned();
        (format!("/mcp/toolkits/{slug}"), format!("Toolkit {}", toolkit.name))
    });
    let endpoint =
        |(value, word): (String, String)| Choice { is_chosen: value == typed.resource, value, word };
    let now = state.broker.clock().now();
    let access = Access {
        navigation: Navigation::new(state, signed_in, form_token, PATH).await,
        problem: refusal.map(Refusal::in_words),
        made,
        clients: clients.into_iter().map(|it| client(it, now)).collect(),
        sessions: sessions.into_iter().map(|it| session(it, now)).collect(),
        tokens: tokens.into_iter().filter(|it| it.kind == "personal").map(|it| token(it, now)).collect(),
        name: &typed.name,
        scopes: SCOPES
            .into_iter()
            .map(|(scope, word)| Choice {
                value: scope.as_str().to_owned(),
                word: word.to_owned(),
                is_chosen: typed.scopes.contains(&scope),
            })
            .collect(),
        endpoints: endpoints.into_iter().chain(of_toolkits).map(endpoint).collect(),
        days: DAYS
            .into_iter()
            .map(|days| Choice {
                value: days.to_string(),
                word: format!("{days} days"),
                is_chosen: days == typed.days,
            })
            .collect(),
    };
    scripted(status_of(refusal), &access)
}

fn client(client: AllowedClientView, now: switchboard_domain::Timestamp) -> Client {
    let name = if client.name.is_empty() { "A client without a name" } else { &client.name };
    Client {
        id: client.id,
        name: displayed(name, NAME),
        resource: client.resource,
        is_narrowed: client.toolkits.is_some(),
        first: Moment::ago(client.created_at, now),
        last: client.last_used_at.map(|at| Moment::ago(at, now)),
    }
}

fn session(session: SessionView, now: switchboard_domain::Timestamp) -> Session {
    let browser = match session.browser.as_str() {
        "" => "A browser that does not say which".to_owned(),
        said => user_agent::in_words(said).unwrap_or_else(|| displayed(said, NAME)),
    };
    Session {
        id: session.id,
        is_current: session.current,
        browser,
        source: displayed(&session.source, NAME),
        method: session.method,
        opened: Moment::ago(session.created_at, now),
        seen: Moment::ago(session.last_seen_at, now),
    }
}

fn token(token: TokenView, now: switchboard_domain::Timestamp) -> Token {
    let expired = token.expires_at.is_some_and(|at| at <= now);
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    Token {
        id: token.id,
        name: token.name,
        ends: token.last_four,
        scopes: scopes.join(", "),
        resource: token.resource.unwrap_or_else(|| "every endpoint".to_owned()),
        used: token.last_used_at.map(|at| Moment::ago(at, now)),
        expires: token.expires_at.map(|at| at.to_string().chars().take(10).collect()),
        over: match (token.revoked_at, expired) {
            (Some(_), _) => Some("Revoked"),
            (None, true) => Some("Expired"),
            (None, false) => None,
        },
    }
}

pub(super) async fn change(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let uri = request.uri().clone();
    let sent = match Sent::read_repeating(&state, request, &["scope"]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    match sent.fields.get("what") {
        Some("token") => make(&state, &sent, &uri).await,
        Some(what) => end(&state, &sent, what).await,
        None => not_the_form(),
    }
}

/// A token outlives its session: whoever makes one has just proved who they are.
async fn make(state: &ServerState, sent: &Sent, uri: &Uri) -> Response<Body> {
    let scopes: Option<Vec<Scope>> = sent.fields.all("scope").map(scope_from).collect();
    let days = sent.fields.get("days").and_then(|days| days.parse().ok());
    let (Some(scopes), Some(days), Some(name)) = (scopes, days, sent.fields.get("name")) else {
        return not_the_form();
    };
    if let Some(response) = kept::until_proven(state, sent, uri).await {
        return response;
    }
    if let Some(response) = once::sent_before(state, sent, PATH).await {
        return response;
    }
    let resource = sent.fields.get("resource").unwrap_or_default().to_owned();
    let typed = Typed { name: name.to_owned(), scopes: scopes.clone(), resource: resource.clone(), days };
    let new = NewToken {
        name: name.to_owned(),
        scopes,
        resource: Some(resource).filter(|path| !path.is_empty()),
        expires_in_days: Some(days),
        service_account: None,
    };
    let who = (&sent.signed_in, sent.form_token.as_str());
    match state.broker.create_token(&sent.signed_in.principal, new).await {
        Ok(made) => render(state, who, (&Typed::default(), None), Some(&made)).await,
        Err(refusal) => {
            let about = (Operation::CreateToken, typed.name.as_str());
            match recorded(state, &sent.signed_in, about, refusal).await {
                Ok(refusal) => render(state, who, (&typed, Some(&refusal)), None).await,
                Err(response) => *response,
            }
        }
    }
}

async fn end(state: &ServerState, sent: &Sent, what: &str) -> Response<Body> {
    let principal = &sent.signed_in.principal;
    let id = sent.fields.get("id").unwrap_or_default();
    let (operation, outcome) = match what {
        "client" => {
            let Ok(id) = id.parse::<OauthGrantId>() else { return no_page() };
            (Operation::RevokeAllowedClient, state.broker.revoke_allowed_client(principal, id).await)
        }
        "session" => {
            let Ok(id) = id.parse::<SessionId>() else { return no_page() };
            (Operation::RevokeSession, state.broker.revoke_session(principal, id).await)
        }
        "sessions" => (Operation::RevokeOtherSessions, state.broker.revoke_other_sessions(principal).await),
        "revoke-token" => {
            let Ok(id) = id.parse::<TokenId>() else { return no_page() };
            (Operation::RevokeToken, state.broker.revoke_token(principal, id).await)
        }
        _ => return not_the_form(),
    };
    let Err(refusal) = outcome else { return browser::see_other(PATH) };
    match recorded(state, &sent.signed_in, (operation, id), refusal).await {
        Ok(refusal) => refused(&refusal),
        Err(response) => *response,
    }
}
