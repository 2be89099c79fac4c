//! `/connect-client`: one address, what to do with it in each AI client, and whether the client has arrived.

mod snippets;

use askama::Template;
use axum::{
    Router,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
    routing::get,
};
use serde::Deserialize;
use switchboard_broker::{
    SignedIn,
    manage::{Arrival, PageRequest, Refusal},
};
use switchboard_catalog::displayed;
use switchboard_domain::Timestamp;

use self::snippets::{Guide, TABS, guide};
use super::{account::person, navigation::Navigation, page, refused::refused, scripted, sign_in::encoded};
use crate::{ServerState, browser};

pub(super) const PATH: &str = "/connect-client";
/// After so long nobody is waiting any more.
const LOOKS_FOR_MICROS: i64 = 15 * 60 * 1_000_000;
const TOOLKITS: usize = 100;
const NAME: usize = 100;

pub(super) fn router() -> Router<ServerState> {
    Router::new().route(PATH, get(show)).route("/connect-client/arrival", get(arrival))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    client: String,
    toolkit: String,
    /// Since when a client is waited for, in microseconds.
    since: Option<i64>,
}

struct Tab {
    address: String,
    name: &'static str,
    is_current: bool,
}

struct Endpoint {
    slug: String,
    name: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "connect_client.html")]
struct ConnectClient {
    navigation: Navigation,
    url: String,
    client: &'static str,
    endpoints: Vec<Endpoint>,
    tabs: Vec<Tab>,
    guide: Guide,
    /// Why a client that runs in its maker's cloud can't reach this address.
    unreachable: Option<&'static str>,
    waiting: Waiting,
}

/// What is known of the client that is being set up: a part of the page, asked for again while it is open.
#[derive(Template)]
#[template(path = "arrival.html")]
struct Waiting {
    arrival: Option<Seen>,
    is_over: bool,
    again: String,
    poll: String,
}

impl Waiting {
    /// There is nothing left to wait for.
    fn is_done(&self) -> bool {
        self.is_over || self.arrival.as_ref().is_some_and(|seen| seen.called.is_some())
    }
}

struct Seen {
    client: String,
    at: String,
    exact: String,
    called: Option<String>,
}

async fn show(
    State(state): State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let endpoints = match endpoints(&state, &signed_in, &asked.toolkit).await {
        Ok(endpoints) => endpoints,
        Err(refusal) => return refused(&refusal),
    };
    let chosen = endpoints.iter().find(|it| it.is_chosen && !it.slug.is_empty());
    let path = chosen.map_or_else(|| "/mcp".to_owned(), |it| format!("/mcp/toolkits/{}", it.slug));
    let url = format!("{}{path}", state.config.origin());
    let (client, _) = TABS.iter().find(|(id, _)| *id == asked.client).copied().unwrap_or(TABS[0]);
    let since = since(&state, asked.since);
    let address = |client: &str| {
        let toolkit = if asked.toolkit.is_empty() {
            String::new()
        } else {
            format!("&toolkit={}", encoded(&asked.toolkit))
        };
        format!("{PATH}?client={client}{toolkit}&since={}", since.as_micros())
    };
    let waiting = match waiting(&state, &signed_in, since, address(client)).await {
        Ok(waiting) => waiting,
        Err(refusal) => return refused(&refusal),
    };
    let form_token = browser::form_token(&state, &headers);
    let shown = ConnectClient {
        navigation: Navigation::new(&state, &signed_in, &form_token, PATH).await,
        guide: guide(client, &url),
        unreachable: unreachable(&state),
        tabs: TABS
            .iter()
            .map(|(id, name)| Tab { address: address(id), name, is_current: *id == client })
            .collect(),
        endpoints,
        client,
        url,
        waiting,
    };
    scripted(StatusCode::OK, &shown)
}

async fn endpoints(
    state: &ServerState,
    signed_in: &SignedIn,
    chosen: &str,
) -> Result<Vec<Endpoint>, Refusal> {
    let all = PageRequest { limit: Some(TOOLKITS), cursor: None };
    let toolkits = state.broker.list_toolkits(&signed_in.principal, &all).await?.items;
    let whole = Endpoint {
        slug: String::new(),
        name: "Everything you may use".to_owned(),
        is_chosen: chosen.is_empty(),
    };
    let of = |it: switchboard_broker::manage::ToolkitView| {
        // As its own address spells it: a personal one has `~` before its slug.
        let slug = it.url.rsplit('/').next().unwrap_or_default().to_owned();
        Endpoint { is_chosen: slug == chosen, name: format!("Toolkit {}", it.name), slug }
    };
    Ok(std::iter::once(whole).chain(toolkits.into_iter().map(of)).collect())
}

/// As the page was opened first: another tab of it goes on waiting for the same.
fn since(state: &ServerState, given: Option<i64>) -> Timestamp {
    let now = state.broker.clock().now();
    let oldest = now.as_micros() - 24 * 60 * 60 * 1_000_000;
    match given {
        Some(micros) if micros >= oldest && micros <= now.as_micros() => Timestamp::from_micros(micros),
        _ => now,
    }
}

async fn waiting(
    state: &ServerState,
    signed_in: &SignedIn,
    since: Timestamp,
    address: String,
) -> Result<Waiting, Refusal> {
    let found = state.broker.first_arrival(&signed_in.principal, since).await?;
    let waited = state.broker.clock().now().as_micros() - since.as_micros();
    let address = address.split("&since=").next().unwrap_or_default().to_owned();
    Ok(Waiting {
        is_over: waited > LOOKS_FOR_MICROS,
        arrival: found.map(seen),
        again: format!("{address}&since={}", since.as_micros()),
        poll: format!("{PATH}/arrival?since={}&client={}", since.as_micros(), encoded(&address)),
    })
}

fn seen(arrival: Arrival) -> Seen {
    let exact = arrival.at.to_string();
    Seen {
        client: displayed(&arrival.client, NAME),
        at: exact.chars().skip(11).take(5).collect(),
        exact,
        called: arrival.called.map(|tool| displayed(&tool, NAME)),
    }
}

/// The same again, for a page that is open.
async fn arrival(
    State(state): State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let since = since(&state, asked.since);
    let here = if asked.client.starts_with(PATH) { asked.client } else { PATH.to_owned() };
    match waiting(&state, &signed_in, since, here).await {
        Ok(waiting) => page(if waiting.is_done() { stop_asking() } else { StatusCode::OK }, &waiting),
        Err(refusal) => refused(&refusal),
    }
}

/// What tells htmx that a part will not change any more.
fn stop_asking() -> StatusCode {
    StatusCode::from_u16(286).unwrap_or(StatusCode::OK)
}

fn unreachable(state: &ServerState) -> Option<&'static str> {
    let url = &state.config.public_url;
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        Some(url::Host::Ipv6(address)) => address.is_loopback() || address.is_unique_local(),
        None => true,
    };
    match (is_here, url.scheme()) {
        (true, _) => Some("This address is reached from this machine or this network alone."),
        (_, "https") => None,
        _ => Some("This address is not https."),
    }
}
