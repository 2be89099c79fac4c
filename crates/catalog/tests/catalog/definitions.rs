//! What is read from a definition, and what is refused with which words.

use serde_json::{Value, json};
use switchboard_catalog::{Definition, DefinitionLimits, Exclusion};

use crate::parse;

fn refusal(raw: &Value) -> Exclusion {
    Definition::parse(&raw.to_string(), None, &DefinitionLimits::default()).expect_err("a refusal").reason
}

#[test]
fn reads_what_is_there_and_ignores_what_is_odd() {
    let full = parse(&json!({
        "name": "send", "title": "Send", "description": "Sends. More.", "icons": 7, "_meta": {"a": 1},
        "inputSchema": {"properties": {"to": {"type": "string"}}, "required": ["to"]},
        "outputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": false, "destructiveHint": true, "title": "Older"}, "new": [1]}));
    assert_eq!((full.name(), full.title(), full.description()), ("send", Some("Send"), "Sends. More."));
    assert_eq!((full.summary().as_str(), full.signature().to_string().as_str()), ("Sends.", "(to: string)"));
    assert_eq!((full.read_only_hint(), full.destructive_hint()), (Some(false), Some(true)));
    assert!(full.output_schema().is_some() && !full.has_foreign_reference());

    let odd =
        parse(&json!({"name": "x", "title": 1, "description": [], "inputSchema": "no", "annotations": "x"}));
    assert_eq!((odd.title(), odd.description(), odd.signature().to_string().as_str()), (None, "", "()"));
    assert_eq!((odd.read_only_hint(), odd.input_schema()), (None, None));
}

#[test]
fn limits_are_named_in_their_refusals() {
    let cases = [
        (json!({"name": "a", "x": "y".repeat(64 * 1024)}), "catalog.tool_bytes"),
        (json!({"name": "a", "description": "é".repeat(8 * 1024 + 1)}), "catalog.description_bytes"),
        (json!({"name": "a", "inputSchema": nested(33)}), "catalog.schema_depth"),
        (json!({"name": "a", "outputSchema": {"anyOf": vec![json!({}); 1001]}}), "catalog.subschemas"),
    ];
    for (raw, setting) in cases {
        let text = refusal(&raw).to_string();
        assert!(text.contains(setting), "{text}");
    }
    parse(&json!({"name": "a", "inputSchema": nested(32)}));
    parse(&json!({"name": "a", "description": "é".repeat(8 * 1024)}));
    parse(&json!({"name": "a", "outputSchema": {"anyOf": vec![json!({}); 1000]}}));
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(json!({"type": "string"}), |inner, _| json!({"properties": {"a": inner}}))
}

#[test]
fn unusable_tools_are_refused() {
    assert_eq!(refusal(&json!([])), Exclusion::NotAnObject);
    assert_eq!(refusal(&json!({"description": "x"})), Exclusion::NoName);
    assert_eq!(refusal(&json!({"name": ""})), Exclusion::NoName);
    assert_eq!(refusal(&json!({"name": "a\u{1b}[2J"})), Exclusion::NameNotPrintable);
    assert!(matches!(refusal(&json!({"name": "a".repeat(1025)})), Exclusion::NameTooLong { .. }));
    let twice = r#"{"name":"a","name":"b"}"#;
    let excluded = Definition::parse(twice, None, &DefinitionLimits::default()).expect_err("a refusal");
    assert!(matches!(excluded.reason, Exclusion::Unreadable(_)), "{excluded}");
}

#[test]
fn an_excluded_tool_is_named_safely() {
    let raw = json!({"name": "a\u{202e}b\u{7}", "inputSchema": nested(40)}).to_string();
    let excluded = Definition::parse(&raw, None, &DefinitionLimits::default()).expect_err("a refusal");
    assert_eq!(excluded.name, "ab");
    let large = format!("{{\"name\":\"big\",\"x\":\"{}\"}}", "y".repeat(70_000));
    let excluded = Definition::parse(&large, None, &DefinitionLimits::default()).expect_err("a refusal");
    assert_eq!(
        excluded.to_string(),
        "tool `big` is left out: its definition has 70021 bytes; the limit `catalog.tool_bytes` is 65536"
    );
}

#[test]
fn header_annotations() {
    let with = |schema: Value| json!({"name": "t", "inputSchema": schema});
    let on = |property: Value| with(json!({"type": "object", "properties": {"a": property}}));
    let good = [
        on(json!({"type": "string", "x-mcp-header": "Region"})),
        on(json!({"type": "object", "properties": {"b": {"type": "integer", "x-mcp-header": "B-2"}}})),
        // A property that is called like the keyword, and data that contains it.
        with(json!({"properties": {"x-mcp-header": {"type": "string"}}})),
        on(json!({"type": "object", "default": {"x-mcp-header": 1}})),
    ];
    for tool in good {
        parse(&tool);
    }
    let bad = [
        on(json!({"type": "string", "x-mcp-header": ""})),
        on(json!({"type": "string", "x-mcp-header": "X\r\nY"})),
        on(json!({"type": "string", "x-mcp-header": 1})),
        on(json!({"type": "number", "x-mcp-header": "N"})),
        on(json!({"type": "array", "items": {"type": "string", "x-mcp-header": "I"}})),
        on(json!({"anyOf": [{"type": "string", "x-mcp-header": "I"}]})),
        with(json!({"x-mcp-header": "Root", "type": "string"})),
        with(json!({"properties": {
            "a": {"type": "string", "x-mcp-header": "Same"}, "b": {"type": "string", "x-mcp-header": "same"}}})),
    ];
    for tool in bad {
        assert!(matches!(refusal(&tool), Exclusion::InvalidHeaderAnnotation { .. }), "{tool}");
    }
}
