//! What a call needs of a tool's definition: validation of its arguments and the headers it mirrors them into.
//!
//! Compiled once per definition and kept by its fingerprint, bounded.

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::{Value, json};
use switchboard_catalog::ValidationCost;
use switchboard_domain::{Actor, CallError, ErrorCode, Fingerprint};
use switchboard_mcp::{ParamHeader, param_headers};

/// Most violations that one answer lists.
const MAX_VIOLATIONS: usize = 20;
/// Regular expressions of one schema that are compiled; each may take some hundred kilobytes.
const MAX_PATTERNS: usize = 100;
const MAX_PATTERN_BYTES: usize = 1 << 18;
/// Share of the allowed steps up to which all violations are collected: each way that failed is kept meanwhile.
const EXPLAINED: u64 = 10;

/// A definition, ready for calls and for showing.
#[derive(Debug)]
pub(crate) struct CompiledTool {
    /// `None` when the schema can't be compiled: the upstream is then the only judge.
    validator: Option<(Validator, ValidationCost)>,
    pub(crate) param_headers: Vec<ParamHeader>,
    pub(crate) description: String,
    pub(crate) input_schema: Value,
    pub(crate) output_schema: Option<Value>,
    /// It says so in the words of 2025-11-25 (tasks: tool-level negotiation).
    pub(crate) is_task_only: bool,
}

impl CompiledTool {
    pub(crate) fn new(definition: &Value) -> Self {
        let input_schema =
            definition.get("inputSchema").cloned().unwrap_or_else(|| json!({ "type": "object" }));
        let validator = ValidationCost::of(&input_schema)
            .filter(|cost| cost.patterns() <= MAX_PATTERNS)
            .and_then(|cost| Some((compile(&input_schema)?, cost)));
        Self {
            validator,
            param_headers: param_headers(&input_schema),
            description: definition.get("description").and_then(Value::as_str).unwrap_or("").to_owned(),
            input_schema,
            output_schema: definition.get("outputSchema").cloned(),
            is_task_only: definition.pointer("/execution/taskSupport").is_some_and(|it| it == "required"),
        }
    }

    /// Every violation with its path (JSON pointer), or nothing. `bytes` is how long the arguments were, `max_steps`
    /// how much work they may be.
    pub(crate) fn validate(&self, arguments: &Value, bytes: usize, max_steps: u64) -> Result<(), CallError> {
        let Some((validator, cost)) = &self.validator else { return Ok(()) };
        let steps = cost.steps(arguments, bytes, max_steps).map_err(|_| too_costly(max_steps))?;
        let fits = validator.is_valid(arguments)
            || without_optional_nulls(&self.input_schema, arguments)
                .is_some_and(|fewer| validator.is_valid(&fewer));
        if fits {
            return Ok(());
        }
        if steps > max_steps / EXPLAINED {
            let message = "The arguments do not fit the schema, which is too large to say where. \
                           Search with detail \"schema\" to see it.";
            return Err(CallError::new(ErrorCode::InvalidArguments, message));
        }
        let violations: Vec<Value> = validator
            .iter_errors(arguments)
            .take(MAX_VIOLATIONS)
            .map(|error| {
                let message: String = error.to_string().chars().take(300).collect();
                json!({ "path": error.instance_path().to_string(), "message": message })
            })
            .collect();
        let first = violations.first().and_then(|violation| violation["message"].as_str()).unwrap_or("");
        let message = format!(
            "The arguments do not fit the schema: {first}. Search with detail \"schema\" to see all of it."
        );
        Err(CallError::new(ErrorCode::InvalidArguments, message).details(json!({ "violations": violations })))
    }
}

/// The arguments without what is `null` and may be left out; `None` when there is nothing of that. Many clients write so
/// what they leave out (MCP's mirrored headers treat both alike), and the server gets it as it was sent.
fn without_optional_nulls(schema: &Value, arguments: &Value) -> Option<Value> {
    let required = schema.get("required").and_then(Value::as_array);
    let may_lack = |name: &str| {
        schema.get("properties").is_some_and(|properties| properties.get(name).is_some())
            && !required.is_some_and(|names| names.iter().any(|required| required == name))
    };
    let given = arguments.as_object()?;
    let is_absent = |name: &str, value: &Value| value.is_null() && may_lack(name);
    given.iter().any(|(name, value)| is_absent(name, value)).then(|| {
        let kept = given.iter().filter(|(name, value)| !is_absent(name, value));
        Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    })
}

fn compile(schema: &Value) -> Option<Validator> {
    // The linear-time engine: a provider's pattern must not be able to stop us.
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
        .should_validate_formats(false)
        .build(schema)
        .ok()
}

fn too_costly(max_steps: u64) -> CallError {
    let message = format!(
        "The arguments can't be checked against the schema: it would take more than {max_steps} steps \
         (upstream.max_validation_steps). Send less at once; if it is always so, the server's schema is at fault."
    );
    CallError::new(ErrorCode::InvalidArguments, message).actor(Actor::Provider)
}

