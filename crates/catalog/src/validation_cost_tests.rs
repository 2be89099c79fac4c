//! What is cheap is said to be cheap; what multiplies is noticed before it does.

use serde_json::json;

use super::*;

const LIMIT: u64 = 500_000;

fn steps(schema: &Value, instance: &Value) -> Result<u64, TooCostly> {
    let cost = ValidationCost::of(schema).expect("a schema that can be judged");
    cost.steps(instance, instance.to_string().len(), LIMIT)
}

/// `a0` is `keyword` of two of `a1`, and so on.
fn doubling(levels: usize, keyword: &str) -> Value {
    let mut definitions = Map::new();
    for level in 0..levels {
        let next = json!({ "$ref": format!("#/$defs/a{}", level + 1) });
        definitions.insert(format!("a{level}"), json!({ keyword: [next.clone(), next] }));
    }
    definitions.insert(format!("a{levels}"), json!({ "type": "object" }));
    json!({ "type": "object", "$defs": definitions, "allOf": [{ "$ref": "#/$defs/a0" }] })
}

#[test]
fn ordinary_tools_are_cheap() {
    let schema = json!({ "type": "object", "required": ["title"], "properties": {
        "title": { "type": "string", "pattern": "^[a-z ]+$" },
        "labels": { "type": "array", "items": { "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/label" }] } }
    }, "$defs": { "label": { "type": "object", "properties": { "id": { "type": "integer" } } } } });
    let instance = json!({ "title": "a title", "labels": ["x", { "id": 1 }] });
    assert!(steps(&schema, &instance).unwrap() < 100);
    let many: Vec<_> = (0..5_000).map(|id| json!({ "id": id })).collect();
    assert!(steps(&schema, &json!({ "title": "a", "labels": many })).is_ok());
}

#[test]
fn a_tree_that_refers_to_itself_is_cheap() {
    let schema = json!({ "$ref": "#/$defs/node", "$defs": { "node": { "type": "object", "properties": {
        "children": { "type": "array", "items": { "$ref": "#/$defs/node" } } } } } });
    let mut tree = json!({ "children": [] });
    for _ in 0..30 {
        tree = json!({ "children": [tree] });
    }
    assert!(steps(&schema, &tree).unwrap() < 1_000);
}

#[test]
fn what_doubles_is_too_costly_however_it_is_written() {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        assert_eq!(steps(&doubling(22, keyword), &json!({})), Err(TooCostly), "{keyword}");
        assert!(steps(&doubling(8, keyword), &json!({})).is_ok(), "{keyword}");
    }
    assert_eq!(steps(&doubling(300, "allOf"), &json!({})), Err(TooCostly), "deep");
}

#[test]
fn what_doubles_with_each_level_of_the_instance_is_too_costly() {
    let twice = json!([{ "$ref": "#" }, { "$ref": "#" }]);
    let schema = json!({ "type": "object", "properties": { "a": { "anyOf": twice } } });
    let mut instance = json!({});
    for _ in 0..40 {
        instance = json!({ "a": instance });
    }
    assert_eq!(steps(&schema, &instance), Err(TooCostly));
    assert!(steps(&schema, &json!({ "a": { "a": {} } })).is_ok());
}

#[test]
fn what_contains_itself_at_the_same_place_never_ends() {
    for schema in [
        json!({ "allOf": [{ "$ref": "#" }] }),
        json!({ "$defs": { "x": { "$ref": "#/$defs/x" } }, "not": { "$ref": "#/$defs/x" } }),
        json!({ "$dynamicAnchor": "here", "if": { "$dynamicRef": "#here" } }),
    ] {
        assert_eq!(steps(&schema, &json!({})), Err(TooCostly), "{schema}");
    }
}

#[test]
fn looking_back_at_neighbours_counts_for_every_member() {
    let mut inner = json!({ "type": "object" });
    for _ in 0..6 {
        inner = json!({ "allOf": [inner], "unevaluatedProperties": false });
    }
    let instance: Map<String, Value> = (0..50).map(|index| (format!("m{index}"), json!(1))).collect();
    assert_eq!(steps(&inner, &Value::Object(instance)), Err(TooCostly));
}

#[test]
fn what_cant_be_followed_cant_be_judged() {
    for schema in [
        json!({ "$ref": "https://example.com/schema.json" }),
        json!({ "$ref": "#nowhere" }),
        json!({ "$ref": "#/$defs/none" }),
        json!({ "properties": { "a": { "$id": "https://example.com/a", "type": "string" } } }),
    ] {
        assert!(ValidationCost::of(&schema).is_none(), "{schema}");
    }
    let named_id = json!({ "properties": { "id": { "type": "string", "description": "its id" } } });
    assert!(ValidationCost::of(&named_id).is_some(), "an argument that is called id");
}
