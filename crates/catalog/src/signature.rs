//! A tool's parameters in one line, for an agent that has to choose, not yet to call:
//! `(title: string, priority?: "low"|"high", labels?: string[])`.
//!
//! Required parameters come first, since leaving one out is the costlier mistake; what does not fit is
//! counted, never silently dropped.

use std::fmt;

use serde_json::{Map, Value};

use crate::summary::displayed;

/// Longest signature, in characters.
pub const SIGNATURE_CHARS: usize = 120;
/// Names of at least this many parameters are kept before types give way.
const NAME_CHARS: usize = 40;
const TYPE_CHARS: usize = 40;

/// Between the parameters where a signature is kept: a character that no shown text has in it.
const SEPARATOR: &str = "\u{1f}";

/// One line for the parameters of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(String);

/// The signature of an `inputSchema`; `()` when it takes nothing.
pub fn of(schema: Option<&Value>) -> Signature {
    let Some(properties) = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object)
    else {
        return Signature(String::new());
    };
    let required: Vec<&str> = schema
        .and_then(|schema| schema.get("required"))
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let is_required = |name: &String| required.contains(&name.as_str());
    let (first, second): (Vec<_>, Vec<_>) = properties.iter().partition(|(name, _)| is_required(name));
    let parts: Vec<String> = first
        .into_iter()
        .chain(second)
        .map(|(name, schema)| {
            let mark = if is_required(name) { "" } else { "?" };
            format!("{}{mark}: {}", displayed(name, NAME_CHARS), type_of(schema))
        })
        .collect();
    Signature(fit(&parts, 0, SIGNATURE_CHARS).join(SEPARATOR))
}

impl Signature {
    /// As the index keeps it.
    pub(crate) fn packed(&self) -> &str {
        &self.0
    }

    pub(crate) fn unpack(packed: &str) -> Self {
        Self(packed.to_owned())
    }

    /// In at most `limit` characters, when the names leave a choice.
    pub fn within(&self, limit: usize) -> String {
        let mut parts: Vec<&str> = self.0.split(SEPARATOR).filter(|part| !part.is_empty()).collect();
        let left_out = parts.last().and_then(|last| last.strip_prefix('+')?.parse().ok());
        if left_out.is_some() {
            parts.pop();
        }
        format!("({})", fit(&parts, left_out.unwrap_or(0), limit).join(", "))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.within(SIGNATURE_CHARS))
    }
}

/// As many parameters as there is room for; types give way before names, and what is left out is counted, on top of
/// what was `left_out` before.
fn fit<P: AsRef<str>>(parts: &[P], left_out: usize, limit: usize) -> Vec<String> {
    let mut out = Vec::with_capacity(parts.len() + 1);
    // The parenthesis before; each part needs room for what comes after it too.
    let mut length = 1;
    for (position, part) in parts.iter().map(AsRef::as_ref).enumerate() {
        let left = parts.len() - position + left_out;
        let reserve = if left > 1 { 8 } else { 1 };
        let separator = if position == 0 { 0 } else { 2 };
        let fits = |part: &str| length + separator + part.chars().count() + reserve <= limit;
        let name = part.split_once(": ").map_or(part, |(name, _)| name);
        let Some(part) = [part, name].into_iter().find(|part| fits(part)) else {
            out.push(format!("+{left}"));
            return out;
        };
        length += separator + part.chars().count();
        out.push(part.to_owned());
    }
    if left_out > 0 {
        out.push(format!("+{left_out}"));
    }
    out
}

fn type_of(schema: &Value) -> String {
    let Some(object) = schema.as_object() else { return "any".to_owned() };
    let written = constant(object)
        .or_else(|| enumeration(object))
        .or_else(|| declared(object))
        .or_else(|| alternatives(object))
        .unwrap_or_else(|| "any".to_owned());
    displayed(&written, TYPE_CHARS)
}

fn constant(object: &Map<String, Value>) -> Option<String> {
    object.get("const").map(|value| displayed(&value.to_string(), TYPE_CHARS / 2))
}

