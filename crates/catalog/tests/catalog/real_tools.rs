//! Definitions of real servers: what an agent sees of them.

use serde_json::{Value, json};
use switchboard_catalog::{ConnectionSet, Definition, Index, SIGNATURE_CHARS, SUMMARY_CHARS, SearchQuery};

use crate::{file, id, parse, put};

/// `(server, definition)` of every tool of our own search set.
fn real() -> Vec<(String, Definition)> {
    file("bench/sets/own/tools.jsonl")
        .lines()
        .map(|line| {
            let tool: Value = serde_json::from_str(line).expect("a tool");
            let mut object = json!({"name": tool["name"], "description": tool["description"], "inputSchema": tool["input_schema"]});
            if let Some(title) = tool.get("title") {
                object["title"] = title.clone();
            }
            (tool["server"].as_str().expect("a server").to_owned(), parse(&object))
        })
        .collect()
}

#[test]
fn signatures_of_real_tools() {
    let lines: Vec<String> = real()
        .iter()
        .map(|(server, tool)| format!("{server}.{}{}\n    {}", tool.name(), tool.signature(), tool.summary()))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn real_tools_need_no_review() {
    let flagged: Vec<String> = real()
        .iter()
        .flat_map(|(server, tool)| {
            let found = tool.findings().into_iter();
            found.map(move |finding| {
                format!("{server}.{}: {:?} at {}", tool.name(), finding.flag, finding.pointer)
            })
        })
        .collect();
    assert!(flagged.is_empty(), "{flagged:#?}");
}

#[test]
fn what_a_match_shows_keeps_its_bounds() {
    let index = Index::new();
    let tools = real();
    let mut servers: Vec<&str> = tools.iter().map(|(server, _)| server.as_str()).collect();
    servers.dedup();
    for (number, server) in servers.iter().enumerate() {
        let of: Vec<Definition> =
            tools.iter().filter(|(other, _)| other == server).map(|(_, tool)| tool.clone()).collect();
        put(&index, number as u128, server, &of);
    }
    let allowed: ConnectionSet = (0..servers.len() as u128).map(id).collect();
    let queries = file("bench/sets/own/queries.jsonl");
    for line in queries.lines() {
        let query: Value = serde_json::from_str(line).expect("a query");
        let text = query["query"].as_str().expect("a text");
        let query = SearchQuery { text, connection: None, allowed: &allowed, limit: 5, offset: 0 };
        let outcome = index.search(&query, None);
        assert!(!outcome.hits.is_empty(), "{text}");
        for hit in &outcome.hits {
            let entry = hit.entry();
            assert!(entry.summary().chars().count() <= SUMMARY_CHARS, "{text}");
            assert!(entry.signature().to_string().chars().count() <= SIGNATURE_CHARS, "{text}");
            assert!(entry.signature().within(48).chars().count() <= 48, "{text}");
        }
    }
}
