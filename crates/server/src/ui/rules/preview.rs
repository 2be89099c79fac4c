//! `/policies/preview`: what a pattern matches, as a part of a page, while it is typed.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde::Deserialize;
use switchboard_broker::manage::{RulesOf, ToolQuery};
use switchboard_catalog::displayed;
use switchboard_domain::{CapabilityPattern, Principal, ToolkitId};

use super::{
    layer::refused,
    tree::{Tree, WHOLE_PAGE},
};
use crate::{
    ServerState,
    ui::{account::person, no_page, page},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pattern: String,
    toolkit: Option<String>,
    own: Option<bool>,
}

#[derive(Template)]
#[template(path = "rule_preview_part.html")]
struct Part {
    wrong: Option<String>,
    tree: Option<Tree>,
    /// Names that come close to a pattern which matches nothing.
    near: Vec<String>,
}

/// So many are told.
const NEAR: u32 = 5;

/// Tools that a person may have meant: what a search for the same words finds.
async fn near(state: &ServerState, principal: &Principal, pattern: &str) -> Vec<String> {
    let text = pattern.replace(|letter: char| !letter.is_alphanumeric(), " ");
    if text.trim().is_empty() {
        return Vec::new();
    }
    let query = ToolQuery { text, limit: NEAR, ..ToolQuery::default() };
    let found = state.broker.find_tools(principal, &query).await;
    let tools = found.map(|found| found.tools).unwrap_or_default();
    tools.into_iter().map(|tool| displayed(&tool.capability, 200)).collect()
}

pub(super) async fn show(
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
    let principal = &signed_in.principal;
    let toolkit = match asked.toolkit.as_deref().map(str::parse::<ToolkitId>) {
        None => None,
        Some(Err(_)) => return no_page(),
        // What its rules say is for whoever may read them.
        Some(Ok(id)) => match state.broker.read_toolkit_policies(principal, id).await {
            Ok(_) => Some(id),
            Err(refusal) => return refused(&refusal),
        },
    };
    let pattern = asked.pattern.trim();
    if let Err(error) = pattern.parse::<CapabilityPattern>() {
        let near = near(&state, principal, pattern).await;
        return page(StatusCode::OK, &Part { wrong: Some(format!("{error}.")), tree: None, near });
    }
    let own = asked.own.unwrap_or(false) || !principal.role.is_admin();
    match state.broker.reach(principal, &[pattern.to_owned()], RulesOf { toolkit, own }, WHOLE_PAGE) {
        Ok(reach) => {
            let tree = Tree::of(reach);
            let near = if tree.tools == 0 { near(&state, principal, pattern).await } else { Vec::new() };
            page(StatusCode::OK, &Part { wrong: None, tree: Some(tree), near })
        }
        Err(refusal) => refused(&refusal),
    }
}
