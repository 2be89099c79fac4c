//! What the scenarios name, as data: definitions, ready answers, questions.

use std::{collections::BTreeMap, sync::LazyLock};

use rmcp::{
    ErrorData,
    model::{Prompt, Resource, ResourceTemplate, Tool},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(super) struct Fixtures {
    pub(super) tools: Vec<Tool>,
    /// Results that need no thought.
    pub(super) results: BTreeMap<String, Value>,
    /// Schemas of what a tool asks the person for.
    pub(super) elicitations: BTreeMap<String, Value>,
    /// Questions to the client by a name of our own.
    pub(super) inputs: BTreeMap<String, Value>,
    pub(super) rounds: BTreeMap<String, Rounds>,
    pub(super) prompts: Vec<Prompt>,
    pub(super) messages: BTreeMap<String, Value>,
    pub(super) resources: Vec<Resource>,
    pub(super) templates: Vec<ResourceTemplate>,
    pub(super) contents: BTreeMap<String, Value>,
}

/// A request that has to be sent again with answers before it has a result (2026-07-28, multi round-trip requests).
#[derive(Debug, Deserialize)]
pub(super) struct Rounds {
    /// One entry a round: keys of the answers, and which input is asked for.
    pub(super) asks: Vec<BTreeMap<String, String>>,
    /// Whether the round stands in a sealed request state.
    #[serde(default)]
    pub(super) sealed: bool,
    /// Whether only inputs are asked for that the client declared.
    #[serde(default)]
    pub(super) only_declared: bool,
    /// `{key/path}` stands for a part of an answer.
    pub(super) answer: String,
}

pub(super) static FIXTURES: LazyLock<Fixtures> =
    LazyLock::new(|| serde_json::from_str(include_str!("fixtures.json")).expect("the fixtures"));

/// A value as one of the SDK's types.
pub(super) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// A result of ours, complete. The SDK takes the `resultType` out again for clients of the older generation.
pub(super) fn complete<T: DeserializeOwned>(mut result: Value) -> Result<T, ErrorData> {
    result["resultType"] = Value::from("complete");
    typed(result)
}