/// Compiled definitions by fingerprint; bounded by count, since definitions are bounded in size.
#[derive(Debug, Clone)]
pub(crate) struct CompiledTools(moka::sync::Cache<Fingerprint, Arc<CompiledTool>>);

impl CompiledTools {
    pub(crate) fn new(most: u64) -> Self {
        Self(moka::sync::Cache::builder().max_capacity(most).build())
    }

    pub(crate) fn get(&self, fingerprint: &Fingerprint) -> Option<Arc<CompiledTool>> {
        self.0.get(fingerprint)
    }

    pub(crate) fn insert(&self, fingerprint: Fingerprint, tool: Arc<CompiledTool>) {
        self.0.insert(fingerprint, tool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(tool: &CompiledTool, arguments: &Value) -> Result<(), CallError> {
        tool.validate(arguments, arguments.to_string().len(), 500_000)
    }

    #[test]
    fn what_may_be_left_out_may_be_null() {
        let schema = json!({
            "type": "object",
            "properties": { "a": { "type": "string" }, "b": { "type": "boolean" } },
            "required": ["a"],
            "additionalProperties": false,
        });
        let tool = CompiledTool::new(&json!({ "inputSchema": schema }));
        assert!(validate(&tool, &json!({ "a": "x", "b": null })).is_ok());
        assert!(validate(&tool, &json!({ "a": null, "b": true })).is_err(), "required");
        assert!(validate(&tool, &json!({ "a": "x", "c": null })).is_err(), "unknown");
        assert!(validate(&tool, &json!({ "a": "x", "b": "yes" })).is_err());
    }

    #[test]
    fn a_schema_that_multiplies_is_not_begun() {
        let twice = |name: usize| json!([{ "$ref": format!("#/$defs/a{name}") }, { "$ref": format!("#/$defs/a{name}") }]);
        for keyword in ["oneOf", "anyOf", "allOf"] {
            let mut definitions: serde_json::Map<String, Value> =
                (0..40).map(|level| (format!("a{level}"), json!({ keyword: twice(level + 1) }))).collect();
            definitions.insert("a40".into(), json!({ "type": "object" }));
            let schema = json!({ "type": "object", "$defs": definitions, "not": { "$ref": "#/$defs/a0" } });
            let tool = CompiledTool::new(&json!({ "inputSchema": schema }));
            let error = validate(&tool, &json!({})).unwrap_err();
            assert!(error.message.contains("upstream.max_validation_steps"), "{}", error.message);
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_at_the_same_place_is_not_begun() {
        let tool =
            CompiledTool::new(&json!({ "inputSchema": { "allOf": [{ "$ref": "#" }, { "$ref": "#" }] } }));
        assert!(tool.validator.is_none() || validate(&tool, &json!({})).is_err());
    }

    #[test]
    fn more_patterns_than_can_be_kept_are_not_applied() {
        let properties: serde_json::Map<String, Value> = (0..101)
            .map(|index| {
                (format!("p{index}"), json!({ "type": "string", "pattern": "((a{0,500}){0,500}){0,500}b" }))
            })
            .collect();
        let tool =
            CompiledTool::new(&json!({ "inputSchema": { "type": "object", "properties": properties } }));
        assert!(tool.validator.is_none());
    }

    #[test]
    fn violations_have_paths() {
        let tool = CompiledTool::new(&json!({ "inputSchema": {
            "type": "object",
            "properties": { "count": { "type": "integer" }, "list": { "type": "array", "items": { "type": "string" } } },
            "required": ["count"]
        }}));
        assert!(validate(&tool, &json!({ "count": 1 })).is_ok());
        let error = validate(&tool, &json!({ "list": ["a", 2] })).unwrap_err();
        let violations = error.details.unwrap()["violations"].clone();
        let paths: Vec<_> =
            violations.as_array().unwrap().iter().map(|violation| violation["path"].clone()).collect();
        assert!(paths.contains(&json!("/list/1")) && paths.contains(&json!("")), "{violations}");
    }

    #[test]
    fn a_reference_to_the_network_is_never_followed() {
        let tool = CompiledTool::new(&json!({ "inputSchema": {
            "type": "object", "properties": { "a": { "$ref": "http://127.0.0.1:9/schema.json" } }
        }}));
        assert!(tool.validator.is_none(), "it can't be compiled, so it is not applied");
        assert!(validate(&tool, &json!({ "a": 1 })).is_ok());
    }

    #[test]
    fn a_pattern_with_catastrophic_backtracking_costs_nothing() {
        let tool = CompiledTool::new(&json!({ "inputSchema": {
            "type": "object", "properties": { "a": { "type": "string", "pattern": "^(a+)+$" } }
        }}));
        assert!(validate(&tool, &json!({ "a": format!("{}!", "a".repeat(50_000)) })).is_err());
    }
}
