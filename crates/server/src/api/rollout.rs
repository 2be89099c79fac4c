//! `/rollout`

use axum::http::StatusCode;
use switchboard_broker::manage::{Operation, RolloutView};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, get, post},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/rollout", Operation::ReadRollout, read)
            .says("Which connections are staged, and which were published and can be taken back")
            .answers::<RolloutView>(StatusCode::OK),
        post("/rollout/publish", Operation::PublishConnections, publish)
            .says("Publish every staged connection at once")
            .answers::<RolloutView>(StatusCode::OK),
        post("/rollout/take-back", Operation::TakeBackConnections, take_back)
            .says("Stage every published connection again")
            .answers::<RolloutView>(StatusCode::OK),
    ]
}

async fn read(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().read_rollout(&call.principal).await?)
}

async fn publish(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().publish_connections(&call.principal).await?)
}

async fn take_back(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().take_back_connections(&call.principal).await?)
}
