//! `/clients/new`: a client that can neither register itself nor publish a document.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{NewOauthClient, Operation, Refusal, RefusalKind},
};

use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        connections::status_of,
        navigation::Navigation,
        no_page, once, page, scripted, unavailable,
    },
};

const PATH: &str = "/clients/new";

#[derive(Default)]
struct Draft {
    name: String,
    redirect_uris: String,
    confidential: bool,
}

#[derive(Template)]
#[template(path = "client_new.html")]
struct New<'a> {
    navigation: Navigation,
    problem: Option<&'a str>,
    name_error: Option<&'a str>,
    uris_error: Option<&'a str>,
    draft: &'a Draft,
}

/// What is shown this once.
#[derive(Template)]
#[template(path = "client_made.html")]
pub(super) struct Made<'a> {
    pub(super) navigation: Navigation,
    pub(super) title: &'a str,
    pub(super) id: String,
    pub(super) client_id: &'a str,
    pub(super) secret: Option<&'a str>,
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    if !signed_in.principal.role.is_admin() {
        return no_page();
    }
    render(&state, &signed_in, &browser::form_token(&state, &headers), &Draft::default(), None).await
}

async fn render(
    state: &ServerState,
    signed_in: &SignedIn,
    form_token: &str,
    draft: &Draft,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let said = |path: &str| {
        let violations = refusal.into_iter().flat_map(|refusal| &refusal.violations);
        violations.into_iter().find(|it| it.path.starts_with(path)).map(|it| it.message.as_str())
    };
    let shown = New {
        navigation: Navigation::new(state, signed_in, form_token, PATH).await,
        problem: refusal.map(Refusal::in_words),
        name_error: said("name"),
        uris_error: said("redirect_uris"),
        draft,
    };
    page(status_of(refusal), &shown)
}

pub(super) async fn submit(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    if let Some(response) = once::sent_before(&state, &sent, "/clients").await {
        return response;
    }
    let text = |name: &str| sent.fields.get(name).unwrap_or_default().trim().to_owned();
    let draft = Draft {
        name: text("name"),
        redirect_uris: text("redirect_uris"),
        confidential: sent.fields.get("confidential").is_some(),
    };
    let new = NewOauthClient {
        name: draft.name.clone(),
        redirect_uris: draft.redirect_uris.split_whitespace().map(str::to_owned).collect(),
        confidential: draft.confidential,
    };
    let principal = &sent.signed_in.principal;
    match state.broker.create_oauth_client(principal, new).await {
        Ok(made) => {
            let shown = Made {
                navigation: Navigation::new(&state, &sent.signed_in, &sent.form_token, PATH).await,
                title: "The client is made",
                id: made.client.id.to_string(),
                client_id: &made.client.client_id,
                secret: made.secret.as_ref().map(switchboard_domain::SecretValue::expose),
            };
            scripted(StatusCode::OK, &shown)
        }
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            let operation = Operation::CreateOauthClient;
            state.broker.record_refusal(principal, operation, &draft.name, &refusal).await;
            if refusal.is_forbidden() {
                return no_page();
            }
            render(&state, &sent.signed_in, &sent.form_token, &draft, Some(&refusal)).await
        }
    }
}
