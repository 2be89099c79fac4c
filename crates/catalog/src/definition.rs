//! One tool, prompt, resource or template as its upstream defines it (MCP `Tool`, `Prompt`, `Resource`,
//! `ResourceTemplate`, 2026-07-28 and older).
//!
//! The text on the wire is the truth: it is what is stored, fingerprinted and handed to agents who ask
//! for the schema. What is parsed here is only what search, policy and people need, and it is parsed
//! leniently: a member of an unexpected type is ignored, not a reason to lose the tool. A definition
//! that is too large, ambiguous or unusable is excluded with a reason; its siblings stay.

use serde_json::{Map, Value};
use switchboard_domain::{CapabilityKind, Fingerprint};

use crate::{
    canonical::{self, NotCanonical},
    findings::{self, Finding},
    schema,
    signature::{self, Signature},
    summary,
};

/// Longest name that can be addressed, in bytes; `domain::CapabilityName` takes no longer one.
const NAME_BYTES: usize = 1024;

/// How large a definition may be. Each is named in the refusal it causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefinitionLimits {
    /// `catalog.tool_bytes`: the whole object as sent.
    pub tool_bytes: usize,
    /// `catalog.description_bytes`
    pub description_bytes: usize,
    /// `catalog.schema_depth`: schemas inside schemas.
    pub schema_depth: usize,
    /// `catalog.subschemas`: in one schema.
    pub subschemas: usize,
}

impl Default for DefinitionLimits {
    fn default() -> Self {
        Self { tool_bytes: 64 * 1024, description_bytes: 16 * 1024, schema_depth: 32, subschemas: 1_000 }
    }
}

