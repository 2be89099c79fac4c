//! `/clients/{id}`: what it is, how it got in for each person, and keeping it out.

use std::collections::HashMap;

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{ClientHistory, OauthClientEdit, OauthClientView, Operation, Refusal, RefusalKind},
};
use switchboard_catalog::displayed;
use switchboard_domain::{Caller, MemberId, OauthClientId, Timestamp};

use super::{
    PATH,
    new::Made,
    words::{Mark, kind, mark, name, published_at},
};
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        connections::{status_of, words::Moment},
        message,
        navigation::Navigation,
        once, page, scripted,
        sign_in::not_the_form,
        unavailable,
    },
};

struct Line {
    who: String,
    resource: String,
    scopes: String,
    destination: String,
    is_open: bool,
    marks: Vec<Mark>,
}

#[derive(Template)]
#[template(path = "client.html")]
struct One<'a> {
    navigation: Navigation,
    problem: Option<&'a str>,
    client: &'a OauthClientView,
    name: String,
    kind: &'static str,
    published_at: Option<String>,
    is_ours: bool,
    used: Option<Moment>,
    created: Moment,
    lines: Vec<Line>,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    render(&state, &signed_in, &browser::form_token(&state, &headers), &id, None).await
}

async fn render(
    state: &ServerState,
    signed_in: &SignedIn,
    form_token: &str,
    id: &str,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let Ok(parsed) = id.parse::<OauthClientId>() else { return no_client() };
    let principal = &signed_in.principal;
    let found = async {
        let client = state.broker.read_oauth_client(principal, parsed).await?;
        Ok::<_, Refusal>((client, state.broker.client_history(principal, parsed).await?))
    };
    let (client, history) = match found.await {
        Ok(found) => found,
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => return unavailable(),
        Err(_) => return no_client(),
    };
    let now = state.broker.clock().now();
    let names = names(state, signed_in, &history).await;
    let lines = history.into_iter().map(|one| {
        let who = names.get(&one.caller).cloned();
        line(one, who, now)
    });
    let lines = lines.collect();
    let shown = One {
        navigation: Navigation::new(state, signed_in, form_token, PATH).await,
        problem: refusal.map(Refusal::in_words),
        name: displayed(&name(&client), 200),
        kind: kind(&client),
        published_at: published_at(&client),
        is_ours: client.kind == "static",
        used: client.last_used_at.map(|at| Moment::ago(at, now)),
        created: Moment::ago(client.created_at, now),
        lines,
        client: &client,
    };
    page(status_of(refusal), &shown)
}

/// Of the members among them that are still here.
async fn names(
    state: &ServerState,
    signed_in: &SignedIn,
    history: &[ClientHistory],
) -> HashMap<Caller, String> {
    let members = history.iter().filter_map(|one| match one.caller {
        Caller::Member(member) => Some(member),
        Caller::ServiceAccount(_) => None,
    });
    let members: Vec<MemberId> = members.collect();
    // Where they can't be looked up, the history is still shown.
    let found = state.broker.read_members(&signed_in.principal, &members).await.unwrap_or_default();
    found.into_iter().map(|member| (Caller::Member(member.id), member.email)).collect()
}

fn line(history: ClientHistory, name: Option<String>, now: Timestamp) -> Line {
    Line {
        who: name.unwrap_or_else(|| match history.caller {
            Caller::Member(_) => "somebody who has left".to_owned(),
            Caller::ServiceAccount(_) => "a service account".to_owned(),
        }),
        resource: history.resource,
        scopes: history.scopes,
        destination: displayed(&history.redirect_uri, 300),
        is_open: history.is_open,
        marks: history.steps.iter().map(|step| mark(step, now)).collect(),
    }
}

fn no_client() -> Response<Body> {
    let text = "There is no such client here, or not for you. What members allow a client is listed once they allowed it.";
    message(StatusCode::NOT_FOUND, "No such client", text, None)
}

pub(super) async fn change(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let Ok(parsed) = id.parse::<OauthClientId>() else { return no_client() };
    if let Some(response) = once::sent_before(&state, &sent, &format!("{PATH}/{parsed}")).await {
        return response;
    }
    let principal = &sent.signed_in.principal;
    let enable = |enabled| OauthClientEdit { enabled: Some(enabled), ..OauthClientEdit::default() };
    let (operation, outcome) = match sent.fields.get("change") {
        Some(word @ ("keep_out" | "let_in")) => {
            let edit = enable(word == "let_in");
            let outcome = state.broker.update_oauth_client(principal, parsed, edit).await.map(drop);
            (Operation::UpdateOauthClient, outcome)
        }
        Some("remove") => {
            (Operation::RemoveOauthClient, state.broker.remove_oauth_client(principal, parsed).await)
        }
        Some("secret") => match state.broker.rotate_oauth_client_secret(principal, parsed).await {
            Ok(made) => {
                let shown = Made {
                    navigation: Navigation::new(&state, &sent.signed_in, &sent.form_token, PATH).await,
                    title: "It has a new secret",
                    id: made.client.id.to_string(),
                    client_id: &made.client.client_id,
                    secret: made.secret.as_ref().map(switchboard_domain::SecretValue::expose),
                };
                return scripted(StatusCode::OK, &shown);
            }
            Err(refusal) => (Operation::RotateOauthClientSecret, Err(refusal)),
        },
        _ => return not_the_form(),
    };
    match outcome {
        Ok(()) if operation == Operation::RemoveOauthClient => browser::see_other(PATH),
        Ok(()) => browser::see_other(&format!("{PATH}/{parsed}")),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            state.broker.record_refusal(principal, operation, &id, &refusal).await;
            render(&state, &sent.signed_in, &sent.form_token, &id, Some(&refusal)).await
        }
    }
}
