//! Why an agent calls: on direct surfaces of connections with `model_intent`, a member beside the arguments.
//!
//! What such a tool takes becomes `{model_intent, properties: {…what it takes…}}`. Models get it wrong in every way
//! there is, so what comes back is read generously: nested as it was shown, nested as a text, or flat beside the
//! arguments. The server never sees it.

use serde_json::{Value, value::RawValue};
use switchboard_mcp::RawObject;

const INTENT: &str = "model_intent";
const PROPERTIES: &str = "properties";
const SHOWN: &str =
    r#"{"type":"string","description":"One sentence on why you call this, for the person it is for."}"#;

/// The input schema with room for the intent; `None` where it refers to places in itself that would move.
pub(crate) fn with_intent(schema: Option<&RawValue>) -> Option<String> {
    let original = schema.map_or(r#"{"type":"object"}"#, RawValue::get);
    let value: Value = serde_json::from_str(original).ok()?;
    if has_fixed_references(&value) {
        return None;
    }
    let mut hoisted = String::new();
    for name in ["$defs", "definitions"] {
        if let Some(shared) = value.get(name) {
            hoisted.push_str(&format!(",{}:{shared}", Value::from(name)));
        }
    }
    Some(format!(
        r#"{{"type":"object","properties":{{"{INTENT}":{SHOWN},"{PROPERTIES}":{original}}},"required":["{INTENT}","{PROPERTIES}"]{hoisted}}}"#
    ))
}

/// References from the root of the schema, but to shared definitions, which are there twice.
fn has_fixed_references(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(name, value)| {
            let fixed = |to: &str| {
                to.starts_with('#') && !to.starts_with("#/$defs/") && !to.starts_with("#/definitions/")
            };
            (name == "$ref" && value.as_str().is_some_and(fixed)) || has_fixed_references(value)
        }),
        Value::Array(items) => items.iter().any(has_fixed_references),
        _ => false,
    }
}

/// What the agent meant: the arguments as the server takes them, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Meant {
    /// `None` where they are as they were sent.
    pub arguments: Option<String>,
    pub intent: Option<String>,
}

/// Takes the intent out of what was sent. `schema` is the tool's own: a parameter of its own keeps its name.
pub(crate) fn take_intent(sent: Option<&RawValue>, schema: &Value) -> Meant {
    let has = |name| schema.get(PROPERTIES).is_some_and(|own| own.get(name).is_some());
    let Some(object) = sent.and_then(|sent| RawObject::parse(sent).ok()) else { return Meant::default() };
    let intent = object.get(INTENT).map(text_of);
    let only = object.iter().all(|(name, _)| matches!(name, INTENT | PROPERTIES));
    // A tool with a parameter `properties` of its own was called nested only if it says why.
    if only
        && (intent.is_some() || !has(PROPERTIES))
        && let Some(arguments) = object.get(PROPERTIES).and_then(inner)
    {
        return Meant { arguments: Some(arguments), intent };
    }
    if intent.is_none() || has(INTENT) {
        return Meant::default();
    }
    let mut rest = object;
    rest.remove(INTENT);
    let mut arguments = Vec::new();
    rest.write(&mut arguments);
    Meant { arguments: String::from_utf8(arguments).ok(), intent }
}

/// The arguments inside: an object, or a text that holds one.
fn inner(raw: &RawValue) -> Option<String> {
    if raw.get().starts_with('{') {
        return Some(raw.get().to_owned());
    }
    match serde_json::from_str(raw.get()).ok()? {
        Value::Null => Some("{}".into()),
        Value::String(text) => {
            let object: Box<RawValue> = serde_json::from_str(&text).ok()?;
            // Read as strictly as the body it came in: a member that stands twice is no object.
            switchboard_catalog::canonical_form(object.get()).ok()?;
            object.get().starts_with('{').then(|| object.get().to_owned())
        }
        _ => None,
    }
}

fn text_of(raw: &RawValue) -> String {
    serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meant(sent: &str, schema: &Value) -> (Option<String>, Option<String>) {
        let sent: Box<RawValue> = serde_json::from_str(sent).unwrap();
        let Meant { arguments, intent } = take_intent(Some(&sent), schema);
        (arguments, intent)
    }

    fn some(arguments: &str, intent: &str) -> (Option<String>, Option<String>) {
        (Some(arguments.into()), Some(intent.into()))
    }

    #[test]
    fn every_shape_that_models_send() {
        let schema = json!({ "type": "object", "properties": { "id": { "type": "string" } } });
        for (sent, expected) in [
            (r#"{"model_intent":"tidy","properties":{"id":"1"}}"#, some(r#"{"id":"1"}"#, "tidy")),
            (r#"{"model_intent":"tidy","properties":"{\"id\":\"1\"}"}"#, some(r#"{"id":"1"}"#, "tidy")),
            (r#"{"model_intent":"tidy","properties":null}"#, some("{}", "tidy")),
            (r#"{"model_intent":"tidy","id":"1"}"#, some(r#"{"id":"1"}"#, "tidy")),
            (r#"{"model_intent":"tidy"}"#, some("{}", "tidy")),
            (r#"{"model_intent":["tidy"],"id":"1"}"#, some(r#"{"id":"1"}"#, r#"["tidy"]"#)),
            (r#"{"properties":{"id":"1"}}"#, (Some(r#"{"id":"1"}"#.into()), None)),
            (r#"{"id":"1"}"#, (None, None)),
            ("{}", (None, None)),
        ] {
            assert_eq!(meant(sent, &schema), expected, "{sent}");
        }
        let twice = r#"{"model_intent":"tidy","properties":"{\"id\":1,\"id\":2}"}"#;
        assert_eq!(
            meant(twice, &schema),
            some(r#"{"properties":"{\"id\":1,\"id\":2}"}"#, "tidy"),
            "no object"
        );
    }

    #[test]
    fn parameters_of_the_tools_own_keep_their_names() {
        let own = json!({ "properties": { "model_intent": {}, "properties": {} } });
        assert_eq!(meant(r#"{"model_intent":"theirs","id":"1"}"#, &own), (None, None));
        assert_eq!(meant(r#"{"properties":{"a":1}}"#, &own), (None, None));
        let nested = r#"{"model_intent":"ours","properties":{"model_intent":"theirs"}}"#;
        assert_eq!(meant(nested, &own), some(r#"{"model_intent":"theirs"}"#, "ours"));
    }

    #[test]
    fn what_is_shown_is_a_schema_that_still_resolves() {
        let schema: Box<RawValue> = serde_json::from_str(
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":{"type":"string"}}}"##,
        )
        .unwrap();
        let shown: Value = serde_json::from_str(&with_intent(Some(&schema)).unwrap()).unwrap();
        assert_eq!(shown["required"], json!(["model_intent", "properties"]));
        assert_eq!(shown["$defs"]["x"]["type"], "string");
        let validator = jsonschema::validator_for(&shown).unwrap();
        assert!(validator.is_valid(&json!({ "model_intent": "x", "properties": { "a": "text" } })));
        assert!(!validator.is_valid(&json!({ "model_intent": "x", "properties": { "a": 1 } })));
        let fixed: Box<RawValue> =
            serde_json::from_str(r##"{"properties":{"a":{"$ref":"#/properties/b"},"b":{}}}"##).unwrap();
        assert_eq!(with_intent(Some(&fixed)), None);
    }
}
