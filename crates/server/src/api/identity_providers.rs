//! `/identity-providers`

use axum::http::StatusCode;
use switchboard_broker::manage::{
    IdentityProviderEdit, IdentityProviderView, NewIdentityProvider, Operation,
};

use super::{
    call::Call,
    page::PageQuery,
    reply::Reply,
    route::{Route, delete, get, patch, post},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/identity-providers", Operation::ListIdentityProviders, list)
            .says("List identity providers")
            .query::<PageQuery>()
            .answers_page::<IdentityProviderView>(),
        post("/identity-providers", Operation::CreateIdentityProvider, create)
            .says("Add an identity provider (OpenID Connect) for sign-in")
            .explains("The provider's metadata is read at once: an issuer that can't be used is refused.")
            .takes::<NewIdentityProvider>()
            .answers::<IdentityProviderView>(StatusCode::CREATED)
            .with_etag(),
        get("/identity-providers/{id}", Operation::ReadIdentityProvider, read)
            .says("Read an identity provider")
            .answers::<IdentityProviderView>(StatusCode::OK)
            .with_etag(),
        patch("/identity-providers/{id}", Operation::UpdateIdentityProvider, update)
            .says("Change an identity provider")
            .explains("Sign-ins that are under way have to begin again.")
            .takes::<IdentityProviderEdit>()
            .answers::<IdentityProviderView>(StatusCode::OK)
            .with_etag(),
        delete("/identity-providers/{id}", Operation::DeleteIdentityProvider, remove)
            .says("Remove an identity provider with everybody's accounts at it")
            .answers_nothing(),
    ]
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = call.query::<PageQuery>()?.into();
    Reply::json(&call.broker().list_identity_providers(&call.principal, &page).await?)
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let provider = call.broker().create_identity_provider(&call.principal, call.body()?).await?;
    let location = format!("/api/v1/identity-providers/{}", provider.id);
    Ok(Reply::json(&provider)?.etag(provider.revision).created(location))
}

async fn read(call: Call) -> Result<Reply, Problem> {
    let provider = call.broker().read_identity_provider(&call.principal, call.path("id")?).await?;
    Ok(Reply::json(&provider)?.etag(provider.revision))
}

async fn update(call: Call) -> Result<Reply, Problem> {
    let (id, seen) = (call.path("id")?, call.if_match()?);
    let provider = call.broker().update_identity_provider(&call.principal, id, seen, call.body()?).await?;
    Ok(Reply::json(&provider)?.etag(provider.revision))
}

async fn remove(call: Call) -> Result<Reply, Problem> {
    call.broker().delete_identity_provider(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}
