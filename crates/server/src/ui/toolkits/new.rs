//! `/toolkits/new`: a name, and what is in it.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{NewToolkit, Operation, OwnerWord, Refusal, RefusalKind, RulesOf, SurfaceWord},
};

use super::{
    PATH,
    choice::{Choice, Looking, chosen},
    frame::{refused, status_of},
};
use crate::{
    ServerState,
    browser::{self, Fields},
    ui::{
        account::{Sent, person},
        navigation::Navigation,
        page,
        rules::tree::{Tree, WHOLE_PAGE},
        unavailable,
    },
};

/// What was typed.
#[derive(Default)]
struct Draft {
    name: String,
    slug: String,
    is_mine: bool,
    is_direct: bool,
    patterns: Vec<String>,
    looking: Looking,
}

#[derive(Template)]
#[template(path = "toolkit_new.html")]
struct New<'a> {
    navigation: Navigation,
    is_admin: bool,
    problem: Option<&'a str>,
    name_error: Option<&'a str>,
    slug_error: Option<&'a str>,
    wrong: Option<&'a str>,
    draft: &'a Draft,
    choice: Choice,
    tree: Option<Tree>,
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let draft = Draft { is_mine: !signed_in.principal.role.is_admin(), ..Draft::default() };
    let form_token = browser::form_token(&state, &headers);
    render(&state, &signed_in, &form_token, &draft, None).await
}

async fn render(
    state: &ServerState,
    signed_in: &SignedIn,
    form_token: &str,
    draft: &Draft,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let principal = &signed_in.principal;
    let choice = match Choice::of(state, principal, &draft.patterns, &draft.looking).await {
        Ok(choice) => choice,
        Err(refusal) => return refused(&refusal),
    };
    let own = RulesOf { own: draft.is_mine, ..RulesOf::default() };
    let tree = state.broker.reach(principal, &draft.patterns, own, WHOLE_PAGE);
    let said = |path: &str| {
        let violations = refusal.into_iter().flat_map(|refusal| &refusal.violations);
        violations
            .into_iter()
            .find(|it| it.path.split('.').next() == Some(path))
            .map(|it| it.message.as_str())
    };
    let slug_taken = refusal.filter(|refusal| refusal.code == "slug_taken");
    let shown = New {
        navigation: Navigation::new(state, signed_in, form_token, "/toolkits/new").await,
        is_admin: principal.role.is_admin(),
        problem: refusal.map(Refusal::in_words),
        name_error: said("name"),
        slug_error: said("slug").or(slug_taken.map(|refusal| refusal.message.as_str())),
        wrong: said("patterns"),
        draft,
        choice,
        tree: tree.ok().filter(|_| !draft.patterns.is_empty()).map(Tree::of),
    };
    page(status_of(refusal), &shown)
}

pub(super) async fn submit(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read_repeating(&state, request, &["pattern"]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let step = sent.fields.get("step").unwrap_or_default();
    let draft = Draft { looking: Looking::of(&sent.fields, step), ..typed(&sent.fields) };
    if step != "create" || draft.looking.is_new {
        return render(&state, &sent.signed_in, &sent.form_token, &draft, None).await;
    }
    let owner = if draft.is_mine { OwnerWord::Member } else { OwnerWord::Organization };
    let new = NewToolkit {
        slug: if draft.slug.is_empty() { slug_of(&draft.name) } else { draft.slug.clone() },
        name: Some(draft.name.clone()),
        owner,
        surface: if draft.is_direct { SurfaceWord::Direct } else { SurfaceWord::Search },
        patterns: draft.patterns.clone(),
        members: Vec::new(),
        teams: Vec::new(),
    };
    let (principal, slug) = (&sent.signed_in.principal, new.slug.clone());
    match state.broker.create_toolkit(principal, new).await {
        Ok(toolkit) => browser::see_other(&format!("{PATH}/{}", toolkit.id)),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            let operation = match owner {
                OwnerWord::Organization => Operation::CreateToolkit,
                OwnerWord::Member => Operation::CreatePersonalToolkit,
            };
            state.broker.record_refusal(principal, operation, &slug, &refusal).await;
            let refusal = if refusal.is_forbidden() { Refusal::needs_admin() } else { refusal };
            render(&state, &sent.signed_in, &sent.form_token, &draft, Some(&refusal)).await
        }
    }
}

fn typed(fields: &Fields) -> Draft {
    let text = |name: &str| fields.get(name).unwrap_or_default().trim().to_owned();
    Draft {
        name: text("name"),
        slug: text("slug"),
        is_mine: fields.get("owner") == Some("member"),
        is_direct: fields.get("surface") == Some("direct"),
        patterns: chosen(fields),
        looking: Looking::default(),
    }
}

/// A short name out of a name, as far as it has one.
fn slug_of(name: &str) -> String {
    let words = name.split(|it: char| !it.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-");
    slug.chars().take(63).collect::<String>().trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_comes_out_of_a_name() {
        assert_eq!(slug_of("Customer support (EU)"), "customer-support-eu");
        assert_eq!(slug_of("  "), "");
        assert_eq!(slug_of(&"ab ".repeat(40)).len(), 62);
    }
}