/// Why a tool is left out of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exclusion {
    #[error("its definition has {bytes} bytes; the limit `catalog.tool_bytes` is {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("its definition can't be read: {0}")]
    Unreadable(#[from] NotCanonical),
    #[error("its definition is not a JSON object")]
    NotAnObject,
    #[error("it has no name")]
    NoName,
    #[error("its name has {bytes} bytes; at most {NAME_BYTES} can be addressed")]
    NameTooLong { bytes: usize },
    #[error("its name holds control characters and could not be told apart when shown")]
    NameNotPrintable,
    #[error("its description has {bytes} bytes; the limit `catalog.description_bytes` is {limit}")]
    DescriptionTooLong { bytes: usize, limit: usize },
    #[error("its {member} is nested deeper than {limit} schemas (limit `catalog.schema_depth`)")]
    SchemaTooDeep { member: &'static str, limit: usize },
    #[error("its {member} holds more than {limit} subschemas (limit `catalog.subschemas`)")]
    TooManySubschemas { member: &'static str, limit: usize },
    #[error("its `x-mcp-header` at `{path}` is invalid: {problem}")]
    InvalidHeaderAnnotation { path: String, problem: &'static str },
}

/// A definition that is left out: what it is called, as far as that can be known and shown, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} `{name}` is left out: {reason}", kind.as_str())]
pub struct Excluded {
    pub kind: CapabilityKind,
    /// Escaped and shortened for display; empty when it could not be read.
    pub name: String,
    pub reason: Exclusion,
}

/// One readable definition.
#[derive(Debug, Clone)]
pub struct Definition {
    kind: CapabilityKind,
    object: Map<String, Value>,
    fingerprint: Fingerprint,
}

impl Definition {
    /// Reads one element of `tools` of a `tools/list` answer. `server_instructions` are part of the
    /// fingerprint, see [`canonical::fingerprint`].
    pub fn parse(
        raw: &str,
        server_instructions: Option<&str>,
        limits: &DefinitionLimits,
    ) -> Result<Self, Excluded> {
        Self::parse_as(CapabilityKind::Tool, raw, server_instructions, limits)
    }

    /// Reads one element of the list of its kind: `prompts`, or `resources` and `resourceTemplates`.
    pub fn parse_as(
        kind: CapabilityKind,
        raw: &str,
        server_instructions: Option<&str>,
        limits: &DefinitionLimits,
    ) -> Result<Self, Excluded> {
        if raw.len() > limits.tool_bytes {
            let reason = Exclusion::TooLarge { bytes: raw.len(), limit: limits.tool_bytes };
            return Err(Excluded { kind, name: name_of_oversized(raw), reason });
        }
        let unnamed = |reason| Excluded { kind, name: String::new(), reason };
        let fingerprint = match kind {
            CapabilityKind::Resource => canonical::fingerprint_of_resource(raw, server_instructions),
            _ => canonical::fingerprint(raw, server_instructions),
        };
        let fingerprint = fingerprint.map_err(|error| unnamed(error.into()))?;
        let Ok(Value::Object(object)) = serde_json::from_str(raw) else {
            return Err(unnamed(Exclusion::NotAnObject));
        };
        let definition = Self { kind, object, fingerprint };
        match definition.refusal(limits) {
            None => Ok(definition),
            Some(reason) => Err(Excluded { kind, name: summary::displayed(definition.name(), 120), reason }),
        }
    }

    fn refusal(&self, limits: &DefinitionLimits) -> Option<Exclusion> {
        let name = self.name();
        if name.is_empty() {
            return Some(Exclusion::NoName);
        }
        if name.len() > NAME_BYTES {
            return Some(Exclusion::NameTooLong { bytes: name.len() });
        }
        if name.chars().any(char::is_control) {
            return Some(Exclusion::NameNotPrintable);
        }
        let bytes = self.description().len();
        if bytes > limits.description_bytes {
            return Some(Exclusion::DescriptionTooLong { bytes, limit: limits.description_bytes });
        }
        ["inputSchema", "outputSchema"]
            .into_iter()
            .find_map(|member| schema::refusal(member, self.object.get(member)?, limits))
            .or_else(|| self.input_schema().and_then(schema::header_annotation_refusal))
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.object.get(member).and_then(Value::as_str)
    }

    fn hint(&self, name: &str) -> Option<bool> {
        self.object.get("annotations")?.get(name)?.as_bool()
    }

    pub fn kind(&self) -> CapabilityKind {
        self.kind
    }

    /// What it is addressed by: a name, a URI, or the template of URIs.
    pub fn name(&self) -> &str {
        let named = match self.kind {
            CapabilityKind::Resource => self.text("uri").or_else(|| self.text("uriTemplate")),
            CapabilityKind::Tool | CapabilityKind::Prompt => self.text("name"),
        };
        named.unwrap_or_default()
    }

    /// `title`, or the older `annotations.title`, as sent; a resource also has a name beside its address.
    pub fn title(&self) -> Option<&str> {
        let older = || match self.kind {
            CapabilityKind::Resource => self.text("name"),
            _ => self.object.get("annotations")?.get("title")?.as_str(),
        };
        self.text("title").or_else(older).filter(|title| !title.trim().is_empty())
    }

    /// As sent; empty when there is none.
    pub fn description(&self) -> &str {
        self.text("description").unwrap_or_default()
    }

    pub fn input_schema(&self) -> Option<&Value> {
        self.object.get("inputSchema").filter(|schema| schema.is_object())
    }

    pub fn output_schema(&self) -> Option<&Value> {
        self.object.get("outputSchema").filter(|schema| schema.is_object())
    }

    /// The provider's claim that the tool changes nothing. A claim, not a fact.
    pub fn read_only_hint(&self) -> Option<bool> {
        self.hint("readOnlyHint")
    }

    /// The provider's claim that the tool may destroy something.
    pub fn destructive_hint(&self) -> Option<bool> {
        self.hint("destructiveHint")
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The first sentence of the description, without control and invisible characters.
    pub fn summary(&self) -> String {
        summary::first_sentence(self.description())
    }

    /// Parameters in one line, see [`signature`].
    pub fn signature(&self) -> Signature {
        signature::of(self.input_schema())
    }

    /// What a reviewer should look at before approving: advisory, never the only control.
    pub fn findings(&self) -> Vec<Finding> {
        findings::in_object(&self.object)
    }

    /// Whether a schema refers to something outside itself. Nothing fetches it, so arguments of such a
    /// tool can't be fully validated here.
    pub fn has_foreign_reference(&self) -> bool {
        [self.input_schema(), self.output_schema()]
            .into_iter()
            .flatten()
            .any(|schema| !schema::foreign_references(schema).is_empty())
    }
}

/// An oversized definition is not parsed; its name is looked for near its start, for the message only.
fn name_of_oversized(raw: &str) -> String {
    let head: String = raw.chars().take(4096).collect();
    let name = head.split_once("\"name\"").and_then(|(_, rest)| {
        let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
        rest.split('"').next()
    });
    summary::displayed(name.unwrap_or_default(), 120)
}
