//! `/service-accounts`

use axum::http::StatusCode;
use serde::Serialize;
use switchboard_broker::manage::{
    NewSecret, NewServiceAccount, Operation, ServiceAccountEdit, ServiceAccountView,
};
use switchboard_domain::{Scopes, ServiceAccountId};
use utoipa::ToSchema;

use super::{
    call::Call,
    page::PageQuery,
    reply::Reply,
    route::{Route, delete, get, patch, post},
};
use crate::problem::Problem;

/// A new secret, for `grant_type=client_credentials` at `/oauth/token`.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedClientSecret)]
struct CreatedSecretView<'a> {
    client_id: &'a str,
    /// Shown this once.
    client_secret: &'a str,
    /// The most it may ask for.
    #[schema(value_type = Vec<String>)]
    scopes: Scopes,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/service-accounts", Operation::ListServiceAccounts, list)
            .says("List service accounts")
            .query::<PageQuery>()
            .answers_page::<ServiceAccountView>(),
        post("/service-accounts", Operation::CreateServiceAccount, create)
            .says("Make a service account")
            .takes::<NewServiceAccount>()
            .answers::<ServiceAccountView>(StatusCode::CREATED),
        get("/service-accounts/{id}", Operation::ReadServiceAccount, read)
            .says("Read a service account")
            .answers::<ServiceAccountView>(StatusCode::OK),
        patch("/service-accounts/{id}", Operation::UpdateServiceAccount, update)
            .says("Rename a service account, give it a role, disable it or let it in again")
            .takes::<ServiceAccountEdit>()
            .answers::<ServiceAccountView>(StatusCode::OK),
        delete("/service-accounts/{id}", Operation::RemoveServiceAccount, remove)
            .says("Remove a service account: its tokens and its secret stop working at once")
            .answers_nothing(),
        post("/service-accounts/{id}/secret", Operation::CreateServiceAccountSecret, secret)
            .says("Make a service account's secret; the one before and what it opened end")
            .explains(
                "With it the account asks `/oauth/token` (`grant_type=client_credentials`) for access tokens of one \
                 endpoint. Its scopes are a bound: `api` is never among them.",
            )
            .takes::<NewSecret>()
            .answers::<CreatedSecretView<'_>>(StatusCode::CREATED),
    ]
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = call.query::<PageQuery>()?.into();
    Reply::json(&call.broker().list_service_accounts(&call.principal, &page).await?)
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let account = call.broker().create_service_account(&call.principal, call.body()?).await?;
    Ok(Reply::json(&account)?.created(place(account.id)))
}

async fn read(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().read_service_account(&call.principal, call.path("id")?).await?)
}

async fn update(call: Call) -> Result<Reply, Problem> {
    let edit = call.body()?;
    Reply::json(&call.broker().update_service_account(&call.principal, call.path("id")?, edit).await?)
}

async fn remove(call: Call) -> Result<Reply, Problem> {
    call.broker().remove_service_account(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}

async fn secret(call: Call) -> Result<Reply, Problem> {
    let id = call.path("id")?;
    let made = call.broker().create_service_account_secret(&call.principal, id, call.body()?).await?;
    let shown = CreatedSecretView {
        client_id: &made.client_id,
        client_secret: made.secret.expose(),
        scopes: made.scopes,
    };
    Ok(Reply::json(&shown)?.created(place(id)))
}

fn place(id: ServiceAccountId) -> String {
    format!("/api/v1/service-accounts/{id}")
}
