//! `x-mcp-header`: parameters of a tool that its server wants mirrored into `Mcp-Param-*` headers (2026-07-28).

use serde_json::Value;

use crate::encode_header_value;

/// One annotated parameter: the path of `properties` to it, and the header's own part of the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    pub path: Vec<String>,
    pub header: String,
}

/// Every annotation that is reachable through `properties` alone. Definitions with an invalid annotation are
/// excluded when they are listed, so nothing is judged here.
pub fn param_headers(input_schema: &Value) -> Vec<ParamHeader> {
    let mut found = Vec::new();
    collect(input_schema, &mut Vec::new(), &mut found);
    found
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<ParamHeader>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, property) in properties {
        path.push(name.clone());
        if let Some(header) = property.get("x-mcp-header").and_then(Value::as_str) {
            found.push(ParamHeader { path: path.clone(), header: header.to_owned() });
        }
        collect(property, path, found);
        path.pop();
    }
}

/// Header names and values for one call; absent and null arguments send none.
pub fn param_values(annotations: &[ParamHeader], arguments: &Value) -> Vec<(String, String)> {
    annotations
        .iter()
        .filter_map(|annotation| {
            let value = annotation.path.iter().try_fold(arguments, |value, key| value.get(key))?;
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(flag) => flag.to_string(),
                Value::Number(number) => number.to_string(),
                _ => return None,
            };
            Some((format!("{}{}", crate::names::PARAM_PREFIX, annotation.header), encode_header_value(&text)))
        })
        .collect()
}