/// The first values of an enumeration, and how many more there are.
fn enumeration(object: &Map<String, Value>) -> Option<String> {
    let values = object.get("enum")?.as_array()?;
    let mut out = String::new();
    for (position, value) in values.iter().enumerate() {
        let value = displayed(&value.to_string(), TYPE_CHARS / 2);
        let left = values.len() - position;
        if position > 0 && out.chars().count() + value.chars().count() + 5 > TYPE_CHARS {
            out.push_str(&format!("|+{left}"));
            break;
        }
        if position > 0 {
            out.push('|');
        }
        out.push_str(&value);
    }
    (!out.is_empty()).then_some(out)
}

fn declared(object: &Map<String, Value>) -> Option<String> {
    let one = |name: &str| match name {
        "array" => match object.get("items") {
            Some(items) if items.is_object() => format!("{}[]", item_type(items)),
            _ => "array".to_owned(),
        },
        "object" => "object".to_owned(),
        other => displayed(other, 20),
    };
    match object.get("type")? {
        Value::String(name) => Some(one(name)),
        Value::Array(names) => {
            let names: Vec<_> =
                names.iter().filter_map(Value::as_str).filter(|name| *name != "null").map(one).collect();
            (!names.is_empty()).then(|| names.join("|"))
        }
        _ => None,
    }
}

/// Items are named by their kind alone: nested objects and lists are for detail `schema`.
fn item_type(items: &Value) -> String {
    let Some(object) = items.as_object() else { return "any".to_owned() };
    if object.contains_key("enum") {
        return "enum".to_owned();
    }
    match object.get("type") {
        Some(Value::String(name)) => displayed(name, 20),
        _ => "any".to_owned(),
    }
}

fn alternatives(object: &Map<String, Value>) -> Option<String> {
    let options = object.get("anyOf").or_else(|| object.get("oneOf"))?.as_array()?;
    let mut names: Vec<String> = Vec::new();
    for option in options.iter().filter_map(Value::as_object) {
        let name = constant(option)
            .or_else(|| enumeration(option))
            .or_else(|| declared(option))
            .unwrap_or_else(|| "any".to_owned());
        if name != "null" && !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shapes() {
        let schema = json!({"required": ["b"], "properties": {
            "a": {"type": ["string", "null"]},
            "b": {"type": "integer"},
            "c": {"enum": ["low", "high"]},
            "d": {"type": "array", "items": {"type": "object", "properties": {"x": {}}}},
            "e": {"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "number"}]},
            "f": true,
            "g": {"type": "object"}}});
        assert_eq!(
            of(Some(&schema)).to_string(),
            r#"(b: integer, a?: string, c?: "low"|"high", d?: object[], e?: string|number, f?: any, g?: object)"#
        );
        assert_eq!(of(None).to_string(), "()");
        assert_eq!(of(Some(&json!({"type": "object"}))).to_string(), "()");
    }

    #[test]
    fn long_ones_are_counted() {
        let properties: Map<String, Value> =
            (0..100).map(|n| (format!("parameter_{n}"), json!({"enum": ["a".repeat(300), "b"]}))).collect();
        let out = of(Some(&json!({"properties": properties, "required": ["parameter_99"]})));
        let out = out.to_string();
        assert!(out.chars().count() <= SIGNATURE_CHARS, "{out}");
        assert!(out.starts_with("(parameter_99: ") && out.ends_with(')') && out.contains(", +"), "{out}");
    }

    #[test]
    fn a_shorter_one_counts_what_it_leaves_out_as_well() {
        let properties: Map<String, Value> =
            (10..40).map(|n| (format!("parameter_{n}"), json!({"enum": ["a, b", "c"]}))).collect();
        let whole = of(Some(&json!({"properties": properties})));
        for limit in [SIGNATURE_CHARS, 100, 64, 48, 32] {
            let shown = whole.within(limit);
            assert!(shown.chars().count() <= limit, "{shown}");
            let parts: Vec<&str> = shown.trim_matches(['(', ')']).split(", ").collect();
            let named = parts.iter().filter(|part| part.starts_with("parameter")).count();
            let counted: usize = parts.last().unwrap().strip_prefix('+').unwrap().parse().unwrap();
            assert_eq!(named + counted, 30, "{shown}");
        }
    }
}
