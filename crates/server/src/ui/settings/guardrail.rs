//! `/settings/guardrail`: a service of the organization's own that is asked about its calls.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{GuardrailInput, GuardrailView, Operation, Refusal, RefusalKind, WrittenGuardrail},
};
use switchboard_domain::{GuardrailFailure, Role};

use super::{GUARDRAIL, Tab, tabs};
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        connections::words::Moment,
        kept,
        navigation::Navigation,
        once,
        refused::{recorded, refused, status_of},
        scripted,
        sign_in::not_the_form,
    },
};

/// What stands in the form.
struct Typed {
    url: String,
    before: bool,
    after: bool,
    is_open: bool,
    new_secret: bool,
}

#[derive(Template)]
#[template(path = "guardrail.html")]
struct Page<'a> {
    navigation: Navigation,
    tabs: Vec<Tab>,
    /// What is wrong with what was typed, beside its field; anything else above the form.
    wrong_url: Option<&'a str>,
    wrong_when: bool,
    problem: Option<&'a str>,
    made: Option<&'a str>,
    /// There is one, changed then.
    changed: Option<Moment>,
    revision: i64,
    typed: &'a Typed,
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let form_token = browser::form_token(&state, &headers);
    render(&state, (&signed_in, &form_token), None, Ok(None)).await
}

/// Whoever may know of it is told that there is none.
async fn found(state: &ServerState, signed_in: &SignedIn) -> Result<Option<GuardrailView>, Refusal> {
    match state.broker.read_guardrail(&signed_in.principal).await {
        Ok(guardrail) => Ok(Some(guardrail)),
        Err(refusal) if refusal.kind == RefusalKind::NotFound && signed_in.principal.role.is_admin() => {
            Ok(None)
        }
        Err(refusal) => Err(refusal),
    }
}

/// `outcome`: what a form came to, with the secret that was made.
async fn render(
    state: &ServerState,
    (signed_in, form_token): (&SignedIn, &str),
    sent: Option<Typed>,
    outcome: Result<Option<&WrittenGuardrail>, &Refusal>,
) -> Response<Body> {
    let guardrail = match found(state, signed_in).await {
        Ok(guardrail) => guardrail,
        Err(refusal) => return refused(&refusal),
    };
    let now = state.broker.clock().now();
    let refusal = outcome.err();
    let wrong = |path: &str| {
        let violations = refusal.map(|refusal| refusal.violations.as_slice()).unwrap_or_default();
        violations.iter().find(|violation| violation.path == path).map(|violation| violation.message.as_str())
    };
    let typed = sent.unwrap_or_else(|| stored(guardrail.as_ref()));
    let shown = Page {
        navigation: Navigation::new(state, signed_in, form_token, GUARDRAIL).await,
        tabs: tabs(GUARDRAIL, signed_in.principal.role == Role::Owner),
        wrong_url: wrong("url"),
        wrong_when: wrong("before").is_some(),
        problem: refusal.filter(|refusal| refusal.violations.is_empty()).map(|it| it.message.as_str()),
        made: outcome.ok().flatten().and_then(|written| written.secret.as_deref()),
        changed: guardrail.as_ref().map(|guardrail| Moment::ago(guardrail.updated_at, now)),
        revision: guardrail.as_ref().map_or(0, |guardrail| guardrail.revision),
        typed: &typed,
    };
    scripted(status_of(refusal), &shown)
}

fn stored(guardrail: Option<&GuardrailView>) -> Typed {
    Typed {
        url: guardrail.map(|it| it.url.clone()).unwrap_or_default(),
        before: guardrail.is_none_or(|it| it.before),
        after: guardrail.is_some_and(|it| it.after),
        is_open: guardrail.is_some_and(|it| it.on_failure == GuardrailFailure::Open),
        new_secret: false,
    }
}

pub(super) async fn change(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let uri = request.uri().clone();
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    // Who may not look may not be told that a proof is missing.
    if let Err(refusal) = found(&state, &sent.signed_in).await {
        return refused(&refusal);
    }
    if let Some(response) = kept::until_proven(&state, &sent, &uri).await {
        return response;
    }
    match sent.fields.get("what") {
        Some("save") => save(&state, &sent).await,
        Some("delete") => {
            let outcome = state.broker.delete_guardrail(&sent.signed_in.principal).await;
            let Err(refusal) = outcome else { return browser::see_other(GUARDRAIL) };
            match recorded(&state, &sent.signed_in, (Operation::DeleteGuardrail, "guardrail"), refusal).await
            {
                Ok(refusal) => refused(&refusal),
                Err(response) => *response,
            }
        }
        _ => not_the_form(),
    }
}

async fn save(state: &ServerState, sent: &Sent) -> Response<Body> {
    if let Some(response) = once::sent_before(state, sent, GUARDRAIL).await {
        return response;
    }
    let is = |name: &str| sent.fields.get(name).is_some();
    let typed = Typed {
        url: sent.fields.get("url").unwrap_or_default().trim().to_owned(),
        before: is("before"),
        after: is("after"),
        is_open: sent.fields.get("on_failure") == Some("open"),
        new_secret: is("new_secret"),
    };
    let input = GuardrailInput {
        url: typed.url.clone(),
        before: typed.before,
        after: typed.after,
        on_failure: if typed.is_open { GuardrailFailure::Open } else { GuardrailFailure::Closed },
        new_secret: typed.new_secret,
    };
    // 0 is the page of an organization that had none; another may have made one since.
    let seen = sent.fields.get("revision").and_then(|revision| revision.parse().ok());
    let who = (&sent.signed_in, sent.form_token.as_str());
    let outcome = match seen {
        Some(0) if matches!(found(state, &sent.signed_in).await, Ok(None)) => {
            state.broker.put_guardrail(&sent.signed_in.principal, None, input).await
        }
        Some(seen) => state.broker.put_guardrail(&sent.signed_in.principal, Some(seen), input).await,
        None => return not_the_form(),
    };
    match outcome {
        // A secret is shown this once: no redirect would bring it along.
        Ok(written) if written.secret.is_some() => render(state, who, None, Ok(Some(&written))).await,
        Ok(_) => browser::see_other(GUARDRAIL),
        Err(refusal) => {
            let about = (Operation::PutGuardrail, "guardrail");
            match recorded(state, &sent.signed_in, about, refusal).await {
                Ok(refusal) => render(state, who, Some(typed), Err(&refusal)).await,
                Err(response) => *response,
            }
        }
    }
}
