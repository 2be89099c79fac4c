//! `/webhooks`

use axum::http::StatusCode;
use switchboard_broker::manage::{
    CreatedWebhook, NewWebhook, Operation, WebhookEdit, WebhookView, WebhooksView,
};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, delete, get, patch, post},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/webhooks", Operation::ListWebhooks, list)
            .says("List where the organization is told what happens")
            .answers::<WebhooksView>(StatusCode::OK),
        post("/webhooks", Operation::CreateWebhook, create)
            .says("Add a webhook; what its deliveries are signed with is answered this once")
            .explains(
                "Deliveries are signed as Standard Webhooks say (`webhook-id`, `webhook-timestamp`, `webhook-signature`), tried \
                 again until they are taken with a 2xx, and may come twice: the id tells.",
            )
            .takes::<NewWebhook>()
            .answers::<CreatedWebhook>(StatusCode::CREATED),
        get("/webhooks/{id}", Operation::ReadWebhook, read)
            .says("Read a webhook, and how its deliveries go")
            .answers::<WebhookView>(StatusCode::OK)
            .with_etag(),
        patch("/webhooks/{id}", Operation::UpdateWebhook, update)
            .says("Change a webhook, or switch it off and on")
            .takes::<WebhookEdit>()
            .answers::<WebhookView>(StatusCode::OK)
            .with_etag(),
        delete("/webhooks/{id}", Operation::DeleteWebhook, remove)
            .says("Remove a webhook, with what it was still to be told")
            .answers_nothing(),
    ]
}

async fn list(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().list_webhooks(&call.principal).await?)
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let created = call.broker().create_webhook(&call.principal, call.body()?).await?;
    let place = format!("/api/v1/webhooks/{}", created.webhook.id);
    Ok(Reply::json(&created)?.created(place))
}

async fn read(call: Call) -> Result<Reply, Problem> {
    let webhook = call.broker().read_webhook(&call.principal, call.path("id")?).await?;
    Ok(Reply::json(&webhook)?.etag(webhook.revision))
}

async fn update(call: Call) -> Result<Reply, Problem> {
    let (id, seen) = (call.path("id")?, call.if_match()?);
    let webhook = call.broker().update_webhook(&call.principal, id, seen, call.body()?).await?;
    Ok(Reply::json(&webhook)?.etag(webhook.revision))
}

async fn remove(call: Call) -> Result<Reply, Problem> {
    call.broker().delete_webhook(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}
