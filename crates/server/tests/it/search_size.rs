//! How much of an agent's context an answer of `search_capabilities` takes, over the tools of real servers.

use serde_json::{Value, json};
use switchboard_testkit::{
    app::App,
    upstream::{Script, ScriptedUpstream},
};

use crate::support::{owner, sqlite};

const SET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/sets/own");
/// What one token is counted as: tokenizers differ, English and JSON come to about four characters a token.
const CHARS_PER_TOKEN: usize = 4;
const MAX_TOKENS: usize = 400;

fn lines(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{SET}/{name}")).expect("the set");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The servers of the set, each as an upstream that lists its tools as they were.
async fn upstreams() -> Vec<(String, ScriptedUpstream)> {
    let mut servers: Vec<(String, Vec<Value>)> = Vec::new();
    for tool in lines("tools.jsonl") {
        // The set has no annotations; with them an answer is longer, so every tool gets both hints.
        let mut definition = json!({
            "name": tool["name"],
            "description": tool["description"],
            "inputSchema": tool["input_schema"],
            "annotations": { "readOnlyHint": false, "destructiveHint": false }
        });
        if tool["title"].is_string() {
            definition["title"] = tool["title"].clone();
        }
        let server = tool["server"].as_str().expect("a server").to_owned();
        match servers.last_mut().filter(|(name, _)| *name == server) {
            Some((_, tools)) => tools.push(definition),
            None => servers.push((server, vec![definition])),
        }
    }
    let mut started = Vec::new();
    for (server, tools) in servers {
        started.push((server, ScriptedUpstream::start(Script::new().tools(&tools)).await));
    }
    started
}

#[tokio::test]
async fn five_matches_of_real_tools_stay_under_four_hundred_tokens() {
    let (db, _directory) = sqlite().await;
    let app = App::start(db).await;
    let upstreams = upstreams().await;
    for (server, upstream) in &upstreams {
        app.connect(server, upstream.url()).await;
    }
    let client = owner(&app).await;
    let mut tokens = Vec::new();
    for query in lines("queries.jsonl") {
        let call = json!({ "name": "search_capabilities", "arguments": { "query": query["query"] } });
        let result = client.legacy("tools/call", call).await.result();
        let found = &result["structuredContent"];
        assert!((1..=5).contains(&found["matches"].as_array().expect("matches").len()), "{found}");
        let sent = found.to_string();
        assert_eq!(result["content"][0]["text"], sent.as_str(), "the same as text");
        tokens.push((sent.chars().count().div_ceil(CHARS_PER_TOKEN), sent));
    }
    tokens.sort();
    let mean = tokens.iter().map(|(tokens, _)| tokens).sum::<usize>() / tokens.len();
    let (most, longest) = tokens.last().expect("queries");
    println!("{} queries: {mean} tokens on average, at most {most}", tokens.len());
    assert!(*most < MAX_TOKENS, "{most} tokens: {longest}");
    app.stop().await;
}

#[tokio::test]
async fn a_refused_search_names_the_request_that_its_log_line_has() {
    let (db, _directory) = sqlite().await;
    let app = App::start(db).await;
    let client = owner(&app).await;
    for arguments in
        [json!({ "cursor": "nonsense" }), json!({ "connection": "none" }), json!({ "limits": 3 })]
    {
        let call = json!({ "name": "search_capabilities", "arguments": arguments });
        let reply = client.legacy("tools/call", call).await;
        let id = reply.header("x-request-id").unwrap().to_owned();
        let result = reply.result();
        assert_eq!(result["isError"], true, "{result}");
        assert_eq!(result["structuredContent"]["reference_id"], id.as_str(), "{result}");
    }
    app.stop().await;
}
