//! Every hostile upstream of `testdata/security/bad_mcp_requests.jsonl`, as a caller meets it.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_broker::UpstreamLimits;
use switchboard_testkit::{
    app::{App, AppOptions},
    upstream::{BadUpstreamCase, ScriptedUpstream, bad_upstream_cases},
};

use crate::support::{READ_WRITE, owner, sqlite};

/// Deadlines short enough for a test, long enough for what must succeed.
fn limits() -> UpstreamLimits {
    let seconds = Duration::from_secs(4);
    UpstreamLimits { call: seconds, open: seconds, interactive: seconds, ..UpstreamLimits::default() }
}

/// Invariants that are checked elsewhere or come with a later issue, and where.
const ELSEWHERE: &[(&str, &str)] =
    &[("401-loop", "issue 4: refresh of OAuth tokens"), ("as-changed", "issue 4: authorization servers")];

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn run(case: BadUpstreamCase) {
    let (db, _directory) = sqlite().await;
    let app = App::start_with(db, AppOptions { upstream: limits(), ..AppOptions::default() }).await;
    let script = case.script.clone().expect("an HTTP case");
    let upstream = ScriptedUpstream::start(script).await;
    let id = app
        .add_with("hostile", upstream.url(), |connection| connection.switches.expose_directly = true)
        .await;
    app.grant_everyone(id).await;
    // What it lists may be hostile already; it must not take the process along.
    let diagnosis = app.broker.check(app.organization, id, None).await.unwrap();
    let client = owner(&app).await;
    let name = format!("hostile.{}", case.tool);
    let before = peak_memory_kib();
    let reply = client
        .modern(
            "tools/call",
            json!({ "name": "execute_capability", "arguments": { "name": name, "arguments": case.arguments } }),
        )
        .await;
    let result = reply.result();
    let grown = peak_memory_kib().saturating_sub(before) / 1024;
    for invariant in &case.invariants {
        holds(&app, &case, invariant, &upstream, &reply, &result, grown, &diagnosis.message).await;
    }
    directly(&app, &case).await;
    app.stop().await;
}

/// The same on the connection's own endpoint, where an upstream may say and ask more, by clients of both generations that take
/// every question.
async fn directly(app: &App, case: &BadUpstreamCase) {
    let token = app.token(app.owner, &READ_WRITE).await;
    let client = app.client_at("/mcp/connections/hostile", Some(&token));
    let questions = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} });
    let mut params = json!({ "name": case.tool, "arguments": case.arguments });
    params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": questions });
    let modern = client.modern("tools/call", params).await;

    let greeting = json!({ "protocolVersion": "2025-11-25", "capabilities": questions, "clientInfo": { "name": "t", "version": "1" } });
    let session = client.legacy("initialize", greeting).await;
    let legacy = client.with_header("mcp-session-id", session.header("mcp-session-id").unwrap());
    let legacy = legacy.legacy("tools/call", json!({ "name": case.tool, "arguments": case.arguments })).await;
    for reply in [modern, legacy] {
        let body = String::from_utf8_lossy(&reply.body);
        let say = format!("{} {}: {} {body}", case.id, case.name, reply.status);
        assert!(body.contains("\"result\"") || body.contains("\"error\""), "{say}");
        assert!(!body.contains("javascript:") && !body.contains("<html"), "{say}");
        assert!(reply.header("www-authenticate").is_none() && reply.header("set-cookie").is_none(), "{say}");
    }
    let alive = owner(app).await.search(json!({ "query": "" })).await;
    assert!(alive["coverage"].is_object(), "{}: not alive afterwards", case.name);
}

#[expect(clippy::too_many_arguments, reason = "a table of invariants looks at everything there is")]
async fn holds(
    app: &App,
    case: &BadUpstreamCase,
    invariant: &str,
    upstream: &ScriptedUpstream,
    reply: &switchboard_testkit::app::McpReply,
    result: &Value,
    grown_mib: u64,
    diagnosis: &str,
) {
    let say = format!("{} {}: {invariant}: {result}", case.id, case.name);
    let is_error = result["isError"] == true;
    let code = result["structuredContent"]["code"].as_str().unwrap_or("");
    match invariant {
        "is_error" | "credential_not_sent_elsewhere" if invariant == "is_error" => assert!(is_error, "{say}"),
        "no_html_to_agent_as_success" => assert!(is_error && !result.to_string().contains("<html"), "{say}"),
        "error_names_limit" => {
            assert!(code == "response_too_large" && result.to_string().contains("upstream.max_"), "{say}");
        }
        "rss_bounded" => assert!(grown_mib < 200, "{say}: grew by {grown_mib} MiB"),
        "no_retry_of_write" => assert_eq!(upstream.executions(&case.tool), 1, "{say}"),
        "within_call_deadline" => assert_eq!(code, "upstream_timeout", "{say}"),
        "bounded_hops" => assert!(upstream.log().count("tools/call") <= 1, "{say}"),
        "bounded_pages" => {
            assert!(upstream.log().count("tools/list") <= 101, "{say}");
            assert!(diagnosis.contains("never end"), "{say}: {diagnosis}");
        }
        "not_forwarded_to_others" => {
            assert!(!result.to_string().contains("token-of-another-caller"), "{say}");
        }
        _ if invariant.starts_with("no_header:") => {
            let header = invariant.trim_start_matches("no_header:");
            assert!(reply.header(header).is_none(), "{say}");
        }
        "namespaced" | "no_override" => {
            let listed = owner(app).await.modern("tools/list", json!({})).await.result();
            let names: Vec<_> =
                listed["tools"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
            assert_eq!(names, ["search_capabilities", "execute_capability"], "{say}");
        }
        _ if invariant.starts_with("excluded:") || invariant.starts_with("listed:") => {
            let (kind, tool) = invariant.split_once(':').unwrap();
            let found = owner(app).await.search(json!({ "query": "", "limit": 20 })).await;
            let is_listed = found.to_string().contains(&format!("\"hostile.{tool}\""));
            assert_eq!(is_listed, kind == "listed", "{say}: {found}");
        }
        "bounded_validation" => assert!(!result.is_null(), "{say}"),
        "debounced" => assert!(upstream.log().count("tools/list") < 20, "{say}"),
        _ => {}
    }
    // Whatever happened: the next caller is served.
    let alive = owner(app).await.search(json!({ "query": "" })).await;
    assert!(alive["coverage"].is_object(), "{say}: not alive afterwards");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_answer_ends_in_an_error_of_ours_or_passes_as_data() {
    let cases = bad_upstream_cases();
    assert!(cases.len() > 25, "{}", cases.len());
    let mut ran = 0;
    for case in cases {
        let listed = ELSEWHERE.iter().any(|(name, _)| *name == case.name);
        if case.script.is_none() || listed {
            continue;
        }
        eprintln!("{} {}", case.id, case.name);
        run(case).await;
        ran += 1;
    }
    assert!(ran > 20, "{ran}");
}
