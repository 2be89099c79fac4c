//! `/`: for everybody what this is, for a signed-in person their place: how to connect a client, what they may use,
//! which clients act as them.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, StatusCode},
};
use switchboard_broker::{
    SignedIn,
    manage::{AllowedClientView, ConnectionScope, ConnectionView, PageRequest, RefusalKind},
};
use switchboard_domain::Role;

use super::{account::Sent, connections::words::State as Shown, navigation::Navigation, page, unavailable};
use crate::{ServerState, browser};

/// As many as fit a page; the API and the command line list all.
const SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing<'a> {
    version: &'static str,
    origin: &'a str,
    has_owner: bool,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    navigation: Navigation,
    name: &'a str,
    email: &'a str,
    organization: &'a str,
    role: &'static str,
    is_admin: bool,
    origin: &'a str,
    connections: &'a [ConnectionView],
    clients: &'a [AllowedClientView],
}

impl Home<'_> {
    fn state(&self, connection: &ConnectionView) -> Shown {
        Shown::of(connection)
    }
}

pub(super) async fn show(State(state): State<ServerState>, headers: HeaderMap) -> Response<Body> {
    match browser::signed_in(&state, &headers).await {
        Ok(Some(signed_in)) => home(&state, &headers, &signed_in).await,
        Ok(None) => landing(&state).await,
        Err(response) => *response,
    }
}

async fn landing(state: &ServerState) -> Response<Body> {
    // When the database can't be asked, the hint is not worth an error.
    let has_owner = state.broker.owner_exists().await.unwrap_or(true);
    let origin = state.config.origin();
    page(StatusCode::OK, &Landing { version: env!("CARGO_PKG_VERSION"), origin, has_owner })
}

async fn home(state: &ServerState, headers: &HeaderMap, signed_in: &SignedIn) -> Response<Body> {
    let principal = &signed_in.principal;
    let shown = PageRequest { limit: Some(SHOWN), cursor: None };
    let found = async {
        let organization = state.broker.read_organization(principal).await?;
        let connections = state.broker.list_connections(principal, ConnectionScope::Usable, &shown).await?;
        let clients = state.broker.list_allowed_clients(principal, false, &shown).await?;
        Ok::<_, switchboard_broker::manage::Refusal>((organization, connections, clients))
    };
    let (organization, connections, clients) = match found.await {
        Ok(found) => found,
        Err(refusal) => {
            tracing::error!(%refusal, "a person's page can't be made");
            return unavailable();
        }
    };
    let home = Home {
        navigation: Navigation::new(state, signed_in, &browser::form_token(state, headers), "/").await,
        name: &signed_in.display_name,
        email: &signed_in.email,
        organization: &organization.name,
        role: match principal.role {
            Role::Owner => "Owner",
            Role::Admin => "Admin",
            Role::Member => "Member",
        },
        is_admin: principal.role.is_admin(),
        origin: state.config.origin(),
        connections: &connections.items,
        clients: &clients.items,
    };
    page(StatusCode::OK, &home)
}

/// Takes away what a client was allowed.
pub(super) async fn revoke_client(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let Ok(id) = id.parse() else { return super::no_page() };
    match state.broker.revoke_allowed_client(&sent.signed_in.principal, id).await {
        Ok(()) => browser::see_other("/"),
        Err(refusal) if refusal.kind == RefusalKind::NotFound => super::no_page(),
        Err(refusal) => {
            tracing::error!(%refusal, "a client can't be taken away");
            unavailable()
        }
    }
}
