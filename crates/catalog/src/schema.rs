//! Walks a JSON Schema (2020-12 and older drafts) without ever resolving a reference: bounds,
//! references that lead outside, and `x-mcp-header` (MCP 2026-07-28, SEP-2243).

use serde_json::{Map, Value};

use crate::definition::{DefinitionLimits, Exclusion};

/// Keywords whose value is a map of schemas, an array of schemas, or a schema.
const MAPS: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];
const ARRAYS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
const SINGLE: [&str; 12] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// The keyword and every schema directly inside `schema`.
fn subschemas(schema: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let maps = MAPS.iter().filter_map(|key| schema.get(*key)?.as_object()).flat_map(Map::values);
    let arrays = ARRAYS.iter().filter_map(|key| schema.get(*key)?.as_array()).flatten();
    let single = SINGLE.iter().filter_map(|key| schema.get(*key));
    maps.chain(arrays).chain(single).filter(|value| value.is_object())
}

/// Why `schema`, the tool's `member`, is too much to work with.
pub(crate) fn refusal(member: &'static str, schema: &Value, limits: &DefinitionLimits) -> Option<Exclusion> {
    let mut waiting = vec![(schema, 1)];
    let mut seen = 0;
    while let Some((schema, depth)) = waiting.pop() {
        let Some(object) = schema.as_object() else { continue };
        if depth > limits.schema_depth {
            return Some(Exclusion::SchemaTooDeep { member, limit: limits.schema_depth });
        }
        seen += 1;
        // The root is the schema itself, not a subschema of it.
        if seen > limits.subschemas.saturating_add(1) {
            return Some(Exclusion::TooManySubschemas { member, limit: limits.subschemas });
        }
        waiting.extend(subschemas(object).map(|inner| (inner, depth + 1)));
    }
    None
}

/// References that lead out of the document: network, file, anything but a fragment.
pub(crate) fn foreign_references(schema: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    let mut waiting = vec![schema];
    while let Some(schema) = waiting.pop() {
        match schema {
            // Everywhere, not only where a schema may stand: a validator may look further than we do.
            Value::Object(object) => {
                let references = REFERENCES.iter().filter_map(|key| object.get(*key)?.as_str());
                found.extend(references.filter(|reference| !reference.starts_with('#')));
                waiting.extend(object.values());
            }
            Value::Array(array) => waiting.extend(array),
            _ => {}
        }
    }
    found
}

/// RFC 9110 `token`.
fn is_header_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Checks `x-mcp-header`: a unique header token on a string, integer or boolean that is reached from
/// the root through `properties` alone, so that every party mirrors the same arguments.
pub(crate) fn header_annotation_refusal(schema: &Value) -> Option<Exclusion> {
    let mut names = Vec::new();
    let problem = check_headers(schema, "", true, true, &mut names);
    problem.map(|(path, problem)| Exclusion::InvalidHeaderAnnotation { path, problem })
}

fn check_headers(
    value: &Value,
    path: &str,
    on_chain: bool,
    root: bool,
    names: &mut Vec<String>,
) -> Option<(String, &'static str)> {
    let here = |problem| Some((path.chars().take(200).collect(), problem));
    match value {
        Value::Array(items) => items.iter().find_map(|item| check_headers(item, path, false, false, names)),
        Value::Object(object) => {
            if let Some(header) = object.get("x-mcp-header") {
                let Some(header) = header.as_str() else { return here("the header name is not a string") };
                if root || !on_chain {
                    return here("it is not on a property that is reached through `properties` alone");
                }
                if !is_header_token(header) {
                    return here("the header name is not an HTTP token");
                }
                if !matches!(
                    object.get("type").and_then(Value::as_str),
                    Some("string" | "integer" | "boolean")
                ) {
                    return here("the property is not a string, integer or boolean");
                }
                let folded = header.to_ascii_lowercase();
                if names.contains(&folded) {
                    return here("another property has the same header");
                }
                names.push(folded);
            }
            object.iter().find_map(|(key, inner)| match (key.as_str(), inner) {
                ("properties", Value::Object(properties)) => properties.iter().find_map(|(name, inner)| {
                    check_headers(inner, &format!("{path}/properties/{name}"), on_chain, false, names)
                }),
                // Examples and defaults are data: an argument may well be called `x-mcp-header`.
                ("x-mcp-header" | "default" | "const" | "enum" | "examples", _) => None,
                (key, inner) => check_headers(inner, &format!("{path}/{key}"), false, false, names),
            })
        }
        _ => None,
    }
}
