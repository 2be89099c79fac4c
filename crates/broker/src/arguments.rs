//! What a call needs of a tool's definition: validation of its arguments and the headers it mirrors them into.
//!
//! Compiled once per definition and kept by its fingerprint, bounded.

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::{Value, json};
use switchboard_domain::{CallError, ErrorCode, Fingerprint};
use switchboard_mcp::{ParamHeader, param_headers};

/// Most violations that one answer lists.
const MAX_VIOLATIONS: usize = 20;

/// A definition, ready for calls and for showing.
#[derive(Debug)]
pub(crate) struct CompiledTool {
    /// `None` when the schema can't be compiled: the upstream is then the only judge.
    validator: Option<Validator>,
    pub(crate) param_headers: Vec<ParamHeader>,
    pub(crate) description: String,
    pub(crate) input_schema: Value,
    pub(crate) output_schema: Option<Value>,
}

impl CompiledTool {
    pub(crate) fn new(definition: &Value) -> Self {
        let input_schema =
            definition.get("inputSchema").cloned().unwrap_or_else(|| json!({ "type": "object" }));
        // The linear-time engine: a provider's pattern must not be able to stop us.
        let validator = jsonschema::options()
            .with_pattern_options(PatternOptions::regex().size_limit(1 << 20))
            .should_validate_formats(false)
            .build(&input_schema)
            .ok();
        Self {
            validator,
            param_headers: param_headers(&input_schema),
            description: definition.get("description").and_then(Value::as_str).unwrap_or("").to_owned(),
            input_schema,
            output_schema: definition.get("outputSchema").cloned(),
        }
    }

    /// Every violation with its path (JSON pointer), or nothing.
    pub(crate) fn validate(&self, arguments: &Value) -> Result<(), CallError> {
        let Some(validator) = &self.validator else { return Ok(()) };
        if validator.is_valid(arguments) {
            return Ok(());
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

    #[test]
    fn violations_have_paths() {
        let tool = CompiledTool::new(&json!({ "inputSchema": {
            "type": "object",
            "properties": { "count": { "type": "integer" }, "list": { "type": "array", "items": { "type": "string" } } },
            "required": ["count"]
        }}));
        assert!(tool.validate(&json!({ "count": 1 })).is_ok());
        let error = tool.validate(&json!({ "list": ["a", 2] })).unwrap_err();
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
        assert!(tool.validate(&json!({ "a": 1 })).is_ok());
    }

    #[test]
    fn a_pattern_with_catastrophic_backtracking_costs_nothing() {
        let tool = CompiledTool::new(&json!({ "inputSchema": {
            "type": "object", "properties": { "a": { "type": "string", "pattern": "^(a+)+$" } }
        }}));
        assert!(tool.validate(&json!({ "a": format!("{}!", "a".repeat(50_000)) })).is_err());
    }
}
