//! `/audit`

use axum::{body::Body, http::StatusCode};
use futures_util::stream;
use serde::Deserialize;
use switchboard_broker::{
    AuditReport,
    manage::{AuditQuery, HeadsView, Operation, VerifyAudit},
};
use utoipa::{IntoParams, ToSchema};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, get, post},
};
use crate::problem::Problem;

/// One record of one call or one change. A call has two, `started` and `completed`; a change one, `event`.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct EntrySchema {
    seq: i64,
    writer: String,
    at: String,
    phase: String,
    action: String,
    call_id: Option<String>,
    reference_id: Option<String>,
    /// `{type, id, token}`
    actor: Option<serde_json::Value>,
    client: Option<String>,
    resource: Option<String>,
    connection: Option<String>,
    target: Option<String>,
    decision: Option<String>,
    rule: Option<String>,
    outcome: Option<String>,
    code: Option<String>,
    duration_ms: Option<u64>,
    /// What changed; a secret as `true`.
    details: Option<serde_json::Value>,
    previous_hash: String,
    hash: String,
}

#[derive(Deserialize, IntoParams)]
#[expect(dead_code, reason = "documents the query, which the use case reads")]
struct Filter {
    /// Id of a member or service account.
    actor: Option<String>,
    /// Such as `capability.execute` or `grants.put`.
    action: Option<String>,
    /// Such as `linear.create_issue`.
    target: Option<String>,
    /// `ok`, `tool_error`, `refused`, `held` or `failed`.
    outcome: Option<String>,
    /// The `reference_id` of an error.
    call_id: Option<String>,
    /// At or after; RFC 3339.
    from: Option<String>,
    /// Before; RFC 3339.
    to: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    /// For the export: `jsonl` (without) or `csv`.
    format: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/audit", Operation::ReadAudit, read)
            .says("Read the audit log, newest first")
            .query::<Filter>()
            .answers_page::<EntrySchema>(),
        get("/audit/export", Operation::ExportAudit, export)
            .says("Export the audit log as JSON lines or CSV")
            .query::<Filter>()
            .answers_media(&["application/jsonl", "text/csv"]),
        get("/audit/heads", Operation::ReadAuditHeads, heads)
            .says("Signed ends of the audit log's chains, as they were last signed")
            .answers::<HeadsView>(StatusCode::OK),
        post("/audit/heads", Operation::SignAuditHeads, sign_heads)
            .says("Sign where the audit log's chains end now, and answer all of them: to keep elsewhere")
            .answers::<HeadsView>(StatusCode::OK),
        post("/audit/verify", Operation::VerifyAudit, verify)
            .says("Follow the audit log's chains; name the first entry that is not as it was written")
            .explains("Entries that were altered or removed are found by the chain itself, an end that is missing by the signed heads: the stored ones, and those that were kept elsewhere and are given here.")
            .takes::<VerifyAudit>()
            .answers::<AuditReport>(StatusCode::OK),
    ]
}

async fn read(call: Call) -> Result<Reply, Problem> {
    let query: AuditQuery = call.query()?;
    Reply::json(&call.broker().read_audit(&call.principal, &query).await?)
}

async fn export(call: Call) -> Result<Reply, Problem> {
    let query: AuditQuery = call.query()?;
    let mut export = call.broker().export_audit(&call.principal, &query)?;
    let csv = export.is_csv();
    // The first piece before the status: a store that is gone is a 503, not an empty file.
    let first = export.next().await?.unwrap_or_default();
    let rest = stream::try_unfold(export, |mut export| async move {
        let piece = export.next().await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, export)))
    });
    let whole = futures_util::StreamExt::chain(stream::once(async move { Ok(first) }), rest);
    let body = Body::from_stream(whole);
    Ok(if csv {
        Reply::raw("text/csv; charset=utf-8", body)
            .attachment("attachment; filename=\"switchboard-audit.csv\"")
    } else {
        Reply::raw("application/jsonl", body).attachment("attachment; filename=\"switchboard-audit.jsonl\"")
    })
}

async fn heads(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().list_audit_heads(&call.principal).await?)
}

async fn sign_heads(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().sign_audit_heads(&call.principal).await?)
}

async fn verify(call: Call) -> Result<Reply, Problem> {
    let request: VerifyAudit = call.body()?;
    Reply::json(&call.broker().verify_audit(&call.principal, &request).await?)
}
