use super::*;

fn call(server: &SampleServer, name: &str, arguments: Value) -> Value {
    let members = format!("\"name\":{},\"arguments\":{arguments}", json!(name));
    serde_json::from_slice(&server.handle("tools/call", &members).unwrap()).unwrap()
}

#[test]
fn every_listed_tool_answers_and_every_structured_answer_has_its_schema() {
    let server = SampleServer::default();
    let listing: Value = serde_json::from_slice(&server.handle("tools/list", "").unwrap()).unwrap();
    let tools = listing["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 9);
    for tool in tools {
        let name = tool["name"].as_str().unwrap();
        let arguments = json!({
            "text": "a b", "query": "a", "id": 1, "expression": "1+1", "time": "2026-11-21T09:30:00Z",
            "offset": "+05:30", "color": "#3366cc",
        });
        let result = call(&server, name, arguments);
        let failed = result["isError"].as_bool().unwrap_or(false);
        assert_eq!(failed, name == "always_fails", "{name}: {result}");
        assert_eq!(result.get("structuredContent").is_some(), tool.get("outputSchema").is_some(), "{name}");
    }
}

#[test]
fn notes_are_kept_found_and_deleted() {
    let server = SampleServer::default();
    call(&server, "add_note", json!({"text": "Buy milk"}));
    call(&server, "add_note", json!({"text": "Call Ana"}));
    let found = call(&server, "search_notes", json!({"query": "MILK"}));
    assert_eq!(found["structuredContent"]["notes"], json!([{"id": 1, "text": "Buy milk"}]));
    assert_eq!(call(&server, "delete_note", json!({"id": 1}))["structuredContent"]["deleted"], 1);
    assert_eq!(call(&server, "delete_note", json!({"id": 1}))["isError"], true);
    let left = call(&server, "list_notes", json!({}));
    assert_eq!(left["structuredContent"]["notes"].as_array().unwrap().len(), 1);
}

#[test]
fn arithmetic_follows_the_rules() {
    let cases =
        [("(2 + 3) * 4", 20.0), ("-2^2", -4.0), ("2^3^2", 512.0), ("7 % 4 - 1.5", 1.5), ("2^-1", 0.5)];
    for (expression, expected) in cases {
        assert_eq!(calculate::evaluate(expression), Ok(expected), "{expression}");
    }
    for wrong in ["", "1 +", "(1", "1 1", "a", "1..2", &"(".repeat(500), &"-".repeat(500)] {
        calculate::evaluate(wrong).unwrap_err();
    }
    let server = SampleServer::default();
    assert_eq!(call(&server, "calculate", json!({"expression": "1/0"}))["isError"], true);
}

#[test]
fn times_and_pictures() {
    let server = SampleServer::default();
    let time = call(&server, "convert_time", json!({"time": "2026-11-21T22:30:00Z", "offset": "+05:30"}));
    assert_eq!(time["structuredContent"], json!({"time": "2026-11-22T04:00:00+05:30", "weekday": "Sunday"}));
    let swatch = call(&server, "color_swatch", json!({"color": "#3366cc"}));
    assert_eq!(swatch["content"][1]["mimeType"], "image/png");
    assert!(swatch["content"][1]["data"].as_str().unwrap().starts_with("iVBORw0KGgo"));
}

#[test]
fn unknown_tools_and_methods_are_protocol_errors() {
    let server = SampleServer::default();
    assert_eq!(server.handle("tools/call", "\"name\":\"nothing\"").unwrap_err().code, code::INVALID_PARAMS);
    assert_eq!(server.handle("resources/list", "").unwrap_err().code, code::METHOD_NOT_FOUND);
}
