//! The catalogue against its vectors, real tools and random input.

mod definitions;
mod index;
mod properties;
mod real_tools;
mod vectors;

use serde_json::Value;
use switchboard_catalog::{ConnectionLabel, Definition, DefinitionLimits, Index};
use switchboard_domain::ConnectionId;

fn parse(raw: &Value) -> Definition {
    Definition::parse(&raw.to_string(), None, &DefinitionLimits::default()).expect("a good definition")
}

fn id(number: u128) -> ConnectionId {
    ConnectionId::from_uuid(uuid::Uuid::from_u128(number))
}

fn tool(name: &str, description: &str) -> Definition {
    parse(&serde_json::json!({"name": name, "description": description, "inputSchema": {"type": "object"}}))
}

fn put(index: &Index, number: u128, slug: &str, tools: &[Definition]) {
    index.replace(ConnectionLabel { id: id(number), slug, name: slug }, tools);
}

/// `<slug>.<name>` of every hit.
fn names(hits: &[switchboard_catalog::Hit]) -> Vec<String> {
    hits.iter().map(|hit| format!("{}.{}", hit.entry().slug(), hit.entry().name())).collect()
}

/// A file of the repository.
fn file(path: &str) -> String {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
