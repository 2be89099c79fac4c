//! `/tokens`

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use switchboard_broker::manage::{NewToken, Operation, PageRequest, TokenView};
use utoipa::{IntoParams, ToSchema};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, delete, get, post},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/tokens", Operation::ListTokens, list)
            .says("List tokens, without the tokens")
            .query::<ListQuery>()
            .answers_page::<TokenView>(),
        post("/tokens", Operation::CreateToken, create)
            .says("Make a token for yourself or, as an admin, for a service account")
            .explains(
                "The answer's `token` is shown this once. It never has more scopes than the token you use.",
            )
            .takes::<NewToken>()
            .answers::<CreatedTokenView<'_>>(StatusCode::CREATED),
        delete("/tokens/{id}", Operation::RevokeToken, revoke)
            .says("Revoke a token: your own, as an admin anybody's")
            .answers_nothing(),
    ]
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    /// As an admin: everybody's.
    everyone: bool,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A new token with its text.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedToken)]
struct CreatedTokenView<'a> {
    /// Shown this once.
    token: &'a str,
    #[serde(flatten)]
    facts: &'a TokenView,
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let query: ListQuery = call.query()?;
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    Reply::json(&call.broker().list_tokens(&call.principal, query.everyone, &page).await?)
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let new: NewToken = call.body()?;
    let created = call.broker().create_token(&call.principal, new).await?;
    let shown = CreatedTokenView { token: created.secret.expose(), facts: &created.token };
    Ok(Reply::json(&shown)?.created(format!("/api/v1/tokens/{}", created.token.id)))
}

async fn revoke(call: Call) -> Result<Reply, Problem> {
    call.broker().revoke_token(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}
