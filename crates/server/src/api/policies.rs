//! `/policies`, `/me/policies`, `/toolkits/{id}/policies`: whole ordered arrays of rules.

use axum::http::StatusCode;
use serde::Deserialize;
use switchboard_broker::manage::{ExplainRequest, Operation, Rules};
use switchboard_policy::Rule;
use utoipa::{IntoParams, ToSchema};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, get, put},
};
use crate::problem::Problem;

/// `pattern → action`. In each list the first that matches counts; of the lists' answers the strictest.
#[derive(ToSchema)]
#[schema(as = Rule)]
#[expect(dead_code, reason = "only its schema is used: the shape is the policy's")]
struct RuleSchema {
    /// Whole segments: `linear.delete_issue`, `linear.*`, `*.delete_issue`, `*`.
    pattern: String,
    /// `allow`, `require_approval` or `block`.
    action: String,
    /// `tool`, `prompt` or `resource`; every kind without.
    kind: Option<String>,
    /// A CEL expression that says when the rule applies, such as `args.amount > 100`; always without. Where it can't be
    /// evaluated, the rule blocks.
    condition: Option<String>,
    /// `caller` (without), `admins`, or `{"teams": ["team_…"]}`.
    #[schema(value_type = Option<Object>)]
    approvers: Option<serde_json::Value>,
    /// Whoever's agent asked may not decide.
    #[serde(default)]
    second_person: bool,
}

/// The whole ordered array.
#[derive(ToSchema)]
#[schema(as = Rules)]
#[expect(dead_code, reason = "only its schema is used")]
struct RulesSchema(Vec<RuleSchema>);

/// Why a call would be allowed, held or refused.
#[derive(ToSchema)]
#[schema(as = Explanation)]
#[expect(dead_code, reason = "only its schema is used: the shape is the policy's")]
struct ExplanationSchema {
    capability: String,
    /// `allow`, `require_approval` or `deny`; `depends` where a rule looks at arguments and none were given.
    decision: String,
    reason: Option<String>,
    /// The first matching rule of each list, and which one decides.
    #[schema(value_type = Vec<Object>)]
    matches: Vec<serde_json::Value>,
    #[schema(value_type = Option<Object>)]
    approval: Option<serde_json::Value>,
    sentence: String,
}

#[derive(Deserialize, IntoParams)]
#[expect(dead_code, reason = "documents the query, which the use case reads")]
struct ExplainQuery {
    /// Such as `linear.delete_issue`.
    capability: String,
    /// Id of somebody else (admins); yourself without.
    member: Option<String>,
    /// Slug of the toolkit it would be called through.
    toolkit: Option<String>,
    /// JSON object that it would be called with, for rules that look at arguments.
    arguments: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/policies", Operation::ReadPolicies, read)
            .says("Read the organization's rules")
            .answers::<RulesSchema>(StatusCode::OK)
            .with_etag(),
        put("/policies", Operation::PutPolicies, replace)
            .says("Replace the organization's rules")
            .takes::<RulesSchema>()
            .answers::<RulesSchema>(StatusCode::OK)
            .with_etag(),
        get("/policies/explain", Operation::ExplainPolicies, explain)
            .says("Say which rule decides on a call, and why")
            .query::<ExplainQuery>()
            .answers::<ExplanationSchema>(StatusCode::OK),
        get("/me/policies", Operation::ReadOwnPolicies, read_own)
            .says("Read your own rules")
            .answers::<RulesSchema>(StatusCode::OK)
            .with_etag(),
        put("/me/policies", Operation::PutOwnPolicies, replace_own)
            .says("Replace your own rules: they can only tighten")
            .takes::<RulesSchema>()
            .answers::<RulesSchema>(StatusCode::OK)
            .with_etag(),
        get("/toolkits/{id}/policies", Operation::ReadToolkitPolicies, read_toolkit)
            .says("Read a toolkit's rules")
            .answers::<RulesSchema>(StatusCode::OK)
            .with_etag(),
        put("/toolkits/{id}/policies", Operation::PutToolkitPolicies, replace_toolkit)
            .says("Replace a toolkit's rules: they can only tighten")
            .takes::<RulesSchema>()
            .answers::<RulesSchema>(StatusCode::OK)
            .with_etag(),
    ]
}

fn reply(rules: &Rules) -> Result<Reply, Problem> {
    Ok(Reply::json(&rules.rules)?.etag(rules.revision))
}

async fn read(call: Call) -> Result<Reply, Problem> {
    reply(&call.broker().read_policies(&call.principal).await?)
}

async fn replace(call: Call) -> Result<Reply, Problem> {
    let (seen, rules) = (call.if_match()?, call.body::<Vec<Rule>>()?);
    reply(&call.broker().put_policies(&call.principal, seen, rules).await?)
}

async fn explain(call: Call) -> Result<Reply, Problem> {
    let request: ExplainRequest = call.query()?;
    Reply::json(&call.broker().explain_policies(&call.principal, &request).await?)
}

async fn read_own(call: Call) -> Result<Reply, Problem> {
    reply(&call.broker().read_own_policies(&call.principal).await?)
}

async fn replace_own(call: Call) -> Result<Reply, Problem> {
    let (seen, rules) = (call.if_match()?, call.body::<Vec<Rule>>()?);
    reply(&call.broker().put_own_policies(&call.principal, seen, rules).await?)
}

async fn read_toolkit(call: Call) -> Result<Reply, Problem> {
    reply(&call.broker().read_toolkit_policies(&call.principal, call.path("id")?).await?)
}

async fn replace_toolkit(call: Call) -> Result<Reply, Problem> {
    let (seen, rules) = (call.if_match()?, call.body::<Vec<Rule>>()?);
    reply(&call.broker().put_toolkit_policies(&call.principal, call.path("id")?, seen, rules).await?)
}
