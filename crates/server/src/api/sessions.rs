//! `/sessions`

use switchboard_broker::manage::{Operation, SessionView};

use super::{
    call::Call,
    page::PageQuery,
    reply::Reply,
    route::{Route, delete, get},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/sessions", Operation::ListSessions, list)
            .says("List your console sessions")
            .query::<PageQuery>()
            .answers_page::<SessionView>(),
        delete("/sessions", Operation::RevokeOtherSessions, revoke_others)
            .says("End your sessions, but for the one that asks")
            .explains("Asked with a token instead of a session, it ends all of them.")
            .answers_nothing(),
        delete("/sessions/{id}", Operation::RevokeSession, revoke)
            .says("End a session: your own, as an admin anybody's")
            .answers_nothing(),
    ]
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = call.query::<PageQuery>()?.into();
    Reply::json(&call.broker().list_sessions(&call.principal, &page).await?)
}

async fn revoke_others(call: Call) -> Result<Reply, Problem> {
    call.broker().revoke_other_sessions(&call.principal).await?;
    Ok(Reply::nothing())
}

async fn revoke(call: Call) -> Result<Reply, Problem> {
    call.broker().revoke_session(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}
