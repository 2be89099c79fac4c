//! `testdata/security`: what the pin must decide and what hostile definitions must meet.

use serde_json::{Value, json};
use switchboard_catalog::{Definition, DefinitionLimits, Excluded, Exclusion, Flag, fingerprint};

use crate::file;

fn lines(path: &str) -> Vec<Value> {
    file(path)
        .split('\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).expect("a vector"))
        .collect()
}

/// What the pin says of the step from `before` to `after`.
fn decision(vector: &Value) -> &'static str {
    let of = |side: &str| {
        let object = vector.get(side).filter(|object| !object.is_null())?;
        Some(fingerprint(&object.to_string(), None).expect("a canonical form"))
    };
    match (of("before"), of("after")) {
        (Some(_), None) => "remove_and_record",
        (None, Some(_)) => "hold_for_approval",
        (before, after) if before == after => "no_change",
        _ => "hold_for_approval",
    }
}

#[test]
fn every_mutation_is_decided_as_its_vector_says() {
    let vectors = lines("testdata/security/tool_mutations.jsonl");
    assert!(vectors.len() >= 18, "{} vectors", vectors.len());
    for vector in &vectors {
        let expected = vector["expect"].as_str().expect("what to expect");
        let decided = decision(vector);
        let right = match expected {
            // Arrays keep their order in the canonical form: the other permitted answer.
            "no_change_or_hold" => decided == "hold_for_approval",
            other => decided == other,
        };
        assert!(right, "{}: {decided}, expected {expected}", vector["name"]);
        if let Some(sequence) = vector["sequence"].as_array() {
            let prints: Vec<_> = sequence
                .iter()
                .map(|side| fingerprint(&vector[side.as_str().unwrap()].to_string(), None).unwrap())
                .collect();
            assert!(prints.windows(2).all(|pair| pair[0] != pair[1]), "{}", vector["name"]);
        }
    }
}

#[test]
fn white_space_and_member_order_change_nothing_but_every_member_counts() {
    let before = r#"{"name":"t","inputSchema":{"type":"object","properties":{"a":{"type":"string"}}},"x":1}"#;
    let spaced = "{ \"x\" : 1.0 ,\n\"inputSchema\":{\"properties\":{\"a\":{\"type\":\"string\"}},\"type\":\"object\"}, \"name\":\"t\"}";
    assert_eq!(fingerprint(before, None), fingerprint(spaced, None));
    assert_ne!(fingerprint(before, None), fingerprint(&before.replace("\"x\":1", "\"x\":2"), None));
    assert_ne!(fingerprint(before, None), fingerprint(before, Some("Be careful.")));
}

fn parse(tool: &Value) -> Result<Definition, Excluded> {
    Definition::parse(&tool.to_string(), None, &DefinitionLimits::default())
}

/// Flags a reviewer would see, or the exclusion.
fn flags(tool: &Value) -> Result<Vec<Flag>, Exclusion> {
    match parse(tool) {
        Ok(definition) => Ok(definition.findings().into_iter().map(|finding| finding.flag).collect()),
        Err(excluded) => Err(excluded.reason),
    }
}

#[test]
fn hostile_upstream_tools_are_excluded_or_flagged() {
    let vectors = lines("testdata/security/bad_mcp_requests.jsonl");
    let mut seen = 0;
    for vector in vectors.iter().filter(|vector| vector["direction"] == "upstream_to_gateway") {
        let Some(tools) = vector["tools"].as_array() else { continue };
        let invariants: Vec<&str> = vector["expect"]["invariants"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for tool in tools {
            let name = tool["name"].as_str().unwrap_or_default();
            let judged = flags(tool);
            for invariant in &invariants {
                let holds = match *invariant {
                    "excluded_or_flagged" | "flagged_or_stripped" | "flagged" => {
                        seen += 1;
                        judged.as_ref().map_or(true, |flags| !flags.is_empty())
                    }
                    other if other == format!("excluded:{name}") => {
                        seen += 1;
                        judged.is_err()
                    }
                    other if other == format!("listed:{name}") => {
                        seen += 1;
                        judged.is_ok()
                    }
                    _ => true,
                };
                assert!(holds, "{}: {invariant}: {judged:?}", vector["name"]);
            }
        }
    }
    assert!(seen >= 7, "only {seen} vectors were judged");
}

#[test]
fn a_schema_five_thousand_deep_is_excluded() {
    let mut schema = String::from("{}");
    for _ in 0..5000 {
        schema = format!("{{\"not\":{schema}}}");
    }
    let raw = format!("{{\"name\":\"deep\",\"inputSchema\":{schema}}}");
    let excluded = Definition::parse(&raw, None, &DefinitionLimits::default()).expect_err("an exclusion");
    assert!(matches!(excluded.reason, Exclusion::Unreadable(_)), "{excluded}");
}

#[test]
fn hidden_text_of_the_mutations_is_flagged() {
    for vector in lines("testdata/security/tool_mutations.jsonl") {
        let expected = match vector["name"].as_str().unwrap() {
            "description-invisible-tags" => Flag::TagCharacters,
            "description-homoglyph" => Flag::MixedScripts,
            "description-changed" | "meta-changed" | "param-default-added" => Flag::Imperative,
            _ => continue,
        };
        let found = flags(&vector["after"]).expect("a readable tool");
        assert!(found.contains(&expected), "{}: {found:?}", vector["name"]);
        assert_eq!(flags(&vector["before"]), Ok(vec![]), "{}", vector["name"]);
    }
}

#[test]
fn foreign_references_are_named_and_never_resolved() {
    let tool = json!({"name": "t", "inputSchema": {"properties": {
        "a": {"$ref": "https://attacker.example.net/s.json"}, "b": {"$ref": "#/$defs/b"}}}});
    let definition = parse(&tool).unwrap();
    assert!(definition.has_foreign_reference());
    let findings = definition.findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].pointer, "/inputSchema/properties/a/$ref");
}
